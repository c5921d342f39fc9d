//! `include: [conf.d/*.yaml]`: one configuration in several files.
//!
//! Lists are appended and names are added to maps; anything else may be given in one file only.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::report::{Diagnostic, Report, Severity};
use super::source::load_one;
use super::span::Span;
use super::table::{Field, Kind, Need, Section};
use super::tree::{Key, Node, Value};

/// The key, for the table of the main file.
pub const INCLUDE: Field = Field {
    name: "include",
    kind: Kind::OneOrMany(&Kind::Text(
        "the path of another file, in which `*` stands for any part of a name",
    )),
    need: Need::Optional,
    doc: "Other files that belong to this configuration. Paths are relative to this file and read in the order of \
          their names. Lists are appended, names are added to maps, and anything else may be given in one file only. \
          An included file may include others.",
    example: "[conf.d/*.yaml]",
};

/// Files that include files that include files.
const MAX_DEPTH: usize = 8;

/// Reads what `root` includes and merges it in. `root` keeps no `include`.
pub fn include(root: &mut Node, top: &'static Section, files: &mut Files, report: &mut Report) {
    let file = root.span.file;
    let known = HashMap::new();
    let mut reader = Reader { top, files, report, trail: vec![file], known, lost: false };
    reader.merge_into(root);
    if reader.lost {
        pardon(root, top);
    }
}

/// What must be given may be in the file that could not be read; that it is missing cannot be told.
fn pardon(root: &mut Node, top: &'static Section) {
    let span = root.span;
    let Value::Map(entries) = &mut root.value else { return };
    for field in top.fields.iter().filter(|field| field.need == Need::Required) {
        if !entries.iter().any(|(key, _)| key.text == field.name) {
            entries.push((Key { span, text: field.name.to_owned() }, Node { span, value: Value::Broken }));
        }
    }
}

struct Reader<'f> {
    top: &'static Section,
    files: &'f mut Files,
    report: &'f mut Report,
    /// The files that are being read, from the main one to the innermost.
    trail: Vec<u16>,
    /// Where each file that has been included was named.
    known: HashMap<u16, Span>,
    /// A file could not be read.
    lost: bool,
}

impl Reader<'_> {
    fn merge_into(&mut self, root: &mut Node) {
        let Value::Map(entries) = &mut root.value else { return };
        let Some(at) = entries.iter().position(|(key, _)| key.text == INCLUDE.name) else { return };
        let (_, mut wanted) = entries.remove(at);
        super::validate_value(&mut wanted, &INCLUDE.kind, INCLUDE.name, self.report);
        let wanted = match wanted.value {
            Value::List(items) => items,
            _ => vec![wanted],
        };
        for node in &wanted {
            for path in node.as_text().map(|pattern| self.paths(pattern, node.span)).unwrap_or_default() {
                match self.one(&path, node.span) {
                    Some(included) => self.merge(entries, included),
                    None => self.lost = true,
                }
            }
        }
    }

    fn one(&mut self, path: &Path, named_at: Span) -> Option<Node> {
        let file = self.files.read(path, named_at, self.report)?;
        let name = self.files.get(file).map_or("", |file| file.name.as_str());
        let before = self.known.get(&file).copied();
        let refusal = if self.trail.contains(&file) {
            Some((format!("`{name}` includes itself"), before))
        } else if before.is_some() {
            Some((format!("`{name}` is included twice"), before))
        } else if self.trail.len() > MAX_DEPTH {
            let from = self.trail.last().and_then(|file| self.known.get(file)).copied();
            Some((format!("includes go more than {MAX_DEPTH} levels deep"), from))
        } else {
            None
        };
        if let Some((message, other)) = refusal {
            let diagnostic = Diagnostic::new(Severity::Error, Some(named_at), message);
            self.report.push(match other {
                Some(span) => diagnostic.other(span, "included from here"),
                None => diagnostic,
            });
            return None;
        }
        self.known.insert(file, named_at);
        let mut node = load_one(path, named_at, self.files, self.report)?;
        self.trail.push(file);
        self.merge_into(&mut node);
        self.trail.pop();
        Some(node)
    }

    fn merge(&mut self, entries: &mut Vec<(Key, Node)>, included: Node) {
        let Value::Map(more) = included.value else {
            return included.wrong_shape(&Kind::Section(self.top), "an included file", self.report);
        };
        for (key, node) in more {
            let kind = self.top.field(&key.text).map(|field| field.kind);
            match entries.iter_mut().find(|(known, _)| known.text == key.text) {
                None => entries.push((key, node)),
                Some((_, first)) if first.is_null() => *first = node,
                Some(_) if node.is_null() => {}
                Some((known, first)) => merge_value(kind, (known, first), key, node, self.report),
            }
        }
    }

    /// The files that a pattern stands for, in the order of their names.
    fn paths(&mut self, pattern: &str, named_at: Span) -> Vec<PathBuf> {
        let whole = self.files.resolve(named_at.file, pattern);
        if !has_wildcard(pattern) {
            return vec![whole];
        }
        let mut found = vec![PathBuf::new()];
        for part in whole.components() {
            let part = part.as_os_str().to_string_lossy();
            found = if has_wildcard(&part) {
                // What comes into them later may be meant.
                found.iter().for_each(|folder| self.files.watch(folder));
                found.iter().flat_map(|folder| self.matching(folder, &part)).collect()
            } else {
                found.into_iter().map(|folder| folder.join(part.as_ref())).collect()
            };
        }
        found.sort();
        found
    }

    fn matching(&self, folder: &Path, pattern: &str) -> Vec<PathBuf> {
        let names = self.files.env().list(folder).unwrap_or_default();
        let fits = |name: &String| !name.starts_with('.') && matches(pattern, name);
        names.into_iter().filter(fits).map(|name| folder.join(name)).collect()
    }
}

