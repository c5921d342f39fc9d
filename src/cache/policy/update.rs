//! What a 304 changes in a stored response.

use crate::http::conditional::Validators;
use crate::http::{etag, hop_by_hop};

/// A header field: name in any case, value.
pub type Field<'a> = (&'a str, &'a [u8]);

/// Fields of a 304 that never change what is stored. RFC 9111 §3.2 demands it of Content-Length and allows it where
/// the store depends on a field: these describe the bytes that are kept, and the encoded variants made from them.
const OF_THE_BODY: [&str; 4] = ["content-encoding", "content-length", "content-range", "content-type"];

/// Stored fields that end with a validation even where the 304 has none of its own: they tell the age of the message
/// that brought them. An old Date or Age kept would leave what was just confirmed stale for good.
const OF_THE_MESSAGE: [&str; 2] = ["age", "date"];

/// Whether a 304 is about the stored response (RFC 9111 §4.3.4). If not, it must not update it: fetch it whole.
pub fn confirms(stored: &Validators<'_>, fresh: &Validators<'_>) -> bool {
    match (stored.etag, fresh.etag) {
        (Some(old), Some(new)) => same_version(old, new),
        // A strong validator that the stored response has not got identifies another one.
        (None, Some(new)) if is_strong(new) => false,
        _ => same_date(stored.last_modified, fresh.last_modified),
    }
}

/// The stored fields as a 304 leaves them (RFC 9111 §3.2, §4.3.4): each of its fields replaces all stored ones of that
/// name. The result goes through `storable` again: a 304 may well say no-store, private or Set-Cookie. It has a Date
/// only if the 304 had one; whoever sends it adds the time it was received (RFC 9110 §6.6.1).
pub fn merge_304<'a>(
    stored: impl Iterator<Item = Field<'a>>,
    fresh: impl Iterator<Item = Field<'a>>,
) -> Vec<Field<'a>> {
    let mut merged: Vec<Field<'a>> = stored.filter(|(name, _)| !hop_by_hop::never_stored(name)).collect();
    let fresh: Vec<Field<'a>> = fresh.collect();
    let updates: Vec<Field<'a>> =
        fresh.iter().copied().filter(|field| may_update(field, &fresh, &merged)).collect();
    merged.retain(|(name, _)| !is_one_of(&OF_THE_MESSAGE, name) && !has(&updates, name));
    merged.extend(updates);
    merged
}

/// RFC 9111 §4.3.4: a strong ETag identifies by being the very same, a weak one by weak comparison.
fn same_version(old: &[u8], new: &[u8]) -> bool {
    if is_strong(new) { etag::strong_eq(old, new) } else { etag::weak_eq(old, new) }
}

/// Where there is nothing to compare, the 304 answers the validator that we sent, and that was the stored one's.
fn same_date(old: Option<u64>, new: Option<u64>) -> bool {
    old.is_none() || new.is_none() || old == new
}

fn is_strong(etag: &[u8]) -> bool {
    etag::parse(etag).is_some_and(|tag| !tag.weak)
}

/// Whether a field of the 304 takes part in the update.
fn may_update(field: &Field<'_>, fresh: &[Field<'_>], stored: &[Field<'_>]) -> bool {
    let (name, _) = *field;
    !(hop_by_hop::never_stored(name)
        || is_one_of(&OF_THE_BODY, name)
        || for_one_hop(fresh, name)
        || weakens(field, stored))
}

/// RFC 9110 §7.6.1: Connection names further fields that end here.
fn for_one_hop(fields: &[Field<'_>], name: &str) -> bool {
    let connection = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    hop_by_hop::named_by_connection(connection.map(|(_, value)| *value))
        .any(|named| named.eq_ignore_ascii_case(name))
}

/// A weak ETag beside the same strong one says less about the same bytes: the strong one stays, ranges need it.
fn weakens(field: &Field<'_>, stored: &[Field<'_>]) -> bool {
    let (name, new) = *field;
    let stronger = |old: &[u8]| is_strong(old) && etag::weak_eq(old, new);
    name.eq_ignore_ascii_case("etag")
        && etag::parse(new).is_some_and(|tag| tag.weak)
        && stored.iter().any(|(name, old)| name.eq_ignore_ascii_case("etag") && stronger(old))
}

