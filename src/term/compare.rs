//! Equality and order, without recursion, bounded on terms with much sharing (invariants 5 and 11).
//!
//! A pair of objects is compared by a work list of word ranges. Once more pairs than one of the terms has objects have
//! been compared (which is tested each time their number has doubled), something is shared, and from then on the pairs
//! that were found equal are remembered in a union-find (Adams and Dybvig, 2008). So comparing two graphs costs about as
//! much as they have distinct objects, however many paths lead to them, and comparing two large trees remembers nothing.
//! A pair is remembered only once it has been compared *completely*: equality could assume it earlier, order could not.

use super::number::{Number, limbs};
use super::view::{Kind, TermRef};
use super::word::{self, Object, Word};
use super::{Atom, Pid, Reference};
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
}

/// Pairs of objects compared before it is asked whether that is too many.
const PATIENCE: usize = 4096;

enum Work {
    /// Words to compare pairwise, first to last.
    Range { a: *const Word, b: *const Word, n: usize, numbers: Numbers },
    /// Everything below these two objects (as [`Classes::node`] names them) was equal.
    Equal { a: usize, b: usize },
}

/// The place of a kind in the order of terms.
pub(super) fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Int | Kind::Float => 0,
        Kind::Atom => 1,
        Kind::Reference => 2,
        Kind::Resource => 3,
        Kind::Pid => 4,
        Kind::Tuple => 5,
        Kind::Map => 6,
        Kind::Nil => 7,
        Kind::List => 8,
        Kind::Binary => 9,
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
    unsafe { equal_flat(a, b).unwrap_or_else(|| compare(a, b, Numbers::Exact).is_eq()) }
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
    if a == b {
        return Ordering::Equal;
    }
    let root = a;
    let mut work = Vec::new();
    let mut patience = PATIENCE;
    let mut pairs = 0;
    let mut seen: Option<Classes> = None;
    // SAFETY: the caller's promise.
    let mut order = unsafe { compare_one(a, b, numbers, &mut work, &mut seen) };
    while order.is_eq() {
        let Some(top) = work.last_mut() else { break };
        match top {
            Work::Equal { a, b } => {
                let (a, b) = (*a, *b);
                seen.get_or_insert_default().unite(a, b);
                work.pop();
            }
            Work::Range { a, b, n, numbers } => {
                // SAFETY: `n > 0` words of two living objects.
                let (x, y) = unsafe { (**a, **b) };
                let numbers = *numbers;
                if *n == 1 {
                    work.pop();
                } else {
                    // SAFETY: there are further words in both ranges.
                    (*a, *b, *n) = unsafe { (a.add(1), b.add(1), *n - 1) };
                }
                if x != y {
                    pairs += 1;
                    if pairs == patience {
                        // SAFETY: the caller's promise: the root is alive.
                        if unsafe { crate::heap::copy::reaches(root, pairs) } {
                            patience *= 2;
                        } else {
                            seen = Some(Classes::default());
                        }
                    }
                    // SAFETY: words of living objects are words of living terms.
                    order = unsafe { compare_one(x, y, numbers, &mut work, &mut seen) };
                }
            }
        }
    }
    order
}

/// Compares what can be told from the two objects themselves, and leaves their contents on the work list.
///
/// # Safety
///
/// Both must be words of terms that are alive during the call, and until `work` is empty.
unsafe fn compare_one(
    a: Word,
    b: Word,
    numbers: Numbers,
    work: &mut Vec<Work>,
    seen: &mut Option<Classes>,
) -> Ordering {
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
            }
        }
        Kind::Atom => Atom::from_word(a).cmp(&Atom::from_word(b)),
        Kind::Pid => Pid::from_word(a).cmp(&Pid::from_word(b)),
        Kind::Reference => Reference::from_word(a).cmp(&Reference::from_word(b)),
        Kind::Resource => x
            .as_resource()
            .map(super::view::Resource::address)
            .cmp(&y.as_resource().map(super::view::Resource::address)),
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
            if let Some(seen) = seen {
                let (p, q) = (Classes::node(p, numbers), Classes::node(q, numbers));
                if seen.same(p, q) {
                    return Ordering::Equal;
                }
                work.push(Work::Equal { a: p, b: q });
            }
            if kx == Kind::List {
                work.push(Work::Range { a: p, b: q, n: 2, numbers });
                return Ordering::Equal;
            }
            if let (Some(m), Some(n)) = (x.as_map(), y.as_map()) {
                let order = m.len().cmp(&n.len());
                // Keys before values, and keys by the exact order whatever the values are compared by.
                for (s, t, numbers) in [(m.values(), n.values(), numbers), (m.keys(), n.keys(), Numbers::Exact)] {
                    work.push(Work::Range { a: s.as_ptr().cast(), b: t.as_ptr().cast(), n: s.len(), numbers });
                }
                return order;
            }
            let (s, t) = (x.as_tuple().unwrap_or_default(), y.as_tuple().unwrap_or_default());
            work.push(Work::Range { a: s.as_ptr().cast(), b: t.as_ptr().cast(), n: s.len(), numbers });
            s.len().cmp(&t.len())
        }
    }
}

/// How an integer that needs a heap compares with a term.
pub(super) fn compare_wide(i: i128, other: TermRef<'_>) -> Ordering {
    let (limbs, n) = limbs(i);
    match other.kind() {
        Kind::Int | Kind::Float => {
            // SAFETY: a living number.
            let other = unsafe { Number::of(other.word()) };
            Number::Big { negative: i < 0, limbs: &limbs[..n] }.cmp_exact(other)
        }
        kind => rank(Kind::Int).cmp(&rank(kind)),
    }
}

/// Classes of objects known to be equal, by address and by how their numbers were compared.
#[derive(Default)]
struct Classes {
    parent: HashMap<usize, usize>,
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

    fn same(&mut self, a: usize, b: usize) -> bool {
        self.root(a) == self.root(b)
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.parent.insert(a, b);
        }
    }
}
