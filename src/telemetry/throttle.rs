//! Lets one complaint a second through and counts the rest: a dead origin must not fill the disk with lines.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A gate for lines that may come by the thousand.
#[derive(Default)]
pub struct Throttle {
    /// The second in which a line last went through.
    last: AtomicU64,
    /// Lines held back since.
    held: AtomicU64,
}

impl Throttle {
    /// Whether a line may be written in this second (since 1970), and how many were held back before it.
    pub fn pass(&self, now: u64) -> Option<u64> {
        if self.last.swap(now, Relaxed) == now {
            self.held.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.held.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_passes_and_tells_how_many_did_not() {
        let throttle = Throttle::default();
        let passed: Vec<_> = [10, 10, 10, 11, 11, 12].map(|now| throttle.pass(now)).into();
        assert_eq!(passed, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
