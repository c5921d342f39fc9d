//! The same server for the same key, and when a server comes or goes only its own keys move.
//!
//! Source: Karger et al., "Consistent Hashing and Random Trees", 1997, as libketama made it known: every seat has points
//! on a ring, as many as its weight says, and a key goes to the next point. Where that one's seat is closed it goes on to
//! the next, as in nginx (`src/http/modules/ngx_http_upstream_hash_module.c`): the keys of a closed seat go where they
//! would without it. Points are made with xxHash and SplitMix64, not MD5 or CRC-32, so a ring is not that of nginx.
//! Nothing about it is secret or drawn by lot: all nodes of a fleet have the same, before and after a restart.

use xxhash_rust::xxh3::xxh3_64;

use super::Seats;
use super::random::mix;
use super::round_robin::RoundRobin;

/// Points for a weight of 1. The part of a seat scatters by 1 / √points: of 2,000 clusters of ten equal servers, 94 had
/// one with more than 12 % of the keys at 160 points (what libketama, nginx and Pingora take), 10 at 256, and none at
/// 512, where the largest part was 11.6 %. A thousand servers make a ring of 4 MB in 11 ms.
const POINTS: u64 = 512;

/// Points of a whole ring: 16 MB, made in 60 ms. For a sum of weights above 4,096 a weight has half as many, above 8,192
/// a quarter, and so on, but a seat has one at least. When a cluster grows past such a limit, many keys move at once.
const MAX_POINTS: u64 = 1 << 21;

/// Points to look at before asking whether any seat is open at all: with half of them closed, all but one key of four
/// billion are placed by then.
const PATIENCE: usize = 32;

/// Seats on a ring.
pub struct ConsistentHash {
    /// In their order on the ring: the place above, the seat below.
    points: Box<[u64]>,
    /// For requests without a key.
    turns: RoundRobin,
}

impl ConsistentHash {
    pub(super) fn new(seats: Vec<(&str, u32)>) -> Self {
        let weights: Vec<u32> = seats.iter().map(|(_, weight)| *weight).collect();
        Self { points: ring(&seats), turns: RoundRobin::new(&weights) }
    }

    pub(super) fn pick<S: Seats>(&self, seats: &S, key: Option<u64>) -> Option<usize> {
        match key {
            Some(key) => self.find(seats, key),
            None => self.turns.pick(seats),
        }
    }

    #[inline]
    fn find<S: Seats>(&self, seats: &S, key: u64) -> Option<usize> {
        let at = place(mix(key, 0));
        let first = self.points.partition_point(|point| *point < at);
        let (before, after) = self.points.split_at_checked(first)?;
        let mut walk = after.iter().chain(before).map(|point| seat(*point));
        let open = |seat: &usize| seats.is_open(*seat);
        walk.by_ref().take(PATIENCE).find(open).or_else(|| {
            // With none open, the whole ring would be walked for nothing.
            let any = (0..seats.len()).find(open)?;
            walk.find(open).or(Some(any))
        })
    }
}

/// The points of all seats, sorted. A point, and who is first of two at one place, goes by identities alone: in which
/// order the seats are listed, and who else is, changes nothing.
fn ring(seats: &[(&str, u32)]) -> Box<[u64]> {
    let mut by_identity: Vec<usize> = (0..seats.len()).collect();
    by_identity.sort_by_key(|seat| seats[*seat].0);
    let points_of = points_by_weight(seats.iter().map(|(_, weight)| u64::from(*weight)).sum());
    let mut points = Vec::new();
    for (rank, (identity, weight)) in by_identity.iter().map(|seat| seats[*seat]).enumerate() {
        let seed = xxh3_64(identity.as_bytes());
        points.extend((0..points_of(weight)).map(|n| place(mix(seed, n)) | rank as u64));
    }
    points.sort_unstable();
    points.iter_mut().for_each(|point| *point = place(*point) | by_identity[seat(*point)] as u64);
    points.into()
}

/// How many points a weight has, in a ring for this sum of weights.
fn points_by_weight(sum: u64) -> impl Fn(u32) -> u64 {
    let halvings = (0..u64::BITS).find(|n| (sum * POINTS) >> n <= MAX_POINTS).unwrap_or(0);
    move |weight| ((u64::from(weight) * POINTS) >> halvings).max(1)
}

/// The upper half: a place on the ring.
#[inline]
fn place(bits: u64) -> u64 {
    bits & !u64::from(u32::MAX)
}

