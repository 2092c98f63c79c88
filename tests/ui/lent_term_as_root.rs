// A lent term is no result of a turn.
use shared_term::{Region, heap::OwnedHeap};

fn main() {
    let region = Region::build(|h| h.list([1]));
    let mut heap = OwnedHeap::new(|h| h.nil());
    heap.turn(|_, _| (region.root(), ()));
}
