//! A server that fails requests although its checks pass is left alone for a while, longer each time.
//!
//! In the words of circuit breakers: closed; open for a while; then half-open, where one more failure opens it
//! again at once. What counts as a failure is for the caller to say. A pure state machine: who calls brings the time.
//!
//! When all servers of a cluster fail (the fault is in what they share), [`may_eject`] keeps half of them: requests go on
//! failing there as they would anywhere, and the first that succeeds shows that the fault is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::settings::Ejection;

/// Whether one more of a cluster's servers may be ejected: never more than half, so that the rest can carry the
/// load, and never the only one.
pub fn may_eject(out_now: usize, servers: usize) -> bool {
    out_now < servers / 2
}

/// How requests to one server of one cluster went lately.
#[derive(Debug, Default)]
pub struct Passive {
    out: AtomicBool,
    /// Whether a success would change anything: it nearly never does, and then costs one load.
    troubled: AtomicBool,
    record: Mutex<Record>,
}

/// An ejection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    /// When it began.
    pub since: Instant,
    /// How long it is to be.
    pub length: Duration,
    /// `5 failures in a row, last: timeout`.
    pub why: Arc<str>,
}

#[derive(Debug, Default)]
struct Record {
    /// Failures since the last success.
    failures: u32,
    /// Ejections that count for the length of the next.
    times: u32,
    /// The ejection that lasts, else the last one.
    last: Option<Out>,
    /// When it returned or last failed, whichever came later.
    calm_since: Option<Instant>,
    /// It returned, and nothing has succeeded since.
    on_probation: bool,
}

impl Passive {
    /// A request failed. Whether the server should be ejected now, if the rest of its cluster allows that. Never
    /// while it is out: those were under way before.
    pub fn failed(&self, now: Instant, ejection: &Ejection) -> bool {
        let mut record = self.record.lock();
        if self.is_out() || ejection.failures == 0 {
            return false;
        }
        self.troubled.store(true, Relaxed);
        record.failures = record.failures.saturating_add(1);
        if record.was_calm(now) {
            record.times = 0;
        }
        record.calm_since = Some(now);
        record.on_probation || record.failures >= ejection.failures
    }

    /// A request succeeded: what failed before is no longer in a row.
    pub fn succeeded(&self) {
        if !self.troubled.load(Relaxed) {
            return;
        }
        let mut record = self.record.lock();
        if !self.is_out() {
            (record.failures, record.on_probation) = (0, false);
            self.troubled.store(false, Relaxed);
        }
    }

    /// Takes the server out. `reason` is how the last request failed. Nothing happens to one that is out.
    pub fn eject(&self, now: Instant, ejection: &Ejection, reason: &'static str) {
        let mut record = self.record.lock();
        if self.is_out() {
            return;
        }
        let factor = 1_u32.checked_shl(record.times).unwrap_or(u32::MAX);
        let length = ejection.for_.saturating_mul(factor).min(ejection.at_most);
        let why = match record.failures {
            0 | 1 => format!("1 failure: {reason}"),
            failures => format!("{failures} failures in a row, last: {reason}"),
        };
        record.times = record.times.saturating_add(1);
        record.last = Some(Out { since: now, length, why: why.into() });
        self.out.store(true, Relaxed);
    }

    /// Whether it is ejected.
    #[inline]
    pub fn is_out(&self) -> bool {
        self.out.load(Relaxed)
    }

    /// The ejection, while it lasts.
    pub fn out(&self) -> Option<Out> {
        let record = self.record.lock();
        record.last.clone().filter(|_| self.is_out())
    }

    /// When [`return_if_due`](Self::return_if_due) would bring it back.
    pub fn returns_at(&self) -> Option<Instant> {
        self.out().map(|out| out.ends())
    }

    /// When its last ejection ended, while it is not out.
    pub fn returned_at(&self) -> Option<Instant> {
        self.record.lock().last.as_ref().map(Out::ends).filter(|_| !self.is_out())
    }

    /// Brings it back if its time is over, on probation. Whether it did.
    pub fn return_if_due(&self, now: Instant) -> bool {
        if !self.is_out() {
            return false;
        }
        let mut record = self.record.lock();
        let due = self.is_out() && record.last.as_ref().is_none_or(|out| out.ends() <= now);
        if due {
            (record.calm_since, record.on_probation) = (Some(now), true);
            self.troubled.store(true, Relaxed);
            self.out.store(false, Relaxed);
        }
        due
    }
}

impl Out {
    fn ends(&self) -> Instant {
        self.since + self.length
    }
}

