//! One origin server a request can be sent to: an address found for a configured name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pingora::lb::{Backend, Extensions};
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;

use super::address::ServerAddress;
use super::settings::Settings;

/// A server as `Cluster::pick` gives it. Cheap to clone; clones share the count of tries under way.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where to connect.
    pub address: SocketAddr,
    /// `host:port` as configured: the label of logs and metrics. Several addresses may share it.
    pub name: Arc<str>,
    /// The configured host without its port: what the certificate must be for.
    pub host: Arc<str>,
    /// Whether it speaks TLS.
    pub tls: bool,
    active: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn new(configured: &ServerAddress, address: SocketAddr) -> Self {
        Self {
            address,
            name: configured.to_string().into(),
            host: configured.host().clone(),
            tls: configured.tls(),
            active: Arc::default(),
        }
    }

    /// Shares the count of tries with what was known at this address before.
    pub(super) fn counted_with(self, known: Option<&Self>) -> Self {
        let active = known.map_or(self.active, |known| known.active.clone());
        Self { active, ..self }
    }

    /// Counts a try as under way until the guard is dropped.
    #[must_use]
    pub fn enter(&self) -> InFlight {
        self.active.fetch_add(1, Relaxed);
        InFlight(self.active.clone())
    }

    /// Tries under way.
    pub fn active(&self) -> usize {
        self.active.load(Relaxed)
    }

    /// The server as Pingora's balancer keeps it: its identity is address and weight, we ride in `ext`.
    pub(super) fn backend(&self) -> Backend {
        let mut ext = Extensions::new();
        ext.insert(self.clone());
        Backend { addr: PingoraAddr::Inet(self.address), weight: 1, ext }
    }

    pub(super) fn of(backend: &Backend) -> Option<&Self> {
        backend.ext.get()
    }
}

/// One try under way at a server.
#[derive(Debug)]
pub struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What an operator sees of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterState {
    /// As configured: the label of logs and metrics.
    pub name: Arc<str>,
    /// How it connects, checks and looks names up now.
    pub settings: Arc<Settings>,
    /// One entry per address, in the order of the configuration.
    pub servers: Vec<ServerState>,
}

/// What the admin page and a metrics scrape see of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// `host:port` as configured.
    pub name: Arc<str>,
    /// One of the addresses found for it; `None` while the name does not resolve.
    pub address: Option<SocketAddr>,
    /// Whether checks pass. Starts true; false without an address.
    pub up: bool,
    /// Tries under way.
    pub active: usize,
}
