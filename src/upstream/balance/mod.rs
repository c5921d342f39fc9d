//! Chooses one of the servers that may have a request: in turn, the least busy, by a hash, or by chance.
//!
//! - [`Balance`] is what a configuration asks for, [`HashBy`] what of a request a hash is made of;
//! - [`Algorithm`] is that for a list of seats: one for each address of each server, with its weight;
//! - [`Seats`] is what it sees of them when it picks;
//! - `turns` knows whose turn it is, for all that take turns.
//!
//! | | who gets the request | instructions a pick among 100 | with half closed | grows with |
//! |---|---|---|---|---|
//! | `round_robin` | whose turn it is, by weight | 1,015 | 1,228 | n |
//! | `least_connections` | the least busy for its weight, in turn where several are | 1,713 | 1,821 | n |
//! | `ip_hash` | always the same for a client | 149 | 283 | log n |
//! | `consistent_hash` | always the same for a key, whoever else comes or goes | 264 | 303 | log n |
//! | `random` | anyone, by weight | 160 | 293 | log n |
//!
//! The invariants: a pick is `None` exactly when no seat is open, and the open ones share by their weights alone, as if
//! the closed ones were not there. What this folder does not do: say who is up or full, count connections, or know what
//! a server is.

mod consistent_hash;
#[cfg(test)]
mod fixture;
mod hash_by;
mod ip_hash;
mod least_connections;
mod random;
mod round_robin;
#[cfg(test)]
mod tests;
mod turns;

pub use hash_by::{HashBy, HashByError};
pub use ip_hash::client_key;

use consistent_hash::ConsistentHash;
use ip_hash::IpHash;
use least_connections::LeastConnections;
use random::Random;
use round_robin::RoundRobin;

/// The largest weight of a seat; the smallest is 1.
pub const MAX_WEIGHT: u32 = 256;

/// How a cluster chooses among its servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    ConsistentHash(HashBy),
    IpHash,
    LeastConnections,
    Random,
    /// The default: it needs nothing of a request, and nobody is picked twice while an equal waits.
    #[default]
    RoundRobin,
}

impl Balance {
    /// The word for it in a configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ConsistentHash(_) => "consistent_hash",
            Self::IpHash => "ip_hash",
            Self::LeastConnections => "least_connections",
            Self::Random => "random",
            Self::RoundRobin => "round_robin",
        }
    }
}

/// What an algorithm sees of the servers while it picks. Seats are numbered as in the list it was made of.
pub trait Seats {
    /// How many there are. MUST be the length of that list.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it may be picked now: up, not full, not tried yet. The answer may change from one pick to the next. An
    /// algorithm may hold a lock while it asks, and may ask for every seat, so this MUST be quick and take no lock.
    fn is_open(&self, seat: usize) -> bool;

    /// How many requests it has now, fewer than 2^32. The same holds.
    fn active(&self, seat: usize) -> usize;
}

/// A way to choose, made for one list of seats. Another list needs another one.
pub enum Algorithm {
    ConsistentHash(ConsistentHash),
    IpHash(IpHash),
    LeastConnections(LeastConnections),
    Random(Random),
    RoundRobin(RoundRobin),
}

impl Algorithm {
    /// For seats of these identities and weights (1 to [`MAX_WEIGHT`]). An identity is the same after a restart and on
    /// every node, and no two seats share one: `consistent_hash` goes by it, and of two alike the first has all keys.
    pub fn new(balance: &Balance, seats: &[(String, u32)]) -> Self {
        // Sums of weights fit, and none of them is 0.
        let weights: Vec<u32> = seats.iter().map(|(_, weight)| (*weight).clamp(1, MAX_WEIGHT)).collect();
        match balance {
            Balance::ConsistentHash(_) => {
                let identities = seats.iter().map(|(identity, _)| identity.as_str());
                Self::ConsistentHash(ConsistentHash::new(identities.zip(weights).collect()))
            }
            Balance::IpHash => Self::IpHash(IpHash::new(&weights)),
            Balance::LeastConnections => Self::LeastConnections(LeastConnections::new(&weights)),
            Balance::Random => Self::Random(Random::new(&weights)),
            Balance::RoundRobin => Self::RoundRobin(RoundRobin::new(&weights)),
        }
    }

    /// The seat for a request; `None` exactly when none is open. Who hashes goes by `key` and takes turns without one.
    pub fn pick<S: Seats>(&self, seats: &S, key: Option<u64>) -> Option<usize> {
        match self {
            Self::ConsistentHash(hash) => hash.pick(seats, key),
            Self::IpHash(hash) => hash.pick(seats, key),
            Self::LeastConnections(least) => least.pick(seats),
            Self::Random(random) => random.pick(seats),
            Self::RoundRobin(turns) => turns.pick(seats),
        }
    }
}
