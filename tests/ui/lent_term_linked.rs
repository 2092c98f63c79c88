// With a borrow for a brand, the root of a leaked region would pass as a term of any heap.
use shared_term::{Region, heap::OwnedHeap};

fn main() {
    let region: &'static Region = Box::leak(Box::new(Region::build(|h| h.list([1]))));
    let mut heap = OwnedHeap::new(|h| h.nil());
    heap.turn(|h, root| (h.tuple(&[region.root(), root]), ()));
}
