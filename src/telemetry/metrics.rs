//! The numbers an operator reads at `/metrics`, and the handles through which they are counted.

use super::compress_metrics::{CompressCounters, CompressMetrics, Run, Why};
use super::listener_metrics::ListenerMetrics;
use super::route_metrics::RouteMetrics;
use super::server_metrics::ServerMetrics;
use super::table::Families;
use crate::http::accept_encoding::Coding;
use crate::verdict::{Declined, Kind, NotStored, Refused};
use parking_lot::Mutex;
use prometheus::{Histogram, IntCounter, IntCounterVec, Registry, TextEncoder};
use std::sync::Arc;

/// A collector: sets what somebody else owns (sizes, totals), right before a scrape is answered.
type Collector = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Every metric of one process. There is one, made at start, and it outlives every configuration.
pub struct Metrics {
    registry: Registry,
    families: Arc<Families>,
    totals: Arc<Totals>,
    compress: CompressMetrics,
    collectors: Mutex<Vec<Collector>>,
}

/// Counters whose labels come from closed lists, resolved once at start.
pub(super) struct Totals {
    front_answered: [IntCounter; Kind::ALL.len()],
    front_declined: [IntCounter; Declined::ALL.len()],
    refused: [IntCounter; Refused::ALL.len()],
    not_stored: [IntCounter; NotStored::ALL.len()],
}

/// What became of an attempt to load a new configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It was refused, and the old one stayed in force.
    Error,
    /// It is in force.
    Ok,
}

