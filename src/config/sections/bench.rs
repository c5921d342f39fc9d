//! What compiling works with: the files, the report, and the rule files.

use crate::config::rules::RuleFiles;
use crate::config::{Files, Report, Span};
use std::path::{Path, PathBuf};

/// The workbench on which a configuration is compiled.
pub struct Bench<'c> {
    /// The files read so far.
    pub files: &'c mut Files,
    /// The mistakes found so far.
    pub report: &'c mut Report,
    /// The rule files compiled so far.
    pub rules: RuleFiles,
    /// The folders that are served, and where they are named.
    pub folders: Vec<(PathBuf, Span)>,
}

impl<'c> Bench<'c> {
    /// An empty one.
    pub fn new(files: &'c mut Files, report: &'c mut Report) -> Self {
        Self { files, report, rules: RuleFiles::default(), folders: Vec::new() }
    }

    /// The contents of a file that `named_at` names, relative to the file that does. `limit` in words is `shown`. A
    /// change of it changes the configuration. Nobody else should read it.
    pub fn read(&mut self, written: &str, named_at: Span, limit: usize, shown: &str) -> Option<Vec<u8>> {
        let path = self.files.resolve(named_at.file, written);
        self.files.took(&path);
        self.page(written, named_at, limit, shown)
    }

    /// The same for what clients get to see.
    pub fn page(&mut self, written: &str, named_at: Span, limit: usize, shown: &str) -> Option<Vec<u8>> {
        let path = self.files.resolve(named_at.file, written);
        self.files.watch(&path);
        self.bytes(&path, written, named_at, limit, shown)
    }

    /// The same as [`Bench::read`] for a file that is followed by whoever uses it. Only if it cannot be read, a change of
    /// it may mend the configuration.
    pub fn contents(&mut self, written: &str, named_at: Span, limit: usize, shown: &str) -> Option<Vec<u8>> {
        let path = self.files.resolve(named_at.file, written);
        self.files.took(&path);
        self.bytes(&path, written, named_at, limit, shown)
    }

    fn bytes(
        &mut self,
        path: &Path,
        written: &str,
        named_at: Span,
        limit: usize,
        shown: &str,
    ) -> Option<Vec<u8>> {
        let read = self.files.env().read(path, limit);
        let why = match read {
            Ok(bytes) if bytes.len() <= limit => return Some(bytes),
            Ok(_) => format!("it is longer than {shown}"),
            Err(error) => plainly(&error),
        };
        self.files.watch(path);
        self.report.error(named_at, format!("cannot read `{written}`: {why}"));
        None
    }
}

fn plainly(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}
