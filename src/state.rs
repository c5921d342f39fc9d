//! What outlives a generation of configuration: the store, the counters, the log.

use crate::cache::Cache;
use crate::telemetry::{AccessLog, Metrics, Throttle};
use std::sync::Arc;

/// Shared by everything that serves.
pub struct State {
    /// Stored responses.
    pub cache: Arc<Cache>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// One line per request.
    pub log: AccessLog,
    /// Complaints about origins, one a second.
    pub origin_errors: Throttle,
}
