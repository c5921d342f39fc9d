//! The servers that are being checked, each once, whoever asks for it and through every reload.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::pace::Pace;
use super::probe;
use super::settings::Health;
use super::subject::{Subject, Target};
use super::watched::{Check, Record, Watched};

/// Checks of the whole node that are under way at one time; others wait for their turn, which is not part of their
/// deadline. A server that hangs holds a place for `timeout`: with 256 places and 2 s, 500 such servers are all
/// found out within 13 s (three checks each; measured), and a small part of the usual 1,024 files is enough.
pub const PLACES: usize = 256;

/// Between the first checks of servers that are named at the same moment, so that they do not stay together: ten are
/// asked within 20 ms, a thousand within 2 s.
const GAP: Duration = Duration::from_millis(2);

/// Every server that somebody watches. It outlives reloads.
pub struct HealthRegistry {
    book: Mutex<Book>,
    shared: Arc<Shared>,
}

struct Book {
    watches: HashMap<Subject, Vec<Watch>>,
    /// Ends its tasks when it is dropped.
    tasks: JoinSet<()>,
    stopped: bool,
}

/// Those who ask the same of a server, but at another pace, have checks of their own: nobody's settings depend on what
/// another cluster says, or said last.
struct Watch {
    pace: Pace,
    watched: Weak<Watched>,
    record: Arc<Record>,
}

/// What the tasks need.
struct Shared {
    places: Semaphore,
    changes: watch::Sender<u64>,
    /// Servers that wait for their first check.
    newcomers: AtomicU32,
}

impl HealthRegistry {
    pub fn new() -> Arc<Self> {
        Self::with_places(PLACES)
    }

    fn with_places(places: usize) -> Arc<Self> {
        let shared = Shared {
            places: Semaphore::new(places),
            changes: watch::Sender::new(0),
            newcomers: AtomicU32::new(0),
        };
        let book = Book { watches: HashMap::new(), tasks: JoinSet::new(), stopped: false };
        Arc::new(Self { book: Mutex::new(book), shared: Arc::new(shared) })
    }

    /// The watch over a server: the same for whoever asks with the same target and settings. With another pace or other
    /// thresholds it is a new one, which begins with what is known: a reload that changes them does not bring a server
    /// up. With another probe nothing is known, and it starts up.
    ///
    /// The first check is made at once, others as long as somebody holds what this returns. Outside a runtime
    /// nobody is asked: a configuration is only being looked at.
    pub fn watch(self: &Arc<Self>, target: Target, health: &Health) -> Arc<Watched> {
        let (subject, pace) = (Subject::of(target, health), Pace::of(health));
        let mut book = self.book.lock();
        let known = book.watches.get(&subject).map_or(&[] as &[Watch], Vec::as_slice);
        // An upgrade that comes to nothing is one that is being dropped.
        if let Some(watched) = known.iter().filter(|w| w.pace == pace).find_map(|w| w.watched.upgrade()) {
            return watched;
        }
        let record = Arc::new(known.last().map_or_else(Record::fresh, |watch| watch.record.inherit()));
        let task = match Handle::try_current() {
            Ok(runtime) if !book.stopped => {
                while book.tasks.try_join_next().is_some() {} // those that have ended
                let asking = keep_asking(
                    subject.clone(),
                    pace.clone(),
                    record.clone(),
                    Newcomer::join(&self.shared, health.every),
                    self.shared.clone(),
                );
                Some(book.tasks.spawn_on(asking, &runtime))
            }
            _ => None,
        };
        let registry = Arc::downgrade(self);
        let watched = Arc::new(Watched { record: record.clone(), subject: subject.clone(), registry, task });
        let watch = Watch { pace, watched: Arc::downgrade(&watched), record };
        book.watches.entry(subject).or_default().push(watch);
        watched
    }

    /// Changes whenever any server comes up or goes down.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Ends all checks, at once and for good; what is known stays as it is.
    pub fn stop(&self) {
        let mut book = self.book.lock();
        book.stopped = true;
        book.tasks.abort_all();
    }

    /// A `Watched` with this record is gone.
    pub(super) fn forget(&self, subject: &Subject, record: &Arc<Record>) {
        let mut book = self.book.lock();
        if let Some(watches) = book.watches.get_mut(subject) {
            watches.retain(|watch| !Arc::ptr_eq(&watch.record, record));
            if watches.is_empty() {
                book.watches.remove(subject);
            }
        }
    }
}

