//! Reads YAML text into the tree, with a bound on everything that a file could make grow.
//!
//! The events come from `granit-parser`, the parser under `serde-saphyr`: a deserializer gives neither the style of a
//! scalar nor the place of a key, and stops at the first key it does not know.

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span as Place, StructureStyle};

use super::files::{self, MAX_FILE};
use super::report::{Diagnostic, Report, Severity};
use super::span::Span;
use super::syntax;
use super::tree::{Key, Node, Scalar, Value};

/// Levels of maps and lists within each other; the deepest section of ours has nine.
const MAX_DEPTH: usize = 64;
/// Values in one file, repeated ones counted each time.
const MAX_NODES: usize = 100_000;

/// Parses a file. Mistakes that leave the rest readable are reported and passed over; others give None.
pub fn parse(file: u16, text: &str, report: &mut Report) -> Option<Node> {
    if text.len() > MAX_FILE {
        report.error(Span::new(file, 0, 0), "this file is longer than 1 MiB");
        return None;
    }
    let mut builder = Builder::new(file, text, report);
    for event in Parser::new_from_str_with_options(text, options()) {
        let done = match event {
            Ok((event, place)) => builder.take(event, place),
            Err(error) => {
                let problem = syntax::explain(&error, text);
                builder.report(problem);
                Err(Stop)
            }
        };
        done.ok()?;
    }
    Some(builder.root.unwrap_or(Node { span: Span::new(file, 0, 0), value: Value::Map(Vec::new()) }))
}

fn options() -> Options {
    granit_parser::options! {
        disallow_directives: true,
        // Our own limit comes first and names the place.
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
        // `*.js` without quotes is the commonest slip, and no reason to stop reading.
        emit_unresolved_aliases: true,
        emit_comments: false,
    }
}

/// Reading cannot go on; why has been reported.
struct Stop;

/// A tree under construction.
struct Builder<'t, 'r> {
    file: u16,
    text: &'t str,
    report: &'r mut Report,
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: usize,
}

/// A map or list whose end has not come yet.
struct Open {
    span: Span,
    anchor: usize,
    flow: bool,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, known: HashMap<String, Span>, key: Waiting },
}

/// What a map waits for.
enum Waiting {
    Key,
    Value(Key),
    /// The value of a key that has been refused.
    Nothing,
}

