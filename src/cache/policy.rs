//! What may be stored, for how long, when it may be reused, and what a write makes invalid.
//!
//! The caching rules of HTTP and nothing else. No clock, no I/O, no store, no proxy: times are Unix seconds handed
//! in, fields are borrowed, answers are small values. Reusing allocates nothing, storing only to read a `Vary`.
//!
//! | part | question | rules |
//! |---|---|---|
//! | [`storable`] | may this response be stored, and why not? | RFC 9111 §3 |
//! | [`Override`] | what may a cache rule change in all this? | RFC 9110 §3.7, RFC 9111 §4.2.4 |
//! | `freshness` | how long is it good for, how old is it already? | RFC 9111 §4.2, RFC 5861 |
//! | [`reuse`] | may what is stored answer this request now? | RFC 9111 §4.2.4, §5.2.1, RFC 5861 |
//! | [`merge_304`] | what does a 304 change in what is stored? | RFC 9111 §3.1, §3.2, §4.3.4 |
//! | [`invalidates`] | what does a POST make invalid? | RFC 9111 §4.4 |
//!
//! Every rule is a row: one named function with its clause, in a list that is read in order. A new rule is a new row.
//! The invariant: where a response contradicts itself or says nothing, the reading that reuses less wins; the one
//! exception is [`Defaults::stale_if_error`]. A rule gets exactly what it names.
//! Not here: the cache key, matching `Vary`, preconditions and ranges, which rule matches, purging.

mod freshness;
mod invalidate;
mod overrides;
mod reuse;
mod storable;
mod update;

#[cfg(test)]
mod fixture;

use crate::http::fields::Fields;
use crate::http::request::RequestView;

pub use invalidate::{invalidated_targets, invalidates};
pub use overrides::{Ignore, Override, Ttl};
pub use reuse::{RequestDirectives, Reuse, age, may_serve_on_error, request_directives, reuse, ttl};
pub use storable::{cacheable_by_default, storable};
pub use update::{Field, confirms, merge_304};

/// The head of a response, borrowed from wherever its bytes live.
#[derive(Clone, Copy, Debug)]
pub struct ResponseView<'a> {
    /// The status code.
    pub status: u16,
    /// Its header fields.
    pub fields: Fields<'a>,
}

/// A request as it went to the origin, the response to it, and when both happened.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The request **as sent to the origin**: a client's HEAD that was fetched with GET is a GET here.
    pub request: &'a RequestView<'a>,
    /// What came back; after a 304, the stored status with the merged fields.
    pub response: &'a ResponseView<'a>,
    /// When the request was sent (RFC 9111 §4.2.3, `request_time`).
    pub requested_at: u64,
    /// When the head of the response arrived (RFC 9111 §4.2.3, `response_time`).
    pub received_at: u64,
}

/// What holds where the origin says nothing.
///
/// There is no default lifetime: guessing one from `Last-Modified` (RFC 9111 §4.2.2 allows it) surprises people.
/// Neither default applies beside must-revalidate, proxy-revalidate, no-cache or s-maxage (RFC 9111 §4.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Seconds past its lifetime that a response may stand in for a failing origin. One hour: long enough to repair
    /// something, short enough that nobody reads yesterday's page. Never applies to a stored 5xx.
    pub stale_if_error: u32,
    /// Seconds past its lifetime that a response may be served while it is refreshed. None: unlike a failing origin,
    /// a working one should be the one to say that old is good enough.
    pub stale_while_revalidate: u32,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { stale_if_error: 3600, stale_while_revalidate: 0 }
    }
}

/// How long a response may be used, fixed when it was received. All durations are seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Age at which it stops being fresh (RFC 9111 §4.2.1); 0 under no-cache.
    pub lifetime: u32,
    /// How old it was on arrival (RFC 9111 §4.2.3, `corrected_initial_age`).
    pub initial_age: u32,
    /// How long after `lifetime` it may be served while it is refreshed (RFC 5861 §3).
    pub while_revalidate: u32,
    /// How long after `lifetime` it may stand in for a failing origin (RFC 5861 §4).
    pub if_error: u32,
    /// `no-cache`: never reused without asking the origin (RFC 9111 §5.2.2.4).
    pub always_validate: bool,
    /// `must-revalidate` or `proxy-revalidate`: never served stale (RFC 9111 §5.2.2.2, §5.2.2.8).
    pub must_revalidate: bool,
    /// Whether it may answer others although its request had credentials (RFC 9111 §3.5).
    pub shareable_with_credentials: bool,
    /// Whether a request may have it stale by asking for that; not beside s-maxage (RFC 9111 §5.2.2.10).
    pub stale_if_asked: bool,
    /// What `lifetime` was read from.
    pub source: LifetimeSource,
}

/// What a lifetime was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifetimeSource {
    /// A cache rule, whatever the origin said.
    Rule,
    /// `Cache-Control: s-maxage`. Also forbids serving stale, but for windows named beside it.
    SMaxage,
    /// `Cache-Control: max-age`.
    MaxAge,
    /// `Expires` minus `Date`.
    Expires,
    /// Nothing: the origin gave no lifetime.
    None,
}

/// What is kept of a stored response to tell its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredTimes {
    /// When it was received, or last confirmed by a 304.
    pub received_at: u64,
    /// How long it may be used.
    pub life: Lifetime,
}
