//! A TLS client that shakes hands, asks once, and leaves; it keeps its tickets.

use crate::message;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Visitor {
    address: SocketAddr,
    connector: TlsConnector,
}

/// What a handshake came to.
pub struct Shaken {
    pub resumed: bool,
    /// The certificate that came, or that came when the session began.
    pub certificate: Vec<u8>,
}

impl Visitor {
    /// One that trusts an authority and speaks one version of TLS.
    pub fn new(
        address: SocketAddr,
        authority: &CertificateDer<'static>,
        version: &'static SupportedProtocolVersion,
        resumes: bool,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).map_err(|error| error.to_string())?;
        let builder = ClientConfig::builder_with_protocol_versions(&[version]);
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption =
            if resumes { Resumption::in_memory_sessions(4096) } else { Resumption::disabled() };
        Ok(Self { address, connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Shakes hands and asks once, so that the tickets have come.
    pub async fn visit(&self, host: &str) -> Result<Shaken, String> {
        let visit = async {
            let mut stream = self.open(host).await?;
            let tls = stream.get_ref().1;
            let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
            let certificate =
                tls.peer_certificates().and_then(|chain| chain.first()).map(|first| first.to_vec());
            let shaken = Shaken { resumed, certificate: certificate.unwrap_or_default() };
            ask(&mut stream, host, "/visit").await?;
            let _ = stream.shutdown().await;
            Ok(shaken)
        };
        timeout(PATIENCE, visit).await.unwrap_or_else(|_| Err("timeout".to_owned()))
    }

    pub async fn open(&self, host: &str) -> Result<TlsStream<TcpStream>, String> {
        let stream =
            TcpStream::connect(self.address).await.map_err(|error| format!("connect: {}", error.kind()))?;
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        self.connector.connect(name, stream).await.map_err(|error| format!("handshake: {error}"))
    }
}

/// Asks for a path on an open connection.
pub async fn ask(stream: &mut TlsStream<TcpStream>, host: &str, path: &str) -> Result<(), String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| format!("sending: {}", error.kind()))?;
    let mut bytes = Vec::with_capacity(2048);
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") {
                return Err(head.lines().next().unwrap_or_default().to_owned());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or_default();
            if bytes.len() >= at + 4 + length {
                let mistake = message::mistake(&bytes[at + 4..], "GET", path, b"");
                return mistake.map_or(Ok(()), |mistake| Err(mistake.to_owned()));
            }
        }
        let read = stream.read_buf(&mut bytes).await.map_err(|error| format!("reading: {}", error.kind()))?;
        if read == 0 {
            return Err("closed without an answer".to_owned());
        }
    }
}
