//! The servers of a cluster at one moment, and which of them is next.
//!
//! A roster never changes; another takes its place. What a server has of its own (load, health) is shared by all
//! rosters it stands in.

use std::collections::HashSet;
use std::sync::Arc;

use super::balance::{Algorithm, Balance, Seats};
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::load::{InFlight, Load};
use super::server::Server;

/// So often a pick is repeated whose server filled up in between.
const RACES: usize = 3;

/// A server for one try.
#[derive(Debug)]
pub struct Picked {
    /// Who.
    pub server: Arc<Server>,
    /// Its mark of being busy.
    pub in_flight: InFlight,
}

/// The servers of a cluster, in the order of the configuration.
pub(super) struct Roster {
    pub(super) servers: Vec<Arc<Server>>,
    /// Those that are asked first, and those that are asked while none of them can be.
    tiers: [Tier; 2],
}

/// Servers that are chosen among.
struct Tier {
    seats: Box<[Seat]>,
    algorithm: Algorithm,
}

/// A server, with what every pick asks of each of them close at hand: through the server it costs two loads more.
struct Seat {
    load: Arc<Load>,
    server: Arc<Server>,
}

/// Which servers of a tier may be picked now.
struct View<'a> {
    seats: &'a [Seat],
    tried: &'a [Endpoint],
    /// Whether those that are down may be as well.
    down_too: bool,
}

impl Seats for View<'_> {
    #[inline]
    fn len(&self) -> usize {
        self.seats.len()
    }

    #[inline]
    fn is_open(&self, seat: usize) -> bool {
        let Some(Seat { server, .. }) = self.seats.get(seat) else { return false };
        (self.down_too || server.is_up()) && !server.is_full() && !self.tried.contains(&server.endpoint)
    }

    #[inline]
    fn active(&self, seat: usize) -> usize {
        self.seats.get(seat).map_or(usize::MAX, |seat| seat.load.active())
    }
}

impl Roster {
    /// Of two servers at the same endpoint, the one listed first counts.
    pub(super) fn new(balance: &Balance, servers: Vec<Arc<Server>>) -> Self {
        let mut seen = HashSet::new();
        let servers: Vec<_> =
            servers.into_iter().filter(|server| seen.insert(server.endpoint.clone())).collect();
        let tier = |backup: bool| {
            let servers: Vec<_> = servers.iter().filter(|server| server.backup == backup).cloned().collect();
            let seats: Vec<_> = servers.iter().map(|s| (s.endpoint.to_string(), s.weight)).collect();
            let algorithm = Algorithm::new(balance, &seats);
            let seat = |server: Arc<Server>| Seat { load: server.load.clone(), server };
            Tier { algorithm, seats: servers.into_iter().map(seat).collect() }
        };
        Self { tiers: [tier(false), tier(true)], servers }
    }

    /// The next server that is up and not yet tried, backups only where no other is left. If none is left that is up,
    /// one that is down: trying it beats refusing, for checks may be late or wrong (nginx does likewise).
    pub(super) fn pick(&self, tried: &[Endpoint], key: Option<u64>) -> Result<Picked, Failure> {
        for down_too in [false, true] {
            if let Some(picked) = self.tiers.iter().find_map(|tier| tier.pick(tried, key, down_too)) {
                return Ok(picked);
            }
            // A server that is up will have room again soon; one that is down is no better.
            if self.untried(tried).any(|server| server.is_up() && server.is_full()) {
                return Err(Failure::Full);
            }
        }
        let full = self.untried(tried).next().is_some();
        Err(if full { Failure::Full } else { Failure::NoServer })
    }

    /// Whether a pick would give a server: one that is up, or, unless only such will do, any.
    pub(super) fn has_another(&self, tried: &[Endpoint], up: bool) -> bool {
        let mut full = false;
        for server in self.untried(tried).filter(|server| server.is_up()) {
            if !server.is_full() {
                return true;
            }
            full = true;
        }
        !up && !full && self.untried(tried).any(|server| !server.is_full())
    }

    fn untried<'a>(&'a self, tried: &'a [Endpoint]) -> impl Iterator<Item = &'a Arc<Server>> {
        self.servers.iter().filter(|server| !tried.contains(&server.endpoint))
    }
}

impl Tier {
    fn pick(&self, tried: &[Endpoint], key: Option<u64>, down_too: bool) -> Option<Picked> {
        let view = View { seats: &self.seats, tried, down_too };
        (0..RACES).find_map(|_| {
            let server = &self.seats.get(self.algorithm.pick(&view, key)?)?.server;
            let in_flight = server.load.enter(server.most)?;
            Some(Picked { server: server.clone(), in_flight })
        })
    }
}
