// A lent term borrows what keeps it alive.
use shared_term::Region;

fn main() {
    let root = {
        let region = Region::build(|h| h.list([1]));
        region.root()
    };
    println!("{root}");
}
