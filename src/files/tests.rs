//! Attacks on a folder, each by every policy for links and by both ways to open a name.

use super::beneath::{self, Beneath, Thing};
use super::fixture::{SECRET, Tree, given};
use super::{Found, Settings, Symlinks};
use proptest::prelude::*;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A path, what it gives where links within the folder are followed, and what where none are.
const ATTACKS: &[(&str, &str, &str)] = &[
    // Dots: plain, escaped, escaped twice, mixed.
    ("/../secret.txt", "refused", "refused"),
    ("/../../../../../../etc/passwd", "refused", "refused"),
    ("/dir/../../secret.txt", "refused", "refused"),
    ("/dir/../a.txt", "a", "a"),
    ("/nothing/../a.txt", "a", "a"),
    ("/./a.txt", "a", "a"),
    ("/dir/./b.txt", "b", "b"),
    ("/dir/..", "home", "home"),
    ("/..", "refused", "refused"),
    ("/./..", "refused", "refused"),
    ("/%2e%2e/secret.txt", "refused", "refused"),
    ("/%2E%2E/secret.txt", "refused", "refused"),
    ("/.%2e/secret.txt", "refused", "refused"),
    ("/%2e./secret.txt", "refused", "refused"),
    ("/dir/%2e%2e/%2e%2e/secret.txt", "refused", "refused"),
    ("/dir/%2e%2e/a.txt", "a", "a"),
    ("/%252e%252e/secret.txt", "missing", "missing"),
    ("/%25%32%65%25%32%65/secret.txt", "missing", "missing"),
    ("/..%252fsecret.txt", "refused", "refused"),
    ("/x..%252fsecret.txt", "missing", "missing"),
    ("/....//secret.txt", "refused", "refused"),
    ("/..;/secret.txt", "refused", "refused"),
    ("/..;/a.txt", "refused", "refused"),
    ("/dir/..;a/a.txt", "refused", "refused"),
    ("/.../a.txt", "refused", "refused"),
    ("/..%20/secret.txt", "refused", "refused"),
    ("/dir/. ./a.txt", "refused", "refused"),
    // Slashes that are none.
    ("/..%2fsecret.txt", "refused", "refused"),
    ("/..%2Fsecret.txt", "refused", "refused"),
    ("/dir%2fb.txt", "refused", "refused"),
    ("/dir%2f", "refused", "refused"),
    ("/%2fetc%2fpasswd", "refused", "refused"),
    ("/%2f", "refused", "refused"),
    ("/..%5csecret.txt", "refused", "refused"),
    ("/..%5Csecret.txt", "refused", "refused"),
    ("/..\\secret.txt", "refused", "refused"),
    ("/a\\b", "refused", "refused"),
    ("/a%5cb", "refused", "refused"),
    ("/..%c0%afsecret.txt", "refused", "refused"),
    ("/%c0%ae%c0%ae/secret.txt", "refused", "refused"),
    ("/%e0%80%ae%e0%80%ae/secret.txt", "refused", "refused"),
    ("/%f0%80%80%ae/secret.txt", "refused", "refused"),
    ("/..%e0%80%afsecret.txt", "refused", "refused"),
    ("/..%c1%9csecret.txt", "refused", "refused"),
    ("/%ff%fe/a.txt", "refused", "refused"),
    ("/%uff0e%uff0e/secret.txt", "refused", "refused"),
    ("/%ef%bc%8e%ef%bc%8e/secret.txt", "missing", "missing"),
    ("/%ef%bc%8e%ef%bc%8e/a.txt", "wide", "wide"),
    ("/dir%ef%bc%8fb.txt", "missing", "missing"),
    ("/dir%e2%88%95b.txt", "missing", "missing"),
    // Slashes in a row, and none at the beginning.
    ("//etc/passwd", "missing", "missing"),
    ("///a.txt", "a", "a"),
    ("//../secret.txt", "refused", "refused"),
    ("/dir//b.txt", "b", "b"),
    ("/dir//..//a.txt", "a", "a"),
    ("a.txt", "refused", "refused"),
    ("", "refused", "refused"),
    ("*", "refused", "refused"),
    ("http://h/a.txt", "refused", "refused"),
    // Bytes that end a name elsewhere.
    ("/a.txt%00", "refused", "refused"),
    ("/a.txt%00.html", "refused", "refused"),
    ("/../secret.txt%00.html", "refused", "refused"),
    ("/a.txt\0", "refused", "refused"),
    ("/new%0aline", "refused", "refused"),
    ("/new\nline", "refused", "refused"),
    ("/a.txt%0d%0a", "refused", "refused"),
    ("/a.txt%7f", "refused", "refused"),
    ("/a.txt%", "refused", "refused"),
    ("/a.txt%2", "refused", "refused"),
    ("/%zz", "refused", "refused"),
    ("/a.txt%20", "missing", "missing"),
    ("/a.txt.", "missing", "missing"),
    ("/a.txt...", "missing", "missing"),
    ("/dot.", "dot", "dot"),
    ("/dot", "missing", "missing"),
    ("/a.txt;x=y", "missing", "missing"),
    ("/a%3fb%23c", "marks", "marks"),
    ("/%2541.txt", "percent", "percent"),
    ("/%41.txt", "missing", "missing"),
    // Names that mean something on other systems.
    ("/CON", "con", "con"),
    ("/con", "missing", "missing"),
    ("/NUL", "missing", "missing"),
    ("/COM1", "missing", "missing"),
    ("/aux.txt", "aux", "aux"),
    ("/a.txt::$DATA", "missing", "missing"),
    ("/a.txt:stream", "missing", "missing"),
    ("/dir::$INDEX_ALLOCATION/b.txt", "missing", "missing"),
    ("/A.TXT", "missing", "missing"),
    ("/C:/a.txt", "missing", "missing"),
    ("/A~1.TXT", "missing", "missing"),
    ("/%c3%a4.txt", "umlaut", "umlaut"),
    ("/a%cc%88.txt", "missing", "missing"),
    // Hidden things.
    ("/.git/config", "refused", "refused"),
    ("/%2egit/config", "refused", "refused"),
    ("/.git", "refused", "refused"),
    ("/.htaccess", "refused", "refused"),
    ("/dir/.hidden", "refused", "refused"),
    ("/.well-known/x", "known", "known"),
    ("/.well-known/.x", "refused", "refused"),
    ("/.well-known/../.git/config", "refused", "refused"),
    ("/dir/.well-known/x", "refused", "refused"),
    ("/.WELL-KNOWN/x", "refused", "refused"),
    // Links.
    ("/in", "a", "missing"),
    ("/in-and-up", "a", "missing"),
    ("/in-folder", "folder", "missing"),
    ("/in-folder/b.txt", "b", "missing"),
    ("/in-folder/", "dir home", "missing"),
    ("/in-folder-slash/b.txt", "b", "missing"),
    ("/in-dots", "b", "missing"),
    ("/dir/up", "a", "missing"),
    ("/in-folder/up", "a", "missing"),
    ("/self/self/self/a.txt", "a", "missing"),
    ("/self/", "home", "missing"),
    ("/file-slash", "missing", "missing"),
    ("/in-absolute", "missing", "missing"),
    ("/out", "missing", "missing"),
    ("/out-absolute", "missing", "missing"),
    ("/out-chain", "missing", "missing"),
    ("/out-folder/secret.txt", "missing", "missing"),
    ("/out-folder/root/a.txt", "missing", "missing"),
    ("/out-folder", "missing", "missing"),
    ("/out-folder/", "missing", "missing"),
    ("/out-beside/secret.txt", "missing", "missing"),
    ("/out-beside/", "missing", "missing"),
    ("/out-and-in", "missing", "missing"),
    ("/dir/out", "missing", "missing"),
    ("/in-folder/out", "missing", "missing"),
    ("/dir/out-folder/secret.txt", "missing", "missing"),
    ("/loop", "missing", "missing"),
    ("/loop/a.txt", "missing", "missing"),
    ("/nowhere", "missing", "missing"),
    ("/chain-39", "a", "missing"),
    ("/chain-40", "missing", "missing"),
    ("/proc-root/etc/passwd", "missing", "missing"),
    ("/etc/passwd", "missing", "missing"),
    ("/etc/", "missing", "missing"),
    ("/zero", "missing", "missing"),
    ("/hard", "a", "a"),
    // What is no file, and what is no folder.
    ("/fifo", "missing", "missing"),
    ("/socket", "missing", "missing"),
    ("/a.txt/", "missing", "missing"),
    ("/a.txt/.", "missing", "missing"),
    ("/a.txt/..", "home", "home"),
    ("/a.txt/b.txt", "missing", "missing"),
    ("/dir", "folder", "folder"),
    ("/empty/", "listing", "listing"),
];

