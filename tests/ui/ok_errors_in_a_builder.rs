// `?` in a builder: the closure's error type is that of the function, or is named.
use shared_term::Region;

type Error = Box<dyn std::error::Error>;

fn parse(text: &str) -> Result<Region, Error> {
    Region::try_build(|h| Ok(h.int(text.parse::<i64>()?)))
}

fn parsed(text: &str) -> Result<i64, Error> {
    let region = Region::try_build::<Error>(|h| Ok(h.int(text.parse::<i64>()?)))?;
    Ok(region.root().get()?)
}

fn main() {
    assert!(parse("x").is_err());
    assert_eq!(parsed("42").unwrap(), 42);
}