fn merge_value(
    kind: Option<Kind>,
    (known, first): (&Key, &mut Node),
    key: Key,
    node: Node,
    report: &mut Report,
) {
    let twice = |what: String, span: Span, first: Span| {
        Diagnostic::new(Severity::Error, Some(span), what).other(first, "first given here")
    };
    match (kind, &mut first.value, node.value) {
        (Some(Kind::List(_) | Kind::OneOrMany(_)), Value::List(items), Value::List(more)) => {
            items.extend(more)
        }
        (Some(Kind::OneOrMany(_)), Value::List(items), value) => items.push(Node { span: node.span, value }),
        (Some(Kind::OneOrMany(_)), _, value) => {
            let span = first.span;
            let one = Node { span, value: std::mem::replace(&mut first.value, Value::Null) };
            let mut items = vec![one];
            match value {
                Value::List(more) => items.extend(more),
                value => items.push(Node { span: node.span, value }),
            }
            first.value = Value::List(items);
        }
        (Some(Kind::Map(_)), Value::Map(entries), Value::Map(more)) => {
            for (name, node) in more {
                match entries.iter().find(|(known, _)| known.text == name.text) {
                    Some((known, _)) => {
                        let what = format!("`{}` is given twice in `{}`", name.text, key.text);
                        report.push(twice(what, name.span, known.span));
                    }
                    None => entries.push((name, node)),
                }
            }
        }
        // The wrong shape is what has to be said; which of the two has it is said by whoever reads it.
        (Some(kind @ (Kind::List(_) | Kind::Map(_))), _, value) => {
            let second = Node { span: node.span, value };
            if kind.fits_shape(&second.value) {
                first.wrong_shape(&kind, &key.text, report);
                *first = second;
            } else {
                second.wrong_shape(&kind, &key.text, report);
            }
        }
        _ => report.push(twice(format!("`{}` is given twice", key.text), key.span, known.span)),
    }
}

fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// Whether a name fits a pattern, in which `*` is any text and `?` any character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stands, and how far it has reached; going back to it is all the memory needed.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || name.get(n) == Some(c) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, reached)) => {
                    star = Some((at, reached + 1));
                    p = at + 1;
                    n = reached + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::Machine;
    use crate::config::{Source, dump};

    /// Every diagnostic with its places.
    fn told(source: &Source) -> Vec<String> {
        let line = |d: &&Diagnostic| {
            let place = |span: Span| source.files.place(span);
            let other = d.other.as_ref().map(|(span, what)| format!(" ({what}: {})", place(*span)));
            format!("{} {}{}", d.span.map(place).unwrap_or_default(), d.message, other.unwrap_or_default())
        };
        source.report.diagnostics().iter().map(line).collect()
    }

    #[test]
    fn lists_are_appended_and_names_are_added() {
        let source = Machine::default()
            .file(
                "conf/main.yaml",
                "include: [conf.d/*.yaml, more/b.yaml]\nlisteners: [{bind: a}]\ntrusted: x\n",
            )
            .file(
                "conf/conf.d/20.yaml",
                "listeners: [{bind: c}]\nupstreams: {two: {servers: []}}\ntrusted: z\n",
            )
            .file(
                "conf/conf.d/10.yaml",
                "listeners: [{bind: b}]\nupstreams: {one: {servers: []}}\ntrusted: [y]\n",
            )
            .file("conf/conf.d/30.yaml~", "nonsense: [")
            .file("conf/conf.d/.hidden.yaml", "nonsense: [")
            .file("conf/more/b.yaml", "include: ../deep/c.yaml\ncache: off\nlimits:\n")
            .file("conf/deep/c.yaml", "limits: {fields: 3}\nlisteners:\n")
            .load();
        assert_eq!(told(&source), [] as [String; 0]);
        let root = source.root.unwrap();
        let binds =
            root.at("listeners").unwrap().as_list().unwrap().iter().map(|l| l.at("bind").unwrap().as_text());
        assert_eq!(binds.collect::<Vec<_>>(), [Some("a"), Some("b"), Some("c")]);
        let trusted = root.at("trusted").unwrap().as_list().unwrap().iter().map(Node::as_text);
        assert_eq!(trusted.collect::<Vec<_>>(), [Some("x"), Some("y"), Some("z")]);
        let names = root.at("upstreams").unwrap().as_map().unwrap().iter().map(|(key, _)| key.text.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["one", "two"]);
        assert!(root.at("include").is_none());
        assert!(dump(&crate::config::fixture::TOP, &root).contains("fields: 3\n"));
        let files: Vec<&Path> = source.files.watched().collect();
        assert_eq!(files.len(), 6, "{files:?}");
        assert_eq!(files[5], Path::new("conf/conf.d"));
        assert_eq!(source.files.get(4).unwrap().name, "conf/deep/c.yaml");
    }

    #[test]
    fn what_may_be_given_once_names_both_places() {
        let source = Machine::default()
            .file(
                "conf/main.yaml",
                "include: b.yaml\nlisteners: []\nupstreams:\n  app: {servers: []}\ncache: off\n",
            )
            .file("conf/b.yaml", "upstreams:\n  app: {servers: []}\ncache: {}\n")
            .load();
        assert_eq!(
            told(&source),
            [
                "conf/b.yaml:2 `app` is given twice in `upstreams` (first given here: conf/main.yaml:4)",
                "conf/b.yaml:3 `cache` is given twice (first given here: conf/main.yaml:5)",
            ]
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_and_an_empty_pattern_is_not() {
        let source =
            Machine::default().file("conf/main.yaml", "include: [gone.yaml, conf.d/*.yaml]\n").load();
        assert_eq!(told(&source), ["conf/main.yaml:1 cannot read `conf/gone.yaml`: there is no such file"]);
    }

    #[test]
    fn circles_repetitions_and_depths_are_refused() {
        let source = Machine::default()
            .file("conf/main.yaml", "listeners: []\ninclude: a.yaml\n")
            .file("conf/a.yaml", "\ninclude: ./b.yaml\n")
            .file("conf/b.yaml", "include: [x/../a.yaml, main.yaml]\n")
            .load();
        assert_eq!(
            told(&source),
            [
                "conf/b.yaml:1 `conf/a.yaml` includes itself (included from here: conf/main.yaml:2)",
                "conf/b.yaml:1 `conf/main.yaml` includes itself",
            ]
        );
        let source = Machine::default()
            .file("conf/main.yaml", "listeners: []\ninclude: [a.yaml,\n  '*.yml', a.yaml]\n")
            .file("conf/a.yaml", "")
            .load();
        assert_eq!(
            told(&source),
            ["conf/main.yaml:3 `conf/a.yaml` is included twice (included from here: conf/main.yaml:2)"]
        );
        let deep = (0..12).fold(
            Machine::default().file("conf/main.yaml", "listeners: []\ninclude: 0.yaml\n"),
            |machine, n| machine.file(&format!("conf/{n}.yaml"), format!("include: {}.yaml\n", n + 1)),
        );
        let source = deep.load();
        assert_eq!(
            told(&source),
            ["conf/7.yaml:1 includes go more than 8 levels deep (included from here: conf/6.yaml:1)"]
        );
    }

    #[test]
    fn wrong_shapes_are_told_in_the_file_that_has_them() {
        let source = Machine::default()
            .file("conf/main.yaml", "include: [b.yaml, c.yaml]\nlisteners: []\nupstreams: []\n")
            .file("conf/b.yaml", "listeners: {}\nupstreams: {x: {servers: []}}\n")
            .file("conf/c.yaml", "just text\n")
            .load();
        assert_eq!(
            told(&source),
            [
                "conf/main.yaml:3 `upstreams` needs names, each with an upstream, not a list",
                "conf/b.yaml:1 `listeners` needs a list of a listener, not a map",
                "conf/c.yaml:1 `an included file` needs keys: include, listeners, trusted, …; `just text` is text",
            ]
        );
    }

    #[test]
    fn names_fit_patterns() {
        let rows = [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a.yml", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("?.yaml", "é.yaml", true),
            ("?.yaml", ".yaml", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("**", "ab", true),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(50), &"a".repeat(49)));
    }
}
