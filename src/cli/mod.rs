//! The command line: one file per command.
//!
//! `proxy` puts the edge in front of any origin with no file; `demo` does so with a slow origin of its own. Both
//! run through `run`, which starts the server, waits for a signal and turns the end into an exit code.

mod demo;
mod demo_body;
pub mod demo_origin;
mod proxy;
mod run;
mod size;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A caching reverse proxy and edge accelerator: a CDN node of your own in one binary.
#[derive(Parser)]
#[command(name = "foreland", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A slow origin and the edge in front of it, on this machine, with requests to try
    Demo(demo::Arguments),
    /// The edge in front of one or more origin servers, with no configuration file
    Proxy(proxy::Arguments),
}

/// Exit codes; the same for every command.
pub mod exit {
    /// Bad configuration, or the server did not start.
    pub const START: u8 = 1;
    /// The server stopped before every answer was written.
    pub const UNCLEAN: u8 = 3;
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    env_logger::Builder::from_env(env_logger::Env::new().filter_or(
        "FORELAND_LOG",
        // Pingora's own lines repeat what the access log says of a request; its balancer tells who is up.
        "info,pingora_proxy=off,pingora_core=off,pingora_cache=off",
    ))
    .format_target(false)
    .init();
    match arguments.command {
        Command::Demo(arguments) => demo::main(arguments),
        Command::Proxy(arguments) => proxy::main(arguments),
    }
}
