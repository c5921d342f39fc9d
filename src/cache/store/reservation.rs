//! Counts a download in flight in the RAM budget, so that what is being fetched never comes on top of it.

use std::sync::Arc;

use super::ram::{Ram, TooLarge, Weigh};

/// Bytes promised to an object that is still arriving. Dropping it gives them back.
pub struct Reservation<O: Weigh> {
    ram: Arc<Ram<O>>,
    bytes: u64,
}

impl<O: Weigh> Reservation<O> {
    pub(super) fn empty(ram: Arc<Ram<O>>) -> Self {
        Self { ram, bytes: 0 }
    }

    /// Promises more bytes, evicting residents to make room. False, and nothing changes, when downloads
    /// together would hold more than half of the budget.
    pub fn grow(&mut self, bytes: u64) -> bool {
        let granted = self.ram.ledger().reserve(bytes);
        if granted {
            self.bytes += bytes;
            self.ram.make_room();
        }
        granted
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Admits the object the bytes were promised to, as `Ram::insert` does. The promise becomes its charge
    /// and only the difference to its weight is added or given back. A refusal gives all back.
    pub fn insert(mut self, object: Arc<O>, replaces: impl Fn(&O) -> bool) -> Result<(), TooLarge> {
        let weight = self.ram.weigh(&object)?;
        let held = std::mem::take(&mut self.bytes);
        self.ram.ledger().hand_over(held, weight);
        self.ram.settle(object, weight, replaces);
        Ok(())
    }
}

impl<O: Weigh> Drop for Reservation<O> {
    fn drop(&mut self) {
        self.ram.ledger().unreserve(self.bytes);
    }
}
