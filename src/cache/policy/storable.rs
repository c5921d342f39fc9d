//! Whether a response may be stored, and the first reason why not.

use super::freshness;
use super::{Defaults, Exchange, Lifetime, LifetimeSource, Override};
use crate::http::cache_control::{self, CacheControl};
use crate::http::vary::{self, Vary};
use crate::verdict::NotStored;

/// May this response be stored by a shared cache, and for how long is it good (RFC 9111 §3)? `rule` is what cache rules
/// change.
pub fn storable(
    exchange: &Exchange<'_>,
    defaults: &Defaults,
    rule: &Override,
) -> Result<Lifetime, NotStored> {
    let cc = rule.heed(cache_control::parse(exchange.response.fields.all("cache-control")));
    let life = freshness::lifetime(exchange, &cc, defaults, rule);
    let case = Case { exchange, cc, life, rule };
    match REFUSALS.iter().find_map(|refuse| refuse(&case)) {
        Some(why) => Err(why),
        None => Ok(life),
    }
}

/// Whether a status may be stored without any word from the origin that it may (RFC 9110 §15.1, RFC 7725 §3). 206 is
/// on the RFC's list and not on ours: we store no parts.
pub fn cacheable_by_default(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 451 | 501)
}

/// What the refusals look at.
struct Case<'a> {
    exchange: &'a Exchange<'a>,
    /// What the rule leaves of the response's Cache-Control.
    cc: CacheControl,
    life: Lifetime,
    rule: &'a Override,
}

