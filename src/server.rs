//! The process: opens listeners, runs until it is told to stop, and ends when the last answer is written.

use crate::admin::{self, Operations, Token};
use crate::cache::{Cache, Settings};
use crate::edge::Edge;
use crate::http::head::{split_host, split_query};
use crate::http::request::Scheme;
use crate::listen::{Connections, Door, accept};
use crate::net::{self, ListenAddress};
use crate::plan::{Limits, Listener, Plan, Route};
use crate::state::{ORPHANS, State};
use crate::telemetry::{AccessLog, Metrics, Throttle};
use crate::upstream::{Cluster, Observer, ServerAddress, Settings as UpstreamSettings, UpstreamError};
use arc_swap::ArcSwap;
use pingora::apps::HttpServerApp;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Descriptors that are not clients: listeners, logs, the runtime's own.
const RESERVED_DESCRIPTORS: u64 = 128;
/// Idle connections kept to each server.
const IDLE_PER_SERVER: usize = 128;

/// What to serve.
pub struct Setup {
    /// Where clients connect.
    pub listen: Vec<ListenAddress>,
    /// Where the operator does; `None` for nowhere.
    pub admin: Option<(ListenAddress, Option<Token>)>,
    /// Name of the cluster.
    pub upstream: String,
    /// Its servers.
    pub servers: Vec<ServerAddress>,
    /// How they are reached and watched.
    pub upstream_settings: UpstreamSettings,
    /// How the cache behaves.
    pub cache: Settings,
    /// Bounds on clients.
    pub limits: Limits,
    /// Whether the front answers by itself.
    pub front: bool,
    /// One line per request.
    pub log: AccessLog,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(ListenAddress, #[source] io::Error),
    /// The servers cannot form a cluster.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// A server that serves.
pub struct Server {
    /// The addresses clients connect to, ports resolved.
    pub addresses: Vec<SocketAddr>,
    /// The operator's address.
    pub admin: Option<SocketAddr>,
    /// What every request shares.
    pub edge: Arc<Edge>,
    proxy: Arc<HttpProxy<Edge>>,
    connections: Arc<Connections>,
    ready: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    background: watch::Sender<bool>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every answer was written.
    Clean,
    /// So many connections were still busy when the time was up.
    Cut(usize),
}

impl Server {
    /// Opens everything and starts to serve, on the present tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing keeps running then.
    pub async fn start(setup: Setup) -> Result<Self, StartError> {
        let descriptors = net::raise_descriptor_limit();
        let sockets = setup.listen.iter().map(|address| bind(*address)).collect::<Result<Vec<_>, _>>()?;
        let admin = setup.admin.as_ref().map(|(address, _)| bind(*address)).transpose()?;
        let (stop, stopping) = watch::channel(false);
        let (background, background_ends) = watch::channel(false);
        let metrics = Metrics::new();
        let cluster = open_cluster(&setup, &metrics)?;
        cluster.start(background_ends.clone()).await;
        let mut limits = setup.limits;
        // A client may need a second descriptor, for its server.
        limits.connections =
            limits.connections.min(((descriptors.saturating_sub(RESERVED_DESCRIPTORS)) / 2) as usize);
        let plan = plan(&setup, limits, &sockets, &cluster, &metrics);
        let cache = Arc::new(Cache::new(setup.cache));
        watch_the_numbers(&metrics, &cache, &cluster);
        let state = Arc::new(State {
            cache,
            metrics: metrics.clone(),
            log: setup.log,
            orphans: Arc::new(Semaphore::new(ORPHANS)),
            refreshes: Arc::new(Semaphore::new(ORPHANS)),
            origin_errors: Throttle::default(),
        });
        let edge = Arc::new(Edge { plan: Arc::new(ArcSwap::from_pointee(plan)), state });
        let proxy = proxy(&edge, setup.servers.len());
        let connections = Arc::new(Connections::default());
        let server = Self {
            addresses: sockets.iter().filter_map(|s| s.local_addr().ok()).collect(),
            admin: admin.as_ref().and_then(|s| s.local_addr().ok()),
            edge,
            proxy,
            connections,
            ready: Arc::new(AtomicBool::new(true)),
            stop,
            background,
        };
        server.open_doors(sockets, &stopping);
        if let (Some(socket), Some((_, token))) = (admin, setup.admin) {
            tokio::spawn(admin::serve(socket, server.operations(), token, background_ends));
        }
        Ok(server)
    }

    fn open_doors(&self, sockets: Vec<TcpListener>, stopping: &watch::Receiver<bool>) {
        let plan = self.edge.plan.load();
        for (index, socket) in sockets.into_iter().enumerate() {
            let Some(listener) = plan.listeners.get(index) else { continue };
            let door = Arc::new(Door {
                edge: self.edge.clone(),
                proxy: self.proxy.clone(),
                listener: index,
                name: listener.name.clone(),
                front: listener.front,
                metrics: self.edge.state.metrics.listener(&listener.name),
                shutdown: stopping.clone(),
            });
            tokio::spawn(accept(socket, door, self.connections.clone()));
        }
    }

    fn operations(&self) -> Arc<dyn Operations> {
        Arc::new(Desk { edge: self.edge.clone(), ready: self.ready.clone() })
    }

    /// Stops accepting, lets busy connections finish, and ends as soon as the last is gone or the time is up.
    pub async fn stop(self) -> Ended {
        self.ready.store(false, Ordering::Release);
        self.stop.send_replace(true);
        let patience = self.edge.plan.load().limits.drain;
        let ended = match tokio::time::timeout(patience, self.connections.gone()).await {
            Ok(()) => Ended::Clean,
            Err(_) => Ended::Cut(self.connections.count()),
        };
        self.proxy.http_cleanup().await;
        self.background.send_replace(true);
        self.edge.state.log.close();
        ended
    }
}

fn bind(address: ListenAddress) -> Result<TcpListener, StartError> {
    let socket = net::bind(address).and_then(TcpListener::from_std);
    socket.map_err(|error| StartError::Listen(address, error))
}

fn open_cluster(setup: &Setup, metrics: &Arc<Metrics>) -> Result<Arc<Cluster>, UpstreamError> {
    let observer = Arc::new(Watcher { cluster: setup.upstream.clone(), metrics: metrics.clone() });
    Cluster::open(setup.upstream.as_str(), &setup.servers, setup.upstream_settings.clone(), observer)
}

fn plan(
    setup: &Setup,
    limits: Limits,
    sockets: &[TcpListener],
    cluster: &Arc<Cluster>,
    metrics: &Arc<Metrics>,
) -> Plan {
    let name = |socket: &TcpListener| socket.local_addr().map_or_else(|_| String::new(), |a| a.to_string());
    let listeners: Vec<Listener> =
        sockets.iter().map(|socket| Listener { name: name(socket).into(), front: setup.front }).collect();
    let route = Route {
        name: "default".into(),
        cluster: cluster.clone(),
        cache: true,
        metrics: listeners.iter().map(|listener| metrics.route(&listener.name, "default")).collect(),
    };
    metrics.generation(1);
    Plan { generation: 1, listeners, routes: vec![route], limits }
}

fn proxy(edge: &Arc<Edge>, servers: usize) -> Arc<HttpProxy<Edge>> {
    let conf = ServerConf {
        upstream_keepalive_pool_size: IDLE_PER_SERVER * servers.max(1),
        ..ServerConf::default()
    };
    let shared = Edge { plan: edge.plan.clone(), state: edge.state.clone() };
    Arc::new(http_proxy(&Arc::new(conf), shared))
}

/// Numbers that others own are read when somebody asks for them.
fn watch_the_numbers(metrics: &Metrics, cache: &Arc<Cache>, cluster: &Arc<Cluster>) {
    let (cache, cluster) = (cache.clone(), cluster.clone());
    metrics.on_scrape(Box::new(move |metrics| {
        metrics.set_cache_bytes("memory", cache.ram().bytes());
        metrics.set_cache_objects("memory", cache.ram().objects());
        for (reason, total) in cache.ram().evictions() {
            metrics.set_cache_evictions("memory", reason, total);
        }
        let (waiting, filling) = cache.fills();
        metrics.set_cache_fills("waiting", waiting as u64);
        metrics.set_cache_fills("filling", filling as u64);
        for server in cluster.servers() {
            metrics.server(cluster.name(), &server.name).active.set(server.active as i64);
        }
    }));
}

/// Tells the metrics who is up.
struct Watcher {
    cluster: String,
    metrics: Arc<Metrics>,
}

impl Observer for Watcher {
    fn up(&self, server: &str, up: bool) {
        self.metrics.server(&self.cluster, server).up.set(i64::from(up));
    }
}

/// What the operator may ask.
struct Desk {
    edge: Arc<Edge>,
    ready: Arc<AtomicBool>,
}

impl Operations for Desk {
    fn metrics(&self) -> String {
        self.edge.state.metrics.encode()
    }

    fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn purge_url(&self, url: &http::Uri) -> usize {
        let scheme = if url.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
        let Some((host, port)) = url.authority().and_then(|a| split_host(a.as_str())) else { return 0 };
        let (path, query) = split_query(url.path_and_query().map_or("/", |p| p.as_str()));
        let cache = &self.edge.state.cache;
        let key = cache.recipe().key(scheme, host, port.unwrap_or(scheme.default_port()), path, query);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        self.edge.state.metrics.purged("url");
        cache.purge(&key, now)
    }
}
