//! `Atomics` through its public interface: the cases of OTP's `atomics_SUITE`, then what is ours.

use std::panic::catch_unwind;

use proptest::prelude::*;
use shared_term::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use shared_term::{AllocError, Atomics};

/// `rounds` under a plain run, few where an interpreter runs the test.
fn rounds(rounds: usize) -> usize {
    if cfg!(miri) { rounds / 1000 + 2 } else { rounds }
}

// --- atomics_SUITE ---

#[test]
fn signed() {
    for cells in [Atomics::<i64>::new(10), Atomics::padded(10)] {
        assert_eq!(cells.info().size, 10);
        for cell in &cells {
            assert_eq!(cell.load(SeqCst), 0);
            cell.store(3, SeqCst);
            assert_eq!(cell.fetch_add(14, SeqCst) + 14, 17);
            assert_eq!(cell.load(SeqCst), 17);
            assert_eq!(cell.fetch_sub(20, SeqCst) - 20, -3);
            assert_eq!(cell.swap(666, SeqCst), -3);
            assert_eq!(cell.compare_exchange(666, 777, SeqCst, SeqCst), Ok(666));
            assert_eq!(cell.compare_exchange(666, -666, SeqCst, SeqCst), Err(777));
        }
    }
}

#[test]
fn unsigned() {
    for cells in [Atomics::<u64>::new(10), Atomics::padded(10)] {
        assert_eq!(cells.len(), 10);
        for cell in &cells {
            assert_eq!(cell.load(SeqCst), 0);
            cell.store(3, SeqCst);
            assert_eq!(cell.fetch_add(14, SeqCst) + 14, 17);
            assert_eq!(cell.fetch_sub(17, SeqCst) - 17, 0);
            assert_eq!(cell.swap(666, SeqCst), 0);
            assert_eq!(cell.compare_exchange(666, 777, SeqCst, SeqCst), Ok(666));
            assert_eq!(cell.compare_exchange(666, 888, SeqCst, SeqCst), Err(777));
        }
    }
}

#[test]
fn bad() {
    assert_eq!(Atomics::<i64>::try_new(0).unwrap_err(), AllocError::ZeroLength);
    assert_eq!(Atomics::<i64>::try_padded(0).unwrap_err(), AllocError::ZeroLength);
    for len in [usize::MAX, 1 << 61, 1 << 60] {
        assert_eq!(Atomics::<u64>::try_new(len).unwrap_err(), AllocError::TooLong { len });
        assert_eq!(Atomics::<u64>::try_padded(len).unwrap_err(), AllocError::TooLong { len });
    }
    // Fits an address space and no machine: where OTP ends the virtual machine.
    assert_eq!(Atomics::<u64>::try_new(1 << 57).unwrap_err(), AllocError::OutOfMemory { bytes: 1 << 60 });
    assert!(catch_unwind(|| Atomics::<i64>::new(0)).is_err());
    assert!(catch_unwind(|| Atomics::<i64>::new(usize::MAX)).is_err());

    for cells in [Atomics::<i64>::new(10), Atomics::padded(10)] {
        for out_of_range in [10, 11, usize::MAX] {
            assert!(cells.get(out_of_range).is_none());
            assert!(catch_unwind(|| cells[out_of_range].load(Relaxed)).is_err());
        }
    }
}

#[test]
fn signed_limits() {
    let cells = Atomics::<i64>::new(1);
    let (min, max) = (cells.info().min, cells.info().max);
    assert_eq!((min, max), (i64::MIN, i64::MAX));
    assert_eq!(cells[0].fetch_add(max, SeqCst), 0);
    assert_eq!(cells[0].fetch_add(1, SeqCst).wrapping_add(1), min);
    assert_eq!(cells[0].fetch_sub(1, SeqCst).wrapping_sub(1), max);
    cells[0].store(0, SeqCst);
    // OTP's add takes up to 2^64 - 1 for both kinds; the bits are the same.
    assert_eq!(cells[0].fetch_add(u64::MAX as i64, SeqCst).wrapping_add(u64::MAX as i64), -1);
    // OTP's sub rejects what it cannot negate.
    assert_eq!(cells[0].fetch_sub(min, SeqCst).wrapping_sub(min), max);
}

#[test]
fn unsigned_limits() {
    let cells = Atomics::<u64>::new(1);
    assert_eq!((cells.info().min, cells.info().max), (0, u64::MAX));
    assert_eq!(cells[0].fetch_sub(1, SeqCst).wrapping_sub(1), u64::MAX);
    assert_eq!(cells[0].fetch_add(1, SeqCst).wrapping_add(1), 0);
    cells[0].store(u64::MAX, SeqCst);
    assert_eq!(cells[0].fetch_add(u64::MAX, SeqCst).wrapping_add(u64::MAX), u64::MAX - 1);
    assert_eq!(cells[0].compare_exchange(u64::MAX - 1, 7, SeqCst, SeqCst), Ok(u64::MAX - 1));
}

