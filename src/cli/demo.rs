//! `foreland demo`: a slow origin and the edge in front of it, and what to try with curl.

use super::demo_origin;
use super::proxy::token;
use super::run::{fail, run};
use crate::config;
use crate::net::{self, ListenAddress};
use crate::server::{Server, StartError};
use crate::setup::{Admin, Setup};
use crate::telemetry::Format;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How slow the origin is, so that a hit can be told by the naked eye.
const DELAY: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub struct Arguments {
    /// Where the edge listens
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: ListenAddress,
    /// Where metrics, health and purging are
    #[arg(long, default_value = "127.0.0.1:9900", value_name = "ADDRESS")]
    admin: ListenAddress,
}

/// Runs the command.
pub fn main(arguments: Arguments) -> ExitCode {
    let token = match token(&arguments.admin) {
        Ok(token) => token,
        Err(error) => return fail(&error.to_string()),
    };
    // Next to the edge's port if that is free, anywhere otherwise.
    let beside =
        ListenAddress { ip: Some([127, 0, 0, 1].into()), port: arguments.listen.port.wrapping_add(1) };
    let anywhere = ListenAddress { port: 0, ..beside };
    let origin = match net::bind(beside).or_else(|_| net::bind(anywhere)) {
        Ok(origin) => origin,
        Err(error) => return fail(&format!("cannot open the demo's origin: {error}")),
    };
    let address = match origin.local_addr() {
        Ok(address) => address,
        Err(error) => return fail(&format!("cannot open the demo's origin: {error}")),
    };
    let (_stop, stopping) = watch::channel(false);
    let setup = async || -> Result<(Setup, Option<config::Loaded>), StartError> {
        let listener = TcpListener::from_std(origin).map_err(|error| StartError::Listen(anywhere, error))?;
        tokio::spawn(demo_origin::serve(listener, DELAY, stopping));
        let server = address.to_string().parse();
        let servers = server.into_iter().collect();
        let mut setup = Setup::simple(arguments.listen, servers, config::default_rules());
        setup.admin = Some(Admin { bind: arguments.admin, token });
        setup.log.format = Format::Off;
        Ok((setup, None))
    };
    run(setup, false, |server| print!("{}", guide(address, server)))
}

/// What to try, and what to expect.
fn guide(origin: SocketAddr, server: &Server) -> String {
    let edge = server.addresses.first().map_or_else(String::new, ToString::to_string);
    let admin = server.admin.map_or_else(String::new, |a| a.to_string());
    let mut text = format!(
        "origin   http://{origin}   slow on purpose: {} ms an answer\n\
         edge     http://{edge}   admin http://{admin}/metrics\n\n",
        DELAY.as_millis()
    );
    for (command, expect) in TRY {
        let command =
            command.replace("EDGE", &format!("http://{edge}")).replace("ADMIN", &format!("http://{admin}"));
        text += &format!("  {command}\n      {expect}\n");
    }
    text + "\nstop it with Ctrl-C\n"
}

/// The commands, with what each shows.
const TRY: [(&str, &str); 9] = [
    ("curl -si EDGE/page | head -12", "first: 200 ms, Cache-Status: Foreland; fwd=uri-miss; stored"),
    ("curl -si EDGE/page | head -12", "again: under 1 ms, Cache-Status: Foreland; hit; ttl=…"),
    ("curl -si EDGE/api/items", "fresh for 5 s; then stale at once while a refresh is on its way, for 30 s"),
    ("curl -si EDGE/private", "never stored: Cache-Status: Foreland; fwd=uri-miss; detail=set_cookie"),
    ("curl -si EDGE/never", "never stored: Cache-Status: Foreland; fwd=uri-miss; detail=no_store"),
    ("curl -si EDGE/flaky", "every third answer of the origin is a 500; a stored one stands in for it"),
    ("curl -s -r 5000000-5000099 EDGE/big | wc -c", "100: a range of a 10 MB object, cold or stored"),
    ("curl -sN EDGE/slow-stream", "5 s of lines; a second client that joins reads along with the first"),
    (
        "curl -s -X POST -H 'Content-Type: application/json' -d '{\"url\":\"EDGE/page\"}' ADMIN/v1/purge",
        "forgets it: the next /page is a miss, detail=purged",
    ),
];
