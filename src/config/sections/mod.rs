//! The sections of a configuration: for each its keys as a table, and how it becomes a part of a `Setup`.
//!
//! - `top` is the whole file and puts the parts together on a `bench`;
//! - `listeners` (with `tls` and `hsts`), `trusted_proxies`, `admin`, `log`, `limits`, `cache`, `compress` stand alone;
//! - `upstreams` with `retry`, `health`, `eject`, `lookup` and `origin_tls` are the origins;
//! - `routes` with `unique` (names), `actions`, `answers`, `files` (with `file_names` and `expires`) and `rewrite` say what
//!   becomes of a request; `codings` are the compressions that files and `compress` list.
//!
//! A table's documentation is the manual: the reference and the schema are generated from it. A section compiles with
//! the report at hand and says everything that is wrong with it; what it gives back when it does counts for nothing,
//! since a report with errors becomes no setup. Nothing here opens a socket or a log.

mod actions;
mod admin;
mod answers;
mod bench;
mod cache;
mod codings;
mod compress;
mod eject;
mod expires;
mod file_names;
mod files;
mod health;
mod hsts;
mod limits;
mod listeners;
mod log;
mod lookup;
mod origin_tls;
mod retry;
mod rewrite;
mod routes;
mod tls;
mod top;
mod trusted_proxies;
mod unique;
mod upstreams;

pub use bench::Bench;
pub use top::{TOP, compile};

pub(super) use admin::ADMIN;
pub(super) use compress::COMPRESS;
pub(super) use files::FILES;
pub(super) use listeners::LISTENER;
pub(super) use routes::ROUTE;
pub(super) use upstreams::{SERVER, UPSTREAM};
