//! Reads the keys of one section, collecting every mistake instead of stopping at the first.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use super::report::{Diagnostic, Report, Severity};
use super::span::Span;
use super::suggest::{did_you_mean, suggest};
use super::table::{Field, Kind, Need, Section};
use super::tree::{Key, Node};
use super::units;

/// The keys of one section as they are written in a file.
///
/// A reader returns the value that is given, or the default that the table has. None means that the key is absent
/// and has no default, or that it is wrong and this has been reported: a report with errors becomes no plan.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'n> {
    span: Span,
    entries: &'n [(Key, Node)],
    section: &'static Section,
}

impl<'n> Fields<'n> {
    /// Takes a map apart. Reports another type, unknown keys, and missing keys that are required.
    pub fn open(node: &'n Node, section: &'static Section, report: &mut Report) -> Option<Self> {
        let Some(entries) = node.as_map() else {
            node.wrong_shape(&Kind::Section(section), section.name, report);
            return None;
        };
        let fields = Self { span: node.span, entries, section };
        fields.unknown(report);
        fields.missing(report);
        Some(fields)
    }

    /// A section that is not written at all, whose defaults hold. `span` is the place it would belong to.
    pub fn absent(span: Span, section: &'static Section) -> Self {
        Self { span, entries: &[], section }
    }

    /// The place of the whole section.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The place of a key, or of the section if the key is not given.
    pub fn key_span(&self, name: &str) -> Span {
        self.entry(name).map_or(self.span, |(key, _)| key.span)
    }

    /// The place of a value, or of the section if the key is not given.
    pub fn value_span(&self, name: &str) -> Span {
        self.entry(name).map_or(self.span, |(_, node)| node.span)
    }

    /// Whether a key is given with a value. An empty value counts as an absent key.
    pub fn has(&self, name: &str) -> bool {
        self.maybe(name).is_some()
    }

    /// The value of a key if it is given.
    pub fn maybe(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// `true` or `false`.
    pub fn boolean(&self, name: &str, report: &mut Report) -> Option<bool> {
        match self.maybe(name) {
            Some(node) => node.boolean(name, report),
            None => self.default(name)?.parse().ok(),
        }
    }

    /// A duration.
    pub fn duration(&self, name: &str, report: &mut Report) -> Option<Duration> {
        match self.maybe(name) {
            Some(node) => node.duration(name, report),
            None => units::parse_duration(self.default(name)?).ok(),
        }
    }

    /// A size in bytes.
    pub fn size(&self, name: &str, report: &mut Report) -> Option<u64> {
        match self.maybe(name) {
            Some(node) => node.size(name, report),
            None => units::parse_size(self.default(name)?).ok(),
        }
    }

    /// A whole number within the range that the table has, as whatever type holds that range.
    pub fn integer<T: TryFrom<u64>>(&self, name: &str, report: &mut Report) -> Option<T> {
        let (min, max) = self.kind(name).and_then(range).unwrap_or((0, u64::MAX));
        let number = match self.maybe(name) {
            Some(node) => node.integer(name, min, max, report)?,
            None => units::parse_integer(self.default(name)?, min, max).ok()?,
        };
        T::try_from(number).ok()
    }

    /// One of the words that the table has.
    pub fn word(&self, name: &str, report: &mut Report) -> Option<&'static str> {
        let words = self.kind(name).and_then(words).unwrap_or_default();
        match self.maybe(name) {
            Some(node) => node.word(name, words, report),
            None => self.default(name),
        }
    }

