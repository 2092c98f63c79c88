//! Atoms: names compared by one word.

use super::word::{self, Word};
use std::collections::{HashMap, TryReserveError};
use std::fmt;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

/// A name that is compared as one word.
///
/// A name of up to 7 bytes lies in the word itself: such atoms are `const`, need no table, and are patterns:
///
/// ```
/// use shared_term::Atom;
///
/// const PING: Atom = Atom::inline("ping");
/// fn is_ping(a: Atom) -> bool {
///     matches!(a, PING)
/// }
/// assert!(is_ping(Atom::new("ping").unwrap()));
/// ```
///
/// Longer names are interned in a table of the whole program and never freed, as in OTP; the table is bounded
/// ([`Atom::LIMIT`]), and so is a name ([`Atom::MAX_BYTES`]). For bytes from outside use [`Atom::existing`].
///
/// The order of atoms is the order of their names.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Atom(Word);

/// An atom could not be made.
///
/// ```
/// # use shared_term::{Atom, term::AtomError};
/// let long = "x".repeat(2000);
/// assert_eq!(Atom::new(&long), Err(AtomError::TooLong { bytes: 2000 }));
/// assert_eq!(Atom::new(&long).unwrap_err().to_string(), "an atom has at most 1020 bytes, not 2000");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AtomError {
    /// The table holds [`Atom::LIMIT`] names.
    TableFull,
    /// The name is longer than [`Atom::MAX_BYTES`].
    TooLong {
        /// Length of the refused name.
        bytes: usize,
    },
    /// There was no memory.
    OutOfMemory,
}

impl fmt::Display for AtomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableFull => write!(f, "the atom table is full ({} names)", Atom::LIMIT),
            Self::OutOfMemory => f.write_str("no memory for an atom"),
            Self::TooLong { bytes } => write!(f, "an atom has at most {} bytes, not {bytes}", Atom::MAX_BYTES),
        }
    }
}

impl std::error::Error for AtomError {}

const PAGE: usize = 1024;