#[test]
fn no_attack_leads_out_of_the_folder() {
    let tree = Tree::of_traps();
    for (symlinks, none) in [(Symlinks::Within, false), (Symlinks::None, true)] {
        for (way, folder) in tree.both(symlinks) {
            for &(path, within, without) in ATTACKS {
                let expected = if none { without } else { within };
                assert_eq!(given(&folder, path), expected, "{path:?}, {symlinks:?}, by {way}");
            }
        }
    }
}

#[test]
fn a_path_may_be_long_and_deep() {
    let tree = Tree::of_traps();
    let rows = [
        (format!("/{}", "a".repeat(255)), "missing"),
        (format!("/{}", "a".repeat(256)), "refused"),
        (format!("/{}", "x/".repeat(2048)), "missing"),
        (format!("/{}a", "x/".repeat(2048)), "refused"),
        (format!("/{}a.txt", "./".repeat(20_000)), "a"),
        (format!("/{}a.txt", "dir/../".repeat(20_000)), "a"),
        (format!("{}a.txt", "/".repeat(60_000)), "a"),
        (format!("/{}secret.txt", "../".repeat(20_000)), "refused"),
        (format!("/{}a.txt", "self/".repeat(40)), "a"),
        (format!("/{}a.txt", "self/".repeat(41)), "missing"),
    ];
    for (way, folder) in tree.both(Symlinks::Within) {
        for (path, expected) in &rows {
            assert_eq!(given(&folder, path), *expected, "{}…, by {way}", &path[..path.len().min(20)]);
        }
    }
}

