//! Sockets in: who may connect, how long a head may take, and which transport answers.
//!
//! `accept` takes connections and counts them; `caller` finds out whose they are, from a `proxy_protocol` header where
//! the listener wants one; `handshake` begins TLS where the listener speaks it, and from there on both kinds are a
//! `socket`; `h1` and `h2` are a connection's life; `front` answers what it fully understands and hands the rest to
//! Pingora through the `gate`, one request at a time; `wire` writes its answers; `refuse` turns away what is not HTTP;
//! `deadline` is the one timer a connection needs.
//!
//! Invariants: every head is parsed here first, under a deadline; Pingora never sees a byte of the next request;
//! nothing is decided here that `edge::decide` decides; whether a listener speaks TLS is asked of the present plan for
//! each connection.

pub mod accept;
mod caller;
mod deadline;
mod front;
mod gate;
mod h1;
mod h2;
mod handshake;
mod proxy_protocol;
mod refuse;
mod socket;
mod wire;

use crate::edge::Edge;
use crate::setup::Limits;
use crate::telemetry::ListenerMetrics;
use crate::tls::Terminator;
use pingora::proxy::HttpProxy;
use std::sync::Arc;
use tokio::sync::watch;

pub use accept::{Connections, accept};
use socket::Socket;

/// What the connections of one listener share.
pub struct Door {
    /// The request's life.
    pub edge: Arc<Edge>,
    /// Pingora, which runs it.
    pub proxy: Arc<HttpProxy<Edge>>,
    /// Position of the listener in the plan.
    pub listener: usize,
    /// Its name in log and metrics.
    pub name: Arc<str>,
    /// Its connections, counted.
    pub metrics: Arc<ListenerMetrics>,
    /// True once the server is being stopped.
    pub shutdown: watch::Receiver<bool>,
}

impl Door {
    /// The bounds of the present generation.
    pub fn limits(&self) -> Limits {
        self.edge.plan.load().limits
    }

    /// What ends the TLS of clients that connect now, if they are to speak it.
    pub fn terminator(&self) -> Option<Arc<Terminator>> {
        self.edge.plan.load().listeners.get(self.listener)?.tls.clone()
    }
}
