//! How a cluster balances, connects, retries, checks and looks names up; every default beside its reason.

use std::net::SocketAddr;
use std::time::Duration;

use super::balance::Balance;
use super::health::{Ejection, Health};
use super::tls::OriginTls;
use crate::http::status::StatusRange;

/// One cluster's settings. `Settings::default()` is what a file that says nothing gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which server is next. Default: each in turn.
    pub balance: Balance,
    /// Longest time to a usable connection, TLS handshake included. Default 3 s: two lost SYNs.
    pub connect: Duration,
    /// Longest silence of the origin, before its first byte and between two. Default 60 s, as nginx.
    pub read: Duration,
    /// Longest time one write to the origin may take. Default 60 s.
    pub write: Duration,
    /// How long an unused connection is kept. Default 60 s: shorter than most origins' own limit.
    pub idle: Duration,
    /// How long a connection is used at all. Default 1 h, as nginx: behind a balancer that goes by connections, servers
    /// that joined later would get none of a connection that is always busy.
    pub lifetime: Duration,
    /// What servers are spoken to in. Default HTTP/1.1: it needs no agreement and is what most origins speak best.
    pub protocol: Protocol,
    /// How HTTPS servers are verified, and who we are to them.
    pub tls: OriginTls,
    /// Origin servers asked for one request before giving up. Default 2.
    pub tries: usize,
    /// What may be sent to another server once one had it.
    pub retry: RetryOn,
    /// Background checks.
    pub health: Health,
    /// When requests that fail take a server out.
    pub eject: Ejection,
    /// Name look-ups.
    pub lookup: Lookup,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            connect: Duration::from_secs(3),
            read: Duration::from_secs(60),
            write: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            lifetime: Duration::from_secs(3600),
            protocol: Protocol::H1,
            tls: OriginTls::default(),
            tries: 2,
            retry: RetryOn::default(),
            health: Health::default(),
            eject: Ejection::default(),
            lookup: Lookup::default(),
        }
    }
}

/// What servers are spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/2 where the server agrees to it in the TLS handshake, else HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    #[default]
    H1,
    /// HTTP/2, over TLS or in the clear with prior knowledge (RFC 9113 §3.3).
    H2,
}

/// What may be sent again, and how often. A request that no server has seen may always be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// Statuses that say this server cannot, and another may. Default 502, 503 and 504.
    pub statuses: Vec<StatusRange>,
    /// How long after its first try a request may still be tried anew. Default 30 s: who has waited longer has left.
    pub within: Duration,
    /// Requests that may be sent again, in percent of all. Default 20, and ten a second beside them.
    pub budget: u32,
}

impl RetryOn {
    /// Whether another server is asked after this status.
    pub fn takes(&self, status: u16) -> bool {
        self.statuses.iter().any(|range| range.contains(status))
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        let statuses = [502, 503, 504].map(|status| StatusRange { from: status, to: status }).into();
        Self { statuses, within: Duration::from_secs(30), budget: 20 }
    }
}

/// How server names are looked up, and when again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Name servers to ask. Default none: those of the system, and its hosts file.
    pub servers: Vec<SocketAddr>,
    /// Shortest time an answer is used, whatever its TTL says. Default 5 s: some say 0.
    pub min_ttl: Duration,
    /// Longest time an answer is used. Default 5 min: a server that has moved is found again by then.
    pub max_ttl: Duration,
    /// Pause after a failed look-up; while there are addresses from before, each further one doubles it, up to
    /// `max_ttl`. Default 5 s.
    pub retry: Duration,
    /// Longest time one look-up may take. Default 5 s, so that a dead name server does not hold up a start.
    pub timeout: Duration,
}

impl Default for Lookup {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            min_ttl: Duration::from_secs(5),
            max_ttl: Duration::from_secs(300),
            retry: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
        }
    }
}
