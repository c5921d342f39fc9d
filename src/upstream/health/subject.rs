//! What is asked of whom, so that two clusters which ask the same of the same server share the checks.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::settings::{Health, Probe};
use crate::upstream::Endpoint;

/// A server to be watched.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Its host as configured, without port and brackets; for a unix socket whatever name it is asked by.
    pub host: Arc<str>,
    /// How it is spoken to over TLS; `None` for cleartext.
    pub tls: Option<Arc<CheckTls>>,
}

/// How checks speak TLS to a server.
pub struct CheckTls {
    id: u64,
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: ServerName<'static>,
}

impl CheckTls {
    /// `id` stands for `config`: the same for the same certificates, keys and verification, so that checks are shared and
    /// outlive reloads that change nothing. Whatever ALPN `config` has, a check speaks HTTP/1.1.
    pub fn new(id: u64, mut config: ClientConfig, server_name: ServerName<'static>) -> Arc<Self> {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(Self { id, config: Arc::new(config), server_name })
    }

    fn identity(&self) -> (u64, &ServerName<'static>) {
        (self.id, &self.server_name)
    }
}

impl PartialEq for CheckTls {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for CheckTls {}

impl std::hash::Hash for CheckTls {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// Without what `config` holds: a client's key must not get into a log.
impl fmt::Debug for CheckTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckTls").field(&self.id).field(&self.server_name).finish()
    }
}

/// A target and its probe, less what the probe does not look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    pub(super) endpoint: Endpoint,
    /// The Host field of an HTTP probe that has none of its own.
    pub(super) authority: Option<Box<str>>,
    pub(super) tls: Option<Arc<CheckTls>>,
    pub(super) probe: Probe,
}

impl Subject {
    pub(super) fn of(target: Target, health: &Health) -> Self {
        let mut endpoint = target.endpoint;
        if let (Endpoint::Inet(address), Some(port)) = (&mut endpoint, health.port) {
            address.set_port(port);
        }
        let probe = health.probe.clone();
        match &probe {
            Probe::Tcp => Self { endpoint, authority: None, tls: None, probe },
            Probe::Http(http) => {
                let authority =
                    http.host.is_none().then(|| authority(&target.host, &endpoint, target.tls.is_some()));
                Self { endpoint, authority, tls: target.tls, probe }
            }
        }
    }
}

/// Without the port where it is the scheme's own, as clients write it (RFC 9110 §4.2.3).
fn authority(host: &str, endpoint: &Endpoint, tls: bool) -> Box<str> {
    let host = match host.parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => host.to_owned(),
    };
    let usual = if tls { 443 } else { 80 };
    match endpoint {
        Endpoint::Inet(address) if address.port() != usual => format!("{host}:{}", address.port()).into(),
        Endpoint::Inet(_) | Endpoint::Unix(_) => host.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http::HeaderValue;
    use http::uri::PathAndQuery;
    use tokio_rustls::rustls::RootCertStore;
    use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;

    use super::*;
    use crate::http::status::StatusRange;
    use crate::upstream::health::{HttpProbe, ProbeMethod};

    fn http(host: Option<&'static str>) -> Health {
        let probe = HttpProbe {
            path: PathAndQuery::from_static("/healthz"),
            host: host.map(HeaderValue::from_static),
            method: ProbeMethod::Get,
            statuses: vec![StatusRange { from: 200, to: 399 }],
            body: None,
        };
        Health { probe: Probe::Http(Arc::new(probe)), ..Health::default() }
    }

    fn tls(id: u64, name: &'static str) -> Option<Arc<CheckTls>> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(RootCertStore::empty());
        Some(CheckTls::new(id, config.with_no_client_auth(), ServerName::try_from(name).unwrap()))
    }

    fn target(host: &str, endpoint: &str, tls: Option<Arc<CheckTls>>) -> Target {
        let endpoint = match endpoint.strip_prefix("unix:") {
            Some(path) => Endpoint::Unix(Path::new(path).into()),
            None => Endpoint::Inet(endpoint.parse().unwrap()),
        };
        Target { endpoint, host: host.into(), tls }
    }

    #[test]
    fn the_host_that_is_asked_for_is_the_servers_own() {
        let tls = || tls(1, "app");
        for (host, endpoint, tls, port, authority) in [
            ("app", "10.0.0.1:8080", None, None, "app:8080"),
            ("app", "10.0.0.1:80", None, None, "app"),
            ("app", "10.0.0.1:443", None, None, "app:443"),
            ("app", "10.0.0.1:443", tls(), None, "app"),
            ("app", "10.0.0.1:8080", None, Some(9000), "app:9000"),
            ("::1", "[::1]:8080", None, None, "[::1]:8080"),
            ("localhost", "unix:/run/app.sock", None, Some(9000), "localhost"),
        ] {
            let health = Health { port, ..http(None) };
            let subject = Subject::of(target(host, endpoint, tls), &health);
            assert_eq!(subject.authority.as_deref(), Some(authority), "{host} {endpoint}");
        }
    }

    #[test]
    fn what_a_probe_does_not_look_at_does_not_tell_servers_apart() {
        const AT: &str = "10.0.0.1:443";
        let of = |host, tls, health: &Health| Subject::of(target(host, AT, tls), health);
        let tcp = Health::default();
        assert_eq!(of("a", None, &tcp), of("b", tls(1, "b"), &tcp));
        assert_eq!(of("a", None, &http(Some("c"))), of("b", None, &http(Some("c"))));
        assert_ne!(of("a", None, &http(None)), of("b", None, &http(None)));
        assert_eq!(of("a", tls(1, "a"), &http(None)), of("a", tls(1, "a"), &http(None)));
        assert_ne!(of("a", tls(1, "a"), &http(None)), of("a", tls(2, "a"), &http(None)));
        assert_ne!(of("a", tls(1, "a"), &http(None)), of("a", tls(1, "b"), &http(None)));
        assert_ne!(of("a", tls(1, "a"), &http(None)), of("a", None, &http(None)));
        assert_ne!(of("a", None, &tcp), of("a", None, &Health { port: Some(9000), ..tcp.clone() }));
        assert_eq!(of("a", None, &tcp), of("a", None, &Health { port: Some(443), ..tcp.clone() }));
    }
}
