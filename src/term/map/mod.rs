//! Reading maps.

pub(crate) mod node;

use super::key::Key;
use super::place::{InHeap, Outside, Place};
use super::view::Term;
use super::word;
use node::{Node, Walk};
use std::iter::FusedIterator;

type Terms<'h, P> = &'h [Term<'h, P>];

/// Pairs of the largest map that is sorted and flat; a larger one is a hash trie.
pub(crate) const MAX_FLAT: usize = 32;

/// A map. See [`Term::as_map`].
///
/// Up to 32 pairs it is flat: sorted keys, and the values beside them. Above that it is a hash trie of 16 ways, whose
/// versions share what they have in common. Two maps of the same pairs are equal, hash equally and walk in the same order,
/// however they came about.
///
/// | | up to 32 pairs | more |
/// |---|---|---|
/// | [`get`](Self::get) | a scan for an atom, a pid or an integer, else O(log n) comparisons | the key's hash, O(log n) words, one comparison |
/// | [`Heap::insert`](crate::Heap::insert), [`remove`](crate::Heap::remove) | O(n) words | O(log n) words: about 63 in a map of 10,000 |
/// | walking | sorted by key | the order of the hashes |
/// | words | 3 + 2n; maps of the same keys can share 1 + n of them | 2.2 n to 3.3 n |
///
/// Hashes have 64 bits and no secret: who knows how they are made, and finds many keys of one hash, makes inserting
/// those O(their number). Nothing becomes deeper than 16 levels, and looking up stays O(log n).
///
/// ```
/// use shared_term::{Region, term};
/// let r = Region::build(|h| {
///     let old = term!(h, #{"host" => "localhost", "port" => 80});
///     let new = h.insert(old, h.binary("port"), h.int(443)).unwrap();
///     term!(h, {old, new})
/// });
/// let Some([old, new]) = r.root().tuple_of() else { panic!() };
/// let (old, new) = (old.as_map().unwrap(), new.as_map().unwrap());
/// let changed: Vec<_> = new.iter().filter(|(k, v)| old.get(*k) != Some(*v)).map(|(k, _)| k.as_str()).collect();
/// assert_eq!((new.len(), changed), (2, vec![Some("port")]));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Map<'h, P: Place = InHeap>(Repr<'h, P>);

#[derive(Debug, Clone, Copy)]
enum Repr<'h, P: Place> {
    /// Keys, sorted in the order of keys, and their values.
    Flat(Terms<'h, P>, Terms<'h, P>),
    /// The word of a trie.
    Large(Term<'h, P>),
}

impl<'h, P: Place> Map<'h, P> {
    pub(super) fn flat(keys: &'h [Term<'h, P>], values: &'h [Term<'h, P>]) -> Self {
        Self(Repr::Flat(keys, values))
    }

    /// # Safety
    ///
    /// `map` must be of more than 32 pairs.
    pub(super) unsafe fn large(map: Term<'h, P>) -> Self {
        Self(Repr::Large(map))
    }

    /// How many pairs it has. O(1).
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| h.map((0..500).map(|i| (i % 100, i))));
    /// assert_eq!(r.root().as_map().unwrap().len(), 100);
    /// ```
    pub fn len(self) -> usize {
        match self.0 {
            Repr::Flat(keys, _) => keys.len(),
            // SAFETY: the word behind the header of such a map says how many.
            Repr::Large(map) => unsafe { word::small_value(*word::address(map.word()).add(1)) as usize },
        }
    }

    /// Has it no pairs?
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// assert!(Region::build(|h| term!(h, #{})).root().as_map().unwrap().is_empty());
    /// ```
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Keys and values of a map that is flat: keys in their order.
    pub(crate) fn as_flat(self) -> Option<(Terms<'h, P>, Terms<'h, P>)> {
        match self.0 {
            Repr::Flat(keys, values) => Some((keys, values)),
            Repr::Large(_) => None,
        }
    }

    /// The value at `key`, matched exactly. No allocation, and no key is built; see the [table](Self) for the cost.
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
        match self.0 {
            Repr::Flat(keys, values) => {
                let at = match key.immediate() {
                    // A word that needs no memory is the only one of its value.
                    Some(w) => keys.iter().position(|k| k.word() == w),
                    None => position(keys, key).ok(),
                };
                at.map(|i| values[i])
            }
            // SAFETY: the map lives for `'h`, and with it what is found in it; what is compared is its keys.
            Repr::Large(map) => unsafe {
                let found = node::lookup(
                    word::address(map.word()),
                    node::place(key.hash_key()),
                    |k| key.matches(Term::<Outside>::from_word(k)),
                    |node| position_among(node, key),
                );
                found.map(|p| Term::from_word(*p))
            },
        }
    }

    /// Is there a value at `key`? As [`get`](Self::get).
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| term!(h, #{1 => :one}));
    /// let m = r.root().as_map().unwrap();
    /// assert!(m.contains_key(1) && !m.contains_key("one"));
    /// ```
    pub fn contains_key(self, key: impl Key) -> bool {
        self.get(key).is_some()
    }

    /// Keys and values: of up to 32 pairs in the order of the keys (Erlang's: an integer comes before every float), of more
    /// in that of their hashes, which is the same for equal maps. No allocation; O(1) a pair.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| h.map((0..1000).map(|i| (i, i * i))));
    /// let m = r.root().as_map().unwrap();
    /// assert_eq!(m.iter().len(), 1000);
    /// assert!(m.iter().all(|(k, v)| v.as_int() == k.as_int().map(|i| i * i)));
    /// ```
    pub fn iter(self) -> MapIter<'h, P> {
        match self.0 {
            Repr::Flat(keys, values) => MapIter(Iter::Flat(keys.iter(), values.iter())),
            // SAFETY: the map lives for `'h`, and so long the iterator does.
            Repr::Large(map) => MapIter(Iter::Large(unsafe { Walk::new(word::address(map.word())) }, self.len())),
        }
    }

    /// The keys, as [`iter`](Self::iter) has them.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| term!(h, #{:b => 1, :a => 2}));
    /// let keys: Vec<_> = r.root().as_map().unwrap().keys().map(|k| k.to_string()).collect();
    /// assert_eq!(keys, ["a", "b"]);
    /// ```
    pub fn keys(self) -> impl ExactSizeIterator<Item = Term<'h, P>> + FusedIterator + Clone + use<'h, P> {
        self.iter().map(|(key, _)| key)
    }

    /// The values, in the order of [`keys`](Self::keys).
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| term!(h, #{:b => 1, :a => 2}));
    /// assert_eq!(r.root().as_map().unwrap().values().filter_map(|v| v.as_int()).collect::<Vec<_>>(), [2, 1]);
    /// ```
    pub fn values(self) -> impl ExactSizeIterator<Item = Term<'h, P>> + FusedIterator + Clone + use<'h, P> {
        self.iter().map(|(_, value)| value)
    }
}

