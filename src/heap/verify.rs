//! Checking every word of a heap.

use super::literal;
use super::raw::RawHeap;
use crate::term::word::{self, Object, Word};
use std::ops::Range;

/// Checks that every word of the heap is what the layout allows: headers have a known kind and fit their chunk, pointers
/// lead to objects of the same heap or to literals that the filter covers, keys are sorted, off-heap objects are linked.
pub(crate) fn verify(heap: &RawHeap, root: Word) -> Result<(), String> {
    let ranges = heap.ranges();
    let mut check = Check { ranges: &ranges, filter: heap.filter, objects: Vec::new(), off_heap: 0 };
    for range in &ranges {
        check.objects_of(range)?;
    }
    check.objects.sort_unstable();
    for range in &ranges {
        check.words_of(range)?;
    }
    check.word(root).map_err(|what| format!("the root {root:#x}: {what}"))?;
    check.off_heap_list(heap.off_heap)
}

struct Check<'a> {
    ranges: &'a [Range<*mut Word>],
    filter: u64,
    /// Addresses of headers and of cells, the latter with the low bit set.
    objects: Vec<usize>,
    off_heap: usize,
}

impl Check<'_> {
    /// Notes where objects start.
    fn objects_of(&mut self, range: &Range<*mut Word>) -> Result<(), String> {
        let mut p = range.start;
        while p < range.end {
            // SAFETY: a word in use of a chunk of the heap.
            let w = unsafe { *p };
            let size = if word::is_header(w) {
                let Some(kind) = word::try_header_kind(w) else { return Err(format!("{w:#x} at {p:p} is no header")) };
                self.off_heap += usize::from(kind.is_off_heap());
                self.objects.push(p.addr());
                if word::header_size(w) == 0 {
                    return Err(format!("an object without words at {p:p}"));
                }
                1 + word::header_size(w)
            } else {
                self.objects.push(p.addr() | 1);
                2
            };
            // SAFETY: compared before it is used; a range holds at most what an allocation can.
            p = p.wrapping_add(size);
        }
        if p == range.end { Ok(()) } else { Err(format!("the last object runs {p:p} past {:p}", range.end)) }
    }

    /// Is each off-heap object of the heap on its list, once, and nothing else?
    fn off_heap_list(&self, list: *mut Word) -> Result<(), String> {
        let (mut p, mut linked) = (list, 0);
        while !p.is_null() {
            linked += 1;
            // SAFETY: an object of this heap has a header; the list is not followed out of it, nor round for ever.
            let known = self.objects.binary_search(&p.addr()).is_ok() && word::header_is_off_heap(unsafe { *p });
            if !known || linked > self.off_heap {
                return Err(format!("the off-heap list has {p:p}, which is no object of it, or has it twice"));
            }
            p = super::off_heap::next(p);
        }
        if linked == self.off_heap {
            Ok(())
        } else {
            Err(format!("{} off-heap objects, of which {linked} are linked", self.off_heap))
        }
    }

    fn words_of(&self, range: &Range<*mut Word>) -> Result<(), String> {
        let mut p = range.start;
        while p < range.end {
            // SAFETY: a word in use; `objects_of` has checked that the objects fill the range.
            let w = unsafe { *p };
            if word::is_header(w) {
                let (kind, size) = (word::header_kind(w), word::header_size(w));
                if kind == Object::Map {
                    self.map(p, size)?;
                }
                if kind.is_opaque() {
                    p = p.wrapping_add(size);
                }
            } else {
                self.word(w).map_err(|what| format!("{w:#x} at {p:p}: {what}"))?;
            }
            p = p.wrapping_add(1);
        }
        Ok(())
    }

    fn map(&self, p: *mut Word, size: usize) -> Result<(), String> {
        // SAFETY: a map has a word for its keys behind its header, and `word` checks where that points to before it is
        // followed.
        unsafe {
            let keys = *p.add(1);
            self.word(keys).map_err(|what| format!("the keys of the map at {p:p}: {what}"))?;
            let keys = crate::term::TermRef::from_word(keys).as_tuple().unwrap_or_default();
            if keys.len() + 1 != size {
                return Err(format!("the map at {p:p} has {} keys and {} values", keys.len(), size - 1));
            }
            if keys.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(format!("the keys of the map at {p:p}")) }
        }
    }

    fn word(&self, w: Word) -> Result<(), &'static str> {
        if w == 0 {
            return Err("zero");
        }
        if word::is_immediate(w) {
            return Ok(());
        }
        if word::is_literal(w) {
            let entry = literal::entry(w);
            return match () {
                () if entry.is_null() => Err("a literal of no area"),
                () if entry.bit() & self.filter == 0 => Err("a literal that the filter does not cover"),
                () => Ok(()),
            };
        }
        let p = word::address(w);
        if !self.ranges.iter().any(|range| range.contains(&p)) {
            return Err("points out of its heap");
        }
        let object = p.addr() | usize::from(word::is_list(w));
        self.objects.binary_search(&object).map(|_| ()).map_err(|_| "points to no object of its kind")
    }
}
