//! What OTP's suites say of timers, case by case where the name is one of theirs: `timer_bif_SUITE`, and `after_SUITE` on
//! `receive ... after`. Time is that of the deterministic runtime, but where a test says otherwise.

#![cfg(feature = "runtime")]

mod support;

use shared_term::prelude::*;
use shared_term::process::{MailboxLimit, SpawnOptions, from_fns};
use shared_term::runtime::{Deterministic, Handle, Port};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{LONG, Ledger, OnDrop};

const TIMEOUT: Atom = Atom::inline("timeout");
const LAST: Atom = Atom::inline("last");

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn said(port: &mut Port) -> Vec<String> {
    std::iter::from_fn(|| port.try_recv()).map(|m| m.root().to_string()).collect()
}

fn text(text: &str) -> Region {
    Region::build(|h| h.binary(text))
}

/// A process that waits, and does nothing about what it receives.
fn waits(rt: &Handle) -> Pid {
    rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap()
}

/// Does something in a turn of a process that then ends.
fn in_turn<R: Send + 'static>(rt: &mut Deterministic, f: impl for<'h> FnOnce(Cx<'h>) -> R + Send + 'static) -> R {
    let result = Arc::new(Mutex::new(None));
    let there = Arc::clone(&result);
    let p = rt
        .spawn_fn(
            move |cx| {
                *there.lock().unwrap() = Some(f(cx));
                cx.nil()
            },
            |_, _, _| Ok(Stop(Exit::NORMAL)),
        )
        .unwrap();
    rt.send_new(p, |h| h.nil()).unwrap();
    rt.run_until_idle();
    result.lock().unwrap().take().unwrap()
}

/// A process that says what it receives, and `timeout`; its first message sets the timeout, and so does each that `again`
/// says yes to.
fn patient(rt: &Handle, to: Pid, after: Duration, again: impl Fn(TermRef<'_>) -> bool + Send + 'static) -> Pid {
    rt.spawn(from_fns(
        move |cx| {
            cx.set_timeout(after);
            cx.nil()
        },
        move |cx, s, m| {
            cx.send(to, m);
            if again(Region::copy_of(m).root()) {
                cx.set_timeout(after);
            }
            Ok(Next(s))
        },
        move |cx, s, event| {
            if let Event::Timeout = event {
                cx.send(to, cx.atom(TIMEOUT));
            }
            Ok(Next(s))
        },
    ))
    .unwrap()
}

#[test]
fn start_timer_1() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let first = in_turn(&mut rt, move |cx| cx.start_timer(ms(1000), me, cx.int(1)));
    rt.advance(ms(999));
    assert_eq!(rt.read_timer(first), Some(ms(1)));
    assert!(port.try_recv().is_none());
    rt.advance(ms(1));
    let message = port.try_recv().unwrap();
    assert_eq!(message.root().get::<(Atom, Reference, i64)>().unwrap(), (TIMEOUT, first, 1));
    assert_eq!((rt.read_timer(first), rt.cancel_timer(first)), (None, None));

    let second = in_turn(&mut rt, move |cx| cx.start_timer(ms(1000), me, cx.int(2)));
    rt.advance(ms(50));
    assert_eq!(rt.cancel_timer(second), Some(ms(950)));
    assert_eq!(rt.cancel_timer(second), None);
    rt.advance(ms(5000));
    assert!(port.try_recv().is_none());
}

#[test]
fn send_after_1() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let timer = rt.send_after(ms(1000), port.pid(), text("plipp")).unwrap();
    rt.advance(ms(1500));
    assert_eq!(said(&mut port), ["<<\"plipp\">>"]);
    assert_eq!(rt.read_timer(timer), None);
}

#[test]
fn send_after_2_and_3_in_order() {
    for seed in 0..10 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let times = [5000, 0, 200, 100, 500, 300, 400, 101, 102, 103, 1 << 40, 1 << 20, 20_000, 4294, 4295, 70_000];
        for after in times {
            rt.send_after(ms(after), port.pid(), Region::build(|h| h.int(after as i64))).unwrap();
        }
        rt.advance(ms(1 << 41));
        let got: Vec<_> = said(&mut port).iter().map(|n| n.parse::<u64>().unwrap()).collect();
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        assert_eq!(got, sorted);
    }
}

/// What OTP does not promise.
#[test]
fn timers_for_the_same_moment_fire_in_the_order_in_which_they_were_set() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    for round in [100, 10_000] {
        for i in 0..50 {
            rt.send_after(ms(round), port.pid(), Region::build(|h| h.int(i))).unwrap();
        }
        rt.advance(ms(round));
        assert_eq!(said(&mut port), (0..50).map(|i| i.to_string()).collect::<Vec<_>>());
    }
}

