//! Walking lists.

use super::place::{InHeap, Place};
use super::view::Term;

/// The elements of a list; see [`Term::list`].
///
/// ```
/// # use shared_term::{Region, term, term::{List, Mismatch}};
/// let r = Region::build(|h| term!(h, {:sum, [1, 2, 3]}));
/// let (_, numbers): (shared_term::Atom, List<'_, _>) = r.root().get()?;
/// assert_eq!(numbers.filter_map(|n| n.as_int()).sum::<i64>(), 6);
/// assert_eq!(numbers.count(), 3, "it is `Copy`: another walk from the start");
/// # Ok::<(), Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct List<'h, P: Place = InHeap> {
    rest: Term<'h, P>,
}

impl<'h, P: Place> List<'h, P> {
    pub(super) fn new(rest: Term<'h, P>) -> Self {
        Self { rest }
    }

    /// What has not been walked yet: at the end nil, or the tail of an improper list.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| term!(h, [1, 2, ..3]));
    /// let mut list = r.root().list();
    /// assert_eq!(list.by_ref().count(), 2);
    /// assert_eq!(list.rest().as_int(), Some(3));
    /// ```
    pub fn rest(&self) -> Term<'h, P> {
        self.rest
    }
}

#[allow(clippy::copy_iterator, reason = "a word, as the term is; a copy of it is another walk")]
impl<'h, P: Place> Iterator for List<'h, P> {
    type Item = Term<'h, P>;

    #[inline]
    fn next(&mut self) -> Option<Term<'h, P>> {
        let (head, tail) = self.rest.cell()?;
        self.rest = tail;
        Some(head)
    }
}

impl<P: Place> std::iter::FusedIterator for List<'_, P> {}
