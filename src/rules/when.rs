//! The conditions of a rule, and whether they hold: yes, no, or not to be said yet.

use crate::http::fields::Fields;
use crate::http::status::StatusRange;
use crate::route::{FieldTest, Subject, Test, TextPattern};
use smallvec::SmallVec;
use std::str::FromStr;

/// When a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Every one of these; of none: always.
    All(Vec<When>),
    /// At least one of these; of none: never.
    Any(Vec<When>),
    /// The type of the response is one of these, compared in lower case and without parameters.
    ContentType(Vec<TextPattern>),
    /// Not this.
    Not(Box<When>),
    /// Something of the request.
    Request(Test),
    /// A field of the response.
    ResponseHeader(FieldTest),
    /// The status of the response is in one of these ranges.
    Status(Vec<StatusRange>),
}

/// The head of a response, as conditions see it.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status.
    pub status: u16,
    /// The header fields, as the origin sent them.
    pub fields: Fields<'a>,
}

/// What is known of an exchange when a condition is asked.
#[derive(Clone, Copy)]
pub(super) enum Known<'a> {
    /// Scheme, host, port, path and query.
    Url,
    /// The whole request.
    Request,
    /// The request and its response.
    Response(&'a Response<'a>),
}

impl When {
    /// Whether any condition names the response, so that the rule is decided when the response is there.
    pub fn is_response(&self) -> bool {
        match self {
            Self::All(members) | Self::Any(members) => members.iter().any(Self::is_response),
            Self::Not(member) => member.is_response(),
            Self::Request(_) => false,
            Self::ContentType(_) | Self::ResponseHeader(_) | Self::Status(_) => true,
        }
    }

    /// A pattern for [`Self::ContentType`]: media types are the same in any case (RFC 9110 §8.3.1), so what is not a
    /// regular expression is taken in lower case.
    pub fn media_type(text: &str) -> Result<TextPattern, <TextPattern as FromStr>::Err> {
        if text.starts_with('~') { text.parse() } else { text.to_ascii_lowercase().parse() }
    }

    /// Whether it holds; `None` if that depends on what is not known yet. Allocates nothing, but for a response
    /// whose media type is longer than any.
    pub(super) fn value(&self, subject: &Subject<'_>, known: Known<'_>) -> Option<bool> {
        match self {
            Self::All(members) => settle(members, false, |member| member.value(subject, known)),
            Self::Any(members) => settle(members, true, |member| member.value(subject, known)),
            Self::Not(member) => member.value(subject, known).map(|holds| !holds),
            Self::Request(test) if matches!(known, Known::Url) && !test.known_from_url() => None,
            Self::Request(test) => Some(test.check(subject)),
            Self::ContentType(_) | Self::ResponseHeader(_) | Self::Status(_) => match known {
                Known::Response(response) => Some(self.holds_of(response)),
                Known::Url | Known::Request => None,
            },
        }
    }

    /// Whether a single condition on the response holds.
    fn holds_of(&self, response: &Response<'_>) -> bool {
        match self {
            Self::ContentType(patterns) => media_type(response.fields)
                .is_some_and(|media_type| patterns.iter().any(|pattern| pattern.matches(&media_type))),
            Self::ResponseHeader(test) => test.check(response.fields.all(&test.name)),
            Self::Status(ranges) => ranges.iter().any(|range| range.contains(response.status)),
            Self::All(_) | Self::Any(_) | Self::Not(_) | Self::Request(_) => false,
        }
    }
}

/// Kleene's logic: one member with the value `decisive` settles it, else one unknown leaves it open.
fn settle(members: &[When], decisive: bool, value: impl Fn(&When) -> Option<bool>) -> Option<bool> {
    let mut settled = Some(!decisive);
    for member in members {
        match value(member) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => settled = None,
        }
    }
    settled
}

/// The media type of a response in lower case and without parameters (RFC 9110 §8.3); none if it is empty.
pub(super) fn media_type(fields: Fields<'_>) -> Option<SmallVec<[u8; 64]>> {
    let value = fields.first("content-type")?;
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let mut media_type = SmallVec::from_slice(value[..end].trim_ascii());
    media_type.make_ascii_lowercase();
    (!media_type.is_empty()).then_some(media_type)
}
