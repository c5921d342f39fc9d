//! Builds a generation: what it needs is opened first, then swapped in, then what nobody needs any more is let go.

use super::doors::{Doors, Opened};
use super::{Change, Inner, StartError, changes, connections};
use crate::config;
use crate::plan::Plan;
use crate::setup::Limits;
use crate::setup::{self, Setup};
use crate::state::State;
use crate::telemetry::{AccessLog, Metrics};
use crate::upstream::{Cluster, Observer, Update, UpstreamError};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// What the present generation consists of.
pub(super) struct Works {
    state: Arc<State>,
    ends: watch::Receiver<bool>,
    generation: u64,
    doors: Doors,
    clusters: HashMap<Arc<str>, Arc<Cluster>>,
    log: Option<(setup::Log, Arc<AccessLog>)>,
    file: Option<config::Loaded>,
    gone: Arc<Gone>,
}

/// Servers that have left: a try still under way may count once more under their name.
#[derive(Default)]
pub(super) struct Gone(Mutex<HashSet<(Arc<str>, Arc<str>)>>);

impl Gone {
    fn left(&self, upstream: &Arc<str>, server: &Arc<str>) {
        self.0.lock().insert((upstream.clone(), server.clone()));
    }

    fn joined(&self, upstream: &Arc<str>, server: &Arc<str>) {
        self.0.lock().remove(&(upstream.clone(), server.clone()));
    }

    /// Takes them out of what is shown.
    pub(super) fn forget(&self, metrics: &Metrics) {
        self.0.lock().iter().for_each(|(upstream, server)| metrics.forget_server(upstream, server));
    }
}

/// What a new generation needs, opened, and not in force yet.
pub(super) struct Built {
    setup: Setup,
    limits: Limits,
    opened: Opened,
    clusters: HashMap<Arc<str>, Arc<Cluster>>,
    updates: Vec<(Arc<str>, Update)>,
    log: Arc<AccessLog>,
}

impl Built {
    /// Where clients connect.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.opened.addresses()
    }

    /// Where the operator does.
    pub(super) fn admin_address(&self) -> Option<SocketAddr> {
        self.opened.admin_address()
    }
}

impl Works {
    /// Nothing yet.
    pub(super) fn new(state: Arc<State>, ends: watch::Receiver<bool>, file: Option<config::Loaded>) -> Self {
        let (clusters, doors, gone) = (HashMap::new(), Doors::default(), Arc::default());
        Self { state, ends, generation: 0, doors, clusters, log: None, file, gone }
    }

    /// Opens what is new. Whatever fails, nothing has changed.
    pub(super) async fn build(&mut self, setup: Setup) -> Result<Built, StartError> {
        let opened = self.doors.open(&setup)?;
        let log = self.open_log(&setup.log)?;
        let (mut clusters, mut updates) = (HashMap::new(), Vec::new());
        for upstream in &setup.upstreams {
            let cluster = match self.clusters.get(&upstream.name) {
                Some(cluster) => cluster.clone(),
                None => self.open_cluster(upstream).await?,
            };
            if !cluster.is_same(&upstream.servers, &upstream.settings) {
                let update = cluster.prepare(&upstream.servers, upstream.settings.clone()).await?;
                updates.push((upstream.name.clone(), update));
            }
            clusters.insert(upstream.name.clone(), cluster);
        }
        let limits = Limits { connections: connections(setup.limits.connections), ..setup.limits };
        Ok(Built { setup, limits, opened, clusters, updates, log })
    }

    async fn open_cluster(&self, upstream: &setup::Upstream) -> Result<Arc<Cluster>, UpstreamError> {
        let (cluster, metrics) = (upstream.name.clone(), self.state.metrics.clone());
        let observer = Arc::new(Watcher { cluster, metrics });
        let settings = upstream.settings.clone();
        let cluster = Cluster::open(upstream.name.clone(), &upstream.servers, settings, observer)?;
        cluster.start(self.ends.clone()).await;
        Ok(cluster)
    }

