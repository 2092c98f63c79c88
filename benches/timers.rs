//! The table that timers are in, beside crates that could be in its place: what a timer costs there, and what it gets.
//!
//! `cargo bench --bench timers`, or `-- --quick`. ARCHITECTURE.md draws the conclusions.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::time::{Duration, Instant};

use hierarchical_hash_wheel_timer::IdOnlyTimerEntry;
use hierarchical_hash_wheel_timer::wheels::{Skip, cancellable::QuadWheelWithOverflow};
use nexus_timer::{TimerHandle, Wheel};
use priority_queue::PriorityQueue;

// Its own, which is no part of the crate's interface. What is not measured is unused here.
#[allow(dead_code, unused_imports)]
#[path = "../src/process/sparse.rs"]
mod sparse;
#[allow(dead_code, unused_imports)]
#[path = "../src/process/timetable.rs"]
mod timetable;

use timetable::{Scheduled, Timetable};

const SIZES: [u64; 3] = [1, 1_000, 100_000];
const MILLISECOND: u64 = 1_000_000;
const HOUR: u64 = 3600 * 1000 * MILLISECOND;

/// Names are made one after the other: for all contenders as cheap a hash as the table has.
#[derive(Default)]
struct Multiply(u64);

impl Hasher for Multiply {
    fn write(&mut self, _: &[u8]) {
        unreachable!("names are u64");
    }

