//! One typed value that many threads read and somebody replaces now and then.
//!
//! This is what a Rust program without processes uses instead of OTP's `persistent_term`: routing tables,
//! configuration, feature flags. A read borrows the value in place; a replacement is published at once, and what
//! differs between the *ways of reclamation* is how a read keeps the value alive, and when a replaced value is dropped.
//!
//! ```
//! use shared_term::published::{Leak, Published};
//!
//! let limits: Published<Vec<u32>, Leak> = Published::new(vec![10, 20]);
//! std::thread::scope(|scope| {
//!     scope.spawn(|| assert!([2, 3].contains(&limits.read().len())));
//!     limits.update(|old| old.iter().copied().chain([30]).collect());
//! });
//! assert_eq!(*limits.read(), [10, 20, 30]);
//! ```
//!
//! # Which way
//!
//! | | [`Leak`] | [`Counted`](https://docs.rs/arc-swap) | [`Epoch`](https://docs.rs/crossbeam-epoch) | [`Hyaline`](https://docs.rs/seize) |
//! |---|---|---|---|---|
//! | feature | | `arc-swap`, on by default | `epoch` | `hyaline` |
//! | a read | one load | a debt slot of the thread is written | the thread's epoch is written, with a fence | the thread's place is written, twice, once with a locked instruction |
//! | a read through a [`Pin`] | one load | one load and a comparison, while the value is the same | one load | one load |
//! | a [`store`](Published::store) | an exchange | an exchange, and a look at the slots of all threads | an exchange, and some rounds of the collector | an exchange, and a barrier in all running threads: a system call |
//! | a replaced value is dropped | with the cell | by its last reader, or at once | by the `store`, or else by a reader that leaves later | by the `store`, or else by the last reader that was in |
//! | a reader that never leaves keeps alive | (everything is) | the value that it reads | every value replaced since it came | every value replaced since it came |
//! | good for | values set a few times in a program's life | the common case, and what must be held over an `.await` | many reads under one `Pin`, by threads that leave soon | the same, in many cells |
//!
//! [`Counted`](Published) is the default: `Published<Config>` is a counted cell wherever a type is written, in a field or a
//! `static`. In an expression Rust infers type parameters instead of looking at defaults: where nothing else says which way,
//! write `Published::<_, Counted>::new`. Without the feature `arc-swap` there is no default. [`comparison`] has the
//! figures.
//!
//! A [`Ref`] and a [`Pin`] stay on their thread, so a future that holds one over an `.await` is not `Send`, and a
//! runtime that needs it to be refuses it at compile time. The way over an `.await` is
//! `Published::<_, Counted>::to_arc`.
//!
//! # When a value ends
//!
//! With every way but `Leak` the end of a replaced value needs no further `store`: it comes with the `store` where nobody
//! reads the cell, and with the last reader that was in at the time otherwise. That reader drops it, so destructors run on any
//! thread, within a `read`, a `repin` or a `store`, or where a guard is dropped. `Epoch` and `Hyaline` catch a panic of a destructor
//! there: it is nobody's who happens to come by. What a reader that was forgotten (`mem::forget`) keeps is never dropped.
//! `retained` counts, and `collect` is for a moment of one's own choice.
//!
//! # Progress
//!
//! Reads are wait-free with `Leak`, and never wait for a writer with the others. Writers of one cell do not wait for
//! readers; concurrent [`update`](Published::update)s retry, so their closure can run several times. With `Leak` writers
//! take turns at a lock, for a push. The first read of a thread, or of a thread in a cell, allocates with all ways but `Leak`.
//!
//! # Under loom
//!
//! `Leak` is what runs in production. The others, whose crates loom does not see, are one cell that it sees: reads see what they
//! could see in production, and replaced values are dropped with the cell.

#[cfg(all(feature = "arc-swap", not(all(loom, feature = "loom"))))]
mod counted;
#[cfg(all(feature = "epoch", not(all(loom, feature = "loom"))))]
mod epoch;
#[cfg(all(feature = "hyaline", not(all(loom, feature = "loom"))))]
mod hyaline;
mod leak;
#[cfg(all(any(feature = "arc-swap", feature = "epoch", feature = "hyaline"), loom, feature = "loom"))]
mod modelled;
#[cfg(any(feature = "epoch", all(loom, feature = "loom")))]
mod turns;
#[cfg(all(feature = "arc-swap", loom, feature = "loom"))]
use modelled as counted;
#[cfg(all(feature = "epoch", loom, feature = "loom"))]
use modelled as epoch;
#[cfg(all(feature = "hyaline", loom, feature = "loom"))]
use modelled as hyaline;

