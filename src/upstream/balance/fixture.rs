//! Seats as tests need them, and the test whether a split is as theory says.

use super::{Algorithm, Balance, HashBy, Seats};

pub const PICKS: usize = 100_000;

/// Seats whose state a test sets.
#[derive(Debug)]
pub struct Row {
    pub open: Vec<bool>,
    pub active: Vec<usize>,
}

impl Row {
    pub fn open(number: usize) -> Self {
        Self { open: vec![true; number], active: vec![0; number] }
    }

    pub fn closed(number: usize) -> Self {
        Self { open: vec![false; number], ..Self::open(number) }
    }
}

impl Seats for Row {
    fn len(&self) -> usize {
        self.open.len()
    }

    fn is_open(&self, seat: usize) -> bool {
        self.open[seat]
    }

    fn active(&self, seat: usize) -> usize {
        self.active[seat]
    }
}

pub fn every_balance() -> [Balance; 5] {
    [
        Balance::ConsistentHash(HashBy::default()),
        Balance::IpHash,
        Balance::LeastConnections,
        Balance::Random,
        Balance::RoundRobin,
    ]
}

pub fn algorithm(balance: &Balance, weights: &[u32]) -> Algorithm {
    Algorithm::new(balance, &list(weights))
}

pub fn list(weights: &[u32]) -> Vec<(String, u32)> {
    weights.iter().enumerate().map(|(n, weight)| (identity(n), *weight)).collect()
}

pub fn identity(n: usize) -> String {
    format!("10.0.{}.{}:8080", n / 256, n % 256)
}

/// How often each of `number` seats is picked.
pub fn count(number: usize, picks: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut counts = vec![0; number];
    picks.into_iter().for_each(|seat| counts[seat] += 1);
    counts
}

/// Weights of the open seats, 0 for the closed.
pub fn parts(weights: &[u32], row: &Row) -> Vec<f64> {
    weights
        .iter()
        .zip(&row.open)
        .map(|(weight, open)| f64::from(*weight) * f64::from(u8::from(*open)))
        .collect()
}

/// Pearson's χ² of counts against parts in any unit, over what it may be once in a thousand times: more than 1 is no
/// accident. A seat without a part must not have been picked.
pub fn surprise(counts: &[usize], parts: &[f64]) -> f64 {
    let (picks, sum) = (counts.iter().sum::<usize>() as f64, parts.iter().sum::<f64>());
    let (mut squares, mut seats) = (0.0, 0);
    for (count, part) in counts.iter().zip(parts) {
        if *part == 0.0 {
            assert_eq!(*count, 0, "a seat without a part was picked");
            continue;
        }
        let expected = picks * part / sum;
        squares += (*count as f64 - expected).powi(2) / expected;
        seats += 1;
    }
    squares / critical(seats - 1)
}

/// The χ² that is exceeded with probability 0.001 (Wilson and Hilferty, 1931; within 3 % of the tables).
fn critical(freedom: usize) -> f64 {
    let spread = 2.0 / (9.0 * freedom as f64);
    freedom as f64 * (1.0 - spread + 3.0902 * spread.sqrt()).powi(3)
}

#[test]
fn the_critical_values_are_those_of_the_tables() {
    for (freedom, table) in [(2, 13.816), (4, 18.467), (9, 27.877), (99, 148.23)] {
        let ours = critical(freedom);
        assert!((ours / table - 1.0_f64).abs() < 0.03, "{freedom}: {ours}");
    }
}
