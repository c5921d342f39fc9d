//! Reads a Rust file just well enough to tell code from comments and literals, and tests from the rest.

use std::{collections::BTreeSet, fs, io, ops::Range, path::Path};

/// One file of the tree.
pub struct Source {
    /// Relative to the project, with `/`.
    pub path: String,
    /// As it stands on disk.
    pub text: String,
    /// The text with comments and literals blanked; offsets and lines stay the same.
    pub code: String,
    /// The text with everything but comments blanked.
    pub comments: String,
    /// Whether the whole file is a test module.
    pub is_test: bool,
    tests: Vec<Range<usize>>,
}

impl Source {
    /// Reads `text` as the file at `path`.
    pub fn parse(path: &str, text: &str) -> Self {
        let (code, comments) = split(text);
        let tests = test_items(&code);
        let is_test = !path.starts_with("src/");
        Self { path: path.into(), text: text.into(), code, comments, is_test, tests }
    }

    /// The line number, from 1, of a byte offset.
    pub fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// Whether the code at `offset` is compiled for tests only.
    pub fn in_test(&self, offset: usize) -> bool {
        self.is_test || self.tests.iter().any(|range| range.contains(&offset))
    }

    /// How many lines stand outside test-only items.
    pub fn lines_counted(&self) -> usize {
        let in_tests: usize = self.tests.iter().map(|r| self.line(r.end - 1) + 1 - self.line(r.start)).sum();
        self.text.lines().count().saturating_sub(in_tests)
    }

    /// The module directly under the crate's root that this file belongs to.
    pub fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let first = below.split('/').next().unwrap_or(below);
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Whether the file is the root of its module: `src/a.rs` or `src/a/mod.rs`.
    pub fn is_module_root(&self) -> bool {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        !below.contains('/') || below.strip_suffix("/mod.rs").is_some_and(|folder| !folder.contains('/'))
    }
}

/// Every `.rs` file below the given folders of `root`, in the order of their paths.
pub fn read_tree(root: &Path, folders: &[&str]) -> io::Result<Vec<Source>> {
    let mut paths = BTreeSet::new();
    for folder in folders.iter().filter(|folder| root.join(folder).is_dir()) {
        walk(root, folder, &mut paths)?;
    }
    let mut sources = Vec::new();
    for path in paths {
        sources.push(Source::parse(&path, &fs::read_to_string(root.join(&path))?));
    }
    mark_test_files(&mut sources);
    Ok(sources)
}

fn walk(root: &Path, folder: &str, paths: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if entry.file_type()?.is_dir() {
            // What tools leave behind is not ours to hold to anything.
            if !["target", "node_modules"].contains(&name.as_str()) && !name.starts_with('.') {
                walk(root, &path, paths)?;
            }
        } else if name.ends_with(".rs") {
            paths.insert(path);
        }
    }
    Ok(())
}

/// `#[cfg(test)] mod x;` makes a test of the file that it names, and of all below it.
fn mark_test_files(sources: &mut [Source]) {
    let declared: Vec<String> = sources.iter().flat_map(test_modules_of).collect();
    for source in sources {
        let path = &source.path;
        let named =
            |module: &String| *path == format!("{module}.rs") || path.starts_with(&format!("{module}/"));
        source.is_test |= declared.iter().any(named);
    }
}

fn test_modules_of(source: &Source) -> Vec<String> {
    let stem = source.path.strip_suffix(".rs").unwrap_or(&source.path);
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let home = if ["mod", "lib", "main"].contains(&name) { folder } else { stem };
    let items = source.tests.iter().map(|range| &source.code[range.clone()]);
    let modules = items.filter(|item| item.ends_with(';')).filter_map(|item| {
        let at = *words(item, "mod").first()?;
        Some(identifier(item, at + "mod ".len()).to_owned())
    });
    modules.map(|module| format!("{home}/{module}")).collect()
}

/// Byte offsets at which `word` stands as a whole word of `code`.
pub fn words(code: &str, word: &str) -> Vec<usize> {
    let ends = |at: usize| !code.as_bytes().get(at + word.len()).copied().is_some_and(is_word);
    let found = code.match_indices(word).map(|(at, _)| at);
    found.filter(|at| begins_word(code, *at) && ends(*at)).collect()
}

/// Whether the byte before `at` belongs to no word.
pub fn begins_word(code: &str, at: usize) -> bool {
    at.checked_sub(1).is_none_or(|before| !is_word(code.as_bytes()[before]))
}

/// The identifier that begins at `at`; empty if none does.
pub fn identifier(code: &str, at: usize) -> &str {
    let rest = code.get(at..).unwrap_or("");
    let end = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
    &rest[..end]
}

/// Where the item that begins at `at` ends: behind its block, or behind its `;`.
pub fn item_end(code: &str, at: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return offset + 1,
            b'{' if depth == 0 => return block_end(code, offset),
            _ => {}
        }
    }
    code.len()
}

/// Where the block whose brace opens at `open` ends: behind the closing brace.
pub fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return offset + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// The items that only tests compile, outermost first.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for (at, _) in code.match_indices("#[cfg(") {
        let condition = &code[at + "#[cfg(".len()..];
        let is_test = condition.starts_with("test)") || condition.starts_with("all(test");
        if is_test && !items.iter().any(|item| item.contains(&at)) {
            items.push(at..item_end(code, at));
        }
    }
    items
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

