//! The same server for the same client, for applications that keep sessions in their own memory.
//!
//! Source: nginx, `src/http/modules/ngx_http_upstream_ip_hash_module.c`: a hash of the address is a place on the line of
//! all weights, and is hashed again where the seat is closed, up to 20 times. It is `random` with the client in place of
//! chance, and so are what nginx does differently: all of an IPv4 address counts, not its first three bytes, since many
//! clients share those; hashes are of 64 bits, not below 6,271; and after 20 hashes the client decides among the open
//! seats, where nginx takes turns and a client would lose its server with every request.
//!
//! When seats come or go, most clients change theirs; `consistent_hash` is for those who mind.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64;

use super::Seats;
use super::random::Random;
use super::round_robin::RoundRobin;

/// Seats that keep their clients.
pub struct IpHash {
    draw: Random,
    /// For requests without a key.
    turns: RoundRobin,
}

impl IpHash {
    pub(super) fn new(weights: &[u32]) -> Self {
        Self { draw: Random::new(weights), turns: RoundRobin::new(weights) }
    }

    pub(super) fn pick<S: Seats>(&self, seats: &S, key: Option<u64>) -> Option<usize> {
        match key {
            Some(key) => self.draw.draw(seats, key),
            None => self.turns.pick(seats),
        }
    }
}

/// The key of a client: its IPv4 address, or the /64 of its IPv6 address. A household or a host is given a /64 at least
/// (RFC 6177), and its machines choose new addresses in it every day (RFC 8981).
pub fn client_key(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(ip) => xxh3_64(&ip.octets()),
        IpAddr::V6(ip) => xxh3_64(&(ip.to_bits() >> 64).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::fixture::{PICKS, Row, count, parts, surprise};

    const WEIGHTS: [u32; 4] = [1, 2, 3, 4];

    fn key(client: &str) -> u64 {
        client_key(client.parse().unwrap())
    }

    #[test]
    fn a_client_is_its_address_or_its_network() {
        for (a, b, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("0.0.0.0", "::", false),
        ] {
            assert_eq!(key(a) == key(b), same, "{a} {b}");
        }
    }

    #[test]
    fn neighbours_are_split_by_weight() {
        let hash = IpHash::new(&WEIGHTS);
        let row = Row::open(WEIGHTS.len());
        let v4 = (0..PICKS as u32).map(|n| client_key(IpAddr::V4((0x0a00_0000 + n).into())));
        let v6 = (0..PICKS as u128).map(|n| client_key(IpAddr::V6(((0x2001_0db8 << 96) + (n << 64)).into())));
        for keys in [v4.collect::<Vec<_>>(), v6.collect()] {
            let counts = count(WEIGHTS.len(), keys.iter().map(|key| hash.pick(&row, Some(*key)).unwrap()));
            let surprise = surprise(&counts, &parts(&WEIGHTS, &row));
            assert!(surprise < 1.0, "{counts:?}: {surprise}");
        }
    }

    #[test]
    fn a_client_keeps_its_server_whoever_else_closes() {
        let hash = IpHash::new(&WEIGHTS);
        let mut row = Row::open(WEIGHTS.len());
        for key in 0..1000 {
            let own = hash.pick(&row, Some(key)).unwrap();
            for other in (0..WEIGHTS.len()).filter(|seat| *seat != own) {
                row.open[other] = false;
                assert_eq!(hash.pick(&row, Some(key)), Some(own));
                row.open[other] = true;
            }
            row.open[own] = false;
            let second = hash.pick(&row, Some(key)).unwrap();
            assert!(second != own && hash.pick(&row, Some(key)) == Some(second));
            row.open[own] = true;
            assert_eq!(hash.pick(&row, Some(key)), Some(own), "back with its own");
        }
    }

    #[test]
    fn a_client_keeps_its_server_when_few_are_left() {
        let weights = [1; 1000];
        let hash = IpHash::new(&weights);
        let mut row = Row::closed(weights.len());
        [7, 500, 900].iter().for_each(|&seat| row.open[seat] = true);
        for key in 0..100 {
            let own = hash.pick(&row, Some(key));
            assert!((0..5).all(|_| hash.pick(&row, Some(key)) == own));
        }
    }
}
