//! A domain: one store of persistent terms, the quiescence and the process table of the runtimes attached to it, and one
//! space of pids (H14).

use super::StoreError;
use super::batch::Batches;
use super::collector::{Collector, Step};
use super::limbo::Limbo;
use super::quiescence::{Participant, Quiescence, Role};
use super::report::Report;
use super::settings::Settings;
use super::slots::Slots;
use super::table::Table;
use super::value::Frozen;
use crate::heap::HeapError;
use crate::heap::copy::{Literals, copy, size_words, words_to_copy};
use crate::heap::literal::{self, Area, Space};
use crate::heap::raw::RawHeap;
use crate::sync::atomic::{Ordering, fence};
use crate::sync::{Mutex, thread_local_unmodelled};
use crate::term::word::{self, Word};
use crate::term::{Form, Key, References, TermRef};
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic as plain;

type Hook = Arc<dyn Fn(&Report) + Send + Sync>;

/// Wakes whoever drives the collection.
pub(crate) type Driver = Arc<dyn Fn() + Send + Sync>;

/// With more processes than this, the scan of the cards is left to the driver.
const SCAN_INLINE: usize = 1024;

/// Steps of the collection that a thread takes on its way. A hook or a destructor that unpublishes something each time
/// makes work without end, which must not keep this thread.
const STEPS_INLINE: u32 = 1024;

/// As many in a hook or a destructor of another store: enough for a few collections, and a bound where stores change each
/// other.
const STEPS_NESTED: u32 = 32;

thread_local_unmodelled! {
    /// Turns on this thread's stack.
    static TURNS: Cell<u32> = const { Cell::new(0) };
}

/// Is a turn running on this thread?
pub(crate) fn in_turn() -> bool {
    TURNS.with(Cell::get) > 0
}

/// Marks a turn for as long as it lives.
#[derive(Debug)]
pub(crate) struct TurnMark(());

impl TurnMark {
    pub(crate) fn new() -> Self {
        TURNS.with(|turns| turns.set(turns.get() + 1));
        Self(())
    }
}

impl Drop for TurnMark {
    fn drop(&mut self) {
        TURNS.with(|turns| turns.set(turns.get() - 1));
    }
}

/// A call of the collection's of one domain to code of the user's: a destructor, or a hook.
struct CallBack {
    domain: *const Quiescence,
    outer: *const CallBack,
}

thread_local_unmodelled! {
    /// The innermost of those on this thread's stack.
    static CALLED_BACK: Cell<*const CallBack> = const { Cell::new(std::ptr::null()) };
}

/// Runs code of the user's for the collection of the domain with this quiescence. It must wait for this thread no more
/// than a turn may, and what it unpublishes there is collected by whoever called it: a hook that puts a term would
/// otherwise recurse for ever.
pub(super) fn called_back<R>(domain: &Quiescence, f: impl FnOnce() -> R) -> R {
    struct End(*const CallBack);

    impl Drop for End {
        fn drop(&mut self) {
            CALLED_BACK.with(|call| call.set(self.0));
        }
    }

    let _turn = TurnMark::new();
    let call = CallBack { domain, outer: CALLED_BACK.with(Cell::get) };
    let _end = End(call.outer);
    CALLED_BACK.with(|innermost| innermost.set(&raw const call));
    f()
}

/// Has the collection of this domain called code of the user's that is on this thread's stack?
fn is_called_back(domain: &Quiescence) -> bool {
    let mut call = CALLED_BACK.with(Cell::get);
    // SAFETY: a call is in the chain for as long as it is on the stack of this thread, of which this is a part.
    while let Some(&CallBack { domain: other, outer }) = unsafe { call.as_ref() } {
        if std::ptr::eq(other, domain) {
            return true;
        }
        call = outer;
    }
    false
}

pub(crate) struct Domain {
    pub(crate) id: u64,
    pub(crate) quiescence: Quiescence,
    pub(crate) slots: Slots,
    pub(crate) table: Table,
    pub(crate) space: Arc<Space>,
    pub(crate) collector: Collector,
    pub(crate) limbo: Limbo,
    pub(crate) references: References,
    pub(super) batches: Batches,
    pub(super) settings: Settings,
    /// Literals in users' hands that keep an area.
    pub(super) literals: plain::AtomicUsize,
    /// Does a driver sleep until a participant has passed, or all have answered? Not modelled: it decides how soon the
    /// driver looks, and nothing else.
    #[cfg(feature = "runtime")]
    awaited: plain::AtomicBool,
    hooks: Mutex<Vec<(u64, Hook)>>,
    drivers: Mutex<Vec<(u64, Driver)>>,
    next_hook: plain::AtomicU64,
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Domain").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An online span of a thread that is no worker.
#[derive(Debug)]
pub(crate) struct Span<'d> {
    pub(super) domain: &'d Domain,
    pub(super) participant: &'d Participant,
}

