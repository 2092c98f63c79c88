//! Heaps and regions, as a user sees them.

#![cfg(feature = "term")]

use shared_term::heap::OwnedHeap;
use shared_term::{Region, term};

#[test]
fn a_deep_list_is_handled_without_recursion() {
    const DEPTH: usize = 1_000_000;
    let build = || {
        Region::build(|h| {
            let mut t = h.nil();
            for _ in 0..DEPTH {
                t = h.cons(t, h.nil());
            }
            t
        })
    };
    let (a, b) = (build(), build());
    assert!(a.root() == b.root());
    let hash = |r: &Region| {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        BuildHasherDefault::<DefaultHasher>::default().hash_one(r.root())
    };
    assert_eq!(hash(&a), hash(&b));
    assert_eq!(a.root().to_string().len(), 2 * DEPTH + 2);
    let copy = Region::copy_of(a.root());
    assert!(copy.root() == a.root());
    assert_eq!(copy.words(), 2 * DEPTH);
    copy.verify().unwrap();
    let mut heap = OwnedHeap::new(|h| h.copy(a.root()));
    assert_eq!(heap.collect().unwrap().live_words, 2 * DEPTH);
    heap.verify().unwrap();
    assert!(heap.root() == a.root());
}

#[test]
fn sharing_survives_a_copy_and_a_collection() {
    let dag = Region::build(|h| {
        let mut t = term!(h, [1, 2]);
        for _ in 0..60 {
            t = h.tuple(&[t, t]);
        }
        t
    });
    assert_eq!(dag.words(), 4 + 60 * 3);
    let copy = Region::copy_of(dag.root());
    assert_eq!(copy.words(), dag.words());
    let mut heap = OwnedHeap::new(|h| h.copy(dag.root()));
    assert_eq!(heap.collect().unwrap().live_words, dag.words());
    assert!(heap.root() == dag.root() && copy.root() == dag.root());
    assert_eq!(heap.root().cmp(&dag.root()), std::cmp::Ordering::Equal);
    heap.verify().unwrap();
}
