//! Reads `Vary`, and tells apart the variants of one page: by language, by device, by compression.

use smallvec::SmallVec;

use super::fields::Fields;
use super::list;

/// More names than this count as `*`: no two requests would share such a response.
const MOST_NAMES: usize = 32;

/// Which request fields an origin chose its response by (RFC 9110 §12.5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// By none: one response for everyone.
    None,
    /// By something a cache cannot see: never reused.
    Star,
    /// By these fields: in lower case, sorted, each once, at most 32.
    Names(Box<[Box<str>]>),
}

/// Reads all `Vary` fields of a response (RFC 9110 §12.5.5). What cannot be a field name counts as `*`.
pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vary {
    let mut names: Vec<Box<str>> = Vec::new();
    for member in values.into_iter().flat_map(list::members) {
        let Some(name) = field_name(member) else {
            return Vary::Star;
        };
        if let Err(place) = names.binary_search(&name) {
            names.insert(place, name);
        }
        if names.len() > MOST_NAMES {
            return Vary::Star;
        }
    }
    match names.is_empty() {
        true => Vary::None,
        false => Vary::Names(names.into()),
    }
}

/// Whether a response says that its compression was chosen by the request, or that anything may have been.
pub fn is_by_encoding<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut names = values.into_iter().flat_map(list::members);
    names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"))
}

/// What a request says in the fields a response varies by; equal bytes select the same variant (RFC 9111 §4.1).
///
/// Each field is framed by a mark and its length, so that no value can pass for two. Lines are trimmed and joined by
/// `", "`, and a field that is absent differs from one that is empty.
pub fn select(names: &[Box<str>], fields: Fields<'_>) -> SmallVec<[u8; 64]> {
    let mut out = SmallVec::new();
    for name in names {
        let values = fields.all(name);
        push_field(&mut out, values);
    }
    out
}

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;
const LENGTH: usize = size_of::<u32>();

/// A mark, the length of what follows, and the lines joined.
fn push_field<'a>(out: &mut SmallVec<[u8; 64]>, mut values: impl Iterator<Item = &'a [u8]>) {
    let Some(first) = values.next() else {
        return out.push(ABSENT);
    };
    out.push(PRESENT);
    let at = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    out.extend_from_slice(first.trim_ascii());
    for value in values {
        out.extend_from_slice(b", ");
        out.extend_from_slice(value.trim_ascii());
    }
    // A request head is a few KiB; the length of one field always fits.
    let length = u32::try_from(out.len() - at - LENGTH).unwrap_or(u32::MAX);
    out[at..at + LENGTH].copy_from_slice(&length.to_le_bytes());
}

/// A field name in lower case; `None` for `*` and for what is no name.
fn field_name(member: &[u8]) -> Option<Box<str>> {
    if member == b"*" || !list::is_token(member) {
        return None;
    }
    let name = std::str::from_utf8(member).ok()?;
    Some(name.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Request = Vec<(String, Vec<Vec<u8>>)>;

    fn names(names: &[&str]) -> Vary {
        Vary::Names(names.iter().map(|name| Box::from(*name)).collect())
    }

    fn boxed(names: &[&str]) -> Vec<Box<str>> {
        names.iter().map(|name| Box::from(*name)).collect()
    }

    fn selected(wanted: &[&str], request: &[(&str, &str)]) -> SmallVec<[u8; 64]> {
        let fields: Vec<_> =
            request.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        select(&boxed(wanted), Fields::Raw(&fields))
    }

    #[test]
    fn names_are_lowered_sorted_and_kept_once() {
        assert_eq!(
            parse([&b"Cookie, accept-encoding"[..], b"COOKIE,"]),
            names(&["accept-encoding", "cookie"])
        );
        assert_eq!(parse([]), Vary::None);
        assert_eq!(parse([&b" , "[..]]), Vary::None);
    }

    #[test]
    fn a_star_anywhere_is_a_star() {
        assert_eq!(parse([&b"*"[..]]), Vary::Star);
        assert_eq!(parse([&b"cookie"[..], b"accept, *"]), Vary::Star);
    }

    #[test]
    fn what_cannot_be_a_name_is_a_star() {
        for bad in [&b"accept encoding"[..], b"\xff", b"a:b", b"\"a\""] {
            assert_eq!(parse([bad]), Vary::Star);
        }
    }

    #[test]
    fn too_many_names_are_a_star() {
        let list = |count: usize| (0..count).map(|at| format!("x-{at},x-{at}")).collect::<Vec<_>>().join(",");
        assert!(matches!(parse([list(32).as_bytes()]), Vary::Names(names) if names.len() == 32));
        assert_eq!(parse([list(33).as_bytes()]), Vary::Star);
    }

    #[test]
    fn whitespace_and_lines_do_not_make_a_variant() {
        let joined = selected(&["a"], &[("a", "x, y")]);
        assert_eq!(joined, selected(&["a"], &[("a", " x "), ("a", "y\t")]));
        assert_ne!(joined, selected(&["a"], &[("a", "y, x")]));
    }

    #[test]
    fn absent_differs_from_empty() {
        assert_ne!(selected(&["a"], &[]), selected(&["a"], &[("a", "")]));
    }

    #[test]
    fn a_value_cannot_pass_for_another_field() {
        let names = ["a", "b"];
        assert_ne!(selected(&names, &[("a", "xy")]), selected(&names, &[("a", "x"), ("b", "y")]));
        assert_ne!(selected(&names, &[("a", "x")]), selected(&names, &[("b", "x")]));
    }

    /// What the bytes must tell apart, spelled out.
    fn model(names: &[&str], request: &Request) -> Vec<Option<Vec<u8>>> {
        names
            .iter()
            .map(|name| {
                let lines: Vec<&[u8]> = request
                    .iter()
                    .filter(|(field, _)| field == name)
                    .flat_map(|(_, lines)| lines.iter().map(|line| line.trim_ascii()))
                    .collect();
                (!lines.is_empty()).then(|| lines.join(&b", "[..]))
            })
            .collect()
    }

    fn request() -> impl Strategy<Value = Request> {
        let line = proptest::collection::vec(
            prop_oneof![Just(b'a'), Just(b','), Just(b' '), Just(0), Just(1)],
            0..3,
        );
        proptest::collection::vec(("(a|b)", proptest::collection::vec(line, 0..2)), 0..3)
    }

    fn select_from(names: &[&str], request: &Request) -> SmallVec<[u8; 64]> {
        let lines = request.iter().flat_map(|(name, lines)| lines.iter().map(move |value| (name, value)));
        let fields: Vec<_> = lines.map(|(name, value)| httparse::Header { name, value }).collect();
        select(&boxed(names), Fields::Raw(&fields))
    }

    proptest! {
        #[test]
        fn two_requests_share_a_variant_exactly_when_their_values_agree(one in request(), other in request()) {
            let names = ["a", "b"];
            prop_assert_eq!(
                select_from(&names, &one) == select_from(&names, &other),
                model(&names, &one) == model(&names, &other)
            );
        }

        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Vary::Names(names) = parse([value.as_slice()]) {
                prop_assert!(names.is_sorted() && !names.is_empty() && names.len() <= MOST_NAMES);
                prop_assert_eq!(parse([names.join(",").as_bytes()]), Vary::Names(names));
            }
        }
    }
}
