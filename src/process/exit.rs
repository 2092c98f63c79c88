//! Why a process ended.

use crate::heap::{Heap, HeapError, Region, try_box, unwind};
use crate::term::word::Word;
use crate::term::{Atom, Term, TermRef};
use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a process ended. Like `anyhow::Error`, every error converts into it, so that `?` works in a turn; therefore it is
/// no error itself.
///
/// ```
/// use shared_term::{Exit, Region};
/// fn parse(s: &str) -> Result<i64, Exit> {
///     Ok(s.parse()?)
/// }
/// assert_eq!(parse("x").unwrap_err().to_string(), "invalid digit found in string");
/// assert!(Exit::NORMAL.is_normal());
/// ```
pub struct Exit(Kind);

pub(super) const NORMAL: Atom = Atom::inline("normal");
pub(super) const KILLED: Atom = Atom::inline("killed");
pub(super) const NOPROC: Atom = Atom::inline("noproc");

/// Two words, which go from function to function in registers: a turn ends with a reason, and so does what calls it. A larger
/// one would be copied from frame to frame in pieces of another size than it was written in, and each copy would wait for the
/// one before to leave the processor.
enum Kind {
    Normal,
    Shutdown,
    Killed,
    NoProc,
    /// So many words were asked for. Needs no memory to be told.
    OutOfMemory(usize),
    Term(Region),
    Other(Box<Other>),
}

/// What is larger.
enum Other {
    Error(Box<dyn std::error::Error + Send + Sync>),
    Message(String),
    Panic(Cow<'static, str>),
    /// [`HeapError::Limit`].
    Limit(HeapError),
}

const _: () = assert!(size_of::<Exit>() == 16 && size_of::<Option<Exit>>() == 16);

impl Exit {
    /// The process has done its work.
    ///
    /// ```
    /// # use shared_term::Exit;
    /// assert!(Exit::NORMAL.is_normal());
    /// assert_eq!(Exit::NORMAL.to_string(), "normal");
    /// ```
    pub const NORMAL: Self = Self(Kind::Normal);
    /// The process was told to end: its runtime is shutting down.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// let rt = Runtime::deterministic(1);
    /// let exited = rt.exited(rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?);
    /// drop(rt);
    /// assert_eq!(exited.try_wait().unwrap().to_string(), Exit::SHUTDOWN.to_string());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const SHUTDOWN: Self = Self(Kind::Shutdown);
    /// The process was killed.
    ///
    /// ```
    /// # use shared_term::Exit;
    /// assert_eq!(Exit::KILLED.to_region().root().to_string(), "killed");
    /// ```
    pub const KILLED: Self = Self(Kind::Killed);
    /// There was no such process to link to.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let gone = rt.port()?.pid(); // dropped at once
    /// let exited = rt.exited(rt.spawn_fn(move |cx| { cx.link(gone); cx.nil() }, |_, s, _| Ok(Next(s)))?);
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().to_string(), Exit::NOPROC.to_string());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const NOPROC: Self = Self(Kind::NoProc);

    /// A reason in words; the lack of memory, if there is none for them.
    ///
    /// ```
    /// # use shared_term::Exit;
    /// let exit = Exit::msg(format_args!("{} of {} shards failed", 2, 10));
    /// assert_eq!(exit.to_string(), "2 of 10 shards failed");
    /// ```
    pub fn msg(message: impl fmt::Display) -> Self {
        match text(message) {
            Ok(message) => Self::other(Other::Message(message)),
            Err(error) => Self::heap(error),
        }
    }

    /// Without memory for the reason, that is the reason.
    fn other(reason: Other) -> Self {
        match try_box(reason) {
            Ok(reason) => Self(Kind::Other(reason)),
            Err(error) => Self::heap(error),
        }
    }

    fn as_other(&self) -> Option<&Other> {
        match &self.0 {
            Kind::Other(other) => Some(other),
            _ => None,
        }
    }

    /// A reason that is a term. The atoms `normal`, `shutdown`, `killed` and `noproc` are the constants of this type.
    ///
    /// ```
    /// # use shared_term::{Atom, Exit, Region, term};
    /// let exit = Exit::term(Region::build(|h| term!(h, {:bad_arg, 7})));
    /// assert_eq!(exit.to_string(), "{bad_arg,7}");
    /// assert!(Exit::term(Region::build(|h| term!(h, :normal))).is_normal());
    /// ```
    #[must_use]
    pub fn term(reason: Region) -> Self {
        let named = reason.root().as_atom().and_then(|atom| {
            let named = [Self::NORMAL, Self::SHUTDOWN, Self::KILLED, Self::NOPROC];
            named.into_iter().find(|exit| exit.as_atom() == Some(atom))
        });
        named.unwrap_or(Self(Kind::Term(reason)))
    }

