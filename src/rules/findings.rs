//! Rules that can be told to be useless before any request came, for `check`.

use super::implies::{exclude, implies, never};
use super::rule::{Rule, list};
use super::set::RuleSet;
use super::when::When;
use crate::route::{FieldTest, Test, ValueTest};
use std::fmt::Display;

/// Something about a rule that its author wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Position of the rule.
    pub rule: usize,
    /// What is to be said about it.
    pub text: String,
}

/// Pairs of rules that are compared at most, so that checking ten thousand rules takes a second and not a minute.
const MOST_PAIRS: usize = 4_000_000;

impl RuleSet {
    /// Rules that set nothing, that never match, or that never decide anything; at most one finding for each rule, in
    /// the order of the file. What is found is certain; not everything that is useless is found.
    pub fn findings(&self) -> Vec<Finding> {
        let rules = self.rules();
        let window = MOST_PAIRS / rules.len().max(1);
        let finding = |(at, rule): (usize, &Rule)| {
            let text = self.useless(at, rule, window)?;
            Some(Finding { rule: at, text })
        };
        rules.iter().enumerate().filter_map(finding).collect()
    }

    fn useless(&self, at: usize, rule: &Rule, window: usize) -> Option<String> {
        let name = &rule.name;
        if rule.then.settings().next().is_none() {
            return Some(format!("rule `{name}` sets nothing"));
        }
        if never(&rule.when) {
            return Some(format!("rule `{name}` can never match: {}", contradiction(&rule.when)));
        }
        let later = self.rules().iter().enumerate().skip(at + 1).take(window);
        let mut covering = later.filter(|(later, _)| self.overrides(*later, at)).map(|(_, later)| later);
        covering.find(|later| implies(&rule.when, &later.when)).map(|later| {
            format!(
                "rule `{name}` never decides anything: `{}` ({}) comes later, matches whenever it does and \
                 sets the same",
                later.name,
                seen_from(rule, later),
            )
        })
    }

    /// Whether a later rule names all that an earlier one sets, and is decided no later: what the rules on the request
    /// decide may be read before the response is there.
    fn overrides(&self, later: usize, earlier: usize) -> bool {
        let (rules, named) = (self.rules(), self.may_set(later));
        self.may_set(earlier) & !named == 0
            && (rules[earlier].when.is_response() || !rules[later].when.is_response())
    }
}

/// Where the other rule stands: its line, and its file if that is another.
fn seen_from(rule: &Rule, other: &Rule) -> String {
    match (rule.place.rsplit_once(':'), other.place.rsplit_once(':')) {
        (Some((here, _)), Some((there, line))) if here == there => format!("line {line}"),
        _ => other.place.to_string(),
    }
}

/// What keeps a condition from ever holding: two parts of it in words, if there are some.
fn contradiction(when: &When) -> String {
    let members = match when {
        When::All(members) | When::Any(members) => members.as_slice(),
        _ => &[],
    };
    if let Some(member) = members.iter().find(|member| never(member)) {
        return contradiction(member);
    }
    let pairs = members.iter().enumerate().flat_map(|(at, one)| {
        members[at + 1..].iter().filter(|other| exclude(one, other)).map(move |other| (one, other))
    });
    match pairs.filter_map(|(one, other)| words(one).zip(words(other))).next() {
        Some((one, other)) => format!("`{one}` and `{other}` exclude each other"),
        None if members.len() > 1 => "its conditions exclude each other".to_owned(),
        None => "its condition takes nothing".to_owned(),
    }
}

/// A simple condition as it is written.
fn words(when: &When) -> Option<String> {
    let field = |kind: &str, test: &FieldTest| match test.value {
        ValueTest::Absent => format!("no {kind} {}", test.name),
        ValueTest::Is(_) | ValueTest::Present => format!("{kind} {}", test.name),
    };
    match when {
        When::ContentType(patterns) => Some(any_of("content_type", patterns)),
        When::Not(member) => words(member).map(|words| format!("not {words}")),
        When::Request(Test::Cookie(test)) => Some(field("cookie", test)),
        When::Request(Test::Header(test)) => Some(field("header", test)),
        When::Request(Test::Host(hosts)) => Some(any_of("host", hosts)),
        When::Request(Test::Method(methods)) => Some(any_of("method", methods)),
        When::Request(Test::Path(paths)) => Some(any_of("path", paths)),
        When::Request(Test::Query(test)) => Some(field("query", test)),
        When::ResponseHeader(test) => Some(field("response_header", test)),
        When::Status(ranges) => Some(any_of("status", ranges)),
        When::All(_) | When::Any(_) | When::Request(Test::Client(_) | Test::UserAgent(_)) => None,
    }
}

