//! Reads one HTTP/1 request head and refuses what RFC 9112 refuses, before anything acts on it.
//!
//! This is the only place that decides whether a head is well-formed: what it lets through, Pingora reads the
//! same way. It refuses more than Pingora does (both Content-Length and Transfer-Encoding, bare LF, a missing
//! Host), because each of those has been used to smuggle a request past a proxy.

use super::fields::Fields;
use super::request::{Framing, Protocol, RequestView, Scheme};
use super::{clean, list};
use crate::verdict::Refused;
use httparse::Header;
use std::mem::MaybeUninit;
use std::net::IpAddr;

/// Most header fields a request may have.
pub const MAX_FIELDS: usize = 100;
/// Most bytes a head may have.
pub const MAX_HEAD: usize = 32 * 1024;
/// Most bytes a request target may have.
pub const MAX_TARGET: usize = 8 * 1024;
/// Room for the method and version around the longest target.
const REQUEST_LINE_SLACK: usize = 64;

/// Where `httparse` puts the fields it finds.
pub type Slots<'b> = [MaybeUninit<Header<'b>>; MAX_FIELDS];

/// Slots with nothing in them.
pub const fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// Why a head is refused, for people and for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status to answer with.
    pub status: u16,
    /// The word for log and metric.
    pub reason: Refused,
    /// One clause for the person who reads the answer.
    pub detail: &'static str,
}

const fn bad(detail: &'static str) -> Refusal {
    Refusal { status: 400, reason: Refused::BadRequest, detail }
}

const fn refused(status: u16, detail: &'static str) -> Refusal {
    Refusal { status, reason: Refused::BadRequest, detail }
}

const TOO_LARGE: Refusal =
    Refusal { status: 431, reason: Refused::HeadTooLarge, detail: "the request head is too large" };
const TOO_LONG: Refusal =
    Refusal { status: 414, reason: Refused::TargetTooLong, detail: "the request target is too long" };

/// A well-formed HTTP/1 request head, borrowed from the connection's buffer.
#[derive(Debug)]
pub struct Head<'h, 'b> {
    /// Bytes of the head, the blank line included.
    pub len: usize,
    /// The method.
    pub method: &'b str,
    /// The target as it was sent.
    pub target: &'b str,
    /// Authority of an absolute-form target; it beats the Host field (RFC 9112 §3.2.2).
    pub authority: Option<&'b str>,
    /// Path and query without the authority.
    pub path_and_query: &'b str,
    /// Host and port of the effective request URI.
    pub host: &'b str,
    /// Port, if one was named.
    pub port: Option<u16>,
    /// HTTP/1.0 or HTTP/1.1.
    pub protocol: Protocol,
    /// The header fields.
    pub fields: &'h [Header<'b>],
    /// The body that follows.
    pub framing: Framing,
    /// Whether the connection may be used again after this request (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether it asks to change to WebSocket, the one protocol that is passed through.
    pub upgrade: bool,
    /// Whether it must be written anew before anybody else reads it; see [`super::clean`].
    pub odd: bool,
}

impl<'h, 'b> Head<'h, 'b> {
    /// The request as policy sees it.
    pub fn view(&self, scheme: Scheme, client: IpAddr) -> RequestView<'h> {
        let (path, query) = split_query(self.path_and_query);
        RequestView {
            method: self.method,
            scheme,
            host: self.host,
            port: self.port.unwrap_or(scheme.default_port()),
            path,
            query,
            protocol: self.protocol,
            fields: Fields::Raw(self.fields),
            framing: self.framing,
            upgrade: self.upgrade,
            client,
        }
    }
}

/// Splits a path and query at the first `?`.
pub fn split_query(target: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'?', target.as_bytes()) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// Reads the head at the start of `buf`. `Ok(None)`: more bytes are needed.
pub fn read<'h, 'b>(buf: &'b [u8], slots: &'h mut Slots<'b>) -> Result<Option<Head<'h, 'b>>, Refusal> {
    let Some(end) = end_of_head(buf) else { return incomplete(buf).map(|()| None) };
    if end > MAX_HEAD {
        return Err(TOO_LARGE);
    }
    if has_bare_lf(&buf[..end]) {
        return Err(bad("a line ends in a bare LF"));
    }
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(&buf[..end], slots);
    let len = match parsed {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Err(bad("the head ends early")),
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(httparse::Error::Version) => return Err(refused(505, "the HTTP version is not supported")),
        Err(_) => return Err(bad("the head is malformed")),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(bad("the request line is incomplete"));
    };
    let protocol = if minor == 0 { Protocol::Http10 } else { Protocol::Http11 };
    check(len, method, target, protocol, request.headers).map(Some)
}

