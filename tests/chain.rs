//! What a chain of versions keeps alive, each of which shares structure with the one before (H28).
//!
//! The whole of it, a hundred thousand updates of one key of a map of 1,024, with the peak:
//!
//! ```text
//! cargo test --release --test chain -- --ignored --nocapture
//! ```

#![cfg(feature = "runtime")]

mod support;

use shared_term::prelude::*;
use support::LONG;

const MAP: Atom = Atom::inline("map");
const PAIRS: i64 = 1024;

/// Peak words of all areas, as a multiple of those of the newest version alone, and of those that a version adds.
struct Peak {
    words: usize,
    newest: usize,
    copied: u64,
}

fn updates(versions: i64, key_of: fn(i64) -> i64) -> Peak {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(MAP, Region::build(|h| h.map((0..PAIRS).map(|i| (i, i))))).unwrap();
    let newest = store.info().words;
    let writer = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, version| {
            let new = cx.insert(cx.get(MAP).unwrap(), cx.int(key_of(version.get()?)), version).unwrap();
            cx.put(MAP, new)?;
            Ok(Next(state))
        },
    );
    let writer = writer.unwrap();
    let (mut peak, mut copied) = (Peak { words: 0, newest, copied: 0 }, 0);
    for version in 0..versions {
        rt.send_new(writer, |h| h.int(PAIRS + version)).unwrap();
        rt.run_until_idle();
        let info = store.info();
        assert_eq!(info.retained_bytes, 0, "nobody holds it");
        peak.words = peak.words.max(info.words);
        // A version that was copied whole leans on nothing.
        copied += u64::from(store.entry_info(MAP).unwrap().shared_words == 0);
    }
    peak.copied = copied;
    let guard = store.pin();
    let map = guard.get(MAP).unwrap();
    assert_eq!(map.lookup(key_of(PAIRS + versions - 1)).unwrap().as_int(), Some(PAIRS + versions - 1));
    drop(guard);
    store.erase(MAP);
    rt.run_until_idle();
    assert!(store.wait_idle(LONG));
    assert_eq!((store.info().areas, store.info().words), (0, 0));
    peak
}

fn check(name: &str, versions: i64, key_of: fn(i64) -> i64) {
    let Peak { words, newest, copied } = updates(versions, key_of);
    println!(
        "{name}: {versions} updates of a map of {newest} words: at most {words} words at once, {:.2} times the newest; \
         {copied} versions were copied whole",
        words as f64 / newest as f64
    );
    assert!(words < 4 * newest, "{words} words are kept for {newest}");
    assert!((copied as i64) < versions / 8, "{copied} of {versions} were copied whole");
}

#[test]
fn a_chain_keeps_a_small_multiple_of_the_newest() {
    check("one key", 2_000, |_| 7);
    check("all keys", 2_000, |version| version * 31 % PAIRS);
}

#[test]
#[ignore = "a hundred thousand updates: by hand"]
fn a_chain_of_a_hundred_thousand_keeps_a_small_multiple_of_the_newest() {
    check("one key", 100_000, |_| 7);
    check("all keys", 100_000, |version| version * 31 % PAIRS);
}
