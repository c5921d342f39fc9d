//! Who is told that a server can no longer be sent requests, or can again: the log, and the metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::passive::{Out, Passive};
use super::watched::Watched;
use crate::upstream::Endpoint;

/// Told which servers of one cluster can be sent requests: each at first, then each change once.
pub trait Observer: Send + Sync {
    /// `server` is its name as configured; it is up while one of its addresses passes checks and is not ejected.
    /// Must not call back into the cluster.
    fn up(&self, server: &str, up: bool);
}

/// An observer that looks away.
impl Observer for () {
    fn up(&self, _server: &str, _up: bool) {}
}

/// How it stands with one address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The server as configured.
    pub name: Arc<str>,
    /// The address; `None` while the name does not resolve.
    pub endpoint: Option<String>,
    /// Whether its checks pass.
    pub up: bool,
    /// Why they do or do not, if that ever changed.
    pub why: Option<Arc<str>>,
    /// Since when.
    pub since: SystemTime,
    /// The ejection that lasts.
    pub out: Option<Out>,
}

impl Standing {
    /// An address and all that is known about it.
    pub fn of(name: Arc<str>, endpoint: &Endpoint, watched: &Watched, passive: &Passive) -> Self {
        let state = watched.state();
        Self {
            name,
            endpoint: Some(endpoint.to_string()),
            up: state.up,
            why: state.reason,
            since: state.since,
            out: passive.out(),
        }
    }

    /// A server that has no address.
    pub fn unresolved(name: Arc<str>) -> Self {
        Self { name, endpoint: None, up: false, why: None, since: SystemTime::now(), out: None }
    }

    /// Whether it can be sent requests.
    pub fn usable(&self) -> bool {
        self.up && self.out.is_none()
    }

    /// `app1:8080 (10.0.0.1:8080)`, or one of them where both are the same.
    fn label(&self) -> String {
        match &self.endpoint {
            Some(endpoint) if **endpoint != *self.name => format!("{} ({endpoint})", self.name),
            _ => self.name.to_string(),
        }
    }

    fn key(&self) -> (Arc<str>, Option<String>) {
        (self.name.clone(), self.endpoint.clone())
    }

    /// What to say of it, after it was seen as `before`. Lines that are not about something bad come with `true`.
    fn news(&self, before: Option<&Self>) -> Vec<(bool, String)> {
        let mut news = Vec::new();
        let why = self.why.as_deref().unwrap_or("its checks fail");
        match (before.is_none_or(|before| before.up), self.up) {
            (true, false) => news.push((false, format!("is down: {why}"))),
            (false, true) => {
                let away = before.and_then(|before| self.since.duration_since(before.since).ok());
                let but = if self.out.is_some() { ", but still out" } else { "" };
                news.push((
                    true,
                    format!("is up again after {} ({why}){but}", shown(away.unwrap_or_default())),
                ));
            }
            _ => {}
        }
        match (before.and_then(|before| before.out.as_ref()), &self.out) {
            (before, Some(out)) if before != Some(out) => {
                news.push((false, format!("is out for {}: {}", shown(out.length), out.why)));
            }
            (Some(_), None) => {
                news.push((true, format!("is back{}", if self.up { "" } else { ", but still down" })));
            }
            _ => {}
        }
        news
    }
}

/// What was told last, so that everything is told once.
pub struct Told {
    observer: Arc<dyn Observer>,
    servers: HashMap<Arc<str>, bool>,
    standings: HashMap<(Arc<str>, Option<String>), Standing>,
}

impl Told {
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        Self { observer, servers: HashMap::new(), standings: HashMap::new() }
    }

    /// Compares with the last time: the log has a line for each change of an address, the observer hears of each
    /// server that is usable now and was not, or the other way round. Comparing is what makes it complete: a server
    /// also comes up when its name resolves, or when its one dead address leaves the DNS.
    ///
    /// One that is no longer in `now` is forgotten, and news when it comes back. A name that does not resolve has no
    /// line: whoever looked it up has said so.
    pub fn tell(&mut self, cluster: &str, now: &[Standing]) {
        let mut standings = HashMap::with_capacity(now.len());
        for standing in now {
            if standing.endpoint.is_some() {
                for (good, news) in standing.news(self.standings.get(&standing.key())) {
                    let level = if good { log::Level::Info } else { log::Level::Warn };
                    log::log!(level, "upstream {cluster}: {} {news}", standing.label());
                }
                standings.insert(standing.key(), standing.clone());
            }
        }
        self.standings = standings;
        self.tell_observer(now);
    }

    /// Has the observer told of every server again, the next time.
    pub fn repeat(&mut self) {
        self.servers.clear();
    }

    fn tell_observer(&mut self, now: &[Standing]) {
        let mut usable: HashMap<Arc<str>, bool> = HashMap::with_capacity(now.len());
        for standing in now {
            *usable.entry(standing.name.clone()).or_default() |= standing.usable();
        }
        let before = std::mem::take(&mut self.servers);
        for standing in now {
            // In the order of the list; of a server with several addresses, once.
            if let Some(up) = usable.remove(&standing.name) {
                if before.get(&standing.name) != Some(&up) {
                    self.observer.up(&standing.name, up);
                }
                self.servers.insert(standing.name.clone(), up);
            }
        }
    }
}

