//! What a collection that has many holders costs those who are none, and the holders.

#![cfg(feature = "runtime")]

mod support;

use shared_term::prelude::*;
use shared_term::process::Status;
use support::LONG;

const X: Atom = Atom::inline("x");
const KEEP: Atom = Atom::inline("keep");
const HOLDERS: usize = 1000;

/// How many steps a process waits for its turn that has nothing to do with a collection of a thousand holders, of whom the
/// first are about to answer.
fn delay(seed: u64) -> u64 {
    let mut rt = Runtime::deterministic(seed);
    let store = rt.persistent().clone();
    store.put(X, Region::build(|h| h.list(0..20))).unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    for _ in 0..HOLDERS {
        rt.spawn_fn(|cx| cx.get(X).unwrap_or(cx.nil()), |_, state, _| Ok(Next(state))).unwrap();
    }
    let other = rt.spawn_fn(
        |cx| cx.nil(),
        move |cx, state, _| {
            cx.send(me, cx.nil());
            Ok(Next(state))
        },
    );
    let other = other.unwrap();
    rt.run_until_idle();
    store.erase(X);
    while store.held_up().unanswered.is_empty() {
        rt.step();
    }
    rt.send_new(other, |h| h.nil()).unwrap();
    let mut steps = 0;
    while port.try_recv().is_none() {
        assert!(rt.step());
        steps += 1;
    }
    rt.run_until_idle();
    assert!(store.wait_idle(LONG));
    assert_eq!((store.info().areas, rt.processes()), (0, HOLDERS + 1));
    steps
}

#[test]
fn who_holds_nothing_does_not_wait_behind_all_who_do() {
    let delays: Vec<u64> = (0..20).map(delay).collect();
    let mean = delays.iter().sum::<u64>() / delays.len() as u64;
    println!("{HOLDERS} holders: {mean} steps, at most {}", delays.iter().max().unwrap());
    assert!(mean < HOLDERS as u64 / 3, "{delays:?}");
}

/// A holder that is told something while it waits to be asked its turn is served first, and answers with that.
#[test]
fn who_is_put_off_is_served_at_once() {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put(X, Region::build(|h| h.list(0..20))).unwrap();
    let mut port = rt.port().unwrap();
    let me = port.pid();
    let holders: Vec<Pid> = (0..HOLDERS)
        .map(|_| {
            let p = rt.spawn_fn(
                |cx| cx.get(X).unwrap_or(cx.nil()),
                move |cx, state, _| {
                    cx.send(me, state);
                    Ok(Next(state))
                },
            );
            p.unwrap()
        })
        .collect();
    rt.run_until_idle();
    store.erase(X);
    while store.held_up().unanswered.is_empty() {
        rt.step();
    }
    assert_eq!(store.held_up().unanswered.len(), HOLDERS);
    let woken = holders.iter().filter(|&&p| rt.info(p).unwrap().status == Status::Runnable).count();
    assert!((1..HOLDERS / 3).contains(&woken), "{woken} are woken at once");
    rt.send_new(holders[HOLDERS - 1], |h| h.atom(KEEP)).unwrap();
    let mut steps = 0;
    let told = loop {
        assert!(rt.step());
        steps += 1;
        if let Some(told) = port.try_recv() {
            break told;
        }
    };
    assert!(steps < HOLDERS / 2, "{steps} steps");
    assert!(told.root().list().map(|i| i.as_int().unwrap()).eq(0..20));
    rt.run_until_idle();
    assert_eq!((store.info().areas, store.held_up()), (0, shared_term::persistent::HeldUp::default()));
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % n as u64) as usize
    }
}

/// A term of lists that begin and end in each other, and in `parts`: proper and not, with heads that are immediates and
/// others.
fn woven<'h>(cx: Cx<'h>, random: &mut Random, parts: &[Term<'h>]) -> Term<'h> {
    let mut all = parts.to_vec();
    all.push(cx.nil());
    for _ in 0..=random.below(12) {
        let mut list = all[random.below(all.len())];
        for i in 0..random.below(20) {
            let head = if random.below(8) == 0 { all[random.below(all.len())] } else { cx.int(i as i64) };
            list = cx.cons(head, list);
            if random.below(6) == 0 {
                all.push(list);
            }
        }
        all.push(if random.below(4) == 0 { cx.tuple(&[list, all[random.below(all.len())]]) } else { list });
    }
    cx.tuple(&all[all.len() - random.below(all.len()).max(1)..])
}

/// Something that `term` reaches.
fn inside<'h>(random: &mut Random, mut term: Term<'h>) -> Term<'h> {
    for _ in 0..random.below(30) {
        let next = match (term.as_tuple(), term.view()) {
            (Some(elements), _) if !elements.is_empty() => elements[random.below(elements.len())],
            (_, View::Cons(head, _)) if random.below(5) == 0 => head,
            (_, View::Cons(_, tail)) => tail,
            _ => break,
        };
        if next.as_int().is_some() {
            break;
        }
        term = next;
    }
    term
}

