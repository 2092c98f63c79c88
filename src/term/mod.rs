//! Terms: immutable values of one tagged 64-bit word.
//!
//! A [`Term<'h>`](Term) lives in the heap that `'h` names and is valid for one turn, or inside one builder closure. A
//! [`TermRef<'a>`](TermRef) is kept alive by an ordinary borrow of a region, a literal or a guard; it can be read
//! anywhere and *copied* into a heap, but never linked into one. Both are [`Copy`], one word, and read the same way:
//!
//! ```
//! use shared_term::{Atom, Region, term, term::View};
//!
//! let r = Region::build(|h| term!(h, {:reply, 42, [1, 2, 3], "bytes"}));
//! const REPLY: Atom = Atom::inline("reply");
//! match r.root().tagged() {
//!     Some((REPLY, &[n, list, bytes])) => {
//!         assert_eq!(n.as_int(), Some(42));
//!         assert_eq!(list.list().count(), 3);
//!         assert!(matches!(bytes.view(), View::Binary(b"bytes")));
//!     }
//!     _ => unreachable!(),
//! }
//! ```
//!
//! # Equality and order
//!
//! `==`, [`Hash`](std::hash::Hash) and [`Ord`] are *exact*: `1` and `1.0` differ, as under Erlang's `=:=`, and `1` sorts
//! just before `1.0`. [`Term::eq_value`] and [`Term::cmp_value`] are Erlang's `==` and `<`. The order of kinds is
//! Erlang's: number < atom < reference < pid < tuple < map < nil < list < binary (resources sort after references, which
//! is what OTP has in their place).
//! Maps compare by size, then by their keys in order, then by their values, as Erlang's do; among keys every integer comes
//! before every float.
//! None of them recurses on the depth of a term, and on terms with much sharing they stay near the number of distinct
//! words (invariant 11).
//!
//! # Kinds
//!
//! | kind | where | OTP |
//! |---|---|---|
//! | integer | 60 bits in the word, more in the heap | the same |
//! | float | heap, two words; finite | the same |
//! | atom | the word (up to 7 bytes: the name itself) | a table index |
//! | pid | the word | the same |
//! | pid of another node | heap, 4 words | heap, 6 words |
//! | reference | the word | heap, 3 words or more |
//! | nil, `{}`, `#{}`, `<<>>` | the word | only nil |
//! | tuple, list | heap: 1 + n words, 2 words a cell | the same |
//! | map | heap: up to 32 pairs 2 + n words, and a tuple of sorted keys that maps can share; above, a hash trie | the same |
//! | binary | up to 64 bytes in the heap, longer ones a shared `Bytes` outside | the same |
//! | resource | an `Arc` outside | a magic reference |

mod atom;
mod big_int;
mod compare;
mod display;
mod extract;
mod hash;
mod key;
mod list;
pub(crate) mod map;
mod number;
mod pid;
mod place;
mod reference;
mod remote;
mod resource;
mod sorting;
mod view;
pub(crate) mod word;

pub use atom::{Atom, AtomError, AtomName};
pub use big_int::BigInt;
pub use extract::{FromTerm, Mismatch};
pub use key::Key;
pub use list::List;
pub use map::{Map, MapIter};
pub use pid::Pid;
pub use place::{InHeap, Outside, Place};
pub use reference::{Reference, References};
pub use remote::RemotePid;
pub use resource::Resource;
pub use view::{Kind, Term, TermRef, View};

pub(crate) use compare::{Numbers, compare, equal, equal_value};
pub(crate) use hash::hash;
pub(crate) use number::limbs;
#[cfg(feature = "persistent")]
pub(crate) use {
    hash::{PAIR, TRIPLE, hash_pair, hash_triple, hash_word},
    key::Form,
};
