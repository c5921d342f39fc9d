//! A stored response as plain data: its head ready for the wire, its body, and how long it may be used.

use super::policy::StoredTimes;
use super::store::ram::Weigh;
use crate::verdict::Key;
use bytes::Bytes;
use smallvec::SmallVec;

/// Bytes a resident object costs beside head, body and key: itself, and its places in queue and table (about 70
/// bytes, with room to grow).
const BOOKKEEPING: u64 = size_of::<Object>() as u64 + 96;

/// Where one header field stands in the prepared wire head.
#[derive(Clone, Copy, Debug)]
struct FieldAt {
    name: u32,
    value: u32,
    end: u32,
}

/// A response head prepared once, when it is stored: status line and fields as they go on the wire, without
/// Content-Length, Age and whatever else differs from answer to answer, and without the closing blank line.
#[derive(Clone, Debug)]
pub struct StoredHead {
    wire: Bytes,
    fields: std::sync::Arc<[FieldAt]>,
    /// The HTTP status.
    pub status: u16,
    /// Length of the body as the origin announced it; known for every finished object.
    pub length: Option<u64>,
    /// When it was received and how long it lives.
    pub times: StoredTimes,
    /// Which request fields selected it, and what they said (RFC 9111 §4.1).
    pub variant: Option<std::sync::Arc<Variant>>,
}

/// The request fields that selected a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Lower-case names from Vary.
    pub names: Box<[Box<str>]>,
    /// What they said, normalised and framed; see `http::vary::select`.
    pub values: SmallVec<[u8; 64]>,
}

impl StoredHead {
    /// Prepares a head from fields that may be stored. `length` is the body's, if the origin announced it.
    pub fn new<'a>(
        status: u16,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        length: Option<u64>,
        times: StoredTimes,
        variant: Option<Variant>,
    ) -> Self {
        let mut wire = status_line(status);
        let mut places = Vec::with_capacity(16);
        for (name, value) in fields {
            let at = wire.len();
            wire.extend_from_slice(name.as_bytes());
            wire.extend_from_slice(b": ");
            let value_at = wire.len();
            wire.extend_from_slice(value);
            places.push(FieldAt { name: at as u32, value: value_at as u32, end: wire.len() as u32 });
            wire.extend_from_slice(b"\r\n");
        }
        wire.shrink_to_fit();
        Self {
            wire: Bytes::from(wire),
            fields: places.into(),
            status,
            length,
            times,
            variant: variant.map(std::sync::Arc::new),
        }
    }

    /// The same head for a body whose length is known now.
    pub fn with_length(&self, length: u64) -> Self {
        Self { length: Some(length), ..self.clone() }
    }

    /// The status line and fields, ready to be written.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The fields after the status line, ready to be written below another status.
    pub fn wire_fields(&self) -> &[u8] {
        let start = self.fields.first().map_or(self.wire.len(), |f| f.name as usize);
        &self.wire[start..]
    }

    /// Every field, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|at| {
            let name = &self.wire[at.name as usize..at.value as usize - 2];
            (std::str::from_utf8(name).unwrap_or(""), &self.wire[at.value as usize..at.end as usize])
        })
    }

    /// Every field as shared slices of the prepared head, for whoever must build a parsed one.
    pub fn shared_fields(&self) -> impl Iterator<Item = (Bytes, http::HeaderValue)> {
        self.fields.iter().filter_map(|at| {
            let name = self.wire.slice(at.name as usize..at.value as usize - 2);
            let value = self.wire.slice(at.value as usize..at.end as usize);
            Some((name, http::HeaderValue::from_maybe_shared(value).ok()?))
        })
    }

    /// The first value of a field; `name` in any case.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// Bytes it holds.
    fn size(&self) -> u64 {
        let variant = self.variant.as_ref().map_or(0, |v| v.values.len() + v.names.len() * 32 + 64);
        (self.wire.len() + self.fields.len() * size_of::<FieldAt>() + variant) as u64
    }
}

