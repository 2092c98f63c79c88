//! Random programs on the heaps of processes, whose collections of both kinds and evacuations are the runtime's own
//! decision, with a plain model beside them: every term as it prints.

#![cfg(feature = "runtime")]

mod common;

use common::Tracker;
use proptest::prelude::*;
use proptest::sample::Index;
use shared_term::heap::CollectWhen;
use shared_term::prelude::*;
use shared_term::process::SpawnOptions;
use shared_term::runtime::Deterministic;
use std::sync::{Arc, Mutex};

/// Registers that a process has; with one more the oldest is dropped.
const REGISTERS: usize = 8;
/// The model expands what is shared: nothing is built that prints longer.
const LONGEST: usize = 3000;
const KEYS: usize = 3;
const PROCESSES: usize = 2;

#[derive(Debug, Clone)]
enum Op {
    Int(i64),
    Float(i32),
    /// A binary in the heap, or one outside that counts its release.
    Binary(u8, usize),
    Resource,
    Tuple(Vec<Index>),
    List(Vec<Index>),
    Map(Vec<Index>),
    /// A long list of a small term, garbage between: what minor collections are for.
    Repeat(Index, u8, u8),
    Part(Index, Index),
    Forget(Index),
    /// To the other process, which keeps the message.
    Send(Index),
    /// As a region that was built outside.
    Adopt(Index, u8),
    /// The turn builds and adopts, and then leaves the message, which the next one gets.
    Defer(Index),
    Put(Index, Index),
    /// From outside: a value that leans on no other.
    PutCopy(Index, Index),
    Erase(Index),
    Get(Index),
}

fn ops() -> impl Strategy<Value = Op> {
    let r = any::<Index>;
    let some = || prop::collection::vec(any::<Index>(), 0..4);
    prop_oneof![
        2 => any::<i64>().prop_map(Op::Int),
        1 => (-9..9).prop_map(Op::Float),
        2 => (any::<u8>(), 0usize..100).prop_map(|(fill, n)| Op::Binary(fill, n)),
        1 => Just(Op::Resource),
        3 => some().prop_map(Op::Tuple),
        2 => some().prop_map(Op::List),
        2 => some().prop_map(Op::Map),
        3 => (r(), any::<u8>(), any::<u8>()).prop_map(|(i, n, garbage)| Op::Repeat(i, n, garbage)),
        2 => (r(), r()).prop_map(|(of, i)| Op::Part(of, i)),
        2 => r().prop_map(Op::Forget),
        2 => r().prop_map(Op::Send),
        2 => (r(), any::<u8>()).prop_map(|(i, n)| Op::Adopt(i, n)),
        1 => r().prop_map(Op::Defer),
        2 => (r(), r()).prop_map(|(k, i)| Op::Put(k, i)),
        1 => (r(), r()).prop_map(|(k, i)| Op::PutCopy(k, i)),
        1 => r().prop_map(Op::Erase),
        4 => r().prop_map(Op::Get),
    ]
}

fn options() -> impl Strategy<Value = SpawnOptions> {
    let min = prop::sample::select(vec![0, 20, 150, 512]);
    let minors = prop::sample::select(vec![0, 1, 2, 65_535, 65_536]);
    (min, minors, any::<bool>()).prop_map(|(min, minors, idle)| {
        let when = if idle { CollectWhen::Idle } else { CollectWhen::Pressure };
        SpawnOptions::new().min_heap_words(min).minors_before_major(minors).collect_when(when)
    })
}

/// What the next turn does: from the state to the next, or leaves the message.
type Job = Box<dyn for<'h> FnOnce(Cx<'h>, Term<'h>) -> Option<Term<'h>> + Send>;

/// Its state is a tuple of registers. A message that finds no job is kept in a new one.
struct Machine(Arc<Mutex<Option<Job>>>);

fn push<'h>(cx: Cx<'h>, state: Term<'h>, new: Term<'h>) -> Term<'h> {
    let old = state.as_tuple().unwrap();
    let kept = &old[(old.len() + 1).saturating_sub(REGISTERS)..];
    cx.tuple(&[kept, &[new]].concat())
}

impl Process for Machine {
    fn init<'h>(&mut self, cx: Cx<'h>) -> Result<Term<'h>, Exit> {
        Ok(cx.tuple(&[]))
    }

    fn receive<'h>(&mut self, cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
        let job = self.0.lock().unwrap().take();
        match job.map(|job| job(cx, state)) {
            None => Ok(NextReoffer(push(cx, state, message))),
            Some(Some(state)) => Ok(Next(state)),
            Some(None) => Ok(Defer),
        }
    }
}

struct World {
    rt: Deterministic,
    tracker: Tracker,
    pids: Vec<Pid>,
    jobs: Vec<Arc<Mutex<Option<Job>>>>,
    registers: Vec<Vec<String>>,
    store: [Option<String>; KEYS],
}

