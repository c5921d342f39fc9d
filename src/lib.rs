//! Foreland as a library: everything but the command line's entry, so that tests and benches call what runs.

pub mod admin;
pub mod cache;
pub mod cli;
pub mod compress;
pub mod config;
pub mod edge;
pub mod explain;
pub mod files;
pub mod http;
pub mod listen;
pub mod net;
pub mod plan;
pub mod route;
pub mod rules;
pub mod server;
pub mod setup;
pub mod state;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod verdict;
