//! What a term can be looked up by.

use super::compare::{compare_wide, rank};
use super::hash::{Few, few, hash_big, hash_bytes, hash_other, hash_tuple, hash_word};
use super::number::limbs;
use super::place::Place;
use super::view::{Kind, Term, TermRef};
use super::word;
use super::{Atom, Numbers, Pid, Reference, compare, hash};
use crate::heap::{Heap, ToTerm};
use std::cmp::Ordering;

mod sealed {
    use super::{Heap, Ordering, Term, TermRef};

    /// What most keys are, looked at once, so that neither hashing nor comparing looks again.
    #[derive(Debug, Clone, Copy)]
    pub enum Form {
        /// The word of a term that needs no heap.
        Immediate(u64),
        /// A tuple of two such words.
        Pair(u64, u64),
        /// A tuple of three.
        Triple(u64, u64, u64),
        Other,
    }

    /// What a [`Key`](super::Key) can do. Sealed, because the table takes its word for it: a made-up immediate would be a
    /// made-up pointer, and a hash that changes from call to call would let one entry be unlinked twice.
    pub trait Sealed: Copy {
        /// The structural hash of the term that this stands for.
        fn hash_key(self) -> u64;

        /// What this gives to the hash of a tuple that it is an element of.
        #[inline]
        fn hash_part(self) -> u64 {
            self.immediate().unwrap_or_else(|| self.hash_key())
        }

        /// Is the form of one key another than that of the next, so that what is dear belongs out of the way of the others?
        const VARIES: bool = false;

        /// What kind of key it is.
        #[inline(always)]
        fn form(self) -> Form {
            self.immediate().map_or(Form::Other, Form::Immediate)
        }

        /// As [`hash_key`](Self::hash_key), of a key whose form is [`Form::Other`].
        #[inline]
        fn hash_other(self) -> u64 {
            self.hash_key()
        }

        /// The object that the term is, if it has a header.
        #[inline]
        fn object(self) -> Option<*const u64> {
            None
        }

        /// How the term that this stands for compares with `other`, in the order of keys.
        fn cmp_term(self, other: TermRef<'_>) -> Ordering;

        /// Is `other` the term that this stands for?
        fn matches(self, other: TermRef<'_>) -> bool {
            self.cmp_term(other).is_eq()
        }

        /// The term itself, built in `heap`.
        fn build(self, heap: Heap<'_>) -> Term<'_>;

        /// The word of the term, when it needs no heap.
        fn immediate(self) -> Option<u64> {
            None
        }
    }
}
pub(crate) use sealed::Form;
use sealed::Sealed;

/// Something that stands for a term where a key is looked up, so that no term has to be built first: an atom, an
/// integer, a boolean, a pid, a reference, a `&str` or `&[u8]` (a binary), a tuple of up to four of these, or a term. Sealed.
///
/// Keys match exactly: `1` is not `1.0`.
///
/// ```
/// use shared_term::{Atom, Region, term, term::Key};
/// let table = Region::build(|h| term!(h, #{{:user, 7} => "ann", 1 => "one"}));
/// let find = |key: (Atom, i64)| table.root().lookup(key).and_then(|v| v.as_str());
/// assert_eq!((find((Atom::inline("user"), 7)), find((Atom::inline("user"), 8))), (Some("ann"), None));
/// fn has(table: shared_term::TermRef<'_>, key: impl Key) -> bool {
///     table.lookup(key).is_some()
/// }
/// assert!(has(table.root(), 1) && !has(table.root(), "one"));
/// ```
pub trait Key: Sealed {}

macro_rules! immediates {
    ($($t:ty => |$x:ident| $word:expr),* $(,)?) => {$(
        impl Key for $t {}
        impl Sealed for $t {
            #[inline]
            fn hash_key(self) -> u64 {
                let $x = self;
                hash_word($word)
            }

            fn cmp_term(self, other: TermRef<'_>) -> Ordering {
                let $x = self;
                // SAFETY: an immediate, and a term that is alive while this runs.
                unsafe { compare($word, other.word(), Numbers::Keys) }
            }

            #[inline]
            fn matches(self, other: TermRef<'_>) -> bool {
                let $x = self;
                $word == other.word()
            }

            fn build(self, heap: Heap<'_>) -> Term<'_> {
                self.to_term(heap)
            }

            #[inline]
            fn immediate(self) -> Option<u64> {
                let $x = self;
                Some($word)
            }
        }
    )*};
}

immediates! {
    Atom => |a| a.word(),
    bool => |b| Atom::from(b).word(),
    Pid => |p| p.word(),
    Reference => |r| r.word(),
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Key for $t {}
        impl Sealed for $t {
            #[inline]
            fn hash_key(self) -> u64 {
                i128::from(self).hash_key()
            }

            fn cmp_term(self, other: TermRef<'_>) -> Ordering {
                i128::from(self).cmp_term(other)
            }

            #[inline]
            fn matches(self, other: TermRef<'_>) -> bool {
                i128::from(self).matches(other)
            }

            fn build(self, heap: Heap<'_>) -> Term<'_> {
                self.to_term(heap)
            }

            #[inline]
            fn immediate(self) -> Option<u64> {
                i128::from(self).immediate()
            }
        }
    )*};
}

integers!(i32, i64, u32, u64);

impl Key for i128 {}
impl Sealed for i128 {
    #[inline]
    fn hash_key(self) -> u64 {
        if let Some(w) = self.immediate() {
            hash_word(w)
        } else {
            let (limbs, n) = limbs(self);
            hash_big(self.is_negative(), &limbs[..n])
        }
    }

