//! Opens a name below a folder, and nothing outside it, whatever links stand in the way.
//!
//! Linux (5.6 and later) resolves the whole name itself: `openat2` refuses every step that would leave the folder, and
//! links that are none (`/proc/*/root`). Where there is no such call (another system, an old kernel, a container that
//! forbids it), `walk` takes the name part by part. Absolute links are refused by both, even if they lead back.
//!
//! A name is looked at before it is opened: opening a FIFO or a device may wait, or do something. Only regular files and
//! folders are ever opened for reading, and only if what was opened is what was looked at.

use super::settings::Symlinks;
use super::walk::{Place, walk};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// How often a name is looked at again that was exchanged between a look and its opening.
const TRIES: usize = 8;

/// Opens nothing of a thing: only finds it. Elsewhere there is no such flag; folders are simply opened.
#[cfg(target_os = "linux")]
pub(super) const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
pub(super) const LOOK: OFlags = OFlags::CLOEXEC.union(OFlags::NONBLOCK);

/// To read, without ever waiting for somebody to write, and without a terminal that becomes ours.
pub(super) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens names below a folder.
pub(super) struct Beneath {
    symlinks: Symlinks,
    /// Whether the kernel resolves whole names; it is asked until it says that it never does.
    by_kernel: AtomicBool,
}

/// What stands at a name.
pub(super) enum Thing {
    /// A regular file, open for reading.
    File(OwnedFd, Stat),
    /// A folder.
    Folder(Stat),
    /// Neither: a FIFO, a socket, a device.
    Other(Stat),
}

impl Beneath {
    /// Follows the symbolic links that `symlinks` says.
    pub fn new(symlinks: Symlinks) -> Self {
        Self { symlinks, by_kernel: AtomicBool::new(cfg!(target_os = "linux")) }
    }

    /// Never asks the kernel for more than a part at a time.
    #[cfg(test)]
    pub fn by_parts(symlinks: Symlinks) -> Self {
        Self { symlinks, by_kernel: AtomicBool::new(false) }
    }

    /// What stands at a name, open if it is a file. May wait for the disk.
    pub fn open(&self, root: BorrowedFd<'_>, name: &str) -> Result<Thing, Errno> {
        for _ in 0..TRIES {
            let place = match self.find(root, name) {
                Err(Errno::AGAIN) => continue,
                found => found?,
            };
            let seen = place.stat()?;
            match FileType::from_raw_mode(seen.st_mode) {
                FileType::RegularFile => {}
                // The way ends at no link, but for one that came since.
                FileType::Symlink => continue,
                FileType::Directory => return Ok(Thing::Folder(seen)),
                _ => return Ok(Thing::Other(seen)),
            }
            let file = self.reopen(root, name, &place, READ);
            match file.and_then(|file| fstat(&file).map(|stat| (file, stat))) {
                Ok((file, stat)) if is_same(&seen, &stat) => return Ok(Thing::File(file, stat)),
                // It was exchanged meanwhile: it is looked at again.
                Ok(_) | Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::AGAIN)
    }

    /// A folder, open to be listed. May wait for the disk.
    pub fn open_folder(&self, root: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
        let place = self.find(root, name)?;
        self.reopen(root, name, &place, READ | OFlags::DIRECTORY)
    }

    /// What is known of what stands at a name. May wait for the disk.
    pub fn stat(&self, root: BorrowedFd<'_>, name: &str) -> Result<Stat, Errno> {
        self.find(root, name)?.stat()
    }

    /// As [`stat`](Self::stat), but never waits: [`Errno::AGAIN`] where it would have to, or cannot promise not to.
    #[cfg(target_os = "linux")]
    pub fn stat_now(&self, root: BorrowedFd<'_>, name: &str) -> Result<Stat, Errno> {
        fstat(open_now(root, not_empty(name), LOOK, resolve(self.symlinks))?)
    }

    /// As [`stat`](Self::stat), but never waits: it cannot promise that here.
    #[cfg(not(target_os = "linux"))]
    pub fn stat_now(&self, _: BorrowedFd<'_>, _: &str) -> Result<Stat, Errno> {
        Err(Errno::AGAIN)
    }

    fn find(&self, root: BorrowedFd<'_>, name: &str) -> Result<Place, Errno> {
        let name = not_empty(name);
        if self.symlinks == Symlinks::Anywhere {
            return find_anywhere(root, name).map(Place::Open);
        }
        match self.open_whole(root, name, LOOK) {
            Some(found) => found.map(Place::Open),
            None => walk(root, name, self.symlinks == Symlinks::Within),
        }
    }

    fn reopen(
        &self,
        root: BorrowedFd<'_>,
        name: &str,
        place: &Place,
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        match place {
            Place::Below(folder, last) => {
                openat(folder, last.as_slice(), flags | OFlags::NOFOLLOW, Mode::empty())
            }
            Place::Open(folder) if flags.contains(OFlags::DIRECTORY) => {
                openat(folder, ".", flags, Mode::empty())
            }
            Place::Open(_) if self.symlinks == Symlinks::Anywhere => openat(root, name, flags, Mode::empty()),
            Place::Open(_) => self.open_whole(root, not_empty(name), flags).unwrap_or(Err(Errno::NOENT)),
        }
    }

    /// Lets the kernel resolve the name; `None` if it does not do that.
    #[cfg(target_os = "linux")]
    fn open_whole(&self, root: BorrowedFd<'_>, name: &str, flags: OFlags) -> Option<Result<OwnedFd, Errno>> {
        for _ in 0..TRIES {
            if !self.by_kernel.load(Relaxed) {
                break;
            }
            match rustix::fs::openat2(root, name, flags, Mode::empty(), resolve(self.symlinks)) {
                // Something on the machine was renamed while a link went up a folder: openat2(2) says to try again.
                Err(Errno::AGAIN) => {}
                // A kernel before 5.6 does not know it.
                Err(Errno::NOSYS) => self.by_kernel.store(false, Relaxed),
                // Some containers forbid what they do not know; the way by parts says whether it was that.
                Err(Errno::PERM) => break,
                found => return Some(found),
            }
        }
        None
    }

    #[cfg(not(target_os = "linux"))]
    fn open_whole(&self, _: BorrowedFd<'_>, _: &str, _: OFlags) -> Option<Result<OwnedFd, Errno>> {
        let _ = self.by_kernel.load(Relaxed);
        None
    }
}

/// What is found if all links are followed, wherever they lead.
#[cfg(target_os = "linux")]
fn find_anywhere(root: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    openat(root, name, LOOK, Mode::empty())
}

#[cfg(not(target_os = "linux"))]
fn find_anywhere(root: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let seen = rustix::fs::statat(root, name, rustix::fs::AtFlags::empty())?;
    match FileType::from_raw_mode(seen.st_mode) {
        FileType::RegularFile | FileType::Directory => openat(root, name, LOOK, Mode::empty()),
        _ => Err(Errno::NOENT),
    }
}

/// The folder of a path, to resolve names below it. May wait for the disk.
pub(super) fn root(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, LOOK | OFlags::DIRECTORY, Mode::empty())
}

