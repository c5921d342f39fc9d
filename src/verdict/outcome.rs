//! What did happen to a request: the one record that log line and metrics are made from.

use super::reason::{BypassWhy, Kind, MissWhy, NotStored, Refused, StaleWhy, Transport};
use std::sync::Arc;
use std::time::Duration;

/// Why the outcome is what it is; each word comes from the closed vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing to explain: a plain hit.
    None,
    /// Why nothing usable was stored.
    Miss(MissWhy),
    /// Why the cache was left out.
    Bypass(BypassWhy),
    /// Why a stale response was served.
    Stale(StaleWhy),
    /// Why Foreland refused.
    Refused(Refused),
}

impl Reason {
    /// The word, or an empty string where there is nothing to explain.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Miss(why) => why.as_str(),
            Self::Bypass(why) => why.as_str(),
            Self::Stale(why) => why.as_str(),
            Self::Refused(why) => why.as_str(),
        }
    }
}

/// Whether the response went into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It did, or is on its way there.
    Yes,
    /// It did not, and this is why.
    No(NotStored),
}

/// The final account of one request.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which transport answered.
    pub transport: Transport,
    /// What became of the request.
    pub kind: Kind,
    /// Why.
    pub reason: Reason,
    /// Whether what the origin sent was stored; `None` if the origin was not asked.
    pub stored: Option<Stored>,
    /// Status sent to the client; 0 if the client left before any was sent.
    pub status: u16,
    /// Request body bytes received.
    pub bytes_in: u64,
    /// Response body bytes sent.
    pub bytes_out: u64,
    /// From the first byte of the head to the end of the answer.
    pub duration: Duration,
    /// Age of what was served from the store, in seconds.
    pub age: Option<u64>,
    /// Lifetime left of what was served from the store, in seconds; negative when stale.
    pub ttl: Option<i64>,
    /// Name of the cache rule that decided.
    pub rule: Option<Arc<str>>,
    /// Name of the cluster, if the origin was asked.
    pub upstream: Option<Arc<str>>,
    /// Address of the server, if the origin was asked.
    pub server: Option<Arc<str>>,
    /// Connections tried.
    pub tries: u32,
    /// Servers that failed before, and how: `app1:8080=timeout app2:8080=503`.
    pub failed: Option<Box<str>>,
    /// Time to connect to the server; `None` on a reused connection.
    pub connect: Option<Duration>,
    /// Time from sending the request to the head of the server's response.
    pub first_byte: Option<Duration>,
}

impl Outcome {
    /// An outcome with nothing measured yet.
    pub fn new(transport: Transport, kind: Kind, reason: Reason) -> Self {
        Self {
            transport,
            kind,
            reason,
            stored: None,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            duration: Duration::ZERO,
            age: None,
            ttl: None,
            rule: None,
            upstream: None,
            server: None,
            tries: 0,
            failed: None,
            connect: None,
            first_byte: None,
        }
    }
}
