//! Names of processes elsewhere.

use super::Atom;
use super::word::{self, Word};
use std::fmt;

/// The name of a process of another node, as it came from there. Made explicitly, never by a domain of this program.
///
/// It is a term like others, four words: it can be kept, compared and sent on. There is nothing here that it could be sent
/// *to*, and its type says so: [`Cx::send`](crate::Cx::send) takes a [`Pid`](crate::Pid), and reading one out of such a
/// term is a [`Mismatch`](super::Mismatch). (OTP drops a message to a node that it has no connection to, silently.)
///
/// All remote pids come after all local ones. Among each other they are in OTP's order: serial, id, node, creation.
///
/// ```
/// use shared_term::{Atom, Pid, Region, term, term::RemotePid};
/// let there = RemotePid { node: Atom::new("a@host").unwrap(), id: 7, serial: 0, creation: 1 };
/// let r = Region::build(|h| term!(h, {:from, there}));
/// assert_eq!(r.root().to_string(), "{from,<a@host.7.0>}");
/// assert_eq!(r.root().get::<(Atom, RemotePid)>()?.1, there);
/// assert!(r.root().get::<(Atom, Pid)>().is_err());
/// # Ok::<(), shared_term::term::Mismatch>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RemotePid {
    /// The node.
    pub node: Atom,
    /// OTP's first number of a pid.
    pub id: u32,
    /// OTP's second number of a pid.
    pub serial: u32,
    /// Which of the runs of the node.
    pub creation: u32,
}

impl RemotePid {
    pub(crate) fn words(self) -> [Word; 3] {
        [self.node.word(), u64::from(self.serial) << 32 | u64::from(self.id), self.creation.into()]
    }

    /// The words must be of a remote pid.
    pub(crate) fn from_words([node, numbers, creation]: [Word; 3]) -> Self {
        debug_assert!(word::is_atom(node));
        let (id, serial) = (numbers as u32, (numbers >> 32) as u32);
        Self { node: Atom::from_word(node), id, serial, creation: creation as u32 }
    }
}

impl PartialOrd for RemotePid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RemotePid {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |pid: &Self| (pid.serial, pid.id, pid.node, pid.creation);
        key(self).cmp(&key(other))
    }
}

impl fmt::Debug for RemotePid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}.{}.{}>", self.node, self.id, self.serial)
    }
}

impl fmt::Display for RemotePid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
