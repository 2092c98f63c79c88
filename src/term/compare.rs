//! Equality and order, without recursion, bounded on terms with much sharing (invariants 5 and 11).
//!
//! A pair of objects is compared by a work list of word ranges. Once more pairs than one of the terms has objects have
//! been compared (which is tested each time their number has doubled), something is shared, and from then on the pairs
//! that were found equal are remembered in a union-find (Adams and Dybvig, 2008). So comparing two graphs costs about as
//! much as they have distinct objects, however many paths lead to them, and comparing two large trees remembers nothing.
//! A pair is remembered only once it has been compared *completely*: equality could assume it earlier, order could not.
//!
//! Large maps are equal when their nodes are. Their order is that of their sorted keys, then of the values: the keys are
//! sorted first, by comparisons on the same work list, a difference between two keys being an answer and not the end. What
//! is remembered then are differences too.

use super::map::node::{Form, Node};
use super::number::{Number, limbs};
use super::sorting::Sorting;
use super::view::{Kind, TermRef};
use super::word::{self, Object, Word};
use super::{Atom, Pid, Reference};
use crate::heap::{make_box, make_place, make_room, unwind};
use std::cmp::Ordering;
use std::collections::HashMap;

/// How numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Numbers {
    /// `1` is not `1.0`; agrees with `Eq` and `Hash`.
    Exact,
    /// `1` is `1.0`: Erlang's `==` and `<`.
    ByValue,
    /// Every integer comes before every float: how keys of maps are sorted and compared, in Erlang too. As exact as
    /// [`Exact`](Self::Exact).
    Keys,
}

/// Pairs of objects compared before it is asked whether that is too many.
const PATIENCE: usize = 4096;

/// Words to compare pairwise, first to last, `step` words from one to the next.
pub(super) struct Range {
    pub(super) a: *const Word,
    pub(super) b: *const Word,
    pub(super) n: usize,
    pub(super) step: usize,
    pub(super) numbers: Numbers,
}

enum Work {
    Range(Range),
    /// These two objects (as [`Classes::node`] names them) are being compared: what lies above is their contents.
    Pair {
        a: usize,
        b: usize,
    },
    /// Two large maps of one size.
    Maps(Box<Sorting>),
}

/// The place of a kind in the order of terms.
pub(super) fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Int | Kind::Float => 0,
        Kind::Atom => 1,
        Kind::Reference => 2,
        Kind::Resource => 3,
        Kind::Pid => 4,
        Kind::RemotePid => 5,
        Kind::Tuple => 6,
        Kind::Map => 7,
        Kind::Nil => 8,
        Kind::List => 9,
        Kind::Binary => 10,
    }
}

/// Are these the same term, exactly?
///
/// # Safety
///
/// Both must be words of terms that are alive during the call.
#[inline]
pub(crate) unsafe fn equal(a: Word, b: Word) -> bool {
    if a == b {
        return true;
    }
    // Every value that an immediate can have, it has: no object is equal to one.
    if word::is_immediate(a) || word::is_immediate(b) {
        return false;
    }
    // SAFETY: the caller's promise.
    unsafe { equal_flat(a, b).unwrap_or_else(|| Comparison::run(a, b, Numbers::Exact, Goal::Equality).is_eq()) }
}

/// Are these the same tuple, as far as its own words tell? For the keys of tables, which mostly are tuples of immediates.
///
/// # Safety
///
/// As for [`equal`]; both must be pointers.
#[inline]
unsafe fn equal_flat(a: Word, b: Word) -> Option<bool> {
    if word::is_list(a) || word::is_list(b) {
        return None;
    }
    // SAFETY: a boxed word points to a header, and as many words behind it as that says.
    unsafe {
        let (p, q) = (word::address(a), word::address(b));
        let header = *p;
        if header != *q || word::header_kind(header) != Object::Tuple {
            return None;
        }
        for i in 1..=word::header_size(header) {
            let (x, y) = (*p.add(i), *q.add(i));
            if x != y {
                return if word::is_immediate(x) || word::is_immediate(y) { Some(false) } else { None };
            }
        }
        Some(true)
    }
}

