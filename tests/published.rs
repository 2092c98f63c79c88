//! `Published` through its public interface, every way of reclamation the same.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;

use shared_term::Published;
use shared_term::published::{Leak, Reclaim};

/// Counts itself while it is alive, and is broken once it is dropped.
struct Value {
    number: usize,
    copy: Box<usize>,
    alive: Arc<AtomicUsize>,
}

impl Value {
    fn new(number: usize, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Relaxed);
        Self { number, copy: Box::new(number), alive: Arc::clone(alive) }
    }

    fn check(&self) -> usize {
        assert_eq!(self.number, *self.copy);
        self.number
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        *self.copy = usize::MAX;
        self.alive.fetch_sub(1, Relaxed);
    }
}

fn rounds(rounds: usize) -> usize {
    if cfg!(miri) { rounds / 1000 + 2 } else { rounds }
}

/// Values only ever get newer, for every reader; and each is dropped exactly once, at the latest with the cell.
fn readers_beside_writers<R: Reclaim>() {
    let alive = Arc::default();
    let cell = Published::<Value, R>::new(Value::new(0, &alive));
    let start = Barrier::new(4);
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            for n in 1..=rounds(5_000) {
                cell.replace(Value::new(n, &alive));
            }
        });
        for long in [false, true, false] {
            let (cell, start) = (&cell, &start);
            scope.spawn(move || {
                start.wait();
                let mut last = 0;
                let mut pin = cell.pin();
                for n in 0..rounds(20_000) {
                    let seen = if long { pin.get().check() } else { cell.read().check() };
                    assert!(seen >= last, "{last}, then {seen}");
                    last = seen;
                    if n % 100 == 0 {
                        pin.repin();
                    }
                }
            });
        }
    });
    assert_eq!(cell.read().check(), rounds(5_000));
    drop(cell);
    assert_eq!(alive.load(Relaxed), 0);
}

/// No update is lost, and an error publishes nothing.
fn updates<R: Reclaim>() {
    let alive = Arc::default();
    let cell = Published::<Value, R>::new(Value::new(0, &alive));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..rounds(2_000) {
                    cell.update(|old| Value::new(old.check() + 1, &alive));
                }
            });
        }
    });
    assert_eq!(
        cell.try_update(|old| if old.number > 0 { Err("full") } else { Ok(Value::new(9, &alive)) }),
        Err("full")
    );
    assert_eq!(cell.read().check(), 4 * rounds(2_000));
    drop(cell);
    assert_eq!(alive.load(Relaxed), 0);
}

/// A reader keeps what it reads, and what it alone kept ends with it: no further replacement is needed.
#[cfg(any(feature = "arc-swap", feature = "epoch"))]
fn ends_without_another_replace<R: Reclaim>() {
    let alive = Arc::default();
    let cell = Published::<Value, R>::new(Value::new(0, &alive));
    for n in 1..100 {
        cell.replace(Value::new(n, &alive));
        assert_eq!(alive.load(Relaxed), 1, "nobody reads: the old value ends at once");
    }
    let before = cell.read();
    let mut pin = cell.pin();
    assert_eq!(pin.get().check(), 99);
    thread::scope(|scope| {
        scope.spawn(|| {
            let theirs = cell.read();
            cell.replace(Value::new(100, &alive));
            assert_eq!(theirs.check(), 99);
        });
    });
    assert_eq!((before.check(), pin.get().check(), cell.read().check()), (99, 100, 100));
    assert_eq!(alive.load(Relaxed), 2);
    drop(before);
    pin.repin();
    assert_eq!(alive.load(Relaxed), 1, "the last reader has left");
    drop(pin);
    cell.update(|old| Value::new(old.number + 1, &alive));
    assert_eq!((cell.read().check(), alive.load(Relaxed)), (101, 1));
}

/// Reads a cell when it is dropped: a value can be dropped in the middle of a read.
struct ReadsWhenDropped<R: Reclaim>(Arc<Published<usize, R>>);

impl<R: Reclaim> Drop for ReadsWhenDropped<R> {
    fn drop(&mut self) {
        assert_eq!(*self.0.read(), 7);
        // A cell that this thread enters for the first time.
        assert_eq!(*Published::<_, R>::new(8).read(), 8);
    }
}

