//! Forgetting on demand: by URL, every variant, at once.

use super::Cache;
use super::marks::Mark;
use crate::verdict::Key;

/// Seconds for which a later miss still says `purged`.
const REMEMBER: u64 = 3600;

impl Cache {
    /// Forgets every variant of a resource, stored or on its way in. Gives the number of stored responses and
    /// fetches it took away.
    pub fn purge(&self, key: &Key, now: u64) -> usize {
        // Fetches first: one that ends in between stores its object and then sees that it is doomed.
        let fetches = self.flights.doom(key);
        let objects = self.ram.remove(key.hash, |o| o.key == *key);
        for with_credentials in [false, true] {
            let known = self.marks.find(key, with_credentials, now);
            if fetches + objects > 0 {
                self.marks.set(key, with_credentials, Mark::Purged, now, now + REMEMBER);
            } else if known != Some(Mark::Purged) {
                self.marks.clear(key, with_credentials);
            }
        }
        fetches + objects
    }
}
