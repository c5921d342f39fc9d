//! The configuration files that were read: their names, their texts, and where a line begins.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::env::Env;
use super::report::Report;
use super::secrets::Secrets;
use super::span::Span;

/// A configuration file may be this long; a rule file of 10,000 rules is about 700 KiB.
pub const MAX_FILE: usize = 1 << 20;
/// So many files may belong to one configuration.
const MAX_FILES: usize = 4096;

/// Every file of one configuration, in the order in which they were read.
pub struct Files {
    env: Arc<dyn Env>,
    files: Vec<File>,
    /// What else would change the configuration by changing: secrets, bodies, folders that names were looked for in,
    /// and files that cannot be read yet.
    besides: Vec<PathBuf>,
    /// Keys, certificates and secrets.
    taken: Vec<PathBuf>,
    secrets: Secrets,
}

/// One file.
#[derive(Debug)]
pub struct File {
    /// What messages call it.
    pub name: String,
    /// What it was read from; None for a text that came from elsewhere.
    pub path: Option<PathBuf>,
    /// Its contents, without a byte order mark.
    pub text: String,
    lines: Vec<u32>,
}

impl Files {
    /// No files yet; those to come are read from `env`.
    pub fn new(env: Arc<dyn Env>) -> Self {
        Self { env, files: Vec::new(), besides: Vec::new(), taken: Vec::new(), secrets: Secrets::default() }
    }

    /// Adds a text that is no file, such as one compiled in. Relative paths in it are relative to the working directory.
    pub fn add_text(&mut self, name: &str, text: &str) -> u16 {
        self.push(name.to_owned(), None, text).unwrap_or(u16::MAX)
    }

    /// Reads a file, or finds it among those read before. `named_at` is the place that names it, if there is one.
    pub fn read(
        &mut self,
        path: &Path,
        named_at: impl Into<Option<Span>>,
        report: &mut Report,
    ) -> Option<u16> {
        if let Some(index) = self.find(path) {
            return Some(index);
        }
        let name = self.hide(&clean(path).display().to_string()).into_owned();
        let text = match self.read_text(path, MAX_FILE, "1 MiB") {
            Ok(text) => text,
            Err(why) => {
                self.watch(path);
                report.error(named_at, format!("cannot read `{name}`: {why}"));
                return None;
            }
        };
        let added = self.push(name, Some(path.to_owned()), &text);
        if added.is_none() {
            report
                .error(named_at, format!("a configuration may have {MAX_FILES} files; this is one too many"));
        }
        added
    }

    /// What `path` means when the file `from` names it: relative to that file.
    pub fn resolve(&self, from: u16, path: &str) -> PathBuf {
        match self.get(from).and_then(|file| file.path.as_deref()).and_then(Path::parent) {
            Some(folder) => folder.join(path),
            None => PathBuf::from(path),
        }
    }

    /// The file with this index.
    pub fn get(&self, file: u16) -> Option<&File> {
        self.files.get(usize::from(file))
    }

