//! [`Term`] and how it is read.

use super::word::{self, Object, Word};
use super::{
    Atom, BigInt, FromTerm, InHeap, Key, List, Map, Mismatch, Numbers, Outside, Pid, Place, Reference, RemotePid,
    Resource, compare, equal, equal_value, hash,
};
use bytes::Bytes;
use std::any::Any;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::num::NonZeroU64;

/// An immutable value: one tagged word.
///
/// With [`InHeap`], `'h` is the *brand* of a heap: it is invariant, it is made up anew for each turn or builder closure,
/// and a term of it can neither leave the closure nor meet a term of another heap.
///
/// ```compile_fail
/// # use shared_term::{Region, heap::Heap, Term};
/// let mut out = None;
/// Region::build(|h| {
///     let t = h.nil();
///     out = Some(t); // a term cannot leave the closure that its heap belongs to
///     t
/// });
/// ```
///
/// With [`Outside`] (see [`TermRef`]) `'h` is an ordinary borrow of what keeps the words alive.
///
/// ```
/// use shared_term::{Region, Term, term};
/// use std::collections::{BTreeSet, HashSet};
///
/// /// What occurs more than once.
/// fn repeated<'h>(list: Term<'h>) -> BTreeSet<Term<'h>> {
///     let mut seen = HashSet::new(); // `Copy`, `Eq`, `Hash`, `Ord`: terms go where integers go
///     list.list().filter(|t| !seen.insert(*t)).collect()
/// }
///
/// let r = Region::build(|h| {
///     let list = term!(h, [{1, "a"}, :b, {1, "a"}, 1, 1.0, :b]);
///     h.list(repeated(list))
/// });
/// assert_eq!(r.root().to_string(), r#"[b,{1,<<"a">>}]"#);
/// ```
#[repr(transparent)]
pub struct Term<'h, P: Place = InHeap> {
    word: NonZeroU64,
    #[allow(clippy::type_complexity, reason = "invariant in the brand, not `Send`, and of a place")]
    brand: PhantomData<(fn(&'h ()) -> &'h (), *mut (), P)>,
}

/// A term lent by a [`Region`](crate::Region), a literal or a guard: readable, `Send + Sync`, accepted by no constructor.
///
/// ```
/// use shared_term::{Region, TermRef, term};
/// fn depth(t: TermRef<'_>) -> usize {
///     t.as_tuple().map_or(0, |elements| 1 + elements.iter().map(|e| depth(*e)).max().unwrap_or(0))
/// }
/// let r = Region::build(|h| term!(h, {1, {2, {3}}}));
/// let lent: TermRef<'_> = r.root();
/// std::thread::scope(|scope| scope.spawn(|| assert_eq!(depth(lent), 3)).join().unwrap());
/// ```
pub type TermRef<'a> = Term<'a, Outside>;

// SAFETY: invariants 1 and 2. The words are immutable and the borrow `'a` keeps them alive; whoever lends a `TermRef` is
// `Sync` or not `Send` itself, and the objects reachable from a term are `Send + Sync` (`Bytes`, `Arc<dyn Send + Sync>`).
unsafe impl Send for Term<'_, Outside> {}
// SAFETY: as above; nothing is ever written through a term.
unsafe impl Sync for Term<'_, Outside> {}

impl<P: Place> Clone for Term<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P: Place> Copy for Term<'_, P> {}