/// As [`root`], but never waits: [`Errno::AGAIN`] where it would have to.
#[cfg(target_os = "linux")]
pub(super) fn root_now(path: &Path) -> Result<OwnedFd, Errno> {
    open_now(CWD, path, LOOK | OFlags::DIRECTORY, rustix::fs::ResolveFlags::empty())
}

/// As [`root`], but never waits: it cannot promise that here.
#[cfg(not(target_os = "linux"))]
pub(super) fn root_now(_: &Path) -> Result<OwnedFd, Errno> {
    Err(Errno::AGAIN)
}

/// Linux 5.12 and later resolve a name without the disk, if they have all of it in memory. An older one, and a container
/// that forbids it, says so in one of three ways.
#[cfg(target_os = "linux")]
fn open_now<P: rustix::path::Arg>(
    from: impl AsFd,
    name: P,
    flags: OFlags,
    how: rustix::fs::ResolveFlags,
) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(from, name, flags, Mode::empty(), how | rustix::fs::ResolveFlags::CACHED).map_err(
        |error| match error {
            Errno::NOSYS | Errno::PERM | Errno::INVAL => Errno::AGAIN,
            error => error,
        },
    )
}

#[cfg(target_os = "linux")]
fn resolve(symlinks: Symlinks) -> rustix::fs::ResolveFlags {
    use rustix::fs::ResolveFlags as How;
    match symlinks {
        Symlinks::Anywhere => How::empty(),
        Symlinks::None => How::BENEATH | How::NO_MAGICLINKS | How::NO_SYMLINKS,
        Symlinks::Within => How::BENEATH | How::NO_MAGICLINKS,
    }
}

fn not_empty(name: &str) -> &str {
    if name.is_empty() { "." } else { name }
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fixture::Tree;

    /// A file was seen, and something else stands there when it is opened.
    #[test]
    fn a_link_that_came_after_the_look_is_not_followed() {
        let tree = Tree::of_traps();
        let at = root(&tree.root()).unwrap();
        let beneath = Beneath::by_parts(Symlinks::Within);
        for (name, expected) in [("a.txt", Ok(())), ("out", Err(Errno::LOOP)), ("zero", Err(Errno::LOOP))] {
            let place = Place::Below(at.try_clone().unwrap(), name.into());
            assert_eq!(beneath.reopen(at.as_fd(), name, &place, READ).map(drop), expected, "{name}");
        }
        let beneath = Beneath::new(Symlinks::Within);
        let place = Place::Open(at.try_clone().unwrap());
        for name in ["out", "zero", "out-folder/secret.txt"] {
            assert_eq!(beneath.reopen(at.as_fd(), name, &place, READ).map(drop), Err(refusal()), "{name}");
        }
    }

    /// Where the kernel does not resolve whole names, what was found by it is gone.
    fn refusal() -> Errno {
        if cfg!(target_os = "linux") { Errno::XDEV } else { Errno::NOENT }
    }

    #[test]
    fn what_took_the_place_of_a_file_is_not_taken_for_it() {
        let tree = Tree::of_traps();
        let at = root(&tree.root()).unwrap();
        let stat = |name: &str| Beneath::new(Symlinks::Within).stat(at.as_fd(), name).unwrap();
        assert!(is_same(&stat("a.txt"), &stat("hard")));
        assert!(!is_same(&stat("a.txt"), &stat("aux.txt")));
    }
}
