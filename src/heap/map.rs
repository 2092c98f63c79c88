//! Building maps: flat ones, and tries whose versions share what they have in common (see `term/map/node.rs` for the form).

use super::{Heap, ToTerm, make_room};
use crate::term::map::node::{self, Form, Found, LEVELS, Node, WAYS, form, slot};
use crate::term::map::{MAX_FLAT, position, position_among};
use crate::term::word::{self, Object, Word};
use crate::term::{Key, Map, Numbers, Place, Term, compare, equal, hash};
use std::cmp::Ordering;

/// A pair on its way into a trie.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    key: Word,
    value: Word,
    /// Which of the pairs it is: of equal keys, the last wins.
    nth: usize,
}

impl Entry {
    fn new(key: Term<'_>, value: Term<'_>, nth: usize) -> Self {
        // SAFETY: the key is a term of the heap that is being built in.
        Self { hash: unsafe { place_of(key.word()) }, key: key.word(), value: value.word(), nth }
    }
}

/// What a key is placed by.
///
/// # Safety
///
/// `key` must be the word of a living term.
unsafe fn place_of(key: Word) -> u64 {
    // SAFETY: the caller's promise.
    node::place(unsafe { hash(key) })
}

/// The order in which keys stand.
fn by_key<P: Place, Q: Place>(a: Term<'_, P>, b: Term<'_, Q>) -> Ordering {
    // SAFETY: both are alive while this runs.
    unsafe { compare(a.word(), b.word(), Numbers::Keys) }
}

/// The keys or the values of a flat map: those of one that is there, with some left out or put in between.
type Parts<'a, 'h> = [&'a [Term<'h>]; 3];

/// Changes to the words of a node: at an index, so many words give way to others. In order.
type Splices<'a> = [(usize, usize, &'a [Word]); 2];

/// Nothing changes here.
const NONE: (usize, usize, &[Word]) = (usize::MAX, 0, &[]);

/// The nodes from the root down to where a key is, or would be.
struct Path {
    nodes: [*const Word; LEVELS + 1],
    depth: usize,
}

