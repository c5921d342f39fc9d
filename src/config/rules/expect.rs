//! Reads what a test expects: `expect`.

use super::cases::{Reader, absolute};
use super::{is_empty, items};
use crate::config::named::{FIELD_TESTS, header_tests};
use crate::config::{Field, Fields, Kind, Need, Node, Report, Section, did_you_mean};
use crate::explain::{Expect, Storing};
use crate::verdict;
use std::time::Duration;

/// What is expected of a step.
pub static EXPECT: Section = Section {
    name: "expectation",
    doc: "What is expected to come of a step, in the words that the log uses. What is not named is not compared.",
    fields: &[
        Field {
            name: "rule",
            kind: Kind::Text("the name of a rule, or none"),
            need: Need::Optional,
            doc: "The rule that the log names: the one that leaves the cache out, else the last that decides anything. `none`: \
                  no rule does.",
            example: "assets",
        },
        Field {
            name: "outcome",
            kind: Kind::Word(OUTCOMES),
            need: Need::Optional,
            doc: "What becomes of the request.",
            example: "bypass",
        },
        Field {
            name: "reason",
            kind: Kind::Word(REASONS),
            need: Need::Optional,
            doc: "Why: of a miss, a bypass, something stale, or a refusal.",
            example: "origin_unreachable",
        },
        Field {
            name: "stored",
            kind: Kind::Either(&[Kind::Bool, Kind::Word(NOT_STORED)]),
            need: Need::Optional,
            doc: "Whether the response is stored; a word is the reason why it is not.",
            example: "set_cookie",
        },
        Field {
            name: "bypass",
            kind: Kind::Bool,
            need: Need::Optional,
            doc: "Whether the cache is left out, for whatever reason.",
            example: "false",
        },
        Field {
            name: "status",
            kind: Kind::Integer { min: 200, max: 599 },
            need: Need::Optional,
            doc: "The status that the client gets.",
            example: "200",
        },
        Field {
            name: "ttl",
            kind: Kind::Duration,
            need: Need::Optional,
            doc: "The lifetime under which the response is stored or served, in full: the age is not taken off.",
            example: "30d",
        },
        Field {
            name: "age",
            kind: Kind::Duration,
            need: Need::Optional,
            doc: "The age of what is served from the store.",
            example: "10m",
        },
        Field {
            name: "same_key_as",
            kind: URLS,
            need: Need::Optional,
            doc: "URLs that get the same stored response as this one, asked for with the same header fields. Scheme and host \
                  may be left out: they are those of the step.",
            example: "/a.js",
        },
        Field {
            name: "different_key_from",
            kind: URLS,
            need: Need::Optional,
            doc: "URLs that do not.",
            example: "[\"/a.js?v=1\", \"/a.js?v=2\"]",
        },
        Field {
            name: "tags",
            kind: Kind::OneOrMany(&Kind::Text("a tag")),
            need: Need::Optional,
            doc: "All tags of the stored response, in any order.",
            example: "[assets]",
        },
        Field {
            name: "headers",
            kind: FIELD_TESTS,
            need: Need::Optional,
            doc: "Header fields of the answer that the client gets, written as in `when`: a text, a pattern, `true` for any \
                  value, `false` for none.",
            example: "{ cache-control: max-age=3600, set-cookie: false }",
        },
        Field {
            name: "route",
            kind: Kind::Text("the name of a route"),
            need: Need::Optional,
            doc: "The route that takes the request. The tests of a rule file run under one route named `default`.",
            example: "default",
        },
    ],
};

const URLS: Kind = Kind::OneOrMany(&Kind::Text("a URL"));

/// How tests write that no rule decides anything.
pub const NO_RULE: &str = "none";

const OUTCOMES: &[&str] =
    &["hit", "stale", "revalidated", "miss", "collapsed", "hit_for_miss", "bypass", "answer", "file"];

