//! What holds for whatever rules, requests and responses come together.

use super::fixture::{
    Answered, Asked, content_type, field, header, host, is, method, not, path, rule, status,
};
use super::implies::{exclude, implies, never};
use super::when::Known;
use super::{Matched, Response, RuleSet, Store, Then, When};
use crate::route::{Subject, Test, ValueTest};
use crate::verdict::{Setting, Terms};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const PATHS: [&str; 8] = ["/a/", "/a/b/", "/a", "/a/b", "*.js", "/a/*.js", "/", "~b$"];
const HOSTS: [&str; 4] = ["a.com", "*.a.com", "b.com", "*"];

fn some(choices: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(choices, 1..=2)
}

fn value() -> impl Strategy<Value = ValueTest> {
    prop_oneof![
        Just(ValueTest::Present),
        Just(ValueTest::Absent),
        some(&["1", "2", "*", "1*"]).prop_map(|values| is(&values)),
    ]
}

fn of_request() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => some(&PATHS).prop_map(|texts| path(&texts)),
        2 => some(&HOSTS).prop_map(|texts| host(&texts)),
        1 => some(&["GET", "HEAD", "POST"]).prop_map(|names| method(&names)),
        1 => (select(vec!["x", "y"]), value()).prop_map(|(name, value)| header(name, value)),
        1 => value().prop_map(|value| When::Request(Test::Cookie(field("c", value)))),
        1 => value().prop_map(|value| When::Request(Test::Query(field("q", value)))),
    ]
}

fn of_response() -> impl Strategy<Value = When> {
    prop_oneof![
        some(&["404", "4xx", "200-299", "200"]).prop_map(|ranges| status(&ranges)),
        some(&["text/*", "text/html", "image/png"]).prop_map(|types| content_type(&types)),
        value().prop_map(|value| When::ResponseHeader(field("x", value))),
    ]
}

fn when() -> impl Strategy<Value = When> {
    let leaf = prop_oneof![4 => of_request(), 1 => of_response()];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let members = prop::collection::vec(inner.clone(), 0..=3);
        prop_oneof![
            2 => members.clone().prop_map(When::All),
            2 => members.prop_map(When::Any),
            1 => inner.prop_map(not),
        ]
    })
}

fn then() -> impl Strategy<Value = Then> {
    (0u32..64).prop_map(|bits| {
        let named = |bit: u32| bits & 1 << bit != 0;
        Then {
            bypass: named(0).then_some(true),
            store: named(1).then_some(Store::No),
            edge: named(2).then_some(60),
            browser: named(3).then_some(60),
            collapse: named(4).then_some(false),
            tags: named(5).then(Vec::new),
            ..Then::default()
        }
    })
}

fn rules() -> impl Strategy<Value = RuleSet> {
    prop::collection::vec((when(), then()), 1..=6).prop_map(|rules| {
        let named = |(at, (when, then)): (usize, _)| {
            rule(char::from(b'a' + u8::try_from(at).unwrap()).to_string().as_str(), when, then)
        };
        RuleSet::open(rules.into_iter().enumerate().map(named).collect())
    })
}

fn fields() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    subsequence(vec![("x", "1"), ("X", "2"), ("y", "11"), ("cookie", "c=1"), ("cookie", "d=1; c=2")], 0..=3)
}

fn asked() -> impl Strategy<Value = Asked> {
    let paths = vec!["/a/", "/a", "/a/b", "/a/b/c.js", "/x.js", "/a/x.js", "/b", "/", "*"];
    let queries = vec![None, Some(""), Some("q=1"), Some("p=1&q=2")];
    let hosts = vec!["a.com", "w.a.com", "B.com", "c.com", ""];
    (select(vec!["GET", "HEAD", "POST"]), select(hosts), select(paths), select(queries), fields())
        .prop_map(|(method, host, path, query, fields)| Asked { method, host, path, query, fields })
}

fn answered() -> impl Strategy<Value = Answered> {
    let types =
        select(vec![vec![], vec![("Content-Type", "text/html; a=b")], vec![("content-type", "Image/PNG")]]);
    (select(vec![200, 204, 304, 404, 500]), types, fields()).prop_map(|(status, types, fields)| Answered {
        status,
        fields: types.into_iter().chain(fields).collect(),
    })
}

