//! Finds what a name stands for.

use super::beneath::{self, Beneath, Thing};
use super::file::File;
use super::listing::{self, Item};
use super::media;
use super::name::{Name, Refused};
use super::settings::{Lifetime, Settings};
use super::stamp::{self, Print, Trail};
use crate::http::accept_encoding::Coding;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A folder that is served.
pub struct Folder {
    settings: Settings,
    beneath: Beneath,
}

/// What a name stands for.
pub enum Found {
    /// A file.
    File(Box<Opened>),
    /// A folder, asked for without its slash.
    Folder,
    /// It may not be read.
    Forbidden,
    /// The things in a folder without an index.
    Listing(Vec<Item>),
    /// Nothing, and no fallback either. The file of `not_found`, if there is one.
    Missing(Option<Box<Opened>>),
}

/// A file that was found, and what is known of it.
pub struct Opened {
    /// The file itself.
    pub file: File,
    /// Its own name below the folder: that of an index, or of what stands in for what does not exist.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// When it was changed last, in seconds since 1970.
    pub modified: u64,
    /// Its media type, with charset where it has one.
    pub media_type: Box<str>,
    /// How long a browser may keep it.
    pub lifetime: Option<Lifetime>,
    /// The entity tag of a file too large to be kept: from time of change and length, strong, in quotes.
    pub etag: String,
    /// Its compressed siblings; no coding twice. One that was changed before the file is out of date, and none of them.
    pub siblings: Vec<Sibling>,
    /// Whether it was changed long enough ago for the next change to show in its stamp.
    pub is_settled: bool,
    /// By what [`Folder::is_unchanged`] knows it again, its siblings and what they were found by.
    pub stamp: Box<[u64]>,
}

/// The same file, compressed beforehand.
pub struct Sibling {
    /// How.
    pub coding: Coding,
    /// The file.
    pub file: File,
    /// Its length in bytes.
    pub length: u64,
    /// As that of the file.
    pub etag: String,
}

impl Folder {
    /// A folder to serve. It is looked for whenever it is needed: it may come, go and be exchanged.
    pub fn new(settings: Settings) -> Self {
        let beneath = Beneath::new(settings.symlinks);
        Self { settings, beneath }
    }

    /// One whose kernel resolves no whole names.
    #[cfg(test)]
    pub(super) fn by_parts(settings: Settings) -> Self {
        let beneath = Beneath::by_parts(settings.symlinks);
        Self { settings, beneath }
    }

    /// How it is served.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The name that a path means, as it stands in a request.
    ///
    /// # Errors
    /// [`Refused`]: nothing of that name is ever served.
    pub fn name(&self, path: &str) -> Result<Name, Refused> {
        Name::parse(path, self.settings.hidden)
    }

    /// What a name stands for. Reads from the disk: not for a thread that must not wait.
    ///
    /// A folder without an index that is not listed is missing, as if it were not there. So is what is neither a file nor
    /// a folder.
    ///
    /// # Errors
    /// What the disk says, where that is not simply that there is nothing.
    pub fn find(&self, name: &Name) -> io::Result<Found> {
        // The root is opened anew: a folder that is held could neither be unmounted nor exchanged.
        let root = match beneath::root(&self.settings.root) {
            Ok(root) => root,
            Err(error) if is_absent(error) => return Ok(Found::Missing(None)),
            Err(Errno::ACCESS) => return Ok(Found::Forbidden),
            Err(error) => return Err(error.into()),
        };
        let mut finder = Finder { folder: self, root: root.as_fd(), trail: Trail::Made(Vec::new()) };
        let mut path = String::new();
        Ok(match self.follow(name, &mut path, |path| finder.look(path))? {
            End::File(seen) => Found::File(finder.opened(path, seen)?),
            End::Folder => Found::Folder,
            End::Forbidden => Found::Forbidden,
            End::Listing => finder.list(name)?,
            End::Missing(seen) => Found::Missing(seen.map(|seen| finder.opened(path, seen)).transpose()?),
        })
    }

