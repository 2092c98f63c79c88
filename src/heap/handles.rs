//! Handles on shared integers as terms: how processes share an [`Atomics`] or a [`Counters`].
//!
//! The term is a resource that holds a handle, so the array lives as long as any of its terms or handles. Copies of the
//! term, and terms made of other handles on the same array, are equal.

use super::{Heap, ToTerm};
use crate::term::{FromTerm, Mismatch, Place, Term};
use crate::{Atomics, Counters};

macro_rules! handle {
    ($($t:ty, $expected:literal;)*) => {$(
        /// A resource: its terms share the array. Four words, whatever the array's size.
        impl<'h> ToTerm<'h> for $t {
            fn to_term(self, heap: Heap<'h>) -> Term<'h> {
                heap.another_resource(self)
            }
        }

        impl<'h> ToTerm<'h> for &$t {
            fn to_term(self, heap: Heap<'h>) -> Term<'h> {
                self.clone().to_term(heap)
            }
        }

        /// Lent by the term: no reference count moves. What a turn uses that works on the array now and then.
        impl<'h, P: Place> FromTerm<'h, P> for &'h $t {
            fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
                term.resource().ok_or_else(|| Mismatch { expected: $expected, found: term.kind() })
            }
        }

        /// A handle of one's own, which outlives the term: one reference count.
        impl<'h, P: Place> FromTerm<'h, P> for $t {
            fn from_term(term: Term<'h, P>) -> Result<Self, Mismatch> {
                term.get::<&Self>().cloned()
            }
        }
    )*};
}

handle! {
    Atomics<i64>, "an `Atomics<i64>`";
    Atomics<u64>, "an `Atomics<u64>`";
    Counters, "a `Counters`";
}
