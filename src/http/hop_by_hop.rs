//! Knows which fields end here: those about one connection, which are neither passed on nor kept.

use super::list;

/// Fields about one connection (RFC 9110 §7.6.1; `Trailer` by RFC 2616 §13.5.1, as its trailers may be dropped).
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// Fields between a client and the proxy it was told to use (RFC 9111 §3.1).
const BETWEEN_PROXIES: [&str; 3] = ["proxy-authenticate", "proxy-authentication-info", "proxy-authorization"];

/// Fields that frame, route or protect a message. `Connection` must not name a field meant for everyone
/// (RFC 9110 §7.6.1), and to obey one of these would let a client take away what the origin relies on.
const END_TO_END: [&str; 19] = [
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "range",
    "set-cookie",
    "vary",
    // What a proxy before us says of the client must not be taken away by the client.
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// Whether a field is about this connection only, and never passed on (RFC 9110 §7.6.1).
pub fn is_hop_by_hop(name: &str) -> bool {
    is_one_of(&HOP_BY_HOP, name)
}

/// Whether a field never becomes part of a stored response (RFC 9111 §3.1).
pub fn never_stored(name: &str) -> bool {
    is_hop_by_hop(name) || is_one_of(&BETWEEN_PROXIES, name)
}

/// The fields that `Connection` adds to those of [`is_hop_by_hop`] for one message, as written (RFC 9110 §7.6.1).
///
/// Options that are no field (`close`) come along and match nothing; names that must reach the other end do not.
pub fn named_by_connection<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a str> {
    values.into_iter().flat_map(list::tokens).filter(|name| !is_one_of(&END_TO_END, name))
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(value: &str) -> Vec<&str> {
        named_by_connection([value.as_bytes()]).collect()
    }

    #[test]
    fn fields_about_the_connection_are_known_in_any_case() {
        for name in
            ["Connection", "KEEP-ALIVE", "te", "Trailer", "Transfer-Encoding", "upgrade", "Proxy-Connection"]
        {
            assert!(is_hop_by_hop(name) && never_stored(name), "{name}");
        }
        for name in ["", "cache-control", "x-te", "tea", "trailers", "proxy-authorization"] {
            assert!(!is_hop_by_hop(name), "{name}");
        }
    }

    #[test]
    fn proxy_credentials_are_never_stored() {
        for name in ["Proxy-Authenticate", "proxy-authorization", "Proxy-Authentication-Info"] {
            assert!(never_stored(name), "{name}");
        }
        assert!(!never_stored("www-authenticate"));
    }

    #[test]
    fn connection_names_further_fields() {
        assert_eq!(named("close, X-Foo ,, Bar"), ["close", "X-Foo", "Bar"]);
        assert_eq!(named_by_connection([&b"a"[..], b"b"]).collect::<Vec<_>>(), ["a", "b"]);
        assert!(named("").is_empty());
    }

    #[test]
    fn connection_cannot_take_away_what_the_origin_relies_on() {
        assert_eq!(named("Host, content-length, X-Foo, Authorization, cookie"), ["X-Foo"]);
    }

    #[test]
    fn what_cannot_be_a_name_is_skipped() {
        assert_eq!(named("a b, x:y, \"q\", ok"), ["ok"]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_give_tokens_and_no_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            for name in named_by_connection([value.as_slice()]) {
                prop_assert!(list::is_token(name.as_bytes()));
            }
        }

        #[test]
        fn what_was_joined_is_found_again(names in proptest::collection::vec("x-[a-z]{1,5}", 0..6)) {
            let joined = names.join(", ");
            prop_assert_eq!(named(&joined), names);
        }
    }
}
