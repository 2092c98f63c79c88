//! Numbers: integers of any size and finite floats, compared without rounding.

use super::word::{self, Object, Word};
use std::cmp::Ordering;

/// A number as it lies in a heap.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number<'a> {
    Small(i64),
    /// Magnitude of at least 2^59, least significant limb first, no leading zero limb.
    Big {
        negative: bool,
        limbs: &'a [u64],
    },
    Float(f64),
}

/// Sign-free limbs of `i`, and how many of them count.
pub(crate) fn limbs(i: i128) -> ([u64; 2], usize) {
    let magnitude = i.unsigned_abs();
    let limbs = [magnitude as u64, (magnitude >> 64) as u64];
    (limbs, if limbs[1] == 0 { 1 } else { 2 })
}

impl Number<'_> {
    /// The number that `w` is.
    ///
    /// # Safety
    ///
    /// `w` must be the word of a living number, which stays so for the lifetime of the result.
    pub(crate) unsafe fn of(w: Word) -> Self {
        if word::is_small(w) {
            return Number::Small(word::small_value(w));
        }
        let p = word::address(w);
        // SAFETY: the caller's promise: a boxed number, its header first, its contents behind it.
        unsafe {
            let header = *p;
            match word::header_kind(header) {
                Object::Float => Number::Float(f64::from_bits(*p.add(1))),
                _ => Number::Big {
                    negative: word::header_aux(header) == 1,
                    limbs: std::slice::from_raw_parts(p.add(1), word::header_size(header)),
                },
            }
        }
    }

    /// Compares by value; an integer and a float of the same value are equal.
    pub(crate) fn cmp_value(self, other: Number<'_>) -> Ordering {
        match (self, other) {
            (Number::Small(a), Number::Small(b)) => a.cmp(&b),
            (Number::Float(a), Number::Float(b)) => a.partial_cmp(&b).expect("floats are finite"),
            (Number::Small(a), Number::Float(b)) => cmp_small_float(a, b),
            (Number::Float(a), Number::Small(b)) => cmp_small_float(b, a).reverse(),
            (Number::Big { negative, limbs }, Number::Float(b)) => cmp_big_float(negative, limbs, b),
            (Number::Float(a), Number::Big { negative, limbs }) => cmp_big_float(negative, limbs, a).reverse(),
            (Number::Big { negative: a, limbs: x }, Number::Big { negative: b, limbs: y }) => match (a, b) {
                (false, false) => cmp_magnitude(x, y),
                (true, true) => cmp_magnitude(y, x),
                _ => b.cmp(&a),
            },
            (Number::Big { negative, .. }, Number::Small(_)) => below_if(negative),
            (Number::Small(_), Number::Big { negative, .. }) => below_if(negative).reverse(),
        }
    }

    /// Compares so that only identical numbers are equal: at the same value an integer comes before a float, and -0.0
    /// before 0.0.
    pub(crate) fn cmp_exact(self, other: Number<'_>) -> Ordering {
        let rank = |n| match n {
            Number::Small(_) | Number::Big { .. } => 0,
            Number::Float(f) if f.is_sign_negative() => 1,
            Number::Float(_) => 2,
        };
        self.cmp_value(other).then_with(|| rank(self).cmp(&rank(other)))
    }

    /// Compares as in the keys of maps: every integer before every float, then by value, then -0.0 before 0.0.
    pub(crate) fn cmp_key(self, other: Number<'_>) -> Ordering {
        let is_float = |n| matches!(n, Number::Float(_));
        is_float(self).cmp(&is_float(other)).then_with(|| self.cmp_exact(other))
    }
}

fn below_if(negative: bool) -> Ordering {
    if negative { Ordering::Less } else { Ordering::Greater }
}

fn cmp_magnitude(x: &[u64], y: &[u64]) -> Ordering {
    x.len().cmp(&y.len()).then_with(|| x.iter().rev().cmp(y.iter().rev()))
}

fn cmp_small_float(a: i64, b: f64) -> Ordering {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if b >= TWO_63 {
        return Ordering::Less;
    }
    if b < -TWO_63 {
        return Ordering::Greater;
    }
    let whole = b.trunc();
    a.cmp(&(whole as i64)).then_with(|| 0.0_f64.partial_cmp(&(b - whole)).expect("floats are finite"))
}

fn cmp_big_float(negative: bool, limbs: &[u64], b: f64) -> Ordering {
    const TWO_59: f64 = 576_460_752_303_423_488.0;
    // A big integer's magnitude is at least 2^59, so a smaller float, or one of the other sign, is settled by the sign.
    if b.abs() < TWO_59 || b.is_sign_negative() != negative {
        return below_if(negative);
    }
    // From 2^53 on a float is an integer: 53 bits of mantissa, shifted.
    let bits = b.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as usize - 1075;
    let mantissa = u128::from(bits & ((1 << 52) - 1) | 1 << 52) << (exponent % 64);
    // The largest exponent of a float is 1023: of its first 53 bits, 971.
    let mut float = [0; 971 / 64 + 2];
    float[exponent / 64] = mantissa as u64;
    float[exponent / 64 + 1] = (mantissa >> 64) as u64;
    let n = float.iter().rposition(|limb| *limb != 0).map_or(0, |last| last + 1);
    let order = cmp_magnitude(limbs, &float[..n]);
    if negative { order.reverse() } else { order }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn big(i: i128) -> (bool, Vec<u64>) {
        let (l, n) = limbs(i);
        (i < 0, l[..n].to_vec())
    }

    proptest! {
        #[test]
        fn integers_and_floats_compare_as_numbers(a in any::<i128>(), shift in 0u32..68, b in -1e30f64..1e30) {
            let a = a >> shift; // small ones too
            let (negative, limbs) = big(a);
            let n = match i64::try_from(a).ok().filter(|i| word::small(*i).is_some()) {
                Some(i) => Number::Small(i),
                None => Number::Big { negative, limbs: &limbs },
            };
            // 1e30 fits an i128, so the float can be split into an integer and a fraction.
            let expected = a.cmp(&(b.trunc() as i128)).then_with(|| 0.0.partial_cmp(&b.fract()).unwrap());
            prop_assert_eq!(n.cmp_value(Number::Float(b)), expected);
            prop_assert_eq!(Number::Float(b).cmp_value(n), expected.reverse());
            let near = a as f64;
            let expected = if near >= 1.7e38 || near <= -1.7e38 { None } else { Some(a.cmp(&(near as i128))) };
            if let Some(expected) = expected {
                prop_assert_eq!(n.cmp_value(Number::Float(near)), expected);
            }
        }
    }

    #[test]
    fn the_exact_order_separates_what_is_equal_in_value() {
        assert_eq!(Number::Small(1).cmp_exact(Number::Float(1.0)), Ordering::Less);
        assert_eq!(Number::Float(-0.0).cmp_exact(Number::Float(0.0)), Ordering::Less);
        assert_eq!(Number::Small(0).cmp_exact(Number::Float(-0.0)), Ordering::Less);
        assert_eq!(Number::Small(2).cmp_exact(Number::Float(1.5)), Ordering::Greater);
    }

    #[test]
    fn a_magnitude_beyond_every_float() {
        let limbs = [0; 17].map(|_: u64| u64::MAX);
        assert_eq!(
            Number::Big { negative: false, limbs: &limbs }.cmp_value(Number::Float(f64::MAX)),
            Ordering::Greater
        );
        assert_eq!(Number::Big { negative: true, limbs: &limbs }.cmp_value(Number::Float(f64::MIN)), Ordering::Less);
    }
}
