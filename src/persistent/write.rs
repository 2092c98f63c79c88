//! Writing: what `put` and its relatives have in common.

use super::domain::{Domain, Span, keeps_too_much};
use super::entry::Entry;
use super::value::{Frozen, Offer};
use super::{Put, StoreError, Version};
use crate::heap::built::{Built, LiteralBuilder};
use crate::heap::copy::{Literals, words_to_copy};
use crate::heap::off_heap::error_of;
use crate::heap::{Heap, HeapError, catch_error, catch_limit, literal};
use crate::term::word::{self, Word};
use crate::term::{Key, Term};

/// What a write asks of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Anything,
    /// Nothing, or an equal value.
    Vacant,
    /// A value of this version, or none.
    Version(Option<Version>),
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// The value is there; its word, alive in the caller's span. The version where one was asked for, or made.
    Done { put: Put, word: Word, version: Option<Version> },
    /// Another value is there.
    Exists { word: Word },
    /// Another version is there.
    Conflict { current: Option<Version> },
}

impl Domain {
    /// Writes one key. A refusal for what is retained comes after an attempt to free some of it.
    ///
    /// # Safety
    ///
    /// As for [`accept`](Self::accept).
    pub(crate) unsafe fn write<'d>(
        &'d self,
        key: impl Key,
        mut offer: Offer<'d>,
        expect: Expect,
    ) -> Result<Wrote, StoreError> {
        // SAFETY: the caller's promise, here and below.
        let mut wrote = unsafe { self.write_once(key, &mut offer, expect) };
        if matches!(wrote, Err(StoreError::Retained { .. })) {
            self.help();
            // SAFETY: as above.
            wrote = unsafe { self.write_once(key, &mut offer, expect) };
        }
        if let Offer::Frozen(Some(refused), _) = offer {
            // It was never published; nobody else would free it.
            drop(refused);
            self.help();
        }
        wrote
    }

    /// # Safety
    ///
    /// As for [`write`](Self::write).
    unsafe fn write_once<'d>(
        &'d self,
        key: impl Key,
        offer: &mut Offer<'d>,
        expect: Expect,
    ) -> Result<Wrote, StoreError> {
        let hash = key.hash_key();
        // From here to the publication the thread is online, also for the literals that the value keeps (R4). Its end gets
        // the collection of what is let go of below on.
        let _span = Span::new(self);
        let entry = self.table.find(hash, key);
        // An entry for the key, made outside the lock, if there is none.
        let mut fresh = None;
        let mut frozen: Option<Frozen<'_>> = None;
        let mut seen = entry.and_then(|entry| entry.value(self.table.snapshot()));
        loop {
            // SAFETY: both are alive: the caller's promise, and the span. Compared outside every lock.
            let equal = |old| catch_error(|| unsafe { crate::term::equal(old, offer.word()) });
            let equal = seen.map(equal).transpose()?.unwrap_or(false);
            match (expect, seen) {
                (Expect::Anything | Expect::Vacant, Some(word)) if equal => {
                    return Ok(Wrote::Done { put: Put::Unchanged, word, version: None });
                }
                (Expect::Vacant, Some(word)) => return Ok(Wrote::Exists { word }),
                _ => {}
            }
            if frozen.is_none() && !equal {
                self.admit()?;
                // SAFETY: the caller's promise.
                frozen = Some(unsafe { self.accept(offer) }?);
            }
            if fresh.is_none() && self.table.find(hash, key).is_none() {
                fresh = Some(Entry::new(hash, key)?);
            }
            let lock = self.table.lock(hash);
            let entry = self.table.find(hash, key);
            // Another writer may have been first, maybe with the same value. What was compared before is not at the same
            // address now unless it is the same: it is not freed during the span.
            let now = entry.and_then(Entry::newest);
            if now != seen || entry.is_none() && fresh.is_none() {
                seen = now;
                continue;
            }
            let current = entry.filter(|_| now.is_some()).map(|entry| Version(entry.version()));
            if let Expect::Version(expected) = expect
                && expected != current
            {
                return Ok(Wrote::Conflict { current });
            }
            let Some(new) = frozen.take() else {
                let word = now.unwrap_or_else(|| offer.word());
                return Ok(Wrote::Done { put: Put::Unchanged, word, version: current });
            };
            let entry = match (entry, fresh.take()) {
                (Some(entry), _) => entry,
                (None, Some(entry)) => match self.table.insert(entry, hash, &self.quiescence, &self.limbo) {
                    Ok(entry) => entry,
                    Err((error, entry)) => {
                        drop(lock);
                        return Err(error_of((entry, new), error).into());
                    }
                },
                (None, None) => unreachable!("looked at under the lock"),
            };
            let (word, version) = (new.word(), self.table.next_version());
            entry.set_version(version);
            let old = entry.replace(new.into_word());
            self.table.count(usize::from(old.is_none()), 0);
            drop(lock);
            let version = Some(Version(version));
            let put = if let Some(old) = old {
                self.drop_value(old);
                Put::Replaced
            } else {
                Put::Inserted
            };
            return Ok(Wrote::Done { put, word, version });
        }
    }

    /// Removes a key's value. `false`: it had none.
    pub(crate) fn erase(&self, key: impl Key) -> bool {
        let hash = key.hash_key();
        let _span = Span::new(self);
        let lock = self.table.lock(hash);
        let Some(entry) = self.table.find(hash, key) else { return false };
        // Where a batch has erased it, its change stays: who does not see the batch reads the old value through that.
        let Some(old) = entry.newest().and_then(|_| entry.replace(0)) else { return false };
        self.table.count(0, 1);
        self.table.unlink_idle(entry, &self.quiescence, &self.limbo);
        drop(lock);
        self.drop_value(old);
        true
    }

    /// The newest value of a key, and its version. The caller must be online.
    pub(crate) fn newest(&self, key: impl Key) -> Option<(Word, Version)> {
        let hash = key.hash_key();
        let _lock = self.table.lock(hash);
        let entry = self.table.find(hash, key)?;
        Some((entry.newest()?, Version(entry.version())))
    }

    /// Builds a value in literal memory. What `f` is given of this store it may link: the caller must be online from
    /// before until what is returned is published or dropped.
    pub(crate) fn build<'d, E: From<HeapError>>(
        &'d self,
        f: impl for<'r> FnOnce(Heap<'r>) -> Result<Term<'r>, E>,
    ) -> Result<Frozen<'d>, E> {
        let mut builder = LiteralBuilder::new(&self.space)?;
        let heap = builder.heap();
        let root = match catch_limit(heap, |heap| f(heap).map(Term::word))? {
            Ok(root) => root,
            Err(error) => return Err(error_of(builder, error)),
        };
        let literals = Literals::Keep { retired: self.collector.retired() };
        // SAFETY: what the closure can have linked is of this domain, and alive for as long as the caller is online.
        unsafe {
            match builder.freeze(root, literals, literal::Area::retain) {
                Built::Copy(root) => Ok(self.freeze(root, literals)?),
                Built::Failed(area, error) => {
                    self.discard(area);
                    Err(error.into())
                }
                Built::Area(area, root) => {
                    // Held from here on, so that an error gives it back.
                    let frozen = self.frozen(area, root);
                    let area = literal::entry(root).area().as_ref();
                    let at_least = words_to_copy(root, literals)?.1.max(area.words);
                    if keeps_too_much(area, root, at_least)? {
                        // It leans on too much (H28).
                        return Ok(self.freeze(root, Literals::Flatten)?);
                    }
                    Ok(frozen)
                }
            }
        }
    }
}

/// A value of the store, for a closure that builds the next one: it may be linked into what is built.
///
/// # Safety
///
/// `w` must be of the domain of [`Domain::build`], whose caller must be online since it was read.
pub(super) unsafe fn import(_: Heap<'_>, w: Word) -> Term<'_> {
    debug_assert!(word::is_immediate(w) || word::is_literal(w));
    // SAFETY: the caller's promise: alive for as long as the heap, which notes what is stored of it (invariant 4).
    unsafe { Term::from_word(w) }
}
