//! Reads who the client is from what proxies before us wrote: `X-Forwarded-For`, `X-Forwarded-Proto`, `Forwarded`.
//!
//! Every proxy adds to the right what it has seen, so a list is read from its right end, and only as far as the proxies
//! are trusted. What stands further left was written by somebody nobody vouches for: it is not looked at, and nothing in
//! it, such as a quote that is never closed, changes how the rest is read.

use super::fields::Fields;
use super::list;
use super::request::Scheme;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What trusted proxies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who asks: the last that is not itself a trusted proxy, or the peer where nobody is named.
    pub client: IpAddr,
    /// How that client connected, if they say so.
    pub scheme: Option<Scheme>,
}

/// What a request says of its client whose peer is a trusted proxy.
///
/// `X-Forwarded-For` is heard first: many a proxy writes that and lets a client's own `Forwarded` through unseen.
pub fn told(fields: Fields<'_>, peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> Told {
    let proto = proto(fields);
    if fields.has("x-forwarded-for") {
        return Told { client: forwarded_for(fields, peer, is_trusted), scheme: proto };
    }
    let (client, scheme) = forwarded(fields, peer, is_trusted);
    Told { client, scheme: scheme.or(proto) }
}

/// X-Forwarded-Proto as the nearest proxy wrote it, whether it added to a list or replaced it.
fn proto(fields: Fields<'_>) -> Option<Scheme> {
    let line = fields.all("x-forwarded-proto").last()?;
    scheme(line.rsplit(|byte| *byte == b',').next()?.trim_ascii())
}

fn scheme(word: &[u8]) -> Option<Scheme> {
    let is = |scheme: &Scheme| word.eq_ignore_ascii_case(scheme.as_str().as_bytes());
    [Scheme::Http, Scheme::Https].into_iter().find(is)
}

/// The client that X-Forwarded-For names.
fn forwarded_for(fields: Fields<'_>, peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer;
    let lines: Lines<'_> = fields.all("x-forwarded-for").collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    for hop in hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty()) {
        let Some(address) = address(hop) else { break };
        client = address;
        if !is_trusted(address) {
            break;
        }
    }
    client
}

/// The lines of one field, to be read from the last.
type Lines<'a> = SmallVec<[&'a [u8]; 4]>;

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse::<IpAddr>().ok().or_else(with_port).map(|address| address.to_canonical())
}

/// The client that Forwarded names, and how it connected (RFC 7239).
fn forwarded(
    fields: Fields<'_>,
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> (IpAddr, Option<Scheme>) {
    let (mut client, mut scheme) = (peer, None);
    let lines: Lines<'_> = fields.all("forwarded").collect();
    for element in lines.iter().rev().flat_map(|line| Elements(Some(line))) {
        let Some(Element { node, proto }) = Element::read(element) else { break };
        // Written by the proxy that vouches for this element, whoever the element is about.
        scheme = proto;
        // RFC 7239 §6.2, §6.3: `unknown`, or a name that only its proxy can read.
        let Some(address) = node else { break };
        client = address;
        if !is_trusted(address) {
            break;
        }
    }
    (client, scheme)
}

/// The elements of a line, from the right.
struct Elements<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let line = self.0?;
            let (before, element) = match last_comma(line) {
                Some(at) => (Some(&line[..at]), &line[at + 1..]),
                None => (None, line),
            };
            self.0 = before;
            let element = element.trim_ascii();
            if !element.is_empty() {
                return Some(element);
            }
        }
    }
}

/// The last comma outside quotes. What is right of it is read as its writer meant it, whatever is left of it.
fn last_comma(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let escaped = |at: usize| line[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    (0..line.len()).rev().find(|at| match line[*at] {
        b'"' => {
            // From the right the closing quote comes first, and no backslash makes that another.
            quoted = !quoted || escaped(*at);
            false
        }
        byte => byte == b',' && !quoted,
    })
}

/// What one proxy says: the parts of an element that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Element {
    /// Who has connected to it, if that is an address.
    node: Option<IpAddr>,
    /// How.
    proto: Option<Scheme>,
}

