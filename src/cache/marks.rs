//! Short notes about keys for which nothing is stored: "cannot be shared" (hit-for-miss) and "was purged".

use super::key::url_part;
use crate::verdict::{Key, NotStored};

use parking_lot::Mutex;
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// Independent locks; a power of two.
const SHARDS: usize = 64;
/// Most notes a shard keeps; 64 × 2,048 notes of about 60 bytes are 8 MB at most.
const PER_SHARD: usize = 2_048;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Its last response could not be stored: do not make clients wait for each other.
    HitForMiss(NotStored),
    /// What was stored has been purged and not been asked for since.
    Purged,
}

/// Notes by place.
type Shard = Mutex<HashMap<u128, Note>>;

struct Note {
    mark: Mark,
    /// The second in which it ends.
    until: u64,
    /// The URL of the key, so that all of one URL can be forgotten. Two URLs of one hash lose a note, no more.
    url: u64,
}

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
        shard.get(&place).filter(|note| note.until > now).map(|note| note.mark)
    }

    /// Notes something about a key until the given second.
    pub fn set(&self, key: &Key, with_credentials: bool, mark: Mark, now: u64, until: u64) {
        let place = place(key, with_credentials);
        let note = Note { mark, until, url: xxh3_64(url_part(key)) };
        let mut shard = self.shard(place).lock();
        if shard.len() >= PER_SHARD && !shard.contains_key(&place) {
            shard.retain(|_, note| note.until > now);
            // Still full: forget something; a forgotten note costs one request some waiting.
            if shard.len() >= PER_SHARD
                && let Some(any) = shard.keys().next().copied()
            {
                shard.remove(&any);
            }
        }
        shard.insert(place, note);
    }

    /// Forgets the note about a key.
    pub fn clear(&self, key: &Key, with_credentials: bool) {
        let place = place(key, with_credentials);
        self.shard(place).lock().remove(&place);
    }

    /// Forgets for every key of these URLs that it could not be shared. One lock at a time.
    pub fn clear_urls(&self, urls: &[Key]) {
        let urls: Vec<u64> = urls.iter().map(|url| xxh3_64(url_part(url))).collect();
        for shard in &self.shards {
            shard.lock().retain(|_, note| note.mark == Mark::Purged || !urls.contains(&note.url));
        }
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
    fn what_could_not_be_shared_is_forgotten_by_url() {
        let marks = Marks::default();
        let hit_for_miss = Mark::HitForMiss(NotStored::Private);
        let keys = [b"a", b"a", b"b"].map(|url| Key { hash: 0, bytes: SmallVec::from_slice(url) });
        for (hash, mark) in [hit_for_miss, Mark::Purged, hit_for_miss].into_iter().enumerate() {
            marks.set(&Key { hash: hash as u128 * 2, ..keys[hash].clone() }, false, mark, 10, 20);
        }
        marks.clear_urls(&keys[..1]);
        let left = [0, 2, 4].map(|hash| marks.find(&key(hash), false, 11));
        assert_eq!(left, [None, Some(Mark::Purged), Some(hit_for_miss)]);
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