/// `12 s`, `5 min`, `300 ms`: as exact as anybody needs.
fn shown(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..180 => format!("{seconds} s"),
        seconds @ 180..10_800 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<(String, bool)>>);

    impl Observer for Heard {
        fn up(&self, server: &str, up: bool) {
            self.0.lock().push((server.to_owned(), up));
        }
    }

    fn standing(name: &str, endpoint: &str, up: bool) -> Standing {
        Standing {
            name: name.into(),
            endpoint: Some(endpoint.to_owned()),
            up,
            why: None,
            since: SystemTime::UNIX_EPOCH,
            out: None,
        }
    }

    fn at(seconds: u64, up: bool, why: &str) -> Standing {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Standing { why: Some(why.into()), since, ..standing("app1:8080", "10.0.0.1:8080", up) }
    }

    fn out(since: Instant, seconds: u64) -> Option<Out> {
        let why = "5 failures in a row, last: timeout".into();
        Some(Out { since, length: Duration::from_secs(seconds), why })
    }

    #[test]
    fn every_change_of_an_address_is_one_line() {
        let (up, down) = (at(0, true, ""), at(100, false, "connection refused (3 checks failed)"));
        let again = at(112, true, "2 checks passed");
        let now = Instant::now();
        let ejected = Standing { out: out(now, 20), ..again.clone() };
        let longer = Standing { out: out(now + Duration::from_secs(20), 300), ..again.clone() };
        let both = Standing { out: out(now, 20), ..down.clone() };
        let refused = "is down: connection refused (3 checks failed)";
        let failed = "is out for 20 s: 5 failures in a row, last: timeout";
        for (before, after, lines) in [
            (None, &up, &[] as &[&str]),
            (None, &down, &[refused]),
            (None, &both, &[refused, failed]),
            (Some(&up), &up, &[]),
            (Some(&up), &again, &[]),
            (Some(&up), &down, &[refused]),
            (Some(&down), &down, &[]),
            (Some(&down), &again, &["is up again after 12 s (2 checks passed)"]),
            (Some(&again), &ejected, &[failed]),
            (Some(&ejected), &ejected, &[]),
            (Some(&ejected), &longer, &["is out for 5 min: 5 failures in a row, last: timeout"]),
            (Some(&ejected), &again, &["is back"]),
            (Some(&ejected), &both, &[refused]),
            (Some(&both), &ejected, &["is up again after 12 s (2 checks passed), but still out"]),
            (Some(&both), &down, &["is back, but still down"]),
            (Some(&both), &again, &["is up again after 12 s (2 checks passed)", "is back"]),
        ] {
            let news: Vec<_> = after.news(before).into_iter().map(|(_, line)| line).collect();
            assert_eq!(news, lines, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn a_line_names_the_address_where_the_name_is_not_one() {
        assert_eq!(standing("app1:8080", "10.0.0.1:8080", true).label(), "app1:8080 (10.0.0.1:8080)");
        assert_eq!(standing("10.0.0.1:8080", "10.0.0.1:8080", true).label(), "10.0.0.1:8080");
        assert_eq!(Standing::unresolved("app1:8080".into()).label(), "app1:8080");
    }

    #[test]
    fn the_observer_hears_of_each_server_once_and_of_each_change() {
        let heard = Arc::new(Heard::default());
        let mut told = Told::new(heard.clone());
        let (a1, a2) = (standing("a", "1", true), standing("a", "2", true));
        let down = |standing: &Standing| Standing { up: false, ..standing.clone() };
        let ejected = |standing: &Standing| Standing { out: out(Instant::now(), 10), ..standing.clone() };
        let b = Standing::unresolved("b".into());
        for (what, now, expected) in [
            ("each at first", vec![a1.clone(), a2.clone(), b.clone()], &[("a", true), ("b", false)] as &[_]),
            ("nothing new", vec![a1.clone(), a2.clone(), b.clone()], &[]),
            ("one of two is left", vec![down(&a1), a2.clone(), b.clone()], &[]),
            ("none is left", vec![down(&a1), ejected(&a2), b.clone()], &[("a", false)]),
            ("the bad one is gone", vec![a2.clone(), b], &[("a", true)]),
            ("b has an address", vec![a2.clone(), standing("b", "3", true)], &[("b", true)]),
            ("b left", vec![a2.clone()], &[]),
            ("and is news when it comes back", vec![standing("b", "3", true), a2], &[("b", true)]),
        ] {
            told.tell("app", &now);
            let heard: Vec<_> = heard.0.lock().drain(..).collect();
            let expected: Vec<_> = expected.iter().map(|(name, up)| ((*name).to_owned(), *up)).collect();
            assert_eq!(heard, expected, "{what}");
        }
    }

    #[test]
    fn times_are_as_exact_as_anybody_needs() {
        for (milliseconds, text) in [
            (0, "0 ms"),
            (300, "300 ms"),
            (12_900, "12 s"),
            (179_000, "179 s"),
            (300_000, "5 min"),
            (10_800_000, "3 h"),
        ] {
            assert_eq!(shown(Duration::from_millis(milliseconds)), text);
        }
    }
}
