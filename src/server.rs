//! The process: opens what a setup asks for, serves, takes a new setup while it serves, and ends when the last answer is
//! written.
//!
//! `works` builds a generation and swaps it in; `doors` are the open listeners; `desk` is what the operator may ask;
//! `certificates` follows files that change without a reload; `changes` says what differs between two configurations.

mod certificates;
mod changes;
mod desk;
mod doors;
mod upstreams;
mod works;

use crate::cache::Cache;
use crate::compress;
use crate::config;
use crate::edge::Edge;
use crate::listen::Connections;
use crate::net::{self, ListenAddress};
use crate::setup::Setup;
use crate::state::{AT_THE_DISK, ORPHANS, State};
use crate::telemetry::{Metrics, Reload, Throttle};
use crate::tls::Tickets;
use crate::upstream::{HealthRegistry, UpstreamError, tls};
use arc_swap::ArcSwap;
use pingora::apps::HttpServerApp;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Semaphore, watch};

pub use changes::Change;
pub use desk::Desk;
use doors::Doors;
use works::{Gone, Works};

/// Descriptors that are not clients: listeners, logs, the runtime's own.
const RESERVED_DESCRIPTORS: u64 = 128;
/// Idle connections kept to origin servers, over all of them: 128 for each of 64, or more for fewer.
const IDLE: usize = 8_192;

