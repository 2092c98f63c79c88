//! `std` or loom, chosen once, here and nowhere else.
//!
//! Every atomic, lock, thread and source of chance of this crate comes from this module, so that the code that runs in
//! production is the code that [loom](https://docs.rs/loom) explores. It is public because the cells of
//! [`Atomics`](crate::Atomics) *are* these types, and because a crate that builds on this one can use the same facade
//! to model-check its own code.
//!
//! ```
//! use shared_term::sync::{Arc, atomic::{AtomicBool, Ordering}, thread};
//!
//! /// Says yes to one caller. In a build for loom, the same code is a model.
//! fn first(taken: &AtomicBool) -> bool {
//!     // Relaxed: it publishes nothing.
//!     !taken.swap(true, Ordering::Relaxed)
//! }
//!
//! let taken = Arc::new(AtomicBool::new(false));
//! let theirs = thread::spawn({ let taken = Arc::clone(&taken); move || first(&taken) });
//! let mine = first(&taken);
//! assert!(mine != theirs.join().unwrap());
//! ```
//!
//! # Two keys
//!
//! loom is used when **both** `--cfg loom` is in `RUSTFLAGS` and the cargo feature `loom` is on. Either one alone is
//! inert: a workspace-wide `--all-features` build stays a plain build, and so does a build in which another crate of
//! the graph is being modelled. [`IS_LOOM`](crate::IS_LOOM) says which of the two this build is. A crate that wants to
//! model its own code writes
//!
//! ```toml
//! [dependencies]
//! shared-term = { version = "0.1", default-features = false }
//!
//! [target.'cfg(loom)'.dependencies]
//! shared-term = { version = "0.1", default-features = false, features = ["loom"] }
//!
//! [target.'cfg(loom)'.dev-dependencies]
//! loom = "0.7.2"
//! ```
//!
//! and runs `RUSTFLAGS="--cfg loom" cargo test --profile loom`. With the feature `epoch` on, `--cfg crossbeam_loom` is
//! needed as well, and leaving it out is a compile error: without it crossbeam-epoch runs on plain atomics that loom
//! cannot see, and every model passes after one execution.
//!
//! Put `const _: () = assert!(shared_term::IS_LOOM);` at the top of a model file, and make each model assert that more
//! than one execution was explored.
//!
//! # Shuttle
//!
//! With `--cfg shuttle` and the feature `shuttle` *beside* the two keys, the same build runs on
//! [shuttle](https://docs.rs/shuttle), which tries schedules at random, sequentially consistent, instead of all of them:
//! for what is too large for loom. [`IS_SHUTTLE`](crate::IS_SHUTTLE) says so.
//!
//! ```toml
//! [target.'cfg(all(loom, shuttle))'.dependencies]
//! shared-term = { version = "0.1", default-features = false, features = ["shuttle"] }
//! shuttle = "0.9"
//! ```
//!
//! # What differs under loom
//!
//! * A sequentially consistent *access* is modelled as acquire-release; a `fence(SeqCst)` is modelled faithfully. This
//!   crate therefore writes relaxed accesses with fences and never a bare `SeqCst` access.
//! * [`Arc`] stays the one of `std`: reference counts of handles are not what the models are about, and every modelled
//!   operation multiplies the executions.
//! * [`available_parallelism`] is 2 and [`seed`] is constant.

