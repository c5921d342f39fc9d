//! One lazily moved timer for a connection: moving a deadline costs a store, not a timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that may be moved often and is seldom met.
pub struct Deadline {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    /// A deadline so long from now.
    pub fn after(duration: Duration) -> Self {
        let at = Instant::now() + duration;
        Self { at, sleep: Box::pin(sleep_until(at)) }
    }

    /// Moves it to so long from `now`. The timer follows when it fires, or at once if it would fire too late.
    pub fn move_to(&mut self, now: Instant, duration: Duration) {
        self.at = now + duration;
        if self.sleep.deadline() > self.at {
            self.sleep.as_mut().reset(self.at);
        }
    }

    /// Ready once the deadline has passed.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn a_moved_deadline_passes_when_it_was_moved_to() {
        let start = Instant::now();
        let mut deadline = Deadline::after(Duration::from_secs(10));
        deadline.move_to(Instant::now(), Duration::from_secs(75));
        deadline.move_to(Instant::now(), Duration::from_secs(20));
        poll_fn(|cx| deadline.poll_passed(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_can_be_moved_nearer() {
        let start = Instant::now();
        let mut deadline = Deadline::after(Duration::from_secs(75));
        deadline.move_to(Instant::now(), Duration::from_secs(10));
        poll_fn(|cx| deadline.poll_passed(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 10);
    }
}
