//! Decides whether a client already has what it asks for (304), or asked on a condition that no longer holds (412).

use smallvec::SmallVec;

use super::{date, etag};

/// What the stored response says of its own version (RFC 9110 §8.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validators<'a> {
    /// Its `ETag` field, as stored.
    pub etag: Option<&'a [u8]>,
    /// Its `Last-Modified`, in seconds since 1970.
    pub last_modified: Option<u64>,
    /// Whether the body is made in several forms: a client that has any of them has it.
    pub any_form: bool,
}

/// The raw values of one field of a request, a line each.
pub type Values<'a> = SmallVec<[&'a [u8]; 1]>;

/// The conditional fields of a request; empty where it has none (RFC 9110 §13.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions<'a> {
    /// Only if it is still this version (§13.1.1).
    pub if_match: Values<'a>,
    /// Only if it is another version (§13.1.2).
    pub if_none_match: Values<'a>,
    /// Only if it changed after this date (§13.1.3).
    pub if_modified_since: Values<'a>,
    /// Only if it did not change after this date (§13.1.4).
    pub if_unmodified_since: Values<'a>,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// 412: the client asked for another version than there is.
    Failed,
    /// 304: the client has it.
    NotModified,
    /// Answer as if there were no conditions.
    Proceed,
}

impl Conditions<'_> {
    /// Whether the request carries no condition at all.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_empty()
            && self.if_none_match.is_empty()
            && self.if_modified_since.is_empty()
            && self.if_unmodified_since.is_empty()
    }
}

/// Weighs the conditions of a GET or HEAD against a stored 200, in the order of RFC 9110 §13.2.2.
pub fn evaluate(conditions: &Conditions<'_>, validators: &Validators<'_>) -> Precondition {
    if !still_the_version_asked_for(conditions, validators) {
        return Precondition::Failed;
    }
    if client_has_it(conditions, validators) {
        return Precondition::NotModified;
    }
    Precondition::Proceed
}

/// Whether an `If-Range` still names the stored response; if not, the `Range` beside it is to be ignored
/// (RFC 9110 §13.1.5). `date` is the stored response's `Date`.
///
/// Only a strong validator will do: the client glues the bytes it gets to bytes it has.
pub fn if_range_holds(value: &[u8], validators: &Validators<'_>, date: Option<u64>) -> bool {
    if value.contains(&b'"') {
        return validators.etag.is_some_and(|etag| etag::strong_eq(value, etag));
    }
    match (date::parse(value), validators.last_modified, date) {
        // §8.8.2.2: modified in the second it was sent, it may have changed again within that second.
        // §8.8.1: and of several forms of a body it names all, so that bytes of two might be glued together.
        (Some(asked), Some(modified), Some(sent)) => {
            asked == modified && modified < sent && !validators.any_form
        }
        _ => false,
    }
}

/// Steps 1 and 2 of §13.2.2: `If-Match`, and only without it `If-Unmodified-Since`.
fn still_the_version_asked_for(conditions: &Conditions<'_>, validators: &Validators<'_>) -> bool {
    if !conditions.if_match.is_empty() {
        return etag::list_matches_strong(conditions.if_match.iter().copied(), validators.etag);
    }
    modified_by(&conditions.if_unmodified_since, validators).unwrap_or(true)
}

/// Steps 3 and 4 of §13.2.2: `If-None-Match`, and only without it `If-Modified-Since`.
fn client_has_it(conditions: &Conditions<'_>, validators: &Validators<'_>) -> bool {
    if !conditions.if_none_match.is_empty() {
        let named = || conditions.if_none_match.iter().copied();
        return etag::list_matches_weak(named(), validators.etag)
            || validators.any_form && etag::list_matches_any_form(named(), validators.etag);
    }
    modified_by(&conditions.if_modified_since, validators).unwrap_or(false)
}

