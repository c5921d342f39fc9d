//! Every metric Foreland exports, in one table: its name, its labels and what it means.

use prometheus::{CounterVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// What kind of value a metric has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in seconds, counted in [`BUCKETS`].
    Histogram,
    /// Seconds that were spent in all; only ever grows.
    Seconds,
}

/// One metric of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name, with unit and `_total` as Prometheus wants them.
    pub name: &'static str,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// One sentence for whoever reads `/metrics`.
    pub help: &'static str,
    /// What kind of value it has.
    pub shape: Shape,
}

/// Declares the table, and a struct with one registered family for each row.
macro_rules! table {
    ($($field:ident: $shape:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        /// Every metric, in the order of the vocabulary.
        pub const TABLE: &[Row] = &[$(
            Row { name: $name, labels: &[$($label),*], help: $help, shape: Shape::$shape },
        )+];

        /// The registered families, one for each row of [`TABLE`].
        pub(super) struct Families { $(pub(super) $field: table!(@family $shape),)+ }

        impl Families {
            /// Builds every family of the table and registers it.
            pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
                let mut rows = TABLE.iter();
                Ok(Self { $($field: <table!(@family $shape)>::open(rows.next(), registry)?,)+ })
            }
        }
    };
    (@family Counter) => { IntCounterVec };
    (@family Gauge) => { IntGaugeVec };
    (@family Histogram) => { HistogramVec };
    (@family Seconds) => { CounterVec };
}

table! {
    requests: Counter "foreland_requests_total" ["listener", "route", "method", "status"]
        "Requests answered to clients, by class of status; class none: the client left before an answer.";
    request_duration: Histogram "foreland_request_duration_seconds" ["route", "outcome"]
        "From the first byte of a request's head to the end of its answer.";
    response_bytes: Counter "foreland_response_bytes_total" ["route", "outcome"]
        "Bytes of response bodies sent to clients.";
    connections: Gauge "foreland_connections" ["listener", "protocol"]
        "Client connections that are open now.";
    tls_handshakes: Counter "foreland_tls_handshakes_total" ["listener", "result"]
        "TLS handshakes with clients, by how they ended.";
    tls_not_after: Gauge "foreland_tls_certificate_not_after_seconds" ["listener", "certificate"]
        "When a certificate that is served ends, in seconds since 1970, by the first name it is for.";
    front: Counter "foreland_front_total" ["result"]
        "Requests the front answered, by outcome, or left to the proxy, by reason.";
    cache_requests: Counter "foreland_cache_requests_total" ["route", "rule", "outcome", "reason"]
        "Requests by what the cache did for them, and why.";
    cache_not_stored: Counter "foreland_cache_not_stored_total" ["rule", "reason"]
        "Responses of origins that were not stored, and why.";
    cache_bytes: Gauge "foreland_cache_bytes" ["tier"]
        "Bytes that stored objects take.";
    cache_objects: Gauge "foreland_cache_objects" ["tier"]
        "Objects that are stored.";
    cache_evictions: Counter "foreland_cache_evictions_total" ["tier", "reason"]
        "Objects removed from the store, and why.";
    cache_fills: Gauge "foreland_cache_fills" ["state"]
        "Fetches that are filling the cache now.";
    upstream_requests: Counter "foreland_upstream_requests_total" ["upstream", "server", "result"]
        "Requests sent to a server, each try counted.";
    upstream_duration: Histogram "foreland_upstream_duration_seconds" ["upstream"]
        "From sending a request to a server to the head of its response.";
    upstream_up: Gauge "foreland_upstream_up" ["upstream", "server"]
        "Whether a server is in rotation: 1 or 0.";
    upstream_connections: Gauge "foreland_upstream_connections" ["upstream", "server", "state"]
        "Connections to a server that are open now.";
    compress_runs: Counter "foreland_compress_runs_total" ["coding", "run"]
        "Bodies that were begun to be compressed or decompressed.";
    compress_seconds: Seconds "foreland_compress_seconds_total" ["coding", "run"]
        "Processor time that compressing and decompressing took.";
    compress_bytes: Counter "foreland_compress_bytes_total" ["coding", "run", "side"]
        "Bytes that went into and came out of compressing and decompressing.";
    compress_shed: Counter "foreland_compress_shed_total" ["why"]
        "Bodies that were not compressed because that would have cost too much then, and why.";
    refused: Counter "foreland_refused_total" ["reason"]
        "Requests and connections that Foreland refused, and why.";
    purges: Counter "foreland_purges_total" ["kind"]
        "Purges that were carried out.";
    config_generation: Gauge "foreland_config_generation" []
        "Number of the configuration in force; the first is 1.";
    config_reloads: Counter "foreland_config_reloads_total" ["result"]
        "Attempts to load a new configuration.";
    build_info: Gauge "foreland_build_info" ["version"]
        "Always 1; the label tells which Foreland this is.";
}

