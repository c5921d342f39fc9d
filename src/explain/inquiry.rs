//! Asks everything that decides about a request what it decides and why. Decides nothing itself.

use super::explained::{
    Action, Cache as CachePart, Explained, Files, Now, Object, Other, Part, Route, Rule, Set,
};
use super::fate;
use super::question::Question;
use crate::cache::key::{self, describe};
use crate::cache::object;
use crate::cache::{Ask, Cache, Found, policy};
use crate::edge::decide::{ask, decide};
use crate::edge::rehearse::Given;
use crate::edge::turn::{self, Turn};
use crate::edge::{file, https_url, offhand};
use crate::files;
use crate::http::fields::Fields;
use crate::http::request::{RequestView, Scheme};
use crate::plan::{Listener, Plan, Ruled};
use crate::route::Subject;
use crate::rules::{Matched, Response, Traced};
use crate::setup;
use crate::verdict::{self, Answer, By, CacheUse, Decision, Key, Kind, Reason, StaleWhy, Stored, Terms};
use std::sync::Arc;

/// Explains a request under a plan, with what a cache holds at a time, in seconds since 1970. Nothing is changed, and
/// no visit counted.
pub fn explain(plan: &Plan, cache: &Cache, question: &Question, now: u64) -> Explained {
    question.request.with(|view| {
        let (https, redirecting) = redirects(plan, view);
        let decision = decide(plan, &cache.recipe(), view, https);
        Explained { redirecting, ..Inquiry { plan, cache, view, decision, now }.explained(question) }
    })
}

/// Where every listener that the request may come in by sends it, if each sends it to https; otherwise the names of
/// those that do.
fn redirects(plan: &Plan, view: &RequestView<'_>) -> (Option<u16>, Vec<String>) {
    let plain = |listener: &&Listener| !listener.closed && !listener.secure && view.scheme == Scheme::Http;
    let (some, others): (Vec<&Listener>, Vec<_>) =
        plan.listeners.iter().filter(plain).partition(|listener| listener.redirect_https.is_some());
    match some.first() {
        Some(first) if others.is_empty() => (first.redirect_https, Vec::new()),
        _ => (None, some.iter().map(|listener| listener.name.to_string()).collect()),
    }
}

/// One request under inquiry.
pub(super) struct Inquiry<'a> {
    pub(super) plan: &'a Plan,
    pub(super) cache: &'a Cache,
    pub(super) view: &'a RequestView<'a>,
    pub(super) decision: Decision,
    pub(super) now: u64,
}