/// Offset past the blank line, if it has arrived. Bare LFs count, so that they are refused and not waited for.
fn end_of_head(buf: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', buf).find_map(|at| match &buf[at + 1..] {
        [b'\r', b'\n', ..] => Some(at + 3),
        [b'\n', ..] => Some(at + 2),
        _ => None,
    })
}

/// What can already be said about a head that has not ended.
fn incomplete(buf: &[u8]) -> Result<(), Refusal> {
    // Half of an empty line before the request (RFC 9112 §2.2).
    if buf == b"\r" {
        return Ok(());
    }
    if buf.first().is_some_and(|b| !b.is_ascii_alphabetic() && !is_token_symbol(*b)) {
        return Err(bad("this is not HTTP"));
    }
    if buf.len() > MAX_TARGET + REQUEST_LINE_SLACK && memchr::memchr(b'\n', buf).is_none() {
        return Err(TOO_LONG);
    }
    if buf.len() > MAX_HEAD { Err(TOO_LARGE) } else { Ok(()) }
}

/// Symbols a method may begin with (RFC 9110 §5.6.2), letters aside.
fn is_token_symbol(byte: u8) -> bool {
    byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn has_bare_lf(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

/// What the fields say about the message itself.
#[derive(Default)]
struct Seen<'b> {
    host: Option<&'b [u8]>,
    length: Option<&'b [u8]>,
    coding: Option<&'b [u8]>,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    upgrade: Upgrade,
    nominates: bool,
}

/// What the Upgrade fields ask for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Upgrade {
    #[default]
    Nothing,
    WebSocket,
    /// Something we do not pass on: ignored, as RFC 9110 §7.8 allows.
    Other,
}

fn check<'h, 'b>(
    len: usize,
    method: &'b str,
    target: &'b str,
    protocol: Protocol,
    fields: &'h [Header<'b>],
) -> Result<Head<'h, 'b>, Refusal> {
    if target.len() > MAX_TARGET {
        return Err(TOO_LONG);
    }
    if matches!(method, "CONNECT" | "TRACE") {
        return Err(refused(405, "the method is not allowed here"));
    }
    let seen = scan(fields)?;
    let (authority, path_and_query) = split_target(method, target)?;
    let (host, port) = effective_host(protocol, seen.host, authority)?;
    let framing = framing(protocol, &seen)?;
    // RFC 9110 §7.8: it needs the connection option, and is ignored in 1.0.
    let upgrade =
        seen.upgrade == Upgrade::WebSocket && seen.connection_upgrade && protocol == Protocol::Http11;
    let stray_upgrade = seen.upgrade != Upgrade::Nothing && !upgrade;
    Ok(Head {
        len,
        method,
        target,
        authority,
        path_and_query,
        host,
        port,
        protocol,
        fields,
        framing,
        // RFC 9112 §9.3: persistent by default from 1.1 on.
        keep_alive: !seen.close && (protocol == Protocol::Http11 || seen.keep_alive),
        upgrade,
        odd: authority.is_some()
            || stray_upgrade
            || seen.nominates
            || path_and_query.bytes().any(clean::needs_encoding),
    })
}