impl<'t, 'r> Builder<'t, 'r> {
    fn new(file: u16, text: &'t str, report: &'r mut Report) -> Self {
        let (open, anchors) = (Vec::new(), HashMap::new());
        Self { file, text, report, root: None, open, anchors, nodes: 0, documents: 0 }
    }

    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Stop> {
        let span = self.span(place);
        if event.tag().is_some() {
            let place = place.tag_span().map_or(span, |tag| self.span(tag));
            let label = "remove it, or quote the value if it begins with `!`";
            self.report.error_with(place, "YAML tags are not used here", label);
        }
        match event {
            Event::DocumentStart(..) => self.document(span),
            Event::Scalar(text, style, anchor, _) => {
                self.count(1, span)?;
                let node = scalar(&text, style, span);
                self.finish(node, anchor)
            }
            Event::Alias(id) => self.alias(id, span),
            Event::UnresolvedAlias(_) => {
                let problem = syntax::alias(self.text, span.start as usize..span.end as usize);
                let text = self.text.get(problem.range.clone()).unwrap_or("").to_owned();
                let span = Span::new(self.file, problem.range.start, problem.range.end);
                self.report(problem);
                self.count(1, span)?;
                self.finish(scalar(&text, ScalarStyle::Plain, span), 0)
            }
            Event::SequenceStart(style, anchor, _) => {
                self.start(span, anchor, style == StructureStyle::Flow, Inside::List(Vec::new()))
            }
            Event::MappingStart(style, anchor, _) => {
                let inside = Inside::Map { entries: Vec::new(), known: HashMap::new(), key: Waiting::Key };
                self.start(span, anchor, style == StructureStyle::Flow, inside)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            _ => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents > 1 {
            let label = "a file holds one document; put more into files of their own and `include` them";
            self.report.error_with(span, "a second YAML document begins here", label);
            return Err(Stop);
        }
        Ok(())
    }

    fn start(&mut self, span: Span, anchor: usize, flow: bool, inside: Inside) -> Result<(), Stop> {
        self.count(1, span)?;
        if self.open.len() >= MAX_DEPTH {
            return self.too_deep(span);
        }
        self.open.push(Open { span, anchor, flow, inside });
        Ok(())
    }

    fn end(&mut self, end: Span) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let (first, last, value) = match open.inside {
            Inside::List(items) => {
                (items.first().map(|node| node.span), items.last().map(|node| node.span), Value::List(items))
            }
            Inside::Map { entries, .. } => {
                let first = entries.first().map(|(key, _)| key.span);
                let last = entries.last().map(|(key, node)| key.span.to(self.inner(node.span, key.span)));
                (first, last, Value::Map(entries))
            }
        };
        let span = match (open.flow, first, last) {
            // The events of a block collection tell where its neighbours are, not where it is.
            (false, Some(first), Some(last)) => self.inner(first, open.span).to(self.inner(last, open.span)),
            _ => open.span.to(end),
        };
        self.finish(Node { span, value }, open.anchor)
    }

    /// A repeated value lies elsewhere, and must not stretch the collection that repeats it.
    fn inner(&self, span: Span, after: Span) -> Span {
        if span.start >= after.start { span } else { after }
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let Some(node) = self.anchors.get(&id).cloned() else {
            self.report.error(span, "this alias is inside the value that it repeats");
            return Err(Stop);
        };
        let (size, depth) = measure(&node);
        self.count(size, span)?;
        if self.open.len() + depth > MAX_DEPTH {
            return self.too_deep(span);
        }
        self.finish(node, 0)
    }

    /// A value is complete: it belongs to what is open, or is the whole file.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            self.count(measure(&node).0, node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.root = Some(node),
            Some(Inside::List(items)) => items.push(node),
            Some(Inside::Map { entries, known, key }) => match std::mem::replace(key, Waiting::Key) {
                Waiting::Key => *key = take_key(node, known, self.report),
                Waiting::Value(name) => entries.push((name, node)),
                Waiting::Nothing => {}
            },
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            self.report.error(span, format!("this file has more than {MAX_NODES} values"));
            return Err(Stop);
        }
        Ok(())
    }

    fn too_deep(&mut self, span: Span) -> Result<(), Stop> {
        self.report.error(span, format!("maps and lists are nested more than {MAX_DEPTH} levels deep"));
        Err(Stop)
    }

    fn report(&mut self, problem: syntax::Problem) {
        let span = Span::new(self.file, problem.range.start, problem.range.end);
        let diagnostic = Diagnostic::new(Severity::Error, Some(span), problem.message);
        self.report.push(match problem.hint {
            Some(hint) => diagnostic.label(hint),
            None => diagnostic,
        });
    }

    /// Our span of a place, without the blanks at its end, and surely within the text.
    fn span(&self, place: Place) -> Span {
        let range = place.byte_range().unwrap_or(0..0);
        let start = files::floor(self.text, range.start);
        let end = files::floor(self.text, range.end).max(start);
        let inner = self.text.get(start..end).unwrap_or("").trim_end();
        Span::new(self.file, start, start + inner.len())
    }
}

/// Values in a subtree, and its levels.
fn measure(node: &Node) -> (usize, usize) {
    let below = |(size, depth): (usize, usize), node: &Node| {
        let (more, deeper) = measure(node);
        (size + more, depth.max(deeper + 1))
    };
    match &node.value {
        Value::List(items) => items.iter().fold((1, 1), below),
        Value::Map(entries) => entries.iter().map(|(_, node)| node).fold((1, 1), below),
        Value::Broken | Value::Null | Value::Scalar(_) => (1, 0),
    }
}

