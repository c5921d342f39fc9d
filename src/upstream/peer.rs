//! How Pingora connects to a server: an address, never a name, a deadline for everything, and whom to believe.
//!
//! Pingora's pool knows address, scheme, name, verification, the serial number of our certificate and little else. What
//! else shapes a connection goes into the group: a request must never travel on a connection that was made under other
//! settings, for instance one whose server was not verified.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::{ALPN, HttpPeer};

use super::endpoint::Endpoint;
use super::server::Server;
use super::settings::{Protocol, Settings};

/// Requests at once on one HTTP/2 connection: what RFC 9113 §6.5.2 recommends a server to allow at least.
const STREAMS: usize = 100;
/// What an HTTP/2 server may send ahead of a client that reads slowly: what a request may cost in memory. At 100 ms from
/// the origin it allows 80 Mbit/s.
const STREAM_WINDOW: u32 = 1 << 20;
/// All streams together. Less, and one slow client would hold up every other request on its connection.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;

/// What a request needs of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    /// Nothing special.
    #[default]
    Exchange,
    /// Bytes both ways for as long as it takes, of which somebody else keeps the time.
    Stream,
    /// A change of protocol, which only HTTP/1.1 knows (RFC 9113 §8.6).
    Upgrade,
}

/// Which connections of the pool belong to a cluster.
#[derive(Debug)]
pub(super) struct Pool {
    cluster: u64,
    opened: Instant,
}

impl Pool {
    /// The same name gives the same pool, so connections outlive a reload.
    pub fn new(cluster: &str) -> Self {
        Self { cluster: hash(cluster), opened: Instant::now() }
    }

