//! What every algorithm promises: splits by weight, whoever is closed, and from as many threads as ask.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use proptest::prelude::*;

use super::fixture::*;
use super::*;

const WEIGHTS: [u32; 6] = [1, 2, 3, 10, 50, 7];

/// Picks for random keys, as often as splits are tested.
fn picks(algorithm: &Algorithm, row: &Row) -> Vec<usize> {
    let mut rng = Rng::with_seed(7);
    let pick = |_| algorithm.pick(row, Some(rng.u64(..))).unwrap();
    count(row.len(), (0..PICKS).map(pick))
}

/// All but `consistent_hash`, whose parts are those of its ring: see there.
fn exact_balances() -> [Balance; 4] {
    [Balance::IpHash, Balance::LeastConnections, Balance::Random, Balance::RoundRobin]
}

#[test]
fn a_split_is_as_the_weights_say() {
    fastrand::seed(7);
    for balance in exact_balances() {
        for weights in [&WEIGHTS[..], &[1, 2], &[1; 10], &[256, 1, 128, 3]] {
            let row = Row::open(weights.len());
            let counts = picks(&algorithm(&balance, weights), &row);
            let surprise = surprise(&counts, &parts(weights, &row));
            assert!(surprise < 1.0, "{} {counts:?}: {surprise}", balance.as_str());
        }
    }
}

#[test]
fn closed_seats_leave_the_split_of_the_others_as_it_is() {
    fastrand::seed(7);
    for balance in exact_balances() {
        for closed in [&[4][..], &[0, 1], &[0, 2, 4], &[1, 3, 4, 5]] {
            let mut row = Row::open(WEIGHTS.len());
            closed.iter().for_each(|&seat| row.open[seat] = false);
            let counts = picks(&algorithm(&balance, &WEIGHTS), &row);
            let surprise = surprise(&counts, &parts(&WEIGHTS, &row));
            assert!(surprise < 1.0, "{} without {closed:?} {counts:?}: {surprise}", balance.as_str());
        }
    }
}

#[test]
fn a_few_open_among_many_closed_split_by_weight() {
    fastrand::seed(7);
    let weights: Vec<u32> = (0..100).map(|n| 1 + n % 9).collect();
    for balance in exact_balances() {
        let mut row = Row::closed(weights.len());
        [3, 50, 71, 98].iter().for_each(|&seat| row.open[seat] = true);
        let counts = picks(&algorithm(&balance, &weights), &row);
        let surprise = surprise(&counts, &parts(&weights, &row));
        assert!(surprise < 1.0, "{}: {surprise}", balance.as_str());
    }
}

#[test]
fn without_a_key_the_hashes_take_turns() {
    for balance in [Balance::ConsistentHash(HashBy::default()), Balance::IpHash] {
        let algorithm = algorithm(&balance, &[2, 1]);
        let row = Row::open(2);
        let picks: Vec<_> = (0..6).map(|_| algorithm.pick(&row, None).unwrap()).collect();
        assert_eq!(picks, [0, 1, 0, 0, 1, 0], "{}", balance.as_str());
    }
}

#[test]
fn an_empty_list_has_nobody_to_pick() {
    for balance in every_balance() {
        assert_eq!(algorithm(&balance, &[]).pick(&Row::open(0), Some(1)), None);
        assert_eq!(algorithm(&balance, &[]).pick(&Row::open(0), None), None);
    }
}

#[test]
fn weights_out_of_range_are_the_nearest_in_range() {
    for balance in every_balance() {
        let algorithm = algorithm(&balance, &[0, u32::MAX]);
        assert!((0..10).all(|n| algorithm.pick(&Row::open(2), Some(n)).is_some()));
    }
}

#[test]
fn every_balance_has_its_word() {
    let words = every_balance().map(|balance| balance.as_str());
    assert_eq!(words, ["consistent_hash", "ip_hash", "least_connections", "random", "round_robin"]);
    assert_eq!(Balance::default().as_str(), "round_robin");
}

#[test]
fn a_thousand_servers_of_64_addresses_are_picked_from() {
    let weights = vec![MAX_WEIGHT; 64_000];
    for balance in every_balance() {
        let algorithm = algorithm(&balance, &weights);
        let mut row = Row::open(weights.len());
        for key in 0..20 {
            let seat = algorithm.pick(&row, Some(key)).unwrap();
            assert!(row.open[seat]);
            row.open[seat] = false;
        }
        let mut last = Row::closed(weights.len());
        assert_eq!(algorithm.pick(&last, Some(1)), None);
        last.open[63_999] = true;
        assert_eq!(algorithm.pick(&last, Some(1)), Some(63_999));
    }
}

