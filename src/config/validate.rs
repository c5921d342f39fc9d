//! Checks a whole tree against the tables, so that a mistake is found even in a part that nobody came to read.

use super::fields::Fields;
use super::report::Report;
use super::table::{Kind, Section};
use super::tree::{Node, Value};

/// Reports everything in `node` that does not fit the table, at any depth. What a text means is left to its own parser.
///
/// A value that does not fit becomes [`Value::Broken`], so that whoever reads it next does not report it again.
pub fn validate(node: &mut Node, section: &'static Section, report: &mut Report) {
    if Fields::open(node, section, report).is_none() {
        node.value = Value::Broken;
    }
    let Value::Map(entries) = &mut node.value else { return };
    for (key, value) in entries {
        if let Some(field) = section.field(&key.text) {
            validate_value(value, &field.kind, field.name, report);
        }
    }
}

/// The same for a value of any kind; `name` is what messages call it. Nothing at all is not looked at.
pub fn validate_value(node: &mut Node, kind: &'static Kind, name: &str, report: &mut Report) {
    match (kind, &mut node.value) {
        (_, Value::Broken | Value::Null) => {}
        (Kind::Either(kinds), value) => {
            let fitting = kinds.iter().filter(|kind| kind.fits_shape(value)).collect::<Vec<&Kind>>();
            match fitting.as_slice() {
                [Kind::Word(_)] => check_scalar(node, kind, name, report),
                [only] => validate_value(node, only, name, report),
                _ if matches!(value, Value::Scalar(_)) => check_scalar(node, kind, name, report),
                [first, ..] => validate_value(node, first, name, report),
                [] => refuse(node, kind, name, report),
            }
        }
        (Kind::OneOrMany(kind) | Kind::List(kind), Value::List(items)) => {
            items.iter_mut().for_each(|item| validate_item(item, kind, name, report));
        }
        (Kind::OneOrMany(one), value) if one.fits_shape(value) => validate_value(node, one, name, report),
        (Kind::Map(kind), Value::Map(entries)) => {
            entries.iter_mut().for_each(|(key, value)| validate_item(value, kind, &key.text, report));
        }
        (Kind::Section(section), Value::Map(_)) => validate(node, section, report),
        (Kind::List(_) | Kind::Map(_) | Kind::OneOrMany(_) | Kind::Section(_), _) => {
            refuse(node, kind, name, report);
        }
        _ => check_scalar(node, kind, name, report),
    }
}

/// An element of a list or a value of a map, of which nothing at all is not an absent key but a mistake.
fn validate_item(node: &mut Node, kind: &'static Kind, name: &str, report: &mut Report) {
    if node.is_null() { refuse(node, kind, name, report) } else { validate_value(node, kind, name, report) }
}

fn check_scalar(node: &mut Node, kind: &'static Kind, name: &str, report: &mut Report) {
    if node.scalar_of(kind, name, report).is_none() {
        node.value = Value::Broken;
    }
}

fn refuse(node: &mut Node, kind: &'static Kind, name: &str, report: &mut Report) {
    node.wrong_shape(kind, name, report);
    node.value = Value::Broken;
}

#[cfg(test)]
mod tests {
    use crate::config::fixture::{TOP, found, source};

