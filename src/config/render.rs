//! Shows a report: as text with the line and a caret under the mistake, or as JSON for other programs.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};
use unicode_width::UnicodeWidthChar as _;

use super::files::{File, Files, floor};
use super::report::{Diagnostic, Report, Severity};
use super::span::Span;

/// Columns of a source line that are shown; more is cut around the mistake.
const WIDEST: usize = 100;
const TAB: usize = 4;

/// Everything found, as text. `color` adds ANSI colours.
pub fn render_text(report: &Report, files: &Files, color: bool) -> String {
    let diagnostics = report.diagnostics();
    let places = diagnostics.iter().flat_map(|d| d.span.into_iter().chain(d.other.as_ref().map(|o| o.0)));
    let last = places.map(|span| files.line_col(span).0).max().unwrap_or(0);
    let page = Page { files, color, gutter: last.to_string().len().max(2) };
    diagnostics.iter().map(|diagnostic| page.diagnostic(diagnostic)).collect()
}

/// Everything found, as an array of objects.
pub fn render_json(report: &Report, files: &Files) -> Json {
    report.diagnostics().iter().map(|diagnostic| object(diagnostic, files)).collect()
}

struct Page<'f> {
    files: &'f Files,
    color: bool,
    gutter: usize,
}

/// What a part of the text is, which decides its colour.
#[derive(Clone, Copy)]
enum Paint {
    Error,
    Frame,
    Message,
    Warning,
}