/// What a [`Term`] is, for `match`.
///
/// ```
/// use shared_term::{Region, term, term::View};
/// let r = Region::build(|h| term!(h, {1, 2}));
/// match r.root().view() {
///     View::Tuple([a, b]) => assert!(a < b),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum View<'h, P: Place = InHeap> {
    /// An integer that fits an `i64`.
    Int(i64),
    /// An integer that does not.
    BigInt(BigInt<'h>),
    /// A finite float.
    Float(f64),
    /// An atom.
    Atom(Atom),
    /// The pid of a process of this domain.
    Pid(Pid),
    /// The pid of a process elsewhere.
    RemotePid(RemotePid),
    /// A reference.
    Reference(Reference),
    /// A tuple; a slice, so slice patterns match it.
    Tuple(&'h [Term<'h, P>]),
    /// The empty list.
    Nil,
    /// Head and tail of a list cell.
    Cons(Term<'h, P>, Term<'h, P>),
    /// A map.
    Map(Map<'h, P>),
    /// A binary.
    Binary(&'h [u8]),
    /// An `Arc` of a Rust value.
    Resource(Resource<'h>),
}

/// The kind of a [`Term`], without its contents.
///
/// ```
/// # use shared_term::{Region, term, term::Kind};
/// let r = Region::build(|h| term!(h, [1, 1.5, :a, {}, [], [1], #{}, "b"]));
/// let kinds: Vec<_> = r.root().list().map(|t| t.kind()).collect();
/// use Kind::*;
/// assert_eq!(kinds, [Int, Float, Atom, Tuple, Nil, List, Map, Binary]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An integer of any size.
    Int,
    /// A float.
    Float,
    /// An atom.
    Atom,
    /// A pid of this domain.
    Pid,
    /// A pid of another node.
    RemotePid,
    /// A reference.
    Reference,
    /// A tuple.
    Tuple,
    /// The empty list.
    Nil,
    /// A list cell.
    List,
    /// A map.
    Map,
    /// A binary.
    Binary,
    /// A resource.
    Resource,
}

impl<'h, P: Place> Term<'h, P> {
    /// # Safety
    ///
    /// `w` must be an immediate, or point to a complete object that stays where it is, unchanged, for `'h` (invariants 2
    /// and 3); with [`InHeap`], to one of the heap branded `'h` or to a literal that its filter covers (invariant 4).
    #[inline(always)]
    pub(crate) unsafe fn from_word(w: Word) -> Self {
        debug_assert!(w != 0 && !word::is_header(w));
        // SAFETY: no term is zero: a zero word is neither an immediate nor a pointer.
        Self { word: unsafe { NonZeroU64::new_unchecked(w) }, brand: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn word(self) -> Word {
        self.word.get()
    }

    /// The words of terms, as the terms they are.
    ///
    /// # Safety
    ///
    /// As for [`from_word`](Self::from_word), for each of the `n` words at `p`, and for the words themselves.
    #[inline(always)]
    pub(crate) unsafe fn slice(p: *const Word, n: usize) -> &'h [Self] {
        // SAFETY: `Term` is a transparent `NonZeroU64`, and the caller promises `n` terms that live for `'h`.
        unsafe { std::slice::from_raw_parts(p.cast::<Self>(), n) }
    }

    /// The object of a boxed word: its first word after the header, and the header.
    #[inline(always)]
    fn object(self) -> Option<(*const Word, Word)> {
        let w = self.word();
        if !word::is_boxed(w) {
            return None;
        }
        let p = word::address(w);
        // SAFETY: invariant 1: a boxed word of a living term points to a header.
        let header = unsafe { *p };
        // SAFETY: at least one word follows each header.
        Some((unsafe { p.add(1) }, header))
    }

    #[inline(always)]
    fn object_of(self, kind: Object) -> Option<(*const Word, Word)> {
        self.object().filter(|&(_, header)| word::header_kind(header) == kind)
    }

    /// Head and tail, if this is a list cell.
    #[inline(always)]
    pub(crate) fn cell(self) -> Option<(Self, Self)> {
        let w = self.word();
        if !word::is_list(w) {
            return None;
        }
        let p = word::address(w);
        // SAFETY: invariant 1: a list word of a living term points to a cell of two terms.
        unsafe { Some((Self::from_word(*p), Self::from_word(*p.add(1)))) }
    }

    /// What this term is.
    ///
    /// ```
    /// # use shared_term::{Region, term, term::Kind};
    /// let r = Region::build(|h| term!(h, [1]));
    /// assert_eq!((r.root().kind(), r.root().list().rest().kind()), (Kind::List, Kind::List));
    /// assert_eq!(r.root().list().last().unwrap().kind(), Kind::Int);
    /// ```
    #[inline]
    pub fn kind(self) -> Kind {
        let w = self.word();
        if word::is_small(w) {
            return Kind::Int;
        }
        if word::is_atom(w) {
            return Kind::Atom;
        }
        if word::is_pid(w) {
            return Kind::Pid;
        }
        if word::is_list(w) {
            return Kind::List;
        }
        match self.object() {
            Some((_, header)) => match word::header_kind(header) {
                Object::Tuple => Kind::Tuple,
                // A node is no term by itself.
                Object::Map | Object::Hamt | Object::Node => Kind::Map,
                Object::Float => Kind::Float,
                Object::Big => Kind::Int,
                Object::Binary | Object::Bytes => Kind::Binary,
                Object::RemotePid => Kind::RemotePid,
                Object::Resource => Kind::Resource,
            },
            None => match w {
                word::EMPTY_TUPLE => Kind::Tuple,
                word::EMPTY_MAP => Kind::Map,
                word::EMPTY_BINARY => Kind::Binary,
                _ if word::is_reference(w) => Kind::Reference,
                _ => Kind::Nil,
            },
        }
    }

    /// What this term is, with its contents lent. O(1).
    ///
    /// ```
    /// # use shared_term::{Region, TermRef, term, term::View};
    /// fn sum(t: TermRef<'_>) -> i64 {
    ///     match t.view() {
    ///         View::Int(i) => i,
    ///         View::Cons(head, tail) => sum(head) + sum(tail),
    ///         View::Map(pairs) => pairs.values().map(sum).sum(),
    ///         _ => 0,
    ///     }
    /// }
    /// let r = Region::build(|h| term!(h, [1, [2], #{:a => 3}, "4"]));
    /// assert_eq!(sum(r.root()), 6);
    /// ```
    #[allow(clippy::missing_panics_doc, reason = "the kind says which of the readers has an answer")]
    #[inline]
    pub fn view(self) -> View<'h, P> {
        match self.kind() {
            Kind::Int => match self.as_int() {
                Some(i) => View::Int(i),
                None => View::BigInt(self.big().expect("an integer is small or big")),
            },
            Kind::Float => View::Float(self.as_float().expect("the kind is float")),
            Kind::Atom => View::Atom(Atom::from_word(self.word())),
            Kind::Pid => View::Pid(Pid::from_word(self.word())),
            Kind::RemotePid => View::RemotePid(self.as_remote_pid().expect("the kind is remote pid")),
            Kind::Reference => View::Reference(Reference::from_word(self.word())),
            Kind::Tuple => View::Tuple(self.as_tuple().expect("the kind is tuple")),
            Kind::Nil => View::Nil,
            Kind::List => {
                let (head, tail) = self.cell().expect("the kind is list");
                View::Cons(head, tail)
            }
            Kind::Map => View::Map(self.as_map().expect("the kind is map")),
            Kind::Binary => View::Binary(self.as_bytes().expect("the kind is binary")),
            Kind::Resource => View::Resource(self.as_resource().expect("the kind is resource")),
        }
    }

    /// Is this the empty list?
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// assert!(Region::build(|h| term!(h, [])).root().is_nil());
    /// assert!(!Region::build(|h| term!(h, {})).root().is_nil());
    /// ```
    pub fn is_nil(self) -> bool {
        self.word() == word::NIL
    }

    /// The integer, if it is one and fits an `i64`. [`get`](Self::get) has other widths.
    ///
    /// ```
    /// # use shared_term::Region;
    /// let r = Region::build(|h| h.list([i128::from(i64::MAX), i128::from(i64::MAX) + 1]));
    /// assert_eq!(r.root().list().map(|n| n.as_int()).collect::<Vec<_>>(), [Some(i64::MAX), None]);
    /// ```
    #[inline]
    pub fn as_int(self) -> Option<i64> {
        let w = self.word();
        if word::is_small(w) {
            return Some(word::small_value(w));
        }
        let big = self.big()?;
        match *big.limbs {
            [limb] if big.negative => 0i64.checked_sub_unsigned(limb),
            [limb] => i64::try_from(limb).ok(),
            _ => None,
        }
    }

    pub(crate) fn big(self) -> Option<BigInt<'h>> {
        let (p, header) = self.object_of(Object::Big)?;
        // SAFETY: the limbs follow the header, and invariant 2 keeps them as they are.
        let limbs = unsafe { std::slice::from_raw_parts(p, word::header_size(header)) };
        Some(BigInt { negative: word::header_aux(header) == 1, limbs })
    }

    /// The float, if it is one. An integer is not converted.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| term!(h, {1.0, 1}));
    /// assert_eq!(r.root().as_tuple().unwrap().iter().map(|n| n.as_float()).collect::<Vec<_>>(), [Some(1.0), None]);
    /// ```
    #[inline]
    pub fn as_float(self) -> Option<f64> {
        let (p, _) = self.object_of(Object::Float)?;
        // SAFETY: the bits of the float follow the header.
        Some(f64::from_bits(unsafe { *p }))
    }

    /// The atom, if it is one.
    ///
    /// ```
    /// # use shared_term::{Atom, Region, term};
    /// assert_eq!(Region::build(|h| term!(h, :ok)).root().as_atom(), Some(Atom::OK));
    /// assert_eq!(Region::build(|h| term!(h, "ok")).root().as_atom(), None);
    /// ```
    #[inline]
    pub fn as_atom(self) -> Option<Atom> {
        word::is_atom(self.word()).then(|| Atom::from_word(self.word()))
    }

    /// `true` or `false`, if it is that atom.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// assert_eq!(Region::build(|h| term!(h, 1 < 2)).root().as_bool(), Some(true));
    /// assert_eq!(Region::build(|h| term!(h, :yes)).root().as_bool(), None);
    /// ```
    pub fn as_bool(self) -> Option<bool> {
        match self.as_atom()? {
            Atom::TRUE => Some(true),
            Atom::FALSE => Some(false),
            _ => None,
        }
    }

    /// The pid, if it is one.
    ///
    #[cfg_attr(feature = "runtime", doc = "```")]
    #[cfg_attr(not(feature = "runtime"), doc = "```ignore")]
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |_, s, _| Ok(Next(s)))?;
    /// assert_eq!(Region::build(|h| term!(h, p)).root().as_pid(), Some(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn as_pid(self) -> Option<Pid> {
        word::is_pid(self.word()).then(|| Pid::from_word(self.word()))
    }

    /// The pid of a process elsewhere, if it is one.
    ///
    /// ```
    /// # use shared_term::{Atom, Region, term, term::RemotePid};
    /// let there = RemotePid { node: Atom::inline("a@b"), id: 7, serial: 0, creation: 1 };
    /// let r = Region::build(|h| term!(h, there));
    /// assert_eq!((r.root().as_remote_pid(), r.root().as_pid()), (Some(there), None));
    /// ```
    pub fn as_remote_pid(self) -> Option<RemotePid> {
        let (p, _) = self.object_of(Object::RemotePid)?;
        // SAFETY: three words follow the header.
        Some(RemotePid::from_words(unsafe { [*p, *p.add(1), *p.add(2)] }))
    }

    /// The reference, if it is one.
    ///
    /// ```
    /// # use shared_term::{Region, term, term::References};
    /// let request = References::new().make();
    /// assert_eq!(Region::build(|h| term!(h, request)).root().as_reference(), Some(request));
    /// ```
    #[inline]
    pub fn as_reference(self) -> Option<Reference> {
        word::is_reference(self.word()).then(|| Reference::from_word(self.word()))
    }

    /// The bytes, if it is a binary. No copy.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| term!(h, <<1, 2, "text">>));
    /// assert_eq!(r.root().as_bytes(), Some(&b"\x01\x02text"[..]));
    /// ```
    #[inline]
    pub fn as_bytes(self) -> Option<&'h [u8]> {
        if self.word() == word::EMPTY_BINARY {
            return Some(&[]);
        }
        let (p, header) = self.object()?;
        match word::header_kind(header) {
            Object::Binary => {
                let length = word::header_size(header) * 8 - usize::from(word::header_aux(header));
                // SAFETY: the bytes follow the header; padding is not part of them.
                Some(unsafe { std::slice::from_raw_parts(p.cast::<u8>(), length) })
            }
            // SAFETY: the object of a binary outside the heap, alive as long as the term.
            Object::Bytes => Some(unsafe { crate::heap::binary::as_bytes(p.sub(1)) }),
            _ => None,
        }
    }

    /// The object of a binary that lies outside the heap.
    pub(crate) fn outside(self) -> Option<*const Word> {
        // SAFETY: the header stands before what `object_of` gives.
        self.object_of(Object::Bytes).map(|(p, _)| unsafe { p.sub(1) })
    }

    /// The bytes as a string, if it is a binary of UTF-8. O(bytes) for the check.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// assert_eq!(Region::build(|h| term!(h, "größe")).root().as_str(), Some("größe"));
    /// assert_eq!(Region::build(|h| h.binary([0xff])).root().as_str(), None);
    /// ```
    pub fn as_str(self) -> Option<&'h str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The bytes as an owned handle: shares a large binary (one count, and a small allocation if it was
    /// [appended to](crate::Heap::append)), copies a small one. One that shares keeps all of the memory that the binary lies
    /// in, which is more than its bytes if it is a [slice](crate::Heap::slice).
    ///
    /// ```
    /// # use shared_term::Region;
    /// let r = Region::build(|h| h.binary(vec![7; 1000]));
    /// let lent = r.root().as_bytes().unwrap().as_ptr();
    /// let kept = r.root().to_bytes().unwrap();
    /// drop(r);
    /// assert_eq!((kept.as_ptr(), kept.len()), (lent, 1000));
    /// ```
    pub fn to_bytes(self) -> Option<Bytes> {
        match self.outside() {
            // SAFETY: as in `as_bytes`.
            Some(p) => Some(unsafe { crate::heap::binary::to_bytes(p) }),
            None => self.as_bytes().map(Bytes::copy_from_slice),
        }
    }

    /// The elements, if it is a tuple.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| term!(h, {1, 2, 3}));
    /// let Some([first, rest @ ..]) = r.root().as_tuple() else { panic!() };
    /// assert_eq!((first.as_int(), rest.len()), (Some(1), 2));
    /// ```
    #[inline]
    pub fn as_tuple(self) -> Option<&'h [Self]> {
        match self.object_of(Object::Tuple) {
            // SAFETY: invariant 1: the elements follow the header and are terms of the same heap.
            Some((p, header)) => Some(unsafe { Self::slice(p, word::header_size(header)) }),
            None => (self.word() == word::EMPTY_TUPLE).then_some(&[]),
        }
    }

    /// The elements, if it is a tuple of just so many.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| term!(h, {1, 2}));
    /// let Some([a, b]) = r.root().tuple_of() else { panic!() };
    /// assert!(a < b);
    /// assert!(r.root().tuple_of::<3>().is_none());
    /// ```
    pub fn tuple_of<const N: usize>(self) -> Option<&'h [Self; N]> {
        self.as_tuple()?.try_into().ok()
    }

    /// `{Tag, Args...}` as tag and arguments; a bare atom as a tag without arguments.
    ///
    /// ```
    /// # use shared_term::{Atom, Region, TermRef, term};
    /// const STOP: Atom = Atom::inline("stop");
    /// const ADD: Atom = Atom::inline("add");
    /// fn run(t: TermRef<'_>) -> Option<i64> {
    ///     match t.tagged()? {
    ///         (ADD, [a, b]) => a.as_int()?.checked_add(b.as_int()?),
    ///         (STOP, []) => Some(0),
    ///         _ => None,
    ///     }
    /// }
    /// assert_eq!(run(Region::build(|h| term!(h, {:add, 1, 2})).root()), Some(3));
    /// assert_eq!(run(Region::build(|h| term!(h, :stop)).root()), Some(0));
    /// ```
    pub fn tagged(self) -> Option<(Atom, &'h [Self])> {
        if let Some(atom) = self.as_atom() {
            return Some((atom, &[]));
        }
        let (first, rest) = self.as_tuple()?.split_first()?;
        Some((first.as_atom()?, rest))
    }

    /// The elements of a list, from the first cell to the last; O(1) each. Empty for anything that is no list.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| term!(h, ["a", "b"]));
    /// assert_eq!(r.root().list().filter_map(|s| s.as_str()).collect::<String>(), "ab");
    /// ```
    pub fn list(self) -> List<'h, P> {
        List::new(self)
    }

    /// The map, if it is one.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| term!(h, #{:a => 1}));
    /// assert_eq!(r.root().as_map().unwrap().len(), 1);
    /// assert!(r.root().as_map().unwrap().keys().all(|key| key.as_map().is_none()));
    /// ```
    #[inline]
    pub fn as_map(self) -> Option<Map<'h, P>> {
        let Some((p, header)) = self.object() else {
            return (self.word() == word::EMPTY_MAP).then(|| Map::flat(&[], &[]));
        };
        // SAFETY: invariant 1: a flat map is a tuple of keys and as many values, terms of the same heap or literals.
        unsafe {
            match word::header_kind(header) {
                Object::Map => {
                    let keys = Self::from_word(*p).as_tuple().unwrap_or_default();
                    debug_assert_eq!(keys.len() + 1, word::header_size(header));
                    Some(Map::flat(keys, Self::slice(p.add(1), keys.len())))
                }
                Object::Hamt => Some(Map::large(self)),
                _ => None,
            }
        }
    }

    /// The value at `key`, if this is a map and has it; see [`Map::get`].
    ///
    /// ```
    /// # use shared_term::{Atom, Region, term};
    /// let r = Region::build(|h| term!(h, #{:limits => #{"rate" => 100}}));
    /// let rate = r.root().lookup(Atom::inline("limits")).and_then(|limits| limits.lookup("rate"));
    /// assert_eq!(rate.unwrap().as_int(), Some(100));
    /// ```
    pub fn lookup(self, key: impl Key) -> Option<Self> {
        self.as_map()?.get(key)
    }

    /// The Rust value behind a resource, whatever it is.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// use std::sync::Arc;
    /// let r = Region::build(|h| h.resource(Arc::new(7_u8)));
    /// assert_eq!(r.root().as_resource().unwrap().downcast(), Some(&7_u8));
    /// assert!(Region::build(|h| term!(h, 7)).root().as_resource().is_none());
    /// ```
    pub fn as_resource(self) -> Option<Resource<'h>> {
        let (p, header) = self.object_of(Object::Resource)?;
        // SAFETY: the object, whose header stands before what `object_of` gives, lives as long as the term.
        let (value, shared) = unsafe { crate::heap::resource::value(header, p.sub(1)) };
        Some(Resource { value, shared })
    }

    /// The Rust value behind a resource, if it is a `T`.
    ///
    /// ```
    /// # use shared_term::Region;
    /// use std::sync::Arc;
    /// let r = Region::build(|h| h.resource(Arc::new(7_u8)));
    /// assert_eq!((r.root().resource::<u8>(), r.root().resource::<u16>()), (Some(&7), None));
    /// ```
    pub fn resource<T: Any + Send + Sync>(self) -> Option<&'h T> {
        self.as_resource()?.downcast()
    }

    /// Typed extraction: the term as whatever is [`FromTerm`]. O(1) but for what is copied out: owned strings, `Vec`s
    /// and maps.
    ///
    /// ```
    /// # use shared_term::{Atom, Region, term};
    /// let r = Region::build(|h| term!(h, {:add, 20, 22}));
    /// let (tag, a, b): (Atom, i64, i64) = r.root().get()?;
    /// assert_eq!((tag, a + b), (Atom::inline("add"), 42));
    /// # Ok::<(), shared_term::term::Mismatch>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the term has another shape.
    pub fn get<T: FromTerm<'h, P>>(self) -> Result<T, Mismatch> {
        T::from_term(self)
    }

    /// Erlang's `==`: as `==`, but integers and floats are compared as numbers.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| term!(h, {1, 1.0}));
    /// let Some([i, f]) = r.root().tuple_of() else { panic!() };
    /// assert!(i.eq_value(*f) && i != f);
    /// ```
    pub fn eq_value<Q: Place>(self, other: Term<'_, Q>) -> bool {
        // SAFETY: both terms are alive while this runs.
        unsafe { equal_value(self.word(), other.word()) }
    }

    /// Erlang's `<`: as [`Ord`], but integers and floats are compared as numbers alone.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// # use std::cmp::Ordering;
    /// let r = Region::build(|h| term!(h, {1, 1.0, 2}));
    /// let Some([one, float, two]) = r.root().tuple_of() else { panic!() };
    /// assert_eq!((one.cmp_value(*float), one.cmp(float)), (Ordering::Equal, Ordering::Less));
    /// assert_eq!(float.cmp_value(*two), Ordering::Less);
    /// ```
    pub fn cmp_value<Q: Place>(self, other: Term<'_, Q>) -> Ordering {
        // SAFETY: both terms are alive while this runs.
        unsafe { compare(self.word(), other.word(), Numbers::ByValue) }
    }

    /// The distinct words that this term reaches, literals included: what a copy of it takes. O(words). OTP:
    /// `erts_debug:size/1`.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| {
    ///     let shared = term!(h, {1, 2});
    ///     h.tuple(&[shared, shared])
    /// });
    /// assert_eq!(r.root().size_words(), 3 + 3);
    /// ```
    pub fn size_words(self) -> usize {
        // SAFETY: the term is alive while this runs.
        unsafe { crate::heap::copy::size_words(self.word()) }.unwrap_or_else(|error| crate::heap::unwind(error))
    }
}

