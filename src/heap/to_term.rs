//! Rust values that become terms.

use super::Heap;
use crate::term::{Atom, Pid, Reference, Term};
use bytes::Bytes;

/// A Rust value that becomes a term, in [`term!`](crate::term!), [`Heap::list`] and [`Heap::map`].
///
/// Strings and byte slices become binaries, `bool` an atom, `Vec` a list, a tuple a tuple.
pub trait ToTerm<'h> {
    /// The term, built in `heap`.
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
    &str => |x, h| h.binary(x);
    &String => |x, h| h.binary(x);
    String => |x, h| h.bytes(Bytes::from(x));
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
}

/// What [`term!`](crate::term!) accepts as its first argument: a heap, or what dereferences to one.
#[doc(hidden)]
pub fn heap_of<'h>(heap: &Heap<'h>) -> Heap<'h> {
    *heap
}