/// Each thread has names of its own for timers, which say nothing about those of others.
#[test]
fn timers_for_the_same_moment_fire_in_that_order_whichever_thread_has_set_them() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let (handle, to) = ((*rt).clone(), port.pid());
    let set = |n: i64| _ = handle.send_after(ms(10), to, Region::build(|h| h.int(n))).unwrap();
    for n in 0..20 {
        if n % 2 == 0 {
            set(n);
        } else {
            std::thread::scope(|scope| scope.spawn(|| set(n)).join().unwrap());
        }
    }
    rt.advance(ms(10));
    assert_eq!(said(&mut port), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn multizero_timeout_in_timeout_order() {
    let rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let timers: Vec<_> =
        (0..3).map(|i| rt.send_after(Duration::ZERO, port.pid(), Region::build(|h| h.int(i))).unwrap()).collect();
    assert_eq!(said(&mut port), ["0", "1", "2"]);
    assert!(timers.into_iter().all(|timer| rt.read_timer(timer).is_none()));
}

#[test]
fn start_timer_big_and_send_after_big() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    for bits in [31, 32, 33, 42] {
        let big = ms(1 << bits);
        let timer = rt.send_after(big, port.pid(), text("big")).unwrap();
        rt.advance(ms(200));
        assert_eq!(rt.cancel_timer(timer), Some(ms((1 << bits) - 200)));
    }
    const CENTURY: u64 = 100 * 365 * 86_400_000;
    rt.send_after(ms(CENTURY), port.pid(), text("century")).unwrap();
    rt.advance(ms(CENTURY - 1));
    assert!(port.try_recv().is_none());
    rt.advance(ms(1));
    assert_eq!(said(&mut port), ["<<\"century\">>"]);
}

/// In place of OTP's `start_timer_e` and `send_after_e`: there is no duration that is none.
#[test]
fn the_longest_durations_are_held() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let years = |n: u64| Duration::from_secs(n * 365 * 86400);
    for after in [Duration::MAX, Duration::from_nanos(u64::MAX), years(293)] {
        let timer = rt.send_after(after, port.pid(), text("never")).unwrap();
        let left = rt.read_timer(timer).unwrap();
        assert!(left > years(290) && left < years(300), "{left:?}");
    }
    rt.advance(years(200));
    assert_eq!((rt.timers(), port.try_recv().is_some()), (3, false));
    rt.advance(years(100));
    assert_eq!((rt.timers(), said(&mut port).len()), (0, 3));
}

/// What is set after the longest duration is waited for like all else, and what would be due behind the end is not due at it.
#[test]
fn time_has_an_end() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let (me, century) = (port.pid(), Duration::from_secs(100 * 365 * 86400));
    let ticks = rt
        .spawn_fn(
            |cx| cx.nil(),
            move |cx, s, m| {
                cx.send(me, m);
                cx.send_after(century, cx.me(), m);
                cx.set_timeout(century * 4);
                Ok(Next(s))
            },
        )
        .unwrap();
    rt.send_new(ticks, |h| h.binary("tick")).unwrap();
    for _ in 0..2 {
        rt.advance(Duration::MAX);
    }
    assert_eq!(said(&mut port).len(), 6, "the first, and one at the end of each century of 584 years");
    rt.send_new(ticks, |h| h.binary("tick")).unwrap();
    rt.run_until_idle();
    assert_eq!(said(&mut port).len(), 1);
    assert!(rt.is_alive(ticks));
}

#[test]
fn cancel_timer_1_and_read_timer_trivial() {
    let rt = Runtime::deterministic(1);
    let other = Runtime::deterministic(1);
    let port = other.port().unwrap();
    let theirs = other.send_after(ms(10), port.pid(), text("hej")).unwrap();
    assert_eq!((rt.cancel_timer(theirs), rt.read_timer(theirs)), (None, None));
    let never = rt.persistent().make_ref();
    assert_eq!((rt.cancel_timer(never), rt.read_timer(never)), (None, None));
    assert!(other.read_timer(theirs).is_some());
}

