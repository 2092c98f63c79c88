//! Reading maps.

use super::key::Key;
use super::view::{InHeap, Place, Term};

/// A map: keys in exact order, values beside them. See [`Term::as_map`].
#[derive(Debug, Clone, Copy)]
pub struct Map<'h, P: Place = InHeap> {
    keys: &'h [Term<'h, P>],
    values: &'h [Term<'h, P>],
}

impl<'h, P: Place> Map<'h, P> {
    pub(super) fn new(keys: &'h [Term<'h, P>], values: &'h [Term<'h, P>]) -> Self {
        Self { keys, values }
    }

    /// How many pairs it has. O(1).
    pub fn len(self) -> usize {
        self.keys.len()
    }

    /// Has it no pairs?
    pub fn is_empty(self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, sorted by the exact order.
    pub fn keys(self) -> &'h [Term<'h, P>] {
        self.keys
    }

    /// The values, in the order of their keys.
    pub fn values(self) -> &'h [Term<'h, P>] {
        self.values
    }

    /// The value at `key`, matched exactly. O(log n) comparisons; no key is built.
    ///
    /// ```
    /// # use shared_term::{Atom, Region, term};
    /// let r = Region::build(|h| term!(h, #{"k" => 1, :ok => 2, {1, "x"} => 3}));
    /// let m = r.root().as_map().unwrap();
    /// assert_eq!(m.get("k").unwrap().as_int(), Some(1));
    /// assert_eq!(m.get(Atom::OK).unwrap().as_int(), Some(2));
    /// assert_eq!(m.get((1, "x")).unwrap().as_int(), Some(3));
    /// assert!(m.get(1).is_none());
    /// ```
    pub fn get(self, key: impl Key) -> Option<Term<'h, P>> {
        self.position(key).ok().map(|i| self.values[i])
    }

    /// The index of `key`, or where it would stand.
    pub(crate) fn position(self, key: impl Key) -> Result<usize, usize> {
        self.keys.binary_search_by(|k| key.cmp_term(k.to_ref()).reverse())
    }

    /// Keys and values, in the order of the keys.
    pub fn iter(self) -> impl ExactSizeIterator<Item = (Term<'h, P>, Term<'h, P>)> + DoubleEndedIterator + use<'h, P> {
        self.keys.iter().copied().zip(self.values.iter().copied())
    }
}

impl<'h, P: Place> Term<'h, P> {
    /// The same term, lent for as long as its heap is known to stand still.
    pub(crate) fn to_ref(self) -> super::TermRef<'h> {
        // SAFETY: what is reachable for `'h` stays so; an `Outside` term promises less.
        unsafe { super::TermRef::from_word(self.word()) }
    }
}
