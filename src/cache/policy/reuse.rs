//! Whether what is stored may answer a request now: fresh, stale, or only after asking the origin.

use super::StoredTimes;
use crate::http::cache_control;
use crate::http::fields::Fields;
use crate::http::list;
use crate::verdict::MissWhy;

/// What a request says about reuse (RFC 9111 §5.2.1). `default()` is a request that says nothing, and what to use
/// where clients are not to be heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Not without validation: a forced reload.
    pub no_cache: bool,
    /// Nothing of this exchange is to be stored.
    pub no_store: bool,
    /// Nothing but what is stored: the caller answers 504 otherwise.
    pub only_if_cached: bool,
    /// The greatest age wanted; 0 is a reload.
    pub max_age: Option<u32>,
    /// How much longer it must stay fresh.
    pub min_fresh: Option<u32>,
    /// How stale it may be; `u32::MAX` where the request sets no bound.
    pub max_stale: Option<u32>,
}

/// What may be done with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Serve it.
    Fresh,
    /// Serve it now and refresh it in the background (RFC 5861 §3).
    StaleWhileRevalidate,
    /// Serve it: the request accepts stale and the response does not forbid it (RFC 9111 §5.2.1.2).
    StaleAsked,
    /// Ask the origin first. [`MissWhy::RequestNoCache`] where the request insists although the response is fresh,
    /// [`MissWhy::Expired`] otherwise.
    Validate(MissWhy),
}

/// Reads the request's wishes once.
pub fn request_directives(fields: Fields<'_>) -> RequestDirectives {
    // Most requests say nothing.
    if !fields.has("cache-control") && !fields.has("pragma") {
        return RequestDirectives::default();
    }
    let cc = cache_control::parse(fields.all("cache-control"));
    RequestDirectives {
        // RFC 9111 §5.4: Pragma counts only where Cache-Control is absent.
        no_cache: cc.no_cache || (!cc.present && pragma_no_cache(fields)),
        no_store: cc.no_store,
        only_if_cached: cc.only_if_cached,
        max_age: cc.max_age,
        min_fresh: cc.min_fresh,
        max_stale: cc.max_stale,
    }
}

/// RFC 9111 §4.2.3: `current_age`, in seconds. A clock set back adds no age and takes none.
pub fn age(times: &StoredTimes, now: u64) -> u64 {
    let resident_time = now.saturating_sub(times.received_at);
    resident_time.saturating_add(times.life.initial_age.into())
}

/// Seconds of freshness left; negative once stale. For `Cache-Status` and the log.
pub fn ttl(times: &StoredTimes, now: u64) -> i64 {
    let age = i64::try_from(age(times, now)).unwrap_or(i64::MAX);
    i64::from(times.life.lifetime).saturating_sub(age)
}

/// May what is stored answer this request (RFC 9111 §4)? The key and `Vary` have matched already.
pub fn reuse(times: &StoredTimes, directives: &RequestDirectives, now: u64) -> Reuse {
    if directives.no_cache {
        // RFC 9111 §5.2.1.4
        return Reuse::Validate(MissWhy::RequestNoCache);
    }
    let fresh = is_fresh(times, now);
    if too_old(times, directives, now) || too_short(times, directives, now) {
        return Reuse::Validate(if fresh { MissWhy::RequestNoCache } else { MissWhy::Expired });
    }
    if fresh { Reuse::Fresh } else { reuse_stale(times, directives, now) }
}

/// May the stored response stand in for an origin that failed (RFC 5861 §4)? Also true while it is fresh: then it was
/// the request that insisted on asking.
pub fn may_serve_on_error(times: &StoredTimes, now: u64) -> bool {
    let allowed = !forbids_stale(times) && within(times, times.life.if_error, now);
    is_fresh(times, now) || allowed
}

