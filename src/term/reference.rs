//! Names that are given once.

use super::word::{self, Word};
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A name that is given once: for a request whose answer must be told from others, a monitor, a timer. One immediate
/// word: no memory, copied like an integer.
///
/// Made by [`References::make`], or for a [domain](crate::PersistentTerms) by `make_ref` of its turns and handles. Unique in
/// the program, whoever makes it, and never given again: the reference of another store is none of a timer or a monitor of
/// this one. Ordered and hashed by its number, so that of two references that one thread made the later is the greater (OTP
/// promises no order). Which numbers a runtime gives depends on who else takes some; that goes for a
/// deterministic one too. Printed as `#Ref<0.high.low>`.
///
/// ```
/// use shared_term::{Reference, Region, term, term::References};
/// let refs = References::new();
/// let (a, b) = (refs.make(), refs.make());
/// assert!(a < b);
/// let r = Region::build(|h| term!(h, {:reply, a}));
/// let (_, found): (shared_term::Atom, Reference) = r.root().get()?;
/// assert_eq!(found, a);
/// assert_eq!(r.root().to_string(), format!("{{reply,{a}}}"));
/// # Ok::<(), shared_term::term::Mismatch>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference(Word);

impl Reference {
    pub(crate) const fn word(self) -> Word {
        self.0
    }

    /// `w` must be the word of a reference.
    pub(crate) const fn from_word(w: Word) -> Self {
        debug_assert!(word::is_reference(w));
        Self(w)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = word::reference_number(self.0);
        write!(f, "#Ref<0.{}.{}>", number >> 32, number as u32)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A maker of [`Reference`]s. Each domain has one; this one is for heaps without a process.
///
/// ```
/// use shared_term::{Reference, term::References};
/// static REQUESTS: References = References::new();
/// let made = || std::thread::spawn(|| (0..100).map(|_| REQUESTS.make()).collect::<Vec<Reference>>());
/// let [a, b] = [made(), made()].map(|thread| thread.join().unwrap());
/// assert!(a.is_sorted() && b.is_sorted() && a.iter().all(|r| !b.contains(r)));
/// ```
#[derive(Debug)]
pub struct References(());

/// Numbers that a thread takes at once.
const AT_ONCE: u64 = 1024;

/// The first number that nobody has taken. One for all makers, so that what one has made no other takes for its own. Plain
/// `std`, as the other: numbers that nothing else is ordered by.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What a thread has taken last.
struct Hand {
    next: Cell<u64>,
    end: Cell<u64>,
}

thread_local! {
    static HAND: Hand = const { Hand::new() };
}

impl Hand {
    const fn new() -> Self {
        Self { next: Cell::new(0), end: Cell::new(0) }
    }

    #[inline]
    fn make(&self, source: &AtomicU64, classes: u64, rest: u64) -> Reference {
        debug_assert!(classes.is_power_of_two() && rest < classes && classes <= AT_ONCE / 2);
        let first = |next: u64| next + (rest.wrapping_sub(next) & (classes - 1));
        let mut number = first(self.next.get());
        if number >= self.end.get() {
            self.fetch(source);
            number = first(self.next.get());
        }
        self.next.set(number + 1);
        match word::reference(number) {
            Some(w) => Reference(w),
            None => panic!("2^59 references were made"),
        }
    }

    #[cold]
    #[inline(never)]
    fn fetch(&self, source: &AtomicU64) {
        // Relaxed: each caller gets other numbers, whatever the order.
        let next = source.fetch_add(AT_ONCE, Ordering::Relaxed);
        self.next.set(next);
        self.end.set(next + AT_ONCE);
    }
}

impl References {
    /// A maker.
    ///
    /// ```
    /// # use shared_term::term::References;
    /// assert_ne!(References::new().make(), References::new().make());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }

    /// A reference that was not given before, by this maker or another. Wait-free: one `fetch_add` for 1,024 of them that a
    /// thread makes; what is left of these when it ends is not given any more.
    ///
    /// # Panics
    ///
    /// After 2^59 numbers: 18 years at one a nanosecond.
    ///
    /// ```
    /// # use shared_term::term::References;
    /// let refs = References::new();
    /// let first = refs.make();
    /// assert!(first < refs.make());
    /// ```
    #[inline]
    pub fn make(&self) -> Reference {
        self.make_of(1, 0)
    }

    /// As [`make`](Self::make), one whose number leaves the rest `rest` when it is divided by `classes`, which is a power of
    /// two and few.
    #[allow(clippy::unused_self, reason = "all makers share what they make references of")]
    #[inline]
    pub(crate) fn make_of(&self, classes: u64, rest: u64) -> Reference {
        HAND.with(|hand| hand.make(&NEXT, classes, rest))
    }

    /// Which class of `classes` the reference was [made of](Self::make_of).
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only timers have classes"))]
    pub(crate) const fn class_of(reference: Reference, classes: u64) -> u64 {
        word::reference_number(reference.0) & (classes - 1)
    }
}

impl Default for References {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_not_given_twice_even_when_they_are_used_up() {
        let (hand, source) = (Hand::new(), AtomicU64::new(word::REFERENCES - 1));
        let last = hand.make(&source, 1, 0);
        assert_eq!(last.to_string(), format!("#Ref<0.{}.{}>", (1 << 27) - 1, u32::MAX));
        for _ in 0..2 {
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hand.make(&source, 1, 0))).is_err());
        }
    }

    #[test]
    fn no_thread_no_maker_and_no_class_is_given_what_another_was_and_each_thread_in_order() {
        let makers = [References::new(), References::new()];
        let some = || {
            let make = |i: u64| {
                let classes = 1 << (i % 5);
                let made = makers[usize::from(i.is_multiple_of(7))].make_of(classes, i % classes);
                assert_eq!(References::class_of(made, classes), i % classes);
                made
            };
            (0..5000).map(make).collect::<Vec<_>>()
        };
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads = [(); 3].map(|()| scope.spawn(some));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|one| one.is_sorted()));
        let different: std::collections::HashSet<_> = all.iter().flatten().collect();
        assert_eq!(different.len(), 15_000);
    }
}
