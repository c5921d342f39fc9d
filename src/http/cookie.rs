//! Splits the Cookie fields of a request into the cookies they carry.

use super::fields::Fields;

/// Every cookie of a request as (name, value), over all Cookie fields and in the order sent (RFC 6265 §5.4).
///
/// Names and values are bytes as sent, without the blanks around them; quotes stay. A piece without `=` is a name with
/// an empty value, as PHP and others read it. Two cookies of one name both come.
pub fn cookies(fields: Fields<'_>) -> impl Iterator<Item = (&[u8], &[u8])> {
    // HTTP/2 sends a field per cookie (RFC 9113 §8.2.3).
    fields.all("cookie").flat_map(split)
}

fn split(field: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|piece| !piece.is_empty()).map(pair)
}

fn pair(piece: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', piece) {
        Some(at) => (piece[..at].trim_ascii_end(), piece[at + 1..].trim_ascii_start()),
        None => (piece, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[&'static str]) -> Vec<(String, String)> {
        let fields: Vec<_> =
            values.iter().map(|v| httparse::Header { name: "Cookie", value: v.as_bytes() }).collect();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        cookies(Fields::Raw(&fields)).map(|(name, value)| (text(name), text(value))).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn cookies_are_split_over_all_fields() {
        assert_eq!(of(&["a=1; b=2", "c=3"]), pairs(&[("a", "1"), ("b", "2"), ("c", "3")]));
        assert_eq!(of(&["a=1;b=2;"]), pairs(&[("a", "1"), ("b", "2")]));
        assert_eq!(of(&["a=1=2; b=\"x y\""]), pairs(&[("a", "1=2"), ("b", "\"x y\"")]));
        assert_eq!(of(&["a=1; a=2"]), pairs(&[("a", "1"), ("a", "2")]));
    }

    #[test]
    fn a_cookie_without_a_value_is_still_there() {
        assert_eq!(of(&["session"]), pairs(&[("session", "")]));
        assert_eq!(of(&["session="]), pairs(&[("session", "")]));
        assert_eq!(of(&[" session = x "]), pairs(&[("session", "x")]));
        assert_eq!(of(&["", " ;; "]), pairs(&[]));
        assert_eq!(of(&["=x"]), pairs(&[("", "x")]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_give_no_panic_and_no_separator(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            for (name, value) in split(&value) {
                prop_assert!(!name.contains(&b';') && !name.contains(&b'=') && !value.contains(&b';'));
            }
        }
    }
}