#[doc = include_str!("../../docs/published.md")]
pub mod comparison {}

/// What models look at by itself.
#[cfg(all(loom, feature = "loom"))]
#[doc(hidden)]
pub mod model {
    pub use super::turns::Turns;
}

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

mod sealed {
    use std::ops::Deref;

    /// A way of reclamation: which cell it uses.
    pub trait Way {
        type Cell<T: Send + Sync + 'static>: Cell<T>;
    }

    /// A cell with one value, and how it is read and replaced.
    pub trait Cell<T: Send + Sync + 'static>: Send + Sync + Sized + 'static {
        type Ref<'a>: Deref<Target = T>;
        type Pin<'a>;

        fn new(value: T) -> Self;
        fn read(&self) -> Self::Ref<'_>;
        fn pin(&self) -> Self::Pin<'_>;
        fn get<'p>(pin: &'p mut Self::Pin<'_>) -> &'p T;
        fn repin(pin: &mut Self::Pin<'_>);
        fn store(&self, value: T);
        fn compare_and_store(&self, current: &T, new: T) -> Result<(), T>;

        fn try_update<E>(&self, mut f: impl FnMut(&T) -> Result<T, E>) -> Result<(), E> {
            loop {
                let old = self.read();
                if self.compare_and_store(&old, f(&old)?).is_ok() {
                    return Ok(());
                }
            }
        }
    }
}
use sealed::{Cell, Way};

/// How values that were replaced are kept for who still reads them. Sealed: see [Which way](self#which-way).
///
/// ```
/// use shared_term::published::{Leak, Published, Reclaim};
///
/// /// For whoever chooses the way.
/// struct Limits<R: Reclaim> {
///     rate: Published<u32, R>,
/// }
///
/// impl<R: Reclaim> Limits<R> {
///     fn allows(&self, n: u32) -> bool {
///         n <= *self.rate.read()
///     }
/// }
///
/// let limits = Limits::<Leak> { rate: Published::new(10) };
/// limits.rate.store(20);
/// assert!(limits.allows(15));
/// ```
pub trait Reclaim: Way + 'static {}

/// Replaced values are kept as long as the cell. Needs no other crate.
///
/// ```
/// use shared_term::published::{Leak, Published};
/// use std::sync::Arc;
///
/// let value = Arc::new("first");
/// let cell: Published<Arc<&str>, Leak> = Published::new(Arc::clone(&value));
/// cell.store(Arc::new("second"));
/// assert_eq!(Arc::strong_count(&value), 2, "replaced, and kept");
/// drop(cell);
/// assert_eq!(Arc::strong_count(&value), 1);
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Leak {}

impl Way for Leak {
    type Cell<T: Send + Sync + 'static> = leak::Cell<T>;
}
impl Reclaim for Leak {}

/// Reference counts, which most reads do not touch: a replaced value is dropped by its last reader.
///
/// ```
/// use shared_term::published::{Counted, Published};
/// use std::sync::Arc;
///
/// let value = Arc::new("first");
/// let cell = Published::<_, Counted>::new(Arc::clone(&value));
/// let reader = cell.read();
/// cell.store(Arc::new("second"));
/// assert_eq!((**reader, Arc::strong_count(&value)), ("first", 2));
/// drop(reader); // the last of its readers
/// assert_eq!(Arc::strong_count(&value), 1);
/// ```
#[cfg(feature = "arc-swap")]
#[derive(Debug, Clone, Copy)]
pub enum Counted {}

#[cfg(feature = "arc-swap")]
impl Way for Counted {
    type Cell<T: Send + Sync + 'static> = counted::Cell<T>;
}
#[cfg(feature = "arc-swap")]
impl Reclaim for Counted {}

/// Epochs, of each cell its own: a replaced value is dropped once all that read the cell then have left. While one
/// waits for that, each reader that leaves has a try, which costs it more than the read did. A thread finds its registration among
/// those for all cells it has read, one after the other, so this way is for a few cells that are read much, not for
/// thousands.
///
/// ```
/// use shared_term::published::{Epoch, Published};
/// use std::sync::Arc;
///
/// let value = Arc::new("first");
/// let cell = Published::<_, Epoch>::new(Arc::clone(&value));
/// let reader = cell.pin();
/// cell.store(Arc::new("second"));
/// assert_eq!(Arc::strong_count(&value), 2, "a reader was in");
/// drop(reader);
/// cell.collect();
/// assert_eq!(Arc::strong_count(&value), 1);
/// ```
#[cfg(feature = "epoch")]
#[derive(Debug, Clone, Copy)]
pub enum Epoch {}

#[cfg(feature = "epoch")]
impl Way for Epoch {
    type Cell<T: Send + Sync + 'static> = epoch::Cell<T>;
}
#[cfg(feature = "epoch")]
impl Reclaim for Epoch {}

/// Hyaline, for each cell its own: each `store` hands what it replaced to the readers that are in, and the last of them to leave
/// drops it. Entering is one store and leaving one exchange of a word of the thread's own, whatever the number of
/// cells; a `store` pays for that with a barrier in all running threads, and an entry for every thread that reads cells.
///
/// # Limits
///
/// At the end of a thread, in destructors of other thread-locals: where seize's own are gone before the thread first reads
/// a cell, seize panics; and what a `store` replaces while such readers come and go may wait for the next
/// [`store`](Published::store) or [`collect`](Published::collect).
///
/// ```
/// use shared_term::published::{Hyaline, Published};
/// use std::sync::Arc;
///
/// let value = Arc::new("first");
/// let cell = Published::<_, Hyaline>::new(Arc::clone(&value));
/// let reader = cell.pin();
/// cell.store(Arc::new("second"));
/// assert_eq!(Arc::strong_count(&value), 2, "a reader was in");
/// drop(reader); // the last of those
/// assert_eq!(Arc::strong_count(&value), 1);
/// ```
#[cfg(feature = "hyaline")]
#[derive(Debug, Clone, Copy)]
pub enum Hyaline {}

#[cfg(feature = "hyaline")]
impl Way for Hyaline {
    type Cell<T: Send + Sync + 'static> = hyaline::Cell<T>;
}
#[cfg(feature = "hyaline")]
impl Reclaim for Hyaline {}

/// Runs destructors of users. A panic is nobody's who happens to enter or to leave now, and it must keep no other value from
/// being dropped. What it was thrown with may panic too, so that is leaked.
#[cfg(all(any(feature = "epoch", feature = "hyaline"), not(all(loom, feature = "loom"))))]
fn contain(f: impl FnOnce()) {
    if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        std::mem::forget(payload);
    }
}

