//! Further figures that the question comes with.

use std::hint::black_box;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use shared_term::heap::{CollectWhen, OwnedHeap};
use shared_term::prelude::*;
use shared_term::process::SpawnOptions;

use crate::arc_tree::Table;
use crate::crew::{Crew, why};
use crate::document::{Doc, Document, Key};
use crate::measure::{PATIENCE, median, ns_per_call, repeated};
use crate::rows::Bench;
use crate::table::{Fact, Figure};

pub(crate) const DROP: &str = "dropping or collecting a large heap";
pub(crate) const WALK: &str = "many small heaps, or one for all";
pub(crate) const COUNT: &str = "a counter in immutable data";
pub(crate) const SHARE: &str = "requests that are never collected";
pub(crate) const BINARY: &str = "how long a binary lives on";
pub(crate) const MAJOR: &str = "a major collection";
pub(crate) const CELL: &str = "a list cell under reference counts";

fn fact(name: &'static str, figure: Figure, unit: &'static str, note: impl Into<String>) -> Fact {
    Fact { name, figure, unit, note: note.into() }
}

/// List cells of two words: 100 MB.
const CELLS: i64 = 100_000_000 / 16;

pub(crate) fn dropping(bench: &Bench) -> Result<Vec<Fact>, String> {
    bench.progress.step("100 MB");
    let (mut collected, mut dropped) = (Vec::new(), Vec::new());
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    repeated(&bench.plan, bench.plan.rounds, || {
        let mut heap = OwnedHeap::new(|h| h.list(0..CELLS));
        let start = Instant::now();
        let stats = heap.collect_major().map_err(why)?;
        collected.push(ms(start.elapsed()));
        if stats.after_words != 2 * CELLS as usize {
            return Err(format!("{} words lived", stats.after_words));
        }
        let start = Instant::now();
        drop(black_box(heap));
        dropped.push(ms(start.elapsed()));
        Ok(0.0)
    })?;
    Ok(vec![
        fact(
            "to collect 100 MB that live",
            Figure::measured(median(collected)),
            "ms",
            "A copying collection moves every live word.",
        ),
        fact(
            "to drop 100 MB",
            Figure::measured(median(dropped)),
            "ms",
            "What the end of a process takes: its chunks go back to the allocator, and nothing is traced. A request \
             process that ends before its heap fills is never collected at all.",
        ),
    ])
}

const LISTS: i64 = 1_000;
const LENGTH: i64 = 1_000;

/// Lists that were made one after the other, each in a heap of its own; and the same lists, made a cell of each at a time in
/// one heap, as processes do that run by turns and share it.
pub(crate) fn walking(bench: &Bench) -> Result<Vec<Fact>, String> {
    bench.progress.step("lists");
    let own: Vec<Region> = (0..LISTS).map(|n| Region::build(|h| h.list((0..LENGTH).map(|at| n + at)))).collect();
    let shared = Region::build(|h| {
        let mut lists = vec![h.nil(); LISTS as usize];
        for at in (0..LENGTH).rev() {
            for (list, n) in lists.iter_mut().zip(0..) {
                *list = h.cons(h.int(n + at), *list);
            }
        }
        h.tuple(&lists)
    });
    let sum = |list: shared_term::TermRef<'_>| list.list().filter_map(|n| n.as_int()).sum::<i64>();
    let expected: i64 = (0..LISTS).map(|n| LENGTH * n + LENGTH * (LENGTH - 1) / 2).sum();
    let roots = shared.root().as_tuple().unwrap_or_default();
    let sums = [own.iter().map(|list| sum(list.root())).sum::<i64>(), roots.iter().map(|&list| sum(list)).sum()];
    if sums != [expected; 2] {
        return Err(format!("the sums of the lists are {sums:?}, and must be {expected}"));
    }
    let words = (2 * LISTS * LENGTH) as f64;
    let per_word = |ns: Option<f64>| Figure::measured(ns.map(|ns| ns / words));
    let apart = ns_per_call(&bench.plan, || {
        black_box(own.iter().map(|list| sum(list.root())).sum::<i64>());
    });
    let mixed = ns_per_call(&bench.plan, || {
        black_box(roots.iter().map(|&list| sum(list)).sum::<i64>());
    });
    Ok(vec![
        fact(
            "to walk 1,000 small heaps, a word",
            per_word(apart),
            "ns",
            "1,000 lists of 1,000 cells, each in a heap of its own: neighbours in the list are neighbours in memory.",
        ),
        fact(
            "to walk one interleaved heap, a word",
            per_word(mixed),
            "ns",
            "The same lists, made by turns in one heap: each cell lies in a cache line with those of other lists.",
        ),
    ])
}

