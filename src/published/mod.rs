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
//! | | [`Leak`] | [`Counted`](https://docs.rs/arc-swap) (feature `arc-swap`) | [`Epoch`](https://docs.rs/crossbeam-epoch) (feature `epoch`) |
//! |---|---|---|---|
//! | a read | one load | a debt slot of the thread is written | the thread's epoch is written, with a fence |
//! | a read through a [`Pin`] | one load | one load and a comparison, while the value is the same | one load |
//! | a replaced value is dropped | with the cell | by its last reader, or at once | by [`replace`](Published::replace), or else by a reader that leaves later |
//! | a reader that never leaves keeps alive | (everything is) | the value that it reads | every value replaced since it came |
//! | good for | values set a few times in a program's life | the common case | many reads under one `Pin`, by threads that leave soon |
//!
//! A [`Ref`] and a [`Pin`] stay on their thread, so a future that holds one over an `.await` is not `Send`, and a
//! runtime that needs it to be refuses it at compile time. The way over an `.await` is
//! `Published::<_, Counted>::to_arc`.
//!
//! # Progress
//!
//! Reads are wait-free with `Leak`, and never wait for a writer with the others. Writers of one cell do not wait for
//! readers; concurrent [`update`](Published::update)s retry, so their closure can run several times.
//!
//! # Under loom
//!
//! All ways are one cell that loom sees: reads see what they could see in production, and replaced values are dropped
//! with the cell.

#[cfg(all(feature = "arc-swap", not(all(loom, feature = "loom"))))]
mod counted;
#[cfg(all(feature = "epoch", not(all(loom, feature = "loom"))))]
mod epoch;
#[cfg(not(all(loom, feature = "loom")))]
mod leak;
#[cfg(all(loom, feature = "loom"))]
mod modelled;
#[cfg(all(loom, feature = "loom"))]
use modelled as leak;
#[cfg(all(feature = "arc-swap", loom, feature = "loom"))]
use modelled as counted;
#[cfg(all(feature = "epoch", loom, feature = "loom"))]
use modelled as epoch;

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
        fn replace(&self, value: T);
        fn try_update<E>(&self, f: impl FnMut(&T) -> Result<T, E>) -> Result<(), E>;
    }
}
use sealed::{Cell, Way};

/// How values that were replaced are kept for who still reads them. Sealed: see [Which way](self#which-way).
pub trait Reclaim: Way + 'static {}

/// Replaced values are kept as long as the cell. Needs no other crate.
#[derive(Debug, Clone, Copy)]
pub enum Leak {}

impl Way for Leak {
    type Cell<T: Send + Sync + 'static> = leak::Cell<T>;
}
impl Reclaim for Leak {}

/// Reference counts, which most reads do not touch: a replaced value is dropped by its last reader.
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
#[cfg(feature = "epoch")]
#[derive(Debug, Clone, Copy)]
pub enum Epoch {}

#[cfg(feature = "epoch")]
impl Way for Epoch {
    type Cell<T: Send + Sync + 'static> = epoch::Cell<T>;
}
#[cfg(feature = "epoch")]
impl Reclaim for Epoch {}

/// One value, read by many and replaced by few. See the [module](self).
pub struct Published<T: Send + Sync + 'static, R: Reclaim> {
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
    /// cell.replace(2);
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
    ///     cell.replace(n);
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
    /// cell.replace("final");
    /// assert_eq!(*cell.read(), "final");
    /// ```
    #[doc(alias = "persistent_term:put/2")]
    #[doc(alias = "store")]
    #[doc(alias = "swap")]
    pub fn replace(&self, value: T) {
        self.cell.replace(value);
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
    /// cell.replace(2);
    /// assert_eq!(cell.retained(), 1);
    /// ```
    pub fn retained(&self) -> usize {
        self.cell.retained()
    }
}

#[cfg(feature = "epoch")]
impl<T: Send + Sync + 'static> Published<T, Epoch> {
    /// The replaced values that are not dropped yet.
    ///
    /// ```
    /// use shared_term::published::{Epoch, Published};
    ///
    /// let cell = Published::<_, Epoch>::new(1);
    /// cell.replace(2);
    /// assert_eq!(cell.retained(), 0); // nobody was reading
    /// ```
    pub fn retained(&self) -> usize {
        self.cell.retained()
    }

    /// Drops the replaced values that nobody can be reading any more. [`replace`](Self::replace) and readers that leave
    /// do so themselves; this is for a moment of one's own choice.
    ///
    /// ```
    /// use shared_term::published::{Epoch, Published};
    ///
    /// let cell = Published::<_, Epoch>::new(1);
    /// cell.replace(2);
    /// cell.collect();
    /// assert_eq!(cell.retained(), 0);
    /// ```
    pub fn collect(&self) {
        self.cell.collect();
    }
}

#[cfg(feature = "arc-swap")]
impl<T: Send + Sync + 'static> Published<T, Counted> {
    /// The value as it is now, counted: to keep it for long, to hand it to another thread, or to hold it over an
    /// `.await`.
    ///
    /// ```
    /// use shared_term::published::{Counted, Published};
    ///
    /// let cell = Published::<_, Counted>::new(vec![1, 2, 3]);
    /// let values = cell.to_arc();
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
pub struct Ref<'a, T: Send + Sync + 'static, R: Reclaim> {
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
pub struct Pin<'a, T: Send + Sync + 'static, R: Reclaim> {
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
