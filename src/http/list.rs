//! Takes apart a field that lists several things, such as `Cache-Control: max-age=60, public`.

/// The members of a comma-separated field value, trimmed, empty ones skipped (RFC 9110 §5.6.1).
///
/// A comma inside a quoted argument (`name="a, b"`) does not split. A quote that never closes is an ordinary
/// character, so that it cannot hide what comes after it.
pub fn members(value: &[u8]) -> Members<'_> {
    Members { rest: value, quotes: true }
}

/// Iterator of [`members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    rest: &'a [u8],
    /// Off once a quote was left open: the search for its end is paid once, so a value is read in linear time.
    quotes: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let member = self.take_member().trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

impl<'a> Members<'a> {
    fn take_member(&mut self) -> &'a [u8] {
        let end = self.end_of_member();
        let (member, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        member
    }

    fn end_of_member(&mut self) -> usize {
        let mut at = 0;
        let mut before = 0;
        while let Some(&byte) = self.rest.get(at) {
            match byte {
                b',' => break,
                b'"' if self.quotes && before == b'=' => at += self.quoted_length(at),
                _ => at += 1,
            }
            before = byte;
        }
        at
    }

    /// Length of the quoted string that opens at `at`, or 1 when it never closes.
    fn quoted_length(&mut self, at: usize) -> usize {
        let mut escaped = true; // the opening quote itself does not close
        for (length, &byte) in self.rest[at..].iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return length + 1,
                _ => {}
            }
        }
        self.quotes = false;
        1
    }
}

/// Whether these bytes are a token, the form of every field and directive name (RFC 9110 §5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Whether a byte may be part of a token (RFC 9110 §5.6.2).
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The members of a value that are tokens, as text; others are skipped.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &str> {
    members(value).filter(|member| is_token(member)).filter_map(|member| std::str::from_utf8(member).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(value: &str) -> Vec<String> {
        members(value.as_bytes()).map(|member| String::from_utf8_lossy(member).into_owned()).collect()
    }

    #[test]
    fn empty_members_and_whitespace_are_skipped() {
        assert_eq!(split(" ,, a ,\tb,,"), ["a", "b"]);
        assert!(split("").is_empty());
        assert!(split(" , ,").is_empty());
    }

    #[test]
    fn a_comma_inside_a_quoted_argument_does_not_split() {
        assert_eq!(split(r#"a="x, y", b"#), [r#"a="x, y""#, "b"]);
        assert_eq!(split(r#"a="x\", y", b"#), [r#"a="x\", y""#, "b"]);
    }

    #[test]
    fn a_quote_that_never_closes_hides_nothing() {
        assert_eq!(split(r#"a="x, b"#), [r#"a="x"#, "b"]);
        assert_eq!(split(r#"a="x\", b"#), [r#"a="x\""#, "b"]);
        assert_eq!(split(r#"a"x, b, c=""#), [r#"a"x"#, "b", r#"c=""#]);
    }

    #[test]
    fn many_open_quotes_are_read_in_linear_time() {
        let value = br#"=\"\"\"\"\"\"\"\","#.repeat(100_000);
        assert_eq!(members(&value).count(), 100_000);
    }

    #[test]
    fn only_tokens_are_tokens() {
        let found: Vec<&str> = tokens(b"close, X-Foo, a b, \xff, \"q\"").collect();
        assert_eq!(found, ["close", "X-Foo"]);
        assert!(!is_token(b""));
    }

    proptest! {
        #[test]
        fn without_quotes_it_agrees_with_a_plain_split(value in "[a-c=;, \t]{0,40}") {
            let plain: Vec<&str> = value.split(',').map(|m| m.trim_matches([' ', '\t'])).filter(|m| !m.is_empty()).collect();
            prop_assert_eq!(split(&value), plain);
        }

        #[test]
        fn arbitrary_bytes_give_trimmed_members_and_no_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            for member in members(&value) {
                prop_assert!(!member.is_empty() && member == member.trim_ascii());
            }
        }
    }
}
