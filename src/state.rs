//! What outlives a generation of configuration: the store, the counters, the places for fetches.

use crate::cache::Cache;
use crate::compress;
use crate::telemetry::{Metrics, Throttle};
use crate::tls::Tickets;
use crate::upstream::HealthRegistry;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Fetches that may go on although every client that asked has left: enough for impatient people before a slow origin,
/// too few to be a weapon against it.
pub const ORPHANS: usize = 256;

/// What may wait for a disk at once: enough to keep several busy, a quarter of the threads that there are for waiting.
pub const AT_THE_DISK: usize = 128;

/// Shared by everything that serves.
pub struct State {
    /// Stored responses.
    pub cache: Arc<Cache>,
    /// What compression may take, and takes.
    pub load: Arc<compress::Load>,
    /// Where what is stored is compressed.
    pub builders: compress::Pool,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Places for fetches that no client waits for any more.
    pub orphans: Arc<Semaphore>,
    /// Places for refreshes, which nobody waits for from the start.
    pub refreshes: Arc<Semaphore>,
    /// Who is up, over all clusters.
    pub health: Arc<HealthRegistry>,
    /// What TLS sessions are resumed with.
    pub tickets: Tickets,
    /// Complaints about origins, one a second.
    pub origin_errors: Throttle,
    /// Places for what waits for a disk.
    pub disk: Arc<Semaphore>,
    /// Complaints about files, one a second.
    pub file_errors: Throttle,
    /// Complaints about connections that do not begin as their listener wants it, one a second.
    pub stray_callers: Throttle,
}
