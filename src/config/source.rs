//! Reads a configuration from its main file: text, expansions, includes, and a first check against the tables.

use std::path::Path;
use std::sync::Arc;

use super::env::Env;
use super::expand::expand;
use super::files::Files;
use super::include::{INCLUDE, include};
use super::report::Report;
use super::span::Span;
use super::table::{Need, Section};
use super::tree::{Node, Value};
use super::validate::validate;
use super::yaml;

/// The key that only a rule file has.
const RULES: &str = "rules";

/// A configuration as it is written.
pub struct Source {
    /// The files it was read from; files that it names are read into the same.
    pub files: Files,
    /// The whole tree, or None if the main file could not be read.
    pub root: Option<Node>,
    /// Everything found wrong so far.
    pub report: Report,
}

impl Source {
    /// Reads the main file and what it includes.
    pub fn load(path: &Path, env: Arc<dyn Env>, top: &'static Section) -> Self {
        let mut files = Files::new(env);
        let mut report = Report::new();
        let file = files.read(path, None, &mut report);
        Self::build(file, files, report, top)
    }

    /// Reads a text as if it were a main file in the working directory.
    pub fn from_text(name: &str, text: &str, env: Arc<dyn Env>, top: &'static Section) -> Self {
        let mut files = Files::new(env);
        let file = files.add_text(name, text);
        Self::build(Some(file), files, Report::new(), top)
    }

    fn build(file: Option<u16>, mut files: Files, mut report: Report, top: &'static Section) -> Self {
        let mut root = file.and_then(|file| parse_one(file, &mut files, &mut report));
        if let Some(root) = &mut root {
            if is_rule_file(root, top) {
                refuse_rule_file(root, &files, &mut report);
            } else {
                include(root, top, &mut files, &mut report);
                validate(root, top, &mut report);
            }
        }
        Self { files, root, report }
    }
}

/// Whether this is a file of cache rules and nothing else: it has rules, and nothing that a configuration must have.
fn is_rule_file(root: &Node, top: &Section) -> bool {
    let needed = top.fields.iter().filter(|field| field.need == Need::Required).map(|field| field.name);
    let has_any = needed.chain([INCLUDE.name]).any(|name| root.at(name).is_some());
    top.field(RULES).is_none() && root.at(RULES).is_some() && !has_any
}

/// Says so instead of all that is missing in such a configuration.
fn refuse_rule_file(root: &mut Node, files: &Files, report: &mut Report) {
    let name = files.get(root.span.file).map_or("FILE", |file| file.name.as_str());
    let key = root.as_map().unwrap_or_default().iter().find(|(key, _)| key.text == RULES);
    let place = key.map_or(root.span, |(key, _)| key.span);
    let label = format!("`foreland test {name}` runs its tests; a route names it: `cache: FILE`");
    report.error_with(place, "this is a file of cache rules, not a configuration", label);
    root.value = Value::Broken;
}

/// Reads one more file, such as a file of rules, that `named_at` names.
pub fn load_one(
    path: &Path,
    named_at: impl Into<Option<Span>>,
    files: &mut Files,
    report: &mut Report,
) -> Option<Node> {
    let file = files.read(path, named_at, report)?;
    parse_one(file, files, report)
}

/// Parses and expands a file that has been read or added.
pub fn parse_one(file: u16, files: &mut Files, report: &mut Report) -> Option<Node> {
    let mut node = yaml::parse(file, &files.get(file)?.text, report)?;
    expand(&mut node, files, report);
    Some(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::{CACHE, Machine, TOP};
    use crate::config::{Nothing, render_text};

    #[test]
    fn a_file_named_by_another_is_read_beside_it_and_told_about_in_its_own_lines() {
        let machine = Machine::default()
            .file("conf/main.yaml", "listeners: []\nlimits: { banner: site.yaml }\n")
            .file("conf/site.yaml", "\nmemroy: 1GiB\n");
        let Source { mut files, root, mut report } = machine.load();
        let named = root.as_ref().and_then(|root| root.at("limits")?.at("banner")).unwrap();
        let path = files.resolve(named.span.file, named.as_text().unwrap());
        let mut node = load_one(&path, named.span, &mut files, &mut report).unwrap();
        validate(&mut node, &CACHE, &mut report);
        assert!(load_one(Path::new("conf/gone.yaml"), named.span, &mut files, &mut report).is_none());
        let expected = "\
error: cannot read `conf/gone.yaml`: there is no such file
  --> conf/main.yaml:2:19
   |
 2 | limits: { banner: site.yaml }
   |                   ^^^^^^^^^
error: unknown key `memroy`
  --> conf/site.yaml:2:1
   |
 2 | memroy: 1GiB
   | ^^^^^^ did you mean `memory`?
";
        assert_eq!(render_text(&report, &files, false), expected);
    }

    #[test]
    fn a_text_that_is_no_file_stands_on_its_own() {
        let source =
            Source::from_text("built-in", "listeners: [{ bind: '${X:-a}' }]", Arc::new(Nothing), &TOP);
        assert!(source.report.is_empty() && source.root.is_some());
        let source = Source::from_text("built-in", "listeners: [{ bind: '${X}' }]", Arc::new(Nothing), &TOP);
        assert!(source.report.has_errors());
    }

    #[test]
    fn a_file_full_of_mistakes_is_reported_in_bounded_time() {
        let text = format!("listeners: [{}]", "*a,".repeat(90_000));
        let source = Source::from_text("main.yaml", &text, Arc::new(Nothing), &TOP);
        assert_eq!(source.report.counts().errors, 1000);
        assert!(render_text(&source.report, &source.files, false).len() < 1_000_000);
    }
}
