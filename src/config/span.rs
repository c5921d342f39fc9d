//! A place in a configuration file: which file, and from which byte to which.

/// A range of bytes in one of the loaded [`Files`](super::Files).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Index of the file in [`Files`](super::Files).
    pub file: u16,
    /// First byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end` of `file`.
    pub fn new(file: u16, start: usize, end: usize) -> Self {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        Self { file, start, end: end.max(start) }
    }

    /// From the start of this one to the end of `last`, if both are in one file.
    pub fn to(self, last: Span) -> Self {
        if last.file == self.file { Self { end: self.end.max(last.end), ..self } } else { self }
    }
}
