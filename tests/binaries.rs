//! Binaries outside the heap: sharing, appending in place, and what they keep alive.

#![cfg(feature = "term")]

mod common;

use bytes::Bytes;
use common::{Tracker, panics};
use proptest::prelude::*;
use shared_term::heap::{COPY_OUT, OwnedHeap};
use shared_term::{Region, Term, heap::Heap, term};

#[test]
fn bytes_come_in_and_go_out_without_a_copy() {
    let bytes = Bytes::from(vec![7; 1000]);
    let r = Region::build(|h| {
        let b = h.bytes(bytes.clone());
        h.tuple(&[b, h.slice(b, 100..900).unwrap()])
    });
    let r = Region::copy_of(r.root());
    let [whole, part] = *r.root().tuple_of().unwrap();
    assert_eq!(whole.to_bytes().unwrap().as_ptr(), bytes.as_ptr());
    assert_eq!(part.to_bytes().unwrap().as_ptr(), bytes[100..].as_ptr());
    assert_eq!(part.as_bytes().unwrap(), &bytes[100..900]);
}

#[test]
fn appending_is_in_place_but_for_a_few_times() {
    let mut heap = OwnedHeap::new(|h| h.binary(""));
    let (mut moves, mut last) = (0, std::ptr::null());
    for i in 0..20_000_u32 {
        heap.turn(|h, b| (h.append(b, i.to_le_bytes()).unwrap(), ()));
        let now = heap.root().as_bytes().unwrap().as_ptr();
        moves += usize::from(now != last && heap.root().as_bytes().unwrap().len() > 64);
        last = now;
        if i % 1000 == 0 {
            heap.collect_minor().unwrap();
        }
        if i % 3000 == 0 {
            heap.collect_major().unwrap();
        }
    }
    let expected: Vec<_> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(heap.root().as_bytes().unwrap(), expected);
    heap.verify().unwrap();
    // Buffers of 256 bytes to 128 KiB, and one for each time that a collection may have... copied none.
    assert!(moves <= 12, "{moves}");
}

#[test]
fn nobody_appends_over_what_another_appended() {
    let base = "x".repeat(100);
    let a = Region::build(|h| h.append(h.binary(&base), "a").unwrap());
    // Copies: in another heap, in this one, as bytes.
    let copy = Region::build(|h| h.append(h.copy(a.root()), "b").unwrap());
    let out = a.root().to_bytes().unwrap();
    let mut heap = OwnedHeap::new(|h| h.adopt(a));
    heap.turn(|h, a| {
        let (one, two) = (h.append(a, "1").unwrap(), h.append(a, "2").unwrap());
        let three = h.append(one, "3").unwrap();
        (h.list([a, one, two, three]), ())
    });
    let all: Vec<_> = heap.root().list().map(|b| b.as_str().unwrap()[100..].to_owned()).collect();
    assert_eq!(all, ["a", "a1", "a2", "a13"]);
    assert_eq!(&copy.root().as_str().unwrap()[100..], "ab");
    assert_eq!(&out[100..], b"a");
    heap.verify().unwrap();
}

#[test]
fn appending_gives_nothing_for_what_is_no_binary_and_the_same_for_nothing() {
    let _ = Region::build(|h| {
        assert!(h.append(h.nil(), "x").is_none());
        let b = h.binary("abc");
        assert_eq!(h.append(b, "").unwrap(), b);
        assert_eq!(h.append(b, "def").unwrap().as_str(), Some("abcdef"));
        assert_eq!(h.append(h.binary("a".repeat(64)), "b").unwrap().as_bytes().unwrap().len(), 65);
        let own = h.append(h.binary("b".repeat(70)), "c").unwrap();
        assert_eq!(h.append(own, own.as_bytes().unwrap()).unwrap().as_bytes().unwrap().len(), 142);
        h.nil()
    });
}

/// What to do with which of the binaries so far.
#[derive(Debug, Clone)]
enum Step {
    Append(usize, Vec<u8>),
    Slice(usize, usize, usize),
    Copy(usize),
    Minor,
    Major,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<usize>(), prop::collection::vec(any::<u8>(), 0..120)).prop_map(|(i, b)| Step::Append(i, b)),
        2 => any::<(usize, usize, usize)>().prop_map(|(i, a, b)| Step::Slice(i, a, b)),
        1 => any::<usize>().prop_map(Step::Copy),
        1 => Just(Step::Minor),
        1 => Just(Step::Major),
    ]
}

