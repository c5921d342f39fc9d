//! How busy one server is and how it has been answering: what outlives the lists it stands in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// The weight of the newest answer in the shown latency: 1/8, as TCP smooths round-trip times (RFC 6298 §2).
const SMOOTHING: u64 = 8;

/// What is counted about one server.
#[derive(Debug, Default)]
pub(super) struct Load {
    active: AtomicUsize,
    /// Microseconds to the first byte, smoothed; 0 before the first answer.
    latency: AtomicU64,
    error: Mutex<Option<LastError>>,
    /// Its last answer that ended broke off.
    broken_off: AtomicBool,
}

/// The last try that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When.
    pub at: SystemTime,
    /// What happened, as in the log.
    pub what: String,
}

impl Load {
    /// Requests under way.
    #[inline]
    pub(super) fn active(&self) -> usize {
        self.active.load(Relaxed)
    }

    /// Counts a request as under way, unless there are `most` already.
    pub(super) fn enter(self: &Arc<Self>, most: usize) -> Option<InFlight> {
        let entered =
            self.active.fetch_update(AcqRel, Relaxed, |active| (active < most).then_some(active + 1));
        entered.ok().map(|_| InFlight(self.clone()))
    }

    /// An answer began after so long.
    pub(super) fn answered(&self, after: Duration) {
        let new = u64::try_from(after.as_micros()).unwrap_or(u64::MAX).max(1);
        let old = self.latency.load(Relaxed);
        // Two answers at once may lose one of them: it is a figure for people.
        let smoothed = if old == 0 { new } else { old - old / SMOOTHING + new / SMOOTHING };
        self.latency.store(smoothed.max(1), Relaxed);
    }

    /// Whether its last answer that ended broke off.
    pub(super) fn breaks_off(&self) -> bool {
        self.broken_off.load(Relaxed)
    }

    /// An answer is complete.
    pub(super) fn completed(&self) {
        if self.breaks_off() {
            self.broken_off.store(false, Relaxed);
        }
    }

    /// A try failed, perhaps in the middle of an answer.
    pub(super) fn failed(&self, in_the_middle: bool, what: String) {
        self.broken_off.fetch_or(in_the_middle, Relaxed);
        *self.error.lock() = Some(LastError { at: SystemTime::now(), what });
    }

    /// Time to the first byte, smoothed; `None` before the first answer.
    pub(super) fn latency(&self) -> Option<Duration> {
        let micros = self.latency.load(Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// The last try that failed.
    pub(super) fn error(&self) -> Option<LastError> {
        self.error.lock().clone()
    }
}

/// One request under way at a server.
#[derive(Debug)]
pub struct InFlight(Arc<Load>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_enter_than_may() {
        let load = Arc::new(Load::default());
        let one = load.enter(2).unwrap();
        let _two = load.enter(2).unwrap();
        assert!(load.enter(2).is_none());
        drop(one);
        assert!(load.enter(2).is_some());
        assert_eq!(load.active(), 1);
    }

    #[test]
    fn latency_follows_the_answers_slowly() {
        let load = Load::default();
        assert_eq!(load.latency(), None);
        load.answered(Duration::from_millis(8));
        assert_eq!(load.latency(), Some(Duration::from_millis(8)));
        load.answered(Duration::from_millis(16));
        assert_eq!(load.latency(), Some(Duration::from_millis(9)));
    }
}
