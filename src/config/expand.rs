//! Puts environment variables and secrets into values, never into keys: `${NAME}`, `${NAME:-default}`, `${file:/run/secrets/x}`.

use super::files::Files;
use super::report::Report;
use super::span::Span;
use super::tree::{Key, Node, Scalar, Value};

/// A secret is a password or a key, not a library.
const MAX_SECRET: usize = 64 << 10;
/// All that one file's expansions may come to.
const MAX_TOTAL: usize = 4 << 20;

/// Expands every scalar of a tree. One that cannot be expanded is reported and becomes [`Value::Broken`].
pub fn expand(node: &mut Node, files: &mut Files, report: &mut Report) {
    Expander { files, report, left: MAX_TOTAL }.node(node);
}

struct Expander<'f> {
    files: &'f mut Files,
    report: &'f mut Report,
    left: usize,
}

/// Why an expansion failed, and what to write instead.
type Refusal = (String, Option<String>);

impl Expander<'_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(|item| self.node(item)),
            Value::Map(entries) => {
                let keys = entries.iter_mut().map(|(key, _)| self.key(key)).collect::<Vec<bool>>();
                entries.iter_mut().for_each(|(_, value)| self.node(value));
                // Which key was meant cannot be told, so neither can what is missing or unknown.
                if keys.contains(&false) {
                    node.value = Value::Broken;
                }
            }
            Value::Scalar(scalar) if scalar.text.contains("${") => match self.scalar(scalar, node.span) {
                Some((text, secret)) => {
                    scalar.text = text;
                    scalar.secret = secret;
                }
                None => node.value = Value::Broken,
            },
            Value::Broken | Value::Null | Value::Scalar(_) => {}
        }
    }

    /// Keys are what the file is about and stay what they are; only `$${` is written as in a value. Says whether all is
    /// well.
    fn key(&mut self, key: &mut Key) -> bool {
        let plain = key.text.replace("$${", "");
        if let Some((_, from)) = plain.split_once("${") {
            let end = from.find('}').map_or(from.len(), |end| end + 1);
            let placeholder = format!("${{{}", from.get(..end).unwrap_or(from));
            let place = self.narrow(key.span, &placeholder, &mut 0);
            let message = format!("`{placeholder}` stands in a key, and only values are expanded");
            let label = format!("write the name itself; for these very characters write `${placeholder}`");
            self.report.error_with(place, message, label);
            return false;
        }
        key.text = key.text.replace("$${", "${");
        true
    }

    fn scalar(&mut self, scalar: &Scalar, span: Span) -> Option<(String, bool)> {
        let (mut out, mut secret, mut failed) = (String::new(), false, false);
        let mut rest = scalar.written.as_str();
        let mut searched = 0;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at_checked(at)?;
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = from.get(2..)?;
                continue;
            }
            out.push_str(before);
            let end = from.find('}');
            let (placeholder, after) = from.split_at_checked(end.map_or(from.len(), |end| end + 1))?;
            let inner = end.and_then(|end| from.get(2..end));
            let expanded = match inner {
                Some(inner) => self.placeholder(inner, span),
                None => Err((format!("`{placeholder}` has no closing `}}`"), literal(placeholder))),
            };
            let place = self.narrow(span, placeholder, &mut searched);
            match expanded.and_then(|(text, hidden)| self.afford(text).map(|text| (text, hidden))) {
                Ok((text, hidden)) => {
                    out.push_str(&text);
                    secret |= hidden;
                }
                Err((message, hint)) => {
                    failed = true;
                    match hint {
                        Some(hint) => self.report.error_with(place, message, hint),
                        None => self.report.error(place, message),
                    }
                }
            }
            rest = after;
        }
        out.push_str(rest);
        (!failed).then_some((out, secret))
    }

    fn placeholder(&mut self, inner: &str, span: Span) -> Result<(String, bool), Refusal> {
        if let Some(path) = inner.strip_prefix("file:") {
            return self.secret(path, span).map(|text| (text, true));
        }
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            let message = format!("`${{{inner}}}` does not name an environment variable");
            return Err((message, literal(&format!("${{{inner}}}"))));
        }
        match (self.files.env().variable(name), default) {
            (Some(value), None) => Ok((value, false)),
            (Some(value), Some(_)) if !value.is_empty() => Ok((value, false)),
            (_, Some(default)) => Ok((default.to_owned(), false)),
            (None, None) => {
                let hint = format!("set it, or give a default: ${{{name}:-value}}");
                Err((format!("environment variable `{name}` is not set"), Some(hint)))
            }
        }
    }

    fn secret(&mut self, path: &str, span: Span) -> Result<String, Refusal> {
        if path.is_empty() {
            return Err(("`${file:}` names no file".to_owned(), None));
        }
        let found = self.files.resolve(span.file, path);
        let mut text = self
            .files
            .read_beside(&found, MAX_SECRET, "64 KiB")
            .map_err(|why| (format!("cannot read `{path}`: {why}"), None))?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        self.files.keep_secret(&text);
        Ok(text)
    }

    fn afford(&mut self, text: String) -> Result<String, Refusal> {
        let too_much = || ("the values put in come to more than 4 MiB".to_owned(), None);
        self.left = self.left.checked_sub(text.len()).ok_or_else(too_much)?;
        Ok(text)
    }

    /// The place of one `${…}` within its scalar, where the source shows it as it is.
    fn narrow(&self, span: Span, placeholder: &str, searched: &mut usize) -> Span {
        let source = self.files.slice(span);
        let Some(at) = source.get(*searched..).and_then(|rest| rest.find(placeholder)) else { return span };
        let start = span.start as usize + *searched + at;
        *searched += at + placeholder.len();
        Span::new(span.file, start, start + placeholder.len())
    }
}

