//! Lists of areas that wait to be freed, linked through the areas themselves: that one joins takes no memory.

use crate::heap::literal::Area;
use std::ptr::NonNull;

/// Areas of the collector's, first come first. Whoever may change the list, by the lock that it is under, may read and write
/// the links of those that are on it, and nobody else does.
#[derive(Debug, Default)]
pub(super) struct Pending {
    ends: Option<[NonNull<Area>; 2]>,
}

// SAFETY: `Area` is `Send`, and so are those on a list.
unsafe impl Send for Pending {}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    /// Appends an area, which must live while it is here, and be on no list. Its references were these.
    pub(super) fn push(&mut self, area: NonNull<Area>, refs: u64) {
        // SAFETY: the caller's promise, here and below.
        let this = unsafe { area.as_ref() };
        // The last one leads to itself.
        let before = this.next.replace(Some(area));
        assert!(!crate::sync::MODELLED || before.is_none(), "an area waits to be freed twice");
        this.at_mark.set(refs);
        match &mut self.ends {
            Some([_, last]) => {
                // SAFETY: on the list.
                unsafe { last.as_ref() }.next.set(Some(area));
                *last = area;
            }
            none => *none = Some([area; 2]),
        }
    }

    /// Takes the first area out; and its references when it was pushed.
    pub(super) fn pop(&mut self) -> Option<(NonNull<Area>, u64)> {
        let [first, last] = self.ends?;
        // SAFETY: on the list.
        let this = unsafe { first.as_ref() };
        let next = this.next.take();
        self.ends = next.filter(|_| first != last).map(|next| [next, last]);
        Some((first, this.at_mark.get()))
    }

    /// Those on the list.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Area> {
        let mut next = self.ends.map(|[first, _]| first);
        std::iter::from_fn(move || {
            // SAFETY: on the list, while it is borrowed.
            let this = unsafe { next?.as_ref() };
            next = this.next.get().filter(|further| *further != NonNull::from(this));
            Some(this)
        })
    }
}
