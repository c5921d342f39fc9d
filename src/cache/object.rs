//! A stored response as plain data: its head ready for the wire, its body, and how long it may be used.

use super::forms::{Desk, Made};
use super::policy::StoredTimes;
use super::store::ram::Weigh;
use crate::http::accept_encoding::Coding;
use crate::verdict::Key;
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// What goes on the wire, and behind it the fields that do not.
    wire: Bytes,
    shown: u32,
    /// So many fields at the beginning are the origin's.
    received: u32,
    /// The origin's fields that are shown, then what is shown beside them, then the origin's that are not shown.
    fields: Arc<[FieldAt]>,
    /// The HTTP status.
    pub status: u16,
    /// Length of the body as the origin announced it; known for every finished object.
    pub length: Option<u64>,
    /// When it was received and how long it lives.
    pub times: StoredTimes,
    /// Which request fields selected it, and what they said (RFC 9111 §4.1).
    pub variant: Option<Arc<Variant>>,
    /// What cache rules decided for it.
    pub ruled: Ruled,
    /// How the body is compressed, if that is one that can be undone here.
    pub coding: Option<Coding>,
    /// Who makes other forms of the body; `None` where there are none to be made.
    pub desk: Option<Arc<Desk>>,
    /// Whether the body was made here of another one.
    pub is_form: bool,
}

/// What cache rules decided for a stored response. It stays with the object: a reload changes it at the next fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruled {
    /// By which it can be purged together with others.
    pub tags: Option<Arc<[Box<str>]>>,
    /// Seconds for which a browser may keep it, in place of what the origin says; see [`StoredHead::max_age`].
    pub browser: Option<u32>,
    /// Name of the rule that decided last, for the log.
    pub rule: Option<Arc<str>>,
}

impl Ruled {
    /// Whether it has this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.as_ref().is_some_and(|tags| tags.iter().any(|other| **other == *tag))
    }

    /// Bytes it holds. What it shares with other objects counts for each: too much is safe, too little is not.
    fn size(&self) -> usize {
        let tags =
            self.tags.as_ref().map_or(0, |tags| tags.iter().map(|tag| tag.len() + 16).sum::<usize>() + 16);
        tags + self.rule.as_ref().map_or(0, |rule| rule.len() + 16)
    }
}

/// Fields that tell a browser how long it may keep a response.
const OF_THE_BROWSER: [&str; 3] = ["cache-control", "expires", "pragma"];

/// The request fields that selected a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Lower-case names from Vary.
    pub names: Box<[Box<str>]>,
    /// What they said, normalised and framed; see `http::vary::select`.
    pub values: SmallVec<[u8; 64]>,
}

/// The fields of a response, by whose they are and who sees them.
#[derive(Default)]
pub struct Fields<'a> {
    /// The origin's, shown.
    pub kept: Vec<(&'a str, &'a [u8])>,
    /// Put in by a rule or by us, shown.
    pub added: Vec<(&'a str, &'a [u8])>,
    /// The origin's, taken out or replaced by a rule: kept for the next time that rules are asked about the response.
    pub hidden: Vec<(&'a str, &'a [u8])>,
}

