//! Whole requests through a running edge: an origin, the edge and a client, all in this process.
// A test that cannot go on panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agrees;
mod bodies;
mod client;
mod drain;
mod dsl;
mod fields;
mod files;
mod filling;
mod forgetting;
mod forms;
mod h2;
mod hits;
mod http1;
mod log;
mod origin_tls;
mod parts;
mod passing;
mod pipelining;
mod protocols;
mod refusals;
mod reload;
mod retries;
mod routes;
mod rules;
mod servers;
mod shipped;
mod size;
mod stale;
mod storing;
mod tls;
mod unasked;
