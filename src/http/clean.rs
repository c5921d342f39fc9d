//! Writes a request head anew where what was sent would be read differently by whoever reads it next.
//!
//! Most heads are passed on as they came. The others say things that concern us alone, or that two readers
//! understand in two ways: an absolute-form target, fields nominated by Connection (which an origin never sees, so a
//! cached variant must not be chosen by them), an Upgrade to what we do not speak, bytes that belong percent-encoded.

use super::head::Head;
use super::hop_by_hop;
use super::request::Protocol;
use bytes::BytesMut;

/// Bytes that may not stand in a request target (RFC 3986 §2) and that browsers and scripts send all the same.
pub const fn needs_encoding(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`')
}

/// The head as it is passed on.
pub fn clean(head: &Head<'_, '_>) -> BytesMut {
    let mut out = BytesMut::with_capacity(head.len + 64);
    let version = if head.protocol == Protocol::Http10 { " HTTP/1.0" } else { " HTTP/1.1" };
    out.extend_from_slice(head.method.as_bytes());
    out.extend_from_slice(b" ");
    encode(&mut out, head.path_and_query);
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(authority) = head.authority {
        // RFC 9112 §3.2.2: it replaces the Host field.
        push(&mut out, "Host", authority.as_bytes());
    }
    let nominated = nominated(head);
    let stays =
        |name: &str| !ends_here(head, name) && !nominated.iter().any(|n| n.eq_ignore_ascii_case(name));
    for field in head.fields.iter().filter(|field| stays(field.name)) {
        push(&mut out, field.name, field.value);
    }
    if let Some(connection) = connection(head) {
        push(&mut out, "Connection", connection);
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn encode(out: &mut BytesMut, target: &str) {
    for byte in target.bytes() {
        if needs_encoding(byte) {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.extend_from_slice(&[byte]);
        }
    }
}

/// RFC 9110 §7.6.1: what Connection names ends here.
fn nominated<'b>(head: &Head<'_, 'b>) -> Vec<&'b str> {
    let connection = head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("connection"));
    let named = hop_by_hop::named_by_connection(connection.map(|field| field.value));
    // An option is not a field: `upgrade` says that the Upgrade field counts.
    named.filter(|name| !name.eq_ignore_ascii_case("upgrade")).collect()
}

/// Fields that are written anew, or that say nothing to anybody further on.
fn ends_here(head: &Head<'_, '_>, name: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    is("connection")
        || (is("host") && head.authority.is_some())
        || (!head.upgrade && (is("upgrade") || is("http2-settings")))
}

fn connection(head: &Head<'_, '_>) -> Option<&'static [u8]> {
    match (head.upgrade, head.keep_alive, head.protocol) {
        (true, ..) => Some(b"upgrade"),
        (_, false, _) => Some(b"close"),
        (_, true, Protocol::Http10) => Some(b"keep-alive"),
        _ => None,
    }
}

fn push(out: &mut BytesMut, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{read, slots};

    fn cleaned(text: &str) -> String {
        let mut first = slots();
        let head = read(text.as_bytes(), &mut first).unwrap().unwrap();
        assert!(head.odd, "{text:?}");
        let clean = String::from_utf8(clean(&head).to_vec()).unwrap();
        let mut again = slots();
        assert!(!read(clean.as_bytes(), &mut again).unwrap().unwrap().odd, "{clean:?}");
        clean
    }

    #[test]
    fn what_two_readers_would_read_differently_is_written_anew() {
        for (sent, passed) in [
            (
                "GET http://B:81/x?y HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n",
                "GET /x?y HTTP/1.1\r\nHost: B:81\r\nA: b\r\n\r\n",
            ),
            (
                "GET /?q=\"<a>`\" HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /?q=%22%3Ca%3E%60%22 HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nAccept-Language: de\r\nConnection: accept-language, host, close\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            ),
            (
                "GET /ws HTTP/1.1\r\nHost: a\r\nX-Foo: b\r\nUpgrade: websocket\r\nConnection: upgrade, x-foo\r\n\r\n",
                "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nConnection: upgrade, http2-settings\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
        ] {
            assert_eq!(cleaned(sent), passed);
        }
    }

    #[test]
    fn an_ordinary_head_is_not_odd() {
        for text in [
            "GET /a?b=c HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n",
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
        ] {
            let mut slots = slots();
            assert!(!read(text.as_bytes(), &mut slots).unwrap().unwrap().odd, "{text:?}");
        }
    }
}
