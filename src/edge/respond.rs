//! Writes a stored or incoming response to a client of Pingora's transport.

use super::ctx::Ctx;
use super::file::Reading;
use super::form::{self, Choice};
use super::make::Order;
use super::part::{self, Part};
use super::{Edge, headers, view};
use crate::cache::forms::{self, Made};
use crate::cache::object::{Object, StoredHead};
use crate::cache::policy;
use crate::cache::store::fill::{End, FillReader, Piece};
use crate::http::etag;
use crate::http::fields::Fields;
use crate::http::multipart::Multipart;
use crate::http::range::{self, ByteRange, RangeSet};
use crate::verdict::{Key, Kind, Outcome};
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType, Result};
use smallvec::SmallVec;
use std::sync::Arc;

/// Where a body comes from.
pub enum Source {
    /// A finished object.
    Stored(Arc<Object>),
    /// A fill that may still be growing.
    Incoming(FillReader),
    /// A file that is not kept in memory.
    File(Box<Reading>),
}

impl Source {
    fn head(&self) -> Option<&StoredHead> {
        match self {
            Self::Stored(object) => Some(&object.head),
            Self::Incoming(reader) => {
                reader.fill().resolved().map(|o| &o.head).or_else(|| reader.fill().head())
            }
            Self::File(reading) => Some(&reading.head),
        }
    }

    /// What it answers; nothing in particular if nobody else can read along.
    pub fn key(&self) -> Key {
        match self {
            Self::Stored(object) => object.key.clone(),
            Self::Incoming(reader) => reader.fill().key.clone(),
            Self::File(_) => Key { hash: 0, bytes: SmallVec::new() },
        }
    }

    /// The finished object, once it is finished.
    pub fn object(&self) -> Option<Arc<Object>> {
        match self {
            Self::Stored(object) => Some(object.clone()),
            Self::Incoming(reader) => reader.fill().resolved().cloned(),
            Self::File(_) => None,
        }
    }

    fn seek(&mut self, at: &mut u64, range: ByteRange) {
        *at = range.start;
        if let Self::Incoming(reader) = self {
            reader.seek(range.start, range.end);
        }
    }

    /// The next bytes of it. Cancel-safe.
    pub async fn next(&mut self, at: &mut u64, end: u64) -> Piece {
        match self {
            Self::Stored(object) => match object.body.slice(*at, end) {
                Some(piece) => {
                    *at += piece.len() as u64;
                    Piece::Data(piece)
                }
                None => Piece::End,
            },
            Self::Incoming(reader) => reader.next().await,
            Self::File(reading) => reading.next(at, end).await,
        }
    }

    /// It broke off: the client must see a broken answer, never a short success.
    fn cut(&self) -> Box<Error> {
        match self {
            Self::Stored(_) | Self::Incoming(_) => cut(),
            Self::File(_) => {
                Error::explain(ErrorType::FileReadError, "the file could not be read to its end")
            }
        }
    }
}

/// Answers with a stored or incoming response; `ctx.outcome` already says why.
pub async fn send(edge: &Edge, s: &mut ServerSession, ctx: &mut Ctx, source: Source, now: u64) -> Result<()> {
    let Some(head) = source.head().cloned() else {
        return Error::e_explain(ErrorType::InternalError, "a response without a head");
    };
    account(&mut ctx.outcome, &head, now);
    let (mut source, head, part) = match form(edge, s, ctx, source, head) {
        Wanted::There(mut source, head) => {
            let part = choose(s, &mut source, &head).await?;
            (source, head, part)
        }
        Wanted::Ordered(source, order) => ordered(s, source, *order),
    };
    let header = header(s.req_header(), ctx, &head, &part)?;
    ctx.outcome.status = header.status.as_u16();
    let no_body =
        s.req_header().method == http::Method::HEAD || header.status == http::StatusCode::NOT_MODIFIED;
    s.write_response_header(Box::new(header)).await?;
    if !no_body {
        body(s, &mut source, &part).await?;
    }
    s.finish_body().await
}

/// What a client shall have of a body.
enum Wanted {
    /// What is there.
    There(Source, StoredHead),
    /// What is to be made of it.
    Ordered(Source, Box<Order>),
}

/// The form of a body that a client gets.
fn form(edge: &Edge, s: &ServerSession, ctx: &Ctx, source: Source, head: StoredHead) -> Wanted {
    let request = s.req_header();
    let (fields, protocol) = (Fields::Map(&request.headers), view::protocol(request));
    let ruled = ctx.decided();
    let settings = ctx.cause().and_then(|(plan, _, route)| plan.compress(route)).filter(|_| ruled.compress());
    let none = Made::default();
    let body = match &source {
        Source::Stored(object) => form::Body::from(&**object),
        Source::Incoming(reader) => match reader.fill().resolved() {
            Some(object) => form::Body::from(&**object),
            None => form::Body { head: &head, made: &none },
        },
        Source::File(_) => form::Body { head: &head, made: &none },
    };
    let choice = form::choose(settings.map(|s| &**s), body, fields, protocol);
    match choice {
        Choice::AsIs => Wanted::There(source, head),
        Choice::Made(object) => {
            let head = object.head.clone();
            Wanted::There(Source::Stored(object), head)
        }
        Choice::Make(form) => {
            // What is only undone needs no settings: how hard to try is no question then.
            let settings = settings.cloned().unwrap_or_default();
            Wanted::Ordered(source, Box::new(Order { state: edge.state.clone(), settings, head, form }))
        }
    }
}

