//! A folder full of traps in a temporary place, with a secret beside it, for the tests of files.

use super::{Folder, Found, Opened, Settings, Symlinks};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What no request may ever be given.
pub(super) const SECRET: &str = "the secret";

/// A temporary folder: `root` in it is served, all else is not. Gone with its owner.
pub(super) struct Tree {
    base: PathBuf,
}

impl Tree {
    /// An empty root.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let base = std::env::temp_dir().join(format!("foreland-tree-{}-{number}", std::process::id()));
        fs::create_dir_all(base.join("root")).unwrap();
        // As the kernel names it, should the way there be a link.
        let tree = Self { base: base.canonicalize().unwrap() };
        fs::write(tree.base.join("secret.txt"), SECRET).unwrap();
        tree
    }

    /// A root with files, and every trap that a folder may hold.
    pub fn of_traps() -> Self {
        let tree = Self::new();
        for (name, text) in [
            ("index.html", "home"),
            ("a.txt", "a"),
            ("dir/index.html", "dir home"),
            ("dir/b.txt", "b"),
            ("dir/.hidden", "hidden"),
            (".git/config", "hidden"),
            (".htaccess", "hidden"),
            (".well-known/x", "known"),
            (".well-known/.x", "hidden"),
            ("CON", "con"),
            ("aux.txt", "aux"),
            ("dot.", "dot"),
            ("ä.txt", "umlaut"),
            ("a?b#c", "marks"),
            ("%41.txt", "percent"),
            ("..;/a.txt", "hidden"),
            ("a\\b", "hidden"),
            ("new\nline", "hidden"),
            ("\u{ff0e}\u{ff0e}/a.txt", "wide"),
        ] {
            tree.write(name, text);
        }
        fs::create_dir(tree.root().join("empty")).unwrap();
        fs::create_dir(tree.base.join("beside")).unwrap();
        fs::write(tree.base.join("beside/secret.txt"), SECRET).unwrap();
        fs::hard_link(tree.root().join("a.txt"), tree.root().join("hard")).unwrap();
        for (name, target) in [
            ("in", "a.txt"),
            ("in-and-up", "dir/../a.txt"),
            ("in-folder", "dir"),
            ("in-folder-slash", "dir/"),
            ("in-dots", "./dir/.//./b.txt"),
            ("dir/up", "../a.txt"),
            ("file-slash", "a.txt/"),
            ("self", "."),
            ("nowhere", "nothing"),
            ("out", "../secret.txt"),
            ("out-chain", "out"),
            ("out-folder", ".."),
            ("out-beside", "../beside"),
            ("out-and-in", "../root/a.txt"),
            ("dir/out", "../../secret.txt"),
            ("dir/out-folder", "dir/../../.."),
            ("loop", "loop-back"),
            ("loop-back", "loop"),
            ("proc-root", "/proc/self/root"),
            ("etc", "/etc"),
            ("zero", "/dev/zero"),
        ] {
            tree.link(name, target);
        }
        tree.link("out-absolute", tree.base.join("secret.txt").to_str().unwrap());
        tree.link("in-absolute", tree.root().join("a.txt").to_str().unwrap());
        tree.link("chain-0", "a.txt");
        for number in 1..=40 {
            tree.link(&format!("chain-{number}"), &format!("chain-{}", number - 1));
        }
        mknodat(CWD, tree.root().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        drop(UnixListener::bind(tree.root().join("socket")).unwrap());
        tree
    }

    /// The folder that is served.
    pub fn root(&self) -> PathBuf {
        self.base.join("root")
    }

    /// The folder that it is in.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Writes a file below the root, and the folders that it is in.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Sets when a file was changed, in milliseconds since 1970.
    pub fn age(&self, name: &str, at: u64) {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(at);
        fs::File::options().write(true).open(self.root().join(name)).unwrap().set_modified(at).unwrap();
    }

    /// Puts a symbolic link below the root.
    pub fn link(&self, name: &str, target: &str) {
        symlink(target, self.root().join(name)).unwrap();
    }

    /// How it is served by default.
    pub fn settings(&self) -> Settings {
        Settings::of(self.root())
    }

    /// It, served by both ways to open a name.
    pub fn both(&self, symlinks: Symlinks) -> [(&'static str, Folder); 2] {
        let settings = Settings { symlinks, listing: true, ..self.settings() };
        [("kernel", Folder::new(settings.clone())), ("parts", Folder::by_parts(settings))]
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.base);
    }
}

/// What a path gives, in words: the text of a file, or `refused`, `folder`, `forbidden`, `listing`, `missing`.
pub(super) fn given(folder: &Folder, path: &str) -> String {
    let Ok(name) = folder.name(path) else { return "refused".into() };
    match folder.find(&name).unwrap() {
        Found::File(opened) => text(&opened),
        Found::Folder => "folder".into(),
        Found::Forbidden => "forbidden".into(),
        Found::Listing(_) => "listing".into(),
        Found::Missing(None) => "missing".into(),
        Found::Missing(Some(opened)) => format!("missing: {}", text(&opened)),
    }
}

/// The file that a path gives.
#[track_caller]
pub(super) fn opened(folder: &Folder, path: &str) -> Box<Opened> {
    match folder.find(&folder.name(path).unwrap()).unwrap() {
        Found::File(opened) | Found::Missing(Some(opened)) => opened,
        _ => panic!("{path} is no file"),
    }
}

/// All of a file.
pub(super) fn text(opened: &Opened) -> String {
    String::from_utf8(opened.file.read_all(opened.length).unwrap().unwrap().into()).unwrap()
}
