//! Tells the origin who the client was: `X-Forwarded-For` and its standard form `Forwarded`.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::list;

/// `X-Forwarded-For` with this client added to what a trusted proxy before us wrote.
///
/// An IPv4 client on a socket of both families is written as IPv4. What is no plain text is dropped.
pub fn append_forwarded_for(existing: Option<&[u8]>, client: IpAddr) -> String {
    let mut out = kept(existing, 40);
    // Writing to a String cannot fail.
    let _ = write!(out, "{}", client.to_canonical());
    out
}

/// One element of `Forwarded`: `for=192.0.2.1;host="a:80";proto=http` (RFC 7239 §4).
///
/// An empty host or scheme is left out.
pub fn element(client: IpAddr, host: &str, proto: &str) -> String {
    let mut out = String::with_capacity(host.len() + 64);
    let _ = match client.to_canonical() {
        IpAddr::V4(address) => write!(out, "for={address}"),
        // RFC 7239 §6: in brackets, and quoted because of them.
        IpAddr::V6(address) => write!(out, "for=\"[{address}]\""),
    };
    for (name, value) in [(";host=", host), (";proto=", proto)] {
        if !value.is_empty() {
            out.push_str(name);
            push_value(&mut out, value);
        }
    }
    out
}

/// `Forwarded` with an [`element`] added to what a trusted proxy before us wrote (RFC 7239 §4).
pub fn append(existing: Option<&[u8]>, element: &str) -> String {
    let mut out = kept(existing, element.len());
    out.push_str(element);
    out
}

/// What was there, with a comma to go on, or nothing. A stray comma at its end is dropped.
fn kept(existing: Option<&[u8]>, more: usize) -> String {
    let text = existing
        .and_then(|value| std::str::from_utf8(value).ok())
        .filter(|text| text.bytes().all(is_plain))
        .map_or("", |text| text.trim_matches([' ', '\t', ',']));
    let mut out = String::with_capacity(text.len() + 2 + more);
    if !text.is_empty() {
        out.push_str(text);
        out.push_str(", ");
    }
    out
}

/// A token as it is, anything else as a quoted string (RFC 9110 §5.6.4). What cannot stand in a field is left out.
fn push_value(out: &mut String, value: &str) {
    if list::is_token(value.as_bytes()) {
        return out.push_str(value);
    }
    out.push('"');
    for letter in value.chars().filter(|&letter| is_plain_char(letter)) {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

fn is_plain_char(letter: char) -> bool {
    u8::try_from(letter).is_ok_and(is_plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_client_is_added_at_the_end() {
        let client = ip("192.0.2.1");
        assert_eq!(append_forwarded_for(None, client), "192.0.2.1");
        assert_eq!(append_forwarded_for(Some(b""), client), "192.0.2.1");
        assert_eq!(
            append_forwarded_for(Some(b"10.0.0.1, 10.0.0.2,"), client),
            "10.0.0.1, 10.0.0.2, 192.0.2.1"
        );
        assert_eq!(append_forwarded_for(None, ip("2001:db8::1")), "2001:db8::1");
        assert_eq!(append_forwarded_for(None, ip("::ffff:192.0.2.1")), "192.0.2.1");
    }

    #[test]
    fn what_is_no_plain_text_is_dropped() {
        for bad in [&b"1.2.3.4\r\nX: y"[..], b"\xff", b"a\0b", "é".as_bytes()] {
            assert_eq!(append_forwarded_for(Some(bad), ip("192.0.2.1")), "192.0.2.1");
        }
    }

    #[test]
    fn an_element_is_written_as_the_rfc_shows_it() {
        for (client, host, expected) in [
            ("192.0.2.1", "example.com", "for=192.0.2.1;host=example.com;proto=http"),
            ("192.0.2.1", "a:80", "for=192.0.2.1;host=\"a:80\";proto=http"),
            ("2001:db8::1", "[::1]:80", "for=\"[2001:db8::1]\";host=\"[::1]:80\";proto=http"),
            ("::ffff:192.0.2.1", "", "for=192.0.2.1;proto=http"),
        ] {
            assert_eq!(element(ip(client), host, "http"), expected);
        }
    }

    #[test]
    fn a_host_cannot_break_out_of_its_quotes() {
        let written = element(ip("192.0.2.1"), "a\";for=evil\\,\r\né", "http");
        assert_eq!(written, r#"for=192.0.2.1;host="a\";for=evil\\,";proto=http"#);
    }

    #[test]
    fn elements_form_a_list() {
        assert_eq!(append(None, "for=a"), "for=a");
        assert_eq!(append(Some(b"for=b;proto=https"), "for=a"), "for=b;proto=https, for=a");
    }

    fn unescape(quoted: &str) -> String {
        let mut letters = quoted.chars();
        let mut out = String::new();
        while let Some(letter) = letters.next() {
            out.extend(if letter == '\\' { letters.next() } else { Some(letter) });
        }
        out
    }

    proptest! {
        #[test]
        fn whatever_comes_in_the_result_is_one_plain_line(existing in proptest::collection::vec(any::<u8>(), 0..60), host in ".{0,30}", address: u128) {
            let client = IpAddr::V6(address.into());
            for line in [append_forwarded_for(Some(&existing), client), append(Some(&existing), &element(client, &host, "https"))] {
                prop_assert!(line.bytes().all(is_plain));
            }
        }

        #[test]
        fn a_host_is_read_back_as_it_was(host in "[ -~]{1,20}") {
            let written = element(ip("192.0.2.1"), &host, "");
            let value = written.strip_prefix("for=192.0.2.1;host=").unwrap();
            let read = match value.strip_prefix('"') {
                Some(quoted) => unescape(quoted.strip_suffix('"').unwrap()),
                None => value.to_owned(),
            };
            prop_assert_eq!(read, host);
        }
    }
}
