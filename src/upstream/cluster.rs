//! Origin servers that serve the same content: which one gets a request, and what its answers teach about it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora::upstreams::peer::HttpPeer;
use tokio::sync::watch;
use tokio_rustls::rustls::ClientConfig;

use super::background;
use super::balance::{Balance, client_key};
use super::budget::Budget;
use super::discovery;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::health::{CheckTls, HealthRegistry, Observer, Probe, Standing, Target, Told, may_eject};
use super::names::{Answers, Asked, Listed, Names, Resolvers};
use super::peer::{self, Pool, Want};
use super::roster::{Picked, Roster};
use super::server::{ClusterState, Kept, Server, ServerState};
use super::settings::Settings;
use super::spec::ServerSpec;
use super::tls;
use crate::http::request::RequestView;

/// Servers one cluster may list: a bound on what a look-up and a page of the operator cost.
const MAX_SERVERS: usize = 1000;

/// Origin servers that serve the same content.
pub struct Cluster {
    name: Arc<str>,
    settings: ArcSwap<Settings>,
    pool: Pool,
    names: Names,
    roster: ArcSwap<Roster>,
    /// Locked while servers change, so that nobody is told what was true before.
    told: Mutex<Told>,
    budget: Budget,
    registry: Arc<HealthRegistry>,
    /// Wakes the background work; closes with the cluster.
    changed: watch::Sender<()>,
    /// A server was left out, and is to come back.
    ejected: watch::Sender<()>,
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
    /// Makes a cluster without waiting for anything. Names have no address before [`start`](Self::start); servers that
    /// need no look-up are there, and inside a runtime begin to be checked.
    ///
    /// # Errors
    /// [`UpstreamError`] for a list that is none.
    pub fn open(
        name: impl Into<Arc<str>>,
        servers: &[ServerSpec],
        settings: Settings,
        observer: Arc<dyn Observer>,
        registry: Arc<HealthRegistry>,
    ) -> Result<Arc<Self>, UpstreamError> {
        Self::open_with(name.into(), servers, settings, observer, registry, Box::new(discovery::open))
    }

    pub(super) fn open_with(
        name: Arc<str>,
        servers: &[ServerSpec],
        settings: Settings,
        observer: Arc<dyn Observer>,
        registry: Arc<HealthRegistry>,
        resolvers: Resolvers,
    ) -> Result<Arc<Self>, UpstreamError> {
        refuse_bad_list(&name, servers)?;
        let cluster = Self {
            names: Names::new(name.clone(), servers, resolvers),
            roster: ArcSwap::from_pointee(Roster::new(&settings.balance, Vec::new())),
            settings: ArcSwap::from_pointee(settings),
            pool: Pool::new(&name),
            told: Mutex::new(Told::new(observer)),
            budget: Budget::new(),
            registry,
            changed: watch::Sender::new(()),
            ejected: watch::Sender::new(()),
            name,
        };
        cluster.roster.store(Arc::new(cluster.gather()));
        Ok(Arc::new(cluster))
    }

    /// Looks every name up once, waiting `lookup.timeout` at most, and starts the background work. A name that
    /// does not resolve is a warning and tried again; the work ends at `shutdown` or when the cluster is dropped.
    pub async fn start(self: &Arc<Self>, shutdown: watch::Receiver<bool>) {
        let changed = self.changed.subscribe();
        self.look_up().await;
        tokio::spawn(background::look_up(Arc::downgrade(self), changed.clone(), shutdown.clone()));
        tokio::spawn(background::watch(
            Arc::downgrade(self),
            self.registry.changes(),
            self.ejected.subscribe(),
            changed,
            shutdown,
        ));
    }

    /// As configured: the label of logs and metrics.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The settings in force; an update changes them.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// What an operator sees of it.
    pub fn state(&self) -> ClusterState {
        ClusterState { name: self.name.clone(), settings: self.settings(), servers: self.servers() }
    }

    /// Whether the algorithm goes by something of the request.
    pub fn is_keyed(&self) -> bool {
        matches!(self.settings.load().balance, Balance::ConsistentHash(_) | Balance::IpHash)
    }

