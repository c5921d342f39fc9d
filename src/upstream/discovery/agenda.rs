//! When each name is to be looked up again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::Lookup;

/// At most this share of a pause is added to it.
const JITTER: f64 = 0.1;

/// How long an answer is used: as its records say, within what the settings allow, and a little longer by chance,
/// so that nodes that were started together do not ask together for ever.
pub fn pause(valid_for: Duration, bounds: &Lookup) -> Duration {
    // `clamp` panics on bounds that contradict each other, which no configuration can give.
    spread(valid_for.max(bounds.min_ttl).min(bounds.max_ttl))
}

fn spread(pause: Duration) -> Duration {
    pause.saturating_add(pause.mul_f64(JITTER * fastrand::f64()))
}

/// The names of a cluster, each with its own next time. Knows no clock: it is told what time it is.
#[derive(Debug, Default)]
pub struct Agenda(HashMap<Arc<str>, Entry>);

#[derive(Debug)]
struct Entry {
    next: Instant,
    /// Failures since the last answer.
    failed: u32,
}

impl Agenda {
    /// Another list of names. All are due now; the failures of those that stay are remembered.
    pub fn list(&mut self, names: impl IntoIterator<Item = Arc<str>>, now: Instant) {
        let mut before = std::mem::take(&mut self.0);
        for name in names {
            let failed = before.remove(&name).map_or(0, |entry| entry.failed);
            self.0.insert(name, Entry { next: now, failed });
        }
    }