/// `HTTP/1.1 200 OK\r\n`, with room for the fields.
fn status_line(status: u16) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
    let mut line = Vec::with_capacity(512);
    line.extend_from_slice(b"HTTP/1.1 ");
    line.extend_from_slice(status.to_string().as_bytes());
    line.push(b' ');
    line.extend_from_slice(reason.as_bytes());
    line.extend_from_slice(b"\r\n");
    line
}

/// A finished body: one piece if it is small, equal pieces otherwise.
#[derive(Clone, Debug)]
pub struct Body {
    pieces: SmallVec<[Bytes; 1]>,
    len: u64,
}

/// Size of the pieces of a large body; only the last may be shorter.
const PIECE: usize = 256 * 1024;

impl Body {
    /// Packs chunks of any sizes, so that a million one-byte chunks cost no more than one of a million bytes.
    pub fn pack(chunks: &[Bytes]) -> Self {
        let len: usize = chunks.iter().map(Bytes::len).sum();
        if let [only] = chunks
            && len <= PIECE
        {
            return Self { pieces: SmallVec::from_elem(only.clone(), 1), len: len as u64 };
        }
        let mut pieces = SmallVec::new();
        let mut piece = Vec::with_capacity(len.min(PIECE));
        let mut left = len;
        for mut rest in chunks.iter().map(|c| &c[..]) {
            while !rest.is_empty() {
                let take = rest.len().min(PIECE - piece.len());
                piece.extend_from_slice(&rest[..take]);
                rest = &rest[take..];
                left -= take;
                if piece.len() == PIECE {
                    pieces.push(Bytes::from(std::mem::replace(
                        &mut piece,
                        Vec::with_capacity(left.min(PIECE)),
                    )));
                }
            }
        }
        if !piece.is_empty() {
            pieces.push(Bytes::from(piece));
        }
        Self { pieces, len: len as u64 }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The whole body, if it is in one piece.
    pub fn whole(&self) -> Option<&Bytes> {
        match &self.pieces[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Up to one piece of the bytes `at..end`; `None` at the end.
    pub fn slice(&self, at: u64, end: u64) -> Option<Bytes> {
        let end = end.min(self.len);
        if at >= end {
            return None;
        }
        let size = if self.pieces.len() == 1 { self.len } else { PIECE as u64 };
        let piece = &self.pieces[(at / size) as usize];
        let from = (at % size) as usize;
        let to = piece.len().min(from + (end - at) as usize);
        Some(piece.slice(from..to))
    }
}

/// A complete stored response.
#[derive(Debug)]
pub struct Object {
    /// What it answers.
    pub key: Key,
    /// Its prepared head.
    pub head: StoredHead,
    /// Its body.
    pub body: Body,
}

impl Object {
    /// Whether it is the one that a request with these selecting fields means.
    pub fn is_variant(&self, variant: Option<&Variant>) -> bool {
        self.head.variant.as_deref() == variant
    }
}

impl Weigh for Object {
    fn hash(&self) -> u128 {
        self.key.hash
    }

    fn weight(&self) -> u64 {
        self.body.len() + self.head.size() + self.key.bytes.len() as u64 + BOOKKEEPING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_packed_body_reads_back_in_any_slices(
            sizes in proptest::collection::vec(0usize..200_000, 0..8),
            cuts in proptest::collection::vec(0u64..900_000, 0..8),
        ) {
            let mut next = 0u8;
            let chunks: Vec<Bytes> = sizes.iter().map(|n| {
                (0..*n).map(|_| { next = next.wrapping_add(7); next }).collect::<Vec<_>>().into()
            }).collect();
            let flat: Vec<u8> = chunks.concat();
            let body = Body::pack(&chunks);
            prop_assert_eq!(body.len(), flat.len() as u64);
            for at in cuts {
                let mut got = Vec::new();
                let mut pos = at;
                while let Some(piece) = body.slice(pos, u64::MAX) {
                    pos += piece.len() as u64;
                    got.extend_from_slice(&piece);
                }
                prop_assert_eq!(&got[..], flat.get(at as usize..).unwrap_or(&[]));
            }
        }
    }
}
