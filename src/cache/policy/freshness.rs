//! How long a response is good for, and how old it already is when it arrives.

use super::{Defaults, Exchange, Lifetime, LifetimeSource, Override};
use crate::http::cache_control::CacheControl;
use crate::http::{date, list};

/// RFC 9111 §1.2.2: a larger number of seconds means this one.
const MAX_SECONDS: u64 = 1 << 31;

/// One place that a lifetime may be read from.
type Source = fn(&Exchange<'_>, &CacheControl, &Override) -> Option<(u32, LifetimeSource)>;

/// RFC 9111 §4.2.1: the first of these that is present gives the lifetime, whatever the later ones say.
const SOURCES: [Source; 4] = [rule, s_maxage, max_age, expires];

/// Everything that the response says about its own use, and what a rule says in its place. `cc` is what the rule
/// leaves of its Cache-Control.
pub(super) fn lifetime(
    exchange: &Exchange<'_>,
    cc: &CacheControl,
    defaults: &Defaults,
    rule: &Override,
) -> Lifetime {
    let (seconds, source) =
        SOURCES.iter().find_map(|source| source(exchange, cc, rule)).unwrap_or((0, LifetimeSource::None));
    let status = exchange.response.status;
    Lifetime {
        // RFC 9111 §5.2.2.4: no-cache allows no use without validation, so no second of freshness.
        lifetime: if cc.no_cache { 0 } else { seconds },
        initial_age: initial_age(exchange),
        while_revalidate: window(
            cc,
            rule.while_revalidate.or(cc.stale_while_revalidate),
            defaults.stale_while_revalidate,
        ),
        // A stored 5xx is no better than the error it would stand in for.
        if_error: window(
            cc,
            rule.if_error_for(status).or(cc.stale_if_error),
            if status < 500 { defaults.stale_if_error } else { 0 },
        ),
        always_validate: cc.no_cache,
        must_revalidate: cc.must_revalidate || cc.proxy_revalidate,
        shareable_with_credentials: rule.ignore.authorization || shareable_with_credentials(cc),
        stale_if_asked: cc.s_maxage.is_none(),
        source,
    }
}

/// RFC 9110 §3.7: a gateway answers as the origin, so its operator's word on the lifetime stands before the origin's.
fn rule(exchange: &Exchange<'_>, _: &CacheControl, rule: &Override) -> Option<(u32, LifetimeSource)> {
    let seconds = rule.ttl_for(exchange.response.status)?;
    Some((clamp(seconds.into()), LifetimeSource::Rule))
}

/// RFC 9111 §5.2.2.10: for a shared cache, s-maxage overrides max-age and Expires.
fn s_maxage(_: &Exchange<'_>, cc: &CacheControl, _: &Override) -> Option<(u32, LifetimeSource)> {
    cc.s_maxage.map(|seconds| (clamp(seconds.into()), LifetimeSource::SMaxage))
}

/// RFC 9111 §5.3: a recipient must ignore Expires beside max-age.
fn max_age(_: &Exchange<'_>, cc: &CacheControl, _: &Override) -> Option<(u32, LifetimeSource)> {
    cc.max_age.map(|seconds| (clamp(seconds.into()), LifetimeSource::MaxAge))
}

/// RFC 9111 §5.3: Expires minus Date; an invalid date, "0" above all, is a time in the past. Of several the
/// earliest counts: §4.2.1 lets us take contradicting fields for stale.
fn expires(exchange: &Exchange<'_>, _: &CacheControl, _: &Override) -> Option<(u32, LifetimeSource)> {
    let values = exchange.response.fields.all("expires");
    let earliest = values.map(|value| date::parse(value).unwrap_or(0)).min()?;
    let (_, latest_date) = dates(exchange);
    Some((clamp(earliest.saturating_sub(latest_date)), LifetimeSource::Expires))
}

/// A stale window: what rule or response name, else `default` where the response does not imply that there is none.
fn window(cc: &CacheControl, named: Option<u32>, default: u32) -> u32 {
    // RFC 9111 §4.2.4: explicit directives that prohibit stale responses, even where a window stands beside them.
    if cc.no_cache || cc.must_revalidate || cc.proxy_revalidate {
        return 0;
    }
    // RFC 9111 §5.2.2.10: s-maxage has the meaning of proxy-revalidate; but an origin that names a window beside it
    // has said what it wants, and s-maxage with stale-while-revalidate is how CDNs are told.
    clamp(named.unwrap_or(if cc.s_maxage.is_some() { 0 } else { default }).into())
}

/// RFC 9111 §3.5: the directives that allow sharing a response to a request with credentials.
fn shareable_with_credentials(cc: &CacheControl) -> bool {
    cc.public || cc.s_maxage.is_some() || cc.must_revalidate
}

/// RFC 9111 §4.2.3: `corrected_initial_age`.
fn initial_age(exchange: &Exchange<'_>) -> u32 {
    let (earliest_date, _) = dates(exchange);
    // Date has whole seconds: one second of apparent age may be none, and taking it for one would make every second
    // response with max-age=1 stale on arrival.
    let apparent_age = exchange.received_at.saturating_sub(earliest_date);
    let apparent_age = if apparent_age == 1 { 0 } else { apparent_age };
    let response_delay = exchange.received_at.saturating_sub(exchange.requested_at);
    let corrected_age_value = age_value(exchange).saturating_add(response_delay);
    clamp(apparent_age.max(corrected_age_value))
}

/// RFC 9111 §5.1: the Age field; what is no number is ignored, and none at all is 0. Of several numbers the largest
/// counts, where the clause would take the first: a response too old by mistake costs a validation, no more.
fn age_value(exchange: &Exchange<'_>) -> u64 {
    let values = exchange.response.fields.all("age");
    values.flat_map(list::members).filter_map(delta_seconds).max().unwrap_or(0)
}

/// RFC 9111 §1.2.2: digits only; an overflow is the largest number, never an error.
fn delta_seconds(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = text.iter().fold(0u64, |sum, b| sum.saturating_mul(10).saturating_add(u64::from(b - b'0')));
    Some(value.min(MAX_SECONDS))
}

/// The earliest and the latest Date of the response. RFC 9110 §6.6.1: without a valid one, when it was received.
fn dates(exchange: &Exchange<'_>) -> (u64, u64) {
    let valid = || exchange.response.fields.all("date").filter_map(date::parse);
    let earliest = valid().min().unwrap_or(exchange.received_at);
    let latest = valid().max().unwrap_or(exchange.received_at);
    (earliest, latest)
}

fn clamp(seconds: u64) -> u32 {
    u32::try_from(seconds.min(MAX_SECONDS)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::LifetimeSource::{Expires, MaxAge, SMaxage};
    use super::*;
    use crate::cache::policy::fixture::{NOW_DATE, Trial, controlled, rows};
    use crate::verdict::NotStored;

    const MINUTE_LATER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";
    const SECOND_EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const MINUTE_EARLIER: &str = "Sun, 06 Nov 1994 08:48:37 GMT";

    type Found = Result<(u32, LifetimeSource), NotStored>;

    fn lifetime(cache_control: &str) -> Found {
        lifetime_of(&[("cache-control", cache_control)])
    }

    fn lifetime_of(fields: &[(&str, &str)]) -> Found {
        Trial::get(fields).store().map(|life| (life.lifetime, life.source))
    }

    fn initial_age(fields: &[(&str, &str)]) -> Result<u32, NotStored> {
        age_after(0, fields)
    }

    /// The initial age of what took this many seconds to arrive and is good for a year.
    fn age_after(took: u64, fields: &[(&str, &str)]) -> Result<u32, NotStored> {
        let fields = [fields, &[("cache-control", "max-age=31536000"), ("etag", "\"a\"")]].concat();
        Trial::get(&fields).took(took).store().map(|life| life.initial_age)
    }

    /// Both windows, while-revalidate first.
    fn windows(cache_control: &str) -> Result<(u32, u32), NotStored> {
        let fields = [("cache-control", cache_control), ("etag", "\"a\"")];
        Trial::get(&fields).store().map(|life| (life.while_revalidate, life.if_error))
    }

    fn shareable(cache_control: &str) -> Result<bool, NotStored> {
        controlled(cache_control).map(|life| life.shareable_with_credentials)
    }

    rows! {
        // RFC 9111 §4.2.3
        one_second_of_apparent_age_may_be_rounding: initial_age(&[("date", SECOND_EARLIER)]) => Ok(0);
        // RFC 9111 §4.2.1
        s_maxage_beats_max_age: lifetime("max-age=60, s-maxage=10") => Ok((10, SMaxage));
        max_age_beats_expires:
            lifetime_of(&[("cache-control", "max-age=10"), ("expires", MINUTE_LATER)]) => Ok((10, MaxAge));
        an_invalid_max_age_beats_expires_too:
            lifetime_of(&[("cache-control", "max-age=x"), ("expires", MINUTE_LATER)]) => Ok((0, MaxAge));
        of_two_max_ages_the_smaller_counts: lifetime("max-age=60, max-age=10") => Ok((10, MaxAge));
        a_huge_lifetime_is_cut: lifetime("max-age=99999999999999999999") => Ok((1 << 31, MaxAge));
        expires_is_counted_from_date:
            lifetime_of(&[("date", MINUTE_EARLIER), ("expires", MINUTE_LATER)]) => Ok((120, Expires));
        expires_without_date_is_counted_from_arrival: lifetime_of(&[("expires", MINUTE_LATER)]) => Ok((60, Expires));
        expires_beside_an_invalid_date_is_counted_from_arrival:
            lifetime_of(&[("date", "foo"), ("expires", MINUTE_LATER)]) => Ok((60, Expires));
        expires_before_date_is_over:
            lifetime_of(&[("date", MINUTE_LATER), ("expires", NOW_DATE)]) => Ok((0, Expires));
        expires_zero_is_over: lifetime_of(&[("expires", "0")]) => Ok((0, Expires));
        an_expires_that_is_no_date_is_over: lifetime_of(&[("expires", "never")]) => Ok((0, Expires));
        an_empty_expires_is_over: lifetime_of(&[("expires", "")]) => Ok((0, Expires));
        of_two_expires_the_earlier_counts:
            lifetime_of(&[("expires", MINUTE_LATER), ("expires", NOW_DATE)]) => Ok((0, Expires));
        of_two_dates_the_later_ends_the_lifetime:
            lifetime_of(&[("date", NOW_DATE), ("date", MINUTE_EARLIER), ("expires", MINUTE_LATER)]) => Ok((60, Expires));
        no_cache_leaves_no_second_of_freshness:
            lifetime_of(&[("cache-control", "no-cache, max-age=60"), ("etag", "\"a\"")]) => Ok((0, MaxAge));

        // RFC 9111 §4.2.3, §5.1
        without_age_and_date_it_is_new: initial_age(&[]) => Ok(0);
        the_age_field_counts: initial_age(&[("age", "30")]) => Ok(30);
        an_old_date_counts: initial_age(&[("date", MINUTE_EARLIER)]) => Ok(60);
        a_date_in_the_future_makes_nothing_younger: initial_age(&[("date", MINUTE_LATER), ("age", "5")]) => Ok(5);
        of_age_and_date_the_older_counts: initial_age(&[("date", MINUTE_EARLIER), ("age", "30")]) => Ok(60);
        the_time_it_took_is_added_to_age: age_after(7, &[("age", "30")]) => Ok(37);
        the_time_it_took_is_not_added_to_date: age_after(7, &[("date", MINUTE_EARLIER)]) => Ok(60);
        an_age_that_is_no_number_is_ignored:
            ["abc", "-7200", "7200.0", "", "+1", "1e3", "72 00"].map(|age| initial_age(&[("age", age)])) => [Ok(0); 7];
        of_several_ages_the_oldest_counts: initial_age(&[("age", "0"), ("age", "50")]) => Ok(50);
        of_several_ages_in_one_line_the_oldest_counts: initial_age(&[("age", "50, 0")]) => Ok(50);
        an_age_too_large_to_count_is_cut: initial_age(&[("age", "99999999999999999999999")]) => Ok(1 << 31);
        the_time_it_took_does_not_overflow_a_large_age: age_after(7, &[("age", "2147483648")]) => Ok(1 << 31);

        // RFC 5861 and the defaults
        the_origin_names_its_windows: windows("max-age=1, stale-while-revalidate=5, stale-if-error=6") => Ok((5, 6));
        without_a_word_errors_are_bridged_for_an_hour: windows("max-age=1") => Ok((0, 3600));
        the_origin_may_forbid_to_bridge_errors: windows("max-age=1, stale-if-error=0") => Ok((0, 0));
        s_maxage_opens_no_window_of_its_own: windows("s-maxage=1") => Ok((0, 0));
        windows_beside_s_maxage_are_honoured:
            windows("s-maxage=1, stale-while-revalidate=5, stale-if-error=6") => Ok((5, 6));
        must_revalidate_closes_every_window:
            windows("max-age=1, must-revalidate, stale-while-revalidate=5, stale-if-error=6") => Ok((0, 0));
        proxy_revalidate_closes_every_window:
            windows("max-age=1, proxy-revalidate, stale-while-revalidate=5, stale-if-error=6") => Ok((0, 0));
        no_cache_closes_every_window:
            windows("max-age=1, no-cache, stale-while-revalidate=5, stale-if-error=6") => Ok((0, 0));
        a_window_that_is_no_number_is_closed: windows("max-age=1, stale-if-error=x") => Ok((0, 0));

        // RFC 9111 §3.5
        public_is_shareable_with_credentials: shareable("max-age=1, public") => Ok(true);
        s_maxage_is_shareable_with_credentials: shareable("s-maxage=1") => Ok(true);
        must_revalidate_is_shareable_with_credentials: shareable("max-age=1, must-revalidate") => Ok(true);
        max_age_alone_is_not_shareable_with_credentials: shareable("max-age=1") => Ok(false);
    }

    #[test]
    fn a_stored_server_error_has_only_the_window_it_names() {
        let window =
            |value| Trial::get(&[("cache-control", value)]).status(503).store().map(|life| life.if_error);
        assert_eq!(window("max-age=10"), Ok(0));
        assert_eq!(window("max-age=10, stale-if-error=5"), Ok(5));
    }
}
