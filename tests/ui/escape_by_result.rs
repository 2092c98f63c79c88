// Nor does it leave as the result of the turn.
use shared_term::heap::OwnedHeap;

fn main() {
    let mut heap = OwnedHeap::new(|h| h.nil());
    let _ = heap.turn(|_, root| (root, root));
}
