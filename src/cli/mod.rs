//! The command line: one file per command.
//!
//! `serve` runs what a configuration describes; `proxy` puts the edge in front of any origin with no file, `files` serves
//! a folder likewise; `demo` shows a slow origin of its own. All run through `run`, which starts the server, waits for signals and turns the
//! end into an exit code. `check`, `explain` and `test` read a configuration and start nothing; `reload` and `upstreams`
//! ask a running node.

mod admin_client;
mod check;
mod demo;
mod demo_body;
pub mod demo_origin;
mod explain;
mod files;
mod output;
mod proxy;
mod reload;
mod run;
mod serve;
mod size;
mod test;
mod upstreams;

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
    /// Find every mistake in a configuration, or say what it amounts to
    Check(check::Arguments),
    /// A slow origin and the edge in front of it, on this machine, with requests to try
    Demo(demo::Arguments),
    /// Say what becomes of a request, and why: route, rules, key, lifetime
    Explain(explain::Arguments),
    /// The files of a folder, compressed, with no configuration file
    Files(files::Arguments),
    /// The edge in front of one or more origin servers, with no configuration file
    Proxy(proxy::Arguments),
    /// Make a running node read its configuration again
    Reload(reload::Arguments),
    /// The edge as a configuration file describes it
    Serve(serve::Arguments),
    /// Run the tests of rule files, with no network
    Test(test::Arguments),
    /// Show the origin servers of a running node: which are up, which are not, and why
    Upstreams(upstreams::Arguments),
}

/// Exit codes; the same for every command.
pub mod exit {
    /// Bad configuration, or the server did not start.
    pub const START: u8 = 1;
    /// A test of a rule file failed.
    pub const TESTS: u8 = 4;
    /// The server stopped before every answer was written.
    pub const UNCLEAN: u8 = 3;
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    env_logger::Builder::from_env(env_logger::Env::new().filter_or(
        "FORELAND_LOG",
        // Pingora's own lines repeat what the access log says of a request.
        // rustls tells what strangers do wrong, which is counted.
        "info,pingora_proxy=off,pingora_core=off,pingora_cache=off,rustls=error",
    ))
    .format_target(false)
    .init();
    match arguments.command {
        Command::Check(arguments) => check::main(arguments),
        Command::Demo(arguments) => demo::main(arguments),
        Command::Explain(arguments) => explain::main(arguments),
        Command::Files(arguments) => files::main(arguments),
        Command::Proxy(arguments) => proxy::main(arguments),
        Command::Reload(arguments) => reload::main(arguments),
        Command::Serve(arguments) => serve::main(arguments),
        Command::Test(arguments) => test::main(arguments),
        Command::Upstreams(arguments) => upstreams::main(arguments),
    }
}
