//! Reads the rules of one file.

use super::settings::THEN;
use super::when::WHEN;
use super::{RULE_FILE, then, when};
use crate::config::{Diagnostic, Field, Fields, Files, Kind, Need, Node, Report, Section, Severity, Span};
use crate::rules::{Rule, RuleSet, When};
use std::collections::HashMap;
use std::str::FromStr;

/// A cache rule.
pub static RULE: Section = Section {
    name: "rule",
    doc: "When a request, or its response, looks like this, then it is cached like that.",
    fields: &[
        Field {
            name: "name",
            kind: Kind::Text("a name of letters, digits, `-`, `_` and `.`"),
            need: Need::Required,
            doc: "What log, metrics and `explain` call the rule. No two rules of a route share a name, the built-in ones \
                  included.",
            example: "assets",
        },
        Field {
            name: "when",
            kind: Kind::Section(&WHEN),
            need: Need::Optional,
            doc: "When it applies. Without it: always.",
            example: "{ path: [\"*.js\", \"*.css\"] }",
        },
        Field {
            name: "then",
            kind: Kind::Section(&THEN),
            need: Need::Required,
            doc: "What it sets.",
            example: "{ ttl: 30d }",
        },
    ],
};

/// A rule and the place of its name.
#[derive(Clone)]
pub struct Written {
    /// The rule.
    pub rule: Rule,
    /// Where its name is written.
    pub name_at: Span,
}

/// The rules in the root of a file, as far as they can be read; what is wrong is reported.
pub fn compile(root: &Node, files: &Files, report: &mut Report) -> Vec<Written> {
    let Some(file) = Fields::open(root, &RULE_FILE, report) else { return Vec::new() };
    let items = file.list("rules", report);
    if items.len() > RuleSet::MOST {
        file.error("rules", format!("a route may have {} rules; these are too many", RuleSet::MOST), report);
        return Vec::new();
    }
    items.iter().filter_map(|node| one(node, files, report)).collect()
}

fn one(node: &Node, files: &Files, report: &mut Report) -> Option<Written> {
    let fields = Fields::open(node, &RULE, report)?;
    let name = fields.parse::<Name>("name", report);
    let when = match fields.maybe("when") {
        Some(node) => when::compile(node, report),
        None => Some(When::All(Vec::new())),
    };
    let then_node = fields.maybe("then")?;
    let then = then::compile(then_node, report);
    let (Name(name), when) = (name?, when?);
    if when.is_response() {
        then::refuse_too_late(then_node, &then, report);
    }
    let name_at = fields.value_span("name");
    let rule = Rule { name: name.as_str().into(), place: files.place(name_at).into(), when, then };
    Some(Written { rule, name_at })
}

/// The name of a rule: it goes into log lines, metric labels and header fields, where nothing may need quoting.
struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LONGEST: usize = 64;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text == super::expect::NO_RULE {
            return Err(format!("`{text}` is what tests call the absence of a rule; choose another name"));
        }
        if text.len() > LONGEST {
            return Err(format!("a name has {LONGEST} characters at most"));
        }
        if text.is_empty() {
            return Err("the name is empty".to_owned());
        }
        if text.chars().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        let better: String = text.chars().map(|c| if plain(c) { c } else { '-' }).collect();
        Err(format!(
            "`{text}` is no name of a rule: letters, digits, `-`, `_` and `.` make one, such as `{better}`"
        ))
    }
}

/// Reports rules of one route that share a name, at the later one.
pub fn refuse_same_names<'w>(rules: impl Iterator<Item = &'w Written>, report: &mut Report) {
    let mut first: HashMap<&str, &Written> = HashMap::new();
    for written in rules {
        let name = &*written.rule.name;
        let Some(known) = first.get(name) else {
            first.insert(name, written);
            continue;
        };
        let message = format!("rule `{name}` is there already: {}", known.rule.place);
        let diagnostic = Diagnostic::new(Severity::Error, Some(written.name_at), message)
            .label("choose another name; a later rule overrides what it names, whatever it is called")
            .other(known.name_at, "first defined here");
        report.push(diagnostic);
    }
}
