#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(loom, feature = "loom", feature = "epoch", not(crossbeam_loom)))]
compile_error!(
    "with the features `loom` and `epoch`, RUSTFLAGS needs `--cfg loom --cfg crossbeam_loom`: without the second, \
     crossbeam-epoch is invisible to loom and every model passes after one execution"
);

pub mod sync;

/// Is this build of the crate on loom's primitives? See [`sync`].
///
/// ```
/// assert!(!shared_term::IS_LOOM); // an ordinary build
/// ```
pub const IS_LOOM: bool = cfg!(all(loom, feature = "loom"));

#[cfg(feature = "term")]
#[macro_use]
mod macros;
#[cfg(feature = "term")]
pub mod heap;
#[cfg(feature = "term")]
pub mod term;

#[cfg(feature = "term")]
pub use {
    heap::{Heap, Region},
    term::{Atom, Pid, Term, TermRef},
};

/// What the macros expand to.
#[cfg(feature = "term")]
#[doc(hidden)]
pub mod __private {
    pub use crate::heap::heap_of;
}