/// What is left for a response past its lifetime (RFC 9111 §4.2.4).
fn reuse_stale(times: &StoredTimes, directives: &RequestDirectives, now: u64) -> Reuse {
    if forbids_stale(times) || !accepts_stale(times, directives, now) {
        return Reuse::Validate(MissWhy::Expired);
    }
    if within(times, times.life.while_revalidate, now) {
        return Reuse::StaleWhileRevalidate;
    }
    // RFC 9111 §5.2.2.10: s-maxage allows no stale but the windows that stand beside it.
    if directives.max_stale.is_some() && times.life.stale_if_asked {
        return Reuse::StaleAsked;
    }
    Reuse::Validate(MissWhy::Expired)
}

/// RFC 9111 §4.2: `freshness_lifetime > current_age`; §5.2.2.4: never under no-cache.
fn is_fresh(times: &StoredTimes, now: u64) -> bool {
    !times.life.always_validate && within(times, 0, now)
}

/// Whether `now` is before the end of a window that opens when the lifetime ends.
fn within(times: &StoredTimes, window: u32, now: u64) -> bool {
    age(times, now) < u64::from(times.life.lifetime) + u64::from(window)
}

/// RFC 9111 §4.2.4: a response directive prohibits stale use whatever the request or a window says.
fn forbids_stale(times: &StoredTimes) -> bool {
    times.life.must_revalidate || times.life.always_validate
}

/// RFC 9111 §5.2.1.1: older than the request wants. max-age=0 is a reload, also within the second of storing.
fn too_old(times: &StoredTimes, directives: &RequestDirectives, now: u64) -> bool {
    directives.max_age.is_some_and(|wanted| wanted == 0 || age(times, now) > wanted.into())
}

/// RFC 9111 §5.2.1.3: does not stay fresh for as long as the request wants.
fn too_short(times: &StoredTimes, directives: &RequestDirectives, now: u64) -> bool {
    let needed = directives.min_fresh.filter(|&seconds| seconds > 0);
    needed.is_some_and(|seconds| ttl(times, now) < seconds.into())
}

/// RFC 9111 §5.2.1.1, §5.2.1.2: max-stale bounds what the client accepts; without it, max-age and min-fresh accept no
/// stale response, and a request that says nothing leaves it to the response.
fn accepts_stale(times: &StoredTimes, directives: &RequestDirectives, now: u64) -> bool {
    match directives.max_stale {
        Some(u32::MAX) => true,
        Some(bound) => within(times, bound, now),
        None => directives.max_age.is_none() && directives.min_fresh.is_none(),
    }
}

/// RFC 9111 §5.4: how HTTP/1.0 clients say no-cache.
fn pragma_no_cache(fields: Fields<'_>) -> bool {
    let mut members = fields.all("pragma").flat_map(list::members);
    members.any(|member| member.eq_ignore_ascii_case(b"no-cache"))
}

#[cfg(test)]
mod tests {
    use super::Reuse::{Fresh, StaleAsked, StaleWhileRevalidate};
    use super::*;
    use crate::cache::policy::fixture::{NOW, Trial, headers, rows};
    use crate::cache::policy::{Lifetime, LifetimeSource};
    use crate::verdict::NotStored;
    use proptest::prelude::*;

    const EXPIRED: Reuse = Reuse::Validate(MissWhy::Expired);
    const INSISTS: Reuse = Reuse::Validate(MissWhy::RequestNoCache);

    fn stored(cache_control: &str) -> Result<StoredTimes, NotStored> {
        Trial::get(&[("cache-control", cache_control), ("etag", "\"a\"")]).stored()
    }

    /// What may be done with a response of this Cache-Control after so many seconds, for a silent request.
    fn after(seconds: u64, cache_control: &str) -> Result<Reuse, NotStored> {
        asked("", seconds, cache_control)
    }

    /// The same for a request with a Cache-Control of its own.
    fn asked(request: &str, seconds: u64, cache_control: &str) -> Result<Reuse, NotStored> {
        let directives = parsed(&[("cache-control", request)]);
        stored(cache_control).map(|times| reuse(&times, &directives, NOW + seconds))
    }

    fn on_error(seconds: u64, cache_control: &str) -> Result<bool, NotStored> {
        stored(cache_control).map(|times| may_serve_on_error(&times, NOW + seconds))
    }

