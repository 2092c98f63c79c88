//! Why a process ended.

use crate::heap::{Heap, HeapError, Region};
use crate::term::{Term, TermRef};
use std::any::Any;
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

enum Kind {
    Normal,
    Shutdown,
    Killed,
    Error(Box<dyn std::error::Error + Send + Sync>),
    Message(String),
    Panic(String),
    Heap(HeapError),
    Term(Region),
}

impl Exit {
    /// The process has done its work.
    pub const NORMAL: Self = Self(Kind::Normal);
    /// The process was told to end: its runtime is shutting down.
    pub const SHUTDOWN: Self = Self(Kind::Shutdown);
    /// The process was killed.
    pub const KILLED: Self = Self(Kind::Killed);

    /// A reason in words.
    pub fn msg(message: impl fmt::Display) -> Self {
        Self(Kind::Message(message.to_string()))
    }

    /// A reason that is a term.
    #[must_use]
    pub fn term(reason: Region) -> Self {
        Self(Kind::Term(reason))
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

    /// Did the process end because it was done?
    pub fn is_normal(&self) -> bool {
        matches!(self.0, Kind::Normal)
    }

    /// The message of the panic that ended the process.
    pub fn as_panic(&self) -> Option<&str> {
        match &self.0 {
            Kind::Panic(message) => Some(message),
            _ => None,
        }
    }

    /// The limit, or the lack of memory, that ended the process.
    pub fn as_heap_error(&self) -> Option<HeapError> {
        match self.0 {
            Kind::Heap(error) => Some(error),
            _ => None,
        }
    }

    /// The reason, if it is a term.
    pub fn as_term(&self) -> Option<TermRef<'_>> {
        match &self.0 {
            Kind::Term(reason) => Some(reason.root()),
            _ => None,
        }
    }

    /// The error that ended the process, if it is an `E`.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match &self.0 {
            Kind::Error(error) => error.downcast_ref(),
            _ => None,
        }
    }

    pub(crate) fn heap(error: HeapError) -> Self {
        Self(Kind::Heap(error))
    }

    /// What a turn unwound with.
    fn unwound(payload: Box<dyn Any + Send>) -> Self {
        match crate::heap::heap_error(payload) {
            Ok(error) => Self(Kind::Heap(error)),
            Err(payload) => {
                let message = payload
                    .downcast_ref::<&str>()
                    .map(ToString::to_string)
                    .or_else(|| payload.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| String::from("a panic without a message"));
                Self(Kind::Panic(message))
            }
        }
    }
}

/// Runs code of the user's that may unwind: a turn, or a destructor. What it unwinds with is why the process ends
/// (invariant 9).
pub(crate) fn caught<R>(f: impl FnOnce() -> R) -> Result<R, Exit> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        // The payload is the user's too, and may unwind when it is dropped.
        catch_unwind(AssertUnwindSafe(|| Exit::unwound(payload))).unwrap_or_else(|second| {
            std::mem::forget(second);
            Exit(Kind::Panic(String::from("a panic whose payload panics")))
        })
    })
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Exit {
    fn from(error: E) -> Self {
        Self(Kind::Error(Box::new(error)))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Normal => f.write_str("normal"),
            Kind::Shutdown => f.write_str("shutdown"),
            Kind::Killed => f.write_str("killed"),
            Kind::Error(error) => error.fmt(f),
            Kind::Message(message) => f.write_str(message),
            Kind::Panic(message) => write!(f, "panic: {message}"),
            Kind::Heap(error) => error.fmt(f),
            Kind::Term(reason) => reason.root().fmt(f),
        }
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exit({self})")
    }
}
