//! Other literals in the place of those that a heap or a region points to, where they are.
//!
//! Terms are immutable (invariant 2) to whoever can see them. Between two turns nobody sees those of a process, nor a
//! message that it has not received yet: like a collection, whoever answers one may write there.

use super::collect::in_retired;
use super::off_heap;
use super::raw::RawHeap;
use super::region::Region;
use super::resource;
use super::walk::Run;
use super::{HeapError, literal};
use crate::sync::mutation::{Mutation, mutated};
use crate::term::word::{self, Object, Word};

impl Run {
    /// Calls `f` with the place of each literal among the words.
    ///
    /// # Safety
    ///
    /// As for [`any_literal`](Self::any_literal), and nobody else may read the words.
    unsafe fn each_literal(self, f: &mut impl FnMut(&mut Word)) {
        let mut p = self.start;
        while p < self.end {
            // SAFETY: the caller's promise: a term, or a header, whose object is stepped over if it holds no terms.
            unsafe {
                let w = *p;
                if word::is_literal(w) {
                    f(&mut *p);
                } else if word::is_header(w) && word::header_is_opaque(w) {
                    p = p.add(word::header_size(w));
                }
                p = p.add(1);
            }
        }
    }
}

impl RawHeap {
    /// Calls `f` with the root and with the place of each literal, garbage included, in the same order each time, if nothing
    /// happens in between but that `f` puts other literals there. The filter is exact afterwards.
    ///
    /// # Safety
    ///
    /// Nobody else may read the heap. What is there, and what `f` puts there, must be of areas that live.
    pub(crate) unsafe fn each_literal(&mut self, root: &mut Word, mut f: impl FnMut(&mut Word)) {
        let mut bits = 0;
        let mut each = |w: &mut Word| {
            f(w);
            bits |= literal::entry(*w).bit();
        };
        if word::is_literal(*root) {
            each(root);
        }
        for run in self.all() {
            // SAFETY: the caller's promise; the objects of a heap that stands still are complete.
            unsafe { run.each_literal(&mut each) };
        }
        if !mutated(Mutation::ShareNotNoted) {
            self.set_filter(bits);
        }
    }
}

impl Region {
    /// As [`RawHeap::each_literal`].
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn each_literal(&mut self, f: impl FnMut(&mut Word)) {
        // SAFETY: the caller's promise.
        self.as_mut_heap(|heap, root| unsafe { heap.each_literal(root, f) });
    }

    /// Does a word of it, garbage included, point into a retired area, given the bits of those that are?
    pub(crate) fn points_into(&self, retired: u64) -> bool {
        let holds = |heap: &RawHeap| super::literals_of(heap, self.root_word(), retired) == super::Literals::Retired;
        self.filter() & retired != 0 && self.as_heap(holds)
    }

    /// Calls `f` with each of the Rust values that it [keeps](Self::keep) or has terms of.
    pub(crate) fn each_resource(&self, f: impl FnMut(&resource::Anything)) {
        // SAFETY: the region's own objects, which it has complete and does not change.
        self.as_heap(|heap| unsafe { off_heap::each_resource(heap.off_heap, f) });
    }

    /// Keeps `kept` for as long as the region, or the heap that takes it over, has the memory that it has now. No term leads
    /// there: a copy has nothing of it. Four words.
    pub(crate) fn keep(&mut self, kept: Box<resource::Anything>) -> Result<(), HeapError> {
        self.as_mut_heap(|heap, _| {
            // And no chunk with room for as much again as the region has.
            heap.set_limit(heap.used() + 1 + resource::SIZE);
            let p = heap.alloc(1 + resource::SIZE)?;
            // SAFETY: so many words were just allocated in the heap that the list belongs to.
            unsafe { off_heap::write(p, kept, &mut heap.off_heap) };
            Ok(())
        })
    }
}