/// What is made of a body, if the client wants any bytes of it; the body itself where there is no time to make it.
fn ordered(s: &ServerSession, source: Source, order: Order) -> (Source, StoredHead, Part) {
    let request = s.req_header();
    let head = forms::head_of(&order.head, order.form, None);
    let part = part_of_made(request.method.as_str(), Fields::Map(&request.headers), &head);
    if request.method == http::Method::HEAD || !matches!(part, Part::Whole) {
        return (source, head, part);
    }
    let plain = order.head.clone();
    match order.stream(source) {
        Ok(reader) => (Source::Incoming(reader), head, part),
        Err(source) => (source, plain, part),
    }
}

/// The part of a form that is made as it is sent: it has no ranges, since nobody knows its length (RFC 9110 §14.2 lets a
/// server send the whole).
pub fn part_of_made(method: &str, fields: Fields<'_>, head: &StoredHead) -> Part {
    match part::choose(method, fields, head, None) {
        Part::Later(_) => Part::Whole,
        part => part,
    }
}

/// What the log says of what comes from the store.
pub fn account(outcome: &mut Outcome, head: &StoredHead, now: u64) {
    if outcome.kind == Kind::File {
        return;
    }
    outcome.age = Some(policy::age(&head.times, now));
    outcome.ttl = Some(policy::ttl(&head.times, now));
    outcome.rule = head.ruled.rule.clone();
}

/// The part to send; waits where a range of a body of unknown length needs more of it.
async fn choose(s: &mut ServerSession, source: &mut Source, head: &StoredHead) -> Result<Part> {
    let request = s.req_header();
    let part = part::choose(request.method.as_str(), Fields::Map(&request.headers), head, head.length);
    let Part::Later(set) = part else { return Ok(part) };
    let Source::Incoming(reader) = source else { return Ok(Part::Whole) };
    later(s, reader, head, set).await
}

async fn later(
    s: &mut ServerSession,
    reader: &mut FillReader,
    head: &StoredHead,
    set: RangeSet,
) -> Result<Part> {
    // A range that names its end can be answered as soon as that is there. One that depends on the length waits
    // for it, unless it begins at 0: then the whole is as good, and at once.
    let closed = part::closed_range(&set);
    if closed.is_none() && part::is_all(&set) {
        return Ok(Part::Whole);
    }
    let needed = closed.map_or(u64::MAX, |range| range.end);
    let progress = tokio::select! {
        progress = reader.reached(needed) => progress,
        idle = s.read_body_or_idle(true) => return Err(left(idle)),
    };
    Ok(match (closed, progress.end) {
        (_, End::Complete) => part::resolve(set, head, Some(progress.len)),
        (Some(range), _) if progress.len >= range.end => Part::One(range),
        (_, End::Aborted) => return Err(cut()),
        // It has grown too large to keep: nothing may be skipped any more.
        _ => Part::Whole,
    })
}

/// The client sent something it must not, or nothing any more.
pub fn left(idle: Result<Option<Bytes>>) -> Box<Error> {
    let mut error = match idle {
        Err(error) => error,
        Ok(_) => Error::explain(ErrorType::ConnectionClosed, "the client left"),
    };
    error.esource = ErrorSource::Downstream;
    error
}

/// The head of the answer to a request.
pub fn header(request: &RequestHeader, ctx: &Ctx, head: &StoredHead, part: &Part) -> Result<ResponseHeader> {
    let status = match part {
        Part::NotModified => 304,
        Part::PreconditionFailed => 412,
        Part::Unsatisfiable(_) => 416,
        Part::One(_) | Part::Many(_) => 206,
        Part::Whole | Part::Later(_) => head.status,
    };
    // Keeping the spelling of names costs as much as all the rest. HTTP/2 has none, and a whole hit comes this way only
    // where the front is off.
    let h2 = request.version == http::Version::HTTP_2;
    let plain = h2 || (ctx.outcome.kind == Kind::Hit && matches!(part, Part::Whole));
    let build = if plain { ResponseHeader::build_no_case } else { ResponseHeader::build };
    let mut header = build(status, Some(24))?;
    for (name, value) in head.shared_fields().filter(|(name, _)| belongs(part, name)) {
        header.append_header(name, value)?;
    }
    length_fields(request, &mut header, head, part)?;
    if matches!(part, Part::NotModified) {
        tag_of_what_they_have(request, &mut header, head)?;
    }
    if let Some((plan, arrival, route)) = ctx.cause() {
        headers::from_store(
            &mut header,
            head,
            &ctx.outcome,
            ctx.origin.status,
            arrival,
            headers::shows_age(plan, route),
        )?;
        headers::of_listener(&mut header, plan, arrival)?;
        headers::of_route(&mut header, request, plan, route, arrival)?;
    }
    Ok(header)
}

