//! A running edge before origins of a test: its clients, its counters and its log.

use super::answer::Answer;
use super::ask::{self, Ask, HOST};
use super::client::{Client, Incoming};
use super::h1::Wire;
use super::origin::Origin;
use super::tls::{Site, settings};
use super::{Mode, until};
use foreland::config;
use foreland::server::{Ended, Server};
use foreland::setup::{Admin, Log, Setup};
use foreland::telemetry::{Format, Metrics};
use foreland::upstream::{ServerAddress, Settings};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A running edge.
pub struct Edge {
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is asked.
    pub mode: Mode,
    client: Client,
    server: Option<Server>,
    admin: SocketAddr,
    metrics: Arc<Metrics>,
    log: PathBuf,
}

impl Edge {
    /// Starts one before an origin.
    pub async fn start(mode: Mode, origin: &Origin) -> Self {
        Self::with(mode, &[origin.address], |_| {}).await
    }

    /// Starts one before servers at these addresses, with other settings than the defaults.
    pub async fn with(mode: Mode, servers: &[SocketAddr], change: impl FnOnce(&mut Setup)) -> Self {
        let log = log_path();
        let servers = servers.iter().map(|address| address.to_string().parse().unwrap()).collect();
        let mut setup = Setup::simple("127.0.0.1:0".parse().unwrap(), servers, config::default_rules());
        setup.admin = Some(Admin { bind: "127.0.0.1:0".parse().unwrap(), token: None });
        setup.cache.memory = 64 << 20;
        setup.listeners[0].front = mode.front;
        setup.listeners[0].tls = mode.tls.then(|| settings(&[Site::usual()]));
        setup.log = Log { format: Format::Json, file: Some(log.clone()) };
        change(&mut setup);
        Self::serve(mode, setup, None, log).await
    }

    /// Starts one before a single server, given as in a configuration, that is spoken to in another way.
    pub async fn before(mode: Mode, server: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let server: ServerAddress = server.parse().unwrap();
        Self::with(mode, &[], |setup| {
            setup.upstreams[0].servers = vec![server.into()];
            change(&mut setup.upstreams[0].settings);
        })
        .await
    }

    /// Starts one as a configuration file describes it, but for whether the front is on, and TLS is spoken.
    pub async fn from_file(mode: Mode, path: &Path) -> Self {
        Self::from_file_with(mode, path, |_| {}).await
    }

    /// The same with other settings than the file has.
    pub async fn from_file_with(mode: Mode, path: &Path, change: impl FnOnce(&mut Setup)) -> Self {
        let (mut setup, loaded) = match config::load(path) {
            Ok(read) => read,
            Err(refused) => panic!("{}", refused.text(false)),
        };
        setup.listeners.iter_mut().for_each(|listener| listener.front = mode.front);
        if mode.tls && setup.listeners[0].tls.is_none() {
            setup.listeners[0].tls = Some(settings(&[Site::usual()]));
        }
        change(&mut setup);
        let log = setup.log.file.clone().expect("a configuration that logs to a file");
        Self::serve(mode, setup, Some(loaded), log).await
    }

    async fn serve(mode: Mode, setup: Setup, file: Option<config::Loaded>, log: PathBuf) -> Self {
        let server = Server::start(setup, file).await.unwrap();
        let address = server.addresses[0];
        Self {
            address,
            mode,
            client: Client::new(address, mode),
            admin: server.admin.unwrap(),
            metrics: server.edge.state.metrics.clone(),
            server: Some(server),
            log,
        }
    }

