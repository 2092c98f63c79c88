// A term of a turn must not be there in the next one.
use shared_term::heap::OwnedHeap;

fn main() {
    let mut heap = OwnedHeap::new(|h| h.nil());
    let mut kept = None;
    heap.turn(|_, root| {
        kept = Some(root);
        (root, ())
    });
}