    /// Whether a name still stands for what it stood for when it was stamped. Never waits for the disk; `None` where it
    /// would have to.
    ///
    /// System calls: two for the root, three for each thing that is there, one for each that is not. For a file without
    /// siblings, where three are looked for, that makes eight. What is absent is remembered by most file systems; tmpfs
    /// does not, and would have to look.
    pub fn is_unchanged(&self, name: &Name, stamp: &[u64]) -> Option<bool> {
        let root = match beneath::root_now(&self.settings.root) {
            Ok(root) => root,
            Err(Errno::AGAIN) => return None,
            Err(_) => return Some(false),
        };
        let mut trail = Trail::Left(stamp);
        let mut path = String::with_capacity(name.text.len() + 32);
        let mut look = |path: &str| self.look_again(root.as_fd(), path, &mut trail);
        let end = self.follow(name, &mut path, &mut look).and_then(|end| {
            if matches!(end, End::File(()) | End::Missing(Some(()))) {
                self.each_sibling(&mut path, |_, path| look(path).map(drop))?;
                return Ok(true);
            }
            Ok(false)
        });
        match end {
            Ok(is_file) => Some(is_file && trail.is_over()),
            Err(Doubt::Changed) => Some(false),
            Err(Doubt::WouldWait) => None,
        }
    }

    /// The way from a name to what it stands for, the same for whoever looks. The name of a file that ends it is left in
    /// `path`.
    fn follow<F, E>(
        &self,
        name: &Name,
        path: &mut String,
        mut look: impl FnMut(&str) -> Result<Sight<F>, E>,
    ) -> Result<End<F>, E> {
        let of_folder = if name.is_folder { &*self.settings.index } else { &[] };
        let itself: &[Box<str>] = if name.is_folder { &[] } else { &[Box::default()] };
        for last in of_folder.iter().chain(itself) {
            path.clear();
            path.push_str(&name.text);
            if !path.is_empty() && !last.is_empty() {
                path.push('/');
            }
            path.push_str(last);
            match look(path)? {
                Sight::File(file) => return Ok(End::File(file)),
                Sight::Forbidden => return Ok(End::Forbidden),
                Sight::Folder if !name.is_folder => return Ok(End::Folder),
                Sight::Absent | Sight::Folder => {}
            }
        }
        if name.is_folder && self.settings.listing {
            match look(&name.text)? {
                Sight::Folder => return Ok(End::Listing),
                Sight::Forbidden => return Ok(End::Forbidden),
                Sight::Absent | Sight::File(_) => {}
            }
        }
        for (instead, is_answer) in [(&self.settings.fallback, true), (&self.settings.not_found, false)] {
            let Some(instead) = instead else { continue };
            path.clear();
            path.push_str(instead.trim_start_matches('/'));
            if let Sight::File(file) = look(path)? {
                return Ok(if is_answer { End::File(file) } else { End::Missing(Some(file)) });
            }
        }
        Ok(End::Missing(None))
    }

    /// Calls `each` with the name of every sibling that the file called `path` may have.
    fn each_sibling<E>(
        &self,
        path: &mut String,
        mut each: impl FnMut(Coding, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = path.len();
        let codings = &self.settings.precompressed;
        for (at, &coding) in codings.iter().enumerate() {
            if !codings[..at].contains(&coding) {
                path.push_str(suffix(coding));
                each(coding, path)?;
                path.truncate(length);
            }
        }
        Ok(())
    }

    fn look_again(
        &self,
        root: BorrowedFd<'_>,
        path: &str,
        trail: &mut Trail<'_>,
    ) -> Result<Sight<()>, Doubt> {
        let (sight, print) = match self.beneath.stat_now(root, path) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => (Sight::File(()), Print::of(&stat)),
                FileType::Directory => (Sight::Folder, Print::of_any(&stat)),
                _ => (Sight::Absent, Print::of_any(&stat)),
            },
            Err(error) if is_absent(error) => (Sight::Absent, Print::ABSENT),
            Err(Errno::AGAIN) => return Err(Doubt::WouldWait),
            Err(_) => return Err(Doubt::Changed),
        };
        if trail.step(print) { Ok(sight) } else { Err(Doubt::Changed) }
    }
}

/// Why it is not known that all is as it was.
enum Doubt {
    Changed,
    WouldWait,
}