impl Element {
    /// Reads `for=192.0.2.1;proto=https`; `None` for what is not of that form.
    fn read(mut text: &[u8]) -> Option<Self> {
        let (mut by_name, mut element) = ([false; 2], Self::default());
        while !text.is_empty() {
            let Pair { name, value, rest } = Pair::first(text)?;
            text = rest;
            let known = [&b"for"[..], b"proto"].iter().position(|known| name.eq_ignore_ascii_case(known));
            // RFC 7239 §4: each parameter once. Of two, nobody can say which one its proxy wrote.
            if known.is_some_and(|at| std::mem::replace(&mut by_name[at], true)) {
                return None;
            }
            match known {
                Some(0) => element.node = node(&value),
                Some(_) => element.proto = scheme(&value),
                None => {}
            }
        }
        Some(element)
    }
}

/// A `name=value` of an element, and what follows its semicolon.
struct Pair<'a> {
    name: &'a [u8],
    value: Cow<'a, [u8]>,
    rest: &'a [u8],
}

impl<'a> Pair<'a> {
    fn first(text: &'a [u8]) -> Option<Self> {
        let equals = memchr::memchr(b'=', text)?;
        let (name, value) = (text[..equals].trim_ascii(), &text[equals + 1..]);
        let (value, rest) = match value.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = memchr::memchr(b';', value).unwrap_or(value.len());
                let (value, rest) = value.split_at(end);
                // Ports and brackets belong in quotes, and are often sent without.
                let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'"';
                let value = value.trim_ascii();
                (!value.is_empty() && value.iter().all(plain)).then_some((Cow::Borrowed(value), rest))?
            }
        };
        let rest = match rest.trim_ascii() {
            [] => &[],
            [b';', rest @ ..] => rest.trim_ascii(),
            _ => return None,
        };
        list::is_token(name).then_some(Self { name, value, rest })
    }
}

/// The text of a quoted string whose opening quote is gone, and what follows the closing one (RFC 9110 §5.6.4).
fn unquoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let end = memchr::memchr2(b'"', b'\\', text)?;
    if text[end] == b'"' {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = Vec::with_capacity(text.len());
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((Cow::Owned(value), &text[at + 1..])),
            b'\\' => value.push(*bytes.next()?.1),
            byte => value.push(*byte),
        }
    }
    None
}

