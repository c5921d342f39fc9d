//! Says in plain words why a text is not YAML, and what to write instead.

use std::ops::Range;

use granit_parser::{ErrorKind, ScanError};

use super::files::floor;

/// A mistake in the text itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// The bytes to mark.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// Where the parser stopped, and why.
pub fn explain(error: &ScanError, text: &str) -> Problem {
    let at = offset(error, text);
    let word = word_at(text, at);
    match error.kind() {
        ErrorKind::UnknownAnchor => alias(text, word),
        ErrorKind::MissingAnchorOrAliasName => star(text, at),
        ErrorKind::UnexpectedCharacter { character } if is_unprintable(*character) => {
            unprintable(text, at, *character)
        }
        ErrorKind::UnexpectedCharacter { character: '`' } => {
            quote(text, word, "an unquoted value cannot begin with a backtick".to_owned())
        }
        ErrorKind::UnexpectedCharacter { character } => {
            quote(text, word, format!("an unquoted value cannot begin with `{character}`"))
        }
        ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabAtBlockScalarStart => tab(text, at),
        ErrorKind::MappingValueNotAllowed => second_colon(text, at),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator => after_braces(error.kind(), text, at),
        ErrorKind::UnclosedFlowCollection { open } => {
            problem(at..at + 1, format!("this `{open}` is never closed"), None)
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            problem(at..at + 1, format!("`{open}` is closed by `{close}`"), None)
        }
        ErrorKind::UnclosedQuotedScalar => problem(at..at + 1, "this quote is never closed", None),
        ErrorKind::UnknownQuotedScalarEscape => {
            let hint = "a backslash is special between double quotes; use single quotes";
            problem(word, "unknown escape in a quoted value", Some(hint))
        }
        ErrorKind::InvalidTrailingDoubleQuotedScalar | ErrorKind::InvalidTrailingSingleQuotedScalar => {
            problem(word, "text follows a quoted value", Some("quote the whole value"))
        }
        ErrorKind::InvalidColonPlacement => {
            problem(word, "a `:` is not expected here", Some("is a `[` or `{` before it not closed?"))
        }
        ErrorKind::SimpleKeyExpected => {
            problem(word, "this line is neither a key nor a value", Some("is a `: ` missing?"))
        }
        ErrorKind::ExpectedBlockSequenceEntry => {
            problem(word, "expected `- ` and a value", Some("indent it like the elements above"))
        }
        ErrorKind::DirectiveDisallowed => {
            problem(word, "YAML directives are not used here", Some("remove this line"))
        }
        ErrorKind::RecursionLimitExceeded => problem(word, "maps and lists are nested too deep", None),
        kind => problem(word, format!("this is not YAML: {kind}"), None),
    }
}

/// `*.js` without quotes: YAML takes it for the name of a value to repeat.
pub fn alias(text: &str, range: Range<usize>) -> Problem {
    // The name may end early, at a `,` or `]` that belongs to a flow list.
    let shown = text.get(range.clone()).unwrap_or("*").to_owned();
    quote(text, range, format!("YAML takes `{shown}` for an alias, and no value has this name"))
}

fn star(text: &str, at: usize) -> Problem {
    let range = word_at(text, at);
    let sign = text.get(range.clone()).and_then(|word| word.chars().next()).unwrap_or('*');
    quote(text, range, format!("an unquoted value cannot begin with `{sign}`"))
}

/// Characters that no YAML file may have, wherever they stand: YAML 1.2 §5.1.
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn unprintable(text: &str, at: usize, character: char) -> Problem {
    // The parser names the beginning of an unquoted value, not the character in it.
    let start = text.get(at..).and_then(|rest| rest.find(character)).map_or(at, |column| at + column);
    let code = u32::from(character);
    let escape = if code < 0x100 { format!("\\x{code:02x}") } else { format!("\\u{code:04x}") };
    problem(
        start..start + character.len_utf8(),
        format!("the character U+{code:04X} cannot stand in a file"),
        Some(&format!("remove it; between double quotes it is written `{escape}`")),
    )
}

fn tab(text: &str, at: usize) -> Problem {
    let start = line_start(text, at);
    let line = text.get(start..line_end(text, at)).unwrap_or("");
    // In a value that goes on below, the tab is on a later line than the place where the parser stopped.
    let later = || text.get(at..).and_then(|rest| rest.find('\t')).map(|column| at + column);
    let tab = line.find('\t').map(|column| start + column).or_else(later).unwrap_or(at);
    let range = inside(text, tab..tab + 1);
    Problem {
        range,
        message: "YAML cannot be indented with tabs".to_owned(),
        hint: Some("use spaces".to_owned()),
    }
}

