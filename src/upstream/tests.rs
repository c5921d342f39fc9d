//! A cluster against real listeners: turns, checks, exclusions, caps, and names that resolve late.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::discovery::{Found, LookupError, Resolve};
use super::*;

pub const SOON: Duration = Duration::from_millis(20);
pub const LONG: Duration = Duration::from_secs(10);

/// Passes on what it is told.
struct Channel(mpsc::UnboundedSender<(String, bool)>);

impl Observer for Channel {
    fn up(&self, server: &str, up: bool) {
        let _ = self.0.send((server.to_owned(), up));
    }
}

/// Answers every name with what it holds; nothing is a failure.
#[derive(Default)]
pub struct Book(pub Mutex<Vec<IpAddr>>);

#[async_trait]
impl Resolve for Book {
    async fn resolve(&self, _host: &str) -> Result<Found, LookupError> {
        match self.0.lock().clone() {
            none if none.is_empty() => Err(LookupError::NoAddress),
            addresses => Ok(Found::new(addresses, Duration::ZERO)),
        }
    }
}

pub struct Bed {
    pub cluster: Arc<Cluster>,
    pub told: mpsc::UnboundedReceiver<(String, bool)>,
    pub book: Arc<Book>,
    /// Ends the background work when it goes.
    pub stop: watch::Sender<bool>,
}

/// Everything as fast as can be, so that no test waits.
pub fn hasty() -> Settings {
    let mut settings = Settings::default();
    (settings.health.every, settings.health.every_down) = (SOON, SOON);
    (settings.lookup.min_ttl, settings.lookup.max_ttl) = (Duration::ZERO, Duration::ZERO);
    settings.lookup.retry = Duration::ZERO;
    settings
}

/// Checks only once, and nothing is ejected.
pub fn calm() -> Settings {
    let mut settings = hasty();
    let hour = Duration::from_secs(3600);
    (settings.health.every, settings.health.every_down) = (hour, hour);
    settings.eject.failures = 0;
    settings
}

pub fn specs(servers: &[impl AsRef<str>]) -> Vec<ServerSpec> {
    let spec = |server: &str| ServerSpec::from(server.parse::<ServerAddress>().unwrap());
    servers.iter().map(|server| spec(server.as_ref())).collect()
}

/// A cluster that does nothing by itself but check.
pub async fn bed(servers: &[impl AsRef<str>], settings: Settings) -> Bed {
    bed_of(&specs(servers), settings).await
}

pub async fn bed_of(servers: &[ServerSpec], settings: Settings) -> Bed {
    let (tx, told) = mpsc::unbounded_channel();
    let book = Arc::new(Book::default());
    let (asked, observer) = (book.clone(), Arc::new(Channel(tx)));
    let resolvers: names::Resolvers = Box::new(move |_| asked.clone());
    let registry = HealthRegistry::new();
    let cluster = Cluster::open_with("app".into(), servers, settings, observer, registry, resolvers).unwrap();
    cluster.look_up().await;
    Bed { cluster, told, book, stop: watch::Sender::new(false) }
}

impl Bed {
    pub async fn start(&self) {
        self.cluster.start(self.stop.subscribe()).await;
    }

    pub async fn next_told(&mut self) -> (String, bool) {
        timeout(LONG, self.told.recv()).await.unwrap().unwrap()
    }

    /// Waits until it is told of a server.
    pub async fn until(&mut self, server: impl ToString, up: bool) {
        let wanted = (server.to_string(), up);
        while self.next_told().await != wanted {}
    }

    pub async fn find(&self, addresses: &[&str]) {
        *self.book.0.lock() = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.cluster.look_up().await;
    }

    pub fn pick(&self, tried: &[SocketAddr]) -> Result<Picked, Failure> {
        let tried: Vec<_> = tried.iter().map(|address| Endpoint::from(*address)).collect();
        self.cluster.pick(&tried, None)
    }

    pub fn picks(&self, times: usize) -> Vec<String> {
        (0..times).map(|_| self.pick(&[]).unwrap().server.endpoint.to_string()).collect()
    }

    pub fn ups(&self) -> Vec<bool> {
        self.cluster.servers().iter().map(ServerState::up).collect()
    }

    pub fn active(&self) -> Vec<usize> {
        self.cluster.servers().iter().map(|server| server.active).collect()
    }
}

pub async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port of ours that refuses connections until `listen` is called.
pub fn deaf() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

const A: &str = "192.0.2.1:80";
const B: &str = "192.0.2.2:80";
const C: &str = "192.0.2.3:80";