/// Asks a server again and again, until it is aborted.
async fn keep_asking(
    subject: Subject,
    pace: Pace,
    record: Arc<Record>,
    newcomer: Newcomer,
    shared: Arc<Shared>,
) {
    sleep(newcomer.wait).await;
    let mut newcomer = Some(newcomer);
    while let Ok(place) = shared.places.acquire().await {
        newcomer.take();
        let (at, started) = (SystemTime::now(), Instant::now());
        let result = probe::ask(&subject, pace.timeout).await;
        drop(place);
        let passed = match &result {
            Err(error) if error.is_our_own() => None,
            result => Some(result.is_ok()),
        };
        let error = result.err().map(|error| error.to_string());
        if record.note(Check { at, took: started.elapsed(), error }, passed, &pace) {
            shared.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
        }
        sleep(pace.pause(record.tally(), fastrand::f64())).await;
    }
}

/// A server that waits for its first check, and how long it is to wait, so that the next may follow it.
struct Newcomer {
    shared: Arc<Shared>,
    wait: Duration,
}

impl Newcomer {
    fn join(shared: &Arc<Shared>, longest: Duration) -> Self {
        let before = shared.newcomers.fetch_add(1, Relaxed);
        Self { shared: shared.clone(), wait: longest.min(GAP * before) }
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.shared.newcomers.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::uri::PathAndQuery;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::http::status::StatusRange;
    use crate::upstream::Endpoint;
    use crate::upstream::health::{HttpProbe, Probe, ProbeMethod};

    const SOON: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_secs(10);
    const HOUR: Duration = Duration::from_secs(3600);

    fn target(address: SocketAddr) -> Target {
        Target { endpoint: Endpoint::Inet(address), host: "app".into(), tls: None }
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A port of ours that refuses connections until `listen` is called.
    fn deaf() -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    fn http(path: &str) -> Probe {
        Probe::Http(Arc::new(HttpProbe {
            path: PathAndQuery::try_from(path).unwrap(),
            host: None,
            method: ProbeMethod::Get,
            statuses: vec![StatusRange { from: 200, to: 399 }],
            body: None,
        }))
    }

    /// A check that lasts until somebody ends it.
    fn endless(path: &str) -> Health {
        Health { timeout: HOUR, every: HOUR, probe: http(path), ..Health::default() }
    }

    async fn accept(listener: &TcpListener) -> TcpStream {
        timeout(LONG, listener.accept()).await.unwrap().unwrap().0
    }

    /// Waits until the other side is gone.
    async fn closed(mut stream: TcpStream) {
        let mut request = Vec::new();
        let _ = timeout(LONG, stream.read_to_end(&mut request)).await.unwrap(); // a reset will do
    }

    async fn next(changes: &mut watch::Receiver<u64>) {
        timeout(LONG, changes.changed()).await.unwrap().unwrap();
    }

    impl HealthRegistry {
        fn size(&self) -> usize {
            self.book.lock().watches.values().map(Vec::len).sum()
        }
    }

    #[tokio::test]
    async fn who_asks_the_same_shares_the_checks_and_who_asks_else_does_not() {
        let (listener, address) = listener().await;
        let registry = HealthRegistry::new();
        let one = registry.watch(target(address), &endless("/"));
        let two = registry.watch(target(address), &endless("/"));
        assert!(Arc::ptr_eq(&one, &two));
        let other = registry.watch(target(address), &endless("/other"));
        assert!(!Arc::ptr_eq(&one, &other));
        assert_eq!((registry.size(), registry.book.lock().tasks.len()), (2, 2));
        let (_one, _other) = (accept(&listener).await, accept(&listener).await);
        drop((one, other));
        assert_eq!(registry.size(), 1, "there is another holder");
        drop(two);
        assert_eq!(registry.size(), 0);
    }

    #[tokio::test]
    async fn checks_end_with_their_last_holder_even_in_the_middle() {
        let (listener, address) = listener().await;
        let registry = HealthRegistry::new();
        let watched = registry.watch(target(address), &endless("/"));
        let check = accept(&listener).await;
        drop(watched);
        closed(check).await;
        let again = registry.watch(target(address), &endless("/"));
        assert!(again.is_up() && again.state().last_check.is_none());
        closed_after(accept(&listener).await, || drop(again)).await;
    }

    async fn closed_after(check: TcpStream, end: impl FnOnce()) {
        end();
        closed(check).await;
    }

    #[tokio::test]
    async fn checks_end_with_the_registry_or_when_it_is_stopped() {
        let (listener, address) = listener().await;
        let registry = HealthRegistry::new();
        let watched = registry.watch(target(address), &endless("/"));
        closed_after(accept(&listener).await, || registry.stop()).await;
        let late = registry.watch(target(address), &endless("/late"));
        assert!(late.task.is_none() && watched.is_up() && late.is_up());

        let registry = HealthRegistry::new();
        let watched = registry.watch(target(address), &endless("/"));
        closed_after(accept(&listener).await, || drop(registry)).await;
        assert!(watched.is_up());
    }

    #[tokio::test]
    async fn a_server_goes_down_after_fall_checks_and_comes_back_after_rise() {
        let (socket, address) = deaf();
        let registry = HealthRegistry::new();
        let mut changes = registry.changes();
        // Only the pause of a server that fails lets this come to an end.
        let health = Health { every: HOUR, every_down: SOON, ..Health::default() };
        let watched = registry.watch(target(address), &health);
        assert_eq!((watched.is_up(), watched.state().reason), (true, None));

        next(&mut changes).await;
        assert!(!watched.is_up());
        let down = watched.state();
        assert_eq!((down.up, down.reason.as_deref()), (false, Some("connection refused (3 checks failed)")));
        assert_eq!(down.last_check.unwrap().error.as_deref(), Some("connection refused"));

        let _listener = socket.listen(16).unwrap();
        next(&mut changes).await;
        assert!(watched.is_up());
        let up = watched.state();
        assert_eq!((up.up, up.reason.as_deref()), (true, Some("2 checks passed")));
        assert!(up.since >= down.since && up.last_check.unwrap().error.is_none());
        assert!(!changes.has_changed().unwrap(), "told once");
    }

    #[tokio::test]
    async fn a_reload_with_another_pace_does_not_bring_a_server_up() {
        let (socket, address) = deaf();
        let registry = HealthRegistry::new();
        let mut changes = registry.changes();
        let quick = Health { every: SOON, every_down: SOON, fall: 1, ..Health::default() };
        let before = registry.watch(target(address), &quick);
        next(&mut changes).await;
        let known = before.state();

        let slow = Health { every: HOUR, every_down: HOUR, fall: 9, ..Health::default() };
        let after = registry.watch(target(address), &slow);
        drop(before);
        assert_eq!(
            (after.is_up(), after.state().since, after.state().reason),
            (false, known.since, known.reason)
        );

        let again = registry.watch(target(address), &quick);
        drop(after);
        let _listener = socket.listen(16).unwrap();
        next(&mut changes).await;
        assert!(again.is_up());
    }

    #[tokio::test]
    async fn another_probe_begins_anew() {
        let (_socket, address) = deaf();
        let registry = HealthRegistry::new();
        let mut changes = registry.changes();
        let health = Health { every_down: SOON, fall: 1, ..Health::default() };
        let watched = registry.watch(target(address), &health);
        next(&mut changes).await;
        let probed = registry.watch(target(address), &endless("/"));
        assert_eq!((watched.is_up(), probed.is_up()), (false, true));
    }

    #[tokio::test]
    async fn there_are_never_more_checks_than_places() {
        const ALL: usize = 20;
        let (listener, address) = listener().await;
        let registry = HealthRegistry::with_places(3);
        let watched: Vec<_> =
            (0..ALL).map(|n| registry.watch(target(address), &endless(&format!("/{n}")))).collect();
        let mut under_way = Vec::new();
        for n in 0..ALL {
            if under_way.len() == 3 {
                assert_eq!(registry.shared.places.available_permits(), 0);
                drop(under_way.remove(0)); // which ends the check, and lets the next one begin
            }
            under_way.push(accept(&listener).await);
            let begun = ALL - registry.shared.newcomers.load(Relaxed) as usize;
            assert!(begun <= 3.max(n + 1), "{begun} have begun, {n} were ended");
        }
        assert_eq!(registry.shared.newcomers.load(Relaxed), 0, "the next one is asked at once");
        drop(watched);
    }

    #[test]
    fn outside_a_runtime_nobody_is_asked() {
        let registry = HealthRegistry::new();
        let watched = registry.watch(target("192.0.2.1:80".parse().unwrap()), &Health::default());
        assert!(watched.is_up() && watched.task.is_none());
        drop(watched);
        assert_eq!(registry.size(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn watches_come_and_go_from_everywhere_at_once() {
        let (_socket, address) = deaf();
        let registry = HealthRegistry::new();
        let crowd = (0..4).map(|_| {
            let registry = registry.clone();
            tokio::spawn(async move {
                for n in 0..500 {
                    let every = SOON * (1 + n % 2);
                    drop(registry.watch(target(address), &Health { every, ..Health::default() }));
                }
            })
        });
        for task in crowd.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(registry.size(), 0);
    }
}