/// What stands at a name, in so far as it says where to go on.
enum Sight<F> {
    Absent,
    File(F),
    Folder,
    Forbidden,
}

/// Where a name leads.
enum End<F> {
    File(F),
    Folder,
    Forbidden,
    Listing,
    Missing(Option<F>),
}

type Seen = (OwnedFd, Stat);

/// Looks for things below an open root and writes down what it saw.
struct Finder<'a> {
    folder: &'a Folder,
    root: BorrowedFd<'a>,
    trail: Trail<'static>,
}

impl Finder<'_> {
    fn look(&mut self, path: &str) -> io::Result<Sight<Seen>> {
        let (sight, print) = match self.folder.beneath.open(self.root, path) {
            Ok(Thing::File(file, stat)) => (Sight::File((file, stat)), Print::of(&stat)),
            Ok(Thing::Folder(stat)) => (Sight::Folder, Print::of_any(&stat)),
            Ok(Thing::Other(stat)) => (Sight::Absent, Print::of_any(&stat)),
            Err(Errno::ACCESS) => (Sight::Forbidden, Print::ABSENT),
            Err(error) if is_absent(error) => (Sight::Absent, Print::ABSENT),
            Err(error) => return Err(error.into()),
        };
        self.trail.step(print);
        Ok(sight)
    }

    fn list(&self, name: &Name) -> io::Result<Found> {
        let settings = &self.folder.settings;
        match listing::read(&self.folder.beneath, self.root, &name.text, settings.hidden) {
            Ok(items) => Ok(Found::Listing(items)),
            Err(Errno::ACCESS) => Ok(Found::Forbidden),
            // It went since it was looked at.
            Err(error) if is_absent(error) => Ok(Found::Missing(None)),
            Err(error) => Err(error.into()),
        }
    }

    /// All that is to be known of the file called `path`.
    fn opened(&mut self, mut path: String, (file, stat): Seen) -> io::Result<Box<Opened>> {
        let settings = &self.folder.settings;
        let media_type = media::media_type(settings, &path);
        let mut siblings = Vec::new();
        self.folder.each_sibling(&mut path, |coding, path| {
            match self.look(path)? {
                Sight::File((file, found)) if !is_before(&found, &stat) => {
                    let print = Print::of(&found);
                    let etag = etag(&print);
                    siblings.push(Sibling {
                        coding,
                        file: File::new(file, print),
                        length: print.length(),
                        etag,
                    });
                }
                _ => {}
            }
            io::Result::Ok(())
        })?;
        let print = Print::of(&stat);
        Ok(Box::new(Opened {
            file: File::new(file, print),
            name: path,
            length: print.length(),
            modified: stamp::modified(&stat),
            lifetime: media::lifetime(settings, &media_type),
            media_type,
            etag: etag(&print),
            siblings,
            is_settled: print.is_settled(),
            stamp: std::mem::replace(&mut self.trail, Trail::Made(Vec::new())).into_words(),
        }))
    }
}

/// Whether a sibling was changed before its file: it is then made of what the file was. Compressors that keep the time
/// may keep whole seconds only.
#[allow(clippy::unnecessary_cast)] // other systems have other widths
fn is_before(sibling: &Stat, file: &Stat) -> bool {
    let nanos = if sibling.st_mtime_nsec == 0 { 0 } else { file.st_mtime_nsec };
    (sibling.st_mtime, sibling.st_mtime_nsec) < (file.st_mtime, nanos)
}

/// What says that there is nothing of a name: also what would lead out of the folder.
fn is_absent(error: Errno) -> bool {
    matches!(error, Errno::LOOP | Errno::NAMETOOLONG | Errno::NOENT | Errno::NOTDIR | Errno::XDEV)
}

fn etag(print: &Print) -> String {
    format!("\"{:x}-{:x}\"", print.modified(), print.length())
}

