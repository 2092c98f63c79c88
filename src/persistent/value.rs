//! What can be put: how a value gets into literal memory, and who holds it before it is published.

use super::StoreError;
use super::domain::Domain;
use super::handle::Literal;
use crate::heap::Region;
use crate::heap::copy::Literals;
use crate::heap::literal;
use crate::term::word::{self, Word};
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// A frozen value that is not published: its word, and one reference on the area it points into, given up when this is
/// dropped.
pub(crate) struct Frozen<'d> {
    domain: &'d Domain,
    word: Word,
}

impl<'d> Frozen<'d> {
    /// # Safety
    ///
    /// The caller must own a reference on the area of `word`, if it is a literal, which must be of `domain`; this takes it
    /// over.
    pub(crate) unsafe fn new(domain: &'d Domain, word: Word) -> Self {
        Self { domain, word }
    }

    pub(crate) fn word(&self) -> Word {
        self.word
    }

    /// The word; the reference is the caller's.
    pub(crate) fn into_word(self) -> Word {
        ManuallyDrop::new(self).word
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.domain.drop_value(self.word);
    }
}

/// A value on its way into the store.
pub(crate) enum Offer<'d> {
    /// A term, to be copied into literal memory.
    Term(Word, Literals),
    /// The root of an area of this domain on which somebody has a reference: to be shared.
    Held(Word),
    /// Literal memory already; taken when it is accepted.
    Frozen(Option<Frozen<'d>>, Word),
}

impl<'d> Offer<'d> {
    pub(crate) fn frozen(frozen: Frozen<'d>) -> Self {
        let w = frozen.word();
        Self::Frozen(Some(frozen), w)
    }

    /// The word, for comparing.
    pub(crate) fn word(&self) -> Word {
        match self {
            Self::Term(w, _) | Self::Held(w) | Self::Frozen(_, w) => *w,
        }
    }
}

impl Domain {
    /// Takes a value over into literal memory of this domain.
    ///
    /// # Safety
    ///
    /// The offer's word must be of a term that is alive during the call; with [`Literals::Keep`], its literals must be of
    /// this domain, and the caller online since it got hold of them (R4).
    pub(crate) unsafe fn accept<'d>(&'d self, offer: &mut Offer<'d>) -> Result<Frozen<'d>, StoreError> {
        match offer {
            Offer::Frozen(frozen, _) => Ok(frozen.take().expect("an offer is accepted once")),
            Offer::Held(w) => {
                if word::is_literal(*w) {
                    // SAFETY: somebody has a reference on it during the call.
                    unsafe { literal::entry(*w).area().as_ref() }.retain();
                }
                // SAFETY: the reference just taken.
                Ok(unsafe { Frozen::new(self, *w) })
            }
            // SAFETY: the caller's promise.
            Offer::Term(w, literals) => Ok(unsafe { self.freeze(*w, *literals) }?),
        }
    }
}

pub(crate) mod sealed {
    use super::Region;

    /// Sealed, because the store takes its words for those of terms.
    pub trait Value: Sized {
        /// The word of a term that lives as long as this.
        #[doc(hidden)]
        fn word(&self) -> u64;

        /// The domain on whose area there is a lease, if that is how the term is kept; null for none.
        #[doc(hidden)]
        fn leased_from(&self) -> Option<*const ()>;

        /// What a caller cannot get at otherwise after a refusal.
        #[doc(hidden)]
        fn back(self) -> Option<Region>;
    }
}

impl<'d> Offer<'d> {
    /// A value, which must live as long as this is used.
    pub(super) fn of(value: &impl Value, domain: &'d Domain) -> Self {
        match value.leased_from() {
            Some(own) if own.is_null() || std::ptr::eq(own.cast(), domain) => Self::Held(value.word()),
            _ => Self::Term(value.word(), Literals::Flatten),
        }
    }
}

/// What can be put into a store: a [`Region`], which is copied into literal memory, or a [`Literal`], which is shared
/// with the store in O(1) if it is of the same domain, and copied otherwise. Sealed.
///
/// ```
/// # use shared_term::{Literal, PersistentTerms, Region, persistent::{StoreError, Value}};
/// fn publish(store: &PersistentTerms, name: &str, value: impl Value) -> Result<(), StoreError> {
///     store.put(("service", name), value)?;
///     Ok(())
/// }
/// let store = PersistentTerms::new();
/// let shared: Literal = store.literal(|h| h.list(0..100))?;
/// publish(&store, "copied", Region::copy_of(shared.root()))?;
/// publish(&store, "lent", &shared)?;
/// publish(&store, "given", shared)?;
/// assert_eq!((store.info().count, store.info().areas), (3, 2));
/// # Ok::<(), StoreError>(())
/// ```
pub trait Value: sealed::Value {}

impl Value for Region {}
impl sealed::Value for Region {
    fn word(&self) -> u64 {
        self.root_word()
    }

    fn leased_from(&self) -> Option<*const ()> {
        None
    }

    fn back(self) -> Option<Region> {
        Some(self)
    }
}

impl Value for &Literal {}
impl sealed::Value for &Literal {
    fn word(&self) -> u64 {
        self.root().word()
    }

    fn leased_from(&self) -> Option<*const ()> {
        Some(self.domain().map_or(std::ptr::null(), |domain| Arc::as_ptr(domain).cast()))
    }

    fn back(self) -> Option<Region> {
        None
    }
}

impl Value for Literal {}
impl sealed::Value for Literal {
    fn word(&self) -> u64 {
        sealed::Value::word(&self)
    }

    fn leased_from(&self) -> Option<*const ()> {
        sealed::Value::leased_from(&self)
    }

    fn back(self) -> Option<Region> {
        None
    }
}
