//! `foreland proxy`: the edge in front of an origin, useful with no file.

use super::run::{fail, run};
use super::size::ByteSize;
use crate::config;
use crate::net::{self, ListenAddress, Token};
use crate::setup::{Admin, Log, Setup};
use crate::telemetry::Format;
use crate::upstream::{ServerAddress, tls};
use std::process::ExitCode;

/// Smallest cache that can hold anything worth the name.
const LEAST_CACHE: u64 = 1 << 20;

#[derive(clap::Args)]
pub struct Arguments {
    /// An origin server, such as http://127.0.0.1:3000; give it again for more of them
    #[arg(long, required = true, value_name = "URL")]
    to: Vec<ServerAddress>,
    /// Where clients connect; :8080 means every address, IPv4 and IPv6
    #[arg(long, default_value = ":8080", value_name = "ADDRESS")]
    listen: ListenAddress,
    /// Memory for cached responses
    #[arg(long, default_value = "512MiB", value_name = "SIZE")]
    cache: ByteSize,
    /// Where metrics, health and purging are; other than loopback needs a token in FORELAND_ADMIN_TOKEN
    #[arg(long, default_value = "127.0.0.1:9900", value_name = "ADDRESS")]
    admin: ListenAddress,
    /// A line on standard output for each request: json, combined or off
    #[arg(long, default_value = "json", value_name = "FORMAT")]
    access_log: Format,
    /// For comparing: let the proxy answer what the front could
    #[arg(long, hide = true)]
    no_front: bool,
}

/// Runs the command.
pub fn main(arguments: Arguments) -> ExitCode {
    if arguments.cache.0 < LEAST_CACHE {
        return fail("the cache needs at least 1MiB");
    }
    let token = match token(&arguments.admin) {
        Ok(token) => token,
        Err(error) => return fail(&error.to_string()),
    };
    let secure = arguments.to.iter().any(ServerAddress::tls);
    let to = arguments.to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut setup = Setup::simple(arguments.listen, arguments.to, config::default_rules());
    setup.admin = Some(Admin { bind: arguments.admin, token });
    setup.cache.memory = arguments.cache.0;
    setup.log = Log { format: arguments.access_log, file: None };
    setup.listeners.iter_mut().for_each(|listener| listener.front = !arguments.no_front);
    run(
        async || Ok((setup, None)),
        false,
        |server| {
            for address in &server.addresses {
                log::info!("listening on {address}, in front of {to}");
            }
            if secure && let Err(why) = tls::system_authorities() {
                log::warn!("no https:// server can be verified: {why}; install ca-certificates");
            }
            if let Some(address) = server.admin {
                log::info!("admin on http://{address}/metrics");
            }
        },
    )
}

/// The admin listener's token: needed wherever others than this machine can reach it.
pub fn token(address: &ListenAddress) -> Result<Option<Token>, net::AdminError> {
    let value = std::env::var("FORELAND_ADMIN_TOKEN").ok();
    let first = address.candidates().into_iter().next();
    first.map_or(Ok(None), |address| net::token_for(address, value.as_deref()))
}
