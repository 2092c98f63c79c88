//! Wide integers, as they are read.

/// An integer that does not fit an `i64`, in sign and magnitude.
///
/// ```
/// # use shared_term::{Region, term::View};
/// let r = Region::build(|h| h.list([i128::from(u64::MAX), -(1 << 100)]));
/// let wide: Vec<_> = r.root().list().map(|n| n.view()).collect();
/// let [View::BigInt(a), View::BigInt(b)] = &wide[..] else { panic!() };
/// assert_eq!((a.to_i128(), b.limbs(), b.is_negative()), (Some(u64::MAX.into()), &[0, 1 << 36][..], true));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BigInt<'h> {
    pub(super) negative: bool,
    pub(super) limbs: &'h [u64],
}

impl<'h> BigInt<'h> {
    /// The most limbs that an integer may have: 4,194,240 bits, as in OTP.
    ///
    /// ```
    /// # use shared_term::{Region, term::BigInt};
    /// Region::build(|h| h.big_int(false, &[1; BigInt::MAX_LIMBS]).unwrap());
    /// ```
    pub const MAX_LIMBS: usize = 65_535;

    /// Is it below zero?
    ///
    /// ```
    /// # use shared_term::{Region, term::View};
    /// let r = Region::build(|h| h.int(i128::MIN));
    /// assert!(matches!(r.root().view(), View::BigInt(n) if n.is_negative()));
    /// ```
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The magnitude, least significant limb first; the last limb is not zero.
    ///
    /// ```
    /// # use shared_term::{Region, term::View};
    /// let r = Region::build(|h| h.big_int(false, &[1, 2, 3]).unwrap());
    /// let View::BigInt(n) = r.root().view() else { panic!() };
    /// assert_eq!(n.limbs(), [1, 2, 3]); // 1 + 2 * 2^64 + 3 * 2^128
    /// ```
    pub fn limbs(&self) -> &'h [u64] {
        self.limbs
    }

    /// The value, if it fits an `i128`.
    ///
    /// ```
    /// # use shared_term::{Region, term::View};
    /// let r = Region::build(|h| h.list([h.int(i128::MAX), h.big_int(false, &[0, 1 << 63]).unwrap()]));
    /// let wide = r.root().list().map(|n| if let View::BigInt(n) = n.view() { n.to_i128() } else { panic!() });
    /// assert_eq!(wide.collect::<Vec<_>>(), [Some(i128::MAX), None]);
    /// ```
    pub fn to_i128(&self) -> Option<i128> {
        let magnitude = match *self.limbs {
            [low] => u128::from(low),
            [low, high] => u128::from(high) << 64 | u128::from(low),
            _ => return None,
        };
        if self.negative { 0i128.checked_sub_unsigned(magnitude) } else { i128::try_from(magnitude).ok() }
    }
}