/// One pass over the fields that frame the message.
fn scan<'b>(fields: &[Header<'b>]) -> Result<Seen<'b>, Refusal> {
    let mut seen = Seen::default();
    for field in fields {
        match field.name.len() {
            4 if is(field, "host") => once(&mut seen.host, field, "more than one Host field")?,
            6 if is(field, "expect") => expect(field.value)?,
            7 if is(field, "upgrade") => seen.upgrade = upgrade(seen.upgrade, field.value),
            10 if is(field, "connection") => connection(&mut seen, field.value)?,
            14 if is(field, "content-length") => {
                once(&mut seen.length, field, "more than one Content-Length field")?;
            }
            // h2c by upgrade is obsolete (RFC 9113 §3.1) and never offered.
            14 if is(field, "http2-settings") => seen.upgrade = Upgrade::Other,
            17 if is(field, "transfer-encoding") => {
                once(&mut seen.coding, field, "more than one Transfer-Encoding field")?;
            }
            _ => {}
        }
    }
    Ok(seen)
}

fn is(field: &Header<'_>, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name)
}

fn once<'b>(slot: &mut Option<&'b [u8]>, field: &Header<'b>, detail: &'static str) -> Result<(), Refusal> {
    match slot.replace(field.value) {
        None => Ok(()),
        Some(_) => Err(bad(detail)),
    }
}

/// RFC 9110 §10.1.1: an expectation we do not know cannot be met.
fn expect(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"100-continue") {
        Ok(())
    } else {
        Err(refused(417, "the expectation is not one we can meet"))
    }
}

fn upgrade(before: Upgrade, value: &[u8]) -> Upgrade {
    match before {
        Upgrade::Nothing if value.eq_ignore_ascii_case(b"websocket") => Upgrade::WebSocket,
        _ => Upgrade::Other,
    }
}

/// RFC 9110 §7.6.1: options we know, and names of fields that end here.
fn connection(seen: &mut Seen<'_>, value: &[u8]) -> Result<(), Refusal> {
    for token in value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty()) {
        let is = |option: &[u8]| token.eq_ignore_ascii_case(option);
        match token {
            _ if is(b"close") => seen.close = true,
            _ if is(b"keep-alive") => seen.keep_alive = true,
            _ if is(b"upgrade") => seen.connection_upgrade = true,
            _ if is(b"te") => {}
            // RFC 9110 §7.6.1: what frames the message cannot end here; taking it out would make its body a request.
            _ if is(b"transfer-encoding") || is(b"content-length") => {
                return Err(bad("Connection names a field that frames the message"));
            }
            _ if list::is_token(token) => seen.nominates = true,
            _ => return Err(bad("the Connection field is malformed")),
        }
    }
    Ok(())
}

