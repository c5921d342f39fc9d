//! Clusters of origin servers: which one gets a request, how it is connected to, and what its failure means.
//!
//! - [`ServerAddress`] is a server as configured; `discovery` finds its addresses and looks again;
//! - [`Cluster::pick`] chooses a [`Server`], [`Cluster::peer`] says how Pingora connects to it;
//! - `health` keeps track of who is up, `background` runs the checks, an [`Observer`] is told;
//! - [`Update`] gives a cluster that stays through a reload other servers or settings;
//! - [`Failure`] reads Pingora's error: status, metric word, and whether another try is allowed.
//!
//! The invariant: a request gets a server as long as one is left untried, and never reaches it without a deadline.
//!
//! The balancer is Pingora's `LoadBalancer`; its `BackendSelection` trait is the seam for other algorithms.
//! All weights are 1, so its round robin is as smooth as any. What this folder does not do: count tries, read
//! the configuration, or write metrics.

mod address;
mod background;
mod discovery;
mod failure;
mod health;
mod peer;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod update;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backend, Backends, LoadBalancer};
use pingora::upstreams::peer::HttpPeer;
use tokio::sync::watch;

pub use address::{AddressError, ServerAddress};
pub use failure::{Failure, Phase, Retry, Try};
pub use health::Observer;
pub use server::{ClusterState, InFlight, Server, ServerState};
pub use settings::{Health, Lookup, Settings};
pub use update::{Change, Update};

use background::Chore;
use discovery::{Names, Resolve};

/// Servers one cluster may list: see `MAX_ADDRESSES` for why there is a limit.
const MAX_SERVERS: usize = 1000;

/// Origin servers that serve the same content.
pub struct Cluster {
    name: Arc<str>,
    settings: Arc<ArcSwap<Settings>>,
    names: Names,
    balancer: LoadBalancer<RoundRobin>,
    /// Locked while servers change, so that nobody is told what was true before.
    told: Mutex<health::Told>,
    /// Wakes the background work; closes with the cluster.
    changed: watch::Sender<()>,
    group: u64,
}

/// Why a cluster could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    #[error("upstream `{0}` lists no server")]
    Empty(Arc<str>),
    #[error("upstream `{0}` lists `{1}` twice")]
    Twice(Arc<str>, String),
    #[error("upstream `{0}` lists more than {MAX_SERVERS} servers")]
    TooMany(Arc<str>),
}

impl Cluster {
    /// Makes a cluster without touching the network, so that `check` can too. It has no server before
    /// [`start`](Self::start).
    pub fn open(
        name: impl Into<Arc<str>>,
        servers: &[ServerAddress],
        settings: Settings,
        observer: Arc<dyn Observer>,
    ) -> Result<Arc<Self>, UpstreamError> {
        let resolver = Arc::new(discovery::System);
        Self::open_with(name.into(), servers, settings, observer, resolver)
    }

