//! Every file `tests/config/*.case`: configuration files, and what `check` says about them.
//!
//! `=== conf/foreland.yaml` begins a file, `=== env` lines `NAME=value`, `=== says` what is expected.

use super::{project, same_as_file};
use crate::config::fixture::Machine;
use crate::config::load_with;
use std::fs;
use std::path::Path;
use std::sync::Arc;

#[test]
fn check_says_what_the_cases_expect() {
    let mut paths: Vec<_> =
        fs::read_dir(project("tests/config")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    paths.sort();
    assert!(paths.len() > 20, "{} cases were found", paths.len());
    for path in paths {
        let case = fs::read_to_string(&path).unwrap();
        let given = case.split_once("=== says\n").map_or(case.as_str(), |(given, _)| given);
        same_as_file(&path, &format!("{given}=== says\n{}", said(given)));
    }
}

fn said(given: &str) -> String {
    let machine = given.split("=== ").skip(1).fold(Machine::default(), |machine, part| {
        let (name, text) = part.split_once('\n').unwrap();
        match name {
            "env" => {
                text.lines().filter_map(|line| line.split_once('=')).fold(machine, |m, (k, v)| m.set(k, v))
            }
            _ => machine.file(name, text),
        }
    });
    match load_with(Path::new("conf/foreland.yaml"), Arc::new(machine)) {
        Ok((_, loaded)) => format!("{}{}\n", loaded.text(false), loaded.summary),
        Err(refused) => format!("{}{}\n", refused.text(false), refused.summary()),
    }
}
