//! A cluster against real listeners: turns, checks, exclusions and names that resolve late.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::discovery::Resolve;
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
pub struct Book(pub Mutex<Vec<SocketAddr>>);

#[async_trait]
impl Resolve for Book {
    async fn resolve(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        match self.0.lock().clone() {
            none if none.is_empty() => Err(io::Error::other("NXDOMAIN")),
            some => Ok(some),
        }
    }
}

pub struct Bed {
    pub cluster: Arc<Cluster>,
    pub told: mpsc::UnboundedReceiver<(String, bool)>,
    pub book: Arc<Book>,
}

/// A cluster without background work, so that a test says when a check happens.
pub async fn quiet(servers: &[String]) -> Bed {
    let bed = bed(servers, hasty());
    bed.cluster.look_up().await;
    bed
}

pub fn hasty() -> Settings {
    let mut settings = Settings::default();
    settings.health.every = SOON;
    settings.lookup.retry = SOON;
    settings.lookup.every = SOON;
    settings
}

pub fn addresses(servers: &[impl AsRef<str>]) -> Vec<ServerAddress> {
    servers.iter().map(|server| server.as_ref().parse().unwrap()).collect()
}

pub fn bed(servers: &[String], settings: Settings) -> Bed {
    let (tx, told) = mpsc::unbounded_channel();
    let book = Arc::new(Book::default());
    let servers = addresses(servers);
    let observer = Arc::new(Channel(tx));
    let cluster = Cluster::open_with("app".into(), &servers, settings, observer, book.clone());
    Bed { cluster: cluster.unwrap(), told, book }
}

impl Bed {
    pub async fn next_told(&mut self) -> (String, bool) {
        timeout(LONG, self.told.recv()).await.unwrap().unwrap()
    }

    pub async fn check(&self, times: usize) {
        for _ in 0..times {
            self.cluster.check().await;
        }
    }

    pub fn picks(&self, times: usize) -> Vec<SocketAddr> {
        (0..times).map(|_| self.cluster.pick(&[]).unwrap().address).collect()
    }