impl World {
    fn new(seed: u64, options: &[SpawnOptions]) -> Self {
        let rt = Runtime::deterministic(seed);
        let jobs: Vec<_> = options.iter().map(|_| Arc::default()).collect();
        let machines = options.iter().zip(&jobs);
        let pids = machines.map(|(o, job)| rt.spawn_with(*o, Machine(Arc::clone(job))).unwrap()).collect();
        let registers = vec![Vec::new(); options.len()];
        let mut this = Self { rt, tracker: Tracker::default(), pids, jobs, registers, store: [const { None }; KEYS] };
        this.rt.run_until_idle();
        this
    }

    /// Runs a turn of process `p`, and whatever follows from it.
    fn turn(&mut self, p: usize, job: impl for<'h> FnOnce(Cx<'h>, Term<'h>) -> Option<Term<'h>> + Send + 'static) {
        *self.jobs[p].lock().unwrap() = Some(Box::new(job));
        self.rt.send_new(self.pids[p], |h| h.nil()).unwrap();
        self.rt.run_until_idle();
        assert!(self.jobs[p].lock().unwrap().is_none(), "the turn was taken");
    }

    fn pushed(&mut self, p: usize, model: String) {
        self.registers[p].push(model);
        if self.registers[p].len() > REGISTERS {
            self.registers[p].remove(0);
        }
    }

