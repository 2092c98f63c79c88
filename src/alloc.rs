//! Allocation whose failure is a value.

use std::fmt;

/// Why an array of cells could not be made. Asking for too much is an error value here, never an abort.
///
/// ```
/// use shared_term::{AllocError, Atomics, Counters};
///
/// assert_eq!(Atomics::<i64>::try_new(0).unwrap_err(), AllocError::ZeroLength);
/// assert!(matches!(Counters::try_new(usize::MAX), Err(AllocError::TooLong { .. })));
/// println!("{}", Atomics::<u64>::try_new(usize::MAX / 32).unwrap_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AllocError {
    /// An array of no cells was asked for.
    ZeroLength,
    /// The array is larger than any allocation can be.
    TooLong {
        /// The number of cells asked for.
        len: usize,
    },
    /// The allocator refused.
    OutOfMemory {
        /// The size that it refused.
        bytes: usize,
    },
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroLength => f.write_str("an array needs at least one cell"),
            Self::TooLong { len } => write!(f, "an array of {len} cells is larger than any allocation can be"),
            Self::OutOfMemory { bytes } => write!(f, "the allocator refused {bytes} bytes"),
        }
    }
}

impl std::error::Error for AllocError {}

/// A slice of `len` elements, the `i`th made by `make(i)`.
pub(crate) fn try_boxed<T>(len: usize, mut make: impl FnMut(usize) -> T) -> Result<Box<[T]>, AllocError> {
    let bytes = len.checked_mul(size_of::<T>()).filter(|&bytes| isize::try_from(bytes).is_ok());
    let bytes = bytes.ok_or(AllocError::TooLong { len })?;
    let mut elements = Vec::new();
    elements.try_reserve_exact(len).map_err(|_| AllocError::OutOfMemory { bytes })?;
    elements.extend((0..len).map(&mut make));
    Ok(elements.into_boxed_slice())
}
