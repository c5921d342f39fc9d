//! Builds the identity of a cached resource: which parts of a request tell two resources apart.
//!
//! `query` says which parameters count; `explain` tells a person what became of them. A key is the URL, then the
//! header fields and cookies that a rule chose. Every part is framed by its length, so no two sets of parts make the
//! same bytes, and the URL ends by itself: all keys of one URL begin with the same bytes and no other key does.
//!
//! Accept-Encoding never belongs here: variants are chosen inside the store.

mod explain;
mod query;

pub use explain::{Part, describe};
pub use query::{BadName, Name, Pick, QueryRecipe, TRACKING};

use crate::http::cookie::cookies;
use crate::http::fields::Fields;
use crate::http::request::{RequestView, Scheme};
use crate::verdict::Key;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Which parts of a request make its key. The default is the whole effective URI and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'r> {
    /// What of the query counts; all of it, as it was sent, where there is no recipe.
    pub query: Option<&'r QueryRecipe>,
    /// Header fields that count, in lower case.
    pub headers: &'r [Box<str>],
    /// Cookies that count.
    pub cookies: &'r [Box<str>],
}

/// Makes the keys of one store.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    seed: u64,
}

impl Recipe {
    /// A recipe whose hashes cannot be predicted from outside: the seed is random per store.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The key of a request. Allocates nothing unless it is longer than most.
    pub fn of(&self, view: &RequestView<'_>, parts: &Parts<'_>) -> Key {
        let mut bytes = KeyBytes::new();
        push_url(&mut bytes, (view.scheme, view.host, view.port), view.path, view.query, parts.query);
        if !(parts.headers.is_empty() && parts.cookies.is_empty()) {
            chosen(&mut bytes, view.fields, parts);
        }
        self.key(bytes)
    }

    /// The key of a URL in parts, without any header field or cookie.
    pub fn url(
        &self,
        scheme: Scheme,
        host: &str,
        port: u16,
        path: &str,
        query: Option<&str>,
        recipe: Option<&QueryRecipe>,
    ) -> Key {
        let mut bytes = KeyBytes::new();
        push_url(&mut bytes, (scheme, host, port), path, query, recipe);
        self.key(bytes)
    }

    /// The key of a file: `folder` names the folder and how it is served, `name` the file in it. No URL has it.
    pub fn file(&self, folder: u64, name: &str) -> Key {
        let mut bytes = zeroes(9 + name.len());
        bytes[0] = FILE;
        bytes[1..9].copy_from_slice(&folder.to_be_bytes());
        bytes[9..].copy_from_slice(name.as_bytes());
        self.key(bytes)
    }

    fn key(&self, bytes: KeyBytes) -> Key {
        Key { hash: xxh3_128_with_seed(&bytes, self.seed), bytes }
    }
}

/// Whether a key is of this URL, whatever header fields and cookies it has beside it. `url` comes from
/// [`Recipe::url`].
pub fn is_of_url(key: &Key, url: &Key) -> bool {
    key.bytes.starts_with(&url.bytes)
}

/// The bytes of a key that are its URL: what all keys of one URL have in common.
pub(super) fn url_part(key: &Key) -> &[u8] {
    let end = url_end(&key.bytes).unwrap_or(key.bytes.len());
    key.bytes.get(..end).unwrap_or(&key.bytes)
}

/// Bytes of a key that allocates nothing.
const ROOM: usize = 160;

type KeyBytes = SmallVec<[u8; ROOM]>;

/// Scheme and port: what stands before the first frame.
const START: usize = 3;

/// In the first byte, beside the scheme: a query follows the path. `?` alone differs from no query.
const HAS_QUERY: u8 = 2;

/// In place of the first byte of a URL: a file.
const FILE: u8 = 0x80;

const HEADER: u8 = b'h';
const COOKIE: u8 = b'c';

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

/// Between the lines of one header field, and between cookies of one name: bytes that cannot be in either.
const LINE: u8 = b'\n';
const PAIR: u8 = b';';

/// Every request pays for this: room is made once, and every part copied once.
fn push_url(
    bytes: &mut KeyBytes,
    (scheme, host, port): (Scheme, &str, u16),
    path: &str,
    query: Option<&str>,
    recipe: Option<&QueryRecipe>,
) {
    let recipe = recipe.filter(|recipe| !recipe.is_verbatim());
    let verbatim = query.filter(|_| recipe.is_none());
    let length = START + frame_length(host) + frame_length(path) + verbatim.map_or(0, frame_length);
    *bytes = zeroes(length);
    let [high, low] = port.to_be_bytes();
    let has_query = if verbatim.is_some() { HAS_QUERY } else { 0 };
    let (start, rest) = bytes.split_at_mut(START);
    start.copy_from_slice(&[scheme as u8 | has_query, high, low]);
    // RFC 3986 §6.2.2.1: a host is the same in any case.
    let (placed, rest) = place(rest, host);
    placed.make_ascii_lowercase();
    let (_, rest) = place(rest, path);
    match (recipe, query) {
        (Some(recipe), Some(query)) => chosen_query(bytes, query, recipe),
        (None, Some(query)) => drop(place(rest, query)),
        (_, None) => {}
    }
}

