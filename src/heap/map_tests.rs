//! Random programs of map operations against `BTreeMap`s, with hashes that collide and hashes that do not.

use super::{Heap, OwnedHeap};
use crate::term::map::node::COLLIDE;
use crate::term::{Atom, Term, TermRef};
use proptest::prelude::*;
use proptest::sample::Index;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// A key, in the order of keys: integers before floats, and so on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Int(i128),
    /// Quarters.
    Float(i64),
    Atom(String),
    Tuple(i64, Box<Key>),
    /// Keys from 0 on: how many, and the value of one of them.
    Map(i64, i64),
    Binary(Vec<u8>),
}

impl Key {
    fn term<'h>(&self, h: Heap<'h>) -> Term<'h> {
        match self {
            Self::Int(i) => h.int(*i),
            Self::Float(q) => h.float(*q as f64 / 4.0).unwrap(),
            Self::Atom(name) => h.atom(Atom::new(name).unwrap()),
            Self::Tuple(i, key) => h.tuple(&[h.int(*i), key.term(h)]),
            Self::Map(n, v) => h.map((0..*n).map(|i| (i, if i == 7 { *v } else { 0 }))),
            Self::Binary(bytes) => h.binary(bytes),
        }
    }
}

fn keys() -> impl Strategy<Value = Key> {
    let leaf = prop_oneof![
        8 => (-20i128..60).prop_map(Key::Int),
        1 => (0u32..4).prop_map(|i| Key::Int(1i128 << (60 + i))),
        3 => (-40i64..40).prop_map(Key::Float),
        2 => (0..8).prop_map(|i| Key::Atom(format!("{}{i}", if i < 4 { "a" } else { "a_long_atom_" }))),
        1 => prop::collection::vec(0u8..3, 0..3).prop_map(Key::Binary),
        1 => (30i64..40, 0i64..3).prop_map(|(n, v)| Key::Map(n, v)),
    ];
    leaf.prop_recursive(2, 4, 1, |inner| (0i64..3, inner).prop_map(|(i, key)| Key::Tuple(i, Box::new(key))))
}

#[derive(Debug, Clone)]
enum Op {
    Build(Vec<(Key, i64)>),
    Insert(Index, Vec<(Key, i64)>),
    /// Keys of the map, and some that it may not have.
    Remove(Index, Vec<Index>, Vec<Key>),
    Lookup(Index, Vec<Key>),
    Forget(Index),
    CopyOver(Index),
    Collect(bool),
}

fn ops() -> impl Strategy<Value = Op> {
    let pairs = |n| prop::collection::vec((keys(), 0i64..3), 0..n);
    prop_oneof![
        2 => pairs(90).prop_map(Op::Build),
        4 => (any::<Index>(), pairs(20)).prop_map(|(m, pairs)| Op::Insert(m, pairs)),
        4 => (any::<Index>(), prop::collection::vec(any::<Index>(), 0..30), prop::collection::vec(keys(), 0..3))
            .prop_map(|(m, known, keys)| Op::Remove(m, known, keys)),
        2 => (any::<Index>(), prop::collection::vec(keys(), 0..10)).prop_map(|(m, keys)| Op::Lookup(m, keys)),
        1 => any::<Index>().prop_map(Op::Forget),
        1 => any::<Index>().prop_map(Op::CopyOver),
        2 => any::<bool>().prop_map(Op::Collect),
    ]
}

type Model = BTreeMap<Key, i64>;

