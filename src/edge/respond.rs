//! Writes a stored or incoming response to a client of Pingora's transport.

use super::ctx::Ctx;
use super::headers;
use super::part::{self, Part};
use crate::cache::object::{Object, StoredHead};
use crate::cache::policy;
use crate::cache::store::fill::{End, FillReader, Piece};
use crate::http::fields::Fields;
use crate::http::multipart::Multipart;
use crate::http::range::{self, ByteRange, RangeSet};
use crate::verdict::{Kind, Outcome};
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType, Result};
use std::sync::Arc;

/// Where a body comes from.
pub enum Source {
    /// A finished object.
    Stored(Arc<Object>),
    /// A fill that may still be growing.
    Incoming(FillReader),
}

impl Source {
    fn head(&self) -> Option<&StoredHead> {
        match self {
            Self::Stored(object) => Some(&object.head),
            Self::Incoming(reader) => {
                reader.fill().resolved().map(|o| &o.head).or_else(|| reader.fill().head())
            }
        }
    }

    fn seek(&mut self, at: &mut u64, range: ByteRange) {
        *at = range.start;
        if let Self::Incoming(reader) = self {
            reader.seek(range.start, range.end);
        }
    }

    async fn next(&mut self, at: &mut u64, end: u64) -> Piece {
        match self {
            Self::Stored(object) => match object.body.slice(*at, end) {
                Some(piece) => {
                    *at += piece.len() as u64;
                    Piece::Data(piece)
                }
                None => Piece::End,
            },
            Self::Incoming(reader) => reader.next().await,
        }
    }
}

/// Answers with a stored or incoming response; `ctx.outcome` already says why.
pub async fn send(s: &mut ServerSession, ctx: &mut Ctx, mut source: Source, now: u64) -> Result<()> {
    let Some(head) = source.head().cloned() else {
        return Error::e_explain(ErrorType::InternalError, "a response without a head");
    };
    account(&mut ctx.outcome, &head, now);
    let part = choose(s, &mut source, &head).await?;
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

/// What the log says of what comes from the store.
pub fn account(outcome: &mut Outcome, head: &StoredHead, now: u64) {
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
    loop {
        let piece = tokio::select! {
            biased;
            piece = source.next(&mut at, range.end) => piece,
            idle = s.read_body_or_idle(true) => return Err(left(idle)),
        };
        match piece {
            Piece::Data(data) => s.write_response_body(data, false).await?,
            Piece::End => return Ok(()),
            Piece::Aborted => return Err(cut()),
        }
    }
}

/// The origin broke off: the client must see a broken answer, never a short success.
fn cut() -> Box<Error> {
    let mut error = Error::explain(ErrorType::ConnectionClosed, "the origin broke off");
    error.esource = ErrorSource::Upstream;
    error
}