fn any_of<T: Display>(kind: &str, choices: &[T]) -> String {
    format!("{kind} {}", list(choices))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::{content_type, edge, header, host, is, method, not, path, rule, status};
    use crate::rules::{Store, Then};

    fn found(rules: Vec<Rule>) -> Vec<String> {
        RuleSet::open(rules).findings().into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn an_earlier_rule_that_a_later_one_covers_is_named() {
        let rules = vec![
            rule("assets-old", path(&["*.min.js", "/assets/app.css"]), edge(60)),
            rule("b", path(&["/b/"]), edge(60)),
            rule("c", path(&["*.js", "/assets/"]), Then { store: Some(Store::Yes), ..edge(90) }),
        ];
        let set = RuleSet::open(rules);
        let text = "rule `assets-old` never decides anything: `c` (line 24) comes later, matches whenever it does \
and sets the same";
        assert_eq!(set.findings(), [Finding { rule: 0, text: text.to_owned() }]);
        let mut elsewhere = rule("b", When::All(Vec::new()), edge(1));
        elsewhere.place = "cache-rules/all.yaml:9".into();
        let texts = found(vec![rule("a", path(&["/a"]), edge(1)), elsewhere]);
        assert!(texts[0].contains("`b` (cache-rules/all.yaml:9)"), "{texts:?}");
    }

    #[test]
    fn a_rule_that_may_still_decide_something_is_not_accused() {
        let tags = || Then { tags: Some(Vec::new()), ..edge(60) };
        let conditions = |when: When| When::All(vec![path(&["/a/"]), when]);
        for (earlier, later) in [
            (rule("a", path(&["*.js"]), tags()), rule("b", path(&["*.js"]), edge(1))),
            (rule("a", path(&["*.js"]), edge(1)), rule("b", path(&["*.min.js"]), edge(1))),
            (rule("a", path(&["/a/"]), edge(1)), rule("b", conditions(method(&["GET"])), edge(1))),
            // What the request decides may be read before the response is there.
            (
                rule("a", path(&["/a/"]), edge(1)),
                rule("b", When::Any(vec![path(&["/a/"]), status(&["404"])]), edge(1)),
            ),
            (rule("a", header("x", is(&["1"])), edge(1)), rule("b", header("x", is(&["2"])), edge(1))),
            (rule("a", path(&["~^/a/"]), edge(1)), rule("b", path(&["/a/"]), edge(1))),
            (rule("a", not(path(&["*.js"])), edge(1)), rule("b", not(path(&["/a/"])), edge(1))),
        ] {
            assert_eq!(found(vec![earlier.clone(), later.clone()]), [""; 0], "{earlier:?} {later:?}");
        }
    }

    #[test]
    fn covering_is_seen_through_all_any_and_not() {
        let get = || method(&["GET"]);
        for (earlier, later) in [
            (When::All(vec![path(&["/a/b/"]), get()]), path(&["/a/"])),
            (When::Any(vec![path(&["/a/b/"]), path(&["/a/c"])]), path(&["/a/"])),
            (path(&["/a/b/"]), When::Any(vec![get(), path(&["/a/"])])),
            (not(path(&["/a/"])), not(path(&["/a/b/"]))),
            (path(&["/a/"]), not(path(&["/b/"]))),
            (When::All(vec![get(), status(&["404"])]), When::All(vec![status(&["4xx"]), get()])),
            (header("x", is(&["1"])), header("x", ValueTest::Present)),
            (header("x", is(&["1a"])), header("x", is(&["2", "1*"]))),
            (content_type(&["text/html"]), content_type(&["text/*"])),
            (host(&["www.a.com"]), host(&["*.a.com"])),
            (status(&["404"]), path(&["/"])),
        ] {
            let texts = found(vec![rule("a", earlier.clone(), edge(1)), rule("b", later.clone(), edge(1))]);
            assert_eq!(texts.len(), 1, "{earlier:?} {later:?}");
        }
    }

    #[test]
    fn a_rule_that_can_never_match_says_what_excludes_what() {
        let all = |members: &[When]| When::All(members.to_vec());
        for (when, why) in [
            (all(&[path(&["/a/"]), path(&["/b/"])]), "`path /a/` and `path /b/` exclude each other"),
            (
                all(&[method(&["GET"]), method(&["POST"])]),
                "`method GET` and `method POST` exclude each other",
            ),
            (all(&[status(&["404"]), status(&["2xx"])]), "`status 404` and `status 2xx` exclude each other"),
            (
                all(&[header("x", ValueTest::Absent), header("x", is(&["1"]))]),
                "`no header x` and `header x` exclude each other",
            ),
            (
                all(&[path(&["/a/b"]), not(path(&["/a/"]))]),
                "`path /a/b` and `not path /a/` exclude each other",
            ),
            (
                all(&[host(&["a.com"]), When::Any(vec![host(&["b.com"]), host(&["c.com"])])]),
                "its conditions exclude each other",
            ),
            (method(&[]), "its condition takes nothing"),
            (not(When::All(Vec::new())), "its condition takes nothing"),
        ] {
            let expected = format!("rule `a` can never match: {why}");
            assert_eq!(found(vec![rule("a", when.clone(), edge(1))]), [expected], "{when:?}");
        }
    }

    #[test]
    fn a_rule_without_settings_sets_nothing() {
        assert_eq!(found(vec![rule("a", path(&["/a"]), Then::default())]), ["rule `a` sets nothing"]);
    }
}
