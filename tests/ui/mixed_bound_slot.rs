// A heap that answers no collection must not get what a slot in a turn reads.
use shared_term::heap::OwnedHeap;
use shared_term::persistent::Slot;
use shared_term::prelude::*;

fn nested<'h>(cx: Cx<'h>, slot: &Slot) {
    let bound = cx.bind(slot).unwrap();
    let _other = OwnedHeap::new(|h| h.list([bound.get().unwrap()]));
}

fn main() {}
