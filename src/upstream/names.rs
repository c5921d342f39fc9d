//! The servers a cluster lists, and the endpoints last found for each: never forgotten because a look-up failed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::discovery::{Agenda, Family, Found, LookupError, Resolve};
use super::endpoint::Endpoint;
use super::settings::Lookup;
use super::spec::ServerSpec;
use super::update::Change;

/// Addresses taken for one name.
pub(super) const MAX_ADDRESSES: usize = 64;

/// Names of a cluster that are looked up at the same time. Each takes two sockets or more, and a process may have 1,024
/// of them where nobody raised the limit.
const AT_A_TIME: usize = 32;

/// Makes the resolver that settings ask for.
pub(super) type Resolvers = Box<dyn Fn(&Lookup) -> Arc<dyn Resolve> + Send + Sync>;

/// What look-ups found, by the name of the configured server.
pub(super) type Answers = HashMap<Arc<str>, Answer>;

/// Look-ups under way. Dropped, they end.
pub(super) type Asked = JoinSet<(Arc<str>, Answer)>;

type Answer = Result<Found, LookupError>;

/// The configured servers and where they are.
pub(super) struct Names {
    cluster: Arc<str>,
    book: Mutex<Book>,
    resolvers: Resolvers,
    places: Arc<Semaphore>,
}

struct Book {
    slots: Vec<Slot>,
    /// When each name is to be looked up again.
    agenda: Agenda,
}

/// One configured server.
struct Slot {
    spec: ServerSpec,
    name: Arc<str>,
    found: Vec<Endpoint>,
    /// Why the last look-up failed, and since when it does.
    failing: Option<(LookupError, SystemTime)>,
    /// Whether its name has more addresses than are used.
    crowded: bool,
}

/// A configured server as a list of servers is made from it.
pub(super) struct Listed {
    pub(super) spec: ServerSpec,
    pub(super) name: Arc<str>,
    pub(super) found: Vec<Endpoint>,
    /// Why it has no endpoint, and since when.
    pub(super) failing: Option<(Arc<str>, SystemTime)>,
}

impl Names {
    pub(super) fn new(cluster: Arc<str>, servers: &[ServerSpec], resolvers: Resolvers) -> Self {
        let book = Book { slots: servers.iter().map(Slot::new).collect(), agenda: Agenda::default() };
        let places = Arc::new(Semaphore::new(AT_A_TIME));
        let names = Self { cluster, book: Mutex::new(book), resolvers, places };
        names.book.lock().list(Instant::now());
        names
    }

    /// The servers as listed.
    pub(super) fn specs(&self) -> Vec<ServerSpec> {
        self.book.lock().slots.iter().map(|slot| slot.spec.clone()).collect()
    }

    /// Every configured server with what was last found for it, in order.
    pub(super) fn listed(&self) -> Vec<Listed> {
        let listed = |slot: &Slot| Listed {
            spec: slot.spec.clone(),
            name: slot.name.clone(),
            found: slot.found.clone(),
            failing: slot.failing.as_ref().map(|(error, since)| (error.to_string().into(), *since)),
        };
        self.book.lock().slots.iter().map(listed).collect()
    }

    /// Looks up at the same time all that are names; what is an endpoint already has no answer.
    pub(super) async fn look_up(&self, servers: &[ServerSpec], lookup: &Lookup) -> Answers {
        let mut asked = Asked::new();
        self.ask(servers.iter(), lookup, &mut asked);
        asked.join_all().await.into_iter().collect()
    }

    /// Has the names looked up that are due; returns when the next one is.
    pub(super) fn ask_due(&self, lookup: &Lookup, asked: &mut Asked) -> Option<Instant> {
        let mut book = self.book.lock();
        let due = book.agenda.take_due(Instant::now(), lookup);
        if !due.is_empty() {
            let due_now = book.slots.iter().filter(|slot| due.contains(&slot.name));
            self.ask(due_now.map(|slot| &slot.spec), lookup, asked);
        }
        book.agenda.next()
    }

