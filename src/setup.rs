//! What a configuration asks for: compiled and checked, every value valid, nothing opened yet.
//!
//! `config` makes one from files, `proxy`, `files` and `demo` from their arguments. The server turns it into a `Plan`: it
//! opens what is new, keeps what is there already, and changes nothing if that fails.

use crate::cache::Settings as CacheSettings;
use crate::net::{ListenAddress, Token};
use crate::route::{Edits, Match, Rewrite, Template};
use crate::rules::RuleSet;
use crate::telemetry::Format;
use crate::tls;
use crate::upstream::{ServerAddress, ServerSpec, Settings as UpstreamSettings};
use crate::{compress, files};
use bytes::Bytes;
use http::HeaderValue;
use ipnet::IpNet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What to serve.
pub struct Setup {
    /// Where clients connect; no address twice.
    pub listeners: Vec<Listener>,
    /// Where the operator does; `None` for nowhere.
    pub admin: Option<Admin>,
    /// Proxies whose word on the client's address is taken.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Clusters; no name twice.
    pub upstreams: Vec<Upstream>,
    /// Routes, in the order of the file; no name twice.
    pub routes: Vec<Arc<Route>>,
    /// How the cache behaves.
    pub cache: CacheSettings,
    /// What is compressed and how.
    pub compress: compress::Settings,
    /// The access log.
    pub log: Log,
    /// Bounds on clients.
    pub limits: Limits,
}

/// An address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub bind: ListenAddress,
    /// Whether the front answers what it can by itself; off only to compare the two transports.
    pub front: bool,
    /// Whether every connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The port to which requests over http are sent for https, instead of being answered.
    pub redirect_https: Option<u16>,
    /// What every answer says in Strict-Transport-Security (RFC 6797); only where connections are TLS.
    pub hsts: Option<HeaderValue>,
    /// How it speaks TLS; `None` where it does not.
    pub tls: Option<tls::Settings>,
}

impl Listener {
    /// A plain one.
    pub fn at(bind: ListenAddress) -> Self {
        Self { bind, front: true, proxy_protocol: false, redirect_https: None, hsts: None, tls: None }
    }
}

/// The operator's address.
#[derive(Clone)]
pub struct Admin {
    /// The address.
    pub bind: ListenAddress,
    /// What whoever asks must know.
    pub token: Option<Token>,
}

/// A cluster of origin servers.
#[derive(Clone)]
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// Its servers; at least one, none twice.
    pub servers: Vec<ServerSpec>,
    /// How they are reached and watched.
    pub settings: UpstreamSettings,
}

/// Which requests, and what becomes of them.
pub struct Route {
    /// Its name in log and metrics.
    pub name: Arc<str>,
    /// Where it is written, such as `conf/foreland.yaml:19`.
    pub place: Box<str>,
    /// The requests it takes.
    pub takes: Match,
    /// Who answers them.
    pub action: Action,
    /// The cache rules of its requests; `None` turns the cache off.
    pub rules: Option<Arc<RuleSet>>,
    /// What the request is changed to before an origin sees it.
    pub request_headers: Edits,
    /// What every answer is changed to.
    pub response_headers: Edits,
    /// What path the origin is asked for.
    pub rewrite: Option<Rewrite>,
    /// Bytes of a request body, instead of those of the limits.
    pub max_body: Option<u64>,
    /// Whether its answers are compressed.
    pub compress: bool,
}

/// Who answers.
pub enum Action {
    /// Foreland itself.
    Answer(Answer),
    /// The files of a folder.
    Files(files::Settings),
    /// The cluster of this name, which is one of the setup's.
    Upstream(Arc<str>),
}

/// An answer that needs no origin: a redirect, or a response as it stands.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Fields, with variables: `Location` for a redirect.
    pub fields: Vec<(Box<str>, Template)>,
    /// The body.
    pub body: Bytes,
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: Format,
    /// Where it goes; `None` is standard output.
    pub file: Option<PathBuf>,
}

impl Setup {
    /// One cluster behind one route that takes everything, under the default cache rules: what needs no file.
    pub fn simple(bind: ListenAddress, servers: Vec<ServerAddress>, rules: Arc<RuleSet>) -> Self {
        let servers = servers.into_iter().map(ServerSpec::from).collect();
        let upstream = Upstream { name: "origin".into(), servers, settings: UpstreamSettings::default() };
        Self::one(bind, Route::to(&upstream.name, rules), vec![upstream])
    }

    /// One folder behind one route that takes everything.
    pub fn files(bind: ListenAddress, settings: files::Settings) -> Self {
        Self::one(bind, Route::of("default", Action::Files(settings)), Vec::new())
    }

    /// One listener, one route, and everything else as it is by default; no operator.
    fn one(bind: ListenAddress, route: Route, upstreams: Vec<Upstream>) -> Self {
        Self {
            listeners: vec![Listener::at(bind)],
            admin: None,
            trusted_proxies: Arc::default(),
            routes: vec![Arc::new(route)],
            upstreams,
            cache: CacheSettings::default(),
            compress: compress::Settings::default(),
            log: Log { format: Format::Json, file: None },
            limits: Limits::default(),
        }
    }
}

impl Route {
    /// A route named `default` that sends every request to a cluster.
    pub fn to(upstream: &Arc<str>, rules: Arc<RuleSet>) -> Self {
        Self { rules: Some(rules), ..Self::of("default", Action::Upstream(upstream.clone())) }
    }

    /// The route of requests that no other takes: not found.
    pub fn nowhere() -> Self {
        Self::of("", Action::Answer(Answer { status: 404, fields: Vec::new(), body: Bytes::new() }))
    }

    /// A route that takes everything and changes nothing.
    fn of(name: &str, action: Action) -> Self {
        Self {
            name: name.into(),
            place: "".into(),
            takes: Match::default(),
            action,
            rules: None,
            request_headers: Edits::default(),
            response_headers: Edits::default(),
            rewrite: None,
            max_body: None,
            compress: true,
        }
    }
}

/// Bounds that keep one client from harming the others. The defaults are argued in the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From accept to the end of a TLS handshake.
    pub handshake_timeout: Duration,
    /// From the first byte of a head (or from accept) to its last.
    pub head_timeout: Duration,
    /// Between two requests on a connection.
    pub idle_timeout: Duration,
    /// The same for HTTP/2, with no stream open.
    pub h2_idle_timeout: Duration,
    /// Between two reads of a request body.
    pub body_timeout: Duration,
    /// Between two writes of a response that the client does not take.
    pub send_timeout: Duration,
    /// Requests on one connection.
    pub requests: u32,
    /// Bytes of a request body.
    pub max_body: u64,
    /// Streams at once on an HTTP/2 connection.
    pub h2_streams: u32,
    /// Connections at once, over all listeners.
    pub connections: usize,
    /// How long a waiter stays with somebody else's fetch before it asks for itself.
    pub collapse_wait: Duration,
    /// From SIGTERM to the end of the last answer.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            h2_idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            requests: 10_000,
            max_body: 100 << 20,
            h2_streams: 100,
            connections: 100_000,
            collapse_wait: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}
