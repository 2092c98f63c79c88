// The next turn may replace the root, and a collection moves it.
use shared_term::heap::OwnedHeap;

fn main() {
    let mut heap = OwnedHeap::new(|h| h.list([1]));
    let root = heap.root();
    heap.collect_major().unwrap();
    println!("{root}");
}
