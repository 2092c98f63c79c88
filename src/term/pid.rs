//! Names of processes.

use super::word::{self, Word};
use std::fmt;

/// The name of a process: 28 bits of slot and 32 bits of generation, one immediate word.
///
/// A pid is valid in one [domain](crate::PersistentTerms). A slot whose process has ended is used again with the next
/// generation, and a slot whose generations are used up is never used again: a pid never names a second process.
/// Printed as `<domain.slot.generation>` with the domain left out as `0`, as OTP prints its node.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pid(Word);

impl Pid {
    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        Self(word::pid(slot, generation))
    }

    pub(crate) const fn slot(self) -> u32 {
        word::pid_slot(self.0)
    }

    pub(crate) const fn generation(self) -> u32 {
        word::pid_generation(self.0)
    }

    pub(crate) const fn word(self) -> Word {
        self.0
    }

    /// `w` must be the word of a pid.
    pub(crate) const fn from_word(w: Word) -> Self {
        debug_assert!(word::is_pid(w));
        Self(w)
    }
}

impl PartialOrd for Pid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pid {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.slot(), self.generation()).cmp(&(other.slot(), other.generation()))
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<0.{}.{}>", self.slot(), self.generation())
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