impl<'d> Span<'d> {
    pub(crate) fn new(domain: &'d Domain) -> Self {
        let participant = domain.quiescence.join(Role::Foreign);
        domain.quiescence.enter(participant);
        Self { domain, participant }
    }

    pub(crate) fn repin(&mut self) {
        if self.domain.quiescence.boundary(self.participant) {
            self.participant = self.domain.quiescence.leave_crowd(self.participant, Role::Foreign);
            self.help_those_who_left();
        }
    }

    /// Somebody may have waited for this span alone, and have gone: what was unlinked meanwhile is then ours.
    fn help_those_who_left(&self) {
        // Pairs with the fence in `advance`: either whoever unlinked it finds this participant past the span, or this sees
        // the figures.
        fence(Ordering::SeqCst);
        if self.domain.collector.retained_bytes() > 0 || !self.domain.is_at_rest() {
            self.domain.help();
        }
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        self.domain.quiescence.leave(self.participant);
        self.domain.quiescence.retire(self.participant);
        self.help_those_who_left();
    }
}

/// What a value of so many words may keep alive. A chain of versions, each of which leans on the one before, would keep
/// all of them, and a small part of a large value all of that: such a value is copied (H28).
const fn slack(words: usize) -> usize {
    2 * words + 64
}

/// Does the area keep more than the value of word `w`, which has its root there, may? The value is walked only where the
/// words that it has at least do not tell: a version of a large map takes no walk over all of it.
///
/// # Safety
///
/// `w` must be the word of a term that is alive during the call.
pub(super) unsafe fn keeps_too_much(area: &Area, w: Word, at_least: usize) -> Result<bool, HeapError> {
    let kept = area.closure_words;
    // SAFETY: the caller's promise.
    Ok(kept > slack(at_least) && kept > slack(unsafe { size_words(w) }?))
}