/// Without a loop over the bytes where they fit.
fn zeroes(length: usize) -> KeyBytes {
    if length <= ROOM {
        KeyBytes::from_buf_and_len([0; ROOM], length)
    } else {
        KeyBytes::from_elem(0, length)
    }
}

/// The parameters that count. Where none does, the URL is the one without a query.
fn chosen_query(bytes: &mut KeyBytes, query: &str, recipe: &QueryRecipe) {
    let kept = recipe.apply(query);
    if !kept.is_empty() {
        framed(bytes, |out| join(out, b'&', kept.iter().map(|parameter| parameter.as_bytes())));
        bytes[0] |= HAS_QUERY;
    }
}

/// The header fields and cookies that count, each under its name: a rule that chooses others makes other keys.
fn chosen(bytes: &mut KeyBytes, fields: Fields<'_>, parts: &Parts<'_>) {
    for name in parts.headers {
        named(bytes, HEADER, name, LINE, fields.all(name).map(<[u8]>::trim_ascii));
    }
    for name in parts.cookies {
        let values = cookies(fields).filter(|(other, _)| may_be(other, name)).map(|(_, value)| value);
        named(bytes, COOKIE, name, PAIR, values);
    }
}

/// Whether an origin may read a cookie under this name: PHP takes `.`, a blank and `[` in names for `_`, and decodes them.
/// In doubt a cookie counts, because the origin sees it whatever the key says.
pub(super) fn may_be(sent: &[u8], name: &str) -> bool {
    let loose = |byte: &u8| if matches!(byte, b'.' | b' ' | b'[') { b'_' } else { *byte };
    sent == name.as_bytes()
        || sent.contains(&b'%')
        || sent.iter().map(loose).eq(name.bytes().map(|b| loose(&b)))
}

/// One field or cookie with all its values in order. Absent differs from empty.
fn named<'a>(
    bytes: &mut KeyBytes,
    kind: u8,
    name: &str,
    between: u8,
    values: impl Iterator<Item = &'a [u8]>,
) {
    bytes.push(kind);
    frame(bytes, name);
    let mut values = values.peekable();
    if values.peek().is_none() {
        return bytes.push(ABSENT);
    }
    bytes.push(PRESENT);
    framed(bytes, |out| join(out, between, values));
}

fn join<'a>(out: &mut KeyBytes, between: u8, parts: impl Iterator<Item = &'a [u8]>) {
    for (at, part) in parts.enumerate() {
        if at > 0 {
            out.push(between);
        }
        out.extend_from_slice(part);
    }
}

/// A length of two bytes; as this value it says that eight more follow. Heads are too short for that, but a URL to be
/// purged may have any length.
const LONG: u16 = u16::MAX;

fn frame(out: &mut KeyBytes, part: &str) {
    let at = out.len();
    out.resize(at + frame_length(part), 0);
    place(&mut out[at..], part);
}

fn frame_length(part: &str) -> usize {
    part.len() + if part.len() < usize::from(LONG) { 2 } else { 10 }
}

/// Puts the frame of a part at the beginning of `out`, which has room for it. Gives the bytes of the part, and the rest.
fn place<'o>(out: &'o mut [u8], part: &str) -> (&'o mut [u8], &'o mut [u8]) {
    let short = u16::try_from(part.len()).unwrap_or(LONG);
    let (length, out) = out.split_at_mut(2);
    length.copy_from_slice(&short.to_be_bytes());
    let (long, out) = out.split_at_mut(if short == LONG { 8 } else { 0 });
    if short == LONG {
        long.copy_from_slice(&(part.len() as u64).to_be_bytes());
    }
    let (bytes, rest) = out.split_at_mut(part.len());
    bytes.copy_from_slice(part.as_bytes());
    (bytes, rest)
}

/// A frame around what `write` appends.
fn framed(out: &mut KeyBytes, write: impl FnOnce(&mut KeyBytes)) {
    let at = out.len();
    out.extend_from_slice(&[0; 2]);
    write(out);
    let length = out.len() - at - 2;
    let short = u16::try_from(length).unwrap_or(LONG);
    out[at..at + 2].copy_from_slice(&short.to_be_bytes());
    if short == LONG {
        out.insert_from_slice(at + 2, &(length as u64).to_be_bytes());
    }
}

/// Where the URL of a key ends; `None` for bytes that no recipe made.
fn url_end(bytes: &[u8]) -> Option<usize> {
    let frames = if bytes.first()? & HAS_QUERY == 0 { 2 } else { 3 };
    (0..frames).try_fold(START, |at, _| frame_end(bytes, at))
}

fn frame_end(bytes: &[u8], at: usize) -> Option<usize> {
    let (short, rest) = bytes.get(at..)?.split_first_chunk()?;
    match u16::from_be_bytes(*short) {
        LONG => {
            let length = usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?;
            (at + 10).checked_add(length)
        }
        length => Some(at + 2 + usize::from(length)),
    }
}

#[cfg(test)]
mod tests;
