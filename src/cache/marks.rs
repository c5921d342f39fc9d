//! Short notes about keys for which nothing is stored: "cannot be shared" (hit-for-miss) and "was purged".

use crate::verdict::{Key, NotStored};

use parking_lot::Mutex;
use std::collections::HashMap;

/// Independent locks; a power of two.
const SHARDS: usize = 64;
/// Most notes a shard keeps; 64 × 2,048 notes of about 50 bytes are 6 MB at most.
const PER_SHARD: usize = 2_048;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Its last response could not be stored: do not make clients wait for each other.
    HitForMiss(NotStored),
    /// What was stored has been purged and not been asked for since.
    Purged,
}

/// Notes by place, each with the second in which it ends.
type Shard = Mutex<HashMap<u128, (Mark, u64)>>;

/// The notes, bounded in number and in time.
pub struct Marks {
    shards: Box<[Shard]>,
}

impl Default for Marks {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

/// A note is about a key and whether its requests carry credentials: one client's private answer must not make
/// the public one uncacheable.
fn place(key: &Key, with_credentials: bool) -> u128 {
    key.hash ^ u128::from(with_credentials)
}

impl Marks {
    fn shard(&self, place: u128) -> &Shard {
        &self.shards[(place >> 70) as usize & (SHARDS - 1)]
    }

    /// The note about a key, unless it has expired.
    pub fn find(&self, key: &Key, with_credentials: bool, now: u64) -> Option<Mark> {
        let place = place(key, with_credentials);
        let shard = self.shard(place).lock();
        shard.get(&place).filter(|(_, until)| *until > now).map(|(mark, _)| *mark)
    }

    /// Notes something about a key until the given second.
    pub fn set(&self, key: &Key, with_credentials: bool, mark: Mark, now: u64, until: u64) {
        let place = place(key, with_credentials);
        let mut shard = self.shard(place).lock();
        if shard.len() >= PER_SHARD && !shard.contains_key(&place) {
            shard.retain(|_, (_, until)| *until > now);
            // Still full: forget something; a forgotten note costs one request some waiting.
            if shard.len() >= PER_SHARD
                && let Some(any) = shard.keys().next().copied()
            {
                shard.remove(&any);
            }
        }
        shard.insert(place, (mark, until));
    }

    /// Forgets the note about a key.
    pub fn clear(&self, key: &Key, with_credentials: bool) {
        let place = place(key, with_credentials);
        self.shard(place).lock().remove(&place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smallvec::SmallVec;

    fn key(hash: u128) -> Key {
        Key { hash, bytes: SmallVec::new() }
    }

    #[test]
    fn a_note_ends_with_its_time_and_never_crosses_credentials() {
        let marks = Marks::default();
        marks.set(&key(1), false, Mark::Purged, 10, 20);
        assert_eq!(marks.find(&key(1), false, 19), Some(Mark::Purged));
        assert_eq!(marks.find(&key(1), false, 20), None);
        assert_eq!(marks.find(&key(1), true, 11), None);
    }

    #[test]
    fn notes_are_bounded() {
        let marks = Marks::default();
        for n in 0..400_000u128 {
            marks.set(&key(n << 64), false, Mark::Purged, 10, 20);
        }
        let kept: usize = marks.shards.iter().map(|s| s.lock().len()).sum();
        assert!(kept <= SHARDS * PER_SHARD, "{kept}");
    }
}