/// An error says what was wrong.
#[test]
fn error_info() {
    assert_eq!(Atomics::<i64>::try_new(0).unwrap_err().to_string(), "an array needs at least one cell");
    let too_long = Atomics::<u64>::try_padded(1 << 60).unwrap_err();
    assert_eq!(too_long.to_string(), "an array of 1152921504606846976 cells is larger than any allocation can be");
    let refused = Atomics::<u64>::try_new(1 << 57).unwrap_err();
    assert_eq!(refused.to_string(), "the allocator refused 1152921504606846976 bytes");
    for cells in [Atomics::<i64>::new(10), Atomics::padded(10)] {
        let payload = catch_unwind(|| cells[10].load(Relaxed)).unwrap_err();
        let message = payload.downcast_ref::<String>().expect("a message");
        assert_eq!(message, "index out of bounds: the len is 10 but the index is 10");
    }
}

// --- ours ---

#[test]
fn padded_cells_share_no_line() {
    let cells = Atomics::<u64>::padded(4);
    let addresses: Vec<usize> = cells.iter().map(|cell| std::ptr::from_ref(cell).addr()).collect();
    assert!(addresses.iter().all(|address| address.is_multiple_of(128)));
    assert!(addresses.windows(2).all(|pair| pair[1] - pair[0] == 128));
    assert!(cells.info().bytes > 4 * 128);
}

#[test]
fn packed_cells_are_a_slice() {
    let cells = Atomics::from_fn(4, |i| i as u64);
    let slice = cells.as_slice().unwrap();
    assert_eq!(size_of_val(slice), 32);
    assert!(cells.iter().zip(slice).all(|(a, b)| std::ptr::eq(a, b)));
    assert_eq!(cells.iter().rev().map(|cell| cell.load(Relaxed)).collect::<Vec<_>>(), [3, 2, 1, 0]);
    assert_eq!(cells.iter().len(), 4);
}

#[test]
fn debug_shows_the_values() {
    assert_eq!(format!("{:?}", Atomics::from_fn(3, |i| -(i as i64))), "Atomics [0, -1, -2]");
}

#[test]
#[should_panic(expected = "release")]
fn a_load_cannot_have_release_order() {
    let _ = Atomics::<i64>::new(1).load_all(Release);
}

#[test]
fn no_addition_is_lost() {
    let (threads, each) = (8, rounds(50_000));
    for cells in [Atomics::<u64>::new(3), Atomics::padded(3)] {
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let cells = cells.clone();
                scope.spawn(move || {
                    for round in 0..each {
                        cells[(thread + round) % 3].fetch_add(1, Relaxed);
                    }
                });
            }
        });
        assert_eq!(cells.load_all(Relaxed).iter().sum::<u64>(), (threads * each) as u64);
    }
}

/// The result of one mutation is the input of one following mutation at most.
#[test]
fn a_compare_exchange_has_one_winner() {
    let cells = Atomics::<u64>::new(1);
    let won = Atomics::<u64>::padded(4);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (cells, won) = (&cells, &won);
            scope.spawn(move || {
                for _ in 0..rounds(20_000) {
                    let seen = cells[0].load(Acquire);
                    if cells[0].compare_exchange(seen, seen + 1, AcqRel, Acquire).is_ok() {
                        won[thread].fetch_add(1, Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(cells[0].load(Relaxed), won.load_all(Relaxed).iter().sum::<u64>());
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Store(i64),
    Add(i64),
    Sub(i64),
    Swap(i64),
    CompareExchange(i64, i64),
}

fn op() -> impl Strategy<Value = Op> {
    let value = || prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -2..=2_i64];
    prop_oneof![
        value().prop_map(Op::Store),
        value().prop_map(Op::Add),
        value().prop_map(Op::Sub),
        value().prop_map(Op::Swap),
        (value(), value()).prop_map(|(expected, new)| Op::CompareExchange(expected, new)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// In both layouts a cell does what a plain integer does, and no other cell changes.
    #[test]
    fn a_cell_is_an_integer(ops in proptest::collection::vec((0..5_usize, op()), 0..60)) {
        for cells in [Atomics::<i64>::new(5), Atomics::padded(5)] {
            let mut model = [0_i64; 5];
            for &(i, op) in &ops {
                let (cell, was) = (&cells[i], model[i]);
                let (result, next) = match op {
                    Op::Store(value) => {
                        cell.store(value, Relaxed);
                        (was, value)
                    }
                    Op::Add(n) => (cell.fetch_add(n, Relaxed), was.wrapping_add(n)),
                    Op::Sub(n) => (cell.fetch_sub(n, Relaxed), was.wrapping_sub(n)),
                    Op::Swap(value) => (cell.swap(value, Relaxed), value),
                    Op::CompareExchange(expected, new) => {
                        let next = if was == expected { new } else { was };
                        let result = cell.compare_exchange(expected, new, Relaxed, Relaxed);
                        prop_assert_eq!(result.is_ok(), was == expected);
                        (result.unwrap_or_else(|actual| actual), next)
                    }
                };
                prop_assert_eq!(result, was);
                model[i] = next;
                prop_assert_eq!(cells.load_all(Relaxed), model);
            }
        }
    }
}
