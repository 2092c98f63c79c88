//! Checking every word of a heap.

use super::literal;
use super::raw::RawHeap;
use super::walk::Run;
use crate::term::map::MAX_FLAT;
use crate::term::word::{self, Object, Word};
use crate::term::{Numbers, TermRef, compare};

/// Checks that every word of the heap is what the layout allows: headers have a known kind and fit their chunk, pointers
/// lead to objects of the same heap, none from an older generation to a younger, or to literals that the filter covers,
/// keys are sorted, large maps are canonical, off-heap objects are linked to the list of their generation.
pub(crate) fn verify(heap: &RawHeap, root: Word) -> Result<(), String> {
    let mut runs = Vec::new();
    runs.extend(heap.old_runs().map(|run| (Age::Old, run)));
    runs.extend(heap.runs_from(heap.adopted).map(|run| (Age::Adopted, run)));
    runs.extend(heap.aged().map(|run| (Age::Aged, run)));
    runs.extend(heap.eden().map(|run| (Age::Eden, run)));
    let words: usize = runs.iter().map(|(_, run)| run.words()).sum();
    if words != heap.used() {
        return Err(format!("{words} words, and {} counted", heap.used()));
    }
    let mut check = Check { runs: &runs, filter: heap.filter, objects: Vec::new() };
    for (_, run) in &runs {
        check.objects_of(run)?;
    }
    check.objects.sort_unstable();
    for (age, run) in &runs {
        check.words_of(*age, run)?;
    }
    check.word(Age::Eden, root).map_err(|what| format!("the root {root:#x}: {what}"))?;
    let mut tries = super::verify_map::Tries::default();
    for (_, run) in &runs {
        // SAFETY: every word of the heap has been checked, and what lies in areas is taken at its word.
        unsafe { tries.check_all(&(run.start..run.end)) }?;
    }
    check.off_heap_list(heap.off_heap, |age| age != Age::Old)?;
    if let Some(old) = &heap.old {
        check.off_heap_list(old.space.off_heap, |age| age == Age::Old)?;
        check.filter = old.space.filter;
        for (_, run) in runs.iter().filter(|(age, _)| *age == Age::Old) {
            check.words_of(Age::Old, run).map_err(|what| format!("in the old generation: {what}"))?;
        }
    }
    Ok(())
}

/// How old the objects of a run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Eden,
    Aged,
    Adopted,
    Old,
}

impl Age {
    /// May an object of this age point to one of the other? (Invariant 2, where a minor collection relies on it.)
    fn reaches(self, other: Self) -> bool {
        match self {
            Self::Eden => true,
            Self::Aged => matches!(other, Self::Aged | Self::Old),
            Self::Adopted => other == Self::Adopted,
            Self::Old => other == Self::Old,
        }
    }
}

/// Are these keys of a map in order?
pub(super) fn in_order(a: TermRef<'_>, b: TermRef<'_>) -> bool {
    // SAFETY: both are alive while this runs.
    unsafe { compare(a.word(), b.word(), Numbers::Keys) }.is_lt()
}

struct Check<'a> {
    runs: &'a [(Age, Run)],
    filter: u64,
    /// Addresses of headers and of cells, the latter with the low bit set.
    objects: Vec<usize>,
}

impl Check<'_> {
    /// Notes where objects start.
    fn objects_of(&mut self, range: &Run) -> Result<(), String> {
        let mut p = range.start;
        while p < range.end {
            // SAFETY: a word in use of a chunk of the heap.
            let w = unsafe { *p };
            let size = if word::is_header(w) {
                if word::try_header_kind(w).is_none() {
                    return Err(format!("{w:#x} at {p:p} is no header"));
                }
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

    /// Is each off-heap object of these ages on the list, once, and nothing else?
    fn off_heap_list(&self, list: *mut Word, ages: impl Fn(Age) -> bool) -> Result<(), String> {
        let of_these = |address: usize| self.age_of(std::ptr::without_provenance_mut(address)).is_some_and(&ages);
        let is_off_heap = |address: usize| {
            // SAFETY: an object of this heap has a header; a cell's address has its low bit set.
            address & 1 == 0
                && word::header_kind(unsafe { *std::ptr::with_exposed_provenance::<Word>(address) }).is_off_heap()
        };
        let all = self.objects.iter().filter(|&&object| is_off_heap(object) && of_these(object)).count();
        let (mut p, mut linked) = (list, 0);
        while !p.is_null() {
            linked += 1;
            // The list is not followed out of the heap, nor round for ever.
            let known = self.objects.binary_search(&p.addr()).is_ok() && is_off_heap(p.addr()) && of_these(p.addr());
            if !known || linked > all {
                return Err(format!("the off-heap list has {p:p}, which is no object of it, or has it twice"));
            }
            p = super::off_heap::next(p);
        }
        if linked == all { Ok(()) } else { Err(format!("{all} off-heap objects, of which {linked} are linked")) }
    }

    fn age_of(&self, p: *mut Word) -> Option<Age> {
        self.runs.iter().find(|(_, run)| run.contains(p)).map(|(age, _)| *age)
    }

    fn words_of(&self, age: Age, range: &Run) -> Result<(), String> {
        let mut p = range.start;
        while p < range.end {
            // SAFETY: a word in use; `objects_of` has checked that the objects fill the range.
            let w = unsafe { *p };
            if word::is_header(w) {
                let (kind, size) = (word::header_kind(w), word::header_size(w));
                if kind == Object::Map {
                    self.map(age, p, size)?;
                }
                if kind.is_opaque() {
                    p = p.wrapping_add(size);
                }
            } else {
                self.word(age, w).map_err(|what| format!("{w:#x} at {p:p}: {what}"))?;
            }
            p = p.wrapping_add(1);
        }
        Ok(())
    }

    fn map(&self, age: Age, p: *mut Word, size: usize) -> Result<(), String> {
        // SAFETY: a map has a word for its keys behind its header, and `word` checks where that points to before it is
        // followed.
        unsafe {
            let keys = *p.add(1);
            self.word(age, keys).map_err(|what| format!("the keys of the map at {p:p}: {what}"))?;
            let keys = TermRef::from_word(keys).as_tuple().unwrap_or_default();
            if keys.len() + 1 != size {
                return Err(format!("the map at {p:p} has {} keys and {} values", keys.len(), size - 1));
            }
            if keys.len() <= MAX_FLAT && keys.is_sorted_by(|a, b| in_order(*a, *b)) {
                Ok(())
            } else {
                Err(format!("the keys of the map at {p:p}"))
            }
        }
    }

    /// A word of an object of that age.
    fn word(&self, age: Age, w: Word) -> Result<(), &'static str> {
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
        match self.age_of(p) {
            None => return Err("points out of its heap"),
            Some(other) if !age.reaches(other) => return Err("points to a younger generation"),
            Some(_) => {}
        }
        let object = p.addr() | usize::from(word::is_list(w));
        self.objects.binary_search(&object).map(|_| ()).map_err(|_| "points to no object of its kind")
    }
}
