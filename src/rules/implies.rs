//! What conditions say about each other before any request came. Sound, not complete: a yes is a proof, a no is not.

use super::pattern::{covers, disjoint, takes_everything};
use super::when::When;
use crate::http::status::StatusRange;
use crate::route::{FieldTest, Test, ValueTest};

/// How deep conditions are compared; config nests a few levels, and deeper ones are left unjudged.
const DEEPEST: usize = 12;

/// Whether the second condition holds whenever the first one does.
pub(super) fn implies(one: &When, other: &When) -> bool {
    implies_to(one, other, DEEPEST)
}

fn implies_to(one: &When, other: &When, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match (one, other) {
        (_, When::All(others)) => others.iter().all(|other| implies_to(one, other, depth)),
        (When::Any(ones), _) => ones.iter().all(|one| implies_to(one, other, depth)),
        _ => {
            always(other)
                || any_of(other, |other| implies_to(one, other, depth))
                || all_of(one, |one| implies_to(one, other, depth))
                || single_implies(one, other, depth)
        }
    }
}

fn any_of(when: &When, found: impl FnMut(&When) -> bool) -> bool {
    matches!(when, When::Any(members) if members.iter().any(found))
}

fn all_of(when: &When, found: impl FnMut(&When) -> bool) -> bool {
    matches!(when, When::All(members) if members.iter().any(found))
}

fn single_implies(one: &When, other: &When, depth: usize) -> bool {
    match (one, other) {
        (When::Not(one), When::Not(other)) => implies_to(other, one, depth),
        (one, When::Not(other)) => exclude_to(one, other, depth),
        (When::Request(one), When::Request(other)) => test_implies(one, other),
        (When::ContentType(one), When::ContentType(other)) => covers(other, one),
        (When::ResponseHeader(one), When::ResponseHeader(other)) => field_implies(one, other),
        (When::Status(one), When::Status(other)) => {
            one.iter().all(|one| other.iter().any(|other| within(*one, *other)))
        }
        _ => false,
    }
}

fn test_implies(one: &Test, other: &Test) -> bool {
    match (one, other) {
        (Test::Client(one), Test::Client(other)) => {
            one.iter().all(|one| other.iter().any(|other| other.contains(one)))
        }
        (Test::Cookie(one), Test::Cookie(other))
        | (Test::Header(one), Test::Header(other))
        | (Test::Query(one), Test::Query(other)) => field_implies(one, other),
        (Test::Host(one), Test::Host(other)) => covers(other, one),
        (Test::Method(one), Test::Method(other)) => one.iter().all(|one| other.contains(one)),
        (Test::Path(one), Test::Path(other)) => covers(other, one),
        (Test::UserAgent(one), Test::UserAgent(other)) => covers(other, one),
        _ => false,
    }
}

fn field_implies(one: &FieldTest, other: &FieldTest) -> bool {
    one.name == other.name
        && match (&one.value, &other.value) {
            (ValueTest::Absent, ValueTest::Absent)
            | (ValueTest::Present | ValueTest::Is(_), ValueTest::Present) => true,
            (ValueTest::Is(one), ValueTest::Is(other)) => covers(other, one),
            _ => false,
        }
}

fn within(one: StatusRange, other: StatusRange) -> bool {
    one.from > one.to || (other.contains(one.from) && other.contains(one.to))
}

/// Whether two conditions never hold together.
pub(super) fn exclude(one: &When, other: &When) -> bool {
    exclude_to(one, other, DEEPEST)
}

fn exclude_to(one: &When, other: &When, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match (one, other) {
        (When::Any(members), rest) | (rest, When::Any(members)) => {
            members.iter().all(|member| exclude_to(member, rest, depth))
        }
        (When::All(members), rest) | (rest, When::All(members)) => {
            members.iter().any(|member| exclude_to(member, rest, depth))
        }
        (When::Not(opposite), when) | (when, When::Not(opposite)) => implies_to(when, opposite, depth),
        (When::Request(one), When::Request(other)) => tests_exclude(one, other),
        // A response has one type. Fields and cookies may come twice, so two values do not exclude each other.
        (When::ContentType(one), When::ContentType(other)) => disjoint(one, other),
        (When::ResponseHeader(one), When::ResponseHeader(other)) => fields_exclude(one, other),
        (When::Status(one), When::Status(other)) => {
            one.iter().all(|one| other.iter().all(|other| one.to < other.from || other.to < one.from))
        }
        _ => false,
    }
}

fn tests_exclude(one: &Test, other: &Test) -> bool {
    match (one, other) {
        (Test::Cookie(one), Test::Cookie(other))
        | (Test::Header(one), Test::Header(other))
        | (Test::Query(one), Test::Query(other)) => fields_exclude(one, other),
        (Test::Host(one), Test::Host(other)) => disjoint(one, other),
        (Test::Method(one), Test::Method(other)) => {
            // What is meant for GET is meant for HEAD.
            let alike = |method: &str| {
                if method.eq_ignore_ascii_case("HEAD") { "GET".into() } else { method.to_ascii_uppercase() }
            };
            one.iter().all(|one| other.iter().all(|other| alike(one) != alike(other)))
        }
        (Test::Path(one), Test::Path(other)) => disjoint(one, other),
        _ => false,
    }
}

fn fields_exclude(one: &FieldTest, other: &FieldTest) -> bool {
    let absent = |test: &FieldTest| matches!(test.value, ValueTest::Absent);
    one.name == other.name && absent(one) != absent(other)
}

/// Whether a condition can be seen never to hold.
pub(super) fn never(when: &When) -> bool {
    match when {
        When::All(members) => {
            let pairs = |(at, one): (usize, &When)| members[..at].iter().any(|other| exclude(one, other));
            members.iter().any(never) || members.iter().enumerate().any(pairs)
        }
        When::Any(members) => members.iter().all(never),
        When::Not(member) => always(member),
        When::ContentType(patterns) => patterns.is_empty(),
        When::ResponseHeader(test) => matches!(&test.value, ValueTest::Is(patterns) if patterns.is_empty()),
        When::Status(ranges) => ranges.iter().all(|range| range.from > range.to),
        When::Request(test) => match test {
            Test::Client(nets) => nets.is_empty(),
            Test::Cookie(test) | Test::Header(test) | Test::Query(test) => {
                matches!(&test.value, ValueTest::Is(patterns) if patterns.is_empty())
            }
            Test::Host(patterns) => patterns.is_empty(),
            Test::Method(methods) => methods.is_empty(),
            Test::Path(patterns) => patterns.is_empty(),
            Test::UserAgent(patterns) => patterns.is_empty(),
        },
    }
}

/// Whether a condition can be seen to hold always.
fn always(when: &When) -> bool {
    match when {
        When::All(members) => members.iter().all(always),
        When::Any(members) => members.iter().any(always),
        When::Not(member) => never(member),
        When::Request(Test::Host(hosts)) => hosts.iter().any(takes_everything),
        When::Request(Test::Path(paths)) => paths.iter().any(takes_everything),
        When::ContentType(_) | When::Request(_) | When::ResponseHeader(_) | When::Status(_) => false,
    }
}
