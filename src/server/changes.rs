//! Says what differs between two configurations, in the words of the file.

use crate::config::Effective;
use std::collections::BTreeMap;
use std::fmt;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about: `upstream app`.
    pub subject: String,
    /// What has become of it: `+ app3:8080`, `ttl.edge 30d → 7d`.
    pub what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16} {}", self.subject, self.what)
    }
}

/// What is stored keeps the lifetime it was stored with (DESIGN: a rule's word is stored with the object).
const LATER: &str = " (applies to objects fetched from now on)";

/// Values of one key of one subject, in order.
type Values<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a str>>;

/// Every difference, in alphabetical order of subjects, and how many connections each listener keeps.
pub fn between(old: &[Effective], new: &[Effective], kept: &[(String, u64)]) -> Vec<Change> {
    let (old, new) = (grouped(old), grouped(new));
    let mut changes = Vec::new();
    let mut gone_or_new = Vec::new();
    let all = subjects(&old, &new).chain(subjects(&new, &old).map(|(s, _)| (s, "added")));
    // A file of rules comes and goes with its rules, which say so themselves.
    for (subject, word) in all.filter(|(subject, _)| !subject.starts_with("rules ")) {
        gone_or_new.push(subject);
        changes.push(Change { subject: subject.to_owned(), what: word.to_owned() });
    }
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    let says_more =
        |key: &(&str, &str)| !gone_or_new.contains(&key.0) && (!is_order(key) || reordered(key, &old, &new));
    for key in keys.filter(|key| says_more(key)) {
        let none = Vec::new();
        let (before, now) = (old.get(key).unwrap_or(&none), new.get(key).unwrap_or(&none));
        if before != now {
            changes.push(Change { subject: key.0.to_owned(), what: difference(key, before, now) });
        }
    }
    changes.sort_by(|a, b| a.subject.cmp(&b.subject));
    for (listener, connections) in kept {
        let subject = format!("listener {listener}");
        if new.keys().any(|(other, _)| *other == subject) && !changes.iter().any(|c| c.subject == subject) {
            let connections =
                if *connections == 1 { "1 connection".into() } else { format!("{connections} connections") };
            changes.push(Change { subject, what: format!("unchanged, {connections} kept") });
        }
    }
    changes
}

fn grouped(values: &[Effective]) -> Values<'_> {
    let mut groups = Values::new();
    for Effective { subject, key, value } in values {
        groups.entry((subject, key)).or_default().push(value);
    }
    groups
}

/// Subjects that only the first has.
fn subjects<'a>(one: &Values<'a>, other: &Values<'a>) -> impl Iterator<Item = (&'a str, &'static str)> {
    let mut missing: Vec<&str> =
        one.keys().map(|(subject, _)| *subject).filter(|s| !other.keys().any(|(o, _)| o == s)).collect();
    missing.dedup();
    missing.into_iter().map(|subject| (subject, "removed"))
}

/// Whether this is the order of the rules of one file.
fn is_order((subject, key): &(&str, &str)) -> bool {
    subject.starts_with("rules ") && *key == "order"
}

/// Whether rules that were there before and are there now have changed places; those that come or go say so themselves.
fn reordered(key: &(&str, &str), old: &Values<'_>, new: &Values<'_>) -> bool {
    let names = |values: &Values<'_>| -> Vec<String> {
        let order = values.get(key).into_iter().flatten().flat_map(|order| order.split(", "));
        order.map(str::to_owned).collect()
    };
    let (before, now) = (names(old), names(new));
    before.iter().filter(|name| now.contains(name)).ne(now.iter().filter(|name| before.contains(name)))
}

fn difference((subject, key): &(&str, &str), before: &[&str], now: &[&str]) -> String {
    let note = if subject.starts_with("rule ") && is_stored(key) { LATER } else { "" };
    if let ([before], [now]) = (before, now)
        && *key != "servers"
    {
        return format!("{key} {before} → {now}{note}");
    }
    let added = now.iter().filter(|v| !before.contains(v)).map(|v| format!("+ {v}"));
    let removed = before.iter().filter(|v| !now.contains(v)).map(|v| format!("- {v}"));
    let moved: Vec<String> = added.chain(removed).collect();
    match moved.is_empty() {
        true => format!("{key} in another order{note}"),
        false if *key == "servers" => format!("{}{note}", moved.join(", ")),
        false => format!("{key} {}{note}", moved.join(", ")),
    }
}

