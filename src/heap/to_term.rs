//! Rust values that become terms.

use super::Heap;
use crate::term::{Atom, Pid, Reference, RemotePid, Term};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

/// A Rust value that becomes a term, in [`term!`](crate::term!), [`Heap::list`] and [`Heap::map`].
///
/// Strings and byte slices become binaries, `bool` an atom, `Vec` a list, a tuple a tuple, `HashMap` and `BTreeMap` a map.
///
/// ```
/// use shared_term::{Heap, Region, Term, heap::ToTerm, term};
/// struct Point { x: i64, y: i64 }
/// impl<'h> ToTerm<'h> for &Point {
///     fn to_term(self, heap: Heap<'h>) -> Term<'h> {
///         term!(heap, {:point, self.x, self.y})
///     }
/// }
/// let path = [Point { x: 1, y: 2 }, Point { x: 3, y: 4 }];
/// let r = Region::build(|h| term!(h, {:path, h.list(&path)}));
/// assert_eq!(r.root().to_string(), "{path,[{point,1,2},{point,3,4}]}");
/// ```
pub trait ToTerm<'h> {
    /// The term, built in `heap`.
    ///
    /// ```
    /// use shared_term::{Region, heap::ToTerm};
    /// use std::collections::BTreeMap;
    /// let ports = BTreeMap::from([("http", 80), ("https", 443)]);
    /// let r = Region::build(|h| ports.to_term(h));
    /// assert_eq!(r.root().lookup("https").unwrap().as_int(), Some(443));
    /// ```
    fn to_term(self, heap: Heap<'h>) -> Term<'h>;
}

impl<'h> ToTerm<'h> for Term<'h> {
    #[inline]
    fn to_term(self, _: Heap<'h>) -> Term<'h> {
        self
    }
}

impl<'h> ToTerm<'h> for &Term<'h> {
    #[inline]
    fn to_term(self, _: Heap<'h>) -> Term<'h> {
        *self
    }
}

macro_rules! to_term {
    ($($t:ty => |$x:ident, $h:ident| $term:expr;)*) => {$(
        impl<'h> ToTerm<'h> for $t {
            #[inline]
            fn to_term(self, $h: Heap<'h>) -> Term<'h> {
                let $x = self;
                $term
            }
        }
    )*};
}

to_term! {
    i8 => |x, h| h.int(x);
    i16 => |x, h| h.int(x);
    i32 => |x, h| h.int(x);
    i64 => |x, h| h.int(x);
    i128 => |x, h| h.int(x);
    u8 => |x, h| h.int(x);
    u16 => |x, h| h.int(x);
    u32 => |x, h| h.int(x);
    u64 => |x, h| h.int(x);
    usize => |x, h| h.int(x as u64);
    isize => |x, h| h.int(x as i64);
    bool => |x, h| h.atom(Atom::from(x));
    Atom => |x, h| h.atom(x);
    Pid => |x, h| h.pid(x);
    Reference => |x, h| h.reference(x);
    RemotePid => |x, h| h.remote_pid(x);
    &str => |x, h| h.binary(x);
    &String => |x, h| h.binary(x);
    String => |x, h| h.own_bytes(x.into_bytes());
    &[u8] => |x, h| h.binary(x);
    Bytes => |x, h| h.bytes(x);
    () => |_x, h| h.tuple(&[]);
}

/// # Panics
///
/// For NaN and the infinities, which terms do not have; [`Heap::float`] gives `None` instead.
impl<'h> ToTerm<'h> for f64 {
    fn to_term(self, heap: Heap<'h>) -> Term<'h> {
        heap.float(self).expect("a term's float is finite")
    }
}

/// A copy.
impl<'h> ToTerm<'h> for crate::TermRef<'_> {
    fn to_term(self, heap: Heap<'h>) -> Term<'h> {
        heap.copy(self)
    }
}

impl<'h, T: ToTerm<'h>> ToTerm<'h> for Vec<T> {
    fn to_term(self, heap: Heap<'h>) -> Term<'h> {
        heap.list(self)
    }
}

/// A binary, as `b"bytes"` is one.
impl<'h, const N: usize> ToTerm<'h> for &[u8; N] {
    fn to_term(self, heap: Heap<'h>) -> Term<'h> {
        heap.binary(self)
    }
}

impl<'h, K: ToTerm<'h>, V: ToTerm<'h>, S> ToTerm<'h> for HashMap<K, V, S> {
    fn to_term(self, heap: Heap<'h>) -> Term<'h> {
        heap.map(self)
    }
}

impl<'h, K: ToTerm<'h>, V: ToTerm<'h>> ToTerm<'h> for BTreeMap<K, V> {
    fn to_term(self, heap: Heap<'h>) -> Term<'h> {
        heap.map(self)
    }
}

macro_rules! tuples {
    ($($($t:ident $x:ident),+;)*) => {$(
        impl<'h, $($t: ToTerm<'h>),+> ToTerm<'h> for ($($t,)+) {
            fn to_term(self, heap: Heap<'h>) -> Term<'h> {
                let ($($x,)+) = self;
                heap.tuple(&[$($x.to_term(heap)),+])
            }
        }
    )*};
}

tuples! {
    A a;
    A a, B b;
    A a, B b, C c;
    A a, B b, C c, D d;
    A a, B b, C c, D d, E e;
    A a, B b, C c, D d, E e, F f;
    A a, B b, C c, D d, E e, F f, G g;
    A a, B b, C c, D d, E e, F f, G g, H h;
}

/// What [`term!`](crate::term!) accepts as its first argument: a heap, or what dereferences to one.
#[doc(hidden)]
pub fn heap_of<'h>(heap: &Heap<'h>) -> Heap<'h> {
    *heap
}

/// A part of a binary in [`term!`](crate::term!): a byte or a string.
#[doc(hidden)]
pub trait Segment {
    fn append(self, bytes: &mut Vec<u8>);
}

impl Segment for u8 {
    fn append(self, bytes: &mut Vec<u8>) {
        super::make_room(bytes, 1);
        bytes.push(self);
    }
}

impl Segment for &str {
    fn append(self, bytes: &mut Vec<u8>) {
        super::make_room(bytes, self.len());
        bytes.extend_from_slice(self.as_bytes());
    }
}

impl<const N: usize> Segment for &[u8; N] {
    fn append(self, bytes: &mut Vec<u8>) {
        super::make_room(bytes, N);
        bytes.extend_from_slice(self);
    }
}