/// A client may have another form of the body: a 304 must not give that the entity tag of this one
/// (RFC 9111 §4.3.4), and a weak one names them all.
fn tag_of_what_they_have(
    request: &RequestHeader,
    header: &mut ResponseHeader,
    head: &StoredHead,
) -> Result<()> {
    let Some(tag) = head.first_shown("etag").filter(|_| head.has_forms()) else { return Ok(()) };
    let named = Fields::Map(&request.headers).all("if-none-match");
    match etag::weakened(tag).filter(|_| !etag::list_matches_strong(named, Some(tag))) {
        Some(weak) => header.insert_header("ETag", weak),
        None => Ok(()),
    }
}

/// Whether a stored field goes with this part.
fn belongs(part: &Part, name: &[u8]) -> bool {
    let is = |list: &[&str]| list.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()));
    match part {
        // RFC 9110 §15.4.5: a 304 carries what would guide a cache, and nothing about a body it does not have.
        Part::NotModified => !is(&["content-type", "content-encoding", "content-language", "content-range"]),
        Part::PreconditionFailed | Part::Unsatisfiable(_) => {
            is(&["date", "via", "etag", "vary", "cache-control"])
        }
        Part::Many(_) => !is(&["content-type"]),
        Part::Whole | Part::One(_) | Part::Later(_) => true,
    }
}

fn length_fields(
    request: &RequestHeader,
    header: &mut ResponseHeader,
    head: &StoredHead,
    part: &Part,
) -> Result<()> {
    let length = match part {
        Part::NotModified => return Ok(()),
        Part::PreconditionFailed => Some(0),
        Part::Unsatisfiable(complete) => {
            header.insert_header("Content-Range", range::unsatisfied_content_range(*complete))?;
            Some(0)
        }
        Part::One(range) => {
            header.insert_header("Content-Range", content_range(*range, head.length))?;
            Some(range.length())
        }
        Part::Many(parts) => {
            header.insert_header("Content-Type", parts.content_type())?;
            Some(parts.content_length())
        }
        Part::Whole | Part::Later(_) => head.length,
    };
    match length {
        // RFC 9110 §8.6: never with a 204.
        Some(_) if head.status == 204 => {}
        Some(length) => header.insert_header("Content-Length", http::HeaderValue::from(length))?,
        None if request.version == http::Version::HTTP_11 => {
            header.insert_header("Transfer-Encoding", "chunked")?;
        }
        // HTTP/1.0 ends with the connection, HTTP/2 frames by itself.
        None => {}
    }
    Ok(())
}

/// RFC 9110 §14.4: an asterisk while the complete length is not known.
fn content_range(range: ByteRange, complete: Option<u64>) -> String {
    match complete {
        Some(complete) => range.content_range(complete),
        None => format!("bytes {}-{}/*", range.start, range.end.saturating_sub(1)),
    }
}

async fn body(s: &mut ServerSession, source: &mut Source, part: &Part) -> Result<()> {
    match part {
        Part::NotModified | Part::PreconditionFailed | Part::Unsatisfiable(_) => Ok(()),
        Part::Whole | Part::Later(_) => copy(s, source, ByteRange { start: 0, end: u64::MAX }).await,
        Part::One(range) => copy(s, source, *range).await,
        Part::Many(parts) => many(s, source, parts).await,
    }
}

async fn many(s: &mut ServerSession, source: &mut Source, parts: &Multipart) -> Result<()> {
    for (index, range) in parts.ranges().iter().enumerate() {
        s.write_response_body(parts.part_head(index), false).await?;
        copy(s, source, *range).await?;
    }
    s.write_response_body(parts.tail(), false).await
}

/// Copies a range, as fast as the source grows and the client reads; stops when the client leaves.
async fn copy(s: &mut ServerSession, source: &mut Source, range: ByteRange) -> Result<()> {
    let mut at = 0;
    source.seek(&mut at, range);
    // Who still sends a body that nobody asked for cannot be told from one that leaves: the next write will tell.
    let watched = s.is_body_done();
    loop {
        let piece = tokio::select! {
            biased;
            piece = source.next(&mut at, range.end) => piece,
            idle = s.read_body_or_idle(true), if watched => return Err(left(idle)),
        };
        match piece {
            Piece::Data(data) => s.write_response_body(data, false).await?,
            Piece::End => return Ok(()),
            Piece::Aborted => return Err(source.cut()),
        }
    }
}

/// The origin broke off.
fn cut() -> Box<Error> {
    let mut error = Error::explain(ErrorType::ConnectionClosed, "the origin broke off");
    error.esource = ErrorSource::Upstream;
    error
}
