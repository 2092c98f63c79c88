//! Sorting the pairs of two large maps, one comparison at a time.
//!
//! Comparing two keys can take a comparison of any depth, with maps among its parts: so the sort does not call the
//! comparison, it is asked by it what to compare next (invariant 5).

use super::Map;
use super::compare::{Numbers, Range};
use super::place::Outside;
use super::word::Word;
use crate::heap::make_room;
use std::cmp::Ordering;

fn words(map: Map<'_, Outside>) -> Vec<[Word; 2]> {
    let mut words = Vec::new();
    make_room(&mut words, map.len());
    words.extend(map.iter().map(|(k, v)| [k.word(), v.word()]));
    words
}

/// Two maps of one size whose pairs are sorted by key: a merge sort from the bottom up.
pub(super) struct Sorting {
    /// Keys and values, in turn.
    pairs: [Vec<[Word; 2]>; 2],
    /// Of the side that is being sorted, what of this pass is done.
    merged: Vec<[Word; 2]>,
    /// The side; 2 when both are sorted.
    side: usize,
    /// Runs of so many are sorted.
    width: usize,
    /// The next of each of the two runs that are being merged.
    next: [usize; 2],
    /// A comparison was asked for.
    asked: bool,
    /// The ranges were handed out.
    compared: bool,
    numbers: Numbers,
}

impl Sorting {
    pub(super) fn new(a: Map<'_, Outside>, b: Map<'_, Outside>, numbers: Numbers) -> Self {
        let pairs = [words(a), words(b)];
        let mut merged = Vec::new();
        make_room(&mut merged, a.len());
        let mut this = Self { pairs, merged, side: 0, width: 1, next: [0, 1], asked: false, compared: false, numbers };
        this.begin(0);
        this
    }

    pub(super) fn is_sorting(&self) -> bool {
        self.side < 2
    }

    /// Begins to merge the two runs at `at`.
    fn begin(&mut self, at: usize) {
        let n = self.pairs[0].len();
        self.next = [at, (at + self.width).min(n)];
    }

    /// The next two keys to compare, or `None` when both maps are sorted; `last` is what the last two gave.
    pub(super) fn next(&mut self, last: Ordering) -> Option<(Word, Word)> {
        let mut last = std::mem::take(&mut self.asked).then_some(last);
        let n = self.pairs[0].len();
        while self.side < 2 {
            let pairs = &mut self.pairs[self.side];
            let at = self.merged.len();
            // What was merged is a whole number of double runs, and what of this one is done.
            let start = at / (2 * self.width) * (2 * self.width);
            let (middle, end) = ((start + self.width).min(n), (start + 2 * self.width).min(n));
            let [i, j] = self.next;
            let take = match (i < middle, j < end) {
                (true, true) => match last.take() {
                    None => {
                        self.asked = true;
                        return Some((pairs[i][0], pairs[j][0]));
                    }
                    Some(Ordering::Greater) => 1,
                    Some(_) => 0,
                },
                (true, false) => 0,
                _ => 1,
            };
            self.merged.push(pairs[self.next[take]]);
            self.next[take] += 1;
            let mut at = at + 1;
            if at == n {
                std::mem::swap(pairs, &mut self.merged);
                self.merged.clear();
                self.width *= 2;
                if self.width >= n {
                    (self.side, self.width) = (self.side + 1, 1);
                }
                at = 0;
            } else if at < end {
                continue;
            }
            self.begin(at);
        }
        None
    }

    /// What there is to compare once both are sorted, last first; `None` the second time.
    pub(super) fn ranges(&mut self) -> Option<[Range; 2]> {
        if std::mem::replace(&mut self.compared, true) {
            return None;
        }
        let [a, b] = &self.pairs;
        let (a, b): (*const Word, *const Word) = (a.as_ptr().cast(), b.as_ptr().cast());
        let n = self.pairs[0].len();
        Some([
            Range { a: a.wrapping_add(1), b: b.wrapping_add(1), n, step: 2, numbers: self.numbers },
            Range { a, b, n, step: 2, numbers: Numbers::Keys },
        ])
    }
}