/// Where the number lies.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Rust,
    State,
    Map,
}

/// Counts its own turns.
struct Counting {
    place: Place,
    turns: u64,
    rust: u64,
    done: Sender<(Instant, Instant, u64)>,
    began: Option<Instant>,
}

/// Keys of the map.
const KEYS: u64 = 10_000;

impl Process for Counting {
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        Ok(match self.place {
            Place::Map => cx.map((0..KEYS).map(|key| (key, 0_u64))),
            _ => cx.int(0),
        })
    }

    fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        self.began = Some(Instant::now());
        Ok(Again(state))
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        const KEY: u64 = KEYS / 2;
        let count = match self.place {
            Place::Rust => self.rust,
            Place::State => state.get()?,
            Place::Map => state.lookup(KEY).ok_or_else(|| Exit::msg("no such key"))?.get()?,
        };
        if count == self.turns {
            if let Some(began) = self.began {
                // The row may have given up waiting.
                let _ = self.done.send((began, Instant::now(), count));
            }
            return Ok(Stop(Exit::NORMAL));
        }
        let next = cx.int(count + 1);
        Ok(Again(match self.place {
            Place::Rust => {
                self.rust += 1;
                state
            }
            Place::State => next,
            Place::Map => cx.insert(state, cx.int(KEY), next).ok_or_else(|| Exit::msg("no map"))?,
        }))
    }
}

pub(crate) fn counting(bench: &Bench) -> Result<Vec<Fact>, String> {
    let measured = |place, what, turns: u64| -> Result<Figure, String> {
        bench.progress.step(what);
        let crew = Crew::new(1, 10)?;
        let ns = repeated(&bench.plan, bench.plan.rounds, || {
            let (done, told) = channel();
            let pid = crew.rt.spawn(Counting { place, turns, rust: 0, done, began: None }).map_err(why)?;
            crew.rt.send_new(pid, |h| h.nil()).map_err(why)?;
            let (began, ended, count) = told.recv_timeout(PATIENCE).map_err(|_| "the counting never ended")?;
            Ok(ended.duration_since(began).as_secs_f64() * 1e9 / count as f64)
        });
        ns.map(Figure::measured)
    };
    Ok(vec![
        fact(
            "a turn that adds 1 to a Rust field",
            measured(Place::Rust, "in Rust", 200_000)?,
            "ns",
            "The behaviour's own data: mutable, and nobody else's.",
        ),
        fact(
            "a turn that adds 1 to a state term",
            measured(Place::State, "in the state", 200_000)?,
            "ns",
            "A number is an immediate: the new state is a word.",
        ),
        fact(
            "a turn that adds 1 in a map of 10,000",
            measured(Place::Map, "in a map", 2_000)?,
            "ns",
            "Nothing is changed in place: the path to the key is made anew, what is beside it is shared, and what was \
             replaced is garbage for the next collection. This is what never mutating costs, and what makes a message, a \
             snapshot and a literal safe to look at without a lock.",
        ),
    ])
}

/// What the request processes of a server make, in words: most little, some more, few a lot.
const REQUESTS: [(u64, u64); 3] = [(9_000, 300), (900, 3_000), (100, 30_000)];
/// In how many turns.
const REQUEST_TURNS: u64 = 4;

/// One request: builds its answer in a few turns, each of which keeps what the one before made, and ends.
struct Request {
    words: u64,
    turns: u64,
    done: Sender<Option<u64>>,
}

impl Process for Request {
    fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Ok(Again(state))
    }

    fn resume<'h>(&mut self, cx: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        if self.turns < REQUEST_TURNS {
            self.turns += 1;
            return Ok(Again(cx.list_with_tail(0..self.words / REQUEST_TURNS / 2, state)));
        }
        let heap = cx.info(cx.me()).and_then(|info| info.details).map(|details| details.heap);
        // The row may have given up waiting.
        let _ = self.done.send(heap.map(|heap| heap.minor_collections + heap.major_collections));
        Ok(Stop(Exit::NORMAL))
    }
}

