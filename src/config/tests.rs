//! Whole configurations through the facade: what is refused and how it says so, what is in force, and the manual.

mod defaults;
mod golden;
mod in_force;
mod manual;
mod secrets;
mod setup;
mod twelve;

use std::fs;
use std::path::{Path, PathBuf};

/// A path within the project.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a text with the file that keeps it; with `FORELAND_BLESS=1` in the environment the file is written instead.
#[track_caller]
fn same_as_file(path: &Path, now: &str) {
    if std::env::var_os("FORELAND_BLESS").is_some() {
        fs::write(path, now).unwrap();
        return;
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    let shown = path.strip_prefix(project("")).unwrap_or(path).display();
    assert!(
        kept == now,
        "{shown} is not what it should be; FORELAND_BLESS=1 cargo test writes it anew.\n--- kept\n{kept}\n--- now\n{now}"
    );
}
