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

/// Repeats the chore. Holds the cluster only while at work, so that dropping the plan it belongs to ends it.
pub(super) async fn repeat(
    cluster: Weak<Cluster>,
    chore: Chore,
    mut pause: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = sleep(pause) => {}
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
    /// Does the chore once; returns the pause until the next.
    async fn perform(&self, chore: Chore) -> Duration {
        match chore {
            Chore::Check => self.check().await,
            Chore::LookUp => self.look_up().await,
        }
    }
}

/// Returns when told to stop, or when nobody is left who could tell.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
