//! Persistent terms, as a user sees them; with the black-box cases of OTP's `persistent_term_SUITE`, whose names the tests
//! mention.

#![cfg(feature = "runtime")]

mod areas;
mod domains;
mod freeing;
mod holders;
mod keys;
#[path = "../support/mod.rs"]
mod support;
mod values;

use shared_term::persistent::{Put, PutNewError};
use shared_term::prelude::*;
use shared_term::process::SpawnOptions;
use shared_term::runtime::{Deterministic, Handle};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;
use support::{LONG, Ledger, OnDrop};

const KEY: Atom = Atom::inline("key");
const KEEP: Atom = Atom::inline("keep");
const TELL: Atom = Atom::inline("tell");
const WRAP: Atom = Atom::inline("wrap");

fn list(n: i64) -> Region {
    Region::build(|h| h.list(0..n))
}

/// Keeps what a key has (or what it is sent), tells its state, wraps it.
fn receive<'h>(cx: Cx<'h>, state: Term<'h>, message: Term<'h>) -> Turn<'h> {
    match message.tagged() {
        Some((KEEP, [key])) => Ok(Next(cx.get(*key).unwrap_or(cx.nil()))),
        Some((WRAP, [])) => Ok(Next(cx.tuple(&[state, cx.int(1)]))),
        Some((TELL, [to])) => {
            cx.send(to.get()?, state);
            Ok(Next(state))
        }
        _ => Ok(Next(message)),
    }
}

fn holder(rt: &Handle, key: impl for<'h> ToAny<'h>) -> Pid {
    let p = rt.spawn_fn(|cx| cx.nil(), receive).unwrap();
    rt.send_new(p, move |h| term!(h, {KEEP, key.any(h)})).unwrap();
    p
}

/// For keys that are given to closures of any brand.
trait ToAny<'h>: Copy {
    fn any(self, h: Heap<'h>) -> Term<'h>;
}
impl<'h> ToAny<'h> for Atom {
    fn any(self, h: Heap<'h>) -> Term<'h> {
        h.atom(self)
    }
}
impl<'h> ToAny<'h> for i64 {
    fn any(self, h: Heap<'h>) -> Term<'h> {
        h.int(self)
    }
}

/// The state of a process.
fn told(rt: &mut Deterministic, p: Pid) -> Region {
    let mut port = rt.port().unwrap();
    let me = port.pid();
    rt.send_new(p, |h| term!(h, {TELL, me})).unwrap();
    rt.run_until_idle();
    let told = port.try_recv().expect("an answer");
    told.verify().unwrap();
    told
}