    fn cmp_term(self, other: TermRef<'_>) -> Ordering {
        if let Some(w) = self.immediate() {
            // SAFETY: an immediate, and a term that is alive while this runs.
            return unsafe { compare(w, other.word(), Numbers::Keys) };
        }
        compare_wide(self, other)
    }

    #[inline]
    fn matches(self, other: TermRef<'_>) -> bool {
        match self.immediate() {
            Some(w) => w == other.word(),
            None => self.cmp_term(other).is_eq(),
        }
    }

    fn build(self, heap: Heap<'_>) -> Term<'_> {
        self.to_term(heap)
    }

    #[inline]
    fn immediate(self) -> Option<u64> {
        i64::try_from(self).ok().and_then(word::small)
    }
}

impl Key for &[u8] {}
impl Sealed for &[u8] {
    fn hash_key(self) -> u64 {
        hash_bytes(self)
    }

    #[inline]
    fn cmp_term(self, other: TermRef<'_>) -> Ordering {
        match other.as_bytes() {
            Some(bytes) => self.cmp(bytes),
            // A binary is the last of the kinds.
            None => Ordering::Greater,
        }
    }

    fn matches(self, other: TermRef<'_>) -> bool {
        other.as_bytes() == Some(self)
    }

    fn build(self, heap: Heap<'_>) -> Term<'_> {
        heap.binary(self)
    }

    /// The empty binary needs no heap: what it gives to the hash of a tuple is its word, as that of a term is.
    #[inline]
    fn immediate(self) -> Option<u64> {
        self.is_empty().then_some(word::EMPTY_BINARY)
    }
}

impl Key for &str {}
impl Sealed for &str {
    fn hash_key(self) -> u64 {
        self.as_bytes().hash_key()
    }

    #[inline]
    fn cmp_term(self, other: TermRef<'_>) -> Ordering {
        self.as_bytes().cmp_term(other)
    }

    fn matches(self, other: TermRef<'_>) -> bool {
        self.as_bytes().matches(other)
    }

    fn build(self, heap: Heap<'_>) -> Term<'_> {
        heap.binary(self)
    }

    #[inline]
    fn immediate(self) -> Option<u64> {
        self.as_bytes().immediate()
    }
}

impl<P: Place> Key for Term<'_, P> {}
impl<P: Place> Sealed for Term<'_, P> {
    const VARIES: bool = true;

    #[inline]
    fn hash_key(self) -> u64 {
        // SAFETY: the term is alive while this runs.
        unsafe { hash(self.word()) }
    }

    fn cmp_term(self, other: TermRef<'_>) -> Ordering {
        // SAFETY: both terms are alive while this runs.
        unsafe { compare(self.word(), other.word(), Numbers::Keys) }
    }

    #[inline(always)]
    fn form(self) -> Form {
        if word::is_immediate(self.word()) {
            return Form::Immediate(self.word());
        }
        // SAFETY: the term is alive while this runs, and a pointer.
        match unsafe { few(self.word()) } {
            Some(Few::Two(a, b)) => Form::Pair(a, b),
            Some(Few::Three(a, b, c)) => Form::Triple(a, b, c),
            None => Form::Other,
        }
    }

    #[inline]
    fn hash_other(self) -> u64 {
        // SAFETY: as above.
        unsafe { hash_other(self.word()) }
    }

    #[inline]
    fn object(self) -> Option<*const u64> {
        word::is_boxed(self.word()).then(|| word::address(self.word()).cast_const())
    }

    fn matches(self, other: TermRef<'_>) -> bool {
        self == other
    }

    fn build(self, heap: Heap<'_>) -> Term<'_> {
        heap.copy(self)
    }

    fn immediate(self) -> Option<u64> {
        word::is_immediate(self.word()).then(|| self.word())
    }
}

macro_rules! tuples {
    ($($n:literal: $($t:ident $x:ident),+;)*) => {$(
        impl<$($t: Key),+> Key for ($($t,)+) {}
        impl<$($t: Key),+> Sealed for ($($t,)+) {
            fn hash_key(self) -> u64 {
                let ($($x,)+) = self;
                hash_tuple([$($x.hash_part()),+].into_iter())
            }

            #[inline(always)]
            fn form(self) -> Form {
                let ($($x,)+) = self;
                match [$($x.immediate()),+][..] {
                    [Some(a), Some(b)] => Form::Pair(a, b),
                    [Some(a), Some(b), Some(c)] => Form::Triple(a, b, c),
                    _ => Form::Other,
                }
            }

            fn cmp_term(self, other: TermRef<'_>) -> Ordering {
                let ($($x,)+) = self;
                match other.tuple_of::<$n>() {
                    Some(elements) => {
                        let mut elements = elements.iter();
                        Ordering::Equal$(.then_with(|| $x.cmp_term(*elements.next().expect("counted"))))+
                    }
                    None => match other.as_tuple() {
                        Some(elements) => $n.cmp(&elements.len()),
                        None => cmp_tuple_with(other.kind()),
                    },
                }
            }

            fn matches(self, other: TermRef<'_>) -> bool {
                let ($($x,)+) = self;
                let Some(elements) = other.tuple_of::<$n>() else { return false };
                let mut elements = elements.iter();
                true $(&& $x.matches(*elements.next().expect("counted")))+
            }

            fn build(self, heap: Heap<'_>) -> Term<'_> {
                let ($($x,)+) = self;
                heap.tuple(&[$($x.build(heap)),+])
            }
        }
    )*};
}

tuples! {
    1: A a;
    2: A a, B b;
    3: A a, B b, C c;
    4: A a, B b, C c, D d;
}

/// How a tuple compares with a term of another kind.
fn cmp_tuple_with(other: Kind) -> Ordering {
    rank(Kind::Tuple).cmp(&rank(other))
}