#[tokio::test]
async fn servers_take_turns() {
    let bed = bed(&[A, B, C], calm()).await;
    let picks = bed.picks(9);
    let round: BTreeSet<_> = picks[..3].iter().collect();
    assert_eq!(round.len(), 3);
    assert_eq!(picks[..3], picks[3..6]);
    assert_eq!(picks[..3], picks[6..]);
}

#[tokio::test]
async fn weights_are_shares() {
    let mut servers = specs(&[A, B]);
    servers[0].weight = 3;
    let bed = bed_of(&servers, calm()).await;
    assert_eq!(bed.picks(400).iter().filter(|picked| *picked == A).count(), 300);
}

#[tokio::test]
async fn a_server_is_down_after_checks_that_failed_and_back_after_some_that_passed() {
    let (_listener, good) = listener().await;
    let (socket, bad) = deaf();
    let mut bed = bed(&[good.to_string(), bad.to_string()], hasty()).await;
    bed.start().await;
    assert_eq!(bed.next_told().await, (good.to_string(), true));
    assert_eq!(bed.next_told().await, (bad.to_string(), true));

    assert_eq!(bed.next_told().await, (bad.to_string(), false));
    assert_eq!(bed.ups(), [true, false]);
    assert_eq!(bed.picks(6), vec![good.to_string(); 6]);
    let state = &bed.cluster.servers()[1];
    assert_eq!(state.state, State::Down);
    assert!(state.reason.as_ref().is_some_and(|why| why.contains("3 checks failed")), "{state:?}");

    let _listener = socket.listen(16).unwrap();
    assert_eq!(bed.next_told().await, (bad.to_string(), true));
    assert_eq!(bed.picks(6).into_iter().collect::<BTreeSet<_>>().len(), 2);
    assert!(bed.told.try_recv().is_err(), "told once");
}

#[tokio::test]
async fn background_work_ends_when_it_is_told_to() {
    let bed = bed(&["app:80"], hasty()).await;
    bed.start().await;
    bed.stop.send_replace(true);
    timeout(LONG, bed.stop.closed()).await.unwrap(); // the tasks dropped their receivers
}

#[tokio::test]
async fn background_work_ends_with_the_cluster() {
    let bed = bed(&["app:80"], hasty()).await;
    bed.start().await;
    drop(bed.cluster);
    timeout(LONG, bed.stop.closed()).await.unwrap();
}

#[tokio::test]
async fn with_all_servers_down_each_still_gets_its_turn() {
    let (_one, a) = deaf();
    let (_two, b) = deaf();
    let mut bed = bed(&[a.to_string(), b.to_string()], hasty()).await;
    bed.start().await;
    bed.until(a, false).await;
    while bed.ups() != [false, false] {
        bed.next_told().await;
    }
    assert_eq!(bed.picks(2).into_iter().collect::<BTreeSet<_>>().len(), 2);
}

#[tokio::test]
async fn the_share_of_a_down_server_is_spread_evenly() {
    let (_one, a) = listener().await;
    let (_two, b) = listener().await;
    let (_socket, bad) = deaf();
    let mut bed = bed(&[a, b, bad].map(|address| address.to_string()), hasty()).await;
    bed.start().await;
    bed.until(bad, false).await;
    assert_eq!(bed.picks(100).iter().filter(|picked| **picked == a.to_string()).count(), 50);
}

#[tokio::test]
async fn a_tried_server_is_not_given_again() {
    let (_listener, good) = listener().await;
    let (_socket, bad) = deaf();
    let mut bed = bed(&[good.to_string(), bad.to_string()], hasty()).await;
    bed.start().await;
    bed.until(bad, false).await;
    let endpoint = |tried: &[SocketAddr]| bed.pick(tried).map(|picked| picked.server.endpoint.clone());
    assert_eq!(endpoint(&[]).ok(), Some(good.into()));
    assert_eq!(endpoint(&[good]).ok(), Some(bad.into()), "down beats none");
    assert_eq!(endpoint(&[good, bad]).err(), Some(Failure::NoServer));
}

#[tokio::test]
async fn a_backup_is_asked_while_no_other_can_be() {
    let (_listener, good) = listener().await;
    let (socket, bad) = deaf();
    let mut servers = specs(&[bad.to_string(), good.to_string()]);
    servers[1].backup = true;
    let mut bed = bed_of(&servers, hasty()).await;
    bed.start().await;
    assert_eq!(bed.picks(4), vec![bad.to_string(); 4]);
    bed.until(bad, false).await;
    assert_eq!(bed.picks(4), vec![good.to_string(); 4]);
    let _listener = socket.listen(16).unwrap();
    bed.until(bad, true).await;
    assert_eq!(bed.picks(4), vec![bad.to_string(); 4]);
    // A request that failed there may go to the backup.
    assert_eq!(bed.pick(&[bad]).ok().map(|picked| picked.server.endpoint.clone()), Some(good.into()));
}