impl<P: Place> Term<'_, P> {
    /// The words that this term would take if nothing in it were shared: one copy of a part per path that leads to it. At
    /// most `usize::MAX`, however many there are. O(distinct words). OTP: `erts_debug:flat_size/1`.
    ///
    /// ```
    /// # use shared_term::{Region, term};
    /// let r = Region::build(|h| (0..100).fold(h.nil(), |t, _| h.tuple(&[t, t])));
    /// assert_eq!(r.root().size_words(), 300);
    /// assert_eq!(r.root().flat_size_words(), usize::MAX);
    /// assert_eq!(Region::build(|h| term!(h, {[1], {}})).root().flat_size_words(), 3 + 2);
    /// ```
    pub fn flat_size_words(self) -> usize {
        // SAFETY: the term is alive while this runs.
        unsafe { crate::heap::copy::flat_size_words(self.word()) }
    }
}

impl<P: Place, Q: Place> PartialEq<Term<'_, Q>> for Term<'_, P> {
    fn eq(&self, other: &Term<'_, Q>) -> bool {
        // SAFETY: both terms are alive while this runs.
        unsafe { equal(self.word(), other.word()) }
    }
}

impl<P: Place> Eq for Term<'_, P> {}

impl<P: Place> PartialEq<Atom> for Term<'_, P> {
    fn eq(&self, other: &Atom) -> bool {
        self.word() == other.word()
    }
}