    /// A GET and its whole answer.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(ask::get(path)).await
    }

    /// A HEAD and its answer.
    pub async fn head(&self, path: &str) -> Answer {
        self.send(ask::head(path)).await
    }

    /// A request and its whole answer.
    pub async fn send(&self, ask: Ask) -> Answer {
        let incoming = self.begin(ask).await;
        self.client.finish(incoming).await
    }

    /// A request and the head of its answer.
    pub async fn begin(&self, ask: Ask) -> Incoming {
        let before = self.front_hits();
        let mut incoming = self.client.begin(&ask).await;
        incoming.front = self.mode.front.then(|| self.front_hits() > before);
        incoming
    }

    /// The rest of an answer.
    pub async fn finish(&self, incoming: Incoming) -> Answer {
        self.client.finish(incoming).await
    }

    /// A client with connections of its own.
    pub fn another_client(&self) -> Client {
        Client::new(self.address, self.mode)
    }

    /// A connection for raw bytes.
    pub async fn wire(&self) -> Wire {
        Wire::open_in(self.mode, self.address).await
    }

    /// Lets as much time pass as the head of a request may take: a clock that concerns nobody else.
    pub async fn lapse(&self) {
        let mut wire = self.wire().await;
        wire.write("GET /").await;
        wire.answer("GET").await.assert_status(408);
    }

    /// Purges a path, as an operator does; gives what was purged.
    pub async fn purge(&self, path: &str) -> u64 {
        let body = format!("{{\"url\":\"{}://{HOST}{path}\"}}", self.mode.scheme());
        let mut wire = Wire::open(self.admin).await;
        let answer = wire.send(&ask::post("/v1/purge", body)).await;
        answer.assert_status(200);
        serde_json::from_slice::<Value>(&answer.body).unwrap()["purged"].as_u64().unwrap()
    }

    /// The running server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it was stopped already")
    }

    /// Asks the operator's address.
    pub async fn admin(&self, ask: &Ask) -> Answer {
        Wire::open(self.admin).await.send(ask).await
    }

    /// The sum of a metric over all series that have these labels.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = self.metrics.encode();
        let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let matches = |line: &&str| {
            let series = line.split_once([' ', '{']).map(|(series, _)| series);
            series == Some(name) && wanted.iter().all(|label| line.contains(label.as_str()))
        };
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        text.lines().filter(matches).map(value).sum()
    }

    fn front_hits(&self) -> u64 {
        let answered = |result| self.metric("foreland_front_total", &[("result", result)]);
        (answered("hit") + answered("answer") + answered("file")) as u64
    }

    /// What became of all requests: `hit 1, miss:absent 2`, in alphabetical order.
    pub fn outcomes(&self) -> String {
        let text = self.metrics.encode();
        let label = |line: &str, name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
            rest.split_once('"').unwrap().0.to_owned()
        };
        let lines = text.lines().filter(|line| line.starts_with("foreland_cache_requests_total{"));
        let mut words: Vec<String> = lines
            .map(|line| {
                let (outcome, reason) = (label(line, "outcome"), label(line, "reason"));
                let colon = if reason.is_empty() { "" } else { ":" };
                format!("{outcome}{colon}{reason} {}", line.rsplit(' ').next().unwrap())
            })
            .collect();
        words.sort();
        words.join(", ")
    }

    /// Every request has been counted, and so: `hit 1, miss:absent 2`.
    pub async fn assert_counted(&self, expected: &str) {
        let wanted = format!("what was counted to be `{expected}`");
        super::until_or(&wanted, || self.outcomes() == expected, || self.outcomes()).await;
    }

    /// A metric comes to have a value.
    pub async fn assert_metric(&self, name: &str, labels: &[(&str, &str)], expected: f64) {
        let wanted = format!("{name}{labels:?} to be {expected}");
        let value = || self.metric(name, labels);
        super::until_or(&wanted, || value() == expected, || value().to_string()).await;
    }

    /// So many responses were not stored, for this reason.
    pub async fn assert_not_stored(&self, reason: &str, expected: f64) {
        self.assert_metric("foreland_cache_not_stored_total", &[("reason", reason)], expected).await;
    }

    /// So many requests were refused, for this reason.
    pub async fn assert_refused(&self, reason: &str, expected: f64) {
        self.assert_metric("foreland_refused_total", &[("reason", reason)], expected).await;
    }

    /// Every line of the access log so far.
    pub fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How many lines the access log has.
    pub fn log_length(&self) -> usize {
        std::fs::read(&self.log).map_or(0, |text| memchr::memchr_iter(b'\n', &text).count())
    }

    /// The lines about a target, once there are so many.
    pub async fn logged(&self, uri: &str, count: usize) -> Vec<Value> {
        let lines = || self.log().into_iter().filter(|line| line["uri"] == uri).collect::<Vec<_>>();
        let wanted = format!("{count} lines about {uri} in the log");
        super::until_or(&wanted, || lines().len() >= count, || format!("{:?}", self.log())).await;
        lines()
    }

    /// Connections that are open.
    pub fn connections(&self) -> u64 {
        self.metric("foreland_connections", &[]) as u64
    }

    /// Waits until no fetch is under way.
    pub async fn settled(&self) {
        until("the fetches to end", || self.metric("foreland_cache_fills", &[]) == 0.0).await;
    }

    /// Stops the server.
    pub async fn stop(&mut self) -> Ended {
        let server = self.server.take().expect("it was stopped already");
        super::soon(server.stop(), "the server to stop").await
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.log);
    }
}

fn log_path() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("foreland-it-{}-{number}.log", std::process::id()))
}
