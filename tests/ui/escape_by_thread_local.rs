// A thread-local holds `Term<'static>`, and nothing ever is one.
use shared_term::{Region, Term};
use std::cell::Cell;

thread_local! {
    static KEPT: Cell<Option<Term<'static>>> = const { Cell::new(None) };
}

fn main() {
    Region::build(|h| {
        let t = h.list([1]);
        KEPT.set(Some(t));
        t
    });
}
