//! Models of shared-term on loom; see `tests/`.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p loom-tests --profile loom --target-dir target/loom`
//!
//! Without the cfg this crate and its tests are empty, so that a check of the whole workspace builds them.
#![cfg(loom)]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_term::sync::mutation::{Mutation, plant};

const _: () = assert!(shared_term::IS_LOOM, "without loom inside the library every model passes after one execution");

/// A fault is planted for the whole process, so one model runs at a time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often loom may switch away from a thread that could go on; `None` explores everything.
pub type Preemptions = Option<usize>;

fn check(preemptions: Preemptions, executions: &Arc<AtomicUsize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 20_000;
    // A model that does not end is a failure of the model, not a pass: see `explore`.
    builder.checkpoint_interval = 1_000;
    builder.max_duration = Some(LIMIT);
    let executions = Arc::clone(executions);
    builder.check(move || {
        // The notes of readers keep still during a panic: a count left over from another model would make them blind.
        assert!(!std::thread::panicking(), "this thread has not come out of an earlier panic");
        executions.fetch_add(1, Relaxed);
        model();
    });
}

const LIMIT: Duration = Duration::from_secs(300);

/// Runs a model that must hold, and returns how many executions loom explored.
///
/// # Panics
///
/// If the model fails, if loom explored one execution only, which shows nothing, or if it did not come to an end.
pub fn explore(name: &str, preemptions: Preemptions, model: impl Fn() + Send + Sync + 'static) -> usize {
    let _turn = turn();
    let executions = Arc::default();
    let start = std::time::Instant::now();
    check(preemptions, &executions, model);
    let executions = executions.load(Relaxed);
    println!("{name}: {executions} executions");
    assert!(executions > 1, "{name}: one execution shows nothing");
    assert!(start.elapsed() < LIMIT, "{name}: not explored to the end");
    executions
}

/// Runs a model with a fault planted, and makes sure that it fails.
///
/// # Panics
///
/// If the model passes in spite of the fault: then it does not check what the fault breaks.
pub fn caught(name: &str, fault: Mutation, preemptions: Preemptions, model: impl Fn() + Send + Sync + 'static) {
    let _turn = turn();
    plant(Some(fault));
    let executions = Arc::<AtomicUsize>::default();
    // On a thread of its own: a second panic in another of loom's threads leaves this one's count of panics above zero.
    let result = {
        let executions = Arc::clone(&executions);
        std::thread::spawn(move || check(preemptions, &executions, model)).join()
    };
    plant(None);
    let executions = executions.load(Relaxed);
    let Err(panic) = result else { panic!("{name}: passes with {fault:?} in {executions} executions") };
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default();
    println!("{name}: {fault:?} found in execution {executions}: {}", text.lines().next().unwrap_or_default());
}
