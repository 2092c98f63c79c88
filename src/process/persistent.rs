//! Persistent terms in a turn.

use super::Cx;
use crate::heap::copy::Literals;
use crate::persistent::{Batch, Changes, Entry, Expect, Literal, Offer, Put, Slot, StoreError, Wrote};
use crate::term::{Key, Term, TermRef};
use std::fmt;

/// Persistent terms: what a turn reads is a term of its own, which it may keep, put into its state or send on, by pointer.
///
/// What is put or erased by itself is seen at once; a [batch](Batch) is seen, whole, if it was committed before the turn
/// began, or by the turn itself with [`put_many`](Self::put_many).
impl<'h> Cx<'h> {
    /// The persistent term at `key`: no copy, no count, no lock, no write. See
    /// [`PersistentTerms::get`](crate::PersistentTerms::get).
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.persistent().put(("user", 7), Region::build(|h| term!(h, {:name, "ann"})))?;
    /// let p = rt.spawn_fn(|cx| cx.get(("user", 7)).unwrap(), |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// assert_eq!(rt.info(p).unwrap().details.unwrap().heap.young_words, 0, "the state is a pointer");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get(self, key: impl Key) -> Option<Term<'h>> {
        // SAFETY: a turn is online in its domain, and its heap answers that domain's collections (invariant 4).
        self.domain_ref().lookup(key, self.seen()).map(|w| unsafe { Term::from_word(w) })
    }

    /// The persistent term at `key`, or `default`. OTP: `get/2`.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.spawn_fn(|cx| cx.nil(), |cx, state, _| {
    ///     assert_eq!(cx.get_or("limit", cx.int(10)).as_int(), Some(10));
    ///     Ok(Next(state))
    /// })?;
    /// # rt.run_until_idle();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get_or(self, key: impl Key, default: Term<'h>) -> Term<'h> {
        self.get(key).unwrap_or(default)
    }

    /// The value of a slot: no lookup, but whether it is of this domain, one load and a branch. In a turn of another domain
    /// the value is copied. Who reads it again in the same turn [binds](Self::bind) it.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.persistent().put("limit", Region::build(|h| h.int(10)))?;
    /// let limit = rt.persistent().slot("limit")?;
    /// let p = rt.spawn_fn(|cx| cx.nil(), move |cx, state, _| {
    ///     assert_eq!(cx.read(&limit).unwrap().as_int(), Some(10));
    ///     Ok(Next(state))
    /// })?;
    /// # rt.send_new(p, |h| h.nil())?;
    /// # rt.run_until_idle();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn read(self, slot: &Slot) -> Option<Term<'h>> {
        slot.get(self)
    }

    /// Binds a slot to this turn: whether it is of this domain is looked at here, once, and each [`get`](TurnSlot::get) is
    /// one load and a branch. `None` when it is of another domain, whose values a turn can only [copy](Self::read).
    /// Wait-free; no memory.
    ///
    /// Nothing of it in OTP, where each `get` hashes its key.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.persistent().put("weight", Region::build(|h| h.int(10)))?;
    /// let weight = rt.persistent().slot("weight")?;
    /// let p = rt.spawn_fn(|cx| cx.int(0), move |cx, sum, numbers| {
    ///     let weight = cx.bind(&weight).ok_or_else(|| Exit::msg("a slot of another store"))?;
    ///     let mut sum = sum.get::<i64>()?;
    ///     for n in numbers.list() {
    ///         sum += n.get::<i64>()? * weight.get().and_then(|w| w.as_int()).unwrap_or(1);
    ///     }
    ///     # assert_eq!(sum, 60);
    ///     Ok(Next(cx.int(sum)))
    /// })?;
    /// rt.send_new(p, |h| h.list([1, 2, 3]))?;
    /// rt.run_until_idle();
    /// # assert!(rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn bind<'s>(self, slot: &'s Slot) -> Option<TurnSlot<'s, 'h>> {
        slot.is_of(self.domain_ref()).then(|| TurnSlot { entry: slot.entry(), cx: self })
    }

    /// The term of a literal: a pointer, O(1), which the heap may keep when the handle is long gone. A literal of another
    /// domain is copied.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let table = rt.persistent().literal(|h| h.list(0..1000))?;
    /// let p = rt.spawn_fn(|cx| cx.nil(), move |cx, _, _| Ok(Next(cx.literal(&table))))?;
    /// # rt.send_new(p, |h| h.nil())?;
    /// # rt.run_until_idle();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn literal(self, literal: &Literal) -> Term<'h> {
        literal.link(self)
    }

    /// Publishes a term of this turn. As [`PersistentTerms::put`](crate::PersistentTerms::put), but what the term has of
    /// other persistent terms is shared with them, not copied: a new version of a large value costs what is new in it, and
    /// keeps what it leans on alive. A chain of versions is cut by a full copy before it keeps twice what it needs.
    ///
    /// # Errors
    ///
    /// When there is no memory, or too much waits to be
    /// [freed](crate::persistent::Builder::max_retained_bytes), which a turn that puts again and again holds up itself;
    /// the old value stays.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.persistent().put("routes", Region::build(|h| term!(h, #{"/" => 1, "/a" => 2})))?;
    /// let p = rt.spawn_fn(|cx| cx.nil(), |cx, state, _| {
    ///     let old = cx.get("routes").ok_or_else(|| Exit::msg("no routes"))?;
    ///     let new = cx.insert(old, cx.binary("/a"), cx.int(3)).ok_or_else(|| Exit::msg("no map"))?;
    ///     cx.put("routes", new)?;
    ///     Ok(Next(state))
    /// })?;
    /// rt.send_new(p, |h| h.nil())?;
    /// rt.run_until_idle();
    /// assert_eq!(rt.persistent().read("routes", |r| r.unwrap().to_string()), r#"#{<<"/">> => 1,<<"/a">> => 3}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put(self, key: impl Key, value: Term<'h>) -> Result<Put, StoreError> {
        match self.write(key, value, Expect::Anything)? {
            Wrote::Done { put, .. } => Ok(put),
            Wrote::Exists { .. } | Wrote::Conflict { .. } => unreachable!("anything may be replaced"),
        }
    }

    fn write(self, key: impl Key, value: Term<'h>, expect: Expect) -> Result<Wrote, StoreError> {
        // SAFETY: the term is of this turn, and its literals of this domain.
        unsafe { self.domain_ref().write(key, self.offer(value), expect) }
    }

    fn offer(self, value: Term<'h>) -> Offer<'h> {
        Offer::Term(value.word(), Literals::Keep { retired: self.domain_ref().collector.retired() })
    }

    /// The persistent term at `key`; if there is none, the one that `f` makes, which is published as by
    /// [`put`](Self::put). If another writer is first, `f`'s is garbage of this turn, and the other's returned.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.spawn_fn(|cx| cx.nil(), |_, state, _| Ok(Next(state)))?;
    /// let p = rt.spawn_fn(|cx| cx.nil(), |cx, _, _| {
    ///     Ok(Next(cx.get_or_insert_with("squares", || cx.list((0..4).map(|i| i * i)))?))
    /// })?;
    /// # rt.send_new(p, |h| h.nil())?;
    /// # rt.run_until_idle();
    /// assert!(rt.persistent().read("squares", |v| v.is_some()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_insert_with(self, key: impl Key, f: impl FnOnce() -> Term<'h>) -> Result<Term<'h>, StoreError> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        match self.write(key, f(), Expect::Vacant)? {
            // SAFETY: published, or found, in this turn's online span; see `get`.
            Wrote::Done { word, .. } | Wrote::Exists { word } => Ok(unsafe { Term::from_word(word) }),
            Wrote::Conflict { .. } => unreachable!("no version was asked for"),
        }
    }

    /// Publishes what `f` makes of the persistent term at `key`, or of none: it is called again, with the newer value, if
    /// another writer of the key was faster. See [`PersistentTerms::update`](crate::PersistentTerms::update).
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.persistent().put("log", Region::build(|h| h.nil()))?;
    /// let p = rt.spawn_fn(|cx| cx.nil(), |cx, state, line| {
    ///     cx.update("log", |old| cx.cons(line, old.unwrap_or(cx.nil())))?;
    ///     Ok(Next(state))
    /// })?;
    /// rt.send_new(p, |h| h.int(1))?;
    /// rt.send_new(p, |h| h.int(2))?;
    /// rt.run_until_idle();
    /// assert_eq!(rt.persistent().read("log", |v| v.unwrap().to_string()), "[2,1]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update(self, key: impl Key, mut f: impl FnMut(Option<Term<'h>>) -> Term<'h>) -> Result<Put, StoreError> {
        loop {
            let (old, version) = self.domain_ref().newest(key).unzip();
            // SAFETY: see `get`.
            let new = f(old.map(|w| unsafe { Term::from_word(w) }));
            if let Wrote::Done { put, .. } = self.write(key, new, Expect::Version(version))? {
                return Ok(put);
            }
        }
    }

    /// Publishes terms of this turn, each at its key, at once, as [`put`](Self::put) does each. Of equal keys the last
    /// wins. What the turn reads after it has them, and every batch that was committed before.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put); then nothing is changed.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let p = rt.spawn_fn(|cx| cx.nil(), |cx, state, _| {
    ///     cx.put_many([("a", cx.int(1)), ("b", cx.int(2))])?;
    ///     assert_eq!(cx.get("b").unwrap().as_int(), Some(2));
    ///     Ok(Next(state))
    /// })?;
    /// # rt.send_new(p, |h| h.nil())?;
    /// # rt.run_until_idle();
    /// assert_eq!(rt.persistent().info().count, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_many<K: Key>(self, pairs: impl IntoIterator<Item = (K, Term<'h>)>) -> Result<Changes, StoreError> {
        let mut batch = Batch::new(self.domain_ref());
        for (key, value) in pairs {
            // SAFETY: the term is of this turn, and its literals of this domain.
            unsafe { batch.plan_put(key, self.offer(value)) }?;
        }
        let (number, changes) = batch.commit_numbered();
        self.see(number);
        Ok(changes)
    }
}

