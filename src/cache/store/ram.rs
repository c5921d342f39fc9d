//! Keeps what is asked for most in memory: finds it at once, and never holds more bytes than it was given.
//!
//! Parts: `shard` (what one lock covers), `s3fifo` (who leaves), `order` (the shards' queues read as one),
//! `ghost` (who left lately), `budget` (the bytes), `reservation` (downloads in flight).
//!
//! Invariants: one lock at a time, ever; a hit takes a read lock and changes one byte of a queue at most; an
//! object is freed after its shard is unlocked; what is linked was charged before. Fragmentation is the
//! allocator's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;

use super::budget::Budget;
use super::order::Order;
use super::reservation::Reservation;
use super::s3fifo::Chance;
use super::shard::{Outcome, Shard};

/// Objects that may be kept for their visits before one is evicted in spite of them: with everything
/// visited, S3-FIFO would go round all of main, three times, for one insert. The longest run with Zipf
/// 0.8-1.1 was 630. A limit of 128 costs a hot set of 2,000 that is met by a scan 15 objects, this
/// one costs it 1; a run to the limit takes 0.1 ms.
const PATIENCE: usize = 1_024;

/// What the tier needs to know of an object.
pub trait Weigh: Send + Sync {
    /// Names the resource. Every bit is used somewhere, so all of them must be well mixed.
    fn hash(&self) -> u128;
    /// Its whole cost in bytes: head, body and bookkeeping. Read once, when the object is admitted.
    fn weight(&self) -> u64;
}

/// The object is heavier than one object may be; what it would have replaced is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object is larger than an eighth of the RAM cache")
    }
}

impl std::error::Error for TooLarge {}

/// The RAM tier. Callbacks run under a shard's lock: they must be quick, and must neither call the tier nor
/// panic.
pub struct Ram<O> {
    budget: Budget,
    order: Order,
    shards: Box<[Lane<O>]>,
    evicted: Evicted,
}

impl<O: Weigh> Ram<O> {
    /// A tier of `budget` bytes. `shards` is rounded up to a power of two; 64 in production.
    pub fn new(budget: u64, shards: usize) -> Self {
        let shards = shards.max(1).next_power_of_two();
        Self {
            budget: Budget::new(budget),
            order: Order::new(shards),
            shards: (0..shards).map(|_| Lane(RwLock::default())).collect(),
            evicted: Evicted::default(),
        }
    }

    /// Visits the residents of this hash, newest first, and returns the first that `pick` accepts. This is
    /// a visit: it counts for the object's stay.
    pub fn find(&self, hash: u128, pick: impl FnMut(&O) -> bool) -> Option<Arc<O>> {
        let shard = self.shards[self.home(hash)].0.read();
        let (slot, object) = shard.find(hash, pick)?;
        shard.visit(slot);
        Some(Arc::clone(object))
    }

    /// Like `find`, but leaves no trace: for inspection.
    pub fn peek(&self, hash: u128, pick: impl FnMut(&O) -> bool) -> Option<Arc<O>> {
        let shard = self.shards[self.home(hash)].0.read();
        shard.find(hash, pick).map(|(_, object)| Arc::clone(object))
    }

    /// Admits the object in place of the residents of its hash that `replaces` names; it inherits their
    /// standing. Others are evicted until the budget holds.
    pub fn insert(&self, object: Arc<O>, replaces: impl Fn(&O) -> bool) -> Result<(), TooLarge> {
        let weight = self.weigh(&object)?;
        self.budget.charge(weight);
        self.settle(object, weight, replaces);
        Ok(())
    }

    /// Admits an object in place of a resident, if that is still there; it inherits its standing. Gives whether it was.
    pub fn exchange(&self, old: &Arc<O>, new: Arc<O>) -> Result<bool, TooLarge> {
        let weight = self.weigh(&new)?;
        // Room for what comes on top: the rest takes the place of what is there.
        let more = weight.saturating_sub(old.weight());
        self.budget.charge(more);
        self.make_room();
        let hash = new.hash();
        let replaced = self.change(self.home(hash), |shard| {
            let replaced = shard.take(hash, |resident| std::ptr::eq(resident, &**old));
            if !replaced.objects.is_empty() {
                shard.link(new, weight, self.order.tick(), &replaced);
            }
            replaced
        });
        let done = !replaced.objects.is_empty();
        if done {
            self.budget.charge(weight - more);
        }
        self.budget.release(if done { replaced.bytes } else { more });
        count(&self.evicted.replaced, replaced.objects.len());
        self.make_room();
        Ok(done)
    }

    /// Removes the residents of this hash that `doomed` names and says how many there were.
    pub fn remove(&self, hash: u128, doomed: impl Fn(&O) -> bool) -> usize {
        let taken = self.change(self.home(hash), |shard| shard.take(hash, doomed));
        self.budget.release(taken.bytes);
        count(&self.evicted.removed, taken.objects.len());
        taken.objects.len()
    }

