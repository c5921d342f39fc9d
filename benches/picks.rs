//! A cluster to pick from, for whoever measures what a request pays for its server.

use foreland::upstream::balance::{Algorithm, Balance, Seats};
use foreland::upstream::{Cluster as Upstream, HealthRegistry, ServerSpec, Settings};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const SERVERS: usize = 100;

struct Server {
    open: AtomicBool,
    active: AtomicUsize,
}

struct Cluster(Vec<Server>);

impl Seats for Cluster {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_open(&self, seat: usize) -> bool {
        self.0[seat].open.load(Ordering::Relaxed)
    }

    fn active(&self, seat: usize) -> usize {
        self.0[seat].active.load(Ordering::Relaxed)
    }
}

/// Servers of weights 1 to 4, of which every `every`-th is open, all idle.
fn cluster(balance: &Balance, every: usize) -> (Algorithm, Cluster) {
    let identity = |n: usize| (format!("10.0.0.{n}:8080"), 1 + n as u32 % 4);
    let server = |n: usize| Server { open: n.is_multiple_of(every).into(), active: 0.into() };
    let seats: Vec<_> = (0..SERVERS).map(identity).collect();
    (Algorithm::new(balance, &seats), Cluster((0..SERVERS).map(server).collect()))
}

/// Picks for other keys each time, since a key always costs the same.
pub fn picks(balance: &Balance, every: usize, rounds: u64) {
    let (algorithm, cluster) = cluster(balance, every);
    let key = |round: u64| Some(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for round in 0..rounds {
        let picked = algorithm.pick(&cluster, black_box(key(round)));
        assert!(picked.is_some());
        black_box(picked);
    }
}

/// The same through a whole cluster, as a request does it: load, health and caps are where they really are.
pub fn cluster_picks(balance: &Balance, rounds: u64) {
    let spec = |n: usize| {
        let spec = format!("10.0.0.{n}:8080").parse::<ServerSpec>().ok()?;
        Some(ServerSpec { weight: 1 + n as u32 % 4, ..spec })
    };
    let servers: Vec<_> = (0..SERVERS).filter_map(spec).collect();
    let settings = Settings { balance: balance.clone(), ..Settings::default() };
    let cluster = Upstream::open("app", &servers, settings, Arc::new(()), HealthRegistry::new());
    let Ok(cluster) = cluster else { unreachable!("{SERVERS} servers are a cluster") };
    // No runtime is entered, so nobody is checked.
    for round in 0..rounds {
        let key = Some(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let picked = cluster.pick(&[], black_box(key));
        assert!(picked.is_ok());
        drop(black_box(picked));
    }
}