#[test]
fn links_lead_anywhere_where_that_is_wanted() {
    let tree = Tree::of_traps();
    for (way, folder) in tree.both(Symlinks::Anywhere) {
        for (path, expected) in [
            ("/a.txt", "a"),
            ("/out", SECRET),
            ("/out-absolute", SECRET),
            ("/out-folder/secret.txt", SECRET),
            ("/out-folder", "folder"),
            ("/in-absolute", "a"),
            ("/../secret.txt", "refused"),
            ("/%2e%2e/secret.txt", "refused"),
            ("/.git/config", "refused"),
            ("/fifo", "missing"),
            ("/zero", "missing"),
            ("/loop", "missing"),
            ("/a.txt/", "missing"),
            ("/empty/", "listing"),
        ] {
            assert_eq!(given(&folder, path), expected, "{path}, by {way}");
        }
    }
}

#[test]
fn hidden_things_are_served_where_that_is_wanted_and_nothing_else() {
    let tree = Tree::of_traps();
    let folder = super::Folder::new(Settings { hidden: true, ..tree.settings() });
    for (path, expected) in [
        ("/.git/config", "hidden"),
        ("/..;/a.txt", "hidden"),
        ("/../secret.txt", "refused"),
        ("/dir/../../secret.txt", "refused"),
        ("/%2e%2e%2fsecret.txt", "refused"),
        ("/...", "missing"),
    ] {
        assert_eq!(given(&folder, path), expected, "{path}");
    }
}