    /// A turn that makes a new register out of the others.
    fn make(
        &mut self,
        p: usize,
        model: String,
        make: impl for<'h> FnOnce(Cx<'h>, &[Term<'h>]) -> Term<'h> + Send + 'static,
    ) {
        if model.len() > LONGEST {
            return;
        }
        self.pushed(p, model);
        self.turn(p, |cx, state| Some(push(cx, state, make(cx, state.as_tuple().unwrap()))));
    }

    #[allow(clippy::too_many_lines, reason = "one arm per operation")]
    fn run(&mut self, p: usize, op: Op) {
        let n = self.registers[p].len();
        match &op {
            Op::Int(_) | Op::Float(_) | Op::Binary(..) | Op::Resource | Op::Erase(_) | Op::Get(_) => {}
            _ if n == 0 => return,
            _ => {}
        }
        let all = |of: &[Index]| of.iter().map(|i| i.index(n)).collect::<Vec<_>>();
        let registers = self.registers[p].clone();
        let text = |i: usize| registers[i].clone();
        let texts = |of: &[usize]| of.iter().map(|&i| text(i)).collect::<Vec<_>>().join(",");
        match op {
            Op::Int(i) => self.make(p, i.to_string(), move |cx, _| cx.int(i)),
            Op::Float(i) => {
                self.make(p, format!("{:?}", f64::from(i) / 2.0), move |cx, _| cx.float(f64::from(i) / 2.0).unwrap());
            }
            Op::Binary(fill, n) => {
                let fill = b'a' + fill % 26;
                let bytes = self.tracker.bytes(n, fill);
                let model = format!("<<\"{}\">>", String::from_utf8(vec![fill; n]).unwrap());
                self.make(p, model, move |cx, _| cx.bytes(bytes));
            }
            Op::Resource => {
                let value = self.tracker.value();
                let model = format!("#Resource<{:#x}>", Arc::as_ptr(&value).addr());
                self.make(p, model, move |cx, _| cx.resource(value));
            }
            Op::Tuple(of) => {
                let of = all(&of);
                let model = format!("{{{}}}", texts(&of));
                self.make(p, model, move |cx, r| cx.tuple(&of.iter().map(|&i| r[i]).collect::<Vec<_>>()));
            }
            Op::List(of) => {
                let of = all(&of);
                let model = format!("[{}]", texts(&of));
                self.make(p, model, move |cx, r| cx.list(of.iter().map(|&i| r[i])));
            }
            Op::Map(of) => {
                let of = all(&of);
                let pairs: Vec<_> = of.iter().enumerate().map(|(k, &i)| format!("{k} => {}", text(i))).collect();
                self.make(p, format!("#{{{}}}", pairs.join(",")), move |cx, r| {
                    cx.map(of.iter().enumerate().map(|(k, &i)| (k as u64, r[i])))
                });
            }
            Op::Repeat(i, n, garbage) => {
                let i = i.index(self.registers[p].len());
                let model = format!("[{}]", vec![text(i); n.into()].join(","));
                self.make(p, model, move |cx, r| {
                    cx.list((0..garbage).map(|g| term!(cx, {g, g})));
                    cx.list((0..n).map(|_| r[i]))
                });
            }
            Op::Part(of, i) => {
                let (of, i) = (of.index(n), i.index(1000));
                let (tell, told) = std::sync::mpsc::channel();
                self.turn(p, move |cx, state| {
                    let part = match state.as_tuple().unwrap()[of].view() {
                        View::Tuple(elements) if !elements.is_empty() => Some(elements[i % elements.len()]),
                        View::Cons(head, tail) => Some(if i % 2 == 0 { head } else { tail }),
                        View::Map(map) if !map.is_empty() => map.values().nth(i % map.len()),
                        _ => None,
                    };
                    tell.send(part.map(|part| part.to_string())).unwrap();
                    Some(part.map_or(state, |part| push(cx, state, part)))
                });
                if let Some(model) = told.recv().unwrap() {
                    let inner = model.trim_start_matches('[').trim_end_matches(']');
                    assert!(text(of).contains(inner), "{model} is no part of {}", text(of));
                    self.pushed(p, model);
                }
            }
            Op::Forget(i) => {
                let i = i.index(n);
                self.registers[p].remove(i);
                self.turn(p, move |cx, state| {
                    let mut registers = state.as_tuple().unwrap().to_vec();
                    registers.remove(i);
                    Some(cx.tuple(&registers))
                });
            }
            Op::Send(i) => {
                let i = i.index(n);
                let (to, model) = ((p + 1) % PROCESSES, text(i));
                let pid = self.pids[to];
                self.pushed(to, model);
                self.turn(p, move |cx, state| {
                    cx.send(pid, state.as_tuple().unwrap()[i]);
                    Some(state)
                });
            }
            Op::Adopt(i, garbage) => {
                let i = i.index(n);
                let model = format!("{{{},{}}}", text(i), text(i));
                self.make(p, model, move |cx, r| {
                    let copy = Region::copy_of(r[i]);
                    let region = Region::build(|h| {
                        // A region of several chunks, most of it garbage.
                        h.list(0..garbage);
                        let inner = h.adopt(copy);
                        h.tuple(&[inner, inner])
                    });
                    cx.adopt(region)
                });
            }
            Op::Defer(i) => {
                let (i, tracker) = (i.index(n), self.tracker.clone());
                self.turn(p, move |cx, state| {
                    let r = state.as_tuple().unwrap();
                    cx.adopt(Region::copy_of(r[i]));
                    cx.list((0..100).map(|_| cx.tuple(&[r[i], cx.resource(tracker.value())])));
                    None
                });
                // The next turn keeps a message, and the one after it the one that was left.
                self.rt.send_new(self.pids[p], |h| h.int(7)).unwrap();
                self.rt.run_until_idle();
                self.pushed(p, "7".to_owned());
                self.pushed(p, "[]".to_owned());
            }
            Op::Put(key, i) => {
                let (key, i) = (key.index(KEYS), i.index(n));
                self.store[key] = Some(text(i));
                self.turn(p, move |cx, state| {
                    cx.put(key as u64, state.as_tuple().unwrap()[i]).unwrap();
                    Some(state)
                });
            }
            Op::PutCopy(key, i) => {
                let (key, i) = (key.index(KEYS), i.index(n));
                self.store[key] = Some(text(i));
                let (tell, told) = std::sync::mpsc::channel();
                self.turn(p, move |_, state| {
                    tell.send(Region::copy_of(state.as_tuple().unwrap()[i])).unwrap();
                    Some(state)
                });
                self.rt.persistent().put(key as u64, told.recv().unwrap()).unwrap();
                self.rt.run_until_idle();
            }
            Op::Erase(key) => {
                let key = key.index(KEYS);
                assert_eq!(self.rt.persistent().erase(key as u64), self.store[key].take().is_some());
                self.rt.run_until_idle();
            }
            Op::Get(key) => {
                let key = key.index(KEYS);
                let model = self.store[key].clone().unwrap_or_else(|| "none".to_owned());
                self.make(p, model, move |cx, _| cx.get(key as u64).unwrap_or(term!(cx, :none)));
            }
        }
    }

    fn check(&mut self) {
        for p in 0..PROCESSES {
            let expected = self.registers[p].clone();
            self.turn(p, move |_, state| {
                let registers = state.as_tuple().unwrap();
                assert_eq!(registers.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
                Some(state)
            });
            assert!(self.rt.is_alive(self.pids[p]), "a check has failed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_of_processes_do_what_the_model_does(
        seed: u64,
        options in prop::collection::vec(options(), PROCESSES),
        program in prop::collection::vec((0..PROCESSES, ops()), 1..50),
    ) {
        let mut world = World::new(seed, &options);
        let tracker = world.tracker.clone();
        for (p, op) in program {
            world.run(p, op);
            world.check();
        }
        for key in 0..KEYS {
            world.rt.persistent().erase(key as u64);
        }
        world.rt.run_until_idle();
        world.check();
        prop_assert_eq!(world.rt.persistent().info().retained_bytes, 0);
        drop(world);
        prop_assert_eq!(tracker.dropped(), tracker.made());
    }
}
