//! What cache rules may change in the judgement of one response, and by which clause that is theirs to change.
//!
//! A gateway answers as the origin (RFC 9110 §3.7), and its configuration is the contract between the two of which RFC
//! 9111 §4.2.4 speaks. So a lifetime may be replaced outright; what says that a response is for one user, or not to be
//! kept, must be named one by one.

use super::cacheable_by_default;
use crate::http::cache_control::CacheControl;
use crate::verdict::NotStored;

/// What cache rules change for one response. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// The freshness lifetime. Age still counts.
    pub ttl: Option<Ttl>,
    /// How long after its lifetime it may be served while it is refreshed, in seconds, whatever response and defaults
    /// say; but not where the response forbids to serve it stale.
    pub while_revalidate: Option<u32>,
    /// How long after its lifetime it may stand in for a failing origin, likewise. A stored 5xx is no better than the
    /// error it would stand in for: there only the response can open this window.
    pub if_error: Option<u32>,
    /// What of the response, and of the request's credentials, does not count.
    pub ignore: Ignore,
    /// It must not be stored: [`NotStored::Rule`] or [`NotStored::Deception`].
    pub refuse: Option<NotStored>,
    /// The request's own directives do not count. Its no-store does not keep the response out, then.
    pub ignore_request: bool,
    /// Whoever stores it takes its Set-Cookie fields out, so they are no reason to refuse.
    pub strip_set_cookie: bool,
}

/// A freshness lifetime that a rule gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// How long it is, in seconds.
    pub seconds: u32,
    /// Whether the rule named this status: then it holds for any, else for those that are cacheable by default.
    pub named: bool,
}

/// What a rule sets aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    /// The response's no-store (RFC 9111 §5.2.2.5).
    pub no_store: bool,
    /// The response's private (RFC 9111 §5.2.2.7).
    pub private: bool,
    /// The response's no-cache (RFC 9111 §5.2.2.4).
    pub no_cache: bool,
    /// Its Set-Cookie (RFC 9111 §7.3): it is stored with it, so everybody gets that cookie.
    pub set_cookie: bool,
    /// The request's Authorization (RFC 9111 §3.5): the response is shared by all, with credentials and without.
    pub authorization: bool,
}

impl Override {
    /// The lifetime that it gives to a response of this status.
    pub(super) fn ttl_for(&self, status: u16) -> Option<u32> {
        let applies = |ttl: &Ttl| ttl.named || cacheable_by_default(status);
        self.ttl.filter(applies).map(|ttl| ttl.seconds)
    }

    /// The window for errors that it gives to a response of this status.
    pub(super) fn if_error_for(&self, status: u16) -> Option<u32> {
        self.if_error.filter(|_| status < 500)
    }