const REASONS: &[&str] = &[
    // of a miss
    "absent",
    "vary",
    "expired",
    "purged",
    "request_no_cache",
    // of a bypass
    "rule",
    "method",
    "authorization",
    "request_no_store",
    "body",
    "upgrade",
    "off",
    // of something stale
    "revalidating",
    "origin_unreachable",
    "origin_timeout",
    "origin_5xx",
    "circuit_open",
    "asked",
    // of a refusal
    "bad_request",
    "head_timeout",
    "head_too_large",
    "target_too_long",
    "body_too_large",
    "denied",
    "unauthorized",
    "rate_limited",
    "too_many_connections",
    "overloaded",
];

const NOT_STORED: &[&str] = &[
    "no_store",
    "private",
    "set_cookie",
    "authorization",
    "status",
    "vary_star",
    "no_lifetime",
    "too_large",
    "partial",
    "incomplete",
    "rule",
    "storage",
    "deception",
];

/// What is expected of a request for `url`. None: something is wrong, and reported.
pub fn compile(node: &Node, url: &str, reader: &Reader<'_>, report: &mut Report) -> Option<Expect> {
    let fields = Fields::open(node, &EXPECT, report)?;
    if is_empty(node) {
        report.error(node.span, "`expect` is empty, so the step would pass whatever comes of it");
    }
    Some(Expect {
        route: fields.text("route", report).map(str::to_owned),
        rule: rule(&fields, reader, report),
        outcome: fields.word("outcome", report).and_then(outcome),
        reason: fields.word("reason", report),
        stored: stored(&fields),
        bypass: fields.boolean("bypass", report),
        status: fields.integer("status", report),
        ttl: whole_seconds("ttl", &fields, report),
        age: whole_seconds("age", &fields, report),
        same_key_as: urls("same_key_as", url, &fields, report),
        different_key_from: urls("different_key_from", url, &fields, report),
        tags: items("tags", &fields, report),
        headers: header_tests("headers", &fields, report)?,
    })
}

fn rule(fields: &Fields<'_>, reader: &Reader<'_>, report: &mut Report) -> Option<String> {
    let name = fields.text("rule", report)?;
    if name == NO_RULE {
        return Some(String::new());
    }
    if !reader.rules.contains(&name) {
        let message = format!("`rule`: neither this file nor the built-in rules have a rule `{name}`");
        let at = fields.value_span("rule");
        match did_you_mean(name, reader.rules.iter().copied()) {
            Some(hint) => report.error_with(at, message, hint),
            None => report.error(at, message),
        }
    }
    Some(name.to_owned())
}

fn outcome(word: &str) -> Option<verdict::Kind> {
    verdict::Kind::ALL.iter().copied().find(|kind| kind.as_str() == word)
}

fn stored(fields: &Fields<'_>) -> Option<Storing> {
    match fields.maybe("stored")?.as_text()? {
        "true" => Some(Storing::Yes),
        "false" => Some(Storing::No),
        word => {
            verdict::NotStored::ALL.iter().copied().find(|why| why.as_str() == word).map(Storing::Because)
        }
    }
}

fn whole_seconds(key: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Duration> {
    crate::config::quantity::seconds(key, fields, report).map(|seconds| Duration::from_secs(seconds.into()))
}

fn urls(key: &str, base: &str, fields: &Fields<'_>, report: &mut Report) -> Vec<String> {
    let mut urls = Vec::new();
    for node in fields.list(key, report) {
        let Some(text) = node.text(key, "a URL", report) else { continue };
        match absolute(text, Some(base)) {
            Ok(url) => urls.push(url),
            Err(why) => report.error(node.span, why),
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{BypassWhy, MissWhy, NotStored, Refused, StaleWhy};

    #[test]
    fn tests_use_the_words_of_the_log() {
        let kinds: Vec<&str> = verdict::Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let reasons: Vec<&str> = MissWhy::ALL
            .iter()
            .map(|why| why.as_str())
            .chain(BypassWhy::ALL.iter().map(|why| why.as_str()))
            .chain(StaleWhy::ALL.iter().map(|why| why.as_str()))
            .chain(Refused::ALL.iter().map(|why| why.as_str()))
            .collect();
        let not_stored: Vec<&str> = NotStored::ALL.iter().map(|why| why.as_str()).collect();
        assert_eq!((OUTCOMES, REASONS, NOT_STORED), (&kinds[..], &reasons[..], &not_stored[..]));
    }
}
