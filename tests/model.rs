//! Random programs of term operations, run on heaps and on a plain model beside them: trees of `Rc`.

#![cfg(feature = "term")]

mod common;

use common::{Tracked, Tracker, hash_of, panics, quiet_panic};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;
use shared_term::heap::{Heap, HeapError, OwnedHeap};
use shared_term::term::{References, View};
use shared_term::{Atom, Reference, Region, Term, TermRef};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// A term as a plain tree.
#[derive(Debug, Clone)]
enum Plain {
    Int(i128),
    /// The quarter of an integer, so that floats and integers compare as integers here.
    Float(i128),
    Atom(&'static str),
    Reference(Reference),
    Resource(usize),
    Tuple(Vec<Tree>),
    Map(BTreeMap<Tree, Tree>),
    Nil,
    Cons(Tree, Tree),
    Binary(Vec<u8>),
}

/// A plain term, how many nodes it has when sharing is expanded, and whether there is a map of more than 32 pairs in it.
#[derive(Debug, Clone)]
struct Tree(Rc<(Plain, usize, bool)>);

/// How numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// By value, then integers before floats.
    Exact,
    ByValue,
    /// All integers before all floats.
    Keys,
}

/// Programs build nothing larger: the model expands what is shared.
const LARGEST: usize = 400;

impl Tree {
    fn new(plain: Plain) -> Self {
        let size = 1 + match &plain {
            Plain::Tuple(elements) => elements.iter().map(Self::size).sum(),
            Plain::Map(pairs) => pairs.iter().map(|(k, v)| k.size() + v.size()).sum(),
            Plain::Cons(head, tail) => head.size() + tail.size(),
            _ => 0,
        };
        let large = match &plain {
            Plain::Tuple(elements) => elements.iter().any(Self::has_large),
            Plain::Map(pairs) => pairs.len() > 32 || pairs.iter().any(|(k, v)| k.has_large() || v.has_large()),
            Plain::Cons(head, tail) => head.has_large() || tail.has_large(),
            _ => false,
        };
        Self(Rc::new((plain, size, large)))
    }

    fn has_large(&self) -> bool {
        self.0.2
    }

    /// Is this the term? For what prints in an order that the model does not know.
    fn is(&self, term: TermRef<'_>) -> bool {
        match (self.plain(), term.view()) {
            (Plain::Tuple(elements), View::Tuple(terms)) => {
                elements.len() == terms.len() && elements.iter().zip(terms).all(|(tree, term)| tree.is(*term))
            }
            (Plain::Map(pairs), View::Map(map)) => {
                let found = |k: TermRef<'_>, v| pairs.iter().any(|(key, value)| key.is(k) && value.is(v));
                pairs.len() == map.len() && map.iter().all(|(k, v)| found(k, v) && map.get(k) == Some(v))
            }
            (Plain::Cons(head, tail), View::Cons(first, rest)) => head.is(first) && tail.is(rest),
            _ => !self.has_large() && self.print() == term.to_string(),
        }
    }

    fn plain(&self) -> &Plain {
        &self.0.0
    }

    fn size(&self) -> usize {
        self.0.1
    }

