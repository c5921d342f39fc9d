//! A map from names to things that is looked up with borrowed text.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// Things by name. Names come from configuration, so that nobody outside can make them collide.
#[derive(Clone, Debug)]
pub struct Names<T> {
    table: HashTable<(Box<str>, T)>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { table: HashTable::new() }
    }
}

impl<T> Names<T> {
    /// The thing of a name.
    pub fn get(&self, name: &str) -> Option<&T> {
        if self.table.is_empty() {
            return None;
        }
        self.table.find(hash(name), |(known, _)| **known == *name).map(|(_, thing)| thing)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

impl<T: Default> Names<T> {
    /// The thing of a name, made if it is new.
    pub fn entry(&mut self, name: &str) -> &mut T {
        let is_it = |(known, _): &(Box<str>, T)| **known == *name;
        let entry = self.table.entry(hash(name), is_it, |(known, _)| hash(known));
        &mut entry.or_insert_with(|| (name.into(), T::default())).into_mut().1
    }
}

fn hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}
