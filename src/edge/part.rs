//! Which part of a stored response a request gets: all of it, a range, several, or only word that it has it already.

use crate::cache::object::StoredHead;
use crate::http::conditional::{self, Conditions, Precondition, Validators};
use crate::http::fields::Fields;
use crate::http::multipart::Multipart;
use crate::http::range::{self, ByteRange, RangeSet, Resolved};
use crate::http::{date, range::RangeSpec};

/// The part of a stored response that answers a request.
#[derive(Debug)]
pub enum Part {
    /// The whole, with the stored status.
    Whole,
    /// 304: the client's copy is good.
    NotModified,
    /// 412: the client's condition does not hold.
    PreconditionFailed,
    /// 416: nothing of it was asked for; the complete length.
    Unsatisfiable(u64),
    /// 206 with one range.
    One(ByteRange),
    /// 206 with several.
    Many(Box<Multipart>),
    /// Ranges that can be told only once more of the body is there.
    Later(RangeSet),
}

/// Chooses by preconditions (RFC 9110 §13.2.2) and ranges (§14.2). `length` is the body's, if it is known yet.
pub fn choose(method: &str, fields: Fields<'_>, head: &StoredHead, length: Option<u64>) -> Part {
    // RFC 9110 §13.2.1: preconditions are about a representation, so about a 200.
    if head.status != 200 {
        return Part::Whole;
    }
    // Most requests ask neither way: nothing to parse for them.
    if !fields.ask_for_part() {
        return Part::Whole;
    }
    let validators = validators(head);
    match conditional::evaluate(&conditions(fields), &validators) {
        Precondition::NotModified => return Part::NotModified,
        Precondition::Failed => return Part::PreconditionFailed,
        Precondition::Proceed => {}
    }
    // RFC 9110 §14.2: a range counts for GET only.
    match if method == "GET" { wanted(fields, head, &validators) } else { None } {
        Some(set) => resolve(set, head, length),
        None => Part::Whole,
    }
}

/// What the stored response can be compared by.
pub fn validators(head: &StoredHead) -> Validators<'_> {
    let last_modified = head.first("last-modified").and_then(date::parse);
    Validators { etag: head.first("etag"), last_modified, any_form: head.has_forms() }
}

/// The validators that the origin gave it, whatever a rule has made of them.
pub fn received_validators(head: &StoredHead) -> Validators<'_> {
    let last_modified = head.first_received("last-modified").and_then(date::parse);
    Validators { etag: head.first_received("etag"), last_modified, any_form: false }
}

fn conditions(fields: Fields<'_>) -> Conditions<'_> {
    Conditions {
        if_match: fields.all("if-match").collect(),
        if_none_match: fields.all("if-none-match").collect(),
        if_modified_since: fields.all("if-modified-since").collect(),
        if_unmodified_since: fields.all("if-unmodified-since").collect(),
    }
}

fn wanted(fields: Fields<'_>, head: &StoredHead, validators: &Validators<'_>) -> Option<RangeSet> {
    let set = range::parse(fields.first("range")?)?;
    // A file has no date of its own: it was sent when it was read, or later.
    let date = head.first("date").map_or(Some(head.times.received_at), date::parse);
    let holds =
        fields.first("if-range").is_none_or(|value| conditional::if_range_holds(value, validators, date));
    holds.then_some(set)
}

/// Turns ranges into a part, once the length is known.
pub fn resolve(set: RangeSet, head: &StoredHead, length: Option<u64>) -> Part {
    let Some(length) = length else { return Part::Later(set) };
    match range::resolve(&set, length) {
        Resolved::Whole => Part::Whole,
        Resolved::Unsatisfiable => Part::Unsatisfiable(length),
        Resolved::One(range) => Part::One(range),
        Resolved::Many(ranges) => Part::Many(Box::new(Multipart::new(
            &ranges,
            length,
            head.first("content-type"),
            fastrand::u64(..),
        ))),
    }
}

/// Whether a range is the whole body, however long it turns out.
pub fn is_all(set: &[RangeSpec]) -> bool {
    matches!(set, [RangeSpec::From(0)])
}

/// The one range of a body of unknown length that can be answered as soon as its last byte is there.
pub fn closed_range(set: &[RangeSpec]) -> Option<ByteRange> {
    match set {
        [RangeSpec::FromTo(first, last)] if first <= last => {
            Some(ByteRange { start: *first, end: last.saturating_add(1) })
        }
        _ => None,
    }
}