/// Whether the last modification is not after the date given. `None` when the field is to be ignored: absent,
/// repeated, not a date, or nothing is known of the modification (§13.1.3, §13.1.4).
fn modified_by(values: &[&[u8]], validators: &Validators<'_>) -> Option<bool> {
    let [value] = values else { return None };
    Some(validators.last_modified? <= date::parse(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smallvec::smallvec;

    const OLD: &[u8] = b"Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &[u8] = b"Sun, 06 Nov 1994 08:49:38 GMT";
    const MODIFIED: u64 = 784_111_777;

    const STORED: Validators<'_> =
        Validators { etag: Some(b"\"v2\""), last_modified: Some(MODIFIED), any_form: false };
    const BARE: Validators<'_> = Validators { etag: None, last_modified: None, any_form: false };

    fn none_match(value: &[u8]) -> Conditions<'_> {
        Conditions { if_none_match: smallvec![value], ..Default::default() }
    }

    fn modified_since(value: &[u8]) -> Conditions<'_> {
        Conditions { if_modified_since: smallvec![value], ..Default::default() }
    }

    fn unmodified_since(value: &[u8]) -> Conditions<'_> {
        Conditions { if_unmodified_since: smallvec![value], ..Default::default() }
    }

    fn if_match(value: &[u8]) -> Conditions<'_> {
        Conditions { if_match: smallvec![value], ..Default::default() }
    }

    #[test]
    fn without_conditions_the_answer_proceeds() {
        assert!(Conditions::default().is_empty());
        assert_eq!(evaluate(&Conditions::default(), &STORED), Precondition::Proceed);
    }

    #[test]
    fn a_client_that_has_the_version_is_told_so() {
        for (value, expected) in [
            (&b"\"v2\""[..], Precondition::NotModified),
            (b"\"v1\", W/\"v2\"", Precondition::NotModified),
            (b"*", Precondition::NotModified),
            (b"\"v1\"", Precondition::Proceed),
            (b"", Precondition::Proceed),
        ] {
            assert_eq!(evaluate(&none_match(value), &STORED), expected);
        }
        assert_eq!(evaluate(&none_match(b"\"v2\""), &BARE), Precondition::Proceed);
    }

    #[test]
    fn a_client_that_has_the_date_is_told_so() {
        for (value, expected) in [
            (OLD, Precondition::Proceed),
            (THEN, Precondition::NotModified),
            (LATER, Precondition::NotModified),
            (b"yesterday", Precondition::Proceed),
        ] {
            assert_eq!(evaluate(&modified_since(value), &STORED), expected);
        }
        assert_eq!(evaluate(&modified_since(LATER), &BARE), Precondition::Proceed);
    }

    #[test]
    fn if_none_match_silences_if_modified_since() {
        let mut both = none_match(b"\"v1\"");
        both.if_modified_since = smallvec![LATER];
        assert_eq!(evaluate(&both, &STORED), Precondition::Proceed);
    }

    #[test]
    fn a_date_given_twice_is_ignored() {
        let twice = Conditions { if_modified_since: smallvec![LATER, LATER], ..Default::default() };
        assert_eq!(evaluate(&twice, &STORED), Precondition::Proceed);
    }

    #[test]
    fn if_match_compares_strongly_and_fails_with_412() {
        assert_eq!(evaluate(&if_match(b"\"v2\""), &STORED), Precondition::Proceed);
        assert_eq!(evaluate(&if_match(b"*"), &BARE), Precondition::Proceed);
        assert_eq!(evaluate(&if_match(b"W/\"v2\""), &STORED), Precondition::Failed);
        assert_eq!(evaluate(&if_match(b"\"v1\""), &STORED), Precondition::Failed);
    }

    #[test]
    fn if_unmodified_since_fails_once_it_changed() {
        assert_eq!(evaluate(&unmodified_since(OLD), &STORED), Precondition::Failed);
        assert_eq!(evaluate(&unmodified_since(THEN), &STORED), Precondition::Proceed);
        assert_eq!(evaluate(&unmodified_since(b"junk"), &STORED), Precondition::Proceed);
        assert_eq!(evaluate(&unmodified_since(OLD), &BARE), Precondition::Proceed);
    }

    #[test]
    fn if_match_silences_if_unmodified_since_and_comes_before_if_none_match() {
        let mut both = if_match(b"\"v2\"");
        both.if_unmodified_since = smallvec![OLD];
        assert_eq!(evaluate(&both, &STORED), Precondition::Proceed);
        both.if_none_match = smallvec![&b"\"v2\""[..]];
        assert_eq!(evaluate(&both, &STORED), Precondition::NotModified);
        both.if_match = smallvec![&b"\"v1\""[..]];
        assert_eq!(evaluate(&both, &STORED), Precondition::Failed);
    }

    #[test]
    fn if_range_takes_only_a_strong_tag() {
        let weak = Validators { etag: Some(b"W/\"v2\""), ..STORED };
        assert!(if_range_holds(b"\"v2\"", &STORED, None));
        assert!(!if_range_holds(b"W/\"v2\"", &STORED, None));
        assert!(!if_range_holds(b"W/\"v2\"", &weak, None));
        assert!(!if_range_holds(b"\"v1\"", &STORED, None));
        assert!(!if_range_holds(b"*", &STORED, None));
    }

    #[test]
    fn if_range_takes_only_the_exact_date_and_only_once_it_is_settled() {
        assert!(if_range_holds(THEN, &STORED, Some(MODIFIED + 1)));
        assert!(!if_range_holds(THEN, &STORED, Some(MODIFIED)));
        assert!(!if_range_holds(THEN, &STORED, None));
        assert!(!if_range_holds(LATER, &STORED, Some(MODIFIED + 60)));
        assert!(!if_range_holds(THEN, &BARE, Some(MODIFIED + 60)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 6)) {
            let conditions = Conditions {
                if_match: smallvec![values[0].as_slice()],
                if_none_match: smallvec![values[1].as_slice()],
                if_modified_since: smallvec![values[2].as_slice()],
                if_unmodified_since: smallvec![values[3].as_slice()],
            };
            let validators = Validators { etag: Some(&values[4]), last_modified: Some(0), any_form: false };
            evaluate(&conditions, &validators);
            if_range_holds(&values[5], &validators, Some(u64::MAX));
        }

        #[test]
        fn dates_are_compared_as_numbers(modified in 0u64..4_000_000_000, asked in 0u64..4_000_000_000) {
            let text = date::format(asked);
            let validators = Validators { etag: None, last_modified: Some(modified), any_form: false };
            prop_assert_eq!(evaluate(&modified_since(&text), &validators) == Precondition::NotModified, modified <= asked);
            prop_assert_eq!(evaluate(&unmodified_since(&text), &validators) == Precondition::Failed, modified > asked);
            prop_assert_eq!(if_range_holds(&text, &validators, Some(u64::MAX)), modified == asked);
        }
    }
}
