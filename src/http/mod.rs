//! What HTTP says, as pure functions over bytes: no sockets, no clocks, no configuration.
//!
//! One file per field or rule of the RFCs; `head` reads and refuses whole HTTP/1 heads, `clean` writes anew what
//! would be read in two ways; `request` and `fields` are how everything else sees a request. Every parser takes whatever a peer may send, never panics, never grows
//! without bound, and where the RFC leaves a choice takes the one that stores and reuses less.

pub mod accept_encoding;
pub mod cache_control;
pub mod cache_status;
pub mod chunked;
pub mod clean;
pub mod conditional;
pub mod cookie;
pub mod date;
pub mod duration;
pub mod etag;
pub mod fields;
pub mod forwarded;
pub mod head;
pub mod hop_by_hop;
pub mod hops;
pub mod list;
pub mod multipart;
pub mod query;
pub mod range;
pub mod request;
pub mod status;
pub mod vary;
