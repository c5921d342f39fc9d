//! Whose turn it is: seats that get a request each time their weight says so, evenly spread.
//!
//! Source: Waldspurger and Weihl, "Stride Scheduling", 1995. A seat of weight w is due every 1/w; who is due first gets
//! the request. HAProxy does likewise (`src/lb_fwrr.c`, positions of servers in a cycle). Two things are ours:
//!
//! - Seats begin staggered: the n-th of m seats of weight w at (n + ½) / m of their period, as if they were one seat of
//!   weight w × m. Were all due after a whole period, the light ones would come in a row. Over 150 clusters of random
//!   weights a seat was at most 1.37 picks off its part at any time; with nginx's smooth round robin
//!   (`ngx_http_upstream_round_robin.c`) it is 1.18, without staggering 7.29. Equal seats take turns in their order.
//! - A seat that was closed when it was due has missed that turn: it is due again when it would have been, had it not
//!   been closed. So nobody has anything to catch up with, and whatever happened before, the open seats share by weight
//!   from the first pick on. nginx keeps what a seat owes, in units of all who were open: if 98 of 100 servers fail, one
//!   of the two left may have to sit out about 50 requests.
//!
//! And it is cheap: nobody but the one who is picked is written to, and who is not due before the best so far need not
//! even be asked whether it is open. For 100 seats nginx's way, which changes every open one, took 1,600 to 1,900
//! instructions, and this takes 1,000.

use super::MAX_WEIGHT;

/// The period of weight 1. A period that is no whole number of these is short by less than 2^-32 of itself.
const PERIOD: u64 = 1 << 40;

/// When the clock is set back. It is past 2^22 picks of one seat of weight 1.
const LATE: u64 = 1 << 62;

/// The turns of all seats, in their order.
pub(super) struct Turns {
    seats: Box<[Turn]>,
    /// When the last pick was due. An open seat is never due before.
    now: u64,
}

/// When a seat has its next turn.
pub(super) struct Turn {
    due: u64,
    weight: u32,
    /// Here rather than in a list of its own: that costs two instructions more for each seat.
    cost: u32,
}

impl Turns {
    pub(super) fn new(weights: &[u32]) -> Self {
        Self::with_costs(weights, |_| 1)
    }

    /// With what `least_connections` notes of a seat, by its weight.
    pub(super) fn with_costs(weights: &[u32], cost: impl Fn(u32) -> u32) -> Self {
        let mut alike = [0_u64; MAX_WEIGHT as usize + 1];
        weights.iter().for_each(|&weight| alike[weight as usize] += 1);
        let mut before = [0_u64; MAX_WEIGHT as usize + 1];
        let first = |&weight: &u32| {
            let (n, m) = (&mut before[weight as usize], alike[weight as usize]);
            *n += 1;
            Turn { due: period(weight) / (2 * m) * (2 * *n - 1), weight, cost: cost(weight) }
        };
        Self { seats: weights.iter().map(first).collect(), now: 0 }
    }

    /// The time, and all turns. A turn that is before it was missed: [`Turn::due`] knows the next.
    #[inline]
    pub(super) fn now(&mut self) -> (u64, &mut [Turn]) {
        (self.now, &mut self.seats)
    }

    /// Gives a seat its turn.
    pub(super) fn take(&mut self, seat: usize) {
        let Some(turn) = self.seats.get_mut(seat) else { return };
        self.now = turn.due(self.now);
        turn.due += period(turn.weight);
        if self.now >= LATE {
            self.set_back();
        }
    }

    #[cold]
    fn set_back(&mut self) {
        for turn in &mut self.seats {
            turn.due = turn.due(self.now) - self.now;
        }
        self.now = 0;
    }
}

impl Turn {
    /// Its next turn is not before this.
    #[inline]
    pub(super) fn earliest(&self) -> u64 {
        self.due
    }

    /// Its next turn.
    #[inline]
    pub(super) fn due(&mut self, now: u64) -> u64 {
        if self.due < now {
            let period = period(self.weight);
            self.due += (now - self.due).div_ceil(period) * period;
        }
        self.due
    }

    /// What one request is to the seat, as told to [`Turns::with_costs`].
    #[inline]
    pub(super) fn cost(&self) -> u32 {
        self.cost
    }
}