/// RFC 9111 §3, clause by clause. The first that objects gives the reason, so what no setting of the origin's could
/// change stands first, what the origin asked for next, and what it left out last.
const REFUSALS: [fn(&Case<'_>) -> Option<NotStored>; 13] = [
    method,
    partial,
    status_never,
    refused_by_rule,
    status_not_understood,
    request_no_store,
    no_store,
    private,
    set_cookie,
    authorization,
    vary_star,
    status_not_allowed,
    no_lifetime,
];

/// RFC 9111 §3: the method is understood, and defines what may be stored. Only what GET fetched has a body to store.
fn method(case: &Case<'_>) -> Option<NotStored> {
    (case.exchange.request.method != "GET").then_some(NotStored::Status)
}

/// RFC 9111 §3.3: a 206 is a part of something; we do not combine parts.
fn partial(case: &Case<'_>) -> Option<NotStored> {
    (case.exchange.response.status == 206).then_some(NotStored::Partial)
}

/// RFC 9111 §3: the status is final, and its response is about the resource rather than about this one request.
fn status_never(case: &Case<'_>) -> Option<NotStored> {
    never_stored(case.exchange.response.status).then_some(NotStored::Status)
}

/// RFC 9111 §3: a cache may always decline to store. Above everything that could be set right elsewhere: whoever asks why
/// shall see the rule, and an attempt at deception shall not hide behind the no-store of an error page.
fn refused_by_rule(case: &Case<'_>) -> Option<NotStored> {
    case.rule.refuse
}

/// RFC 9111 §5.2.2.3: under must-understand only a status whose caching we know.
fn status_not_understood(case: &Case<'_>) -> Option<NotStored> {
    (case.cc.must_understand && !understood(case.exchange.response.status)).then_some(NotStored::Status)
}

/// RFC 9111 §5.2.1.5: no part of a request with no-store, nor of the response to it. A rule may have requests not heard:
/// theirs is no word of the origin's, and any client could keep a page out with it.
fn request_no_store(case: &Case<'_>) -> Option<NotStored> {
    if case.rule.ignore_request {
        return None;
    }
    let fields = case.exchange.request.fields;
    cache_control::parse(fields.all("cache-control")).no_store.then_some(NotStored::NoStore)
}

/// RFC 9111 §5.2.2.5; §5.2.2.3: ignored beside must-understand, for a status that we understand.
fn no_store(case: &Case<'_>) -> Option<NotStored> {
    (case.cc.no_store && !case.cc.must_understand).then_some(NotStored::NoStore)
}

/// RFC 9111 §5.2.2.7: not by a shared cache. With field names too, which the clause allows to take for all of it.
fn private(case: &Case<'_>) -> Option<NotStored> {
    case.cc.private.then_some(NotStored::Private)
}

/// RFC 9111 §7.3: storing a Set-Cookie is allowed and hands one user's session to the next; we refuse, unless a rule has
/// it taken out or says that this cookie is for everybody.
fn set_cookie(case: &Case<'_>) -> Option<NotStored> {
    if case.rule.strip_set_cookie || case.rule.ignore.set_cookie {
        return None;
    }
    case.exchange.response.fields.has("set-cookie").then_some(NotStored::SetCookie)
}

/// RFC 9111 §3.5: a request with credentials, unless the response allows sharing.
fn authorization(case: &Case<'_>) -> Option<NotStored> {
    let credentials = case.exchange.request.fields.has("authorization");
    (credentials && !case.life.shareable_with_credentials).then_some(NotStored::Authorization)
}

/// RFC 9111 §4.1: `Vary: *` never matches a later request. Nor does what is not a field name.
fn vary_star(case: &Case<'_>) -> Option<NotStored> {
    let vary = vary::parse(case.exchange.response.fields.all("vary"));
    (vary == Vary::Star).then_some(NotStored::VaryStar)
}

/// RFC 9111 §3, last clause: the status is cacheable by default, or the response says that it may be stored. So does a
/// rule that names the status and gives it a lifetime.
fn status_not_allowed(case: &Case<'_>) -> Option<NotStored> {
    let allowed = cacheable_by_default(case.exchange.response.status)
        || case.cc.public
        || case.life.source != LifetimeSource::None;
    (!allowed).then_some(NotStored::Status)
}

/// Nothing to gain: no lifetime is given (we guess none), or there is one, but it is over, no stale window is open, and
/// there is nothing to ask the origin with. Only a validator makes a no-cache response worth keeping.
fn no_lifetime(case: &Case<'_>) -> Option<NotStored> {
    let life = &case.life;
    let reach = u64::from(life.lifetime) + u64::from(life.while_revalidate.max(life.if_error));
    let usable = reach > u64::from(life.initial_age);
    let given = life.source != LifetimeSource::None || life.always_validate;
    let worth = given && (usable || has_validator(case));
    (!worth).then_some(NotStored::NoLifetime)
}

/// Statuses that are stored whatever the origin says: no.
fn never_stored(status: u16) -> bool {
    match status {
        // Not final, or not a status at all.
        0..=199 | 600.. => true,
        // RFC 9111 §4.3.4: a 304 updates what is stored, it is not stored itself.
        304 => true,
        // RFC 6585 §3-§6: must not be stored.
        428 | 429 | 431 | 511 => true,
        // About the connection, the preconditions, the range or the body of one request, not about the resource.
        407 | 408 | 412 | 416 | 417 | 421 | 425 | 426 => true,
        _ => false,
    }
}

/// Statuses whose caching requirements this file conforms to (RFC 9111 §5.2.2.3).
fn understood(status: u16) -> bool {
    cacheable_by_default(status)
        || matches!(status, 201 | 202 | 302 | 303 | 307 | 400 | 401 | 403 | 406 | 409 | 413 | 415 | 422)
        || matches!(status, 500 | 502 | 503 | 504)
}

fn has_validator(case: &Case<'_>) -> bool {
    let fields = case.exchange.response.fields;
    fields.has("etag") || fields.has("last-modified")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::fixture::{NOW_DATE, Trial, controlled, headers, rows};
    use crate::cache::policy::{ResponseView, storable};
    use crate::http::fields::Fields;
    use proptest::prelude::*;

    const HOUR: &[(&str, &str)] = &[("cache-control", "max-age=3600")];
    const EXPIRED: &[(&str, &str)] = &[("expires", "0")];

    fn refused(cache_control: &str) -> Option<NotStored> {
        controlled(cache_control).err()
    }

    /// Why a response with an hour of lifetime and this field is not stored.
    fn hour_and(name: &str, value: &str) -> Option<NotStored> {
        Trial::get(&[("cache-control", "max-age=3600"), (name, value)]).refused()
    }

    /// Why a response to a request with credentials is not stored.
    fn with_credentials(cache_control: &str) -> Option<NotStored> {
        Trial::get(&[("cache-control", cache_control)]).asked(&[("authorization", "Basic eA==")]).refused()
    }

    fn status(status: u16, cache_control: &str) -> Option<NotStored> {
        Trial::get(&[("cache-control", cache_control), ("etag", "\"a\"")]).status(status).refused()
    }

    rows! {
        // RFC 9111 §3: method and status
        a_fresh_response_to_a_get_is_stored: Trial::get(HOUR).refused() => None;
        a_response_to_a_post_is_not_stored: Trial::method("POST", HOUR).refused() => Some(NotStored::Status);
        a_response_to_a_head_has_no_body_to_store: Trial::method("HEAD", HOUR).refused() => Some(NotStored::Status);
        a_response_to_an_unknown_method_is_not_stored:
            Trial::method("get", HOUR).refused() => Some(NotStored::Status);
        a_partial_response_is_never_stored: status(206, "max-age=3600") => Some(NotStored::Partial);
        a_304_is_never_stored: status(304, "max-age=3600") => Some(NotStored::Status);
        a_switch_of_protocols_is_not_stored: status(101, "max-age=3600") => Some(NotStored::Status);
        an_interim_response_is_not_stored: status(103, "max-age=3600") => Some(NotStored::Status);
        what_is_no_status_is_not_stored:
            [0, 99, 600, 999].map(|n| status(n, "max-age=3600")) => [Some(NotStored::Status); 4];
        statuses_that_rfc_6585_forbids_are_not_stored:
            [428, 429, 431, 511].map(|n| status(n, "public, max-age=3600")) => [Some(NotStored::Status); 4];
        a_refused_range_is_not_stored: status(416, "max-age=3600") => Some(NotStored::Status);
        a_failed_precondition_is_not_stored: status(412, "max-age=3600") => Some(NotStored::Status);
        a_misdirected_request_is_not_stored: status(421, "max-age=3600") => Some(NotStored::Status);
        statuses_that_are_cacheable_by_default_are_stored:
            [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 451, 501].map(|n| status(n, "max-age=3600")) => [None; 12];
        other_final_statuses_are_stored_with_a_lifetime:
            [299, 302, 303, 307, 400, 403, 499, 500, 502, 503, 504, 599].map(|n| status(n, "max-age=1")) => [None; 12];
        other_final_statuses_are_stored_with_a_shared_lifetime: status(302, "s-maxage=1") => None;
        other_final_statuses_are_stored_with_expires:
            Trial::get(&[("expires", "Sun, 06 Nov 1994 09:49:37 GMT")]).status(302).refused() => None;
        other_final_statuses_are_stored_if_public: status(302, "public, no-cache") => None;
        other_final_statuses_are_not_stored_without_a_word: status(302, "no-cache") => Some(NotStored::Status);
        a_server_error_is_not_stored_without_a_word: status(503, "no-cache") => Some(NotStored::Status);

        // RFC 9111 §5.2.2.3
        must_understand_lifts_no_store: refused("must-understand, no-store, max-age=60") => None;
        must_understand_refuses_a_status_we_do_not_know:
            status(599, "must-understand, max-age=60") => Some(NotStored::Status);
        must_understand_refuses_an_unknown_status_without_no_store_too:
            status(299, "must-understand, no-store, max-age=60") => Some(NotStored::Status);
        must_understand_does_not_lift_private:
            refused("must-understand, private, max-age=60") => Some(NotStored::Private);

        // RFC 9111 §5.2.1.5, §5.2.2.5, §5.2.2.7
        no_store_is_not_stored: refused("no-store, max-age=3600") => Some(NotStored::NoStore);
        no_store_in_a_second_line_counts:
            hour_and("cache-control", "no-store") => Some(NotStored::NoStore);
        directives_are_compared_without_case: refused("No-StOrE, max-age=3600") => Some(NotStored::NoStore);
        a_request_with_no_store_stores_nothing:
            Trial::get(HOUR).asked(&[("cache-control", "no-store")]).refused() => Some(NotStored::NoStore);
        private_is_not_stored: refused("private, max-age=3600") => Some(NotStored::Private);
        private_beats_public: refused("public, private, max-age=3600") => Some(NotStored::Private);
        private_beats_a_shared_lifetime: refused("private, s-maxage=3600") => Some(NotStored::Private);
        private_for_some_fields_is_private: refused("private=\"x\", max-age=3600") => Some(NotStored::Private);

        // RFC 9111 §7.3, §3.5
        a_response_that_sets_a_cookie_is_not_stored: hour_and("set-cookie", "a=b") => Some(NotStored::SetCookie);
        a_cookie_is_not_stored_even_if_public:
            Trial::get(&[("cache-control", "public, max-age=3600"), ("set-cookie", "a=b")]).refused()
                => Some(NotStored::SetCookie);
        a_response_to_credentials_is_not_stored: with_credentials("max-age=3600") => Some(NotStored::Authorization);
        public_shares_a_response_to_credentials: with_credentials("public, max-age=3600") => None;
        s_maxage_shares_a_response_to_credentials: with_credentials("s-maxage=3600") => None;
        must_revalidate_shares_a_response_to_credentials: with_credentials("must-revalidate, max-age=3600") => None;
        proxy_revalidate_does_not_share_a_response_to_credentials:
            with_credentials("proxy-revalidate, max-age=3600") => Some(NotStored::Authorization);

        // RFC 9111 §4.1
        vary_star_is_not_stored: hour_and("vary", "*") => Some(NotStored::VaryStar);
        a_star_among_names_is_a_star: hour_and("vary", "accept, *") => Some(NotStored::VaryStar);
        a_star_behind_an_empty_member_is_a_star: hour_and("vary", ", *") => Some(NotStored::VaryStar);
        a_vary_that_names_no_field_is_a_star: hour_and("vary", "accept encoding") => Some(NotStored::VaryStar);
        a_vary_of_names_is_stored: hour_and("vary", "accept, Accept-Language,") => None;

        // No heuristic: what is stored has a lifetime, or a reason to ask with
        nothing_said_is_not_stored: Trial::get(&[]).refused() => Some(NotStored::NoLifetime);
        public_alone_is_no_lifetime: refused("public") => Some(NotStored::NoLifetime);
        a_validator_alone_is_no_lifetime:
            Trial::get(&[("etag", "\"a\""), ("last-modified", NOW_DATE)]).refused() => Some(NotStored::NoLifetime);
        a_stale_window_alone_is_no_lifetime:
            refused("stale-if-error=600, stale-while-revalidate=600") => Some(NotStored::NoLifetime);
        no_cache_with_an_etag_is_stored: Trial::get(&[("cache-control", "no-cache"), ("etag", "\"a\"")]).refused() => None;
        no_cache_with_a_modification_date_is_stored:
            Trial::get(&[("cache-control", "no-cache"), ("last-modified", NOW_DATE)]).refused() => None;
        no_cache_without_a_validator_is_no_use: refused("no-cache") => Some(NotStored::NoLifetime);
        no_cache_beside_a_lifetime_is_no_use_without_a_validator:
            refused("no-cache, max-age=3600, stale-if-error=60") => Some(NotStored::NoLifetime);
        a_lifetime_of_zero_is_stored_to_stand_in_for_errors: refused("max-age=0") => None;
        a_lifetime_of_zero_without_any_window_is_no_use:
            refused("max-age=0, must-revalidate") => Some(NotStored::NoLifetime);
        a_lifetime_of_zero_is_stored_with_a_validator:
            Trial::get(&[("cache-control", "max-age=0, must-revalidate"), ("etag", "\"a\"")]).refused() => None;
        an_expires_that_is_over_is_stored_to_stand_in_for_errors: Trial::get(EXPIRED).refused() => None;
        what_arrives_past_every_window_is_no_use:
            Trial::get(&[("cache-control", "max-age=60, stale-if-error=60"), ("age", "120")]).refused()
                => Some(NotStored::NoLifetime);
        what_arrives_within_a_window_is_stored:
            Trial::get(&[("cache-control", "max-age=60, stale-if-error=60"), ("age", "119")]).refused() => None;
        a_server_error_does_not_stand_in_for_errors: Trial::get(EXPIRED).status(500).refused() => Some(NotStored::NoLifetime);
    }

    #[test]
    fn all_understood_statuses_may_be_stored() {
        assert!((0..=u16::MAX).filter(|&status| understood(status)).all(|status| !never_stored(status)));
    }

    proptest! {
        #[test]
        fn no_field_makes_it_panic_and_both_forms_agree(
            names in prop::collection::vec(0usize..8, 0..6),
            values in prop::collection::vec(prop::collection::vec(0x20u8..0x7f, 0..40), 6),
            status: u16,
            requested_at: u64,
            received_at: u64,
        ) {
            let known = ["cache-control", "age", "date", "expires", "vary", "etag", "set-cookie", "last-modified"];
            let pairs: Vec<(&str, &[u8])> = names.iter().map(|&n| known[n]).zip(values.iter().map(|v| &**v)).collect();
            let raw: Vec<_> = pairs.iter().map(|&(name, value)| httparse::Header { name, value }).collect();
            let mut map = http::HeaderMap::new();
            for &(name, value) in &pairs {
                map.append(name, http::HeaderValue::from_bytes(value).unwrap());
            }
            let judge = |fields| Trial::get(&[]).exchange(|exchange| {
                let response = ResponseView { status, fields };
                let exchange = Exchange { response: &response, requested_at, received_at, ..*exchange };
                storable(&exchange, &Defaults::default(), &Override::default())
            });
            prop_assert_eq!(judge(Fields::Raw(&raw)), judge(Fields::Map(&map)));
        }

        #[test]
        fn no_bytes_make_it_panic(name in 0usize..5, value in prop::collection::vec(any::<u8>(), 0..64)) {
            let known = ["cache-control", "age", "date", "expires", "vary"];
            let mut fields = headers(HOUR);
            fields.push(httparse::Header { name: known[name], value: &value });
            let judged = Trial::get(&[]).exchange(|exchange| {
                let response = ResponseView { status: 200, fields: Fields::Raw(&fields) };
                storable(&Exchange { response: &response, ..*exchange }, &Defaults::default(), &Override::default())
            });
            prop_assert!(judged.is_err() || judged.is_ok_and(|life| life.lifetime <= 3600));
        }

        #[test]
        fn what_is_private_is_never_stored(before in "[a-z=,\" 0-9-]{0,30}", status in 200u16..600) {
            // An open quote in what stands before must not hide it.
            let value = format!("{before}, private");
            let judged = Trial::get(&[("cache-control", "max-age=60"), ("cache-control", &value)]).status(status).store();
            prop_assert!(judged.is_err() || value.matches('"').count() > 1);
        }
    }
}
