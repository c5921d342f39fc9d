//! All rules of one file, and which of them decide a request.

use super::candidates::Candidates;
use super::rule::{REQUEST_ONLY, Rule};
use super::when::{Known, Response};
use crate::route::Subject;
use crate::verdict::{Setting, Terms};
use std::fmt;

/// Rules in the order of their file.
pub struct RuleSet {
    rules: Vec<Rule>,
    /// What each rule may set, a bit for each setting.
    settings: Vec<u32>,
    /// Rules whose conditions name the request alone.
    at_request: Candidates,
    /// Rules whose conditions name the response.
    at_response: Candidates,
}

/// Whether a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// It needs the response, which is not there.
    Later,
    /// It does not.
    No,
    /// It does.
    Yes,
}

/// What became of one rule, for `explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Position of the rule.
    pub rule: usize,
    /// Whether it matches.
    pub matched: Matched,
    /// The condition that settled it.
    pub because: String,
}

impl RuleSet {
    /// How many rules a set may have. Whoever reads rules refuses more; from here on they would change nothing.
    pub const MOST: usize = Terms::MOST_RULES;

    /// Makes rules ready to be asked.
    pub fn open(rules: Vec<Rule>) -> Self {
        let phase = |response: bool| {
            let rules = rules.iter().enumerate().map(|(at, rule)| (at, &rule.when));
            Candidates::open(rules.filter(move |(_, when)| when.is_response() == response))
        };
        let (at_request, at_response) = (phase(false), phase(true));
        let settings = rules.iter().map(may_set).collect();
        Self { rules, settings, at_request, at_response }
    }

    /// The rules, in the order of their file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the rules on the request decide. Allocates nothing; rules for other hosts and paths cost nothing.
    pub fn request(&self, subject: &Subject<'_>) -> Terms {
        let mut terms = Terms::default();
        self.visit(&self.at_request, subject, Known::Request, |rule| self.apply(rule, &mut terms));
        terms
    }

    /// Adds what the rules on the response decide to what [`Self::request`] gave. Of two rules that set the same the
    /// later one in the file decides, whichever was asked first.
    pub fn response(&self, terms: Terms, subject: &Subject<'_>, response: &Response<'_>) -> Terms {
        let mut terms = terms;
        let known = Known::Response(response);
        self.visit(&self.at_response, subject, known, |rule| self.apply(rule, &mut terms));
        terms
    }

    /// What becomes of every rule, in the order of the file. Without a response, a rule that waits for it is
    /// [`Matched::Later`], unless the request alone shows that it cannot match.
    pub fn trace(&self, subject: &Subject<'_>, response: Option<&Response<'_>>) -> Vec<Traced> {
        let known = response.map_or(Known::Request, Known::Response);
        let trace = |(at, rule): (usize, &Rule)| {
            let holds = rule.when.value(subject, known);
            let because = rule.when.because(subject, known, holds);
            let waits = response.is_none() && rule.when.is_response();
            let (matched, because) = match holds {
                Some(false) => (Matched::No, because),
                Some(true) if waits => (Matched::Later, format!("{because}; applies to the response")),
                Some(true) => (Matched::Yes, because),
                None => (Matched::Later, because),
            };
            Traced { rule: at, matched, because }
        };
        self.rules.iter().enumerate().map(trace).collect()
    }

    /// The rules on the request that may match when only the URL is known (scheme, host, port, path and query), in
    /// the order of the file: whether a method, field, cookie or client fits is left open.
    pub fn possible(&self, subject: &Subject<'_>) -> impl Iterator<Item = usize> + use<> {
        let mut possible = Vec::new();
        self.at_request.visit(subject, |rule, settled| {
            if settled || self.rules[rule].when.value(subject, Known::Url) != Some(false) {
                possible.push(rule);
            }
        });
        possible.sort_unstable();
        possible.dedup();
        possible.into_iter()
    }

    /// Calls `matches` for every rule of a phase that matches, some of them twice.
    fn visit(
        &self,
        phase: &Candidates,
        subject: &Subject<'_>,
        known: Known<'_>,
        mut matches: impl FnMut(usize),
    ) {
        phase.visit(subject, |rule, settled| {
            if settled || self.rules[rule].when.value(subject, known) == Some(true) {
                matches(rule);
            }
        });
    }

