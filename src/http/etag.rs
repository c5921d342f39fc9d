//! Compares entity tags, the names an origin gives to versions of a page.

/// A well-formed entity tag (RFC 9110 §8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag<'a> {
    /// Whether it is marked `W/`: same meaning, perhaps not the same bytes.
    pub weak: bool,
    /// What is between the quotes.
    pub opaque: &'a [u8],
}

/// Reads one entity tag; `None` when it is not one.
pub fn parse(value: &[u8]) -> Option<EntityTag<'_>> {
    let value = value.trim_ascii();
    let weak = value.strip_prefix(b"W/"); // case-sensitive, RFC 9110 §8.8.3
    let opaque = weak.unwrap_or(value).strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let well_formed = opaque.iter().all(|&byte| is_etag_byte(byte));
    well_formed.then_some(EntityTag { weak: weak.is_some(), opaque })
}

/// Whether both name the same bytes: equal, and neither weak (RFC 9110 §8.8.3.2).
pub fn strong_eq(one: &[u8], other: &[u8]) -> bool {
    match (parse(one), parse(other)) {
        (Some(one), Some(other)) => !one.weak && !other.weak && one.opaque == other.opaque,
        _ => false,
    }
}

/// Whether both name the same meaning: equal but for `W/` (RFC 9110 §8.8.3.2).
///
/// Some origins forget the quotes. Two such values are the same if they are the same bytes: a client that sends back
/// exactly what it got means exactly that.
pub fn weak_eq(one: &[u8], other: &[u8]) -> bool {
    match (parse(one), parse(other)) {
        (Some(one), Some(other)) => one.opaque == other.opaque,
        (None, None) => !one.trim_ascii().is_empty() && one.trim_ascii() == other.trim_ascii(),
        _ => false,
    }
}

/// Whether an `If-None-Match` field names the stored response: `*` names any, even one without an entity tag
/// (RFC 9110 §13.1.2).
pub fn list_matches_weak<'a>(values: impl IntoIterator<Item = &'a [u8]>, etag: Option<&[u8]>) -> bool {
    list_matches(values, etag, weak_eq)
}

/// Whether an `If-Match` field names the stored response, by strong comparison (RFC 9110 §13.1.1).
pub fn list_matches_strong<'a>(values: impl IntoIterator<Item = &'a [u8]>, etag: Option<&[u8]>) -> bool {
    list_matches(values, etag, strong_eq)
}

/// Whether an `If-None-Match` field names the stored response or another form of it that was made here: whoever has one
/// has the same meaning, whatever its compression.
pub fn list_matches_any_form<'a>(values: impl IntoIterator<Item = &'a [u8]>, etag: Option<&[u8]>) -> bool {
    list_matches(values, etag, |one, other| match (parse(one), parse(other)) {
        (Some(one), Some(other)) => base(one.opaque) == base(other.opaque),
        _ => false,
    })
}

/// The same tag without what a form has added, marked weak; `None` where it is no entity tag.
pub fn weakened(etag: &[u8]) -> Option<Vec<u8>> {
    let tag = parse(etag)?;
    Some([b"W/\"", base(tag.opaque), b"\""].concat())
}

/// The tag of another form of what this tag names: `"x"` becomes `"x-br-0123456789abcdef"`, weak if it is weak. `None`
/// where it is no entity tag.
pub fn with_suffix(etag: &[u8], suffix: &str) -> Option<Vec<u8>> {
    let tag = parse(etag)?;
    let mark: &[u8] = if tag.weak { b"W/\"" } else { b"\"" };
    Some([mark, base(tag.opaque), suffix.as_bytes(), b"\""].concat())
}