impl Domain {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        static NEXT: plain::AtomicU64 = plain::AtomicU64::new(1);
        let id = NEXT.fetch_add(1, plain::Ordering::Relaxed);
        Arc::new(Self {
            id,
            quiescence: Quiescence::new(),
            slots: Slots::new(),
            table: Table::new(),
            space: Arc::new(Space::new()),
            collector: Collector::new(),
            limbo: Limbo::default(),
            references: References::new(),
            batches: Batches::default(),
            settings,
            literals: plain::AtomicUsize::new(0),
            #[cfg(feature = "runtime")]
            awaited: plain::AtomicBool::new(false),
            hooks: Mutex::new(Vec::new()),
            drivers: Mutex::new(Vec::new()),
            next_hook: plain::AtomicU64::new(0),
        })
    }

    /// The word of the value at `key`, as the span with this snapshot sees it. The caller must be online; the value is
    /// valid until its next boundary.
    #[inline(always)]
    pub(crate) fn lookup<K: Key>(&self, key: K, snapshot: u64) -> Option<Word> {
        match key.form() {
            Form::Other if K::VARIES => {
                let w = self.lookup_rare(key, snapshot);
                (w != 0).then_some(w)
            }
            form => self.table.get(form, key)?.value(snapshot),
        }
    }

    /// As [`lookup`](Self::lookup), of a form that is not to cost the others what it takes by itself. Zero for none.
    #[inline(never)]
    fn lookup_rare(&self, key: impl Key, snapshot: u64) -> Word {
        self.table.get(Form::Other, key).and_then(|entry| entry.value(snapshot)).unwrap_or(0)
    }

    /// Bytes that no key, value or literal leads to any more, and that wait to be freed.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.collector.retained_bytes() + self.batches.retained_bytes()
    }

    /// May a further value be put?
    pub(super) fn admit(&self) -> Result<(), StoreError> {
        let (bytes, limit) = (self.retained_bytes(), self.settings.max_retained_bytes);
        if bytes > limit { Err(StoreError::Retained { bytes, limit }) } else { Ok(()) }
    }

    /// Does nothing wait to be freed?
    pub(super) fn is_at_rest(&self) -> bool {
        self.limbo.is_empty() && self.batches.is_empty()
    }

    /// Freezes a copy of a term: in an area of its own, or nowhere when there is nothing to store. With
    /// [`Literals::Keep`] it may point into other areas, which are then kept alive by it; the caller must be online
    /// across the call and the publication (R4).
    ///
    /// # Safety
    ///
    /// `w` must be the word of a term that is alive during the call.
    pub(crate) unsafe fn freeze(&self, w: Word, literals: Literals) -> Result<Frozen<'_>, HeapError> {
        if word::is_immediate(w) {
            // SAFETY: no literal.
            return Ok(unsafe { Frozen::new(self, w) });
        }
        // SAFETY: the caller's promise, here and below.
        let (words, at_least) = unsafe { words_to_copy(w, literals) }?;
        // SAFETY: as above.
        let keeps_too_much = |area: &Area| unsafe { keeps_too_much(area, w, at_least) };
        // SAFETY: as above.
        let (area, root) = unsafe { self.freeze_area(w, words, literals) }?;
        let Some(area) = area else {
            // The value is part of another one, as it is.
            // SAFETY: the caller is online and has found it unretired (R4).
            let owner = unsafe { literal::entry(root).area().as_ref() };
            if keeps_too_much(owner)? {
                // SAFETY: as above.
                return unsafe { self.freeze(w, Literals::Flatten) };
            }
            owner.retain();
            // SAFETY: the reference just taken.
            return Ok(unsafe { Frozen::new(self, root) });
        };
        let flatten = if matches!(literals, Literals::Keep { .. }) { keeps_too_much(&area) } else { Ok(false) };
        if let Ok(false) = flatten {
            return Ok(self.frozen(area, root));
        }
        self.discard(area);
        flatten?;
        // SAFETY: as above.
        unsafe { self.freeze(w, Literals::Flatten) }
    }

    /// A new area, held by the value that is its root.
    pub(super) fn frozen(&self, area: Box<Area>, root: Word) -> Frozen<'_> {
        area.retain();
        // Entries lead to this address. It is exposed again, because the box has moved and was written since it was noted.
        NonNull::from(Box::leak(area)).as_ptr().expose_provenance();
        // SAFETY: the reference just taken.
        unsafe { Frozen::new(self, root) }
    }

    /// # Safety
    ///
    /// As for [`freeze`](Self::freeze).
    unsafe fn freeze_area(
        &self,
        w: Word,
        words: usize,
        literals: Literals,
    ) -> Result<(Option<Box<Area>>, Word), HeapError> {
        let Some((area, chunk)) = self.space.reserve(words) else { return Err(HeapError::OutOfMemory { words }) };
        let source = literal::entry_of_chunk(chunk);
        let mut deps = Vec::new();
        // SAFETY: the chunk is empty and ours. The copy is read by nobody before it is published.
        let (copied, parts) = unsafe {
            let mut heap = RawHeap::in_chunk(chunk, source);
            let copied = copy(&mut heap, word::FROZEN, w, literals, Some(&mut deps));
            (copied, heap.into_parts())
        };
        for dep in &deps {
            // SAFETY: a word that points into it is at hand, and the caller is online (R4).
            unsafe { dep.as_ref() }.retain();
        }
        let (area, noted) = self.space.commit(area, parts.first, parts.off_heap, deps);
        match copied.and_then(|root| noted.map(|()| root)) {
            Ok(root) if parts.words > 0 => Ok((Some(area), root)),
            Ok(root) => {
                // Nothing was copied: the root itself is a literal that is kept.
                self.discard(area);
                Ok((None, root))
            }
            Err(error) => {
                self.discard(area);
                Err(error)
            }
        }
    }

    /// Frees an area that was never published.
    pub(super) fn discard(&self, mut area: Box<Area>) {
        for dep in std::mem::take(&mut area.deps) {
            // SAFETY: the area's reference.
            unsafe { self.collector.release(dep) };
        }
        // SAFETY: nobody has seen it.
        unsafe { self.space.free(area) };
    }

    /// Drops the reference of a value that was unpublished. Values that own no memory end nothing. The end of the caller's
    /// span gets the collection on.
    pub(crate) fn drop_value(&self, w: Word) {
        if word::is_literal(w) {
            // SAFETY: the table's reference, which is not used again.
            unsafe { self.collector.release(literal::entry(w).area()) };
        }
    }

    /// Gets the collection on: by oneself where that is cheap, else by waking its driver.
    pub(crate) fn help(&self) {
        let driver = self.drivers.lock().last().map(|(_, driver)| Arc::clone(driver));
        let mut done = false;
        if !is_called_back(&self.quiescence) && (driver.is_none() || self.slots.len() <= SCAN_INLINE) {
            // Without a driver the last one to look must see everything: it waits for a step that another is at.
            let patient = driver.is_none();
            let steps = if CALLED_BACK.with(Cell::get).is_null() { STEPS_INLINE } else { STEPS_NESTED };
            for _ in 0..steps {
                let finished = self.finish_batches();
                let step = self.collector.step(self, patient);
                if step != Step::Worked {
                    self.limbo.clear(&self.quiescence);
                    if finished || step == Step::Idle && self.collector.retained_bytes() > 0 {
                        continue; // what was cleared has unpublished something
                    }
                    done = matches!(step, Step::Idle | Step::Spared) && self.is_at_rest();
                    break;
                }
            }
        }
        if let Some(wake) = driver.filter(|_| !done) {
            wake();
        }
    }

    /// A worker has passed a boundary behind which somebody waits, or gone offline, or the last process has answered: a
    /// driver that sleeps until then wakes up. A fence and a load when none does.
    #[cfg(feature = "runtime")]
    pub(crate) fn passed(&self) {
        // Pairs with the fence in `await_passage`: either the driver's next step sees this passage, or this sees that it
        // sleeps.
        plain::fence(plain::Ordering::SeqCst);
        if self.awaited.load(plain::Ordering::Relaxed) && self.awaited.swap(false, plain::Ordering::Relaxed) {
            each(&self.drivers, |wake| wake());
        }
    }

    /// A driver is about to sleep until [`passed`](Self::passed) wakes it. It must take one more step before it does.
    #[cfg(feature = "runtime")]
    pub(crate) fn await_passage(&self) {
        self.awaited.store(true, plain::Ordering::Relaxed);
        // Pairs with the fence in `passed`.
        plain::fence(plain::Ordering::SeqCst);
    }

    /// One step of the collection, and of what else waits for grace periods.
    pub(crate) fn step(&self) -> Step {
        let finished = self.finish_batches();
        let step = self.collector.step_looking(self, false, true);
        self.limbo.clear(&self.quiescence);
        match step {
            _ if finished => Step::Worked,
            Step::Idle | Step::Spared if !self.is_at_rest() => Step::Waiting,
            step => step,
        }
    }

    /// Registers somebody who drives the collection when woken; a number to take it back by.
    #[cfg(feature = "runtime")]
    pub(crate) fn add_driver(&self, driver: Driver) -> u64 {
        let mut drivers = self.drivers.lock();
        let id = self.next_hook.fetch_add(1, plain::Ordering::Relaxed);
        drivers.push((id, driver));
        id
    }

    #[cfg(feature = "runtime")]
    pub(crate) fn remove_driver(&self, id: u64) {
        self.drivers.lock().retain(|(driver, _)| *driver != id);
    }

    pub(crate) fn subscribe(&self, hook: Hook) -> u64 {
        let mut hooks = self.hooks.lock();
        let id = self.next_hook.fetch_add(1, plain::Ordering::Relaxed);
        hooks.push((id, hook));
        id
    }

    pub(crate) fn unsubscribe(&self, id: u64) {
        let hook = {
            let mut hooks = self.hooks.lock();
            hooks.iter().position(|(hook, _)| *hook == id).map(|at| hooks.remove(at))
        };
        // Outside the lock: what the hook has captured may subscribe or end a subscription.
        drop(hook);
    }

    pub(crate) fn report(&self, report: &Report) {
        each(&self.hooks, |hook| {
            called_back(&self.quiescence, || {
                // A hook that panics must not stop the collection. Nor must the drop of what it panicked with.
                if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook(report))) {
                    crate::heap::off_heap::drop_quietly(payload);
                }
            });
        });
    }

    /// A term of this domain, lent while the caller is online.
    ///
    /// # Safety
    ///
    /// The caller must be online for `'a`.
    pub(crate) unsafe fn lend<'a>(w: Word) -> TermRef<'a> {
        // SAFETY: the caller's promise: a published value is freed a grace period after it was unpublished.
        unsafe { TermRef::from_word(w) }
    }
}

/// Calls `f` with each that was registered before, in that order, without the lock: what it calls may register, or take back.
/// Takes no memory.
fn each<T: ?Sized>(registered: &Mutex<Vec<(u64, Arc<T>)>>, mut f: impl FnMut(&T)) {
    let next = |after: Option<u64>, end: u64| {
        let registered = registered.lock();
        let found = registered.iter().find(|(id, _)| after.is_none_or(|after| *id > after) && *id <= end);
        found.map(|(id, one)| (*id, Arc::clone(one)))
    };
    let Some(end) = registered.lock().last().map(|(id, _)| *id) else { return };
    let mut after = None;
    while let Some((id, one)) = next(after, end) {
        f(&one);
        after = Some(id);
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // Processes, guards and handles hold the domain: there are none. What the table still has goes first.
        self.abandon_batches();
        for w in self.table.entries().filter_map(|entry| entry.replace(0)).filter(|w| word::is_literal(*w)) {
            // SAFETY: the table's reference.
            unsafe { self.collector.release(literal::entry(w).area()) };
        }
        self.collector.abandon(&self.space);
    }
}