    /// Erlang's order.
    fn order(&self, other: &Self, numbers: Numbers) -> Ordering {
        use Plain::{Atom, Binary, Cons, Float, Int, Map, Nil, Reference, Resource, Tuple};
        let rank = |p: &Plain| match p {
            Int(_) | Float(_) => 0,
            Atom(_) => 1,
            Reference(_) => 2,
            Resource(_) => 3,
            Tuple(_) => 4,
            Map(_) => 5,
            Nil => 6,
            Cons(..) => 7,
            Binary(_) => 8,
        };
        let all = |a: &[&Self], b: &[&Self], numbers| {
            a.iter().zip(b).map(|(a, b)| a.order(b, numbers)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        };
        match (self.plain(), other.plain()) {
            (Int(a), Int(b)) | (Float(a), Float(b)) => a.cmp(b),
            (Int(a), Float(b)) => match numbers {
                Numbers::ByValue => (a * 4).cmp(b),
                Numbers::Exact => (a * 4).cmp(b).then(Ordering::Less),
                Numbers::Keys => Ordering::Less,
            },
            (Float(_), Int(_)) => other.order(self, numbers).reverse(),
            (Reference(a), Reference(b)) => a.cmp(b),
            (Atom(a), Atom(b)) => a.cmp(b),
            (Resource(a), Resource(b)) => a.cmp(b),
            (Tuple(a), Tuple(b)) => a
                .len()
                .cmp(&b.len())
                .then_with(|| all(&a.iter().collect::<Vec<_>>(), &b.iter().collect::<Vec<_>>(), numbers)),
            (Map(a), Map(b)) => a
                .len()
                .cmp(&b.len())
                .then_with(|| all(&a.keys().collect::<Vec<_>>(), &b.keys().collect::<Vec<_>>(), Numbers::Keys))
                .then_with(|| all(&a.values().collect::<Vec<_>>(), &b.values().collect::<Vec<_>>(), numbers)),
            (Cons(a, b), Cons(c, d)) => a.order(c, numbers).then_with(|| b.order(d, numbers)),
            (Binary(a), Binary(b)) => a.cmp(b),
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }

    fn print(&self) -> String {
        let join = |parts: Vec<String>| parts.join(",");
        match self.plain() {
            Plain::Int(i) => i.to_string(),
            Plain::Float(q) => {
                let text = format!("{:?}", *q as f64 / 4.0);
                if text.contains('.') { text } else { text.replace('e', ".0e") }
            }
            Plain::Atom(name) if name.contains(' ') => format!("'{name}'"),
            Plain::Atom(name) => (*name).to_owned(),
            Plain::Reference(r) => r.to_string(),
            Plain::Resource(address) => format!("#Resource<{address:#x}>"),
            Plain::Tuple(elements) => format!("{{{}}}", join(elements.iter().map(Self::print).collect())),
            Plain::Map(pairs) => {
                format!("#{{{}}}", join(pairs.iter().map(|(k, v)| format!("{} => {}", k.print(), v.print())).collect()))
            }
            Plain::Nil => "[]".to_owned(),
            Plain::Cons(head, tail) => {
                let (mut parts, mut rest) = (vec![head.print()], tail);
                while let Plain::Cons(head, tail) = rest.plain() {
                    parts.push(head.print());
                    rest = tail;
                }
                let end = if matches!(rest.plain(), Plain::Nil) { String::new() } else { format!("|{}", rest.print()) };
                format!("[{}{end}]", join(parts))
            }
            Plain::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if bytes.iter().all(|b| (b' '..=b'~').contains(b)) => format!("<<\"{text}\">>"),
                _ => format!("<<{}>>", join(bytes.iter().map(u8::to_string).collect())),
            },
        }
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Tree {}

impl PartialOrd for Tree {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Tree {
    /// That of keys.
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other, Numbers::Keys)
    }
}

#[derive(Debug, Clone)]
enum Leaf {
    Int(i128),
    Float(i128),
    Atom(&'static str),
    Nil,
    Binary(Vec<u8>),
    /// A binary that counts its release.
    Buffer(u8, usize),
    Reference,
    Resource,
}

/// Registers are named by what proptest draws, modulo how many there are.
#[derive(Debug, Clone)]
enum Op {
    Leaf(Leaf),
    Tuple(Vec<Index>),
    List(Vec<Index>, Option<Index>),
    Map(Vec<(Index, Index)>),
    Insert(Index, Index, Index),
    /// Pairs of consecutive integers, or of the floats beside them, all with one value.
    Fill(Index, Index, i128, bool),
    /// The integers of a range, and the floats beside them.
    Empty(Index, i128),
    Remove(Index, Index),
    WithElement(Index, Index, Index),
    Part(Index, Index),
    Slice(Index, Index, Index),
    /// So many bytes more, twice, to the same.
    Append(Index, usize),
    /// A tuple of two terms and a list of both, made in a heap for that alone.
    Scratch(Index, Index),
    Forget(Index),
    /// From the other heap.
    CopyOver(Index),
    CopyHere(Index),
    ToRegion(Index),
    /// A region built of two terms of the heap and of a region that it adopts.
    BuildRegion(Index, Index, Option<Index>),
    CopyRegion(Index),
    DropRegion(Index),
    Adopt(Index),
    FailedBuild(Index),
    PanickingTurn(Index),
    Clone,
    CollectMinor,
    CollectMajor,
}

fn leaves() -> impl Strategy<Value = Leaf> {
    prop_oneof![
        (-3i128..4).prop_map(Leaf::Int),
        // Wide integers, their neighbours, and the floats at powers of two.
        (prop_oneof![Just(59), Just(63), Just(64), Just(100)], -1i128..2, any::<bool>()).prop_map(
            |(bits, by, negative)| {
                let i = (1i128 << bits) + by;
                Leaf::Int(if negative { -i } else { i })
            }
        ),
        prop_oneof![Just(59), Just(63), Just(100)].prop_map(|bits| Leaf::Float(4 << bits)),
        (-8i128..9).prop_map(Leaf::Float),
        prop_oneof![Just("a"), Just("ok"), Just("seven77"), Just("eight888"), Just("a b")].prop_map(Leaf::Atom),
        Just(Leaf::Nil),
        prop_oneof![0usize..4, 62usize..67].prop_map(|n| Leaf::Binary(vec![b'x'; n])),
        // Text, and what is none.
        prop::collection::vec(prop_oneof![4 => b'a'..b'd', 1 => Just(0), 1 => Just(255)], 0..10).prop_map(Leaf::Binary),
        (prop_oneof![Just(b'x'), Just(0)], 63usize..130).prop_map(|(fill, n)| Leaf::Buffer(fill, n)),
        Just(Leaf::Reference),
        Just(Leaf::Resource),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let r = any::<Index>;
    prop_oneof![
        6 => leaves().prop_map(Op::Leaf),
        3 => prop::collection::vec(r(), 0..5).prop_map(Op::Tuple),
        3 => (prop::collection::vec(r(), 0..5), prop::option::of(r())).prop_map(|(items, tail)| Op::List(items, tail)),
        3 => prop::collection::vec((r(), r()), 0..5).prop_map(Op::Map),
        3 => (r(), r(), r()).prop_map(|(m, k, v)| Op::Insert(m, k, v)),
        2 => (r(), r(), -4i128..30, any::<bool>()).prop_map(|(m, v, from, floats)| Op::Fill(m, v, from, floats)),
        1 => (r(), -4i128..30).prop_map(|(m, from)| Op::Empty(m, from)),
        1 => (r(), r()).prop_map(|(m, k)| Op::Remove(m, k)),
        1 => (r(), r(), r()).prop_map(|(t, i, v)| Op::WithElement(t, i, v)),
        2 => (r(), r()).prop_map(|(t, i)| Op::Part(t, i)),
        2 => (r(), r(), r()).prop_map(|(b, from, to)| Op::Slice(b, from, to)),
        2 => (r(), 0usize..80).prop_map(|(b, n)| Op::Append(b, n)),
        2 => (r(), r()).prop_map(|(a, b)| Op::Scratch(a, b)),
        2 => r().prop_map(Op::Forget),
        2 => r().prop_map(Op::CopyOver),
        1 => r().prop_map(Op::CopyHere),
        2 => r().prop_map(Op::ToRegion),
        2 => (r(), r(), prop::option::of(r())).prop_map(|(a, b, region)| Op::BuildRegion(a, b, region)),
        1 => r().prop_map(Op::CopyRegion),
        1 => r().prop_map(Op::DropRegion),
        2 => r().prop_map(Op::Adopt),
        1 => r().prop_map(Op::FailedBuild),
        1 => r().prop_map(Op::PanickingTurn),
        1 => Just(Op::Clone),
        3 => Just(Op::CollectMinor),
        2 => Just(Op::CollectMajor),
    ]
}

/// A heap whose root is a tuple of registers, and what the registers hold.
struct Machine {
    heap: OwnedHeap,
    registers: Vec<Tree>,
}

impl Machine {
    fn new() -> Self {
        Self { heap: OwnedHeap::new(|h| h.tuple(&[])), registers: Vec::new() }
    }

    /// Runs a turn that makes a term out of the registers, and keeps it as a new one, if it is not too large.
    fn push(&mut self, tree: Tree, make: impl for<'h> FnOnce(Heap<'h>, &[Term<'h>]) -> Term<'h>) {
        if tree.size() > LARGEST {
            return;
        }
        self.heap.turn(|h, root| {
            let mut registers = root.as_tuple().unwrap().to_vec();
            registers.push(make(h, &registers));
            (h.tuple(&registers), ())
        });
        self.registers.push(tree);
        if self.registers.len() > 10 {
            self.forget(0);
        }
    }

    fn forget(&mut self, i: usize) {
        self.registers.remove(i);
        self.heap.turn(|h, root| {
            let mut registers = root.as_tuple().unwrap().to_vec();
            registers.remove(i);
            (h.tuple(&registers), ())
        });
    }

    fn check(&self) {
        self.heap.verify().unwrap();
        let terms = self.heap.root().as_tuple().unwrap();
        assert_eq!(terms.len(), self.registers.len());
        for (term, tree) in terms.iter().zip(&self.registers) {
            check(*term, tree);
        }
    }
}

fn check(term: TermRef<'_>, tree: &Tree) {
    if tree.has_large() {
        assert!(tree.is(term), "{term}");
    } else {
        assert_eq!(term.to_string(), tree.print());
    }
}

struct World {
    tracker: Tracker,
    references: References,
    machines: [Machine; 2],
    regions: Vec<(Region, Tree)>,
}

impl World {
    fn leaf(&mut self, here: usize, leaf: Leaf) {
        let m = &mut self.machines[here];
        match leaf {
            Leaf::Int(i) => m.push(Tree::new(Plain::Int(i)), |h, _| h.int(i)),
            Leaf::Float(q) => m.push(Tree::new(Plain::Float(q)), |h, _| h.float(q as f64 / 4.0).unwrap()),
            Leaf::Atom(a) => m.push(Tree::new(Plain::Atom(a)), |h, _| h.atom(Atom::new(a).unwrap())),
            Leaf::Nil => m.push(Tree::new(Plain::Nil), |h, _| h.nil()),
            Leaf::Binary(b) => m.push(Tree::new(Plain::Binary(b.clone())), |h, _| h.binary(b)),
            Leaf::Buffer(fill, n) => {
                let bytes = self.tracker.bytes(n, fill);
                m.push(Tree::new(Plain::Binary(vec![fill; n])), |h, _| h.bytes(bytes));
            }
            Leaf::Reference => {
                let made = self.references.make();
                m.push(Tree::new(Plain::Reference(made)), |h, _| h.reference(made));
            }
            Leaf::Resource => {
                let value: Arc<Tracked> = self.tracker.value();
                m.push(Tree::new(Plain::Resource(Arc::as_ptr(&value).addr())), |h, _| h.resource(value));
            }
        }
    }

    #[allow(clippy::too_many_lines, reason = "one arm per operation")]
    fn run(&mut self, here: usize, op: Op) {
        if let Op::Leaf(leaf) = op {
            return self.leaf(here, leaf);
        }
        let (left, right) = self.machines.split_at_mut(1);
        let (m, other) = if here == 0 { (&mut left[0], &mut right[0]) } else { (&mut right[0], &mut left[0]) };
        let n = m.registers.len();
        if n == 0 {
            return;
        }
        let r = m.registers.clone();
        match op {
            Op::Leaf(_) => unreachable!("above"),
            Op::Tuple(of) => {
                let of: Vec<_> = of.iter().map(|i| i.index(n)).collect();
                let tree = Tree::new(Plain::Tuple(of.iter().map(|&i| r[i].clone()).collect()));
                m.push(tree, |h, r| h.tuple(&of.iter().map(|&i| r[i]).collect::<Vec<_>>()));
            }
            Op::List(of, tail) => {
                let of: Vec<_> = of.iter().map(|i| i.index(n)).collect();
                let tail = tail.map(|i| i.index(n));
                let end = tail.map_or_else(|| Tree::new(Plain::Nil), |i| r[i].clone());
                let tree = of.iter().rev().fold(end, |tail, &i| Tree::new(Plain::Cons(r[i].clone(), tail)));
                m.push(tree, |h, r| h.list_with_tail(of.iter().map(|&i| r[i]), tail.map_or(h.nil(), |i| r[i])));
            }
            Op::Map(of) => {
                let of: Vec<_> = of.iter().map(|(k, v)| (k.index(n), v.index(n))).collect();
                let tree = Tree::new(Plain::Map(of.iter().map(|&(k, v)| (r[k].clone(), r[v].clone())).collect()));
                m.push(tree, |h, r| h.map(of.iter().map(|&(k, v)| (r[k], r[v]))));
            }
            Op::Insert(map, k, v) => {
                let [map, k, v] = [map, k, v].map(|i| i.index(n));
                match r[map].plain() {
                    Plain::Map(pairs) => {
                        let mut pairs = pairs.clone();
                        pairs.insert(r[k].clone(), r[v].clone());
                        m.push(Tree::new(Plain::Map(pairs)), |h, r| h.insert(r[map], r[k], r[v]).unwrap());
                    }
                    _ => m.heap.turn(|h, t| {
                        assert!(h.insert(t.as_tuple().unwrap()[map], t, t).is_none());
                        (t, ())
                    }),
                }
            }
            Op::Fill(map, v, from, floats) => {
                let (map, v) = (map.index(n), v.index(n));
                if let Plain::Map(pairs) = r[map].plain() {
                    let key = |i| if floats { Plain::Float(4 * i) } else { Plain::Int(i) };
                    let mut pairs = pairs.clone();
                    pairs.extend((from..from + 20).map(|i| (Tree::new(key(i)), r[v].clone())));
                    m.push(Tree::new(Plain::Map(pairs)), |h, r| {
                        let key = |i| if floats { h.float(i as f64).unwrap() } else { h.int(i) };
                        (from..from + 20).fold(r[map], |map, i| h.insert(map, key(i), r[v]).unwrap())
                    });
                }
            }
            Op::Empty(map, from) => {
                let map = map.index(n);
                if let Plain::Map(pairs) = r[map].plain() {
                    let mut pairs = pairs.clone();
                    let range = from..from + 15;
                    pairs.retain(|k, _| match k.plain() {
                        Plain::Int(i) => !range.contains(i),
                        Plain::Float(q) => q % 4 != 0 || !range.contains(&(q / 4)),
                        _ => true,
                    });
                    m.push(Tree::new(Plain::Map(pairs)), |h, r| {
                        range.fold(r[map], |map, i| {
                            let less = h.remove(map, i).unwrap();
                            h.remove(less, h.float(i as f64).unwrap()).unwrap()
                        })
                    });
                }
            }
            Op::Remove(map, k) => {
                let (map, k) = (map.index(n), k.index(n));
                if let Plain::Map(pairs) = r[map].plain() {
                    // Mostly a key that is there.
                    let at = k % pairs.len().max(1);
                    let key = |map: TermRef<'_>| map.as_map().unwrap().keys().nth(at).map(Region::copy_of);
                    let key = key(m.heap.root().as_tuple().unwrap()[map]);
                    let mut pairs = pairs.clone();
                    pairs.retain(|tree, _| !key.as_ref().is_some_and(|key| tree.is(key.root())));
                    m.push(Tree::new(Plain::Map(pairs)), |h, r| {
                        let found = key.as_ref().map(|key| r[map].lookup(key.root()).is_some());
                        assert_ne!(found, Some(false));
                        key.as_ref().map_or(h.remove(r[map], r[k]), |key| h.remove(r[map], key.root())).unwrap()
                    });
                }
            }
            Op::WithElement(tuple, i, v) => {
                let (tuple, v) = (tuple.index(n), v.index(n));
                if let Plain::Tuple(elements) = r[tuple].plain()
                    && !elements.is_empty()
                {
                    let i = i.index(elements.len());
                    let mut elements = elements.clone();
                    elements[i] = r[v].clone();
                    m.push(Tree::new(Plain::Tuple(elements)), |h, r| h.with_element(r[tuple], i, r[v]).unwrap());
                }
            }
            Op::Part(of, i) => {
                let of = of.index(n);
                match r[of].plain() {
                    Plain::Tuple(elements) if !elements.is_empty() => {
                        let i = i.index(elements.len());
                        m.push(elements[i].clone(), |_, r| r[of].as_tuple().unwrap()[i]);
                    }
                    Plain::Cons(head, _) if i.index(2) == 0 => {
                        m.push(head.clone(), |_, r| r[of].list().next().unwrap());
                    }
                    Plain::Cons(_, tail) => m.push(tail.clone(), |_, r| {
                        let mut list = r[of].list();
                        list.next();
                        list.rest()
                    }),
                    Plain::Map(pairs) if !pairs.is_empty() => {
                        let (k, v) = pairs.iter().nth(i.index(pairs.len())).unwrap();
                        let is_key = |key: Term<'_>| k.is(Region::copy_of(key).root());
                        m.push(v.clone(), |_, r| {
                            r[of].as_map().unwrap().iter().find(|(key, _)| is_key(*key)).unwrap().1
                        });
                    }
                    _ => {}
                }
            }
            Op::Slice(of, from, to) => {
                let of = of.index(n);
                if let Plain::Binary(bytes) = r[of].plain() {
                    let to = to.index(bytes.len() + 1);
                    let range = from.index(to + 1)..to;
                    let part = bytes[range.clone()].to_vec();
                    m.push(Tree::new(Plain::Binary(part)), |h, r| h.slice(r[of], range).unwrap());
                }
            }
            Op::Append(to, more) => {
                let to = to.index(n);
                if let Plain::Binary(bytes) = r[to].plain() {
                    let longer = |fill| Tree::new(Plain::Binary([&bytes[..], &vec![fill; more]].concat()));
                    // Of two that are appended to the same bytes, one has the room behind them.
                    let both = Tree::new(Plain::Tuple([b'y', b'z'].map(longer).to_vec()));
                    m.push(both, |h, r| h.tuple(&[b'y', b'z'].map(|fill| h.append(r[to], vec![fill; more]).unwrap())));
                }
            }
            Op::Scratch(a, b) => {
                let (a, b) = (a.index(n), b.index(n));
                let list = [a, b]
                    .iter()
                    .rev()
                    .fold(Tree::new(Plain::Nil), |tail, &i| Tree::new(Plain::Cons(r[i].clone(), tail)));
                let tree = Tree::new(Plain::Tuple(vec![r[a].clone(), list, r[b].clone()]));
                let tracker = &self.tracker;
                m.push(tree, |h, r| {
                    h.scratch(|s| {
                        let (a, b) = (s.import(r[a]), s.import(r[b]));
                        s.list((0..50).map(|_| s.resource(tracker.value())));
                        s.tuple(&[a, s.list([a, b]), b])
                    })
                });
            }
            Op::Forget(i) => m.forget(i.index(n)),
            Op::CopyOver(i) => {
                let i = i.index(n);
                let from = m.heap.root().as_tuple().unwrap()[i];
                other.push(r[i].clone(), |h, _| h.copy(from));
            }
            Op::CopyHere(i) => {
                let i = i.index(n);
                m.push(r[i].clone(), |h, r| h.copy(r[i]));
            }
            Op::ToRegion(i) => {
                let i = i.index(n);
                let term = m.heap.root().as_tuple().unwrap()[i];
                let region = Region::copy_of(term);
                assert_eq!(region.words(), term.size_words(), "what is shared stays so, and nothing else is copied");
                self.regions.push((region, r[i].clone()));
            }
            Op::BuildRegion(a, b, adopted) => {
                let (a, b) = (a.index(n), b.index(n));
                let (adopted, last) = match adopted {
                    Some(i) if !self.regions.is_empty() => {
                        let i = i.index(self.regions.len());
                        let (region, tree) = self.regions.swap_remove(i);
                        (Some(region), tree)
                    }
                    _ => (None, Tree::new(Plain::Nil)),
                };
                let tree = Tree::new(Plain::Tuple(vec![r[a].clone(), r[b].clone(), last]));
                let terms = m.heap.root().as_tuple().unwrap();
                let region = Region::build(|h| {
                    let first = h.copy(terms[a]);
                    let last = adopted.map_or(h.nil(), |region| h.adopt(region));
                    h.tuple(&[first, h.copy(terms[b]), last])
                });
                if tree.size() <= LARGEST {
                    self.regions.push((region, tree));
                }
            }
            Op::CopyRegion(i) => {
                if !self.regions.is_empty() {
                    let (region, tree) = &self.regions[i.index(self.regions.len())];
                    let copy = (Region::copy_of(region.root()), tree.clone());
                    self.regions.push(copy);
                }
            }
            Op::DropRegion(i) => {
                if !self.regions.is_empty() {
                    self.regions.swap_remove(i.index(self.regions.len()));
                }
            }
            Op::Adopt(i) => {
                if !self.regions.is_empty() {
                    let (region, tree) = self.regions.swap_remove(i.index(self.regions.len()));
                    m.push(tree, |h, _| h.adopt(region));
                }
            }
            Op::FailedBuild(i) => {
                let term = m.heap.root().as_tuple().unwrap()[i.index(n)];
                let error = HeapError::OutOfMemory { words: n };
                let failed = Region::try_build(|h| {
                    h.copy(term);
                    h.resource(self.tracker.value());
                    Err(error)
                });
                assert_eq!(failed.unwrap_err(), error);
            }
            Op::PanickingTurn(i) => {
                let i = i.index(n);
                let payload = panics(|| {
                    m.heap.turn(|h, root| -> (Term<'_>, ()) {
                        let t = h.copy(root.as_tuple().unwrap()[i]);
                        h.list((0..50).map(|i| if i == 40 { quiet_panic() } else { t }));
                        unreachable!("the iterator panics");
                    });
                });
                assert_eq!(payload, Some("quiet"));
            }
            Op::Clone => {
                let copy = m.heap.clone();
                assert_eq!(copy.root(), m.heap.root());
                m.heap = copy;
            }
            Op::CollectMinor => {
                let before = m.heap.info();
                let stats = m.heap.collect_minor().unwrap();
                let after = m.heap.info();
                assert!(stats.moved_words <= before.young_words);
                assert_eq!(after.young_words + after.old_words, stats.after_words);
                assert!(after.old_words >= before.old_words, "what is old stays");
                assert!(stats.after_words >= m.heap.root().size_words());
                assert_eq!(after.adopted_words, 0);
                assert_eq!(after.moved_words, before.moved_words + stats.moved_words as u64);
                assert_eq!(after.minor_collections, before.minor_collections + 1);
            }
            Op::CollectMajor => {
                let live = m.heap.root().size_words();
                assert_eq!(m.heap.collect_major().unwrap().moved_words, live);
                assert_eq!(m.heap.used_words(), live);
            }
        }
    }

    /// Two minor collections, a major one, and so on: everything moves all the time.
    fn collect(&mut self, step: usize) {
        for m in &mut self.machines {
            if step % 3 == 2 { m.heap.collect_major() } else { m.heap.collect_minor() }.unwrap();
        }
    }

    fn check(&self) {
        self.machines.iter().for_each(Machine::check);
        for (region, tree) in &self.regions {
            region.verify().unwrap();
            check(region.root(), tree);
        }
    }

    /// Every term that is alive against every other.
    fn compare_all(&self) {
        let of_heaps =
            self.machines.iter().flat_map(|m| m.heap.root().as_tuple().unwrap().iter().copied().zip(&m.registers));
        let all: Vec<_> = of_heaps.chain(self.regions.iter().map(|(region, tree)| (region.root(), tree))).collect();
        for (i, &(a, x)) in all.iter().enumerate() {
            for &(b, y) in &all[i..] {
                let order = x.order(y, Numbers::Exact);
                assert_eq!(a.cmp(&b), order, "{a} and {b}");
                assert_eq!(b.cmp(&a), order.reverse(), "{b} and {a}");
                assert_eq!(a == b, order.is_eq());
                assert_eq!(hash_of(a) == hash_of(b), order.is_eq(), "{a} and {b}");
                assert_eq!(a.cmp_value(b), x.order(y, Numbers::ByValue), "{a} and {b} by value");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 6000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn programs_of_term_operations_do_what_the_model_does(program in prop::collection::vec((0usize..2, ops()), 1..60)) {
        let tracker = Tracker::default();
        let mut world =
            World { tracker: tracker.clone(), references: References::new(), machines: [Machine::new(), Machine::new()], regions: Vec::new() };
        for (step, (here, op)) in program.into_iter().enumerate() {
            world.run(here, op);
            if cfg!(shared_term_stress) {
                world.collect(step);
            }
            world.check();
        }
        world.compare_all();
        drop(world);
        prop_assert_eq!(tracker.dropped(), tracker.made());
    }
}
