//! What the messages of one process have in common of areas that are freed.
//!
//! A collection has a process copy what it points to in retired areas. Of many messages that wait there each would get a copy
//! of its own (H20). So all of it is copied once, into an area like any other, which is alive for as long as there are leases
//! on it: each of the messages keeps one, wherever it goes. What else points there is a holder like any other, when that area
//! is retired in its turn.
//!
//! That is when *half* of the messages are gone, and not when all are: what few have left must not keep alive what many had.
//! Leases decide how long an area is kept, and never whether it may be freed: who still points there then is asked, as
//! always, and what waits still is copied once more, as often as its number can be halved.

use super::PersistentTerms;
use crate::heap::shared::Shared;
use crate::heap::{HeapError, literal, try_box};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::mutation::{Mutation, mutated};
use crate::term::word::Word;
use std::sync::OnceLock;

/// An area that messages share.
#[derive(Debug)]
pub(crate) struct Share {
    store: PersistentTerms,
    /// A term of the area, with the reference that keeps it; none before there is anything in it.
    word: OnceLock<Word>,
    /// Leases that may go before the area does.
    left: AtomicUsize,
}

/// Part of a [`Share`], kept by a message until it is received.
#[derive(Debug)]
pub(crate) struct Lease {
    share: Shared<Share>,
    given_up: AtomicBool,
}

impl Share {
    /// For so many leases, at least one; the area is to be [set](Self::set).
    pub(crate) fn new(store: &PersistentTerms, leases: usize) -> Result<Shared<Self>, HeapError> {
        let left = AtomicUsize::new(leases - leases / 2);
        Shared::try_new(Self { store: store.clone(), word: OnceLock::new(), left }).map_err(|(error, _)| error)
    }

    /// One of the leases.
    pub(crate) fn lease(this: &Shared<Self>) -> Result<Box<Lease>, HeapError> {
        try_box(Lease { share: this.clone(), given_up: AtomicBool::new(false) })
    }

    /// The area is that of this literal of the store's, and the caller's reference on it goes over to the leases.
    pub(crate) fn set(&self, word: Word) {
        self.word.set(word).expect("a share has one area");
        if mutated(Mutation::ShareNotHeld) {
            self.store.domain.drop_value(word);
        }
    }

    /// Words in the area.
    pub(crate) fn words(&self) -> usize {
        // SAFETY: nobody has given up a lease yet: the reference keeps the area.
        self.word.get().map_or(0, |&word| unsafe { literal::entry(word).area().as_ref() }.words)
    }
}

impl Lease {
    /// The message is received: from here on its reader is a holder like any other, if it keeps anything. Done once.
    pub(crate) fn give_up(&self) {
        let Share { store, word, left } = &*self.share;
        // Relaxed: only its owner does this, and then the end of what it owned. And `left` says who of them gives the area
        // up, and nothing of what is in it: that is up to the collection.
        if !self.given_up.swap(true, Ordering::Relaxed)
            && left.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(&word) = word.get()
            && !mutated(Mutation::ShareNotHeld)
        {
            store.domain.drop_value(word);
            store.domain.help();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_up();
    }
}
