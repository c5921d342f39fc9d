//! Where the addresses of a name come from, how long they may be used, and why there are none.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::name_servers::Servers;
use super::system::System;
use crate::upstream::Lookup;

/// Where addresses come from.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of a name; an IP address never comes here. An empty answer counts as a failed one.
    async fn resolve(&self, host: &str) -> Result<Found, LookupError>;
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In no order that means anything: name servers rotate them.
    pub addresses: Vec<IpAddr>,
    /// How long the answer may be used, as its records say; not clamped.
    pub valid_for: Duration,
    /// Nobody said whether there are addresses of this family: those known from before are not gone.
    pub unanswered: Option<Family>,
}

/// IPv4 or IPv6, which are asked for separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Why a name has no addresses, in words that say where to look.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error("the name exists, but has neither an A nor an AAAA record")]
    NoAddress,
    #[error("no name server answered: asked {}", listed(.0))]
    NoAnswer(Vec<SocketAddr>),
    #[error("there is no such name: asked for {}", .0.join(", "))]
    NoSuchName(Vec<String>),
    /// A name server that refuses or fails, an answer that makes no sense.
    #[error("{0}")]
    Other(String),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

/// The resolver that the settings ask for. Cheap: it opens nothing before it is asked, and keeps nothing.
pub fn open(lookup: &Lookup) -> Arc<dyn Resolve> {
    match lookup.servers.is_empty() {
        true => Arc::new(System::new(lookup.timeout)),
        false => Arc::new(Servers::new(lookup.servers.clone(), lookup.timeout)),
    }
}

/// When a resolver gives up by itself: before the one who asks does, so that it can say who was silent.
pub(super) fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout / 10 * 9
}

impl Found {
    /// Addresses of which none is missing, and that may be used for so long.
    pub fn new(addresses: Vec<IpAddr>, valid_for: Duration) -> Self {
        Self { addresses, valid_for, unanswered: None }
    }

    /// Both families together: good for as long as both are.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.addresses.extend(other.addresses);
        self.valid_for = self.valid_for.min(other.valid_for);
        self
    }

    /// One family alone, and what became of the other.
    pub(super) fn without(mut self, family: Family, error: &LookupError) -> Self {
        self.unanswered = (!error.is_answer()).then_some(family);
        self
    }
}

impl Family {
    pub fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl LookupError {
    /// Whether a name server said so, and asking another would change nothing.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::NoAddress | Self::NoSuchName(_))
    }
}

fn listed(servers: &[SocketAddr]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
