//! Writes the frame around the parts when a client asked for several ranges of one body at once.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::range::ByteRange;

/// A `multipart/byteranges` body, without the bytes themselves (RFC 9110 §14.6).
///
/// On the wire: for each `i` the head of part `i` and the bytes of range `i`, and at the end the tail.
#[derive(Clone, Debug)]
pub struct Multipart {
    boundary: String,
    ranges: SmallVec<[ByteRange; 4]>,
    heads: SmallVec<[Bytes; 4]>,
    tail: Bytes,
}

impl Multipart {
    /// Frames `ranges` of a body of `complete_length` bytes. The seed should be random per response, so that nobody
    /// can place the boundary inside the body (RFC 2046 §5.1.1).
    pub fn new(
        ranges: &[ByteRange],
        complete_length: u64,
        content_type: Option<&[u8]>,
        boundary_seed: u64,
    ) -> Self {
        let boundary = format!("foreland-{boundary_seed:016x}");
        let content_type = content_type.filter(|value| is_one_line(value));
        let head =
            |(at, range): (usize, &ByteRange)| head(at, &boundary, content_type, *range, complete_length);
        let heads = ranges.iter().enumerate().map(head).collect();
        let tail = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        Self { ranges: ranges.into(), heads, tail, boundary }
    }

    /// The `Content-Type` of the response.
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The `Content-Length` of the response: heads, bytes and tail.
    pub fn content_length(&self) -> u64 {
        let heads = self.heads.iter().map(|head| head.len() as u64);
        let bodies = self.ranges.iter().map(|range| range.length());
        heads.chain(bodies).fold(self.tail.len() as u64, u64::saturating_add)
    }

    /// What goes before the bytes of range `index`; empty when there is no such range.
    pub fn part_head(&self, index: usize) -> Bytes {
        self.heads.get(index).cloned().unwrap_or_default()
    }

    /// What goes after the last part.
    pub fn tail(&self) -> Bytes {
        self.tail.clone()
    }

    /// The ranges, in the order in which they are sent.
    pub fn ranges(&self) -> &[ByteRange] {
        &self.ranges
    }
}

fn head(
    at: usize,
    boundary: &str,
    content_type: Option<&[u8]>,
    range: ByteRange,
    complete_length: u64,
) -> Bytes {
    let mut out = BytesMut::with_capacity(160);
    if at > 0 {
        out.extend_from_slice(b"\r\n"); // belongs to the delimiter, not to the part before (RFC 2046 §5.1.1)
    }
    for piece in [b"--", boundary.as_bytes(), b"\r\n"] {
        out.extend_from_slice(piece);
    }
    if let Some(value) = content_type {
        for piece in [b"Content-Type: ", value, b"\r\n"] {
            out.extend_from_slice(piece);
        }
    }
    let content_range = range.content_range(complete_length);
    for piece in [b"Content-Range: ", content_range.as_bytes(), b"\r\n\r\n"] {
        out.extend_from_slice(piece);
    }
    out.freeze()
}

/// A value with a line end in it could write header lines of its own.
fn is_one_line(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(multipart: &Multipart, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, range) in multipart.ranges().iter().enumerate() {
            out.extend_from_slice(&multipart.part_head(at));
            out.extend_from_slice(&body[range.start as usize..range.end as usize]);
        }
        out.extend_from_slice(&multipart.tail());
        out
    }

    #[test]
    fn the_body_looks_as_in_the_rfc() {
        let ranges = [ByteRange { start: 0, end: 2 }, ByteRange { start: 4, end: 5 }];
        let multipart = Multipart::new(&ranges, 6, Some(b"text/plain"), 0xab);
        assert_eq!(multipart.content_type(), "multipart/byteranges; boundary=foreland-00000000000000ab");
        let expected = "--foreland-00000000000000ab\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/6\r\n\r\nab\
                        \r\n--foreland-00000000000000ab\r\nContent-Type: text/plain\r\nContent-Range: bytes 4-4/6\r\n\r\ne\
                        \r\n--foreland-00000000000000ab--\r\n";
        let wire = wire(&multipart, b"abcdef");
        assert_eq!(String::from_utf8(wire.clone()).unwrap(), expected);
        assert_eq!(multipart.content_length(), wire.len() as u64);
    }

    #[test]
    fn a_content_type_cannot_smuggle_a_line() {
        let multipart = Multipart::new(&[ByteRange { start: 0, end: 1 }], 1, Some(b"a\r\nb: c"), 1);
        assert!(!multipart.part_head(0).windows(2).any(|pair| pair == b"b:"));
    }

    #[test]
    fn a_part_that_does_not_exist_is_empty() {
        let multipart = Multipart::new(&[], 0, None, 0);
        assert!(multipart.part_head(0).is_empty());
        assert_eq!(multipart.content_length(), multipart.tail().len() as u64);
    }

    proptest! {
        #[test]
        fn the_length_announced_is_the_length_sent(
            cuts in proptest::collection::vec((0u64..100, 1u64..100), 1..8), seed: u64,
            content_type in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)))
        {
            let body = [7u8; 200];
            let ranges: Vec<ByteRange> = cuts.iter().map(|&(start, length)| ByteRange { start, end: start + length }).collect();
            let multipart = Multipart::new(&ranges, 200, content_type.as_deref(), seed);
            prop_assert_eq!(multipart.content_length(), wire(&multipart, &body).len() as u64);
        }

        #[test]
        fn absurd_ranges_never_panic(start: u64, end: u64, length: u64) {
            Multipart::new(&[ByteRange { start, end }; 3], length, None, 0).content_length();
        }
    }
}
