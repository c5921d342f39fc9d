//! Keeps the objects of one part of the RAM cache and finds them by hash: what one lock covers.

use std::sync::Arc;

use hashbrown::{HashTable, hash_table::Entry as Place};
use smallvec::SmallVec;

use super::ram::Weigh;
use super::s3fifo::{Chance, Entry, NONE, Queue, S3Fifo, Standing, Step, Tally, push_tight};

/// A table from hash to the newest resident of that hash; residents of one hash are chained, newest first.
///
/// An object costs 24 bytes here, 32 in the queues, 5 in the table and 9 in the ghost, without spare
/// capacity.
pub(super) struct Shard<O> {
    newest: HashTable<u32>,
    slots: Vec<Slot<O>>,
    /// First of the chain of empty slots.
    empty: u32,
    queues: S3Fifo,
}

/// What was taken out of a shard. Dropped by the caller after the lock: freeing a large body takes time.
pub(super) struct Taken<O> {
    pub(super) objects: SmallVec<[Arc<O>; 2]>,
    pub(super) bytes: u64,
    /// The best standing among them.
    standing: Option<Standing>,
}

/// What one step of eviction did.
pub(super) enum Outcome<O> {
    Evicted(Arc<O>, u64),
    Kept,
}

impl<O: Weigh> Shard<O> {
    pub(super) fn find(&self, hash: u128, mut pick: impl FnMut(&O) -> bool) -> Option<(u32, &Arc<O>)> {
        self.residents(hash).find(|(_, object)| pick(object))
    }

    pub(super) fn visit(&self, slot: u32) {
        self.queues.visit(slot);
    }

    pub(super) fn tally(&self) -> Tally {
        self.queues.tally()
    }

    /// Links an object in as the newest of its hash, in the place of what `replaced` holds, if anything.
    pub(super) fn link(&mut self, object: Arc<O>, weight: u64, age: u64, replaced: &Taken<O>) {
        let hash = object.hash();
        let slot = self.fill_slot(tag(hash), object);
        let entry = Entry { weight, age, fingerprint: fingerprint(hash) };
        self.queues.enter(slot, entry, replaced.standing);
        let slots = &mut self.slots;
        let same = |&head: &u32| slots[head as usize].tag == tag(hash);
        match self.newest.entry(tag(hash), same, |&head| slots[head as usize].tag) {
            Place::Occupied(mut head) => slots[slot as usize].next = std::mem::replace(head.get_mut(), slot),
            Place::Vacant(place) => drop(place.insert(slot)),
        }
    }

    /// The hashes of all residents that `named` names; one that has several comes as often.
    pub(super) fn hashes(&self, named: impl Fn(&O) -> bool) -> Vec<u128> {
        let residents = self.slots.iter().filter_map(|slot| slot.object.as_ref());
        residents.filter(|object| named(object)).map(|object| object.hash()).collect()
    }

    /// Takes out the residents of a hash that `doomed` names.
    pub(super) fn take(&mut self, hash: u128, doomed: impl Fn(&O) -> bool) -> Taken<O> {
        let named = self.residents(hash).filter(|(_, object)| doomed(object));
        let named: SmallVec<[u32; 2]> = named.map(|(slot, _)| slot).collect();
        let mut taken = Taken { objects: SmallVec::new(), bytes: 0, standing: None };
        for slot in named {
            taken.standing = better(taken.standing, self.queues.standing(slot));
            let (object, bytes) = self.unlink(slot);
            taken.objects.extend(object);
            taken.bytes += bytes;
        }
        taken
    }

    /// Judges the oldest object of a queue; an evicted one-visit object is remembered among `ghosts`.
    pub(super) fn step(&mut self, queue: Queue, age: u64, chance: Chance, ghosts: usize) -> Outcome<O> {
        let Step::Evict(slot) = self.queues.step(queue, age, chance) else {
            return Outcome::Kept;
        };
        let (Some(object), bytes) = self.unlink(slot) else {
            return Outcome::Kept;
        };
        if queue == Queue::Small {
            self.queues.remember(fingerprint(object.hash()), ghosts);
        }
        Outcome::Evicted(object, bytes)
    }

