//! Integers of any size.

use super::Heap;
use crate::term::word::{self, Object};
use crate::term::{BigInt, Term};
use std::fmt;

/// An integer has more limbs than a term may have.
///
/// ```
/// # use shared_term::{Region, heap::IntTooLarge, term::BigInt};
/// Region::build(|h| {
///     let mut limbs = vec![0; 70_000];
///     limbs[69_998] = 1;
///     assert_eq!(h.big_int(false, &limbs), Err(IntTooLarge { limbs: 69_999 }), "a leading zero does not count");
///     limbs.truncate(BigInt::MAX_LIMBS);
///     h.big_int(false, &limbs).unwrap()
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntTooLarge {
    /// Limbs of the magnitude, without leading zeros.
    pub limbs: usize,
}

impl fmt::Display for IntTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer of {} limbs, where a term has at most {}", self.limbs, BigInt::MAX_LIMBS)
    }
}

impl std::error::Error for IntTooLarge {}

impl<'h> Heap<'h> {
    /// An integer from its sign and magnitude, least significant limb first; leading zeros are dropped. One word and one
    /// per limb, none up to 60 bits. O(limbs).
    ///
    /// # Errors
    ///
    /// When it has more than [`BigInt::MAX_LIMBS`].
    ///
    /// ```
    /// # use shared_term::{Region, heap::IntTooLarge, term::BigInt};
    /// let r = Region::build(|h| h.big_int(true, &[0, 0, 1]).unwrap());
    /// assert_eq!(r.root().to_string(), "-340282366920938463463374607431768211456"); // -2^128
    /// Region::build(|h| {
    ///     let limbs = vec![1; BigInt::MAX_LIMBS + 1];
    ///     assert_eq!(h.big_int(false, &limbs), Err(IntTooLarge { limbs: limbs.len() }));
    ///     h.nil()
    /// });
    /// ```
    pub fn big_int(self, negative: bool, limbs: &[u64]) -> Result<Term<'h>, IntTooLarge> {
        let n = limbs.iter().rposition(|limb| *limb != 0).map_or(0, |last| last + 1);
        let limbs = &limbs[..n];
        if n > BigInt::MAX_LIMBS {
            return Err(IntTooLarge { limbs: n });
        }
        if let [] | [_] = limbs {
            let magnitude = i128::from(limbs.first().copied().unwrap_or(0));
            return Ok(self.int(if negative { -magnitude } else { magnitude }));
        }
        let p = self.alloc(1 + n);
        // SAFETY: `1 + n` words were just allocated.
        unsafe {
            p.write(word::header(Object::Big, u8::from(negative), n));
            p.add(1).copy_from_nonoverlapping(limbs.as_ptr(), n);
        }
        Ok(self.term(word::pointer(p, word::BOXED)))
    }
}

#[cfg(feature = "num-bigint")]
mod num {
    use super::{Heap, IntTooLarge};
    use crate::heap::ToTerm;
    use crate::term::{FromTerm, Kind, Mismatch, Place, Term, View};
    use num_bigint::{BigInt, Sign};

    impl<'h> Heap<'h> {
        /// An integer of the crate `num-bigint`. O(limbs).
        ///
        /// # Errors
        ///
        /// As [`big_int`](Self::big_int).
        ///
        /// ```
        /// # use shared_term::Region;
        /// use num_bigint::BigInt;
        /// let googol = BigInt::from(10).pow(100);
        /// let r = Region::build(|h| h.num(&googol).unwrap());
        /// assert_eq!(r.root().to_string(), googol.to_string());
        /// assert_eq!(r.root().get::<BigInt>(), Ok(googol));
        /// ```
        pub fn num(self, i: &BigInt) -> Result<Term<'h>, IntTooLarge> {
            let (sign, limbs) = i.to_u64_digits();
            self.big_int(sign == Sign::Minus, &limbs)
        }
    }

    /// # Panics
    ///
    /// For integers that are too large for a term; [`Heap::num`] gives an error instead.
    impl<'h> ToTerm<'h> for &BigInt {
        fn to_term(self, heap: Heap<'h>) -> Term<'h> {
            heap.num(self).expect("an integer that is not too large")
        }
    }

    /// # Panics
    ///
    /// As for `&BigInt`.
    impl<'h> ToTerm<'h> for BigInt {
        fn to_term(self, heap: Heap<'h>) -> Term<'h> {
            (&self).to_term(heap)
        }
    }

    impl<'h, P: Place> FromTerm<'h, P> for BigInt {
        fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
            match term.view() {
                View::Int(i) => Ok(Self::from(i)),
                View::BigInt(b) => {
                    let halves = b.limbs().iter().flat_map(|limb| [*limb as u32, (*limb >> 32) as u32]).collect();
                    Ok(Self::new(if b.is_negative() { Sign::Minus } else { Sign::Plus }, halves))
                }
                _ => {
                    debug_assert!(term.kind() != Kind::Int, "an integer is one of the two");
                    Err(Mismatch { expected: "an integer", found: term.kind() })
                }
            }
        }
    }
}
