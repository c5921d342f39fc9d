//! Decides what shall happen to a request: pure, so that serving executes what `explain` prints.

use crate::cache::Ask;
use crate::cache::key::Recipe;
use crate::cache::policy::{self, RequestDirectives};
use crate::http::fields::Fields;
use crate::http::request::{Framing, RequestView, Scheme};
use crate::plan::{Plan, Ruled};
use crate::route::{Subject, hides_dot_segments};
use crate::setup;
use crate::verdict::{Action, Answer, By, BypassWhy, CacheUse, Decision, Key, Refused, Terms};

/// The status that sends a client to https: permanent, and it keeps the method (RFC 9110 §15.4.9), where many a client
/// makes a GET of whatever a 301 answered.
const TO_HTTPS: u16 = 308;

/// What shall happen to a well-formed request under a plan; `https` is the port to which its listener sends those that
/// come over http. Counts nothing, spends nothing and allocates nothing.
pub fn decide(plan: &Plan, recipe: &Recipe, view: &RequestView<'_>, https: Option<u16>) -> Decision {
    let subject = Subject::of(view);
    let route = plan.find(&subject);
    let Some(setup) = plan.routes.get(route).map(|route| &*route.setup) else {
        return answer(route, 404, By::Route, BypassWhy::Off);
    };
    if hides_dot_segments(view.path) {
        return answer(route, 400, By::Refusal(Refused::BadRequest), BypassWhy::Off);
    }
    if let Some(port) = https.filter(|_| view.scheme == Scheme::Http) {
        return match view.host {
            // HTTP/1.0 names none, and without one there is nowhere to go.
            "" => answer(route, 400, By::Refusal(Refused::BadRequest), BypassWhy::Off),
            _ => answer(route, TO_HTTPS, By::Listener(port), BypassWhy::Off),
        };
    }
    if too_large(plan, route, view) {
        return answer(route, 413, By::Refusal(Refused::BodyTooLarge), BypassWhy::Body);
    }
    if let setup::Action::Answer(own) = &setup.action {
        return answer(route, own.status, By::Route, BypassWhy::Off);
    }
    if let setup::Action::Files(_) = &setup.action {
        return of_files(route, view);
    }
    let terms = setup.rules.as_ref().map(|rules| rules.request(&subject)).unwrap_or_default();
    let cache = cache_use(&plan.ruled(route, terms), recipe, view);
    Decision { route, action: Action::Proxy, cache, terms }
}

/// Files are read, and nothing else (RFC 9110 §9.1): what else is asked of them is told so.
fn of_files(route: usize, view: &RequestView<'_>) -> Decision {
    match view.method {
        "GET" | "HEAD" => {
            let cache = CacheUse::Bypass(BypassWhy::Off);
            Decision { route, action: Action::Files, cache, terms: Terms::default() }
        }
        "OPTIONS" => answer(route, 204, By::Route, BypassWhy::Off),
        _ => answer(route, 405, By::Route, BypassWhy::Off),
    }
}

fn answer(route: usize, status: u16, by: By, why: BypassWhy) -> Decision {
    let action = Action::Answer(Answer { status, by });
    Decision { route, action, cache: CacheUse::Bypass(why), terms: Terms::default() }
}

fn too_large(plan: &Plan, route: usize, view: &RequestView<'_>) -> bool {
    matches!(view.framing, Framing::Length(length) if length > plan.max_body(route))
}

fn cache_use(ruled: &Ruled<'_>, recipe: &Recipe, view: &RequestView<'_>) -> CacheUse {
    let why = match ruled.rules {
        None => Some(BypassWhy::Off),
        _ if view.upgrade => Some(BypassWhy::Upgrade),
        _ if !view.is_get_or_head() => Some(BypassWhy::Method),
        // RFC 9110 §9.3.1: a GET body has no defined meaning, and the key cannot cover it.
        _ if view.framing != Framing::None => Some(BypassWhy::Body),
        Some(rules) if rules.bypass(ruled.terms) => Some(BypassWhy::Rule),
        _ if directives(ruled, view.fields).no_store => Some(BypassWhy::RequestNoStore),
        _ => None,
    };
    why.map_or_else(|| CacheUse::Use(recipe.of(view, &ruled.parts())), CacheUse::Bypass)
}

/// What the request wants of the cache, where it is heard.
fn directives(ruled: &Ruled<'_>, fields: Fields<'_>) -> RequestDirectives {
    if ruled.follows_request_directives() {
        policy::request_directives(fields)
    } else {
        RequestDirectives::default()
    }
}

/// What a request with these fields asks of the cache at a time, in seconds since 1970.
pub fn ask<'a>(ruled: &Ruled<'_>, fields: Fields<'a>, key: &'a Key, now: u64) -> Ask<'a> {
    Ask {
        key,
        fields,
        directives: directives(ruled, fields),
        with_credentials: fields.has("authorization"),
        collapse: ruled.collapse(),
        now,
    }
}