impl Metrics {
    /// All metrics, at zero.
    #[expect(clippy::expect_used, reason = "the table is constant and a test registers all of it")]
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        // proof: registering fails only for a bad or repeated name, and `table.rs` tests the constant table.
        let families = Families::register(&registry).expect("the table of metrics is sound");
        families.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        families.config_generation.with_label_values::<&str>(&[]).set(0);
        let totals = Arc::new(Totals::resolve(&families));
        let compress = CompressMetrics::resolve(&families.compress_shed);
        Arc::new(Self {
            registry,
            families: Arc::new(families),
            totals,
            compress,
            collectors: Mutex::default(),
        })
    }

    /// The handle for requests of one route through one listener; resolved when a plan is built.
    ///
    /// A request that found no route, or was refused before one was looked for, goes to the route named `""`.
    pub fn route(&self, listener: &str, route: &str) -> Arc<RouteMetrics> {
        Arc::new(RouteMetrics::new(self.families.clone(), self.totals.clone(), listener, route))
    }

    /// The handle for connections of one listener.
    pub fn listener(&self, listener: &str) -> Arc<ListenerMetrics> {
        Arc::new(ListenerMetrics::new(self.families.clone(), listener))
    }

    /// The handle for one server of a cluster.
    pub fn server(&self, upstream: &str, server: &str) -> Arc<ServerMetrics> {
        Arc::new(ServerMetrics::new(&self.families, upstream, server))
    }

    /// Removes what is shown of a server that has left its cluster; handles to it count into the void from now on.
    pub fn forget_server(&self, upstream: &str, server: &str) {
        ServerMetrics::forget(&self.families, upstream, server);
    }

    /// Where to observe, in seconds, how long a cluster takes to the head of its response.
    pub fn upstream_duration(&self, upstream: &str) -> Histogram {
        self.families.upstream_duration.with_label_values(&[upstream])
    }

    /// Counts what the front did with a request: answered it, or declined it for a reason.
    pub fn front(&self, result: Result<Kind, Declined>) {
        match result {
            Ok(kind) => self.totals.front_answered[kind.index()].inc(),
            Err(why) => self.totals.front_declined[why.index()].inc(),
        }
    }

    /// The handle for bodies of one compression in one use.
    pub fn compress(&self, coding: Coding, run: Run) -> &CompressCounters {
        self.compress.counters(&self.families, coding, run)
    }

    /// Counts a body that was not compressed because that would have cost too much then.
    pub fn compress_shed(&self, why: Why) {
        self.compress.shed(why);
    }

    /// Counts a refusal that does not end in [`RouteMetrics::record`], such as one connection too many.
    pub fn refused(&self, why: Refused) {
        self.totals.refused(why);
    }

    /// Counts a response that was not stored and does not end in [`RouteMetrics::record`].
    pub fn not_stored(&self, why: NotStored) {
        self.totals.not_stored(why);
    }

    /// Counts a purge that was carried out; `kind` is one of a few words of ours, such as `url`.
    pub fn purged(&self, kind: &'static str) {
        self.families.purges.with_label_values(&[kind]).inc();
    }

    /// Sets the number of the configuration in force.
    pub fn generation(&self, number: u64) {
        self.families.config_generation.with_label_values::<&str>(&[]).set(gauge(number));
    }

    /// Counts an attempt to load a new configuration.
    pub fn reload(&self, result: Reload) {
        self.families.config_reloads.with_label_values(&[result.as_str()]).inc();
    }

    /// Adds a collector, run before each scrape is answered. It may call the `set_` functions, and bump handles.
    pub fn on_scrape(&self, collector: Box<dyn Fn(&Self) + Send + Sync>) {
        self.collectors.lock().push(collector);
    }

    /// Sets the bytes that a tier's objects take.
    pub fn set_cache_bytes(&self, tier: &str, bytes: u64) {
        self.families.cache_bytes.with_label_values(&[tier]).set(gauge(bytes));
    }

    /// Sets the number of objects in a tier.
    pub fn set_cache_objects(&self, tier: &str, objects: u64) {
        self.families.cache_objects.with_label_values(&[tier]).set(gauge(objects));
    }

    /// Sets how many objects a tier has ever evicted for a reason; never goes down.
    pub fn set_cache_evictions(&self, tier: &str, reason: &str, total: u64) {
        raise(&self.families.cache_evictions, &[tier, reason], total);
    }

    /// Sets when the certificates end that are served now, each by its listener, its name and its end in seconds since
    /// 1970; those of before are no longer shown. Of two with one name the one that ends first counts.
    pub fn set_certificates(&self, certificates: &[(&str, &str, i64)]) {
        let family = &self.families.tls_not_after;
        family.reset();
        for (listener, name, not_after) in certificates {
            let gauge = family.with_label_values(&[listener, name]);
            let before = gauge.get();
            gauge.set(if before == 0 { *not_after } else { before.min(*not_after) });
        }
    }

    /// Sets how many fills are in a state.
    pub fn set_cache_fills(&self, state: &str, fills: u64) {
        self.families.cache_fills.with_label_values(&[state]).set(gauge(fills));
    }

    /// Everything, in the Prometheus text format.
    pub fn encode(&self) -> String {
        // The lock is held to the end: two scrapes at once must not both raise a counter.
        let collectors = self.collectors.lock();
        collectors.iter().for_each(|collect| collect(self));
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            log::error!("metrics could not be encoded: {error}");
            String::new()
        })
    }
}

impl Reload {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Ok => "ok",
        }
    }
}

impl Totals {
    /// The front never answers stale, so the word `stale`, which both lists have, always means "declined".
    fn resolve(families: &Families) -> Self {
        let front = |word: &str| families.front.with_label_values(&[word]);
        Self {
            front_answered: std::array::from_fn(|i| front(Kind::ALL[i].as_str())),
            front_declined: std::array::from_fn(|i| front(Declined::ALL[i].as_str())),
            refused: std::array::from_fn(|i| families.refused.with_label_values(&[Refused::ALL[i].as_str()])),
            not_stored: std::array::from_fn(|i| {
                families.cache_not_stored.with_label_values(&["", NotStored::ALL[i].as_str()])
            }),
        }
    }

    pub(super) fn refused(&self, why: Refused) {
        self.refused[why.index()].inc();
    }

