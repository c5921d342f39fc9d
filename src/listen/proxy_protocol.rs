//! Reads the header in which a load balancer says whose connection it passes on: the PROXY protocol, versions 1 and 2.
//!
//! Pure: bytes in, what they say out. The specification is HAProxy's `proxy-protocol.txt`; sections are of that. What
//! cannot become a header any more is malformed at once, and of what may, no byte behind its end is ever asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most bytes of a line of version 1, its end included (§2.1).
const MOST_V1: usize = 107;
/// Most bytes of a header of version 2. Addresses take 232 at most; nginx leaves as much room for the rest.
const MOST_V2: usize = 4096;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes before the length of a header of version 2 has been told.
const FIXED: usize = 16;

/// What a header says of the connection behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Who has connected to the load balancer; `None` where it speaks for itself, or cannot tell.
    pub source: Option<SocketAddr>,
    /// Whether that connection was made over TLS.
    pub tls: bool,
    /// Whether there is somebody else behind it: not with LOCAL, by which a load balancer speaks for itself.
    pub relayed: bool,
}

/// How far the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All of them belong to a header that is not complete.
    More,
    /// The header takes so many of them.
    Whole(Said, usize),
}

/// The bytes are no header, and nothing that follows can make them one. Says what is wrong, in a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

type Result<T> = std::result::Result<T, Malformed>;

/// Reads the header at the beginning of a connection.
///
/// # Errors
/// [`Malformed`]: the connection is to be closed.
pub fn read(bytes: &[u8]) -> Result<Progress> {
    match bytes.first() {
        None => Ok(Progress::More),
        Some(b'P') => version_1(bytes),
        Some(_) => version_2(bytes),
    }
}

fn version_1(bytes: &[u8]) -> Result<Progress> {
    const WORDS: [&[u8]; 3] = [b"TCP4 ", b"TCP6 ", b"UNKNOWN"];
    let Some(rest) = after(bytes, V1)? else { return Ok(Progress::More) };
    let begins = |word: &&[u8]| rest.starts_with(word) || word.starts_with(rest);
    if !WORDS.iter().any(begins) {
        return Err(Malformed("the PROXY line names no protocol that is known"));
    }
    let line = &bytes[..bytes.len().min(MOST_V1)];
    let Some(end) = memchr::memmem::find(line, b"\r\n") else {
        let ends = line.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let ends_otherwise = ends.is_some_and(|at| line[at..] != *b"\r");
        // What an UNKNOWN line says is ignored, whatever it is.
        return if ends_otherwise && !rest.starts_with(WORDS[2]) || bytes.len() >= MOST_V1 {
            Err(Malformed("the PROXY line does not end in CR LF"))
        } else {
            Ok(Progress::More)
        };
    };
    Ok(Progress::Whole(
        Said { source: line_source(&line[V1.len()..end])?, tls: false, relayed: true },
        end + 2,
    ))
}

/// The source in a line of version 1 without its beginning and its end.
fn line_source(line: &[u8]) -> Result<Option<SocketAddr>> {
    const WRONG: Malformed = Malformed("the PROXY line has no addresses as the protocol writes them");
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let mut words = std::str::from_utf8(line).map_err(|_| WRONG)?.split(' ');
    let mut word = || words.next().ok_or(WRONG);
    let address: fn(&str) -> Option<IpAddr> = match word()? {
        "TCP4" => |text| text.parse().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse().ok().map(IpAddr::V6),
        _ => return Err(WRONG),
    };
    let (source, destination) = (address(word()?), address(word()?));
    let (port, other) = (decimal(word()?), decimal(word()?));
    match (source, destination, port, other, words.next()) {
        (Some(source), Some(_), Some(port), Some(_), None) => Ok(Some(SocketAddr::new(source, port))),
        _ => Err(WRONG),
    }
}

/// A port without sign and leading zeros.
fn decimal(text: &str) -> Option<u16> {
    let plain = text == "0" || text.starts_with(|first: char| ('1'..='9').contains(&first));
    if plain { text.parse().ok() } else { None }
}