    /// The bytes of a span, or nothing if it is not within its file.
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.file).and_then(|f| f.text.get(span.start as usize..span.end as usize)).unwrap_or("")
    }

    /// Line and column of a span's start, both from 1; the column counts characters.
    pub fn line_col(&self, span: Span) -> (usize, usize) {
        self.get(span.file).map_or((1, 1), |file| file.position(span.start as usize))
    }

    /// Line and column after a span's last character.
    pub fn end_line_col(&self, span: Span) -> (usize, usize) {
        self.get(span.file).map_or((1, 1), |file| file.position(span.end as usize))
    }

    /// `conf/foreland.yaml:8`: the place of a span as people write it.
    pub fn place(&self, span: Span) -> String {
        let name = self.get(span.file).map_or("", |file| file.name.as_str());
        format!("{name}:{}", self.line_col(span).0)
    }

    /// Every path whose change would change the configuration, each once: the files, what is read besides them,
    /// folders in which names are looked for, and what could not be read.
    pub fn watched(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter_map(|f| f.path.as_deref()).chain(self.besides.iter().map(PathBuf::as_path))
    }

    /// What the configuration was read from, keys and secrets included, that is below a folder.
    pub fn within(&self, folder: &Path) -> Option<String> {
        let folder = clean(folder);
        let below = |path: &Path| {
            let path = clean(path);
            path.starts_with(&folder)
                && path != folder
                && (folder != Path::new("") || !path.starts_with(".."))
        };
        let named = self.files.iter().find(|file| file.path.as_deref().is_some_and(below));
        let beside = || self.taken.iter().find(|path| below(path));
        named.map(|file| file.name.clone()).or_else(|| beside().map(|path| path.display().to_string()))
    }

    /// A file was read that is not for everybody: a certificate, a key, a secret.
    pub fn took(&mut self, path: &Path) {
        self.taken.push(path.to_owned());
    }

    /// Adds a path to those whose change would change the configuration.
    pub fn watch(&mut self, path: &Path) {
        // A folder may be named by nothing at all.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        if !self.besides.iter().any(|known| known == path) {
            self.besides.push(path.to_owned());
        }
    }

    /// The world that these files are read from.
    pub fn env(&self) -> &dyn Env {
        self.env.as_ref()
    }

    /// Reads a file that is not configuration, such as a secret, but whose change changes it.
    pub(super) fn read_beside(&mut self, path: &Path, limit: usize, shown: &str) -> Result<String, String> {
        self.watch(path);
        self.took(path);
        self.read_text(path, limit, shown)
    }

    /// Remembers the text of a secret, for [`hide`](Files::hide).
    pub(super) fn keep_secret(&mut self, text: &str) {
        self.secrets.add(text);
    }

    /// A text that is to be shown, with `…` for whatever came from `${file:…}`. Nothing of these files may be told
    /// without it, save for the lines of the files themselves.
    pub fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.secrets.hide(text)
    }

    fn read_text(&self, path: &Path, limit: usize, shown: &str) -> Result<String, String> {
        let bytes = self.env.read(path, limit).map_err(|error| plainly(&error))?;
        if bytes.len() > limit {
            return Err(format!("it is longer than {shown}"));
        }
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count() + 1;
            format!("it is not UTF-8 text (line {line})")
        })
    }

    fn find(&self, path: &Path) -> Option<u16> {
        let wanted = clean(path);
        let same = |file: &File| file.path.as_deref().is_some_and(|known| clean(known) == wanted);
        self.files.iter().position(same).and_then(|index| u16::try_from(index).ok())
    }

    fn push(&mut self, name: String, path: Option<PathBuf>, text: &str) -> Option<u16> {
        if self.files.len() >= MAX_FILES {
            return None;
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = breaks.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX));
        let lines = std::iter::once(0).chain(starts).collect();
        self.files.push(File { name, path, text, lines });
        u16::try_from(self.files.len() - 1).ok()
    }
}

impl File {
    /// The text of a line, counted from 1, without its end.
    pub fn line(&self, number: usize) -> &str {
        let start = self.line_start(number);
        let rest = self.text.get(start..).unwrap_or("");
        let line = rest.split('\n').next().unwrap_or("");
        line.strip_suffix('\r').unwrap_or(line)
    }

    /// The byte at which a line, counted from 1, begins.
    pub fn line_start(&self, number: usize) -> usize {
        let start = number.checked_sub(1).and_then(|index| self.lines.get(index));
        start.map_or(self.text.len(), |start| *start as usize)
    }

    /// How many lines there are.
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    fn position(&self, byte: usize) -> (usize, usize) {
        let byte = floor(&self.text, byte);
        let line = self.lines.partition_point(|start| *start as usize <= byte).max(1);
        let before = self.text.get(self.line_start(line)..byte).unwrap_or("");
        (line, before.chars().count() + 1)
    }
}