    /// A reason that is a term, built in place.
    ///
    /// ```
    /// use shared_term::{Exit, term};
    /// let exit = Exit::build(|h| term!(h, {:bad_arg, 7}));
    /// assert_eq!(exit.as_term().unwrap().to_string(), "{bad_arg,7}");
    /// ```
    #[must_use]
    pub fn build(f: impl for<'r> FnOnce(Heap<'r>) -> Term<'r>) -> Self {
        Self::term(Region::build(f))
    }

    /// The constants as atoms.
    fn as_atom(&self) -> Option<Atom> {
        match self.0 {
            Kind::Normal => Some(NORMAL),
            // Its name is too long to lie in the word, and the table of the others may be full.
            Kind::Shutdown => Some(Atom::new("shutdown").unwrap_or(Atom::ERROR)),
            Kind::Killed => Some(KILLED),
            Kind::NoProc => Some(NOPROC),
            _ => None,
        }
    }

    /// The reason as a term, as links and monitors have it: a term as it is; the constants as atoms; an error, or a
    /// reason in words, as `{error, Text}`; a panic as `{panic, Text}`; the limit of the heap as
    /// `{limit, Words, Limit}`.
    ///
    /// # Panics
    ///
    /// As [`Region::build`], and when the error panics as it is printed.
    ///
    /// ```
    /// use shared_term::Exit;
    /// assert_eq!(Exit::NORMAL.to_region().root().to_string(), "normal");
    /// assert_eq!(Exit::msg("late").to_region().root().to_string(), r#"{error,<<"late">>}"#);
    /// ```
    #[must_use]
    pub fn to_region(&self) -> Region {
        Region::build(|h| {
            let worded = |tag, text: &str| h.tuple(&[h.atom(tag), h.binary(text)]);
            match (&self.0, self.as_other()) {
                (Kind::Term(reason), _) => h.copy(reason.root()),
                (_, Some(Other::Panic(message))) => worded(Atom::inline("panic"), message),
                (_, Some(Other::Limit(HeapError::Limit { words, limit, .. }))) => {
                    h.tuple(&[h.atom(Atom::inline("limit")), h.int(*words as u64), h.int(*limit as u64)])
                }
                _ => match self.as_atom() {
                    Some(atom) => h.atom(atom),
                    None => worded(Atom::ERROR, &text(self).unwrap_or_else(|error| unwind(error))),
                },
            }
        })
    }

    /// The word of the reason as a term, for the time of the call.
    pub(super) fn with_word<R>(&self, f: impl FnOnce(Word) -> R) -> R {
        match (&self.0, self.as_atom()) {
            (Kind::Term(reason), _) => f(reason.root_word()),
            (_, Some(atom)) => f(atom.word()),
            _ => match caught(|| self.to_region()) {
                Ok(reason) => f(reason.root_word()),
                // Without memory for its reason, or with one that cannot be printed, a process has still ended.
                Err(_) => f(Atom::ERROR.word()),
            },
        }
    }

    /// Did the process end because it was done?
    ///
    /// ```
    /// # use shared_term::Exit;
    /// assert!(Exit::NORMAL.is_normal() && !Exit::SHUTDOWN.is_normal());
    /// ```
    pub fn is_normal(&self) -> bool {
        matches!(self.0, Kind::Normal)
    }

    /// The message of the panic that ended the process.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, _, n| panic!("cannot do {n}"))?;
    /// let exited = rt.exited(p);
    /// rt.send_new(p, |h| h.int(7))?;
    /// rt.run_until_idle();
    /// assert_eq!(exited.try_wait().unwrap().as_panic(), Some("cannot do 7"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_panic(&self) -> Option<&str> {
        match self.as_other()? {
            Other::Panic(message) => Some(message),
            _ => None,
        }
    }

    /// The limit, or the lack of memory, that ended the process.
    ///
    /// ```
    /// use shared_term::{HeapError, prelude::*, process::SpawnOptions};
    /// # let mut rt = Runtime::deterministic(1);
    /// let small = SpawnOptions::new().max_heap_words(100);
    /// let exited = rt.exited(rt.spawn_fn_with(small, |cx| cx.list(0..1000), |_, s, _| Ok(Next(s)))?);
    /// rt.run_until_idle();
    /// assert!(matches!(exited.try_wait().unwrap().as_heap_error(), Some(HeapError::Limit { limit: 100, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_heap_error(&self) -> Option<HeapError> {
        match (&self.0, self.as_other()) {
            (&Kind::OutOfMemory(words), _) => Some(HeapError::OutOfMemory { words }),
            (_, Some(&Other::Limit(error))) => Some(error),
            _ => None,
        }
    }

    /// The reason, if it is a term.
    ///
    /// ```
    /// # use shared_term::{Exit, term};
    /// assert_eq!(Exit::build(|h| term!(h, [1, 2])).as_term().unwrap().list().count(), 2);
    /// assert!(Exit::msg("in words").as_term().is_none());
    /// ```
    pub fn as_term(&self) -> Option<TermRef<'_>> {
        match &self.0 {
            Kind::Term(reason) => Some(reason.root()),
            _ => None,
        }
    }

    /// The error that ended the process, if it is an `E`.
    ///
    /// ```
    /// # use shared_term::{Exit, term::Mismatch};
    /// use std::num::ParseIntError;
    /// let exit = Exit::from("x".parse::<i64>().unwrap_err());
    /// assert!(exit.downcast_ref::<ParseIntError>().is_some());
    /// assert!(exit.downcast_ref::<Mismatch>().is_none());
    /// ```
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self.as_other()? {
            Other::Error(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// A limit that there is no memory to tell of is a lack of memory.
    pub(crate) fn heap(error: HeapError) -> Self {
        match error {
            HeapError::OutOfMemory { words } => Self(Kind::OutOfMemory(words)),
            limit @ HeapError::Limit { .. } => Self::other(Other::Limit(limit)),
        }
    }

    /// What a turn unwound with.
    fn unwound(payload: Box<dyn Any + Send>) -> Self {
        match crate::heap::heap_error(payload) {
            Ok(error) => Self::heap(error),
            Err(payload) => Self::other(Other::Panic(match payload.downcast::<String>() {
                Ok(message) => Cow::Owned(*message),
                Err(payload) => Cow::Borrowed(payload.downcast_ref().copied().unwrap_or("a panic without a message")),
            })),
        }
    }
}

/// What there is to say, in memory that may be refused.
///
/// # Panics
///
/// When `message` fails by itself, as `to_string` does.
fn text(message: impl fmt::Display) -> Result<String, HeapError> {
    struct Text(Result<String, HeapError>);

    impl fmt::Write for Text {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            let Ok(text) = &mut self.0 else { return Err(fmt::Error) };
            if text.try_reserve(s.len()).is_err() {
                self.0 = Err(HeapError::OutOfMemory { words: (text.len() + s.len()).div_ceil(size_of::<Word>()) });
                return Err(fmt::Error);
            }
            text.push_str(s);
            Ok(())
        }
    }

    let mut text = Text(Ok(String::new()));
    let written = fmt::Write::write_fmt(&mut text, format_args!("{message}"));
    assert!(written.is_ok() || text.0.is_err(), "a reason could not be written");
    text.0
}