fn literal(placeholder: &str) -> Option<String> {
    Some(format!("for these very characters write `${placeholder}`"))
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::fixture::{Machine, found, tree};

    fn machine() -> Machine {
        Machine::default()
            .set("HOST", "app.example")
            .set("EMPTY", "")
            .set("NESTED", "${HOST}")
            .file("conf/secret", "s3cret\n")
            .file("conf/windows", "s3cret\r\n")
            .file("/run/token", "t0ken")
            .file("conf/large", vec![b'x'; MAX_SECRET + 1])
            .file("conf/binary", vec![0xff, 0xfe])
    }

    /// The text that `banner` comes to, or what is wrong.
    fn banner(written: &str) -> Result<(String, bool), Vec<String>> {
        let text = format!("listeners: []\nlimits: {{ banner: '{written}' }}\n");
        let source = machine().file("conf/main.yaml", text).load();
        if source.report.has_errors() {
            return Err(found(&source));
        }
        let scalar =
            source.root.unwrap().at("limits").unwrap().at("banner").unwrap().as_scalar().cloned().unwrap();
        assert_eq!(scalar.written, written);
        Ok((scalar.text, scalar.secret))
    }

    #[test]
    fn variables_defaults_and_secrets_are_put_in() {
        let rows = [
            ("plain $HOME $ {x}", "plain $HOME $ {x}", false),
            ("${HOST}", "app.example", false),
            ("http://${HOST}:80/${EMPTY}", "http://app.example:80/", false),
            ("${NESTED}", "${HOST}", false),
            ("${UNSET:-other}", "other", false),
            ("${UNSET:-}", "", false),
            ("${EMPTY:-other}", "other", false),
            ("${HOST:-other}", "app.example", false),
            ("$${HOST}", "${HOST}", false),
            ("$$${HOST}", "$${HOST}", false),
            ("${file:secret}", "s3cret", true),
            ("${file:windows}", "s3cret", true),
            ("Bearer ${file:/run/token}", "Bearer t0ken", true),
        ];
        for (written, text, secret) in rows {
            assert_eq!(banner(written), Ok((text.to_owned(), secret)), "{written}");
        }
    }

    #[test]
    fn what_cannot_be_put_in_says_why_and_where() {
        let rows = [
            (
                "a ${UNSET}",
                "2:22 environment variable `UNSET` is not set [set it, or give a default: ${UNSET:-value}]",
            ),
            (
                "${1}",
                "2:20 `${1}` does not name an environment variable [for these very characters write `$${1}`]",
            ),
            (
                "${}",
                "2:20 `${}` does not name an environment variable [for these very characters write `$${}`]",
            ),
            ("${HOST", "2:20 `${HOST` has no closing `}` [for these very characters write `$${HOST`]"),
            ("${file:}", "2:20 `${file:}` names no file"),
            ("${file:gone}", "2:20 cannot read `gone`: there is no such file"),
            ("${file:large}", "2:20 cannot read `large`: it is longer than 64 KiB"),
            ("${file:binary}", "2:20 cannot read `binary`: it is not UTF-8 text (line 1)"),
        ];
        for (written, expected) in rows {
            assert_eq!(banner(written), Err(vec![expected.to_owned()]), "{written}");
        }
    }

    #[test]
    fn keys_are_not_expanded_and_say_so() {
        let hint = "write the name itself; for these very characters write";
        let rows = [
            ("upstreams: { '${NAME}': { servers: [] } }", "2:15 `${NAME}` stands in a key"),
            ("upstreams: { 'a-${NAME:-b}-c': { servers: [] } }", "2:17 `${NAME:-b}` stands in a key"),
            ("${file:secret}: 1", "2:1 `${file:secret}` stands in a key"),
            ("limits: { 'a$${b}${NAME': 1 }", "2:18 `${NAME` stands in a key"),
        ];
        for (text, expected) in rows {
            let source = machine().file("conf/main.yaml", format!("listeners: []\n{text}\n")).load();
            let found = found(&source);
            assert_eq!(found.len(), 1, "{found:?}");
            let placeholder = expected.split('`').nth(1).unwrap();
            assert_eq!(
                found[0],
                format!("{expected}, and only values are expanded [{hint} `${placeholder}`]")
            );
        }
        let (node, _, report) = tree("'$${a}': 1\n");
        assert!(report.is_empty() && node.unwrap().at("${a}").is_some());
    }

    #[test]
    fn a_secret_is_never_shown() {
        let text = "listeners: []\nlimits: { fields: '${file:secret}', wait: '${file:secret}', banner: '${file:secret}' }\n\
                    upstreams: '${file:secret}'\ncache: '${file:secret}'\n";
        let source = machine().file("conf/main.yaml", text).load();
        let shown = crate::config::render_text(&source.report, &source.files, false);
        assert_eq!(source.report.counts().errors, 4, "{shown}");
        assert!(
            shown.contains(
                "`fields` needs a whole number from 1 to 1000; `${file:secret}` holds something else"
            )
        );
        let debug = format!("{:?}", source.root);
        assert!(!shown.contains("s3cret") && !debug.contains("s3cret"), "{shown}\n{debug}");
    }

    #[test]
    fn one_mistake_is_told_once() {
        let source =
            machine().file("conf/main.yaml", "listeners: [{ bind: '${UNSET}', front: '${UNSET}' }]").load();
        assert_eq!(source.report.counts().errors, 2);
    }

    #[test]
    fn every_file_read_is_watched() {
        let text = "listeners: []\nlimits: { banner: '${file:secret} ${file:/run/token}' }\n";
        let source = machine().file("conf/main.yaml", text).load();
        let watched: Vec<String> = source.files.watched().map(|path| path.display().to_string()).collect();
        assert_eq!(watched, ["conf/main.yaml", "conf/secret", "/run/token"]);
    }

    #[test]
    fn the_sum_of_all_expansions_is_bounded() {
        let item = "'${HUGE}',".repeat(9);
        let text = format!("listeners: []\ntrusted: [{item}]\n");
        let source = Machine::default().set("HUGE", &"x".repeat(1 << 19)).file("conf/main.yaml", text).load();
        assert_eq!(found(&source), ["2:92 the values put in come to more than 4 MiB"]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[${}:a-fE_/\\-é \\\\']{0,24}") {
            let quoted = text.replace('\'', "''");
            let (node, _, report) = tree(&format!("'{quoted}'"));
            if !text.contains("${") {
                prop_assert!(report.is_empty());
                let node = node.unwrap();
                prop_assert_eq!(node.as_text(), Some(text.as_str()));
            }
        }
    }
}
