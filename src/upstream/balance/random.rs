//! A server by chance, each as likely as its weight says.
//!
//! Source: nginx, `src/http/modules/ngx_http_upstream_random_module.c`: a draw is a place on the line of all weights,
//! and the seat is found by bisection. A closed one is drawn again, which is exact for the open ones. nginx gives up
//! after 20 draws and takes turns; here all open seats are then gone through once, and each takes the place of the one
//! chosen before with probability weight / weights so far (Chao, "A general purpose unequal probability sampling plan",
//! 1982), which is exact too.

use super::Seats;

/// As in nginx. With half of the weight closed one pick of a million gets past them, with nine tenths one of eight.
const DRAWS: u64 = 20;

/// Seats that are drawn by lot.
pub struct Random {
    /// Where the part of each seat ends on the line of all weights.
    ends: Box<[u32]>,
}

impl Random {
    pub(super) fn new(weights: &[u32]) -> Self {
        let end = |sum: &mut u32, &weight: &u32| {
            *sum += weight;
            Some(*sum)
        };
        Self { ends: weights.iter().scan(0, end).collect() }
    }

    pub(super) fn pick<S: Seats>(&self, seats: &S) -> Option<usize> {
        self.draw(seats, fastrand::u64(..))
    }

    /// The same seat for the same seed, as long as the same ones are open.
    #[inline]
    pub(super) fn draw<S: Seats>(&self, seats: &S, seed: u64) -> Option<usize> {
        let sum = *self.ends.last()?;
        let draw = |n: u64| {
            let at = below(sum, mix(seed, n));
            self.ends.partition_point(|end| *end <= at)
        };
        let open = (0..DRAWS).map(draw).find(|seat| seats.is_open(*seat));
        open.or_else(|| self.draw_among_open(seats, seed))
    }

    #[cold]
    fn draw_among_open<S: Seats>(&self, seats: &S, seed: u64) -> Option<usize> {
        let (mut chosen, mut sum, mut start) = (None, 0, 0);
        for ((seat, &end), n) in self.ends.iter().enumerate().zip(DRAWS..) {
            let weight = end - start;
            start = end;
            if !seats.is_open(seat) {
                continue;
            }
            sum += weight;
            if below(sum, mix(seed, n)) < weight {
                chosen = Some(seat);
            }
        }
        chosen
    }
}

/// A number below `limit`, made of random bits (Lemire, "Fast Random Integer Generation in an Interval", 2019; without
/// its second step, for limits below 2^24 its bias is below 2^-40).
#[inline]
fn below(limit: u32, bits: u64) -> u32 {
    ((u128::from(bits) * u128::from(limit)) >> 64) as u32
}

/// The n-th random number of a seed: SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators", 2014).
#[inline]
pub(super) fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::fixture::{PICKS, Row, count, parts, surprise};

    #[test]
    fn the_same_seed_draws_the_same() {
        let random = Random::new(&[1, 2, 3]);
        let row = Row::open(3);
        let draw = |seed: u64| {
            fastrand::seed(seed);
            (0..50).map(|_| random.pick(&row).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn what_the_draws_miss_is_split_by_weight_too() {
        let weights = [1, 5, 2, 9, 4];
        let random = Random::new(&weights);
        for closed in [&[][..], &[0, 3], &[1, 2, 4]] {
            let mut row = Row::open(weights.len());
            closed.iter().for_each(|&seat| row.open[seat] = false);
            let picks = (0..PICKS as u64).map(|seed| random.draw_among_open(&row, seed).unwrap());
            let surprise = surprise(&count(weights.len(), picks), &parts(&weights, &row));
            assert!(surprise < 1.0, "without {closed:?}: {surprise}");
        }
    }

    #[test]
    fn numbers_below_a_limit_reach_from_0_to_it() {
        assert_eq!(below(10, 0), 0);
        assert_eq!(below(10, u64::MAX), 9);
        assert_eq!(below(1, u64::MAX), 0);
        assert_eq!(below(1 << 24, u64::MAX / 2), (1 << 23) - 1);
    }
}
