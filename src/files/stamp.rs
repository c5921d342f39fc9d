//! Tells whether a file is still the one that was read.

use rustix::fs::Stat;
use std::time::{SystemTime, UNIX_EPOCH};

const WORDS: usize = 5;

/// Two ticks of the slowest clock, in nanoseconds.
const TICKS: u128 = 20_000_000;

/// What stood at a name: device, inode, length, time of change of the bytes and of the file, in nanoseconds.
///
/// Two changes within one tick of the clock that leave the length as it is look alike: 4 ms before Linux 6.13, where
/// a file that was looked at gets a finer time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print([u64; WORDS]);

impl Print {
    /// Nothing stood there.
    pub const ABSENT: Self = Self([0; WORDS]);

    /// A file.
    #[allow(clippy::unnecessary_cast)] // other systems have other widths
    pub fn of(stat: &Stat) -> Self {
        let [device, inode, ..] = Self::of_any(stat).0;
        let bytes = nanos(stat.st_mtime as i64, stat.st_mtime_nsec as i64);
        let file = nanos(stat.st_ctime as i64, stat.st_ctime_nsec as i64);
        Self([device, inode, length(stat), bytes, file])
    }

    /// Something else: what is in a folder is of no account.
    #[allow(clippy::unnecessary_cast)]
    pub fn of_any(stat: &Stat) -> Self {
        Self([stat.st_dev as u64, stat.st_ino as u64, 0, 0, 0])
    }

    /// Whether the next change is sure to look different: it was not changed within the last ticks of the clock.
    pub fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        // The other time is for anybody to set.
        let [.., file] = self.0;
        now >= u128::from(file) + TICKS
    }

    /// The length in bytes.
    pub fn length(&self) -> u64 {
        self.0[2]
    }

    /// When the bytes were changed, in nanoseconds since 1970.
    pub fn modified(&self) -> u64 {
        self.0[3]
    }
}

/// A stamp that is being made, or compared with what is there now.
pub(super) enum Trail<'a> {
    /// What was seen so far.
    Made(Vec<u64>),
    /// What is still to be seen.
    Left(&'a [u64]),
}

impl Trail<'_> {
    /// Adds what was seen, or compares it; false if it differs.
    pub fn step(&mut self, print: Print) -> bool {
        match self {
            Self::Made(words) => words.extend_from_slice(&print.0),
            Self::Left(words) => match words.split_first_chunk::<WORDS>() {
                Some((first, rest)) if *first == print.0 => *words = rest,
                _ => return false,
            },
        }
        true
    }

    /// Whether nothing is left to be seen.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Left([]))
    }

    /// The stamp that was made.
    pub fn into_words(self) -> Box<[u64]> {
        match self {
            Self::Made(words) => words.into(),
            Self::Left(words) => words.into(),
        }
    }
}

/// The length of a file in bytes.
#[allow(clippy::unnecessary_cast)]
pub(super) fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size as i64).unwrap_or(0)
}

/// When a file was changed, in seconds since 1970.
#[allow(clippy::unnecessary_cast)]
pub(super) fn modified(stat: &Stat) -> u64 {
    u64::try_from(stat.st_mtime as i64).unwrap_or(0)
}

/// Nanoseconds since 1970; what is older counts as of then.
fn nanos(seconds: i64, nanos: i64) -> u64 {
    u64::try_from(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)).unwrap_or(0)
}
