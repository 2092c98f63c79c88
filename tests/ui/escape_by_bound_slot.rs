// A slot that is bound to a turn reads as that turn does, whose heap answers for it. The next one has another.
use shared_term::persistent::Slot;
use shared_term::prelude::*;
use shared_term::process::TurnSlot;
use std::cell::Cell;

thread_local! {
    static KEPT: Cell<Option<TurnSlot<'static, 'static>>> = const { Cell::new(None) };
}

fn keep<'h>(cx: Cx<'h>, slot: &'static Slot) {
    KEPT.set(cx.bind(slot));
}

fn main() {}
