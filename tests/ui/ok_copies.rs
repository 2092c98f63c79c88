// What the escapes want is had by a copy.
use shared_term::{Region, Term, TermRef, heap::Heap, heap::OwnedHeap, term};

fn wrap<'h>(h: Heap<'h>, t: Term<'h>) -> Term<'h> {
    term!(h, {:wrapped, t})
}

fn sum(t: TermRef<'_>) -> i64 {
    t.list().filter_map(|t| t.as_int()).sum()
}

fn main() {
    let leaked: &'static Region = Box::leak(Box::new(Region::build(|h| h.list([1, 2]))));
    let mut a = OwnedHeap::new(|h| h.copy(leaked.root()));
    let mut b = OwnedHeap::new(|h| h.nil());
    let region = a.turn(|h, of_a| {
        b.turn(|h, of_b| (h.list([h.copy(of_a), of_b]), ()));
        let region = Region::build(|r| r.tuple(&[r.copy(of_a)]));
        (wrap(h, of_a), region)
    });
    assert_eq!(b.root().to_string(), "[[1,2],[]]");
    assert_eq!(region.root().to_string(), "{[1,2]}");
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(sum(leaked.root()), 3));
    });
    let lent = a.root();
    assert_eq!(lent.to_string(), "{wrapped,[1,2]}");
    a.collect_major().unwrap();
}
