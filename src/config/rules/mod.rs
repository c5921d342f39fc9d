//! Cache rules as files: reads `rules:` and `tests:` and makes rule sets and test cases of them.
//!
//! | part | question |
//! |---|---|
//! | [`RuleFiles`] | which files does a route name, and what is made of them, each once? |
//! | `rule` | what is a rule, and are its name and its parts in order? |
//! | `when` | when does it apply? |
//! | `then`, `settings`, `key` | what does it set? |
//! | `cases`, `expect` | what do the tests of a file ask, and what do they expect? |
//! | `in_force` | what does a file put in force, for the list of changes after a reload? |
//! | `default` | what holds without any file? |
//!
//! The invariant: a rule set is made only if not one mistake was found in its files, and every mistake is reported at
//! the place where it is written.
//! Not here: what rules do, and running the tests.

mod cases;
mod default;
mod expect;
mod files;
mod in_force;
mod key;
mod rule;
mod settings;
mod then;
mod when;

#[cfg(test)]
mod tests;

pub use default::{DEFAULT_RULES, default_rules};
pub use files::{RuleFiles, load_rules};

use crate::config::{Field, Fields, Kind, Need, Node, Report, Section};
use std::fmt::Display;
use std::str::FromStr;

/// A file of cache rules.
pub static RULE_FILE: Section = Section {
    name: "rule file",
    doc: "Cache rules and their tests. Rules apply from top to bottom; a later rule overrides a setting only where it names \
          it. The built-in rules (`check --print-default-rules`) come before those of every file.",
    fields: &[
        Field {
            name: "rules",
            kind: Kind::List(&Kind::Section(&rule::RULE)),
            need: Need::Optional,
            doc: "The rules.",
            example: "[{ name: assets, when: { path: /assets/ }, then: { ttl: 30d } }]",
        },
        Field {
            name: "tests",
            kind: Kind::List(&Kind::Section(&cases::CASE)),
            need: Need::Optional,
            doc: "Tests of the rules, for `foreland test` and `check`. They need no network, and see the built-in rules and \
                  those of this file.",
            example: "[{ name: assets are kept, get: \"https://a.example/assets/a\", expect: { rule: assets } }]",
        },
    ],
};

/// Every element of a list, which may be empty: that takes back what earlier rules say. None without the key, or if an
/// element is wrong, which has been reported.
fn items<T: FromStr<Err: Display>>(key: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Vec<T>> {
    if fields.maybe(key)?.is_broken() {
        return None;
    }
    let written = fields.list(key, report);
    let read: Vec<T> = fields.parse_all(key, report);
    (read.len() == written.len()).then_some(read)
}

/// Whether this is a map without keys.
fn is_empty(node: &Node) -> bool {
    node.as_map().is_some_and(<[_]>::is_empty)
}