#[cfg(not(all(loom, feature = "loom", not(all(shuttle, feature = "shuttle")))))]
mod cell {
    /// Interior mutability whose accesses loom can check.
    ///
    /// ```
    /// use shared_term::sync::UnsafeCell;
    /// use shared_term::sync::atomic::{AtomicBool, Ordering};
    ///
    /// /// Written once, then read by everybody.
    /// struct Once<T> {
    ///     value: UnsafeCell<Option<T>>,
    ///     ready: AtomicBool,
    /// }
    ///
    /// // SAFETY: written by whoever has the only handle, and only read once `ready` is set.
    /// unsafe impl<T: Send + Sync> Sync for Once<T> {}
    ///
    /// impl<T> Once<T> {
    ///     fn get(&self) -> Option<&T> {
    ///         // Acquire: pairs with the release below.
    ///         if !self.ready.load(Ordering::Acquire) {
    ///             return None;
    ///         }
    ///         // SAFETY: nobody writes any more.
    ///         self.value.with(|value| unsafe { (*value).as_ref() })
    ///     }
    /// }
    ///
    /// let once = Once { value: UnsafeCell::new(None), ready: AtomicBool::new(false) };
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| assert!(once.get().is_none_or(|n| *n == 7)));
    ///     // SAFETY: who else looks at it does when `ready` is set.
    ///     once.value.with_mut(|value| unsafe { *value = Some(7) });
    ///     once.ready.store(true, Ordering::Release);
    /// });
    /// assert_eq!(once.get(), Some(&7));
    /// ```
    #[derive(Debug, Default)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        ///
        /// ```
        /// # use shared_term::sync::UnsafeCell;
        /// let cell = UnsafeCell::new(7);
        /// // SAFETY: nobody else has the cell.
        /// assert_eq!(cell.with(|n| unsafe { *n }), 7);
        /// ```
        pub const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Lends the contents for reading. Dereferencing the pointer is the caller's `unsafe`.
        ///
        /// ```
        /// # use shared_term::sync::UnsafeCell;
        /// let cell = UnsafeCell::new(vec![1, 2]);
        /// // SAFETY: nobody else has the cell.
        /// assert_eq!(cell.with(|list| unsafe { (*list).len() }), 2);
        /// ```
        #[inline(always)]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Lends the contents for writing. Dereferencing the pointer is the caller's `unsafe`.
        ///
        /// ```
        /// # use shared_term::sync::UnsafeCell;
        /// let cell = UnsafeCell::new(1);
        /// // SAFETY: nobody else has the cell.
        /// cell.with_mut(|n| unsafe { *n += 1 });
        /// assert_eq!(cell.with(|n| unsafe { *n }), 2);
        /// ```
        #[inline(always)]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(not(all(loom, feature = "loom")))]
mod imp {
    pub use super::cell::UnsafeCell;
    pub use std::thread_local;

    /// Atomic cells and fences.
    pub mod atomic {
        pub use std::sync::atomic::{
            AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        };
    }
    /// Threads.
    pub mod thread {
        pub use std::thread::{JoinHandle, spawn, yield_now};
    }
    /// Hints to the processor.
    pub mod hint {
        pub use std::hint::spin_loop;
    }

    #[cfg(feature = "runtime")]
    pub(crate) use crossbeam_utils::sync::{Parker, Unparker};

    pub(super) type RawMutex<T> = std::sync::Mutex<T>;
    pub(super) type RawGuard<'a, T> = std::sync::MutexGuard<'a, T>;

    /// How many threads can run at once; one where nobody knows.
    ///
    /// ```
    /// let threads = shared_term::sync::available_parallelism();
    /// assert!(threads >= 1);
    /// ```
    pub fn available_parallelism() -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    /// A number that differs from call to call and from run to run. For scattering hashes: it is no secret.
    ///
    /// ```
    /// assert_ne!(shared_term::sync::seed(), shared_term::sync::seed());
    /// ```
    pub fn seed() -> u64 {
        use std::hash::{BuildHasher, Hasher};
        std::hash::RandomState::new().build_hasher().finish()
    }
}

#[cfg(all(loom, feature = "loom", not(all(shuttle, feature = "shuttle"))))]
pub(crate) use loom as back_end;
#[cfg(all(loom, shuttle, feature = "shuttle"))]
pub(crate) use shuttle as back_end;

#[cfg(all(loom, feature = "loom"))]
mod imp {
    use super::back_end;

    #[cfg(all(shuttle, feature = "shuttle"))]
    pub use super::cell::UnsafeCell;
    pub use back_end::thread_local;
    #[cfg(not(all(shuttle, feature = "shuttle")))]
    pub use loom::cell::UnsafeCell;