    fn open_log(&self, wanted: &setup::Log) -> Result<Arc<AccessLog>, StartError> {
        if let Some((_, log)) = self.log.as_ref().filter(|(present, _)| present == wanted) {
            return Ok(log.clone());
        }
        let opened = match &wanted.file {
            Some(path) => AccessLog::file(path, wanted.format),
            None => AccessLog::stdout(wanted.format),
        };
        let to =
            wanted.file.as_ref().map_or_else(|| "standard output".into(), |path| path.display().to_string());
        opened.map(Arc::new).map_err(|error| StartError::Log(to, error))
    }

    /// The plan of what was built.
    pub(super) fn plan(&self, built: &Built) -> Arc<Plan> {
        Arc::new(Plan::open(
            self.generation + 1,
            &built.setup,
            built.limits,
            self.doors.listeners(&built.opened),
            |name| built.clusters.get(name).cloned(),
            &self.state.metrics,
            built.log.clone(),
        ))
    }

    /// Puts in force what was built: from here on nothing fails.
    pub(super) fn commit(&mut self, inner: &Arc<Inner>, built: Built) {
        let mut built = built;
        for (name, update) in built.updates.drain(..) {
            let moved = update.apply();
            moved.joined.iter().for_each(|server| self.gone.joined(&name, server));
            moved.left.iter().for_each(|server| self.gone.left(&name, server));
        }
        self.state.cache.configure(built.setup.cache);
        inner.edge.plan.store(self.plan(&built));
        self.generation += 1;
        self.state.metrics.generation(self.generation);
        self.doors.commit(inner, built.opened, &built.setup);
        self.log = Some((built.setup.log.clone(), built.log));
        let old = std::mem::replace(&mut self.clusters, built.clusters);
        for (name, cluster) in old.iter().filter(|(name, _)| !self.clusters.contains_key(*name)) {
            cluster.servers().iter().for_each(|server| self.gone.left(name, &server.name));
        }
        for (name, cluster) in self.clusters.iter().filter(|(name, _)| !old.contains_key(*name)) {
            cluster.servers().iter().for_each(|server| self.gone.joined(name, &server.name));
        }
    }

    /// Builds and puts in force.
    pub(super) async fn apply(&mut self, inner: &Arc<Inner>, setup: Setup) -> Result<(), StartError> {
        let built = self.build(setup).await?;
        self.commit(inner, built);
        Ok(())
    }

    /// The configuration file, if there is one.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.file.as_ref().map(|file| file.path.clone())
    }

    /// Servers that have left.
    pub(super) fn gone(&self) -> Arc<Gone> {
        self.gone.clone()
    }

    /// Every file that was read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.file.as_ref().map(|file| file.files.clone()).unwrap_or_default()
    }

    /// What a newly read configuration changes.
    pub(super) fn changes(&self, new: &config::Loaded, kept: &[(String, u64)]) -> Vec<Change> {
        self.file.as_ref().map_or_else(Vec::new, |old| changes::between(&old.effective, &new.effective, kept))
    }

    /// Remembers what is in force now.
    pub(super) fn took(&mut self, file: config::Loaded) {
        self.file = Some(file);
    }

    /// Open connections of each listener, under the address as configured.
    pub(super) fn connections_per_listener(&self, metrics: &Metrics) -> Vec<(String, u64)> {
        self.doors.connections(metrics)
    }

    /// Lets nobody in any more.
    pub(super) fn close_doors(&mut self) {
        self.doors.close();
    }

    /// Ends the operator's listener.
    pub(super) fn close_admin(&mut self) {
        self.doors.close_admin();
    }
}

/// Tells the metrics who is up.
struct Watcher {
    cluster: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Observer for Watcher {
    fn up(&self, server: &str, up: bool) {
        self.metrics.server(&self.cluster, server).up.set(i64::from(up));
    }
}
