// While a thread reads, the turn allocates: a term stays on the thread of its turn, for however short a time.
use shared_term::Term;

fn print_elsewhere<'h>(t: Term<'h>) {
    std::thread::scope(|scope| {
        scope.spawn(move || println!("{t}"));
    });
}

fn main() {}