impl Inquiry<'_> {
    fn explained(&self, question: &Question) -> Explained {
        let mut explained = Explained {
            method: self.view.method.to_owned(),
            url: question.request.url(),
            route: self.route(),
            redirecting: Vec::new(),
            action: self.action(),
            rules: Vec::new(),
            rule: None,
            cache: self.cache_part(),
            gates: Vec::new(),
            front: offhand::candidate(&self.decision, self.view)
                .and_then(|_| offhand::whole(self.view.fields)),
            now: self.stored_now(),
            response: None,
        };
        let mut terms = self.decision.terms;
        let rules_apply = self.decision.action == verdict::Action::Proxy;
        if let Some(given) = question.response.as_ref().filter(|_| rules_apply) {
            let (response, judged) = fate::response(self, given);
            terms = judged;
            explained.response = Some(response);
        }
        if rules_apply {
            let given = question.response.as_ref();
            let list = given.map(Given::received).unwrap_or_default();
            let raw: Vec<_> = list.iter().map(|(name, value)| httparse::Header { name, value }).collect();
            explained.rules = self.rules(terms, given.map(|given| (given.status, Fields::Raw(&raw))));
            let ruled = self.plan.ruled(self.decision.route, terms);
            explained.rule = ruled.name().map(|name| name.to_string());
        }
        explained
    }

    fn route(&self) -> Route {
        let considered = self.plan.table.explain(&Subject::of(self.view));
        let setup = self.plan.routes.get(self.decision.route).map(|route| &*route.setup);
        let number = (self.decision.route != self.plan.nowhere()).then_some(self.decision.route + 1);
        let won = considered.iter().find(|route| Some(route.route + 1) == number);
        let others = considered.iter().filter(|route| Some(route.route + 1) != number);
        Route {
            number,
            name: setup.map_or("", |setup| &setup.name).to_owned(),
            place: setup.map_or("", |setup| &setup.place).to_owned(),
            because: won
                .map_or_else(|| "no route takes this request".to_owned(), |route| route.because.clone()),
            others: others
                .map(|other| Other {
                    number: other.route + 1,
                    name: self.plan.route_name(other.route).to_owned(),
                    matched: other.matched,
                    because: other.because.clone(),
                    beaten: other.beaten.clone(),
                })
                .collect(),
        }
    }

    fn action(&self) -> Action {
        let setup = self.plan.routes.get(self.decision.route).map(|route| &*route.setup);
        match (self.decision.action, setup.map(|setup| &setup.action)) {
            (verdict::Action::Proxy, Some(setup::Action::Upstream(name))) => {
                Action::Upstream(name.to_string())
            }
            (verdict::Action::Answer(Answer { status, by: By::Listener(port) }), _) => {
                Action::Redirect(status, https_url(port, self.view))
            }
            (verdict::Action::Answer(answer), _) if self.decision.route == self.plan.nowhere() => {
                Action::Nobody(answer.status)
            }
            (verdict::Action::Answer(answer), _) => Action::Answer(answer.status),
            (verdict::Action::Files, Some(setup::Action::Files(settings))) => {
                Action::Files(self.files(settings))
            }
            (verdict::Action::Files | verdict::Action::Proxy, _) => Action::Upstream(String::new()),
        }
    }

    /// Which file the path means. The disk is not looked at.
    fn files(&self, settings: &files::Settings) -> Files {
        let root = &settings.root;
        let path = |name: &str| root.join(name).display().to_string();
        let tried = match file::name(self.plan, self.decision.route, self.view.path) {
            Ok(name) if !name.is_folder => Ok(vec![path(&name.text)]),
            Ok(name) if settings.index.is_empty() => Ok(vec![path(&name.text)]),
            Ok(name) => {
                let folder = if name.text.is_empty() { String::new() } else { format!("{}/", name.text) };
                Ok(settings.index.iter().map(|index| path(&format!("{folder}{index}"))).collect())
            }
            Err(files::Refused) => Err(self.refused_name()),
        };
        Files { root: root.display().to_string(), tried }
    }

    /// Why the path names nothing that is served.
    fn refused_name(&self) -> String {
        let rewrite =
            self.plan.routes.get(self.decision.route).and_then(|route| route.setup.rewrite.as_ref());
        let path = rewrite.map_or(self.view.path.into(), |rewrite| rewrite.apply(self.view.path));
        let why = match files::Name::parse(&path, true) {
            Ok(_) => "hidden files are not served",
            Err(files::Refused) => {
                "it leads above the folder, is too long, or has a byte or an escape that no name has"
            }
        };
        format!("{path} names nothing: {why}")
    }

    fn cache_part(&self) -> CachePart {
        let key = match &self.decision.cache {
            CacheUse::Bypass(why) => return CachePart::Bypass(*why),
            CacheUse::Use(_) => describe(self.view, &self.ruled().parts()),
        };
        let part = |part: key::Part| Part { what: part.what, value: part.value, note: part.note };
        CachePart::Key(key.into_iter().map(part).collect())
    }

    fn ruled(&self) -> Ruled<'_> {
        self.plan.ruled(self.decision.route, self.decision.terms)
    }

    fn rules(&self, terms: Terms, response: Option<(u16, Fields<'_>)>) -> Vec<Rule> {
        let Some(set) = self.ruled().rules else { return Vec::new() };
        let response = response.map(|(status, fields)| Response { status, fields });
        let traced = set.trace(&Subject::of(self.view), response.as_ref());
        let rule = |traced: Traced| {
            let rule = set.rules().get(traced.rule)?;
            let sets = rule.then.describe().into_iter().map(|(setting, value)| Set {
                setting: setting.as_str(),
                value,
                decides: traced.matched == Matched::Yes && terms.get(setting) == Some(traced.rule),
            });
            Some(Rule {
                name: rule.name.to_string(),
                place: rule.place.to_string(),
                matched: traced.matched,
                because: traced.because,
                sets: sets.collect(),
            })
        };
        traced.into_iter().filter_map(rule).collect()
    }

    fn stored_now(&self) -> Option<Now> {
        let CacheUse::Use(key) = &self.decision.cache else { return None };
        let ask = ask(&self.ruled(), self.view.fields, key, self.now);
        Some(now(self.cache, key, &ask))
    }
}

fn now(cache: &Cache, key: &Key, ask: &Ask<'_>) -> Now {
    let found = cache.glance(ask);
    let object = match &found {
        Found::Hit(object) | Found::Stale(object, _) | Found::Miss(_, Some(object)) => Some(object.clone()),
        Found::Filling(_) | Found::Forbidden | Found::HitForMiss(_) | Found::Miss(_, None) => None,
    };
    let (kind, reason, stored) = match turn::turn(found, &ask.directives) {
        Turn::Fetch(why, _) | Turn::Nothing(why) => (Kind::Miss, Reason::Miss(why), None),
        Turn::Join(_) => (Kind::Collapsed, Reason::None, None),
        Turn::Refresh(_) => (Kind::Stale, Reason::Stale(StaleWhy::Revalidating), None),
        Turn::Serve(_, kind, reason) => (kind, reason, None),
        Turn::Straight(kind, reason, stored) => (kind, reason, stored),
    };
    let not_shared = match stored {
        Some(Stored::No(why)) => Some(why),
        Some(Stored::Yes) | None => None,
    };
    let object = object.map(|object| described(&object, ask.now));
    Now { kind, reason, not_shared, object, variants: cache.variants(key) }
}

fn described(object: &Arc<object::Object>, now: u64) -> Object {
    let head = &object.head;
    Object {
        status: head.status,
        age: policy::age(&head.times, now),
        ttl: policy::ttl(&head.times, now),
        size: object.body.len(),
        rule: head.ruled.rule.as_ref().map(|rule| rule.to_string()),
        tags: head.ruled.tags.iter().flat_map(|tags| tags.iter()).map(|tag| tag.to_string()).collect(),
    }
}
