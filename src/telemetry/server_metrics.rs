//! Counts what is asked of one server of a cluster, and shows whether it is up.

use super::table::Families;
use prometheus::{IntCounter, IntGauge};

/// The numbers of one server.
pub struct ServerMetrics {
    /// Tries that ended with a response.
    pub ok: IntCounter,
    /// Tries that ended without one: refused, timed out, cut off, not HTTP.
    pub error: IntCounter,
    /// 1 while the server is in rotation, 0 while it is not; set by whoever keeps its health, at the start too.
    pub up: IntGauge,
    /// Connections that carry a request now.
    pub active: IntGauge,
}

impl ServerMetrics {
    pub(super) fn new(families: &Families, upstream: &str, server: &str) -> Self {
        let result = |result| families.upstream_requests.with_label_values(&[upstream, server, result]);
        let state = |state| families.upstream_connections.with_label_values(&[upstream, server, state]);
        // `up` stays as it is: a reload resolves the handle of a server again, and that heals nothing.
        let up = families.upstream_up.with_label_values(&[upstream, server]);
        Self { ok: result(OK), error: result(ERROR), up, active: state(ACTIVE) }
    }

    /// Removes every series of the server. One that is already gone is no error.
    pub(super) fn forget(families: &Families, upstream: &str, server: &str) {
        let _ = families.upstream_up.remove_label_values(&[upstream, server]);
        for result in [OK, ERROR] {
            let _ = families.upstream_requests.remove_label_values(&[upstream, server, result]);
        }
        let _ = families.upstream_connections.remove_label_values(&[upstream, server, ACTIVE]);
    }
}

const OK: &str = "ok";
const ERROR: &str = "error";
const ACTIVE: &str = "active";

#[cfg(test)]
mod tests {
    use crate::telemetry::Metrics;

    #[test]
    fn a_server_shows_its_tries_its_health_and_its_connections() {
        let metrics = Metrics::new();
        let server = metrics.server("app", "10.0.0.1:8080");
        server.ok.inc();
        server.error.inc_by(2);
        server.up.set(0);
        server.active.set(3);
        metrics.upstream_duration("app").observe(0.02);
        let text = metrics.encode();
        for line in [
            "foreland_upstream_requests_total{result=\"ok\",server=\"10.0.0.1:8080\",upstream=\"app\"} 1\n",
            "foreland_upstream_requests_total{result=\"error\",server=\"10.0.0.1:8080\",upstream=\"app\"} 2\n",
            "foreland_upstream_up{server=\"10.0.0.1:8080\",upstream=\"app\"} 0\n",
            "foreland_upstream_connections{server=\"10.0.0.1:8080\",state=\"active\",upstream=\"app\"} 3\n",
            "foreland_upstream_duration_seconds_count{upstream=\"app\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn a_server_that_is_down_stays_down_through_a_reload() {
        let metrics = Metrics::new();
        metrics.server("app", "a:1").up.set(1);
        assert_eq!(metrics.server("app", "a:1").up.get(), 1);
        metrics.server("app", "a:1").up.set(0);
        assert_eq!(metrics.server("app", "a:1").up.get(), 0);
    }

    #[test]
    fn a_server_that_left_is_no_longer_shown() {
        let metrics = Metrics::new();
        let _server = metrics.server("app", "10.0.0.1:8080");
        metrics.forget_server("app", "10.0.0.1:8080");
        metrics.forget_server("app", "never seen");
        assert!(!metrics.encode().contains("10.0.0.1:8080"));
    }
}
