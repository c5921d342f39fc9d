//! Every server in its turn, as often as its weight says; see [`Turns`].

use parking_lot::Mutex;

use super::Seats;
use super::turns::Turns;

/// Seats that take turns.
pub struct RoundRobin {
    turns: Mutex<Turns>,
}

impl RoundRobin {
    pub(super) fn new(weights: &[u32]) -> Self {
        Self { turns: Mutex::new(Turns::new(weights)) }
    }

    pub(super) fn pick<S: Seats>(&self, seats: &S) -> Option<usize> {
        let mut turns = self.turns.lock();
        let (now, all) = turns.now();
        let (mut next, mut soonest) = (None, u64::MAX);
        for (seat, turn) in all.iter_mut().enumerate() {
            if turn.earliest() < soonest && seats.is_open(seat) {
                let due = turn.due(now);
                if due < soonest {
                    (next, soonest) = (Some(seat), due);
                }
            }
        }
        turns.take(next?);
        next
    }
}