    /// What a request is balanced by, where the algorithm goes by the request.
    pub fn key(&self, view: &RequestView<'_>) -> Option<u64> {
        match &self.settings.load().balance {
            Balance::ConsistentHash(by) => by.key(view),
            Balance::IpHash => Some(client_key(view.client)),
            Balance::LeastConnections | Balance::Random | Balance::RoundRobin => None,
        }
    }

    /// The next server that is up and was not tried for this request yet; see [`Roster::pick`].
    ///
    /// # Errors
    /// [`Failure::Full`] if all that could be asked have as many requests as they may get; [`Failure::NoServer`] if
    /// all were tried, or no name resolves.
    pub fn pick(&self, tried: &[Endpoint], key: Option<u64>) -> Result<Picked, Failure> {
        self.roster.load().pick(tried, key)
    }

    /// A request came that will be sent to a server: the retry budget is a share of these.
    pub fn requested(&self) {
        self.budget.request();
    }

    /// Whether a request that failed at `tried` may be tried elsewhere: there is a server left, and if one had it
    /// already the retry budget allows it, which this spends. In place of an answer only one that is up will do.
    pub fn may_retry(&self, tried: &[Endpoint], failure: Failure) -> bool {
        let share = self.settings.load().retry.budget;
        let another = self.roster.load().has_another(tried, failure == Failure::Status);
        another && (!failure.was_sent() || self.budget.take(share))
    }

    /// A server began to answer, after so long, and not with an error of its own.
    pub fn answered(&self, server: &Server, after: Duration) {
        server.load.answered(after);
        // One that breaks off its answers has shown nothing yet.
        if !server.load.breaks_off() {
            server.passive.succeeded();
        }
    }

    /// A server's answer is complete.
    pub fn completed(&self, server: &Server) {
        server.load.completed();
        server.passive.succeeded();
    }

    /// A server failed: it may be left out for a while.
    pub fn failed(&self, server: &Server, failure: Failure, detail: String) {
        server.load.failed(failure == Failure::BodyCut, detail);
        let settings = self.settings();
        let now = Instant::now();
        if !server.passive.failed(now, &settings.eject) {
            return;
        }
        let mut told = self.told.lock();
        let roster = self.roster.load();
        // Those that are down count as well: never may the last that answer be left out.
        let out = roster.servers.iter().filter(|server| !server.is_up()).count();
        if server.is_up() && may_eject(out, roster.servers.len()) {
            server.passive.eject(now, &settings.eject, failure.as_str());
            self.tell(&mut told);
            self.ejected.send_replace(());
        }
    }

    /// How Pingora connects to the server.
    ///
    /// # Errors
    /// Pingora's, for the path of a socket that the system does not take.
    pub fn peer(&self, server: &Server, want: Want) -> pingora::Result<Box<HttpPeer>> {
        peer::build(server, &self.settings.load(), &self.pool, want)
    }

    /// Every configured server with what is known of it, one entry per endpoint.
    pub fn servers(&self) -> Vec<ServerState> {
        self.each(
            |name, server| ServerState { name: name.clone(), ..server.state() },
            |listed, (why, since)| ServerState::unresolved(&listed.spec, *since, why.clone()),
        )
    }

    /// Every endpoint of every listed server, and every name that has none.
    fn each<T>(
        &self,
        found: impl Fn(&Arc<str>, &Server) -> T,
        missing: impl Fn(&Listed, &(Arc<str>, SystemTime)) -> T,
    ) -> Vec<T> {
        let roster = self.roster.load();
        let known: HashMap<_, _> = roster.servers.iter().map(|server| (&server.endpoint, server)).collect();
        let mut all = Vec::with_capacity(roster.servers.len());
        for listed in self.names.listed() {
            if listed.found.is_empty() {
                let unknown = || (Arc::from("not looked up yet"), SystemTime::now());
                all.push(missing(&listed, &listed.failing.clone().unwrap_or_else(unknown)));
            }
            let of_this = listed.found.iter().filter_map(|endpoint| known.get(endpoint));
            all.extend(of_this.map(|server| found(&listed.name, server)));
        }
        all
    }

    /// Has the names looked up that are due; returns when the next one is.
    pub(super) fn ask_due(&self, asked: &mut Asked) -> Option<tokio::time::Instant> {
        self.names.ask_due(&self.settings.load().lookup, asked)
    }

