#![doc = include_str!("../README.md")]
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
pub const IS_LOOM: bool = cfg!(all(loom, feature = "loom"));
