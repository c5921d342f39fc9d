//! What a cluster does while nobody asks it: look names up, let servers back in, and tell of changes.

use std::sync::Weak;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Cluster;
use super::names::Asked;

/// Looks each name up when it is due, and takes in each answer when it comes: a name whose servers are silent holds up no
/// other. Holds the cluster only while at work: when it is dropped, `changed` closes and the work ends. What is under way
/// then is given up.
pub(super) async fn look_up(
    cluster: Weak<Cluster>,
    mut changed: watch::Receiver<()>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut asked = Asked::new();
    loop {
        let Some(next) = cluster.upgrade().map(|cluster| cluster.ask_due(&mut asked)) else { return };
        tokio::select! {
            () = reach(next) => {}
            Some(answer) = asked.join_next() => match cluster.upgrade() {
                Some(cluster) => cluster.learn(answer.into_iter().collect()),
                None => return,
            },
            // All are due anew then, perhaps at other name servers: what the old ones say must not come last.
            change = changed.changed() => match change {
                Ok(()) => asked = Asked::new(),
                Err(_) => return,
            },
            () = stopped(&mut shutdown) => return,
        }
    }
}

/// Tells of servers that went or came back, and lets those back in that were left out for a while.
pub(super) async fn watch(
    cluster: Weak<Cluster>,
    mut checks: watch::Receiver<u64>,
    mut ejected: watch::Receiver<()>,
    mut changed: watch::Receiver<()>,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        let next = match cluster.upgrade() {
            Some(cluster) => cluster.attend().map(Instant::from_std),
            None => return,
        };
        tokio::select! {
            () = reach(next) => {}
            change = checks.changed() => if change.is_err() { return },
            change = ejected.changed() => if change.is_err() { return },
            change = changed.changed() => if change.is_err() { return },
            () = stopped(&mut shutdown) => return,
        }
    }
}

/// Returns at that moment; never, if there is none.
async fn reach(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Returns when told to stop, or when nobody is left who could tell.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