fn scalar(text: &str, style: ScalarStyle, span: Span) -> Node {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(text, "" | "~" | "null") {
        return Node { span, value: Value::Null };
    }
    let (text, written) = (text.to_owned(), text.to_owned());
    Node { span, value: Value::Scalar(Scalar { text, plain, secret: false, written }) }
}

fn take_key(node: Node, known: &mut HashMap<String, Span>, report: &mut Report) -> Waiting {
    let span = node.span;
    let text = match node.value {
        Value::Scalar(Scalar { text, plain: true, .. }) if text == "<<" => {
            let label = "write the keys out, or repeat a whole value with `&name` and `*name`";
            report.error_with(span, "merge keys are not supported", label);
            return Waiting::Nothing;
        }
        Value::Scalar(scalar) => scalar.text,
        Value::Null if span.end > span.start => "null".to_owned(),
        Value::Null => {
            report.error(span, "a key is missing before this `:`");
            return Waiting::Nothing;
        }
        Value::Broken | Value::List(_) | Value::Map(_) => {
            report.error_with(span, "a key must be text", "quote it if it begins with `{` or `[`");
            return Waiting::Nothing;
        }
    };
    if let Some(first) = known.get(&text) {
        let message = format!("key `{text}` is given twice");
        let diagnostic = Diagnostic::new(Severity::Error, Some(span), message);
        report.push(diagnostic.other(*first, "first given here"));
        return Waiting::Nothing;
    }
    known.insert(text.clone(), span);
    Waiting::Value(Key { span, text })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::fixture::{found, source, tree};

    fn good(text: &str) -> Node {
        let (node, _, report) = tree(text);
        assert!(report.is_empty(), "{:?}", report.diagnostics());
        node.unwrap()
    }

    /// Every key and value with its source text, for comparing places.
    fn places(text: &str) -> Vec<String> {
        fn walk(node: &Node, files: &crate::config::Files, out: &mut Vec<String>) {
            out.push(files.slice(node.span).to_owned());
            match &node.value {
                Value::List(items) => items.iter().for_each(|item| walk(item, files, out)),
                Value::Map(entries) => entries.iter().for_each(|(key, value)| {
                    out.push(format!("key {}", files.slice(key.span)));
                    walk(value, files, out);
                }),
                _ => {}
            }
        }
        let (node, files, report) = tree(text);
        assert!(report.is_empty(), "{:?}", report.diagnostics());
        let mut out = Vec::new();
        walk(&node.unwrap(), &files, &mut out);
        out
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let text = "# top\na: 1 # one\n\"k\": 'v'\nl:\n  - x\n  - {m: [n]}\n\n# end\n";
        let whole = "a: 1 # one\n\"k\": 'v'\nl:\n  - x\n  - {m: [n]}";
        let list = "x\n  - {m: [n]}";
        let expected =
            [whole, "key a", "1", "key \"k\"", "'v'", "key l", list, "x", "{m: [n]}", "key m", "[n]", "n"];
        assert_eq!(places(text), expected);
        assert_eq!(places("a: |\n  one\n  two\n\nb: é\n")[2], "one\n  two");
    }

    #[test]
    fn scalars_keep_their_style_and_nothing_is_guessed() {
        let node = good("a: true\nb: \"true\"\nc: 0x10\nd: no\ne: ~\nf:\ng: 'null'\nh: ''\ni: null\n");
        let scalar = |key: &str| node.at(key).unwrap().as_scalar().map(|s| (s.text.as_str(), s.plain));
        assert_eq!(scalar("a"), Some(("true", true)));
        assert_eq!(scalar("b"), Some(("true", false)));
        assert_eq!(scalar("c"), Some(("0x10", true)));
        assert_eq!(scalar("d"), Some(("no", true)));
        assert_eq!(scalar("e"), None);
        assert_eq!(scalar("f"), None);
        assert_eq!(scalar("g"), Some(("null", false)));
        assert_eq!(scalar("h"), Some(("", false)));
        assert_eq!(scalar("i"), None);
    }

    #[test]
    fn an_alias_repeats_a_value_at_its_own_place() {
        let (node, files, report) = tree("a: &x [1, 2]\nb: *x\n");
        assert!(report.is_empty());
        let node = node.unwrap();
        assert_eq!(node.at("a"), node.at("b"));
        assert_eq!(files.line_col(node.at("b").unwrap().span), (1, 7));
        assert_eq!(files.slice(node.span), "a: &x [1, 2]\nb");
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        for text in ["", "\n", "# nothing\n", "\u{feff}"] {
            assert_eq!(good(text).as_map(), Some(&[][..]), "{text:?}");
        }
        assert!(good("---\n").is_null());
    }

    #[test]
    fn a_byte_order_mark_and_windows_line_ends_are_no_matter() {
        let (node, files, report) = tree("\u{feff}a: 1\r\nbb: 2\r\n");
        assert!(report.is_empty());
        let node = node.unwrap();
        assert_eq!(node.at("a").unwrap().as_text(), Some("1"));
        assert_eq!(files.line_col(node.at("bb").unwrap().span), (2, 5));
    }

    #[test]
    fn what_could_grow_is_bounded() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        let wide = format!("a: [{}]", "1,".repeat(MAX_NODES));
        let laughs: String = (0..9).fold("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
            format!("{text}a{}: &a{} [{}]\n", n + 1, n + 1, vec![format!("*a{n}"); 10].join(","))
        });
        let ladder: String = (0..99)
            .fold("a0: &a0 [x]\n".to_owned(), |text, n| format!("{text}a{}: &a{} [*a{n}]\n", n + 1, n + 1));
        let rows = [
            (deep, "maps and lists are nested more than 64 levels deep"),
            ("- ".repeat(70), "maps and lists are nested more than 64 levels deep"),
            (wide, "this file has more than 100000 values"),
            (laughs, "this file has more than 100000 values"),
            (ladder, "maps and lists are nested more than 64 levels deep"),
            (" ".repeat(MAX_FILE + 1), "this file is longer than 1 MiB"),
        ];
        for (text, expected) in rows {
            let (node, _, report) = tree(&text);
            assert!(node.is_none());
            let messages: Vec<&str> = report.diagnostics().iter().map(|d| d.message.as_str()).collect();
            assert_eq!(messages, [expected]);
        }
    }

    /// Text that is nearly YAML.
    fn nearly() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[ \\n\\t]{1,3}",
            "[a-c]{1,3}",
            Just(": ".to_owned()),
            Just("- ".to_owned()),
            "[\\[\\]{},?|>&*!%@`'\"#~:$-]",
            Just("listeners:\n  - bind: ".to_owned()),
            Just("${X}".to_owned()),
            Just("\n  ".to_owned()),
            Just("&x ".to_owned()),
            Just("*x".to_owned()),
            Just("\u{e9}\u{65e5}\u{feff}".to_owned()),
            Just("---\n".to_owned()),
            Just("\r\n".to_owned()),
        ];
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_text_panics_and_every_place_is_within_its_file(text in prop_oneof![nearly(), "\\PC{0,40}"]) {
            let source = source(&text);
            for diagnostic in source.report.diagnostics() {
                for span in diagnostic.span.into_iter().chain(diagnostic.other.as_ref().map(|other| other.0)) {
                    let file = source.files.get(span.file).unwrap();
                    prop_assert!(span.start <= span.end);
                    prop_assert!(file.text.get(span.start as usize..span.end as usize).is_some(), "{:?}", span);
                    prop_assert!(!diagnostic.message.is_empty());
                }
            }
            let _ = found(&source);
            let _ = crate::config::render_text(&source.report, &source.files, true);
            let _ = crate::config::render_json(&source.report, &source.files);
            if let Some(root) = &source.root {
                let _ = crate::config::dump(&crate::config::fixture::TOP, root);
                let _ = crate::config::flatten(&crate::config::fixture::TOP, root);
            }
            prop_assert!(source.root.is_some() || source.report.has_errors());
        }
    }
}
