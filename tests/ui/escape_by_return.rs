// What a builder makes lives in the region, not beside it.
use shared_term::{Region, Term};

fn main() {
    let _: Term<'_> = {
        let mut made = Vec::new();
        let _region = Region::build(|h| {
            made.push(h.list([1, 2]));
            h.nil()
        });
        made[0]
    };
}