/// A [slot](Slot) [bound](Cx::bind) to a turn: reading it is one load and a branch.
///
/// It sees what the turn sees, and gives terms of the turn, which may be kept, put into the state or sent on. Three words,
/// `Copy`, for this turn alone; it borrows the slot.
///
/// ```
/// use shared_term::prelude::*;
/// # let mut rt = Runtime::deterministic(1);
/// rt.persistent().put("prices", Region::build(|h| h.list([3, 4])))?;
/// let slot = rt.persistent().slot("prices")?;
/// let shop = rt.spawn_fn(|cx| cx.nil(), move |cx, _, bought| {
///     let prices = cx.bind(&slot).unwrap(); // once, for all reads of the turn
///     let price = |n: Term<'_>| prices.get()?.list().nth(n.as_int()? as usize)?.as_int();
///     Ok(Stop(Exit::msg(bought.list().filter_map(price).sum::<i64>())))
/// })?;
/// let exited = rt.exited(shop);
/// rt.send_new(shop, |h| h.list([0, 1, 1]))?;
/// rt.run_until_idle();
/// assert_eq!(exited.try_wait().unwrap().to_string(), "11");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct TurnSlot<'s, 'h> {
    entry: &'s Entry,
    cx: Cx<'h>,
}

impl<'h> TurnSlot<'_, 'h> {
    /// The value. Wait-free: one load and a branch.
    ///
    /// The key of a batch that has not given way to its new values yet, within a grace period of its commit, takes a few
    /// loads more, and so does one without a value.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// rt.persistent().put("limits", Region::build(|h| term!(h, #{"rate" => 100})))?;
    /// let slot = rt.persistent().slot("limits")?;
    /// let p = rt.spawn_fn(move |cx| cx.bind(&slot).unwrap().get().unwrap(), |_, s, _| Ok(Next(s)))?;
    /// rt.run_until_idle();
    /// assert_eq!(rt.info(p).unwrap().details.unwrap().heap.young_words, 0, "the state is a pointer");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn get(&self) -> Option<Term<'h>> {
        let cx = self.cx;
        // SAFETY: bound to a turn of the slot's own domain, where the turn is online and whose collections its heap answers
        // (invariant 4).
        self.entry.value_at(move || cx.seen()).map(|w| unsafe { Term::from_word(w) })
    }
}

impl<'s> TurnSlot<'s, '_> {
    /// The key.
    ///
    /// ```
    /// use shared_term::prelude::*;
    /// # let mut rt = Runtime::deterministic(1);
    /// let slot = rt.persistent().slot("limit")?;
    /// let p = rt.spawn_fn(
    ///     move |cx| {
    ///         assert_eq!(cx.bind(&slot).unwrap().key().as_str(), Some("limit"));
    ///         cx.nil()
    ///     },
    ///     |_, s, _| Ok(Next(s)),
    /// )?;
    /// rt.run_until_idle();
    /// assert!(rt.is_alive(p));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn key(&self) -> TermRef<'s> {
        self.entry.key()
    }
}

impl fmt::Debug for TurnSlot<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnSlot").field("key", &self.key()).finish_non_exhaustive()
    }
}

static_assertions::assert_impl_all!(TurnSlot<'static, 'static>: Copy);
static_assertions::assert_not_impl_any!(TurnSlot<'static, 'static>: Send, Sync);
