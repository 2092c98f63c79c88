//! Names that are given once.

use super::word::{self, Word};
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
    /// Plain `std`: a number that nothing else is ordered by.
    next: AtomicU64,
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
        Self { next: AtomicU64::new(1) }
    }

    /// A reference that this maker has not given before. Wait-free: one `fetch_add`.
    ///
    /// # Panics
    ///
    /// After 2^59 references: 18 years at one a nanosecond.
    ///
    /// ```
    /// # use shared_term::term::References;
    /// let refs = References::new();
    /// let first = refs.make();
    /// assert!(first < refs.make());
    /// ```
    #[inline]
    pub fn make(&self) -> Reference {
        // Relaxed: each caller gets another number, whatever the order.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match word::reference(number) {
            Some(w) => Reference(w),
            None => panic!("2^59 references were made"),
        }
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
        let refs = References { next: AtomicU64::new(word::REFERENCES - 1) };
        assert_eq!(refs.make().to_string(), format!("#Ref<0.{}.{}>", (1 << 27) - 1, u32::MAX));
        for _ in 0..2 {
            assert!(std::panic::catch_unwind(|| refs.make()).is_err());
        }
    }
}
