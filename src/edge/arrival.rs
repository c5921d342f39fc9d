//! When, where and from whom a request came, and whom to believe about it.

use crate::http::fields::Fields;
use crate::http::forwarded;
use crate::http::request::Scheme;
use crate::telemetry::RequestId;
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// When, where and from whom a request came.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When its head began.
    pub started: Instant,
    /// The same in milliseconds since 1970.
    pub unix_millis: u64,
    /// Its id.
    pub id: RequestId,
    /// Position of the listener in the plan.
    pub listener: usize,
    /// Who asks: the peer, or whom a trusted proxy names.
    pub client: IpAddr,
    /// Who has connected.
    pub peer: IpAddr,
    /// Whether the peer is a proxy whose word is taken.
    pub trusted: bool,
    /// How the client connected: to us, or to a trusted proxy.
    pub scheme: Scheme,
}

impl Arrival {
    /// A request that begins now.
    pub fn now(listener: usize, peer: IpAddr, scheme: Scheme) -> Self {
        let unix_millis = unix_time().as_millis() as u64;
        Self {
            started: Instant::now(),
            unix_millis,
            id: RequestId::generate(unix_millis),
            listener,
            client: peer,
            peer,
            trusted: false,
            scheme,
        }
    }

    /// Takes a trusted proxy's word: the client and its scheme (X-Forwarded-For, X-Forwarded-Proto) and the id under
    /// which the request is known already. Whoever else sends these fields is not heard.
    pub fn believe(&mut self, trusted: &[IpNet], fields: Fields<'_>) {
        let is_trusted = |address: IpAddr| {
            let address = address.to_canonical();
            trusted.iter().any(|net| net.contains(&address))
        };
        if trusted.is_empty() || !is_trusted(self.peer) {
            return;
        }
        self.trusted = true;
        self.client = forwarded::client(fields.all("x-forwarded-for"), self.peer, is_trusted);
        match fields.first("x-forwarded-proto") {
            Some(b"https") => self.scheme = Scheme::Https,
            Some(b"http") => self.scheme = Scheme::Http,
            _ => {}
        }
        if let Some(id) = fields.first("x-request-id").and_then(RequestId::trusted) {
            self.id = id;
        }
    }
}

/// The wall clock; 1970 if it is set before that.
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
