//! Reads a configuration with all it names, checks it, and compiles it: all or nothing.

use super::effective::{self, Effective};
use super::rules::{self, RuleFiles};
use super::sections::{Bench, TOP, compile};
use super::{Diagnostic, Env, Files, Node, Report, Severity, Source, System, dump, render_json, render_text};
use crate::explain::CaseFile;
use crate::setup::Setup;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration that was read, beside the setup it asks for.
pub struct Loaded {
    /// The main file.
    pub path: PathBuf,
    /// Every path whose change would change something: files, secrets, bodies, and folders in which `include` looks for
    /// names.
    pub files: Vec<PathBuf>,
    /// Every value in force, for telling what a reload changes.
    pub effective: Vec<Effective>,
    /// What may be meant otherwise than it is written, a line each: `conf/foreland.yaml:8:5: …`.
    pub warnings: Vec<String>,
    /// `conf/foreland.yaml: 2 listeners, 3 upstreams (7 servers), 6 routes, 4 rules`.
    pub summary: String,
    /// The tests of all rule files.
    pub cases: Vec<CaseFile>,
    root: Node,
    report: Report,
    sources: Files,
}

/// Why a configuration was refused: everything that is wrong with it.
pub struct Refused(Box<(Report, Files)>);

/// Reads, checks and compiles a configuration file with all it names.
pub fn load(path: &Path) -> Result<(Setup, Loaded), Refused> {
    load_with(path, Arc::new(System))
}

/// The same, reading from `env`.
pub fn load_with(path: &Path, env: Arc<dyn Env>) -> Result<(Setup, Loaded), Refused> {
    finish(path, Source::load(path, env, &TOP))
}

/// The same for a text that is no file; paths in it are relative to the working directory.
pub fn load_text(name: &str, text: &str, env: Arc<dyn Env>) -> Result<(Setup, Loaded), Refused> {
    finish(Path::new(name), Source::from_text(name, text, env, &TOP))
}

/// Reads one rule file, without a configuration: its rules behind the default rules, and its tests.
pub fn load_rules(path: &Path) -> Result<CaseFile, Refused> {
    match rules::load_rules(path, Arc::new(System)) {
        (_, report, Some(file)) if !report.has_errors() => Ok(file),
        (sources, report, _) => Err(Refused(Box::new((report, sources)))),
    }
}

fn finish(path: &Path, source: Source) -> Result<(Setup, Loaded), Refused> {
    let Source { files: mut sources, root, mut report } = source;
    let mut bench = Bench::new(&mut sources, &mut report);
    let setup = root.as_ref().and_then(|root| compile(root, &mut bench));
    let rules = bench.rules;
    match (setup, root) {
        (Some(setup), Some(root)) if !report.has_errors() => {
            let loaded = Loaded::new(path, &setup, root, report, sources, rules);
            Ok((setup, loaded))
        }
        _ => Err(Refused(Box::new((report, sources)))),
    }
}

impl Loaded {
    fn new(
        path: &Path,
        setup: &Setup,
        mut root: Node,
        report: Report,
        sources: Files,
        rules: RuleFiles,
    ) -> Self {
        effective::keep_secrets(&mut root);
        Self {
            path: path.to_owned(),
            files: watched(&sources),
            warnings: report.diagnostics().into_iter().map(|warning| line(warning, &sources)).collect(),
            summary: format!("{}: {}", path.display(), counted(setup, rules.count())),
            effective: effective::hidden(effective::of(&root, setup, &rules.effective), &sources),
            cases: rules.cases,
            root,
            report,
            sources,
        }
    }

    /// The warnings as `check` shows them, with their places; empty without any.
    pub fn text(&self, color: bool) -> String {
        render_text(&self.report, &self.sources, color)
    }

    /// The same for programs.
    pub fn json(&self) -> serde_json::Value {
        render_json(&self.report, &self.sources)
    }

    /// The whole configuration that is in force, with every default, as YAML.
    pub fn dump(&self) -> String {
        dump(&TOP, &self.root)
    }
}

impl Refused {
    /// `3 errors, 1 warning`.
    pub fn summary(&self) -> String {
        self.report().counts().to_string()
    }

    /// Everything that is wrong, with its place.
    pub fn text(&self, color: bool) -> String {
        render_text(self.report(), &self.0.1, color)
    }

    /// The same for programs.
    pub fn json(&self) -> serde_json::Value {
        render_json(self.report(), &self.0.1)
    }

    /// Everything that is wrong, a line each: `conf/foreland.yaml:8:5: unknown key …`.
    pub fn lines(&self) -> Vec<String> {
        self.report().diagnostics().into_iter().map(|diagnostic| line(diagnostic, &self.0.1)).collect()
    }

    /// Every path whose change may mend it: the same as [`Loaded::files`], and what could not be read.
    pub fn files(&self) -> Vec<PathBuf> {
        watched(&self.0.1)
    }

    fn report(&self) -> &Report {
        &self.0.0
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(false))
    }
}

fn watched(sources: &Files) -> Vec<PathBuf> {
    sources.watched().map(Path::to_owned).collect()
}

fn line(diagnostic: &Diagnostic, sources: &Files) -> String {
    let place = diagnostic.span.map(|span| {
        let (line, column) = sources.line_col(span);
        format!("{}:{line}:{column}: ", sources.get(span.file).map_or("", |file| &file.name))
    });
    let hint = diagnostic.label.as_ref().map(|label| format!(" ({})", sources.hide(label)));
    let word = if diagnostic.severity == Severity::Error { "error: " } else { "" };
    let message = sources.hide(&diagnostic.message);
    format!("{}{word}{message}{}", place.unwrap_or_default(), hint.unwrap_or_default())
}

/// `2 listeners, 3 upstreams (7 servers), 6 routes, 4 rules`.
fn counted(setup: &Setup, rules: usize) -> String {
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let servers = setup.upstreams.iter().map(|upstream| upstream.servers.len()).sum();
    format!(
        "{}, {} ({}), {}, {}",
        count(setup.listeners.len(), "listener"),
        count(setup.upstreams.len(), "upstream"),
        count(servers, "server"),
        count(setup.routes.len(), "route"),
        count(rules, "rule"),
    )
}
