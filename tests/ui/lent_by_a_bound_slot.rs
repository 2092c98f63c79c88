// What is read through a bound slot is lent by its guard, which is neither dropped nor pinned again meanwhile; and the slot
// keeps the entry.
use shared_term::PersistentTerms;

fn main() {
    let store = PersistentTerms::new();
    let slot = store.slot("limit").unwrap();
    let mut guard = store.pin();
    let bound = guard.bind(&slot).unwrap();
    let value = bound.get();
    guard.repin();
    println!("{value:?}");

    let bound = guard.bind(&slot).unwrap();
    drop(guard);
    println!("{bound:?}");

    let guard = store.pin();
    let bound = guard.bind(&slot).unwrap();
    drop(slot);
    println!("{bound:?}");
}
