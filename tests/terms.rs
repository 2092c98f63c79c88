//! Terms: building, reading, equality, order, hash, printing.

#![cfg(feature = "term")]

mod common;

use common::{Tracker, hash_of, panics};
use shared_term::heap::{Heap, MAX_HEAP_BINARY, OwnedHeap};
use shared_term::term::{BigInt, Kind, List, References, RemotePid, View};
use shared_term::{Atom, Pid, Reference, Region, Term, TermRef, atom, term};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

#[test]
fn every_kind_reads_back() {
    let tracker = Tracker::default();
    let value = tracker.value();
    let r = Region::build(|h| {
        term!(h, {
            1, {h.int(u64::MAX)}, 2.5, :ok, [1], [], {2, 3}, #{"k" => :v}, "text", {h.resource(value.clone())},
        })
    });
    r.verify().unwrap();
    let [int, big, float, atom, list, nil, tuple, map, binary, resource] = r.root().tuple_of().unwrap();
    assert_eq!((int.as_int(), int.kind()), (Some(1), Kind::Int));
    let [big] = big.tuple_of().unwrap();
    assert!(matches!(big.view(), View::BigInt(b) if b.limbs() == [u64::MAX] && !b.is_negative()));
    assert_eq!((big.as_int(), big.get::<u64>()), (None, Ok(u64::MAX)));
    assert_eq!((float.as_float(), float.as_int()), (Some(2.5), None));
    assert_eq!((atom.as_atom(), atom.as_bool()), (Some(Atom::OK), None));
    assert_eq!(list.list().map(|t| t.as_int().unwrap()).collect::<Vec<_>>(), [1]);
    assert!(nil.is_nil() && nil.kind() == Kind::Nil && nil.list().next().is_none());
    assert_eq!(tuple.get::<(i64, u64)>(), Ok((2, 3)));
    assert_eq!(map.lookup("k").unwrap().as_atom(), Some(atom!("v")));
    assert_eq!((binary.as_str(), binary.get::<&[u8]>()), (Some("text"), Ok(&b"text"[..])));
    let [resource] = resource.tuple_of().unwrap();
    assert!(std::ptr::eq(resource.resource::<common::Tracked>().unwrap(), &raw const *value));
    assert!(resource.resource::<String>().is_none());
    assert_eq!(binary.get::<Atom>().unwrap_err().to_string(), "expected an atom, found Binary");
}

#[test]
fn integers_of_every_width_read_back() {
    let edges = [0, 1, (1 << 59) - 1, 1 << 59, i64::MAX.into(), u64::MAX.into(), 1 << 64, i128::MAX];
    for i in edges.into_iter().flat_map(|i: i128| [i, -i, -i - 1]) {
        let r = Region::build(|h| h.int(i));
        assert_eq!(r.root().as_int().map(i128::from), i64::try_from(i).ok().map(i128::from), "{i}");
        assert_eq!(r.root().to_string(), i.to_string());
        if let View::BigInt(b) = r.root().view() {
            assert_eq!(b.to_i128(), Some(i));
        }
        assert_eq!(r.words(), if (-(1 << 59)..1 << 59).contains(&i) { 0 } else { r.root().size_words() });
        r.verify().unwrap();
    }
}

#[test]
fn atoms_and_slices_are_patterns() {
    const GET: Atom = Atom::inline("get");
    fn act(t: TermRef<'_>) -> String {
        match t.tagged() {
            Some((GET, [key])) => format!("get {key}"),
            Some((GET, [key, .., last])) => format!("get {key} to {last}"),
            Some((Atom::OK, [])) => "ok".into(),
            Some((other, args)) => format!("{other}/{}", args.len()),
            None => "untagged".into(),
        }
    }
    let cases = Region::build(|h| term!(h, [{:get, 1}, {:get, 1, 2, 3}, :ok, {:ok}, {:a_longer_atom, 1}, {1}, 7]));
    let acts: Vec<_> = cases.root().list().map(act).collect();
    assert_eq!(acts, ["get 1", "get 1 to 3", "ok", "ok", "a_longer_atom/1", "untagged", "untagged"]);
}

