//! Who is up: the check that Pingora's health state is fed with, and who is told of a change.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::lb::Backend;
use pingora::lb::health_check::HealthCheck;
use pingora::{Error, ErrorType};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::discovery::Names;
use super::server::Server;
use super::settings::Settings;

/// Told which servers of one cluster are up: each at first, then each change once.
pub trait Observer: Send + Sync {
    /// `server` is `host:port` as configured; it is up while one of its addresses is.
    /// Must not call back into the cluster.
    fn up(&self, server: &str, up: bool);
}

/// An observer that looks away.
impl Observer for () {
    fn up(&self, _server: &str, _up: bool) {}
}

/// Passes when a TCP connection opens. Not Pingora's `TcpHealthCheck`: that one reads the system's
/// certificates once per cluster, panics if it cannot, and names a server by its debug print in the log.
pub(super) struct TcpCheck {
    pub(super) cluster: Arc<str>,
    pub(super) names: Names,
    pub(super) settings: Arc<ArcSwap<Settings>>,
}

#[async_trait]
impl HealthCheck for TcpCheck {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        let Some(address) = target.addr.as_inet() else {
            return Ok(()); // discovery gives none
        };
        let patience = self.settings.load().health.timeout;
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Error::e_because(ErrorType::ConnectError, "health check", error),
            Err(_) => Error::e_explain(ErrorType::ConnectTimedout, "health check"),
        }
    }

    /// Pingora logs a change once: `… becomes unhealthy, why`. This is the part before it.
    fn backend_summary(&self, target: &Backend) -> String {
        let server = self.names.server(target);
        let name = server.as_ref().map_or("?", |server| &server.name);
        format!("upstream {}: {name} ({})", self.cluster, target.addr)
    }

    fn health_threshold(&self, success: bool) -> usize {
        let health = &self.settings.load().health;
        match success {
            true => health.rise,
            false => health.fall,
        }
    }
}

/// What the observer was told last, so that it hears of a change once.
pub(super) struct Told {
    observer: Arc<dyn Observer>,
    last: HashMap<Arc<str>, bool>,
}

impl Told {
    pub(super) fn new(observer: Arc<dyn Observer>) -> Self {
        Self { observer, last: HashMap::new() }
    }

    /// Compares instead of listening to Pingora's callback: a server also comes up when a name resolves,
    /// or when its one dead address leaves the DNS, and neither is a check that flipped.
    pub(super) fn tell(&mut self, found: &[(Arc<str>, Vec<Server>)], up: impl Fn(&Server) -> bool) {
        let mut now = HashMap::with_capacity(found.len());
        for (name, servers) in found {
            let is_up = servers.iter().any(&up);
            if self.last.get(name) != Some(&is_up) {
                self.observer.up(name, is_up);
            }
            now.insert(name.clone(), is_up);
        }
        self.last = now; // a server that left is news when it comes back
    }
}
