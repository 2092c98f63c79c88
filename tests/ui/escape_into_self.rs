// A Rust value that outlives the turn cannot hold a term of it.
use shared_term::Term;

struct Behaviour {
    last: Option<Term<'static>>,
}

impl Behaviour {
    fn receive<'h>(&mut self, message: Term<'h>) {
        self.last = Some(message);
    }
}

fn main() {}