/// The order of two terms.
///
/// # Safety
///
/// Both must be words of terms that are alive during the call.
pub(crate) unsafe fn compare(a: Word, b: Word, numbers: Numbers) -> Ordering {
    // SAFETY: the caller's promise.
    unsafe { Comparison::run(a, b, numbers, Goal::Order) }
}

/// Erlang's `==`.
///
/// # Safety
///
/// As for [`compare`].
pub(crate) unsafe fn equal_value(a: Word, b: Word) -> bool {
    // SAFETY: the caller's promise.
    unsafe { Comparison::run(a, b, Numbers::ByValue, Goal::Equality).is_eq() }
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Equal or not: any difference ends it, and "less" means nothing.
    Equality,
    Order,
}

/// A comparison under way.
struct Comparison {
    goal: Goal,
    work: Vec<Work>,
    /// What was found, once there was reason to remember.
    seen: Option<Classes>,
}

impl Comparison {
    /// # Safety
    ///
    /// As for [`compare`].
    unsafe fn run(a: Word, b: Word, numbers: Numbers, goal: Goal) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        let mut this = Self { goal, work: Vec::new(), seen: None };
        let mut patience = PATIENCE;
        let mut pairs = 0;
        // SAFETY: the caller's promise.
        let mut order = unsafe { this.one(a, b, numbers) };
        loop {
            if order.is_ne() && !this.back_to_sorting(order) {
                return order;
            }
            let (x, y, numbers) = match this.work.last_mut() {
                None => return Ordering::Equal,
                Some(Work::Pair { a, b }) => {
                    let (a, b) = (*a, *b);
                    this.seen.get_or_insert_default().unite(a, b);
                    this.work.pop();
                    continue;
                }
                Some(Work::Range(Range { a, b, n, step, numbers })) => {
                    // SAFETY: `n > 0` words of two living objects, or of two sorted maps further up.
                    let (x, y) = unsafe { (**a, **b) };
                    let numbers = *numbers;
                    if *n == 1 {
                        this.work.pop();
                    } else {
                        (*a, *b, *n) = (a.wrapping_add(*step), b.wrapping_add(*step), *n - 1);
                    }
                    if x == y {
                        continue;
                    }
                    (x, y, numbers)
                }
                Some(Work::Maps(maps)) => {
                    let result = std::mem::replace(&mut order, Ordering::Equal);
                    let Some((x, y)) = maps.next(result) else {
                        match maps.ranges() {
                            Some(ranges) => {
                                make_room(&mut this.work, ranges.len());
                                this.work.extend(ranges.map(Work::Range));
                            }
                            None => drop(this.work.pop()),
                        }
                        continue;
                    };
                    (x, y, Numbers::Keys)
                }
            };
            pairs += 1;
            if pairs == patience {
                // SAFETY: the caller's promise: the root is alive.
                if unsafe { crate::heap::copy::reaches(a, pairs) }.unwrap_or_else(|error| unwind(error)) {
                    patience *= 2;
                } else {
                    this.seen = Some(Classes::default());
                }
            }
            // SAFETY: words of living objects are words of living terms.
            order = unsafe { this.one(x, y, numbers) };
        }
    }

    /// Drops the work that a difference has made superfluous: all, or what lies above the maps whose keys are being sorted,
    /// of which two differ. `false` when it is all.
    fn back_to_sorting(&mut self, order: Ordering) -> bool {
        while let Some(top) = self.work.last_mut() {
            match top {
                Work::Maps(maps) if maps.is_sorting() => return true,
                Work::Pair { a, b } => {
                    let (a, b) = (*a, *b);
                    if let Some(seen) = &mut self.seen {
                        make_place(&mut seen.orders);
                        seen.orders.insert((a, b), order);
                    }
                }
                _ => {}
            }
            self.work.pop();
        }
        false
    }

    /// Compares what can be told from the two objects themselves, and leaves their contents on the work list.
    ///
    /// # Safety
    ///
    /// Both must be words of terms, or of nodes of maps of one form, that are alive during the call, and until the work is
    /// done.
    unsafe fn one(&mut self, a: Word, b: Word, numbers: Numbers) -> Ordering {
        // SAFETY: the caller's promise.
        let (x, y): (TermRef<'_>, TermRef<'_>) = unsafe { (TermRef::from_word(a), TermRef::from_word(b)) };
        let (kx, ky) = (x.kind(), y.kind());
        let order = rank(kx).cmp(&rank(ky));
        if order.is_ne() {
            return order;
        }
        match kx {
            Kind::Int | Kind::Float => {
                // SAFETY: both are living numbers.
                let (m, n) = unsafe { (Number::of(a), Number::of(b)) };
                match numbers {
                    Numbers::Exact => m.cmp_exact(n),
                    Numbers::ByValue => m.cmp_value(n),
                    Numbers::Keys => m.cmp_key(n),
                }
            }
            Kind::Atom => Atom::from_word(a).cmp(&Atom::from_word(b)),
            Kind::Pid => Pid::from_word(a).cmp(&Pid::from_word(b)),
            Kind::RemotePid => x.as_remote_pid().cmp(&y.as_remote_pid()),
            Kind::Reference => Reference::from_word(a).cmp(&Reference::from_word(b)),
            Kind::Resource => {
                x.as_resource().map(super::Resource::address).cmp(&y.as_resource().map(super::Resource::address))
            }
            Kind::Binary => x.as_bytes().cmp(&y.as_bytes()),
            Kind::Nil => Ordering::Equal,
            Kind::Tuple | Kind::Map | Kind::List => {
                if word::is_immediate(a) || word::is_immediate(b) {
                    // One of them is empty, and they are not the same.
                    return word::is_immediate(b).cmp(&word::is_immediate(a));
                }
                let (p, q) = (word::address(a), word::address(b));
                if p == q {
                    return Ordering::Equal;
                }
                if let Some(seen) = &mut self.seen {
                    let (p, q) = (Classes::node(p, numbers), Classes::node(q, numbers));
                    if let Some(order) = seen.order(p, q) {
                        return order;
                    }
                    make_room(&mut self.work, 1);
                    self.work.push(Work::Pair { a: p, b: q });
                }
                // SAFETY: two living objects of one kind.
                unsafe { self.parts(kx, x, y, numbers) }
            }
        }
    }

    /// # Safety
    ///
    /// `x` and `y` must be of `kind`, in memory, and as for [`one`](Self::one).
    unsafe fn parts(&mut self, kind: Kind, x: TermRef<'_>, y: TermRef<'_>, numbers: Numbers) -> Ordering {
        let (p, q) = (word::address(x.word()).cast_const(), word::address(y.word()).cast_const());
        if kind == Kind::List {
            self.range(p, q, 2, 1, numbers);
            return Ordering::Equal;
        }
        // SAFETY: the caller's promise: two headers, and what they say.
        let (g, h) = unsafe { (*p, *q) };
        let object = word::header_kind(g);
        if object == Object::Tuple {
            self.range(p.wrapping_add(1), q.wrapping_add(1), word::header_size(g), 1, numbers);
            return word::header_size(g).cmp(&word::header_size(h));
        }
        if object == Object::Node {
            if g != h {
                return Ordering::Greater; // asked for equality alone, as for all nodes
            }
            let form = if word::header_aux(g) == 1 { Form::Collisions } else { Form::Inner };
            // SAFETY: nodes of one form: their headers are the same.
            return unsafe { self.nodes(Node::at(p, form), Node::at(q, form), numbers) };
        }
        let (Some(m), Some(n)) = (x.as_map(), y.as_map()) else { return Ordering::Equal };
        let order = m.len().cmp(&n.len());
        if order.is_ne() {
            return order;
        }
        // Keys before values, and keys by their own order whatever the values are compared by.
        match (m.as_flat(), n.as_flat()) {
            (Some((k, v)), Some((l, w))) => {
                self.range(v.as_ptr().cast(), w.as_ptr().cast(), v.len(), 1, numbers);
                self.range(k.as_ptr().cast(), l.as_ptr().cast(), k.len(), 1, Numbers::Keys);
                Ordering::Equal
            }
            // SAFETY: two tries.
            _ if self.goal == Goal::Equality => unsafe {
                self.nodes(Node::at(p, Form::Root), Node::at(q, Form::Root), numbers)
            },
            _ => {
                make_room(&mut self.work, 1);
                self.work.push(Work::Maps(make_box(Sorting::new(m, n, numbers))));
                Ordering::Equal
            }
        }
    }

    /// Leaves the contents of two nodes on the work list, for equality: equal maps have equal nodes.
    ///
    /// # Safety
    ///
    /// As for [`one`](Self::one).
    unsafe fn nodes(&mut self, m: Node, n: Node, numbers: Numbers) -> Ordering {
        if (m.data, m.nodes) != (n.data, n.nodes) {
            return Ordering::Greater;
        }
        let pairs = m.pairs();
        self.range(m.words.wrapping_add(2 * pairs), n.words.wrapping_add(2 * pairs), m.children(), 1, numbers);
        self.range(m.words.wrapping_add(1), n.words.wrapping_add(1), pairs, 2, numbers);
        self.range(m.words, n.words, pairs, 2, Numbers::Keys);
        Ordering::Equal
    }

    fn range(&mut self, a: *const Word, b: *const Word, n: usize, step: usize, numbers: Numbers) {
        if n > 0 {
            make_room(&mut self.work, 1);
            self.work.push(Work::Range(Range { a, b, n, step, numbers }));
        }
    }
}

