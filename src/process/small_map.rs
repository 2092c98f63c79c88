//! A map that is a short list for as long as it is small: most processes have a link or two, some have a million.
//!
//! What needs memory says so (invariant 10): a place is made first, then filled.

use crate::heap::{HeapError, reserve, reserve_place};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};

/// Up to so many pairs are a list.
pub(super) const FEW: usize = 16;
/// A table with room for so many times what is in it is too large.
pub(super) const SPARSE: usize = 8;

/// Without a secret, which keys that this crate gives out need not have: the order is the same in each run.
type Table<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Iterates in an order that depends on its contents and its history alone, so that the deterministic runtime repeats
/// itself.
#[derive(Debug)]
pub(crate) enum SmallMap<K, V> {
    Few(Vec<(K, V)>),
    Many(Table<K, V>),
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<K: Eq + Hash + Copy, V> SmallMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(pairs) => pairs.len(),
            Self::Many(map) => map.len(),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Self::Few(pairs) => pairs.iter_mut().find(|(k, _)| k == key).map(|(_, v)| v),
            Self::Many(map) => map.get_mut(key),
        }
    }

    pub(crate) fn contains(&mut self, key: &K) -> bool {
        self.get_mut(key).is_some()
    }

    /// Makes a place for one more key.
    pub(crate) fn reserve(&mut self) -> Result<(), HeapError> {
        match self {
            Self::Few(pairs) if pairs.len() < FEW => reserve(pairs, 1),
            Self::Few(pairs) => {
                let mut map = Table::default();
                map.try_reserve(2 * FEW).map_err(|_| HeapError::OutOfMemory { words: 2 * FEW })?;
                map.extend(pairs.drain(..));
                *self = Self::Many(map);
                Ok(())
            }
            Self::Many(map) => reserve_place(map),
        }
    }

    /// Inserts a pair, or replaces the value of a key that is there. There must be a [place](Self::reserve) for it.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(old) = self.get_mut(&key) {
            *old = value;
            return;
        }
        match self {
            Self::Few(pairs) => pairs.push((key, value)),
            Self::Many(map) => _ = map.insert(key, value),
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Self::Few(pairs) => {
                let at = pairs.iter().position(|(k, _)| k == key)?;
                let (_, value) = pairs.swap_remove(at);
                if pairs.is_empty() {
                    *pairs = Vec::new();
                }
                Some(value)
            }
            Self::Many(map) => {
                let value = map.remove(key)?;
                // Well below the length at which a list becomes a table, so that it does not go to and fro.
                if map.len() <= FEW / 2 {
                    // Without memory for less, it stays as it is.
                    let mut pairs = Vec::new();
                    if reserve(&mut pairs, map.len()).is_ok() {
                        pairs.extend(map.drain());
                        *self = Self::Few(pairs);
                    }
                } else {
                    thin_out(map);
                }
                Some(value)
            }
        }
    }

    /// Keeps no room for more pairs, if there is memory for less.
    pub(crate) fn shrink(&mut self) {
        if let Self::Few(pairs) = self
            && pairs.capacity() > pairs.len()
        {
            let mut tight = Vec::new();
            if tight.try_reserve_exact(pairs.len()).is_ok() {
                tight.append(pairs);
                *pairs = tight;
            }
        }
    }

    pub(crate) fn keys(&self) -> Result<Vec<K>, HeapError> {
        let mut keys = Vec::new();
        reserve(&mut keys, self.len())?;
        match self {
            Self::Few(pairs) => keys.extend(pairs.iter().map(|(k, _)| *k)),
            Self::Many(map) => keys.extend(map.keys()),
        }
        Ok(keys)
    }

    pub(crate) fn pairs(&self) -> Result<Vec<(K, V)>, HeapError>
    where
        V: Copy,
    {
        let mut all = Vec::new();
        reserve(&mut all, self.len())?;
        match self {
            Self::Few(pairs) => all.extend_from_slice(pairs),
            Self::Many(map) => all.extend(map.iter().map(|(k, v)| (*k, *v))),
        }
        Ok(all)
    }

    /// Takes the pairs apart one by one.
    pub(crate) fn into_pairs(self) -> impl Iterator<Item = (K, V)> {
        let (few, many) = match self {
            Self::Few(pairs) => (pairs, Table::default()),
            Self::Many(map) => (Vec::new(), map),
        };
        few.into_iter().chain(many)
    }
}

/// Moves what is left in a table that was much larger to a smaller one, if there is memory for that: O(1) for each pair that
/// was removed.
pub(crate) fn thin_out<K: Eq + Hash, V, S: std::hash::BuildHasher + Default>(map: &mut HashMap<K, V, S>) {
    if map.capacity() <= SPARSE * map.len().max(FEW) {
        return;
    }
    let mut less = HashMap::default();
    if less.try_reserve(2 * map.len()).is_ok() {
        less.extend(map.drain());
        *map = less;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn is_a_map(steps in prop::collection::vec((0u8..40, any::<bool>()), 0..400)) {
            let (mut map, mut model) = (SmallMap::default(), BTreeMap::new());
            for (i, (key, insert)) in steps.into_iter().enumerate() {
                if insert {
                    map.reserve().unwrap();
                    map.insert(key, i);
                    model.insert(key, i);
                } else {
                    prop_assert_eq!(map.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.get_mut(&key).copied(), model.get(&key).copied());
            }
            let mut pairs: Vec<_> = map.into_pairs().collect();
            pairs.sort_unstable();
            prop_assert_eq!(pairs, model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_table_that_was_large_gives_its_memory_back() {
        let mut map = SmallMap::default();
        for i in 0..10_000 {
            map.reserve().unwrap();
            map.insert(i, ());
        }
        for i in 20..10_000 {
            map.remove(&i);
        }
        let SmallMap::Many(table) = &map else { panic!("twenty are many") };
        assert!(table.capacity() <= SPARSE * 20 && map.len() == 20);
        for i in 8..20 {
            map.remove(&i);
        }
        assert!(matches!(map, SmallMap::Few(pairs) if pairs.len() == 8));
    }
}
