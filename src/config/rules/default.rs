//! The rules that hold without any file, and before those of every file.

use super::rule::{self, Written};
use crate::config::{Files, Nothing, Report, parse_one};
use crate::rules::{Rule, RuleSet};
use std::sync::Arc;

/// The built-in rules as they are written.
pub const DEFAULT_RULES: &str = include_str!("../../../cache-rules/default.yaml");

/// What places in them are called.
pub const DEFAULT_NAME: &str = "cache-rules/default.yaml";

/// The built-in rules.
pub fn default_rules() -> Arc<RuleSet> {
    let (mut files, mut report) = (Files::new(Arc::new(Nothing)), Report::new());
    let written = read(&mut files, &mut report);
    Arc::new(RuleSet::open(rules(&written)))
}

/// The built-in rules with their places among `files`. That nothing is wrong with them is shown by a test.
pub fn read(files: &mut Files, report: &mut Report) -> Vec<Written> {
    let file = files.add_text(DEFAULT_NAME, DEFAULT_RULES);
    let root = parse_one(file, files, report);
    root.map(|root| rule::compile(&root, files, report)).unwrap_or_default()
}

/// The rules without the places of their names.
pub fn rules<'w>(written: impl IntoIterator<Item = &'w Written>) -> Vec<Rule> {
    written.into_iter().map(|written| written.rule.clone()).collect()
}