impl StoredHead {
    /// Prepares a head from fields of the origin that may be stored. `length` is the body's, if the origin announced it.
    /// Where a rule says how long a browser may keep it, what the origin says of that is kept and not shown.
    pub fn new<'a>(
        status: u16,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        length: Option<u64>,
        times: StoredTimes,
        variant: Option<Variant>,
        ruled: Ruled,
    ) -> Self {
        let fields = Fields { kept: fields.collect(), ..Fields::default() };
        Self::of(status, fields, length, times, variant, ruled)
    }

    /// The same for fields that are not all the origin's, or not all shown.
    pub fn of(
        status: u16,
        fields: Fields<'_>,
        length: Option<u64>,
        times: StoredTimes,
        variant: Option<Variant>,
        ruled: Ruled,
    ) -> Self {
        let for_browsers = |name: &str| OF_THE_BROWSER.iter().any(|n| n.eq_ignore_ascii_case(name));
        let hides = |name: &str| ruled.browser.is_some() && for_browsers(name);
        let mut wire = status_line(status);
        let mut places = Vec::with_capacity(16);
        let mut write = |wire: &mut Vec<u8>, (name, value): (&str, &[u8])| {
            places.push(push_field(wire, name, value));
            places.len() as u32
        };
        let mut received = 0;
        for field in fields.kept.iter().filter(|(name, _)| !hides(name)) {
            received = write(&mut wire, *field);
        }
        for field in fields.added.iter().filter(|(name, _)| !hides(name)) {
            write(&mut wire, *field);
        }
        let shown = wire.len() as u32;
        for field in fields.kept.iter().filter(|(name, _)| hides(name)).chain(&fields.hidden) {
            write(&mut wire, *field);
        }
        wire.shrink_to_fit();
        let (fields, variant) = (places.into(), variant.map(Arc::new));
        let wire = Bytes::from(wire);
        let (coding, desk, is_form) = (None, None, false);
        Self { wire, shown, received, fields, status, length, times, variant, ruled, coding, desk, is_form }
    }

    /// Whether its body can be had in several forms, of which this is one.
    pub fn has_forms(&self) -> bool {
        self.is_form || self.desk.is_some()
    }

    /// The same head for a body whose length is known now.
    pub fn with_length(&self, length: u64) -> Self {
        Self { length: Some(length), ..self.clone() }
    }

    /// The status line and fields, ready to be written.
    pub fn wire(&self) -> &[u8] {
        &self.wire[..self.shown as usize]
    }

    /// The fields after the status line, ready to be written below another status.
    pub fn wire_fields(&self) -> &[u8] {
        let start = self.fields.first().map_or(self.shown, |f| f.name.min(self.shown));
        &self.wire[start as usize..self.shown as usize]
    }

    /// What `Cache-Control: max-age` must be written beside [`StoredHead::wire`] and the Age field, where a rule says how
    /// long a browser may keep it: the browser takes the age off again (RFC 9111 §4.2.3).
    pub fn max_age(&self, age: u64) -> Option<u64> {
        self.ruled.browser.map(|seconds| age.saturating_add(seconds.into()))
    }

    /// The status line.
    pub fn status_line(&self) -> &[u8] {
        let start = self.fields.first().map_or(self.shown, |f| f.name.min(self.shown));
        &self.wire[..start as usize]
    }

    /// Every field that is shown, in order.
    pub fn shown_fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let shown = self.fields.iter().take_while(|at| at.name < self.shown).count();
        self.fields().take(shown)
    }

    /// What the origin said, shown or not: for a 304 to update, and for rules to be asked about again. What a rule or we
    /// have put in is not the origin's word.
    pub fn received(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let (received, shown) = (self.received as usize, self.shown);
        let places = self.fields.iter().enumerate();
        let ours = places.filter(move |(n, at)| *n >= received && at.name < shown).map(|(n, _)| n);
        let ours: SmallVec<[usize; 4]> = ours.collect();
        self.fields().enumerate().filter(move |(n, _)| !ours.contains(n)).map(|(_, field)| field)
    }

    /// The first value that the origin gave a field; `name` in any case.
    pub fn first_received(&self, name: &str) -> Option<&[u8]> {
        self.received().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// Every field, in order, those last that are not shown.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|at| {
            let name = &self.wire[at.name as usize..at.value as usize - 2];
            (std::str::from_utf8(name).unwrap_or(""), &self.wire[at.value as usize..at.end as usize])
        })
    }

    /// Every field that is shown, as shared slices of the prepared head, for whoever must build a parsed one.
    pub fn shared_fields(&self) -> impl Iterator<Item = (Bytes, http::HeaderValue)> {
        self.fields.iter().take_while(|at| at.name < self.shown).filter_map(|at| {
            let name = self.wire.slice(at.name as usize..at.value as usize - 2);
            let value = self.wire.slice(at.value as usize..at.end as usize);
            Some((name, http::HeaderValue::from_maybe_shared(value).ok()?))
        })
    }

    /// The first value of a field, shown or not; `name` in any case.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// The first value of a field that is shown; `name` in any case.
    pub fn first_shown(&self, name: &str) -> Option<&[u8]> {
        self.shown_fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// Bytes it holds.
    fn size(&self) -> u64 {
        let variant = self.variant.as_ref().map_or(0, |v| v.values.len() + v.names.len() * 32 + 64);
        let desk = self.desk.as_ref().map_or(0, |_| size_of::<Desk>() + 16);
        (self.wire.len() + self.fields.len() * size_of::<FieldAt>() + variant + self.ruled.size() + desk)
            as u64
    }
}

/// Writes one field and says where it stands.
fn push_field(wire: &mut Vec<u8>, name: &str, value: &[u8]) -> FieldAt {
    let at = wire.len();
    wire.extend_from_slice(name.as_bytes());
    wire.extend_from_slice(b": ");
    let value_at = wire.len();
    wire.extend_from_slice(value);
    let end = wire.len();
    wire.extend_from_slice(b"\r\n");
    FieldAt { name: at as u32, value: value_at as u32, end: end as u32 }
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
    /// The same body in other compressions.
    pub made: Made,
    /// What it was read from, if that was a file.
    pub witness: Option<Arc<Witness>>,
}

