//! How many requests may be sent a second time, so that retries cannot make an outage worse.
//!
//! A share of the requests of the last ten seconds, and ten a second beside it, so that a quiet cluster may retry at
//! all: the retry budget of Finagle (<https://finagle.github.io/blog/2016/02/08/retry-budgets/>).

use std::time::Instant;

use parking_lot::Mutex;

/// Seconds that are looked back on.
const WINDOW: usize = 10;
/// Retries a second that need no requests beside them.
const RESERVE: u64 = 10;

/// Counts requests and retries of the last seconds.
#[derive(Debug)]
pub(super) struct Budget {
    began: Instant,
    seconds: Mutex<[Second; WINDOW]>,
}

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Which second since the beginning it is.
    number: u64,
    requests: u64,
    retries: u64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), seconds: Mutex::default() }
    }

    /// A request came.
    pub(super) fn request(&self) {
        self.request_at(Instant::now());
    }

    /// Whether one more request may be sent again; counts it if so. `share` is in percent of the requests.
    pub(super) fn take(&self, share: u32) -> bool {
        self.take_at(Instant::now(), share)
    }

    fn request_at(&self, now: Instant) {
        self.at(now, |second, _| second.requests += 1);
    }

    fn take_at(&self, now: Instant, share: u32) -> bool {
        self.at(now, |second, (requests, retries)| {
            let allowed = requests * u64::from(share) / 100 + RESERVE * WINDOW as u64;
            let may = retries < allowed;
            second.retries += u64::from(may);
            may
        })
    }

    /// Works on the present second, knowing the sums of requests and retries over the window.
    fn at<T>(&self, now: Instant, work: impl FnOnce(&mut Second, (u64, u64)) -> T) -> T {
        // From 1 on, so that a second that never was is always too old.
        let number = now.saturating_duration_since(self.began).as_secs() + WINDOW as u64;
        let mut seconds = self.seconds.lock();
        let recent = seconds.iter().filter(|second| second.number + WINDOW as u64 > number);
        let sums = recent.fold((0, 0), |(a, b), second| (a + second.requests, b + second.retries));
        let second = &mut seconds[(number % WINDOW as u64) as usize];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        work(second, sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// How long requests count.
    const MEMORY: Duration = Duration::from_secs(WINDOW as u64);

    #[test]
    fn a_quiet_cluster_has_a_reserve_and_a_busy_one_its_share() {
        let budget = Budget::new();
        let now = budget.began;
        let taken = (0..1000).filter(|_| budget.take_at(now, 20)).count();
        assert_eq!(taken, 100);
        (0..1000).for_each(|_| budget.request_at(now));
        let taken = (0..1000).filter(|_| budget.take_at(now, 20)).count();
        assert_eq!(taken, 200);
        assert!(!budget.take_at(now + MEMORY - Duration::from_secs(1), 20));
        assert!(budget.take_at(now + MEMORY, 20));
        let taken = (0..1000).filter(|_| budget.take_at(now + 5 * MEMORY, 0)).count();
        assert_eq!(taken, 100, "old requests do not count");
    }
}