    /// When the next name is due, if there is any.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().map(|entry| entry.next).min()
    }

    /// The names that are due. Whoever takes them asks for them; should no word of it come back within twice the
    /// time that a look-up may take, they are due again.
    pub fn take_due(&mut self, now: Instant, bounds: &Lookup) -> HashSet<Arc<str>> {
        let due = self.0.iter_mut().filter(|(_, entry)| entry.next <= now);
        due.map(|(name, entry)| {
            entry.next = now + 2 * bounds.timeout;
            name.clone()
        })
        .collect()
    }

    /// An answer that is good for so long.
    pub fn answered(&mut self, name: &str, now: Instant, valid_for: Duration, bounds: &Lookup) {
        if let Some(entry) = self.0.get_mut(name) {
            *entry = Entry { next: now + pause(valid_for, bounds), failed: 0 };
        }
    }

    /// No answer. A name with addresses from before can wait, longer each time up to the longest pause: it works,
    /// and a name server that fails is not helped by more questions. One without cannot.
    pub fn failed(&mut self, name: &str, now: Instant, works: bool, bounds: &Lookup) {
        if let Some(entry) = self.0.get_mut(name) {
            let doubled = bounds.retry.saturating_mul(1 << entry.failed.min(16));
            let pause = if works { doubled.min(bounds.max_ttl).max(bounds.retry) } else { bounds.retry };
            *entry = Entry { next: now + spread(pause), failed: entry.failed.saturating_add(1) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn agenda(names: &[&str], now: Instant) -> Agenda {
        let mut agenda = Agenda::default();
        agenda.list(names.iter().map(|name| Arc::from(*name)), now);
        agenda
    }

    fn taken(agenda: &mut Agenda, now: Instant) -> Vec<String> {
        let mut names: Vec<_> =
            agenda.take_due(now, &Lookup::default()).iter().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn assert_after(agenda: &Agenda, now: Instant, seconds: u64) {
        let pause = agenda.next().unwrap() - now;
        let least = SECOND * u32::try_from(seconds).unwrap();
        assert!(pause >= least && pause <= least.mul_f64(1.0 + JITTER), "{pause:?} for {seconds} s");
    }

    #[test]
    fn a_pause_is_the_ttl_within_its_bounds_and_a_little_more() {
        let bounds = Lookup::default();
        for (ttl, least) in [(0, 5), (1, 5), (5, 5), (60, 60), (300, 300), (100_000, 300), (u64::MAX, 300)] {
            let pauses: Vec<_> = (0..100).map(|_| pause(Duration::from_secs(ttl), &bounds)).collect();
            let least = Duration::from_secs(least);
            assert!(pauses.iter().all(|p| (least..=least.mul_f64(1.1)).contains(p)), "{ttl}");
            assert!(pauses.iter().any(|p| *p != pauses[0]), "not in step");
        }
        let one = Lookup { min_ttl: SECOND, max_ttl: SECOND, ..bounds };
        assert!(pause(Duration::MAX, &one) < 2 * SECOND);
    }

    #[test]
    fn each_name_has_its_own_time() {
        let (now, bounds) = (Instant::now(), Lookup::default());
        let mut agenda = agenda(&["a", "b"], now);
        assert_eq!(agenda.next(), Some(now));
        assert_eq!(taken(&mut agenda, now), ["a", "b"]);
        assert!(taken(&mut agenda, now + SECOND).is_empty(), "being asked for");
        agenda.answered("a", now, 10 * SECOND, &bounds);
        agenda.answered("b", now, 100 * SECOND, &bounds);
        assert_after(&agenda, now, 10);
        assert!(taken(&mut agenda, now + 9 * SECOND).is_empty());
        assert_eq!(taken(&mut agenda, now + 11 * SECOND), ["a"]);
        agenda.answered("a", now + 11 * SECOND, 200 * SECOND, &bounds);
        assert_after(&agenda, now, 100);
        assert_eq!(taken(&mut agenda, now + 110 * SECOND), ["b"]);
    }

    #[test]
    fn a_question_that_nobody_tells_the_end_of_is_asked_again() {
        let (now, bounds) = (Instant::now(), Lookup::default());
        let mut agenda = agenda(&["a"], now);
        assert_eq!(taken(&mut agenda, now), ["a"]);
        assert!(taken(&mut agenda, now + bounds.timeout).is_empty());
        assert_eq!(taken(&mut agenda, now + 2 * bounds.timeout), ["a"]);
    }

    #[test]
    fn a_name_without_addresses_is_tried_again_and_again() {
        let (now, bounds) = (Instant::now(), Lookup::default());
        let mut agenda = agenda(&["a"], now);
        for _ in 0..100 {
            agenda.failed("a", now, false, &bounds);
            assert_after(&agenda, now, 5);
        }
    }

    #[test]
    fn a_name_that_still_works_is_asked_for_less_and_less() {
        let (now, bounds) = (Instant::now(), Lookup::default());
        let mut agenda = agenda(&["a"], now);
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            agenda.failed("a", now, true, &bounds);
            assert_after(&agenda, now, seconds);
        }
        for _ in 0..100 {
            agenda.failed("a", now, true, &bounds);
        }
        assert_after(&agenda, now, 300);
        agenda.answered("a", now, SECOND, &bounds);
        agenda.failed("a", now, true, &bounds);
        assert_after(&agenda, now, 5);
    }

    #[test]
    fn a_pause_after_a_failure_is_never_shorter_than_asked_for() {
        let (now, bounds) = (Instant::now(), Lookup { retry: 600 * SECOND, ..Lookup::default() });
        let mut agenda = agenda(&["a"], now);
        agenda.failed("a", now, true, &bounds);
        assert_after(&agenda, now, 600);
    }

    #[test]
    fn another_list_is_due_at_once_and_forgets_who_left() {
        let (now, bounds) = (Instant::now(), Lookup::default());
        let mut agenda = agenda(&["a", "b", "c"], now);
        agenda.failed("b", now, true, &bounds);
        agenda.list(["b", "d"].map(Arc::from), now + SECOND);
        assert_eq!(taken(&mut agenda, now + SECOND), ["b", "d"]);
        agenda.answered("a", now, SECOND, &bounds);
        agenda.answered("d", now, 100 * SECOND, &bounds);
        agenda.failed("b", now, true, &bounds);
        assert_after(&agenda, now, 10);
        agenda.list([], now);
        assert_eq!(agenda.next(), None);
    }
}
