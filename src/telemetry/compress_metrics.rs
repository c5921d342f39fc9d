//! Counts what compression does and costs, without looking up a label for every piece of a body.

use super::table::Families;
use crate::http::accept_encoding::Coding;
use prometheus::core::{AtomicF64, GenericCounter};
use prometheus::{IntCounter, IntCounterVec};
use std::sync::OnceLock;
use std::time::Duration;

/// What a body is compressed for, or that it is decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// For the store, in the background.
    Build,
    /// It is decompressed, for a client that cannot do so itself.
    Decode,
    /// It passes, and is not stored.
    Pass,
    /// A client reads it while it is taken from the store, or while it comes in.
    Stream,
}

impl Run {
    const ALL: [Self; 4] = [Self::Build, Self::Decode, Self::Pass, Self::Stream];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Decode => "decode",
            Self::Pass => "pass",
            Self::Stream => "stream",
        }
    }
}

/// Why something was not compressed that would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its share of the processor was spent.
    Cpu,
    /// As many bodies were being compressed as may be at once.
    Places,
    /// Too much was waiting already to be compressed for the store.
    Queue,
}

impl Why {
    const ALL: [Self; 3] = [Self::Cpu, Self::Places, Self::Queue];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Places => "places",
            Self::Queue => "queue",
        }
    }
}

/// The numbers of one compression in one use.
pub struct CompressCounters {
    runs: IntCounter,
    seconds: GenericCounter<AtomicF64>,
    bytes_in: IntCounter,
    bytes_out: IntCounter,
}

impl CompressCounters {
    fn resolve(families: &Families, coding: Coding, run: Run) -> Self {
        let (coding, run) = (coding.token(), run.as_str());
        let bytes = |side| families.compress_bytes.with_label_values(&[coding, run, side]);
        Self {
            runs: families.compress_runs.with_label_values(&[coding, run]),
            seconds: families.compress_seconds.with_label_values(&[coding, run]),
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
        }
    }

    /// A body was begun.
    pub fn began(&self) {
        self.runs.inc();
    }

    /// So much processor time was spent on so many bytes of it, and so many came out.
    pub fn worked(&self, time: Duration, bytes_in: u64, bytes_out: u64) {
        self.seconds.inc_by(time.as_secs_f64());
        self.bytes_in.inc_by(bytes_in);
        self.bytes_out.inc_by(bytes_out);
    }
}

/// The numbers of all compressions. A use that never happened is not shown.
pub(super) struct CompressMetrics {
    counters: [[OnceLock<CompressCounters>; Run::ALL.len()]; Coding::ALL.len()],
    shed: [IntCounter; Why::ALL.len()],
}

impl CompressMetrics {
    pub(super) fn resolve(shed: &IntCounterVec) -> Self {
        Self {
            counters: [const { [const { OnceLock::new() }; Run::ALL.len()] }; Coding::ALL.len()],
            shed: Why::ALL.map(|why| shed.with_label_values(&[why.as_str()])),
        }
    }

    pub(super) fn counters(&self, families: &Families, coding: Coding, run: Run) -> &CompressCounters {
        self.counters[coding.index()][run as usize]
            .get_or_init(|| CompressCounters::resolve(families, coding, run))
    }

    pub(super) fn shed(&self, why: Why) {
        self.shed[why as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn a_compression_shows_its_bodies_its_time_and_its_bytes_in_each_use() {
        let metrics = Metrics::new();
        let counters = metrics.compress(Coding::Br, Run::Pass);
        counters.began();
        counters.worked(Duration::from_millis(250), 1000, 100);
        counters.worked(Duration::from_millis(500), 24, 1);
        metrics.compress(Coding::Gzip, Run::Build).began();
        let text = metrics.encode();
        for line in [
            "foreland_compress_runs_total{coding=\"br\",run=\"pass\"} 1\n",
            "foreland_compress_seconds_total{coding=\"br\",run=\"pass\"} 0.75\n",
            "foreland_compress_bytes_total{coding=\"br\",run=\"pass\",side=\"in\"} 1024\n",
            "foreland_compress_bytes_total{coding=\"br\",run=\"pass\",side=\"out\"} 101\n",
            "foreland_compress_runs_total{coding=\"gzip\",run=\"build\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("zstd"), "{text}");
    }

    #[test]
    fn what_was_not_compressed_is_counted_by_why() {
        let metrics = Metrics::new();
        metrics.compress_shed(Why::Places);
        let text = metrics.encode();
        for (why, count) in [("cpu", 0), ("places", 1), ("queue", 0)] {
            let line = format!("foreland_compress_shed_total{{why=\"{why}\"}} {count}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }

    #[test]
    fn every_use_has_its_own_place() {
        for (at, run) in Run::ALL.into_iter().enumerate() {
            assert_eq!(run as usize, at);
        }
        for (at, why) in Why::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
    }
}