/// Why a setup cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(ListenAddress, #[source] io::Error),
    /// An address could not be listened on because this node itself does, under another spelling.
    #[error(
        "cannot listen on {0}: this node itself listens on {1}; take {1} out, reload, then put {0} in and reload"
    )]
    Respelt(ListenAddress, ListenAddress),
    /// The server is being stopped.
    #[error("the node is being stopped")]
    Stopping,
    /// The access log cannot be written.
    #[error("cannot write the access log to {0}: {1}")]
    Log(String, #[source] io::Error),
    /// The configuration could not even be read.
    #[error("cannot read the configuration: {0}")]
    Read(String),
    /// The system lacks what TLS needs.
    #[error("cannot set up TLS: {0}")]
    Tls(#[source] crate::tls::Error),
    /// The servers cannot form a cluster.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// Why a reload changed nothing.
#[derive(Debug)]
pub enum ReloadError {
    /// The configuration has mistakes.
    Mistakes(Box<config::Refused>),
    /// There is no file to read again.
    NoFile,
    /// What it asks for could not be opened.
    Start(StartError),
    /// One reload is under way and another waits, which will read what is in the files then.
    Busy,
    /// The server is being stopped.
    Stopping,
}

/// A reload that is in force.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// The generation before.
    pub before: u64,
    /// The generation now.
    pub generation: u64,
    /// How long it took.
    pub took: Duration,
    /// What differs.
    pub changes: Vec<Change>,
    /// What may be meant otherwise than it is written.
    pub warnings: Vec<String>,
}

/// A server that serves.
pub struct Server {
    /// The addresses clients connect to at the start, ports resolved.
    pub addresses: Vec<SocketAddr>,
    /// The operator's address at the start.
    pub admin: Option<SocketAddr>,
    /// What every request shares.
    pub edge: Arc<Edge>,
    inner: Arc<Inner>,
}

/// What the server and the operator's desk share.
struct Inner {
    edge: Arc<Edge>,
    proxy: Arc<HttpProxy<Edge>>,
    connections: Arc<Connections>,
    ready: AtomicBool,
    background: watch::Sender<bool>,
    doors: Arc<parking_lot::Mutex<Doors>>,
    works: Mutex<Works>,
    /// One reload at a time; reading may take long, and nothing else waits for it.
    reloading: Mutex<()>,
    waiting: AtomicUsize,
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
    /// Opens everything and starts to serve, on the present tokio runtime. `file` is what a reload reads again.
    ///
    /// # Errors
    /// [`StartError`]; nothing keeps running then.
    pub async fn start(setup: Setup, file: Option<config::Loaded>) -> Result<Self, StartError> {
        let (background, background_ends) = watch::channel(false);
        let metrics = Metrics::new();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let state = Arc::new(State {
            cache: Arc::new(Cache::new(setup.cache)),
            load: Arc::new(compress::Load::new(cores)),
            builders: compress::Pool::new(cores.div_ceil(2)),
            metrics: metrics.clone(),
            orphans: Arc::new(Semaphore::new(ORPHANS)),
            refreshes: Arc::new(Semaphore::new(ORPHANS)),
            health: HealthRegistry::new(),
            tickets: Tickets::new().map_err(StartError::Tls)?,
            origin_errors: Throttle::default(),
            disk: Arc::new(Semaphore::new(AT_THE_DISK)),
            file_errors: Throttle::default(),
            stray_callers: Throttle::default(),
        });
        let mut works = Works::new(state.clone(), background_ends.clone(), file);
        let built = works.build(setup).await?;
        let plan = Arc::new(ArcSwap::from(works.plan(&built)));
        let edge = Arc::new(Edge { plan, state });
        let inner = Arc::new(Inner {
            proxy: proxy(&edge),
            edge: edge.clone(),
            connections: Arc::new(Connections::default()),
            ready: AtomicBool::new(true),
            background,
            doors: works.doors(),
            works: Mutex::new(works),
            reloading: Mutex::default(),
            waiting: AtomicUsize::new(0),
        });
        let gone = inner.works.lock().await.gone();
        inner.watch_the_numbers(gone);
        let (addresses, admin) = (built.addresses(), built.admin_address());
        inner.works.lock().await.commit(&inner, built);
        tokio::spawn(certificates::follow(Arc::downgrade(&inner.edge), background_ends));
        Ok(Self { addresses, admin, edge, inner })
    }

    /// Reads the configuration again and puts it in force, if it is sound; otherwise everything stays as it was.
    ///
    /// # Errors
    /// [`ReloadError`], counted and logged.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.inner.reload().await
    }

    /// What the operator may ask.
    pub fn desk(&self) -> Desk {
        Desk(self.inner.clone())
    }

    /// Stops accepting, lets busy connections finish, and ends as soon as the last is gone or the time is up.
    pub async fn stop(self) -> Ended {
        let inner = self.inner;
        inner.ready.store(false, Ordering::Release);
        // Not through the works: a reload that hangs must not hold up the end.
        inner.doors.lock().close();
        let patience = inner.edge.plan.load().limits.drain;
        let ended = match tokio::time::timeout(patience, inner.connections.gone()).await {
            Ok(()) => Ended::Clean,
            Err(_) => Ended::Cut(inner.connections.count()),
        };
        inner.proxy.http_cleanup().await;
        inner.background.send_replace(true);
        inner.doors.lock().close_admin();
        inner.edge.plan.load().log.close();
        ended
    }
}

impl Inner {
    /// Reloads on a task of its own: whoever asked may leave, and what has begun still comes to its end.
    async fn reload(self: &Arc<Self>) -> Result<Reloaded, ReloadError> {
        if !self.ready.load(Ordering::Acquire) {
            return Err(ReloadError::Stopping);
        }
        if self.waiting.fetch_add(1, Ordering::AcqRel) > 1 {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(ReloadError::Busy);
        }
        let inner = self.clone();
        let task = tokio::spawn(async move {
            let _place = Place(&inner.waiting);
            let _one = inner.reloading.lock().await;
            inner.reload_now().await
        });
        task.await.unwrap_or_else(|error| Err(ReloadError::Start(StartError::Read(error.to_string()))))
    }

