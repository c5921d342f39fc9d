//! Turns configured servers into addresses, again and again, and never forgets one because a look-up failed.
//!
//! Three steps, so that the last two take no time: look up, learn or replace, and let Pingora discover.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::lb::Backend;
use pingora::lb::discovery::ServiceDiscovery;
use tokio::task::JoinSet;

use super::address::ServerAddress;
use super::server::Server;
use super::update::Change;

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

/// What a look-up found, by the name of the configured server.
pub(super) type Answers = HashMap<Arc<str>, io::Result<Vec<SocketAddr>>>;

/// The configured servers and the addresses last found for each.
#[derive(Clone)]
pub(super) struct Names {
    cluster: Arc<str>,
    slots: Arc<Mutex<Vec<Slot>>>,
    /// Who is at an address; of two that are, the one listed first.
    known: Arc<ArcSwap<HashMap<SocketAddr, Server>>>,
    resolver: Arc<dyn Resolve>,
}

impl Names {
    pub(super) fn new(cluster: Arc<str>, servers: &[ServerAddress], resolver: Arc<dyn Resolve>) -> Self {
        let slots = servers.iter().map(|server| Slot::new(server, &HashMap::new())).collect();
        Self { cluster, slots: Arc::new(Mutex::new(slots)), known: Arc::default(), resolver }
    }

    /// The servers as listed.
    pub(super) fn configured(&self) -> Vec<ServerAddress> {
        self.slots.lock().iter().map(|slot| slot.configured.clone()).collect()
    }

    /// Whether there is anything to look up.
    pub(super) fn any(&self) -> bool {
        self.slots.lock().iter().any(|slot| slot.configured.ip().is_none())
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

    /// The server behind a backend. Pingora compares backends without their `ext` and keeps the old one as long
    /// as the address stays, so what rides there may have been renamed, or moved to TLS, since. It still serves
    /// for a backend that has just left.
    pub(super) fn server(&self, backend: &Backend) -> Option<Server> {
        let rider = Server::of(backend)?;
        Some(self.known.load().get(&rider.address).unwrap_or(rider).clone())
    }

    /// Looks up at the same time all that are names; a literal address has no answer.
    pub(super) async fn look_up(&self, servers: &[ServerAddress], patience: Duration) -> Answers {
        let mut asked = JoinSet::new();
        for server in servers.iter().filter(|server| server.ip().is_none()) {
            let (resolver, server) = (self.resolver.clone(), server.clone());
            asked.spawn(async move { (server.to_string().into(), ask(&*resolver, &server, patience).await) });
        }
        asked.join_all().await.into_iter().collect()
    }

    /// Takes in what was found for servers that are still listed.
    pub(super) fn learn(&self, mut answers: Answers) {
        let known = self.known.load();
        for slot in self.slots.lock().iter_mut() {
            if let Some(answer) = answers.remove(&slot.name) {
                slot.learn(&self.cluster, answer, &known);
            }
        }
    }

    /// Another list of servers. Those that stay keep their addresses and their counts of tries.
    pub(super) fn replace(&self, servers: &[ServerAddress], mut answers: Answers) -> Change {
        let known = self.known.load();
        let mut slots = self.slots.lock();
        let mut old: BTreeMap<_, _> = slots.drain(..).map(|slot| (slot.name.clone(), slot)).collect();
        let mut joined = Vec::new();
        for server in servers {
            let mut slot = Slot::new(server, &known);
            match old.remove(&slot.name) {
                Some(before) => slot.inherit(before),
                None => joined.push(slot.name.clone()),
            }
            if let Some(answer) = answers.remove(&slot.name) {
                slot.learn(&self.cluster, answer, &known);
            }
            slots.push(slot);
        }
        Change { joined, left: old.into_keys().collect() }
    }
}

async fn ask(
    resolver: &dyn Resolve,
    server: &ServerAddress,
    patience: Duration,
) -> io::Result<Vec<SocketAddr>> {
    let answer = resolver.resolve(server.host(), server.port());
    let mut found = tokio::time::timeout(patience, answer).await??;
    found.sort_unstable();
    found.dedup();
    found.truncate(MAX_ADDRESSES);
    match found.is_empty() {
        true => Err(io::Error::other("no address")),
        false => Ok(found),
    }
}

/// Never waits: `Cluster::publish` counts on that.
#[async_trait]
impl ServiceDiscovery for Names {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut known = HashMap::new();
        for server in self.slots.lock().iter().flat_map(|slot| &slot.found) {
            known.entry(server.address).or_insert_with(|| server.clone());
        }
        let backends = known.values().map(Server::backend).collect();
        self.known.store(Arc::new(known));
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
    fn new(configured: &ServerAddress, known: &HashMap<SocketAddr, Server>) -> Self {
        let name = configured.to_string().into();
        let mut slot = Self { configured: configured.clone(), name, found: Vec::new(), failing: false };
        if let Some(ip) = configured.ip() {
            slot.find(vec![SocketAddr::new(ip, configured.port())], known);
        }
        slot
    }

    /// A failed look-up leaves the last known addresses in place: a resolver that is down must not take
    /// running servers with it. Logs the first failure and the recovery.
    fn learn(
        &mut self,
        cluster: &str,
        answer: io::Result<Vec<SocketAddr>>,
        known: &HashMap<SocketAddr, Server>,
    ) {
        let name = &self.name;
        match answer {
            Ok(addresses) => {
                if std::mem::take(&mut self.failing) {
                    log::info!("upstream {cluster}: {name} resolves again");
                }
                self.find(addresses, known);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    log::warn!("upstream {cluster}: {name} does not resolve, will try again: {error}");
                }
            }
        }
    }

    /// The same `host:port` as before, perhaps with TLS now or without.
    fn inherit(&mut self, before: Self) {
        let server = |b: Server| Server::new(&self.configured, b.address).counted_with(Some(&b));
        self.found = before.found.into_iter().map(server).collect();
        self.failing = before.failing;
    }

    /// The count of tries belongs to the address, whoever is said to be there.
    fn find(&mut self, addresses: Vec<SocketAddr>, known: &HashMap<SocketAddr, Server>) {
        let server = |a| Server::new(&self.configured, a).counted_with(known.get(&a));
        self.found = addresses.into_iter().map(server).collect();
    }
}
