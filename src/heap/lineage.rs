//! How much memory a literal area keeps alive, at most.
//!
//! An area keeps what it points into, and what that keeps. Counting along every path would count a version of a map that
//! leans on the last ten versions, each of which leans on those before, thousands of times. So areas are put in *lines*:
//! one that leans on the newest area of a line goes on with it, and whoever leans on an area of a line is taken to keep
//! all of that line up to there. That is never too little, and for a line of versions not much more than what lives, because
//! the line ends with the full copy that is made when it is too much (H28).

use super::HeapError;
use super::pages::reserve;
use super::shared::Shared;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Words of all areas of a line. (Plain `std`: a figure that nothing is ordered by.)
type Line = Shared<AtomicUsize>;

/// What an area keeps alive: of each line, so many words.
#[derive(Debug, Default)]
pub(crate) struct Kept(Vec<(Line, usize)>);

impl Kept {
    /// What a new area of `words` keeps that leans on areas that keep `deps`. An error, without memory: no line has changed.
    pub(crate) fn of<'a>(words: usize, deps: impl Iterator<Item = &'a Self>) -> Result<Self, HeapError> {
        let mut lines: Vec<(Line, usize)> = Vec::new();
        for (line, words) in deps.flat_map(|dep| &dep.0) {
            if let Some((_, most)) = lines.iter_mut().find(|(known, _)| known.ptr_eq(line)) {
                *most = (*most).max(*words);
            } else {
                reserve(&mut lines, 1)?;
                lines.push((line.clone(), *words));
            }
        }
        // Relaxed: whoever leans on the area that a figure is of knows it by other means.
        let goes_on = lines.iter_mut().find(|(line, so_far)| {
            line.compare_exchange(*so_far, so_far.saturating_add(words), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        });
        if let Some((_, so_far)) = goes_on {
            *so_far = so_far.saturating_add(words);
        } else {
            reserve(&mut lines, 1)?;
            lines.push((Shared::try_new(AtomicUsize::new(words)).map_err(|(error, _)| error)?, words));
        }
        Ok(Self(lines))
    }

    /// In words.
    pub(crate) fn words(&self) -> usize {
        self.0.iter().map(|(_, words)| *words).fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(words: usize, deps: &[&Kept]) -> Kept {
        Kept::of(words, deps.iter().copied()).unwrap()
    }

    #[test]
    fn versions_that_lean_on_all_before_are_counted_once() {
        let mut versions = vec![on(1000, &[])];
        for i in 1..100 {
            let next = on(10, &versions.iter().collect::<Vec<_>>());
            assert_eq!(next.words(), 1000 + 10 * i);
            versions.push(next);
        }
    }

    #[test]
    fn those_that_share_a_base_do_not_count_each_other() {
        let base = on(1000, &[]);
        let all: Vec<_> = (0..10).map(|_| on(10, &[&base])).collect();
        assert!(all.iter().all(|kept| kept.words() == 1010));
        // What keeps them all counts them all.
        assert_eq!(on(1, &all.iter().collect::<Vec<_>>()).words(), 1000 + 100 + 1);
        assert_eq!(on(1, &[&on(5, &[]), &on(6, &[])]).words(), 12);
    }
}