fn nth(list: Term<'_>, i: usize) -> Term<'_> {
    let n = list.list().count();
    list.list().nth(i % n).unwrap()
}

fn change(heap: &mut OwnedHeap, f: impl for<'h> FnOnce(Heap<'h>, Term<'h>) -> Term<'h>) {
    heap.turn(|h, list| (h.cons(f(h, list), list), ()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 300 }))]
    #[test]
    fn binaries_are_what_vectors_are(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = vec![b"begin".to_vec()];
        let mut heap = OwnedHeap::new(|h| h.list(["begin"]));
        for step in steps {
            let n = model.len();
            match step {
                Step::Append(i, more) => {
                    model.insert(0, [&model[i % n][..], &more].concat());
                    change(&mut heap, |h, list| h.append(nth(list, i), &more).unwrap());
                }
                Step::Slice(i, a, b) => {
                    let old = &model[i % n];
                    let (a, b) = (a % (old.len() + 1), b % (old.len() + 1));
                    let range = a.min(b)..a.max(b);
                    model.insert(0, old[range.clone()].to_vec());
                    change(&mut heap, |h, list| h.slice(nth(list, i), range).unwrap());
                }
                Step::Copy(i) => {
                    model.insert(0, model[i % n].clone());
                    change(&mut heap, |h, list| h.copy(nth(list, i)));
                }
                Step::Minor => _ = heap.collect_minor().unwrap(),
                Step::Major => _ = heap.collect_major().unwrap(),
            }
            heap.verify().unwrap();
        }
        let all: Vec<_> = heap.root().list().map(|b| b.as_bytes().unwrap().to_vec()).collect();
        prop_assert_eq!(all, model);
    }
}

/// A heap that holds slices of a binary of so many bytes, and nothing else of it.
fn slices(tracker: &Tracker, bytes: usize, ranges: &[std::ops::Range<usize>]) -> OwnedHeap {
    OwnedHeap::new(|h| {
        let whole = h.bytes(tracker.bytes(bytes, 1));
        h.list(ranges.iter().map(|range| h.slice(whole, range.clone()).unwrap()))
    })
}

#[test]
fn a_small_slice_lets_go_of_the_rest() {
    for keep in [false, true] {
        let tracker = Tracker::default();
        let mut heap = slices(&tracker, 100_000, &[0..100, 50_000..50_200]);
        heap.keep_parents(keep);
        assert_eq!(heap.info().off_heap_bytes, 100_000);
        heap.collect_minor().unwrap();
        assert_eq!(tracker.dropped(), 0, "only a major collection knows what lives");
        heap.collect_major().unwrap();
        assert_eq!(tracker.dropped(), usize::from(!keep));
        assert_eq!(heap.info().off_heap_bytes, if keep { 100_000 } else { 300 });
        let lengths: Vec<_> = heap.root().list().map(|b| b.as_bytes().unwrap().len()).collect();
        assert_eq!(lengths, [100, 200]);
        assert!(heap.root().list().all(|b| b.as_bytes().unwrap().iter().all(|&b| b == 1)));
        heap.verify().unwrap();
        heap.collect_major().unwrap();
        assert_eq!(heap.root().list().count(), 2);
    }
}

#[test]
fn slices_that_are_much_of_it_together_stay() {
    let tracker = Tracker::default();
    let part = 80_000 / COPY_OUT / 4;
    let ranges: Vec<_> = (0..5).map(|i| i * part..(i + 1) * part).collect();
    let mut heap = slices(&tracker, 80_000, &ranges);
    heap.collect_major().unwrap();
    assert_eq!((tracker.dropped(), heap.info().off_heap_bytes), (0, 80_000));
    // One less is little enough.
    heap.turn(|_, list| {
        let mut rest = list.list();
        rest.next();
        (rest.rest(), ())
    });
    heap.collect_major().unwrap();
    assert_eq!((tracker.dropped(), heap.info().off_heap_bytes), (1, 4 * part));
}

#[test]
fn a_slice_of_what_lives_stays() {
    let tracker = Tracker::default();
    let mut heap = OwnedHeap::new(|h| {
        let whole = h.bytes(tracker.bytes(10_000, 1));
        h.list([whole, h.slice(whole, 0..100).unwrap()])
    });
    heap.collect_major().unwrap();
    let [whole, part] = [0, 1].map(|i| heap.root().list().nth(i).unwrap().as_bytes().unwrap().as_ptr());
    assert_eq!(whole, part);
    assert_eq!(heap.info().off_heap_bytes, 10_000, "counted once");
}

#[test]
fn the_destructor_of_what_is_let_go_of_may_panic() {
    let tracker = Tracker::default();
    let mut heap = OwnedHeap::new(|h| {
        let items = (0..3).map(|_| {
            let whole = h.bytes(tracker.panicking_bytes(10_000));
            h.slice(whole, 0..100).unwrap()
        });
        let items: Vec<_> = items.collect();
        h.list(items)
    });
    assert_eq!(panics(|| heap.collect_major()), Some("a destructor that panics"));
    assert_eq!(tracker.dropped(), 3);
    heap.verify().unwrap();
    assert_eq!(heap.root().list().map(|b| b.as_bytes().unwrap().len()).sum::<usize>(), 300);
}

