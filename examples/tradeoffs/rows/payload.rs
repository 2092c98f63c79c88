//! What one send costs the sender, by the size of what is sent.
//!
//! The payload is a list of small integers, two words each, or one integer: plain data, nothing in it shared. The receivers
//! don't run while the clock does.

use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};

use shared_term::{Atom, Cx, Heap, Region, Term};

use crate::arc_tree::Value;
use crate::crew::{Crew, why};
use crate::document::Doc;
use crate::lending::{Held, Owner};
use crate::measure::{PATIENCE, per, repeated};
use crate::mini_runtime::spawn;
use crate::rows::Bench;
use crate::rows::minis::sends;
use crate::shared_heap::SharedHeap;
use crate::table::{Figure, PAYLOADS, SendRow};

pub(crate) const COPIED: &str = "copy: cx.send(pid, term)";
pub(crate) const MOVED: &str = "move: cx.send(pid, region)";
pub(crate) const BINARY: &str = "one binary, counted";
pub(crate) const LITERAL: &str = "persistent term";
pub(crate) const COUNTED: &str = "refcount everything";
pub(crate) const SHARED: &str = "one shared heap";
pub(crate) const LENT: &str = "lent, copied at death";
pub(crate) const BOXED: &str = "std: channel of Box";
pub(crate) const ARC: &str = "std: channel of Arc";

const KEY: Atom = Atom::inline("payload");
const CELL: usize = 16;
/// Bytes that the payloads of one round may take.
const ROOM: usize = 32 << 20;

/// Receivers of a round.
fn receivers(bytes: usize) -> usize {
    (ROOM / bytes).clamp(8, 1_000)
}

fn integers(bytes: usize) -> std::ops::Range<i64> {
    0..(bytes / CELL) as i64
}

fn payload(h: Heap<'_>, bytes: usize) -> Term<'_> {
    if bytes < CELL { h.int(1) } else { h.list(integers(bytes)) }
}

/// Is this what was sent?
fn is_whole(held: Term<'_>, bytes: usize) -> bool {
    if let Some(held) = held.as_bytes() {
        held.len() == bytes
    } else if bytes < CELL {
        held.as_int() == Some(1)
    } else {
        held.list().count() == bytes / CELL
    }
}

fn row(
    name: &'static str,
    note: &str,
    mut measure: impl FnMut(usize) -> Result<Figure, String>,
) -> Result<SendRow, String> {
    let mut ns_send = PAYLOADS.map(|_| Figure::count(0));
    for (figure, bytes) in ns_send.iter_mut().zip(PAYLOADS) {
        *figure = measure(bytes)?;
    }
    Ok(SendRow { name, ns_send, note: note.into() })
}

fn step(bench: &Bench, bytes: usize) {
    bench.progress.step(&format!("{bytes} bytes"));
}

/// Rounds of sends to processes of the library: `ns` sends to each of them, in a turn, and says how long one took.
fn rounds(
    bench: &Bench,
    bytes: usize,
    ns: impl Fn(Cx<'_>, &[shared_term::Pid], Vec<Region>) -> f64 + Copy + Send + 'static,
    regions: impl Fn() -> Vec<Region>,
) -> Result<Figure, String> {
    step(bench, bytes);
    let crew = Crew::new(1, bytes / 8)?;
    crew.rt.persistent().put(KEY, Region::build(|h| payload(h, bytes))).map_err(why)?;
    let [sender] = crew.spawn(1)?[..] else { return Err("one process was asked for".into()) };
    let to = crew.spawn(receivers(bytes))?;
    let round = || {
        let (tell, told) = channel();
        let (pids, ready) = (to.clone(), regions());
        crew.expect(to.len());
        crew.run(sender, move |cx, _| {
            // The row may have given up waiting.
            let _ = tell.send(ns(cx, &pids, ready));
        })?;
        let ns = told.recv_timeout(PATIENCE).map_err(|_| "the sender never answered")?;
        crew.held()?;
        let whole = crew.ask(&to[..1], move |_, held| is_whole(held, bytes))?;
        crew.forget(&to)?;
        crew.ask(&to, |_, _| ())?;
        if whole == [true] { Ok(ns) } else { Err("a payload was lost on its way".into()) }
    };
    // The first round meets a cold allocator.
    round()?;
    repeated(&bench.plan, bench.plan.rounds, round).map(Figure::measured)
}

pub(crate) fn copied(bench: &Bench) -> Result<SendRow, String> {
    row(COPIED, "Copied into a region that becomes the receiver's.", |bytes| {
        let ns = move |cx: Cx<'_>, to: &[shared_term::Pid], _| {
            let sent = payload(*cx, bytes);
            per(to.len() as u64, || to.iter().for_each(|&pid| cx.send(pid, sent)))
        };
        rounds(bench, bytes, ns, Vec::new)
    })
}

pub(crate) fn moved(bench: &Bench) -> Result<SendRow, String> {
    row(MOVED, "Built as a region off the clock; the sender has it no more.", |bytes| {
        let ns = |cx: Cx<'_>, to: &[shared_term::Pid], regions: Vec<Region>| {
            per(to.len() as u64, || to.iter().zip(regions).for_each(|(&pid, region)| cx.send(pid, region)))
        };
        let regions = || (0..receivers(bytes)).map(|_| Region::build(|h| payload(h, bytes))).collect();
        rounds(bench, bytes, ns, regions)
    })
}

