//! Two runtimes in one program, and the end of each: every process ends, and every thread is joined.
//!
//! By itself: the threads of a runtime are told by their names.

#![cfg(all(target_os = "linux", feature = "runtime"))]

mod support;

use shared_term::prelude::*;
use shared_term::process::Unsent;
use shared_term::runtime::Handle;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use support::{LONG, OnDrop};

/// How many threads have a name that begins so.
fn threads(name: &str) -> usize {
    let names = fs::read_dir("/proc/self/task").unwrap().filter_map(|task| {
        // One that has ended meanwhile has no name.
        fs::read_to_string(task.ok()?.path().join("comm")).ok()
    });
    names.filter(|comm| comm.starts_with(name)).count()
}

/// Does it come to so many? A thread is seen for a moment longer than its join waits for it, and gives itself its name for a
/// moment after it was started.
fn come_to(name: &str, count: usize) -> bool {
    (0..LONG.as_millis()).any(|_| {
        let reached = threads(name) == count;
        if !reached {
            std::thread::sleep(Duration::from_millis(1));
        }
        reached
    })
}

/// Counts the processes that have ended, and why.
struct Ends {
    ended: Arc<AtomicUsize>,
    to: Pid,
    again: bool,
}

impl Process for Ends {
    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        cx.send(self.to, message);
        if self.again { Ok(Again(state)) } else { Ok(Next(state)) }
    }

    fn resume<'h>(&mut self, _: Cx<'h>, state: Term<'h>) -> Turn<'h> {
        Ok(Again(state))
    }

    fn ended(&mut self, why: &Exit) {
        assert_eq!(why.to_string(), "shutdown");
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn two_runtimes_end_each_by_itself_and_join_their_threads() {
    const NAMES: [&str; 2] = ["first-runtime", "other-runtime"];
    let start = |name: &str| {
        // A worker that never sleeps beside one that does.
        let rt = Runtime::builder().workers(2).thread_name(name).build().unwrap();
        let port = rt.port().unwrap();
        let ended = Arc::new(AtomicUsize::new(0));
        let spawn = |again| rt.spawn(Ends { ended: ended.clone(), to: port.pid(), again }).unwrap();
        let idle: Vec<_> = (0..50).map(|_| spawn(false)).collect();
        let busy = spawn(true);
        rt.send_new(busy, |h| h.nil()).unwrap();
        // A timer that is never due, and one that is now and then.
        rt.send_after(Duration::from_secs(3600), busy, Region::build(|h| h.nil())).unwrap();
        (rt, port, ended, idle)
    };
    let (first, mut first_port, first_ended, first_idle) = start(NAMES[0]);
    let (other, mut other_port, other_ended, other_idle) = start(NAMES[1]);
    for port in [&mut first_port, &mut other_port] {
        assert!(port.recv_timeout(LONG).is_some());
    }
    // Two workers, and the drivers of collections and timers, which are started by the time that somebody has answered.
    assert!(NAMES.iter().all(|name| come_to(name, 4)));
    let handle = Handle::clone(&first);
    drop(first);
    assert_eq!(first_ended.load(Ordering::Relaxed), 51);
    assert!(come_to(NAMES[0], 0));
    assert!(matches!(handle.send_new(first_idle[0], |h| h.nil()), Err(Unsent::NoProcess(_))));
    // The other has noticed nothing.
    assert_eq!((threads(NAMES[1]), other_ended.load(Ordering::Relaxed), other.processes()), (4, 0, 51));
    other.send_new(other_idle[0], |h| h.int(7)).unwrap();
    assert_eq!(other_port.recv_timeout(LONG).unwrap().root().as_int(), Some(7));
    drop(other);
    assert_eq!(other_ended.load(Ordering::Relaxed), 51);
    assert!(come_to(NAMES[1], 0));
}

/// A process that gives a message to another, which is idle, and stays in its turn until its runtime is about to end: the
/// other is on the queue of a worker that takes nothing from it any more.
#[test]
fn who_was_given_a_message_and_has_not_run_ends_too() {
    let rt = Runtime::builder().workers(1).thread_name("gives-runtime").build().unwrap();
    let (port, ended) = (rt.port().unwrap(), Arc::new(AtomicUsize::new(0)));
    let idle = rt.spawn(Ends { ended: ended.clone(), to: port.pid(), again: false }).unwrap();
    let (has_given, given) = mpsc::channel();
    let handle = Handle::clone(&rt);
    let gives = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |cx, state, message| {
                cx.send(idle, message);
                has_given.send(()).map_err(Exit::msg)?;
                while handle.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).is_ok() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                // The workers are told right behind that.
                std::thread::sleep(Duration::from_millis(50));
                Ok(Next(state))
            },
        )
        .unwrap();
    // It is idle by the time that the other sends to it.
    while rt.info(idle).unwrap().status != shared_term::process::Status::Idle {
        std::thread::yield_now();
    }
    rt.send_new(gives, |h| h.nil()).unwrap();
    given.recv_timeout(LONG).unwrap();
    let handle = Handle::clone(&rt);
    drop(rt);
    assert_eq!((ended.load(Ordering::Relaxed), handle.processes()), (1, 0));
}