    fn parsed(fields: &[(&str, &str)]) -> RequestDirectives {
        request_directives(Fields::Raw(&headers(fields)))
    }

    fn aged(fields: &[(&str, &str)], seconds: u64) -> Result<(u64, i64), NotStored> {
        Trial::get(fields).stored().map(|times| (age(&times, NOW + seconds), ttl(&times, NOW + seconds)))
    }

    rows! {
        // RFC 9111 §4.2
        it_is_fresh_until_its_lifetime_ends: after(59, "max-age=60") => Ok(Fresh);
        it_is_stale_when_its_lifetime_ends: after(60, "max-age=60") => Ok(EXPIRED);
        a_lifetime_of_zero_is_never_fresh: after(0, "max-age=0") => Ok(EXPIRED);
        no_cache_is_never_fresh: after(0, "no-cache, max-age=60") => Ok(EXPIRED);
        age_on_arrival_counts: aged(&[("cache-control", "max-age=60"), ("age", "50")], 9) => Ok((59, 1));
        ttl_is_negative_once_stale: aged(&[("cache-control", "max-age=60")], 75) => Ok((75, -15));

        // RFC 5861 §3, RFC 9111 §4.2.4
        it_is_served_while_revalidated: after(69, "max-age=60, stale-while-revalidate=10") => Ok(StaleWhileRevalidate);
        the_window_ends: after(70, "max-age=60, stale-while-revalidate=10") => Ok(EXPIRED);
        must_revalidate_is_never_served_stale:
            after(61, "max-age=60, must-revalidate, stale-while-revalidate=10") => Ok(EXPIRED);
        no_cache_is_never_served_while_revalidated:
            after(1, "no-cache, max-age=0, stale-while-revalidate=10") => Ok(EXPIRED);
        a_window_beside_s_maxage_is_used: after(61, "s-maxage=60, stale-while-revalidate=10") => Ok(StaleWhileRevalidate);

        // RFC 9111 §5.2.1.4, §5.2.1.1, §5.2.1.3
        a_forced_reload_validates: asked("no-cache", 1, "max-age=60") => Ok(INSISTS);
        a_reload_validates: asked("max-age=0", 1, "max-age=60") => Ok(INSISTS);
        a_reload_within_the_second_validates: asked("max-age=0", 0, "max-age=60") => Ok(INSISTS);
        younger_than_asked_is_reused: asked("max-age=30", 30, "max-age=60") => Ok(Fresh);
        older_than_asked_is_validated: asked("max-age=30", 31, "max-age=60") => Ok(INSISTS);
        older_than_asked_and_stale_has_expired: asked("max-age=30", 61, "max-age=60") => Ok(EXPIRED);
        a_max_age_that_is_no_number_is_zero: asked("max-age=x", 1, "max-age=60") => Ok(INSISTS);
        fresh_for_long_enough_is_reused: asked("min-fresh=30", 30, "max-age=60") => Ok(Fresh);
        not_fresh_for_long_enough_is_validated: asked("min-fresh=30", 31, "max-age=60") => Ok(INSISTS);
        a_lifetime_shorter_than_asked_is_validated: asked("min-fresh=90", 0, "max-age=60") => Ok(INSISTS);
        who_asks_for_young_is_not_served_stale:
            asked("max-age=3600", 61, "max-age=60, stale-while-revalidate=10") => Ok(EXPIRED);
        who_asks_for_fresh_is_not_served_stale:
            asked("min-fresh=0", 61, "max-age=60, stale-while-revalidate=10") => Ok(EXPIRED);

        // RFC 9111 §5.2.1.2
        stale_is_served_if_asked: asked("max-stale=100", 100, "max-age=60") => Ok(StaleAsked);
        too_stale_is_validated: asked("max-stale=100", 160, "max-age=60") => Ok(EXPIRED);
        max_stale_without_a_number_is_any: asked("max-stale", 1 << 40, "max-age=60") => Ok(StaleAsked);
        max_stale_that_is_no_number_is_none: asked("max-stale=x", 60, "max-age=60") => Ok(EXPIRED);
        max_stale_keeps_the_bound_of_max_age: asked("max-stale=100, max-age=70", 71, "max-age=60") => Ok(EXPIRED);
        max_stale_extends_past_freshness_with_max_age: asked("max-stale=100, max-age=70", 70, "max-age=60") => Ok(StaleAsked);
        max_stale_bounds_the_window_of_the_origin:
            asked("max-stale=5", 66, "max-age=60, stale-while-revalidate=10") => Ok(EXPIRED);
        a_window_is_refreshed_even_if_stale_is_asked_for:
            asked("max-stale", 61, "max-age=60, stale-while-revalidate=10") => Ok(StaleWhileRevalidate);
        must_revalidate_beats_max_stale: asked("max-stale", 61, "max-age=60, must-revalidate") => Ok(EXPIRED);
        proxy_revalidate_beats_max_stale: asked("max-stale", 61, "max-age=60, proxy-revalidate") => Ok(EXPIRED);
        no_cache_beats_max_stale: asked("max-stale", 1, "max-age=60, no-cache") => Ok(EXPIRED);
        s_maxage_beats_max_stale: asked("max-stale", 61, "s-maxage=60") => Ok(EXPIRED);
        s_maxage_beats_max_stale_past_its_window:
            asked("max-stale", 71, "s-maxage=60, stale-while-revalidate=10") => Ok(EXPIRED);

        // RFC 5861 §4, RFC 9111 §4.2.4
        errors_are_bridged_for_an_hour: on_error(3659, "max-age=60") => Ok(true);
        the_hour_ends: on_error(3660, "max-age=60") => Ok(false);
        errors_are_bridged_as_the_origin_says: on_error(69, "max-age=60, stale-if-error=10") => Ok(true);
        the_window_of_the_origin_ends: on_error(70, "max-age=60, stale-if-error=10") => Ok(false);
        must_revalidate_bridges_no_error: on_error(60, "max-age=60, must-revalidate, stale-if-error=10") => Ok(false);
        proxy_revalidate_bridges_no_error: on_error(60, "max-age=60, proxy-revalidate, stale-if-error=10") => Ok(false);
        no_cache_bridges_no_error: on_error(0, "max-age=60, no-cache, stale-if-error=10") => Ok(false);
        s_maxage_bridges_no_error: on_error(60, "s-maxage=60") => Ok(false);
        a_fresh_response_answers_a_reload_that_fails: on_error(59, "max-age=60, must-revalidate") => Ok(true);

        // RFC 9111 §5.4
        pragma_means_no_cache: parsed(&[("pragma", "No-Cache")]).no_cache => true;
        pragma_is_ignored_beside_cache_control:
            parsed(&[("pragma", "no-cache"), ("cache-control", "max-age=60")]).no_cache => false;
        another_pragma_means_nothing: parsed(&[("pragma", "x-no-cache")]) => RequestDirectives::default();
        no_fields_mean_nothing: parsed(&[]) => RequestDirectives::default();
        only_if_cached_is_read: parsed(&[("cache-control", "only-if-cached")]).only_if_cached => true;
        no_store_is_read: parsed(&[("cache-control", "no-store")]).no_store => true;
    }

