//! Checking the nodes of large maps.

use super::verify::in_order;
use crate::term::map::MAX_FLAT;
use crate::term::map::node::{self, Form, LEVELS, Node, form, slot};
use crate::term::word::{self, Object, Word};
use crate::term::{TermRef, hash};
use std::collections::HashMap;
use std::ops::Range;

/// The nodes that were checked: their level, and how many pairs are in and below them. Versions of a map share nodes, always
/// on one level; each is checked once.
#[derive(Default)]
pub(super) struct Tries {
    checked: HashMap<usize, (usize, usize)>,
}

impl Tries {
    /// Checks all large maps that begin in the range, and the shape of nodes that belong to none.
    ///
    /// # Safety
    ///
    /// The range must be of complete objects, whose words lead to others.
    pub(super) unsafe fn check_all(&mut self, range: &Range<*mut Word>) -> Result<(), String> {
        let mut p = range.start;
        while p < range.end {
            // SAFETY: the caller's promise: an object starts here.
            unsafe {
                let w = *p;
                if !word::is_header(w) {
                    p = p.add(2);
                    continue;
                }
                match word::header_kind(w) {
                    Object::Hamt => {
                        if !word::is_small(*p.add(1)) {
                            return Err(format!("the map at {p:p} has no count"));
                        }
                        let count = word::small_value(*p.add(1));
                        let pairs = self.check(p, 0, 0)?;
                        if count <= MAX_FLAT as i64 || count != pairs as i64 {
                            return Err(format!("the map at {p:p} has {pairs} pairs, and says {count}"));
                        }
                    }
                    Object::Node => {
                        let form = if word::header_aux(w) == 1 { Form::Collisions } else { Form::Inner };
                        Self::shape(p, form)?;
                    }
                    _ => {}
                }
                p = p.add(1 + word::header_size(w));
            }
        }
        Ok(())
    }

    /// Does the node have as many words as it says?
    ///
    /// # Safety
    ///
    /// There must be an object at `p`.
    unsafe fn shape(p: *const Word, form: Form) -> Result<Node, String> {
        let wrong = |what| Err(format!("the node at {p:p} {what}"));
        // SAFETY: the caller's promise: a header, and as many words as it says.
        unsafe {
            let size = word::header_size(*p);
            let (object, aux, skip) = match form {
                Form::Root => (Object::Hamt, 0, 2),
                Form::Inner => (Object::Node, 0, 1),
                Form::Collisions => (Object::Node, 1, 0),
            };
            if (word::try_header_kind(*p), word::header_aux(*p)) != (Some(object), aux) || size < skip {
                return wrong("is of another form");
            }
            if form != Form::Collisions && !word::is_small(*p.add(skip)) {
                return wrong("has no bitmap");
            }
            let node = Node::at(p, form);
            if size != skip + 2 * node.pairs() + node.children()
                || node.data & node.nodes != 0
                || form != Form::Collisions && node.pairs() != node.data.count_ones() as usize
            {
                return wrong("has other words than it says");
            }
            Ok(node)
        }
    }

    /// Checks the node and what is below it, and returns how many pairs that are. `path` is what the hashes of all its keys
    /// begin with. Goes no deeper than the levels that there are.
    ///
    /// # Safety
    ///
    /// As for [`shape`](Self::shape), and what its words lead to must be alive.
    unsafe fn check(&mut self, p: *const Word, level: usize, path: u64) -> Result<usize, String> {
        if let Some(&(at, pairs)) = self.checked.get(&p.addr()) {
            return if at == level { Ok(pairs) } else { Err(format!("the node at {p:p} is on two levels")) };
        }
        let wrong = |what| Err(format!("the node at {p:p} on level {level} {what}"));
        // SAFETY: the caller's promise.
        unsafe {
            let node = Self::shape(p, form(level))?;
            let key = |i: usize| TermRef::from_word(*node.pair(i));
            let place = |i: usize| node::place(hash(key(i).word()));
            let mut pairs = node.pairs();
            if level == LEVELS {
                if !(0..pairs).all(|i| place(i) == path) {
                    return wrong("has a key of another hash");
                }
                if !(1..pairs).all(|i| in_order(key(i - 1), key(i))) {
                    return wrong("has keys that are not sorted");
                }
            } else {
                let prefix = |hash: u64| if level == 0 { 0 } else { hash >> (64 - 4 * level) };
                for slot_at in 0..16 {
                    let bit = 1 << slot_at;
                    if node.data & bit != 0 {
                        let hash = place(node.pair_rank(bit));
                        if prefix(hash) != prefix(path) || slot(hash, level) != bit {
                            return wrong("has a key that belongs elsewhere");
                        }
                    }
                    if node.nodes & bit != 0 {
                        let child = *node.child(node.child_rank(bit));
                        if !word::is_boxed(child) {
                            return wrong("has a child that is no node");
                        }
                        let path = path | slot_at << (60 - 4 * level);
                        pairs += self.check(word::address(child), level + 1, path)?;
                    }
                }
            }
            if level > 0 && pairs < 2 {
                return wrong("should be a pair of its parent");
            }
            self.checked.insert(p.addr(), (level, pairs));
            Ok(pairs)
        }
    }
}