    pub(super) fn not_stored(&self, why: NotStored) {
        self.not_stored[why.index()].inc();
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Raises a counter to a total that somebody else keeps.
fn raise(family: &IntCounterVec, labels: &[&str], total: u64) {
    let counter = family.with_label_values(labels);
    counter.inc_by(total.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_counts_answers_by_outcome_and_the_rest_by_reason() {
        let metrics = Metrics::new();
        metrics.front(Ok(Kind::Hit));
        metrics.front(Ok(Kind::Hit));
        metrics.front(Err(Declined::Range));
        let text = metrics.encode();
        assert!(text.contains("foreland_front_total{result=\"hit\"} 2\n"), "{text}");
        assert!(text.contains("foreland_front_total{result=\"range\"} 1\n"), "{text}");
    }

    #[test]
    fn what_others_own_is_collected_right_before_each_scrape() {
        let metrics = Metrics::new();
        let total = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let owner = total.clone();
        metrics.on_scrape(Box::new(move |metrics| {
            let now = owner.fetch_add(5, std::sync::atomic::Ordering::Relaxed) + 5;
            metrics.set_cache_bytes("ram", now * 100);
            metrics.set_cache_objects("ram", now);
            metrics.set_cache_evictions("ram", "size", now);
            metrics.set_cache_fills("running", 2);
        }));
        assert!(
            metrics.encode().contains("foreland_cache_evictions_total{reason=\"size\",tier=\"ram\"} 5\n")
        );
        let text = metrics.encode();
        assert!(text.contains("foreland_cache_evictions_total{reason=\"size\",tier=\"ram\"} 10\n"), "{text}");
        assert!(text.contains("foreland_cache_bytes{tier=\"ram\"} 1000\n"), "{text}");
        assert!(text.contains("foreland_cache_objects{tier=\"ram\"} 10\n"), "{text}");
        assert!(text.contains("foreland_cache_fills{state=\"running\"} 2\n"), "{text}");
    }

    #[test]
    fn a_total_that_falls_leaves_its_counter_where_it_was() {
        let metrics = Metrics::new();
        metrics.set_cache_evictions("ram", "size", 7);
        metrics.set_cache_evictions("ram", "size", 3);
        assert!(metrics.encode().contains("tier=\"ram\"} 7\n"));
    }

    #[test]
    fn refusals_purges_and_reloads_are_counted() {
        let metrics = Metrics::new();
        metrics.refused(Refused::TooManyConnections);
        metrics.not_stored(NotStored::SetCookie);
        metrics.purged("url");
        metrics.generation(13);
        metrics.reload(Reload::Ok);
        metrics.reload(Reload::Error);
        let text = metrics.encode();
        for line in [
            "foreland_refused_total{reason=\"too_many_connections\"} 1\n",
            "foreland_cache_not_stored_total{reason=\"set_cookie\",rule=\"\"} 1\n",
            "foreland_purges_total{kind=\"url\"} 1\n",
            "foreland_config_generation 13\n",
            "foreland_config_reloads_total{result=\"ok\"} 1\n",
            "foreland_config_reloads_total{result=\"error\"} 1\n",
            concat!("foreland_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n"),
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn only_certificates_that_are_served_are_shown_and_of_one_name_the_first_to_end() {
        let metrics = Metrics::new();
        metrics.set_certificates(&[(":8443", "a.example", 20), (":8443", "old.example", 5)]);
        metrics.set_certificates(&[(":8443", "a.example", 20), (":8443", "a.example", 10)]);
        let text = metrics.encode();
        let line =
            "foreland_tls_certificate_not_after_seconds{certificate=\"a.example\",listener=\":8443\"} 10\n";
        assert!(text.contains(line) && !text.contains("old.example"), "{text}");
    }

    #[test]
    fn two_processes_worth_of_metrics_do_not_meet() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.refused(Refused::Denied);
        assert!(other.encode().contains("foreland_refused_total{reason=\"denied\"} 0\n"));
    }
}
