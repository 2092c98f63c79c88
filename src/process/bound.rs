//! Mailboxes that are not open to any number of messages.

use super::mailbox::Load;
use crate::heap::Region;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much may wait in a mailbox; for [`SpawnOptions::mailbox`](super::SpawnOptions::mailbox). Signals and events are
/// neither counted nor refused.
///
/// A message that would pass the limit is given back by `try_send`, and by the sends from outside, as
/// [`Unsent::Full`](super::Unsent::Full); [`Cx::send`](crate::Cx::send) drops it, as does a forward. While several threads
/// send at once, one can be refused though another's message that made it so is refused too.
///
/// ```
/// use shared_term::{prelude::*, process::{MailboxLimit, SpawnOptions, Unsent}};
/// let mut rt = Runtime::deterministic(1);
/// let a_kibibyte = SpawnOptions::new().mailbox(MailboxLimit::Bytes(1024));
/// let p = rt.spawn_fn_with(a_kibibyte, |cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
/// rt.run_until_idle();
/// rt.send_new(p, |h| h.list(0..1000))?; // nothing waits: it is let in
/// assert!(matches!(rt.send_new(p, |h| h.int(1)), Err(Unsent::Full(_))));
/// rt.run_until_idle();
/// rt.send_new(p, |h| h.int(1))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailboxLimit {
    /// Messages that were not received yet, deferred ones included.
    Messages(usize),
    /// Their bytes, as [`ProcessInfo`](super::ProcessInfo) counts them. One message is let in whatever its size when
    /// nothing waits.
    Bytes(usize),
}

/// What a mailbox with a limit has beside it. Figures only: nothing is ordered by them.
#[derive(Debug)]
pub(crate) struct Bound {
    limit: MailboxLimit,
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Bound {
    pub(crate) fn new(limit: MailboxLimit) -> Self {
        Self { limit, messages: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    /// Is there no room even for the smallest message? Before one is made.
    pub(crate) fn is_full(&self) -> bool {
        match self.limit {
            MailboxLimit::Messages(n) => self.messages.load(Ordering::Relaxed) >= n,
            MailboxLimit::Bytes(n) => self.bytes.load(Ordering::Relaxed) > n,
        }
    }

    /// Makes room for a message, or does not.
    pub(crate) fn admit(&self, message: &Region) -> bool {
        let bytes = Load::bytes_of(message);
        let messages = self.messages.fetch_add(1, Ordering::Relaxed);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = match self.limit {
            MailboxLimit::Messages(n) => messages < n,
            MailboxLimit::Bytes(n) => before == 0 || before + bytes <= n,
        };
        if !fits {
            self.leaves(bytes);
        }
        fits
    }

    /// A collection has built a message anew, which had so many bytes before, and so many now.
    pub(crate) fn resized(&self, before: usize, now: usize) {
        // In one addition, which wraps around where it is less.
        self.bytes.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// A message of so many bytes has been received, or was not let in.
    pub(crate) fn leaves(&self, bytes: usize) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
