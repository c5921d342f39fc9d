//! `expires` of a folder: how long browsers may keep its files, by media type.

use crate::config::media::MediaPattern;
use crate::config::quantity::node_seconds;
use crate::config::{Fields, Key, Kind, Node, Report};
use crate::files::Lifetime;

/// The word for asking each time.
const NO_CACHE: &str = "no-cache";
/// The pattern that takes every type.
const ALL: &str = "*";

const LIFETIME: Kind = Kind::Either(&[Kind::Word(&[NO_CACHE]), Kind::Duration]);

/// What `expires` may be.
pub const EXPIRES_KIND: Kind = Kind::Either(&[Kind::Word(&[NO_CACHE]), Kind::Duration, Kind::Map(&LIFETIME)]);

/// Lifetimes by media type, in the order of the file; none without the key. None: something is wrong, and reported.
pub fn compile(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<(Box<str>, Lifetime)>> {
    let Some(node) = fields.maybe("expires") else { return Some(Vec::new()) };
    let Some(entries) = node.as_map() else {
        return Some(vec![(ALL.into(), lifetime(node, "expires", report)?)]);
    };
    if entries.is_empty() {
        report.error(
            node.span,
            "`expires` is empty: write such as `1h` or `{ text/html: no-cache, \"*\": 1h }`",
        );
    }
    let mut before: Vec<&Key> = Vec::new();
    let mut lifetimes = Vec::new();
    for (key, node) in entries {
        let pattern = pattern(key, &before, report);
        let lifetime = lifetime(node, &key.text, report);
        before.push(key);
        lifetimes.push(pattern.zip(lifetime));
    }
    lifetimes.into_iter().collect()
}

fn lifetime(node: &Node, key: &str, report: &mut Report) -> Option<Lifetime> {
    match node.is_word(NO_CACHE) {
        true => Some(Lifetime::NoCache),
        false => node_seconds(node, key, report).map(Lifetime::Seconds),
    }
}

/// The pattern of a key, if it can ever take anything behind those `before` it.
fn pattern(key: &Key, before: &[&Key], report: &mut Report) -> Option<Box<str>> {
    let pattern = match key.text.as_str() {
        ALL => None,
        // The end of a type says how it is written, not how long it stays as it is.
        text if text.starts_with("*+") => {
            report.error(
                key.span,
                format!("`expires`: `{text}` is no kind of file: write such as application/json"),
            );
            return None;
        }
        text => match text.parse::<MediaPattern>() {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                report.error(key.span, format!("`expires`: {error}"));
                return None;
            }
        },
    };
    let covered = |other: &&&Key| match (other.text.parse::<MediaPattern>(), &pattern) {
        _ if other.text == ALL => true,
        (Ok(other), Some(pattern)) => other.covers(pattern),
        (Err(_), _) | (_, None) => false,
    };
    if let Some(other) = before.iter().find(covered) {
        let message = format!(
            "`{}` comes after `{}`, which takes all that it would: the first one counts",
            key.text, other.text
        );
        report.error_with(key.span, message, "put it first, or remove it");
        return None;
    }
    Some(pattern.map_or(ALL.into(), |pattern| pattern.0))
}