pub(crate) fn share(bench: &Bench) -> Result<Vec<Fact>, String> {
    let measured = |options: SpawnOptions| {
        bench.progress.step("requests");
        let crew = Crew::new(2, 10)?;
        let (done, told) = channel();
        let all: u64 = REQUESTS.iter().map(|(count, _)| count).sum();
        for (count, words) in REQUESTS {
            for _ in 0..count {
                let request = Request { words, turns: 0, done: done.clone() };
                let pid = crew.rt.spawn_with(options, request).map_err(why)?;
                crew.rt.send_new(pid, |h| h.nil()).map_err(why)?;
            }
        }
        let mut never = 0_u64;
        for _ in 0..all {
            let collections = told.recv_timeout(PATIENCE).map_err(|_| "a request never ended")?;
            never += u64::from(collections.ok_or("a process knows nothing of itself")? == 0);
        }
        Ok::<_, String>(Figure::Is(100.0 * never as f64 / all as f64))
    };
    let large = SpawnOptions::new().min_heap_words(32 << 10);
    Ok(vec![
        fact(
            "requests that ended without any collection",
            measured(SpawnOptions::new())?,
            "%",
            "10,000 request processes that make 300 words (90 %), 3,000 (9 %) or 30,000 (1 %) in four turns, keep them, and \
             end, with the default least heap.",
        ),
        fact(
            "the same, 32,768 words before the first",
            measured(large)?,
            "%",
            "min_heap_words says how much a heap may have before it is collected: for a process that ends soon, enough is \
             never.",
        ),
    ])
}

/// Bytes that say when they are freed.
struct Watched {
    bytes: Vec<u8>,
    freed: Sender<Instant>,
}

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Nobody waits for the last one of a run.
        let _ = self.freed.send(Instant::now());
    }
}

/// Keeps the first byte of a binary that it is sent, and how many messages there were: never the binary.
struct Looker {
    looked: Sender<()>,
}

impl Process for Looker {
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        Ok(cx.tuple(&[cx.int(0), cx.int(0)]))
    }

    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        let (byte, count): (i64, i64) = state.get()?;
        let byte = message.as_bytes().and_then(<[u8]>::first).map_or(byte, |&first| first.into());
        // The row may have given up waiting.
        let _ = self.looked.send(());
        Ok(Next(cx.tuple(&[cx.int(byte), cx.int(count + 1)])))
    }
}

/// Processes that look at a binary once, and go on with other, small messages. None of them can reach it any more.
pub(crate) fn binary(bench: &Bench) -> Result<Vec<Fact>, String> {
    const TOUCHED: usize = 8;
    const BYTES: usize = 1_000;
    const MOST: u32 = 1_000_000;
    bench.progress.step("binaries");
    // Microseconds from the last look until the binary is freed, and how many more messages each process had by then.
    let measured = |options: SpawnOptions| {
        let crew = Crew::new(1, 10)?;
        let (looked, looks) = channel();
        let looker = |_| crew.rt.spawn_with(options, Looker { looked: looked.clone() }).map_err(why);
        let pids = (0..TOUCHED).map(looker).collect::<Result<Vec<_>, _>>()?;
        let all_look = || {
            let looks = pids.iter().map(|_| looks.recv_timeout(PATIENCE));
            looks.collect::<Result<(), _>>().map_err(|_| "a process never looked")
        };
        let mut further = Vec::new();
        let us = repeated(&bench.plan, bench.plan.rounds, || {
            let (freed, told) = channel();
            let bytes = bytes::Bytes::from_owner(Watched { bytes: vec![7; BYTES], freed });
            for &pid in &pids {
                crew.rt.send_new(pid, |h| h.bytes(bytes.clone())).map_err(why)?;
            }
            drop(bytes);
            all_look()?;
            let began = Instant::now();
            for sent in 0..MOST {
                if let Ok(end) = told.try_recv() {
                    further.push(f64::from(sent));
                    return Ok(end.saturating_duration_since(began).as_secs_f64() * 1e6);
                }
                for &pid in &pids {
                    crew.rt.send_new(pid, |h| h.list(0..5)).map_err(why)?;
                }
                all_look()?;
            }
            Err(format!("{MOST} further messages did not free the binary"))
        })?;
        Ok::<_, String>((Figure::measured(us), Figure::measured(median(further)).human()))
    };
    let (pressure, further) = measured(SpawnOptions::new())?;
    let (idle, at_once) = measured(SpawnOptions::new().collect_when(CollectWhen::Idle))?;
    Ok(vec![
        fact(
            "a binary that 8 processes looked at lives on",
            pressure,
            "us",
            format!(
                "{BYTES} bytes. Each looked once and keeps a number; the binary is freed when the last of them has collected: \
                 after {further} further messages of five cells to each, one after the other."
            ),
        ),
        fact(
            "the same, collected when idle",
            idle,
            "us",
            format!(
                "CollectWhen::Idle: whoever has nothing more to do collects; after {at_once} further messages. It is the same \
                 garbage: collecting sooner is all that frees it sooner."
            ),
        ),
    ])
}

