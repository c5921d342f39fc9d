//! Runs a server until a signal ends it.

use super::exit;
use crate::config;
use crate::server::{Desk, Ended, Server, StartError};
use crate::setup::Setup;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often a watched configuration is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Starts the server, calls `started` once it serves, reloads on SIGHUP (and, if `watch`, when a file changes), and
/// stops it on SIGTERM or SIGINT.
pub fn run<F>(
    setup: impl AsyncFnOnce() -> Result<(Setup, Option<config::Loaded>), StartError>,
    watch: bool,
    started: F,
) -> ExitCode
where
    F: FnOnce(&Server),
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}")),
    };
    let code = runtime.block_on(async {
        let mut signals = match Signals::open() {
            Ok(signals) => signals,
            Err(error) => return fail(&format!("cannot listen for signals: {error}")),
        };
        let start = async {
            let (setup, file) = setup().await?;
            Server::start(setup, file).await
        };
        // Names are looked up before anything is served; who stops the program then does not wait for them.
        let server = tokio::select! {
            started = start => match started {
                Ok(server) => server,
                Err(error) => return fail(&error.to_string()),
            },
            _ = signals.term.recv() => return ExitCode::SUCCESS,
            _ = signals.int.recv() => return ExitCode::SUCCESS,
        };
        started(&server);
        until_stopped(&server, &mut signals, watch).await;
        // A second signal does not wait for anybody.
        tokio::select! {
            ended = server.stop() => ended_as(ended),
            _ = signals.term.recv() => ExitCode::from(exit::UNCLEAN),
            _ = signals.int.recv() => ExitCode::from(exit::UNCLEAN),
        }
    });
    // What still runs belongs to nobody: a fetch without a reader, a connection that was cut.
    runtime.shutdown_background();
    code
}

async fn until_stopped(server: &Server, signals: &mut Signals, watch: bool) {
    let desk = Arc::new(server.desk());
    let watching = watch.then(|| tokio::spawn(reload_on_change(desk.clone())));
    loop {
        tokio::select! {
            _ = signals.term.recv() => break,
            _ = signals.int.recv() => break,
            _ = signals.usr1.recv() => reopen(server),
            // Whatever becomes of it is in the log; a signal to stop does not wait for it.
            _ = signals.hup.recv() => {
                let desk = desk.clone();
                tokio::spawn(async move { desk.reload().await.map(drop) });
            }
        }
    }
    if let Some(watching) = watching {
        watching.abort();
    }
}

/// Looks at the files again and again, and reloads when one has changed.
async fn reload_on_change(desk: Arc<Desk>) {
    let mut looks = tokio::time::interval(LOOK);
    let mut seen = Seen::look(&desk.files().await);
    loop {
        looks.tick().await;
        if Seen::look(&desk.files().await) != seen {
            // Seen before it is read: what changes while it is read is another change.
            seen = Seen::look(&desk.files().await);
            drop(desk.reload().await);
            let files = desk.files().await;
            // The new configuration may consist of other files.
            if !seen.is_of(&files) {
                seen = Seen::look(&files);
            }
        }
    }
}

/// The signals that a server knows.
struct Signals {
    term: Signal,
    int: Signal,
    usr1: Signal,
    hup: Signal,
}

impl Signals {
    fn open() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            usr1: signal(SignalKind::user_defined1())?,
            hup: signal(SignalKind::hangup())?,
        })
    }
}

/// How the files of a configuration look from outside; the folders they are in tell of new ones.
#[derive(PartialEq, Eq)]
struct Seen(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

impl Seen {
    fn look(files: &[PathBuf]) -> Self {
        let folders = files.iter().filter_map(|file| file.parent()).map(Path::to_path_buf);
        let look = |path: PathBuf| {
            // An empty parent is the folder we are in.
            let real = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
            let seen = std::fs::metadata(real).ok();
            let length = seen.as_ref().filter(|seen| seen.is_file()).map_or(0, std::fs::Metadata::len);
            let changed = seen.and_then(|seen| seen.modified().ok());
            (path, (changed, length))
        };
        Self(files.iter().cloned().chain(folders).map(look).collect())
    }

    /// Whether it was these files that were looked at.
    fn is_of(&self, files: &[PathBuf]) -> bool {
        let folders = files.iter().filter_map(|file| file.parent());
        let named: BTreeSet<&Path> = files.iter().map(PathBuf::as_path).chain(folders).collect();
        self.0.keys().map(PathBuf::as_path).eq(named)
    }
}

fn reopen(server: &Server) {
    if let Err(error) = server.edge.plan.load().log.reopen() {
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
