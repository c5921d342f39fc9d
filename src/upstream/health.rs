//! Who is up: the check that Pingora's health state is fed with, and who is told of a change.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::lb::Backend;
use pingora::lb::health_check::HealthCheck;
use pingora::{Error, ErrorType};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::server::Server;
use super::settings::Health;

/// Told which servers of one cluster are up: all of them at start, then each change once.
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
    pub(super) health: Health,
}

#[async_trait]
impl HealthCheck for TcpCheck {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        let Some(address) = target.addr.as_inet() else {
            return Ok(()); // discovery gives none
        };
        match timeout(self.health.timeout, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Error::e_because(ErrorType::ConnectError, "health check", error),
            Err(_) => Error::e_explain(ErrorType::ConnectTimedout, "health check"),
        }
    }

    /// Pingora logs a change once: `… becomes unhealthy, why`. This is the part before it.
    fn backend_summary(&self, target: &Backend) -> String {
        let name = Server::of(target).map_or("?", |server| &server.name);
        format!("upstream {}: {name} ({})", self.cluster, target.addr)
    }

    fn health_threshold(&self, success: bool) -> usize {
        match success {
            true => self.health.rise,
            false => self.health.fall,
        }
    }
}

/// What the observer was told last, so that it hears of a change once.
pub(super) struct Told {
    observer: Arc<dyn Observer>,
    last: Mutex<Vec<Option<bool>>>,
}

impl Told {
    pub(super) fn new(observer: Arc<dyn Observer>, servers: usize) -> Self {
        Self { observer, last: Mutex::new(vec![None; servers]) }
    }

    /// Compares instead of listening to Pingora's callback: a server also comes up when a name resolves,
    /// or when its one dead address leaves the DNS, and neither is a check that flipped.
    pub(super) fn tell(&self, found: &[(Arc<str>, Vec<Server>)], up: impl Fn(&Server) -> bool) {
        let mut last = self.last.lock();
        for ((name, servers), last) in found.iter().zip(last.iter_mut()) {
            let now = servers.iter().any(&up);
            if last.replace(now) != Some(now) {
                self.observer.up(name, now);
            }
        }
    }
}