/// The lower half of a point.
#[inline]
fn seat(point: u64) -> usize {
    (point & u64::from(u32::MAX)) as usize
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::upstream::balance::fixture::{PICKS, Row, count, identity, list, surprise};

    type List = Vec<(String, u32)>;

    fn hash(list: &[(String, u32)]) -> ConsistentHash {
        ConsistentHash::new(list.iter().map(|(identity, weight)| (identity.as_str(), *weight)).collect())
    }

    fn keys() -> Vec<u64> {
        let mut rng = Rng::with_seed(7);
        (0..PICKS).map(|_| rng.u64(..)).collect()
    }

    /// Whose each key is.
    fn owners(list: &List) -> Vec<String> {
        let (hash, row) = (hash(list), Row::open(list.len()));
        let owner = |key| list[hash.pick(&row, Some(key)).unwrap()].0.clone();
        keys().into_iter().map(owner).collect()
    }

    /// How much of the ring each seat has.
    fn arcs(hash: &ConsistentHash, seats: usize) -> Vec<f64> {
        let mut arcs = vec![0.0; seats];
        let last = *hash.points.last().unwrap();
        let before = std::iter::once(&last).chain(&hash.points);
        for (before, point) in before.zip(&hash.points) {
            arcs[seat(*point)] += place(point.wrapping_sub(place(*before))) as f64;
        }
        arcs
    }

    /// The weights that several tests are run with.
    fn clusters() -> [List; 3] {
        [list(&[1; 10]), list(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), list(&[5, 1, 1, 2, 1, 8, 1, 1, 3, 1])]
    }

    /// The part that a seat has by weight, and a fifth more.
    fn limit(list: &List, seat: usize) -> f64 {
        1.2 * f64::from(list[seat].1) / f64::from(list.iter().map(|(_, weight)| *weight).sum::<u32>())
    }

    #[test]
    fn keys_are_split_as_the_ring_is() {
        for list in clusters() {
            let (hash, row) = (hash(&list), Row::open(list.len()));
            let counts = count(list.len(), keys().iter().map(|key| hash.pick(&row, Some(*key)).unwrap()));
            let surprise = surprise(&counts, &arcs(&hash, list.len()));
            assert!(surprise < 1.0, "{counts:?}: {surprise}");
        }
    }

    #[test]
    fn the_ring_is_split_by_weight_as_well_as_random_points_can() {
        for list in clusters() {
            let hash = hash(&list);
            let arcs = arcs(&hash, list.len());
            let sum: f64 = arcs.iter().sum();
            // Random points make parts that scatter as if each point were a pick.
            let as_counts: Vec<_> =
                arcs.iter().map(|arc| (arc / sum * hash.points.len() as f64) as usize).collect();
            let weights: Vec<_> = list.iter().map(|(_, weight)| f64::from(*weight)).collect();
            let surprise = surprise(&as_counts, &weights);
            assert!(surprise < 1.0, "{as_counts:?}: {surprise}");
        }
    }

    #[test]
    fn when_a_server_leaves_only_its_keys_move() {
        for all in clusters() {
            let before = owners(&all);
            for seat in 0..all.len() {
                let mut rest = all.clone();
                let (gone, _) = rest.remove(seat);
                let moved = before.iter().zip(owners(&rest)).filter(|(before, after)| *before != after);
                let mut number = 0;
                for (owner, _) in moved {
                    assert_eq!(*owner, gone, "moved though its server stays");
                    number += 1;
                }
                assert_eq!(number, before.iter().filter(|owner| **owner == gone).count());
                let part = number as f64 / PICKS as f64;
                assert!(part <= limit(&all, seat), "{part} of the keys were {seat}'s in {all:?}");
            }
        }
    }

    #[test]
    fn when_a_server_comes_keys_move_to_it_alone() {
        for all in clusters() {
            let (before, mut more) = (owners(&all), all.clone());
            more.insert(4, ("10.9.9.9:8080".to_owned(), 2));
            let moved = before.into_iter().zip(owners(&more)).filter(|(before, after)| before != after);
            let to: Vec<_> = moved.map(|(_, to)| to).collect();
            assert!(to.iter().all(|to| to == "10.9.9.9:8080"));
            assert!(to.len() as f64 / PICKS as f64 <= limit(&more, 4), "{}", to.len());
        }
    }

    #[test]
    fn a_heavier_server_takes_keys_from_the_others_and_they_none_from_each_other() {
        let mut all = list(&[2; 10]);
        let before = owners(&all);
        all[3].1 = 4;
        let moved = before.into_iter().zip(owners(&all)).filter(|(before, after)| before != after);
        assert!(moved.map(|(_, to)| to).all(|to| to == identity(3)));
    }

    #[test]
    fn the_order_of_the_list_changes_nothing() {
        for all in clusters() {
            let mut other = all.clone();
            Rng::with_seed(7).shuffle(&mut other);
            assert_eq!(owners(&all), owners(&other));
        }
    }

    #[test]
    fn a_closed_seat_is_as_good_as_gone_and_gets_its_keys_back() {
        let all = list(&[3, 1, 2, 1, 5]);
        let mut rest = all.clone();
        rest.remove(2);
        let (hash, mut row) = (hash(&all), Row::open(5));
        let pick = |row: &Row| -> Vec<String> {
            keys().into_iter().map(|key| all[hash.pick(row, Some(key)).unwrap()].0.clone()).collect()
        };
        row.open[2] = false;
        assert_eq!(pick(&row), owners(&rest));
        row.open[2] = true;
        assert_eq!(pick(&row), owners(&all));
    }

    #[test]
    fn a_ring_has_points_by_weight_up_to_a_limit() {
        for (weights, points) in [(&[1; 10][..], 5120), (&[1, 2, 3], 3072)] {
            assert_eq!(hash(&list(weights)).points.len() as u64, points);
        }
        for (sum, of_256, of_1) in [(4096, 131_072, 512), (4097, 65_536, 256), (64_000 * 256, 32, 1)] {
            let points_of = points_by_weight(sum);
            assert_eq!((points_of(256), points_of(1)), (of_256, of_1), "{sum}");
        }
    }
}
