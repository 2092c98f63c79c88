//! Where the words of a term live.

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::InHeap {}
    impl Sealed for super::Outside {}
}

/// Where the words of a [`Term`](super::Term) live, as far as its type knows. Sealed: [`InHeap`] and [`Outside`].
///
/// ```
/// use shared_term::{Region, Term, term::Place};
/// fn sum<P: Place>(list: Term<'_, P>) -> i64 {
///     list.list().filter_map(|n| n.as_int()).sum()
/// }
/// let r = Region::build(|h| {
///     let list = h.list(1..4);
///     h.cons(h.int(sum(list)), list) // while it is built
/// });
/// assert_eq!(sum(r.root()), 6 + 1 + 2 + 3); // lent
/// ```
pub trait Place: sealed::Sealed + Copy + 'static {}

/// In the heap that the term's lifetime names, or in a literal that this heap may point to: the term may become part of
/// new terms of that heap.
///
/// ```
/// use shared_term::{Heap, Region, Term, term::InHeap};
/// fn push<'h>(h: Heap<'h>, stack: Term<'h, InHeap>, n: i64) -> Term<'h> {
///     h.cons(h.int(n), stack) // `Term<'h>` is the same type
/// }
/// let r = Region::build(|h| push(h, push(h, h.nil(), 1), 2));
/// assert_eq!(r.root().to_string(), "[2,1]");
/// ```
#[derive(Debug, Clone, Copy)]
pub enum InHeap {}

/// Kept alive by a borrow: the term may be read, and copied into a heap, but not linked.
///
/// ```
/// use shared_term::{Heap, Region, Term, term, term::Outside};
/// fn keep<'h>(h: Heap<'h>, lent: Term<'_, Outside>) -> Term<'h> {
///     h.copy(lent) // `lent` itself is of another type than what may be linked
/// }
/// let config = Region::build(|h| term!(h, {:limit, 10}));
/// let r = Region::build(|h| term!(h, [keep(h, config.root())]));
/// assert_eq!(r.root().to_string(), "[{limit,10}]");
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Outside {}

impl Place for InHeap {}
impl Place for Outside {}