/// One value, read by many and replaced by few. See the [module](self).
///
/// ```
/// use shared_term::published::{Leak, Published};
/// use std::collections::HashMap;
///
/// let routes: Published<HashMap<&str, u16>, Leak> = Published::new(HashMap::from([("/", 1)]));
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             let mut pin = routes.pin();
///             for _request in 0..100 {
///                 assert_eq!(pin.get()["/"], 1);
///             }
///         });
///     }
///     routes.update(|old| old.iter().map(|(k, v)| (*k, *v)).chain([("/users", 2)]).collect());
/// });
/// assert_eq!(routes.read()["/users"], 2);
/// ```
pub struct Published<
    T: Send + Sync + 'static,
    #[cfg(feature = "arc-swap")] R: Reclaim = Counted,
    #[cfg(not(feature = "arc-swap"))] R: Reclaim,
> {
    cell: R::Cell<T>,
}

impl<T: Send + Sync + 'static, R: Reclaim> Published<T, R> {
    /// A cell with its first value.
    ///
    /// ```
    /// use shared_term::published::{Leak, Published};
    ///
    /// let greeting = Published::<_, Leak>::new("hello".to_owned());
    /// assert_eq!(*greeting.read(), "hello");
    /// ```
    pub fn new(value: T) -> Self {
        Self { cell: Cell::new(value) }
    }

    /// The value as it is now, for one look: it stays alive while the reference is held, also when it is replaced
    /// meanwhile.
    ///
    /// ```
    /// use shared_term::published::{Leak, Published};
    ///
    /// let cell = Published::<_, Leak>::new(1);
    /// let before = cell.read();
    /// cell.store(2);
    /// assert_eq!((*before, *cell.read()), (1, 2));
    /// ```
    ///
    /// It stays on its thread:
    ///
    /// ```compile_fail,E0277
    /// use shared_term::published::{Leak, Published};
    ///
    /// let cell = Published::<_, Leak>::new(1);
    /// let value = cell.read();
    /// std::thread::scope(|scope| scope.spawn(move || *value));
    /// ```
    #[inline]
    pub fn read(&self) -> Ref<'_, T, R> {
        Ref { held: self.cell.read(), _not_send: PhantomData }
    }

    /// For many looks in a row: entering is paid once.
    ///
    /// ```
    /// use shared_term::published::{Leak, Published};
    ///
    /// let cell = Published::<_, Leak>::new(0);
    /// let mut pin = cell.pin();
    /// for n in 1..10 {
    ///     cell.store(n);
    ///     assert_eq!(*pin.get(), n);
    /// }
    /// ```
    #[inline]
    pub fn pin(&self) -> Pin<'_, T, R> {
        Pin { pin: self.cell.pin(), _not_send: PhantomData }
    }

    /// Publishes `value`: every read that happens after sees it, or a later one.
    ///
    /// ```
    /// use shared_term::published::{Leak, Published};
    ///
    /// let cell = Published::<_, Leak>::new("draft");
    /// cell.store("final");
    /// assert_eq!(*cell.read(), "final");
    /// ```
    #[doc(alias = "persistent_term:put/2")]
    #[doc(alias = "replace")]
    #[doc(alias = "swap")]
    pub fn store(&self, value: T) {
        self.cell.store(value);
    }

    /// Publishes `new` if the value is still the one that `current` refers to: that very value, not an equal one.
    ///
    /// # Errors
    ///
    /// `new`, where another writer was faster.
    ///
    /// ```
    /// use shared_term::published::{Leak, Published};
    ///
    /// let cell = Published::<_, Leak>::new(vec![1]);
    /// let seen = cell.read();
    /// assert_eq!(cell.compare_and_store(&seen, vec![1, 2]), Ok(()));
    /// assert_eq!(cell.compare_and_store(&seen, vec![1, 3]), Err(vec![1, 3]));
    /// assert_eq!(*cell.read(), [1, 2]);
    /// ```
    #[doc(alias = "compare_and_swap")]
    #[doc(alias = "compare_exchange")]
    pub fn compare_and_store(&self, current: &T, new: T) -> Result<(), T> {
        self.cell.compare_and_store(current, new)
    }

    /// Publishes what `f` makes of the value; again with the newer value if another writer was faster.
    ///
    /// ```
    /// use shared_term::published::{Leak, Published};
    ///
    /// let cell = Published::<u32, Leak>::new(0);
    /// std::thread::scope(|scope| {
    ///     for _ in 0..4 {
    ///         scope.spawn(|| cell.update(|n| n + 1));
    ///     }
    /// });
    /// assert_eq!(*cell.read(), 4);
    /// ```
    #[doc(alias = "rcu")]
    pub fn update(&self, mut f: impl FnMut(&T) -> T) {
        let Ok(()) = self.cell.try_update(|value| Ok::<T, std::convert::Infallible>(f(value)));
    }

    /// As [`update`](Self::update), unless `f` says otherwise.
    ///
    /// # Errors
    ///
    /// The one of `f`; nothing is published then.
    ///
    /// ```
    /// use shared_term::published::{Leak, Published};
    ///
    /// let cell = Published::<u8, Leak>::new(255);
    /// assert_eq!(cell.try_update(|n| n.checked_add(1).ok_or("full")), Err("full"));
    /// assert_eq!(*cell.read(), 255);
    /// ```
    pub fn try_update<E>(&self, f: impl FnMut(&T) -> Result<T, E>) -> Result<(), E> {
        self.cell.try_update(f)
    }
}

