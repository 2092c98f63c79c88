//! What can be chosen for a process when it is spawned.

use super::bound::MailboxLimit;
use crate::Atom;
use crate::heap::CollectWhen;
use std::fmt;

/// What can differ from process to process; what is not set here is as the runtime's
/// [`Builder::spawn_defaults`](crate::runtime::Builder::spawn_defaults) say. For
/// [`Handle::spawn_with`](crate::runtime::Handle::spawn_with) and [`Cx::spawn_with`](crate::Cx::spawn_with).
///
/// | option | unless set | OTP |
/// |---|---|---|
/// | [`min_heap_words`](Self::min_heap_words) | 512 | `min_heap_size`, which is rounded up to a size of its list |
/// | [`mailbox`](Self::mailbox) | any number of messages | |
/// | [`name`](Self::name) | none | `register` afterwards |
/// | [`link`](Self::link) | no | `link` |
/// | [`max_heap_words`](Self::max_heap_words) | none | `max_heap_size`, which is looked at when the process collects |
/// | [`minors_before_major`](Self::minors_before_major) | 65,535 | `fullsweep_after`, of which 65,536 makes 0 |
/// | [`collect_when`](Self::collect_when) | [`CollectWhen::Pressure`] | |
/// | [`keep_parents`](Self::keep_parents) | no | always; `binary:copy` by hand |
///
/// ```
/// use shared_term::{prelude::*, process::SpawnOptions};
/// let mut rt = Runtime::deterministic(1);
/// let small = SpawnOptions::new().max_heap_words(100);
/// let p = rt.spawn_fn_with(small, |cx| cx.nil(), |cx, _, _| Ok(Next(cx.list(0..1000))))?;
/// let exited = rt.exited(p);
/// rt.send_new(p, |h| h.nil())?;
/// rt.run_until_idle();
/// assert!(exited.try_wait().unwrap().as_heap_error().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct SpawnOptions {
    min_heap_words: Option<usize>,
    max_heap_words: Option<usize>,
    minors_before_major: Option<u32>,
    collect_when: Option<CollectWhen>,
    keep_parents: Option<bool>,
    mailbox: Option<MailboxLimit>,
    name: Option<Atom>,
    link: bool,
}

/// Options that cannot be had.
///
/// ```
/// use shared_term::{prelude::*, process::{OptionError, SpawnError, SpawnOptions}};
/// let rt = Runtime::deterministic(1);
/// let spawn = |options| rt.spawn_fn_with(options, |cx| cx.nil(), |_, s, _| Ok(Next(s)));
/// let contradictory = SpawnOptions::new().min_heap_words(1000).max_heap_words(100);
/// assert_eq!(spawn(contradictory), Err(SpawnError::Options(OptionError::MaxBelowMin { max: 100, min: 1000 })));
/// assert_eq!(spawn(SpawnOptions::new().link()), Err(SpawnError::Options(OptionError::LinkFromOutside)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionError {
    /// More than [`SpawnOptions::MAX_MIN_HEAP_WORDS`].
    MinHeapWords {
        /// Words that were asked for.
        asked: usize,
    },
    /// A heap that is not collected below a size that it must not reach.
    MaxBelowMin {
        /// Words that the heap may have.
        max: usize,
        /// Words below which it is not collected.
        min: usize,
    },
    /// Only a process can be linked to what it spawns.
    LinkFromOutside,
    /// A name or a link belongs to one process, and is no default.
    NoDefault,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinHeapWords { asked } => {
                write!(f, "min_heap_words is at most {}, not {asked}", SpawnOptions::MAX_MIN_HEAP_WORDS)
            }
            Self::MaxBelowMin { max, min } => {
                write!(f, "a heap of at most {max} words would not be collected below {min}")
            }
            Self::LinkFromOutside => f.write_str("only a process can be linked to what it spawns"),
            Self::NoDefault => f.write_str("a name or a link is no default"),
        }
    }
}

impl std::error::Error for OptionError {}

/// Options, each of which has a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) min_heap_words: u32,
    pub(crate) limit: usize,
    pub(crate) minors_before_major: u32,
    pub(crate) collect_when: CollectWhen,
    pub(crate) keep_parents: bool,
    pub(crate) mailbox: Option<MailboxLimit>,
}

impl Settings {
    pub(crate) const DEFAULT: Self = Self {
        min_heap_words: 512,
        limit: usize::MAX,
        minors_before_major: 65_535,
        collect_when: CollectWhen::Pressure,
        keep_parents: false,
        mailbox: None,
    };
}

