//! How many bytes the RAM cache may hold and how many it holds now: one number over all shards.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// An object may be this part of the budget: one download must not empty the cache.
const OBJECT_PART: u64 = 8;

/// Downloads in flight may together hold this part: residents keep the rest.
const RESERVED_PART: u64 = 2;

/// The one ledger. Whoever links an object charges first, makes room, then links, and looks again.
///
/// `SeqCst` throughout: two threads that each charge and then look for victims must not both miss what the
/// other is about to link (the store buffer pattern); see `Ram::settle`. Hits never come here.
pub(super) struct Budget {
    limit: AtomicU64,
    /// Residents, reservations and objects about to be linked.
    used: AtomicU64,
    /// The part of `used` that belongs to downloads in flight.
    reserved: AtomicU64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0), reserved: AtomicU64::new(0) }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit.load(SeqCst)
    }

    pub(super) fn change_limit(&self, limit: u64) {
        self.limit.store(limit, SeqCst);
    }

    pub(super) fn max_object(&self) -> u64 {
        self.limit() / OBJECT_PART
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(SeqCst)
    }

    /// What residents hold; objects about to be linked count as residents.
    pub(super) fn resident(&self) -> u64 {
        self.used().saturating_sub(self.reserved.load(SeqCst))
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.used() > self.limit()
    }

    pub(super) fn charge(&self, bytes: u64) {
        self.used.fetch_add(bytes, SeqCst);
    }

    pub(super) fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, SeqCst);
    }

    /// Charges bytes of a download in flight, or nothing when downloads would hold too much.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        let most = self.limit() / RESERVED_PART;
        let grown = |held: u64| held.checked_add(bytes).filter(|&sum| sum <= most);
        let granted = self.reserved.fetch_update(SeqCst, SeqCst, grown).is_ok();
        if granted {
            self.charge(bytes);
        }
        granted
    }

    /// Gives a reservation back.
    pub(super) fn unreserve(&self, held: u64) {
        self.reserved.fetch_sub(held, SeqCst);
        self.release(held);
    }

    /// Turns a reservation into the charge of the object it was for; only the difference is ever added.
    pub(super) fn hand_over(&self, held: u64, weight: u64) {
        self.reserved.fetch_sub(held, SeqCst);
        if weight >= held {
            self.charge(weight - held);
        } else {
            self.release(held - weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_becomes_a_charge_without_double_counting() {
        for (held, weight) in [(0, 7), (10, 7), (10, 10), (10, 12)] {
            let budget = Budget::new(100);
            assert!(budget.reserve(held));
            assert_eq!((budget.used(), budget.resident()), (held, 0));
            budget.hand_over(held, weight);
            assert_eq!((budget.used(), budget.resident()), (weight, weight));
        }
    }

    #[test]
    fn reservations_are_refused_beyond_half_of_the_budget() {
        let budget = Budget::new(100);
        assert!(budget.reserve(50));
        assert!(!budget.reserve(1));
        assert!(!budget.reserve(u64::MAX));
        assert_eq!(budget.used(), 50);
        budget.unreserve(50);
        assert_eq!(budget.used(), 0);
    }
}
