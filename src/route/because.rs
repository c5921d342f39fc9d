//! Says in words why a condition holds or does not: what explain, rule tests and routes show.

use super::client;
use super::pattern::{HostPattern, HostShape, PathPattern, PathShape, TextPattern};
use super::subject::Subject;
use super::test::{FieldTest, Test, ValueTest, cookie_values, parameter_values};
use ipnet::IpNet;
use std::fmt::Display;

/// Most members of a list that are shown.
const SHOWN: usize = 6;

/// Why the condition holds, or why it does not.
pub(super) fn of(test: &Test, s: &Subject<'_>, matched: bool) -> String {
    match test {
        Test::Client(nets) => of_client(nets, s, matched),
        Test::Cookie(test) => of_field("cookie", test, cookie_values(s, &test.name), matched),
        Test::Header(test) => of_field("header", test, s.view().fields.all(&test.name), matched),
        Test::Host(hosts) => of_host(hosts, s.host(), matched),
        Test::Method(methods) => match (matched, methods.as_slice()) {
            (true, _) => format!("method is {}", s.view().method),
            (false, [method]) => format!("method {} is not {method}", s.view().method),
            (false, _) => format!("method {} is not one of {}", s.view().method, list(methods, ", ")),
        },
        Test::Path(paths) => of_path(paths, s.path(), matched),
        Test::Query(test) => of_field("parameter", test, parameter_values(s, &test.name), matched),
        Test::UserAgent(patterns) => {
            let mut values = s.view().fields.all("user-agent").peekable();
            match values.peek() {
                None => "no user agent".to_owned(),
                Some(_) => format!("user agent {}", of_value(patterns, values, matched)),
            }
        }
    }
}

fn of_client(nets: &[IpNet], s: &Subject<'_>, matched: bool) -> String {
    let client = s.view().client.to_canonical();
    let shown = |net: &IpNet| match net.prefix_len() == net.max_prefix_len() {
        true => net.addr().to_string(),
        false => net.to_string(),
    };
    match (client::is_in(nets, client), nets) {
        (Some(net), _) if matched => format!("client {client} is in {}", shown(net)),
        (_, [net]) => format!("client {client} is not in {}", shown(net)),
        _ => format!("client {client} is in none of {}", list(nets.iter().map(shown), ", ")),
    }
}

fn of_host(hosts: &[HostPattern], host: &str, matched: bool) -> String {
    let is_below = |pattern: &HostPattern| matches!(pattern.shape(), HostShape::Below(_));
    let parent = |pattern: &HostPattern| pattern.to_string().trim_start_matches("*.").to_owned();
    let taken_by = hosts.iter().find(|pattern| pattern.matches(host)).filter(|_| matched);
    match (taken_by.map(|pattern| (pattern, pattern.shape())), hosts) {
        (Some((_, HostShape::Any)), _) => "any host".to_owned(),
        (Some((pattern, HostShape::Below(_))), _) => format!("host {host} is under {}", parent(pattern)),
        (Some((_, HostShape::Exact(_))), _) => format!("host is {host}"),
        (None, [one]) if !is_below(one) => format!("host {host} is not {one}"),
        (None, _) if !hosts.is_empty() && hosts.iter().all(is_below) => {
            format!("host {host} is not under {}", list(hosts.iter().map(parent), " or "))
        }
        (None, _) => format!("host {host} is not one of {}", list(hosts, ", ")),
    }
}

/// How a path pattern is put into words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Any,
    Ends,
    Is,
    Matches,
    Under,
}

/// A pattern's verb, and what stands behind it.
fn phrase(pattern: &PathPattern) -> (Verb, String) {
    match pattern.shape() {
        PathShape::Any => (Verb::Any, String::new()),
        PathShape::Ending(ending) => (Verb::Ends, ending.to_string()),
        PathShape::Exact(exact) => (Verb::Is, exact.to_string()),
        PathShape::Glob(_) | PathShape::Regex(..) => (Verb::Matches, pattern.to_string()),
        PathShape::Prefix(prefix) => (Verb::Under, prefix.to_string()),
    }
}

fn of_path(paths: &[PathPattern], path: &str, matched: bool) -> String {
    if let Some(pattern) = paths.iter().find(|pattern| pattern.matches(path)).filter(|_| matched) {
        let (verb, object) = phrase(pattern);
        return match verb {
            Verb::Any => "any path".to_owned(),
            Verb::Ends => format!("path ends with {object}"),
            Verb::Is => format!("path is {object}"),
            Verb::Matches => format!("path matches {object}"),
            Verb::Under => format!("path is under {object}"),
        };
    }
    let mut verbs = paths.iter().map(|pattern| phrase(pattern).0);
    let verb = verbs.next().unwrap_or(Verb::Any);
    let is_one = verbs.all(|other| other == verb);
    let objects = || list(paths.iter().map(|pattern| phrase(pattern).1), " or ");
    match verb {
        Verb::Ends if is_one => format!("path does not end with {}", objects()),
        Verb::Is if is_one => format!("path is not {}", objects()),
        Verb::Under if is_one => format!("path is not under {}", objects()),
        Verb::Matches if paths.len() == 1 => format!("path does not match {}", objects()),
        _ => format!("path matches none of {}", list(paths, ", ")),
    }
}

/// Why a condition on a field of a request or response holds or does not. `kind` is `header`, `cookie`, `parameter`.
pub fn of_field<'v>(
    kind: &str,
    test: &FieldTest,
    values: impl Iterator<Item = &'v [u8]>,
    matched: bool,
) -> String {
    let mut values = values.peekable();
    match (&test.value, values.peek()) {
        (_, None) => format!("no {kind} {}", test.name),
        (ValueTest::Is(patterns), Some(_)) => {
            format!("{kind} {} {}", test.name, of_value(patterns, values, matched))
        }
        _ => format!("{kind} {} is there", test.name),
    }
}

/// `is gzip`, `matches a*`, `is not one of a, b`: what stands behind the name of a value. The value is not shown.
pub fn of_value<'v>(
    patterns: &[TextPattern],
    values: impl Iterator<Item = &'v [u8]>,
    matched: bool,
) -> String {
    if matched {
        let mut values = values;
        let taken_by = values.find_map(|value| patterns.iter().find(|pattern| pattern.matches(value)));
        return match taken_by {
            Some(pattern) if pattern.is_exact() => format!("is {pattern}"),
            Some(pattern) => format!("matches {pattern}"),
            None => format!("matches one of {}", list(patterns, ", ")),
        };
    }
    match patterns {
        [one] if one.is_exact() => format!("is not {one}"),
        [one] => format!("does not match {one}"),
        _ if patterns.iter().all(TextPattern::is_exact) => format!("is not one of {}", list(patterns, ", ")),
        _ => format!("matches none of {}", list(patterns, ", ")),
    }
}

/// `a, b or c` for ` or `, `a, b, c` for `, `; a long list ends in `or 14 more`.
fn list<T: Display>(items: impl IntoIterator<Item = T>, last: &str) -> String {
    let mut texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if texts.len() > SHOWN + 1 {
        let more = texts.len() - SHOWN;
        texts.truncate(SHOWN);
        texts.push(format!("{more} more"));
    }
    match texts.split_last() {
        Some((end, start)) if !start.is_empty() => format!("{}{last}{end}", start.join(", ")),
        _ => texts.concat(),
    }
}
