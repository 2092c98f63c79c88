// Inline atoms and slices are patterns, and the compiler counts the cases.
#![deny(warnings)]
use shared_term::{Atom, Region, TermRef, term};

const PING: Atom = Atom::inline("ping");

fn arity(t: TermRef<'_>) -> u8 {
    match t.tagged() {
        Some((PING, [_])) => 1,
        Some((_, [])) => 0,
        Some((_, [_, ..])) => 9,
        None => 5,
    }
}

fn main() {
    assert_eq!(arity(Region::build(|h| term!(h, {:ping, 1})).root()), 1);
}