    /// Atomic cells and fences.
    pub mod atomic {
        pub use crate::sync::back_end::sync::atomic::{
            AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        };
    }
    /// Threads.
    pub mod thread {
        pub use crate::sync::back_end::thread::{JoinHandle, spawn, yield_now};
    }
    /// Hints to the processor.
    pub mod hint {
        pub use crate::sync::back_end::hint::spin_loop;
    }

    /// A token, and a thread that waits for it.
    #[cfg(feature = "runtime")]
    #[derive(Debug)]
    pub(crate) struct Parker(Unparker);

    /// Gives the token.
    #[cfg(feature = "runtime")]
    #[derive(Debug, Clone)]
    pub(crate) struct Unparker(std::sync::Arc<(back_end::sync::Mutex<bool>, back_end::sync::Condvar)>);

    #[cfg(feature = "runtime")]
    impl Parker {
        pub(crate) fn new() -> Self {
            Self(Unparker(std::sync::Arc::new((back_end::sync::Mutex::new(false), back_end::sync::Condvar::new()))))
        }

        pub(crate) fn unparker(&self) -> &Unparker {
            &self.0
        }

        pub(crate) fn park(&self) {
            let (token, given) = &*self.0.0;
            let mut token = token.lock().unwrap();
            while !*token {
                token = given.wait(token).unwrap();
            }
            *token = false;
        }

        /// Takes the token, if it was given.
        #[cfg(not(shuttle))]
        pub(crate) fn take_token(&self) -> bool {
            std::mem::take(&mut *self.0.0.0.lock().unwrap())
        }

        /// A model knows no time: the time is over at once.
        pub(crate) fn park_timeout(&self, _: std::time::Duration) {
            *self.0.0.0.lock().unwrap() = false;
            back_end::thread::yield_now();
        }
    }

    #[cfg(feature = "runtime")]
    impl Unparker {
        pub(crate) fn unpark(&self) {
            let (token, given) = &*self.0;
            *token.lock().unwrap() = true;
            given.notify_one();
        }
    }

    pub(super) type RawMutex<T> = back_end::sync::Mutex<T>;
    pub(super) type RawGuard<'a, T> = back_end::sync::MutexGuard<'a, T>;

    /// How many threads can run at once.
    pub fn available_parallelism() -> usize {
        2
    }

    /// A number that differs from call to call and from run to run; constant in models.
    pub fn seed() -> u64 {
        1
    }
}

pub use imp::*;
pub use std::sync::Arc;

/// A thread-local that nothing which loom models depends on, so that its threads may share it; shuttle's each have theirs.
#[cfg(all(loom, shuttle, feature = "shuttle", feature = "persistent"))]
pub(crate) use shuttle::thread_local as thread_local_unmodelled;
/// A thread-local that nothing which loom models depends on.
#[cfg(all(feature = "persistent", not(all(loom, shuttle, feature = "shuttle"))))]
pub(crate) use std::thread_local as thread_local_unmodelled;

/// Is this build one for models, on the primitives of loom or shuttle?
pub(crate) const MODELLED: bool = cfg!(all(loom, feature = "loom"));

