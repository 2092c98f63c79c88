//! The table: one row for each budget, and how a row is measured.

use std::time::{Duration, Instant};

use crate::otp::{Contender, Erlang, Lease};
use crate::timing::Summary;
use crate::vm::DEFAULT_PROCESSES;
use crate::{isolation, ours, resident, rust_refs};

/// One run of one contender: nanoseconds per operation, or bytes.
pub(crate) type Sampler = Box<dyn FnMut() -> Result<f64, String>>;

/// Sets a contender up, once for all its runs. An error says why it cannot be measured here.
pub(crate) type Prepare = fn(Plan) -> Result<Sampler, String>;

/// How much one run does.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Operations of a run, or processes of a population: the same on both sides.
    pub(crate) n: u64,
    /// How long a calibrated loop lasts, for contenders so cheap that `n` of them would be too short a time.
    pub(crate) batch: Duration,
}

#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Bytes,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::Microseconds => "us",
            Unit::Milliseconds => "ms",
            Unit::Bytes => "B",
        }
    }

    /// Of a sample, which is in nanoseconds or bytes.
    pub(crate) fn scale(self, sample: f64) -> f64 {
        match self {
            Unit::Nanoseconds | Unit::Bytes => sample,
            Unit::Microseconds => sample / 1e3,
            Unit::Milliseconds => sample / 1e6,
        }
    }
}

/// The budget: at most so many times the reference, at most so many nanoseconds or bytes, or both.
#[derive(Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) ratio: Option<f64>,
    pub(crate) sample: Option<f64>,
}

impl Goal {
    const fn ratio(ratio: f64) -> Goal {
        Goal { ratio: Some(ratio), sample: None }
    }

    const fn sample(sample: f64) -> Goal {
        Goal { ratio: None, sample: Some(sample) }
    }

    const fn and_ratio(self, ratio: f64) -> Goal {
        Goal { ratio: Some(ratio), ..self }
    }

    /// `None`: what it takes to tell was not measured.
    pub(crate) fn holds(self, sample: Option<f64>, ratio: Option<f64>) -> Option<bool> {
        let within = |limit: Option<f64>, measured: Option<f64>| match (limit, measured) {
            (None, _) => Some(true),
            (Some(limit), Some(measured)) => Some(measured <= limit),
            (Some(_), None) => None,
        };
        match (within(self.sample, sample), within(self.ratio, ratio)) {
            (Some(true), Some(true)) => Some(true),
            (Some(false), _) | (_, Some(false)) => Some(false),
            _ => None,
        }
    }
}

/// What a row is held against.
pub(crate) enum Reference {
    Otp(Lease),
    /// Something of Rust's own, or another operation of the library.
    Local(&'static str, Prepare),
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) goal: Goal,
    /// [`Plan::n`] of a full run and of a quick one.
    n: (u64, u64),
    ours: Prepare,
    pub(crate) reference: Reference,
    /// What the same work costs in Rust without the library, where the reference is OTP.
    pub(crate) rust: Option<(&'static str, Prepare)>,
}

/// What became of one contender.
pub(crate) type Outcome = Result<Summary, String>;

pub(crate) struct Measured {
    pub(crate) ours: Outcome,
    pub(crate) reference: Outcome,
    pub(crate) rust: Option<Outcome>,
}

impl Measured {
    /// Of the medians.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let (ours, reference) = (self.ours.as_ref().ok()?.median, self.reference.as_ref().ok()?.median);
        // A loop that was disturbed less than its empty twin gives a price below zero: no ratio comes of that.
        (reference > 0.0).then(|| ours / reference)
    }
}

enum Runner {
    Here(Sampler),
    Otp(Contender),
}

/// One contender's runs so far, or what stopped it.
struct Lane {
    runner: Result<Runner, String>,
    samples: Vec<f64>,
}

impl Lane {
    fn new(runner: Result<Runner, String>) -> Lane {
        Lane { runner, samples: Vec::new() }
    }

    fn here(prepare: Prepare, plan: Plan) -> Lane {
        Lane::new(prepare(plan).map(Runner::Here))
    }

    fn otp(erlang: &Erlang, row: &'static str, plan: Plan, lease: Lease) -> Lane {
        Lane::new(erlang.contender(row, plan.n, lease).map(Runner::Otp))
    }

    fn run(&mut self, erlang: &mut Erlang) {
        let sample = match &mut self.runner {
            Ok(Runner::Here(sampler)) => sampler(),
            Ok(Runner::Otp(contender)) => contender.sample(erlang),
            Err(_) => return,
        };
        match sample {
            Ok(sample) => self.samples.push(sample),
            Err(why) => self.runner = Err(why),
        }
    }

    fn outcome(self) -> Outcome {
        self.runner?;
        Summary::of(self.samples).ok_or_else(|| "no run".to_string())
    }
}