    /// Takes in what was found.
    pub(super) fn learn(&self, answers: Answers) {
        let mut told = self.told.lock();
        if self.names.learn(answers, &self.settings.load().lookup) {
            self.roster.store(Arc::new(self.gather()));
        }
        self.tell(&mut told);
    }

    /// Looks up all names, and waits for the answers.
    pub(super) async fn look_up(&self) {
        let answers = self.names.look_up(&self.names.specs(), &self.settings().lookup).await;
        self.learn(answers);
    }

    /// Lets those back in whose time has come and tells of all that changed; returns when the next one's does.
    pub(super) fn attend(&self) -> Option<Instant> {
        let mut told = self.told.lock();
        let roster = self.roster.load();
        for server in &roster.servers {
            server.passive.return_if_due(Instant::now());
        }
        self.tell(&mut told);
        roster.servers.iter().filter_map(|server| server.passive.returns_at()).min()
    }

    /// Changes what is known of the servers, and with it who is picked and what is told.
    pub(super) fn change<T>(&self, change: impl FnOnce(&Names) -> T) -> T {
        let mut told = self.told.lock();
        let result = change(&self.names);
        self.roster.store(Arc::new(self.gather()));
        self.tell(&mut told);
        result
    }

    /// The roster of what is known now. What is counted about an endpoint stays with it, whatever it is called.
    fn gather(&self) -> Roster {
        let settings = self.settings();
        let before = self.roster.load();
        let known: HashMap<_, _> = before.servers.iter().map(|server| (&server.endpoint, server)).collect();
        let checks = Checks::new(&self.name, &settings);
        let mut servers = Vec::new();
        for listed in self.names.listed() {
            for endpoint in listed.found {
                let kept = known.get(&endpoint).map_or_else(Kept::default, |server| server.kept());
                let watched = self.registry.watch(checks.target(&listed.spec, &endpoint), &settings.health);
                servers.push(Arc::new(Server::new(&listed.spec, endpoint, kept, watched)));
            }
        }
        Roster::new(&settings.balance, servers)
    }

    fn tell(&self, told: &mut Told) {
        let standings = self
            .each(|name, server| server.told(name), |listed, _| Standing::unresolved(listed.name.clone()));
        told.tell(&self.name, &standings);
    }

    /// Tells the observer of every server again.
    pub fn tell_again(&self) {
        let mut told = self.told.lock();
        told.repeat();
        self.tell(&mut told);
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    pub(super) fn configure(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    pub(super) fn wake(&self) {
        self.changed.send_replace(());
    }
}

/// How the servers of a cluster are spoken to when they are checked.
struct Checks<'a> {
    settings: &'a Settings,
    /// For HTTP over TLS; made once for all servers, since it holds every authority.
    config: Option<Arc<ClientConfig>>,
}

impl<'a> Checks<'a> {
    fn new(cluster: &str, settings: &'a Settings) -> Self {
        let config =
            matches!(settings.health.probe, Probe::Http(_)).then(|| tls::client_config(&settings.tls));
        let config = config.and_then(|config| match config {
            Ok(config) => Some(config),
            Err(error) => {
                log::warn!("upstream {cluster}: its https servers cannot be checked: {error}");
                None
            }
        });
        Self { settings, config }
    }

    fn target(&self, spec: &ServerSpec, endpoint: &Endpoint) -> Target {
        let (address, settings) = (&spec.address, &self.settings.tls);
        let config = self.config.as_ref().filter(|_| address.tls());
        let tls = config.and_then(|config| {
            let name = tls::server_name(settings, address.host()).ok()?;
            Some(CheckTls::new(settings.fingerprint(), ClientConfig::clone(config), name))
        });
        Target { endpoint: endpoint.clone(), host: address.host().clone(), tls }
    }
}

pub(super) fn refuse_bad_list(name: &Arc<str>, servers: &[ServerSpec]) -> Result<(), UpstreamError> {
    if servers.is_empty() {
        return Err(UpstreamError::Empty(name.clone()));
    }
    if servers.len() > MAX_SERVERS {
        return Err(UpstreamError::TooMany(name.clone()));
    }
    let mut seen = std::collections::HashSet::new();
    match servers.iter().map(|server| server.address.to_string()).find(|s| !seen.insert(s.clone())) {
        Some(server) => Err(UpstreamError::Twice(name.clone(), server)),
        None => Ok(()),
    }
}
