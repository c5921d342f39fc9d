//! What Foreland tells its operator about itself: metrics, the access log and request ids.
//!
//! - [`Metrics`] holds every metric of one process; `table.rs` is the one list of them. Whoever serves resolves a
//!   handle once (a route, a listener, a server of a cluster) and bumps it without looking anything up.
//! - [`AccessLog`] writes a line for each request; `log_fields.rs` is the one list of its fields. Lines go through
//!   a bounded buffer to a thread of their own: a slow disk or pipe costs lines, which are counted, never a request.
//! - [`RequestId`] names a request in log, response and error page.
//!
//! Metrics and log line are both made from the final [`Outcome`](crate::verdict::Outcome), so they cannot disagree.
//! Nothing here is global, decides anything, or knows a socket.

mod access_log;
mod combined;
mod compress_metrics;
mod json;
mod listener_metrics;
mod log_fields;
mod log_writer;
mod metrics;
mod request_id;
mod route_metrics;
mod server_metrics;
mod table;
mod throttle;
pub mod timestamp;

pub use access_log::{AccessLog, Format, UnknownFormat};
pub use compress_metrics::{CompressCounters, Run, Why};
pub use listener_metrics::{ConnectionGuard, ConnectionProtocol, Handshake, ListenerMetrics};
pub use log_fields::{Entry, FIELDS, Field};
pub use metrics::{Metrics, Reload};
pub use prometheus::Histogram;
pub use request_id::RequestId;
pub use route_metrics::RouteMetrics;
pub use server_metrics::ServerMetrics;
pub use table::{Row, Shape, TABLE};
pub use throttle::Throttle;