#[test]
fn read_timer() {
    let mut rt = Runtime::deterministic(1);
    let port = rt.port().unwrap();
    let to = port.pid();
    const BIG: u64 = 1 << 31;
    let timer = in_turn(&mut rt, move |cx| cx.send_after(ms(BIG), to, cx.nil()));
    rt.advance(ms(200));
    let left = in_turn(&mut rt, move |cx| (cx.read_timer(timer), cx.cancel_timer(timer), cx.read_timer(timer)));
    assert_eq!(left, (Some(ms(BIG - 200)), Some(ms(BIG - 200)), None));
}

/// Its memory, and what it owns, goes with a timer: by its receiver's end, cancelled, fired, with the runtime.
#[test]
fn cleanup() {
    let mut rt = Runtime::deterministic(1);
    let ledger = Ledger::default();
    let message = || Region::build(|h| ledger.resource(h));
    let gone = |rt: &Handle, n: usize| {
        assert_eq!((rt.timers(), ledger.dropped()), (0, n));
    };
    // Timer on a dead process.
    let p1 = in_turn(&mut rt, |cx| cx.me());
    let t1 = rt.send_after(ms(10_000), p1, message()).unwrap();
    assert_eq!(rt.read_timer(t1), None);
    gone(&rt, 1);
    // The process dies before.
    let p2 = waits(&rt);
    for after in [100, 10_000, 1 << 40] {
        rt.send_after(ms(after), p2, message()).unwrap();
    }
    let other = waits(&rt);
    let kept = rt.send_after(ms(10_000), other, message()).unwrap();
    rt.run_until_idle();
    assert_eq!(rt.timers(), 4);
    rt.kill(p2).unwrap();
    rt.run_until_idle();
    assert_eq!((rt.timers(), ledger.dropped()), (1, 4));
    // Cancelled.
    assert!(rt.cancel_timer(kept).is_some());
    gone(&rt, 5);
    // Fired.
    rt.send_after(ms(5001), other, message()).unwrap();
    rt.advance(ms(5001));
    gone(&rt, 6);
    // A port that goes.
    let port = rt.port().unwrap();
    rt.send_after(ms(10), port.pid(), message()).unwrap();
    drop(port);
    gone(&rt, 7);
    // With the runtime, also what leads to the runtime.
    let handle = Handle::clone(&rt);
    rt.send_after(ms(10), other, message()).unwrap();
    let owner = OnDrop::new({
        let handle = Handle::clone(&rt);
        move || drop(handle)
    });
    rt.send_after_named(ms(10), LAST, Region::build(|h| h.resource(owner))).unwrap();
    drop(rt);
    gone(&handle, 8);
    handle.send_after_named(ms(10), LAST, message()).unwrap();
    gone(&handle, 9);
    assert_eq!(ledger.made(), 9);
}

#[test]
fn evil_timers() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let sent = in_turn(&mut rt, move |cx| {
        let long = cx.binary("a".repeat(100_000));
        let pair = cx.tuple(&[long, cx.reference(cx.make_ref()), cx.pid(me), cx.int(i64::MAX), cx.binary("bla")]);
        let message = cx.cons(pair, cx.cons(pair, cx.nil()));
        let timers: Vec<_> = (0..200)
            .map(|i| if i % 2 == 0 { cx.start_timer(ms(i), me, message) } else { cx.start_timer(ms(i), me, cx.int(7)) })
            .collect();
        (timers, Region::copy_of(message))
    });
    rt.advance(ms(200));
    for (i, timer) in sent.0.into_iter().enumerate() {
        let message = port.try_recv().unwrap();
        let (tag, of, rest): (Atom, Reference, TermRef<'_>) = message.root().get().unwrap();
        assert_eq!((tag, of), (TIMEOUT, timer));
        assert_eq!(rest.to_string(), if i % 2 == 0 { sent.1.root().to_string() } else { String::from("7") });
    }
}

/// A way to set a timer of a hundred milliseconds, of the message `n`, to whoever has the name `NAME` then.
type ToName = fn(&mut Deterministic, i64) -> Reference;

const NAME: Atom = Atom::inline("named");

/// Each way, and whether its message tells the timer.
const TO_NAME: [(ToName, bool); 4] = [
    (|rt, n| in_turn(rt, move |cx| cx.send_after_named(ms(100), NAME, cx.int(n))), false),
    (|rt, n| in_turn(rt, move |cx| cx.start_timer_named(ms(100), NAME, cx.int(n))), true),
    (|rt, n| rt.send_after_named(ms(100), NAME, Region::build(|h| h.int(n))).unwrap(), false),
    (|rt, n| rt.start_timer_named(ms(100), NAME, Region::build(|h| h.int(n))).unwrap(), true),
];

