//! TLS towards clients: certificates, which of them a client gets, session tickets, and the stream that carries it all.
//!
//! - `certificate` reads a chain and its key, and says what is wrong with them in words an operator can act on;
//! - `names` chooses a certificate by the name a client asks for;
//! - `terminator` is what a listener needs: settings, certificates that can be exchanged, ticket keys;
//! - `watch` exchanges them when their files change;
//! - `session` is rustls, driven without any buffer of its own, and `stream` is that over a socket.
//!
//! Invariants: a certificate that is served has its key; a mistake in a file never takes away what is served; a
//! connection at rest keeps no buffer. It knows neither the configuration nor what is spoken inside.
//!
//! rustls is asked for by name everywhere (`tokio_rustls::rustls`) and told its cryptography by [`provider`]: the
//! process's default may be somebody else's.

mod certificate;
#[cfg(test)]
mod fixture;
mod names;
mod session;
mod stream;
mod terminator;
mod watch;

pub use certificate::{Certificate, CertificateError, Part, Validity};
pub use names::Names;
pub use stream::{Refusal, Stream};
pub use terminator::{Pair, Settings, Terminator, Tickets, Version};
pub use watch::{MOST, News, Refused};

pub use tokio_rustls::rustls::Error;

use std::sync::Arc;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The cryptography that all TLS of this process uses.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
