//! How a cluster connects, checks and looks names up; every default beside its reason.

use std::time::Duration;

/// One cluster's settings. `Settings::default()` is what a file that says nothing gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Longest time to a usable connection, TLS handshake included. Default 3 s: two lost SYNs.
    pub connect: Duration,
    /// Longest silence of the origin, before its first byte and between two. Default 60 s, as nginx.
    pub read: Duration,
    /// Longest time one write to the origin may take. Default 60 s.
    pub write: Duration,
    /// How long an unused connection is kept. Default 60 s: shorter than most origins' own limit.
    pub idle: Duration,
    /// Origin servers asked for one request before giving up. Default 2.
    pub tries: usize,
    /// Background checks.
    pub health: Health,
    /// Name look-ups.
    pub lookup: Lookup,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            read: Duration::from_secs(60),
            write: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            tries: 2,
            health: Health::default(),
            lookup: Lookup::default(),
        }
    }
}

/// When a server counts as down, and when as up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Pause between two checks. Default 5 s.
    pub every: Duration,
    /// Longest time one check may take. Default 2 s.
    pub timeout: Duration,
    /// Failed checks in a row that take a server out. Default 3: one lost packet is no outage.
    pub fall: usize,
    /// Passed checks in a row that take it back. Default 2.
    pub rise: usize,
}

impl Default for Health {
    fn default() -> Self {
        Self { every: Duration::from_secs(5), timeout: Duration::from_secs(2), fall: 3, rise: 2 }
    }
}

/// How often server names are looked up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Pause between look-ups. Default 30 s: the system's resolver tells no TTL, so we take what
    /// service discovery in Docker, Kubernetes and Consul hands out at most, inside 5 s … 5 min.
    pub every: Duration,
    /// Pause while a name has no address at all. Default 5 s.
    pub retry: Duration,
    /// Longest time one look-up may take. Default 5 s, so that a dead resolver does not hold up a start.
    pub timeout: Duration,
}

impl Default for Lookup {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(30),
            retry: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
        }
    }
}
