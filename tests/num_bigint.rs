//! Integers of any size, against `num-bigint` itself.

#![cfg(feature = "num-bigint")]

mod common;

use common::hash_of;
use num_bigint::{BigInt, Sign};
use proptest::prelude::*;
use shared_term::Region;
use shared_term::heap::OwnedHeap;

fn region(i: &BigInt) -> Region {
    Region::build(|h| h.num(i).unwrap())
}

/// Around the edges of what a word holds, and of what limbs hold; and any number.
fn integers() -> impl Strategy<Value = BigInt> {
    let edges = (prop_oneof![Just(0_u32), 57_u32..66, 120_u32..130, 185_u32..200], -2_i64..3, any::<bool>());
    let edges = edges.prop_map(|(bits, by, negative)| {
        let i = (BigInt::from(1) << bits) + by;
        if negative { -i } else { i }
    });
    let any = (any::<bool>(), prop::collection::vec(any::<u32>(), 0..12))
        .prop_map(|(negative, halves)| BigInt::new(if negative { Sign::Minus } else { Sign::Plus }, halves));
    prop_oneof![edges, any]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn integers_go_in_and_out_print_and_compare_as_they_do_there(a in integers(), b in integers()) {
        let (x, y) = (region(&a), region(&b));
        x.verify().unwrap();
        prop_assert_eq!(x.root().get::<BigInt>().unwrap(), a.clone());
        prop_assert_eq!(x.root().to_string(), a.to_string());
        prop_assert_eq!(x.root().cmp(&y.root()), a.cmp(&b));
        prop_assert_eq!(x.root() == y.root(), a == b);
        prop_assert_eq!(hash_of(x.root()) == hash_of(y.root()), a == b);
        // What has room in a Rust integer is the same term when it comes from there.
        if let Ok(i) = i128::try_from(&a) {
            let small = Region::build(|h| h.int(i));
            prop_assert_eq!(small.words(), x.words());
            prop_assert_eq!(small.root(), x.root());
            prop_assert_eq!(x.root().get::<i128>().unwrap(), i);
        }
        if let Ok(i) = i64::try_from(&a) {
            prop_assert_eq!(x.root().cmp(&Region::build(|h| h.int(i)).root()), std::cmp::Ordering::Equal);
        }
        // As a key, in a heap that moves.
        let mut heap = OwnedHeap::new(|h| h.map([(h.num(&a).unwrap(), 1), (h.num(&b).unwrap(), 2)]));
        heap.collect_minor().unwrap();
        heap.collect_minor().unwrap();
        heap.collect_major().unwrap();
        prop_assert_eq!(heap.root().lookup(y.root()).and_then(|v| v.as_int()), Some(2));
        prop_assert_eq!(heap.root().lookup(x.root()).and_then(|v| v.as_int()), Some(if a == b { 2 } else { 1 }));
        heap.verify().unwrap();
    }

    /// Exactly: as integers of that value, and before the float where they are the same.
    #[test]
    fn integers_and_floats_compare_by_value(a in integers(), mantissa in -(1_i64 << 53)..1 << 53, exponent in 0_u32..140) {
        let float = mantissa as f64 * 2_f64.powi(exponent as i32);
        let value = BigInt::from(mantissa) << exponent;
        let (x, f) = (region(&a), Region::build(|h| h.float(float).unwrap()));
        prop_assert_eq!(x.root().cmp_value(f.root()), a.cmp(&value));
        prop_assert_eq!(x.root().cmp(&f.root()), a.cmp(&value).then(std::cmp::Ordering::Less));
    }
}

#[test]
fn what_is_no_integer_is_a_mismatch() {
    let r = Region::build(|h| h.list(0..3));
    assert_eq!(r.root().get::<BigInt>().unwrap_err().expected, "an integer");
}
