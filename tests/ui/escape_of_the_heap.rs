// A handle to allocate with is as short-lived as the terms.
use shared_term::heap::{Heap, OwnedHeap};

fn main() {
    let mut kept: Option<Heap<'_>> = None;
    OwnedHeap::new(|h| {
        kept = Some(h);
        h.nil()
    });
}
