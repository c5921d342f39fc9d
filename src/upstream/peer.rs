//! How Pingora connects to a server: an address, never a name, and a deadline for everything.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::HttpPeer;

use super::endpoint::Endpoint;
use super::server::Server;
use super::settings::Settings;

/// `group` keeps connections of different clusters apart in Pingora's pool.
///
/// # Errors
/// Pingora's, for the path of a socket that the system does not take.
pub(super) fn build(server: &Server, settings: &Settings, group: u64) -> pingora::Result<Box<HttpPeer>> {
    let mut peer = match &server.endpoint {
        Endpoint::Inet(address) => HttpPeer::new(*address, server.tls, sni(server)),
        Endpoint::Unix(path) => HttpPeer::new_uds(&path.to_string_lossy(), server.tls, sni(server))?,
    };
    peer.group_key = group;
    // Pingora's own default for each of these is no limit.
    let options = &mut peer.options;
    options.connection_timeout = Some(settings.connect);
    options.total_connection_timeout = Some(settings.connect);
    options.read_timeout = Some(settings.read);
    options.write_timeout = Some(settings.write);
    options.idle_timeout = Some(settings.idle);
    options.tcp_keepalive = Some(keepalive());
    Ok(Box::new(peer))
}

/// The same name gives the same group, so connections outlive a reload. Whatever later changes how a
/// connection is made but is not in Pingora's own pool key (a CA file, ALPN, a source address) belongs in here.
pub(super) fn group(cluster: &str, _settings: &Settings) -> u64 {
    let mut hasher = DefaultHasher::new();
    cluster.hash(&mut hasher);
    hasher.finish()
}

/// An IP address is fine: rustls then sends no SNI but still verifies. Only an empty name turns verification off.
fn sni(server: &Server) -> String {
    match server.tls {
        true => server.host.trim_end_matches('.').to_owned(),
        false => String::new(),
    }
}

/// Finds a peer that vanished without a FIN within 30 s: half of the read deadline.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive {
        idle: Duration::from_secs(15),
        interval: Duration::from_secs(5),
        count: 3,
        #[cfg(target_os = "linux")]
        user_timeout: Duration::ZERO, // the system's
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::Path;

    use pingora::upstreams::peer::Peer;

    use super::*;
    use crate::upstream::health::{HealthRegistry, Target};
    use crate::upstream::server::Kept;
    use crate::upstream::{ServerAddress, ServerSpec};

    fn peer(address: &str) -> Box<HttpPeer> {
        let spec = ServerSpec::from(address.parse::<ServerAddress>().unwrap());
        let endpoint =
            spec.address.endpoint().unwrap_or_else(|| "192.0.2.1:80".parse::<SocketAddr>().unwrap().into());
        let settings = Settings::default();
        let target = Target { endpoint: endpoint.clone(), host: "app".into(), tls: None };
        let watched = HealthRegistry::new().watch(target, &settings.health);
        let server = Server::new(&spec, endpoint, Kept::default(), watched);
        build(&server, &settings, group("app", &settings)).unwrap()
    }

    #[test]
    fn a_unix_socket_is_connected_to_by_its_path() {
        let peer = peer("unix:/run/app.sock");
        assert_eq!(
            peer.address().as_unix().and_then(|unix| unix.as_pathname()),
            Some(Path::new("/run/app.sock"))
        );
    }

    #[test]
    fn every_deadline_is_set() {
        let peer = peer("app:80");
        let sec = |s| Some(Duration::from_secs(s));
        assert_eq!(peer.connection_timeout(), sec(3));
        assert_eq!(peer.total_connection_timeout(), sec(3));
        assert_eq!(peer.options.read_timeout, sec(60));
        assert_eq!(peer.options.write_timeout, sec(60));
        assert_eq!(peer.idle_timeout(), sec(60));
        assert!(peer.tcp_keepalive().is_some());
    }

    #[test]
    fn tls_is_verified_against_the_configured_host() {
        let named = peer("https://Origin.example.");
        assert!(named.is_tls() && named.verify_cert() && named.verify_hostname());
        assert_eq!(named.sni(), "origin.example");
        assert_eq!(peer("https://[2001:db8::1]").sni(), "2001:db8::1");
        assert!(!peer("http://app").is_tls());
    }

    #[test]
    fn clusters_share_no_connections() {
        let (one, mut other) = (peer("app:80"), peer("app:80"));
        assert_eq!(one.reuse_hash(), other.reuse_hash());
        other.group_key = group("api", &Settings::default());
        assert_ne!(one.reuse_hash(), other.reuse_hash());
    }
}