    /// Any text.
    pub fn text(&self, name: &str, report: &mut Report) -> Option<&'n str> {
        match self.maybe(name) {
            Some(node) => node.text(name, self.what(name), report),
            None => self.default(name),
        }
    }

    /// Any text that `T` can be made of.
    pub fn parse<T: FromStr<Err: Display>>(&self, name: &str, report: &mut Report) -> Option<T> {
        match self.maybe(name) {
            Some(node) => node.parse(name, self.what(name), report),
            None => self.default(name)?.parse().ok(),
        }
    }

    /// Every element of a list that `T` can be made of; those that it cannot be made of are reported and left out.
    /// Without the key: what the table's default (`[GET, HEAD]`) lists, or nothing.
    pub fn parse_all<T: FromStr<Err: Display>>(&self, name: &str, report: &mut Report) -> Vec<T> {
        if self.has(name) {
            let what = self.what(name);
            return self
                .list(name, report)
                .iter()
                .filter_map(|node| node.parse(name, what, report))
                .collect();
        }
        let default = self.default(name).unwrap_or("");
        let default = default.strip_prefix('[').and_then(|d| d.strip_suffix(']')).unwrap_or(default);
        default
            .split(',')
            .filter_map(|item| unquoted(item.trim()).filter(|t| !t.is_empty())?.parse().ok())
            .collect()
    }

    /// The elements of a list, which may be a single value where the table allows one. Empty without the key.
    pub fn list(&self, name: &str, report: &mut Report) -> &'n [Node] {
        let Some(node) = self.maybe(name) else { return &[] };
        if let Some(items) = node.as_list() {
            return items;
        }
        match self.kind(name).map(|kind| kind.meant(node)) {
            Some(Kind::OneOrMany(_)) => std::slice::from_ref(node),
            Some(kind) => {
                node.wrong_shape(kind, name, report);
                &[]
            }
            None => &[],
        }
    }

    /// The elements of a list that are sections.
    pub fn sections(&self, name: &str, section: &'static Section, report: &mut Report) -> Vec<Fields<'n>> {
        self.list(name, report).iter().filter_map(|node| Fields::open(node, section, report)).collect()
    }

    /// Names of the user's choice with their values, in the order of the file. Empty without the key.
    pub fn map(&self, name: &str, report: &mut Report) -> &'n [(Key, Node)] {
        let Some(node) = self.maybe(name) else { return &[] };
        if let Some(entries) = node.as_map() {
            return entries;
        }
        if let Some(kind) = self.kind(name) {
            node.wrong_shape(kind, name, report);
        }
        &[]
    }

    /// A section below this one. Absent with the default `{}`, it is there with its own defaults.
    pub fn section(&self, name: &str, section: &'static Section, report: &mut Report) -> Option<Fields<'n>> {
        match self.maybe(name) {
            Some(node) => Fields::open(node, section, report),
            None => {
                self.default(name)?;
                let fields = Fields::absent(self.span, section);
                fields.missing(report);
                Some(fields)
            }
        }
    }

    /// Reports a mistake in the value of a key, at its place.
    pub fn error(&self, name: &str, message: impl Into<String>, report: &mut Report) {
        report.error(self.value_span(name), message);
    }

    fn entry(&self, name: &str) -> Option<&'n (Key, Node)> {
        self.entries.iter().find(|(key, _)| key.text == name)
    }

    fn field(&self, name: &str) -> Option<&'static Field> {
        let field = self.section.field(name);
        debug_assert!(field.is_some(), "the table of {} has no key `{name}`", self.section.name);
        field
    }

    fn kind(&self, name: &str) -> Option<&'static Kind> {
        self.field(name).map(|field| &field.kind)
    }

    fn what(&self, name: &str) -> &'static str {
        self.kind(name).and_then(what).unwrap_or("text")
    }

    fn default(&self, name: &str) -> Option<&'static str> {
        match self.field(name)?.need {
            Need::Default(default) => unquoted(default),
            Need::Optional | Need::Required => None,
        }
    }

    fn unknown(&self, report: &mut Report) {
        for (key, _) in self.entries {
            if self.section.field(&key.text).is_some() {
                continue;
            }
            let label = did_you_mean(&key.text, self.section.keys()).unwrap_or_else(|| {
                let keys: Vec<&str> = self.section.keys().collect();
                format!("{} has: {}", self.section.one(), keys.join(", "))
            });
            report.error_with(key.span, format!("unknown key `{}`", key.text), label);
        }
    }

    fn missing(&self, report: &mut Report) {
        for field in self.section.fields {
            // A key that is only mistyped has been reported as unknown.
            let meant = |(key, _): &&(Key, Node)| {
                self.section.field(&key.text).is_none()
                    && suggest(&key.text, self.section.keys()) == Some(field.name)
            };
            if field.need == Need::Required
                && !self.has(field.name)
                && !self.entries.iter().any(|e| meant(&e))
            {
                let message = format!("{} needs `{}`", self.section.one(), field.name);
                let span = self.entry(field.name).map_or(self.span, |(key, _)| key.span);
                let label = format!("for example `{}: {}`", field.name, field.example);
                report.push(Diagnostic::new(Severity::Error, Some(span), message).label(label));
            }
        }
    }
}