#[test]
fn what_lists_share_with_each_other_and_with_other_areas_they_share_as_copies() {
    const TERMS: [&str; 3] = ["a", "b", "c"];
    for seed in 0..300 {
        let mut rt = Runtime::deterministic(seed);
        let store = rt.persistent().clone();
        let (tx, rx) = std::sync::mpsc::channel();
        let mut random = Random(seed);
        let holder = rt
            .spawn_fn(
                |cx| cx.nil(),
                move |cx, state, m| {
                    if m.as_int() == Some(0) {
                        tx.send((Region::copy_of(state), state.size_words())).unwrap();
                        return Ok(Next(state));
                    }
                    let mut parts: Vec<Term<'_>> = Vec::new();
                    for key in TERMS {
                        let mut from = parts.clone();
                        from.truncate(2);
                        let value = woven(cx, &mut random, &from);
                        cx.put(key, value).unwrap();
                        let there = cx.get(key).unwrap();
                        parts.insert(0, inside(&mut random, there));
                        parts.push(inside(&mut random, there));
                        parts.push(there);
                    }
                    let own = woven(cx, &mut random, &parts);
                    Ok(Next(cx.tuple(&[own, cx.list(parts)])))
                },
            )
            .unwrap();
        rt.send_new(holder, |h| h.int(1)).unwrap();
        rt.send_new(holder, |h| h.int(0)).unwrap();
        rt.run_until_idle();
        let before = rx.try_recv().unwrap();
        // One after the other, or all of them in one collection.
        let guard = (seed % 2 == 0).then(|| store.pin());
        for i in 0..TERMS.len() {
            store.erase(TERMS[(i + seed as usize) % TERMS.len()]);
            rt.run_until_idle();
        }
        drop(guard);
        rt.run_until_idle();
        assert_eq!(store.info().areas, 0, "{seed}");
        rt.send_new(holder, |h| h.int(0)).unwrap();
        rt.run_until_idle();
        let after = rx.try_recv().unwrap();
        assert!(after.0.root() == before.0.root() && after.1 == before.1, "{seed}: {before:?} {after:?}");
    }
}

/// What a process holds of two terms, a list of 100 and one of 500.
type Hold = for<'h> fn(Cx<'h>, Term<'h>, Term<'h>) -> Term<'h>;

fn get(cx: Cx<'_>, hold: Hold) -> Term<'_> {
    let [short, long] = [X, KEEP].map(|key| cx.get(key).unwrap_or(cx.nil()));
    hold(cx, short, long)
}

/// Memory of processes that hold something of them, when both have been erased.
fn evacuated(states: &[Hold]) -> Vec<shared_term::heap::HeapInfo> {
    let mut rt = Runtime::deterministic(1);
    let store = rt.persistent().clone();
    store.put_many([(X, Region::build(|h| h.list(0..100))), (KEEP, Region::build(|h| h.list(0..500)))]).unwrap();
    let hold = |&state: &Hold| rt.spawn_fn(move |cx| get(cx, state), |_, state, _| Ok(Next(state))).unwrap();
    let holders: Vec<Pid> = states.iter().map(hold).collect();
    rt.run_until_idle();
    store.erase_many([X, KEEP]).unwrap();
    rt.run_until_idle();
    assert_eq!(store.info().areas, 0);
    holders.into_iter().map(|p| rt.info(p).unwrap().details.unwrap().heap).collect()
}

/// Whoever holds what another has held before gets one piece of memory for it, of about that size.
#[test]
fn holders_of_the_same_have_room_for_it_and_little_more() {
    let [whole, part]: [Hold; 2] = [|_, _, long| long, |cx, short, _| cx.tuple(&[cx.int(1), short])];
    let all = evacuated(&[whole; 30]);
    for info in &all[1..] {
        assert_eq!((info.old_words, info.chunks), (1000, 1));
        assert!(info.chunk_bytes <= 8 * 1000 / 3 * 4 + 64, "{info:?}");
    }
    // What a process has of its own goes there too.
    let all = evacuated(&[part; 30]);
    assert!(all[1..].iter().all(|info| info.old_words == 203 && info.chunks == 2), "{all:?}");
}

/// Nobody gets room for what another has held elsewhere, or for more than there is where it begins.
#[test]
fn who_holds_less_than_the_one_before_gets_no_room_for_what_that_held() {
    let (both, one): (Hold, Hold) = (|cx, short, long| cx.tuple(&[short, long]), |cx, short, _| cx.tuple(&[short]));
    for info in evacuated(&[both, one].repeat(10)) {
        let most = if info.old_words == 202 { 400 } else { 2 * 1203 };
        assert!(info.chunk_bytes <= 8 * most, "{info:?}");
    }
}