    /// What a rule may set in its phase, a bit for each setting.
    pub(super) fn may_set(&self, rule: usize) -> u32 {
        self.settings[rule]
    }

    fn apply(&self, rule: usize, terms: &mut Terms) {
        let mut left = self.settings[rule];
        while left != 0 {
            terms.set(Setting::ALL[left.trailing_zeros() as usize], rule);
            left &= left - 1;
        }
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.rules).finish()
    }
}

/// What a rule may set in its phase. What only matters before a fetch cannot be set by its response.
fn may_set(rule: &Rule) -> u32 {
    let late = rule.when.is_response();
    let settings = rule.then.settings();
    settings
        .filter(|setting| !(late && REQUEST_ONLY.contains(setting)))
        .fold(0, |bits, setting| bits | 1 << setting.index())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::ValueTest;
    use crate::rules::fixture::{Answered, Asked, edge, get, header, host, method, path, rule, status};
    use crate::rules::{Then, When};

    fn edge_of(set: &RuleSet, asked: &Asked) -> Option<usize> {
        asked.with(|subject| set.request(subject)).get(Setting::Edge)
    }

    #[test]
    fn a_rule_on_the_response_yields_to_a_later_one_on_the_request() {
        let set = RuleSet::open(vec![
            rule("a", path(&["/"]), Then { browser: Some(1), ..edge(1) }),
            rule("b", status(&["404"]), Then { browser: Some(2), ..edge(2) }),
            rule("c", path(&["/c"]), edge(3)),
        ]);
        let decided = |asked: Asked, status: u16| {
            let answered = Answered { status, fields: Vec::new() };
            let terms = asked.with(|s| answered.with(|response| set.response(set.request(s), s, response)));
            (terms.get(Setting::Edge), terms.get(Setting::Browser))
        };
        assert_eq!(decided(get("/c"), 404), (Some(2), Some(1)));
        assert_eq!(decided(get("/d"), 404), (Some(1), Some(1)));
        assert_eq!(decided(get("/d"), 200), (Some(0), Some(0)));
    }

    #[test]
    fn a_response_sets_nothing_that_was_needed_before_it() {
        let then = Then { bypass: Some(true), collapse: Some(false), ..edge(1) };
        let set = RuleSet::open(vec![rule("a", status(&["200"]), then)]);
        let answered = Answered { status: 200, fields: Vec::new() };
        let terms = get("/").with(|s| answered.with(|response| set.response(set.request(s), s, response)));
        assert!(!set.bypass(terms) && set.collapse(terms));
        assert_eq!(terms.get(Setting::Edge), Some(0));
    }

    #[test]
    fn rules_are_found_by_every_place_they_need() {
        let either = When::Any(vec![host(&["b.com"]), path(&["/b"])]);
        let both = When::All(vec![either.clone(), path(&["/x/", "/b"]), host(&["*.com", "b.com"])]);
        let set = RuleSet::open(vec![rule("a", either, edge(1)), rule("b", both, edge(2))]);
        let of = |host, path| edge_of(&set, &Asked { host, ..get(path) });
        assert_eq!(of("b.com", "/x/y"), Some(1));
        assert_eq!(of("b.com", "/y"), Some(0));
        assert_eq!(of("a.com", "/b"), Some(1));
        assert_eq!(of("a.org", "/b"), Some(0));
        assert_eq!(of("a.com", "/x/y"), None);
    }

    #[test]
    fn what_the_url_leaves_open_is_possible() {
        let set = RuleSet::open(vec![
            rule("a", When::All(vec![path(&["/a"]), method(&["POST"])]), edge(1)),
            rule("b", header("x", ValueTest::Present), edge(1)),
            rule("c", path(&["/c"]), edge(1)),
            rule("d", status(&["404"]), edge(1)),
            rule("e", path(&["/", "/a"]), edge(1)),
        ]);
        let possible: Vec<usize> = get("/a").with(|subject| set.possible(subject).collect());
        assert_eq!(possible, [0, 1, 4]);
    }
}