#[inline]
fn period(weight: u32) -> u64 {
    PERIOD / u64::from(weight)
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    /// Who is picked when those of `open` are open.
    fn take(turns: &mut Turns, open: &[usize]) -> usize {
        let (now, all) = turns.now();
        let next = open.iter().copied().min_by_key(|seat| all[*seat].due(now)).unwrap();
        turns.take(next);
        next
    }

    fn sequence(weights: &[u32], picks: usize) -> Vec<usize> {
        let everyone: Vec<_> = (0..weights.len()).collect();
        let mut turns = Turns::new(weights);
        (0..picks).map(|_| take(&mut turns, &everyone)).collect()
    }

    /// nginx's smooth weighted round robin.
    struct Smooth(Vec<(i64, i64)>);

    impl Smooth {
        fn new(weights: &[u32]) -> Self {
            Self(weights.iter().map(|weight| (0, i64::from(*weight))).collect())
        }

        fn take(&mut self, open: &[usize]) -> usize {
            open.iter().for_each(|seat| self.0[*seat].0 += self.0[*seat].1);
            let next = open.iter().rev().copied().max_by_key(|seat| self.0[*seat].0).unwrap();
            self.0[next].0 -= open.iter().map(|seat| self.0[*seat].1).sum::<i64>();
            next
        }
    }

    /// How far a seat was off its part at most, in picks.
    fn unevenness(weights: &[u32], sequence: impl Iterator<Item = usize>) -> f64 {
        let sum: u32 = weights.iter().sum();
        let mut counts = vec![0.0; weights.len()];
        let off = |(seat, picks): (usize, u32)| {
            counts[seat] += 1.0;
            let part = |weight: u32| f64::from(weight) * f64::from(picks) / f64::from(sum);
            counts
                .iter()
                .zip(weights)
                .map(|(count, &weight)| (count - part(weight)).abs())
                .fold(0.0, f64::max)
        };
        sequence.zip(1..=sum).map(off).fold(0.0, f64::max)
    }

    #[test]
    fn turns_are_evenly_spread() {
        for (weights, expected) in [
            (&[1, 1, 1][..], "abcabcabc"),
            (&[5, 1, 1], "abaaacaabaaaca"),
            (&[3, 2, 1], "abacbaabacba"),
            (&[1, 2, 3, 4], "dcbdcadbcd"),
            (&[1, 5], "bbbabb"),
            (&[4, 1, 1, 1, 1], "abacadaeabacadae"),
            (&[256], "aaaa"),
        ] {
            let letters =
                sequence(weights, expected.len()).into_iter().map(|seat| (b'a' + seat as u8) as char);
            assert_eq!(letters.collect::<String>(), expected, "{weights:?}");
        }
    }

    #[test]
    fn turns_are_as_even_as_those_of_nginx() {
        let mut rng = Rng::with_seed(7);
        let (mut ours, mut theirs) = (0.0, 0.0);
        for _ in 0..100 {
            let limit = [1, 4, 100][rng.usize(..3)];
            let weights: Vec<u32> = (0..rng.usize(2..12)).map(|_| rng.u32(1..=limit)).collect();
            let sum = weights.iter().sum::<u32>() as usize;
            let everyone: Vec<_> = (0..weights.len()).collect();
            let mut smooth = Smooth::new(&weights);
            theirs += unevenness(&weights, (0..sum).map(|_| smooth.take(&everyone)));
            let uneven = unevenness(&weights, sequence(&weights, sum).into_iter());
            assert!(uneven < 1.5, "{weights:?}: {uneven}");
            ours += uneven;
        }
        assert!(ours < theirs * 1.2, "{ours} {theirs}");
    }

    #[test]
    fn when_most_seats_close_the_others_take_turns_at_once() {
        let weights = [1; 100];
        let everyone: Vec<_> = (0..100).collect();
        let (mut turns, mut smooth) = (Turns::new(&weights), Smooth::new(&weights));
        for _ in 0..50 {
            assert_eq!(take(&mut turns, &everyone), smooth.take(&everyone));
        }
        // The first has just had its turn, the second not yet.
        let mut runs = |left: &[usize; 2]| {
            let ours: Vec<_> = (0..50).map(|_| take(&mut turns, left)).collect();
            let theirs: Vec<_> = (0..50).map(|_| smooth.take(left)).collect();
            [ours, theirs].map(|picks| picks.iter().filter(|seat| **seat == left[1]).count())
        };
        assert_eq!(runs(&[49, 99]), [25, 50]);
    }

    #[test]
    fn a_missed_turn_is_not_made_up_for() {
        let mut turns = Turns::new(&[1, 1, 1]);
        let alone: Vec<_> = (0..100).map(|_| take(&mut turns, &[0])).collect();
        assert_eq!(alone, [0; 100]);
        let all: Vec<_> = (0..6).map(|_| take(&mut turns, &[0, 1, 2])).collect();
        assert_eq!(all, [1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn setting_the_clock_back_changes_no_turn() {
        let weights = [3, 2, 1, 7];
        let mut late = Turns::new(&weights);
        let shift = LATE / PERIOD * PERIOD - PERIOD;
        late.now = shift;
        late.seats.iter_mut().for_each(|turn| turn.due += shift);
        // One that has been closed for long.
        late.seats[1].due -= shift;
        let everyone = [0, 1, 2, 3];
        let picks: Vec<_> = (0..100).map(|_| take(&mut late, &everyone)).collect();
        assert_eq!(picks, sequence(&weights, 100));
        assert!(late.now < LATE / 2);
    }
}