impl Page<'_> {
    fn diagnostic(&self, diagnostic: &Diagnostic) -> String {
        let paint = match diagnostic.severity {
            Severity::Error => Paint::Error,
            Severity::Warning => Paint::Warning,
        };
        let word = self.paint(paint, diagnostic.severity.word());
        let message = self.paint(Paint::Message, &format!(": {}", self.said(&diagnostic.message)));
        let mut out = format!("{word}{message}\n");
        let label = diagnostic.label.as_deref().unwrap_or("");
        match diagnostic.span {
            Some(span) => self.place(&mut out, span, label, paint),
            None if label.is_empty() => {}
            None => out.push_str(&format!("{} {}\n", self.frame("="), self.said(label))),
        }
        if let Some((span, what)) = &diagnostic.other {
            out.push_str(&format!("{}: {}\n", self.paint(Paint::Frame, "note"), self.said(what)));
            self.place(&mut out, *span, "", Paint::Frame);
        }
        out
    }

    fn place(&self, out: &mut String, span: Span, label: &str, paint: Paint) {
        let Some(file) = self.files.get(span.file) else { return };
        let (line, column) = self.files.line_col(span);
        let arrow = self.paint(Paint::Frame, &format!("{}-->", " ".repeat(self.gutter)));
        let _ = writeln!(out, "{arrow} {}:{line}:{column}", printable(&file.name));
        let (source, before, carets) = excerpt(file, line, span);
        let number = self.paint(Paint::Frame, &format!("{line:>width$} |", width = self.gutter));
        let marks = self.paint(paint, format!("{} {}", "^".repeat(carets), self.said(label)).trim_end());
        let _ = writeln!(out, "{}", self.frame("|"));
        let _ = writeln!(out, "{}", format!("{number} {source}").trim_end());
        let _ = writeln!(out, "{} {}{marks}", self.frame("|"), " ".repeat(before));
    }

    fn frame(&self, sign: &str) -> String {
        self.paint(Paint::Frame, &format!("{} {sign}", " ".repeat(self.gutter)))
    }

    /// A message as it is shown: without secrets, on one line.
    fn said(&self, text: &str) -> String {
        printable(&self.files.hide(text))
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Error => "1;31",
            Paint::Frame => "1;34",
            Paint::Message => "1",
            Paint::Warning => "1;33",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// A line as it is shown, the columns before the mark, and the width of the mark.
fn excerpt(file: &File, number: usize, span: Span) -> (String, usize, usize) {
    let whole = file.line(number).trim_end();
    let start = (span.start as usize).saturating_sub(file.line_start(number));
    let (skipped, line) = vicinity(whole, start);
    let (start, end) =
        (start - skipped, (span.end as usize).saturating_sub(file.line_start(number) + skipped));
    let mut cells: Vec<(usize, String)> = Vec::new();
    let (mut column, mut from, mut to) = (0, None, None);
    for (at, c) in line.char_indices() {
        if at >= start {
            from.get_or_insert(column);
        }
        if at >= end {
            to.get_or_insert(column);
        }
        let cell = cell(c, column);
        let width = cell.chars().map(|c| c.width().unwrap_or(1)).sum::<usize>();
        cells.push((column, cell));
        column += width;
    }
    let from = from.unwrap_or(column);
    let to = to.unwrap_or(column).max(from + 1);
    // The mark stays in sight, with what leads up to it.
    let left = from.saturating_sub(WIDEST * 2 / 5).min(column.saturating_sub(WIDEST));
    let right = left + WIDEST;
    let inside = cells.iter().filter(|(at, _)| *at >= left && *at < right).map(|(_, cell)| cell.as_str());
    let shown: String = inside.collect();
    let lead = if left > 0 || skipped > 0 { "… " } else { "" };
    let tail = if right < column || skipped + line.len() < whole.len() { " …" } else { "" };
    (format!("{lead}{shown}{tail}"), from - left + lead.chars().count(), to.min(right).max(from + 1) - from)
}

/// The part of a line around a byte that can be in sight, and where it begins: some lines are a megabyte long.
fn vicinity(line: &str, byte: usize) -> (usize, &str) {
    let start = floor(line, byte.saturating_sub(WIDEST * 4));
    let end = floor(line, byte.saturating_add(WIDEST * 8));
    (start, line.get(start..end).unwrap_or(line))
}

/// How a character is shown: tabs as blanks, control characters as their pictures.
fn cell(c: char, column: usize) -> String {
    match c {
        '\t' => " ".repeat(TAB - column % TAB),
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('?').to_string(),
        c if is_unseen(c) => '\u{fffd}'.to_string(),
        c => c.to_string(),
    }
}

/// A message on one line, in which nothing of the file can drive the terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| if is_unseen(c) { c.escape_default().collect() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// Control characters, and those that turn the direction of a text.
fn is_unseen(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn object(diagnostic: &Diagnostic, files: &Files) -> Json {
    let mut object = json!({
        "severity": diagnostic.severity.word(),
        "message": files.hide(&diagnostic.message),
        "help": diagnostic.label.as_deref().map(|label| files.hide(label)),
    });
    if let (Some(span), Some(fields)) = (diagnostic.span, object.as_object_mut()) {
        fields.extend(position(span, files));
    }
    if let (Some((span, what)), Some(fields)) = (&diagnostic.other, object.as_object_mut()) {
        let mut related = position(*span, files);
        related.insert("message".to_owned(), json!(files.hide(what)));
        fields.insert("related".to_owned(), Json::Object(related));
    }
    object
}

fn position(span: Span, files: &Files) -> serde_json::Map<String, Json> {
    let (line, column) = files.line_col(span);
    let (end_line, end_column) = files.end_line_col(span);
    let file = files.get(span.file).map_or("", |file| file.name.as_str());
    let fields = [
        ("file", json!(file)),
        ("line", json!(line)),
        ("column", json!(column)),
        ("end_line", json!(end_line)),
        ("end_column", json!(end_column)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::{shown, source};

    #[test]
    fn text_looks_as_promised() {
        let text = "listeners:\n  - bind: ':80'\nupstreams:\n  app:\n    servers: []\n    ballance: random\n\n\n\nlimits: { wait: 30 parsecs }\n";
        let expected = "\
error: unknown key `ballance`
  --> main.yaml:6:5
   |
 6 |     ballance: random
   |     ^^^^^^^^ did you mean `balance`?
error: `wait` needs a duration such as 30s, 10m, 1h, 30d or `forever`; `30 parsecs` has an unknown unit
  --> main.yaml:10:17
   |
10 | limits: { wait: 30 parsecs }
   |                 ^^^^^^^^^^
";
        assert_eq!(shown(text), expected);
        assert_eq!(source(text).report.summary(), "2 errors. Nothing was started.");
    }

    #[test]
    fn a_second_place_is_a_note() {
        let expected = "\
error: key `listeners` is given twice
  --> main.yaml:2:1
   |
 2 | listeners: []
   | ^^^^^^^^^
note: first given here
  --> main.yaml:1:1
   |
 1 | listeners: []
   | ^^^^^^^^^
";
        assert_eq!(shown("listeners: []\nlisteners: []\n"), expected);
    }

    #[test]
    fn the_gutter_is_as_wide_as_the_largest_line_number() {
        let text = format!("listeners: []\nx: 1\n{}y: 1\n", "#\n".repeat(200));
        let shown = shown(&text);
        assert!(shown.contains("\n   --> main.yaml:2:1\n    |\n  2 | x: 1\n    | ^ "), "{shown}");
        assert!(shown.contains("\n203 | y: 1\n"), "{shown}");
    }

    /// The shown line and the line of carets, for a span found by its text.
    fn marked(text: &str, part: &str) -> (String, String) {
        let mut source = source("listeners: []");
        let file = source.files.add_text("other.yaml", text);
        let start = text.find(part).unwrap();
        let mut report = Report::new();
        report.error_with(Span::new(file, start, start + part.len()), "wrong", "here");
        let shown = render_text(&report, &source.files, false);
        let lines: Vec<&str> = shown.lines().collect();
        (lines[3].to_owned(), lines[4].to_owned())
    }

    #[test]
    fn carets_stay_under_tabs_and_wide_characters() {
        assert_eq!(marked("a:\tb", "b"), (" 1 | a:  b".into(), "   |     ^ here".into()));
        assert_eq!(marked("日本: b", "b"), (" 1 | 日本: b".into(), "   |       ^ here".into()));
        assert_eq!(marked("a: 日本 c", "日本"), (" 1 | a: 日本 c".into(), "   |    ^^^^ here".into()));
        assert_eq!(marked("é: b", "b"), (" 1 | é: b".into(), "   |    ^ here".into()));
        assert_eq!(marked("a\u{1b}[1m: b", "b"), (" 1 | a␛[1m: b".into(), "   |        ^ here".into()));
    }

    #[test]
    fn a_span_over_several_lines_marks_the_first() {
        assert_eq!(marked("a: b  \nc: d", "b  \nc"), (" 1 | a: b".into(), "   |    ^ here".into()));
        assert_eq!(marked("a: b\r\nc: d", "a: b\r\nc"), (" 1 | a: b".into(), "   | ^^^^ here".into()));
    }

    #[test]
    fn a_long_line_is_cut_around_the_mark() {
        let line = format!("{}WRONG{}", "a".repeat(300), "b".repeat(300));
        let (source, carets) = marked(&line, "WRONG");
        assert_eq!(source, format!(" 1 | … {}WRONG{} …", "a".repeat(40), "b".repeat(55)));
        assert_eq!(carets, format!("   | {}^^^^^ here", " ".repeat(42)));
        let (source, carets) = marked(&line, &line);
        assert_eq!(source, format!(" 1 | {} …", "a".repeat(100)));
        assert_eq!(carets, format!("   | {} here", "^".repeat(100)));
        let (source, carets) = marked(&format!("{}END", "a".repeat(300)), "END");
        assert_eq!(source, format!(" 1 | … {}END", "a".repeat(97)));
        assert_eq!(carets, format!("   | {}^^^ here", " ".repeat(99)));
    }

    #[test]
    fn color_is_added_only_where_asked_and_a_file_cannot_drive_the_terminal() {
        let source = source("listeners: []\n\"\\e[31m\\u202e\": 1\n");
        let plain = render_text(&source.report, &source.files, false);
        assert!(!plain.contains('\u{1b}') && !plain.contains('\u{202e}'), "{plain:?}");
        assert!(plain.starts_with("error: unknown key `\\u{1b}[31m\\u{202e}`\n"), "{plain}");
        let color = render_text(&source.report, &source.files, true);
        assert!(color.starts_with("\u{1b}[1;31merror\u{1b}[0m\u{1b}[1m: unknown"), "{color:?}");
        let mut stripped = color;
        for code in ["1;31", "1;34", "1", "0"] {
            stripped = stripped.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(stripped, plain);
    }

    #[test]
    fn json_has_every_place_and_the_help() {
        let source = source("listeners: []\nupstraems: {}\nlisteners: 1\n");
        let json = render_json(&source.report, &source.files);
        let expected = json!([
            { "severity": "error", "message": "unknown key `upstraems`", "help": "did you mean `upstreams`?",
              "file": "main.yaml", "line": 2, "column": 1, "end_line": 2, "end_column": 10 },
            { "severity": "error", "message": "key `listeners` is given twice", "help": null,
              "file": "main.yaml", "line": 3, "column": 1, "end_line": 3, "end_column": 10,
              "related": { "message": "first given here",
                           "file": "main.yaml", "line": 1, "column": 1, "end_line": 1, "end_column": 10 } },
        ]);
        assert_eq!(json, expected);
    }

    #[test]
    fn what_has_no_place_comes_first_and_without_a_snippet() {
        let source = crate::config::fixture::Machine::default().load();
        let shown = render_text(&source.report, &source.files, false);
        assert_eq!(shown, "error: cannot read `conf/main.yaml`: there is no such file\n");
        assert!(source.root.is_none());
    }
}
