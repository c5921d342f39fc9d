//! `foreland check`: every mistake of a configuration at once, or what it amounts to.

use super::output::print;
use super::{exit, test};
use crate::config::{self, Loaded, Refused};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration
    #[arg(short, long, default_value = "conf/foreland.yaml", value_name = "FILE")]
    config: PathBuf,
    /// Print diagnostics as JSON, on standard output
    #[arg(long, conflicts_with_all = ["dump", "print_default_rules"])]
    json: bool,
    /// Print the configuration as it takes effect, with every default
    #[arg(long, conflicts_with = "print_default_rules")]
    dump: bool,
    /// Print the rules that are compiled in, which run before those of a route
    #[arg(long)]
    print_default_rules: bool,
}

/// Runs the command.
pub fn main(arguments: Arguments) -> ExitCode {
    if arguments.print_default_rules {
        print(config::DEFAULT_RULES);
        return ExitCode::SUCCESS;
    }
    if arguments.dump {
        return match config::load(&arguments.config) {
            Ok((_, loaded)) => {
                warn(&loaded);
                print(&loaded.dump());
                ExitCode::SUCCESS
            }
            Err(refused) => refuse(&refused, false),
        };
    }
    check(&arguments.config, arguments.json)
}

/// Checks a configuration and the tests of its rules, and says what was found.
pub fn check(path: &Path, json: bool) -> ExitCode {
    let (_, loaded) = match config::load(path) {
        Ok(read) => read,
        Err(refused) => return refuse(&refused, json),
    };
    if json {
        print(&format!("{}\n", loaded.json()));
    } else {
        warn(&loaded);
    }
    let ran = test::run_all(&loaded.cases);
    if ran.failed() > 0 {
        eprint!("{}", ran.text(is_colored()));
        return ExitCode::from(exit::TESTS);
    }
    if !json {
        let tests = match ran.passed() {
            0 => String::new(),
            1 => ", 1 rule test passed".to_owned(),
            more => format!(", {more} rule tests passed"),
        };
        print(&format!("{}{tests}. OK.\n", loaded.summary));
    }
    ExitCode::SUCCESS
}

/// Says why a configuration was refused.
pub fn refuse(refused: &Refused, json: bool) -> ExitCode {
    if json {
        print(&format!("{}\n", refused.json()));
    } else {
        eprint!("{}", refused.text(is_colored()));
        eprintln!("\n{}. Nothing was started.", refused.summary());
    }
    ExitCode::from(exit::START)
}

/// Says what may be meant otherwise than it is written.
pub fn warn(loaded: &Loaded) {
    eprint!("{}", loaded.text(is_colored()));
}

/// Whether standard error is a terminal that shows colours (https://no-color.org).
pub fn is_colored() -> bool {
    io::stderr().is_terminal() && wants_color()
}

/// Whether nobody has asked for no colours.
pub fn wants_color() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
