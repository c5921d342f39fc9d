//! The name of one request, by which a person finds it in log, response and error page.

use smallvec::SmallVec;
use std::fmt;

/// A request id: 26 characters of our own making, or what a trusted client sent. Always visible ASCII.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestId(SmallVec<[u8; ulid::ULID_LEN]>);

impl RequestId {
    /// Longest id that is taken over from a client.
    pub const MAX: usize = 128;

    /// A new ULID: sorts by time, unique by 80 random bits. It is a name, not a secret.
    pub fn generate(unix_millis: u64) -> Self {
        let mut text = [0; ulid::ULID_LEN];
        ulid::Ulid::from_parts(unix_millis, fastrand::u128(..)).array_to_str(&mut text);
        Self(SmallVec::from_buf(text))
    }

    /// What a trusted client sent, if it can stand anywhere: 1 to 128 visible ASCII characters without quotes.
    pub fn trusted(sent: &[u8]) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&sent.len());
        let clean = || sent.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\''));
        (fits && clean()).then(|| Self(SmallVec::from_slice(sent)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Always ASCII, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The id as the value of a header field.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Clone for RequestId {
    fn clone(&self) -> Self {
        // One copy of bytes; the derived clone goes through an iterator, at five times the instructions.
        Self(SmallVec::from_slice(&self.0))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_is_a_ulid_of_its_time() {
        let id = RequestId::generate(1_764_000_000_123);
        assert_eq!(id.as_str().len(), 26);
        assert_eq!(ulid::Ulid::from_string(id.as_str()).unwrap().timestamp_ms(), 1_764_000_000_123);
        assert_eq!(id.as_bytes(), id.to_string().as_bytes());
    }

    #[test]
    fn ids_of_one_millisecond_differ() {
        let ids: std::collections::HashSet<_> =
            (0..1000).map(|_| RequestId::generate(7).to_string()).collect();
        assert_eq!(ids.len(), 1000);
    }

    #[test]
    fn later_ids_sort_later() {
        assert!(RequestId::generate(1).as_str() < RequestId::generate(2).as_str());
    }

    #[test]
    fn a_trusted_id_is_kept_if_it_can_stand_anywhere() {
        let longest = "x".repeat(128);
        for kept in ["a", "01JD-x/y:z", "<ok>", longest.as_str()] {
            assert_eq!(RequestId::trusted(kept.as_bytes()).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn an_id_that_could_break_a_log_or_a_field_is_not_taken_over() {
        let too_long = "x".repeat(129);
        for refused in ["", "a b", "a\"b", "a'b", "a\r\nb", "a\tb", "ä", "\u{7f}", too_long.as_str()] {
            assert_eq!(RequestId::trusted(refused.as_bytes()), None, "{refused:?}");
        }
    }
}
