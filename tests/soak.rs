//! A long run that ends with memory back where it began.
//!
//! The whole of it, a hundred million messages and a million spawns:
//! `cargo test --release --test soak -- --ignored --nocapture`

#![cfg(feature = "runtime")]

use shared_term::heap;
use shared_term::prelude::*;
use shared_term::process::{SpawnOptions, from_fns};
use shared_term::runtime::Handle;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Counts the bytes that live.
struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: the system's, and a count.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LONG: Duration = Duration::from_secs(3600);
const CONFIG: Atom = Atom::inline("config");

/// A hub that hears of the end of every one of its children, of which each sends some messages and ends in one of the ways
/// in which a process can.
fn round(rt: &Handle, children: u64, messages: u64) {
    let (done, end) = mpsc::channel();
    let received = Arc::new(AtomicU64::new(0));
    let count = received.clone();
    let mut ended = 0;
    let hub = rt
        .spawn_with(
            SpawnOptions::new().name(Atom::inline("hub")),
            from_fns(
                |cx| {
                    cx.trap_exits(true);
                    cx.int(0)
                },
                move |cx, spawned, m| {
                    if m.as_int().is_some() {
                        count.fetch_add(1, Relaxed);
                        return Ok(Next(spawned));
                    }
                    let n: u64 = spawned.get()?;
                    if n == children {
                        return Ok(Next(spawned));
                    }
                    let way = n % 4;
                    let child = move |cx: Cx<'_>| {
                        (0..messages).for_each(|i| cx.send_named(Atom::inline("hub"), cx.int(i)));
                        match way {
                            0 => cx.exit(cx.me(), cx.atom(Atom::inline("normal"))),
                            1 => cx.kill(cx.me()),
                            2 => cx.exit(cx.me(), cx.list(0..20)),
                            _ => std::panic::resume_unwind(Box::new("soak")),
                        }
                    };
                    let child = from_fns(
                        move |cx| {
                            child(cx);
                            cx.get(CONFIG).unwrap_or(cx.nil())
                        },
                        |_, s, _| Ok(Next(s)),
                        |_, s, _| Ok(Next(s)),
                    );
                    cx.spawn_monitored(SpawnOptions::new().link(), child)?;
                    cx.send(cx.me(), cx.nil());
                    Ok(Next(cx.int(n + 1)))
                },
                move |cx, spawned, event| {
                    // Of each an exit and a down.
                    ended += u64::from(matches!(event, Event::Down { .. } | Event::Exit { .. }));
                    if ended == 2 * children {
                        done.send(())?;
                        return Ok(Stop(Exit::NORMAL));
                    }
                    let _ = cx;
                    Ok(Next(spawned))
                },
            ),
        )
        .unwrap();
    let gone = rt.exited(hub);
    // Many at once, so that the children of some run while others are spawned.
    (0..16).for_each(|_| _ = rt.send_new(hub, |h| h.nil())); // it may be done before the last of them
    end.recv_timeout(LONG).unwrap();
    gone.wait(LONG);
    assert_eq!(received.load(Relaxed), children * messages);
    assert!(rt.registered().is_empty());
}

fn soak(rounds: u64, children: u64, messages: u64) {
    let began = LIVE.load(Relaxed);
    let warm = {
        let rt = Runtime::builder().workers(2).build().unwrap();
        let store = rt.persistent().clone();
        let mut warm = 0;
        for r in 0..rounds {
            store.put(CONFIG, Region::build(|h| h.list(r..r + 100))).unwrap();
            round(&rt, children, messages);
            assert!(store.wait_idle(LONG));
            let live = LIVE.load(Relaxed);
            println!("round {r}: {} processes, {live} bytes live", rt.processes());
            if r == 1 {
                warm = live;
            }
        }
        let now = LIVE.load(Relaxed);
        // Tables, pools and stacks of threads have their size after two rounds. What is freed waits in batches.
        assert!(rounds < 3 || now - warm < 1 << 20, "{warm} bytes after two rounds, {now} after {rounds}");
        assert_eq!(rt.processes(), 0);
        warm
    };
    // Of what the pools keep, up to their limits, they know; not of their notes, eight bytes a block.
    let (left, pooled) = (LIVE.load(Relaxed) - began, heap::pooled_bytes() + heap::thread_pooled_bytes());
    println!(
        "{warm} bytes live after two rounds, {left} more than at first without the runtime, {pooled} of these pooled"
    );
    assert!(left - pooled.cast_signed() < 1 << 20, "{left} bytes are left, and {pooled} are pooled");
}

#[test]
fn a_short_soak_ends_where_it_began() {
    soak(5, 400, 20);
}

#[test]
#[ignore = "takes minutes: see the first lines of this file"]
fn a_hundred_million_messages_and_a_million_spawns_end_where_they_began() {
    soak(10, 100_000, 100);
}

#[test]
#[ignore = "a tenth of the above"]
fn ten_million_messages_and_a_million_spawns_end_where_they_began() {
    soak(10, 100_000, 10);
}
