//! The rules that look at one file at a time: what it begins with, how long it is, what it may name.

use super::source::{Source, begins_word, identifier, item_end, words};
use std::fmt;

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 80;

/// Where the framework may be named, so that a new release of it touches these alone.
const PINGORA: [&str; 6] =
    ["src/edge/", "src/listen/", "src/l4/", "src/server.rs", "src/upstream/", "src/cache/storage.rs"];

/// Where memory safety may rest on a proof of ours.
const UNSAFE: &str = "src/cache/store/";

/// Names that say nothing about what a file owns.
const EMPTY_NAMES: [&str; 9] =
    ["utils", "util", "common", "helpers", "helper", "types", "manager", "managers", "misc"];

/// A broken rule: where, and what to do instead.
pub struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl Finding {
    /// A finding at a byte offset of `source`.
    pub fn at(source: &Source, offset: usize, what: impl Into<String>) -> Self {
        Self { path: source.path.clone(), line: source.line(offset), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// The first line says why the file exists.
pub fn first_line(source: &Source) -> Vec<Finding> {
    let first = source.text.lines().next().unwrap_or("");
    let words = first.strip_prefix("//! ").unwrap_or("").split_whitespace().count();
    let what = "begin with `//! ` and a sentence that says why this file exists";
    if words < 3 { vec![Finding::at(source, 0, what)] } else { Vec::new() }
}

/// The file is short enough to be read in one go; tests are not counted.
pub fn file_length(source: &Source) -> Vec<Finding> {
    let lines = source.lines_counted();
    if source.is_test || lines <= FILE_LINES {
        return Vec::new();
    }
    let what =
        format!("{lines} lines without tests, {FILE_LINES} allowed: split off the second noun it owns");
    vec![Finding::at(source, 0, what)]
}

/// No function is longer than a screen.
pub fn function_length(source: &Source) -> Vec<Finding> {
    let code = &source.code;
    let mut findings = Vec::new();
    for at in words(code, "fn") {
        let name = identifier(code, at + 3);
        let end = item_end(code, at);
        // `fn(u8) -> u8` is a type; an item that ends in `;` has no body.
        if name.is_empty() || !code[..end].ends_with('}') {
            continue;
        }
        let lines = source.line(end - 1) + 1 - source.line(at);
        if lines > FUNCTION_LINES {
            let what =
                format!("`{name}` has {lines} lines, {FUNCTION_LINES} allowed: name its steps as functions");
            findings.push(Finding::at(source, at, what));
        }
    }
    findings
}

/// Pingora is named only where the contact with it is meant to be.
pub fn pingora(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("src/") || PINGORA.iter().any(|allowed| source.path.starts_with(allowed)) {
        return Vec::new();
    }
    let code = &source.code;
    // `pingora` and the crates behind it, such as `pingora_core`.
    let mentions = code.match_indices("pingora").map(|(at, _)| at).filter(|at| begins_word(code, *at));
    let what = format!("Pingora may be named only in {}: take plain data here", PINGORA.join(", "));
    mentions.map(|at| Finding::at(source, at, what.clone())).collect()
}

/// No `unsafe` but in the store.
pub fn no_unsafe(source: &Source) -> Vec<Finding> {
    if source.path.starts_with(UNSAFE) {
        return Vec::new();
    }
    let what = format!("`unsafe` is for {UNSAFE} alone: use a safe interface, or move the call there");
    words(&source.code, "unsafe").into_iter().map(|at| Finding::at(source, at, what.clone())).collect()
}

/// Nothing that panics, but for what a comment proves cannot.
pub fn no_panic(source: &Source) -> Vec<Finding> {
    let panics = [".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!"];
    let found = panics.into_iter().flat_map(|panic| source.code.match_indices(panic));
    let unproven = found.filter(|(at, _)| !source.in_test(*at) && !is_proven(source, *at));
    let finding = |(at, panic): (usize, &str)| {
        let what = format!(
            "`{panic}` can end a request: return an error, or say why it cannot in a `// proof: ` above"
        );
        Finding::at(source, at, what)
    };
    unproven.map(finding).collect()
}

/// A comment with `proof:` on the same line, or in the comment lines right above.
fn is_proven(source: &Source, at: usize) -> bool {
    let line = source.line(at) - 1;
    let comments: Vec<&str> = source.comments.lines().collect();
    let code: Vec<&str> = source.code.lines().collect();
    let is_comment = |line: &usize| code[*line].trim().is_empty() && !comments[*line].trim().is_empty();
    let above = (0..line).rev().take_while(is_comment);
    let trailing_above = line.checked_sub(1);
    above.chain(trailing_above).chain([line]).any(|line| comments[line].contains("proof:"))
}

/// Files and folders are named for what they own.
pub fn file_name(source: &Source) -> Vec<Finding> {
    let stem = source.path.strip_suffix(".rs").unwrap_or(&source.path);
    let empty = stem.split('/').find(|part| EMPTY_NAMES.contains(part));
    let finding = |part| {
        Finding::at(
            source,
            0,
            format!("`{part}` says nothing: name it for the noun it owns, or move its parts home"),
        )
    };
    empty.map(finding).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rule: fn(&Source) -> Vec<Finding>, path: &str, text: &str) -> usize {
        rule(&Source::parse(path, text)).len()
    }

    #[test]
    fn a_file_without_a_sentence_is_found() {
        for text in
            ["", "use a::b;\n", "//!\n", "//! x\n", "// Says why it exists.\n", "\n//! Says why it exists.\n"]
        {
            assert_eq!(count(first_line, "src/a.rs", text), 1, "{text:?}");
        }
        assert_eq!(count(first_line, "src/a.rs", "//! Says why it exists.\n"), 0);
    }

    #[test]
    fn a_long_file_is_found_but_its_tests_are_not_counted() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    // x\n".repeat(100));
        let long = |lines: usize| format!("{}{tests}", "use a::b;\n".repeat(lines));
        assert_eq!(count(file_length, "src/a.rs", &long(600)), 0);
        assert_eq!(count(file_length, "src/a.rs", &long(601)), 1);
    }

    #[test]
    fn a_long_function_is_found() {
        let function = |lines: usize| {
            format!("impl A {{\n    fn a() {{\n{}    }}\n}}\n", "        b(\"}\");\n".repeat(lines))
        };
        assert_eq!(count(function_length, "src/a.rs", &function(78)), 0);
        assert_eq!(count(function_length, "src/a.rs", &function(79)), 1);
        let declared =
            format!("trait A {{\n    fn a(b: fn(u8) -> [u8; 2]);\n}}\n{}", "use a::b;\n".repeat(90));
        assert_eq!(count(function_length, "src/a.rs", &declared), 0);
    }

    #[test]
    fn pingora_is_found_where_it_does_not_belong() {
        for text in
            ["use pingora::http::X;", "fn a(b: &pingora_core::X) {}", "use {a, pingora_cache as cache};"]
        {
            assert_eq!(count(pingora, "src/cache/policy.rs", text), 1, "{text}");
            assert_eq!(count(pingora, "src/cache/storage.rs", text), 0, "{text}");
        }
        assert_eq!(count(pingora, "src/cache/policy.rs", "// pingora does this\nlet a = \"pingora\";"), 0);
        assert_eq!(count(pingora, "src/cache/policy.rs", "let to_pingora = 1;"), 0);
    }

    #[test]
    fn unsafe_is_found_outside_the_store() {
        assert_eq!(count(no_unsafe, "src/listen/gate.rs", "unsafe { a() }"), 1);
        assert_eq!(count(no_unsafe, "tests/it/main.rs", "unsafe { a() }"), 1);
        assert_eq!(count(no_unsafe, "src/cache/store/segment.rs", "unsafe { a() }"), 0);
        assert_eq!(count(no_unsafe, "src/a.rs", "#![deny(unsafe_code)] // unsafe"), 0);
    }

    #[test]
    fn a_panic_is_found_unless_it_is_proven_or_a_test() {
        for text in [
            "a.unwrap();",
            "a\n    .expect(\"b\");",
            "panic!(\"a\")",
            "todo!()",
            "// proof: b\n\na.unwrap();",
        ] {
            assert_eq!(count(no_panic, "src/a.rs", text), 1, "{text}");
        }
        for text in [
            "a.unwrap(); // proof: b",
            "// proof: b holds, since c\n// came before.\na.unwrap();",
            "a.unwrap_or(b); // a.unwrap()",
            "let a = \".unwrap()\";",
            "#[cfg(test)]\nmod tests {\n    fn a() { b.unwrap(); }\n}",
        ] {
            assert_eq!(count(no_panic, "src/a.rs", text), 0, "{text}");
        }
        assert_eq!(count(no_panic, "tests/it/main.rs", "a.unwrap();"), 0);
    }

    #[test]
    fn an_empty_name_is_found() {
        for path in ["src/utils.rs", "src/http/common/mod.rs", "tests/it/helpers.rs"] {
            assert_eq!(count(file_name, path, ""), 1, "{path}");
        }
        assert_eq!(count(file_name, "src/cache/purge.rs", ""), 0);
    }
}