    fn write_u64(&mut self, n: u64) {
        let product = u128::from(n) * 0x9e37_79b9_7f4a_7c15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Hash64 = BuildHasherDefault<Multiply>;

/// Timers by name; moments are nanoseconds since the beginning, and only go on.
trait Contender {
    const NAME: &str;
    fn new() -> Self;
    fn set(&mut self, name: u64, due: u64);
    fn cancel(&mut self, name: u64) -> bool;
    /// What is due by then, one after the other.
    fn fire(&mut self, now: u64, fired: &mut Vec<u64>);
    /// When to look again at the latest.
    fn next(&mut self) -> Option<u64>;
}

/// That a timer has an owner is left out: only the table knows of such a thing.
struct Timer {
    name: u64,
    due: u64,
}

impl Scheduled for Timer {
    fn due(&self) -> u64 {
        self.due
    }

    fn owner(&self) -> Option<u64> {
        None
    }
}

impl Contender for Timetable<Timer> {
    const NAME: &str = "shared-term";

    fn new() -> Self {
        Self::default()
    }

    fn set(&mut self, name: u64, due: u64) {
        assert!(self.insert(name, Timer { name, due }).is_ok());
    }

    fn cancel(&mut self, name: u64) -> bool {
        self.remove(name).is_some()
    }

    fn fire(&mut self, now: u64, fired: &mut Vec<u64>) {
        fired.extend(std::iter::from_fn(|| self.take_due(now)).map(|timer| timer.name));
    }

    fn next(&mut self) -> Option<u64> {
        Timetable::next(self)
    }
}

impl Contender for PriorityQueue<u64, Reverse<(u64, u64)>, Hash64> {
    const NAME: &str = "priority-queue";

    fn new() -> Self {
        Self::default()
    }

    fn set(&mut self, name: u64, due: u64) {
        assert!(self.try_reserve(1).is_ok());
        self.push(name, Reverse((due, name)));
    }

    fn cancel(&mut self, name: u64) -> bool {
        self.remove(&name).is_some()
    }

    fn fire(&mut self, now: u64, fired: &mut Vec<u64>) {
        while let Some((name, _)) = self.pop_if(|_, Reverse((due, _))| *due <= now) {
            fired.push(name);
        }
    }

    fn next(&mut self) -> Option<u64> {
        self.peek().map(|(_, Reverse((due, _)))| *due)
    }
}

/// By milliseconds, and 4.6 hours in its levels, as it is when nobody asks for anything else.
struct Nexus {
    beginning: Instant,
    wheel: Wheel<u64>,
    handles: HashMap<u64, TimerHandle<u64>, Hash64>,
}

impl Contender for Nexus {
    const NAME: &str = "nexus-timer";

    fn new() -> Self {
        let beginning = Instant::now();
        Self { beginning, wheel: Wheel::unbounded(4096, beginning), handles: HashMap::default() }
    }

    fn set(&mut self, name: u64, due: u64) {
        let handle = self.wheel.schedule(self.beginning + Duration::from_nanos(due), name);
        self.handles.insert(name, handle);
    }

    fn cancel(&mut self, name: u64) -> bool {
        self.handles.remove(&name).and_then(|handle| self.wheel.cancel(handle)).is_some()
    }

    fn fire(&mut self, now: u64, fired: &mut Vec<u64>) {
        let first = fired.len();
        self.wheel.poll(self.beginning + Duration::from_nanos(now), fired);
        for name in &fired[first..] {
            self.handles.remove(name).into_iter().for_each(|handle| self.wheel.free(handle));
        }
    }

    fn next(&mut self) -> Option<u64> {
        self.wheel.next_deadline().map(|due| due.duration_since(self.beginning).as_nanos() as u64)
    }
}

impl Drop for Nexus {
    fn drop(&mut self) {
        self.handles.drain().for_each(|(_, handle)| self.wheel.free(handle));
    }
}

/// Counts milliseconds; moments in between are rounded up, so that nothing is early.
struct Quad {
    /// Milliseconds.
    now: u64,
    wheel: QuadWheelWithOverflow<IdOnlyTimerEntry<u64>>,
}

impl Contender for Quad {
    const NAME: &str = "hierarchical_hash_wheel_timer";

    fn new() -> Self {
        Self { now: 0, wheel: QuadWheelWithOverflow::new() }
    }

    fn set(&mut self, name: u64, due: u64) {
        let delay = Duration::from_millis(due.div_ceil(MILLISECOND) - self.now);
        assert!(self.wheel.insert(IdOnlyTimerEntry { id: name, delay }).is_ok());
    }

    fn cancel(&mut self, name: u64) -> bool {
        self.wheel.cancel(&name).is_ok()
    }

    fn fire(&mut self, now: u64, fired: &mut Vec<u64>) {
        let now = now / MILLISECOND;
        while self.now < now {
            let left = (now - self.now) as u32;
            match self.wheel.can_skip() {
                Skip::Millis(n) if n > 0 => {
                    self.wheel.skip(n.min(left));
                    self.now += u64::from(n.min(left));
                }
                _ => {
                    fired.extend(self.wheel.tick().iter().map(|timer| timer.id));
                    self.now += 1;
                }
            }
        }
    }

    fn next(&mut self) -> Option<u64> {
        match self.wheel.can_skip() {
            Skip::Empty => None,
            Skip::None => Some((self.now + 1) * MILLISECOND),
            Skip::Millis(n) => Some((self.now + u64::from(n)) * MILLISECOND),
        }
    }
}

/// The state of xorshift64.
struct Random(u64);

impl Random {
    /// From two hours to three.
    fn moment(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (2 * HOUR + self.0 % HOUR) / MILLISECOND * MILLISECOND
    }
}

/// Nanoseconds of each `one`, which it is told the number of.
fn time(at_least: Duration, mut one: impl FnMut(u64)) -> f64 {
    let (beginning, mut n) = (Instant::now(), 0);
    // Not for so long that virtual time gets to where timers are due.
    while n < 1 << 20 && (n % 16 != 0 || beginning.elapsed() < at_least || n == 0) {
        one(n);
        n += 1;
    }
    beginning.elapsed().as_nanos() as f64 / n as f64
}

type Costs = fn(u64, Duration) -> [f64; 3];

/// With `n` timers that are due in hours: one is set for then and cancelled; one is set for the next millisecond and fires;
/// a millisecond passes, and nothing is due. In the latter two somebody asks when to look again.
fn costs<C: Contender>(n: u64, at_least: Duration) -> [f64; 3] {
    let full = || {
        let (mut all, mut random) = (C::new(), Random(88_172_645_463_325_252));
        (1..=n).for_each(|name| all.set(name, random.moment()));
        (all, random)
    };
    let (mut all, mut random) = full();
    let cancel = time(at_least, |i| {
        all.set(n + 1 + i, random.moment());
        assert!(all.cancel(n + 1 + i));
    });
    let (mut all, _) = full();
    let mut fired = Vec::new();
    let fire = time(at_least, |i| {
        fired.clear();
        all.set(n + 1 + i, (i + 1) * MILLISECOND);
        all.fire((i + 1) * MILLISECOND, &mut fired);
        assert_eq!(fired, [n + 1 + i]);
        black_box(all.next());
    });
    let (mut all, _) = full();
    fired.clear();
    let nothing = time(at_least, |i| {
        all.fire((i + 1) * MILLISECOND, &mut fired);
        black_box(all.next());
    });
    assert!(fired.is_empty());
    [cancel, fire, nothing]
}

/// Does what is due at once fire in the order of its moments? Does anything before its moment? Is who asks when to look again
/// told of the first that runs?
fn manners<C: Contender>() -> [bool; 3] {
    let mut all = C::new();
    // Each second from the hundredth back to the first.
    (1..=100).for_each(|name| all.set(name, (101 - name) * 1000 * MILLISECOND));
    let mut fired = Vec::new();
    all.fire(200 * 1000 * MILLISECOND, &mut fired);
    let in_order = fired.len() == 100 && fired.is_sorted_by(|a, b| a > b);

    let mut all = C::new();
    all.set(1, 2 * MILLISECOND - 1);
    fired.clear();
    all.fire(2 * MILLISECOND - 2, &mut fired);
    let never_early = fired.is_empty();

    let mut all = C::new();
    all.set(1, 1000 * MILLISECOND);
    all.set(2, HOUR);
    all.cancel(1);
    [in_order, never_early, all.next() == Some(HOUR)]
}

fn main() {
    // Compiled as a test, it has nothing to say.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (turns, at_least) = if quick { (1, Duration::from_millis(2)) } else { (7, Duration::from_millis(20)) };
    println!("ns each, medians of {turns}           timers  set, cancel    set, fire  nothing due");
    for n in SIZES {
        let all: [(_, Costs); 4] = [
            (<Timetable<Timer> as Contender>::NAME, costs::<Timetable<Timer>>),
            (<PriorityQueue<_, _, _> as Contender>::NAME, costs::<PriorityQueue<u64, _, Hash64>>),
            (Nexus::NAME, costs::<Nexus>),
            (Quad::NAME, costs::<Quad>),
        ];
        let mut times = all.map(|_| Vec::new());
        for _ in 0..turns {
            all.iter().zip(&mut times).for_each(|((_, costs), times)| times.push(costs(n, at_least)));
        }
        for ((name, _), times) in all.iter().zip(times) {
            let [cancel, fire, nothing] = [0, 1, 2].map(|which| {
                let mut times: Vec<f64> = times.iter().map(|times| times[which]).collect();
                times.sort_by(f64::total_cmp);
                times[times.len() / 2]
            });
            println!("{name:30} {n:7} {cancel:12.0} {fire:12.0} {nothing:12.0}");
        }
    }
    println!("\n                                      in order  never early  knows the next");
    for (name, [in_order, never_early, knows]) in [
        (<Timetable<Timer> as Contender>::NAME, manners::<Timetable<Timer>>()),
        (<PriorityQueue<_, _, _> as Contender>::NAME, manners::<PriorityQueue<u64, _, Hash64>>()),
        (Nexus::NAME, manners::<Nexus>()),
        (Quad::NAME, manners::<Quad>()),
    ] {
        let [in_order, never_early, knows] = [in_order, never_early, knows].map(|yes| if yes { "yes" } else { "no" });
        println!("{name:30} {in_order:>15} {never_early:>12} {knows:>15}");
    }
}