    #[test]
    fn a_clock_set_back_takes_no_age() {
        assert_eq!(stored("max-age=60").map(|times| age(&times, NOW - 1000)), Ok(0));
    }

    fn lives() -> impl Strategy<Value = StoredTimes> {
        let small = 0u32..300;
        let windows = (small.clone(), small.clone(), small.clone(), small);
        let source = prop::sample::select(vec![LifetimeSource::SMaxage, LifetimeSource::MaxAge]);
        (windows, any::<(bool, bool)>(), source).prop_map(
            |((lifetime, initial_age, swr, sie), flags, source)| {
                let life = Lifetime {
                    lifetime,
                    initial_age,
                    while_revalidate: swr,
                    if_error: sie,
                    always_validate: flags.0,
                    must_revalidate: flags.1,
                    shareable_with_credentials: false,
                    stale_if_asked: source != LifetimeSource::SMaxage,
                    source,
                };
                StoredTimes { received_at: NOW, life }
            },
        )
    }

    fn wishes() -> impl Strategy<Value = RequestDirectives> {
        let seconds = || prop::option::of(prop_oneof![0u32..300, Just(u32::MAX)]);
        (any::<bool>(), seconds(), seconds(), seconds()).prop_map(
            |(no_cache, max_age, min_fresh, max_stale)| RequestDirectives {
                no_cache,
                max_age,
                min_fresh,
                max_stale,
                ..RequestDirectives::default()
            },
        )
    }