/// Two-valued logic, the obvious way.
fn holds(when: &When, subject: &Subject<'_>, response: &Response<'_>) -> bool {
    match when {
        When::All(members) => members.iter().all(|member| holds(member, subject, response)),
        When::Any(members) => members.iter().any(|member| holds(member, subject, response)),
        When::Not(member) => !holds(member, subject, response),
        single => single.value(subject, Known::Response(response)) == Some(true),
    }
}

/// What rules decide, the obvious way: top to bottom, a later one overrides what it names.
fn decided(set: &RuleSet, applies: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
    let mut decided = vec![None; Setting::ALL.len()];
    for (at, rule) in set.rules().iter().enumerate().filter(|(at, _)| applies(*at)) {
        let refused = rule.then.request_only_settings();
        for setting in rule.then.settings() {
            if !(rule.when.is_response() && refused.contains(&setting)) {
                decided[setting.index()] = Some(at);
            }
        }
    }
    decided
}

fn slots(terms: Terms) -> Vec<Option<usize>> {
    Setting::ALL.iter().map(|setting| terms.get(*setting)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_last_rule_that_matches_decides(set in rules(), asked in asked(), answered in answered()) {
        asked.with(|subject| answered.with(|response| {
            let matches = |at: usize| holds(&set.rules()[at].when, subject, response);
            let early = |at: usize| matches(at) && !set.rules()[at].when.is_response();
            let request = set.request(subject);
            prop_assert_eq!(slots(request), decided(&set, early));
            prop_assert_eq!(slots(set.response(request, subject, response)), decided(&set, matches));
            Ok(())
        }))?;
    }

    #[test]
    fn the_trace_agrees_with_what_is_decided(set in rules(), asked in asked(), answered in answered()) {
        asked.with(|subject| answered.with(|response| {
            let (early, late) = (set.trace(subject, None), set.trace(subject, Some(response)));
            let yes = |trace: &[super::Traced], at: usize| trace[at].matched == Matched::Yes;
            let request = set.request(subject);
            prop_assert_eq!(slots(request), decided(&set, |at| yes(&early, at)));
            prop_assert_eq!(slots(set.response(request, subject, response)), decided(&set, |at| yes(&late, at)));
            for (at, (early, late)) in early.iter().zip(&late).enumerate() {
                prop_assert_eq!((early.rule, late.rule), (at, at));
                prop_assert!(!early.because.is_empty() && !late.because.is_empty());
                prop_assert!(late.matched != Matched::Later);
                prop_assert!(early.matched == Matched::Later || early.matched == late.matched);
                prop_assert!(early.matched != Matched::Later || set.rules()[at].when.is_response());
            }
            Ok(())
        }))?;
    }

    #[test]
    fn what_is_not_possible_for_a_url_matches_no_request_for_it(
        set in rules(), asked in asked(), other in asked(),
    ) {
        let other = Asked { method: other.method, fields: other.fields, ..asked.clone() };
        let possible: Vec<usize> = asked.with(|subject| set.possible(subject).collect());
        prop_assert!(possible.is_sorted_by(|one, next| one < next));
        other.with(|subject| {
            prop_assert_eq!(&possible, &set.possible(subject).collect::<Vec<_>>());
            for traced in set.trace(subject, None) {
                let early = !set.rules()[traced.rule].when.is_response();
                prop_assert!(!early || traced.matched == Matched::No || possible.contains(&traced.rule));
                prop_assert!(early || !possible.contains(&traced.rule));
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_rule_found_useless_never_decides_anything(
        set in rules(), asked in prop::collection::vec((asked(), answered()), 8),
    ) {
        let findings = set.findings();
        for (asked, answered) in &asked {
            asked.with(|subject| answered.with(|response| {
                let request = set.request(subject);
                let terms = set.response(request, subject, response);
                for finding in &findings {
                    prop_assert!(!slots(request).contains(&Some(finding.rule)), "{:?}", finding);
                    prop_assert!(!slots(terms).contains(&Some(finding.rule)), "{:?}", finding);
                }
                Ok(())
            }))?;
        }
    }

    #[test]
    fn what_is_said_of_conditions_holds_for_every_exchange(
        one in when(), other in when(), asked in asked(), answered in answered(),
    ) {
        asked.with(|subject| answered.with(|response| {
            let (a, b) = (holds(&one, subject, response), holds(&other, subject, response));
            prop_assert!(!implies(&one, &other) || !a || b, "{:?} {:?}", one, other);
            prop_assert!(!(exclude(&one, &other) && a && b), "{:?} {:?}", one, other);
            prop_assert!(!never(&one) || !a, "{:?}", one);
            Ok(())
        }))?;
    }
}
