//! What one generation of configuration means: immutable, valid, every name already resolved.

use crate::telemetry::RouteMetrics;
use crate::upstream::Cluster;
use std::sync::Arc;
use std::time::Duration;

/// One generation of configuration.
pub struct Plan {
    /// Counts the generations since start.
    pub generation: u64,
    /// Listeners; `Arrival::listener` is a position here.
    pub listeners: Vec<Listener>,
    /// Routes; `Decision::route` is a position here.
    pub routes: Vec<Route>,
    /// Bounds on what a client may ask and how long it may take.
    pub limits: Limits,
}

/// An address that clients connect to.
pub struct Listener {
    /// Its name in log and metrics: the address as configured.
    pub name: Arc<str>,
    /// Whether the front answers what it can by itself; off only to compare the two transports.
    pub front: bool,
}

/// Where matching requests go and how they are cached.
pub struct Route {
    /// Its name in log and metrics.
    pub name: Arc<str>,
    /// Who answers.
    pub cluster: Arc<Cluster>,
    /// Whether the cache takes part.
    pub cache: bool,
    /// Counters per listener, in the order of the listeners.
    pub metrics: Vec<Arc<RouteMetrics>>,
}

/// Bounds that keep one client from harming the others. The defaults are argued in the manual.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first byte of a head (or from accept) to its last.
    pub head_timeout: Duration,
    /// Between two requests on a connection.
    pub idle_timeout: Duration,
    /// The same for HTTP/2, with no stream open.
    pub h2_idle_timeout: Duration,
    /// Between two reads of a request body.
    pub body_timeout: Duration,
    /// Between two writes of a response that the client does not take.
    pub send_timeout: Duration,
    /// Requests on one connection.
    pub requests: u32,
    /// Bytes of a request body.
    pub max_body: u64,
    /// Streams at once on an HTTP/2 connection.
    pub h2_streams: u32,
    /// Connections at once, over all listeners.
    pub connections: usize,
    /// How long a waiter stays with somebody else's fetch before it asks for itself.
    pub collapse_wait: Duration,
    /// From SIGTERM to the end of the last answer.
    pub drain: Duration,
    /// Connections tried before a request fails.
    pub tries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            h2_idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            requests: 10_000,
            max_body: 100 << 20,
            h2_streams: 100,
            connections: 100_000,
            collapse_wait: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            tries: 2,
        }
    }
}
