// What is made in a scratch heap is freed at its end.
use shared_term::heap::OwnedHeap;

fn main() {
    let mut heap = OwnedHeap::new(|h| h.nil());
    heap.turn(|h, root| {
        let mut kept = None;
        h.scratch(|s| {
            kept = Some(s.list(0..3));
            s.nil()
        });
        (root, ())
    });
}
