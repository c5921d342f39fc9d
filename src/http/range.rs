//! Reads `Range` and works out which bytes of a body a client is to get: resumed downloads, seeking in a video.

use smallvec::SmallVec;

use super::list;

/// More ranges than this in one request are not read at all (RFC 9110 §14.2 lets a server ignore the field).
const MOST_SPECS: usize = 32;

/// More parts than this are answered with the whole body (RFC 9110 §17.15).
const MOST_PARTS: usize = 16;

/// One member of a `Range` field, as asked (RFC 9110 §14.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// `5-9`: from the first to the last position, both inclusive.
    FromTo(u64, u64),
    /// `5-`: from a position to the end.
    From(u64),
    /// `-5`: so many bytes at the end.
    Suffix(u64),
}

/// All members of a `Range` field; nearly always one.
pub type RangeSet = SmallVec<[RangeSpec; 2]>;

/// Bytes of a body of known length; never empty when it comes from [`resolve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Position of the first byte.
    pub start: u64,
    /// Position after the last byte.
    pub end: u64,
}

/// How a request for ranges is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// 200 with everything: the request is abusive, or the body is empty.
    Whole,
    /// 416 (RFC 9110 §15.5.17).
    Unsatisfiable,
    /// 206 with `Content-Range` (RFC 9110 §15.3.7.1).
    One(ByteRange),
    /// 206 with `multipart/byteranges`, in the order asked (RFC 9110 §15.3.7.2).
    Many(SmallVec<[ByteRange; 4]>),
}