impl<'h, P: Place> IntoIterator for Map<'h, P> {
    type Item = (Term<'h, P>, Term<'h, P>);
    type IntoIter = MapIter<'h, P>;

    fn into_iter(self) -> MapIter<'h, P> {
        self.iter()
    }
}

/// The index of `key` among sorted keys, or where it would stand.
pub(crate) fn position<P: Place>(keys: &[Term<'_, P>], key: impl Key) -> Result<usize, usize> {
    keys.binary_search_by(|k| key.cmp_term(k.to_ref()).reverse())
}

/// As [`position`], among the pairs of a node of collisions.
///
/// # Safety
///
/// The node must be of a living map.
pub(crate) unsafe fn position_among(node: &Node, key: impl Key) -> Result<usize, usize> {
    let (mut from, mut to) = (0, node.pairs());
    while from < to {
        let middle = usize::midpoint(from, to);
        // SAFETY: the caller's promise.
        match key.cmp_term(unsafe { Term::<Outside>::from_word(*node.pair(middle)) }) {
            std::cmp::Ordering::Equal => return Ok(middle),
            std::cmp::Ordering::Less => to = middle,
            std::cmp::Ordering::Greater => from = middle + 1,
        }
    }
    Err(from)
}

/// The pairs of a map; see [`Map::iter`].
///
/// ```
/// # use shared_term::{Region, term};
/// let r = Region::build(|h| h.map((0..100).map(|i| (i, 2 * i))));
/// let mut pairs = r.root().as_map().unwrap().into_iter();
/// let (key, value) = pairs.next().unwrap();
/// assert_eq!(value.as_int(), key.as_int().map(|i| 2 * i));
/// assert_eq!((pairs.len(), pairs.clone().count()), (99, 99));
/// ```
#[derive(Debug, Clone)]
pub struct MapIter<'h, P: Place = InHeap>(Iter<'h, P>);

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a walk lies on the stack, so that walking allocates nothing")]
enum Iter<'h, P: Place> {
    Flat(std::slice::Iter<'h, Term<'h, P>>, std::slice::Iter<'h, Term<'h, P>>),
    Large(Walk, usize),
}

impl<'h, P: Place> Iterator for MapIter<'h, P> {
    type Item = (Term<'h, P>, Term<'h, P>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Iter::Flat(keys, values) => Some((*keys.next()?, *values.next()?)),
            Iter::Large(walk, left) => {
                let pair = walk.next()?;
                *left -= 1;
                // SAFETY: `Map::iter`: the map lives for `'h`, and with it its keys and values.
                Some(unsafe { (Term::from_word(*pair), Term::from_word(*pair.add(1))) })
            }
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Iter::Flat(keys, _) => keys.len(),
            Iter::Large(_, left) => *left,
        };
        (left, Some(left))
    }
}

impl<P: Place> ExactSizeIterator for MapIter<'_, P> {}
impl<P: Place> FusedIterator for MapIter<'_, P> {}

// SAFETY: a walk only reads, as the terms that it gives do; and those are `Send` and `Sync` where they are `Outside`.
unsafe impl Send for MapIter<'_, Outside> {}
// SAFETY: as above.
unsafe impl Sync for MapIter<'_, Outside> {}

impl<'h, P: Place> Term<'h, P> {
    /// The same term, lent for as long as its heap is known to stand still.
    pub(crate) fn to_ref(self) -> super::TermRef<'h> {
        // SAFETY: what is reachable for `'h` stays so; an `Outside` term promises less.
        unsafe { super::TermRef::from_word(self.word()) }
    }
}