#[test]
fn the_macro_takes_every_shape() {
    let r = Region::build(|h| {
        let (n, rest) = (2, term!(h, [3]));
        term!(h, {
            {}, [], #{}, [{}, [], #{}, :a], [1, n, ..rest], [1, ..2], -1, n + 1, "s", true, :type,
            <<1, 2, "x">>, [<<>>, <<255>>, <<"t", b"u">>], #{<<"k">> => <<0>>}, b"b",
            #{:a => {1}, {1, :b} => [1], [1] => #{1 => 2}, n => :v, "k" => n * 2},
        })
    });
    let expected = r#"{{},[],#{},[{},[],#{},a],[1,2,3],[1|2],-1,3,<<"s">>,true,type,"#.to_owned()
        + r#"<<1,2,120>>,[<<"">>,<<255>>,<<"tu">>],#{<<"k">> => <<0>>},<<"b">>,"#
        + r#"#{2 => v,a => {1},{1,b} => [1],[1] => #{1 => 2},<<"k">> => 4}}"#;
    assert_eq!(r.root().to_string(), expected);
    r.verify().unwrap();
}

#[test]
fn maps_insert_replace_and_remove() {
    let mut heap = OwnedHeap::new(|h| h.map((0..30).map(|i| (i * 2, i))));
    heap.turn(|h, m| {
        let before = h.used_words();
        let replaced = h.insert(m, h.int(10), h.atom(Atom::OK)).unwrap();
        assert_eq!(h.used_words() - before, 2 + 30, "the keys are shared");
        assert!(h.remove(m, 1).unwrap() == m && h.used_words() - before == 32, "nothing to remove");
        let more = h.insert(replaced, h.int(11), h.nil()).unwrap();
        let less = h.remove(more, 0).unwrap();
        assert_eq!(less.as_map().unwrap().len(), 30);
        assert_eq!(less.lookup(10), Some(h.atom(Atom::OK)));
        assert!(
            less.lookup(11).unwrap().is_nil() && less.lookup(0).is_none() && less.lookup(10.5_f64 as i64 + 1).is_some()
        );
        let empty = (0..30).fold(m, |m, i| h.remove(m, i * 2).unwrap());
        assert!(empty == h.map::<Term<'_>, Term<'_>>([]));
        assert!(h.insert(h.nil(), m, m).is_none() && h.remove(h.int(1), 1).is_none());
        (less, ())
    });
    heap.verify().unwrap();
    let keys: Vec<_> = heap.root().as_map().unwrap().keys().map(|k| k.as_int().unwrap()).collect();
    assert!(keys.is_sorted() && keys.len() == 30);
}

#[test]
fn the_order_of_kinds_is_erlangs() {
    let r = Region::build(|h| {
        term!(h, [
            {h.int(i128::MIN)}, -1.5, -1, -1.0, 0, -0.0, 0.0, 1, 1.0, 2, 1e300, :a, :b, :ba, {}, {9}, {1, 2}, #{},
            #{1 => 2}, #{1 => 3}, #{2 => 0}, #{1.5 => 0}, #{1 => 1, 3.0 => 0}, #{2 => 0, 1.0 => 0}, [], [1, ..2], [1], [1, 2], [2], "", "a", "aa", "b",
        ])
    });
    // The first stands in a tuple because of how the macro reads braces.
    let mut terms: Vec<_> = r.root().list().collect();
    terms[0] = terms[0].as_tuple().unwrap()[0];
    for (i, a) in terms.iter().enumerate() {
        for (j, b) in terms.iter().enumerate() {
            // Tails too: an integer comes before nil, and nil before a list.
            assert_eq!(a.cmp(b), i.cmp(&j), "{a} and {b}");
            assert_eq!(a == b, i == j);
        }
    }
}

