//! Owned, counted handles on literals.

#[cfg(feature = "runtime")]
use super::Holder;
use super::domain::Domain;
use super::value::Frozen;
use crate::heap::literal::{self, Area};
use crate::sync::mutation::{Mutation, mutated};
#[cfg(feature = "runtime")]
use crate::term::Term;
use crate::term::TermRef;
use crate::term::word::{self, Word};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic as plain;

/// A literal in plain Rust hands: a term in literal memory, and a counted lease on its area.
///
/// For what a [guard](super::Guard) and a turn cannot do: keep a value in a static, over an `await`, or in a data structure
/// of one's own. [Lent](Self::root) for reading for as long as it lives; [linked](crate::Cx::literal) into the heap of a
/// process, or put back into its store, by pointer. While it lives its area is not freed, whatever becomes of the key
/// that it came from; [`Info::literals`](super::Info::literals) counts the literals that keep an area.
///
/// A clone is three counters, a drop too; the last handle on an area that no key has any more begins a global
/// collection. A [`Region`](crate::Region) beside it is the owner of its term, cannot be shared with a process but by a
/// copy, and keeps nothing else alive.
///
/// Of OTP's, a literal of a module comes close; it cannot be made at run time.
///
/// ```
/// # use shared_term::{Literal, PersistentTerms, term};
/// use std::sync::OnceLock;
///
/// static LIMITS: OnceLock<Literal> = OnceLock::new();
/// let store = PersistentTerms::new();
/// LIMITS.set(store.literal(|h| term!(h, #{"rate" => 100}))?).unwrap();
/// store.put("limits", LIMITS.get().unwrap())?; // the same memory
/// store.erase("limits");
/// assert_eq!(LIMITS.get().unwrap().root().lookup("rate").unwrap().as_int(), Some(100));
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
pub struct Literal {
    word: Word,
    /// None: the term owns no memory.
    domain: Option<Arc<Domain>>,
}

// SAFETY: the term is immutable (invariant 2) and its off-heap objects are `Send + Sync`; the lease is a counter.
unsafe impl Send for Literal {}
// SAFETY: as above.
unsafe impl Sync for Literal {}

impl Literal {
    pub(super) fn new(domain: &Arc<Domain>, frozen: Frozen<'_>) -> Self {
        let word = frozen.into_word();
        if !word::is_literal(word) {
            return Self { word, domain: None };
        }
        domain.literals.fetch_add(1, plain::Ordering::Relaxed);
        let this = Self { word, domain: Some(Arc::clone(domain)) };
        if mutated(Mutation::LeaseNotCounted) {
            domain.drop_value(word);
        }
        this
    }

    fn area(&self) -> Option<&Area> {
        // SAFETY: the lease keeps the area.
        self.domain.as_ref().map(|_| unsafe { literal::entry(self.word).area().as_ref() })
    }

    pub(super) fn domain(&self) -> Option<&Arc<Domain>> {
        self.domain.as_ref()
    }

    /// The term, lent for as long as the handle is. One load.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, term};
    /// let store = PersistentTerms::new();
    /// let limits = store.literal(|h| term!(h, #{"rate" => 100}))?;
    /// let rate = std::thread::spawn(move || limits.root().lookup("rate").and_then(|n| n.as_int()));
    /// assert_eq!(rate.join().unwrap(), Some(100));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn root(&self) -> TermRef<'_> {
        // SAFETY: the lease keeps the area.
        unsafe { TermRef::from_word(self.word) }
    }

    /// Words in its area; none for a term that owns no memory. O(1).
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region};
    /// let store = PersistentTerms::new();
    /// assert_eq!(store.freeze(Region::build(|h| h.list([1, 2])))?.words(), 4);
    /// assert_eq!(store.freeze(Region::build(|h| h.int(1)))?.words(), 0);
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn words(&self) -> usize {
        self.area().map_or(0, |area| area.words)
    }

    /// Do both lead to the same term in memory?
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, term};
    /// let store = PersistentTerms::new();
    /// let a = store.literal(|h| term!(h, {1, 2}))?;
    /// let b = store.literal(|h| term!(h, {1, 2}))?;
    /// assert!(a.ptr_eq(&a.clone()) && !a.ptr_eq(&b));
    /// # Ok::<(), shared_term::persistent::StoreError>(())
    /// ```
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.word == other.word
    }

    /// The term, in a turn: a pointer, where the turn is of the same domain, and a copy otherwise.
    #[cfg(feature = "runtime")]
    pub(crate) fn link<'h>(&self, cx: impl Holder<'h>) -> Term<'h> {
        match &self.domain {
            Some(domain) if !std::ptr::eq(cx.domain(), Arc::as_ptr(domain).cast()) => cx.copy(self.root()),
            // SAFETY: an immediate, or a literal of the turn's domain, which is not freed before the turn has ended (the
            // lease is given up after it began), nor later if the turn has stored it (invariant 4).
            _ => unsafe { Term::from_word(self.word) },
        }
    }
}

impl Clone for Literal {
    fn clone(&self) -> Self {
        if let (Some(area), Some(domain)) = (self.area(), &self.domain) {
            area.retain();
            domain.literals.fetch_add(1, plain::Ordering::Relaxed);
        }
        Self { word: self.word, domain: self.domain.clone() }
    }
}

impl Drop for Literal {
    fn drop(&mut self) {
        if let Some(domain) = &self.domain {
            domain.literals.fetch_sub(1, plain::Ordering::Relaxed);
            if !mutated(Mutation::LeaseNotCounted) {
                domain.drop_value(self.word);
            }
            domain.help();
        }
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Literal").field(&self.root()).finish()
    }
}

static_assertions::assert_impl_all!(Literal: Send, Sync, Clone, Unpin);
