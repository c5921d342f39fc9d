//! What the fields of a response say about its compression.

use crate::http::accept_encoding::Coding;
use crate::http::cache_control;
use crate::http::fields::Fields;

/// How a body came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// Compressed in a way that can be undone here.
    As(Coding),
    /// In a way that cannot: another compression, or several.
    Otherwise,
    /// Not compressed.
    Plain,
}

/// How a body came, by its `Content-Encoding` (RFC 9110 §8.4).
pub fn coding(fields: Fields<'_>) -> Came {
    let mut lines = fields.all("content-encoding");
    match (lines.next(), lines.next()) {
        (None, _) => Came::Plain,
        (Some(only), None) if only.trim_ascii().eq_ignore_ascii_case(b"identity") => Came::Plain,
        (Some(only), None) => Coding::parse(only.trim_ascii()).map_or(Came::Otherwise, Came::As),
        (Some(_), Some(_)) => Came::Otherwise,
    }
}

/// Whether the response says that nobody may change its body on the way (RFC 9110 §7.7), or is a part of one.
pub fn forbids(fields: Fields<'_>) -> bool {
    fields.has("content-range") || cache_control::parse(fields.all("cache-control")).no_transform
}
