//! Turns "this rule decides that setting" into the value that the rule gives it.

use super::cookies::StripCookies;
use super::rule::{Rule, Store, Then};
use super::set::RuleSet;
use crate::cache::key::{Parts, QueryRecipe};
use crate::cache::policy::{Override, Ttl};
use crate::http::accept_encoding::Coding;
use crate::route::Edits;
use crate::verdict::{NotStored, Setting, Terms};
use std::sync::Arc;

/// A setting that no rule decides has the value that changes nothing.
impl RuleSet {
    /// Whether the cache is left out.
    pub fn bypass(&self, terms: Terms) -> bool {
        self.decided(terms, Setting::Bypass, |then| then.bypass).unwrap_or(false)
    }

    /// Which parts of the request make its key.
    pub fn parts(&self, terms: Terms) -> Parts<'_> {
        Parts {
            query: self.decided(terms, Setting::KeyQuery, |then| then.query.as_ref()),
            headers: self
                .decided(terms, Setting::KeyHeaders, |then| then.headers.as_deref())
                .unwrap_or_default(),
            cookies: self
                .decided(terms, Setting::KeyCookies, |then| then.cookies.as_deref())
                .unwrap_or_default(),
        }
    }

    /// What changes in the caching of a response with this status.
    ///
    /// A status that the deciding `ttl.status` names has that lifetime, whichever rule sets `ttl.edge` and wherever
    /// it stands: naming a status says more than naming none. To take it back, a later rule sets `ttl.status`.
    pub fn policy(&self, terms: Terms, status: u16) -> Override {
        let refuse = match self.decided(terms, Setting::Store, |then| then.store) {
            Some(Store::Deception) => Some(NotStored::Deception),
            Some(Store::No) => Some(NotStored::Rule),
            Some(Store::Yes) | None => None,
        };
        Override {
            ttl: self.ttl(terms, status),
            while_revalidate: self
                .decided(terms, Setting::StaleWhileRevalidate, |then| then.while_revalidate),
            if_error: self.decided(terms, Setting::StaleIfError, |then| then.if_error),
            ignore: self.decided(terms, Setting::Override, |then| then.overrides).unwrap_or_default(),
            refuse,
            ignore_request: !self.follows_request_directives(terms),
            strip_set_cookie: self
                .decided(terms, Setting::StripSetCookie, |then| then.strip_set_cookie)
                .unwrap_or(false),
        }
    }

    fn ttl(&self, terms: Terms, status: u16) -> Option<Ttl> {
        let times = self.decided(terms, Setting::Status, |then| then.status.as_deref());
        let named = times
            .unwrap_or_default()
            .iter()
            .filter(|(range, _)| range.contains(status))
            .min_by_key(|(range, _)| range.width())
            .map(|(_, seconds)| Ttl { seconds: *seconds, named: true });
        let edge = || self.decided(terms, Setting::Edge, |then| then.edge);
        named.or_else(|| edge().map(|seconds| Ttl { seconds, named: false }))
    }

    /// How long browsers are told to keep the response, in seconds; none: as the origin says.
    pub fn browser(&self, terms: Terms) -> Option<u32> {
        self.decided(terms, Setting::Browser, |then| then.browser)
    }

    /// What the stored response can be purged by.
    pub fn tags(&self, terms: Terms) -> &[Box<str>] {
        self.decided(terms, Setting::Tags, |then| then.tags.as_deref()).unwrap_or_default()
    }

    /// Which cookies do not reach the origin.
    pub fn strip_cookies(&self, terms: Terms) -> &StripCookies {
        self.decided(terms, Setting::StripCookies, |then| then.strip_cookies.as_ref())
            .unwrap_or(&StripCookies::No)
    }

    /// The largest body that is stored, in bytes; none: as the store allows.
    pub fn max_object(&self, terms: Terms) -> Option<u64> {
        self.decided(terms, Setting::MaxObject, |then| then.max_object)
    }

    /// Whether requests for the same thing wait for one fetch.
    pub fn collapse(&self, terms: Terms) -> bool {
        self.decided(terms, Setting::Collapse, |then| then.collapse).unwrap_or(true)
    }

    /// Whether the `Cache-Control` of the request is listened to.
    pub fn follows_request_directives(&self, terms: Terms) -> bool {
        self.decided(terms, Setting::RequestDirectives, |then| then.request_directives).unwrap_or(true)
    }

    /// Whether the response is compressed.
    pub fn compress(&self, terms: Terms) -> bool {
        self.decided(terms, Setting::Compress, |then| then.compress).unwrap_or(true)
    }

    /// The compression that the origin is asked for; none: for what is not compressed.
    pub fn accept_encoding(&self, terms: Terms) -> Option<Coding> {
        self.decided(terms, Setting::AcceptEncoding, |then| then.accept_encoding).flatten()
    }

    /// What is changed in the fields of the response.
    pub fn response_headers(&self, terms: Terms) -> Option<&Edits> {
        self.decided(terms, Setting::ResponseHeaders, |then| then.response_headers.as_ref())
    }

    /// The rule that log and metrics name: the one that leaves the cache out, else the last that decides anything.
    pub fn name(&self, terms: Terms) -> Option<&Arc<str>> {
        let bypass = terms.get(Setting::Bypass).filter(|_| self.bypass(terms));
        bypass.or_else(|| terms.last()).and_then(|rule| self.rule(rule)).map(|rule| &rule.name)
    }

    /// How a rule takes the query into the key, if it says anything about that.
    pub fn query_of(&self, rule: usize) -> Option<&QueryRecipe> {
        self.rule(rule)?.then.query.as_ref()
    }

    /// Whether a rule puts fields or cookies into keys.
    pub fn has_extras(&self, rule: usize) -> bool {
        let has = |names: &Option<Vec<Box<str>>>| names.as_ref().is_some_and(|names| !names.is_empty());
        self.rule(rule).is_some_and(|rule| has(&rule.then.headers) || has(&rule.then.cookies))
    }

    /// The rule that decides a setting, for texts that say where a value comes from.
    pub fn deciding(&self, terms: Terms, setting: Setting) -> Option<&Rule> {
        self.rule(terms.get(setting)?)
    }

    fn rule(&self, rule: usize) -> Option<&Rule> {
        self.rules().get(rule)
    }

    fn decided<'r, T>(
        &'r self,
        terms: Terms,
        setting: Setting,
        read: impl Fn(&'r Then) -> Option<T>,
    ) -> Option<T> {
        read(&self.deciding(terms, setting)?.then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::Ignore;
    use crate::rules::When;
    use crate::rules::fixture::{edge, get, path, rule};

    fn always(name: &str, then: Then) -> Rule {
        rule(name, When::All(Vec::new()), then)
    }

    fn decided(rules: Vec<Rule>) -> (RuleSet, Terms) {
        let set = RuleSet::open(rules);
        let terms = get("/a").with(|subject| set.request(subject));
        (set, terms)
    }

    fn times(list: &[(&str, u32)]) -> Then {
        let times = list.iter().map(|(range, seconds)| (range.parse().unwrap(), *seconds)).collect();
        Then { status: Some(times), ..Then::default() }
    }

    fn ttl(rules: Vec<Rule>, status: u16) -> Option<(u32, bool)> {
        let (set, terms) = decided(rules);
        set.policy(terms, status).ttl.map(|ttl| (ttl.seconds, ttl.named))
    }

    fn shown(set: &RuleSet, terms: Terms) -> &str {
        set.name(terms).map_or("", |name| name)
    }

    #[test]
    fn without_rules_nothing_changes() {
        let (set, terms) = decided(Vec::new());
        assert!(terms.is_empty() && !set.bypass(terms));
        assert_eq!(set.policy(terms, 200), Override::default());
        assert!(set.parts(terms).query.is_none() && set.parts(terms).headers.is_empty());
        assert!(set.parts(terms).cookies.is_empty() && set.tags(terms).is_empty());
        assert_eq!((set.browser(terms), set.max_object(terms)), (None, None));
        assert_eq!(set.strip_cookies(terms), &StripCookies::No);
        assert!(set.collapse(terms) && set.follows_request_directives(terms));
        assert!(set.response_headers(terms).is_none());
        assert_eq!(shown(&set, terms), "");
    }

    #[test]
    fn a_status_that_is_named_has_its_own_lifetime_wherever_ttl_edge_stands() {
        let named = || always("a", times(&[("4xx", 60), ("404", 30), ("400-404", 40)]));
        for rules in
            [vec![named(), always("b", edge(90))], vec![always("b", edge(90)), named()], vec![named()]]
        {
            assert_eq!(ttl(rules.clone(), 404), Some((30, true)));
            assert_eq!(ttl(rules.clone(), 403), Some((40, true)));
            assert_eq!(ttl(rules.clone(), 410), Some((60, true)));
            let other = (rules.len() > 1).then_some((90, false));
            assert_eq!(ttl(rules, 200), other);
        }
        let taken_back = vec![named(), always("b", times(&[])), always("c", edge(90))];
        assert_eq!(ttl(taken_back, 404), Some((90, false)));
    }

    #[test]
    fn a_later_rule_overrides_only_what_it_names() {
        let ignore = Ignore { private: true, ..Ignore::default() };
        let first = Then {
            store: Some(Store::No),
            overrides: Some(ignore),
            while_revalidate: Some(5),
            request_directives: Some(false),
            tags: Some(vec!["x".into()]),
            ..edge(60)
        };
        let second =
            Then { store: Some(Store::Yes), strip_set_cookie: Some(true), if_error: Some(7), ..edge(90) };
        let (set, terms) = decided(vec![always("a", first), always("b", second)]);
        let expected = Override {
            ttl: Some(Ttl { seconds: 90, named: false }),
            while_revalidate: Some(5),
            if_error: Some(7),
            ignore,
            refuse: None,
            ignore_request: true,
            strip_set_cookie: true,
        };
        assert_eq!(set.policy(terms, 200), expected);
        assert_eq!((set.tags(terms), shown(&set, terms)), (&["x".into()][..], "b"));
        let refuses = |store| {
            let (set, terms) = decided(vec![always("a", Then { store: Some(store), ..Then::default() })]);
            set.policy(terms, 200).refuse
        };
        assert_eq!(refuses(Store::No), Some(NotStored::Rule));
        assert_eq!(refuses(Store::Deception), Some(NotStored::Deception));
    }

    #[test]
    fn the_rule_that_leaves_the_cache_out_gives_the_name() {
        let bypass = |yes| Then { bypass: Some(yes), ..Then::default() };
        let (set, terms) = decided(vec![always("a", bypass(true)), always("b", edge(1))]);
        assert!(set.bypass(terms));
        assert_eq!(shown(&set, terms), "a");
        let (set, terms) =
            decided(vec![always("a", bypass(true)), always("b", edge(1)), always("c", bypass(false))]);
        assert!(!set.bypass(terms));
        assert_eq!(shown(&set, terms), "c");
        assert_eq!(set.deciding(terms, Setting::Edge).map(|rule| &*rule.name), Some("b"));
    }

    #[test]
    fn terms_of_other_rules_are_harmless() {
        let (_, terms) = decided(vec![always("a", edge(1)), always("b", edge(1))]);
        let (set, _) = decided(vec![rule("c", path(&["/c"]), edge(1))]);
        assert_eq!((shown(&set, terms), set.policy(terms, 200)), ("", Override::default()));
    }
}