    fn open_with(
        name: Arc<str>,
        servers: &[ServerAddress],
        settings: Settings,
        observer: Arc<dyn Observer>,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Arc<Self>, UpstreamError> {
        refuse_bad_list(&name, servers)?;
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let names = Names::new(name.clone(), servers, resolver);
        let check =
            health::TcpCheck { cluster: name.clone(), names: names.clone(), settings: settings.clone() };
        let mut balancer = LoadBalancer::from_backends(Backends::new(Box::new(names.clone())));
        balancer.set_health_check(Box::new(check));
        Ok(Arc::new(Self {
            told: Mutex::new(health::Told::new(observer)),
            changed: watch::Sender::new(()),
            group: peer::group(&name),
            name,
            settings,
            names,
            balancer,
        }))
    }

    /// Looks every name up once, waiting `lookup.timeout` at most, and starts the background work. A name that
    /// does not resolve is a warning and tried again; the work ends at `shutdown` or when the cluster is dropped.
    pub async fn start(self: &Arc<Self>, shutdown: watch::Receiver<bool>) {
        let changed = self.changed.subscribe();
        let pause = self.look_up().await;
        let spawn = |chore, pause| {
            let cluster = Arc::downgrade(self);
            tokio::spawn(background::repeat(cluster, chore, pause, changed.clone(), shutdown.clone()))
        };
        spawn(Chore::Check, Some(Duration::ZERO));
        spawn(Chore::LookUp, pause);
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The settings in force; an [`Update`] changes them.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// What an operator sees of it.
    pub fn state(&self) -> ClusterState {
        ClusterState { name: self.name.clone(), settings: self.settings(), servers: self.servers() }
    }

    /// The next server in turn that is up and not yet tried for this request. If no such server is left, one
    /// that is down: trying it beats refusing, for checks may be wrong or late (nginx does likewise).
    /// `None` when all were tried, or none of the names resolves.
    pub fn pick(&self, tried: &[SocketAddr]) -> Option<Server> {
        let backends = self.balancer.backends();
        let all = backends.get_backend();
        let untried = |b: &Backend| !b.addr.as_inet().is_some_and(|a| tried.contains(a));
        let any_up = all.iter().any(|b| untried(b) && backends.ready(b));
        let wanted = |b: &Backend, up: bool| untried(b) && up >= any_up;
        // Every step of Pingora's iterator takes a turn from the counter all requests share, so under load one
        // walk can meet the same server twice and miss another; and health may change meanwhile. The plain
        // search has the last word.
        let in_turn = self.balancer.select_with(b"", 2 * all.len(), wanted);
        let search = || all.iter().filter(|b| untried(b)).max_by_key(|b| backends.ready(b)).cloned();
        let found = in_turn.or_else(search);
        self.names.server(&found?)
    }

    /// How Pingora connects to the server.
    pub fn peer(&self, server: &Server) -> Box<HttpPeer> {
        peer::build(server, &self.settings.load(), self.group)
    }

    /// Every configured server with what is known of it, one entry per address.
    pub fn servers(&self) -> Vec<ServerState> {
        let found = self.names.found();
        found.iter().flat_map(|(name, servers)| self.states(name, servers)).collect()
    }

    fn states(&self, name: &Arc<str>, servers: &[Server]) -> Vec<ServerState> {
        if servers.is_empty() {
            return vec![ServerState { name: name.clone(), address: None, up: false, active: 0 }];
        }
        let state = |server: &Server| ServerState {
            name: name.clone(),
            address: Some(server.address),
            up: self.is_up(server),
            active: server.active(),
        };
        servers.iter().map(state).collect()
    }

    fn is_up(&self, server: &Server) -> bool {
        self.balancer.backends().ready(&server.backend())
    }

    /// Checks every server once; returns the pause until the next time.
    async fn check(&self) -> Duration {
        self.balancer.backends().run_health_check(true).await;
        self.tell(&mut self.told.lock());
        self.settings.load().health.every
    }

    /// Looks every name up once; returns the pause until the next time, if there is a name.
    async fn look_up(&self) -> Option<Duration> {
        let patience = self.settings.load().lookup.timeout;
        let answers = self.names.look_up(&self.names.configured(), patience).await;
        self.change(|names| names.learn(answers));
        let settings = self.settings.load();
        let pause = if self.names.unresolved() { settings.lookup.retry } else { settings.lookup.every };
        self.names.any().then_some(pause)
    }

    /// Changes what is known of the servers, and with it who is picked and what is told.
    fn change<T>(&self, change: impl FnOnce(&Names) -> T) -> T {
        let mut told = self.told.lock();
        let result = change(&self.names);
        self.publish();
        self.tell(&mut told);
        result
    }

    /// Has Pingora take over the servers. It keeps the health of an address that stays. Its updates must not
    /// overlap, so the caller holds `told`; ours never waits, so one poll is enough.
    fn publish(&self) {
        let update = pin!(self.balancer.update());
        match update.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => log::error!("upstream {}: {error}", self.name),
            Poll::Pending => log::error!("upstream {}: its servers did not change", self.name),
        }
    }

    fn tell(&self, told: &mut health::Told) {
        told.tell(&self.names.found(), |server| self.is_up(server));
    }
}

fn refuse_bad_list(name: &Arc<str>, servers: &[ServerAddress]) -> Result<(), UpstreamError> {
    if servers.is_empty() {
        return Err(UpstreamError::Empty(name.clone()));
    }
    if servers.len() > MAX_SERVERS {
        return Err(UpstreamError::TooMany(name.clone()));
    }
    let mut seen = std::collections::HashSet::new();
    match servers.iter().map(ToString::to_string).find(|s| !seen.insert(s.clone())) {
        Some(server) => Err(UpstreamError::Twice(name.clone(), server)),
        None => Ok(()),
    }
}
