//! What one generation of configuration means: immutable, valid, every name already resolved.

use crate::cache::key::Parts;
use crate::compress;
use crate::files::Folder;
use crate::http::accept_encoding::Coding;
use crate::http::request::Scheme;
use crate::route::{Subject, Table};
use crate::rules::RuleSet;
use crate::setup::{self, Limits, Setup};
use crate::telemetry::{AccessLog, Metrics, RouteMetrics};
use crate::tls::Terminator;
use crate::upstream::Cluster;
use crate::verdict::Terms;
use http::HeaderValue;
use ipnet::IpNet;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// One generation of configuration.
pub struct Plan {
    /// Counts the generations since start.
    pub generation: u64,
    /// Listeners; `Arrival::listener` is a position here. One that is closed keeps its place for the connections that
    /// it has left.
    pub listeners: Vec<Listener>,
    /// Routes; `Decision::route` is a position here. The last takes what no other takes.
    pub routes: Vec<Route>,
    /// Finds the route of a request.
    pub table: Table,
    /// Proxies whose word on the client's address is taken.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Bounds on what a client may ask and how long it may take.
    pub limits: Limits,
    /// One line per request.
    pub log: Arc<AccessLog>,
    /// What is compressed and how.
    pub compress: Arc<compress::Settings>,
}

/// An address that clients connect to.
#[derive(Clone)]
pub struct Listener {
    /// Its name in log and metrics: the address, its port resolved.
    pub name: Arc<str>,
    /// Whether the front answers what it can by itself; off only to compare the two transports.
    pub front: bool,
    /// Whether every connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The port to which requests over http are sent for https, instead of being answered.
    pub redirect_https: Option<u16>,
    /// What every answer says in Strict-Transport-Security (RFC 6797); only where clients speak TLS.
    pub hsts: Option<HeaderValue>,
    /// Whether clients speak TLS.
    pub secure: bool,
    /// What ends their TLS; `None` where they speak without, and in a plan that nobody serves.
    pub tls: Option<Arc<Terminator>>,
    /// Whether it lets nobody in any more.
    pub closed: bool,
}

impl Listener {
    /// One as a setup describes it. `tls` was made of what it says of TLS.
    pub fn open(name: Arc<str>, setup: &setup::Listener, tls: Option<Arc<Terminator>>) -> Self {
        let setup::Listener { bind: _, front, proxy_protocol, redirect_https, hsts, tls: settings } = setup;
        let secure = settings.is_some();
        Self {
            name,
            front: *front,
            proxy_protocol: *proxy_protocol,
            redirect_https: *redirect_https,
            // RFC 6797 §7.2: never in the clear.
            hsts: hsts.clone().filter(|_| secure),
            secure,
            tls,
            closed: false,
        }
    }
}

/// Where matching requests go and how they are cached.
pub struct Route {
    /// What was configured.
    pub setup: Arc<setup::Route>,
    /// Who answers, if it is not Foreland itself.
    pub cluster: Option<Arc<Cluster>>,
    /// The folder whose files answer, if any.
    pub folder: Option<Arc<Folder>>,
    /// Names the folder and how it is served, compression included: what is kept of its files is kept under it.
    pub folder_id: u64,
    /// Counters per listener, in the order of the listeners.
    pub metrics: Vec<Arc<RouteMetrics>>,
}

impl Plan {
    /// Resolves every name of a setup. `cluster` gives those that were opened for it.
    pub fn open(
        generation: u64,
        setup: &Setup,
        limits: Limits,
        listeners: Vec<Listener>,
        cluster: impl Fn(&str) -> Option<Arc<Cluster>>,
        metrics: &Metrics,
        log: Arc<AccessLog>,
    ) -> Self {
        let nowhere = Arc::new(setup::Route::nowhere());
        let takes: Vec<_> = setup.routes.iter().map(|route| route.takes.clone()).collect();
        let table = Table::open(&takes);
        let routes = setup.routes.iter().chain([&nowhere]).map(|route| Route {
            setup: route.clone(),
            cluster: match &route.action {
                setup::Action::Upstream(name) => cluster(name),
                setup::Action::Answer(_) | setup::Action::Files(_) => None,
            },
            folder: match &route.action {
                setup::Action::Files(settings) => Some(Arc::new(Folder::new(settings.clone()))),
                setup::Action::Answer(_) | setup::Action::Upstream(_) => None,
            },
            folder_id: folder_id(route, &setup.compress),
            metrics: listeners.iter().map(|listener| metrics.route(&listener.name, &route.name)).collect(),
        });
        Self {
            generation,
            routes: routes.collect(),
            table,
            trusted_proxies: setup.trusted_proxies.clone(),
            limits,
            log,
            compress: Arc::new(setup.compress.clone()),
            listeners,
        }
    }

