// The brand is invariant: with a covariant one, the term of the outer turn would be accepted by the inner heap.
use shared_term::heap::OwnedHeap;

fn main() {
    let mut a = OwnedHeap::new(|h| h.nil());
    let mut b = OwnedHeap::new(|h| h.nil());
    a.turn(|_, of_a| {
        b.turn(|h, of_b| (h.tuple(&[of_a, of_b]), ()));
        (of_a, ())
    });
}
