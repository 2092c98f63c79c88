//! Random terms here and in a live `erl`: order, equality, and what is printed. Without `erl` on the path it says so and
//! checks nothing.

#![cfg(feature = "term")]

mod common;

use common::hash_of;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use shared_term::heap::Heap;
use shared_term::{Atom, Region, Term};
use std::fmt::Write;
use std::process::Command;

/// A term that both sides can be given.
#[derive(Debug, Clone)]
enum Value {
    /// Sign, and limbs of the magnitude.
    Int(bool, Vec<u64>),
    Float(f64),
    Atom(String),
    Binary(Vec<u8>),
    Tuple(Vec<Value>),
    /// The elements, and what follows them.
    List(Vec<Value>, Box<Value>),
    Nil,
    Map(Vec<(Value, Value)>),
}

impl Value {
    fn int(i: i128) -> Self {
        let magnitude = i.unsigned_abs();
        Self::Int(i < 0, vec![magnitude as u64, (magnitude >> 64) as u64])
    }

    fn term<'h>(&self, h: Heap<'h>) -> Term<'h> {
        let all = |values: &[Self]| values.iter().map(|v| v.term(h)).collect::<Vec<_>>();
        match self {
            Self::Int(negative, limbs) => h.big_int(*negative, limbs).unwrap(),
            Self::Float(x) => h.float(*x).unwrap(),
            Self::Atom(name) => h.atom(Atom::new(name).unwrap()),
            Self::Binary(bytes) => h.binary(bytes),
            Self::Tuple(elements) => h.tuple(&all(elements)),
            Self::List(elements, tail) => h.list_with_tail(all(elements), tail.term(h)),
            Self::Nil => h.nil(),
            Self::Map(pairs) => h.map(pairs.iter().map(|(k, v)| (k.term(h), v.term(h)))),
        }
    }

    /// In Erlang's external term format, so that the terms there owe nothing to how they are printed here.
    fn encode(&self, out: &mut Vec<u8>) {
        let sized = |out: &mut Vec<u8>, tag: u8, n: usize| {
            out.push(tag);
            out.extend(u32::try_from(n).unwrap().to_be_bytes());
        };
        match self {
            Self::Int(negative, limbs) => {
                let mut bytes: Vec<_> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
                while bytes.last() == Some(&0) {
                    bytes.pop();
                }
                sized(out, 111, bytes.len());
                out.push(u8::from(*negative && !bytes.is_empty()));
                out.extend(bytes);
            }
            Self::Float(x) => {
                out.push(70);
                out.extend(x.to_be_bytes());
            }
            Self::Atom(name) => {
                out.push(118);
                out.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
                out.extend(name.as_bytes());
            }
            Self::Binary(bytes) => {
                sized(out, 109, bytes.len());
                out.extend(bytes);
            }
            Self::Tuple(elements) => {
                sized(out, 105, elements.len());
                for v in elements {
                    v.encode(out);
                }
            }
            Self::List(elements, tail) => {
                sized(out, 108, elements.len());
                for v in elements.iter().chain([&**tail]) {
                    v.encode(out);
                }
            }
            Self::Nil => out.push(106),
            Self::Map(pairs) => {
                sized(out, 116, pairs.len());
                for (k, v) in pairs {
                    k.encode(out);
                    v.encode(out);
                }
            }
        }
    }
}

/// Few values each, so that many are equal, or nearly so. No -0.0: whether that is 0.0 depends on the release of OTP.
fn values() -> impl Strategy<Value = Value> {
    let power = |bits: u32, by: i128| (1_i128 << bits) + by;
    let powers = prop_oneof![Just(53u32), Just(59), Just(60), Just(63), Just(64), Just(100)];
    let leaf = prop_oneof![
        6 => (-3i128..4).prop_map(Value::int),
        3 => (powers.clone(), -1i128..2, any::<bool>())
            .prop_map(move |(bits, by, negative)| Value::int(if negative { -power(bits, by) } else { power(bits, by) })),
        1 => (15usize..70, 0u64..3, any::<bool>()).prop_map(|(n, low, negative)| {
            let mut limbs = vec![0; n];
            (limbs[0], limbs[n - 1]) = (low, 1);
            Value::Int(negative, limbs)
        }),
        5 => (-12i64..13).prop_map(|q| Value::Float(q as f64 / 4.0)),
        2 => (powers, any::<bool>()).prop_map(|(bits, negative)| {
            let x = 2.0_f64.powi(bits as i32);
            Value::Float(if negative { -x } else { x })
        }),
        1 => prop_oneof![Just(f64::MAX), Just(f64::MIN_POSITIVE), Just(2.0_f64.powi(960)), Just(1e22), Just(0.1), Just(1e-7)]
            .prop_map(Value::Float),
        3 => prop_oneof![
            Just("a"), Just("ok"), Just("Upper"), Just("two words"), Just("it's"), Just("größe"), Just("end"), Just(""),
            Just("maybe"), Just("else"), Just("a_long_atom@host"), Just("line\nbreak"), Just("ñ"), Just("日本"),
        ]
        .prop_map(|name| Value::Atom(name.into())),
        2 => prop::collection::vec(prop_oneof![4 => b'a'..b'd', 1 => Just(b'"'), 1 => Just(0), 1 => Just(200)], 0..4)
            .prop_map(Value::Binary),
        1 => prop_oneof![Just("größe"), Just("日本"), Just("x\\y\n"), Just("\u{1b}[0m")]
            .prop_map(|text| Value::Binary(text.as_bytes().to_vec())),
        2 => Just(Value::Nil),
    ];
    leaf.prop_recursive(3, 60, 4, |inner| {
        let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..4);
        let large = (30i128..50, 0i128..3, any::<bool>(), inner.clone()).prop_map(|(n, from, floats, v)| {
            let key = |i| if floats && i % 3 == 0 { Value::Float(i as f64) } else { Value::int(i) };
            Value::Map((from..from + n).map(|i| (key(i), if i == 20 { v.clone() } else { Value::int(i % 2) })).collect())
        });
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Tuple),
            3 => (prop::collection::vec(inner.clone(), 1..4), prop_oneof![3 => Just(Value::Nil), 1 => inner])
                .prop_map(|(elements, tail)| Value::List(elements, Box::new(tail))),
            // Of equal keys the last wins here, as when Erlang reads them; the external format allows none.
            2 => pairs.prop_map(|pairs| {
                let mut distinct: Vec<(Value, Value)> = Vec::new();
                for (k, v) in pairs {
                    let same = |other: &Value| Region::build(|h| k.term(h)).root() == Region::build(|h| other.term(h)).root();
                    if !distinct.iter().any(|(other, _)| same(other)) {
                        distinct.push((k, v));
                    }
                }
                Value::Map(distinct)
            }),
            2 => large,
        ]
    })
}

