//! What checks have found out about one server, for everybody who asks the same of it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::pace::{Pace, Tally};
use super::registry::HealthRegistry;
use super::subject::Subject;

/// A server that is checked as long as somebody holds this.
pub struct Watched {
    pub(super) record: Arc<Record>,
    pub(super) subject: Subject,
    pub(super) registry: Weak<HealthRegistry>,
    pub(super) task: Option<AbortHandle>,
}

/// What an operator sees of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedState {
    pub up: bool,
    /// When it came up or went down, or was first heard of.
    pub since: SystemTime,
    /// What changed it: `connection refused (3 checks failed)`. `None` while nothing has.
    pub reason: Option<Arc<str>>,
    /// `None` before the first check is over.
    pub last_check: Option<Check>,
}

/// A check that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// When it began.
    pub at: SystemTime,
    pub took: Duration,
    /// Why it failed, or could not be made.
    pub error: Option<String>,
}

impl Watched {
    /// Whether its checks pass. It starts up.
    #[inline]
    pub fn is_up(&self) -> bool {
        self.record.up.load(Relaxed)
    }

    pub fn state(&self) -> WatchedState {
        self.record.found.lock().state.clone()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        if let Some(registry) = self.registry.upgrade() {
            registry.forget(&self.subject, &self.record);
        }
    }
}

/// What is shared with the task that asks; it must not hold the `Watched`, which ends it.
pub(super) struct Record {
    up: AtomicBool,
    found: Mutex<Found>,
}

#[derive(Clone)]
struct Found {
    tally: Tally,
    state: WatchedState,
}

impl Record {
    /// Nothing is known.
    pub(super) fn fresh() -> Self {
        let state = WatchedState { up: true, since: SystemTime::now(), reason: None, last_check: None };
        Self::with(Found { tally: Tally::default(), state })
    }

    /// Begins with what is known by another.
    pub(super) fn inherit(&self) -> Self {
        Self::with(self.found.lock().clone())
    }

    fn with(found: Found) -> Self {
        Self { up: AtomicBool::new(found.tally.is_up()), found: Mutex::new(found) }
    }

    /// Takes in a check, which passed or did not, or says nothing about the server. Whether that came up or went down
    /// with it.
    pub(super) fn note(&self, check: Check, passed: Option<bool>, pace: &Pace) -> bool {
        let mut found = self.found.lock();
        let changed = passed.and_then(|passed| found.tally.note(passed, pace));
        let ended = check.at + check.took;
        let error = check.error.clone();
        found.state.last_check = Some(check);
        let Some(checks) = changed else { return false };
        found.state.up = found.tally.is_up();
        found.state.since = ended;
        found.state.reason = Some(reason(error.as_deref(), checks).into());
        self.up.store(found.state.up, Relaxed);
        true
    }

    pub(super) fn tally(&self) -> Tally {
        self.found.lock().tally
    }
}

fn reason(error: Option<&str>, checks: usize) -> String {
    let noun = if checks == 1 { "check" } else { "checks" };
    match error {
        Some(error) => format!("{error} ({checks} {noun} failed)"),
        None => format!("{checks} {noun} passed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::health::Health;

    fn check(seconds: u64, error: Option<&str>) -> Check {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Check { at, took: Duration::from_secs(1), error: error.map(str::to_owned) }
    }

    fn pace(fall: usize, rise: usize) -> Pace {
        Pace::of(&Health { fall, rise, ..Health::default() })
    }

    #[test]
    fn a_change_is_dated_and_says_what_made_it() {
        let record = Record::fresh();
        let state = || record.found.lock().state.clone();
        assert!(!record.note(check(1, Some("timeout")), Some(false), &pace(2, 1)));
        assert_eq!((state().up, state().reason), (true, None));
        assert!(record.note(check(2, Some("connection refused")), Some(false), &pace(2, 1)));
        let down = WatchedState {
            up: false,
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(3),
            reason: Some("connection refused (2 checks failed)".into()),
            last_check: Some(check(2, Some("connection refused"))),
        };
        assert_eq!(state(), down);
        assert!(record.note(check(9, None), Some(true), &pace(2, 1)));
        assert_eq!((state().up, state().reason), (true, Some("1 check passed".into())));
    }

    #[test]
    fn an_heir_knows_what_was_known_and_goes_its_own_way() {
        let record = Record::fresh();
        record.note(check(1, Some("timeout")), Some(false), &pace(1, 1));
        let heir = record.inherit();
        assert!(!heir.up.load(Relaxed));
        assert_eq!(heir.found.lock().state, record.found.lock().state);
        heir.note(check(2, None), Some(true), &pace(1, 1));
        assert_eq!((heir.up.load(Relaxed), record.up.load(Relaxed)), (true, false));
    }

    #[test]
    fn a_check_that_could_not_be_made_says_nothing_about_the_server() {
        let record = Record::fresh();
        let ours = check(1, Some("too many open files"));
        assert!((0..9).all(|_| !record.note(ours.clone(), None, &pace(1, 1))));
        let state = record.found.lock().state.clone();
        assert_eq!((state.up, state.last_check), (true, Some(ours)));
    }
}