    async fn reload_now(self: &Arc<Self>) -> Result<Reloaded, ReloadError> {
        let began = Instant::now();
        let before = self.edge.plan.load().generation;
        let result = self.read_and_apply().await;
        let metrics = &self.edge.state.metrics;
        match result {
            Ok((changes, warnings)) => {
                metrics.reload(Reload::Ok);
                let generation = self.edge.plan.load().generation;
                let took = began.elapsed();
                log::info!("configuration: generation {before} → {generation} in {} ms", took.as_millis());
                changes.iter().for_each(|change| log::info!("configuration: {change}"));
                warnings.iter().for_each(|warning| log::warn!("configuration: {warning}"));
                Ok(Reloaded { before, generation, took, changes, warnings })
            }
            Err(error) => {
                metrics.reload(Reload::Error);
                log::error!("configuration: not reloaded, generation {before} stays in force: {error}");
                if let ReloadError::Mistakes(refused) = &error {
                    refused.lines().iter().for_each(|line| log::error!("configuration: {line}"));
                }
                Err(error)
            }
        }
    }

    async fn read_and_apply(self: &Arc<Self>) -> Result<(Vec<Change>, Vec<String>), ReloadError> {
        let Some(path) = self.works.lock().await.path() else { return Err(ReloadError::NoFile) };
        let reading = tokio::task::spawn_blocking(move || config::load(&path)).await;
        let (setup, loaded) = match reading {
            Ok(Ok(read)) => read,
            Ok(Err(refused)) => {
                self.works.lock().await.watch_too(refused.files());
                return Err(ReloadError::Mistakes(Box::new(refused)));
            }
            // The reader panicked, which it has no reason to.
            Err(error) => return Err(ReloadError::Start(StartError::Read(error.to_string()))),
        };
        let mut works = self.works.lock().await;
        let changes = works.changes(&setup, &loaded);
        works.apply(self, setup).await.map_err(ReloadError::Start)?;
        let warnings = loaded.warnings.clone();
        works.took(loaded);
        Ok((changes, warnings))
    }

    /// Numbers that others own are read when somebody asks for them.
    fn watch_the_numbers(&self, gone: Arc<Gone>) {
        let edge = Arc::downgrade(&self.edge);
        self.edge.state.metrics.on_scrape(Box::new(move |metrics| {
            let Some(edge) = edge.upgrade() else { return };
            let cache = &edge.state.cache;
            metrics.set_cache_bytes("memory", cache.ram().bytes());
            metrics.set_cache_objects("memory", cache.ram().objects());
            for (reason, total) in cache.ram().evictions() {
                metrics.set_cache_evictions("memory", reason, total);
            }
            let (waiting, filling) = cache.fills();
            metrics.set_cache_fills("waiting", waiting as u64);
            metrics.set_cache_fills("filling", filling as u64);
            for cluster in edge.plan.load().clusters() {
                // A name may stand for several addresses.
                let mut active: HashMap<Arc<str>, usize> = HashMap::new();
                for server in cluster.servers() {
                    *active.entry(server.name).or_default() += server.active;
                }
                for (server, active) in active {
                    metrics.server(cluster.name(), &server).active.set(active as i64);
                }
            }
            certificates::show(&edge.plan.load(), metrics);
            gone.forget(metrics);
        }));
    }
}

/// A place among the reloads that wait; given back however the reload ends.
struct Place<'w>(&'w AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl std::fmt::Display for ReloadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mistakes(refused) => f.write_str(&refused.summary()),
            Self::NoFile => f.write_str("it was started without a configuration file"),
            Self::Busy => f.write_str(
                "a reload is under way and another waits; that one will read the files as they are",
            ),
            Self::Stopping => f.write_str("the node is being stopped"),
            Self::Start(error) => error.fmt(f),
        }
    }
}

fn proxy(edge: &Arc<Edge>) -> Arc<HttpProxy<Edge>> {
    tls::choose_provider();
    let ca_file = tls::authorities_file();
    let conf = ServerConf { upstream_keepalive_pool_size: IDLE, ca_file, ..ServerConf::default() };
    let shared = Edge { plan: edge.plan.clone(), state: edge.state.clone() };
    Arc::new(http_proxy(&Arc::new(conf), shared))
}

/// Clients at once: each may need a second descriptor, for its server.
fn connections(wanted: usize) -> usize {
    let descriptors = net::raise_descriptor_limit();
    wanted.min((descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2) as usize)
}
