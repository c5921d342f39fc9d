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
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the present generation consists of.
pub(super) struct Works {
    state: Arc<State>,
    ends: watch::Receiver<bool>,
    generation: u64,
    doors: Arc<Mutex<Doors>>,
    clusters: HashMap<Arc<str>, Arc<Cluster>>,
    log: Option<(setup::Log, Arc<AccessLog>)>,
    file: Option<config::Loaded>,
    /// Files of a configuration that was refused: once they change it may be sound.
    also: Vec<PathBuf>,
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
        let (clusters, doors, gone) = (HashMap::new(), Arc::default(), Arc::default());
        Self { state, ends, generation: 0, doors, clusters, log: None, file, also: Vec::new(), gone }
    }

    /// Opens what is new. Whatever fails, nothing has changed.
    pub(super) async fn build(&mut self, setup: Setup) -> Result<Built, StartError> {
        let opened = self.doors.lock().open(&setup, &self.state.tickets)?;
        let log = self.open_log(&setup.log)?;
        // Every look-up at the same time: a name that does not resolve takes as long as it may.
        let mut opening = JoinSet::new();
        for upstream in setup.upstreams.iter().cloned() {
            let present = self.clusters.get(&upstream.name).cloned();
            opening.spawn(open_cluster(upstream, present, self.state.clone(), self.ends.clone()));
        }
        let (mut clusters, mut updates) = (HashMap::new(), Vec::new());
        while let Some(opened) = opening.join_next().await {
            let (name, cluster, update) = opened.map_err(|error| StartError::Read(error.to_string()))??;
            updates.extend(update.map(|update| (name.clone(), update)));
            clusters.insert(name, cluster);
        }
        let limits = Limits { connections: connections(setup.limits.connections), ..setup.limits };
        Ok(Built { setup, limits, opened, clusters, updates, log })
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
            self.doors.lock().listeners(&built.opened),
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
        self.state.load.configure(built.setup.compress.cpu_percent);
        inner.edge.plan.store(self.plan(&built));
        self.generation += 1;
        self.state.metrics.generation(self.generation);
        self.doors.lock().commit(inner, built.opened, &built.setup);
        self.log = Some((built.setup.log.clone(), built.log));
        let old = std::mem::replace(&mut self.clusters, built.clusters);
        for (name, cluster) in old.iter().filter(|(name, _)| !self.clusters.contains_key(*name)) {
            cluster.servers().iter().for_each(|server| self.gone.left(name, &server.name));
        }
        for (name, cluster) in self.clusters.iter().filter(|(name, _)| !old.contains_key(*name)) {
            cluster.servers().iter().for_each(|server| self.gone.joined(name, &server.name));
            // A scrape in between may have taken out again what was told when it was opened.
            cluster.tell_again();
        }
    }

    /// Builds and puts in force.
    pub(super) async fn apply(&mut self, inner: &Arc<Inner>, setup: Setup) -> Result<(), StartError> {
        let built = self.build(setup).await?;
        if !inner.ready.load(Ordering::Acquire) {
            return Err(StartError::Stopping);
        }
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

    /// Every file whose change may change something.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let read = self.file.as_ref().map(|file| file.files.as_slice()).unwrap_or_default();
        read.iter().chain(&self.also).cloned().collect()
    }

    /// Files of a configuration that was refused.
    pub(super) fn watch_too(&mut self, files: Vec<PathBuf>) {
        self.also = files;
    }

    /// What a newly read configuration changes.
    pub(super) fn changes(&self, setup: &Setup, new: &config::Loaded) -> Vec<Change> {
        let Some(old) = &self.file else { return Vec::new() };
        let doors = self.doors.lock();
        let mut changes =
            changes::between(&old.effective, &new.effective, &doors.connections(&self.state.metrics));
        if doors.is_other_token(setup.admin.as_ref()) {
            changes.push(Change { subject: "admin".to_owned(), what: "token changed".to_owned() });
        }
        changes
    }

    /// Remembers what is in force now.
    pub(super) fn took(&mut self, file: config::Loaded) {
        self.file = Some(file);
        self.also.clear();
    }

    /// The listeners.
    pub(super) fn doors(&self) -> Arc<Mutex<Doors>> {
        self.doors.clone()
    }
}

type OpenedCluster = (Arc<str>, Arc<Cluster>, Option<Update>);

/// The cluster of this name: opened, kept, or kept with what is to be changed about it.
async fn open_cluster(
    upstream: setup::Upstream,
    present: Option<Arc<Cluster>>,
    state: Arc<State>,
    ends: watch::Receiver<bool>,
) -> Result<OpenedCluster, UpstreamError> {
    let setup::Upstream { name, servers, settings } = upstream;
    match present {
        Some(cluster) if cluster.is_same(&servers, &settings) => Ok((name, cluster, None)),
        Some(cluster) => {
            let update = cluster.prepare(&servers, settings).await?;
            Ok((name, cluster, Some(update)))
        }
        None => {
            let observer = Arc::new(Watcher { cluster: name.clone(), metrics: state.metrics.clone() });
            let cluster = Cluster::open(name.clone(), &servers, settings, observer, state.health.clone())?;
            cluster.start(ends).await;
            Ok((name, cluster, None))
        }
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
