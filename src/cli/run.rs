//! Runs a server until a signal ends it.

use super::exit;
use crate::server::{Ended, Server, Setup, StartError};
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Starts the server, calls `started` once it serves, and stops it on SIGTERM or SIGINT.
pub fn run<F>(setup: impl AsyncFnOnce() -> Result<Setup, StartError>, started: F) -> ExitCode
where
    F: FnOnce(&Server),
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}")),
    };
    let code = runtime.block_on(async {
        let (mut term, mut int, mut usr1) = match signals() {
            Ok(signals) => signals,
            Err(error) => return fail(&format!("cannot listen for signals: {error}")),
        };
        let server = match async { Server::start(setup().await?).await }.await {
            Ok(server) => server,
            Err(error) => return fail(&error.to_string()),
        };
        started(&server);
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = usr1.recv() => reopen(&server),
            }
        }
        // A second signal does not wait for anybody.
        tokio::select! {
            ended = server.stop() => ended_as(ended),
            _ = term.recv() => ExitCode::from(exit::UNCLEAN),
            _ = int.recv() => ExitCode::from(exit::UNCLEAN),
        }
    });
    // What still runs belongs to nobody: a fetch without a reader, a connection that was cut.
    runtime.shutdown_background();
    code
}

fn signals() -> std::io::Result<(Signal, Signal, Signal)> {
    Ok((
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::user_defined1())?,
    ))
}

fn reopen(server: &Server) {
    if let Err(error) = server.edge.state.log.reopen() {
        log::error!("cannot reopen the access log: {error}");
    }
}

fn ended_as(ended: Ended) -> ExitCode {
    match ended {
        Ended::Clean => ExitCode::SUCCESS,
        Ended::Cut(connections) => {
            log::warn!("stopped with {connections} connections still busy");
            ExitCode::from(exit::UNCLEAN)
        }
    }
}

/// Says why nothing was started.
pub fn fail(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(exit::START)
}