/// A `: ` where none may be: either a value contains one, or the line is indented wrongly.
fn second_colon(text: &str, at: usize) -> Problem {
    let before = text.get(line_start(text, at)..at).unwrap_or("");
    let value = before.find(": ").map(|colon| line_start(text, at) + colon + 2);
    match value {
        Some(start) => {
            let end = line_end(text, at);
            let end = text.get(start..end).and_then(|rest| rest.find(" #")).map_or(end, |c| start + c);
            let start = start + leading(text, start..end);
            quote(text, start..end, "an unquoted value cannot contain `: `".to_owned())
        }
        None => {
            let start = line_start(text, at) + leading(text, line_start(text, at)..at);
            let hint = "indent it like the keys it belongs to";
            problem(inside(text, start..at), "this key is indented wrongly", Some(hint))
        }
    }
}

/// What follows a `}` that ended a map nobody meant: `{host}/x`, or `${NAME}` in a flow list.
fn after_braces(kind: &ErrorKind, text: &str, at: usize) -> Problem {
    let before = text.get(..at).unwrap_or("");
    let start = if before.ends_with('$') && text.get(at..).is_some_and(|rest| rest.starts_with('{')) {
        Some(at - 1)
    } else if before.ends_with(['}', ']']) {
        let open = if before.ends_with('}') { '{' } else { '[' };
        before.get(line_start(text, at)..).and_then(|line| line.rfind(open)).map(|c| line_start(text, at) + c)
    } else {
        None
    };
    if let Some(start) = start {
        let begin = text.get(start..).unwrap_or("");
        let sign = if begin.starts_with("${") { "${" } else { begin.get(..1).unwrap_or("{") };
        let close = begin.find(['}', ']']).map_or(at, |close| start + close + 1).max(at);
        let tail = text.get(close..).unwrap_or("");
        let tail =
            tail.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}')).unwrap_or(tail.len());
        return quote(text, start..close + tail, format!("a value that begins with `{sign}` needs quotes"));
    }
    let word = word_at(text, at);
    if text.get(at..).is_some_and(|rest| rest.starts_with(':')) {
        return problem(word, "a `:` is not expected here", Some("quote the value if it belongs to it"));
    }
    match kind {
        ErrorKind::ExpectedBlockMappingKey => {
            problem(word, "expected `key: value`", Some("indent it like the keys above"))
        }
        ErrorKind::ExpectedFlowMappingSeparator => problem(word, "expected `,` or `}`", None),
        _ => problem(word, "expected `,` or `]`", None),
    }
}

fn quote(text: &str, range: Range<usize>, message: String) -> Problem {
    let range = inside(text, range);
    let value = text.get(range.clone()).unwrap_or("").trim_end();
    let hint = (!value.is_empty()).then(|| match value.contains(['"', '\\']) {
        true => format!("quote it: '{}'", value.replace('\'', "''")),
        false => format!("quote it: \"{value}\""),
    });
    Problem { range, message, hint }
}

fn problem(range: Range<usize>, message: impl Into<String>, hint: Option<&str>) -> Problem {
    Problem { range, message: message.into(), hint: hint.map(str::to_owned) }
}

/// The byte where the parser stopped; at the end of the text the last thing that is written.
fn offset(error: &ScanError, text: &str) -> usize {
    let at = error.marker().byte_offset().unwrap_or(text.len());
    let last = text.trim_end().char_indices().next_back().map_or(0, |(at, _)| at);
    floor(text, at.min(last))
}

/// From a byte to the end of the word that begins or continues there; one character at least.
fn word_at(text: &str, at: usize) -> Range<usize> {
    let rest = text.get(at..).unwrap_or("");
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}')).unwrap_or(rest.len());
    let one = rest.chars().next().map_or(0, char::len_utf8);
    at..at + end.max(one)
}

fn inside(text: &str, range: Range<usize>) -> Range<usize> {
    let start = floor(text, range.start);
    start..floor(text, range.end).max(start)
}

fn leading(text: &str, range: Range<usize>) -> usize {
    let part = text.get(range).unwrap_or("");
    part.len() - part.trim_start().len()
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    let end = text.get(at..).and_then(|after| after.find(['\n', '\r'])).map_or(text.len(), |c| at + c);
    end.max(at)
}

#[cfg(test)]
mod tests {
    use crate::config::fixture::{Machine, found};
    use crate::config::{Files, Report, Source, parse_one};

    /// What is wrong with the text alone, as `line:column message [label]`.
    fn mistakes(text: &str) -> Vec<String> {
        let mut files = Files::new(std::sync::Arc::new(Machine::default()));
        let mut report = Report::new();
        let file = files.add_text("main.yaml", text);
        let root = parse_one(file, &mut files, &mut report);
        found(&Source { files, root, report })
    }

    const NUL: &str = "1:6 the character U+0000 cannot stand in a file [remove it; between double quotes it is written `\\x00`]";

