//! What is shipped works: every configuration is sound, and every rule file passes its own tests.

use foreland::explain::{CaseFile, Report, run, stage};
use foreland::{config, setup::Setup};
use std::path::{Path, PathBuf};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn is_rules(file: &Path) -> bool {
    file.to_string_lossy().ends_with(".rules.yaml")
}

fn tests_of(cases: &[CaseFile]) -> Report {
    let ran = |file: &CaseFile| (file.name.clone(), run(&stage(file.rules.clone()), &file.cases));
    Report { files: cases.iter().map(ran).collect() }
}

#[test]
fn every_configuration_is_sound_and_its_rules_pass_their_tests() {
    let configurations: Vec<_> = files("conf").into_iter().filter(|file| !is_rules(file)).collect();
    assert!(configurations.len() >= 5, "{configurations:?}");
    for file in configurations {
        let read: Result<(Setup, config::Loaded), _> = config::load(&file);
        let (setup, loaded) = read.unwrap_or_else(|refused| panic!("{}", refused.text(false)));
        assert_eq!(loaded.warnings, Vec::<String>::new(), "{}", file.display());
        assert!(!setup.routes.is_empty());
        let report = tests_of(&loaded.cases);
        // Where no origin answers there are no cache rules.
        let ruled = setup.routes.iter().any(|route| route.rules.is_some());
        assert!(report.failed() == 0 && (report.passed() > 0 || !ruled), "{}", report.text(false));
    }
}

#[test]
fn every_rule_file_has_tests_and_passes_them() {
    let rules =
        files("cache-rules").into_iter().chain(files("conf").into_iter().filter(|file| is_rules(file)));
    for file in rules {
        let cases = config::load_rules(&file).unwrap_or_else(|refused| panic!("{}", refused.text(false)));
        let report = tests_of(&[cases]);
        assert!(report.failed() == 0 && report.passed() > 0, "{}", report.text(false));
    }
}