impl SpawnOptions {
    /// The most that [`min_heap_words`](Self::min_heap_words) can be: 32 GiB.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// let rt = Runtime::deterministic(1);
    /// let spawn = |words| {
    ///     rt.spawn_fn_with(SpawnOptions::new().min_heap_words(words), |cx| cx.nil(), |_, s, _| Ok(Next(s)))
    /// };
    /// assert!(spawn(SpawnOptions::MAX_MIN_HEAP_WORDS).is_ok(), "no memory is taken for them");
    /// assert!(spawn(SpawnOptions::MAX_MIN_HEAP_WORDS + 1).is_err());
    /// ```
    pub const MAX_MIN_HEAP_WORDS: usize = u32::MAX as usize;

    /// Nothing set.
    ///
    /// ```
    /// use shared_term::process::SpawnOptions;
    /// const SMALL: SpawnOptions = SpawnOptions::new().max_heap_words(10_000);
    /// assert_ne!(SMALL, SpawnOptions::new());
    /// ```
    pub const fn new() -> Self {
        Self {
            min_heap_words: None,
            max_heap_words: None,
            minors_before_major: None,
            collect_when: None,
            keep_parents: None,
            mailbox: None,
            name: None,
            link: false,
        }
    }

    /// Words below which the heap is not collected. No memory is taken for them ahead of time.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// let mut rt = Runtime::deterministic(1);
    /// let mut collections = |options| {
    ///     let p = rt.spawn_fn_with(options, |cx| cx.nil(), |cx, _, n| Ok(Next(cx.list([n]))))?;
    ///     for i in 0..1000 {
    ///         rt.send_new(p, |h| h.int(i))?;
    ///     }
    ///     rt.run_until_idle();
    ///     let heap = rt.info(p).unwrap().details.unwrap().heap;
    ///     Ok::<_, Box<dyn std::error::Error>>(heap.minor_collections + heap.major_collections)
    /// };
    /// assert!(collections(SpawnOptions::new())? > 0);
    /// assert_eq!(collections(SpawnOptions::new().min_heap_words(1 << 20))?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn min_heap_words(mut self, words: usize) -> Self {
        self.min_heap_words = Some(words);
        self
    }

    /// Words that the heap may have, garbage and adopted messages included: the process ends at the allocation that would
    /// pass it, with [`HeapError::Limit`](crate::HeapError::Limit) for its reason.
    ///
    /// ```
    /// use shared_term::{HeapError, prelude::*, process::SpawnOptions};
    /// let mut rt = Runtime::deterministic(1);
    /// let small = SpawnOptions::new().max_heap_words(100);
    /// let p = rt.spawn_fn_with(small, |cx| cx.nil(), |cx, s, message| Ok(Next(cx.cons(message, s))))?;
    /// let exited = rt.exited(p);
    /// rt.send_new(p, |h| h.list(0..1000))?; // read where it lies; kept, it is part of the heap
    /// rt.run_until_idle();
    /// assert!(matches!(exited.try_wait().unwrap().as_heap_error(), Some(HeapError::Limit { limit: 100, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn max_heap_words(mut self, words: usize) -> Self {
        self.max_heap_words = Some(words);
        self
    }

    /// Minor collections between two major ones, unless the old generation asks for one earlier; with 0 every collection
    /// is a major one. Every value means what it says.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// let mut rt = Runtime::deterministic(1);
    /// let always_major = SpawnOptions::new().minors_before_major(0);
    /// let p = rt.spawn_fn_with(always_major, |cx| cx.nil(), |cx, _, _| Ok(Next(cx.list(0..1000))))?;
    /// rt.send_new(p, |h| h.nil())?;
    /// rt.run_until_idle();
    /// let heap = rt.info(p).unwrap().details.unwrap().heap;
    /// assert_eq!((heap.minor_collections, heap.major_collections), (0, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn minors_before_major(mut self, n: u32) -> Self {
        self.minors_before_major = Some(n);
        self
    }

    /// When the process collects.
    ///
    /// ```
    /// use shared_term::{heap::CollectWhen, prelude::*, process::SpawnOptions};
    /// let mut rt = Runtime::deterministic(1);
    /// let tidy = SpawnOptions::new().collect_when(CollectWhen::Idle);
    /// let p = rt.spawn_fn_with(tidy, |cx| cx.nil(), |cx, _, n| Ok(Next(cx.list([n]))))?;
    /// for i in 0..10 {
    ///     rt.send_new(p, |h| h.int(i))?;
    ///     rt.run_until_idle();
    /// }
    /// let heap = rt.info(p).unwrap().details.unwrap().heap;
    /// assert_eq!(heap.young_words, 2, "one cell, and no garbage beside it");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn collect_when(mut self, when: CollectWhen) -> Self {
        self.collect_when = Some(when);
        self
    }

    /// Shall slices of binaries be left as they are, however much they keep alive? By default a major collection copies
    /// those out of which little is left; see [`Heap::slice`](crate::heap::Heap::slice). For a process whose slices are
    /// short-lived, or handed on, and whose parents others hold anyway: a copy would free nothing there.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// let mut rt = Runtime::deterministic(1);
    /// let mut kept = |keep| {
    ///     let options = SpawnOptions::new().keep_parents(keep).minors_before_major(0).min_heap_words(1);
    ///     let p = rt.spawn_fn_with(options, |cx| cx.nil(), |cx, _, file| {
    ///         cx.hibernate(); // a major collection
    ///         Ok(Next(cx.slice(file, 0..100).unwrap()))
    ///     })?;
    ///     rt.send_new(p, |h| h.binary(vec![0; 100_000]))?;
    ///     rt.run_until_idle();
    ///     Ok::<_, Box<dyn std::error::Error>>(rt.info(p).unwrap().details.unwrap().heap.off_heap_bytes)
    /// };
    /// assert_eq!((kept(false)?, kept(true)?), (100, 100_000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn keep_parents(mut self, keep: bool) -> Self {
        self.keep_parents = Some(keep);
        self
    }

    /// How much may wait in the mailbox.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{MailboxLimit, SpawnOptions, Unsent}};
    /// let mut rt = Runtime::deterministic(1);
    /// let two = SpawnOptions::new().mailbox(MailboxLimit::Messages(2));
    /// let p = rt.spawn_fn_with(two, |cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// rt.send_new(p, |h| h.int(1))?;
    /// rt.send_new(p, |h| h.int(2))?;
    /// let three = Region::build(|h| h.int(3));
    /// let Err(Unsent::Full(Some(three))) = rt.send(p, three) else { panic!() };
    /// rt.run_until_idle();
    /// rt.send(p, three)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn mailbox(mut self, limit: MailboxLimit) -> Self {
        self.mailbox = Some(limit);
        self
    }

    /// A [registered name](crate::Cx::register), from before the first turn on.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::{SpawnError, SpawnOptions}};
    /// let mut rt = Runtime::deterministic(1);
    /// const LOG: Atom = Atom::inline("log");
    /// let spawn = || rt.spawn_fn_with(SpawnOptions::new().name(LOG), |cx| cx.nil(), |_, s, _| Ok(Next(s)));
    /// let log = spawn()?;
    /// assert_eq!(rt.whereis(LOG), Some(log), "before it has run");
    /// assert_eq!(spawn(), Err(SpawnError::NameTaken(log)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn name(mut self, name: Atom) -> Self {
        self.name = Some(name);
        self
    }

    /// A [link](crate::Cx::link) to the process that spawns this one, from before the first turn on.
    ///
    /// ```
    /// use shared_term::{prelude::*, process::SpawnOptions};
    /// let mut rt = Runtime::deterministic(1);
    /// let parent = rt.spawn_fn(
    ///     |cx| {
    ///         let linked = SpawnOptions::new().link();
    ///         let child = cx.spawn_fn_with(linked, |cx| cx.nil(), |_, s, _| Ok(Next(s))).unwrap();
    ///         cx.exit(child, term!(cx, :bad));
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// let exited = rt.exited(parent);
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), "bad");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn link(mut self) -> Self {
        self.link = true;
        self
    }

    pub(crate) const fn its_name(self) -> Option<Atom> {
        self.name
    }

    pub(crate) const fn is_linked(self) -> bool {
        self.link
    }

    /// Every option with a value: what is not set is that of `defaults`.
    #[inline]
    pub(crate) fn over(self, defaults: &Settings) -> Result<Settings, OptionError> {
        let limit = self.max_heap_words.unwrap_or(defaults.limit);
        let min_heap_words = match self.min_heap_words {
            // A default gives way to a limit that was asked for.
            None => defaults.min_heap_words.min(u32::try_from(limit).unwrap_or(u32::MAX)),
            Some(asked) => u32::try_from(asked).map_err(|_| OptionError::MinHeapWords { asked })?,
        };
        if min_heap_words as usize > limit {
            return Err(OptionError::MaxBelowMin { max: limit, min: min_heap_words as usize });
        }
        Ok(Settings {
            min_heap_words,
            limit,
            minors_before_major: self.minors_before_major.unwrap_or(defaults.minors_before_major),
            collect_when: self.collect_when.unwrap_or(defaults.collect_when),
            keep_parents: self.keep_parents.unwrap_or(defaults.keep_parents),
            mailbox: self.mailbox.or(defaults.mailbox),
        })
    }
}