/// An opaque tag without a suffix of ours: a dash, a compression, a dash, sixteen hexadecimal digits.
fn base(opaque: &[u8]) -> &[u8] {
    let Some((rest, hash)) = opaque.split_last_chunk::<16>() else { return opaque };
    if !hash.iter().all(u8::is_ascii_hexdigit) {
        return opaque;
    }
    let forms = [&b"-br-"[..], b"-gzip-", b"-zstd-", b"-identity-"];
    forms.into_iter().find_map(|form| rest.strip_suffix(form)).unwrap_or(opaque)
}

fn list_matches<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    etag: Option<&[u8]>,
    equal: fn(&[u8], &[u8]) -> bool,
) -> bool {
    values.into_iter().any(|value| {
        value.trim_ascii() == b"*"
            || etag.is_some_and(|etag| members(value).any(|member| equal(member, etag)))
    })
}

/// The members of a list of entity tags. A tag may hold commas, and a backslash in it is just a backslash, so this is
/// not the splitting of other lists.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (member, after) = rest.split_at(end_of_member(rest));
        rest = after.get(1..).unwrap_or_default();
        Some(member.trim_ascii())
    })
    .filter(|member| !member.is_empty())
}

fn end_of_member(rest: &[u8]) -> usize {
    let quoted = end_of_tag(rest).unwrap_or(0);
    find(&rest[quoted..], b',').map_or(rest.len(), |comma| quoted + comma)
}

/// Where the tag that `rest` begins with is over; `None` when it does not begin with one. An open quote has no second
/// one after it, so this searches in vain once a value.
fn end_of_tag(rest: &[u8]) -> Option<usize> {
    let start = rest.trim_ascii_start();
    let opaque = start.strip_prefix(b"W/").unwrap_or(start).strip_prefix(b"\"")?;
    let before = rest.len() - opaque.len();
    find(opaque, b'"').map(|close| before + close + 1)
}

fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|&byte| byte == wanted)
}

