//! An idle runtime uses no processor: none of its threads wakes up. With `--nocapture` this prints how long they ran.
//!
//! By itself: the threads of a runtime are told by their names, and nothing else must wake them.

#![cfg(all(target_os = "linux", feature = "runtime"))]

use shared_term::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

const NAME: &str = "idle-runtime";

/// How often each thread of the runtime has gone to sleep or was sent away, by its number.
fn switches() -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        let read = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        // The kernel keeps 15 bytes of a name.
        if !read("comm").starts_with(NAME) {
            continue;
        }
        let status = read("status");
        let count = |line: &str| Some(line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().unwrap());
        all.insert(path.display().to_string(), status.lines().filter_map(count).sum());
    }
    all
}

/// The nanoseconds that the threads of the runtime have run, where the kernel counts them.
fn processor_time() -> Option<u64> {
    let mut all = 0;
    for task in fs::read_dir("/proc/self/task").ok()? {
        let path = task.ok()?.path();
        if fs::read_to_string(path.join("comm")).ok()?.starts_with(NAME) {
            all += fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()?;
        }
    }
    Some(all)
}

/// The counts, once they have stopped to change.
fn at_rest() -> BTreeMap<String, u64> {
    let mut before = switches();
    for _ in 0..1000 {
        std::thread::sleep(Duration::from_millis(50));
        let now = switches();
        if now == before {
            return now;
        }
        before = now;
    }
    panic!("the runtime does not come to rest: {before:?}");
}

#[test]
fn an_idle_runtime_does_not_wake_up() {
    let rt = Runtime::builder().workers(3).thread_name(NAME).build().unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    // Processes that stay, a few that end, and a persistent term to collect: everything that threads wait for.
    for i in 0..100 {
        rt.spawn_fn(
            move |cx| {
                cx.send(me, cx.int(i));
                cx.nil()
            },
            |_, _, _| Ok(Stop(Exit::NORMAL)),
        )
        .unwrap();
    }
    for i in 0..100 {
        assert!(port.recv_timeout(Duration::from_secs(60)).is_some());
        rt.persistent().put(Atom::OK, Region::build(|h| h.list(0..i))).unwrap();
    }
    assert!(rt.persistent().wait_idle(Duration::from_secs(60)));
    // A timer that is far off does not wake anybody before, nor one that has fired or was cancelled after.
    let timer = |after| rt.send_after(after, me, Region::build(|h| h.nil())).unwrap();
    timer(Duration::from_secs(3600));
    assert!(rt.cancel_timer(timer(Duration::from_secs(30))).is_some());
    timer(Duration::from_millis(1));
    assert!(port.recv_timeout(Duration::from_secs(60)).is_some());
    let before = at_rest();
    assert_eq!(before.len(), 5, "three workers, and the drivers of collections and of timers: {before:?}");
    let ran = processor_time();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(switches(), before, "a thread woke up, and nothing had happened");
    if let (Some(ran), Some(now)) = (ran, processor_time()) {
        println!("in 500 ms without work five threads ran {} ns, after {ran} ns with", now - ran);
        assert_eq!(now, ran);
    }

    // Everybody still hears.
    let echo = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, message| {
            cx.send(me, message);
            Ok(Next(state))
        },
    );
    rt.send_new(echo.unwrap(), |h| h.int(7)).unwrap();
    assert_eq!(port.recv_timeout(Duration::from_secs(60)).unwrap().root().as_int(), Some(7));
}