impl<P: Place> PartialEq<i64> for Term<'_, P> {
    fn eq(&self, other: &i64) -> bool {
        self.as_int() == Some(*other)
    }
}

impl<P: Place> PartialEq<str> for Term<'_, P> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == Some(other.as_bytes())
    }
}

impl<P: Place, Q: Place> PartialOrd<Term<'_, Q>> for Term<'_, P> {
    fn partial_cmp(&self, other: &Term<'_, Q>) -> Option<Ordering> {
        // SAFETY: both terms are alive while this runs.
        Some(unsafe { compare(self.word(), other.word(), Numbers::Exact) })
    }
}

impl<P: Place> Ord for Term<'_, P> {
    fn cmp(&self, other: &Self) -> Ordering {
        // SAFETY: both terms are alive while this runs.
        unsafe { compare(self.word(), other.word(), Numbers::Exact) }
    }
}

impl<P: Place> std::hash::Hash for Term<'_, P> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // SAFETY: the term is alive while this runs.
        state.write_u64(unsafe { hash(self.word()) });
    }
}

static_assertions::assert_eq_size!(Term<'static>, Option<Term<'static>>, u64);
static_assertions::assert_not_impl_any!(Term<'static>: Send, Sync);
static_assertions::assert_impl_all!(TermRef<'static>: Send, Sync, Copy);
