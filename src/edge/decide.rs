//! Decides what shall happen to a request: pure, so that serving executes what `explain` prints.

use crate::cache::key::Recipe;
use crate::cache::policy;
use crate::http::request::{Framing, RequestView};
use crate::plan::{Plan, Route};
use crate::verdict::{Action, Answer, BypassWhy, CacheUse, Decision, Refused};

/// What shall happen to a well-formed request under a plan. Counts nothing and spends nothing.
pub fn decide(plan: &Plan, recipe: &Recipe, view: &RequestView<'_>) -> Decision {
    let route = 0;
    if too_large(plan, view) {
        let answer = Answer { status: 413, refused: Some(Refused::BodyTooLarge) };
        return Decision { route, action: Action::Answer(answer), cache: CacheUse::Bypass(BypassWhy::Body) };
    }
    let cache = cache_use(plan.routes.get(route), recipe, view);
    Decision { route, action: Action::Proxy, cache }
}

fn too_large(plan: &Plan, view: &RequestView<'_>) -> bool {
    matches!(view.framing, Framing::Length(length) if length > plan.limits.max_body)
}

fn cache_use(route: Option<&Route>, recipe: &Recipe, view: &RequestView<'_>) -> CacheUse {
    let why = if !route.is_some_and(|r| r.cache) {
        Some(BypassWhy::Off)
    } else if view.upgrade {
        Some(BypassWhy::Upgrade)
    } else if !view.is_get_or_head() {
        Some(BypassWhy::Method)
    } else if view.framing != Framing::None {
        // RFC 9110 §9.3.1: a GET body has no defined meaning, and the key cannot cover it.
        Some(BypassWhy::Body)
    } else if policy::request_directives(view.fields).no_store {
        Some(BypassWhy::RequestNoStore)
    } else {
        None
    };
    why.map_or_else(|| CacheUse::Use(recipe.of(view)), CacheUse::Bypass)
}