fn version_2(bytes: &[u8]) -> Result<Progress> {
    let Some(rest) = after(bytes, V2)? else { return Ok(Progress::More) };
    if rest.first().is_some_and(|byte| !matches!(byte, 0x20 | 0x21)) {
        return Err(Malformed("the PROXY header has a version or command that is not known"));
    }
    let &[command, family, high, low, ..] = rest else { return Ok(Progress::More) };
    let whole = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if whole > MOST_V2 {
        return Err(Malformed("the PROXY header is too large"));
    }
    let Some(header) = bytes.get(..whole) else { return Ok(Progress::More) };
    // §2.2: LOCAL, a health check for instance; all the rest is discarded, the family included.
    let said = if command == 0x20 { Said::default() } else { relayed(header, family)? };
    Ok(Progress::Whole(said, whole))
}

/// What a header of version 2 says of somebody else's connection.
fn relayed(header: &[u8], family: u8) -> Result<Said> {
    const SHORT: Malformed = Malformed("the PROXY header is too short for its addresses");
    let block = &header[FIXED..];
    let (source, length) = match family {
        0x11 | 0x12 => (v4(block).ok_or(SHORT)?, 12),
        0x21 | 0x22 => (v6(block).ok_or(SHORT)?, 36),
        // A unix socket: the client has no address that could be told.
        0x31 | 0x32 => (None, 216),
        // Where a part is unspecified, nobody knows how long the addresses are, nor what follows them.
        0x00..=0x02 | 0x10 | 0x20 | 0x30 => return Ok(Said { relayed: true, ..Said::default() }),
        _ => return Err(Malformed("the PROXY header has a family or transport that is not known")),
    };
    let extra = block.get(length..).ok_or(SHORT)?;
    Ok(Said { source, tls: extras(header, extra)?, relayed: true })
}

fn v4(block: &[u8]) -> Option<Option<SocketAddr>> {
    let (address, _) = block.split_first_chunk::<4>()?;
    let port = block.get(8..10)?;
    Some(Some(SocketAddr::new(Ipv4Addr::from(*address).into(), u16::from_be_bytes(port.try_into().ok()?))))
}

fn v6(block: &[u8]) -> Option<Option<SocketAddr>> {
    let (address, _) = block.split_first_chunk::<16>()?;
    let port = block.get(32..34)?;
    Some(Some(SocketAddr::new(Ipv6Addr::from(*address).into(), u16::from_be_bytes(port.try_into().ok()?))))
}

/// Reads what follows the addresses (§2.2, TLVs); whether the client spoke TLS.
fn extras(header: &[u8], mut extra: &[u8]) -> Result<bool> {
    const CRC32C: u8 = 0x03;
    const SSL: u8 = 0x20;
    /// The client connected over TLS.
    const CLIENT_SSL: u8 = 0x01;
    const WRONG: Malformed = Malformed("the PROXY header is malformed behind its addresses");
    let mut tls = false;
    while !extra.is_empty() {
        let (&[kind, high, low], rest) = extra.split_first_chunk().ok_or(WRONG)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(WRONG)?;
        match kind {
            CRC32C => {
                let at = header.len() - rest.len() - length;
                let told = u32::from_be_bytes(value.try_into().map_err(|_| WRONG)?);
                if crc32c(header, at) != told {
                    return Err(Malformed("the checksum of the PROXY header is wrong"));
                }
            }
            // Flags, and whether a certificate was verified.
            SSL if length < 5 => return Err(WRONG),
            SSL => tls = value[0] & CLIENT_SSL != 0,
            _ => {}
        }
        extra = rest;
    }
    Ok(tls)
}

/// The checksum of a header, its own four bytes at `at` taken for zeros (§2.2.3, RFC 9260 appendix A).
fn crc32c(header: &[u8], at: usize) -> u32 {
    let byte = |(index, byte): (usize, &u8)| if (at..at + 4).contains(&index) { 0 } else { *byte };
    !header
        .iter()
        .enumerate()
        .map(byte)
        .fold(!0, |crc, byte| (crc >> 8) ^ CRC_TABLE[usize::from((crc as u8) ^ byte)])
}