impl Row {
    pub(crate) fn measure(&self, quick: bool, erlang: &mut Erlang) -> Measured {
        let plan = if quick {
            Plan { n: self.n.1, batch: Duration::from_millis(15) }
        } else {
            Plan { n: self.n.0, batch: Duration::from_millis(50) }
        };
        let Reference::Otp(lease @ Lease::Alone { .. }) = &self.reference else {
            let mut ours = Lane::here(self.ours, plan);
            let mut reference = match &self.reference {
                Reference::Otp(lease) => Lane::otp(erlang, self.name, plan, *lease),
                Reference::Local(_, prepare) => Lane::here(*prepare, plan),
            };
            let mut rust = self.rust.map(|(_, prepare)| Lane::here(prepare, plan));
            let mut lanes = vec![&mut ours, &mut reference];
            lanes.extend(&mut rust);
            rounds(&mut lanes, quick, erlang);
            return Measured { ours: ours.outcome(), reference: reference.outcome(), rust: rust.map(Lane::outcome) };
        };
        if let Err(why) = room_for(plan.n, quick) {
            return Measured { ours: Err(why.clone()), reference: Err(why), rust: None };
        }
        // The VM first: its memory is back when it has ended, whereas ours may stay with the allocator.
        let mut reference = Lane::otp(erlang, self.name, plan, *lease);
        rounds(&mut [&mut reference], quick, erlang);
        let reference = reference.outcome();
        let mut ours = Lane::here(self.ours, plan);
        rounds(&mut [&mut ours], quick, erlang);
        let ours = ours.outcome();
        let rust = self.rust.map(|(_, prepare)| {
            let mut rust = Lane::here(prepare, plan);
            rounds(&mut [&mut rust], quick, erlang);
            rust.outcome()
        });
        Measured { ours, reference, rust }
    }
}

/// Contenders take turns, so that what disturbs the machine for a while disturbs all of them.
fn rounds(lanes: &mut [&mut Lane], quick: bool, erlang: &mut Erlang) {
    let mut repeated = None;
    for run in 0..if quick { 3 } else { 7 } {
        // The first round may have set a population up, so the time is taken from its end.
        if run > 0 && quick && repeated.get_or_insert_with(Instant::now).elapsed() > QUICK_REPEATS {
            break;
        }
        for lane in lanes.iter_mut() {
            lane.run(erlang);
        }
    }
}

/// Can `n` processes of 10 kB be had, by one contender at a time?
fn room_for(n: u64, quick: bool) -> Result<(), String> {
    /// Of a process, at most: its heap with room to grow.
    const KILOBYTES: u64 = 18;
    if quick && n > 100_000 {
        return Err("left out by --quick".to_string());
    }
    let available = resident::available_kilobytes()?;
    if available < n * KILOBYTES {
        return Err(format!("takes {} GB of memory, of which there are {}", (n * KILOBYTES) >> 20, available >> 20));
    }
    Ok(())
}

/// A quick run promises to end soon, on slow and busy machines too: a row begins no further round after this time.
const QUICK_REPEATS: Duration = Duration::from_secs(3);

const SHARED: Reference = Reference::Otp(Lease::Shared);
/// For rows whose price depends on what else is in the VM.
const OWN: Reference = Reference::Otp(Lease::Own { processes: DEFAULT_PROCESSES });
/// Room for a million processes.
const LARGE: u32 = 1 << 20;