impl<T: Send + Sync + 'static> Published<T, Leak> {
    /// The replaced values that are kept.
    ///
    /// ```
    /// use shared_term::published::{Leak, Published};
    ///
    /// let cell = Published::<_, Leak>::new(1);
    /// cell.store(2);
    /// assert_eq!(cell.retained(), 1);
    /// ```
    pub fn retained(&self) -> usize {
        self.cell.retained()
    }
}

macro_rules! waits_for_readers {
    ($($feature:literal $way:ident;)*) => {$(
        #[cfg(feature = $feature)]
        impl<T: Send + Sync + 'static> Published<T, $way> {
            /// The replaced values that are not dropped yet: some reader that was in then may still read them.
            ///
            /// ```
            #[doc = concat!("use shared_term::published::{Published, ", stringify!($way), "};")]
            ///
            #[doc = concat!("let cell = Published::<_, ", stringify!($way), ">::new(1);")]
            /// let reader = cell.read();
            /// cell.store(2);
            /// assert_eq!((*reader, cell.retained()), (1, 1));
            /// drop(reader);
            /// assert_eq!(cell.retained(), 0);
            /// ```
            pub fn retained(&self) -> usize {
                self.cell.retained()
            }

            /// Drops the replaced values that nobody can be reading any more. [`store`](Self::store) and readers that
            /// leave do so themselves; this is for a moment of one's own choice.
            ///
            /// ```
            #[doc = concat!("use shared_term::published::{Published, ", stringify!($way), "};")]
            ///
            #[doc = concat!("let cell = Published::<_, ", stringify!($way), ">::new(1);")]
            /// cell.store(2);
            /// cell.collect();
            /// assert_eq!(cell.retained(), 0);
            /// ```
            pub fn collect(&self) {
                self.cell.collect();
            }
        }
    )*};
}