#[test]
fn picks_from_several_threads_keep_the_split() {
    for balance in exact_balances() {
        let algorithm = algorithm(&balance, &WEIGHTS);
        let counts: Vec<_> = WEIGHTS.iter().map(|_| AtomicUsize::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (algorithm, counts) = (&algorithm, &counts);
                scope.spawn(move || {
                    fastrand::seed(thread);
                    let mut rng = Rng::with_seed(thread);
                    let row = Row::open(WEIGHTS.len());
                    for _ in 0..PICKS / 4 {
                        let seat = algorithm.pick(&row, Some(rng.u64(..))).unwrap();
                        counts[seat].fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let counts: Vec<_> = counts.into_iter().map(AtomicUsize::into_inner).collect();
        let surprise = surprise(&counts, &WEIGHTS.map(f64::from));
        assert!(surprise < 1.0, "{} {counts:?}: {surprise}", balance.as_str());
    }
}

/// Seats that several threads use.
struct Shared(Vec<AtomicUsize>);

impl Seats for Shared {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_open(&self, _seat: usize) -> bool {
        true
    }

    fn active(&self, seat: usize) -> usize {
        self.0[seat].load(Ordering::Relaxed)
    }
}

#[test]
fn threads_that_hold_connections_keep_the_split() {
    let least = algorithm(&Balance::LeastConnections, &WEIGHTS);
    let row = Shared(WEIGHTS.iter().map(|_| AtomicUsize::new(0)).collect());
    let work = || {
        let mut held = VecDeque::new();
        let pick = |_| {
            let seat = least.pick(&row, None).unwrap();
            row.0[seat].fetch_add(1, Ordering::Relaxed);
            held.push_back(seat);
            if held.len() > 730 {
                row.0[held.pop_front().unwrap()].fetch_sub(1, Ordering::Relaxed);
            }
            seat
        };
        count(row.len(), (0..PICKS / 4).map(pick))
    };
    let counts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        let add = |sum: Vec<usize>, part: Vec<usize>| sum.iter().zip(part).map(|(a, b)| a + b).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(vec![0; WEIGHTS.len()], add)
    });
    // How the threads mix is not ours to say, so this is no matter of chance: about 40 requests for each weight.
    for (count, weight) in counts.iter().zip(WEIGHTS) {
        let fair = f64::from(weight) / 73.0 * PICKS as f64;
        assert!((*count as f64 / fair - 1.0).abs() < 0.15, "{counts:?}");
    }
}

/// Requests that last as long as `length` says, at most `limit` of them at a time.
fn hold(
    algorithm: &Algorithm,
    row: &mut Row,
    limit: usize,
    mut length: impl FnMut(usize) -> usize,
) -> Vec<usize> {
    let mut ends: VecDeque<Vec<usize>> = VecDeque::new();
    let mut running = 0;
    let mut counts = vec![0; row.len()];
    for _ in 0..PICKS {
        while running >= limit {
            let over = ends.pop_front().unwrap_or_default();
            running -= over.len();
            over.into_iter().for_each(|seat| row.active[seat] -= 1);
        }
        let seat = algorithm.pick(row, Some(0)).unwrap();
        (row.active[seat], running) = (row.active[seat] + 1, running + 1);
        let end = length(seat);
        while ends.len() <= end {
            ends.push_back(Vec::new());
        }
        ends[end].push(seat);
        counts[seat] += 1;
    }
    counts
}

#[test]
fn held_connections_split_by_weight_where_all_last_as_long() {
    let mut rng = Rng::with_seed(7);
    let least = algorithm(&Balance::LeastConnections, &WEIGHTS);
    let mut row = Row::open(WEIGHTS.len());
    let counts = hold(&least, &mut row, 730, |_| rng.usize(1..1000));
    let surprise = surprise(&counts, &WEIGHTS.map(f64::from));
    assert!(surprise < 1.0, "{counts:?}: {surprise}");
    for (active, weight) in row.active.iter().zip(WEIGHTS) {
        // Several may have ended since the last pick.
        let fair = 10.0 * f64::from(weight);
        assert!((*active as f64 - fair).abs() <= 1.0 + fair * 0.02, "{active} of {fair}");
    }
}

#[test]
fn a_slow_server_gets_fewer_of_the_held_connections() {
    let mut rng = Rng::with_seed(7);
    let weights = [1, 1, 2];
    let least = algorithm(&Balance::LeastConnections, &weights);
    let slow = |seat: usize| if seat == 0 { 5 } else { 1 };
    let counts = hold(&least, &mut Row::open(3), 400, |seat| slow(seat) * rng.usize(1..400));
    // As many are held by weight, so what gets through is weight / time.
    let fair = [0.2, 1.0, 2.0].map(|part| part / 3.2 * PICKS as f64);
    for (count, fair) in counts.iter().zip(fair) {
        assert!((*count as f64 / fair - 1.0).abs() < 0.05, "{counts:?}");
    }
}

/// Weights, and for so many picks who is open and how busy.
fn history(picks: usize, limit: u32) -> impl Strategy<Value = (Vec<u32>, Vec<Row>)> {
    let weight = prop_oneof![Just(1), 1..=limit.min(10), 1..=limit];
    proptest::collection::vec(weight, 1..20).prop_flat_map(move |weights| {
        let number = weights.len();
        let open = proptest::collection::vec(prop::bool::weighted(0.3), number);
        let active = proptest::collection::vec(0..5_usize, number);
        let row = (open, active).prop_map(|(open, active)| Row { open, active });
        (Just(weights), proptest::collection::vec(row, 0..picks))
    })
}

/// Heavier seats make rings that take long to build without optimization.
const RING: u32 = 4;

proptest! {
    #[test]
    fn whoever_is_picked_is_open_and_nobody_only_if_none_is((weights, rows) in history(40, RING), keys: bool) {
        for balance in every_balance() {
            let algorithm = algorithm(&balance, &weights);
            for (n, row) in rows.iter().enumerate() {
                let pick = algorithm.pick(row, keys.then_some(n as u64));
                prop_assert_eq!(pick.is_some(), row.open.contains(&true));
                prop_assert!(pick.is_none_or(|seat| row.open[seat]));
            }
        }
    }

    #[test]
    fn the_least_busy_for_its_weight_is_picked((weights, rows) in history(40, MAX_WEIGHT)) {
        let least = algorithm(&Balance::LeastConnections, &weights);
        for row in rows {
            let Some(seat) = least.pick(&row, None) else { continue };
            let times = |one: usize, other: usize| row.active[one] as u32 * weights[other];
            let less_busy = |other: &usize| row.open[*other] && times(*other, seat) < times(seat, *other);
            prop_assert_eq!((0..row.len()).find(less_busy), None);
        }
    }

    #[test]
    fn from_any_moment_on_turns_are_shared_by_weight(
        (weights, rows) in history(40, MAX_WEIGHT),
        open in proptest::collection::vec(any::<bool>(), 20),
    ) {
        for balance in [Balance::LeastConnections, Balance::RoundRobin] {
            let algorithm = algorithm(&balance, &weights);
            for row in &rows {
                algorithm.pick(row, None);
            }
            let mut row = Row::open(weights.len());
            row.open.copy_from_slice(&open[..weights.len()]);
            let parts = parts(&weights, &row);
            let sum: f64 = parts.iter().sum();
            let mut counts = vec![0; weights.len()];
            for picks in 1..200 {
                let Some(seat) = algorithm.pick(&row, None) else { break };
                counts[seat] += 1;
                for (count, part) in counts.iter().zip(&parts) {
                    // Everyone is within one turn of its part of the time that passed, and time, with the turns of
                    // all, within theirs.
                    let off = f64::from(*count) - f64::from(picks) * part / sum;
                    let seats = row.open.iter().filter(|open| **open).count() as f64;
                    let limit = 1.0 + seats * part / sum + 1e-6;
                    prop_assert!(off.abs() <= limit, "{} {counts:?} of {parts:?}", balance.as_str());
                }
            }
        }
    }

    #[test]
    fn a_hash_picks_the_same_as_long_as_the_same_are_open((weights, rows) in history(10, RING), key: u64) {
        for balance in [Balance::ConsistentHash(HashBy::default()), Balance::IpHash] {
            let algorithm = algorithm(&balance, &weights);
            let first: Vec<_> = rows.iter().map(|row| algorithm.pick(row, Some(key))).collect();
            let again: Vec<_> = rows.iter().map(|row| algorithm.pick(row, Some(key))).collect();
            prop_assert_eq!(first, again);
        }
    }
}
