//! What a listener needs to speak TLS: its settings, its certificates, and the keys of its session tickets.

use super::watch::Watched;
use super::{Certificate, Names, provider};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::aws_lc_rs::Ticketer;
use tokio_rustls::rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert,
};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, ServerConfig};

/// What a listener is asked to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The certificates; at least one. The first is for clients that ask for no name or an unknown one.
    pub certificates: Vec<Pair>,
    /// The oldest version that is spoken.
    pub min_version: Version,
}

/// A certificate and the files that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The file of the chain.
    pub cert: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
    /// What was in them.
    pub certificate: Arc<Certificate>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// The keys that session tickets are sealed with: new ones every six hours, the ones before accepted for as long.
///
/// They belong to the process, not to a configuration, so that clients resume across reloads and new certificates.
#[derive(Clone)]
pub struct Tickets(Arc<dyn ProducesTickets>);

/// Ends the TLS of one listener's clients.
pub struct Terminator {
    config: Arc<ServerConfig>,
    served: Arc<Served>,
    pub(super) watched: Mutex<Vec<Watched>>,
}

/// The certificates that are served now.
pub(super) struct Served(ArcSwap<Names>);

impl Tickets {
    /// Makes the first keys.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> Result<Self, Error> {
        Ticketer::new().map(Self)
    }
}

impl Terminator {
    /// One with these settings. Opens no file: what is in them was read already.
    ///
    /// # Errors
    /// None that a configuration can cause.
    pub fn new(settings: &Settings, tickets: &Tickets) -> Result<Self, Error> {
        let certificates = settings.certificates.iter().map(|pair| pair.certificate.clone()).collect();
        let served = Arc::new(Served(ArcSwap::from_pointee(Names::new(certificates))));
        let versions = match settings.min_version {
            Version::Tls12 => &[&TLS13, &TLS12][..],
            Version::Tls13 => &[&TLS13][..],
        };
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(served.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = tickets.0.clone();
        // What a client must remember it remembers itself: no session takes memory here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let watched = Mutex::new(settings.certificates.iter().cloned().map(Watched::new).collect());
        Ok(Self { config: Arc::new(config), served, watched })
    }

    /// What connections begin with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// The certificates that are served now.
    pub fn certificates(&self) -> Vec<Arc<Certificate>> {
        self.served.0.load().certificates().to_vec()
    }

    /// Serves other certificates from now on; connections that are open keep theirs.
    pub(super) fn serve(&self, certificates: Vec<Arc<Certificate>>) {
        self.served.0.store(Arc::new(Names::new(certificates)));
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let names = self.0.load();
        names.choose(hello.server_name(), hello.signature_schemes()).map(|chosen| chosen.certified().clone())
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.load().certificates()).finish()
    }
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.served.fmt(f)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}