/// A default as the reader of a scalar takes it: without the quotes that the file would need.
fn unquoted(default: &'static str) -> Option<&'static str> {
    let inner = default.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Some(inner.unwrap_or(default))
}

fn range(kind: &'static Kind) -> Option<(u64, u64)> {
    match kind {
        Kind::Either(kinds) => kinds.iter().find_map(range),
        Kind::Integer { min, max } => Some((*min, *max)),
        _ => None,
    }
}

fn words(kind: &'static Kind) -> Option<&'static [&'static str]> {
    match kind {
        Kind::Either(kinds) => kinds.iter().find_map(words),
        Kind::List(kind) | Kind::OneOrMany(kind) => words(kind),
        Kind::Word(words) => Some(words),
        _ => None,
    }
}

fn what(kind: &'static Kind) -> Option<&'static str> {
    match kind {
        Kind::Either(kinds) => kinds.iter().find_map(what),
        Kind::List(kind) | Kind::OneOrMany(kind) | Kind::Map(kind) => what(kind),
        Kind::Text(what) => Some(what),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::{CACHE, LIMITS, LISTENER, TLS, TOP, UPSTREAM, source, tree};
    use crate::config::{Value, did_you_mean};

    /// Reads `text` as one section; gives what was read and the messages.
    fn read<T>(
        text: &str,
        section: &'static Section,
        read: impl FnOnce(Fields<'_>, &mut Report) -> T,
    ) -> (T, Vec<String>) {
        let (node, _, mut report) = tree(text);
        let node = node.unwrap();
        let fields = Fields::open(&node, section, &mut report).unwrap();
        let value = read(fields, &mut report);
        (value, report.diagnostics().iter().map(|d| d.message.clone()).collect())
    }

    #[test]
    fn given_values_are_read_and_absent_ones_take_the_default() {
        let fine: Vec<String> = Vec::new();
        let size = |text| read(text, &CACHE, |f, r| (f.size("memory", r), f.duration("hit_for_miss", r)));
        let two_minutes = Some(Duration::from_secs(120));
        assert_eq!(
            size("{memory: 1GiB, hit_for_miss: 10s}"),
            ((Some(1 << 30), Some(Duration::from_secs(10))), fine.clone())
        );
        assert_eq!(size("memory:"), ((Some(512 << 20), two_minutes), fine.clone()));
        let listener = |text| {
            read(text, &LISTENER, |f, r| (f.text("bind", r).map(str::to_owned), f.boolean("front", r)))
        };
        assert_eq!(listener("{bind: x, front: false}"), ((Some("x".into()), Some(false)), fine.clone()));
        assert_eq!(listener("bind: 80"), ((Some("80".into()), Some(true)), fine.clone()));
        let word = |text| read(text, &UPSTREAM, |f, r| f.word("balance", r));
        assert_eq!(word("servers: []"), (Some("round_robin"), fine.clone()));
        assert_eq!(word("{servers: [], balance: random}"), (Some("random"), fine.clone()));
        let limit = |text| {
            read(text, &LIMITS, |f, r| {
                (f.integer::<u16>("fields", r), f.text("banner", r).map(str::to_owned))
            })
        };
        assert_eq!(limit("fields: 7"), ((Some(7), Some(String::new())), fine.clone()));
        assert_eq!(limit("fields: '7'"), ((Some(7), Some(String::new())), fine));
    }

    #[test]
    fn wrong_values_are_none_and_told() {
        let (value, messages) = read("{bind: [x], front: yes}", &LISTENER, |f, r| {
            (f.text("bind", r).is_none(), f.boolean("front", r), f.maybe("tls").is_none())
        });
        assert_eq!(value, (true, None, true));
        assert_eq!(
            messages,
            [
                "`bind` needs an address to listen on, not a list",
                "`front` needs true or false; `yes` is neither"
            ]
        );
        let (value, messages) = read("{memory: 1GB, hit_for_miss: {}}", &CACHE, |f, r| {
            (f.size("memory", r), f.duration("hit_for_miss", r))
        });
        assert_eq!(value, (None, None));
        assert_eq!(
            messages,
            [
                "`memory` needs a size such as 64KiB, 512MiB, 10GiB; `1GB` has an unknown unit; write `1GiB`",
                "`hit_for_miss` needs a duration such as 30s, 10m, 1h, 30d, not a map",
            ]
        );
    }

    #[test]
    fn a_value_is_parsed_into_its_type() {
        let (value, messages) =
            read("bind: 127.0.0.1:x", &LISTENER, |f, r| f.parse::<std::net::SocketAddr>("bind", r));
        assert_eq!((value, messages), (None, vec!["`bind`: invalid socket address syntax".to_owned()]));
        let (value, messages) = read("{fields: 3, methods: [1, b, 3]}", &LIMITS, |f, r| {
            (f.parse::<u8>("fields", r), f.parse_all::<u8>("methods", r))
        });
        assert_eq!(value, (Some(3), vec![1, 3]));
        assert_eq!(messages, ["`methods`: invalid digit found in string"]);
        let (value, _) = read("{}", &LIMITS, |f, r| f.parse_all::<String>("methods", r));
        assert_eq!(value, ["GET", "HEAD"]);
        let (value, _) = read("methods: []", &LIMITS, |f, r| f.parse_all::<String>("methods", r));
        assert!(value.is_empty());
        let (value, _) = read("listeners: []", &TOP, |f, r| f.parse_all::<String>("trusted", r));
        assert_eq!(value, ["127.0.0.0/8", "::1"]);
        let (value, _) =
            read("{listeners: [], trusted: a}", &TOP, |f, r| f.parse_all::<String>("trusted", r));
        assert_eq!(value, ["a"]);
    }

    #[test]
    fn lists_maps_and_sections_are_opened() {
        let text =
            "{listeners: [{bind: a}, {bind: b, tls: {cert: c}}], upstreams: {x: {servers: [a]}}, cache: off}";
        let (value, messages) = read(text, &TOP, |f, r| {
            let listeners = f.sections("listeners", &LISTENER, r);
            let tls: Vec<bool> = listeners.iter().map(|l| l.section("tls", &TLS, r).is_some()).collect();
            let names: Vec<String> = f.map("upstreams", r).iter().map(|(key, _)| key.text.clone()).collect();
            let limits = f.section("limits", &LIMITS, r).and_then(|l| l.integer::<u32>("fields", r));
            (tls, names, f.maybe("cache").is_some_and(|node| node.is_word("off")), limits)
        });
        assert_eq!(value, (vec![false, true], vec!["x".to_owned()], true, Some(100)));
        assert!(messages.is_empty(), "{messages:?}");
        let (value, messages) = read("{listeners: x, upstreams: [a]}", &TOP, |f, r| {
            f.list("listeners", r).len() + f.map("upstreams", r).len()
        });
        assert_eq!(value, 0);
        let expected = [
            "`listeners` needs a list of a listener; `x` is text",
            "`upstreams` needs names, each with an upstream, not a list",
        ];
        assert_eq!(messages, expected);
    }

    #[test]
    fn unknown_and_missing_keys_are_told_with_what_to_write() {
        let labels = |text: &str| {
            let source = source(text);
            crate::config::fixture::found(&source)
        };
        assert_eq!(
            labels("listeners:\n- front: true\n"),
            ["2:3 a listener needs `bind` [for example `bind: \"0.0.0.0:8080\"`]"]
        );
        assert_eq!(
            labels("listeners:\n- bind:\n"),
            ["2:3 a listener needs `bind` [for example `bind: \"0.0.0.0:8080\"`]"]
        );
        assert_eq!(labels("listeners:\n- bnd: a\n"), ["2:3 unknown key `bnd` [did you mean `bind`?]"]);
        assert_eq!(
            labels("listeners:\n- {bind: a, colour: red}\n"),
            ["2:13 unknown key `colour` [a listener has: bind, tls, front]"]
        );
        assert_eq!(
            labels("hello"),
            ["1:1 `configuration` needs keys: include, listeners, trusted, …; `hello` is text"]
        );
        assert_eq!(did_you_mean("bnd", ["bind"]), Some("did you mean `bind`?".to_owned()));
    }

    #[test]
    fn places_are_those_of_keys_values_or_the_section() {
        let (node, files, mut report) = tree("bind: abc\n");
        let node = node.unwrap();
        let fields = Fields::open(&node, &LISTENER, &mut report).unwrap();
        assert_eq!(files.slice(fields.key_span("bind")), "bind");
        assert_eq!(files.slice(fields.value_span("bind")), "abc");
        assert_eq!(files.slice(fields.key_span("front")), "bind: abc");
        assert!(fields.has("bind") && !fields.has("front"));
        fields.error("bind", "is taken", &mut report);
        assert_eq!(files.place(report.diagnostics()[0].span.unwrap()), "main.yaml:1");
    }

    #[test]
    fn what_is_broken_is_passed_over_in_silence() {
        let (node, _, mut report) = tree("bind: a\n");
        let mut node = node.unwrap();
        if let Value::Map(entries) = &mut node.value {
            entries[0].1.value = Value::Broken;
        }
        let fields = Fields::open(&node, &LISTENER, &mut report).unwrap();
        assert_eq!(fields.text("bind", &mut report), None);
        assert_eq!(fields.parse::<u8>("bind", &mut report), None);
        assert!(fields.list("bind", &mut report).is_empty() && fields.map("bind", &mut report).is_empty());
        assert!(fields.section("bind", &TLS, &mut report).is_none());
        assert!(report.is_empty());
    }
}