/// Names by index. Pages are filled in order under `INDEX`'s lock and read without one.
static NAMES: [OnceLock<Box<[OnceLock<&'static str>]>>; Atom::LIMIT / PAGE] =
    [const { OnceLock::new() }; Atom::LIMIT / PAGE];
static INDEX: LazyLock<Mutex<HashMap<&'static str, u32>>> = LazyLock::new(Mutex::default);

impl Atom {
    /// `ok`
    ///
    /// ```
    /// # use shared_term::{Region, Atom, term};
    /// let r = Region::build(|h| term!(h, {:ok, 1}));
    /// assert!(matches!(r.root().tagged(), Some((Atom::OK, [_]))));
    /// ```
    pub const OK: Self = Self::inline("ok");
    /// `error`
    ///
    /// ```
    /// # use shared_term::{Region, Atom, term};
    /// let r = Region::build(|h| term!(h, {:error, :enoent}));
    /// assert!(matches!(r.root().tagged(), Some((Atom::ERROR, [_]))));
    /// ```
    pub const ERROR: Self = Self::inline("error");
    /// `true`
    ///
    /// ```
    /// # use shared_term::{Atom, Region};
    /// assert_eq!(Region::build(|h| h.atom(Atom::TRUE)).root().as_bool(), Some(true));
    /// ```
    pub const TRUE: Self = Self::inline("true");
    /// `false`
    ///
    /// ```
    /// # use shared_term::Atom;
    /// assert_eq!(Atom::from(1 > 2), Atom::FALSE);
    /// ```
    pub const FALSE: Self = Self::inline("false");

    /// How many names the table holds at most (OTP's default).
    ///
    /// ```
    /// # use shared_term::Atom;
    /// assert_eq!(Atom::LIMIT, 1_048_576);
    /// ```
    pub const LIMIT: usize = 1 << 20;
    /// The longest name, in bytes of UTF-8 (OTP: 255 characters).
    ///
    /// ```
    /// # use shared_term::Atom;
    /// assert!(Atom::new(&"ü".repeat(Atom::MAX_BYTES / 2)).is_ok());
    /// assert!(Atom::new(&"ü".repeat(Atom::MAX_BYTES / 2 + 1)).is_err());
    /// ```
    pub const MAX_BYTES: usize = 1020;

    /// The atom of a name of up to 7 bytes, in a `const`.
    ///
    /// # Panics
    ///
    /// When the name is longer; in a `const`, that is a compile error.
    ///
    /// ```
    /// # use shared_term::Atom;
    /// const GET: Atom = Atom::inline("get");
    /// assert_eq!(GET.name().as_ref(), "get");
    /// ```
    #[must_use]
    pub const fn inline(name: &str) -> Self {
        match Self::try_inline(name) {
            Some(atom) => atom,
            None => panic!("an inline atom has at most 7 bytes"),
        }
    }

    /// The atom of a name of up to 7 bytes, or `None`.
    ///
    /// ```
    /// # use shared_term::Atom;
    /// assert!(Atom::try_inline("request").is_some());
    /// assert!(Atom::try_inline("response").is_none());
    /// ```
    #[must_use]
    pub const fn try_inline(name: &str) -> Option<Self> {
        match word::inline_atom(name) {
            Some(w) => Some(Self(w)),
            None => None,
        }
    }

    /// The atom of a name; interns it when it is longer than 7 bytes. Takes a lock then. OTP: `binary_to_atom/1`.
    ///
    /// # Errors
    ///
    /// When the name is too long, the table is full, or there is no memory. Nothing is ever removed from the table.
    ///
    /// ```
    /// # use shared_term::Atom;
    /// let a = Atom::new("persistent_term").unwrap();
    /// assert_eq!(a, Atom::new("persistent_term").unwrap());
    /// assert!(Atom::new(&"x".repeat(2000)).is_err());
    /// ```
    pub fn new(name: &str) -> Result<Self, AtomError> {
        if let Some(atom) = Self::try_inline(name) {
            return Ok(atom);
        }
        if name.len() > Self::MAX_BYTES {
            return Err(AtomError::TooLong { bytes: name.len() });
        }
        let mut index = INDEX.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&i) = index.get(name) {
            return Ok(Self(word::interned_atom(i)));
        }
        let i = index.len();
        if i == Self::LIMIT {
            return Err(AtomError::TableFull);
        }
        Self::intern(&mut index, name, i).map_err(|_| AtomError::OutOfMemory)?;
        Ok(Self(word::interned_atom(i as u32)))
    }

    /// Enters a name that is not there, if there is memory for all of it.
    fn intern(index: &mut HashMap<&'static str, u32>, name: &str, i: usize) -> Result<(), TryReserveError> {
        index.try_reserve(1)?;
        let page = &NAMES[i / PAGE];
        if page.get().is_none() {
            let mut names = Vec::new();
            names.try_reserve_exact(PAGE)?;
            names.resize_with(PAGE, OnceLock::new);
            page.get_or_init(|| names.into_boxed_slice());
        }
        let mut owned = String::new();
        owned.try_reserve_exact(name.len())?;
        owned.push_str(name);
        let name: &'static str = owned.leak();
        page.get().expect("made above")[i % PAGE].get_or_init(|| name);
        index.insert(name, i as u32);
        Ok(())
    }

    /// The atom of a name if it exists already: for bytes from outside, which must not fill the table. Takes a lock
    /// where the name is longer than 7 bytes. OTP: `binary_to_existing_atom/1`.
    ///
    /// ```
    /// # use shared_term::Atom;
    /// assert_eq!(Atom::existing("never seen before"), None);
    /// assert_eq!(Atom::existing("ok"), Some(Atom::OK));
    /// ```
    #[must_use]
    pub fn existing(name: &str) -> Option<Self> {
        Self::try_inline(name).or_else(|| {
            let index = INDEX.lock().unwrap_or_else(PoisonError::into_inner);
            index.get(name).map(|&i| Self(word::interned_atom(i)))
        })
    }

    /// The name. Takes no lock and copies at most 7 bytes.
    ///
    /// ```
    /// # use shared_term::Atom;
    /// assert_eq!(Atom::OK.name().as_ref(), "ok");
    /// ```
    #[must_use]
    #[allow(clippy::missing_panics_doc, reason = "an index is handed out after its name")]
    pub fn name(self) -> AtomName {
        match word::atom_index(self.0) {
            None => AtomName(Name::Inline(self.0)),
            Some(i) => {
                let page = NAMES[i as usize / PAGE].get().expect("an index is handed out after its page");
                AtomName(Name::Interned(page[i as usize % PAGE].get().expect("an index is handed out after its name")))
            }
        }
    }

    pub(crate) const fn word(self) -> Word {
        self.0
    }

    /// `w` must be the word of an atom.
    pub(crate) const fn from_word(w: Word) -> Self {
        debug_assert!(word::is_atom(w));
        Self(w)
    }
}

impl From<bool> for Atom {
    fn from(b: bool) -> Self {
        if b { Self::TRUE } else { Self::FALSE }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        if self.0 == other.0 { std::cmp::Ordering::Equal } else { self.name().cmp(&other.name()) }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}", &*self.name())
    }
}

