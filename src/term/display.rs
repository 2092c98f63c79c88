//! Printing in Erlang syntax, without recursion and cut off at a limit.
//!
//! Printing expands what is shared, so its output can be exponentially longer than the term: it is cut off with `...`
//! after the precision of the format (`{:.80}`), or after 16 Mi bytes.

use super::place::{Outside, Place};
use super::view::{Term, TermRef, View};
use super::{Atom, BigInt, MapIter};
use crate::heap::{make_box, make_room};
use std::fmt::{self, Write};

const DEFAULT_LIMIT: usize = 16 << 20;

/// Erlang's reserved words: as atoms they are quoted.
const RESERVED: [&str; 29] = [
    "after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case", "catch", "cond", "div",
    "else", "end", "fun", "if", "let", "maybe", "not", "of", "or", "orelse", "receive", "rem", "try", "when", "xor",
];

enum Item<'a> {
    Text(&'static str),
    Term(TermRef<'a>),
    /// The rest of a list, after its first element.
    Rest(TermRef<'a>),
    /// Elements still to come, with a comma before each.
    Elements(&'a [TermRef<'a>]),
    /// Pairs still to come, with a comma before each but the first.
    Pairs(Box<MapIter<'a, Outside>>, bool),
}

/// Passes on at most `left` bytes, then fails.
struct Limited<'f, 'g> {
    out: &'f mut fmt::Formatter<'g>,
    left: usize,
    cut: bool,
}

impl Write for Limited<'_, '_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if s.len() <= self.left {
            self.left -= s.len();
            return self.out.write_str(s);
        }
        self.out.write_str(&s[..s.floor_char_boundary_at(self.left)])?;
        self.left = 0;
        self.cut = true;
        Err(fmt::Error)
    }
}

trait FloorCharBoundary {
    fn floor_char_boundary_at(&self, i: usize) -> usize;
}

impl FloorCharBoundary for str {
    fn floor_char_boundary_at(&self, i: usize) -> usize {
        (0..=i).rev().find(|&i| self.is_char_boundary(i)).unwrap_or(0)
    }
}

impl<P: Place> fmt::Display for Term<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = f.precision().unwrap_or(DEFAULT_LIMIT);
        let mut out = Limited { out: f, left, cut: false };
        match write_term(&mut out, self.to_ref()) {
            Err(_) if out.cut => out.out.write_str("..."),
            result => result,
        }
    }
}

impl<P: Place> fmt::Debug for Term<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn write_term(out: &mut Limited<'_, '_>, term: TermRef<'_>) -> fmt::Result {
    let mut work = Vec::new();
    make_room(&mut work, 1);
    work.push(Item::Term(term));
    while let Some(item) = work.pop() {
        make_room(&mut work, 4);
        match item {
            Item::Text(s) => out.write_str(s)?,
            Item::Term(t) => write_one(out, t, &mut work)?,
            Item::Rest(t) => match t.view() {
                View::Nil => out.write_char(']')?,
                View::Cons(head, tail) => {
                    out.write_char(',')?;
                    work.extend([Item::Rest(tail), Item::Term(head)]);
                }
                _ => {
                    out.write_char('|')?;
                    work.extend([Item::Text("]"), Item::Term(t)]);
                }
            },
            Item::Elements(rest) => {
                if let Some((&first, rest)) = rest.split_first() {
                    out.write_char(',')?;
                    work.extend([Item::Elements(rest), Item::Term(first)]);
                }
            }
            Item::Pairs(mut pairs, first) => {
                if let Some((k, v)) = pairs.next() {
                    if !first {
                        out.write_char(',')?;
                    }
                    work.extend([Item::Pairs(pairs, false), Item::Term(v), Item::Text(" => "), Item::Term(k)]);
                }
            }
        }
    }
    Ok(())
}

fn write_one<'a>(out: &mut Limited<'_, '_>, t: TermRef<'a>, work: &mut Vec<Item<'a>>) -> fmt::Result {
    match t.view() {
        View::Int(i) => write!(out, "{i}"),
        View::BigInt(b) => write_big(out, b),
        View::Float(x) => write_float(out, x),
        View::Atom(a) => write_atom(out, a),
        View::Pid(p) => write!(out, "{p}"),
        View::RemotePid(p) => write!(out, "{p}"),
        View::Reference(r) => write!(out, "{r}"),
        View::Nil => out.write_str("[]"),
        View::Cons(head, tail) => {
            work.extend([Item::Rest(tail), Item::Term(head)]);
            out.write_char('[')
        }
        View::Tuple(elements) => {
            work.push(Item::Text("}"));
            if let Some((&first, rest)) = elements.split_first() {
                work.extend([Item::Elements(rest), Item::Term(first)]);
            }
            out.write_char('{')
        }
        View::Map(m) => {
            work.extend([Item::Text("}"), Item::Pairs(make_box(m.iter()), true)]);
            out.write_str("#{")
        }
        View::Binary(bytes) => write_binary(out, bytes),
        View::Resource(r) => write!(out, "#Resource<{:#x}>", r.address()),
    }
}

