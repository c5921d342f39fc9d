//! Turns configured servers into addresses, again and again, and never forgets one because a look-up failed.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::lb::Backend;
use pingora::lb::discovery::ServiceDiscovery;
use tokio::task::JoinSet;

use super::address::ServerAddress;
use super::server::Server;

/// Addresses taken for one name. With `MAX_SERVERS` it keeps a cluster under the 65,535 backends at which
/// Pingora's selection panics.
const MAX_ADDRESSES: usize = 64;

/// Where addresses come from.
#[async_trait]
pub(super) trait Resolve: Send + Sync {
    /// An empty answer counts as a failed one.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's resolver: `/etc/hosts`, search domains and all, as an operator's `getent` sees it.
pub(super) struct System;

#[async_trait]
impl Resolve for System {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// The configured servers and the addresses last found for each.
#[derive(Clone)]
pub(super) struct Names {
    cluster: Arc<str>,
    slots: Arc<Mutex<Vec<Slot>>>,
    resolver: Arc<dyn Resolve>,
    timeout: Duration,
}

impl Names {
    pub(super) fn new(
        cluster: Arc<str>,
        servers: &[ServerAddress],
        resolver: Arc<dyn Resolve>,
        timeout: Duration,
    ) -> Self {
        let slots = servers.iter().map(Slot::new).collect();
        Self { cluster, slots: Arc::new(Mutex::new(slots)), resolver, timeout }
    }

    /// Whether there is anything to look up.
    pub(super) fn any(&self) -> bool {
        self.slots.lock().iter().any(Slot::is_name)
    }

    /// Whether a name has no address yet.
    pub(super) fn unresolved(&self) -> bool {
        self.slots.lock().iter().any(|slot| slot.found.is_empty())
    }

    /// Every configured server with the addresses last found for it, in order.
    pub(super) fn found(&self) -> Vec<(Arc<str>, Vec<Server>)> {
        let slots = self.slots.lock();
        slots.iter().map(|slot| (slot.name.clone(), slot.found.clone())).collect()
    }

    /// Looks every name up at the same time.
    async fn look_up(&self) -> Vec<(usize, io::Result<Vec<SocketAddr>>)> {
        let mut asked = JoinSet::new();
        for (index, slot) in self.slots.lock().iter().enumerate() {
            if slot.is_name() {
                let (names, configured) = (self.clone(), slot.configured.clone());
                asked.spawn(async move { (index, names.ask(&configured).await) });
            }
        }
        asked.join_all().await
    }

    async fn ask(&self, server: &ServerAddress) -> io::Result<Vec<SocketAddr>> {
        let answer = self.resolver.resolve(server.host(), server.port());
        let mut found = tokio::time::timeout(self.timeout, answer).await??;
        found.sort_unstable();
        found.dedup();
        found.truncate(MAX_ADDRESSES);
        match found.is_empty() {
            true => Err(io::Error::other("no address")),
            false => Ok(found),
        }
    }
}

#[async_trait]
impl ServiceDiscovery for Names {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let answers = self.look_up().await;
        let mut slots = self.slots.lock();
        for (index, answer) in answers {
            if let Some(slot) = slots.get_mut(index) {
                slot.learn(&self.cluster, answer);
            }
        }
        // An address found for two names is one server to Pingora: `insert` leaves it to the first name,
        // where `collect` would leave it to the last.
        let mut backends = BTreeSet::new();
        for server in slots.iter().flat_map(|slot| &slot.found) {
            backends.insert(server.backend());
        }
        Ok((backends, HashMap::new()))
    }
}

/// One configured server.
struct Slot {
    configured: ServerAddress,
    name: Arc<str>,
    found: Vec<Server>,
    failing: bool,
}

impl Slot {
    fn new(configured: &ServerAddress) -> Self {
        let literal = configured.ip().map(|ip| SocketAddr::new(ip, configured.port()));
        Self {
            configured: configured.clone(),
            name: configured.to_string().into(),
            found: literal.map(|address| Server::new(configured, address)).into_iter().collect(),
            failing: false,
        }
    }

    fn is_name(&self) -> bool {
        self.configured.ip().is_none()
    }

    /// A failed look-up leaves the last known addresses in place: a resolver that is down must not take
    /// running servers with it. Logs the first failure and the recovery.
    fn learn(&mut self, cluster: &str, answer: io::Result<Vec<SocketAddr>>) {
        let name = &self.name;
        match answer {
            Ok(addresses) => {
                if std::mem::take(&mut self.failing) {
                    log::info!("upstream {cluster}: {name} resolves again");
                }
                self.found = addresses.into_iter().map(|a| self.server(a)).collect();
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    log::warn!("upstream {cluster}: {name} does not resolve, will try again: {error}");
                }
            }
        }
    }

    /// The server already known at this address, with its count of tries, or a new one.
    fn server(&self, address: SocketAddr) -> Server {
        let known = self.found.iter().find(|server| server.address == address);
        known.cloned().unwrap_or_else(|| Server::new(&self.configured, address))
    }
}