impl Record {
    /// Whether it went as long without a failure as it was last out.
    fn was_calm(&self, now: Instant) -> bool {
        match (&self.last, self.calm_since) {
            (Some(out), Some(since)) => now.saturating_duration_since(since) >= out.length,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: Duration = Duration::from_secs(10);

    fn after_three() -> Ejection {
        Ejection { failures: 3, for_: BASE, at_most: Duration::from_secs(60) }
    }

    /// A server on a clock that the test turns.
    struct Bench {
        server: Passive,
        now: Instant,
        ejection: Ejection,
    }

    impl Bench {
        fn new(ejection: Ejection) -> Self {
            Self { server: Passive::default(), now: Instant::now(), ejection }
        }

        fn pass(&mut self, seconds: u64) -> bool {
            self.now += Duration::from_secs(seconds);
            self.server.return_if_due(self.now)
        }

        /// A failure, and what a caller makes of it. For how many seconds it is ejected, if it is.
        fn fail(&self) -> Option<u64> {
            if !self.server.failed(self.now, &self.ejection) {
                return None;
            }
            self.server.eject(self.now, &self.ejection, "timeout");
            self.server.returns_at().map(|end| (end - self.now).as_secs())
        }
    }

    /// Plays `f` (a failure), `s` (a success) and numbers (seconds that pass), and shows at each failure `.` or for how
    /// long it ejects, and at each pause `back` if it brings the server back.
    fn played(script: &str) -> String {
        let mut bench = Bench::new(after_three());
        let mut step = |step: &str| match step {
            "f" => Some(bench.fail().map_or(".".to_owned(), |seconds| seconds.to_string())),
            "s" => {
                bench.server.succeeded();
                None
            }
            seconds => bench.pass(seconds.parse().unwrap()).then(|| "back".to_owned()),
        };
        script.split_whitespace().filter_map(&mut step).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn failures_in_a_row_eject_for_growing_times() {
        for (what, script, shown) in [
            ("too few", "f f", ". ."),
            ("a row", "f f f", ". . 10"),
            ("a success breaks the row", "f f s f f s f f", ". . . . . ."),
            ("time does not break it", "f 999 f 999 f", ". . 10"),
            ("it is back when its time is over, not before", "f f f 9 1", ". . 10 back"),
            ("what was under way does not count", "f f f f f f 10", ". . 10 . . . back"),
            ("nor does a success that was", "f f f s 10 f", ". . 10 back 20"),
            ("one more failure and it is out again, for longer", "f f f 10 f 20 f", ". . 10 back 20 back 40"),
            (
                "but not for ever longer",
                "f f f 10 f 20 f 40 f 60 f",
                ". . 10 back 20 back 40 back 60 back 60",
            ),
            ("after a success it takes a row again", "f f f 10 s f f f", ". . 10 back . . 20"),
            ("a calm time brings the length back", "f f f 10 s 10 f f f", ". . 10 back . . 10"),
            ("as long as it was last out", "f f f 10 f 20 s 19 f f f", ". . 10 back 20 back . . 40"),
            ("and not shorter", "f f f 10 f 20 s 20 f f f", ". . 10 back 20 back . . 10"),
            ("a single failure ends the calm", "f f f 10 s 9 f s 9 f f f", ". . 10 back . . . 20"),
        ] {
            assert_eq!(played(script), shown, "{what}: {script}");
        }
    }

    #[test]
    fn it_says_why_it_is_out_and_until_when() {
        let mut bench = Bench::new(Ejection::default());
        assert_eq!((bench.server.out(), bench.server.returns_at()), (None, None));
        let ejected: Vec<_> = (0..5).map(|_| bench.fail()).collect();
        assert_eq!(ejected, [None, None, None, None, Some(10)]);
        let out = bench.server.out().unwrap();
        assert_eq!((out.since, &*out.why), (bench.now, "5 failures in a row, last: timeout"));
        assert!(bench.pass(10) && !bench.server.is_out() && bench.server.out().is_none());
        bench.server.succeeded();
        bench.ejection.failures = 1;
        assert_eq!(bench.fail(), Some(20));
        assert_eq!(&*bench.server.out().unwrap().why, "1 failure: timeout");
    }

    #[test]
    fn with_no_failures_allowed_for_it_is_turned_off() {
        let bench = Bench::new(Ejection { failures: 0, ..Ejection::default() });
        assert!((0..100).all(|_| bench.fail().is_none()));
    }

    #[test]
    fn one_that_may_not_be_ejected_asks_again_with_the_next_failure() {
        let bench = Bench::new(after_three());
        let asks: Vec<_> = (0..5).map(|_| bench.server.failed(bench.now, &bench.ejection)).collect();
        assert_eq!(asks, [false, false, true, true, true]);
    }

    #[test]
    fn half_of_the_servers_stay() {
        for (servers, most) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (9, 4), (10, 5)] {
            let mut out = 0;
            while may_eject(out, servers) {
                out += 1;
            }
            assert_eq!(out, most, "of {servers}");
        }
    }

    proptest! {
        /// A cluster whose servers fail and succeed at random, under any settings.
        #[test]
        fn nobody_is_out_for_too_long_and_never_more_than_half(
            servers in 1..8_usize,
            failures in 1..4_u32,
            for_ in 1..50_u64,
            at_most in 1..200_u64,
            steps in proptest::collection::vec((0..8_usize, 0..4_u8, 0..60_u64), 0..300),
        ) {
            let ejection = Ejection {
                failures,
                for_: Duration::from_secs(for_),
                at_most: Duration::from_secs(at_most),
            };
            let cluster: Vec<_> = (0..servers).map(|_| Passive::default()).collect();
            let mut now = Instant::now();
            for (which, what, seconds) in steps {
                let server = &cluster[which % servers];
                let out_now = || cluster.iter().filter(|server| server.is_out()).count();
                match what {
                    0 => server.succeeded(),
                    1 => {
                        now += Duration::from_secs(seconds);
                        for server in &cluster {
                            server.return_if_due(now);
                            prop_assert!(server.returns_at().is_none_or(|end| end > now));
                        }
                    }
                    _ if server.failed(now, &ejection) && may_eject(out_now(), servers) => {
                        prop_assert!(!server.is_out());
                        server.eject(now, &ejection, "reset");
                        prop_assert!(server.returns_at().unwrap() - now <= ejection.at_most);
                    }
                    _ => {}
                }
                prop_assert!(out_now() * 2 <= servers);
                prop_assert!(cluster.iter().all(|s| s.is_out() == s.out().is_some()));
            }
        }
    }
}