#[tokio::test]
async fn a_server_gets_no_more_than_it_may_and_then_none_is_left() {
    let mut servers = specs(&[A, B]);
    servers.iter_mut().for_each(|server| server.max_connections = std::num::NonZeroU32::new(2));
    let bed = bed_of(&servers, calm()).await;
    let mut held: Vec<_> = (0..4).map(|_| bed.pick(&[]).unwrap()).collect();
    assert_eq!(bed.active(), [2, 2]);
    assert_eq!(bed.pick(&[]).err(), Some(Failure::Full));
    assert!(!bed.cluster.may_retry(&[Endpoint::from(A.parse::<SocketAddr>().unwrap())], Failure::Reset));
    let freed = held.remove(0).server.endpoint.to_string();
    assert_eq!(bed.picks(1), [freed]);
}

#[tokio::test]
async fn an_answer_is_given_up_only_for_a_server_that_is_up_and_has_room() {
    let (_listener, good) = listener().await;
    let (_socket, bad) = deaf();
    let mut servers = specs(&[A, &good.to_string(), &bad.to_string()]);
    servers[1].max_connections = std::num::NonZeroU32::new(1);
    let mut bed = bed_of(&servers, hasty()).await;
    bed.start().await;
    bed.until(bad, false).await;
    let first = [Endpoint::from(A.parse::<SocketAddr>().unwrap())];
    assert!(bed.cluster.may_retry(&first, Failure::Status));
    let held = bed.cluster.pick(&[first[0].clone(), Endpoint::from(bad)], None).unwrap();
    assert_eq!(held.server.endpoint, good.into());
    assert!(!bed.cluster.may_retry(&first, Failure::Status), "the one that is up is full");
    assert!(!bed.cluster.may_retry(&first, Failure::Unreachable), "and will have room again");
    let tried = [first[0].clone(), good.into()];
    assert!(!bed.cluster.may_retry(&tried, Failure::Status), "the one that is left is down");
    assert!(bed.cluster.may_retry(&tried, Failure::Unreachable), "but better than none");
}

#[tokio::test]
async fn those_that_are_down_count_among_those_that_are_out() {
    let (_listener, good) = listener().await;
    let (_one, bad) = deaf();
    let mut settings = hasty();
    settings.eject.failures = 1;
    let mut bed = bed(&[good.to_string(), bad.to_string()], settings).await;
    bed.start().await;
    bed.until(bad, false).await;
    let server = bed.pick(&[]).unwrap().server;
    bed.cluster.failed(&server, Failure::Reset, "connection reset".to_owned());
    assert_eq!(bed.ups(), [true, false], "never the last");
}

#[tokio::test]
async fn a_server_that_breaks_off_its_answers_is_left_out_though_they_begin() {
    let mut settings = calm();
    settings.eject.failures = 3;
    let bed = bed(&[A, B], settings).await;
    let server = bed.pick(&[]).unwrap().server;
    for _ in 0..3 {
        bed.cluster.answered(&server, SOON);
        bed.cluster.failed(&server, Failure::BodyCut, "reset".to_owned());
    }
    assert!(!server.is_up());
}

#[tokio::test]
async fn requests_that_fail_take_a_server_out_for_a_while() {
    let mut settings = calm();
    (settings.eject.failures, settings.eject.for_) = (2, SOON);
    let mut bed = bed(&[A, B], settings).await;
    bed.start().await;
    bed.until(B, true).await;
    let fail = |name: &str| {
        let server = (0..2).find_map(|_| bed.pick(&[]).ok().map(|p| p.server).filter(|s| &*s.name == name));
        bed.cluster.failed(&server.unwrap(), Failure::Reset, "connection reset".to_owned());
    };
    fail(A);
    assert_eq!(bed.ups(), [true, true]);
    fail(A);
    let state = &bed.cluster.servers()[0];
    let error = state.last_error.as_ref().map(|error| error.what.as_str());
    assert_eq!(error, Some("connection reset"));
    bed.until(A, false).await;
    bed.until(A, true).await;
    assert_eq!(bed.picks(2).into_iter().collect::<BTreeSet<_>>().len(), 2);
}