    /// What is left of a response's Cache-Control.
    pub(super) fn heed(&self, cc: CacheControl) -> CacheControl {
        CacheControl {
            no_store: cc.no_store && !self.ignore.no_store,
            private: cc.private && !self.ignore.private,
            no_cache: cc.no_cache && !self.ignore.no_cache,
            ..cc
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::LifetimeSource::{Expires, MaxAge, Rule, SMaxage};
    use crate::cache::policy::fixture::{NOW, NOW_DATE, Trial, rows};
    use crate::cache::policy::{LifetimeSource, RequestDirectives, Reuse, may_serve_on_error, reuse};
    use crate::verdict::MissWhy;
    use proptest::prelude::*;

    const NONE: Override = Override {
        ttl: None,
        while_revalidate: None,
        if_error: None,
        ignore: NOTHING,
        refuse: None,
        ignore_request: false,
        strip_set_cookie: false,
    };
    const NOTHING: Ignore =
        Ignore { no_store: false, private: false, no_cache: false, set_cookie: false, authorization: false };

    const TTL: Override = Override { ttl: Some(Ttl { seconds: 500, named: false }), ..NONE };
    const NAMED: Override = Override { ttl: Some(Ttl { seconds: 500, named: true }), ..NONE };
    const STRIP: Override = Override { strip_set_cookie: true, ..TTL };
    const DEAF: Override = Override { ignore_request: true, ..TTL };
    const SHARE: Override = ignoring(Ignore { authorization: true, ..NOTHING });
    const WINDOWS: Override = Override { while_revalidate: Some(7), if_error: Some(8), ..NONE };

    const fn ignoring(ignore: Ignore) -> Override {
        Override { ignore, ..TTL }
    }

    const fn refusing(why: NotStored) -> Override {
        Override { refuse: Some(why), ..NAMED }
    }

    type Lived = Result<(u32, LifetimeSource), NotStored>;

    /// Lifetime and source of a 200 with this Cache-Control and an ETag.
    fn lived(rule: &Override, cache_control: &str) -> Lived {
        status(rule, 200, cache_control)
    }

    fn status(rule: &Override, status: u16, cache_control: &str) -> Lived {
        let fields = [("cache-control", cache_control), ("etag", "\"a\"")];
        Trial::get(&fields).status(status).under(rule).map(|life| (life.lifetime, life.source))
    }

    /// Why a response with these fields is refused.
    fn refused(rule: &Override, fields: &[(&str, &str)]) -> Option<NotStored> {
        Trial::get(fields).under(rule).err()
    }

    fn asked(rule: &Override, asked: (&str, &str)) -> Result<bool, NotStored> {
        let trial = Trial::get(&[("cache-control", "max-age=60")]);
        trial.asked(&[asked]).under(rule).map(|life| life.shareable_with_credentials)
    }

    /// Both windows, while-revalidate first.
    fn windows(rule: &Override, code: u16, cache_control: &str) -> Result<(u32, u32), NotStored> {
        let fields = [("cache-control", cache_control), ("etag", "\"a\"")];
        Trial::get(&fields).status(code).under(rule).map(|life| (life.while_revalidate, life.if_error))
    }

    /// What a request that accepts anything stale gets when the lifetime is over.
    fn max_stale(rule: &Override, cache_control: &str) -> Result<Reuse, NotStored> {
        let fields = [("cache-control", cache_control), ("etag", "\"a\"")];
        let wants = RequestDirectives { max_stale: Some(u32::MAX), ..RequestDirectives::default() };
        Trial::get(&fields).stored_under(rule).map(|times| reuse(&times, &wants, NOW + 100_000))
    }

    rows! {
        // The lifetime (RFC 9110 §3.7, RFC 9111 §4.2.1)
        a_ttl_replaces_max_age: lived(&TTL, "max-age=60") => Ok((500, Rule));
        a_ttl_replaces_s_maxage: lived(&TTL, "s-maxage=60") => Ok((500, Rule));
        a_ttl_replaces_a_lifetime_of_zero: lived(&TTL, "max-age=0") => Ok((500, Rule));
        a_ttl_replaces_a_longer_lifetime: lived(&TTL, "max-age=86400") => Ok((500, Rule));
        a_ttl_gives_one_where_there_is_none: lived(&TTL, "public") => Ok((500, Rule));
        a_ttl_replaces_expires:
            Trial::get(&[("expires", "0")]).under(&TTL).map(|life| (life.lifetime, life.source)) => Ok((500, Rule));
        a_huge_ttl_is_cut:
            lived(&Override { ttl: Some(Ttl { seconds: u32::MAX, named: false }), ..NONE }, "") => Ok((1 << 31, Rule));
        a_ttl_of_zero_is_stored_to_be_validated:
            lived(&Override { ttl: Some(Ttl { seconds: 0, named: false }), ..NONE }, "max-age=60") => Ok((0, Rule));
        without_a_ttl_the_origin_decides:
            [lived(&NONE, "s-maxage=5, max-age=60"), lived(&WINDOWS, "max-age=60")] => [Ok((5, SMaxage)), Ok((60, MaxAge))];
        without_a_ttl_expires_decides:
            Trial::get(&[("expires", "Sun, 06 Nov 1994 08:50:37 GMT")]).under(&NONE).map(|life| life.source) => Ok(Expires);

        // Which statuses (RFC 9110 §15.1)
        a_ttl_holds_for_what_is_cacheable_by_default:
            [203, 301, 404, 410, 501].map(|code| status(&TTL, code, "")) => [Ok((500, Rule)); 5];
        a_ttl_does_not_hold_for_other_statuses:
            [302, 403, 500, 503].map(|code| status(&TTL, code, "")) => [Err(NotStored::Status); 4];
        other_statuses_keep_the_lifetime_that_they_name: status(&TTL, 302, "max-age=60") => Ok((60, MaxAge));
        a_named_status_may_be_any: [302, 403, 500, 503].map(|code| status(&NAMED, code, "")) => [Ok((500, Rule)); 4];
        a_named_status_that_is_never_stored_is_not_stored:
            [304, 412, 416, 429, 206].map(|code| status(&NAMED, code, "").err())
                => [NotStored::Status, NotStored::Status, NotStored::Status, NotStored::Status, NotStored::Partial].map(Some);

        // It beats nothing but the lifetime
        a_ttl_does_not_beat_no_store: lived(&NAMED, "no-store") => Err(NotStored::NoStore);
        a_ttl_does_not_beat_private: lived(&NAMED, "private, max-age=60") => Err(NotStored::Private);
        a_ttl_does_not_beat_no_cache: lived(&NAMED, "no-cache, max-age=60") => Ok((0, Rule));
        a_ttl_does_not_beat_set_cookie: refused(&NAMED, &[("set-cookie", "a=b")]) => Some(NotStored::SetCookie);
        a_ttl_does_not_beat_authorization: asked(&NAMED, ("authorization", "x")) => Err(NotStored::Authorization);
        a_ttl_does_not_beat_vary_star: refused(&NAMED, &[("vary", "*")]) => Some(NotStored::VaryStar);
        a_ttl_does_not_beat_the_no_store_of_the_request: asked(&NAMED, ("cache-control", "no-store")) => Err(NotStored::NoStore);
        a_ttl_makes_nothing_younger:
            Trial::get(&[("age", "90"), ("date", NOW_DATE)]).under(&TTL).map(|life| (life.lifetime, life.initial_age)) => Ok((500, 90));
        what_is_older_than_its_ttl_and_every_window_is_no_use:
            refused(&Override { if_error: Some(0), ..TTL }, &[("age", "500")]) => Some(NotStored::NoLifetime);

        // What a rule sets aside (RFC 9111 §5.2.2.4, §5.2.2.5, §5.2.2.7, §7.3, §3.5)
        no_store_is_set_aside: lived(&ignoring(Ignore { no_store: true, ..NOTHING }), "no-store") => Ok((500, Rule));
        private_is_set_aside: lived(&ignoring(Ignore { private: true, ..NOTHING }), "private") => Ok((500, Rule));
        no_cache_is_set_aside: lived(&ignoring(Ignore { no_cache: true, ..NOTHING }), "no-cache") => Ok((500, Rule));
        no_cache_set_aside_leaves_what_the_origin_says_beside_it:
            lived(&Override { ignore: Ignore { no_cache: true, ..NOTHING }, ..NONE }, "no-cache, max-age=60") => Ok((60, MaxAge));
        each_is_set_aside_alone:
            [lived(&ignoring(Ignore { no_store: true, no_cache: true, ..NOTHING }), "no-store, private"),
             lived(&ignoring(Ignore { private: true, ..NOTHING }), "no-store, private")]
                => [Err(NotStored::Private), Err(NotStored::NoStore)];
        no_store_of_the_request_is_not_set_aside_with_that_of_the_response:
            asked(&ignoring(Ignore { no_store: true, ..NOTHING }), ("cache-control", "no-store")) => Err(NotStored::NoStore);
        a_cookie_is_set_aside:
            refused(&ignoring(Ignore { set_cookie: true, ..NOTHING }), &[("set-cookie", "a=b")]) => None;
        a_cookie_that_is_stripped_is_no_reason: refused(&STRIP, &[("set-cookie", "a=b")]) => None;
        stripping_a_cookie_gives_no_lifetime:
            refused(&Override { strip_set_cookie: true, ..NONE }, &[("set-cookie", "a=b")]) => Some(NotStored::NoLifetime);
        credentials_are_set_aside: asked(&SHARE, ("authorization", "x")) => Ok(true);
        what_came_without_credentials_is_then_shared_too: asked(&SHARE, ("accept", "x")) => Ok(true);
        the_directives_of_the_request_are_set_aside: asked(&DEAF, ("cache-control", "no-store")) => Ok(false);

        // Refusals
        a_rule_refuses: lived(&refusing(NotStored::Rule), "max-age=60") => Err(NotStored::Rule);
        deception_has_its_own_name: lived(&refusing(NotStored::Deception), "max-age=60") => Err(NotStored::Deception);
        a_rule_that_refuses_gives_the_reason_before_the_origin: lived(&refusing(NotStored::Rule), "no-store") => Err(NotStored::Rule);
        what_can_never_be_stored_gives_the_reason_before_a_rule:
            status(&refusing(NotStored::Rule), 206, "") => Err(NotStored::Partial);

        // Windows (RFC 5861, RFC 9111 §4.2.4)
        a_rule_replaces_the_windows_of_the_origin:
            windows(&WINDOWS, 200, "max-age=1, stale-while-revalidate=5, stale-if-error=6") => Ok((7, 8));
        a_rule_replaces_the_defaults: windows(&WINDOWS, 200, "max-age=1") => Ok((7, 8));
        a_rule_opens_windows_beside_s_maxage: windows(&WINDOWS, 200, "s-maxage=1") => Ok((7, 8));
        a_rule_closes_windows:
            windows(&Override { while_revalidate: Some(0), if_error: Some(0), ..NONE }, 200, "max-age=1, stale-while-revalidate=5")
                => Ok((0, 0));
        a_rule_opens_no_window_where_stale_is_forbidden:
            ["must-revalidate", "proxy-revalidate", "no-cache"].map(|cc| windows(&WINDOWS, 200, &format!("max-age=9, {cc}")))
                => [Ok((0, 0)); 3];
        a_rule_opens_windows_where_no_cache_is_set_aside:
            windows(&Override { ignore: Ignore { no_cache: true, ..NOTHING }, ..WINDOWS }, 200, "no-cache, max-age=1") => Ok((7, 8));
        a_stored_error_bridges_errors_only_if_it_says_so:
            [windows(&WINDOWS, 503, "max-age=9"), windows(&WINDOWS, 503, "max-age=9, stale-if-error=6")]
                => [Ok((7, 0)), Ok((7, 6))];
        a_ttl_beside_s_maxage_opens_no_window: windows(&TTL, 200, "s-maxage=1") => Ok((0, 0));
        a_huge_window_is_cut: windows(&Override { if_error: Some(u32::MAX), ..NONE }, 200, "max-age=1") => Ok((0, 1 << 31));

        // RFC 9111 §5.2.2.10: a ttl replaces the lifetime of s-maxage, not what it says of stale
        s_maxage_beats_max_stale_under_a_ttl: max_stale(&TTL, "s-maxage=60") => Ok(Reuse::Validate(MissWhy::Expired));
        max_stale_is_served_under_a_ttl: max_stale(&TTL, "max-age=60") => Ok(Reuse::StaleAsked);
    }

    fn overrides() -> impl Strategy<Value = Override> {
        let seconds = || prop::option::of(prop_oneof![0u32..300, Just(u32::MAX)]);
        let ttl = prop::option::of((0u32..300, any::<bool>()));
        let refuse = prop::option::of(prop::sample::select(vec![NotStored::Rule, NotStored::Deception]));
        (ttl, seconds(), seconds(), refuse, any::<(bool, bool, bool)>()).prop_map(
            |(ttl, while_revalidate, if_error, refuse, (ignore_request, strip_set_cookie, authorization))| {
                Override {
                    ttl: ttl.map(|(seconds, named)| Ttl { seconds, named }),
                    while_revalidate,
                    if_error,
                    ignore: Ignore { authorization, ..NOTHING },
                    refuse,
                    ignore_request,
                    strip_set_cookie,
                }
            },
        )
    }

    fn directives() -> impl Strategy<Value = String> {
        let one = "(no-store|private|no-cache|public|must-revalidate|proxy-revalidate|s-maxage=5|max-age=60|stale-if-error=9)";
        prop::collection::vec(one, 0..4).prop_map(|list| list.join(", "))
    }

    proptest! {
        #[test]
        fn no_rule_beats_what_it_does_not_set_aside(rule in overrides(), cc in directives(), code in 200u16..600) {
            let fields = [("cache-control", cc.as_str()), ("etag", "\"a\"")];
            let judged = Trial::get(&fields).status(code).stored_under(&rule);
            if cc.contains("private") || cc.contains("no-store") || rule.refuse.is_some() {
                prop_assert!(judged.is_err());
            }
            if let Ok(times) = judged {
                let forbidden = ["no-cache", "must-revalidate", "proxy-revalidate"].iter().any(|d| cc.contains(d));
                let fresh = reuse(&times, &RequestDirectives::default(), NOW) == Reuse::Fresh;
                prop_assert!(!(fresh && cc.contains("no-cache")));
                prop_assert!(!(forbidden && may_serve_on_error(&times, NOW + 1_000)));
            }
        }

        #[test]
        fn what_changes_nothing_changes_nothing(cc in directives(), code in 200u16..600) {
            let fields = [("cache-control", cc.as_str()), ("set-cookie", "a=b"), ("age", "3")];
            for fields in [&fields[..], &fields[..1]] {
                let trial = Trial::get(fields).status(code);
                prop_assert_eq!(trial.under(&Override::default()), trial.store());
            }
        }
    }
}
