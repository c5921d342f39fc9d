//! What a cluster does while nobody asks it: check health and look names up, until shutdown or retirement.

use std::sync::Weak;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::Cluster;

#[derive(Clone, Copy, Debug)]
pub(super) enum Chore {
    Check,
    LookUp,
}

/// Repeats the chore after each pause, and at once when the cluster has changed; no pause means not before that.
/// Holds the cluster only while at work: when it is dropped, `changed` closes and the work ends.
pub(super) async fn repeat(
    cluster: Weak<Cluster>,
    chore: Chore,
    mut pause: Option<Duration>,
    mut changed: watch::Receiver<()>,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = rest(pause) => {}
            change = changed.changed() => if change.is_err() { return },
            () = stopped(&mut shutdown) => return,
        }
        let Some(cluster) = cluster.upgrade() else {
            return;
        };
        pause = tokio::select! {
            pause = cluster.perform(chore) => pause,
            () = stopped(&mut shutdown) => return,
        };
    }
}

impl Cluster {
    /// Does the chore once; returns the pause until the next, if there is to be one.
    async fn perform(&self, chore: Chore) -> Option<Duration> {
        match chore {
            Chore::Check => Some(self.check().await),
            Chore::LookUp => self.look_up().await,
        }
    }
}

async fn rest(pause: Option<Duration>) {
    match pause {
        Some(pause) => sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// Returns when told to stop, or when nobody is left who could tell.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
