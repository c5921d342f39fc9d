//! Throws any bytes at the files of a folder as a path: nothing outside the folder may ever be given.
#![no_main]

use foreland::files::{Folder, Found, Opened, Settings, Symlinks};
use libfuzzer_sys::fuzz_target;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs, process};

/// What every file below the root begins with, and none elsewhere.
const MARK: &[u8] = b"inside the folder: ";

fuzz_target!(|bytes: &[u8]| {
    let Ok(path) = std::str::from_utf8(bytes) else { return };
    for folder in folders() {
        let Ok(name) = folder.name(path) else { continue };
        let stamped = match folder.find(&name) {
            Ok(Found::File(opened)) | Ok(Found::Missing(Some(opened))) => Some(opened),
            Ok(Found::Folder | Found::Forbidden | Found::Listing(_) | Found::Missing(None)) => None,
            Err(error) => panic!("{path:?}: {error}"),
        };
        let Some(opened) = stamped else { continue };
        check(path, &opened);
        assert_ne!(folder.is_unchanged(&name, &opened.stamp), Some(false), "{path:?} changed by itself");
    }
});

fn check(path: &str, opened: &Opened) {
    let bytes = opened.file.read_all(opened.length).unwrap().unwrap();
    assert!(bytes.starts_with(MARK), "{path:?} gave {bytes:?}");
    for sibling in &opened.siblings {
        let bytes = sibling.file.read(0, 1 << 16).unwrap();
        assert!(bytes.starts_with(MARK), "{path:?} has the sibling {bytes:?}");
    }
}

/// The same tree by each policy that promises something.
fn folders() -> &'static [Folder] {
    static FOLDERS: OnceLock<Vec<Folder>> = OnceLock::new();
    FOLDERS.get_or_init(|| {
        let base = env::temp_dir().join(format!("foreland-fuzz-{}", process::id()));
        let root = base.join("root");
        plant(&base, &root);
        let of = |symlinks, hidden| Settings { symlinks, hidden, listing: hidden, ..Settings::of(root.clone()) };
        let with_pages = Settings {
            fallback: Some("/a".into()),
            not_found: Some("/out".into()),
            ..of(Symlinks::Within, true)
        };
        let all = [of(Symlinks::Within, false), of(Symlinks::Within, true), of(Symlinks::None, true), with_pages];
        all.into_iter().map(Folder::new).collect()
    })
}

/// Short names, so that they are found soon.
fn plant(base: &Path, root: &PathBuf) {
    for folder in ["", "d", "d/e", ".h", ".well-known", "%2e%2e"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::create_dir_all(base.join("z")).unwrap();
    for name in ["a", "a.br", "a.gz", "d/index.html", "d/e/a", ".h/a", ".well-known/a", "%2e%2e/a", "ä"] {
        fs::write(root.join(name), [MARK, name.as_bytes()].concat()).unwrap();
    }
    for secret in ["a", "z/a", "index.html", "z/index.html"] {
        fs::write(base.join(secret), "secret").unwrap();
    }
    for (name, target) in [
        ("in", "a"),
        ("id", "d"),
        ("d/u", ".."),
        ("d/o", "../.."),
        ("s", "."),
        ("o", ".."),
        ("oz", "../z"),
        ("out", "../a"),
        ("b", "../root/a"),
        ("d/z", "u/../z"),
        ("l", "l"),
        ("p", "/proc/self/root"),
        ("a.zst", "../a"),
        ("d/index.html.br", "../../a"),
        ("r", "/"),
    ] {
        let _ = fs::remove_file(root.join(name));
        symlink(target, root.join(name)).unwrap();
    }
}
