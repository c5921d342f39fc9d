//! The rule files of one configuration: each is read once, each list of them makes one rule set.

use super::default::{self, DEFAULT_RULES};
use super::rule::{self, Written};
use super::{RULE_FILE, cases, in_force};
use crate::config::effective::Effective;
use crate::config::{Env, Files, Node, Report, Span, parse_one, validate};
use crate::explain::{Case, CaseFile};
use crate::rules::RuleSet;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The rule files of one configuration, and what was found in them.
#[derive(Default)]
pub struct RuleFiles {
    /// The tests of every file that has any.
    pub cases: Vec<CaseFile>,
    /// What the rules put in force, the built-in ones left out: they change with the program alone.
    pub effective: Vec<Effective>,
    /// The built-in rules, once they are needed.
    built_in: Option<Vec<Written>>,
    /// The rules of each file by its index; None if something is wrong with it.
    read: HashMap<u16, Option<Vec<Written>>>,
    /// Rule sets by the files they are made of, so that routes with the same files share one.
    sets: HashMap<Vec<u16>, Option<Arc<RuleSet>>>,
}

impl RuleFiles {
    /// The built-in rules and then those of the files, in this order; without files the built-in ones alone. Each file
    /// comes with the place that names it. None: something is wrong, and reported.
    pub fn compile(
        &mut self,
        paths: &[(PathBuf, Span)],
        files: &mut Files,
        report: &mut Report,
    ) -> Option<Arc<RuleSet>> {
        self.built_in.get_or_insert_with(|| default::read(files, report));
        let named: Vec<Option<u16>> =
            paths.iter().map(|(path, named_at)| self.read(path, Some(*named_at), files, report)).collect();
        let named: Vec<u16> = named.into_iter().collect::<Option<_>>()?;
        let twice = (1..named.len()).find(|at| named[..*at].contains(&named[*at]));
        if let Some((path, named_at)) = twice.and_then(|at| paths.get(at)) {
            report.error(
                *named_at,
                format!("`{}` is named twice: its rules are there already", path.display()),
            );
            return None;
        }
        if let Some(known) = self.sets.get(&named) {
            return known.clone();
        }
        let set = self.set(&named, report);
        self.sets.insert(named, set.clone());
        set
    }

    /// How many rules are written in files, the built-in ones left out.
    pub fn count(&self) -> usize {
        self.read.values().flatten().map(Vec::len).sum()
    }

    fn built_in(&self) -> &[Written] {
        self.built_in.as_deref().unwrap_or_default()
    }

    fn set(&self, named: &[u16], report: &mut Report) -> Option<Arc<RuleSet>> {
        let of_files = |file: &u16| self.read.get(file)?.as_deref();
        let chosen: Option<Vec<&[Written]>> = named.iter().map(of_files).collect();
        let chosen: Vec<&Written> = self.built_in().iter().chain(chosen?.into_iter().flatten()).collect();
        open(&chosen, report)
    }

    /// Reads a file, the first time with all that belongs to it.
    fn read(
        &mut self,
        path: &Path,
        named_at: Option<Span>,
        files: &mut Files,
        report: &mut Report,
    ) -> Option<u16> {
        let file = files.read(path, named_at, report)?;
        if !self.read.contains_key(&file) {
            let mut found = Report::new();
            let mut root = parse_one(file, files, &mut found);
            let written = root.as_mut().and_then(|root| self.take(root, files, &mut found));
            self.read.insert(file, written.filter(|_| !found.has_errors()));
            report.extend(found);
        }
        Some(file)
    }

    fn take(&mut self, root: &mut Node, files: &Files, report: &mut Report) -> Option<Vec<Written>> {
        validate(root, &RULE_FILE, report);
        let file = files.get(root.span.file)?;
        // The built-in rules as a file: they are there already, but their tests can run.
        let written =
            if file.text == DEFAULT_RULES { Vec::new() } else { rule::compile(root, files, report) };
        let all: Vec<&Written> = self.built_in().iter().chain(&written).collect();
        let cases = cases::compile(root, &names(&all), files, report);
        let set = open(&all, report)?;
        if !report.has_errors() {
            self.warn(&set, &written, report);
        }
        self.effective.extend(in_force::of(&file.name, root, &written));
        if !cases.is_empty() && !report.has_errors() {
            self.cases.push(CaseFile { name: file.name.clone(), rules: set, cases });
        }
        Some(written)
    }

    /// Says which rules of a file are useless. Those that only another file makes useless are meant to be: that is how
    /// a file is adapted.
    fn warn(&self, set: &RuleSet, written: &[Written], report: &mut Report) {
        let before = self.built_in().len();
        for finding in set.findings() {
            if let Some(written) = finding.rule.checked_sub(before).and_then(|at| written.get(at)) {
                report.warning(written.name_at, finding.text);
            }
        }
    }
}

/// Makes a rule set, unless two of its rules share a name, which is reported.
fn open(chosen: &[&Written], report: &mut Report) -> Option<Arc<RuleSet>> {
    let mut found = Report::new();
    rule::refuse_same_names(chosen.iter().copied(), &mut found);
    let fine = !found.has_errors();
    report.extend(found);
    fine.then(|| Arc::new(RuleSet::open(default::rules(chosen.iter().copied()))))
}

fn names<'w>(written: &[&'w Written]) -> Vec<&'w str> {
    written.iter().map(|written| &*written.rule.name).collect()
}

/// Reads one rule file by itself, for its tests; no tests are no mistake. With the files and the report to show what
/// is wrong.
pub fn load_rules(path: &Path, env: Arc<dyn Env>) -> (Files, Report, Option<CaseFile>) {
    let (mut files, mut report, mut rules) = (Files::new(env), Report::new(), RuleFiles::default());
    rules.built_in = Some(default::read(&mut files, &mut report));
    let read = rules.read(path, None, &mut files, &mut report);
    let set = read.and_then(|file| rules.set(&[file], &mut report));
    let name = read.and_then(|file| files.get(file)).map(|file| file.name.clone());
    let fine = name.zip(set).filter(|_| !report.has_errors());
    let tests: Vec<Case> = rules.cases.pop().map(|file| file.cases).unwrap_or_default();
    let case_file = fine.map(|(name, rules)| CaseFile { name, rules, cases: tests });
    (files, report, case_file)
}
