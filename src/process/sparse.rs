//! Tables that were large and hold little give their memory back.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// So many are few: nothing is too large for them, and a list of them needs no index.
pub(super) const FEW: usize = 16;
/// What has room for so many times what is in it is too large.
pub(super) const SPARSE: usize = 8;

/// Moves what is left in a table that was much larger to a smaller one, if there is memory for that: O(1) for each pair that
/// was removed.
pub(super) fn thin_out<K: Eq + Hash, V, S: BuildHasher + Default>(map: &mut HashMap<K, V, S>) {
    if map.capacity() <= SPARSE * map.len().max(FEW) {
        return;
    }
    let mut less = HashMap::default();
    if less.try_reserve(2 * map.len()).is_ok() {
        less.extend(map.drain());
        *map = less;
    }
}