/// Upper bounds of durations, in seconds: from a hit (100 µs) to the longest default deadline (60 s).
pub(super) const BUCKETS: [f64; 18] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
];

/// A family that can be built from its row.
trait Family: Sized {
    fn open(row: Option<&Row>, registry: &Registry) -> prometheus::Result<Self>;
}

impl Family for IntCounterVec {
    fn open(row: Option<&Row>, registry: &Registry) -> prometheus::Result<Self> {
        let row = present(row)?;
        let family = Self::new(Opts::new(row.name, row.help), row.labels)?;
        registry.register(Box::new(family.clone()))?;
        Ok(family)
    }
}

impl Family for CounterVec {
    fn open(row: Option<&Row>, registry: &Registry) -> prometheus::Result<Self> {
        let row = present(row)?;
        let family = Self::new(Opts::new(row.name, row.help), row.labels)?;
        registry.register(Box::new(family.clone()))?;
        Ok(family)
    }
}

impl Family for IntGaugeVec {
    fn open(row: Option<&Row>, registry: &Registry) -> prometheus::Result<Self> {
        let row = present(row)?;
        let family = Self::new(Opts::new(row.name, row.help), row.labels)?;
        registry.register(Box::new(family.clone()))?;
        Ok(family)
    }
}

impl Family for HistogramVec {
    fn open(row: Option<&Row>, registry: &Registry) -> prometheus::Result<Self> {
        let row = present(row)?;
        let opts = HistogramOpts::new(row.name, row.help).buckets(BUCKETS.to_vec());
        let family = Self::new(opts, row.labels)?;
        registry.register(Box::new(family.clone()))?;
        Ok(family)
    }
}

fn present(row: Option<&Row>) -> prometheus::Result<&Row> {
    row.ok_or_else(|| prometheus::Error::Msg("the table of metrics is shorter than its families".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The metrics line of VOCABULARY.md.
    const VOCABULARY: &str = "
        foreland_requests_total{listener,route,method,status} foreland_request_duration_seconds{route,outcome}
        foreland_response_bytes_total{route,outcome} foreland_connections{listener,protocol}
        foreland_tls_handshakes_total{listener,result}
        foreland_tls_certificate_not_after_seconds{listener,certificate}
        foreland_front_total{result} foreland_cache_requests_total{route,rule,outcome,reason}
        foreland_cache_not_stored_total{rule,reason} foreland_cache_bytes{tier} foreland_cache_objects{tier}
        foreland_cache_evictions_total{tier,reason} foreland_cache_fills{state}
        foreland_upstream_requests_total{upstream,server,result} foreland_upstream_duration_seconds{upstream}
        foreland_upstream_up{upstream,server} foreland_upstream_connections{upstream,server,state}
        foreland_compress_runs_total{coding,run} foreland_compress_seconds_total{coding,run}
        foreland_compress_bytes_total{coding,run,side} foreland_compress_shed_total{why}
        foreland_refused_total{reason} foreland_purges_total{kind} foreland_config_generation
        foreland_config_reloads_total{result} foreland_build_info{version}";

    #[test]
    fn the_table_is_the_vocabulary() {
        let words = |row: &Row| match row.labels {
            [] => row.name.to_owned(),
            labels => format!("{}{{{}}}", row.name, labels.join(",")),
        };
        let table: Vec<String> = TABLE.iter().map(words).collect();
        assert_eq!(table, VOCABULARY.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn every_family_of_the_table_can_be_registered() {
        Families::register(&Registry::new()).unwrap();
    }

    #[test]
    fn names_end_as_prometheus_wants_them() {
        for row in TABLE {
            let total = row.name.ends_with("_total");
            // A moment is a gauge; any other time is a duration, of which there are many.
            let seconds = row.name.ends_with("_seconds") && !row.name.ends_with("_not_after_seconds");
            assert_eq!(total, matches!(row.shape, Shape::Counter | Shape::Seconds), "{}", row.name);
            assert_eq!(row.name.ends_with("_seconds_total"), row.shape == Shape::Seconds, "{}", row.name);
            assert_eq!(seconds, row.shape == Shape::Histogram, "{}", row.name);
            assert!(row.help.ends_with('.'), "{}", row.name);
        }
    }
}