/// Authority and path of the four forms of a target (RFC 9112 §3.2).
fn split_target<'b>(method: &str, target: &'b str) -> Result<(Option<&'b str>, &'b str), Refusal> {
    if memchr::memchr(b'#', target.as_bytes()).is_some() {
        return Err(bad("the request target has a fragment"));
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((None, target));
    }
    let rest = strip_scheme(target).ok_or(bad("the request target is malformed"))?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    if authority.is_empty() {
        return Err(bad("the request target names no host"));
    }
    match path {
        // RFC 9112 §3.2.4: asked of a proxy without a path, OPTIONS is about the server as a whole.
        "" if method == "OPTIONS" => Ok((Some(authority), "*")),
        "" => Ok((Some(authority), "/")),
        _ if path.starts_with('?') => Err(bad("the request target has no path")),
        _ => Ok((Some(authority), path)),
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

/// RFC 9112 §3.2: a 1.1 request without exactly one valid Host is a 400; an absolute target beats it.
fn effective_host<'b>(
    protocol: Protocol,
    host: Option<&'b [u8]>,
    authority: Option<&'b str>,
) -> Result<(&'b str, Option<u16>), Refusal> {
    let named = match host {
        Some(value) => {
            std::str::from_utf8(value).map_err(|_| bad("the Host field is malformed"))?.trim_ascii()
        }
        None if protocol == Protocol::Http11 => return Err(bad("the Host field is missing")),
        None => "",
    };
    let parsed = split_host(named).ok_or(bad("the Host field is malformed"))?;
    match authority {
        Some(authority) => split_host(authority).ok_or(bad("the request target names a malformed host")),
        None if named.is_empty() && protocol == Protocol::Http11 => Err(bad("the Host field is empty")),
        None => Ok(parsed),
    }
}

/// Splits `host[:port]`; `None` if it is not a `uri-host [ ":" port ]` (RFC 9110 §7.2).
pub fn split_host(value: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match value.strip_prefix('[') {
        Some(rest) => {
            let close = rest.find(']')?;
            rest[..close].parse::<std::net::Ipv6Addr>().ok()?;
            let (host, tail) = value.split_at(close + 2);
            (host, if tail.is_empty() { None } else { Some(tail.strip_prefix(':')?) })
        }
        None => match value.bytes().position(|b| b == b':') {
            Some(at) => (&value[..at], Some(&value[at + 1..])),
            None => (value, None),
        },
    };
    let name_ok = host.starts_with('[') || host.bytes().all(is_host_byte);
    let port = match port {
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
    };
    (name_ok && (port.is_none() || !host.is_empty())).then_some((host, port))
}

/// Bytes of a `reg-name` (RFC 3986 §3.2.2).
const fn is_host_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%')
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

/// RFC 9112 §6.3, without the repairs it allows: anything ambiguous is refused.
fn framing(protocol: Protocol, seen: &Seen<'_>) -> Result<Framing, Refusal> {
    match (seen.coding, seen.length) {
        (Some(_), Some(_)) => Err(bad("both Content-Length and Transfer-Encoding")),
        (Some(_), None) if protocol == Protocol::Http10 => Err(bad("Transfer-Encoding in HTTP/1.0")),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (Some(_), None) => Err(refused(501, "the transfer coding is not supported")),
        (None, Some(length)) => content_length(length),
        (None, None) => Ok(Framing::None),
    }
}

fn content_length(value: &[u8]) -> Result<Framing, Refusal> {
    let digits =
        std::str::from_utf8(value).ok().filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()));
    match digits.and_then(|v| v.parse::<u64>().ok()) {
        Some(0) => Ok(Framing::None),
        Some(length) => Ok(Framing::Length(length)),
        None => Err(bad("the Content-Length is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn status(head: &str) -> u16 {
        match read(head.as_bytes(), &mut slots()) {
            Ok(Some(_)) => 200,
            Ok(None) => 0,
            Err(refusal) => refusal.status,
        }
    }

    #[test]
    fn heads_are_judged_by_rfc_9112() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(MAX_TARGET));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS));
        let big = format!("GET / HTTP/1.1\r\nHost: a\r\na: {}\r\n\r\n", "b".repeat(MAX_HEAD));
        let table: &[(&str, u16)] = &[
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            ("GET / HTTP/1.0\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\nHost: [::x]:80\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: a\n\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            ("GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n\r\n",
                400,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close, content-length\r\n\r\n",
                400,
            ),
            ("\r", 0),
            ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET ftp://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
            ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417),
            ("GET / HTTP/1.1\r\nHost: a\r\n", 0),
            ("\x16\x03\x01", 400),
            (&long, 414),
            (&many, 431),
            (&big, 431),
            (&"a".repeat(MAX_TARGET + REQUEST_LINE_SLACK + 1), 414),
        ];
        for (head, expected) in table {
            assert_eq!(status(head), *expected, "{:?}", &head[..head.len().min(90)]);
        }
    }

    #[test]
    fn an_absolute_target_beats_the_host_field() {
        let head = b"GET http://B:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut slots = slots();
        let head = read(head, &mut slots).unwrap().unwrap();
        let view = head.view(Scheme::Http, IpAddr::from([127, 0, 0, 1]));
        assert_eq!((view.host, view.port, view.path, view.query), ("B", 81, "/x", Some("y")));
    }

    #[test]
    fn persistence_follows_version_and_connection() {
        let keep = |head: &str| read(head.as_bytes(), &mut slots()).unwrap().unwrap().keep_alive;
        assert!(keep("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(!keep("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"));
        assert!(!keep("GET / HTTP/1.0\r\n\r\n"));
        assert!(keep("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes, &mut slots());
        }

        #[test]
        fn a_prefix_of_a_good_head_is_never_refused_nor_complete(cut in 0usize..200) {
            let head = b"POST /path/to?query=1 HTTP/1.1\r\nHost: example.com:8080\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n";
            let cut = cut.min(head.len() - 1);
            prop_assert!(matches!(read(&head[..cut], &mut slots()), Ok(None)));
        }
    }
}
