//! Names of processes.

use super::word::{self, Word};
use std::fmt;

/// The name of a process: 26 bits of slot, 26 of generation and 8 of domain, one immediate word.
///
/// A pid is valid in one [domain](crate::PersistentTerms), and in another names nobody. A slot whose process has ended is used again with the next
/// generation, and a slot whose generations are used up is never used again: a pid never names a second process.
/// Printed as `<domain.slot.generation>` with the domain left out as `0`, as OTP prints its node.
///
#[cfg_attr(feature = "runtime", doc = "```")]
#[cfg_attr(not(feature = "runtime"), doc = "```ignore")]
/// use shared_term::prelude::*;
/// let mut rt = Runtime::deterministic(1);
/// let first = rt.spawn_fn(|cx| cx.nil(), |_, _, _| Ok(Stop(Exit::NORMAL)))?;
/// assert!(first.to_string().starts_with("<0."));
/// rt.send_new(first, |h| h.nil())?;
/// rt.run_until_idle();
/// let later: Vec<Pid> = (0..100).filter_map(|_| rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s))).ok()).collect();
/// assert!(!later.contains(&first) && !rt.is_alive(first));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pid(Word);

impl Pid {
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "only processes have a pid"))]
    pub(crate) const fn new(tag: u8, slot: u32, generation: u32) -> Self {
        Self(word::pid(tag, slot, generation))
    }

    pub(crate) const fn tag(self) -> u8 {
        word::pid_tag(self.0)
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
        let key = |pid: &Self| (pid.slot(), pid.generation(), pid.tag());
        key(self).cmp(&key(other))
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