/// Whether what a rule says under this key is stored with each object.
fn is_stored(key: &str) -> bool {
    let at_once = ["key", "when", "bypass", "collapse", "request_directives", "strip_cookies"];
    !at_once
        .iter()
        .any(|word| key.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{System, load_text};
    use std::sync::Arc;

    fn effective(lines: &[(&str, &str, &str)]) -> Vec<Effective> {
        let line = |(subject, key, value): &(&str, &str, &str)| Effective {
            subject: (*subject).into(),
            key: (*key).into(),
            value: (*value).into(),
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn rules_that_change_places_are_one_change_and_those_that_come_or_go_are_not_two() {
        let rules = |order: &str| {
            let named = order.split(", ").filter(|name| !name.is_empty());
            let rules: Vec<String> = named.map(|name| format!("rule {name}")).collect();
            let mut lines: Vec<(&str, &str, &str)> =
                rules.iter().map(|rule| (&**rule, "ttl", "1m")).collect();
            lines.push(("rules r.yaml", "order", order));
            effective(&lines)
        };
        let told = |old, new| {
            let changes = between(&rules(old), &rules(new), &[]);
            changes.iter().map(|change| format!("{}: {}", change.subject, change.what)).collect::<Vec<_>>()
        };
        assert_eq!(told("a, b", "b, a"), ["rules r.yaml: order a, b → b, a"]);
        assert_eq!(told("a, b", "a, c, b"), ["rule c: added"]);
        assert_eq!(told("a, b", "b"), ["rule a: removed"]);
        assert_eq!(told("", "b"), ["rule b: added"]);
        assert_eq!(told("a, b", "b, c, a"), ["rule c: added", "rules r.yaml: order a, b → b, c, a"]);
    }

    #[test]
    fn every_difference_is_told_once_in_the_words_of_the_file() {
        let old = effective(&[
            ("upstream app", "servers", "app1:8080"),
            ("upstream app", "servers", "app2:8080"),
            ("upstream app", "read", "60s"),
            ("upstream old", "servers", "o:80"),
            ("rule assets", "ttl.edge", "30d"),
            ("rule assets", "bypass", "false"),
            ("rule assets", "accept_encoding", "gzip"),
            ("listener :8443", "front", "true"),
        ]);
        let new = effective(&[
            ("upstream app", "servers", "app1:8080"),
            ("upstream app", "servers", "app3:8080"),
            ("upstream app", "read", "10s"),
            ("upstream new", "servers", "n:80"),
            ("rule assets", "ttl.edge", "7d"),
            ("rule assets", "bypass", "true"),
            ("rule assets", "accept_encoding", "identity"),
            ("listener :8443", "front", "true"),
        ]);
        let told: Vec<String> = between(&old, &new, &[(":8443".into(), 1_204)])
            .iter()
            .map(|change| format!("{}: {}", change.subject, change.what))
            .collect();
        assert_eq!(
            told,
            [
                "rule assets: accept_encoding gzip → identity (applies to objects fetched from now on)",
                "rule assets: bypass false → true",
                "rule assets: ttl.edge 30d → 7d (applies to objects fetched from now on)",
                "upstream app: read 60s → 10s",
                "upstream app: + app3:8080, - app2:8080",
                "upstream new: added",
                "upstream old: removed",
                "listener :8443: unchanged, 1204 connections kept",
            ]
        );
        assert_eq!(between(&old, &old, &[]), []);
    }

    #[test]
    fn what_changes_in_folders_and_compression_is_told_key_by_key() {
        let loaded = |routes: &str, compress: &str| {
            let text = format!(
                "listeners: [{{ bind: ':1' }}]\nroutes: [{{ name: a, {routes} }}]\ncompress: {compress}\n"
            );
            load_text("a.yaml", &text, Arc::new(System)).unwrap().1.effective
        };
        let told = |old: (&str, &str), new: (&str, &str)| {
            let changes = between(&loaded(old.0, old.1), &loaded(new.0, new.1), &[]);
            changes.iter().map(|change| format!("{}: {}", change.subject, change.what)).collect::<Vec<_>>()
        };
        let usual = ("files: conf/site", "{}");
        assert_eq!(told(usual, ("files: { root: conf/site }", "{ codings: [br, zstd, gzip] }")), [""; 0]);
        assert_eq!(
            told(usual, ("files: conf/site, compress: false", "{}")),
            ["route a: compress true → false"]
        );
        assert_eq!(told(usual, ("files: conf", "{}")), ["route a: files.root conf/site → conf"]);
        assert_eq!(told(usual, ("files: conf/site", "off")), ["compress: codings br, zstd, gzip → off"]);
        assert_eq!(
            told(usual, ("files: conf/site", "{ codings: [zstd, br], levels: { br: 5 } }")),
            ["compress: codings br, zstd, gzip → zstd, br", "compress: levels.br 4 → 5"]
        );
        let expires = |expires: &'static str| (expires, "{}");
        assert_eq!(
            told(
                expires("files: { root: conf/site, expires: { text/html: 1h, image/*: 2h } }"),
                expires("files: { root: conf/site, expires: { image/*: 2h, text/html: 1h } }"),
            ),
            ["route a: files.expires in another order"]
        );
        assert_eq!(
            told(
                expires("files: { root: conf/site, expires: 1h }"),
                expires("files: { root: conf/site, expires: no-cache, listing: true, precompressed: [br] }"),
            ),
            [
                "route a: files.expires * 1h → * no-cache",
                "route a: files.listing false → true",
                "route a: files.precompressed true → br",
            ]
        );
    }
}