#[test]
fn equality_by_value_and_exactly() {
    let r = Region::build(|h| {
        let wide = |i: i128| h.int(i);
        term!(h, [
            {1, 1.0}, {{1, [2.0]}, {1.0, [2]}}, {0, -0.0}, {wide(1 << 70), (1_i128 << 70) as f64},
            {#{:a => 1}, #{:a => 1.0}},
        ])
    });
    for pair in r.root().list() {
        let [a, b] = pair.tuple_of().unwrap();
        assert!(a.eq_value(*b) && a != b, "{pair}");
        assert_eq!(a.cmp(b), Ordering::Less, "{pair}");
    }
    let keys = Region::build(|h| term!(h, {#{1 => 0}, #{1.0 => 0}}));
    let [a, b] = keys.root().tuple_of().unwrap();
    assert!(!a.eq_value(*b), "keys are exact");
}

/// `{t, t}`, so often nested that nobody can visit each path.
fn dag<'h>(h: Heap<'h>, leaf: Term<'h>, depth: usize) -> Term<'h> {
    (0..depth).fold(leaf, |t, _| h.tuple(&[t, t]))
}

#[test]
fn what_is_equal_by_value_is_no_equal_key_however_much_was_compared() {
    let build = |leaf: fn(Heap<'_>) -> Term<'_>| {
        Region::build(move |h| {
            let k = h.tuple(&[leaf(h)]);
            // Comparing the graph makes the comparison remember pairs, the pair of keys among them.
            h.list([dag(h, h.nil(), 40), k, h.map([(k, 0)])])
        })
    };
    let (ints, floats) = (build(|h| h.int(1)), build(|h| h.float(1.0).unwrap()));
    assert!(!ints.root().eq_value(floats.root()));
    assert!(ints.root().eq_value(build(|h| h.int(1)).root()));
}

#[test]
fn graphs_compare_and_hash_in_the_time_of_their_words() {
    let build = |leaf: i64, depth| Region::build(move |h| dag(h, h.int(leaf), depth));
    let (a, b) = (build(1, 200), build(1, 200));
    assert!(a.root() == b.root() && hash_of(a.root()) == hash_of(b.root()));
    assert_eq!(a.root().cmp(&build(2, 200).root()), Ordering::Less);
    assert_ne!(hash_of(a.root()), hash_of(build(2, 200).root()));
    // Equal as terms, but not of the same shape: each level of one is shared, of the other in part only.
    let loose = Region::build(|h| (0..200).fold(h.int(1), |t, i| h.tuple(&[t, if i < 12 { h.copy(t) } else { t }])));
    assert!(loose.words() > a.words() && loose.root() == a.root() && a.root() == loose.root());
    assert_eq!(hash_of(loose.root()), hash_of(a.root()));
}

#[test]
fn the_hash_is_of_the_structure() {
    let r = Region::build(|h| term!(h, {1, [2.5, "x"], #{:k => {}, 2 => h.int(1_i128 << 80)}}));
    let heap = OwnedHeap::new(|h| {
        h.list(0..1000);
        h.copy(r.root())
    });
    assert_eq!(hash_of(heap.root()), hash_of(r.root()));
    let distinct = Region::build(
        |h| term!(h, [1, 1.0, 0.0, -0.0, :a, "a", {}, [], #{}, "", {1}, [1], #{1 => 1}, {1, 1}, [1, ..1], {{1}}, [[1]]]),
    );
    let mut hashes: Vec<_> = distinct.root().list().map(hash_of).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), distinct.root().list().count());
    // A large binary and a small one lie in different places; what counts is the bytes.
    let (long, short) = (Region::build(|h| h.binary([7; 65])), Region::build(|h| h.binary([7; 64])));
    assert_ne!(hash_of(long.root()), hash_of(short.root()));
}

#[test]
fn binaries_on_both_sides_of_the_limit() {
    let tracker = Tracker::default();
    for n in [MAX_HEAP_BINARY - 1, MAX_HEAP_BINARY, MAX_HEAP_BINARY + 1] {
        let outside = n > MAX_HEAP_BINARY;
        let before = tracker.dropped();
        let bytes = tracker.bytes(n, 3);
        let address = bytes.as_ptr();
        let r = Region::build(|h| h.bytes(bytes));
        r.verify().unwrap();
        assert_eq!(tracker.dropped() - before, usize::from(!outside), "a small one is copied at once");
        assert_eq!(r.root().as_bytes(), Some(&vec![3; n][..]));
        assert!(!outside || r.root().as_bytes().unwrap().as_ptr() == address, "a large one is not copied");
        let copied = Region::build(|h| h.binary(vec![3; n]));
        assert!(copied.root() == r.root() && hash_of(copied.root()) == hash_of(r.root()));

        let copy = Region::copy_of(r.root());
        let slice = Region::build(|h| h.slice(h.copy(copy.root()), 0..n).unwrap());
        let mut heap = OwnedHeap::new(|h| h.adopt(copy));
        heap.collect_major().unwrap();
        let out = heap.root().to_bytes().unwrap();
        assert!(!outside || out.as_ptr() == address);
        drop((r, heap));
        assert_eq!(slice.root().as_bytes(), Some(&out[..]));
        drop(slice);
        assert_eq!(tracker.dropped() - before, usize::from(!outside), "`out` still holds it");
        drop(out);
        assert_eq!(tracker.dropped(), tracker.made(), "the last handle releases it");
    }
}

#[test]
fn slices_of_binaries() {
    let r = Region::build(|h| {
        let big = h.binary((0..=255).collect::<Vec<u8>>());
        h.list([0..256, 10..200, 5..6, 256..256, 0..64].map(|range| h.slice(big, range).unwrap()))
    });
    r.verify().unwrap();
    let ends: Vec<_> =
        r.root().list().map(|t| (t.as_bytes().unwrap().first().copied(), t.as_bytes().unwrap().len())).collect();
    assert_eq!(ends, [(Some(0), 256), (Some(10), 190), (Some(5), 1), (None, 0), (Some(0), 64)]);
    let _ = Region::build(|h| {
        let b = h.binary([0; 100]);
        #[allow(clippy::reversed_empty_ranges, reason = "what a caller may compute")]
        for bad in [0..101, 5..4, usize::MAX..usize::MAX, 0..usize::MAX] {
            assert!(h.slice(b, bad).is_none());
        }
        assert!(h.slice(h.nil(), 0..0).is_none());
        b
    });
}

#[test]
fn resources_are_dropped_once_however_they_travelled() {
    let tracker = Tracker::default();
    let value = tracker.value();
    let r = Region::build(|h| {
        let t = h.resource(value);
        h.tuple(&[t, t])
    });
    let mut heap = OwnedHeap::new(|h| h.tuple(&[h.copy(r.root()), h.adopt(Region::copy_of(r.root()))]));
    heap.collect_major().unwrap();
    heap.collect_major().unwrap();
    let all: Vec<_> = heap.root().as_tuple().unwrap().iter().flat_map(|t| t.as_tuple().unwrap()).collect();
    assert!(all.windows(2).all(|w| w[0] == w[1]), "copies are equal: it is one value");
    let arc = all[0].as_resource().unwrap().to_arc::<common::Tracked>().unwrap();
    drop(r);
    heap.turn(|h, _| (h.nil(), ()));
    assert_eq!(heap.collect_major().unwrap().moved_words, 0);
    assert_eq!(tracker.dropped(), 0);
    drop(arc);
    assert_eq!(tracker.dropped(), 1);
}

#[test]
fn integers_of_any_size_read_back() {
    let r = Region::build(|h| {
        let of = |negative, limbs: &[u64]| h.big_int(negative, limbs).unwrap();
        term!(
            h,
            [
                (of(false, &[])),
                (of(true, &[0, 0])),
                (of(true, &[7, 0])),
                (of(false, &[1 << 59])),
                (of(true, &[1 << 59])),
                (of(true, &[1 << 59 | 1])),
                (of(false, &[u64::MAX; 3])),
                (of(true, &[0, 0, 0, 1])),
                (of(false, &vec![1; 65])),
            ]
        )
    });
    r.verify().unwrap();
    let terms: Vec<_> = r.root().list().collect();
    let ints: Vec<_> = terms.iter().map(|t| t.get::<i128>().ok()).collect();
    let small = [0, 0, -7, 1 << 59, -(1 << 59), -(1 << 59) - 1].map(Some);
    assert_eq!(ints, [&small[..], &[None; 3]].concat());
    assert_eq!(terms[4].size_words(), 0, "in the word, like every integer of 60 bits");
    assert_eq!(terms[6].to_string(), "6277101735386680763835789423207666416102355444464034512895");
    assert_eq!(terms[7].to_string(), "-6277101735386680763835789423207666416102355444464034512896");
    assert!(terms[8].to_string().starts_with("16#10000000000000001"), "hexadecimal from 65 limbs on");
    assert!(terms[7] < terms[4] && terms[6] < terms[8] && terms[6].cmp_value(terms[8]).is_lt());
    assert_eq!(terms[0].get::<i32>(), Ok(0));
    assert!(terms[3].get::<u32>().is_err() && terms[2].get::<u8>().is_err());
    let most = vec![u64::MAX; BigInt::MAX_LIMBS];
    let r = Region::build(|h| h.big_int(true, &most).unwrap());
    assert_eq!(r.root().size_words(), 1 + most.len());
    let _ = Region::build(|h| {
        assert_eq!(h.big_int(true, &[&most[..], &[1]].concat()).unwrap_err().limbs, most.len() + 1);
        h.big_int(true, &[&most[..], &[0]].concat()).unwrap()
    });
}

#[test]
fn remote_pids_come_after_local_ones() {
    let pid = |node: &str, id, serial, creation| RemotePid { node: Atom::new(node).unwrap(), id, serial, creation };
    // Sorted: serial, id, node, creation.
    let pids = [
        pid("a@host", 1, 0, 1),
        pid("a@host", 1, 0, 2),
        pid("b@host", 1, 0, 1),
        pid("a@host", 2, 0, 1),
        pid("a@h", 1, 1, 1),
    ];
    let r = Region::build(|h| h.list(pids));
    r.verify().unwrap();
    let terms: Vec<_> = r.root().list().collect();
    assert!(terms.is_sorted() && terms.windows(2).all(|w| w[0] != w[1] && hash_of(w[0]) != hash_of(w[1])));
    assert!(terms.iter().zip(&pids).all(|(t, p)| t.get() == Ok(*p)));
    let copy = Region::copy_of(r.root());
    assert!(copy.root() == r.root() && hash_of(copy.root()) == hash_of(r.root()));
    assert_eq!(terms[4].to_string(), "<a@h.1.1>");
    let others = Region::build(|h| term!(h, [(References::new().make()), {}]));
    let [reference, tuple] = others.root().get::<Vec<TermRef<'_>>>().unwrap()[..] else { panic!() };
    assert!(reference < terms[0] && terms[4] < tuple);
    assert_eq!(terms[0].get::<Pid>().unwrap_err().to_string(), "expected a pid, found RemotePid");
}

#[test]
fn lists_and_maps_are_read_into_collections() {
    let r = Region::build(
        |h| term!(h, {[1, 2], [1, ..2], #{:a => [1], :b => []}, [{1, "x"}, :y], {1, 2, 3, 4, 5, 6, 7, 8}}),
    );
    let [list, improper, map, mixed, eight] = r.root().tuple_of().unwrap();
    assert_eq!(list.get::<Vec<i64>>(), Ok(vec![1, 2]));
    assert_eq!(list.get::<Vec<Atom>>().unwrap_err().expected, "an atom");
    assert_eq!(improper.get::<Vec<i64>>().unwrap_err().to_string(), "expected a proper list, found Int");
    assert_eq!(map.get::<List<'_, _>>().unwrap_err().expected, "a list");
    assert_eq!(improper.get::<List<'_, _>>().unwrap().count(), 1);
    let expected = [(atom!("a"), vec![1]), (atom!("b"), vec![])];
    assert_eq!(map.get::<HashMap<Atom, Vec<i64>>>(), Ok(HashMap::from(expected.clone())));
    assert_eq!(map.get::<BTreeMap<Atom, Vec<i64>>>(), Ok(BTreeMap::from(expected)));
    assert!(mixed.get::<Vec<(i64, &str)>>().is_err());
    assert_eq!(eight.get::<(u8, u16, u32, u64, i32, i64, i128, usize)>(), Ok((1, 2, 3, 4, 5, 6, 7, 8)));
    // And back.
    let back = Region::build(|h| {
        let map: BTreeMap<Atom, Vec<i64>> = map.get().unwrap();
        h.tuple(&[
            term!(h, map.clone()),
            term!(h, (map.into_iter().collect::<HashMap<_, _>>())),
            term!(h, (1, 2, 3, 4, 5, 6)),
        ])
    });
    let [a, b, _] = back.root().tuple_of().unwrap();
    assert!(a == map && b == map);
}

#[test]
fn sizes_with_sharing_and_without() {
    let r = Region::build(|h| {
        let part = h.tuple(&[h.int(1), h.list(0..2)]); // 3 + 4
        h.tuple(&[part, part, h.binary([0; 9]), h.map((0..100).map(|i| (i, i)))])
    });
    let map = r.root().as_tuple().unwrap()[3].size_words();
    assert_eq!(r.root().size_words(), 5 + 7 + 3 + map);
    assert_eq!(r.root().flat_size_words(), 5 + 7 + 7 + 3 + map);
    assert_eq!(r.root().as_tuple().unwrap()[3].flat_size_words(), map);
    let shared = |depth| Region::build(move |h| dag(h, h.list([1]), depth)).root().flat_size_words();
    assert_eq!((shared(0), shared(1), shared(20), shared(200)), (2, 3 + 4, (1 << 20) * 5 - 3, usize::MAX));
    let long = Region::build(|h| h.list(0..1_000_000));
    assert_eq!(long.root().flat_size_words(), 2_000_000);
}

#[test]
fn references_are_terms_and_keys() {
    let refs = References::new();
    let made: Vec<_> = (0..3).map(|_| refs.make()).collect();
    let r = Region::build(|h| {
        let more = refs.make();
        let m = term!(h, #{(made[0]) => 1, {:monitor, (made[1])} => 2, :atom => 3});
        term!(h, [m, (made[2]), more, :atom, {}, (h.resource(std::sync::Arc::new(0)))])
    });
    r.verify().unwrap();
    let terms: Vec<_> = r.root().list().collect();
    assert_eq!(terms[0].lookup(made[0]).unwrap().as_int(), Some(1));
    assert!(terms[0].lookup(made[2]).is_none());
    assert_eq!(terms[0].lookup((atom!("monitor"), made[1])).unwrap().as_int(), Some(2));
    assert_eq!((terms[1].get(), terms[1].kind()), (Ok(made[2]), Kind::Reference));
    assert_eq!(terms[3].get::<Reference>().unwrap_err().expected, "a reference");
    assert_eq!(terms[1].to_string(), made[2].to_string());
    assert!(terms[1].to_string().starts_with("#Ref<0."), "{}", terms[1]);
    assert!(terms[3] < terms[1] && terms[1] < terms[2] && terms[2] < terms[5] && terms[5] < terms[4]);
    assert_ne!(hash_of(terms[1]), hash_of(terms[2]));
}

#[test]
fn floats_are_finite() {
    for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let _ = Region::build(|h| {
            assert!(h.float(x).is_none());
            h.nil()
        });
    }
}

#[test]
fn printing_is_what_erlang_reads() {
    let r = Region::build(|h| {
        let odd =
            ["two words", "Upper", "it's", "end", "_x", "a@b", "größe", ""].map(|a| h.atom(Atom::new(a).unwrap()));
        term!(h, {
            1.0, 1e16, 1.5e300, 1e-7, -0.0, "quo\"te\n", "größe", {h.binary([0, 255])}, {h.list(odd)}, #{1 => []}
        })
    });
    let expected = concat!(
        r#"{1.0,1.0e16,1.5e300,1.0e-7,-0.0,<<"quo\"te\n">>,<<"größe"/utf8>>,{<<0,255>>},"#,
        r"{['two words','Upper','it\'s','end','_x',a@b,größe,'']},#{1 => []}}"
    );
    assert_eq!(r.root().to_string(), expected);
    assert_eq!(format!("{:?}", r.root()), expected);
}

#[test]
fn printing_is_cut_off() {
    let r = Region::build(|h| h.list(["größe"; 10]));
    assert_eq!(format!("{:.6}", r.root()), "[<<\"gr...");
    assert_eq!(format!("{:.7}", r.root()), "[<<\"gr...", "never in the middle of a character");
    assert_eq!(format!("{:.8}", r.root()), "[<<\"grö...");
    assert_eq!(format!("{:.1000}", r.root()), r.root().to_string());
    let endless = Region::build(|h| dag(h, h.int(1), 100));
    assert_eq!(endless.root().to_string().len(), (16 << 20) + 3);
    assert_eq!(format!("{:.0}", endless.root()), "...");
}

#[test]
fn depth_is_no_limit() {
    const DEPTH: usize = 1_000_000;
    type Wrap = for<'h> fn(Heap<'h>, Term<'h>) -> Term<'h>;
    let wraps: [(Wrap, usize); 3] =
        [(|h, t| h.tuple(&[t]), 2), (|h, t| h.map([(0, t)]), 2 + 1 + 2), (|h, t| h.map([(t, 0)]), 2 + 1 + 2)];
    for (wrap, words) in wraps {
        let build = |leaf: i64| Region::build(|h| (0..DEPTH).fold(h.int(leaf), |t, _| wrap(h, t)));
        let (a, b) = (build(1), build(1));
        assert_eq!(a.words(), DEPTH * words);
        assert!(a.root() == b.root() && a.root() != build(2).root());
        assert_eq!(hash_of(a.root()), hash_of(b.root()));
        assert!(a.root().to_string().len() > 2 * DEPTH);
        let mut heap = OwnedHeap::new(|h| h.copy(a.root()));
        assert_eq!(heap.collect_major().unwrap().moved_words, DEPTH * words);
        assert!(heap.root() == b.root());
    }
}

#[test]
fn a_panic_in_what_the_constructors_call_leaves_a_sound_heap() {
    struct Bomb(i64);
    impl<'h> shared_term::heap::ToTerm<'h> for Bomb {
        fn to_term(self, heap: Heap<'h>) -> Term<'h> {
            if self.0 == 5 {
                common::quiet_panic();
            }
            // Whatever the heap is asked for while a list or map of it is under way.
            heap.adopt(Region::build(|h| h.list([self.0])));
            heap.tuple(&[heap.int(self.0), heap.binary("x".repeat(70))])
        }
    }
    let mut heap = OwnedHeap::new(|h| h.list((0..5).map(Bomb)));
    let text = heap.root().to_string();
    for attempt in 0..3 {
        let payload = panics(|| {
            heap.turn(|h, t| {
                let items = (0..9).map(Bomb);
                let t = match attempt {
                    0 => h.list_with_tail(items, t),
                    1 => h.map(items.map(|b| (b, 1))),
                    _ => h.map(items.map(|b| (1, b))),
                };
                (t, ())
            });
        });
        assert_eq!(payload, Some("quiet"));
        heap.verify().unwrap();
        assert_eq!(heap.root().to_string(), text.as_str());
    }
    heap.collect_major().unwrap();
    heap.verify().unwrap();
    assert_eq!(heap.root().to_string(), text);
}