/// The address of a node: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:_port` (RFC 7239 §6).
///
/// An IPv6 address without brackets is none: where its port begins, if it has one, nobody can tell.
fn node(value: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(value).ok()?;
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (address.parse::<Ipv6Addr>().ok().map(IpAddr::V6), port)
        }
        None => {
            let (address, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (address.parse::<Ipv4Addr>().ok().map(IpAddr::V4), port)
        }
    };
    let named = |port: &str| match port.strip_prefix('_') {
        Some(name) => !name.is_empty() && list::is_token(name.as_bytes()),
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
    };
    let fits = port.is_empty() || port.strip_prefix(':').is_some_and(named);
    address.filter(|_| fits).map(|address| address.to_canonical())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::http::forwarded;
    use httparse::Header;
    use proptest::prelude::*;

    const PEER: &str = "10.0.0.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_trusted(address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
    }

    /// What is told by fields with these names and values.
    fn read(fields: &[(&str, &[u8])]) -> Told {
        let raw: Vec<Header<'_>> = fields.iter().map(|(name, value)| Header { name, value }).collect();
        told(Fields::Raw(&raw), ip(PEER), is_trusted)
    }

    /// The same as text.
    fn shown(fields: &[(&str, &str)]) -> String {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let Told { client, scheme } = read(&fields);
        format!("{client}{}", scheme.map_or(String::new(), |scheme| format!(" {}", scheme.as_str())))
    }

    #[test]
    fn the_client_is_the_last_hop_that_nobody_vouches_for() {
        for (lines, expected) in [
            (&["203.0.113.9"][..], "203.0.113.9"),
            (&["198.51.100.1, 203.0.113.9, 10.0.0.7"], "203.0.113.9"),
            (&["198.51.100.1", "203.0.113.9:4711"], "203.0.113.9"),
            (&["198.51.100.1,203.0.113.9,", " ,"], "203.0.113.9"),
            (&["10.1.1.1, 10.0.0.7"], "10.1.1.1"),
            (&["[2001:db8::1]:80"], "2001:db8::1"),
            (&["[2001:db8::1], 10.0.0.7"], "2001:db8::1"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9, unknown"], PEER),
            (&["unknown, 10.0.0.9"], "10.0.0.9"),
            (&["x=\"a, 203.0.113.9"], "203.0.113.9"),
            (&[""], PEER),
            (&[], PEER),
        ] {
            let fields: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            assert_eq!(shown(&fields), expected, "{lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_the_rfc_writes_it() {
        for (lines, expected) in [
            (&["for=203.0.113.9"][..], "203.0.113.9"),
            (&["For=203.0.113.9;Proto=HTTPS;by=10.0.0.1"], "203.0.113.9 https"),
            (&["for=\"203.0.113.9:4711\"; proto=http"], "203.0.113.9 http"),
            (&["for=\"[2001:db8:cafe::17]\""], "2001:db8:cafe::17"),
            (
                &["for=\"[2001:db8:cafe::17]:4711\";host=\"a, b;c\\\"\";proto=https"],
                "2001:db8:cafe::17 https",
            ),
            (&["for=\"\\2\\03.0.113.9:_hidden\""], "203.0.113.9"),
            (&["for=\"[::ffff:203.0.113.9]\""], "203.0.113.9"),
            // Not as written there, and often sent.
            (&["for=203.0.113.9:4711 ; proto=https;"], "203.0.113.9 https"),
            (&["for=[2001:db8::1]:80"], "2001:db8::1"),
            // The last that is not trusted, and what is said of it.
            (
                &["for=198.51.100.1, for=203.0.113.9;proto=https, for=10.0.0.7;proto=http"],
                "203.0.113.9 https",
            ),
            (&["for=198.51.100.1", "for=203.0.113.9;proto=https", "for=10.0.0.7"], "203.0.113.9 https"),
            (&["for=203.0.113.9, for=10.0.0.7;proto=https"], "203.0.113.9"),
            (&["for=10.1.1.1;proto=https,, for=10.0.0.7,"], "10.1.1.1 https"),
            // Nobody who could be named.
            (&["for=203.0.113.9, for=unknown;proto=https"], "10.0.0.1 https"),
            (&["for=203.0.113.9, for=_hidden;proto=https, for=10.0.0.7"], "10.0.0.7 https"),
            (&["for=203.0.113.9, proto=https"], "10.0.0.1 https"),
            (&["for=203.0.113.9, for=\"2001:db8::1\""], PEER),
            (&["for=203.0.113.9, for=\"2001:db8::1:80\""], PEER),
            (&["for=203.0.113.9, for=\"[2001:db8::1]80\""], PEER),
            (&["for=203.0.113.9, for=\"192.0.2.1:\""], PEER),
            (&["for=203.0.113.9, for=\"192.0.2.1:123456\""], PEER),
            (&["for=203.0.113.9, for=\"192.0.2.1:_\""], PEER),
            (&["for=203.0.113.9, for=192.0.2.01"], PEER),
            // Not of the form at all: nothing further left counts.
            (&["for=203.0.113.9, for=10.0.0.7;for=10.0.0.8;proto=https"], PEER),
            (&["for=203.0.113.9, for=10.0.0.7;proto=https;proto=http"], PEER),
            (&["for=203.0.113.9, for"], PEER),
            (&["for=203.0.113.9, for="], PEER),
            (&["for=203.0.113.9, for=\"10.0.0.7"], PEER),
            (&["for=203.0.113.9, for=\"10.0.0.7\"x"], PEER),
            (&["for=203.0.113.9, for=10.0.0.7 proto=https"], PEER),
            (&["for=203.0.113.9, f o=10.0.0.7"], PEER),
            (&["for=203.0.113.9, =10.0.0.7"], PEER),
            (&[""], PEER),
        ] {
            let fields: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
            assert_eq!(shown(&fields), expected, "{lines:?}");
        }
    }

    #[test]
    fn nothing_that_is_left_of_a_proxys_own_word_changes_how_that_is_read() {
        for forged in [
            "for=\"",
            "x=\"",
            "x=\"\\",
            "for=198.51.100.1;x=\"a",
            "\"",
            "\\",
            "for=198.51.100.1, \"\\\"",
            ";",
        ] {
            for own in
                ["for=203.0.113.9", "for=\"[2001:db8::1]\"", "for=\"203.0.113.9:80\";host=\"\\\",\\\\\""]
            {
                let expected = if own.contains("2001") { "2001:db8::1" } else { "203.0.113.9" };
                assert_eq!(shown(&[("forwarded", &format!("{forged}, {own}"))]), expected);
                assert_eq!(shown(&[("forwarded", forged), ("forwarded", own)]), expected);
            }
        }
    }

    #[test]
    fn the_scheme_is_what_the_nearest_proxy_says() {
        for (lines, expected) in [
            (&["https"][..], "10.0.0.1 https"),
            (&["HTTP"], "10.0.0.1 http"),
            (&["https, http"], "10.0.0.1 http"),
            (&["http,https"], "10.0.0.1 https"),
            (&["http", "https"], "10.0.0.1 https"),
            (&["https, wss"], PEER),
            (&["https,"], PEER),
            (&["ftp"], PEER),
            (&[""], PEER),
        ] {
            let fields: Vec<_> = lines.iter().map(|line| ("x-forwarded-proto", *line)).collect();
            assert_eq!(shown(&fields), expected, "{lines:?}");
        }
    }

    #[test]
    fn who_names_the_client_names_its_scheme() {
        let forged = ("forwarded", "for=198.51.100.1;proto=https");
        assert_eq!(shown(&[forged, ("x-forwarded-for", "203.0.113.9")]), "203.0.113.9");
        assert_eq!(shown(&[forged, ("x-forwarded-for", "")]), PEER);
        let both = [forged, ("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "http")];
        assert_eq!(shown(&both), "203.0.113.9 http");
        let own = ("forwarded", "for=203.0.113.9;proto=https");
        assert_eq!(shown(&[own, ("x-forwarded-proto", "http")]), "203.0.113.9 https");
        assert_eq!(
            shown(&[("forwarded", "for=203.0.113.9"), ("x-forwarded-proto", "https")]),
            "203.0.113.9 https"
        );
    }

    /// What a client may send in a field: anything that can stand there, and often what matters in lists.
    fn forged() -> impl Strategy<Value = Vec<u8>> {
        let letter = prop_oneof![
            4 => proptest::sample::select(b"\",;=\\ []:._for1203proto".to_vec()),
            1 => prop_oneof![b' '..=b'~', 0x80..=0xffu8],
        ];
        proptest::collection::vec(letter, 0..60)
    }

    fn client() -> impl Strategy<Value = IpAddr> {
        let any = prop_oneof![
            any::<u32>().prop_map(|n| IpAddr::V4(n.into())),
            any::<u128>().prop_map(|n| IpAddr::V6(n.into()))
        ];
        any.prop_map(|address| address.to_canonical())
            .prop_filter("it is a proxy", |address| !is_trusted(*address))
    }

    proptest! {
        #[test]
        fn no_client_behind_a_proxy_chooses_its_address_or_scheme(
            lines in proptest::collection::vec(forged(), 0..4), joined: bool, client in client(), host in ".{0,12}", hops in 0u8..3, both: bool,
        ) {
            // The proxies add to the client's last line, or begin a line of their own.
            let mut xff = lines.clone();
            let mut standard = lines;
            let mut add = |address: IpAddr, proto: &str| {
                let element = forwarded::element(address, &host, proto);
                for (lines, own) in [(&mut xff, address.to_string()), (&mut standard, element)] {
                    match lines.last_mut() {
                        Some(last) if joined => last.extend(format!(", {own}").bytes()),
                        _ => lines.push(own.into_bytes()),
                    }
                }
            };
            add(client, "https");
            (0..hops).for_each(|hop| add(IpAddr::from([10, 0, 0, hop + 2]), "http"));
            let named = |name: &'static str, lines: &[Vec<u8>]| lines.iter().map(|line| (name, line.clone())).collect::<Vec<_>>();
            let mut fields = named("forwarded", &standard);
            let expected = if both {
                fields.extend(named("x-forwarded-for", &xff));
                Told { client, scheme: None }
            } else {
                Told { client, scheme: Some(Scheme::Https) }
            };
            let fields: Vec<(&str, &[u8])> = fields.iter().map(|(name, line)| (*name, line.as_slice())).collect();
            prop_assert_eq!(read(&fields), expected);
        }

        #[test]
        fn no_bytes_panic(lines in proptest::collection::vec((proptest::sample::select(vec!["forwarded", "x-forwarded-for", "x-forwarded-proto"]), proptest::collection::vec(any::<u8>(), 0..80)), 0..5)) {
            let fields: Vec<(&str, &[u8])> = lines.iter().map(|(name, line)| (*name, line.as_slice())).collect();
            read(&fields);
        }

        #[test]
        fn what_we_write_ourselves_is_read_back(address in client(), host in ".{0,20}", https: bool) {
            let scheme = if https { Scheme::Https } else { Scheme::Http };
            let line = forwarded::element(address, &host, scheme.as_str());
            let element = Element::read(line.as_bytes());
            prop_assert_eq!(element, Some(Element { node: Some(address), proto: Some(scheme) }));
        }
    }
}
