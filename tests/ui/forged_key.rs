// A key that lies about its word would be a pointer that safe code made up.
use shared_term::heap::Heap;
use shared_term::term::{Key, Term, TermRef};
use std::cmp::Ordering;

#[derive(Clone, Copy)]
struct Forged;

impl Key for Forged {
    fn hash_key(self) -> u64 {
        0
    }

    fn cmp_term(self, _: TermRef<'_>) -> Ordering {
        Ordering::Less
    }

    fn build(self, heap: Heap<'_>) -> Term<'_> {
        heap.nil()
    }

    fn immediate(self) -> Option<u64> {
        Some(0x1000 | 0b10)
    }
}

fn main() {
    let store = shared_term::PersistentTerms::new();
    store.put(Forged, shared_term::Region::build(|h| h.nil())).unwrap();
    store.for_each(|key, _| println!("{key}"));
}