/// A thread-local. One whose type has no destructor stays readable until the very end of its thread; under loom every
/// thread-local ends with the others.
#[cfg(not(all(loom, feature = "loom")))]
macro_rules! local {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        $crate::sync::thread_local! { $(#[$meta])* static $name: $type = const { $init }; }
    };
}
/// A thread-local. loom's cannot be `const`.
#[cfg(all(loom, feature = "loom"))]
macro_rules! local {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        $crate::sync::thread_local! { $(#[$meta])* static $name: $type = $init; }
    };
}
/// A global that is made at its first use; under loom, at its first use in each execution.
#[cfg(not(all(loom, feature = "loom")))]
macro_rules! global {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        $(#[$meta])* static $name: std::sync::LazyLock<$type> = std::sync::LazyLock::new(|| $init);
    };
}
/// A global that is made at its first use in each execution.
#[cfg(all(loom, feature = "loom"))]
macro_rules! global {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        $crate::sync::back_end::lazy_static! { $(#[$meta])* static ref $name: $type = $init; }
    };
}
pub(crate) use {global, local};

/// A mutual exclusion lock without poisoning: a panic while it is held leaves it usable, and the code that holds one
/// keeps what it guards consistent at every point where it can unwind.
///
/// ```
/// use shared_term::sync::Mutex;
/// use std::panic::{AssertUnwindSafe, catch_unwind};
///
/// let jobs = Mutex::new(vec![1, 2]);
/// let failed = catch_unwind(AssertUnwindSafe(|| {
///     let mut jobs = jobs.lock();
///     jobs.push(3);
///     panic!("while it is held");
/// }));
/// assert!(failed.is_err());
/// assert_eq!(*jobs.lock(), [1, 2, 3]);
/// ```
#[derive(Debug, Default)]
pub struct Mutex<T>(RawMutex<T>);

/// Access to what a [`Mutex`] guards, until it is dropped.
///
/// ```
/// use shared_term::sync::Mutex;
///
/// let total = Mutex::new(0);
/// std::thread::scope(|scope| {
///     for n in 1..=4 {
///         let total = &total;
///         scope.spawn(move || *total.lock() += n);
///     }
/// });
/// let guard = total.lock();
/// assert!(*guard == 10 && total.try_lock().is_none());
/// drop(guard);
/// assert!(total.try_lock().is_some());
/// ```
#[derive(Debug)]
pub struct MutexGuard<'a, T>(RawGuard<'a, T>);

impl<T> Mutex<T> {
    /// A lock round `value`.
    ///
    /// ```
    /// let lock = shared_term::sync::Mutex::new(7);
    /// assert_eq!(*lock.lock(), 7);
    /// ```
    pub fn new(value: T) -> Self {
        Self(RawMutex::new(value))
    }

    /// Waits for the lock. Blocks; not reentrant.
    ///
    /// ```
    /// let names = shared_term::sync::Mutex::new(Vec::new());
    /// names.lock().push("ann"); // let go of at the end of the statement
    /// assert_eq!(names.lock().len(), 1);
    /// ```
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The lock if nobody holds it.
    ///
    /// ```
    /// let lock = shared_term::sync::Mutex::new(());
    /// let held = lock.lock();
    /// assert!(lock.try_lock().is_none());
    /// drop(held);
    /// assert!(lock.try_lock().is_some());
    /// ```
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(MutexGuard(guard)),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(MutexGuard(poisoned.into_inner())),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> std::ops::Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// Deliberate faults for the models.
///
/// A model that passes shows little; a model that fails once a step is skipped or an ordering is weakened shows that it
/// checks that step. Each fault named here sits at one place of the production code. In an ordinary build
/// [`mutated`](mutation::mutated) is a constant `false` and nothing remains of it.
#[doc(hidden)]
pub mod mutation {
    /// One fault: a step skipped or an ordering weakened.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum Mutation {
        /// Quiescence: entering without the fence that pairs with the collector's.
        EnterNoFence,
        /// Quiescence: entering announces the epoch relaxed.
        EnterRelaxed,
        /// Quiescence: the boundary reads the epoch relaxed.
        BoundaryRelaxed,
        /// Quiescence: leaving is a relaxed store.
        LeaveRelaxed,
        /// Quiescence: the collector bumps the epoch relaxed.
        EpochRelaxed,
        /// Quiescence: one of a crowd passes a boundary for all of them.
        CrowdPasses,
        /// Quiescence: the first who leaves a crowd goes offline for all of them.
        CrowdLeavesFirst,
        /// Quiescence: who comes first to a generation of a crowd while there is somebody in the other announces nothing.
        CrowdEntersUnannounced,
        /// Collector: no grace period.
        NoGrace,
        /// Collector: the grace period forgets guards of foreign threads.
        ForeignNotInGrace,
        /// Collector: the scan looks at the filter alone.
        ScanIgnoresRunning,
        /// Collector: asks before the grace period.
        AskBeforeGrace,
        /// Collector: frees without looking at the references after the grace period.
        NoRefsCheck,
        /// Collector: looks only whether the count is zero, not whether it moved.
        RefsZeroOnly,
        /// Literals: a handle does not count as a lease.
        LeaseNotCounted,
        /// References: given up relaxed.
        ReleaseRelaxed,
        /// Batches: the number is published before the changes are in their places.
        CommitBeforeChanges,
        /// Batches: new values take the place of changes that older spans still need.
        FinishWithoutGrace,
        /// Batches: a span loads its snapshot relaxed.
        SnapshotRelaxed,
        /// Slots: an entry without a value leaves the table though a slot reads it.
        SlotNotPinned,
        /// Collector: looks at the references before the grace period and not after it.
        RefsBeforeGrace,
        /// Collector: state and filter of a card are two loads, the filter first.
        SplitWords,
        /// Collector: lets go of a process that it has looked at without a look at what has come meanwhile.
        InspectForgetsNote,
        /// Collector: its look at a process forgets the messages.
        InspectForgetsMessages,
        /// References: the last one is dropped outside of the lock of the pending list.
        LastDropUnlocked,
        /// References: no flag says that an area is queued.
        NoQueuedFlag,
        /// Collector: of those who were put off only the first are woken.
        WakesNoOther,
        /// Collector: what is unpublished while holders are left alone joins the batch without a grace period.
        JoinsWithoutGrace,
        /// Collector: holders are left alone whatever the budget and whatever they have let go of.
        SparedForEver,
        /// Owner: goes idle with a filter that forgets deferred messages.
        QueueNotInFilter,
        /// Owner: evacuates without draining the mailbox.
        EvacuateNoDrain,
        /// Owner: evacuates the heap and forgets the messages.
        EvacuateForgetsMessages,
        /// Owner: the messages that share an area do not keep it.
        ShareNotHeld,
        /// Owner: gives messages another area to point into, and leaves their filters.
        ShareNotNoted,
        /// Owner: acknowledges relaxed.
        AckRelaxed,
        /// Owner: publishes the filter after the transition to idle.
        FilterAfterIdle,
        /// Owner: the transition to idle is relaxed.
        IdleRelaxed,
        /// Copier: a literal of a retired area crosses owners by pointer.
        CopierIgnoresMark,
        /// Exit: leaves without acknowledging.
        ExitNoAck,
        /// Exit: acknowledges twice.
        ExitDoubleAck,
        /// Exit: acknowledges before the heap is gone.
        DeadBeforeDrop,
        /// Mailbox: the push is relaxed.
        PushRelaxed,
        /// Mailbox: the push does not acquire, so that the look at the card may be older than the drain before it.
        PushNoAcquire,
        /// Mailbox: the drain looks first, and leaves a mailbox alone that seems empty.
        DrainSkips,
        /// Mailbox: the drain is relaxed.
        DrainRelaxed,
        /// Mailbox: the sender notes the card before it pushes.
        NotifyBeforePush,
        /// Giving: a sender takes over a process that somebody has hold of.
        GiveIgnoresHold,
        /// Giving: a sender takes over a process that was idle when it looked.
        GiveUnasked,
        /// Giving: a sender takes a process over relaxed.
        GiveRelaxed,
        /// Mailbox: closes without a sentinel, so that a late push is lost.
        CloseWithoutSentinel,
        /// Mailbox: the owner touches messages that somebody counts.
        DrainIgnoresSurvey,
        /// Figures: who runs a process does not wait for who reads them.
        ClaimIgnoresHold,
        /// Figures: the end of a hold is relaxed.
        LetGoRelaxed,
        /// Figures: whoever asks for those of a process that was given a message takes nobody to run it whose worker does
        /// something else by then.
        InfoLooksOnce,
        /// Exit: forgets the signals that it finds in its mailbox.
        EndForgetsSignals,
        /// Timers: who sets one does not look whether its receiver is there still.
        TimerNoLook,
        /// Timers: who sets one looks for its receiver without the fence.
        TimerNoFence,
        /// Timers: who sleeps until the next one says when it looks again without the lock under which it has looked.
        TimerLooksUnlocked,
        /// Timers: who sets the next one does not wake who sleeps until then.
        TimerNoWake,
        /// Exit: looks for timers of the process without the fence.
        EndNoFence,
        /// Shutdown: who has spawned a process looks whether the runtime ends without the fence.
        SpawnNoFence,
        /// Parking: who goes to sleep looks for work without the fence.
        SleepNoFence,
        /// Parking: who has made work looks for sleepers without the fence.
        WakeNoFence,
        /// Parking: who goes to sleep looks for work before it is on the list.
        SleepLooksFirst,
        /// Run queues: a push onto the common one is relaxed.
        StackRelaxed,
        /// Run queues: nothing says that there is somebody while the common one is turned over.
        TurnedOverUntold,
        /// Process table: a lookup compares slots, not generations.
        FindIgnoresGeneration,
        /// Process table: the slot of a process is used again without a grace period.
        SlotBackAtOnce,
        /// Handles: a count is given up relaxed.
        SharedDropRelaxed,
        /// Handles: the last owner does not acquire what the others did.
        SharedDropNoFence,
        /// Pool: who hands a batch to the depot keeps a block of it.
        PoolKeepsBatch,
        /// Pool: the depot gives a batch out and keeps it.
        PoolTakesTwice,
        /// Counters: a row is handed over without synchronisation.
        HandoverRelaxed,
        /// Counters: a thread adds to its row after giving it away.
        LateAddOnRow,
        /// Counters: `take` resets rows instead of moving the base.
        TakeBySwap,
        /// Counters: a read does not check the version round the base.
        NoVersion,
        /// Counters: a read loads the version relaxed.
        VersionRelaxed,
        /// Counters: `put` and `take` store the version of the new base relaxed.
        VersionStoreRelaxed,
        /// Counters: a row is published relaxed.
        RowRelaxed,
        /// Counters: a writer does not keep its row when its thread gives it up.
        WriterWithoutLease,
        /// Counters: the overflow row is written like an owned one.
        OverflowPlain,
        /// Counters: the reader's fence is missing.
        ReadFenceMissing,
        /// Counters: the writer's fence is missing.
        WriterFenceMissing,
        /// Published cells: a value is published relaxed.
        PublishRelaxed,
        /// Published cells: a value is read relaxed.
        ReadRelaxed,
        /// Published cells: who has left looks for values without the fence.
        LeftNoFence,
        /// Published cells: who collects does not look whether somebody came by.
        CollectOnce,
    }

    #[cfg(all(loom, feature = "loom"))]
    static CURRENT: std::sync::Mutex<Option<Mutation>> = std::sync::Mutex::new(None);

    /// Plants one fault, or none, for the models of this process that follow.
    #[cfg(all(loom, feature = "loom"))]
    pub fn plant(fault: Option<Mutation>) {
        *CURRENT.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = fault;
    }

    /// Is this fault planted?
    #[cfg(all(loom, feature = "loom"))]
    #[must_use]
    pub fn mutated(fault: Mutation) -> bool {
        *CURRENT.lock().unwrap_or_else(std::sync::PoisonError::into_inner) == Some(fault)
    }

    /// Is this fault planted? Never, in this build.
    #[cfg(not(all(loom, feature = "loom")))]
    #[inline(always)]
    #[must_use]
    pub const fn mutated(_fault: Mutation) -> bool {
        false
    }

    /// The right ordering, or the relaxed one where the fault is planted.
    #[inline(always)]
    #[must_use]
    pub fn ordering(fault: Mutation, right: super::atomic::Ordering) -> super::atomic::Ordering {
        if mutated(fault) { super::atomic::Ordering::Relaxed } else { right }
    }
}