/// The shortest digits that read back as the same float, with the point that Erlang wants before an exponent.
fn write_float(out: &mut Limited<'_, '_>, x: f64) -> fmt::Result {
    let mut text = Short::default();
    write!(text, "{x:?}")?;
    match text.as_str().split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => write!(out, "{digits}.0e{exponent}"),
        _ => out.write_str(text.as_str()),
    }
}

/// A few characters, without memory of their own: more than a float has.
#[derive(Default)]
struct Short {
    bytes: [u8; 32],
    length: usize,
}

impl Short {
    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Write for Short {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let to = self.bytes.get_mut(self.length..self.length + s.len()).ok_or(fmt::Error)?;
        to.copy_from_slice(s.as_bytes());
        self.length += s.len();
        Ok(())
    }
}

/// Decimal, by repeated division of the limbs; hexadecimal (Erlang's `16#`) where that would be quadratic.
fn write_big(out: &mut Limited<'_, '_>, b: BigInt<'_>) -> fmt::Result {
    const CHUNK: u64 = 10_000_000_000_000_000_000; // the largest power of ten in a limb
    if b.is_negative() {
        out.write_char('-')?;
    }
    /// Limbs of a number that is written in decimal: it has as many chunks, or a few more.
    const MOST: usize = 64;
    let n = b.limbs().len();
    if n > MOST {
        let mut limbs = b.limbs().iter().rev();
        write!(out, "16#{:X}", limbs.next().copied().unwrap_or(0))?;
        return limbs.try_for_each(|limb| write!(out, "{limb:016X}"));
    }
    let (mut limbs, mut digits) = ([0; MOST], [0; MOST + 2]);
    limbs[..n].copy_from_slice(b.limbs());
    let (mut limbs, mut chunks) = (&mut limbs[..n], 0);
    while !limbs.is_empty() {
        let mut rest = 0;
        for limb in limbs.iter_mut().rev() {
            let x = u128::from(rest) << 64 | u128::from(*limb);
            *limb = (x / u128::from(CHUNK)) as u64;
            rest = (x % u128::from(CHUNK)) as u64;
        }
        digits[chunks] = rest;
        chunks += 1;
        let n = limbs.iter().rposition(|limb| *limb != 0).map_or(0, |last| last + 1);
        limbs = &mut limbs[..n];
    }
    let (first, rest) = digits[..chunks].split_last().unwrap_or((&0, &[]));
    write!(out, "{first}")?;
    rest.iter().rev().try_for_each(|d| write!(out, "{d:019}"))
}

fn write_atom(out: &mut Limited<'_, '_>, a: Atom) -> fmt::Result {
    let name = a.name();
    let plain = name.starts_with(|c: char| c.is_lowercase())
        && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '@')
        && !RESERVED.contains(&&*name);
    if plain {
        return out.write_str(&name);
    }
    out.write_char('\'')?;
    write_escaped(out, &name, '\'')?;
    out.write_char('\'')
}

fn write_binary(out: &mut Limited<'_, '_>, bytes: &[u8]) -> fmt::Result {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')) => {
            out.write_str("<<\"")?;
            write_escaped(out, text, '"')?;
            out.write_str(if text.is_ascii() { "\">>" } else { "\"/utf8>>" })
        }
        _ => {
            out.write_str("<<")?;
            for (i, b) in bytes.iter().enumerate() {
                if i > 0 {
                    out.write_char(',')?;
                }
                write!(out, "{b}")?;
            }
            out.write_str(">>")
        }
    }
}

fn write_escaped(out: &mut Limited<'_, '_>, text: &str, quote: char) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if c == quote || c == '\\' => write!(out, "\\{c}")?,
            c if c.is_control() => write!(out, "\\x{{{:x}}}", c as u32)?,
            c => out.write_char(c)?,
        }
    }
    Ok(())
}