#[test]
fn registered_process() {
    for (set, tells) in TO_NAME {
        let mut rt = Runtime::deterministic(1);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let message = |timer, n| if tells { format!("{{timeout,{timer},{n}}}") } else { format!("{n}") };
        let forwards = |rt: &Handle| rt.spawn_fn(|cx| cx.nil(), move |_, _, _| Ok(Forward(me))).unwrap();
        // Cancelled while nobody has the name.
        let cancelled = set(&mut rt, 1);
        assert_eq!((rt.read_timer(cancelled), rt.cancel_timer(cancelled)), (Some(ms(100)), Some(ms(100))));
        // Registered after the start; by somebody who was not there then.
        let first = set(&mut rt, 2);
        let p = forwards(&rt);
        rt.register(NAME, p).unwrap();
        rt.advance(ms(99));
        assert_eq!(said(&mut port), [""; 0]);
        rt.advance(ms(1));
        assert_eq!(said(&mut port), [message(first, 2)]);
        // Who has it then, and not who had it.
        let second = set(&mut rt, 3);
        rt.unregister(NAME);
        let q = in_turn(&mut rt, |cx| cx.spawn_fn(|cx| cx.nil(), |_, _, m| Ok(Stop(Exit::msg(m)))).unwrap());
        let exited = rt.exited(q);
        rt.register(NAME, q).unwrap();
        rt.advance(ms(100));
        assert_eq!((said(&mut port).len(), exited.try_wait().unwrap().to_string()), (0, message(second, 3)));
        // Nobody has it then: nothing happens, and the end of who had it does not end the timer.
        rt.register(NAME, p).unwrap();
        let third = set(&mut rt, 4);
        rt.kill(p).unwrap();
        rt.run_until_idle();
        assert!(rt.read_timer(third).is_some());
        rt.advance(ms(100));
        assert_eq!((rt.timers(), rt.read_timer(third), said(&mut port).len()), (0, None, 0));
    }
}

