//! A map that is a list, and finds its keys by looking at each for as long as it is short: most processes have a link or two,
//! some have a million.
//!
//! What needs memory says so (invariant 10): a place is made first, then filled.

use super::sparse::{FEW, SPARSE, thin_out};
use crate::heap::{HeapError, reserve, reserve_place, try_box};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};

/// Where in the list the keys are.
type Index<K> = HashMap<K, usize, BuildHasherDefault<DefaultHasher>>;

/// Iterates in an order that depends on its history alone, and not on the keys, so that the deterministic runtime repeats
/// itself: the same process has another pid in the next runtime of a program.
#[derive(Debug)]
pub(crate) struct SmallMap<K, V> {
    pairs: Vec<(K, V)>,
    /// Of as many keys as there are pairs, once there were more than a few of these.
    index: Option<Box<Index<K>>>,
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self { pairs: Vec::new(), index: None }
    }
}

impl<K: Eq + Hash + Copy, V> SmallMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    fn find(&self, key: &K) -> Option<usize> {
        match &self.index {
            None => self.pairs.iter().position(|(k, _)| k == key),
            Some(index) => index.get(key).copied(),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.find(key).map(|at| &mut self.pairs[at].1)
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.find(key).is_some()
    }

    /// Makes a place for one more key.
    pub(crate) fn reserve(&mut self) -> Result<(), HeapError> {
        reserve(&mut self.pairs, 1)?;
        match &mut self.index {
            Some(index) => reserve_place(index),
            None if self.pairs.len() < FEW => Ok(()),
            None => {
                let mut index = try_box(Index::default())?;
                index.try_reserve(2 * FEW).map_err(|_| HeapError::OutOfMemory { words: 2 * FEW })?;
                index.extend(self.pairs.iter().enumerate().map(|(at, (key, _))| (*key, at)));
                self.index = Some(index);
                Ok(())
            }
        }
    }

    /// Inserts a pair, or replaces the value of a key that is there. There must be a [place](Self::reserve) for it.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(old) = self.get_mut(&key) {
            *old = value;
            return;
        }
        if let Some(index) = &mut self.index {
            index.insert(key, self.pairs.len());
        }
        self.pairs.push((key, value));
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key)?;
        let (_, value) = self.pairs.swap_remove(at);
        if let Some(index) = &mut self.index {
            index.remove(key);
            if let Some((moved, _)) = self.pairs.get(at) {
                index.insert(*moved, at); // in its place: there is one for each key
            }
            // Well below the length at which there comes to be one, so that it does not go to and fro.
            if self.pairs.len() <= FEW / 2 {
                self.index = None;
            } else {
                thin_out(index);
            }
        }
        if self.pairs.is_empty() {
            self.pairs = Vec::new();
        } else if self.pairs.capacity() > SPARSE * self.pairs.len().max(FEW) {
            self.move_to(2 * self.pairs.len());
        }
        Some(value)
    }

    /// Keeps no room for more pairs, if there is memory for less.
    pub(crate) fn shrink(&mut self) {
        if self.index.is_none() && self.pairs.capacity() > self.pairs.len() {
            self.move_to(self.pairs.len());
        }
    }

    /// Moves the pairs to where there is room for so many, if there is memory for that.
    fn move_to(&mut self, room: usize) {
        let mut pairs = Vec::new();
        if pairs.try_reserve_exact(room).is_ok() {
            pairs.append(&mut self.pairs);
            self.pairs = pairs;
        }
    }

    pub(crate) fn keys(&self) -> Result<Vec<K>, HeapError> {
        let mut keys = Vec::new();
        reserve(&mut keys, self.len())?;
        keys.extend(self.pairs.iter().map(|(k, _)| *k));
        Ok(keys)
    }

    pub(crate) fn pairs(&self) -> Result<Vec<(K, V)>, HeapError>
    where
        V: Copy,
    {
        let mut all = Vec::new();
        reserve(&mut all, self.len())?;
        all.extend_from_slice(&self.pairs);
        Ok(all)
    }

    /// Takes the pairs apart one by one.
    pub(crate) fn into_pairs(self) -> impl Iterator<Item = (K, V)> {
        self.pairs.into_iter()
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

        #[test]
        fn its_order_is_one_of_history_whatever_the_keys(
            steps in prop::collection::vec((0_u64..60, any::<bool>()), 0..400),
            scatters in any::<u64>(),
        ) {
            let order = |name: &dyn Fn(u64) -> u64| {
                let mut map = SmallMap::default();
                for (key, insert) in &steps {
                    if *insert {
                        map.reserve().unwrap();
                        map.insert(name(*key), *key);
                    } else {
                        map.remove(&name(*key));
                    }
                }
                map.into_pairs().map(|(_, key)| key).collect::<Vec<_>>()
            };
            prop_assert_eq!(order(&|key| key), order(&|key| key ^ scatters));
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
        let index = map.index.as_ref().expect("twenty are many");
        assert!(index.capacity() <= SPARSE * 20 && map.pairs.capacity() <= SPARSE * 20 && map.len() == 20);
        for i in 8..20 {
            map.remove(&i);
        }
        assert!(map.index.is_none() && map.len() == 8);
    }
}