    pub fn ups(&self) -> Vec<bool> {
        self.cluster.servers().iter().map(|s| s.up).collect()
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

#[tokio::test]
async fn servers_take_turns() {
    let servers = ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"].map(String::from);
    let bed = quiet(&servers).await;
    let picks = bed.picks(9);
    let round: BTreeSet<_> = picks[..3].iter().collect();
    assert_eq!(round.len(), 3);
    assert_eq!(picks[..3], picks[3..6]);
    assert_eq!(picks[..3], picks[6..]);
}

#[tokio::test]
async fn a_server_is_down_after_fall_checks_and_back_after_rise() {
    let (_listener, good) = listener().await;
    let (socket, bad) = deaf();
    let mut bed = quiet(&[good.to_string(), bad.to_string()]).await;
    assert_eq!(bed.next_told().await, (good.to_string(), true));
    assert_eq!(bed.next_told().await, (bad.to_string(), true));

    bed.check(2).await;
    assert_eq!(bed.ups(), [true, true]);
    bed.check(1).await;
    assert_eq!(bed.ups(), [true, false]);
    assert_eq!(bed.next_told().await, (bad.to_string(), false));
    assert_eq!(bed.picks(6), [good; 6]);

    let _listener = socket.listen(16).unwrap();
    bed.check(1).await;
    assert_eq!(bed.ups(), [true, false]);
    bed.check(1).await;
    assert_eq!(bed.next_told().await, (bad.to_string(), true));
    assert_eq!(bed.picks(6).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([good, bad]));
    assert!(bed.told.try_recv().is_err(), "told once");
}

#[tokio::test]
async fn checks_run_in_the_background_until_shutdown() {
    let (_socket, bad) = deaf();
    let mut bed = bed(&[bad.to_string()], hasty());
    let (stop, shutdown) = watch::channel(false);
    bed.cluster.start(shutdown).await;
    assert_eq!(bed.next_told().await, (bad.to_string(), true));
    assert_eq!(bed.next_told().await, (bad.to_string(), false));
    stop.send(true).unwrap();
    timeout(LONG, stop.closed()).await.unwrap(); // the tasks dropped their receivers
}

#[tokio::test]
async fn background_work_ends_with_the_cluster() {
    let bed = bed(&["app:80".into()], hasty());
    let (stop, shutdown) = watch::channel(false);
    bed.cluster.start(shutdown).await;
    drop(bed);
    timeout(LONG, stop.closed()).await.unwrap();
}

#[tokio::test]
async fn with_all_servers_down_each_still_gets_its_turn() {
    let (_one, a) = deaf();
    let (_two, b) = deaf();
    let bed = quiet(&[a.to_string(), b.to_string()]).await;
    bed.check(3).await;
    assert_eq!(bed.ups(), [false, false]);
    assert_eq!(bed.picks(2).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([a, b]));
}

#[tokio::test]
async fn the_share_of_a_down_server_is_spread_evenly() {
    let (_one, a) = listener().await;
    let (_two, b) = listener().await;
    let (_socket, bad) = deaf();
    let bed = quiet(&[a, b, bad].map(|address| address.to_string())).await;
    bed.check(3).await;
    let picks = bed.picks(100);
    assert_eq!(picks.iter().filter(|picked| **picked == a).count(), 50);
}

#[tokio::test]
async fn a_tried_server_is_not_given_again() {
    let (_listener, good) = listener().await;
    let (_socket, bad) = deaf();
    let bed = quiet(&[good.to_string(), bad.to_string()]).await;
    bed.check(3).await;
    assert_eq!(bed.cluster.pick(&[]).unwrap().address, good);
    assert_eq!(bed.cluster.pick(&[good]).unwrap().address, bad, "down beats none");
    assert!(bed.cluster.pick(&[good, bad]).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_of_requests_always_finds_the_one_server_that_is_up() {
    let (_listener, good) = listener().await;
    let sockets: Vec<_> = (0..4).map(|_| deaf()).collect();
    let mut servers: Vec<_> = sockets.iter().map(|(_, a)| a.to_string()).collect();
    servers.push(good.to_string());
    let bed = Arc::new(quiet(&servers).await);
    bed.check(3).await;
    let crowd = (0..4).map(|_| {
        let bed = bed.clone();
        tokio::spawn(async move { bed.picks(2000) })
    });
    for picks in crowd.collect::<Vec<_>>() {
        assert!(picks.await.unwrap().iter().all(|a| *a == good));
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_tried_until_it_does() {
    let mut bed = bed(&["app.internal:80".into()], hasty());
    let (_stop, shutdown) = watch::channel(false);
    bed.cluster.start(shutdown).await;
    assert_eq!(bed.next_told().await, ("app.internal:80".into(), false));
    assert!(bed.cluster.pick(&[]).is_none());

    let (_listener, address) = listener().await;
    *bed.book.0.lock() = vec![address];
    assert_eq!(bed.next_told().await, ("app.internal:80".into(), true));
    let server = bed.cluster.pick(&[]).unwrap();
    assert_eq!((server.address, &*server.name), (address, "app.internal:80"));
}

#[tokio::test]
async fn a_failed_look_up_keeps_the_addresses_and_their_counts() {
    let (a, b) = ("192.0.2.1:80".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
    let bed = quiet(&["app.internal:80".into()]).await;
    *bed.book.0.lock() = vec![a];
    bed.cluster.look_up().await;
    let try_under_way = bed.cluster.pick(&[]).unwrap().enter();

    bed.book.0.lock().clear();
    bed.cluster.look_up().await;
    assert_eq!(bed.picks(1), [a]);
    *bed.book.0.lock() = vec![b, a];
    bed.cluster.look_up().await;
    let active = || bed.cluster.servers().iter().map(|s| s.active).collect::<Vec<_>>();
    assert_eq!(active(), [1, 0]);
    drop(try_under_way);
    assert_eq!(active(), [0, 0]);
}

#[tokio::test]
async fn a_name_is_up_while_one_of_its_addresses_is() {
    let (_listener, good) = listener().await;
    let (_socket, bad) = deaf();
    let mut bed = quiet(&["app.internal:80".into()]).await;
    assert_eq!(bed.next_told().await, ("app.internal:80".into(), false));
    *bed.book.0.lock() = vec![good, bad];
    bed.cluster.look_up().await;
    assert_eq!(bed.next_told().await, ("app.internal:80".into(), true));
    bed.check(3).await;
    assert_eq!(bed.picks(4), [good; 4]);
    assert!(bed.told.try_recv().is_err());
}

#[tokio::test]
async fn the_systems_resolver_knows_localhost() {
    let server = "localhost:80".parse().unwrap();
    let cluster = Cluster::open("app", &[server], Settings::default(), Arc::new(())).unwrap();
    cluster.look_up().await;
    assert!(cluster.pick(&[]).unwrap().address.ip().is_loopback());
}

#[tokio::test]
async fn a_refused_connection_reads_as_unreachable() {
    let (_socket, bad) = deaf();
    let bed = quiet(&[bad.to_string()]).await;
    let peer = bed.cluster.peer(&bed.cluster.pick(&[]).unwrap());
    let connector = pingora::connectors::TransportConnector::new(None);
    let mut error = connector.get_stream(&*peer).await.err().unwrap();
    error.as_up(); // as Pingora's proxy does before `fail_to_connect`
    assert_eq!(Failure::of(&error, Phase::Connect), Some(Failure::Unreachable));
}

#[test]
fn a_list_without_sense_is_refused() {
    let open = |servers: &[&str]| {
        let servers: Vec<_> = servers.iter().map(|s| s.parse().unwrap()).collect();
        Cluster::open("app", &servers, Settings::default(), Arc::new(())).err()
    };
    assert_eq!(open(&[]), Some(UpstreamError::Empty("app".into())));
    let twice = UpstreamError::Twice("app".into(), "a:80".into());
    assert_eq!(open(&["a:80", "http://A"]), Some(twice));
    assert_eq!(open(&["a:80", "a:81"]), None);
}