    fn ask<'a>(&self, servers: impl Iterator<Item = &'a ServerSpec>, lookup: &Lookup, asked: &mut Asked) {
        let (resolver, patience) = ((self.resolvers)(lookup), lookup.timeout);
        for address in servers.map(|server| &server.address).filter(|address| address.endpoint().is_none()) {
            let (resolver, places, address) = (resolver.clone(), self.places.clone(), address.clone());
            asked.spawn(async move {
                let answer = ask(&*resolver, &places, address.host(), patience).await;
                (address.to_string().into(), answer)
            });
        }
    }

    /// Takes in what was found for servers that are still listed. Whether any of them has other endpoints now.
    pub(super) fn learn(&self, answers: Answers, bounds: &Lookup) -> bool {
        self.book.lock().learn(&self.cluster, answers, bounds)
    }

    /// Another list of servers. Those that stay keep what was found for them; all are looked up again soon.
    pub(super) fn replace(&self, servers: &[ServerSpec], answers: Answers, bounds: &Lookup) -> Change {
        let mut book = self.book.lock();
        let mut old: BTreeMap<_, _> = book.slots.drain(..).map(|slot| (slot.name.clone(), slot)).collect();
        let mut joined = Vec::new();
        for server in servers {
            let mut slot = Slot::new(server);
            match old.remove(&slot.name) {
                Some(before) => {
                    (slot.found, slot.failing, slot.crowded) = (before.found, before.failing, before.crowded);
                }
                None => joined.push(slot.name.clone()),
            }
            book.slots.push(slot);
        }
        book.list(Instant::now());
        book.learn(&self.cluster, answers, bounds);
        Change { joined, left: old.into_keys().collect() }
    }
}

impl Book {
    /// Puts all names that are listed on the agenda.
    fn list(&mut self, now: Instant) {
        let names = self.slots.iter().filter(|slot| slot.spec.address.endpoint().is_none());
        self.agenda.list(names.map(|slot| slot.name.clone()), now);
    }

    fn learn(&mut self, cluster: &str, mut answers: Answers, bounds: &Lookup) -> bool {
        let now = Instant::now();
        let mut changed = false;
        for slot in &mut self.slots {
            match answers.remove(&slot.name) {
                Some(Ok(found)) => {
                    self.agenda.answered(&slot.name, now, found.valid_for, bounds);
                    changed |= slot.learn(cluster, found);
                }
                Some(Err(error)) => {
                    self.agenda.failed(&slot.name, now, !slot.found.is_empty(), bounds);
                    slot.fail(cluster, error);
                }
                None => {}
            }
        }
        changed
    }
}

async fn ask(resolver: &dyn Resolve, places: &Semaphore, host: &str, patience: Duration) -> Answer {
    let in_turn = async {
        let _place = places.acquire().await;
        resolver.resolve(host).await
    };
    let found = timeout(patience, in_turn).await.unwrap_or(Err(LookupError::TimedOut(patience)))?;
    match found.addresses.is_empty() {
        true => Err(LookupError::NoAddress),
        false => Ok(found),
    }
}

impl Slot {
    fn new(spec: &ServerSpec) -> Self {
        Self {
            spec: spec.clone(),
            name: spec.address.to_string().into(),
            found: spec.address.endpoint().into_iter().collect(),
            failing: None,
            crowded: false,
        }
    }

    /// Takes in an answer. Whether it differs from the last.
    fn learn(&mut self, cluster: &str, found: Found) -> bool {
        if self.failing.take().is_some() {
            log::info!("upstream {cluster}: {} resolves again", self.name);
        }
        let endpoints = self.endpoints(cluster, found);
        let changed = endpoints != self.found;
        self.found = endpoints;
        changed
    }

    /// A failed look-up leaves the last known addresses in place: a name server that is down must not take running
    /// servers with it. Logs the first failure, and another reason.
    fn fail(&mut self, cluster: &str, error: LookupError) {
        if self.failing.as_ref().is_none_or(|(before, _)| *before != error) {
            let meanwhile = if self.found.is_empty() { "will try again" } else { "its last addresses stay" };
            log::warn!("upstream {cluster}: {} does not resolve, {meanwhile}: {error}", self.name);
        }
        let since = self.failing.as_ref().map_or_else(SystemTime::now, |(_, since)| *since);
        self.failing = Some((error, since));
    }

    /// The endpoints to use, in an order of ours: name servers rotate theirs. Of too many, always the same. Those of a
    /// family that nobody told about stay.
    fn endpoints(&mut self, cluster: &str, found: Found) -> Vec<Endpoint> {
        let untold = |endpoint: &&Endpoint| match endpoint {
            Endpoint::Inet(address) => found.unanswered == Some(Family::of(&address.ip())),
            Endpoint::Unix(_) => false,
        };
        let kept = self.found.iter().filter(untold).cloned();
        let all: BTreeSet<_> =
            found.addresses.iter().map(|ip| self.spec.address.at(*ip)).chain(kept).collect();
        let crowded = all.len() > MAX_ADDRESSES;
        if crowded && !self.crowded {
            let (name, all) = (&self.name, all.len());
            log::warn!("upstream {cluster}: {name} has {all} addresses, the first {MAX_ADDRESSES} are used");
        }
        self.crowded = crowded;
        all.into_iter().take(MAX_ADDRESSES).collect()
    }
}