    /// The residents of a hash, newest first. Only half of the hash is in the slot; the object has all of it.
    fn residents(&self, hash: u128) -> impl Iterator<Item = (u32, &Arc<O>)> {
        let slots = &self.slots;
        let head = self.newest.find(tag(hash), |&head| slots[head as usize].tag == tag(hash)).copied();
        let chain = std::iter::successors(head, |&slot| some(slots[slot as usize].next));
        let objects = chain.filter_map(|slot| Some((slot, slots[slot as usize].object.as_ref()?)));
        objects.filter(move |(_, object)| object.hash() == hash)
    }

    fn fill_slot(&mut self, tag: u64, object: Arc<O>) -> u32 {
        let full = Slot { object: Some(object), tag, next: NONE };
        let slot = self.empty;
        match self.slots.get_mut(slot as usize) {
            Some(place) => {
                self.empty = place.next;
                *place = full;
                slot
            }
            None => {
                push_tight(&mut self.slots, full);
                (self.slots.len() - 1) as u32
            }
        }
    }

    /// Takes a slot out of its queue and its chain, and empties it.
    fn unlink(&mut self, slot: u32) -> (Option<Arc<O>>, u64) {
        let bytes = self.queues.leave(slot);
        self.unchain(slot);
        let place = &mut self.slots[slot as usize];
        place.next = std::mem::replace(&mut self.empty, slot);
        (place.object.take(), bytes)
    }

    fn unchain(&mut self, slot: u32) {
        let Slot { tag, next, .. } = self.slots[slot as usize];
        let slots = &mut self.slots;
        let Ok(mut head) = self.newest.find_entry(tag, |&head| slots[head as usize].tag == tag) else {
            return;
        };
        if *head.get() != slot {
            let before = std::iter::successors(Some(*head.get()), |&at| some(slots[at as usize].next));
            if let Some(before) = { before }.find(|&at| slots[at as usize].next == slot) {
                slots[before as usize].next = next;
            }
        } else if next == NONE {
            head.remove();
        } else {
            *head.get_mut() = next;
        }
    }
}

impl<O> Default for Shard<O> {
    fn default() -> Self {
        Self { newest: HashTable::new(), slots: Vec::new(), empty: NONE, queues: S3Fifo::default() }
    }
}

/// A place for an object. An empty one holds no object and is linked to the next empty one.
struct Slot<O> {
    object: Option<Arc<O>>,
    tag: u64,
    /// The next older resident of the same tag.
    next: u32,
}

/// Main is better than small; then visits count.
fn better(known: Option<Standing>, new: Standing) -> Option<Standing> {
    let rank = |standing: &Standing| (standing.queue == Queue::Main, standing.visits);
    known.into_iter().chain([new]).max_by_key(rank)
}

/// The table's part of a hash: the low half. The high bits choose the shard.
fn tag(hash: u128) -> u64 {
    hash as u64
}

/// The ghost's part: what neither the table nor the choice of the shard uses.
fn fingerprint(hash: u128) -> u32 {
    (hash >> 64) as u32
}

fn some(slot: u32) -> Option<u32> {
    (slot != NONE).then_some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(u128);

    impl Weigh for Named {
        fn hash(&self) -> u128 {
            self.0
        }

        fn weight(&self) -> u64 {
            1
        }
    }

    fn link(shard: &mut Shard<Named>, hash: u128) {
        let replaced = shard.take(hash, |_| true);
        shard.link(Arc::new(Named(hash)), 1, 0, &replaced);
    }

    #[test]
    fn half_a_hash_in_common_is_not_the_same_hash() {
        let mut shard = Shard::default();
        let hashes = [7, 1 << 64 | 7, 2 << 64 | 7];
        hashes.into_iter().for_each(|hash| link(&mut shard, hash));
        for hash in hashes {
            let found = shard.find(hash, |_| true).map(|(_, object)| object.0);
            assert_eq!(found, Some(hash));
        }
        for (at, hash) in [1, 2, 0].map(|at| hashes[at]).into_iter().enumerate() {
            assert_eq!(shard.take(hash, |_| true).objects.len(), 1);
            assert!(shard.find(hash, |_| true).is_none());
            assert_eq!(shard.tally().objects, 2 - at as u64);
        }
        assert!(shard.newest.is_empty());
    }

    #[test]
    fn replacing_without_end_takes_no_more_room() {
        let mut shard = Shard::default();
        (0..10_000).for_each(|round| link(&mut shard, round % 3));
        assert_eq!((shard.slots.len(), shard.newest.len()), (3, 3));
    }

    #[test]
    fn the_cost_of_an_object_is_what_the_documentation_says() {
        assert_eq!(size_of::<Slot<Named>>(), 24);
    }
}
