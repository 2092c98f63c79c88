// Two threads that allocate in one heap would be two writers.
use shared_term::heap::Heap;

fn build_elsewhere<'h>(h: Heap<'h>) {
    std::thread::scope(|scope| {
        scope.spawn(move || h.int(1).is_nil());
    });
}

fn main() {}
