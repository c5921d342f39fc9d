//! Forgets what is stored for a URL, under every key that the rules may have made of it.

use crate::cache::Cache;
use crate::http::fields::Fields;
use crate::http::request::{Framing, Protocol, RequestView, Scheme};
use crate::plan::Plan;
use crate::route::Subject;
use crate::rules::RuleSet;
use crate::verdict::Key;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A URL in parts.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its scheme.
    pub scheme: Scheme,
    /// Its host, without port.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// Its path.
    pub path: &'a str,
    /// Its query.
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// The URL of a request.
    pub fn of(view: &RequestView<'a>) -> Self {
        Self { scheme: view.scheme, host: view.host, port: view.port, path: view.path, query: view.query }
    }

    /// The least of a request for it.
    pub fn view(&self) -> RequestView<'a> {
        RequestView {
            method: "GET",
            scheme: self.scheme,
            host: self.host,
            port: self.port,
            path: self.path,
            query: self.query,
            protocol: Protocol::Http11,
            fields: Fields::Raw(&[]),
            framing: Framing::None,
            upgrade: false,
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }
}

/// Forgets it, every variant and every key; gives how many stored responses and fetches that were.
pub fn forget(cache: &Cache, plan: &Plan, target: &Target<'_>, now: u64) -> usize {
    let recipe = cache.recipe();
    let key = |query| recipe.url(target.scheme, target.host, target.port, target.path, target.query, query);
    let mut keys: Vec<Key> = vec![key(None)];
    let view = target.view();
    let subject = Subject::of(&view);
    let mut extras = false;
    // What a rule wants to know beside the URL (a header, a client) nobody can say here: it counts as if it held.
    for rules in rule_sets(plan) {
        for rule in rules.possible(&subject) {
            extras |= rules.has_extras(rule);
            let key = rules.query_of(rule).map(|query| key(Some(query)));
            keys.extend(key.filter(|key| !keys.contains(key)));
        }
    }
    cache.purge_url(&keys, extras, now)
}

/// Every set of rules once, however many routes share it.
fn rule_sets(plan: &Plan) -> Vec<&Arc<RuleSet>> {
    let mut sets: Vec<&Arc<RuleSet>> =
        plan.routes.iter().filter_map(|route| route.setup.rules.as_ref()).collect();
    sets.sort_by_key(|set| Arc::as_ptr(set));
    sets.dedup_by_key(|set| Arc::as_ptr(set));
    sets
}
