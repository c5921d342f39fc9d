//! Writes one access-log line as JSON, whatever bytes a client has sent.

use super::log_fields::{Entry, FIELDS, Value};
use super::timestamp;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

/// Appends the line, with its newline. Fields that do not apply are left out.
pub(super) fn line(out: &mut Vec<u8>, entry: &Entry<'_>) {
    let start = out.len();
    for field in FIELDS {
        let value = (field.read)(entry);
        if !matches!(value, Value::Absent) {
            out.extend_from_slice(field.key.as_bytes());
            append(out, value);
        }
    }
    // Each key begins with a comma; the first one of the line is its opening brace.
    if let Some(first) = out.get_mut(start) {
        *first = b'{';
    }
    out.extend_from_slice(b"}\n");
}

fn append(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Absent => {}
        Value::Address(address) => {
            out.push(b'"');
            append_address(out, address);
            out.push(b'"');
        }
        Value::Bytes(bytes) => append_string(out, bytes),
        Value::Word(word) => {
            out.push(b'"');
            out.extend_from_slice(word.as_bytes());
            out.push(b'"');
        }
        Value::Moment(unix_millis) => {
            out.push(b'"');
            timestamp::rfc3339(out, unix_millis);
            out.push(b'"');
        }
        Value::Number(number) => append_number(out, number),
        Value::Seconds(duration) => append_seconds(out, duration),
        Value::Signed(number) => {
            out.extend_from_slice(if number < 0 { b"-" } else { b"" });
            append_number(out, number.unsigned_abs());
        }
    }
}

/// Appends an address. `Display` would add 740 instructions to a line with an IPv4 address.
pub(super) fn append_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            for (position, byte) in v4.octets().into_iter().enumerate() {
                out.extend_from_slice(if position == 0 { b"" } else { b"." });
                append_number(out, byte.into());
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// Appends a number in decimal.
pub(super) fn append_number(out: &mut Vec<u8>, mut number: u64) {
    let mut text = [0; 20];
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[start..]);
}

/// Appends seconds with six decimals, rounded to the nearest microsecond.
fn append_seconds(out: &mut Vec<u8>, duration: Duration) {
    let rounded = duration.saturating_add(Duration::from_nanos(500));
    append_number(out, rounded.as_secs());
    let mut decimals = *b".000000";
    let mut micros = rounded.subsec_micros();
    for digit in decimals[1..].iter_mut().rev() {
        *digit = b'0' + (micros % 10) as u8;
        micros /= 10;
    }
    out.extend_from_slice(&decimals);
}

/// Appends a JSON string. Control characters are escaped, and what is not UTF-8 becomes `\ufffd`.
fn append_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    if is_plain_text(bytes) {
        out.extend_from_slice(bytes);
    } else {
        append_escaped(out, bytes);
    }
    out.push(b'"');
}

/// Whether every byte stands for itself, in a JSON string and in nginx's `combined` alike.
///
/// Nearly every text of a line is plain. Looked at byte by byte this took half of the 5,400 instructions of a line;
/// without a branch inside a chunk the compiler looks at sixteen at once, and a line takes 4,000.
pub(super) fn is_plain_text(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<16>();
    let mut last = [b' '; 16];
    last[..rest.len()].copy_from_slice(rest);
    chunks.iter().all(is_plain_chunk) && is_plain_chunk(&last)
}

fn is_plain_chunk(chunk: &[u8; 16]) -> bool {
    let odd =
        |byte: u8| u8::from(byte < b' ') | u8::from(byte > b'~') | u8::from(byte == b'"' || byte == b'\\');
    chunk.iter().fold(0, |found, byte| found | odd(*byte)) == 0
}

fn append_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| append_char(out, c));
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

fn append_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        // U+007F to U+009F too: some terminals obey them.
        c if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        append_string(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_string_is_valid_json_whatever_its_bytes() {
        for (bytes, json) in [
            (&b"plain /a?b=c"[..], r#""plain /a?b=c""#),
            (b"", r#""""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\n\r\t\0\x1b", r#""\n\r\t\u0000\u001b""#),
            (b"\x7f", r#""\u007f""#),
            ("\u{9b}31m".as_bytes(), r#""\u009b31m""#),
            ("ä€😀".as_bytes(), "\"ä€😀\""),
            (b"a\xffb\xc3", r#""a\ufffdb\ufffd""#),
        ] {
            assert_eq!(string(bytes), json, "{bytes:?}");
        }
    }

    #[test]
    fn any_bytes_read_back_as_their_lossy_text() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            let read: String = serde_json::from_str(&string(&bytes)).unwrap();
            assert_eq!(read, String::from_utf8_lossy(&bytes), "{bytes:?}");
        }
    }

    #[test]
    fn seconds_have_six_decimals_rounded_to_the_nearest() {
        let text = |nanos| {
            let mut out = Vec::new();
            append_seconds(&mut out, Duration::from_nanos(nanos));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(214_000), "0.000214");
        assert_eq!(text(214_499), "0.000214");
        assert_eq!(text(214_500), "0.000215");
        assert_eq!(text(999_999_500), "1.000000");
        assert_eq!(text(61_000_000_000), "61.000000");
        let mut out = Vec::new();
        append_seconds(&mut out, Duration::MAX);
        assert!(out.starts_with(b"18446744073709551615."));
    }

    #[test]
    fn numbers_and_addresses_are_written_as_display_writes_them() {
        for number in [0, 9, 10, 18_233, u64::MAX] {
            let mut out = Vec::new();
            append_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
        for address in ["203.0.113.9", "0.0.0.0", "2001:db8::1", "::ffff:1.2.3.4"] {
            let mut out = Vec::new();
            append_address(&mut out, address.parse().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), address);
        }
    }
}
