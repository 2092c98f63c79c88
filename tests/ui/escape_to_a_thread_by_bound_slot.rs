// The thread that reads through it is the one that has pinned the guard.
use shared_term::PersistentTerms;
use shared_term::persistent::Slot;

fn under_a_guard(store: &PersistentTerms, slot: &Slot) {
    let guard = store.pin();
    let bound = guard.bind(slot);
    std::thread::scope(|scope| {
        scope.spawn(move || bound.is_some());
    });
}

fn main() {}