/// The Castagnoli polynomial, reflected, a byte at a time.
static CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut crc, mut bit) = (index as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x82f6_3b78 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// What stands behind a beginning; `None` while not all of that is there.
fn after<'b>(bytes: &'b [u8], beginning: &[u8]) -> Result<Option<&'b [u8]>> {
    match bytes.strip_prefix(beginning) {
        Some(rest) => Ok(Some(rest)),
        None if beginning.starts_with(bytes) => Ok(None),
        None => Err(Malformed("there is no PROXY header")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEER: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 0, 80];

    /// A header of version 2.
    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        [V2, &[command, family], &(block.len() as u16).to_be_bytes(), block].concat()
    }

    fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind], &(value.len() as u16).to_be_bytes()[..], value].concat()
    }

    /// The same header with a checksum at its end.
    fn checked(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut whole = v2(command, family, &[block, &tlv(3, &[0; 4])].concat());
        let at = whole.len() - 4;
        let crc = crc32c(&whole, at);
        whole[at..].copy_from_slice(&crc.to_be_bytes());
        whole
    }

    fn said(bytes: &[u8]) -> std::result::Result<(String, bool), &'static str> {
        match read(bytes) {
            Ok(Progress::Whole(said, length)) => {
                assert_eq!(length, bytes.len(), "{bytes:?}");
                Ok((said.source.map_or_else(String::new, |source| source.to_string()), said.tls))
            }
            Ok(Progress::More) => Err("more"),
            Err(Malformed(why)) => Err(why),
        }
    }

    #[test]
    fn a_line_of_version_1_names_the_source() {
        let long = format!("PROXY TCP6 {0} {0} 65535 65535\r\n", ["ffff"; 8].join(":"));
        let ignored = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        for (line, source) in [
            ("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1:56324"),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n", "255.255.255.255:65535"),
            ("PROXY TCP6 2001:DB8::1 ::1 1 2\r\n", "[2001:db8::1]:1"),
            (&long, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ("PROXY UNKNOWN\r\n", ""),
            ("PROXY UNKNOWN \r\n", ""),
            ("PROXY UNKNOWN ffff::1 1.2.3.4 what\rever\n 1\r\n", ""),
            (&ignored, ""),
        ] {
            assert_eq!(said(line.as_bytes()), Ok((source.to_owned(), false)), "{line:?}");
        }
        assert_eq!(said(b"PROXY UNKNOWN \xff\0\r\n"), Ok((String::new(), false)));
        assert_eq!((long.len(), ignored.len()), (104, 107));
    }

    #[test]
    fn a_line_that_is_not_exactly_as_the_protocol_writes_it_is_refused() {
        for line in [
            "PROXY TCP4 1.2.3.4 5.6.7.8 +80 443\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 080 443\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 80 65536\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 80\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 80 443 \r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8  80 443\r\n",
            "PROXY TCP4 01.2.3.4 5.6.7.8 80 443\r\n",
            "PROXY TCP4 1.2.3 5.6.7.8 80 443\r\n",
            "PROXY TCP4 ::1 ::1 80 443\r\n",
            "PROXY TCP4 1.2.3.4 ::1 80 443\r\n",
            "PROXY TCP6 1.2.3.4 5.6.7.8 80 443\r\n",
            "PROXY TCP6 [::1] ::1 80 443\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\rG",
            "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\r\n",
            "PROXY\tTCP4 1.2.3.4 5.6.7.8 80 443\r\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 80 443\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
            "PROXY tcp4",
            "proxy TCP4",
            "GET / HTTP/1.1\r\n",
            "\x16\x03\x01",
            "\n",
        ] {
            assert!(read(line.as_bytes()).is_err(), "{line:?}");
        }
        assert!(read(&[&b"PROXY UNKNOWN "[..], &[b'x'; 93], b"\r\n"].concat()).is_err());
        assert_eq!(read(&[&b"PROXY UNKNOWN "[..], &[b'x'; 92]].concat()), Ok(Progress::More));
    }

    #[test]
    fn a_header_of_version_2_names_the_source() {
        let six = [&[0x20, 1, 0xd, 0xb8], &[0; 11][..], &[1], &[9; 16], &[0, 80, 1, 187]].concat();
        let unix = [7; 216];
        let secure = |flags: u8| [&PEER[..], &tlv(0x20, &[flags, 0, 0, 0, 0]), &tlv(4, b"")].concat();
        for (bytes, source, tls) in [
            (v2(0x21, 0x11, &PEER), "203.0.113.9:4711", false),
            (v2(0x21, 0x12, &PEER), "203.0.113.9:4711", false),
            (v2(0x21, 0x21, &six), "[2001:db8::1]:80", false),
            (v2(0x21, 0x22, &six), "[2001:db8::1]:80", false),
            (v2(0x21, 0x31, &unix), "", false),
            (v2(0x21, 0x32, &unix), "", false),
            (v2(0x21, 0x31, &[&unix[..], &tlv(0x20, &[1, 0, 0, 0, 0])].concat()), "", true),
            (v2(0x21, 0x11, &secure(1)), "203.0.113.9:4711", true),
            (v2(0x21, 0x11, &secure(7)), "203.0.113.9:4711", true),
            (v2(0x21, 0x11, &secure(6)), "203.0.113.9:4711", false),
            (checked(0x21, 0x11, &PEER), "203.0.113.9:4711", false),
            (checked(0x21, 0x21, &six), "[2001:db8::1]:80", false),
            // Unspecified: what else is said is not to be relied on.
            (v2(0x21, 0x00, &[]), "", false),
            (v2(0x21, 0x00, &PEER), "", false),
            (v2(0x21, 0x10, &PEER), "", false),
            (v2(0x21, 0x02, &tlv(0x20, &[1, 0, 0, 0, 0])), "", false),
            // LOCAL discards everything, whatever it is.
            (v2(0x20, 0x00, &[]), "", false),
            (v2(0x20, 0x11, &[]), "", false),
            (v2(0x20, 0xff, &[]), "", false),
            (v2(0x20, 0x11, &secure(1)), "", false),
            (v2(0x20, 0x11, &[&PEER[..], &tlv(3, &[1, 2, 3, 4])].concat()), "", false),
        ] {
            assert_eq!(said(&bytes), Ok((source.to_owned(), tls)), "{bytes:?}");
        }
    }

    #[test]
    fn a_header_of_version_2_that_is_wrong_is_refused() {
        let with = |extra: &[u8]| v2(0x21, 0x11, &[&PEER[..], extra].concat());
        let mut wrong_sum = checked(0x21, 0x11, &PEER);
        wrong_sum[17] ^= 1;
        for bytes in [
            v2(0x11, 0x11, &PEER),
            v2(0x22, 0x11, &PEER),
            v2(0x31, 0x11, &PEER),
            v2(0x21, 0x13, &PEER),
            v2(0x21, 0x41, &PEER),
            v2(0x21, 0xf1, &PEER),
            v2(0x21, 0x11, &PEER[..11]),
            v2(0x21, 0x21, &PEER),
            v2(0x21, 0x31, &[0; 215]),
            with(&[4]),
            with(&[4, 0]),
            with(&[4, 0, 1]),
            with(&[4, 255, 255, 0]),
            with(&tlv(3, &[0; 4])),
            with(&tlv(3, &[0; 3])),
            with(&tlv(0x20, &[1, 0, 0, 0])),
            wrong_sum,
            // Its length alone is enough to know.
            [V2, &[0x21, 0x11, 0xff, 0xff]].concat(),
            [V2, &[0x20, 0x00, 0x0f, 0xf1]].concat(),
            // Its version is, before anything follows.
            [V2, &[0x10]].concat(),
            b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
        ] {
            assert!(read(&bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(read(&[V2, &[0x20, 0x00, 0x0f, 0xf0]].concat()), Ok(Progress::More));
    }

    #[test]
    fn the_checksum_is_that_of_sctp() {
        // RFC 3720 appendix B.4.
        assert_eq!(crc32c(&[0; 32], 0), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32], 100), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789", 100), 0xe306_9283);
    }

    fn headers() -> impl Strategy<Value = Vec<u8>> {
        let lines = prop_oneof![
            (any::<[u8; 8]>(), any::<[u16; 2]>()).prop_map(|(ip, port)| {
                let ip = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
                format!("PROXY TCP4 {} {} {} {}\r\n", ip(0), ip(4), port[0], port[1]).into_bytes()
            }),
            (any::<[u128; 2]>(), any::<[u16; 2]>()).prop_map(|(ip, port)| {
                let ip = ip.map(Ipv6Addr::from);
                format!("PROXY TCP6 {} {} {} {}\r\n", ip[0], ip[1], port[0], port[1]).into_bytes()
            }),
            "PROXY UNKNOWN( [ -~]{0,60})?\r\n".prop_map(String::into_bytes),
        ];
        let extra = proptest::collection::vec(any::<u8>(), 0..300).prop_map(|value| tlv(0xe0, &value));
        let binary = (any::<[u8; 36]>(), extra, prop_oneof![Just(0x11), Just(0x21)]).prop_map(
            |(ip, extra, family)| {
                let ip = if family == 0x11 { &ip[..12] } else { &ip[..] };
                checked(0x21, family, &[ip, &extra].concat())
            },
        );
        prop_oneof![lines, binary]
    }

    proptest! {
        #[test]
        fn every_beginning_of_a_header_wants_more_and_no_byte_behind_it_counts(header in headers(), behind in proptest::collection::vec(any::<u8>(), 0..60)) {
            for length in 0..header.len() {
                prop_assert_eq!(read(&header[..length]), Ok(Progress::More), "{}", length);
            }
            let whole = read(&header);
            let is_whole = matches!(whole, Ok(Progress::Whole(_, length)) if length == header.len());
            prop_assert!(is_whole, "{:?}", whole);
            prop_assert_eq!(read(&[&header[..], &behind].concat()), whole);
        }

        #[test]
        fn no_bytes_panic_and_none_are_waited_for_without_a_bound(start in 0..4, bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let start = [&b""[..], b"PROXY ", V2, b"\r\n\r\n\0\r\nQUIT\n\x21\x11"][start as usize];
            let bytes = [start, &bytes].concat();
            match read(&bytes) {
                Ok(Progress::More) => prop_assert!(bytes.len() < MOST_V2),
                Ok(Progress::Whole(_, length)) => prop_assert!(length <= bytes.len() && length <= MOST_V2),
                Err(_) => {}
            }
        }

        #[test]
        fn what_was_refused_stays_refused(bytes in "(PROXY |P|\r\n\r\n)[TCPUNKOW46 .:0-9a-f\r\n]{0,60}") {
            let first = (0..=bytes.len()).find(|length| read(&bytes.as_bytes()[..*length]).is_err());
            if let Some(first) = first {
                for length in first..bytes.len() {
                    prop_assert!(read(&bytes.as_bytes()[..length]).is_err());
                }
            }
        }

        #[test]
        fn a_header_with_one_bit_turned_over_names_nobody_else(header in headers(), at: proptest::sample::Index, bit in 0..8) {
            prop_assume!(header.starts_with(V2));
            let (mut turned, at) = (header.clone(), at.index(header.len()));
            turned[at] ^= 1u8 << bit;
            let source = |bytes: &[u8]| match read(bytes) {
                Ok(Progress::Whole(said, _)) => said.source,
                _ => None,
            };
            prop_assert!(source(&turned).is_none_or(|named| Some(named) == source(&header)));
        }
    }
}