/// Reads the terms twice, encoded and printed; says which differ. Then how each compares with each, and how they sort.
const SCRIPT: &str = r#"
    Dir = os:getenv("TERMS_DIR"),
    {ok, Bytes} = file:read_file(filename:join(Dir, "terms.etf")),
    Terms = binary_to_term(Bytes),
    {ok, Text} = file:read_file(filename:join(Dir, "terms.txt")),
    Lines = string:split(string:trim(unicode:characters_to_list(Text)), "\n", all),
    Read = fun(Line) ->
        try
            {ok, Tokens, _} = erl_scan:string(Line ++ "."),
            {ok, Term} = erl_parse:parse_term(Tokens),
            {read, Term}
        catch _:_ -> unreadable end
    end,
    [io:format("differs ~p~n", [I]) || {I, T, L} <- lists:zip3(lists:seq(0, length(Terms) - 1), Terms, Lines),
        Read(L) =/= {read, T}],
    Compare = fun(A, B) -> if A =:= B -> $e; A == B -> $v; A < B -> $l; true -> $g end end,
    [io:format("row ~s~n", [[Compare(A, B) || B <- Terms]]) || A <- Terms],
    Sorted = lists:sort(lists:zip(Terms, lists:seq(0, length(Terms) - 1))),
    io:format("sorted ~w~n", [[I || {_, I} <- Sorted]]),
    halt().
"#;

#[test]
fn order_equality_and_printing_are_those_of_a_live_erlang() {
    const N: usize = 500;
    if Command::new("erl").args(["-noshell", "-eval", "halt()."]).status().is_err() {
        eprintln!("skipped: there is no `erl` on the path");
        return;
    }
    let mut runner = TestRunner::deterministic();
    let values: Vec<_> = (0..N).map(|_| values().new_tree(&mut runner).unwrap().current()).collect();
    let region = Region::build(|h| h.list(values.iter().map(|v| v.term(h)).collect::<Vec<_>>()));
    region.verify().unwrap();
    let terms: Vec<_> = region.root().list().collect();

    let dir = std::env::temp_dir().join(format!("shared-term-otp-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mut etf = vec![131];
    Value::List(values, Box::new(Value::Nil)).encode(&mut etf);
    std::fs::write(dir.join("terms.etf"), etf).unwrap();
    let mut text = String::new();
    for t in &terms {
        writeln!(text, "{t}").unwrap();
    }
    std::fs::write(dir.join("terms.txt"), text).unwrap();
    let output = Command::new("erl").args(["-noshell", "-eval", SCRIPT]).env("TERMS_DIR", &dir).output().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let output = String::from_utf8(output.stdout).unwrap();

    let differs = output.lines().find_map(|line| line.strip_prefix("differs "));
    if let Some(i) = differs {
        panic!("Erlang does not read {} as what it is", terms[i.parse::<usize>().unwrap()]);
    }
    let rows: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("row ")).collect();
    assert_eq!(rows.len(), N, "{output:.1000}");
    for (a, row) in terms.iter().zip(&rows) {
        for (b, theirs) in terms.iter().zip(row.chars()) {
            let ours = match a.cmp_value(*b) {
                _ if a == b => 'e',
                std::cmp::Ordering::Equal => 'v',
                std::cmp::Ordering::Less => 'l',
                std::cmp::Ordering::Greater => 'g',
            };
            assert_eq!(ours, theirs, "{a} and {b}");
            assert_eq!(a.eq_value(*b), matches!(ours, 'e' | 'v'));
            assert_eq!(hash_of(*a) == hash_of(*b), ours == 'e', "{a} and {b}");
        }
    }
    let mut sorted: Vec<_> = (0..N).collect();
    sorted.sort_by(|&i, &j| terms[i].cmp_value(terms[j]));
    let theirs = output.lines().find_map(|line| line.strip_prefix("sorted ")).unwrap();
    assert_eq!(format!("{sorted:?}").replace(' ', ""), theirs);
}
