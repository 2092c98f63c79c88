//! Typed extraction from terms.

use super::place::{InHeap, Place};
use super::view::{Kind, Term};
use super::{Atom, List, Map, Pid, Reference, RemotePid};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hash};

/// A term had another shape than the one asked for.
///
/// ```
/// # use shared_term::{Region, term, term::{Kind, Mismatch}};
/// let r = Region::build(|h| term!(h, {1, "two"}));
/// let error = r.root().get::<(i64, i64)>().unwrap_err();
/// assert_eq!(error.to_string(), "expected an integer of 64 bits, found Binary");
/// assert!(matches!(error, Mismatch { found: Kind::Binary, .. }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// What was asked for.
    pub expected: &'static str,
    /// What was there.
    pub found: Kind,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {:?}", self.expected, self.found)
    }
}

impl std::error::Error for Mismatch {}

/// Rust values that can be read out of a term, by [`Term::get`]. `&str` and `&[u8]` borrow from the heap.
///
/// ```
/// use shared_term::{Region, Term, term, term::{FromTerm, Mismatch, Place}};
/// #[derive(Debug, PartialEq)]
/// struct Point { x: i64, y: i64 }
/// impl<'h, P: Place> FromTerm<'h, P> for Point {
///     fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
///         let (x, y) = term.get()?;
///         Ok(Self { x, y })
///     }
/// }
/// let r = Region::build(|h| term!(h, [{1, 2}, {3, 4}]));
/// assert_eq!(r.root().get::<Vec<Point>>()?, [Point { x: 1, y: 2 }, Point { x: 3, y: 4 }]);
/// # Ok::<(), Mismatch>(())
/// ```
pub trait FromTerm<'h, P: Place = InHeap>: Sized {
    /// The value, if the term has its shape.
    ///
    /// # Errors
    ///
    /// When it has not.
    ///
    /// ```
    /// use shared_term::{Region, term::FromTerm};
    /// let r = Region::build(|h| h.int(300));
    /// assert_eq!(u16::from_term(r.root()), Ok(300));
    /// assert!(u8::from_term(r.root()).is_err(), "it does not fit");
    /// ```
    fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch>;
}

macro_rules! from_term {
    ($($t:ty => $method:ident, $expected:literal;)*) => {$(
        impl<'h, P: Place> FromTerm<'h, P> for $t {
            fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
                term.$method().ok_or_else(|| Mismatch { expected: $expected, found: term.kind() })
            }
        }
    )*};
}

from_term! {
    i64 => as_int, "an integer of 64 bits";
    f64 => as_float, "a float";
    Atom => as_atom, "an atom";
    bool => as_bool, "a boolean";
    Pid => as_pid, "a pid";
    Reference => as_reference, "a reference";
    RemotePid => as_remote_pid, "a pid of another node";
    &'h str => as_str, "a binary of UTF-8";
    &'h [u8] => as_bytes, "a binary";
    bytes::Bytes => to_bytes, "a binary";
    Map<'h, P> => as_map, "a map";
}

impl<'h, P: Place> FromTerm<'h, P> for Term<'h, P> {
    fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
        Ok(term)
    }
}

impl<'h, P: Place> FromTerm<'h, P> for String {
    fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
        term.get::<&str>().map(Self::from)
    }
}

impl<'h, P: Place> FromTerm<'h, P> for u64 {
    fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
        let mismatch = || Mismatch { expected: "an unsigned integer of 64 bits", found: term.kind() };
        match term.as_int() {
            Some(i) => Self::try_from(i).map_err(|_| mismatch()),
            None => match term.big().map(|b| (b.is_negative(), b.limbs())) {
                Some((false, &[limb])) => Ok(limb),
                _ => Err(mismatch()),
            },
        }
    }
}

impl<'h, P: Place> FromTerm<'h, P> for i128 {
    fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
        let wide = || term.big().and_then(|b| b.to_i128());
        let mismatch = || Mismatch { expected: "an integer of 128 bits", found: term.kind() };
        term.as_int().map(Self::from).or_else(wide).ok_or_else(mismatch)
    }
}

macro_rules! narrow {
    ($($t:ty, $expected:literal;)*) => {$(
        impl<'h, P: Place> FromTerm<'h, P> for $t {
            fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
                let mismatch = || Mismatch { expected: $expected, found: term.kind() };
                term.as_int().and_then(|i| i.try_into().ok()).ok_or_else(mismatch)
            }
        }
    )*};
}

narrow! {
    i32, "an integer of 32 bits";
    u8, "a byte";
    u16, "an unsigned integer of 16 bits";
    u32, "an unsigned integer of 32 bits";
    isize, "an integer of 64 bits";
}

impl<'h, P: Place> FromTerm<'h, P> for usize {
    fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
        u64::from_term(term).map(|i| i as Self)
    }
}

/// Lent: O(1), and nothing is said about the elements, or about how the list ends.
impl<'h, P: Place> FromTerm<'h, P> for List<'h, P> {
    fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
        match term.kind() {
            Kind::Nil | Kind::List => Ok(term.list()),
            found => Err(Mismatch { expected: "a list", found }),
        }
    }
}

/// The elements of a proper list, read out of it. O(n).
impl<'h, P: Place, T: FromTerm<'h, P>> FromTerm<'h, P> for Vec<T> {
    fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
        let mut list = term.get::<List<'h, P>>()?;
        let elements = list.by_ref().map(T::from_term).collect::<Result<_, _>>()?;
        if !list.rest().is_nil() {
            return Err(Mismatch { expected: "a proper list", found: list.rest().kind() });
        }
        Ok(elements)
    }
}

/// The pairs of a map, read out of it. O(n).
impl<'h, P: Place, K, V, S> FromTerm<'h, P> for HashMap<K, V, S>
where
    K: FromTerm<'h, P> + Eq + Hash,
    V: FromTerm<'h, P>,
    S: BuildHasher + Default,
{
    fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
        term.get::<Map<'h, P>>()?.iter().map(|(k, v)| Ok((k.get()?, v.get()?))).collect()
    }
}

/// The pairs of a map, read out of it. O(n log n).
impl<'h, P: Place, K: FromTerm<'h, P> + Ord, V: FromTerm<'h, P>> FromTerm<'h, P> for BTreeMap<K, V> {
    fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
        term.get::<Map<'h, P>>()?.iter().map(|(k, v)| Ok((k.get()?, v.get()?))).collect()
    }
}

macro_rules! tuples {
    ($($expected:literal $n:literal: $($t:ident $x:ident),+;)*) => {$(
        impl<'h, Q: Place, $($t: FromTerm<'h, Q>),+> FromTerm<'h, Q> for ($($t,)+) {
            fn from_term(term: Term<'h, Q>) -> Result<Self, Mismatch> {
                let Some(&[$($x),+]) = term.tuple_of::<$n>() else {
                    return Err(Mismatch { expected: $expected, found: term.kind() });
                };
                Ok(($($x.get()?,)+))
            }
        }
    )*};
}

tuples! {
    "a tuple of 1" 1: A a;
    "a tuple of 2" 2: A a, B b;
    "a tuple of 3" 3: A a, B b, C c;
    "a tuple of 4" 4: A a, B b, C c, D d;
    "a tuple of 5" 5: A a, B b, C c, D d, E e;
    "a tuple of 6" 6: A a, B b, C c, D d, E e, F f;
    "a tuple of 7" 7: A a, B b, C c, D d, E e, F f, G g;
    "a tuple of 8" 8: A a, B b, C c, D d, E e, F f, G g, H h;
}