enum Kind {
    Code,
    Comment,
    Literal,
}

/// `text` twice: with only its code left, and with only its comments left.
fn split(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let blank = || bytes.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }).collect::<Vec<u8>>();
    let (mut code, mut comments) = (blank(), blank());
    let mut at = 0;
    while at < bytes.len() {
        let (kind, end) = token(bytes, at);
        match kind {
            Kind::Code => code[at..end].copy_from_slice(&bytes[at..end]),
            Kind::Comment => comments[at..end].copy_from_slice(&bytes[at..end]),
            Kind::Literal => {}
        }
        at = end;
    }
    (String::from_utf8_lossy(&code).into_owned(), String::from_utf8_lossy(&comments).into_owned())
}

/// What stands at `at`, and where it ends.
fn token(bytes: &[u8], at: usize) -> (Kind, usize) {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        return (Kind::Comment, at + length);
    }
    if rest.starts_with(b"/*") {
        return (Kind::Comment, comment_end(bytes, at));
    }
    match rest[0] {
        b'"' => (Kind::Literal, quoted_end(bytes, at, b'"')),
        // A character, not a lifetime: escaped, or closed behind one character.
        b'\'' if rest.get(1) == Some(&b'\\') || closes_character(rest) => {
            (Kind::Literal, quoted_end(bytes, at, b'\''))
        }
        byte if is_word(byte) => word_end(bytes, at),
        _ => (Kind::Code, at + 1),
    }
}

fn closes_character(rest: &[u8]) -> bool {
    let is_continuation = |byte: &&u8| **byte & 0xC0 == 0x80;
    let length = 1 + rest.iter().skip(2).take_while(is_continuation).count();
    rest.get(1 + length) == Some(&b'\'')
}

/// The end of a word, or of the raw string that it opens.
fn word_end(bytes: &[u8], at: usize) -> (Kind, usize) {
    let length = bytes[at..].iter().position(|byte| !is_word(*byte)).unwrap_or(bytes.len() - at);
    let end = at + length;
    let hashes = bytes[end..].iter().take_while(|byte| **byte == b'#').count();
    let opens = [b"r".as_slice(), b"br", b"cr"].contains(&&bytes[at..end]);
    if !opens || bytes.get(end + hashes) != Some(&b'"') {
        return (Kind::Code, end);
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let body = end + hashes + 1;
    let length = bytes[body..].windows(close.len()).position(|window| window == close);
    (Kind::Literal, length.map_or(bytes.len(), |length| body + length + close.len()))
}

fn quoted_end(bytes: &[u8], open: usize, quote: u8) -> usize {
    let mut at = open + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn comment_end(bytes: &[u8], open: usize) -> usize {
    let (mut at, mut depth) = (open, 0_usize);
    while at < bytes.len() {
        let step = match &bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let cases = [
            ("a // unsafe\nb", "a\nb"),
            ("a /* x /* unsafe */ { */ b", "a b"),
            (r#"a("unsafe \" {") b"#, "a() b"),
            ("a(r#\"unsafe \" {\"#) b", "a() b"),
            ("a(b'{', '\\'', 'é', '\\u{41}') b", "a(b, , , ) b"),
            ("fn a<'a>(x: &'a str) {}", "fn a<'a>(x: &'a str) {}"),
            ("let r#type = br\"{\"; b", "let r#type = ; b"),
        ];
        let squeeze = |text: &str| text.split(' ').filter(|word| !word.is_empty()).collect::<String>();
        for (text, code) in cases {
            let source = Source::parse("src/a.rs", text);
            assert_eq!(squeeze(&source.code), squeeze(code), "{text}");
            assert_eq!(source.code.len(), text.len(), "{text}");
        }
    }

    #[test]
    fn test_items_are_told_from_the_rest() {
        let text = "fn a() {}\n\n#[cfg(test)]\n#[allow(dead_code)]\nmod tests {\n    fn b() {}\n}\n";
        let source = Source::parse("src/a.rs", text);
        assert!(!source.in_test(text.find("fn a").unwrap()));
        assert!(source.in_test(text.find("fn b").unwrap()));
        assert_eq!(source.lines_counted(), 2);
    }

    #[test]
    fn a_file_declared_for_tests_is_a_test() {
        let mut sources = [
            Source::parse("src/a/mod.rs", "#[cfg(test)]\npub(crate) mod fixture;\nmod b;\n"),
            Source::parse("src/a/fixture.rs", ""),
            Source::parse("src/a/b.rs", ""),
        ];
        mark_test_files(&mut sources);
        assert_eq!(sources.each_ref().map(|source| source.is_test), [false, true, false]);
    }

    #[test]
    fn the_module_of_a_file_is_its_first_folder_or_its_stem() {
        let module = |path: &str| Source::parse(path, "").module().to_owned();
        assert_eq!([module("src/plan.rs"), module("src/cache/store/ram.rs")], ["plan", "cache"]);
    }
}
