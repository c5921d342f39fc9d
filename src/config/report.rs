//! What is wrong with a configuration: every mistake found, in the order of the files.

use std::collections::HashSet;
use std::fmt;

use super::span::Span;

/// Nobody reads more than this; a file of nothing but mistakes must not cost the square of its length.
const MOST: usize = 1000;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and probably does not do what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a final dot.
    pub message: String,
    /// Where.
    pub span: Option<Span>,
    /// What to write instead, or what is meant by the marked text; shown beside it.
    pub label: Option<String>,
    /// Another place that has to do with it, and what is there.
    pub other: Option<(Span, String)>,
}

/// Everything that is wrong.
#[derive(Clone, Debug, Default)]
pub struct Report {
    found: Vec<Diagnostic>,
    /// The same as `found`, so that a file full of mistakes does not cost the square of their number.
    known: HashSet<Diagnostic>,
}

/// How many there are of each severity. Displayed as `3 errors, 1 warning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
}

impl Report {
    /// Nothing is wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An error at a place (a `Span`, or `None`).
    pub fn error(&mut self, at: impl Into<Option<Span>>, message: impl Into<String>) {
        self.push(Diagnostic::new(Severity::Error, at.into(), message.into()));
    }

    /// An error with what to write instead.
    pub fn error_with(
        &mut self,
        at: impl Into<Option<Span>>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) {
        self.push(Diagnostic::new(Severity::Error, at.into(), message.into()).label(label));
    }

    /// A warning at a place.
    pub fn warning(&mut self, at: impl Into<Option<Span>>, message: impl Into<String>) {
        self.push(Diagnostic::new(Severity::Warning, at.into(), message.into()));
    }

    /// A warning with what to write instead.
    pub fn warning_with(
        &mut self,
        at: impl Into<Option<Span>>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) {
        self.push(Diagnostic::new(Severity::Warning, at.into(), message.into()).label(label));
    }

    /// Adds a diagnostic, unless exactly this one is there already or there are far too many.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        // Each severity for itself, so that no number of warnings hides an error.
        if self.found.len() >= MOST
            && self.found.iter().filter(|d| d.severity == diagnostic.severity).take(MOST).count() == MOST
        {
            return;
        }
        if self.known.insert(diagnostic.clone()) {
            self.found.push(diagnostic);
        }
    }

    /// Adds everything that another report found.
    pub fn extend(&mut self, other: Report) {
        other.found.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// Everything found: by file in the order of reading, then by place; what has no place comes first.
    pub fn diagnostics(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.found.iter().collect();
        sorted.sort_by_key(|diagnostic| diagnostic.span.map(|span| (span.file, span.start)));
        sorted
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether nothing at all was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many of each.
    pub fn counts(&self) -> Counts {
        let errors = self.found.iter().filter(|d| d.severity == Severity::Error).count();
        Counts { errors, warnings: self.found.len() - errors }
    }

    /// The last line of `check`: `3 errors, 1 warning. Nothing was started.`
    pub fn summary(&self) -> String {
        let end = if self.has_errors() { " Nothing was started." } else { "" };
        format!("{}.{end}", self.counts())
    }
}

impl Diagnostic {
    /// A diagnostic with a place and a message.
    pub fn new(severity: Severity, span: Option<Span>, message: String) -> Self {
        Self { severity, message, span, label: None, other: None }
    }

    /// The same, with a label beside the marked text.
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    /// The same, pointing at a second place too: `first defined here`.
    pub fn other(self, span: Span, what: impl Into<String>) -> Self {
        Self { other: Some((span, what.into())), ..self }
    }
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (count, word) in [(self.errors, "error"), (self.warnings, "warning")] {
            match count {
                0 => {}
                1 => parts.push(format!("1 {word}")),
                _ => parts.push(format!("{count} {word}s")),
            }
        }
        f.write_str(if parts.is_empty() { "no errors".to_owned() } else { parts.join(", ") }.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sorted_and_says_each_thing_once() {
        let mut report = Report::new();
        report.warning(Span::new(1, 0, 1), "d");
        report.error(Span::new(0, 9, 10), "c");
        report.error_with(Span::new(0, 2, 3), "b", "do this");
        report.error(Span::new(0, 9, 10), "c");
        report.error(None, "a");
        let mut more = Report::new();
        more.error(None, "a");
        more.warning_with(Span::new(1, 5, 5), "e", "do that");
        report.extend(more);
        let messages: Vec<&str> = report.diagnostics().iter().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, ["a", "b", "c", "d", "e"]);
        assert_eq!(report.counts(), Counts { errors: 3, warnings: 2 });
        assert_eq!(report.summary(), "3 errors, 2 warnings. Nothing was started.");
    }

    #[test]
    fn far_too_many_are_cut_and_no_error_is_lost() {
        let mut report = Report::new();
        (0..2000).for_each(|n| report.warning(None, n.to_string()));
        assert!(!report.has_errors());
        (0..2000).for_each(|n| report.error(None, n.to_string()));
        assert_eq!(report.counts(), Counts { errors: MOST, warnings: MOST });
    }

    #[test]
    fn counts_are_words() {
        let rows =
            [(0, 0, "no errors"), (1, 0, "1 error"), (3, 1, "3 errors, 1 warning"), (0, 2, "2 warnings")];
        for (errors, warnings, expected) in rows {
            assert_eq!(Counts { errors, warnings }.to_string(), expected);
        }
        let mut report = Report::new();
        report.warning(None, "x");
        assert_eq!(
            (report.summary().as_str(), report.has_errors(), report.is_empty()),
            ("1 warning.", false, false)
        );
    }
}