/// Reads a `Range` field. `None`: it is malformed, of another unit, or asks for more than 32 ranges, and is to be
/// ignored (RFC 9110 §14.2).
pub fn parse(value: &[u8]) -> Option<RangeSet> {
    let value = value.trim_ascii();
    let unit = value.get(..6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut set = RangeSet::new();
    for member in list::members(&value[6..]) {
        if set.len() == MOST_SPECS {
            return None;
        }
        set.push(RangeSpec::parse(member)?);
    }
    (!set.is_empty()).then_some(set)
}

/// Fits what was asked to a body of `length` bytes (RFC 9110 §14.1.2, §14.2, §17.15).
///
/// Members that lie outside are dropped. Two that overlap or touch become one. More than two that overlap, or more
/// than 16, are not worth serving in parts: the client gets the whole body.
pub fn resolve(set: &[RangeSpec], length: u64) -> Resolved {
    if length == 0 && set.iter().any(|spec| spec.is_some_suffix()) {
        // §14.1.2: such a suffix is satisfiable, but no Content-Range can name zero bytes.
        return Resolved::Whole;
    }
    let mut parts: SmallVec<[ByteRange; 4]> = SmallVec::new();
    for part in set.iter().filter_map(|spec| spec.within(length)) {
        if parts.len() == MOST_PARTS {
            return Resolved::Whole;
        }
        parts.push(part);
    }
    match *parts.as_slice() {
        [] => Resolved::Unsatisfiable,
        [only] => Resolved::One(only),
        [one, other] if one.touches(other) => Resolved::One(one.union(other)),
        // Parts that do not overlap cannot add up to more than the body.
        ref several if any_overlap(several) => Resolved::Whole,
        _ => Resolved::Many(parts),
    }
}

/// Whether this set can only be fitted once the length of the body is known.
pub fn needs_length(set: &[RangeSpec]) -> bool {
    set.iter().any(|spec| !matches!(spec, RangeSpec::FromTo(..)))
}

/// The last position (inclusive) that a set of plain `first-last` members asks for: a body still arriving is long
/// enough once it has that byte. `None` when the set [`needs_length`] or is empty.
pub fn last_needed(set: &[RangeSpec]) -> Option<u64> {
    set.iter().try_fold(None, |most: Option<u64>, spec| match *spec {
        RangeSpec::FromTo(_, last) => Some(most.max(Some(last))),
        RangeSpec::From(_) | RangeSpec::Suffix(_) => None,
    })?
}

/// The `Content-Range` of a 416: `bytes */1234` (RFC 9110 §14.4).
pub fn unsatisfied_content_range(length: u64) -> String {
    format!("bytes */{length}")
}

impl ByteRange {
    /// How many bytes it spans.
    pub fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Its `Content-Range`: `bytes 0-9/1234` (RFC 9110 §14.4).
    pub fn content_range(self, complete_length: u64) -> String {
        let last = self.end.saturating_sub(1);
        format!("bytes {}-{last}/{complete_length}", self.start)
    }

    fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    fn touches(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn union(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

impl RangeSpec {
    fn parse(member: &[u8]) -> Option<Self> {
        let dash = member.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&member[..dash], &member[dash + 1..]);
        match (first.is_empty(), last.is_empty()) {
            (true, _) => Some(Self::Suffix(position(last)?)),
            (false, true) => Some(Self::From(position(first)?)),
            (false, false) => {
                let (first, last) = (position(first)?, position(last)?);
                // §14.1.1: a last position before the first makes the whole set invalid.
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }

    fn within(self, length: u64) -> Option<ByteRange> {
        let (start, end) = match self {
            Self::FromTo(first, last) => (first, last.saturating_add(1).min(length)),
            Self::From(first) => (first, length),
            Self::Suffix(count) => (length.saturating_sub(count), length),
        };
        (start < end).then_some(ByteRange { start, end })
    }

    fn is_some_suffix(self) -> bool {
        matches!(self, Self::Suffix(count) if count > 0)
    }
}

/// A decimal position; one beyond all files stays beyond all files.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    )
}

/// At most 16 parts, so 120 comparisons, and only for a multi-range request.
fn any_overlap(parts: &[ByteRange]) -> bool {
    parts.iter().enumerate().any(|(at, one)| parts[at + 1..].iter().any(|other| one.overlaps(*other)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::RangeSpec::{From, FromTo, Suffix};
    use super::*;
    use proptest::prelude::*;

    fn parsed(value: &str) -> Option<Vec<RangeSpec>> {
        parse(value.as_bytes()).map(|set| set.to_vec())
    }

    fn resolved(value: &str, length: u64) -> Resolved {
        resolve(&parse(value.as_bytes()).unwrap(), length)
    }

    fn one(start: u64, end: u64) -> Resolved {
        Resolved::One(ByteRange { start, end })
    }

    #[test]
    fn the_three_forms_are_read() {
        assert_eq!(parsed("bytes=0-4"), Some(vec![FromTo(0, 4)]));
        assert_eq!(parsed("Bytes=5-"), Some(vec![From(5)]));
        assert_eq!(parsed(" bytes=-5 "), Some(vec![Suffix(5)]));
        assert_eq!(parsed("bytes=0-0,, 9- ,-1"), Some(vec![FromTo(0, 0), From(9), Suffix(1)]));
    }

    #[test]
    fn anything_else_is_ignored() {
        for bad in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes 0-4",
            "bytes =0-4",
            "items=0-4",
            "bytes=4-0",
            "bytes=a-b",
            "bytes=-",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=0-4,x",
            "bytes=0x0-4",
            "bytes=1 - 2",
            "bytes=5",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn more_than_thirty_two_ranges_are_ignored() {
        assert_eq!(parsed(&format!("bytes={}", "0-0,".repeat(32))).unwrap().len(), 32);
        assert_eq!(parsed(&format!("bytes={}", "0-0,".repeat(33))), None);
    }

    #[test]
    fn a_position_too_large_to_count_is_beyond_the_end() {
        assert_eq!(resolved("bytes=2-99999999999999999999999", 10), one(2, 10));
        assert_eq!(resolved("bytes=99999999999999999999999-", 10), Resolved::Unsatisfiable);
    }

    #[test]
    fn a_range_is_cut_to_the_body() {
        assert_eq!(resolved("bytes=0-4", 10), one(0, 5));
        assert_eq!(resolved("bytes=5-99", 10), one(5, 10));
        assert_eq!(resolved("bytes=5-", 10), one(5, 10));
        assert_eq!(resolved("bytes=-3", 10), one(7, 10));
        assert_eq!(resolved("bytes=-30", 10), one(0, 10));
    }

    #[test]
    fn what_lies_outside_is_dropped_and_nothing_left_is_unsatisfiable() {
        assert_eq!(resolved("bytes=10-", 10), Resolved::Unsatisfiable);
        assert_eq!(resolved("bytes=-0", 10), Resolved::Unsatisfiable);
        assert_eq!(resolved("bytes=10-, 1-2, 20-30", 10), one(1, 3));
    }

    #[test]
    fn of_an_empty_body_only_a_suffix_can_be_had() {
        assert_eq!(resolved("bytes=0-", 0), Resolved::Unsatisfiable);
        assert_eq!(resolved("bytes=-0", 0), Resolved::Unsatisfiable);
        assert_eq!(resolved("bytes=-5", 0), Resolved::Whole);
    }

    #[test]
    fn two_that_overlap_or_touch_become_one() {
        assert_eq!(resolved("bytes=0-4,5-6", 10), one(0, 7));
        assert_eq!(resolved("bytes=5-9,0-6", 10), one(0, 10));
        assert!(matches!(resolved("bytes=0-4,6-6", 10), Resolved::Many(parts) if parts.len() == 2));
    }

    #[test]
    fn abuse_gets_the_whole_body() {
        assert_eq!(resolved("bytes=0-,0-,0-", 10), Resolved::Whole);
        let many: Vec<String> = (0..17).map(|at| format!("{}-{}", at * 2, at * 2)).collect();
        assert_eq!(resolved(&format!("bytes={}", many.join(",")), 100), Resolved::Whole);
        assert!(matches!(resolved(&format!("bytes={}", many[..16].join(",")), 100), Resolved::Many(_)));
    }

    #[test]
    fn a_body_still_arriving_knows_what_it_must_have() {
        assert_eq!(last_needed(&[FromTo(0, 4), FromTo(2, 9), FromTo(1, 1)]), Some(9));
        assert_eq!(last_needed(&[FromTo(0, 4), From(2)]), None);
        assert_eq!(last_needed(&[]), None);
        assert!(needs_length(&[FromTo(0, 4), Suffix(2)]));
        assert!(!needs_length(&[FromTo(0, 4)]));
    }

    #[test]
    fn content_range_is_written_as_the_rfc_shows_it() {
        assert_eq!(ByteRange { start: 0, end: 500 }.content_range(1234), "bytes 0-499/1234");
        assert_eq!(unsatisfied_content_range(1234), "bytes */1234");
    }

    fn spec() -> impl Strategy<Value = RangeSpec> {
        prop_oneof![
            (0u64..40, 0u64..40).prop_map(|(a, b)| FromTo(a.min(b), a.max(b))),
            (0u64..40).prop_map(From),
            (0u64..40).prop_map(Suffix),
        ]
    }

    fn wanted(spec: &RangeSpec, at: u64, length: u64) -> bool {
        match *spec {
            FromTo(first, last) => at >= first && at <= last,
            From(first) => at >= first,
            Suffix(count) => at + count >= length,
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..60), length: u64) {
            let prefixed = [b"bytes=".as_slice(), &value].concat();
            for input in [&value, &prefixed] {
                if let Some(set) = parse(input) {
                    resolve(&set, length);
                    last_needed(&set);
                }
            }
        }

        #[test]
        fn any_set_of_numbers_resolves_within_the_body(a: u64, b: u64, length: u64) {
            for spec in [FromTo(a, b), From(a), Suffix(b)] {
                if let Resolved::One(range) = resolve(&[spec], length) {
                    prop_assert!(range.start < range.end && range.end <= length);
                }
            }
        }

        #[test]
        fn what_is_read_back_is_what_was_written(specs in proptest::collection::vec(spec(), 1..6)) {
            let text: Vec<String> = specs.iter().map(|spec| match spec {
                FromTo(first, last) => format!("{first}-{last}"),
                From(first) => format!("{first}-"),
                Suffix(count) => format!("-{count}"),
            }).collect();
            prop_assert_eq!(parsed(&format!("bytes={}", text.join(", "))), Some(specs));
        }

        #[test]
        fn the_parts_are_the_bytes_asked_for(specs in proptest::collection::vec(spec(), 1..6), length in 1u64..40) {
            let asked = |at| specs.iter().any(|spec| wanted(spec, at, length));
            let parts: Vec<ByteRange> = match resolve(&specs, length) {
                Resolved::Whole => return Ok(()),
                Resolved::Unsatisfiable => vec![],
                Resolved::One(part) => vec![part],
                Resolved::Many(parts) => parts.to_vec(),
            };
            prop_assert!(parts.iter().map(|part| part.length()).sum::<u64>() <= length);
            for at in 0..length {
                let given = parts.iter().filter(|part| part.start <= at && at < part.end).count();
                prop_assert_eq!(given, usize::from(asked(at)));
            }
        }
    }
}