fn is_etag_byte(byte: u8) -> bool {
    byte > b' ' && byte != b'"' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weak(list: &str, etag: &str) -> bool {
        list_matches_weak([list.as_bytes()], Some(etag.as_bytes()))
    }

    #[test]
    fn a_form_has_a_tag_of_its_own_and_the_meaning_of_the_body() {
        let hash = "-br-0123456789abcdef";
        let text = |tag: Option<Vec<u8>>| tag.map(|tag| String::from_utf8(tag).unwrap());
        assert_eq!(text(with_suffix(b"\"x\"", hash)).as_deref(), Some("\"x-br-0123456789abcdef\""));
        assert_eq!(text(with_suffix(b"W/\"x\"", hash)).as_deref(), Some("W/\"x-br-0123456789abcdef\""));
        assert_eq!(
            text(with_suffix(b"\"x-gzip-0123456789abcdef\"", hash)),
            text(with_suffix(b"\"x\"", hash))
        );
        assert_eq!(text(weakened(b"\"x\"")).as_deref(), Some("W/\"x\""));
        assert_eq!(text(weakened(b"W/\"x-br-0123456789abcdef\"")).as_deref(), Some("W/\"x\""));
        assert_eq!((weakened(b"x"), with_suffix(b"x", hash)), (None, None));
        let any = |list: &str, tag: &str| list_matches_any_form([list.as_bytes()], Some(tag.as_bytes()));
        for (list, tag, expected) in [
            ("\"x\"", "\"x-br-0123456789abcdef\"", true),
            ("\"y\", W/\"x-zstd-0123456789abcdef\"", "\"x\"", true),
            ("\"x-identity-0123456789abcdef\"", "\"x-br-ffffffffffffffff\"", true),
            ("\"x-br-0123456789abcde\"", "\"x\"", false),
            ("\"x-br-0123456789abcdeg\"", "\"x\"", false),
            ("\"x-lz-0123456789abcdef\"", "\"x\"", false),
            ("\"y\"", "\"x\"", false),
            ("x", "x", false),
        ] {
            assert_eq!(any(list, tag), expected, "{list} {tag}");
        }
    }

    #[test]
    fn the_comparison_table_of_the_rfc_holds() {
        for (one, other, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            assert_eq!(strong_eq(one.as_bytes(), other.as_bytes()), strong, "{one} {other}");
            assert_eq!(weak_eq(one.as_bytes(), other.as_bytes()), weak, "{one} {other}");
        }
    }

    #[test]
    fn what_is_not_an_entity_tag_is_not_read_as_one() {
        for bad in ["", "\"", "abc", "w/\"a\"", "W/", "W/ \"a\"", "\"a\"b\"", "\"a b\"", "\"a\u{7f}\"", "*"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse(b"\"\""), Some(EntityTag { weak: false, opaque: b"" }));
        assert_eq!(parse(b" W/\"\xe9\" "), Some(EntityTag { weak: true, opaque: b"\xe9" }));
    }

    #[test]
    fn a_list_is_searched_over_commas_in_tags_and_over_lines() {
        assert!(weak("\"x\", W/\"a,b\" ,\"y\"", "\"a,b\""));
        assert!(!weak("\"a,b\"", "\"a\""));
        assert!(weak("\"back\\\", \"b\"", "\"b\""));
        assert!(list_matches_weak([&b"\"x\""[..], b",, \"y\""], Some(b"\"y\"")));
        assert!(!list_matches_weak([], Some(b"\"y\"")));
    }

    #[test]
    fn a_star_matches_anything_alone_only() {
        assert!(list_matches_weak([&b" * "[..]], None));
        assert!(list_matches_strong([&b"*"[..]], None));
        assert!(!weak("\"x\", *", "\"a\""));
        assert!(!weak("\"*\"", "\"a\""));
    }

    #[test]
    fn a_stored_response_without_a_tag_matches_no_list() {
        assert!(!list_matches_weak([&b"\"a\""[..]], None));
    }

    #[test]
    fn forgotten_quotes_match_only_themselves_and_only_weakly() {
        assert!(weak("x, abc", "abc"));
        assert!(!weak("abc", "\"abc\""));
        assert!(!weak("\"abc\"", "abc"));
        assert!(!weak("", ""));
        assert!(!strong_eq(b"abc", b"abc"));
    }

    #[test]
    fn garbage_before_and_after_does_not_hide_a_match() {
        assert!(weak("foo, \"bar\"baz, \"a\"", "\"a\""));
        assert!(weak("\"a\", \"open", "\"a\""));
    }

    #[test]
    fn an_open_quote_is_read_in_linear_time() {
        let list = b"W/,\",".repeat(100_000);
        assert!(!list_matches_weak([list.as_slice()], Some(b"\"a\"")));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(list in proptest::collection::vec(any::<u8>(), 0..80), etag in proptest::collection::vec(any::<u8>(), 0..20)) {
            list_matches_weak([list.as_slice()], Some(&etag));
            list_matches_strong([list.as_slice()], Some(&etag));
        }

        #[test]
        fn a_list_matches_when_one_of_its_tags_does(tags in proptest::collection::vec("(W/)?\"[ab,\\\\]{0,2}\"", 0..5), etag in "(W/)?\"[ab,\\\\]{0,2}\"") {
            let list = tags.join(" , ");
            let values = [list.as_bytes()];
            let any = |equal: fn(&[u8], &[u8]) -> bool| tags.iter().any(|tag| equal(tag.as_bytes(), etag.as_bytes()));
            prop_assert_eq!(list_matches_weak(values, Some(etag.as_bytes())), any(weak_eq));
            prop_assert_eq!(list_matches_strong(values, Some(etag.as_bytes())), any(strong_eq));
        }

        #[test]
        fn strong_equality_implies_weak_equality(one in "(W/)?\"?[ab]{0,2}\"?", other in "(W/)?\"?[ab]{0,2}\"?") {
            prop_assert!(!strong_eq(one.as_bytes(), other.as_bytes()) || weak_eq(one.as_bytes(), other.as_bytes()));
        }
    }
}
