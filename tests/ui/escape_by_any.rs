// `Any` wants `'static`, which no term of a heap is.
use shared_term::Term;
use std::any::Any;

fn smuggle<'h>(t: Term<'h>) -> Box<dyn Any> {
    Box::new(t)
}

fn main() {}
