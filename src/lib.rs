//! Foreland as a library: everything but the command line's entry, so that tests and benches call what runs.

pub mod cache;
pub mod http;
pub mod telemetry;
pub mod upstream;
pub mod verdict;
