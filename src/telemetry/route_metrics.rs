//! Counts what became of the requests of one route, without looking up a label while it does.

use super::metrics::Totals;
use super::table::Families;
use crate::verdict::{
    BypassWhy, Kind, MissWhy, NotStored, Outcome, Reason, Refused, StaleWhy, Stored, Transport,
};
use parking_lot::RwLock;
use prometheus::{Histogram, IntCounter};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// The counters of one route behind one listener: each is resolved when it is first bumped, then only bumped.
pub struct RouteMetrics {
    families: Arc<Families>,
    totals: Arc<Totals>,
    listener: Box<str>,
    route: Box<str>,
    requests: [[OnceLock<IntCounter>; CLASSES.len()]; METHODS.len()],
    kinds: [OnceLock<KindCells>; Kind::ALL.len()],
    no_rule: RuleCells,
    /// Rules that have decided something here.
    rules: RwLock<HashMap<Box<str>, RuleCells>>,
}

impl RouteMetrics {
    pub(super) fn new(families: Arc<Families>, totals: Arc<Totals>, listener: &str, route: &str) -> Self {
        Self {
            families,
            totals,
            listener: listener.into(),
            route: route.into(),
            requests: [const { [const { OnceLock::new() }; CLASSES.len()] }; METHODS.len()],
            kinds: [const { OnceLock::new() }; Kind::ALL.len()],
            no_rule: RuleCells::new(""),
            rules: RwLock::default(),
        }
    }

    /// Counts everything a finished request owes; call it once, with the final outcome.
    ///
    /// A background refresh is no client's
    /// request: of it only "not stored" is counted, so that it cannot shift a hit ratio.
    pub fn record(&self, method: &str, outcome: &Outcome) {
        let rule = outcome.rule.as_deref().unwrap_or("");
        if let Some(Stored::No(why)) = outcome.stored {
            self.not_stored(rule, why);
        }
        if outcome.transport == Transport::Refresh {
            return;
        }
        self.request(method, outcome.status).inc();
        let kind = self.kind(outcome.kind);
        kind.duration.observe(outcome.duration.as_secs_f64());
        kind.bytes.inc_by(outcome.bytes_out);
        self.cache_request(rule, outcome);
        if let Reason::Refused(why) = outcome.reason {
            self.totals.refused(why);
        }
    }

    fn request(&self, method: &str, status: u16) -> &IntCounter {
        let (method, class) = (method_index(method), class_index(status));
        self.requests[method][class].get_or_init(|| {
            let labels = [&*self.listener, &*self.route, METHODS[method], CLASSES[class]];
            self.families.requests.with_label_values(&labels)
        })
    }

    fn kind(&self, kind: Kind) -> &KindCells {
        self.kinds[kind.index()].get_or_init(|| {
            let labels = [&*self.route, kind.as_str()];
            KindCells {
                duration: self.families.request_duration.with_label_values(&labels),
                bytes: self.families.response_bytes.with_label_values(&labels),
            }
        })
    }

    fn cache_request(&self, rule: &str, outcome: &Outcome) {
        self.with_rule(rule, |cells| {
            let reasons = cells.kinds[outcome.kind.index()].get_or_init(Box::default);
            let cell = &reasons.0[reason_index(outcome.reason)];
            cell.get_or_init(|| {
                let labels = [&*self.route, &*cells.rule, outcome.kind.as_str(), outcome.reason.as_str()];
                self.families.cache_requests.with_label_values(&labels)
            })
            .inc();
        });
    }

    /// Rare beside a request, so the one lookup by label is affordable where a rule is named.
    fn not_stored(&self, rule: &str, why: NotStored) {
        match rule {
            "" => self.totals.not_stored(why),
            rule => self.families.cache_not_stored.with_label_values(&[rule, why.as_str()]).inc(),
        }
    }

    fn with_rule(&self, rule: &str, bump: impl Fn(&RuleCells)) {
        if rule.is_empty() {
            return bump(&self.no_rule);
        }
        if let Some(cells) = self.rules.read().get(rule) {
            return bump(cells);
        }
        bump(self.rules.write().entry(rule.into()).or_insert_with(|| RuleCells::new(rule)));
    }
}

/// The closed list of methods; whatever else a client makes up is `other`.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other"];

/// Classes of status; `none` is a client that left before an answer.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

const REASONS: usize =
    1 + MissWhy::ALL.len() + BypassWhy::ALL.len() + StaleWhy::ALL.len() + Refused::ALL.len();

/// What is counted for each outcome of a route.
struct KindCells {
    duration: Histogram,
    bytes: IntCounter,
}

/// What is counted for each outcome and reason under one rule.
struct RuleCells {
    rule: Box<str>,
    /// Most routes see few outcomes: the row of reasons is made for those that happen.
    kinds: [OnceLock<Box<ReasonCells>>; Kind::ALL.len()],
}

struct ReasonCells([OnceLock<IntCounter>; REASONS]);

impl RuleCells {
    fn new(rule: &str) -> Self {
        Self { rule: rule.into(), kinds: [const { OnceLock::new() }; Kind::ALL.len()] }
    }
}

impl Default for ReasonCells {
    fn default() -> Self {
        Self([const { OnceLock::new() }; REASONS])
    }
}

fn method_index(method: &str) -> usize {
    let known = &METHODS[..METHODS.len() - 1];
    known.iter().position(|known| *known == method).unwrap_or(known.len())
}

/// RFC 9110 §15: a status that is not 100-599 is to be treated as a 5xx; 0 is ours, for "none was sent".
fn class_index(status: u16) -> usize {
    match status {
        0 => 0,
        100..=599 => usize::from(status / 100),
        _ => 5,
    }
}

