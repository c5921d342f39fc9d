//! When, where and from whom a request came, and whom to believe about it.

use crate::http::fields::Fields;
use crate::http::hops;
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

    /// Takes a trusted proxy's word: the client and its scheme ([`hops`]) and the id under which the request is known
    /// already. Whoever else sends these fields is not heard.
    pub fn believe(&mut self, trusted: &[IpNet], fields: Fields<'_>) {
        if !is_trusted(trusted, self.peer) {
            return;
        }
        self.trusted = true;
        let told = hops::told(fields, self.peer, |address| is_trusted(trusted, address));
        self.client = told.client;
        self.scheme = told.scheme.unwrap_or(self.scheme);
        if let Some(id) = fields.first("x-request-id").and_then(RequestId::trusted) {
            self.id = id;
        }
    }
}

/// Whether an address is that of a proxy whose word is taken.
pub fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

/// The wall clock; 1970 if it is set before that.
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use httparse::Header;
    use proptest::prelude::*;

    const NAMES: [&str; 6] =
        ["x-forwarded-for", "x-forwarded-proto", "forwarded", "x-real-ip", "x-request-id", "client-ip"];

    proptest! {
        #[test]
        fn nothing_that_an_untrusted_client_sends_is_heard(
            sent in proptest::collection::vec((proptest::sample::select(NAMES.to_vec()), "[ -~]{0,40}|10\\.0\\.0\\.1|for=10\\.0\\.0\\.1;proto=https"), 0..6),
            peer: u128, mapped: bool,
        ) {
            let peer = if mapped { IpAddr::V4((peer as u32).into()) } else { IpAddr::V6(peer.into()) };
            let trusted: [IpNet; 2] = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
            prop_assume!(!is_trusted(&trusted, peer));
            let fields: Vec<_> = sent.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
            let mut arrival = Arrival::now(0, peer, Scheme::Http);
            let before = arrival.clone();
            arrival.believe(&trusted, Fields::Raw(&fields));
            prop_assert_eq!((arrival.client, arrival.peer, arrival.scheme), (peer, peer, Scheme::Http));
            prop_assert_eq!((arrival.trusted, arrival.id.as_str()), (false, before.id.as_str()));
        }
    }
}
