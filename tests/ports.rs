//! Ports in asynchronous code.

#![cfg(feature = "runtime")]

mod support;

use shared_term::prelude::*;
use shared_term::runtime::{Handle, Port};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use support::LONG;

/// Counts how often it is called.
#[derive(Default)]
struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(port: &mut Port, waker: &Waker) -> Option<i64> {
    match port.poll_recv(&mut Context::from_waker(waker)) {
        Poll::Ready(message) => message.root().as_int(),
        Poll::Pending => None,
    }
}

#[test]
fn who_polls_is_woken_by_the_next_message_and_takes_nothing_before() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let (me, calls) = (port.pid(), Arc::new(Calls::default()));
    let woken = || calls.0.load(Ordering::Relaxed);
    let waker = Waker::from(Arc::clone(&calls));
    assert_eq!(poll(&mut port, &waker), None);
    let sends = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, s, m| {
            cx.send(me, m);
            Ok(Next(s))
        },
    );
    let sends = sends.unwrap();
    for n in 1..=2 {
        rt.send_new(sends, |h| h.int(n)).unwrap();
    }
    rt.run_until_idle();
    assert_eq!(woken(), 1, "once for both");
    // A future that is dropped has taken nothing.
    drop(port.recv());
    assert_eq!((poll(&mut port, &waker), poll(&mut port, &waker), poll(&mut port, &waker)), (Some(1), Some(2), None));
    assert_eq!(woken(), 1);
    // The last one that polls is woken; the one before is let go of.
    let other = Arc::new(Calls::default());
    assert_eq!(poll(&mut port, &Waker::from(Arc::clone(&other))), None);
    drop(waker);
    assert_eq!(Arc::strong_count(&calls), 1);
    rt.send_new(sends, |h| h.int(3)).unwrap();
    rt.run_until_idle();
    assert_eq!((woken(), other.0.load(Ordering::Relaxed)), (1, 1));
    // So are all, with the port.
    assert_eq!(poll(&mut port, &Waker::from(Arc::clone(&other))), Some(3));
    assert_eq!(poll(&mut port, &Waker::from(Arc::clone(&other))), None);
    drop(port);
    assert_eq!(Arc::strong_count(&other), 1);
}

/// The latest moment at which a message can come that nobody would be woken for: behind the look for one, before the waker is
/// where it is found.
#[test]
fn a_task_that_waits_no_more_leaves_nothing_in_the_port() {
    let rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let task = Arc::new(Calls::default());
    let waker = Waker::from(Arc::clone(&task));
    {
        let mut waits = std::pin::pin!(port.recv());
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(waker);
    assert_eq!(Arc::strong_count(&task), 1);
    rt.send_new(port.pid(), |h| h.int(1)).unwrap();
    assert_eq!(port.try_recv().unwrap().root().as_int(), Some(1));
}

#[test]
fn what_comes_while_a_task_is_about_to_wait_is_seen() {
    type Act = Box<dyn Fn()>;
    /// Wakers over the address of an act, which is done when one is cloned.
    static CLONING: RawWakerVTable = RawWakerVTable::new(
        |act| {
            // SAFETY: the act outlives its wakers.
            unsafe { (*act.cast::<Act>())() };
            RawWaker::new(act, &CLONING)
        },
        |_| (),
        |_| (),
        |_| (),
    );
    let rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let (me, handle) = (port.pid(), Handle::clone(&rt));
    let act: Act = Box::new(move || handle.send_new(me, |h| h.int(5)).unwrap());
    // SAFETY: the table's functions keep nothing and run on this thread; the act outlives the waker.
    let waker = unsafe { Waker::from_raw(RawWaker::new((&raw const act).cast(), &CLONING)) };
    assert_eq!(poll(&mut port, &waker), Some(5));
}

#[test]
fn a_waker_that_panics_harms_neither_sender_nor_message() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a waker"));
        }
    }
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let waker = Waker::from(Arc::new(Panics));
    assert_eq!(poll(&mut port, &waker), None);
    let p = rt.spawn_fn(
        move |cx| {
            cx.send(me, cx.int(7));
            cx.nil()
        },
        |_, s, _| Ok(Next(s)),
    );
    rt.run_until_idle();
    assert!(rt.is_alive(p.unwrap()));
    assert_eq!(poll(&mut port, &waker), Some(7));
}

/// Tasks of tokio and processes play ping-pong: no wake-up is lost.
#[test]
fn tasks_and_processes_answer_each_other() {
    const ROUNDS: i64 = 5_000;
    let rt = Arc::new(Runtime::builder().workers(2).build().unwrap());
    let echo = rt.spawn_fn(
        |cx| cx.nil(),
        |cx, s, message| {
            let (from, n): (Pid, i64) = message.get()?;
            cx.send(from, cx.int(n));
            Ok(Next(s))
        },
    );
    let echo = echo.unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let rt = Arc::clone(&rt);
            tokio.spawn(async move {
                let mut port = rt.port().unwrap();
                for n in 0..ROUNDS {
                    let me = port.pid();
                    rt.send_new(echo, |h| term!(h, {me, n})).unwrap();
                    let answer = tokio::time::timeout(LONG, port.recv()).await.unwrap();
                    assert_eq!(answer.root().as_int(), Some(n));
                }
            })
        })
        .collect();
    for task in tasks {
        tokio.block_on(task).unwrap();
    }
}
