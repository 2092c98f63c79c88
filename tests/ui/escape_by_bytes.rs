// What a term lends ends with the turn, too.
use shared_term::heap::OwnedHeap;

fn main() {
    let mut heap = OwnedHeap::new(|h| h.binary("text"));
    let _: &[u8] = heap.turn(|_, root| (root, root.as_bytes().unwrap()));
}
