//! `foreland test`: runs the tests of rule files, with no network.

use super::output::print;
use super::{check, exit};
use crate::config::{self, Refused};
use crate::explain::{CaseFile, Report, run, stage};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// Run the tests of every rule file that this configuration names
    #[arg(short, long, value_name = "FILE", required_unless_present = "rules")]
    config: Option<PathBuf>,
    /// Rule files
    #[arg(value_name = "RULES")]
    rules: Vec<PathBuf>,
    /// Write the results to this file too, as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Runs the command.
pub fn main(arguments: Arguments) -> ExitCode {
    let files = match read(&arguments) {
        Ok(files) => files,
        Err(refused) => return check::refuse(&refused, false),
    };
    let report = run_all(&files);
    print(&report.text(std::io::stdout().is_terminal() && check::wants_color()));
    if let Some(path) = &arguments.junit
        && let Err(error) = std::fs::write(path, report.junit())
    {
        return super::run::fail(&format!("cannot write {}: {error}", path.display()));
    }
    if report.failed() > 0 { ExitCode::from(exit::TESTS) } else { ExitCode::SUCCESS }
}

fn read(arguments: &Arguments) -> Result<Vec<CaseFile>, Box<Refused>> {
    let mut files = Vec::new();
    if let Some(path) = &arguments.config {
        let (_, loaded) = config::load(path).map_err(Box::new)?;
        files.extend(loaded.cases);
    }
    for path in &arguments.rules {
        files.push(config::load_rules(path).map_err(Box::new)?);
    }
    Ok(files)
}

/// Runs every test of these files: each file's rules, behind the rules that are compiled in, for a route that takes
/// everything.
pub fn run_all(files: &[CaseFile]) -> Report {
    let ran = |file: &CaseFile| (file.name.clone(), run(&stage(file.rules.clone()), &file.cases));
    Report { files: files.iter().map(ran).collect() }
}