    #[test]
    fn every_kind_is_held_to_its_form() {
        let rows: &[(&str, &[&str])] = &[
            ("limits: {fields: 1}", &[]),
            ("limits: {fields: 0}", &["`fields` needs a whole number from 1 to 1000; `0` is too small"]),
            (
                "limits: {fields: many}",
                &["`fields` needs a whole number from 1 to 1000; `many` is not a whole number"],
            ),
            ("limits: {wait: forever}", &[]),
            ("limits: {wait: 5s}", &[]),
            (
                "limits: {wait: forevr}",
                &[
                    "`wait` needs a duration such as 30s, 10m, 1h, 30d or `forever`; `forevr` does not start with a number [did you mean `forever`?]",
                ],
            ),
            ("limits: {methods: GET}", &["`methods` needs a list of a method; `GET` is text"]),
            ("limits: {methods: [[]]}", &["`methods` needs a method, not a list"]),
            ("limits: {methods: [GET, ]}", &[]),
            ("limits: {methods: [~]}", &["`methods` needs a method, not nothing"]),
            ("limits: {banner: {x: 1}}", &["`banner` needs any text, not a map"]),
            ("limits: {banner: {host}}", &["`banner` needs any text, not a map [quote it: \"{host}\"]"]),
            ("limits: 1", &["`limits` needs keys: fields, methods, banner, …; `1` is text"]),
            ("limits:", &[]),
            ("cache: off", &[]),
            ("cache: {}", &[]),
            (
                "cache: of",
                &["`cache` needs `off` or keys: memory, hit_for_miss; `of` is neither [did you mean `off`?]"],
            ),
            ("cache: []", &["`cache` needs `off` or keys: memory, hit_for_miss, not a list"]),
            (
                "cache: {memory: 1GB}",
                &[
                    "`memory` needs a size such as 64KiB, 512MiB, 10GiB; `1GB` has an unknown unit; write `1GiB`",
                ],
            ),
            ("trusted: a", &[]),
            ("trusted: [a, b]", &[]),
            ("trusted: {a: b}", &["`trusted` needs a network or a list of them, not a map"]),
            ("trusted: [{a: b}]", &["`trusted` needs a network, not a map"]),
            ("upstreams: {a: {servers: [x, {address: y}]}}", &[]),
            ("upstreams: {a: }", &["`a` needs keys: balance, servers, token, not nothing"]),
            (
                "upstreams: {a: {servers: [[]]}}",
                &["`servers` needs HOST:PORT or keys: address, weight, not a list"],
            ),
            (
                "upstreams: {a: {servers: [], balance: Random}}",
                &[
                    "`balance` needs `round_robin`, `least_connections` or `random`; `Random` is not one of them [did you mean `random`?]",
                ],
            ),
            ("rules: [{name: a, ttl: 1d}, {name: b, ttl: {edge: 1d, status: {404: 1s}}}]", &[]),
            (
                "rules: [{name: a, ttl: {status: {404: x}}}]",
                &["`404` needs a duration such as 30s, 10m, 1h, 30d; `x` does not start with a number"],
            ),
            ("rules: [{name: a, when: {any: [{any: [{path: [x]}]}]}}]", &[]),
            (
                "rules: [{name: a, when: {any: [{any: [{pth: x}]}]}}]",
                &["unknown key `pth` [did you mean `path`?]"],
            ),
        ];
        for (text, expected) in rows {
            let text = format!("listeners: []\n{text}\n");
            let found = found(&source(&text));
            let found: Vec<&str> =
                found.iter().filter_map(|line| line.split_once(' ')).map(|(_, rest)| rest).collect();
            assert_eq!(&found, expected, "{text}");
        }
    }

    #[test]
    fn strict_booleans() {
        for (word, label) in [
            ("yes", "true"),
            ("on", "true"),
            ("1", "true"),
            ("True", "true"),
            ("no", "false"),
            ("FALSE", "false"),
        ] {
            let found = found(&source(&format!("listeners: [{{ bind: a, front: {word} }}]")));
            assert_eq!(
                found,
                [format!("1:31 `front` needs true or false; `{word}` is neither [write `{label}`]")]
            );
        }
    }

    #[test]
    fn what_was_refused_is_told_once() {
        let mut source = source("listeners: [{ bind: a, front: 7 }]\ncache: of\nlimits: []\n");
        let before = source.report.counts();
        let mut root = source.root.take().unwrap();
        super::validate(&mut root, &TOP, &mut source.report);
        assert_eq!((before.errors, source.report.counts()), (3, before));
    }
}