/// As many as there are, of which some are always due.
#[test]
fn who_sets_timers_without_end_does_not_hold_up_the_end() {
    let rt = Runtime::builder().workers(1).thread_name("timers-runtime").build().unwrap();
    let (port, ended) = (rt.port().unwrap(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (handle, to, ended) = (Handle::clone(&rt), port.pid(), &ended);
            scope.spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    handle.send_after(Duration::from_nanos(1), to, Region::build(|h| h.nil())).unwrap();
                }
            });
        }
        let (dropped, is_dropped) = mpsc::channel();
        std::thread::sleep(Duration::from_millis(50));
        scope.spawn(move || {
            drop(rt);
            dropped.send(()).unwrap();
        });
        let in_time = is_dropped.recv_timeout(LONG);
        ended.store(true, Ordering::Relaxed);
        in_time.unwrap();
    });
}

/// What to know of a destructor in which a thread stays for a while, or until the runtime is gone.
struct Stays {
    entered: mpsc::Receiver<()>,
    gone: mpsc::Sender<()>,
    /// Was it gone? And which thread is it?
    told: mpsc::Receiver<(bool, String)>,
}

impl Stays {
    /// Drops the runtime while the thread is in the destructor, which must be this one's.
    fn end(self, rt: Runtime, thread: &str) {
        self.entered.recv_timeout(LONG).unwrap();
        drop(rt);
        let _ = self.gone.send(());
        assert_eq!(self.told.recv_timeout(LONG).unwrap(), (false, String::from(thread)));
    }
}

/// A resource with such a destructor.
fn stays() -> (Region, Stays) {
    let ((enter, entered), (gone, is_gone), (tell, told)) = (mpsc::channel(), mpsc::channel(), mpsc::channel());
    let resource = OnDrop::new(move || {
        let _ = enter.send(());
        let was_gone = is_gone.recv_timeout(Duration::from_millis(100)).is_ok();
        let _ = tell.send((was_gone, String::from(std::thread::current().name().unwrap_or_default())));
    });
    (Region::build(|h| h.resource(resource)), Stays { entered, gone, told })
}

#[test]
fn a_runtime_is_gone_when_its_timers_and_its_collector_have_stopped() {
    let runtime = || Runtime::builder().workers(1).thread_name("z").build().unwrap();
    let rt = runtime();
    let (message, stays_there) = stays();
    rt.send_after_named(Duration::from_millis(1), Atom::OK, message).unwrap();
    stays_there.end(rt, "z-timers");

    let rt = runtime();
    let (value, stays_there) = stays();
    rt.persistent().put(Atom::OK, value).unwrap();
    let ((begin, begun), (end, ended)) = (mpsc::channel(), mpsc::channel());
    rt.spawn_fn(
        move |cx| {
            begin.send(()).unwrap();
            ended.recv_timeout(LONG).unwrap();
            cx.nil()
        },
        |_, s, _| Ok(Next(s)),
    )
    .unwrap();
    begun.recv_timeout(LONG).unwrap();
    // Nobody but the collector is there any more when the turn has ended, for which it waits.
    rt.persistent().erase(Atom::OK);
    end.send(()).unwrap();
    stays_there.end(rt, "z-collector");
}