fn reason_index(reason: Reason) -> usize {
    const MISS: usize = 1;
    const BYPASS: usize = MISS + MissWhy::ALL.len();
    const STALE: usize = BYPASS + BypassWhy::ALL.len();
    const REFUSED: usize = STALE + StaleWhy::ALL.len();
    match reason {
        Reason::None => 0,
        Reason::Miss(why) => MISS + why.index(),
        Reason::Bypass(why) => BYPASS + why.index(),
        Reason::Stale(why) => STALE + why.index(),
        Reason::Refused(why) => REFUSED + why.index(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;
    use std::time::Duration;

    fn outcome(kind: Kind, reason: Reason) -> Outcome {
        let mut outcome = Outcome::new(Transport::Front, kind, reason);
        outcome.status = 200;
        outcome.bytes_out = 612;
        outcome.duration = Duration::from_micros(200);
        outcome
    }

    fn ruled(outcome: Outcome, rule: &str) -> Outcome {
        Outcome { rule: Some(rule.into()), ..outcome }
    }

    #[test]
    fn a_hit_is_counted_wherever_it_belongs() {
        let metrics = Metrics::new();
        let route = metrics.route("0.0.0.0:8080", "www");
        route.record("GET", &ruled(outcome(Kind::Hit, Reason::None), "assets"));
        route.record("GET", &ruled(outcome(Kind::Hit, Reason::None), "assets"));
        let text = metrics.encode();
        for line in [
            "foreland_requests_total{listener=\"0.0.0.0:8080\",method=\"GET\",route=\"www\",status=\"2xx\"} 2\n",
            "foreland_response_bytes_total{outcome=\"hit\",route=\"www\"} 1224\n",
            "foreland_request_duration_seconds_bucket{outcome=\"hit\",route=\"www\",le=\"0.0001\"} 0\n",
            "foreland_request_duration_seconds_bucket{outcome=\"hit\",route=\"www\",le=\"0.00025\"} 2\n",
            "foreland_request_duration_seconds_sum{outcome=\"hit\",route=\"www\"} 0.0004\n",
            "foreland_cache_requests_total{outcome=\"hit\",reason=\"\",route=\"www\",rule=\"assets\"} 2\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn a_reason_is_the_label_it_is_in_the_log() {
        let metrics = Metrics::new();
        let route = metrics.route("l", "r");
        let mut miss = outcome(Kind::Miss, Reason::Miss(MissWhy::Expired));
        miss.stored = Some(Stored::No(NotStored::SetCookie));
        route.record("GET", &miss);
        route.record("GET", &ruled(miss, "pages"));
        let text = metrics.encode();
        for line in [
            "foreland_cache_requests_total{outcome=\"miss\",reason=\"expired\",route=\"r\",rule=\"\"} 1\n",
            "foreland_cache_requests_total{outcome=\"miss\",reason=\"expired\",route=\"r\",rule=\"pages\"} 1\n",
            "foreland_cache_not_stored_total{reason=\"set_cookie\",rule=\"\"} 1\n",
            "foreland_cache_not_stored_total{reason=\"set_cookie\",rule=\"pages\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn a_refused_request_is_counted_as_refused_once() {
        let metrics = Metrics::new();
        let mut refused = outcome(Kind::Answer, Reason::Refused(Refused::RateLimited));
        refused.status = 429;
        metrics.route("l", "").record("GET", &refused);
        let text = metrics.encode();
        assert!(text.contains("foreland_refused_total{reason=\"rate_limited\"} 1\n"), "{text}");
        assert!(text.contains("status=\"4xx\"} 1\n"), "{text}");
    }

    #[test]
    fn a_background_refresh_is_not_a_request_of_a_client() {
        let metrics = Metrics::new();
        let mut refresh = outcome(Kind::Revalidated, Reason::None);
        refresh.transport = Transport::Refresh;
        refresh.stored = Some(Stored::No(NotStored::NoStore));
        metrics.route("l", "r").record("GET", &refresh);
        let text = metrics.encode();
        assert!(!text.contains("foreland_requests_total{"), "{text}");
        assert!(
            text.contains("foreland_cache_not_stored_total{reason=\"no_store\",rule=\"\"} 1\n"),
            "{text}"
        );
    }

    #[test]
    fn an_invented_method_is_other_and_an_odd_status_has_a_class() {
        for (status, class) in
            [(0, "none"), (100, "1xx"), (399, "3xx"), (499, "4xx"), (600, "5xx"), (99, "5xx")]
        {
            assert_eq!(CLASSES[class_index(status)], class, "{status}");
        }
        for (method, label) in
            [("GET", "GET"), ("OPTIONS", "OPTIONS"), ("get", "other"), ("BREW", "other"), ("", "other")]
        {
            assert_eq!(METHODS[method_index(method)], label, "{method}");
        }
    }

    #[test]
    fn no_two_reasons_share_a_counter() {
        let mut indices = vec![reason_index(Reason::None)];
        indices.extend(MissWhy::ALL.iter().map(|why| reason_index(Reason::Miss(*why))));
        indices.extend(BypassWhy::ALL.iter().map(|why| reason_index(Reason::Bypass(*why))));
        indices.extend(StaleWhy::ALL.iter().map(|why| reason_index(Reason::Stale(*why))));
        indices.extend(Refused::ALL.iter().map(|why| reason_index(Reason::Refused(*why))));
        assert_eq!(indices, (0..REASONS).collect::<Vec<_>>());
    }

    #[test]
    fn two_plans_count_into_the_same_series() {
        let metrics = Metrics::new();
        let hit = outcome(Kind::Hit, Reason::None);
        metrics.route("l", "r").record("GET", &hit);
        metrics.route("l", "r").record("GET", &hit);
        assert!(metrics.encode().contains("status=\"2xx\"} 2\n"));
    }
}