impl<'h> Heap<'h> {
    /// A map of the pairs; of equal keys the last wins. Up to 32 pairs O(n log n) comparisons and 3 + 2n words; above, a
    /// hash per key, a sort of the hashes, and 2.2 n to 3.3 n words.
    ///
    /// The hash of a key takes O(words of the key), each time that it is looked up or inserted: nothing remembers it. A tower
    /// of n maps, each the key of the next, takes O(n^2).
    ///
    /// Hashes have no secret key: lookups stay O(log n) whoever chooses the keys, but an insertion copies all pairs whose
    /// keys hash alike. Where keys come from an adversary, bound them, or the heap (`max_heap_words`).
    ///
    /// ```
    /// # use shared_term::Region;
    /// let r = Region::build(|h| h.map([("b", 1), ("a", 2), ("b", 3)]));
    /// assert_eq!(r.root().to_string(), r#"#{<<"a">> => 2,<<"b">> => 3}"#);
    /// ```
    pub fn map<K: ToTerm<'h>, V: ToTerm<'h>>(self, pairs: impl IntoIterator<Item = (K, V)>) -> Term<'h> {
        let pairs = pairs.into_iter();
        let mut list = Vec::new();
        make_room(&mut list, pairs.size_hint().0);
        for (k, v) in pairs {
            make_room(&mut list, 1);
            list.push((k.to_term(self), v.to_term(self)));
        }
        self.map_of_pairs(list)
    }

    fn map_of_pairs(self, pairs: Vec<(Term<'h>, Term<'h>)>) -> Term<'h> {
        if pairs.len() <= MAX_FLAT {
            return self.flat_map(pairs);
        }
        let mut entries = Vec::new();
        make_room(&mut entries, pairs.len());
        entries.extend(pairs.iter().zip(0..).map(|(&(k, v), nth)| Entry::new(k, v, nth)));
        drop(pairs);
        // In place: a stable sort would need memory.
        entries.sort_unstable_by_key(|entry| (entry.hash, entry.nth));
        self.dedup(&mut entries);
        if entries.len() <= MAX_FLAT {
            return self.map(entries.iter().map(|e| (self.term(e.key), self.term(e.value))));
        }
        self.trie(&entries)
    }

    /// Of equal keys, which have one hash, the last stays; keys of one hash are sorted.
    fn dedup(self, entries: &mut Vec<Entry>) {
        let mut from = 0;
        while from < entries.len() {
            let mut to = from + 1;
            while to < entries.len() && entries[to].hash == entries[from].hash {
                to += 1;
            }
            if to - from > 1 {
                let same = &mut entries[from..to];
                same.sort_unstable_by(|a, b| {
                    by_key(self.term(a.key), self.term(b.key)).then_with(|| a.nth.cmp(&b.nth))
                });
            }
            from = to;
        }
        entries.dedup_by(|later, earlier| {
            // SAFETY: terms of this heap.
            let same = later.hash == earlier.hash && unsafe { equal(later.key, earlier.key) };
            if same {
                earlier.value = later.value;
            }
            same
        });
    }

    /// A map of at most 32 pairs, in any order; of equal keys the last wins.
    fn flat_map(self, mut pairs: Vec<(Term<'h>, Term<'h>)>) -> Term<'h> {
        pairs.sort_by(|(a, _), (b, _)| by_key(*a, *b));
        pairs.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1 = later.1;
            }
            same
        });
        let mut all = [[self.nil(); MAX_FLAT]; 2];
        for (i, (key, value)) in pairs.iter().enumerate() {
            (all[0][i], all[1][i]) = (*key, *value);
        }
        let [keys, values] = all.each_ref().map(|all| [&all[..pairs.len()], &[], &[]]);
        self.flat(keys, values)
    }

    /// A map from sorted, distinct keys, and as many values.
    fn flat(self, keys: Parts<'_, 'h>, values: Parts<'_, 'h>) -> Term<'h> {
        let n = keys.iter().map(|part| part.len()).sum();
        if n == 0 {
            return self.term(word::EMPTY_MAP);
        }
        let p = self.alloc(1 + n);
        // SAFETY: as many words were just allocated.
        unsafe {
            p.write(word::header(Object::Tuple, 0, n));
            self.store_parts(p.add(1), keys);
        }
        self.map_of(self.term(word::pointer(p, word::BOXED)), values)
    }

    /// A map from the tuple of its keys, of which there are some, and its values.
    fn map_of(self, keys: Term<'h>, values: Parts<'_, 'h>) -> Term<'h> {
        let n: usize = values.iter().map(|part| part.len()).sum();
        let p = self.alloc(2 + n);
        // SAFETY: as many words were just allocated.
        unsafe {
            p.write(word::header(Object::Map, 0, 1 + n));
            self.store(p.add(1), keys);
            self.store_parts(p.add(2), values);
        }
        self.term(word::pointer(p, word::BOXED))
    }

    /// As [`store_all`](Self::store_all), one part behind the other.
    ///
    /// # Safety
    ///
    /// As there, for all of them.
    unsafe fn store_parts(self, mut p: *mut Word, parts: Parts<'_, 'h>) {
        for part in parts {
            // SAFETY: the caller's promise.
            unsafe {
                self.store_all(p, part);
                p = p.add(part.len());
            }
        }
    }

    /// `map` with `value` at `key`, or `None` when it is no map. Up to 32 pairs O(n) words, of which a key that is there
    /// already shares the keys of the old map; above, O(log n) words, everything else being shared. A value that is the
    /// same word as the old one changes nothing.
    ///
    /// ```
    /// # use shared_term::{Atom, Region, term};
    /// let r = Region::build(|h| {
    ///     let m = term!(h, #{:a => 1});
    ///     let m = h.insert(m, h.atom(Atom::inline("b")), h.int(2)).unwrap();
    ///     h.insert(m, h.atom(Atom::inline("a")), h.int(3)).unwrap()
    /// });
    /// assert_eq!(r.root().to_string(), "#{a => 3,b => 2}");
    /// ```
    pub fn insert(self, map: Term<'h>, key: Term<'h>, value: Term<'h>) -> Option<Term<'h>> {
        let old = map.as_map()?;
        let Some((keys, values)) = old.as_flat() else { return Some(self.insert_large(map, key, value)) };
        let at = match position(keys, key) {
            Ok(i) if values[i].word() == value.word() => return Some(map),
            Ok(i) => {
                return Some(self.map_of(self.keys_of(map), [&values[..i], &[value], &values[i + 1..]]));
            }
            Err(at) => at,
        };
        if keys.len() == MAX_FLAT {
            return Some(self.map(old.iter().chain([(key, value)])));
        }
        Some(self.flat([&keys[..at], &[key], &keys[at..]], [&values[..at], &[value], &values[at..]]))
    }

    /// `map` without `key` (the same map when it has none), or `None` when it is no map. O(n) words up to 33 pairs, O(log n)
    /// above.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| h.remove(term!(h, #{"a" => 1, "b" => 2}), "a").unwrap());
    /// assert_eq!(r.root().to_string(), r#"#{<<"b">> => 2}"#);
    /// ```
    pub fn remove(self, map: Term<'h>, key: impl Key) -> Option<Term<'h>> {
        let old = map.as_map()?;
        let Some((keys, values)) = old.as_flat() else { return Some(self.remove_large(map, old, key)) };
        let Ok(i) = position(keys, key) else { return Some(map) };
        Some(self.flat([&keys[..i], &[], &keys[i + 1..]], [&values[..i], &[], &values[i + 1..]]))
    }

    /// The tuple of keys of a flat map that is not empty.
    #[allow(clippy::unused_self, reason = "the keys are of this heap, as the map is")]
    fn keys_of(self, map: Term<'h>) -> Term<'h> {
        // SAFETY: the first word of a map, after its header, is a term of the same heap.
        unsafe { Term::from_word(*word::address(map.word()).add(1)) }
    }

    /// A trie of the entries: more than 32, sorted by hash and, where that is the same, by key; no key twice.
    fn trie(self, entries: &[Entry]) -> Term<'h> {
        self.term(self.node_of(entries, 0))
    }

    /// A node on that level, of two entries or more. Goes no deeper than the levels that there are.
    fn node_of(self, entries: &[Entry], level: usize) -> Word {
        if level == LEVELS {
            let mut words = Vec::new();
            make_room(&mut words, 2 * entries.len());
            words.extend(entries.iter().flat_map(|e| [e.key, e.value]));
            return self.write_node(Form::Collisions, 0, 0, &words, [NONE; 2]);
        }
        let (mut data, mut nodes) = (0, 0);
        let (mut pairs, mut children) = ([0; 2 * WAYS], [0; WAYS]);
        let (mut n_pairs, mut n_children) = (0, 0);
        for group in entries.chunk_by(|a, b| slot(a.hash, level) == slot(b.hash, level)) {
            let slot = slot(group[0].hash, level);
            if let [entry] = group {
                data |= slot;
                pairs[n_pairs..][..2].copy_from_slice(&[entry.key, entry.value]);
                n_pairs += 2;
            } else {
                nodes |= slot;
                children[n_children] = self.node_of(group, level + 1);
                n_children += 1;
            }
        }
        let insert = (0, 0, &children[..n_children]);
        let (pairs, splices) = (&pairs[..n_pairs], [(n_pairs, insert.1, insert.2), NONE]);
        self.write_node(form(level), data | nodes << 16, entries.len(), pairs, splices)
    }

    /// Writes a node: `words`, with the splices made. The only place where nodes come into being.
    fn write_node(self, form: Form, bitmap: u32, count: usize, words: &[Word], splices: Splices<'_>) -> Word {
        let changed: usize = splices.iter().map(|(_, _, new)| new.len()).sum();
        let gone: usize = splices.iter().map(|(_, gone, _)| gone).sum();
        let contents = words.len() - gone + changed;
        let mut head = [0; 3];
        let bits = bitmap as usize | ((bitmap & 0xffff).count_ones() as usize) << 32;
        let int = |i| word::small(i as i64).expect("a map has fewer pairs than memory has words");
        let head = match form {
            Form::Root => {
                head = [word::header(Object::Hamt, 0, 2 + contents), int(count), int(bits)];
                &head[..]
            }
            Form::Inner => {
                head[..2].copy_from_slice(&[word::header(Object::Node, 0, 1 + contents), int(bits)]);
                &head[..2]
            }
            Form::Collisions => {
                head[0] = word::header(Object::Node, 1, contents);
                &head[..1]
            }
        };
        let p = self.alloc(head.len() + contents);
        // SAFETY: as many words were just allocated: the head and what the splices make of `words`, which are terms of this
        // heap or nodes, all noted.
        unsafe {
            p.copy_from_nonoverlapping(head.as_ptr(), head.len());
            let mut to = p.add(head.len());
            let mut from = 0;
            for (at, gone, new) in splices {
                let at = at.min(words.len());
                to = self.store_words(to, &words[from..at]);
                to = self.store_words(to, new);
                from = at + gone;
            }
            self.store_words(to, &words[from..]);
        }
        word::pointer(p, word::BOXED)
    }

    /// Writes words of terms and nodes, noted, and returns where to go on.
    ///
    /// # Safety
    ///
    /// `p` must be valid for as many words, just allocated; the words must be of this heap.
    #[inline(always)]
    unsafe fn store_words(self, p: *mut Word, words: &[Word]) -> *mut Word {
        let raw = self.raw();
        for (i, &w) in words.iter().enumerate() {
            raw.note(w);
            // SAFETY: the caller's promise.
            unsafe { p.add(i).write(w) };
        }
        // SAFETY: as above.
        unsafe { p.add(words.len()) }
    }

    /// A node like that of `path` at `level`, with other words; then its ancestors, down to the map.
    ///
    /// # Safety
    ///
    /// The nodes of `path` must be of a living map of this heap, and `hash` what it was made by.
    unsafe fn rebuild(
        self,
        path: &Path,
        level: usize,
        hash: u64,
        count: usize,
        bitmap: u32,
        splices: Splices<'_>,
    ) -> Term<'h> {
        // SAFETY: the caller's promise.
        unsafe {
            let old = Node::at(path.nodes[level], form(level));
            let mut child = self.write_node(form(level), bitmap, count, old.contents(), splices);
            for level in (0..level).rev() {
                let old = Node::at(path.nodes[level], form(level));
                let at = 2 * old.pairs() + old.child_rank(slot(hash, level));
                let bitmap = old.data | old.nodes << 16;
                child = self.write_node(form(level), bitmap, count, old.contents(), [(at, 1, &[child]), NONE]);
            }
            self.term(child)
        }
    }

    fn insert_large(self, map: Term<'h>, key: Term<'h>, value: Term<'h>) -> Term<'h> {
        let new = Entry::new(key, value, 1);
        let count = map.as_map().map_or(0, Map::len);
        let pair = [key.word(), value.word()];
        // SAFETY: the map is of this heap; what is found in it are its nodes, keys and values.
        unsafe {
            let path = Path::to(map, new.hash);
            let level = path.depth;
            let node = Node::at(path.nodes[level], form(level));
            let bitmap = node.data | node.nodes << 16;
            if level == LEVELS {
                return match position_among(&node, key) {
                    Ok(i) if *node.pair(i).add(1) == value.word() => map,
                    Ok(i) => self.rebuild(&path, level, new.hash, count, 0, [(2 * i + 1, 1, &pair[1..]), NONE]),
                    Err(i) => self.rebuild(&path, level, new.hash, count + 1, 0, [(2 * i, 0, &pair), NONE]),
                };
            }
            let slot = slot(new.hash, level);
            let Found::Pair(i) = node.find(slot) else {
                let splice = (2 * node.pair_rank(slot), 0, &pair[..]);
                return self.rebuild(&path, level, new.hash, count + 1, bitmap | slot, [splice, NONE]);
            };
            let (old_key, old_value) = (*node.pair(i), *node.pair(i).add(1));
            if equal(old_key, key.word()) {
                if old_value == value.word() {
                    return map;
                }
                return self.rebuild(&path, level, new.hash, count, bitmap, [(2 * i + 1, 1, &pair[1..]), NONE]);
            }
            // Two keys in one slot: they part further down.
            let mut both = [Entry { hash: place_of(old_key), key: old_key, value: old_value, nth: 0 }, new];
            both.sort_by(|a, b| a.hash.cmp(&b.hash).then_with(|| by_key(self.term(a.key), self.term(b.key))));
            let child = [self.node_of(&both, level + 1)];
            let at = 2 * node.pairs() + node.child_rank(slot);
            let bitmap = bitmap ^ slot ^ slot << 16;
            self.rebuild(&path, level, new.hash, count + 1, bitmap, [(2 * i, 2, &[]), (at, 0, &child)])
        }
    }

    fn remove_large(self, map: Term<'h>, old: Map<'h>, key: impl Key) -> Term<'h> {
        let hash = node::place(key.hash_key());
        let matches = |k: Word| {
            // SAFETY: a key of the map, which is alive.
            key.matches(unsafe { Term::from_word(k) })
        };
        // SAFETY: as in `insert_large`.
        unsafe {
            let path = Path::to(map, hash);
            let mut level = path.depth;
            let node = Node::at(path.nodes[level], form(level));
            let found = if level == LEVELS {
                position_among(&node, key).ok()
            } else {
                match node.find(slot(hash, level)) {
                    Found::Pair(i) if matches(*node.pair(i)) => Some(i),
                    _ => None,
                }
            };
            let Some(i) = found else { return map };
            let count = old.len() - 1;
            if count == MAX_FLAT {
                let gone = *node.pair(i);
                return self.map(old.iter().filter(|(k, _)| k.word() != gone));
            }
            let bit = |level| if level == LEVELS { 0 } else { slot(hash, level) };
            let bitmap = |node: &Node| node.data | node.nodes << 16;
            if level == 0 || node.pairs() + node.children() > 2 || node.children() > 0 {
                return self.rebuild(&path, level, hash, count, bitmap(&node) ^ bit(level), [(2 * i, 2, &[]), NONE]);
            }
            // One pair is left, and goes up, past every node that has nothing else.
            let other = node.pair(1 - i);
            let pair = [*other, *other.add(1)];
            loop {
                level -= 1;
                let node = Node::at(path.nodes[level], form(level));
                if level > 0 && node.pairs() == 0 && node.children() == 1 {
                    continue;
                }
                let slot = slot(hash, level);
                let at = 2 * node.pairs() + node.child_rank(slot);
                let splices = [(2 * node.pair_rank(slot), 0, &pair[..]), (at, 1, &[][..])];
                return self.rebuild(&path, level, hash, count, bitmap(&node) ^ slot ^ slot << 16, splices);
            }
        }
    }
}

impl Path {
    /// The nodes from the map's root down, as long as the hash leads to a child.
    ///
    /// # Safety
    ///
    /// `map` must be the term of a living trie.
    unsafe fn to(map: Term<'_>, hash: u64) -> Self {
        let mut path = Self { nodes: [std::ptr::null(); LEVELS + 1], depth: 0 };
        path.nodes[0] = word::address(map.word());
        while path.depth < LEVELS {
            // SAFETY: the caller's promise: a node of the map, of the form of its level, and a child's word.
            unsafe {
                let node = Node::at(path.nodes[path.depth], form(path.depth));
                let Found::Child(i) = node.find(slot(hash, path.depth)) else { break };
                path.nodes[path.depth + 1] = word::address(*node.child(i));
            }
            path.depth += 1;
        }
        path
    }
}