/// A heap of two lists that many turns added to, of which one died when it was old: what the heap holds, before and after.
pub(crate) fn major(bench: &Bench) -> Result<Vec<Fact>, String> {
    const TURNS: i64 = 10_000;
    bench.progress.step("chunks");
    let mut heap = OwnedHeap::new(|h| h.tuple(&[h.nil(), h.nil()]));
    for turn in 0..TURNS {
        heap.turn(|h, lists| {
            let [kept, dropped] = *lists.tuple_of().expect("the root is a pair");
            (h.tuple(&[kept, dropped].map(|list| h.list_with_tail([turn; 5], list))), ())
        });
        if turn % 100 == 99 {
            heap.collect_minor().map_err(why)?;
        }
    }
    heap.turn(|_, lists| {
        let [kept, _] = *lists.tuple_of().expect("the root is a pair");
        (kept, ())
    });
    let before = heap.info();
    let live = heap.collect_major().map_err(why)?.moved_words;
    let after = heap.info();
    let must = 2 * 5 * TURNS as usize;
    if live != must || heap.root().list().count() != must / 2 {
        return Err(format!("{live} words lived, and {must} must"));
    }
    let figure = |count: usize| Figure::Is(count as f64);
    Ok(vec![
        fact(
            "chunks before a major",
            figure(before.chunks),
            "chunks",
            format!(
                "Two lists of equal length that 10,000 turns added to, five cells each, with a minor collection every 100 turns: \
                 {} of {} words are in the old generation. Then one of them is dropped: no minor collection sees that.",
                before.old_words,
                before.old_words + before.young_words,
            ),
        ),
        fact(
            "chunks after it",
            figure(after.chunks),
            "chunks",
            "What lives is copied into new chunks, and the others go back.",
        ),
        fact("bytes before a major", figure(before.chunk_bytes), "bytes", "With headers and the room not used yet."),
        fact("bytes after it", figure(after.chunk_bytes), "bytes", format!("{live} words live: {} bytes.", live * 8)),
    ])
}

#[expect(clippy::unnecessary_wraps, reason = "one signature for all that is measured")]
pub(crate) fn cell(_: &Bench) -> Result<Vec<Fact>, String> {
    let of = |values: Vec<Doc>| {
        let document = Document::of_table(vec![(Key::Index(0), Doc::List(values))]);
        Table::new(&document, 0, None).size()
    };
    let (two, one) = (of(vec![Doc::Int(1); 2]), of(vec![Doc::Int(1)]));
    let heap = Region::build(|h| h.list(0..1)).words();
    Ok(vec![
        fact(
            "a list cell of this example's counted tree",
            Figure::count(two.words - one.words),
            "words",
            "Strong and weak count, a head of three words (a pointer to an array has a length), a tail.",
        ),
        fact(
            "a list cell of the leanest counted tree",
            Figure::count(two.lean_words - one.lean_words),
            "words",
            "One count, a head, a tail: one word in three is the count.",
        ),
        fact("a list cell of a heap", Figure::count(heap), "words", "A head and a tail; not even a header."),
    ])
}