#[tokio::test]
async fn never_is_more_than_half_of_a_cluster_left_out() {
    let mut settings = calm();
    settings.eject.failures = 1;
    let bed = bed(&[A, B, C], settings).await;
    for _ in 0..9 {
        let server = bed.pick(&[]).unwrap().server;
        bed.cluster.failed(&server, Failure::Reset, "connection reset".to_owned());
    }
    assert_eq!(bed.ups().into_iter().filter(|up| !up).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_of_requests_always_finds_the_one_server_that_is_up() {
    let (_listener, good) = listener().await;
    let sockets: Vec<_> = (0..4).map(|_| deaf()).collect();
    let mut servers: Vec<_> = sockets.iter().map(|(_, a)| a.to_string()).collect();
    servers.push(good.to_string());
    let mut bed = bed(&servers, hasty()).await;
    bed.start().await;
    while bed.ups().into_iter().filter(|up| *up).count() > 1 {
        bed.next_told().await;
    }
    let bed = Arc::new(bed);
    let crowd = (0..4).map(|_| {
        let bed = bed.clone();
        tokio::spawn(async move { bed.picks(2000) })
    });
    for picks in crowd.collect::<Vec<_>>() {
        assert!(picks.await.unwrap().iter().all(|picked| *picked == good.to_string()));
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_tried_until_it_does() {
    let (_listener, address) = listener().await;
    let name = format!("app.internal:{}", address.port());
    let mut bed = bed(&[&name], hasty()).await;
    bed.start().await;
    assert_eq!(bed.next_told().await, (name.clone(), false));
    assert_eq!(bed.pick(&[]).err(), Some(Failure::NoServer));
    assert_eq!(bed.cluster.servers()[0].state, State::Unresolved);

    *bed.book.0.lock() = vec![address.ip()];
    assert_eq!(bed.next_told().await, (name.clone(), true));
    let server = bed.pick(&[]).unwrap().server;
    assert_eq!((&server.endpoint, &*server.name), (&address.into(), &*name));
}

#[tokio::test]
async fn a_failed_look_up_keeps_the_addresses_and_their_counts() {
    let bed = bed(&["app.internal:80"], calm()).await;
    bed.find(&["192.0.2.1"]).await;
    let under_way = bed.pick(&[]).unwrap();

    bed.find(&[]).await;
    assert_eq!(bed.picks(1), [A]);
    bed.find(&["192.0.2.2", "192.0.2.1"]).await;
    assert_eq!(bed.active(), [1, 0]);
    drop(under_way);
    assert_eq!(bed.active(), [0, 0]);
}

#[tokio::test]
async fn a_name_is_up_while_one_of_its_addresses_is() {
    let (_listener, good) = listener().await;
    let name = format!("app.internal:{}", good.port());
    let mut bed = bed(&[&name], hasty()).await;
    assert_eq!(bed.next_told().await, (name.clone(), false));
    bed.find(&["127.0.0.1", "127.0.0.2"]).await; // the second refuses
    assert_eq!(bed.next_told().await, (name.clone(), true));
    bed.start().await;
    while bed.ups() != [true, false] {
        tokio::task::yield_now().await;
    }
    assert_eq!(bed.picks(4), vec![good.to_string(); 4]);
    assert!(bed.told.try_recv().is_err());
}

#[tokio::test]
async fn the_systems_resolver_knows_localhost() {
    let cluster =
        Cluster::open("app", &specs(&["localhost:80"]), calm(), Arc::new(()), HealthRegistry::new());
    let cluster = cluster.unwrap();
    cluster.look_up().await;
    let Endpoint::Inet(address) = cluster.pick(&[], None).unwrap().server.endpoint else { panic!() };
    assert!(address.ip().is_loopback());
}

#[tokio::test]
async fn a_refused_connection_reads_as_unreachable() {
    let (_socket, bad) = deaf();
    let bed = bed(&[bad.to_string()], calm()).await;
    let peer = bed.cluster.peer(&bed.pick(&[]).unwrap().server, Want::Exchange).unwrap();
    let connector = pingora::connectors::TransportConnector::new(None);
    let mut error = connector.get_stream(&*peer).await.err().unwrap();
    error.as_up(); // as Pingora's proxy does before `fail_to_connect`
    assert_eq!(Failure::of(&error, Phase::Connect), Some(Failure::Unreachable));
}

#[test]
fn a_list_without_sense_is_refused() {
    let open = |servers: &[&str]| {
        Cluster::open("app", &specs(servers), calm(), Arc::new(()), HealthRegistry::new()).err()
    };
    assert_eq!(open(&[]), Some(UpstreamError::Empty("app".into())));
    let twice = UpstreamError::Twice("app".into(), "a:80".into());
    assert_eq!(open(&["a:80", "http://A"]), Some(twice));
    assert_eq!(open(&["a:80", "a:81"]), None);
}
