//! Twelve mistakes of every kind, in a main file, two includes and a rule file: all are found, each in its place.

use super::{project, same_as_file};
use crate::config::load;
use std::path::Path;

/// Where each mistake is, and of what kind. Relative to the project, as `check` would be called there.
const MISTAKES: [(&str, &str); 12] = [
    ("foreland.yaml:5:36", "type"),
    ("foreland.yaml:6:13", "the same address twice"),
    ("foreland.yaml:11:15", "reference"),
    ("foreland.yaml:15:5", "a route that is hidden"),
    ("foreland.yaml:17:26", "word"),
    ("conf.d/limits.yaml:2:9", "syntax"),
    ("conf.d/origins.yaml:3:5", "unknown key"),
    ("conf.d/origins.yaml:6:5", "missing key"),
    ("site.rules.yaml:3:19", "pattern"),
    ("site.rules.yaml:4:18", "unit"),
    ("site.rules.yaml:8:13", "a setting that comes too late"),
    ("site.rules.yaml:12:21", "list"),
];

#[test]
fn all_twelve_mistakes_are_found_in_their_places() {
    let folder = "tests/config/twelve";
    let Err(refused) = load(&Path::new(folder).join("foreland.yaml")) else {
        panic!("it was taken");
    };
    let text = refused.text(false);
    let mut arrows = text.lines().filter_map(|line| line.trim_start().strip_prefix("--> "));
    let found: Vec<serde_json::Value> = refused.json().as_array().unwrap().clone();
    let places: Vec<String> = found
        .iter()
        .map(|one| format!("{}:{}:{}", one["file"].as_str().unwrap(), one["line"], one["column"]))
        .collect();
    let expected: Vec<String> = MISTAKES.iter().map(|(place, _)| format!("{folder}/{place}")).collect();
    assert_eq!(places, expected, "\n{text}");
    assert_eq!(found.len(), 12);
    for place in &expected {
        assert!(arrows.any(|arrow| arrow == place), "{place} is not in\n{text}");
    }
    assert_eq!(refused.summary(), "12 errors");
    same_as_file(
        &project(folder).join("check.txt"),
        &format!("{text}\n{}. Nothing was started.\n", refused.summary()),
    );
}
