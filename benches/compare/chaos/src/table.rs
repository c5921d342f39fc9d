//! The table: what clients noticed, phase by phase.

use crate::load::Sample;
use crate::schedule::Phase;
use std::collections::BTreeMap;
use std::time::Duration;

/// What became of the requests of one phase.
#[derive(Default)]
pub struct Row {
    pub requests: usize,
    /// Failed though they could have been sent again.
    pub failed: usize,
    pub posts: usize,
    pub failed_posts: usize,
    took: Vec<Duration>,
    /// Kinds of failures and how many of each.
    why: BTreeMap<String, usize>,
}

impl Row {
    fn of<'a>(samples: impl Iterator<Item = &'a Sample>) -> Self {
        let mut row = Self::default();
        for sample in samples {
            row.requests += 1;
            row.took.push(sample.took);
            let (all, failed, note) = match sample.method.is_idempotent() {
                true => (None, &mut row.failed, ""),
                false => (Some(&mut row.posts), &mut row.failed_posts, " (POST)"),
            };
            if let Some(posts) = all {
                *posts += 1;
            }
            if let Some(failure) = &sample.failure {
                *failed += 1;
                *row.why.entry(format!("{}{note}", failure.what)).or_default() += 1;
            }
        }
        row.took.sort_unstable();
        row
    }

    fn quantile(&self, share: f64) -> String {
        let at = (self.took.len() as f64 * share) as usize;
        let millis = self.took.get(at.min(self.took.len().saturating_sub(1))).map(Duration::as_secs_f64);
        format!("{:.1}", millis.unwrap_or_default() * 1000.0)
    }

    fn why(&self) -> String {
        let mut why: Vec<_> = self.why.iter().collect();
        why.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let why: Vec<String> = why.iter().map(|(what, count)| format!("{what}: {count}")).collect();
        why.join(", ")
    }

    fn line(&self, name: &str) -> String {
        format!(
            "| {name:<17} | {:>8} | {:>6} | {:>11} | {:>8} | {:>8} | {:>8} | {} |",
            self.requests,
            self.failed,
            format!("{}/{}", self.failed_posts, self.posts),
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(1.0),
            self.why()
        )
    }
}

/// Prints a table and returns its last row, over everything.
pub fn print(title: &str, phases: &[Phase], samples: &[Sample]) -> Row {
    println!("\n{title}\n");
    heading("phase");
    for phase in phases {
        let row = Row::of(samples.iter().filter(|sample| phase.from <= sample.at && sample.at < phase.to));
        println!("{}", row.line(phase.name));
    }
    let all = Row::of(samples.iter());
    println!("{}", all.line("all"));
    all
}

/// The last rows of several runs, one below the other.
pub fn side_by_side(rows: &[(&str, Row)]) {
    println!();
    heading("proxy");
    for (name, row) in rows {
        println!("{}", row.line(name));
    }
}

fn heading(first: &str) {
    println!("| {first:<17} | requests | failed | failed POST |   p50 ms |   p99 ms |   max ms | failures |");
    println!("|---|---:|---:|---:|---:|---:|---:|---|");
}
