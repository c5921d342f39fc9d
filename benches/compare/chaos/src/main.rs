//! Breaks origin servers behind a proxy on a fixed schedule, and counts what its clients notice.

mod arguments;
mod certificates;
mod client;
mod handshakes;
mod herd;
mod load;
mod message;
mod origin;
mod proxy;
mod run;
mod schedule;
mod table;
mod visitor;

use arguments::Arguments;
use std::process::ExitCode;

const USAGE: &str = "\
chaos run PROXY... [--seconds 60] [--seed 1] [--rate 2000] [--connections 64] [--tries 8]
                   [--foreland PATH] [--config FILE] [--keep DIR] [--only PHASE]
    PROXY is foreland, haproxy or nginx; of several, one after the other. Exits with 1 if a request that may be
    repeated failed, or one that may not be was. --config replaces the settings under peers/ (of one proxy).
chaos handshakes PROXY [--count 10000] [--seconds 20] [--names 100] [--concurrency 16] [--swap 1000]
                   [--reload 2000] [--foreland PATH] [--keep DIR]
    TLS handshakes while certificates are exchanged every --swap ms and reloads are asked for every --reload ms (0:
    never). PROXY is foreland or nginx. Exits with 1 if one failed, or if fewer than 95% were resumed.
chaos origin PORT NAME
    The server that is broken. Reads from standard input what to do: normal, slow MS, status N, silent N,
    reset, refuse, flap MS.
";

fn main() -> ExitCode {
    let mut arguments = Arguments::of_the_process();
    let role = arguments.next_word();
    let result = match role.as_deref() {
        Some("handshakes") => handshakes::main(arguments),
        Some("origin") => origin::main(arguments),
        Some("run") => run::main(arguments),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(code) => code,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}