    /// Whatever is not in Pingora's own key and changes how a connection is made: authorities, certificate, protocol,
    /// and the generation that keeps connections from growing old.
    fn group(&self, settings: &Settings, protocol: Protocol, age: Duration) -> u64 {
        let generation = generation(age, settings, fastrand::f64());
        hash(&(self.cluster, settings.tls.fingerprint(), protocol, generation))
    }
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A new generation begins with every lifetime; connections of the one before are no longer asked for and end idle. So
/// that not all are replaced at once, its share of the requests grows over as long as an idle connection is kept.
fn generation(age: Duration, settings: &Settings, chance: f64) -> u64 {
    let lifetime = settings.lifetime.as_secs_f64().max(1.0);
    let lives = age.as_secs_f64() / lifetime;
    let (number, since) = (lives.floor(), lives.fract() * lifetime);
    let change = settings.idle.as_secs_f64().min(lifetime / 2.0);
    let behind = number >= 1.0 && since < change * chance;
    number as u64 - u64::from(behind)
}

/// How to connect to the server.
///
/// # Errors
/// Pingora's, for the path of a socket that the system does not take.
pub(super) fn build(
    server: &Server,
    settings: &Settings,
    pool: &Pool,
    want: Want,
) -> pingora::Result<Box<HttpPeer>> {
    let tls = &settings.tls;
    let name = if server.tls { tls.name(&server.host).to_owned() } else { String::new() };
    let protocol = protocol(settings.protocol, server.tls, want);
    let mut peer = match &server.endpoint {
        Endpoint::Inet(address) => HttpPeer::new(*address, server.tls, name),
        Endpoint::Unix(path) => HttpPeer::new_uds(&path.to_string_lossy(), server.tls, name)?,
    };
    peer.group_key = pool.group(settings, protocol, pool.opened.elapsed());
    peer.client_cert_key = tls.certificate.as_ref().filter(|_| server.tls).map(|own| own.parsed().clone());
    // Pingora's own default for each of these is no limit.
    let options = &mut peer.options;
    options.connection_timeout = Some(settings.connect);
    options.total_connection_timeout = Some(settings.connect);
    // Pingora counts the time of an upload against the answer.
    options.read_timeout = (want != Want::Stream).then_some(settings.read);
    options.write_timeout = Some(settings.write);
    options.idle_timeout = Some(settings.idle);
    options.tcp_keepalive = Some(keepalive());
    options.ca = tls.authorities().filter(|_| server.tls).cloned();
    options.verify_cert = tls.verify;
    options.verify_hostname = tls.verify;
    options.alpn = match protocol {
        Protocol::Auto => ALPN::H2H1,
        Protocol::H1 => ALPN::H1,
        Protocol::H2 => ALPN::H2,
    };
    options.max_h2_streams = STREAMS;
    options.h2_stream_window_size = Some(STREAM_WINDOW);
    options.h2_connection_window_size = Some(CONNECTION_WINDOW);
    Ok(Box::new(peer))
}

/// What is spoken on this connection.
fn protocol(wanted: Protocol, tls: bool, want: Want) -> Protocol {
    match wanted {
        _ if want == Want::Upgrade => Protocol::H1,
        // In the clear nobody can be asked.
        Protocol::Auto if !tls => Protocol::H1,
        wanted => wanted,
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
    use crate::upstream::tls::fixture::{authority, identity};
    use crate::upstream::{ServerAddress, ServerSpec};

    const HOUR: Duration = Duration::from_secs(3600);

    fn with(address: &str, settings: &Settings, want: Want) -> Box<HttpPeer> {
        let spec = ServerSpec::from(address.parse::<ServerAddress>().unwrap());
        let found = || "192.0.2.1:80".parse::<SocketAddr>().unwrap().into();
        let endpoint = spec.address.endpoint().unwrap_or_else(found);
        let target = Target { endpoint: endpoint.clone(), host: "app".into(), tls: None };
        let watched = HealthRegistry::new().watch(target, &settings.health);
        let server = Server::new(&spec, endpoint, Kept::default(), watched);
        build(&server, settings, &Pool::new("app"), want).unwrap()
    }

    fn peer(address: &str) -> Box<HttpPeer> {
        with(address, &Settings::default(), Want::Exchange)
    }

    #[test]
    fn a_unix_socket_is_connected_to_by_its_path() {
        let peer = peer("unix:/run/app.sock");
        assert_eq!(
            peer.address().as_unix().and_then(|unix| unix.as_pathname()),
            Some(Path::new("/run/app.sock"))
        );
    }

    fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
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
    fn another_name_may_be_asked_for() {
        let settings = settings(|s| s.tls.server_name = Some("Other.Example.".parse().unwrap()));
        assert_eq!(with("https://192.0.2.1", &settings, Want::Exchange).sni(), "other.example");
        assert_eq!(with("http://192.0.2.1", &settings, Want::Exchange).sni(), "");
    }

    #[test]
    fn only_verify_false_leaves_verification_out() {
        let off = settings(|s| s.tls.verify = false);
        let unverified = with("https://app", &off, Want::Exchange);
        assert!(!unverified.verify_cert() && !unverified.verify_hostname());
        // Without a name Pingora verifies nothing.
        for name in ["", "."] {
            assert_eq!(Settings::default().tls.name(name), "nobody.invalid");
        }
        let on = [
            settings(|s| s.tls.ca = Some(authority())),
            settings(|s| s.tls.certificate = Some(identity())),
            settings(|s| s.protocol = Protocol::Auto),
        ];
        for settings in on {
            for want in [Want::Exchange, Want::Stream, Want::Upgrade] {
                let peer = with("https://app", &settings, want);
                assert!(peer.verify_cert() && peer.verify_hostname() && !peer.sni().is_empty());
            }
        }
    }

    #[test]
    fn what_shapes_a_connection_keeps_it_from_others() {
        let plain = Settings::default();
        let all = [
            plain.clone(),
            settings(|s| s.tls.verify = false),
            settings(|s| s.tls.ca = Some(authority())),
            settings(|s| s.tls.ca = Some(authority())),
            settings(|s| s.tls.certificate = Some(identity())),
            settings(|s| s.tls.server_name = Some("other.example".parse().unwrap())),
            settings(|s| s.protocol = Protocol::Auto),
            settings(|s| s.protocol = Protocol::H2),
        ];
        let hash = |settings| with("https://app", settings, Want::Exchange).reuse_hash();
        let hashes: std::collections::HashSet<u64> = all.iter().map(hash).collect();
        assert_eq!(hashes.len(), all.len(), "two authorities differ though their settings look alike");
        assert_eq!(hash(&plain), hash(&settings(|s| s.read = HOUR)));
    }

    #[test]
    fn clusters_share_no_connections() {
        let (one, two) = (Pool::new("app"), Pool::new("api"));
        let group = |pool: &Pool| pool.group(&Settings::default(), Protocol::H1, Duration::ZERO);
        assert_eq!(group(&one), group(&Pool::new("app")));
        assert_ne!(group(&one), group(&two));
    }

    #[test]
    fn the_protocol_is_what_server_and_request_can_speak() {
        use Protocol::{Auto, H1, H2};
        for (wanted, tls, exchange, upgrade) in [
            (H1, false, H1, H1),
            (H1, true, H1, H1),
            (H2, false, H2, H1),
            (H2, true, H2, H1),
            (Auto, false, H1, H1),
            (Auto, true, Auto, H1),
        ] {
            assert_eq!(protocol(wanted, tls, Want::Exchange), exchange, "{wanted:?} {tls}");
            assert_eq!(protocol(wanted, tls, Want::Stream), exchange, "{wanted:?} {tls}");
            assert_eq!(protocol(wanted, tls, Want::Upgrade), upgrade, "{wanted:?} {tls}");
        }
        let h2 = settings(|s| s.protocol = H2);
        let alpn = |want| with("http://app", &h2, want).options.alpn.clone();
        assert_eq!((alpn(Want::Exchange), alpn(Want::Upgrade)), (ALPN::H2, ALPN::H1));
    }

    #[test]
    fn somebody_else_keeps_the_time_of_a_stream() {
        for protocol in [Protocol::Auto, Protocol::H1, Protocol::H2] {
            let settings = settings(|s| s.protocol = protocol);
            let read = |want| with("http://app", &settings, want).options.read_timeout;
            assert_eq!((read(Want::Stream), read(Want::Exchange)), (None, Some(settings.read)));
            assert_eq!(read(Want::Upgrade), Some(settings.read));
        }
    }

    #[test]
    fn connections_are_replaced_gradually_once_in_a_lifetime() {
        let settings = Settings::default();
        let at = |seconds, chance| generation(Duration::from_secs(seconds), &settings, chance);
        for (seconds, always_first, always_last) in [
            (0, 0, 0),
            (3599, 0, 0),
            // Nobody, half, and all of them have changed.
            (3600, 1, 0),
            (3630, 1, 0),
            (3660, 1, 1),
            (7199, 1, 1),
            (7230, 2, 1),
        ] {
            assert_eq!((at(seconds, 0.0), at(seconds, 0.999)), (always_first, always_last), "{seconds}");
        }
        assert_eq!((at(3630, 0.49), at(3630, 0.51)), (1, 0));
    }
}
