// A region must be self-contained: the heap's terms are copied into it, not linked.
use shared_term::{Region, Term, heap::Heap};

fn wrap<'h>(_heap: Heap<'h>, t: Term<'h>) -> Region {
    Region::build(|h| h.tuple(&[t]))
}

fn main() {}
