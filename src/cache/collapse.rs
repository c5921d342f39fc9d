//! One fetch per resource, however many clients ask: the map of fetches in flight.

use super::object::Variant;
use super::store::fill::{Fill, Verdict};
use crate::verdict::Key;

use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// Independent locks; a power of two.
const SHARDS: usize = 64;

/// Fetches of one resource at once: each is looked at by every request for it.
const MAX_FETCHES: usize = 64;

type Shard = Mutex<HashMap<u128, SmallVec<[Arc<Fill>; 2]>>>;

/// Every fetch whose response can still be shared.
pub struct Flights {
    shards: Box<[Shard]>,
}

/// What came of asking for a fetch.
pub enum Joined {
    /// Nobody fetches it: the caller must.
    Lead(Arc<Fill>),
    /// Somebody does: read along.
    Follow(Arc<Fill>),
    /// So many variants of it are being fetched that one more is not worth looking for.
    Crowded,
}

impl Default for Flights {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }
}

impl Flights {
    fn shard(&self, key: &Key) -> &Shard {
        &self.shards[(key.hash >> 64) as usize & (SHARDS - 1)]
    }

    /// The fetch that `wanted` accepts, if there is one.
    pub fn find(&self, key: &Key, wanted: impl Fn(&Fill) -> bool) -> Option<Arc<Fill>> {
        let shard = self.shard(key).lock();
        shard.get(&key.hash)?.iter().rev().find(|f| f.key == *key && wanted(f)).cloned()
    }

    /// Joins the fetch that `wanted` accepts, or becomes the leader of the one that `make` gives. `again` looks
    /// into the store once more under the lock: a fetch that has just ended left its object there.
    pub fn join<T>(
        &self,
        key: &Key,
        wanted: impl Fn(&Fill) -> bool,
        again: impl FnOnce() -> Option<T>,
        make: impl FnOnce() -> Arc<Fill>,
    ) -> Result<Joined, T> {
        let mut shard = self.shard(key).lock();
        let fills = shard.entry(key.hash).or_default();
        if let Some(fill) = fills.iter().rev().find(|f| f.key == *key && wanted(f)) {
            return Ok(Joined::Follow(fill.clone()));
        }
        if fills.len() >= MAX_FETCHES {
            return Ok(Joined::Crowded);
        }
        let empty = fills.is_empty();
        let Some(found) = again() else {
            let fill = make();
            fills.push(fill.clone());
            return Ok(Joined::Lead(fill));
        };
        if empty {
            shard.remove(&key.hash);
        }
        Err(found)
    }

    /// Takes a fetch out: it is over, or nobody may join it any more.
    pub fn remove(&self, fill: &Arc<Fill>) {
        let mut shard = self.shard(&fill.key).lock();
        if let Some(fills) = shard.get_mut(&fill.key.hash) {
            fills.retain(|f| !Arc::ptr_eq(f, fill));
            if fills.is_empty() {
                shard.remove(&fill.key.hash);
            }
        }
    }

    /// Takes out every fetch for the key and dooms it: what it brings was asked for before the purge.
    pub fn doom(&self, key: &Key) -> usize {
        let mut shard = self.shard(key).lock();
        let Some(fills) = shard.get_mut(&key.hash) else { return 0 };
        let before = fills.len();
        fills.retain(|fill| keep(fill, |fill| fill.key == *key));
        let doomed = before - fills.len();
        if fills.is_empty() {
            shard.remove(&key.hash);
        }
        doomed
    }

    /// The same for every fetch that `named` names, whatever its key. One lock at a time.
    pub fn doom_where(&self, named: impl Fn(&Fill) -> bool) -> Vec<Arc<Fill>> {
        let mut doomed = Vec::new();
        for shard in &self.shards {
            shard.lock().retain(|_, fills| {
                fills.retain(|fill| {
                    let kept = keep(fill, &named);
                    doomed.extend((!kept).then(|| fill.clone()));
                    kept
                });
                !fills.is_empty()
            });
        }
        doomed
    }

    /// Fetches in flight: those without a head yet, and those whose body is coming in.
    pub fn count(&self) -> (usize, usize) {
        let mut counts = (0, 0);
        for shard in &self.shards {
            for fill in shard.lock().values().flatten() {
                match fill.progress().verdict {
                    Verdict::Pending => counts.0 += 1,
                    _ => counts.1 += 1,
                }
            }
        }
        counts
    }
}

/// Whether a fetch stays: one that is named is doomed and does not.
fn keep(fill: &Fill, named: impl Fn(&Fill) -> bool) -> bool {
    let doomed = named(fill);
    if doomed {
        fill.doom();
    }
    !doomed
}

/// Whether a request with these selecting fields may wait for a fetch that has no head yet.
pub fn same_guess(fill: &Fill, guess: Option<&Variant>) -> bool {
    fill.guess.as_ref() == guess
}