/// What a thread starts tells its timer, and a region is moved, whoever gives it: what it owns goes once, with the message.
#[test]
fn a_region_is_moved_into_the_message_of_a_timer_that_is_started() {
    const WORDS: usize = 2000;
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let ledger = Ledger::default();
    let message = || {
        Region::build(|h| {
            h.list(0..10); // garbage, which no copy would have
            h.cons(ledger.resource(h), h.list(0..WORDS as i64 / 2))
        })
    };
    let (from_turn, from_thread) = (message(), message());
    let words = from_turn.words();
    let first = in_turn(&mut rt, move |cx| cx.start_timer(ms(1), me, from_turn));
    let second = rt.start_timer(ms(1), me, from_thread).unwrap();
    let immediate = rt.start_timer(ms(1), me, Region::build(|h| h.int(7))).unwrap();
    let cancelled = rt.start_timer(ms(1), me, message()).unwrap();
    assert!(rt.cancel_timer(cancelled).is_some());
    // To somebody who is gone, to a name of nobody, at once.
    let gone = in_turn(&mut rt, |cx| cx.me());
    rt.start_timer(ms(1), gone, message()).unwrap();
    rt.start_timer_named(Duration::ZERO, NAME, message()).unwrap();
    assert_eq!(ledger.dropped(), 3);
    rt.advance(ms(1));
    for timer in [first, second] {
        let got = port.try_recv().unwrap();
        got.verify().unwrap();
        assert_eq!(got.words(), words + 4, "nothing was copied, and a tuple of three is four words");
        let (tag, of, rest): (Atom, Reference, TermRef<'_>) = got.root().get().unwrap();
        assert_eq!((tag, of, rest.list().count()), (TIMEOUT, timer, 1 + WORDS / 2));
    }
    assert_eq!(said(&mut port), [format!("{{timeout,{immediate},7}}")]);
    assert_eq!((ledger.dropped(), ledger.made()), (5, 5));
}

#[test]
fn same_time_yielding_with_cancel_other() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let timers =
        in_turn(&mut rt, move |cx| (0..602).map(|_| cx.start_timer(ms(3000), me, cx.nil())).collect::<Vec<_>>());
    rt.advance(ms(2999));
    let (cancelled, fire) = timers.split_at(300);
    let cancelled = cancelled.to_vec();
    assert!(in_turn(&mut rt, move |cx| cancelled.iter().all(|&timer| cx.cancel_timer(timer) == Some(ms(1)))));
    rt.advance(ms(1));
    let got: Vec<_> = std::iter::from_fn(|| port.try_recv())
        .map(|m| m.root().get::<(Atom, Reference, TermRef<'_>)>().unwrap().1)
        .collect();
    assert_eq!(got, fire);
    assert_eq!(rt.timers(), 0);
}

#[test]
fn auto_cancel_yielding() {
    let mut rt = Runtime::deterministic(1);
    let p = rt
        .spawn_fn(
            |cx| {
                for i in 0..602 {
                    cx.start_timer(ms((1 << 28) + i * 10), cx.me(), cx.nil());
                }
                cx.nil()
            },
            |_, s, _| Ok(Next(s)),
        )
        .unwrap();
    rt.run_until_idle();
    assert_eq!(rt.timers(), 602);
    rt.kill(p).unwrap();
    rt.run_until_idle();
    assert_eq!(rt.timers(), 0);
}

#[test]
fn receive_after() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let p = patient(&rt, port.pid(), ms(5000), |_| true);
    rt.advance(ms(4999));
    assert_eq!((said(&mut port).len(), rt.timers()), (0, 1));
    rt.advance(ms(1));
    assert_eq!(said(&mut port), ["timeout"]);
    rt.advance(ms(100_000));
    assert_eq!((said(&mut port).len(), rt.timers()), (0, 0), "it comes once");
    // A message that comes first ends it, and sets another.
    for _ in 0..3 {
        rt.send_new(p, |h| h.int(1)).unwrap();
        rt.advance(ms(4999));
        assert_eq!((said(&mut port).len(), rt.timers()), (1, 1));
    }
    rt.advance(ms(1));
    assert_eq!(said(&mut port), ["timeout"]);
}

#[test]
fn a_message_ends_the_timeout_though_it_is_taken_after_its_time() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    // What is in the mailbox at the time comes first.
    let me = port.pid();
    let p = rt.spawn(from_fns(
        |cx| cx.nil(),
        move |cx, s, m| {
            match m.get::<i64>()? {
                0 => {
                    cx.set_timeout(Duration::ZERO);
                    cx.set_timeout(ms(1));
                    cx.set_timeout(Duration::ZERO);
                }
                n => cx.send(me, cx.int(n)),
            }
            Ok(Next(s))
        },
        move |cx, s, event| {
            if let Event::Timeout = event {
                cx.send(me, cx.atom(TIMEOUT));
            }
            Ok(Next(s))
        },
    ));
    let p = p.unwrap();
    rt.run_until_idle();
    for n in [0, 1] {
        rt.send_new(p, |h| h.int(n)).unwrap();
    }
    rt.advance(ms(10));
    assert_eq!(said(&mut port), ["1"]);
    rt.send_new(p, |h| h.int(0)).unwrap();
    rt.advance(ms(10));
    assert_eq!(said(&mut port), ["timeout"], "once, though it was set three times");
    assert_eq!(rt.timers(), 0);
}

#[test]
fn receive_after_big() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    for big in [0xf765_4321, 0xf799_9977] {
        let p = patient(&rt, port.pid(), ms(big), |_| false);
        rt.advance(ms(1));
        rt.send_new(p, |h| h.atom(Atom::OK)).unwrap();
        rt.advance(ms(2 * big));
        assert_eq!(said(&mut port), ["ok"]);
    }
}

#[test]
fn receive_zero() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    // As in OTP's: what is there already comes before `after 0`, and a message that nobody wants does not end the wait.
    let me = port.pid();
    let p = rt.spawn(from_fns(
        |cx| {
            cx.send(cx.me(), cx.int(1));
            cx.send(cx.me(), cx.int(2));
            cx.set_timeout(Duration::ZERO);
            cx.nil()
        },
        |_, _, _| Ok(Defer),
        move |cx, s, event| {
            if let Event::Timeout = event {
                cx.send(me, cx.atom(TIMEOUT));
            }
            Ok(Next(s))
        },
    ));
    rt.run_until_idle();
    assert_eq!(said(&mut port), ["timeout"]);
    assert_eq!(rt.info(p.unwrap()).unwrap().messages, 2);
}

/// One that is over already, and is set anew, is none: what has come since comes before `after 0`.
#[test]
fn receive_zero_twice() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let p = rt.spawn(from_fns(
        |cx| {
            cx.set_timeout(Duration::ZERO);
            cx.send(cx.me(), cx.int(1));
            cx.set_timeout(Duration::ZERO);
            cx.nil()
        },
        move |cx, s, m| {
            cx.send(me, m);
            Ok(Next(s))
        },
        move |cx, s, _| {
            cx.send(me, cx.atom(TIMEOUT));
            Ok(Next(s))
        },
    ));
    rt.advance(ms(10));
    assert_eq!((said(&mut port), rt.is_alive(p.unwrap())), (vec![String::from("1")], true));
}

