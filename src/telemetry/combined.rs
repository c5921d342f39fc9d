//! Writes one access-log line as nginx's `combined` does, for tools that read nothing else.

use super::json::{append_address, append_number, is_plain_text};
use super::log_fields::Entry;
use super::timestamp;

/// What nginx logs when a client leaves before it was answered.
const CLIENT_CLOSED_REQUEST: u64 = 499;

/// Appends the line, with its newline:
/// `$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`.
pub(super) fn line(out: &mut Vec<u8>, entry: &Entry<'_>) {
    append_address(out, entry.client);
    out.extend_from_slice(b" - - [");
    timestamp::common_log(out, entry.time);
    out.extend_from_slice(b"] \"");
    append_request(out, entry);
    out.extend_from_slice(b"\" ");
    append_number(out, status(entry));
    out.push(b' ');
    append_number(out, entry.outcome.bytes_out);
    out.extend_from_slice(b" \"");
    append_value(out, entry.referer);
    out.extend_from_slice(b"\" \"");
    append_value(out, entry.user_agent);
    out.extend_from_slice(b"\"\n");
}

fn status(entry: &Entry<'_>) -> u64 {
    match entry.outcome.status {
        0 => CLIENT_CLOSED_REQUEST,
        status => status.into(),
    }
}

/// The request line, or `-` where none could be read.
fn append_request(out: &mut Vec<u8>, entry: &Entry<'_>) {
    if entry.method.is_empty() {
        return out.push(b'-');
    }
    append_escaped(out, entry.method);
    out.push(b' ');
    append_escaped(out, entry.uri);
    out.extend_from_slice(version(entry.protocol).as_bytes());
}

/// The protocol as nginx spells it.
fn version(protocol: &str) -> &'static str {
    match protocol {
        "http/1.0" => " HTTP/1.0",
        "http/1.1" => " HTTP/1.1",
        "h2" => " HTTP/2.0",
        _ => "",
    }
}

fn append_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.push(b'-'),
        Some(value) => append_escaped(out, value),
    }
}

/// nginx's default escaping: `"`, `\`, and what is not printable ASCII become `\xXX`.
fn append_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if is_plain_text(bytes) {
        return out.extend_from_slice(bytes);
    }
    for byte in bytes {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'x', high, low]);
            }
            plain => out.push(*plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::log_fields::tests::{entry, hit};

    fn text(entry: &Entry<'_>) -> String {
        let mut out = Vec::new();
        line(&mut out, entry);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_what_nginx_writes() {
        let outcome = hit();
        let mut entry = entry(&outcome);
        (entry.uri, entry.protocol) = (b"/x", "http/1.1");
        entry.referer = Some(b"ref");
        entry.user_agent = Some(b"ua");
        assert_eq!(
            text(&entry),
            "203.0.113.9 - - [22/Nov/2026:12:25:35 +0000] \"GET /x HTTP/1.1\" 200 18233 \"ref\" \"ua\"\n"
        );
    }

    #[test]
    fn what_is_missing_is_a_dash_and_http_2_has_nginxs_name() {
        let outcome = hit();
        assert!(
            text(&entry(&outcome)).ends_with("\"GET /a.js?utm_source=x HTTP/2.0\" 200 18233 \"-\" \"-\"\n")
        );
    }

    #[test]
    fn bytes_that_could_break_a_line_are_escaped_as_nginx_does() {
        let outcome = hit();
        let mut entry = entry(&outcome);
        entry.user_agent = Some(b"a\"b\\c\n\x7f\xc3\xa4 ~");
        assert!(text(&entry).ends_with(" \"-\" \"a\\x22b\\x5Cc\\x0A\\x7F\\xC3\\xA4 ~\"\n"));
    }

    #[test]
    fn a_client_that_left_is_a_499() {
        let mut outcome = hit();
        (outcome.status, outcome.bytes_out) = (0, 0);
        let mut entry = entry(&outcome);
        entry.method = b"";
        assert!(text(&entry).contains("] \"-\" 499 0 \"-\""));
    }
}
