//! What can keep the store from taking a value.

use super::Version;
use crate::heap::{HeapError, Region};
use std::fmt;

/// Why the store did not take a value. What was there stays.
///
/// ```
/// # use shared_term::{PersistentTerms, Region, persistent::StoreError};
/// let store = PersistentTerms::builder().max_retained_bytes(1000).build();
/// store.put("k", Region::build(|h| h.list(0..1000)))?;
/// let reader = store.pin();
/// store.erase("k");
/// let refused = store.put("k", Region::build(|h| h.int(1))).map_err(StoreError::from);
/// assert!(matches!(refused, Err(StoreError::Retained { limit: 1000, bytes: 16_000.. })));
/// drop(reader);
/// store.put("k", Region::build(|h| h.int(1)))?;
/// # Ok::<(), StoreError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// There was no memory.
    Heap(HeapError),
    /// As much as [may be](super::Builder::max_retained_bytes) waits to be freed: something holds the collection up, a
    /// turn that runs on or a guard that is kept, and each further replacement would be retained too.
    Retained {
        /// Bytes that wait to be freed.
        bytes: usize,
        /// As many may wait when a value is put.
        limit: usize,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heap(error) => error.fmt(f),
            Self::Retained { bytes, limit } => {
                write!(f, "{bytes} bytes of replaced values wait to be freed, over the limit of {limit}")
            }
        }
    }
}

impl std::error::Error for StoreError {}

impl From<HeapError> for StoreError {
    fn from(error: HeapError) -> Self {
        Self::Heap(error)
    }
}

/// A [`put`](super::PersistentTerms::put) that was refused. The value comes back.
///
/// ```
/// # use shared_term::{PersistentTerms, Region};
/// let store = PersistentTerms::builder().max_retained_bytes(0).build();
/// store.put("k", Region::build(|h| h.list(0..9)))?;
/// let reader = store.pin();
/// store.erase("k");
/// let error = store.put("k", Region::build(|h| h.list(0..10))).unwrap_err();
/// drop(reader);
/// store.put("k", error.into_value().unwrap())?; // the same region again
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[derive(Debug)]
pub struct PutError {
    pub(super) reason: StoreError,
    pub(super) value: Option<Region>,
}

impl PutError {
    /// Why.
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region, persistent::StoreError};
    /// # let store = PersistentTerms::builder().max_retained_bytes(0).build();
    /// # store.put("k", Region::build(|h| h.list(0..9)))?;
    /// # let reader = store.pin();
    /// # store.erase("k"); // its bytes wait for the reader, and none may
    /// let error = store.put("k", Region::build(|h| h.nil())).unwrap_err();
    /// assert!(matches!(error.reason(), StoreError::Retained { limit: 0, .. }));
    /// # Ok::<(), StoreError>(())
    /// ```
    pub fn reason(&self) -> StoreError {
        self.reason
    }

    /// The value, if it was a region. (A literal is still the caller's.)
    ///
    /// ```
    /// # use shared_term::{PersistentTerms, Region, persistent::StoreError};
    /// # let store = PersistentTerms::builder().max_retained_bytes(0).build();
    /// # let literal = store.literal(|h| h.list(0..3))?;
    /// # store.put("k", Region::build(|h| h.list(0..9)))?;
    /// # let reader = store.pin();
    /// # store.erase("k"); // its bytes wait for the reader, and none may
    /// let error = store.put("k", Region::build(|h| h.list(0..3))).unwrap_err();
    /// assert_eq!(error.into_value().unwrap().root().to_string(), "[0,1,2]");
    /// assert!(store.put("k", &literal).unwrap_err().into_value().is_none());
    /// # Ok::<(), StoreError>(())
    /// ```
    pub fn into_value(self) -> Option<Region> {
        self.value
    }
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for PutError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reason)
    }
}

impl From<PutError> for StoreError {
    fn from(error: PutError) -> Self {
        error.reason
    }
}

/// A [`put_new`](super::PersistentTerms::put_new) did not insert its value.
///
/// ```
/// # use shared_term::{PersistentTerms, Region, persistent::PutNewError};
/// let store = PersistentTerms::new();
/// let elect = |name: &str| match store.put_new("leader", Region::build(|h| h.binary(name))) {
///     Ok(()) => true,
///     Err(PutNewError::Exists(_)) => false,
///     Err(error) => panic!("{error}"),
/// };
/// assert_eq!((elect("a"), elect("b")), (true, false));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum PutNewError {
    /// The key has another value. Yours comes back.
    Exists(Region),
    /// The store did not take it. Your value comes back.
    Refused(StoreError, Region),
}

impl fmt::Display for PutNewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(_) => f.write_str("the key has another value"),
            Self::Refused(error, _) => error.fmt(f),
        }
    }
}

impl std::error::Error for PutNewError {}

/// A [`compare_and_put`](super::PersistentTerms::compare_and_put) did not put its value.
///
/// ```
/// # use shared_term::{PersistentTerms, Region, persistent::CompareError};
/// let store = PersistentTerms::new();
/// let mut mine = Region::build(|h| h.int(2));
/// store.put("k", Region::build(|h| h.int(1)))?;
/// let mut expected = None;
/// while let Err(error) = store.compare_and_put("k", expected, mine) {
///     let CompareError::Conflict { current, value } = error else { panic!("{error}") };
///     (expected, mine) = (current, value); // once more, over what is there
/// }
/// assert_eq!(store.read("k", |v| v.unwrap().as_int()), Some(2));
/// # Ok::<(), shared_term::persistent::StoreError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CompareError {
    /// The key has another version, or another value than none. Yours comes back.
    Conflict {
        /// The version of the value there is, if there is one.
        current: Option<Version>,
        /// Yours.
        value: Region,
    },
    /// The store did not take it. Your value comes back.
    Refused(StoreError, Region),
}

impl fmt::Display for CompareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { current: Some(_), .. } => f.write_str("the key has a value of another version"),
            Self::Conflict { current: None, .. } => f.write_str("the key has no value"),
            Self::Refused(error, _) => error.fmt(f),
        }
    }
}

impl std::error::Error for CompareError {}