pub(crate) fn binary(bench: &Bench) -> Result<SendRow, String> {
    row(BINARY, "So many bytes; up to 64 of them lie in the heap and are copied.", |bytes| {
        let ns = move |cx: Cx<'_>, to: &[shared_term::Pid], _| {
            let sent = cx.binary(vec![7; bytes]);
            per(to.len() as u64, || to.iter().for_each(|&pid| cx.send(pid, sent)))
        };
        rounds(bench, bytes, ns, Vec::new)
    })
}

pub(crate) fn literal(bench: &Bench) -> Result<SendRow, String> {
    row(LITERAL, "Got once, and sent: a pointer, and a bit in the filter of the message.", |bytes| {
        let ns = |cx: Cx<'_>, to: &[shared_term::Pid], _| {
            let sent = cx.get(KEY).unwrap_or(cx.nil());
            per(to.len() as u64, || to.iter().for_each(|&pid| cx.send(pid, sent)))
        };
        rounds(bench, bytes, ns, Vec::new)
    })
}

pub(crate) fn counted(bench: &Bench) -> Result<SendRow, String> {
    row(COUNTED, "The count of the first cell goes up.", |bytes| {
        let doc = if bytes < CELL { Doc::Int(1) } else { Doc::List(integers(bytes).map(Doc::Int).collect()) };
        let value = Value::of_doc(&doc);
        sends(bench, &spawn(receivers(bytes)), |_| value.clone())
    })
}

pub(crate) fn shared(bench: &Bench) -> Result<SendRow, String> {
    row(SHARED, "A handle; the price comes with the next collection.", |bytes| {
        let heap = SharedHeap::default();
        let value = heap.adopt(Region::build(|h| payload(h, bytes)));
        sends(bench, &heap.spawn(receivers(bytes)), |_| value)
    })
}

pub(crate) fn lent(bench: &Bench) -> Result<SendRow, String> {
    row(LENT, "A pointer and a tracking record; the copy comes when the owner ends.", |bytes| {
        let owner = Owner::new(Region::build(|h| payload(h, bytes)));
        sends(bench, &spawn(receivers(bytes)), |to| -> Held { owner.lend(to).into_iter().collect() })
    })
}

/// Sends down a channel that has room, which is emptied off the clock.
fn channelled<T: Send>(bench: &Bench, bytes: usize, mut make: impl FnMut() -> T) -> Result<Figure, String> {
    step(bench, bytes);
    let count = receivers(bytes);
    let (send, receive) = sync_channel(count);
    let mut round = || {
        let payloads: Vec<T> = (0..count).map(|_| make()).collect();
        let ns = per(count as u64, || payloads.into_iter().for_each(|payload| drop(send.send(payload))));
        let arrived = receive.try_iter().count();
        if arrived == count { Ok(ns) } else { Err("a payload was lost on its way".into()) }
    };
    round()?;
    repeated(&bench.plan, bench.plan.rounds, round).map(Figure::measured)
}

pub(crate) fn boxed(bench: &Bench) -> Result<SendRow, String> {
    let note = "No processes at all: a Box is moved between threads, and what it was made of is not counted. Where there is \
                nothing to isolate, this is the price to beat.";
    row(BOXED, note, |bytes| channelled(bench, bytes, || vec![1_u64; bytes / 8].into_boxed_slice()))
}

pub(crate) fn arc(bench: &Bench) -> Result<SendRow, String> {
    row(ARC, "As above, one Arc for all receivers; its count went up off the clock.", |bytes| {
        let value: Arc<[u64]> = vec![1; bytes / 8].into();
        channelled(bench, bytes, || Arc::clone(&value))
    })
}