fn drops_that_read<R: Reclaim>() {
    let other = Arc::new(Published::<usize, R>::new(7));
    let cell = Published::<ReadsWhenDropped<R>, R>::new(ReadsWhenDropped(Arc::clone(&other)));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..rounds(1_000) {
                    cell.replace(ReadsWhenDropped(Arc::clone(&other)));
                    assert_eq!(*cell.read().0.read(), 7);
                }
            });
        }
    });
    drop(cell);
    assert_eq!(Arc::strong_count(&other), 1);
}

/// Cells come and go while threads stay, and threads while cells stay; a read at the very end of a thread works.
fn cells_and_threads_come_and_go<R: Reclaim>() {
    struct Late<R: Reclaim>(Arc<Published<usize, R>>, Arc<AtomicUsize>);
    impl<R: Reclaim> Drop for Late<R> {
        fn drop(&mut self) {
            self.1.fetch_add(*self.0.read(), Relaxed);
        }
    }
    thread_local! {
        static LATE: std::cell::RefCell<Option<Box<dyn std::any::Any>>> = const { std::cell::RefCell::new(None) };
    }
    let (stays, sum) = (Arc::new(Published::<usize, R>::new(1)), Arc::default());
    for n in 0..rounds(200) {
        let comes = Published::<usize, R>::new(n);
        comes.replace(n + 1);
        assert_eq!(*comes.read() + *stays.read(), n + 2);
        let late = Late(Arc::clone(&stays), Arc::clone(&sum));
        thread::spawn(move || LATE.set(Some(Box::new(late)))).join().unwrap();
    }
    assert_eq!(sum.load(Relaxed), rounds(200));
}

macro_rules! ways {
    ($($(#[$meta:meta])* $way:ident: $type:ty, [$($more:ident),*];)*) => {$(
        $(#[$meta])*
        mod $way {
            ways!(@tests $type: readers_beside_writers updates drops_that_read cells_and_threads_come_and_go $($more)*);
        }
    )*};
    (@tests $type:ty: $($test:ident)*) => {$(
        #[test]
        fn $test() {
            crate::$test::<$type>();
        }
    )*};
}

ways! {
    leak: shared_term::published::Leak, [];
    #[cfg(feature = "arc-swap")]
    counted: shared_term::published::Counted, [ends_without_another_replace];
    #[cfg(feature = "epoch")]
    epoch: shared_term::published::Epoch, [ends_without_another_replace];
}

#[cfg(feature = "epoch")]
#[test]
fn a_stalled_reader_of_one_cell_holds_up_no_other() {
    use shared_term::published::Epoch;

    let (busy, free) = (Published::<_, Epoch>::new(0), Published::<_, Epoch>::new(0));
    let stalled = busy.read();
    for n in 1..=50 {
        busy.replace(n);
        free.replace(n);
    }
    assert_eq!((busy.retained(), free.retained()), (50, 0));
    drop(stalled);
    assert_eq!(busy.retained(), 0);
}

#[test]
fn leaked_values_are_counted() {
    let cell = Published::<_, Leak>::new(0);
    cell.replace(1);
    cell.update(|n| n + 1);
    assert_eq!((cell.retained(), format!("{cell:?}")), (2, "Published(2)".to_owned()));
}

#[cfg(feature = "epoch")]
#[test]
fn a_destructor_that_panics_keeps_no_other_value_and_meets_no_reader() {
    use shared_term::published::Epoch;

    struct Unruly(Arc<AtomicUsize>);
    impl Drop for Unruly {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
            std::panic::resume_unwind(Box::new("a destructor"));
        }
    }
    let dropped: Arc<AtomicUsize> = Arc::default();
    let cell = Published::<_, Epoch>::new(Unruly(Arc::clone(&dropped)));
    let reader = cell.read();
    for _ in 0..100 {
        cell.replace(Unruly(Arc::clone(&dropped)));
    }
    drop(reader);
    assert_eq!((cell.retained(), dropped.load(Relaxed)), (0, 100));
    std::mem::forget(cell); // its last value is dropped by whoever drops the cell
}
