//! The access log: one line for each request, as JSON or as nginx's `combined`, to standard output or a file.

use super::log_fields::Entry;
use super::log_writer::{CAPACITY, LogWriter};
use super::{combined, json};
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As nginx's `combined`; times in UTC.
    Combined,
    /// An object with the fields of [`FIELDS`](super::FIELDS). The default: nothing is lost, nothing is ambiguous.
    #[default]
    Json,
    /// No line at all.
    Off,
}

/// A format that does not exist.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an access log format: write json, combined or off")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "combined" => Ok(Self::Combined),
            "json" => Ok(Self::Json),
            "off" => Ok(Self::Off),
            unknown => Err(UnknownFormat(unknown.to_owned())),
        }
    }
}

/// The access log. Writing a line never waits for whoever reads it.
pub struct AccessLog {
    format: Format,
    path: Option<PathBuf>,
    writer: Option<LogWriter>,
}

thread_local! {
    /// Where a thread puts a line together; kept, so that a line allocates nothing.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl AccessLog {
    /// Lines to standard output.
    pub fn stdout(format: Format) -> io::Result<Self> {
        let file = io::stdout().as_fd().try_clone_to_owned()?;
        Self::open(format, None, || Ok(File::from(file)))
    }

    /// Lines appended to a file, which is made if it is missing.
    pub fn file(path: &Path, format: Format) -> io::Result<Self> {
        Self::open(format, Some(path.to_owned()), || append_to(path))
    }

    /// No log.
    pub const fn off() -> Self {
        Self { format: Format::Off, path: None, writer: None }
    }

    /// Whether lines are written at all, so that nobody prepares one in vain.
    pub fn is_on(&self) -> bool {
        self.writer.is_some()
    }

    /// Writes the line of a finished request.
    pub fn write(&self, entry: &Entry<'_>) {
        let Some(writer) = &self.writer else { return };
        LINE.with_borrow_mut(|line| {
            line.clear();
            match self.format {
                Format::Combined => combined::line(line, entry),
                Format::Json => json::line(line, entry),
                Format::Off => return,
            }
            writer.push(line);
        });
    }

    /// Opens the file anew, after its old self was moved away. On an error the old one stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        if let (Some(path), Some(writer)) = (&self.path, &self.writer) {
            writer.switch(append_to(path)?);
        }
        Ok(())
    }

    /// Lines lost so far, because the reader was slow for too long or the file could not be written.
    pub fn dropped(&self) -> u64 {
        self.writer.as_ref().map_or(0, LogWriter::dropped)
    }

    /// Writes what waits, for two seconds at most; later lines are dropped. Dropping the log does the same.
    pub fn close(&self) {
        if let Some(writer) = &self.writer {
            writer.close();
        }
    }

    fn open(
        format: Format,
        path: Option<PathBuf>,
        file: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<Self> {
        if format == Format::Off {
            return Ok(Self::off());
        }
        Ok(Self { format, path, writer: Some(LogWriter::start(file()?, CAPACITY)?) })
    }
}

/// Readable to owner and group only: lines hold addresses of people.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::log_fields::tests::{entry, hit};
    use std::io::{PipeReader, Read};
    use std::os::fd::OwnedFd;

    /// A log into a pipe, and the end that nobody reads yet.
    fn piped(capacity: usize) -> (AccessLog, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let writer = LogWriter::start(File::from(OwnedFd::from(writer)), capacity).unwrap();
        (AccessLog { format: Format::Json, path: None, writer: Some(writer) }, reader)
    }

    /// A file in a folder of its own.
    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("foreland-log-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("access.log")
    }

    #[test]
    fn a_full_pipe_does_not_hold_a_request_up_and_lines_stay_whole() {
        const WRITTEN: u64 = 4_000;
        let (log, mut reader) = piped(256 << 10);
        let outcome = hit();
        for number in 0..WRITTEN {
            let id = number.to_string();
            log.write(&Entry { id: &id, ..entry(&outcome) });
        }
        assert!(log.dropped() > 0, "a pipe and a buffer of 320 KiB took 1.6 MB");
        let mut text = String::new();
        std::thread::scope(|scope| {
            scope.spawn(|| reader.read_to_string(&mut text).unwrap());
            drop(log);
        });
        let ids: Vec<u64> = text.lines().map(id_of).collect();
        assert!(text.ends_with('\n') && ids.is_sorted(), "lines are whole and in order");
    }

    fn id_of(line: &str) -> u64 {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["id"].as_str().unwrap().parse().unwrap()
    }

    #[test]
    fn every_line_is_either_written_or_counted_as_dropped() {
        const WRITTEN: usize = 2_000;
        let (log, mut reader) = piped(100 << 10);
        let outcome = hit();
        (0..WRITTEN).for_each(|_| log.write(&entry(&outcome)));
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text.lines().count()
        });
        log.close();
        log.write(&entry(&outcome));
        let dropped = log.dropped() as usize;
        drop(log);
        assert_eq!(reading.join().unwrap() + dropped, WRITTEN + 1);
    }

    #[test]
    fn a_reader_that_left_costs_lines_only() {
        let (log, reader) = piped(CAPACITY);
        drop(reader);
        let outcome = hit();
        (0..100).for_each(|_| log.write(&entry(&outcome)));
        log.close();
        assert_eq!(log.dropped(), 100);
    }

    #[test]
    fn lines_reach_the_file_when_the_log_is_dropped() {
        let path = scratch("drop");
        let log = AccessLog::file(&path, Format::Combined).unwrap();
        log.write(&entry(&hit()));
        drop(log);
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("203.0.113.9 - - ["));
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn after_a_reopen_lines_go_to_the_new_file() {
        let (path, outcome) = (scratch("reopen"), hit());
        let moved = path.with_extension("1");
        let log = AccessLog::file(&path, Format::Json).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        log.reopen().unwrap();
        log.write(&Entry { id: "after", ..entry(&outcome) });
        log.close();
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"id\":\"after\""));
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_reopened_leaves_the_old_one_in_use() {
        let (path, outcome) = (scratch("stay"), hit());
        let folder = path.parent().unwrap().to_owned();
        let moved = folder.with_extension("moved");
        let log = AccessLog::file(&path, Format::Json).unwrap();
        std::fs::rename(&folder, &moved).unwrap();
        assert!(log.reopen().is_err());
        log.write(&entry(&outcome));
        log.close();
        assert_eq!(std::fs::read_to_string(moved.join("access.log")).unwrap().lines().count(), 1);
        std::fs::remove_dir_all(moved).unwrap();
    }

    #[test]
    fn a_log_that_is_off_takes_everything_and_writes_nothing() {
        for log in [AccessLog::off(), AccessLog::stdout(Format::Off).unwrap()] {
            log.write(&entry(&hit()));
            log.reopen().unwrap();
            log.close();
            assert_eq!(log.dropped(), 0);
        }
    }

    #[test]
    fn an_unknown_format_is_told_what_to_write_instead() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!("combined".parse(), Ok(Format::Combined));
        assert_eq!("off".parse(), Ok(Format::Off));
        let error = "xml".parse::<Format>().unwrap_err().to_string();
        assert_eq!(error, "`xml` is not an access log format: write json, combined or off");
    }
}
