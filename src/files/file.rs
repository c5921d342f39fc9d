//! The bytes of an open file.

use super::stamp::Print;
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::fstat;
use rustix::io::{Errno, pread};
use std::io;
use std::os::fd::OwnedFd;

/// The most bytes that one read gives, however many are asked for.
const MOST: usize = 1 << 20;

/// An open regular file.
pub struct File {
    fd: OwnedFd,
    /// What it was when it was opened.
    print: Print,
}

impl File {
    pub(super) fn new(fd: OwnedFd, print: Print) -> Self {
        Self { fd, print }
    }

    /// Where it is on the disk.
    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn path(&self) -> io::Result<std::path::PathBuf> {
        use std::os::fd::AsRawFd;
        std::fs::read_link(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }

    /// All of it; `None` if it is not `length` bytes long any more, or changed since it was opened. May wait for the
    /// disk.
    ///
    /// # Errors
    /// What the disk says; that there is no memory for so much.
    pub fn read_all(&self, length: u64) -> io::Result<Option<Bytes>> {
        if length != self.print.length() {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        while bytes.len() < length {
            let at = bytes.len() as u64;
            match pread(&self.fd, spare_capacity(&mut bytes), at) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let is_same = bytes.len() == length && Print::of(&fstat(&self.fd)?) == self.print;
        Ok(is_same.then(|| bytes.into()))
    }

    /// Up to `most` bytes from a place on, or 1 MiB, if they are in memory already; empty at the end that the file had
    /// when it was opened. `None`: it would have to wait for the disk.
    ///
    /// # Errors
    /// What the disk says.
    #[cfg(target_os = "linux")]
    pub fn read_now(&self, at: u64, most: usize) -> io::Result<Option<Bytes>> {
        use rustix::io::{ReadWriteFlags, preadv2};
        let mut bytes = vec![0; self.portion(at, most)];
        loop {
            match preadv2(&self.fd, &mut [io::IoSliceMut::new(&mut bytes)], at, ReadWriteFlags::NOWAIT) {
                // Linux 5.9 and 5.10 may say this of what is not in memory either: who waits for it learns the truth.
                Ok(0) if !bytes.is_empty() => return Ok(None),
                Ok(read) => {
                    bytes.truncate(read);
                    return Ok(Some(bytes.into()));
                }
                // Not in memory; a file system or a kernel that cannot tell.
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
                    return Ok(None);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Bytes that are in memory already: this system cannot tell.
    ///
    /// # Errors
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub fn read_now(&self, _: u64, _: usize) -> io::Result<Option<Bytes>> {
        Ok(None)
    }

    /// Up to `most` bytes from a place on, or 1 MiB; empty at the end that the file had when it was opened, and where it
    /// has become shorter. May wait for the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read(&self, at: u64, most: usize) -> io::Result<Bytes> {
        let portion = self.portion(at, most);
        let mut bytes = Vec::with_capacity(portion);
        while bytes.is_empty() && portion > 0 {
            match pread(&self.fd, spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(portion);
        Ok(bytes.into())
    }

    /// How much to read: what came after the end meanwhile is of no account.
    fn portion(&self, at: u64, most: usize) -> usize {
        let left = self.print.length().saturating_sub(at);
        usize::try_from(left).unwrap_or(usize::MAX).min(most).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use crate::files::Folder;
    use crate::files::fixture::{Tree, opened};
    use std::fs;
    use std::io::Write;

    #[test]
    fn bytes_are_read_from_any_place_to_the_end() {
        let tree = Tree::new();
        tree.write("a", "0123456789");
        let file = opened(&Folder::new(tree.settings()), "/a").file;
        for (at, most, expected) in [
            (0, 4, "0123"),
            (4, 100, "456789"),
            (9, 1, "9"),
            (10, 5, ""),
            (u64::MAX, 5, ""),
            (3, 0, ""),
            (0, usize::MAX, "0123456789"),
        ] {
            assert_eq!(file.read(at, most).unwrap(), expected, "{at}, {most}");
            if let Some(bytes) = file.read_now(at, most).unwrap() {
                assert_eq!(bytes, expected, "{at}, {most}");
            }
        }
    }

    #[test]
    fn one_read_gives_a_mebibyte_at_most() {
        let tree = Tree::new();
        tree.write("a", &"x".repeat(3 << 20));
        let opened = opened(&Folder::new(tree.settings()), "/a");
        assert_eq!(opened.file.read(0, usize::MAX).unwrap().len(), 1 << 20);
        assert_eq!(opened.file.read_all(3 << 20).unwrap().unwrap().len(), 3 << 20);
    }

    #[test]
    fn a_file_that_changed_is_not_taken_for_whole() {
        type Change = fn(&mut fs::File, &Tree);
        let changes: &[(&str, Change)] = &[
            ("longer", |file, _| file.write_all(b"more").unwrap()),
            ("shorter", |file, _| file.set_len(3).unwrap()),
            ("empty", |file, _| file.set_len(0).unwrap()),
            ("of another time", |file, _| file.set_modified(std::time::UNIX_EPOCH).unwrap()),
            ("replaced", |_, tree| {
                tree.write("new", "0123456789");
                fs::rename(tree.root().join("new"), tree.root().join("a")).unwrap();
            }),
        ];
        for (what, change) in changes {
            let tree = Tree::new();
            tree.write("a", "0123456789");
            tree.age("a", 1_700_000_000_000);
            let file = opened(&Folder::new(tree.settings()), "/a").file;
            assert_eq!(file.read_all(10).unwrap().unwrap(), "0123456789");
            assert_eq!(file.read_all(9).unwrap(), None);
            change(&mut fs::File::options().append(true).open(tree.root().join("a")).unwrap(), &tree);
            // A mere replacement changes no byte of what is open; it may be taken for a change.
            let all = file.read_all(10).unwrap();
            assert!(all.is_none() || *what == "replaced", "{what}");
            assert!(file.read(0, 100).unwrap().len() <= 10, "{what}");
        }
    }
}
