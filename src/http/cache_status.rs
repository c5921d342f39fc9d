//! Writes `Cache-Status`, the line in a response that says what the cache did and why.

/// How one request was answered, in the words of RFC 9211 §2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// Answered without asking anyone (§2.1).
    pub hit: bool,
    /// Why the origin was asked, such as `uri-miss`, `stale`, `bypass` (§2.2).
    pub fwd: Option<&'a str>,
    /// The status the origin answered with, where it is not the one sent (§2.3).
    pub fwd_status: Option<u16>,
    /// Whether the response was kept (§2.5).
    pub stored: bool,
    /// Whether one fetch served several requests (§2.6).
    pub collapsed: bool,
    /// Seconds of freshness left; negative once stale (§2.4).
    pub ttl: Option<i64>,
    /// One of our own reasons, such as `origin_5xx` or `rule:private` (§2.8).
    pub detail: Option<&'a str>,
    /// The key it is kept under, for those who may see it (§2.7).
    pub key: Option<&'a str>,
}

impl CacheStatus<'_> {
    /// Appends the field value: `Foreland; fwd=stale; fwd-status=502; detail=origin_5xx`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Foreland");
        push_flag(out, b"; hit", self.hit);
        push_text(out, b"; fwd=", self.fwd);
        push_number(out, b"; fwd-status=", self.fwd_status.map(i64::from));
        push_flag(out, b"; stored", self.stored);
        push_flag(out, b"; collapsed", self.collapsed);
        push_number(out, b"; ttl=", self.ttl);
        if let Some(key) = self.key {
            out.extend_from_slice(b"; key=");
            push_string(out, key); // always a string, §2.7
        }
        push_text(out, b"; detail=", self.detail);
    }
}

/// RFC 9651 §3.3.1: fifteen digits at most.
const LARGEST: i64 = 999_999_999_999_999;

fn push_flag(out: &mut Vec<u8>, name: &[u8], set: bool) {
    if set {
        out.extend_from_slice(name);
    }
}

/// A token where the text can be one, else a string (RFC 9651 §3.3.3, §3.3.4).
fn push_text(out: &mut Vec<u8>, name: &[u8], text: Option<&str>) {
    let Some(text) = text else { return };
    out.extend_from_slice(name);
    match is_sf_token(text) {
        true => out.extend_from_slice(text.as_bytes()),
        false => push_string(out, text),
    }
}

fn push_number(out: &mut Vec<u8>, name: &[u8], number: Option<i64>) {
    let Some(number) = number.map(|number| number.clamp(-LARGEST, LARGEST)) else {
        return;
    };
    out.extend_from_slice(name);
    if number < 0 {
        out.push(b'-');
    }
    let start = out.len();
    let mut rest = number.unsigned_abs();
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out[start..].reverse();
}

/// Printable ASCII between quotes; a structured string can hold nothing else, so `?` stands for it.
fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for letter in text.chars() {
        match u8::try_from(letter) {
            Ok(byte @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', byte]),
            Ok(byte @ b' '..=b'~') => out.push(byte),
            _ => out.push(b'?'),
        }
    }
    out.push(b'"');
}

/// Starts with a letter or `*`; `:` and `/` are allowed after that (RFC 9651 §3.3.4).
fn is_sf_token(text: &str) -> bool {
    let starts = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'*';
    let goes_on = |byte: u8| super::list::is_token_byte(byte) || matches!(byte, b':' | b'/');
    text.as_bytes().first().is_some_and(starts) && text.bytes().all(goes_on)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(status: CacheStatus<'_>) -> String {
        let mut out = Vec::new();
        status.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    const NOTHING: CacheStatus<'_> = CacheStatus {
        hit: false,
        fwd: None,
        fwd_status: None,
        stored: false,
        collapsed: false,
        ttl: None,
        detail: None,
        key: None,
    };

    #[test]
    fn the_lines_users_meet_are_written_as_documented() {
        for (status, line) in [
            (CacheStatus { hit: true, ttl: Some(52), ..NOTHING }, "Foreland; hit; ttl=52"),
            (
                CacheStatus { fwd: Some("uri-miss"), stored: true, ..NOTHING },
                "Foreland; fwd=uri-miss; stored",
            ),
            (
                CacheStatus {
                    fwd: Some("stale"),
                    fwd_status: Some(502),
                    detail: Some("origin_5xx"),
                    ..NOTHING
                },
                "Foreland; fwd=stale; fwd-status=502; detail=origin_5xx",
            ),
            (
                CacheStatus { fwd: Some("bypass"), detail: Some("rule:private"), ..NOTHING },
                "Foreland; fwd=bypass; detail=rule:private",
            ),
            (
                CacheStatus { fwd: Some("uri-miss"), collapsed: true, ..NOTHING },
                "Foreland; fwd=uri-miss; collapsed",
            ),
            (NOTHING, "Foreland"),
        ] {
            assert_eq!(written(status), line);
        }
    }

    #[test]
    fn numbers_keep_to_fifteen_digits() {
        for (ttl, text) in [
            (0, "Foreland; ttl=0"),
            (-412, "Foreland; ttl=-412"),
            (i64::MIN, "Foreland; ttl=-999999999999999"),
            (i64::MAX, "Foreland; ttl=999999999999999"),
        ] {
            assert_eq!(written(CacheStatus { ttl: Some(ttl), ..NOTHING }), text);
        }
    }

    #[test]
    fn what_is_no_token_is_quoted() {
        for (detail, text) in [
            ("rule:two words", "\"rule:two words\""),
            ("5xx", "\"5xx\""),
            ("", "\"\""),
            ("a\"b\\c\r\né", r#""a\"b\\c???""#),
        ] {
            assert_eq!(
                written(CacheStatus { detail: Some(detail), ..NOTHING }),
                format!("Foreland; detail={text}")
            );
        }
        assert_eq!(written(CacheStatus { key: Some("abc"), ..NOTHING }), "Foreland; key=\"abc\"");
    }

    proptest! {
        #[test]
        fn whatever_the_words_it_is_one_printable_line(detail in any::<String>(), key in any::<String>()) {
            let line = written(CacheStatus { detail: Some(&detail), key: Some(&key), ..NOTHING });
            prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }

        #[test]
        fn numbers_are_written_as_the_standard_library_does(ttl in -LARGEST..=LARGEST, status: u16) {
            let line = written(CacheStatus { ttl: Some(ttl), fwd_status: Some(status), ..NOTHING });
            prop_assert_eq!(line, format!("Foreland; fwd-status={status}; ttl={ttl}"));
        }
    }
}
