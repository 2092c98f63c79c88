#![cfg_attr(feature = "runtime", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "runtime"),
    doc = "What Erlang/OTP's `atomics`, `counters` and `persistent_term` give the BEAM, for Rust. This page is about a build \
           without processes; see the README for the whole."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#[cfg(all(loom, feature = "loom", feature = "epoch", not(crossbeam_loom)))]
compile_error!(
    "with the features `loom` and `epoch`, RUSTFLAGS needs `--cfg loom --cfg crossbeam_loom`: without the second, \
     crossbeam-epoch is invisible to loom and every model passes after one execution"
);

mod alloc;
pub mod atomics;
pub mod counters;
pub mod published;
pub mod sync;

pub use alloc::AllocError;
pub use atomics::Atomics;
pub use counters::{Counter, Counters};
pub use published::Published;

/// Is this build of the crate on loom's primitives? See [`sync`].
///
/// ```
/// assert!(!shared_term::IS_LOOM); // an ordinary build
/// ```
pub const IS_LOOM: bool = cfg!(all(loom, feature = "loom", not(all(shuttle, feature = "shuttle"))));

/// Is this build of the crate on shuttle's primitives? See [`sync`].
///
/// ```
/// assert!(!shared_term::IS_SHUTTLE); // an ordinary build
/// ```
pub const IS_SHUTTLE: bool = cfg!(all(loom, shuttle, feature = "shuttle"));

#[cfg(feature = "term")]
#[macro_use]
mod macros;
#[cfg(feature = "term")]
pub mod heap;
#[cfg(feature = "persistent")]
pub mod persistent;
#[cfg(feature = "runtime")]
pub mod process;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(feature = "term")]
pub mod term;

#[cfg(feature = "term")]
pub use {
    heap::{Heap, HeapError, Region},
    term::{Atom, Pid, Reference, Term, TermRef},
};

#[cfg(feature = "persistent")]
pub use persistent::{Literal, PersistentTerms};

#[cfg(feature = "runtime")]
pub use {
    process::{Cx, Event, Exit, Flow, Process},
    runtime::Runtime,
};

/// What a program with processes uses all the time.
///
/// ```
/// use shared_term::prelude::*;
///
/// let mut rt = Runtime::deterministic(1);
/// let p = rt.spawn_fn(|cx| term!(cx, {:count, 0}), |_, state, _| Ok(Next(state)))?;
/// rt.run_until_idle();
/// assert!(rt.is_alive(p));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "runtime")]
pub mod prelude {
    pub use crate::Flow::{Again, Defer, Forward, Next, NextReoffer, Stop};
    pub use crate::process::Turn;
    pub use crate::term::View;
    pub use crate::{
        Atom, Cx, Event, Exit, Flow, Heap, PersistentTerms, Pid, Process, Reference, Region, Runtime, Term, TermRef,
    };
    pub use crate::{atom, term};
}

#[cfg(all(loom, feature = "loom", feature = "runtime"))]
#[doc(hidden)]
pub mod model;

/// What the macros expand to.
#[cfg(feature = "term")]
#[doc(hidden)]
pub mod __private {
    pub use crate::heap::{Segment, heap_of};
    pub use std::vec::Vec;
}