/// The largest character boundary that is not after `byte`.
pub(super) fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// The path without `.` and without `folder/..`. For names and comparisons; links are not followed.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                parts.pop();
            }
            (Component::ParentDir, Some(Component::RootDir)) => {}
            _ => parts.push(part),
        }
    }
    parts.iter().collect()
}

fn plainly(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::Machine;

    fn files(machine: Machine) -> (Files, Report) {
        (Files::new(Arc::new(machine)), Report::new())
    }

    #[test]
    fn places_are_lines_and_columns_of_characters() {
        let (mut files, _) = files(Machine::default());
        let file = files.add_text("a", "é日b\r\nc\n");
        let rows =
            [(0, (1, 1)), (2, (1, 2)), (5, (1, 3)), (8, (2, 1)), (9, (2, 2)), (10, (3, 1)), (99, (3, 1))];
        for (byte, expected) in rows {
            assert_eq!(files.line_col(Span::new(file, byte, byte)), expected, "{byte}");
        }
        assert_eq!(files.end_line_col(Span::new(file, 0, 5)), (1, 3));
        assert_eq!(files.get(file).unwrap().line(1), "é日b");
        assert_eq!(files.get(file).unwrap().line_count(), 3);
        assert_eq!(files.slice(Span::new(file, 1, 3)), "");
        assert_eq!(files.line_col(Span::new(9, 0, 0)), (1, 1));
    }

    #[test]
    fn a_path_is_relative_to_the_file_that_names_it() {
        let machine = Machine::default().file("conf/a.yaml", "").file("conf/../rules/b.yaml", "x: 1");
        let (mut files, mut report) = files(machine);
        let main = files.read(Path::new("conf/a.yaml"), None, &mut report).unwrap();
        assert_eq!(files.resolve(main, "x.pem"), Path::new("conf/x.pem"));
        assert_eq!(files.resolve(main, "/x.pem"), Path::new("/x.pem"));
        let other = files.resolve(main, "../rules/b.yaml");
        let other = files.read(&other, None, &mut report).unwrap();
        assert_eq!(files.get(other).unwrap().name, "rules/b.yaml");
        assert_eq!(files.read(Path::new("rules/b.yaml"), None, &mut report), Some(other));
        let text = files.add_text("built-in", "");
        assert_eq!(files.resolve(text, "x.pem"), Path::new("x.pem"));
        assert!(report.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_where_it_is_named() {
        let machine =
            Machine::default().file("big", vec![b' '; MAX_FILE + 1]).file("bin", b"a\nb\xff".to_vec());
        let (mut files, mut report) = files(machine);
        let main = files.add_text("main", "x");
        for path in ["big", "bin", "gone"] {
            assert_eq!(files.read(Path::new(path), Span::new(main, 0, 1), &mut report), None);
        }
        let messages: Vec<&str> = report.diagnostics().iter().map(|d| d.message.as_str()).collect();
        let expected = [
            "cannot read `big`: it is longer than 1 MiB",
            "cannot read `bin`: it is not UTF-8 text (line 2)",
            "cannot read `gone`: there is no such file",
        ];
        assert_eq!(messages, expected);
    }

    #[test]
    fn a_file_is_found_within_the_folders_above_it() {
        let (mut files, mut report) = files(Machine::default().file("conf/a.yaml", ""));
        files.read(Path::new("conf/a.yaml"), None, &mut report).unwrap();
        for (folder, expected) in [
            ("conf", Some("conf/a.yaml")),
            ("conf/.", Some("conf/a.yaml")),
            ("conf/..", Some("conf/a.yaml")),
            ("conf/public", None),
            ("con", None),
            ("..", None),
        ] {
            assert_eq!(files.within(Path::new(folder)).as_deref(), expected, "{folder}");
        }
    }

    #[test]
    fn paths_are_cleaned_for_names() {
        let rows = [
            ("a/./b", "a/b"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("/../a", "/a"),
            ("a/b/../../c", "c"),
            ("./a", "a"),
        ];
        for (path, expected) in rows {
            assert_eq!(clean(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