#[derive(Clone, Copy)]
enum Name {
    Inline(Word),
    Interned(&'static str),
}

/// The name of an [`Atom`]; dereferences to `str`.
///
/// ```
/// # use shared_term::Atom;
/// let name = Atom::new("connection_closed").unwrap().name();
/// assert!(name.starts_with("connection_"));
/// assert_eq!(name.split('_').count(), 2);
/// ```
#[derive(Clone, Copy)]
pub struct AtomName(Name);

impl std::ops::Deref for AtomName {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Name::Interned(name) => name,
            Name::Inline(w) => {
                let length = word::inline_atom_bytes(*w).0;
                // SAFETY: the bytes of the name lie from the second byte of a little-endian word on (of its 8 bytes,
                // at most 7 follow the first), and `inline_atom` took them from a `str`.
                unsafe {
                    let first = std::ptr::from_ref(w).cast::<u8>().add(1);
                    std::str::from_utf8_unchecked(std::slice::from_raw_parts(first, length))
                }
            }
        }
    }
}

const _: () = assert!(cfg!(target_endian = "little"), "the names of inline atoms are read in place");

impl AsRef<str> for AtomName {
    fn as_ref(&self) -> &str {
        self
    }
}

impl fmt::Debug for AtomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for AtomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// An atom; at compile time for names of up to 7 bytes, else interned once per call site.
///
/// ```
/// use shared_term::{Atom, atom};
/// assert_eq!(atom!("ok"), Atom::OK);
/// assert_eq!(atom!("connection_closed"), Atom::new("connection_closed").unwrap());
/// ```
///
/// # Panics
///
/// Where [`Atom::new`](crate::Atom::new) is an error: when the name is too long, the table is full, or there is no
/// memory.
#[macro_export]
macro_rules! atom {
    ($name:expr) => {{
        const SHORT: ::core::option::Option<$crate::Atom> = $crate::Atom::try_inline($name);
        match SHORT {
            ::core::option::Option::Some(atom) => atom,
            ::core::option::Option::None => {
                static LONG: ::std::sync::OnceLock<$crate::Atom> = ::std::sync::OnceLock::new();
                *LONG.get_or_init(|| $crate::Atom::new($name).expect("the atom table has room"))
            }
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for name in ["", "a", "seven77", "eight888", "größe", "ein längerer Name"] {
            assert_eq!(&*Atom::new(name).unwrap().name(), name);
        }
    }

    #[test]
    fn one_name_is_one_word() {
        assert_eq!(Atom::new("a_long_name").unwrap(), Atom::new("a_long_name").unwrap());
        assert_ne!(Atom::new("a_long_name").unwrap(), Atom::new("a_long_nama").unwrap());
        assert_ne!(Atom::new("").unwrap(), Atom::new("\0").unwrap());
    }

    #[test]
    fn the_order_is_that_of_the_names() {
        let mut names = ["b", "a_long_name_of_its_own", "a", "zzzzzzzzz", "aa", ""];
        let mut atoms: Vec<Atom> = names.iter().map(|n| Atom::new(n).unwrap()).collect();
        names.sort_unstable();
        atoms.sort_unstable();
        assert_eq!(atoms.iter().map(|a| a.name().to_string()).collect::<Vec<_>>(), names);
    }
}
