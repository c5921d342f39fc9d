//! One origin server a request can be sent to: where it is, what is asked of it, and how it is doing.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::endpoint::Endpoint;
use super::health::{Passive, Standing, Watched};
use super::load::{LastError, Load};
use super::settings::Settings;
use super::spec::ServerSpec;

/// A server as `Cluster::pick` gives it: one address of a listed server.
pub struct Server {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// As configured: the label of logs and metrics. Several endpoints may share it.
    pub name: Arc<str>,
    /// The configured host without its port: what the certificate must be for.
    pub host: Arc<str>,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its share of the requests.
    pub weight: u32,
    /// Whether it is asked only while no other can be.
    pub backup: bool,
    /// Requests it gets at once.
    pub(super) most: usize,
    pub(super) load: Arc<Load>,
    pub(super) passive: Arc<Passive>,
    pub(super) watched: Arc<Watched>,
}

/// What of a server outlives the list it stands in.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) load: Arc<Load>,
    pub(super) passive: Arc<Passive>,
}

impl Server {
    pub(super) fn new(spec: &ServerSpec, endpoint: Endpoint, kept: Kept, watched: Arc<Watched>) -> Self {
        Self {
            endpoint,
            name: spec.address.to_string().into(),
            host: spec.address.host().clone(),
            tls: spec.address.tls(),
            weight: spec.weight,
            backup: spec.backup,
            most: spec.max_connections.map_or(usize::MAX, |most| most.get() as usize),
            load: kept.load,
            passive: kept.passive,
            watched,
        }
    }

    /// What of it outlives this list.
    pub(super) fn kept(&self) -> Kept {
        Kept { load: self.load.clone(), passive: self.passive.clone() }
    }

    /// Whether checks pass and requests have not shown otherwise.
    #[inline]
    pub fn is_up(&self) -> bool {
        self.watched.is_up() && !self.passive.is_out()
    }

    /// Whether it has as many requests as it may get.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.load.active() >= self.most
    }

    /// Requests under way.
    #[inline]
    pub fn active(&self) -> usize {
        self.load.active()
    }

    /// What an operator sees of it.
    pub(super) fn state(&self) -> ServerState {
        let (state, since, reason) = self.standing();
        ServerState {
            name: self.name.clone(),
            endpoint: Some(self.endpoint.clone()),
            state,
            since,
            reason,
            weight: self.weight,
            backup: self.backup,
            active: self.load.active(),
            most: (self.most != usize::MAX).then_some(self.most),
            latency: self.load.latency(),
            last_error: self.load.error(),
        }
    }

    /// Its state, since when, and why it is not up.
    fn standing(&self) -> (State, SystemTime, Option<Arc<str>>) {
        let watched = self.watched.state();
        if !watched.up {
            return (State::Down, watched.since, watched.reason);
        }
        match self.passive.out() {
            Some(out) => (State::Out, moment(out.since), Some(out.why)),
            None => {
                let back = self.passive.returned_at().map(moment);
                (State::Up, back.map_or(watched.since, |back| back.max(watched.since)), None)
            }
        }
    }

    /// The same for the log and the metrics.
    pub(super) fn told(&self, name: &Arc<str>) -> Standing {
        Standing::of(name.clone(), &self.endpoint, &self.watched, &self.passive)
    }
}

/// The wall clock's name for a moment that has passed.
fn moment(instant: Instant) -> SystemTime {
    SystemTime::now().checked_sub(instant.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("endpoint", &self.endpoint)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Whether a server gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Checks fail.
    Down,
    /// Checks pass, but requests failed: out for a while.
    Out,
    /// Its name has no address.
    Unresolved,
    /// It does.
    Up,
}

impl State {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Out => "out",
            Self::Unresolved => "unresolved",
            Self::Up => "up",
        }
    }
}

/// What an operator sees of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterState {
    /// As configured: the label of logs and metrics.
    pub name: Arc<str>,
    /// How it connects, balances, checks and looks names up now.
    pub settings: Arc<Settings>,
    /// One entry per address, in the order of the configuration.
    pub servers: Vec<ServerState>,
}

/// What an operator and a metrics scrape see of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// As configured.
    pub name: Arc<str>,
    /// One of the addresses found for it; `None` while the name does not resolve.
    pub endpoint: Option<Endpoint>,
    /// Whether it gets requests.
    pub state: State,
    /// Since when.
    pub since: SystemTime,
    /// Why it does not.
    pub reason: Option<Arc<str>>,
    /// Its share of the requests.
    pub weight: u32,
    /// Whether it is asked only while no other can be.
    pub backup: bool,
    /// Requests under way.
    pub active: usize,
    /// Requests it gets at once, if there is a bound.
    pub most: Option<usize>,
    /// Time to the first byte, smoothed.
    pub latency: Option<Duration>,
    /// The last try that failed.
    pub last_error: Option<LastError>,
}

impl ServerState {
    /// Whether it gets requests.
    pub fn up(&self) -> bool {
        self.state == State::Up
    }

    /// A listed server whose name has no address.
    pub(super) fn unresolved(spec: &ServerSpec, since: SystemTime, reason: Arc<str>) -> Self {
        Self {
            name: spec.address.to_string().into(),
            endpoint: None,
            state: State::Unresolved,
            since,
            reason: Some(reason),
            weight: spec.weight,
            backup: spec.backup,
            active: 0,
            most: spec.max_connections.map(|most| most.get() as usize),
            latency: None,
            last_error: None,
        }
    }
}
