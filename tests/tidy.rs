//! Holds the source tree to its own rules: first lines, lengths, arrows, and what may be named where.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use arrows::Arrows;
use rules::Finding;
use source::{Source, read_tree};
use std::path::Path;

const TREE: [&str; 3] = ["src", "tests", "benches"];

#[test]
fn every_file_begins_with_the_reason_it_exists() {
    hold(&TREE, rules::first_line);
}

#[test]
fn no_file_is_longer_than_600_lines_without_its_tests() {
    hold(&TREE, rules::file_length);
}

#[test]
fn no_function_is_longer_than_80_lines() {
    hold(&TREE, rules::function_length);
}

#[test]
fn imports_follow_the_arrows() {
    let arrows = Arrows::parse(include_str!("tidy/arrows.txt")).unwrap();
    hold(&["src"], |source| arrows.check(source));
}

#[test]
fn pingora_is_named_only_where_it_may_be() {
    hold(&["src"], rules::pingora);
}

#[test]
fn unsafe_stands_only_in_the_store() {
    hold(&TREE, rules::no_unsafe);
}

#[test]
fn nothing_panics_without_a_proof_that_it_cannot() {
    hold(&["src"], rules::no_panic);
}

#[test]
fn no_file_has_an_empty_name() {
    hold(&TREE, rules::file_name);
}

#[test]
fn the_tree_is_read() {
    let sources = tree(&TREE);
    for path in ["src/lib.rs", "src/main.rs", "tests/tidy.rs", "tests/tidy/source.rs"] {
        assert!(sources.iter().any(|source| source.path == path), "{path} was not found");
    }
}

/// Fails with every place in `folders` that breaks `rule`.
#[track_caller]
fn hold(folders: &[&str], rule: impl Fn(&Source) -> Vec<Finding>) {
    let broken: Vec<String> = tree(folders).iter().flat_map(rule).map(|found| found.to_string()).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[track_caller]
fn tree(folders: &[&str]) -> Vec<Source> {
    let read = read_tree(Path::new(env!("CARGO_MANIFEST_DIR")), folders);
    assert!(read.is_ok(), "{:?}", read.as_ref().err());
    read.unwrap_or_default()
}
