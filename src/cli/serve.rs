//! `foreland serve`: the edge as a configuration file describes it.

use super::check;
use super::run::run;
use crate::config;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration
    #[arg(short, long, default_value = "conf/foreland.yaml", value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and exit, as `foreland check` does
    #[arg(short, long)]
    test: bool,
    /// Reload when a file of the configuration changes
    #[arg(long)]
    watch: bool,
}

/// Runs the command.
pub fn main(arguments: Arguments) -> ExitCode {
    if arguments.test {
        return check::check(&arguments.config, false);
    }
    let (setup, loaded) = match config::load(&arguments.config) {
        Ok(read) => read,
        Err(refused) => return check::refuse(&refused, false),
    };
    check::warn(&loaded);
    let summary = loaded.summary.clone();
    run(
        async || Ok((setup, Some(loaded))),
        arguments.watch,
        |server| {
            log::info!("{summary}");
            for address in &server.addresses {
                log::info!("listening on {address}");
            }
            if let Some(address) = server.admin {
                log::info!("admin on http://{address}/metrics");
            }
        },
    )
}
