//! Things that were unlinked and wait for their grace period.
//!
//! Who unlinks something must not fail for want of memory to note it with (invariant 10): it would have to be leaked, or to
//! stay. So what waits has a place for a link, and the list takes no memory.

use super::domain::called_back;
use super::entry::Entry;
use super::quiescence::Quiescence;
use crate::sync::Mutex;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic as plain;

/// A place in what waits, which nobody reads who may still look at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    next: Option<NonNull<Link>>,
    /// Frees what the link lies in.
    ///
    /// # Safety
    ///
    /// Nobody may look at that any more, and it must not be used again.
    end: unsafe fn(NonNull<Link>),
}

impl Link {
    pub(crate) const fn new(end: unsafe fn(NonNull<Self>)) -> Self {
        Self { next: None, end }
    }
}

/// A list of what waits, first come first.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    ends: Option<[NonNull<Link>; 2]>,
    len: usize,
}

impl Chain {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// # Safety
    ///
    /// The link must be the caller's, and stay where it is until it is popped; it is on no list.
    pub(crate) unsafe fn push(&mut self, link: NonNull<Link>) {
        // SAFETY: the caller's promise.
        unsafe { self.append(Self { ends: Some([link; 2]), len: 1 }) };
    }

    /// # Safety
    ///
    /// As for [`push`](Self::push), of all that are on the other.
    #[allow(clippy::needless_pass_by_value, reason = "what is on a list is on no other")]
    pub(crate) unsafe fn append(&mut self, other: Self) {
        let Self { ends, len } = other;
        match (&mut self.ends, ends) {
            (Some([_, last]), Some([first, new_last])) => {
                // SAFETY: a link on the list, which lives.
                unsafe { last.as_mut() }.next = Some(first);
                *last = new_last;
            }
            (Some(_), None) => {}
            (none, ends) => *none = ends,
        }
        self.len += len;
    }

    pub(crate) fn pop(&mut self) -> Option<NonNull<Link>> {
        let [first, last] = self.ends?;
        // SAFETY: a link on the list, which lives.
        let next = unsafe { first.as_ref() }.next;
        self.ends = next.filter(|_| first != last).map(|next| [next, last]);
        self.len -= 1;
        Some(first)
    }

    /// Those on the list.
    pub(crate) fn iter(&self) -> impl Iterator<Item = NonNull<Link>> {
        // SAFETY: links on the list, which live, up to the last.
        std::iter::successors(self.ends.map(|[first, _]| first), |link| unsafe { link.as_ref() }.next).take(self.len)
    }
}

/// What began to wait together.
#[derive(Default)]
struct Stage {
    /// The grace period of the last that came.
    epoch: u64,
    /// Linked through the entries, which have no place for more than that.
    entries: Option<NonNull<Entry>>,
    count: usize,
    others: Chain,
}

/// Two stages: what comes while the first waits goes with the second, so that the first does not wait for it.
#[derive(Default)]
struct Waiting {
    first: Stage,
    second: Stage,
}

/// What is dropped once nobody can be looking at it any more.
#[derive(Default)]
pub(crate) struct Limbo {
    waiting: Mutex<Waiting>,
    /// How many, for a look without the lock, until they are gone. Counted up before the epoch is advanced: see `Drop for
    /// Span`.
    len: plain::AtomicUsize,
}

// SAFETY: what waits may be dropped by any thread: arrays of pointers, entries, ended processes and ports.
unsafe impl Send for Limbo {}
// SAFETY: as above; it is reached under the lock alone.
unsafe impl Sync for Limbo {}

impl Limbo {
    fn put(&self, quiescence: &Quiescence, n: usize, link: impl FnOnce(&mut Stage)) {
        let mut waiting = self.waiting.lock();
        self.len.fetch_add(n, plain::Ordering::Relaxed);
        link(&mut waiting.second);
        waiting.second.epoch = quiescence.advance();
    }

    /// Drops the entry after a grace period. It must have been unlinked before the call.
    pub(crate) fn put_entry(&self, quiescence: &Quiescence, entry: Box<Entry>) {
        let entry = NonNull::from(Box::leak(entry));
        self.put(quiescence, 1, |stage| {
            // SAFETY: alive; nobody has the lock of its key for it any more.
            unsafe { entry.as_ref() }.set_link(stage.entries.replace(entry));
            stage.count += 1;
        });
    }

    /// Ends what has these links after a grace period. It must have been unlinked before the call.
    ///
    /// # Safety
    ///
    /// The links must be the caller's, stay where they are, and say truly how that ends.
    pub(crate) unsafe fn put_all(&self, quiescence: &Quiescence, links: Chain) {
        if !links.is_empty() {
            // SAFETY: the caller's promise.
            self.put(quiescence, links.len(), |stage| unsafe { stage.others.append(links) });
        }
    }

    /// As [`put_all`](Self::put_all), of one.
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn put_one(&self, quiescence: &Quiescence, link: NonNull<Link>) {
        let mut one = Chain::default();
        // SAFETY: the caller's promise, here and below.
        unsafe {
            one.push(link);
            self.put_all(quiescence, one);
        }
    }

    /// Drops what has waited long enough, outside the lock.
    pub(crate) fn clear(&self, quiescence: &Quiescence) {
        loop {
            let mut stage = {
                let mut waiting = self.waiting.lock();
                if waiting.first.is_empty() {
                    waiting.first = take(&mut waiting.second);
                }
                if waiting.first.is_empty() || !quiescence.has_passed(waiting.first.epoch) {
                    return;
                }
                take(&mut waiting.first)
            };
            // SAFETY: the grace period is over.
            while called_back(quiescence, || unsafe { stage.end_one() }) {
                self.len.fetch_sub(1, plain::Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(plain::Ordering::Relaxed) == 0
    }
}

impl Stage {
    fn is_empty(&self) -> bool {
        self.count == 0 && self.others.is_empty()
    }

    /// Drops the next one. `false`: there is none.
    ///
    /// # Safety
    ///
    /// Nobody may look at what is here any more.
    unsafe fn end_one(&mut self) -> bool {
        let ended = if let Some(entry) = self.entries {
            // SAFETY: made by `Box`, put here once, and the caller's promise.
            let entry = unsafe { Box::from_raw(entry.as_ptr()) };
            self.entries = entry.link();
            self.count -= 1;
            catch_unwind(AssertUnwindSafe(|| drop(entry)))
        } else {
            let Some(link) = self.others.pop() else { return false };
            // SAFETY: the promise of who put it here, and the caller's.
            catch_unwind(AssertUnwindSafe(|| unsafe { (link.as_ref().end)(link) }))
        };
        // An entry's key may hold a resource. The panic of its destructor is nobody's who is running now: a writer, a guard
        // that is dropped, a worker, the driver of collections. What it was thrown with may panic too.
        if let Err(payload) = ended {
            std::mem::forget(payload);
        }
        true
    }
}

impl Drop for Limbo {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock();
        for mut stage in [take(&mut waiting.first), take(&mut waiting.second)] {
            // SAFETY: the domain has ended: there is nobody any more.
            while unsafe { stage.end_one() } {}
        }
    }
}
