//! Names that are given once.

use super::word::{self, Word};
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A name that is given once: for a request whose answer must be told from others, a monitor, a timer. One immediate
/// word: no memory, copied like an integer.
///
/// Made by [`References::make`], or for a [domain](crate::PersistentTerms) by `make_ref` of its turns and handles. Unique
/// among those of one maker, and never given again; ordered and hashed by its number, so that of two references that one
/// thread made the later is the greater (OTP promises no order). Printed as `#Ref<0.high.low>`.
///
/// ```
/// use shared_term::{Reference, Region, term, term::References};
/// let refs = References::new();
/// let (a, b) = (refs.make(), refs.make());
/// assert!(a < b);
/// let r = Region::build(|h| term!(h, {:reply, a}));
/// let (_, found): (shared_term::Atom, Reference) = r.root().get()?;
/// assert_eq!(found, a);
/// assert_eq!(r.root().to_string(), "{reply,#Ref<0.0.1>}");
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
pub struct References {
    /// Plain `std`, as the other: numbers that nothing else is ordered by.
    next: AtomicU64,
    /// Tells it from all others. Zero until somebody has asked for a reference: the maker of a constant is one.
    maker: AtomicU64,
}

/// Numbers that a thread takes at once.
const AT_ONCE: u64 = 1024;

/// What this thread has taken last, and of which maker.
struct Hand {
    maker: Cell<u64>,
    next: Cell<u64>,
    end: Cell<u64>,
}

thread_local! {
    static HAND: Hand = const { Hand { maker: Cell::new(0), next: Cell::new(0), end: Cell::new(0) } };
}

impl References {
    /// A maker whose first reference is number 1.
    ///
    /// ```
    /// # use shared_term::term::References;
    /// assert_eq!(References::new().make().to_string(), "#Ref<0.0.1>");
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self { next: AtomicU64::new(1), maker: AtomicU64::new(0) }
    }

    /// A reference that this maker has not given before. Wait-free: one `fetch_add` for 1,024 of them that a thread makes in
    /// a row. What is left of these, when it makes one of another maker or ends, is not given any more.
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
    pub(crate) fn make_of(&self, classes: u64, rest: u64) -> Reference {
        debug_assert!(classes.is_power_of_two() && rest < classes && classes <= AT_ONCE);
        HAND.with(|hand| {
            let first = |next: u64| next + (rest.wrapping_sub(next) & (classes - 1));
            // Relaxed: only this thread's own comes back, which it has seen.
            let mut number = first(hand.next.get());
            if hand.maker.get() != self.maker.load(Ordering::Relaxed) || number >= hand.end.get() {
                self.fetch(hand);
                number = first(hand.next.get());
            }
            hand.next.set(number + 1);
            match word::reference(number) {
                Some(w) => Reference(w),
                None => panic!("2^59 references were made"),
            }
        })
    }

    #[cold]
    #[inline(never)]
    fn fetch(&self, hand: &Hand) {
        static MAKERS: AtomicU64 = AtomicU64::new(1);
        let mut maker = self.maker.load(Ordering::Relaxed);
        if maker == 0 {
            let fresh = MAKERS.fetch_add(1, Ordering::Relaxed);
            // Relaxed: whoever comes second takes the number of who was first.
            let first = self.maker.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed);
            maker = first.map_or_else(|other| other, |_| fresh);
        }
        // Relaxed: each caller gets other numbers, whatever the order.
        let next = self.next.fetch_add(AT_ONCE, Ordering::Relaxed);
        hand.maker.set(maker);
        hand.next.set(next);
        hand.end.set(next + AT_ONCE);
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
        let refs = References { next: AtomicU64::new(word::REFERENCES - 1), maker: AtomicU64::new(0) };
        assert_eq!(refs.make().to_string(), format!("#Ref<0.{}.{}>", (1 << 27) - 1, u32::MAX));
        for _ in 0..2 {
            assert!(std::panic::catch_unwind(|| refs.make()).is_err());
        }
    }
    #[test]
    fn no_thread_and_no_class_is_given_what_another_was_and_each_thread_in_order() {
        let (refs, other) = (References::new(), References::new());
        let some = || {
            let make = |i: u64| {
                if i.is_multiple_of(100) {
                    other.make();
                }
                let classes = 1 << (i % 5);
                let made = refs.make_of(classes, i % classes);
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

    #[test]
    fn a_maker_in_the_place_of_another_gives_its_own() {
        // On the stack, where the one before lay.
        for _ in 0..3 {
            let refs = References::new();
            assert_eq!([refs.make(), refs.make()].map(|made| made.to_string()), ["#Ref<0.0.1>", "#Ref<0.0.2>"]);
        }
    }
}
