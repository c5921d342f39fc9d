//! How often a server is asked, and how many answers change what is thought of it.

use std::time::Duration;

use super::settings::Health;

/// The numbers of [`Health`]: when to ask, and what to make of the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) timeout: Duration,
    every: Duration,
    every_down: Duration,
    fall: usize,
    rise: usize,
}

/// What the checks of a server add up to. It starts up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    up: bool,
    /// Checks in a row that said otherwise.
    against: usize,
}

impl Default for Tally {
    fn default() -> Self {
        Self { up: true, against: 0 }
    }
}

impl Pace {
    pub(super) fn of(health: &Health) -> Self {
        Self {
            timeout: health.timeout,
            every: health.every,
            every_down: health.every_down,
            fall: health.fall,
            rise: health.rise,
        }
    }

    /// The pause until the next check. A server that has just failed is asked as soon as one that is down, so
    /// that `fall` failures take seconds, not `fall` times `every`. `dice` is between 0 and 1: a tenth more or less keeps
    /// checks that began together from staying together.
    pub(super) fn pause(&self, tally: Tally, dice: f64) -> Duration {
        let calm = tally.up && tally.against == 0;
        let pause = if calm { self.every } else { self.every.min(self.every_down) };
        pause.mul_f64(0.9 + 0.2 * dice)
    }
}

impl Tally {
    pub(super) fn is_up(self) -> bool {
        self.up
    }

    /// Takes in a check. Says how many in a row it took if it changed the verdict.
    pub(super) fn note(&mut self, passed: bool, pace: &Pace) -> Option<usize> {
        if passed == self.up {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < if self.up { pace.fall } else { pace.rise } {
            return None;
        }
        self.up = passed;
        Some(std::mem::take(&mut self.against))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(fall: usize, rise: usize) -> Pace {
        Pace::of(&Health { fall, rise, ..Health::default() })
    }

    /// Plays checks (`+` passed, `-` failed) and shows after each whether the server is up (`U`) or down (`d`).
    fn played(checks: &str, pace: &Pace) -> String {
        let mut tally = Tally::default();
        let mut verdict = |check| {
            tally.note(check == '+', pace);
            if tally.is_up() { 'U' } else { 'd' }
        };
        checks.chars().map(&mut verdict).collect()
    }

    #[test]
    fn fall_failures_in_a_row_take_a_server_out_and_rise_successes_bring_it_back() {
        for (fall, rise, checks, verdicts) in [
            (3, 2, "+++", "UUU"),
            (3, 2, "---++", "UUddU"),
            (3, 2, "--+--+--", "UUUUUUUU"),
            (3, 2, "----+-+-++", "UUdddddddU"),
            (1, 1, "-+-+", "dUdU"),
            (1, 3, "-++-+++", "ddddddU"),
        ] {
            assert_eq!(played(checks, &pace(fall, rise)), verdicts, "fall {fall}, rise {rise}: {checks}");
        }
    }

    #[test]
    fn a_change_says_how_many_checks_it_took() {
        let (mut tally, pace) = (Tally::default(), pace(3, 2));
        let told: Vec<_> = [false, false, false, false, true, true].map(|p| tally.note(p, &pace)).into();
        assert_eq!(told, [None, None, Some(3), None, None, Some(2)]);
    }

    #[test]
    fn other_thresholds_go_on_with_what_has_been_counted() {
        let mut tally = Tally::default();
        assert_eq!((0..4).filter_map(|_| tally.note(false, &pace(9, 1))).count(), 0);
        assert_eq!(tally.note(false, &pace(2, 1)), Some(5));
    }

    #[test]
    fn a_server_that_is_down_or_has_just_failed_is_asked_sooner() {
        let seconds = Duration::from_secs;
        let (up, failed) = (Tally::default(), Tally { up: true, against: 1 });
        let (down, rising) = (Tally { up: false, against: 0 }, Tally { up: false, against: 1 });
        for (every, every_down, tally, pause) in [
            (5, 1, up, 5),
            (5, 1, failed, 1),
            (5, 1, down, 1),
            (5, 1, rising, 1),
            (1, 5, up, 1),
            (1, 5, failed, 1),
            (1, 5, down, 1),
        ] {
            let health =
                Health { every: seconds(every), every_down: seconds(every_down), ..Health::default() };
            assert_eq!(Pace::of(&health).pause(tally, 0.5), seconds(pause), "{every} {every_down} {tally:?}");
        }
    }

    #[test]
    fn pauses_differ_by_a_tenth_at_most() {
        let pause = |dice| Pace::of(&Health::default()).pause(Tally::default(), dice);
        assert_eq!((pause(0.0), pause(1.0)), (Duration::from_millis(4500), Duration::from_millis(5500)));
    }
}