/// By what a file is known again that an object was read from.
#[derive(Debug)]
pub struct Witness {
    /// What was seen of it when it was read.
    pub stamp: Box<[u64]>,
    checked: AtomicU64,
}

impl Witness {
    /// Seen at a time, in seconds since 1970.
    pub fn new(stamp: Box<[u64]>, now: u64) -> Self {
        Self { stamp, checked: AtomicU64::new(now) }
    }

    /// When it was looked at last and was the same.
    pub fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }

    /// It was looked at, and is the same.
    pub fn confirm(&self, now: u64) {
        self.checked.store(now, Ordering::Relaxed);
    }
}

impl Object {
    /// A response, as it came.
    pub fn new(key: Key, head: StoredHead, body: Body) -> Self {
        Self { key, head, body, made: Made::default(), witness: None }
    }

    /// The same response with other forms of its body.
    pub fn with(&self, made: Made) -> Self {
        let (key, head, body) = (self.key.clone(), self.head.clone(), self.body.clone());
        Self { key, head, body, made, witness: self.witness.clone() }
    }

    /// Whether it is that one, perhaps with other forms of its body.
    pub fn is_same(&self, other: &Self) -> bool {
        let desks = self.head.desk.as_ref().zip(other.head.desk.as_ref());
        std::ptr::eq(self, other) || desks.is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

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
        let made: u64 = self.made.iter().map(|(_, form)| form.weight()).sum();
        let stamp = self.witness.as_ref().map_or(0, |witness| witness.stamp.len() * 8 + 48) as u64;
        self.body.len() + self.head.size() + self.key.bytes.len() as u64 + BOOKKEEPING + made + stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::fixture::life;
    use proptest::prelude::*;

    const ORIGIN: [(&str, &[u8]); 5] = [
        ("Cache-Control", b"max-age=60"),
        ("ETag", b"\"a\""),
        ("expires", b"0"),
        ("Pragma", b"no-cache"),
        ("Server", b"x"),
    ];

    fn head(ruled: Ruled) -> StoredHead {
        let times = StoredTimes { received_at: 0, life: life(60) };
        StoredHead::new(200, ORIGIN.into_iter(), None, times, None, ruled)
    }

    fn shown(head: &StoredHead) -> Vec<String> {
        head.shared_fields().map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect()
    }

    #[test]
    fn what_the_origin_tells_browsers_is_kept_and_not_shown_where_a_rule_says_otherwise() {
        let head = head(Ruled { browser: Some(3600), ..Ruled::default() });
        assert_eq!(head.wire(), b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nServer: x\r\n");
        assert_eq!(head.wire_fields(), b"ETag: \"a\"\r\nServer: x\r\n");
        assert_eq!(shown(&head), ["ETag", "Server"]);
        assert_eq!((head.fields().count(), head.first("cache-control")), (5, Some(&b"max-age=60"[..])));
        assert_eq!((head.max_age(0), head.max_age(90)), (Some(3600), Some(3690)));
    }

    #[test]
    fn without_a_rule_every_field_is_shown() {
        let head = head(Ruled::default());
        assert!(head.wire().starts_with(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"));
        assert_eq!((shown(&head).len(), head.max_age(5)), (5, None));
        assert!(head.wire_fields().ends_with(b"Server: x\r\n"));
    }

    #[test]
    fn a_head_of_hidden_fields_alone_has_no_fields_on_the_wire() {
        let times = StoredTimes { received_at: 0, life: life(60) };
        let ruled = Ruled { browser: Some(0), ..Ruled::default() };
        let head = StoredHead::new(200, ORIGIN[..1].iter().copied(), None, times, None, ruled);
        assert_eq!((head.wire(), head.wire_fields()), (&b"HTTP/1.1 200 OK\r\n"[..], &b""[..]));
    }

    #[test]
    fn what_rules_decided_counts_and_stays() {
        let tags: Arc<[Box<str>]> = vec!["news".into(), "front".into()].into();
        let ruled = Ruled { tags: Some(tags), browser: Some(5), rule: Some("assets".into()) };
        let ruled_head = head(ruled.clone());
        let browser = head(Ruled { browser: Some(5), ..Ruled::default() });
        assert_eq!(ruled_head.size(), browser.size() + 9 + 3 * 16 + 6 + 16);
        assert_eq!(browser.size(), head(Ruled::default()).size(), "a hidden field costs what it did");
        assert_eq!(ruled_head.with_length(7).ruled, ruled);
        assert!(ruled.has_tag("news") && !ruled.has_tag("new") && !Ruled::default().has_tag(""));
    }

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
