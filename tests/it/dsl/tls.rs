//! Certificates of a test, and clients that trust them: a handshake succeeds only with a certificate for the name asked.

use super::{HOST, soon};
use foreland::tls::{Certificate, Pair, Settings, Version};
use rcgen::{CertificateParams, KeyPair};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// A certificate that signed itself, and its key.
#[derive(Clone)]
pub struct Site {
    /// The certificate, as PEM.
    pub cert: String,
    /// The key, as PEM.
    pub key: String,
    der: CertificateDer<'static>,
}

impl Site {
    /// One for these names, made now.
    pub fn new(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let cert = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        Self { cert: cert.pem(), key: key.serialize_pem(), der: cert.der().clone() }
    }

    /// The one for the host that every request names unless it says otherwise.
    pub fn usual() -> &'static Self {
        static USUAL: OnceLock<Site> = OnceLock::new();
        USUAL.get_or_init(|| Self::new(&[HOST]))
    }

    /// Whether a client was shown this one.
    pub fn is_shown_by(&self, stream: &TlsStream<TcpStream>) -> bool {
        stream.get_ref().1.peer_certificates().is_some_and(|chain| chain == std::slice::from_ref(&self.der))
    }
}

/// What a listener needs to speak TLS with these. Their files are nowhere.
pub fn settings(sites: &[&Site]) -> Settings {
    let pair = |site: &&Site| {
        let certificate = Certificate::read(site.cert.as_bytes(), site.key.as_bytes()).unwrap();
        Pair { cert: "gone.pem".into(), key: "gone.key".into(), certificate: Arc::new(certificate) }
    };
    Settings { certificates: sites.iter().map(pair).collect(), min_version: Version::Tls12 }
}

/// A client that trusts these certificates, and remembers its sessions.
pub fn trusting(sites: &[&Site], alpn: &[&str]) -> TlsConnector {
    trusting_with(sites, alpn, &[&TLS13, &TLS12])
}

/// The same, speaking these versions only.
pub fn trusting_with(
    sites: &[&Site],
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    sites.iter().for_each(|site| roots.add(site.der.clone()).unwrap());
    let mut config = ClientConfig::builder_with_provider(foreland::tls::provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// Connects and shakes hands, asking for a name.
pub async fn connect(
    connector: &TlsConnector,
    address: SocketAddr,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let io = soon(TcpStream::connect(address), "a connection").await?;
    io.set_nodelay(true)?;
    let name = name.to_owned().try_into().unwrap();
    soon(connector.connect(name, io), "a TLS handshake").await
}