/// In the order in which they are measured and printed.
pub(crate) static ROWS: &[Row] = &[
    Row {
        name: "persistent_get_atom",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(0.3),
        n: (5_000_000, 2_000_000),
        ours: ours::persistent_get_atom,
        reference: SHARED,
        rust: Some(("RwLock<HashMap> get, Arc clone", rust_refs::map_get)),
    },
    Row {
        name: "persistent_get_pair",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(0.25),
        n: (3_000_000, 1_000_000),
        ours: ours::persistent_get_pair,
        reference: SHARED,
        rust: Some(("RwLock<HashMap> get, Arc clone", rust_refs::map_get)),
    },
    Row {
        name: "persistent_get_cold",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(0.5),
        n: (200_000, 100_000),
        ours: ours::persistent_get_cold,
        reference: SHARED,
        rust: Some(("RwLock<HashMap> get, Arc clone", rust_refs::map_get_cold)),
    },
    Row {
        name: "persistent_slot_read",
        unit: Unit::Nanoseconds,
        goal: Goal::sample(1.0).and_ratio(2.0),
        n: (0, 0),
        ours: ours::persistent_slot_read,
        reference: Reference::Local("relaxed load", rust_refs::relaxed_load),
        rust: Some(("a handle: one load and a branch", rust_refs::handle_read)),
    },
    Row {
        name: "persistent_slot_read_unbound",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(2.0),
        n: (0, 0),
        ours: ours::persistent_slot_read_unbound,
        reference: Reference::Local("relaxed load", rust_refs::relaxed_load),
        rust: Some(("a handle: one load and a branch", rust_refs::handle_read)),
    },
    Row {
        name: "persistent_replace_idle_0",
        unit: Unit::Microseconds,
        goal: Goal::sample(100e3),
        n: (0, 0),
        ours: ours::persistent_replace_idle,
        reference: OWN,
        rust: Some(("RwLock<HashMap> insert, Arc drop", rust_refs::map_replace)),
    },
    Row {
        name: "persistent_replace_idle_100k",
        unit: Unit::Milliseconds,
        goal: Goal::ratio(0.005),
        n: (100_000, 100_000),
        ours: ours::persistent_replace_idle,
        reference: OWN,
        rust: Some(("RwLock<HashMap> insert, Arc drop", rust_refs::map_replace)),
    },
    Row {
        name: "persistent_replace_idle_1m",
        unit: Unit::Milliseconds,
        goal: Goal::ratio(0.002),
        n: (1_000_000, 1_000_000),
        ours: ours::persistent_replace_idle,
        reference: Reference::Otp(Lease::Own { processes: LARGE }),
        rust: Some(("RwLock<HashMap> insert, Arc drop", rust_refs::map_replace)),
    },
    Row {
        name: "persistent_replace_full_100k",
        unit: Unit::Milliseconds,
        goal: Goal::ratio(0.005),
        n: (100_000, 100_000),
        ours: ours::persistent_replace_full,
        reference: Reference::Otp(Lease::Alone { processes: DEFAULT_PROCESSES }),
        rust: Some(("RwLock<HashMap> insert, Arc drop", rust_refs::map_replace)),
    },
    Row {
        name: "persistent_replace_full_1m",
        unit: Unit::Milliseconds,
        goal: Goal::ratio(0.002),
        n: (1_000_000, 1_000_000),
        ours: ours::persistent_replace_full,
        reference: Reference::Otp(Lease::Alone { processes: LARGE }),
        rust: Some(("RwLock<HashMap> insert, Arc drop", rust_refs::map_replace)),
    },
    Row {
        name: "persistent_replace_mixed",
        unit: Unit::Milliseconds,
        goal: Goal::ratio(0.02),
        n: (100_000, 100_000),
        ours: ours::persistent_replace_mixed,
        reference: OWN,
        rust: Some(("RwLock<HashMap> insert, Arc drop", rust_refs::map_replace)),
    },
    Row {
        name: "persistent_replace_first",
        unit: Unit::Milliseconds,
        goal: Goal::ratio(0.02),
        n: (100_000, 100_000),
        ours: ours::persistent_replace_first,
        reference: OWN,
        rust: Some(("RwLock<HashMap> insert, Arc drop", rust_refs::map_replace)),
    },
    Row {
        name: "persistent_replace_holders_100k",
        unit: Unit::Milliseconds,
        goal: Goal::ratio(0.25),
        n: (100_000, 100_000),
        ours: ours::persistent_replace_holders,
        reference: OWN,
        rust: Some(("each Arc holder clones the value", rust_refs::map_replace_held)),
    },
    Row {
        name: "persistent_put_loop",
        unit: Unit::Microseconds,
        goal: Goal::ratio(0.02),
        n: (1_000, 500),
        ours: ours::persistent_put_loop,
        reference: OWN,
        rust: Some(("RwLock<HashMap> insert, Arc drop", rust_refs::map_put_loop)),
    },
    Row {
        name: "atomics_add",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(1.1),
        n: (0, 0),
        ours: ours::atomics_add,
        reference: Reference::Local("AtomicI64::fetch_add, SeqCst", rust_refs::fetch_add),
        rust: None,
    },
    Row {
        name: "counters_writer_add",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(1.2),
        n: (0, 0),
        ours: ours::counters_writer_add,
        reference: Reference::Local("owned relaxed load + store", rust_refs::owned_add),
        rust: None,
    },
    Row {
        name: "counters_add",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(1.0),
        n: (0, 0),
        ours: ours::counters_add,
        reference: Reference::Local("AtomicI64::fetch_add, SeqCst", rust_refs::fetch_add),
        rust: None,
    },
    Row {
        name: "counters_add_vs_otp",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(0.1),
        n: (5_000_000, 2_000_000),
        ours: ours::counters_add_vs_otp,
        reference: SHARED,
        rust: Some(("AtomicI64::fetch_add, SeqCst", rust_refs::fetch_add_net)),
    },
    Row {
        name: "send_atom_suspended",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(0.5),
        n: (300_000, 150_000),
        ours: ours::send_atom_suspended,
        reference: SHARED,
        rust: Some(("mpsc send, nobody receiving", rust_refs::send_unreceived)),
    },
    Row {
        name: "send_atom",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(0.4),
        n: (500_000, 200_000),
        ours: ours::send_atom,
        reference: SHARED,
        rust: Some(("mpsc send to a thread", rust_refs::send_received)),
    },
    Row {
        name: "round_trip",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(0.25),
        n: (200_000, 50_000),
        ours: ours::round_trip,
        reference: SHARED,
        rust: Some(("two threads, two mpsc channels", rust_refs::round_trip)),
    },
    Row {
        name: "round_trip_after",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(0.5),
        n: (200_000, 50_000),
        ours: ours::round_trip_after,
        reference: SHARED,
        rust: Some(("the same, recv_timeout", rust_refs::round_trip_timeout)),
    },
    Row {
        name: "timer_set_cancel",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(1.0),
        n: (200_000, 50_000),
        ours: ours::timer_set_cancel,
        reference: SHARED,
        rust: Some(("a tokio Sleep, polled, dropped", rust_refs::sleep_dropped)),
    },
    Row {
        name: "timer_set_cancel_two",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(1.0),
        n: (200_000, 50_000),
        ours: ours::timer_set_cancel_two,
        reference: SHARED,
        rust: Some(("two such tasks at once", rust_refs::sleeps_dropped_two)),
    },
    Row {
        name: "copy_list_1000",
        unit: Unit::Microseconds,
        goal: Goal::ratio(0.5),
        n: (15_000, 5_000),
        ours: ours::copy_list_1000,
        reference: SHARED,
        rust: Some(("list of boxes, clone + drop", rust_refs::copy_list)),
    },
    Row {
        name: "copy_tree_1023",
        unit: Unit::Microseconds,
        goal: Goal::ratio(0.3),
        n: (5_000, 1_500),
        ours: ours::copy_tree_1023,
        reference: SHARED,
        rust: Some(("tree of boxes, clone + drop", rust_refs::copy_tree)),
    },
    Row {
        name: "copy_list_sharing",
        unit: Unit::Microseconds,
        goal: Goal::ratio(3.0),
        n: (0, 0),
        ours: ours::copy_list_1000,
        reference: Reference::Local("a copy by hand, sharing lost", rust_refs::copy_list_by_hand),
        rust: None,
    },
    Row {
        name: "copy_tree_sharing",
        unit: Unit::Microseconds,
        goal: Goal::ratio(3.0),
        n: (0, 0),
        ours: ours::copy_tree_1023,
        reference: Reference::Local("a copy by hand, sharing lost", rust_refs::copy_tree_by_hand),
        rust: None,
    },
    Row {
        name: "copy_dag_18",
        unit: Unit::Microseconds,
        goal: Goal::ratio(0.001),
        n: (200, 50),
        ours: ours::copy_dag_18,
        reference: SHARED,
        rust: Some(("tree of boxes, clone + drop, sharing lost", rust_refs::copy_dag)),
    },
    Row {
        name: "move_region",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(1.2),
        n: (300_000, 150_000),
        ours: ours::move_region,
        reference: Reference::Local("sending an atom", ours::send_atom_for_region),
        rust: None,
    },
    Row {
        name: "collect_minor",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(0.5),
        n: (101, 51),
        ours: ours::collect_minor,
        reference: SHARED,
        rust: Some(("list of boxes, clone + drop, per word", rust_refs::copy_live)),
    },
    Row {
        name: "collect_major",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(0.5),
        n: (101, 51),
        ours: ours::collect_major,
        reference: SHARED,
        rust: Some(("list of boxes, clone + drop, per word", rust_refs::copy_live)),
    },
    Row {
        name: "spawn_exit",
        unit: Unit::Nanoseconds,
        goal: Goal::ratio(0.1),
        n: (100_000, 50_000),
        ours: ours::spawn_exit,
        reference: SHARED,
        rust: Some(("boxed closure run by a thread", rust_refs::run_closures)),
    },
    Row {
        name: "idle_process_bytes",
        unit: Unit::Bytes,
        goal: Goal::sample(256.0),
        // An eighth: as large a part of the table of slots, which doubles, is in use as of a million.
        n: (1_000_000, 125_000),
        ours: ours::idle_process_bytes,
        reference: Reference::Otp(Lease::EachRun { processes: LARGE }),
        rust: Some(("boxed closure + mpsc channel", rust_refs::idle_bytes)),
    },
    Row {
        name: "isolation_p999",
        unit: Unit::Microseconds,
        goal: Goal::ratio(2.0),
        n: (0, 0),
        ours: isolation::p999,
        reference: Reference::Local("same, nobody collecting", isolation::p999_idle),
        rust: None,
    },
];