#[test]
fn multi_timeout() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    // Waits for its time whatever comes.
    let p = rt.spawn(from_fns(
        |cx| {
            cx.set_timeout(ms(100_000));
            cx.nil()
        },
        |_, _, _| Ok(Defer),
        move |cx, _, event| {
            if let Event::Timeout = event {
                cx.send(me, cx.atom(TIMEOUT));
            }
            Ok(Stop(Exit::NORMAL))
        },
    ));
    for n in 0..4 {
        rt.send_new(p.unwrap(), |h| h.int(n)).unwrap();
        rt.advance(ms(1000));
    }
    assert_eq!((said(&mut port).len(), rt.timers()), (0, 1));
    rt.advance(ms(96_000));
    assert_eq!(said(&mut port), ["timeout"]);
    assert_eq!(rt.processes(), 0);
}

#[test]
fn receive_after_32bit() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let pids: Vec<_> = (0..2048).map(|_| patient(&rt, port.pid(), ms(0xffff_ffff), |_| false)).collect();
    rt.advance(ms(2000));
    assert_eq!((said(&mut port).len(), rt.timers()), (0, 2048));
    for pid in pids {
        rt.kill(pid).unwrap();
    }
    rt.run_until_idle();
    assert_eq!(rt.timers(), 0);
}

#[test]
fn receive_after_blast() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    for i in 0..10_000 {
        patient(&rt, port.pid(), ms(5000 - i % 7), |_| false);
    }
    rt.run_until_idle();
    rt.advance(ms(4993));
    assert_eq!(said(&mut port).len(), 0);
    rt.advance(ms(7));
    assert_eq!(said(&mut port).len(), 10_000);
}

#[test]
fn a_timeout_that_is_cleared_is_never_seen() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    // It has fired when it is cleared: the event is in the mailbox already.
    let p = rt.spawn(from_fns(
        |cx| cx.nil(),
        move |cx, s, _| {
            cx.set_timeout(Duration::ZERO);
            assert!(cx.clear_timeout());
            assert!(!cx.clear_timeout());
            Ok(Next(s))
        },
        move |cx, s, _| {
            cx.send(me, cx.atom(TIMEOUT));
            Ok(Next(s))
        },
    ));
    rt.send_new(p.unwrap(), |h| h.nil()).unwrap();
    rt.advance(ms(10));
    assert_eq!((said(&mut port).len(), rt.is_alive(p.unwrap())), (0, true));
    assert_eq!(rt.info(p.unwrap()).unwrap().messages, 0);
}

#[test]
fn a_long_job_keeps_its_timeout_and_a_forwarded_one_is_a_message() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    struct Long(Pid, u32);
    impl Process for Long {
        fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
            cx.set_timeout(ms(10));
            Ok(Again(state))
        }
        fn resume<'h>(&mut self, _: Cx<'h>, state: Term<'h>) -> Turn<'h> {
            self.1 -= 1;
            Ok(if self.1 == 0 { Next(state) } else { Again(state) })
        }
        fn event<'h>(&mut self, _: Cx<'h>, _: Term<'h>, _: Event<'h>) -> Turn<'h> {
            Ok(Forward(self.0))
        }
    }
    let p = rt.spawn(Long(port.pid(), 5)).unwrap();
    rt.send_new(p, |h| h.nil()).unwrap();
    rt.advance(ms(10));
    let message = port.try_recv().unwrap();
    assert_eq!(message.root().get::<(Atom, Reference)>().unwrap().0, TIMEOUT);
}

#[test]
fn a_full_mailbox_takes_timeouts_and_not_timers() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let one = SpawnOptions::new().mailbox(MailboxLimit::Messages(1));
    let p = rt
        .spawn_with(
            one,
            from_fns(
                |cx| {
                    cx.set_timeout(ms(10));
                    cx.nil()
                },
                |_, _, _| Ok(Defer),
                move |cx, s, event| {
                    if let Event::Timeout = event {
                        cx.send(me, cx.atom(TIMEOUT));
                    }
                    Ok(NextReoffer(s))
                },
            ),
        )
        .unwrap();
    let ledger = Ledger::default();
    for _ in 0..3 {
        rt.send_after(ms(5), p, Region::build(|h| ledger.resource(h))).unwrap();
    }
    rt.advance(ms(20));
    assert_eq!(said(&mut port), ["timeout"]);
    assert_eq!(ledger.dropped(), 2);
    assert_eq!(rt.info(p).unwrap().messages, 1);
}