    /// The more may be done without asking the origin, the higher.
    fn rank(reuse: Reuse) -> u8 {
        match reuse {
            Reuse::Fresh => 3,
            Reuse::StaleWhileRevalidate => 2,
            Reuse::StaleAsked => 1,
            Reuse::Validate(_) => 0,
        }
    }

    proptest! {
        #[test]
        fn fresh_never_exceeds_the_lifetime(times in lives(), wishes in wishes(), at in 0u64..2000) {
            if reuse(&times, &wishes, NOW + at) == Reuse::Fresh {
                prop_assert!(age(&times, NOW + at) < u64::from(times.life.lifetime));
                prop_assert!(ttl(&times, NOW + at) > 0 && !times.life.always_validate);
            }
        }

        #[test]
        fn a_wider_window_never_makes_it_less_usable(times in lives(), wishes in wishes(), at in 0u64..2000, more in 0u32..500) {
            let wider = |change: fn(&mut Lifetime, u32)| {
                let mut wider = times;
                change(&mut wider.life, more);
                wider
            };
            let changes: [fn(&mut Lifetime, u32); 3] =
                [|l, n| l.lifetime += n, |l, n| l.while_revalidate += n, |l, n| l.if_error += n];
            for wider in changes.map(wider) {
                prop_assert!(rank(reuse(&wider, &wishes, NOW + at)) >= rank(reuse(&times, &wishes, NOW + at)));
                prop_assert!(may_serve_on_error(&wider, NOW + at) >= may_serve_on_error(&times, NOW + at));
            }
        }

        #[test]
        fn time_never_makes_it_more_usable(times in lives(), wishes in wishes(), at in 0u64..2000, more in 0u64..500) {
            prop_assert!(rank(reuse(&times, &wishes, NOW + at + more)) <= rank(reuse(&times, &wishes, NOW + at)));
        }

        #[test]
        fn what_forbids_stale_is_never_served_stale(times in lives(), wishes in wishes(), at in 0u64..2000) {
            if times.life.must_revalidate || times.life.always_validate {
                let answer = reuse(&times, &wishes, NOW + at);
                prop_assert!(matches!(answer, Reuse::Fresh | Reuse::Validate(_)));
                prop_assert!(!may_serve_on_error(&times, NOW + at) || ttl(&times, NOW + at) > 0);
            }
        }

        #[test]
        fn a_request_never_gets_more_than_a_silent_one_but_by_max_stale(times in lives(), wishes in wishes(), at in 0u64..2000) {
            let silent = reuse(&times, &RequestDirectives::default(), NOW + at);
            let answer = reuse(&times, &wishes, NOW + at);
            prop_assert!(rank(answer) <= rank(silent) || answer == Reuse::StaleAsked);
        }

        #[test]
        fn no_time_makes_it_panic(times in lives(), wishes in wishes(), received_at: u64, now: u64) {
            let times = StoredTimes { received_at, ..times };
            prop_assert!(ttl(&times, now) <= i64::from(times.life.lifetime));
            prop_assert_eq!(reuse(&times, &wishes, now) == Reuse::Fresh && wishes.no_cache, false);
        }

        #[test]
        fn no_bytes_make_it_panic(value in prop::collection::vec(any::<u8>(), 0..64)) {
            for name in ["cache-control", "pragma"] {
                let fields = [httparse::Header { name, value: &value }];
                let directives = request_directives(Fields::Raw(&fields));
                prop_assert!(name == "cache-control" || directives.max_age.is_none());
            }
        }
    }
}
