//! A map that is a short list for as long as it is small: most processes have a link or two, some have a million.

use std::collections::BTreeMap;

/// Up to so many pairs are a list.
const FEW: usize = 16;

/// Iterates in an order that depends on its contents and its history alone, so that the deterministic runtime repeats
/// itself.
#[derive(Debug)]
pub(crate) enum SmallMap<K, V> {
    Few(Vec<(K, V)>),
    // A tree, not a hash table: the order is the same in each run.
    Many(BTreeMap<K, V>),
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<K: Ord + Copy, V> SmallMap<K, V> {
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

    /// Inserts a pair, or replaces the value of a key that is there.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(old) = self.get_mut(&key) {
            *old = value;
            return;
        }
        match self {
            Self::Few(pairs) if pairs.len() < FEW => pairs.push((key, value)),
            Self::Few(pairs) => {
                let mut map: BTreeMap<_, _> = std::mem::take(pairs).into_iter().collect();
                map.insert(key, value);
                *self = Self::Many(map);
            }
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
                // Well below the length at which a list becomes a tree, so that it does not go to and fro.
                if map.len() <= FEW / 2 {
                    *self = Self::Few(std::mem::take(map).into_iter().collect());
                }
                Some(value)
            }
        }
    }

    /// Keeps no room for more pairs.
    pub(crate) fn shrink(&mut self) {
        if let Self::Few(pairs) = self {
            pairs.shrink_to_fit();
        }
    }

    pub(crate) fn keys(&self) -> Vec<K> {
        match self {
            Self::Few(pairs) => pairs.iter().map(|(k, _)| *k).collect(),
            Self::Many(map) => map.keys().copied().collect(),
        }
    }

    pub(crate) fn pairs(&self) -> Vec<(K, V)>
    where
        V: Copy,
    {
        match self {
            Self::Few(pairs) => pairs.clone(),
            Self::Many(map) => map.iter().map(|(k, v)| (*k, *v)).collect(),
        }
    }

    /// Takes the pairs apart one by one.
    pub(crate) fn into_pairs(self) -> impl Iterator<Item = (K, V)> {
        let (few, many) = match self {
            Self::Few(pairs) => (pairs, BTreeMap::new()),
            Self::Many(map) => (Vec::new(), map),
        };
        few.into_iter().chain(many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_map(steps in prop::collection::vec((0u8..40, any::<bool>()), 0..400)) {
            let (mut map, mut model) = (SmallMap::default(), BTreeMap::new());
            for (i, (key, insert)) in steps.into_iter().enumerate() {
                if insert {
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
}
