//! Remembers which objects left RAM unused, so that a second visit soon after is not taken for a first.

use std::collections::VecDeque;

use hashbrown::HashTable;

/// The ghost queue of S3-FIFO: fingerprints without objects, oldest forgotten first.
///
/// 32 bits an entry are enough: a false memory only lets an object skip probation, and among the 16,000
/// entries of a large shard it happens to 4 newcomers in a million. A place in the ring whose fingerprint
/// was recalled stays until it reaches the front, so the ring is what bounds the memory.
#[derive(Default)]
pub(super) struct Ghost {
    ring: VecDeque<u32>,
    /// Place (a running number that wraps) of the front of the ring.
    front: u32,
    /// Places of the fingerprints still remembered.
    places: HashTable<u32>,
}

impl Ghost {
    /// Remembers a fingerprint as the newest and forgets what no longer fits in `room` entries.
    pub(super) fn remember(&mut self, fingerprint: u32, room: usize) {
        self.recall(fingerprint);
        let place = self.front.wrapping_add(self.ring.len() as u32);
        self.ring.push_back(fingerprint);
        let (ring, front) = (&self.ring, self.front);
        self.places.insert_unique(spread(fingerprint), place, |&p| spread(at(ring, front, p)));
        while self.ring.len() > room {
            self.forget_oldest();
        }
    }

    /// Whether the fingerprint was remembered; it no longer is.
    pub(super) fn recall(&mut self, fingerprint: u32) -> bool {
        let (ring, front) = (&self.ring, self.front);
        let found = self.places.find_entry(spread(fingerprint), |&p| at(ring, front, p) == fingerprint);
        found.map(|entry| entry.remove()).is_ok()
    }

    fn forget_oldest(&mut self) {
        let front = self.front;
        if let Some(fingerprint) = self.ring.pop_front() {
            if let Ok(entry) = self.places.find_entry(spread(fingerprint), |&place| place == front) {
                entry.remove();
            }
            self.front = front.wrapping_add(1);
        }
    }
}

fn at(ring: &VecDeque<u32>, front: u32, place: u32) -> u32 {
    ring[place.wrapping_sub(front) as usize]
}

/// Fills 64 bits from 32, as the table takes its tag from the top seven (Knuth's multiplicative hash).
fn spread(fingerprint: u32) -> u64 {
    u64::from(fingerprint).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_once_and_the_oldest_forgotten() {
        let mut ghost = Ghost { front: u32::MAX - 5, ..Ghost::default() };
        (0..20).for_each(|fingerprint| ghost.remember(fingerprint, 10));
        assert!((0..10).all(|fingerprint| !ghost.recall(fingerprint)));
        assert!((10..20).all(|fingerprint| ghost.recall(fingerprint)));
        assert!((10..20).all(|fingerprint| !ghost.recall(fingerprint)));
    }

    #[test]
    fn an_old_place_does_not_take_a_newer_memory_with_it() {
        let mut ghost = Ghost::default();
        [7, 1, 7, 2].into_iter().for_each(|fingerprint| ghost.remember(fingerprint, 3));
        assert!(ghost.recall(7), "the first place of 7 left the ring, the second is still in it");
        (100..1_000).for_each(|fingerprint| ghost.remember(fingerprint % 5, 3));
        assert!(ghost.ring.len() <= 3 && ghost.places.len() <= 3);
    }
}