/// Values are integers and the floats beside them, so that values can be equal and not the same.
fn value(h: Heap<'_>, v: i64) -> Term<'_> {
    if v == 2 { h.float(1.0).unwrap() } else { h.int(v) }
}

fn check(map: TermRef<'_>, model: &Model) {
    let m = map.as_map().unwrap();
    assert_eq!((m.len(), m.is_empty(), m.iter().len()), (model.len(), model.is_empty(), model.len()));
    assert_eq!(m.as_flat().is_some(), model.len() <= 32);
    let mut walked: Vec<_> = m.iter().collect();
    assert_eq!(walked.len(), model.len());
    if m.as_flat().is_none() {
        // SAFETY: both are alive.
        walked.sort_by(|a, b| unsafe { crate::term::compare(a.0.word(), b.0.word(), crate::term::Numbers::Keys) });
    }
    for ((k, v), (key, i)) in walked.iter().zip(model) {
        let expected = OwnedHeap::new(|h| h.tuple(&[key.term(h), value(h, *i)]));
        let Some([x, y]) = expected.root().tuple_of() else { panic!() };
        assert!(k == x && v == y, "{k} => {v} and {x} => {y}");
        assert_eq!(m.get(*x), Some(*v), "{x}");
    }
    assert!(m.keys().zip(m.values()).eq(m.iter()));
}

fn order(a: &Model, b: &Model, by_value: bool) -> Ordering {
    let values = |m: &Model| m.values().map(|v| if by_value { v.min(&1) } else { v }).copied().collect::<Vec<_>>();
    a.len().cmp(&b.len()).then_with(|| a.keys().cmp(b.keys())).then_with(|| values(a).cmp(&values(b)))
}

/// Heaps with a tuple of maps each, and what they should be.
#[derive(Debug)]
struct World {
    heaps: [OwnedHeap; 2],
    models: [Vec<Model>; 2],
}

impl World {
    fn change(&mut self, here: usize, i: usize, model: Model, f: impl for<'h> Fn(Heap<'h>, Term<'h>) -> Term<'h>) {
        let models = &mut self.models[here];
        self.heaps[here].turn(|h, root| {
            let mut maps = root.as_tuple().unwrap().to_vec();
            if i == maps.len() {
                maps.push(h.nil());
            }
            maps[i] = f(h, maps[i]);
            (h.tuple(&maps), ())
        });
        if i == models.len() {
            models.push(model);
        } else {
            models[i] = model;
        }
    }

    fn run(&mut self, here: usize, op: Op) {
        let n = self.models[here].len();
        match op {
            Op::Build(pairs) => {
                let model = pairs.iter().cloned().collect();
                self.change(here, n, model, |h, _| h.map(pairs.iter().map(|(k, v)| (k.term(h), value(h, *v)))));
            }
            _ if n == 0 => {}
            Op::Insert(map, pairs) => {
                let i = map.index(n);
                let mut model = self.models[here][i].clone();
                model.extend(pairs.iter().cloned());
                self.change(here, i, model, |h, map| {
                    pairs.iter().fold(map, |map, (k, v)| {
                        let (k, v) = (k.term(h), value(h, *v));
                        let before = h.used_words();
                        let map = h.insert(map, k, v).unwrap();
                        let used = h.used_words();
                        assert!(
                            h.insert(map, k, v) == Some(map) && h.used_words() == used,
                            "a map that has it already"
                        );
                        assert!(COLLIDE.get() != u64::MAX || used - before < 150, "{} words", used - before);
                        map
                    })
                });
            }
            Op::Remove(map, known, keys) => {
                let i = map.index(n);
                let mut model = self.models[here][i].clone();
                let known =
                    known.iter().filter(|_| !model.is_empty()).map(|k| model.keys().nth(k.index(model.len())).unwrap());
                let keys: Vec<_> = known.cloned().chain(keys).collect();
                model.retain(|k, _| !keys.contains(k));
                self.change(here, i, model, |h, map| {
                    keys.iter().fold(map, |map, k| {
                        let k = k.term(h);
                        let had = map.lookup(k).is_some();
                        let (less, used) = (h.remove(map, k).unwrap(), h.used_words());
                        assert!(less.lookup(k).is_none());
                        assert!(h.remove(less, k).unwrap().word() == less.word() && h.used_words() == used);
                        assert_eq!(less.as_map().unwrap().len() + usize::from(had), map.as_map().unwrap().len());
                        less
                    })
                });
            }
            Op::Lookup(map, keys) => {
                let i = map.index(n);
                let map = self.heaps[here].root().as_tuple().unwrap()[i];
                for key in keys {
                    let built = OwnedHeap::new(|h| key.term(h));
                    let expected = self.models[here][i].get(&key).map(|v| OwnedHeap::new(|h| value(h, *v)));
                    let is_expected = |found: Option<TermRef<'_>>| match (found, &expected) {
                        (Some(found), Some(expected)) => found == expected.root(),
                        (found, expected) => found.is_none() && expected.is_none(),
                    };
                    assert!(is_expected(map.lookup(built.root())));
                    // The same, by a key that is no term.
                    let found = match &key {
                        Key::Int(i) => map.lookup(*i),
                        Key::Atom(name) => map.lookup(Atom::new(name).unwrap()),
                        Key::Binary(bytes) => map.lookup(&bytes[..]),
                        Key::Tuple(i, inner) => match &**inner {
                            Key::Int(j) => map.lookup((*i, *j)),
                            _ => continue,
                        },
                        _ => continue,
                    };
                    assert!(is_expected(found));
                }
            }
            Op::Forget(map) => {
                let i = map.index(n);
                self.models[here].remove(i);
                self.heaps[here].turn(|h, root| {
                    let mut maps = root.as_tuple().unwrap().to_vec();
                    maps.remove(i);
                    (h.tuple(&maps), ())
                });
            }
            Op::CopyOver(map) => {
                let i = map.index(n);
                let model = self.models[here][i].clone();
                let copy = OwnedHeap::new(|h| h.copy(self.heaps[here].root().as_tuple().unwrap()[i]));
                let n = self.models[1 - here].len();
                self.change(1 - here, n, model, |h, _| h.copy(copy.root()));
            }
            Op::Collect(major) => {
                let live = self.heaps[here].root().size_words();
                if major {
                    self.heaps[here].collect_major().unwrap();
                    assert_eq!(self.heaps[here].used_words(), live);
                } else {
                    self.heaps[here].collect_minor().unwrap();
                }
            }
        }
        self.heaps[here].verify().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_of_map_operations_do_what_ordered_maps_do(
        // All of the hash; none of it; that of the first level, the last, the first and the last; a few bits here and there.
        mask in prop_oneof![
            4 => Just(u64::MAX), 1 => Just(0), 1 => Just(0xf << 60), 1 => Just(0xf), 1 => Just(3 << 61 | 3), 1 => any::<u64>(),
            1 => Just(0x8000_1000_0000_0100),
        ],
        program in prop::collection::vec((0usize..2, ops()), 1..12),
    ) {
        COLLIDE.set(mask);
        let empty = || OwnedHeap::new(|h| h.tuple(&[]));
        let mut world = World { heaps: [empty(), empty()], models: [vec![], vec![]] };
        for (here, op) in program {
            world.run(here, op);
        }
        let maps = |i: usize| world.heaps[i].root().as_tuple().unwrap().iter().copied().zip(&world.models[i]);
        let all: Vec<_> = maps(0).chain(maps(1)).collect();
        for (map, model) in &all {
            check(*map, model);
        }
        let hash = |t: TermRef<'_>| BuildHasherDefault::<DefaultHasher>::default().hash_one(t);
        for (i, (a, x)) in all.iter().enumerate() {
            for (b, y) in &all[i..] {
                assert_eq!(a.cmp(b), order(x, y, false), "{x:?} and {y:?}");
                assert_eq!(b.cmp(a), order(y, x, false));
                assert_eq!((a == b, b == a), (x == y, x == y), "{x:?} and {y:?}");
                assert_eq!(hash(*a) == hash(*b), x == y);
                assert_eq!(a.cmp_value(*b), order(x, y, true));
                assert_eq!(a.eq_value(*b), order(x, y, true).is_eq());
            }
        }
        COLLIDE.set(u64::MAX);
    }
}

/// What an adversary can make of a map who finds keys that all hash alike: lookups find their way, whatever is built stays in
/// proportion to the pairs, and an insertion or a removal copies the pairs once, and at most one node a level.
#[test]
fn keys_that_hash_alike_cost_no_more_than_a_copy_of_their_pairs() {
    COLLIDE.set(0);
    for n in [100, 1000, 4000] {
        let mut heap = OwnedHeap::new(|h| h.map((0..n).map(|i| (i, i))));
        let words = heap.used_words();
        assert!(words <= 2 * n as usize + 16 * 8, "{n} pairs take {words} words");
        let map = heap.root().as_map().unwrap();
        assert!((0..n).all(|i| map.get(i).and_then(|v| v.as_int()) == Some(i.into())) && map.get(n).is_none());
        for step in 0..4 {
            let before = heap.used_words();
            heap.turn(|h, map| match step {
                0 => (h.insert(map, h.int(n), h.nil()).unwrap(), ()),
                1 => (h.insert(map, h.int(n / 2), h.nil()).unwrap(), ()),
                2 => (h.remove(map, n / 3).unwrap(), ()),
                _ => (h.remove(map, n).unwrap(), ()),
            });
            let new = heap.used_words() - before;
            assert!(new <= 2 * (n as usize + 1) + 16 * 8, "{n} pairs, step {step}: {new} words");
        }
        heap.verify().unwrap();
    }
    COLLIDE.set(u64::MAX);
}