/// Runs code of the user's that may unwind: a turn, or a destructor. What it unwinds with is why the process ends
/// (invariant 9).
#[inline]
pub(crate) fn caught<R>(f: impl FnOnce() -> R) -> Result<R, Exit> {
    catch_unwind(AssertUnwindSafe(f)).map_err(reason)
}

/// Why a process ends that unwinds with this.
#[cold]
#[inline(never)]
fn reason(payload: Box<dyn Any + Send>) -> Exit {
    // The payload is the user's too, and may unwind when it is dropped.
    catch_unwind(AssertUnwindSafe(|| Exit::unwound(payload))).unwrap_or_else(|second| {
        std::mem::forget(second);
        Exit::other(Other::Panic(Cow::Borrowed("a panic whose payload panics")))
    })
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Exit {
    fn from(error: E) -> Self {
        match try_box(error) {
            Ok(error) => Self::other(Other::Error(error)),
            Err(error) => Self::heap(error),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Normal => f.write_str("normal"),
            Kind::Shutdown => f.write_str("shutdown"),
            Kind::Killed => f.write_str("killed"),
            Kind::NoProc => f.write_str("noproc"),
            &Kind::OutOfMemory(words) => HeapError::OutOfMemory { words }.fmt(f),
            Kind::Term(reason) => reason.root().fmt(f),
            Kind::Other(other) => match &**other {
                Other::Error(error) => error.fmt(f),
                Other::Message(message) => f.write_str(message),
                Other::Panic(message) => write!(f, "panic: {message}"),
                Other::Limit(error) => error.fmt(f),
            },
        }
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exit({self})")
    }
}