/// Hole H4.
#[test]
fn what_a_timer_holds_has_no_part_in_the_store() {
    let mut rt = Runtime::deterministic(1);
    let mut port = rt.port().unwrap();
    let me = port.pid();
    rt.persistent().put("k", Region::build(|h| term!(h, {[1, 2, 3], "a text"}))).unwrap();
    let whole = rt.persistent().pin().get("k").unwrap().to_string();
    in_turn(&mut rt, move |cx| {
        let literal = cx.get("k").unwrap();
        cx.send_after(ms(1), me, literal);
        cx.start_timer(ms(2), me, literal);
        cx.send_after(ms(3), me, cx.region(cx.cons(literal, cx.nil())));
        cx.start_timer_named(ms(4), NAME, literal);
        cx.send_after(ms(20_000), me, literal);
    });
    rt.persistent().erase("k");
    rt.run_until_idle();
    assert_eq!(rt.persistent().info().retained_bytes, 0, "the timers hold nothing back");
    // What was there is overwritten.
    for i in 0..100 {
        rt.persistent().put(i, Region::build(|h| term!(h, {[7, 7, 7], "another"}))).unwrap();
    }
    let p = rt.spawn_fn(|cx| cx.nil(), move |_, _, _| Ok(Forward(me))).unwrap();
    rt.register(NAME, p).unwrap();
    rt.advance(ms(20_000));
    let got = said(&mut port);
    assert_eq!((&got[0], &got[2], &got[4]), (&whole, &format!("[{whole}]"), &whole));
    for started in [&got[1], &got[3]] {
        assert!(started.starts_with("{timeout,#Ref<") && started.ends_with(&format!(",{whole}}}")), "{started}");
    }
}

/// The references of another store, or of no store, are none of a timer of this one, nor of a monitor.
#[test]
fn a_reference_of_another_store_is_no_timer_of_this_one() {
    let (mut rt, other) = (Runtime::deterministic(1), Runtime::deterministic(1));
    let port = rt.port().unwrap();
    let made = term::References::new();
    let timers: Vec<_> = (1..=20).map(|i| rt.send_after(ms(i), port.pid(), text("tick")).unwrap()).collect();
    let mut foreign: Vec<_> =
        (0..5000).map(|i| if i % 2 == 0 { other.persistent().make_ref() } else { made.make() }).collect();
    foreign.extend((1..=20).map(|i| other.send_after(ms(i), other.port().unwrap().pid(), text("tick")).unwrap()));
    for &reference in &foreign {
        assert_eq!((rt.read_timer(reference), rt.cancel_timer(reference)), (None, None));
    }
    assert!(timers.iter().all(|&timer| rt.cancel_timer(timer).is_some()));
    let p = waits(&rt);
    in_turn(&mut rt, move |cx| {
        let monitor = cx.monitor(p);
        assert!(foreign.iter().all(|&reference| !cx.demonitor(reference)));
        assert!(cx.demonitor(monitor));
    });
}

/// Numbers below what it is given.
fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut random = support::Random(seed);
    move |n| random.next() % n
}

/// Milliseconds, short and long.
fn some(next: &mut impl FnMut(u64) -> u64) -> u64 {
    let bits = 4 + next(27);
    next(1 << bits)
}

#[test]
fn the_order_is_that_of_a_model_whatever_is_set_and_cancelled() {
    for seed in 0..20_u64 {
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let mut next = random(seed);
        let (mut now, mut model, mut expected) = (0_u64, Vec::new(), Vec::new());
        for i in 0..500_i64 {
            match next(10) {
                0..=5 => {
                    let after = 1 + some(&mut next);
                    let timer = rt.send_after(ms(after), port.pid(), Region::build(|h| h.int(i))).unwrap();
                    model.push((now + after, i, timer));
                }
                6..=7 if !model.is_empty() => {
                    let (due, _, timer) = model.swap_remove(next(model.len() as u64) as usize);
                    assert_eq!(rt.cancel_timer(timer), Some(ms(due - now)));
                }
                _ => {
                    let by = some(&mut next);
                    now += by;
                    rt.advance(ms(by));
                    model.sort_unstable();
                    let fired = model.partition_point(|&(due, ..)| due <= now);
                    expected.extend(model.drain(..fired).map(|(_, i, _)| i.to_string()));
                    assert_eq!(said(&mut port), std::mem::take(&mut expected), "seed {seed}, step {i}");
                }
            }
            assert_eq!(rt.timers(), model.len());
        }
    }
}