    #[test]
    fn every_mistake_says_where_it_is_and_what_to_write() {
        let rows = [
            (
                "path: *.js",
                r#"1:7 YAML takes `*.js` for an alias, and no value has this name [quote it: "*.js"]"#,
            ),
            (
                "a: [x, *.js]",
                r#"1:8 YAML takes `*.js` for an alias, and no value has this name [quote it: "*.js"]"#,
            ),
            ("a: *", r#"1:4 an unquoted value cannot begin with `*` [quote it: "*"]"#),
            ("a: [*, x]", r#"1:5 an unquoted value cannot begin with `*` [quote it: "*"]"#),
            ("to: {host}/x", r#"1:5 a value that begins with `{` needs quotes [quote it: "{host}/x"]"#),
            ("a: [x]y", r#"1:4 a value that begins with `[` needs quotes [quote it: "[x]y"]"#),
            ("a: [${A}, b]", r#"1:5 a value that begins with `${` needs quotes [quote it: "${A}"]"#),
            ("{ a: ${A}/x }", r#"1:6 a value that begins with `${` needs quotes [quote it: "${A}/x"]"#),
            ("a: @tracking", r#"1:4 an unquoted value cannot begin with `@` [quote it: "@tracking"]"#),
            ("a: [@x]", r#"1:5 an unquoted value cannot begin with `@` [quote it: "@x"]"#),
            ("a: %x", r#"1:4 an unquoted value cannot begin with `%` [quote it: "%x"]"#),
            ("a: `x`", r#"1:4 an unquoted value cannot begin with a backtick [quote it: "`x`"]"#),
            ("a: \"x\0y\"", NUL),
            ("a: 'x\0y'", NUL),
            ("a:  x\0y", NUL),
            (
                "a: |\n  x\0y",
                "2:4 the character U+0000 cannot stand in a file [remove it; between double quotes it is written `\\x00`]",
            ),
            (
                "#xxxx\0y\na: 1",
                "1:6 the character U+0000 cannot stand in a file [remove it; between double quotes it is written `\\x00`]",
            ),
            (
                "a: x\u{7f}",
                "1:5 the character U+007F cannot stand in a file [remove it; between double quotes it is written `\\x7f`]",
            ),
            (
                "a: x\u{ffff}",
                "1:5 the character U+FFFF cannot stand in a file [remove it; between double quotes it is written `\\uffff`]",
            ),
            ("a: b: c # d", r#"1:4 an unquoted value cannot contain `: ` [quote it: "b: c"]"#),
            ("a: 1\n b: 2", "2:2 this key is indented wrongly [indent it like the keys it belongs to]"),
            ("a:\n\tb: 1", "2:1 YAML cannot be indented with tabs [use spaces]"),
            ("a:\n  b: 1\n \tc: 2", "3:2 YAML cannot be indented with tabs [use spaces]"),
            ("a: [1,\nb: 2", "1:4 this `[` is never closed"),
            ("a: {b: 1", "1:4 this `{` is never closed"),
            ("a: [1}", "1:4 `[` is closed by `}`"),
            ("a: \"x", "1:4 this quote is never closed"),
            (
                r#"a: "~\.js""#,
                "1:4 unknown escape in a quoted value [a backslash is special between double quotes; use single quotes]",
            ),
            ("a: 'x' y", "1:8 text follows a quoted value [quote the whole value]"),
            ("a: {b: c: d}", "1:9 a `:` is not expected here [quote the value if it belongs to it]"),
            ("- a\nb: c", "2:1 expected `- ` and a value [indent it like the elements above]"),
            ("a: 1\nb", "2:1 this line is neither a key nor a value [is a `: ` missing?]"),
            ("%YAML 1.2\n---\na: 1", "1:1 YAML directives are not used here [remove this line]"),
            (
                "a: !x b",
                "1:4 YAML tags are not used here [remove it, or quote the value if it begins with `!`]",
            ),
            (
                "a: 1\n---\nb: 1",
                "2:1 a second YAML document begins here [a file holds one document; put more into files of their own and `include` them]",
            ),
            ("? [a]\n: b", "1:3 a key must be text [quote it if it begins with `{` or `[`]"),
            (": b", "1:1 a key is missing before this `:`"),
            ("a: }", "1:4 this is not YAML: misplaced bracket"),
            (
                "<<: {a: b}",
                "1:1 merge keys are not supported [write the keys out, or repeat a whole value with `&name` and `*name`]",
            ),
            ("a: &a [*a]", "1:8 this alias is inside the value that it repeats"),
            ("a: 1\na: 2", "2:1 key `a` is given twice"),
        ];
        for (text, expected) in rows {
            assert_eq!(mistakes(text), [expected], "{text}");
        }
    }

    #[test]
    fn unquoted_stars_are_all_found_at_once() {
        let text = "a: *.js\nb: [*.css, *.png]\nc: x y\n";
        let found = mistakes(text);
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