/// The words of terms that are to be copied together, so that what they share is copied once: the elements of a tuple that
/// no heap has. Many messages mostly have the same few: a word that was shown not long ago is no element again.
pub(crate) struct Gathered {
    /// The header, and the elements.
    words: Vec<Word>,
    recent: Recent,
    failed: Option<HeapError>,
    retired: u64,
}

/// Words that were shown not long ago, each in the only place that it can have, with what is to be put in their place. Who is
/// shown the same words in the same order finds the same among them.
struct Recent([(Word, Word); 64]);

impl Recent {
    /// None; zero is no literal.
    const NONE: Self = Self([(0, 0); 64]);

    /// The place of `w`, which has it, or another one.
    fn place(&mut self, w: Word) -> &mut (Word, Word) {
        &mut self.0[(w.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize]
    }
}

impl Gathered {
    /// None yet; of the literals that it is shown it will take those of retired areas, given the bits of those.
    pub(crate) fn new(retired: u64) -> Self {
        Self { words: Vec::new(), recent: Recent::NONE, failed: None, retired }
    }

    /// # Safety
    ///
    /// The areas that `w` may point into must live, until this is dropped.
    pub(crate) unsafe fn show(&mut self, w: Word) {
        // SAFETY: the caller's promise.
        if !unsafe { in_retired(w, self.retired) } {
            return;
        }
        let place = self.recent.place(w);
        if place.0 == w {
            return;
        }
        *place = (w, 0);
        let n = if self.words.is_empty() { 2 } else { 1 };
        match super::pages::reserve(&mut self.words, n) {
            Ok(()) => {
                if n == 2 {
                    self.words.push(0);
                }
                self.words.push(w);
            }
            Err(error) => self.failed = Some(error),
        }
    }

    /// The word of the tuple, or an error if there was no memory for all of it. One was shown at least.
    pub(crate) fn tuple(&mut self) -> Result<Word, HeapError> {
        self.failed.map_or(Ok(()), Err)?;
        self.words[0] = word::header(Object::Tuple, 0, self.words.len() - 1);
        Ok(word::pointer(self.words.as_mut_ptr(), word::BOXED))
    }

    /// Puts what the elements of `copy` are in the place of those that were shown, to be called with each again in the same
    /// order.
    ///
    /// # Safety
    ///
    /// `copy` must be the word of a copy of the tuple, and live as long as what this returns. As for [`show`](Self::show).
    pub(crate) unsafe fn replacing(&self, copy: Word) -> impl FnMut(&mut Word) {
        let mut next = word::address(copy).wrapping_add(1);
        let (retired, mut recent) = (self.retired, Recent::NONE);
        move |w| {
            // SAFETY: the caller's promise.
            if !unsafe { in_retired(*w, retired) } {
                return;
            }
            let place = recent.place(*w);
            if place.0 != *w {
                // SAFETY: the caller's promise: the copy has as many elements as were not found among the recent ones, then
                // as now.
                unsafe {
                    *place = (*w, *next);
                    next = next.add(1);
                }
            }
            *w = place.1;
        }
    }

    /// The words of the tuple itself.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::RawHeap;
    use crate::Region;
    use std::sync::Arc;

    #[test]
    fn what_is_kept_takes_four_words_and_no_room_for_more() {
        for n in 0..300 {
            let mut region = Region::build(|h| h.tuple(&[h.list(0..n)]));
            let (words, capacity) = (region.words(), region.as_heap(RawHeap::capacity));
            let (kept, before) = (Arc::new(()), region.root().to_string());
            for i in 1..4 {
                region.keep(Box::new(Arc::clone(&kept))).unwrap();
                assert!(region.as_heap(RawHeap::capacity) <= capacity + 4 * i, "{n}");
                assert_eq!(region.words(), words + 4 * i);
            }
            region.verify().unwrap();
            assert_eq!((Arc::strong_count(&kept), region.root().to_string()), (4, before));
            drop(region);
            assert_eq!(Arc::strong_count(&kept), 1);
        }
    }
}