waits_for_readers! {
    "epoch" Epoch;
    "hyaline" Hyaline;
}

#[cfg(feature = "arc-swap")]
impl<T: Send + Sync + 'static> Published<T, Counted> {
    /// The value as it is now, counted: to keep it for long, to hand it to another thread, or to hold it over an
    /// `.await`.
    ///
    /// ```
    /// use shared_term::Published;
    ///
    /// struct Server {
    ///     limits: Published<Vec<u32>>, // counted, the default
    /// }
    ///
    /// let server = Server { limits: Published::new(vec![1, 2, 3]) };
    /// let values = server.limits.to_arc();
    /// assert_eq!(std::thread::spawn(move || values.len()).join().unwrap(), 3);
    /// ```
    pub fn to_arc(&self) -> std::sync::Arc<T> {
        self.cell.to_arc()
    }
}

impl<T: Send + Sync + fmt::Debug + 'static, R: Reclaim> fmt::Debug for Published<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Published").field(&*self.read()).finish()
    }
}

/// A value that is read: [`Published::read`].
///
/// ```
/// use shared_term::published::{Leak, Published};
///
/// let names = Published::<_, Leak>::new(vec!["ann", "bob"]);
/// let now = names.read();
/// names.store(vec!["eve"]);
/// assert_eq!(now.iter().map(|name| name.len()).sum::<usize>(), 6, "one value for as long as it is held");
/// ```
pub struct Ref<
    'a,
    T: Send + Sync + 'static,
    #[cfg(feature = "arc-swap")] R: Reclaim = Counted,
    #[cfg(not(feature = "arc-swap"))] R: Reclaim,
> {
    held: <R::Cell<T> as Cell<T>>::Ref<'a>,
    _not_send: PhantomData<*mut ()>,
}

impl<T: Send + Sync + 'static, R: Reclaim> Deref for Ref<'_, T, R> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T: Send + Sync + fmt::Debug + 'static, R: Reclaim> fmt::Debug for Ref<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A reader that stays for a while: [`Published::pin`].
///
/// ```
/// use shared_term::published::{Leak, Published};
///
/// let limit = Published::<_, Leak>::new(10);
/// let mut pin = limit.pin();
/// assert_eq!(*pin.get(), 10);
/// limit.store(20);
/// assert_eq!(*pin.get(), 20, "each look is at the value as it is then");
/// ```
pub struct Pin<
    'a,
    T: Send + Sync + 'static,
    #[cfg(feature = "arc-swap")] R: Reclaim = Counted,
    #[cfg(not(feature = "arc-swap"))] R: Reclaim,
> {
    pin: <R::Cell<T> as Cell<T>>::Pin<'a>,
    _not_send: PhantomData<*mut ()>,
}

impl<T: Send + Sync + 'static, R: Reclaim> Pin<'_, T, R> {
    /// The value as it is now.
    ///
    /// ```
    /// use shared_term::published::{Leak, Published};
    ///
    /// let cell = Published::<_, Leak>::new(7);
    /// assert_eq!(*cell.pin().get(), 7);
    /// ```
    #[inline]
    pub fn get(&mut self) -> &T {
        <R::Cell<T>>::get(&mut self.pin)
    }

    /// Lets go of everything that this reader keeps alive, as if it had left and come back.
    ///
    /// ```
    /// use shared_term::published::{Leak, Published};
    ///
    /// let cell = Published::<_, Leak>::new(7);
    /// let mut pin = cell.pin();
    /// for _request in 0..3 {
    ///     assert_eq!(*pin.get(), 7);
    ///     pin.repin(); // before waiting for the next one
    /// }
    /// ```
    #[inline]
    pub fn repin(&mut self) {
        <R::Cell<T>>::repin(&mut self.pin);
    }
}

impl<T: Send + Sync + 'static, R: Reclaim> fmt::Debug for Pin<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").finish_non_exhaustive()
    }
}

static_assertions::assert_impl_all!(Published<u64, Leak>: Send, Sync);
static_assertions::assert_not_impl_any!(Ref<'static, u64, Leak>: Send, Sync);
static_assertions::assert_not_impl_any!(Pin<'static, u64, Leak>: Send, Sync);
#[cfg(feature = "arc-swap")]
static_assertions::assert_impl_all!(Published<u64, Counted>: Send, Sync);
#[cfg(feature = "epoch")]
static_assertions::assert_impl_all!(Published<u64, Epoch>: Send, Sync);
#[cfg(feature = "hyaline")]
static_assertions::assert_impl_all!(Published<u64, Hyaline>: Send, Sync);