#[test]
fn many_slices_count_once() {
    let tracker = Tracker::default();
    let ranges: Vec<_> = (0..1000).map(|i| i * 100..(i + 1) * 100).collect();
    let heap = slices(&tracker, 1 << 20, &ranges);
    assert_eq!(heap.info().off_heap_bytes, 1 << 20);
    let copy = heap.clone();
    assert_eq!(copy.info().off_heap_bytes, 1 << 20);
    let region = Region::copy_of(heap.root());
    assert_eq!(OwnedHeap::new(|h| h.adopt(region)).info().off_heap_bytes, 1 << 20);
}

#[cfg(feature = "runtime")]
mod in_processes {
    use super::*;
    use shared_term::prelude::*;
    use shared_term::process::SpawnOptions;

    /// A process keeps a header of each packet. Its heap is a few words, so only its binaries can be what it is collected
    /// for.
    #[test]
    fn binaries_are_a_reason_to_collect() {
        assert!(packets_kept(SpawnOptions::new()) < 32);
        assert_eq!(packets_kept(SpawnOptions::new().keep_parents(true)), 200, "the leak");
    }

    /// How many of 200 packets live at once.
    fn packets_kept(options: SpawnOptions) -> usize {
        const PACKET: usize = 64 << 10;
        let tracker = Tracker::default();
        let mut rt = Runtime::deterministic(1);
        let keeper = rt.spawn_fn_with(
            options,
            |cx| cx.nil(),
            |cx, state, packet| Ok(Next(cx.cons(cx.slice(packet, 0..100).unwrap(), state))),
        );
        let keeper = keeper.unwrap();
        let mut most = 0;
        for i in 0..200 {
            let packet = tracker.bytes(PACKET, i as u8);
            rt.send_new(keeper, |h| h.bytes(packet)).unwrap();
            rt.run_until_idle();
            most = most.max(tracker.made() - tracker.dropped());
        }
        most
    }

    /// What was appended to a literal keeps its buffer alive, also when the literal has long been replaced.
    #[test]
    fn what_is_appended_to_a_literal_is_a_reason_to_collect() {
        const BYTES: usize = 100 << 10;
        let mut rt = Runtime::deterministic(1);
        let appender = rt.spawn_fn(
            |cx| cx.nil(),
            |cx, state, _| {
                let literal = cx.get("log").unwrap().as_tuple().unwrap()[0];
                let log = cx.append(literal, "more").unwrap();
                Ok(Next(cx.cons(cx.slice(log, 0..100).unwrap(), state)))
            },
        );
        let appender = appender.unwrap();
        let mut most = 0;
        for i in 0..100 {
            // Large enough to be built where it stays, with its buffer.
            let put = rt
                .persistent()
                .put_built("log", |h| term!(h, {h.append(h.binary(vec![1; BYTES]), [i; 9]).unwrap(), h.list(0..2000)}));
            put.unwrap();
            rt.send_new(appender, |h| h.nil()).unwrap();
            rt.run_until_idle();
            most = most.max(rt.info(appender).unwrap().details.unwrap().heap.off_heap_bytes);
        }
        assert!(most < 3 << 20, "{most} bytes at once");
    }

    /// The same binary again and again is the same bytes.
    #[test]
    #[cfg_attr(shared_term_stress, ignore = "it is about when nothing is collected")]
    fn a_binary_that_comes_often_is_no_reason_to_collect_often() {
        let tracker = Tracker::default();
        let mut rt = Runtime::deterministic(1);
        let keeper = rt.spawn_fn(|cx| cx.nil(), |cx, _, packet| Ok(Next(cx.tuple(&[packet])))).unwrap();
        let packet = tracker.bytes(100 << 10, 1);
        for _ in 0..400 {
            let packet = packet.clone();
            rt.send_new(keeper, |h| h.bytes(packet)).unwrap();
            rt.run_until_idle();
        }
        let info = rt.info(keeper).unwrap().details.unwrap();
        assert!(info.heap.major_collections == 0, "{info:?}");
    }
}

#[test]
fn appended_binaries_travel() {
    let r = Region::build(|h| term!(h, {1, h.append(h.binary([1; 100]), [2; 100]).unwrap()}));
    let copy = Region::copy_of(r.root());
    drop(r);
    copy.verify().unwrap();
    let bytes = copy.root().as_tuple().unwrap()[1].to_bytes().unwrap();
    drop(copy);
    let handle = std::thread::spawn(move || bytes.iter().map(|&b| usize::from(b)).sum::<usize>());
    assert_eq!(handle.join().unwrap(), 300);
}