/// How an integer that needs a heap compares with a term, as a key.
pub(super) fn compare_wide(i: i128, other: TermRef<'_>) -> Ordering {
    let (limbs, n) = limbs(i);
    match other.kind() {
        Kind::Int | Kind::Float => {
            // SAFETY: a living number.
            let other = unsafe { Number::of(other.word()) };
            Number::Big { negative: i < 0, limbs: &limbs[..n] }.cmp_key(other)
        }
        kind => rank(Kind::Int).cmp(&rank(kind)),
    }
}

/// Classes of objects known to be equal, by address and by how their numbers were compared.
#[derive(Default)]
struct Classes {
    parent: HashMap<usize, usize>,
    /// Of those that are not. Only a comparison that went on after it found them so has any.
    orders: HashMap<(usize, usize), Ordering>,
}

impl Classes {
    /// What is equal by value need not be so exactly, and keys of maps are compared exactly in either case.
    fn node(object: *const Word, numbers: Numbers) -> usize {
        object.addr() | numbers as usize
    }

    fn root(&mut self, mut a: usize) -> usize {
        while let Some(&up) = self.parent.get(&a) {
            // Path halving keeps chains short.
            if let Some(&further) = self.parent.get(&up) {
                self.parent.insert(a, further);
            }
            a = up;
        }
        a
    }

    /// How the two compare, if it is known.
    fn order(&mut self, a: usize, b: usize) -> Option<Ordering> {
        if self.root(a) == self.root(b) {
            return Some(Ordering::Equal);
        }
        let known = self.orders.get(&(a, b)).copied();
        known.or_else(|| self.orders.get(&(b, a)).map(|order| order.reverse()))
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            make_place(&mut self.parent);
            self.parent.insert(a, b);
        }
    }
}