    /// Position of the route that takes a request.
    pub fn find(&self, subject: &Subject<'_>) -> usize {
        self.table.find(subject).unwrap_or(self.nowhere())
    }

    /// Position of the route of requests that no other takes.
    pub fn nowhere(&self) -> usize {
        self.routes.len().saturating_sub(1)
    }

    /// The name of the route at a position.
    pub fn route_name(&self, route: usize) -> &str {
        self.routes.get(route).map_or("", |route| &route.setup.name)
    }

    /// The cluster of the route at a position.
    pub fn cluster(&self, route: usize) -> Option<&Arc<Cluster>> {
        self.routes.get(route)?.cluster.as_ref()
    }

    /// Bytes that the body of a request may have on the route at a position.
    pub fn max_body(&self, route: usize) -> u64 {
        let own = self.routes.get(route).and_then(|route| route.setup.max_body);
        own.unwrap_or(self.limits.max_body)
    }

    /// What is compressed on the route at a position, and how; `None` where nothing is.
    pub fn compress(&self, route: usize) -> Option<&Arc<compress::Settings>> {
        let on = self.routes.get(route).is_some_and(|route| route.setup.compress);
        Some(&self.compress).filter(|settings| on && !settings.codings.is_empty())
    }

    /// Every cluster once.
    pub fn clusters(&self) -> Vec<&Arc<Cluster>> {
        let mut clusters: Vec<_> = self.routes.iter().filter_map(|route| route.cluster.as_ref()).collect();
        clusters.sort_by_key(|cluster| Arc::as_ptr(cluster).cast::<()>());
        clusters.dedup_by_key(|cluster| Arc::as_ptr(cluster).cast::<()>());
        clusters
    }

    /// The name of a listener.
    pub fn listener_name(&self, listener: usize) -> &str {
        self.listeners.get(listener).map_or("", |listener| &listener.name)
    }

    /// What a listener has every answer say in Strict-Transport-Security.
    pub fn hsts(&self, listener: usize, scheme: Scheme) -> Option<&HeaderValue> {
        // RFC 6797 §7.2: not in the clear, as to clients who were there before the listener spoke TLS.
        self.listeners.get(listener)?.hsts.as_ref().filter(|_| scheme == Scheme::Https)
    }

    /// What the cache rules of a route made of a request.
    pub fn ruled(&self, route: usize, terms: Terms) -> Ruled<'_> {
        let rules = self.routes.get(route).and_then(|route| route.setup.rules.as_ref());
        Ruled { rules, terms }
    }
}

/// Tells folders apart by every one of their settings, and by what compression does to the heads of their files.
fn folder_id(route: &setup::Route, compress: &compress::Settings) -> u64 {
    match &route.action {
        setup::Action::Files(settings) => {
            xxh3_64(format!("{settings:?} {} {compress:?}", route.compress).as_bytes())
        }
        setup::Action::Answer(_) | setup::Action::Upstream(_) => 0,
    }
}

/// Cache rules, and which of them decide about one request.
#[derive(Clone, Copy)]
pub struct Ruled<'p> {
    /// The rules; `None` where the cache is off.
    pub rules: Option<&'p Arc<RuleSet>>,
    /// Which of them decide.
    pub terms: Terms,
}

impl<'p> Ruled<'p> {
    /// Which parts of the request make its key.
    pub fn parts(&self) -> Parts<'p> {
        self.rules.map_or_else(Parts::default, |rules| rules.parts(self.terms))
    }

    /// Whether the request's own Cache-Control is heard.
    pub fn follows_request_directives(&self) -> bool {
        self.rules.is_none_or(|rules| rules.follows_request_directives(self.terms))
    }

    /// Whether it may wait for somebody else's fetch.
    pub fn collapse(&self) -> bool {
        self.rules.is_none_or(|rules| rules.collapse(self.terms))
    }

    /// Whether the answer is compressed.
    pub fn compress(&self) -> bool {
        self.rules.is_none_or(|rules| rules.compress(self.terms))
    }

    /// The compression that the origin is asked for.
    pub fn accept_encoding(&self) -> Option<Coding> {
        self.rules.and_then(|rules| rules.accept_encoding(self.terms))
    }

    /// The name of the rule that log and metrics show.
    pub fn name(&self) -> Option<&'p Arc<str>> {
        self.rules.and_then(|rules| rules.name(self.terms))
    }
}