/// In real time: they come, in order, from processes and from outside; and a timeout does.
/// A process that sets its timeout, puts it off, brings it forward, ends it, or leaves it to its messages, is told at the
/// moments of a model that knows one moment alone; and has one timer for it at most.
#[test]
fn a_timeout_comes_when_a_model_says_so_whatever_is_done_to_it() {
    for seed in 0..30 {
        let mut next = random(seed);
        let mut rt = Runtime::deterministic(seed);
        let mut port = rt.port().unwrap();
        let me = port.pid();
        let p = rt
            .spawn(from_fns(
                |cx| cx.nil(),
                move |cx, s, m| {
                    match m.get::<i64>()? {
                        -1 => _ = cx.clear_timeout(),
                        -2 => {} // which ends it
                        -3 => return Ok(Defer),
                        after => cx.set_timeout(ms(after as u64)),
                    }
                    Ok(Next(s))
                },
                move |cx, s, event| {
                    if let Event::Timeout = event {
                        cx.send(me, cx.atom(TIMEOUT));
                    }
                    Ok(Next(s))
                },
            ))
            .unwrap();
        let (mut now, mut due) = (0, None);
        for _ in 0..500 {
            let what = match next(6) {
                0 => -1,
                1 => -2,
                2 => -3,
                _ => some(&mut next) as i64,
            };
            rt.send_new(p, |h| h.int(what)).unwrap();
            match what {
                -3 => {}
                -1 | -2 => due = None,
                after => due = Some(now + after as u64),
            }
            let on = some(&mut next);
            rt.advance(ms(on));
            now += on;
            let expected = due.take_if(|due| *due <= now).is_some();
            assert_eq!(said(&mut port), vec!["timeout"; usize::from(expected)], "seed {seed}, at {now}");
            assert!(rt.timers() <= 1);
        }
    }
}

#[test]
fn timers_of_a_threaded_runtime_come() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    rt.send_after(ms(30), me, text("third")).unwrap();
    rt.send_after(ms(1), me, text("first")).unwrap();
    let never = rt.send_after(ms(3_600_000), me, text("never")).unwrap();
    rt.spawn_fn(
        move |cx| {
            cx.send_after(ms(20), me, cx.binary("second"));
            cx.nil()
        },
        |_, s, _| Ok(Next(s)),
    )
    .unwrap();
    let mut got: Vec<_> = (0..3).map(|_| port.recv_timeout(LONG).unwrap().root().to_string()).collect();
    assert_eq!(got[0], "<<\"first\">>");
    got.sort();
    assert_eq!(got, ["<<\"first\">>", "<<\"second\">>", "<<\"third\">>"]);
    patient(&rt, me, ms(1), |_| false);
    assert_eq!(port.recv_timeout(LONG).unwrap().root().to_string(), "timeout");
    assert!(rt.cancel_timer(never).unwrap() > ms(3_000_000));
    assert_eq!(rt.timers(), 0);
}

/// The last owner of a runtime may be a message of one of its timers.
#[test]
fn a_runtime_that_a_timer_owns_ends() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let port = rt.port().unwrap();
    let handle = Handle::clone(&rt);
    let p = waits(&handle);
    let exited = handle.exited(p);
    let owner = OnDrop::new(move || drop(rt));
    // Nobody has the name: it is dropped by who fires it.
    handle.send_after_named(ms(5), LAST, Region::build(|h| h.resource(owner))).unwrap();
    assert_eq!(exited.wait(LONG).unwrap().to_string(), "shutdown");
    drop(port);
}

/// Processes end, timers are set and cancelled, by several threads at once: none is left.
#[test]
fn no_timer_outlives_its_process_whoever_sets_it() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for i in 0..2000_u64 {
                    let p = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL))).unwrap();
                    let exited = rt.exited(p);
                    rt.send_new(p, |h| h.nil()).unwrap();
                    rt.send_after(ms(3_600_000 + i), p, text("never")).unwrap();
                    if i % 16 == 0 {
                        exited.wait(LONG);
                    }
                }
            });
        }
    });
    for pid in rt.pids() {
        let _ = rt.exited(pid).wait(LONG);
    }
    let mut port = rt.port().unwrap();
    // The timers of a process go with the last of its end.
    for _ in 0..1000 {
        if rt.timers() == 0 {
            return;
        }
        let _ = port.recv_timeout(ms(10));
    }
    panic!("{} timers are left", rt.timers());
}