fn suffix(coding: Coding) -> &'static str {
    match coding {
        Coding::Br => ".br",
        Coding::Gzip => ".gz",
        Coding::Zstd => ".zst",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fixture::{Tree, given, opened, text};
    use crate::files::{Symlinks, listing::Item};
    use std::fs;

    const ALL: [Coding; 3] = [Coding::Br, Coding::Zstd, Coding::Gzip];

    fn codings(opened: &Opened) -> Vec<Coding> {
        opened.siblings.iter().map(|sibling| sibling.coding).collect()
    }

    /// Whether the name of a path still stands for what it stood for. A file system that keeps no word of what is absent
    /// (tmpfs) has to look: then that is said instead.
    fn is_unchanged(folder: &Folder, path: &str, stamp: &[u64]) -> bool {
        let name = folder.name(path).unwrap();
        folder.is_unchanged(&name, stamp).unwrap_or_else(|| {
            eprintln!("{path}: the disk would have to be asked");
            folder.find(&name).is_ok_and(|found| match found {
                Found::File(opened) | Found::Missing(Some(opened)) => *opened.stamp == *stamp,
                _ => false,
            })
        })
    }

    #[test]
    fn a_file_is_known_by_its_length_time_and_type() {
        let tree = Tree::new();
        tree.write("a.css", "a {}");
        tree.age("a.css", 1_700_000_000_123);
        let settings =
            Settings { expires: vec![("text/*".into(), Lifetime::Seconds(60))], ..tree.settings() };
        let file = opened(&Folder::new(settings), "/a.css");
        assert_eq!((file.length, file.modified), (4, 1_700_000_000));
        assert_eq!(&*file.media_type, "text/css; charset=utf-8");
        assert_eq!(file.lifetime, Some(Lifetime::Seconds(60)));
        assert_eq!(file.etag, format!("\"{:x}-4\"", 1_700_000_000_123_000_000_u64));
        assert!(file.siblings.is_empty());
        assert_eq!(text(&file), "a {}");
    }

    #[test]
    fn index_files_are_tried_in_order() {
        let tree = Tree::new();
        tree.write("one/a.html", "a");
        tree.write("one/b.html", "b");
        tree.write("two/b.html", "b");
        tree.write("three/a.html/x", "");
        tree.write("three/b.html", "b");
        fs::create_dir(tree.root().join("none")).unwrap();
        let index = vec!["a.html".into(), "b.html".into()];
        let folder = Folder::new(Settings { index: index.clone(), ..tree.settings() });
        for (path, expected) in [
            ("/one/", "a"),
            ("/two/", "b"),
            ("/three/", "b"),
            ("/none/", "missing"),
            ("/one", "folder"),
            ("/none", "folder"),
            ("/", "missing"),
            ("/nothing/", "missing"),
        ] {
            assert_eq!(given(&folder, path), expected, "{path}");
        }
        let folder = Folder::new(Settings { index, listing: true, ..tree.settings() });
        for (path, expected) in [
            ("/one/", "a"),
            ("/none/", "listing"),
            ("/", "listing"),
            ("/nothing/", "missing"),
            ("/one/a.html/", "missing"),
        ] {
            assert_eq!(given(&folder, path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_missing_may_have_a_fallback_or_a_page() {
        let tree = Tree::new();
        for (name, text) in [("app.html", "app"), ("404.html", "gone"), ("a/b", "b")] {
            tree.write(name, text);
        }
        let page = Settings { not_found: Some("/404.html".into()), ..tree.settings() };
        let folder = Folder::new(page.clone());
        for (path, expected) in
            [("/x", "missing: gone"), ("/a/", "missing: gone"), ("/a/b", "b"), ("/404.html", "gone")]
        {
            assert_eq!(given(&folder, path), expected, "{path}");
        }
        let folder = Folder::new(Settings { fallback: Some("/app.html".into()), ..page });
        for (path, expected) in
            [("/x/y", "app"), ("/a/", "app"), ("/a", "folder"), ("/a/b/c", "app"), ("/a/b/", "app")]
        {
            assert_eq!(given(&folder, path), expected, "{path}");
        }
        fs::remove_file(tree.root().join("app.html")).unwrap();
        assert_eq!(given(&folder, "/x"), "missing: gone");
        fs::remove_file(tree.root().join("404.html")).unwrap();
        assert_eq!(given(&folder, "/x"), "missing");
    }

    #[test]
    fn siblings_are_those_asked_for_that_are_files_and_not_out_of_date() {
        let tree = Tree::new();
        for name in [
            "a.js", "a.js.br", "a.js.gz", "b.js", "b.js.br", "b.js.gz", "c.js", "c.js.gz", "c.js.zst",
            "c.js.br",
        ] {
            tree.write(name, name);
            tree.age(name, 1_000_500);
        }
        tree.write("d.js", "");
        tree.write("d.js.br/x", "");
        tree.age("b.js.br", 1_000_499);
        tree.age("b.js.gz", 1_000_501);
        tree.age("c.js.gz", 1_000_000); // whole seconds: the same time
        tree.age("c.js.zst", 999_000);
        let of = |precompressed: &[Coding]| {
            let folder = Folder::new(Settings { precompressed: precompressed.into(), ..tree.settings() });
            ["/a.js", "/b.js", "/c.js", "/d.js"].map(|path| codings(&opened(&folder, path)))
        };
        use Coding::{Br, Gzip, Zstd};
        assert_eq!(of(&ALL), [vec![Br, Gzip], vec![Gzip], vec![Br, Gzip], vec![]]);
        assert_eq!(of(&[Gzip, Br, Gzip]), [vec![Gzip, Br], vec![Gzip], vec![Gzip, Br], vec![]]);
        assert_eq!(of(&[Zstd]), [vec![], vec![], vec![], vec![]]);
        let folder = Folder::new(tree.settings());
        let sibling = &opened(&folder, "/a.js").siblings[0];
        assert_eq!(sibling.length, 7);
        assert_eq!(sibling.file.read(0, 100).unwrap(), "a.js.br");
        assert!(sibling.etag.ends_with("-7\""), "{}", sibling.etag);
    }

    #[test]
    fn whatever_changes_what_a_name_stands_for_is_noticed() {
        type Change = fn(&Tree);
        let changes: &[(&str, &str, Change)] = &[
            ("written", "/a.js", |tree| tree.write("a.js", "longer")),
            ("of another time", "/a.js", |tree| tree.age("a.js", 5)),
            ("gone", "/a.js", |tree| fs::remove_file(tree.root().join("a.js")).unwrap()),
            ("exchanged", "/a.js", |tree| {
                tree.write("new", "a");
                fs::rename(tree.root().join("new"), tree.root().join("a.js")).unwrap();
            }),
            ("a folder", "/a.js", |tree| {
                fs::remove_file(tree.root().join("a.js")).unwrap();
                fs::create_dir(tree.root().join("a.js")).unwrap();
            }),
            ("given a sibling", "/a.js", |tree| tree.write("a.js.zst", "z")),
            ("with a changed sibling", "/a.js", |tree| tree.write("a.js.br", "longer")),
            ("without its sibling", "/a.js", |tree| fs::remove_file(tree.root().join("a.js.br")).unwrap()),
            ("given an earlier index", "/dir/", |tree| tree.write("dir/first.html", "1")),
            ("with a changed index", "/dir/", |tree| tree.write("dir/index.html", "longer")),
            ("without its folder", "/dir/", |tree| fs::remove_dir_all(tree.root().join("dir")).unwrap()),
            ("no longer missing", "/nothing", |tree| tree.write("nothing", "something")),
            ("now a folder", "/nothing", |tree| fs::create_dir(tree.root().join("nothing")).unwrap()),
            ("of another fallback", "/nothing", |tree| tree.write("app.html", "another")),
            ("without a fallback", "/nothing", |tree| fs::remove_file(tree.root().join("app.html")).unwrap()),
            ("where a link leads", "/link", |tree| {
                fs::remove_file(tree.root().join("link")).unwrap();
                tree.link("link", "dir/index.html");
            }),
            ("below another root", "/a.js", |tree| {
                fs::rename(tree.root(), tree.base().join("old")).unwrap();
                tree.write("a.js", "a");
            }),
            ("below no root", "/a.js", |tree| fs::rename(tree.root(), tree.base().join("old")).unwrap()),
        ];
        for (what, path, change) in changes {
            let tree = Tree::new();
            for (name, text) in
                [("a.js", "a"), ("a.js.br", "b"), ("dir/index.html", "i"), ("app.html", "app")]
            {
                tree.write(name, text);
            }
            tree.link("link", "a.js");
            let folder = Folder::new(Settings {
                index: vec!["first.html".into(), "index.html".into()],
                fallback: Some("/app.html".into()),
                ..tree.settings()
            });
            let stamp = opened(&folder, path).stamp;
            assert!(is_unchanged(&folder, path, &stamp), "{path}, before it is {what}");
            tree.write("other", "of no account");
            assert!(is_unchanged(&folder, path, &stamp), "{path}, before it is {what}");
            change(&tree);
            assert!(!is_unchanged(&folder, path, &stamp), "{path} is {what}");
        }
    }

    #[test]
    fn a_stamp_of_another_name_is_no_stamp() {
        let tree = Tree::new();
        tree.write("a", "a");
        tree.write("b", "b");
        let folder = Folder::new(tree.settings());
        let stamp = opened(&folder, "/a").stamp;
        assert!(is_unchanged(&folder, "/a", &stamp));
        assert!(!is_unchanged(&folder, "/b", &stamp));
        for cut in 0..stamp.len() {
            assert!(!is_unchanged(&folder, "/a", &stamp[..cut]), "{cut}");
        }
        assert!(!is_unchanged(&folder, "/a", &[&*stamp, &[0]].concat()));
    }

    #[test]
    fn the_root_may_come_go_and_be_exchanged() {
        let tree = Tree::new();
        let of = |release: &str| tree.base().join(release);
        for release in ["1", "2"] {
            fs::create_dir(of(release)).unwrap();
            fs::write(of(release).join("a"), format!("release {release}")).unwrap();
        }
        let folder = Folder::new(Settings::of(of("current")));
        assert_eq!(given(&folder, "/a"), "missing");
        for release in ["1", "2", "1"] {
            std::os::unix::fs::symlink(release, of("next")).unwrap();
            fs::rename(of("next"), of("current")).unwrap();
            assert_eq!(given(&folder, "/a"), format!("release {release}"));
        }
        let stamp = opened(&folder, "/a").stamp;
        fs::remove_file(of("current")).unwrap();
        assert_eq!(given(&folder, "/a"), "missing");
        assert!(!is_unchanged(&folder, "/a", &stamp));
        fs::write(of("current"), "no folder").unwrap();
        assert_eq!(given(&folder, "/a"), "missing");
    }

    #[test]
    fn a_folder_is_listed_as_far_as_it_is_served() {
        let tree = Tree::of_traps();
        for (way, folder) in tree.both(Symlinks::Within) {
            let Found::Listing(items) = folder.find(&folder.name("/empty/").unwrap()).unwrap() else {
                panic!()
            };
            assert_eq!(items, []);
            let settings = Settings { index: Vec::new(), ..folder.settings().clone() };
            let folder = if way == "kernel" { Folder::new(settings) } else { Folder::by_parts(settings) };
            let Found::Listing(items) = folder.find(&folder.name("/").unwrap()).unwrap() else { panic!() };
            let names: Vec<&str> =
                items.iter().map(|item| &*item.name).filter(|it| !it.starts_with("chain")).collect();
            let expected = [
                "dir",
                "empty",
                "in-folder",
                "in-folder-slash",
                "self",
                "\u{ff0e}\u{ff0e}",
                "%41.txt",
                "CON",
                "a.txt",
                "a?b#c",
                "aux.txt",
                "dot.",
                "hard",
                "in",
                "in-and-up",
                "in-dots",
                "index.html",
                "ä.txt",
            ];
            assert_eq!(names, expected, "by {way}");
            let Found::Listing(items) = folder.find(&folder.name("/dir/").unwrap()).unwrap() else {
                panic!()
            };
            let of = |name: &str| -> Item { items.iter().find(|item| item.name == name).unwrap().clone() };
            assert_eq!(
                (of("b.txt").length, of("b.txt").is_folder, of("up").length),
                (1, false, 1),
                "by {way}"
            );
            assert_eq!(items.len(), 3, "by {way}");
        }
    }
}
