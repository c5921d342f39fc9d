//! The `Cache-Status` field (RFC 9211): the outcome of a request in the words of log and metrics.

use crate::http::cache_status::CacheStatus;
use crate::verdict::{BypassWhy, Kind, MissWhy, NotStored, Outcome, Reason, Stored};

/// Writes the field's value; nothing for answers in which the cache had no part. Only a `trusted` client learns the
/// names of rules.
pub fn cache_status(outcome: &Outcome, origin_status: Option<u16>, trusted: bool, out: &mut Vec<u8>) {
    if matches!(outcome.kind, Kind::Answer | Kind::File) {
        return;
    }
    let rule = outcome.rule.as_deref().filter(|_| trusted && is_for_a_rule(outcome));
    let named = rule.map(|rule| format!("rule:{rule}"));
    let from_store = outcome.kind == Kind::Hit || (outcome.kind == Kind::Stale && !was_forwarded(outcome));
    CacheStatus {
        hit: from_store,
        fwd: if from_store { None } else { Some(forwarded(outcome)) },
        fwd_status: if from_store { None } else { origin_status.filter(|_| tells_status(outcome)) },
        stored: outcome.stored == Some(Stored::Yes),
        collapsed: outcome.kind == Kind::Collapsed,
        ttl: if from_store { outcome.ttl } else { None },
        detail: named.as_deref().or(detail(outcome)),
        key: None,
    }
    .write(out);
}

/// Whether a rule is what the detail is about.
fn is_for_a_rule(outcome: &Outcome) -> bool {
    outcome.reason == Reason::Bypass(BypassWhy::Rule) || outcome.stored == Some(Stored::No(NotStored::Rule))
}

/// Whether a stale answer was given only after the origin had been asked.
fn was_forwarded(outcome: &Outcome) -> bool {
    use crate::verdict::StaleWhy::{Asked, Revalidating};
    !matches!(outcome.reason, Reason::Stale(Revalidating | Asked))
}

/// A status that differs from what the client gets is worth telling (RFC 9211 §2.3).
fn tells_status(outcome: &Outcome) -> bool {
    matches!(outcome.kind, Kind::Stale | Kind::Revalidated)
}

/// RFC 9211 §2.2.
fn forwarded(outcome: &Outcome) -> &'static str {
    match (outcome.kind, outcome.reason) {
        (Kind::Bypass, Reason::Bypass(BypassWhy::Method)) => "method",
        (Kind::Bypass, _) => "bypass",
        (_, Reason::Miss(MissWhy::RequestNoCache)) => "request",
        (Kind::Stale | Kind::Revalidated, _) | (_, Reason::Miss(MissWhy::Expired)) => "stale",
        (_, Reason::Miss(MissWhy::Vary)) => "vary-miss",
        _ => "uri-miss",
    }
}

fn detail(outcome: &Outcome) -> Option<&'static str> {
    match (outcome.kind, outcome.reason, outcome.stored) {
        (Kind::HitForMiss, ..) => Some("hit_for_miss"),
        (Kind::Bypass, Reason::Bypass(BypassWhy::Method), _) => None,
        (_, Reason::Bypass(why), _) => Some(why.as_str()),
        (_, Reason::Stale(why), _) => Some(why.as_str()),
        (_, _, Some(Stored::No(why))) => Some(why.as_str()),
        (_, Reason::Miss(MissWhy::Purged), _) => Some("purged"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{StaleWhy, Transport};

    #[test]
    fn only_a_trusted_client_learns_the_name_of_a_rule() {
        let mut outcome = Outcome::new(Transport::Proxy, Kind::Bypass, Reason::Bypass(BypassWhy::Rule));
        outcome.rule = Some("private".into());
        for (trusted, expected) in [
            (true, "Foreland; fwd=bypass; detail=rule:private"),
            (false, "Foreland; fwd=bypass; detail=rule"),
        ] {
            let mut out = Vec::new();
            cache_status(&outcome, None, trusted, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn every_outcome_has_its_words() {
        let line = |kind, reason, stored, ttl, origin| {
            let mut outcome = Outcome::new(Transport::Proxy, kind, reason);
            outcome.stored = stored;
            outcome.ttl = ttl;
            let mut out = Vec::new();
            cache_status(&outcome, origin, false, &mut out);
            String::from_utf8(out).unwrap()
        };
        let no = |why| Some(Stored::No(why));
        let stale = Reason::Stale;
        for (got, expected) in [
            (line(Kind::Hit, Reason::None, None, Some(52), None), "Foreland; hit; ttl=52"),
            (
                line(Kind::Miss, Reason::Miss(MissWhy::Absent), Some(Stored::Yes), None, Some(200)),
                "Foreland; fwd=uri-miss; stored",
            ),
            (
                line(Kind::Miss, Reason::Miss(MissWhy::Absent), no(NotStored::SetCookie), None, Some(200)),
                "Foreland; fwd=uri-miss; detail=set_cookie",
            ),
            (
                line(Kind::Stale, stale(StaleWhy::Origin5xx), None, Some(-3), Some(502)),
                "Foreland; fwd=stale; fwd-status=502; detail=origin_5xx",
            ),
            (
                line(Kind::Stale, stale(StaleWhy::Revalidating), None, Some(-3), None),
                "Foreland; hit; ttl=-3; detail=revalidating",
            ),
            (
                line(Kind::Revalidated, Reason::Miss(MissWhy::Expired), Some(Stored::Yes), None, Some(304)),
                "Foreland; fwd=stale; fwd-status=304; stored",
            ),
            (
                line(
                    Kind::Revalidated,
                    Reason::Miss(MissWhy::RequestNoCache),
                    Some(Stored::Yes),
                    None,
                    Some(304),
                ),
                "Foreland; fwd=request; fwd-status=304; stored",
            ),
            (
                line(Kind::Collapsed, Reason::Miss(MissWhy::Absent), None, None, None),
                "Foreland; fwd=uri-miss; collapsed",
            ),
            (
                line(Kind::HitForMiss, Reason::Miss(MissWhy::Absent), no(NotStored::NoStore), None, None),
                "Foreland; fwd=uri-miss; detail=hit_for_miss",
            ),
            (line(Kind::Bypass, Reason::Bypass(BypassWhy::Method), None, None, None), "Foreland; fwd=method"),
            (
                line(Kind::Bypass, Reason::Bypass(BypassWhy::Upgrade), None, None, None),
                "Foreland; fwd=bypass; detail=upgrade",
            ),
            (line(Kind::Answer, Reason::None, None, None, None), ""),
        ] {
            assert_eq!(got, expected);
        }
    }
}