    /// Removes every resident that `doomed` names, hands each to `gone` and says how many there were. What is inserted
    /// meanwhile may stay. Each shard is read through while hits go on in it; only one that has something to lose is
    /// locked against them, for as long as that takes.
    pub fn remove_where(&self, doomed: impl Fn(&O) -> bool, mut gone: impl FnMut(&O)) -> usize {
        let mut removed = 0;
        for index in 0..self.shards.len() {
            let hashes = self.shards[index].0.read().hashes(&doomed);
            if hashes.is_empty() {
                continue;
            }
            let take = |shard: &mut Shard<O>| hashes.iter().map(|&hash| shard.take(hash, &doomed)).collect();
            let taken: Vec<_> = self.change(index, take);
            for taken in &taken {
                self.budget.release(taken.bytes);
                removed += taken.objects.len();
                taken.objects.iter().for_each(|object| gone(object));
            }
        }
        count(&self.evicted.removed, removed);
        removed
    }

    /// Opens the account of a download in flight; it holds nothing until it grows.
    pub fn reserve(self: &Arc<Self>) -> Reservation<O> {
        Reservation::empty(Arc::clone(self))
    }

    /// What residents and reservations hold.
    pub fn bytes(&self) -> u64 {
        self.budget.used()
    }

    pub fn objects(&self) -> u64 {
        self.order.objects()
    }

    pub fn budget(&self) -> u64 {
        self.budget.limit()
    }

    /// The heaviest object that is admitted.
    pub fn max_object(&self) -> u64 {
        self.budget.max_object()
    }

    /// Changes the budget, evicting when it shrinks. Reservations already granted stay.
    pub fn set_budget(&self, bytes: u64) {
        self.budget.change_limit(bytes);
        self.make_room();
    }

    /// How many objects left, by reason.
    pub fn evictions(&self) -> [(&'static str, u64); 3] {
        let Evicted { capacity, removed, replaced } = &self.evicted;
        [("capacity", capacity), ("removed", removed), ("replaced", replaced)]
            .map(|(reason, count)| (reason, count.load(Relaxed)))
    }

    pub(super) fn ledger(&self) -> &Budget {
        &self.budget
    }

    pub(super) fn weigh(&self, object: &O) -> Result<u64, TooLarge> {
        let weight = object.weight();
        if weight > self.max_object() { Err(TooLarge) } else { Ok(weight) }
    }

    /// Links an object that is already charged. Room is made before, so that it is not its own victim, and
    /// once more after: while several threads are here at once nothing may be resident yet, and whoever
    /// links last must see what all of them charged.
    pub(super) fn settle(&self, object: Arc<O>, weight: u64, replaces: impl Fn(&O) -> bool) {
        self.make_room();
        let hash = object.hash();
        let replaced = self.change(self.home(hash), |shard| {
            let replaced = shard.take(hash, replaces);
            shard.link(object, weight, self.order.tick(), &replaced);
            replaced
        });
        self.budget.release(replaced.bytes);
        count(&self.evicted.replaced, replaced.objects.len());
        self.make_room();
    }

    /// Evicts until the budget holds or nothing is resident.
    pub(super) fn make_room(&self) {
        let mut kept = 0;
        while self.budget.is_exceeded() {
            let Some((shard, queue)) = self.order.next_victim(self.budget.resident()) else {
                return;
            };
            let chance = if kept < PATIENCE { Chance::Fair } else { Chance::Last };
            let ghosts = self.order.ghosts();
            match self.change(shard, |shard| shard.step(queue, self.order.tick(), chance, ghosts)) {
                Outcome::Evicted(object, bytes) => {
                    kept = 0;
                    self.budget.release(bytes);
                    count(&self.evicted.capacity, 1);
                    drop(object);
                }
                Outcome::Kept => kept += 1,
            }
        }
    }

    /// Changes one shard under its write lock, and publishes what changed before unlocking.
    fn change<T>(&self, index: usize, edit: impl FnOnce(&mut Shard<O>) -> T) -> T {
        let mut shard = self.shards[index].0.write();
        let before = shard.tally();
        let outcome = edit(&mut shard);
        self.order.publish(index, &before, &shard.tally());
        outcome
    }

    /// The shard of a hash, by its highest 32 bits.
    fn home(&self, hash: u128) -> usize {
        (hash >> 96) as usize & (self.shards.len() - 1)
    }
}

/// A shard on cache lines of its own: two on x86, where lines are fetched in pairs.
#[repr(align(128))]
struct Lane<O>(RwLock<Shard<O>>);

#[derive(Default)]
struct Evicted {
    capacity: AtomicU64,
    removed: AtomicU64,
    replaced: AtomicU64,
}

fn count(counter: &AtomicU64, objects: usize) {
    if objects > 0 {
        counter.fetch_add(objects as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests;