fn has(fields: &[Field<'_>], name: &str) -> bool {
    fields.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::fixture::rows;
    use proptest::prelude::*;

    type Pair = (&'static str, &'static str);

    fn merged(stored: &[Pair], fresh: &[Pair]) -> Vec<Pair> {
        let fields =
            |list: &[Pair]| list.iter().map(|(name, value)| (*name, value.as_bytes())).collect::<Vec<_>>();
        let merged = merge_304(fields(stored).into_iter(), fields(fresh).into_iter());
        merged.into_iter().map(|(name, value)| (name, std::str::from_utf8(value).unwrap())).collect()
    }

    fn tags(stored: &str, fresh: &str) -> bool {
        let validators = |etag: &'static [u8]| Validators { etag: Some(etag), ..Validators::default() };
        let (stored, fresh) = (stored.to_owned().leak().as_bytes(), fresh.to_owned().leak().as_bytes());
        confirms(&validators(stored), &validators(fresh))
    }

    /// A stored response with a date only, and a 304 with the same date and a tag.
    fn new_tag(fresh: &'static str) -> bool {
        let stored = Validators { last_modified: Some(1), ..Validators::default() };
        confirms(&stored, &Validators { etag: Some(fresh.as_bytes()), ..stored })
    }

    fn dates(stored: Option<u64>, fresh: Option<u64>) -> bool {
        let validators = |last_modified| Validators { last_modified, ..Validators::default() };
        confirms(&validators(stored), &validators(fresh))
    }

    rows! {
        // RFC 9111 §3.2, §4.3.4
        a_field_of_the_304_replaces_the_stored_one: merged(&[("a", "1"), ("b", "2")], &[("a", "3")]) => [("b", "2"), ("a", "3")];
        it_replaces_all_of_that_name_by_all_of_its_own:
            merged(&[("a", "1"), ("a", "2")], &[("a", "3"), ("a", "4")]) => [("a", "3"), ("a", "4")];
        names_are_compared_without_case: merged(&[("X-A", "1")], &[("x-a", "2")]) => [("x-a", "2")];
        a_new_field_is_added: merged(&[("a", "1")], &[("b", "2")]) => [("a", "1"), ("b", "2")];
        a_field_that_the_304_omits_stays: merged(&[("a", "1")], &[]) => [("a", "1")];
        cache_control_is_replaced:
            merged(&[("cache-control", "max-age=1")], &[("cache-control", "no-store")]) => [("cache-control", "no-store")];
        content_length_stays: merged(&[("content-length", "5")], &[("content-length", "0")]) => [("content-length", "5")];
        content_length_is_not_added: merged(&[], &[("content-length", "0")]) => [];
        what_describes_the_stored_bytes_stays:
            merged(
                &[("content-type", "text/css"), ("content-encoding", "br")],
                &[("Content-Type", "text/html"), ("Content-Encoding", "gzip"), ("Content-Range", "bytes 0-0/1")],
            ) => [("content-type", "text/css"), ("content-encoding", "br")];
        other_content_fields_are_replaced:
            merged(&[("content-location", "/a")], &[("content-location", "/b")]) => [("content-location", "/b")];
        fields_of_the_connection_are_not_stored:
            merged(&[("keep-alive", "x")], &[("connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "x")]) => [];
        fields_between_proxies_are_not_stored: merged(&[], &[("proxy-authenticate", "Basic")]) => [];
        fields_that_connection_names_do_not_update:
            merged(&[("a", "1"), ("b", "2")], &[("connection", "close, A"), ("a", "3"), ("b", "4")]) => [("a", "1"), ("b", "4")];
        connection_cannot_hide_cache_control:
            merged(&[("cache-control", "max-age=1")], &[("connection", "cache-control"), ("cache-control", "no-store")])
                => [("cache-control", "no-store")];
        the_old_age_and_date_end_with_the_validation: merged(&[("age", "500"), ("date", "x"), ("a", "1")], &[]) => [("a", "1")];
        the_new_age_and_date_count: merged(&[("age", "500"), ("date", "x")], &[("age", "1"), ("date", "y")]) => [("age", "1"), ("date", "y")];
        a_strong_tag_is_not_weakened: merged(&[("etag", "\"a\"")], &[("etag", "W/\"a\"")]) => [("etag", "\"a\"")];
        another_tag_replaces: merged(&[("etag", "W/\"a\"")], &[("ETag", "W/\"b\"")]) => [("ETag", "W/\"b\"")];

        // RFC 9111 §4.3.4, RFC 9110 §8.8.3.2
        the_same_strong_tag_confirms: tags("\"a\"", "\"a\"") => true;
        another_strong_tag_must_not_update: tags("\"a\"", "\"b\"") => false;
        a_strong_tag_does_not_confirm_a_weak_one: tags("W/\"a\"", "\"a\"") => false;
        a_weak_tag_confirms_by_weak_comparison: [tags("W/\"a\"", "W/\"a\""), tags("\"a\"", "W/\"a\"")] => [true, true];
        another_weak_tag_must_not_update: tags("W/\"a\"", "W/\"b\"") => false;
        a_strong_tag_does_not_confirm_what_has_none: new_tag("\"a\"") => false;
        a_weak_tag_beside_the_same_date_confirms_what_has_none: new_tag("W/\"a\"") => true;
        a_tag_without_quotes_confirms_itself: [tags("a", "a"), tags("a", "b")] => [true, false];
        the_same_modification_date_confirms: dates(Some(1), Some(1)) => true;
        another_modification_date_must_not_update: dates(Some(1), Some(2)) => false;
        a_304_without_validators_answers_the_one_we_sent: [dates(Some(1), None), dates(None, None)] => [true, true];
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            stored in prop::collection::vec(("[a-zA-Z-]{1,12}", prop::collection::vec(any::<u8>(), 0..20)), 0..6),
            fresh in prop::collection::vec(("connection|etag|[a-c]", prop::collection::vec(any::<u8>(), 0..20)), 0..6),
        ) {
            let merged = merge_304(
                stored.iter().map(|(name, value)| (name.as_str(), value.as_slice())),
                fresh.iter().map(|(name, value)| (name.as_str(), value.as_slice())),
            );
            prop_assert!(merged.len() <= stored.len() + fresh.len());
            prop_assert!(merged.iter().all(|(name, _)| !hop_by_hop::never_stored(name)));
        }
    }
}
