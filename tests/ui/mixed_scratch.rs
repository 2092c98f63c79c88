// A term of a scratch heap cannot become part of the outer one, nor the other way round without an import.
use shared_term::heap::OwnedHeap;

fn main() {
    let mut heap = OwnedHeap::new(|h| h.nil());
    heap.turn(|h, root| {
        h.scratch(|s| {
            h.tuple(&[s.nil()]);
            s.nil()
        });
        h.scratch(|s| s.tuple(&[root]));
        (root, ())
    });
}