/// Not only the results but the errors are the same, so that what is made of them is.
#[test]
#[cfg(target_os = "linux")]
fn both_ways_to_open_a_name_agree() {
    let tree = Tree::of_traps();
    let root = beneath::root(&tree.root()).unwrap();
    for symlinks in [Symlinks::None, Symlinks::Within] {
        let of = |beneath: Beneath, name: &str| match beneath.open(root.as_fd(), name) {
            Ok(Thing::File(_, stat)) => Ok(("file", stat.st_ino)),
            Ok(Thing::Folder(stat)) => Ok(("folder", stat.st_ino)),
            Ok(Thing::Other(stat)) => Ok(("other", stat.st_ino)),
            Err(error) => Err(error),
        };
        let plain = ["", "a.txt", "dir", "dir/b.txt", "a.txt/b", "nothing", "nothing/a", "fifo", "socket"];
        let links = fs::read_dir(tree.root()).unwrap().map(|entry| entry.unwrap().file_name());
        let links = links.filter_map(|name| name.into_string().ok());
        let below = ["", "/", "/.", "/..", "/b.txt", "/secret.txt", "/etc/passwd"];
        for name in plain.map(String::from).into_iter().chain(links) {
            for below in below {
                let name = format!("{name}{below}");
                // A name never has these; what the kernel does with them is what a link with them leads to.
                if name.starts_with('/') {
                    continue;
                }
                let (kernel, parts) =
                    (of(Beneath::new(symlinks), &name), of(Beneath::by_parts(symlinks), &name));
                assert_eq!(kernel, parts, "{name}, {symlinks:?}");
            }
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn links_of_the_kernel_lead_nowhere() {
    let root = beneath::root(Path::new("/proc/self")).unwrap();
    for symlinks in [Symlinks::None, Symlinks::Within] {
        for beneath in [Beneath::new(symlinks), Beneath::by_parts(symlinks)] {
            for name in
                ["root/etc/passwd", "cwd/Cargo.toml", "exe", "fd/0", "fd/1", "ns/net", "task/../root/etc"]
            {
                assert!(beneath.open(root.as_fd(), name).is_err(), "{name}");
            }
        }
    }
}

/// Exchanges two names, at once, until told to stop.
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path, stop: &AtomicBool) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    while !stop.load(Relaxed) {
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_link_that_takes_the_place_of_a_file_meanwhile_gives_nothing_away() {
    let tree = Tree::of_traps();
    tree.write("swap/secret.txt", "no secret");
    symlink("../beside", tree.root().join("bait")).unwrap();
    tree.write("file", "no secret");
    symlink("../secret.txt", tree.root().join("lure")).unwrap();
    let stop = AtomicBool::new(false);
    let root = &tree.root();
    let wrong = std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || exchange(&root.join("swap"), &root.join("bait"), stop));
        scope.spawn(move || exchange(&root.join("file"), &root.join("lure"), stop));
        let wrong = read_often(&tree);
        stop.store(true, Relaxed);
        wrong
    });
    assert_eq!(wrong, Vec::<String>::new());
}

/// What was read of files that are exchanged for links meanwhile, and should not have been.
#[cfg(target_os = "linux")]
fn read_often(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (way, folder) in tree.both(Symlinks::Within) {
        for path in ["/swap/secret.txt", "/file"].repeat(1000) {
            let found = folder.name(path).map(|name| folder.find(&name));
            match found {
                Ok(Ok(Found::File(opened))) => match opened.file.read(0, 100) {
                    Ok(bytes) if bytes == "no secret" => {}
                    other => wrong.push(format!("{path} by {way}: {other:?}")),
                },
                Ok(Ok(_)) => {}
                // Exchanged each time that it was looked at.
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                other => wrong.push(format!("{path} by {way}: {:?}", other.map(|found| found.err()))),
            }
        }
    }
    wrong
}

#[test]
fn what_may_not_be_read_is_forbidden() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        eprintln!("not tried: root may read everything");
        return;
    }
    let tree = Tree::of_traps();
    for name in ["a.txt", "dir"] {
        fs::set_permissions(tree.root().join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    for (way, folder) in tree.both(Symlinks::Within) {
        for path in ["/a.txt", "/dir/b.txt", "/dir/"] {
            assert_eq!(given(&folder, path), "forbidden", "{path}, by {way}");
        }
    }
    fs::set_permissions(tree.root().join("dir"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn whatever_is_opened_lies_below_the_folder() {
    let tree = Tree::of_traps();
    let folders = [Symlinks::None, Symlinks::Within].map(|symlinks| tree.both(symlinks));
    let pieces = vec![
        "/",
        "/",
        "/",
        "..",
        ".",
        "%2e",
        "%2f",
        "%5c",
        "\\",
        "%00",
        "%25",
        "dir",
        "a.txt",
        "b.txt",
        "out",
        "out-folder",
        "out-beside",
        "secret.txt",
        "root",
        "etc",
        "passwd",
        "self",
        "in-folder",
        "up",
        "proc-root",
        "chain-40",
        "loop",
        "in",
        "%c0%ae",
        ";",
        ".git",
        "config",
        "hard",
        "fifo",
        "empty",
        "out-and-in",
        "index.html",
    ];
    let paths = prop::collection::vec(prop::sample::select(pieces), 0..10);
    proptest!(ProptestConfig::with_cases(2000), |(pieces in paths)| {
        let path = format!("/{}", pieces.concat());
        for (way, folder) in folders.iter().flatten() {
            let Ok(name) = folder.name(&path) else { continue };
            if let Found::File(opened) = folder.find(&name).unwrap() {
                prop_assert!(opened.file.path().unwrap().starts_with(tree.root()), "{path}, by {way}");
            }
        }
    });
}
