//! Finds a name below a folder part by part, where the kernel does not resolve whole names.
//!
//! Every folder on the way is opened by its name alone and never through a link, so that one that is exchanged
//! meanwhile leads nowhere. Links are read and their parts taken instead; `..` in them goes back to the folder it came
//! from, and above the first one there is nothing.

use super::beneath::LOOK;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How many links a name may lead over, as in Linux.
const MOST_LINKS: usize = 40;

/// Where a name leads.
pub(super) enum Place {
    /// To a thing of this name in this folder; it is no link, or was none when it was looked at.
    Below(OwnedFd, Vec<u8>),
    /// To this, which is open, though perhaps not for reading.
    Open(OwnedFd),
}

impl Place {
    /// What is known of what stands there.
    pub fn stat(&self) -> Result<Stat, Errno> {
        match self {
            Self::Below(folder, last) => statat(folder, last.as_slice(), AtFlags::SYMLINK_NOFOLLOW),
            Self::Open(thing) => fstat(thing),
        }
    }
}

/// Where a name leads: the way of `openat2`, with its errors ([`Errno::XDEV`] out of the folder, [`Errno::LOOP`] for a
/// link where `links` are not followed, or too many of them). [`Errno::AGAIN`]: something on the way was exchanged
/// meanwhile.
pub(super) fn walk(root: BorrowedFd<'_>, name: &str, links: bool) -> Result<Place, Errno> {
    let mut way = Way { root, folders: Vec::new(), left: Vec::new(), links: 0 };
    way.add(name.as_bytes());
    while let Some(part) = way.left.pop() {
        match part.as_slice() {
            b"." => {}
            b".." => drop(way.folders.pop().ok_or(Errno::XDEV)?),
            part => {
                let kind =
                    FileType::from_raw_mode(statat(way.at(), part, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
                match kind {
                    FileType::Symlink if !links => return Err(Errno::LOOP),
                    FileType::Symlink => way.follow(part)?,
                    _ if way.left.is_empty() => {
                        let folder = way.folders.pop().map_or_else(|| open_folder(root, b"."), Ok)?;
                        return Ok(Place::Below(folder, part.to_vec()));
                    }
                    FileType::Directory => {
                        let folder = open_folder(way.at(), part).map_err(exchanged)?;
                        way.folders.push(folder);
                    }
                    _ => return Err(Errno::NOTDIR),
                }
            }
        }
    }
    way.folders.pop().map_or_else(|| open_folder(root, b"."), Ok).map(Place::Open)
}

/// A name that is being taken part by part.
struct Way<'a> {
    root: BorrowedFd<'a>,
    /// The folders below the root that lead to where it is.
    folders: Vec<OwnedFd>,
    /// The parts that are left, the next one last.
    left: Vec<Vec<u8>>,
    links: usize,
}

impl Way<'_> {
    fn at(&self) -> BorrowedFd<'_> {
        self.folders.last().map_or(self.root, AsFd::as_fd)
    }

    fn add(&mut self, name: &[u8]) {
        // A slash at the end asks for a folder: so does a dot.
        if name.ends_with(b"/") {
            self.left.push(b".".to_vec());
        }
        let parts = name.split(|&byte| byte == b'/').filter(|part| !part.is_empty());
        self.left.extend(parts.rev().map(<[u8]>::to_vec));
    }

    fn follow(&mut self, link: &[u8]) -> Result<(), Errno> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP);
        }
        let target = readlinkat(self.at(), link, Vec::new()).map_err(exchanged)?;
        match target.as_bytes() {
            [] => Err(Errno::NOENT),
            [b'/', ..] => Err(Errno::XDEV),
            target => {
                self.add(target);
                Ok(())
            }
        }
    }
}

/// A link that is none any more, or a folder that is none: it was exchanged since it was looked at.
fn exchanged(error: Errno) -> Errno {
    match error {
        Errno::INVAL | Errno::LOOP | Errno::NOTDIR => Errno::AGAIN,
        error => error,
    }
}

fn open_folder(from: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    openat(from, name, LOOK | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::beneath::root;
    use crate::files::fixture::Tree;

    /// A folder was seen, and a link to another stands there when it is opened.
    #[test]
    fn no_folder_on_the_way_is_opened_through_a_link() {
        let tree = Tree::of_traps();
        let root = root(&tree.root()).unwrap();
        assert!(open_folder(root.as_fd(), b"dir").is_ok());
        for link in ["in-folder", "out-folder", "out-beside", "etc", "self"] {
            let opened = open_folder(root.as_fd(), link.as_bytes()).map(drop);
            assert!(matches!(opened, Err(Errno::NOTDIR | Errno::LOOP)), "{link}: {opened:?}");
        }
    }
}
