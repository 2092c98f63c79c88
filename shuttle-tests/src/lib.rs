//! Scenarios of shared-term on shuttle; see `tests/`.
//!
//! `RUSTFLAGS="--cfg loom --cfg shuttle" cargo test -p shuttle-tests --profile loom --target-dir target/shuttle`
//!
//! Without the cfgs this crate and its tests are empty, so that a check of the whole workspace builds them.
#![cfg(all(loom, shuttle))]

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared_term::sync::mutation::{Mutation, plant};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};

const _: () = assert!(shared_term::IS_SHUTTLE, "without shuttle inside the library every schedule is the same");

/// A fault is planted for the whole program, so one scenario runs at a time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Schedules of each scenario without a fault.
fn schedules() -> usize {
    number("SCHEDULES").unwrap_or(3_000) as usize
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Preemptions of a schedule of the kind that has few.
const FEW: usize = 3;

/// Schedules after which the other kind has its turn again.
const ROUND: usize = 200;

/// Runs a scenario so often, on a thread of its own: half of the schedules switch at random at every step, half have few
/// preemptions, at random places.
fn run(seed: u64, schedules: usize, scenario: impl Fn() + Send + Sync + 'static) -> std::thread::Result<()> {
    let scenario = Arc::new(scenario);
    let go = move || {
        let mut config = Config::new();
        config.stack_size = 1 << 18;
        config.silence_warnings = true;
        // A failure is drawn again by its seed.
        config.failure_persistence = FailurePersistence::None;
        for (round, first) in (0..schedules).step_by(ROUND).enumerate() {
            let (seed, schedules) = (seed.wrapping_add(round as u64), ROUND.min(schedules - first));
            let kinds: [Box<dyn Scheduler + Send>; 2] = [
                Box::new(RandomScheduler::new_from_seed(seed, schedules.div_ceil(2))),
                Box::new(PctScheduler::new_from_seed(seed, FEW, schedules / 2)),
            ];
            for kind in kinds {
                let scenario = Arc::clone(&scenario);
                Runner::new(kind, config.clone()).run(move || scenario());
            }
        }
    };
    std::thread::spawn(go).join()
}

/// Runs a scenario that must hold under each of some thousand schedules.
///
/// # Panics
///
/// If it fails under one.
pub fn holds(name: &str, scenario: impl Fn() + Send + Sync + 'static) {
    let _turn = turn();
    let seed = number("SEED").unwrap_or(1);
    let (schedules, start) = (schedules(), std::time::Instant::now());
    println!("{name}: {schedules} schedules of seed {seed}");
    if let Err(panic) = run(seed, schedules, scenario) {
        println!("{name}: fails; again with SEED={seed}");
        resume_unwind(panic);
    }
    println!("{name}: holds, {:.1} s", start.elapsed().as_secs_f32());
}

/// Schedules within which a fault must be found.
const UNTIL_FOUND: usize = 40_000;

/// Runs a scenario with a fault planted, and makes sure that it fails. The schedules are the same each time.
///
/// # Panics
///
/// If it holds in spite of the fault: then it does not check what the fault breaks.
pub fn caught(name: &str, fault: Mutation, scenario: impl Fn() + Send + Sync + 'static) {
    let _turn = turn();
    plant(Some(fault));
    let tried = Arc::<AtomicUsize>::default();
    let result = {
        let tried = Arc::clone(&tried);
        run(1, UNTIL_FOUND, move || {
            tried.fetch_add(1, Relaxed);
            scenario();
        })
    };
    plant(None);
    let tried = tried.load(Relaxed);
    let Err(panic) = result else { panic!("{name}: holds with {fault:?} under {tried} schedules") };
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default();
    println!("{name}: {fault:?} found by schedule {tried}: {}", text.lines().next().unwrap_or_default());
}
