//! Builds the identity of a cached resource: which parts of a request tell two resources apart.

use crate::http::request::{RequestView, Scheme};
use crate::verdict::Key;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Which parts of a request make the key. The default is the whole effective URI.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    seed: u64,
}

impl Recipe {
    /// A recipe whose hashes cannot be predicted from outside: the seed is random per store.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The key of a request: framed scheme, host, port, path and query.
    pub fn of(&self, view: &RequestView<'_>) -> Key {
        self.key(view.scheme, view.host, view.port, view.path, view.query)
    }

    /// The key of a URI in parts. Every part is framed by its length, so no two sets of parts make the same bytes.
    pub fn key(&self, scheme: Scheme, host: &str, port: u16, path: &str, query: Option<&str>) -> Key {
        let mut bytes: SmallVec<[u8; 160]> = SmallVec::new();
        bytes.push(scheme as u8);
        bytes.extend_from_slice(&port.to_be_bytes());
        frame(&mut bytes, host.as_bytes());
        // RFC 3986 §6.2.2.1: a host is the same in any case.
        let host_at = bytes.len() - host.len();
        bytes[host_at..].make_ascii_lowercase();
        frame(&mut bytes, path.as_bytes());
        if let Some(query) = query {
            frame(&mut bytes, query.as_bytes());
        }
        Key { hash: xxh3_128_with_seed(&bytes, self.seed), bytes }
    }
}

fn frame(out: &mut SmallVec<[u8; 160]>, part: &[u8]) {
    // A head is at most 32 KiB, so a part always fits; a longer one saturates and is still followed by its bytes.
    let len = u16::try_from(part.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(host: &str, port: u16, path: &str, query: Option<&str>) -> Key {
        Recipe::new(7).key(Scheme::Http, host, port, path, query)
    }

    #[test]
    fn the_host_is_the_same_in_any_case_and_nothing_else_is() {
        let base = key("example.com", 80, "/a", None);
        assert_eq!(base, key("EXAMPLE.com", 80, "/a", None));
        for other in [
            key("example.com", 81, "/a", None),
            key("example.com", 80, "/A", None),
            key("example.com", 80, "/a", Some("")),
            key("example.org", 80, "/a", None),
            Recipe::new(7).key(Scheme::Https, "example.com", 80, "/a", None),
        ] {
            assert_ne!(base, other);
        }
    }

    proptest! {
        #[test]
        fn different_parts_never_make_the_same_bytes(
            a in ("[a-z]{0,4}", "/[a-z?]{0,4}", proptest::option::of("[a-z?]{0,4}")),
            b in ("[a-z]{0,4}", "/[a-z?]{0,4}", proptest::option::of("[a-z?]{0,4}")),
        ) {
            let of = |p: &(String, String, Option<String>)| key(&p.0, 80, &p.1, p.2.as_deref());
            prop_assert_eq!(a == b, of(&a).bytes == of(&b).bytes);
        }
    }
}
