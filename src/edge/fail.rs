//! Turns what went wrong into the answer that a client gets: error to status, in exactly one place.

use super::arrival::Arrival;
use super::ctx::Ctx;
use super::page::{self, Page};
use super::{finish, headers};
use crate::plan::Plan;
use crate::upstream::Failure;
use crate::verdict::{Kind, Reason, Refused};
use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType, Result};

/// What went wrong, and whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client left or stopped reading: nobody to answer.
    Gone,
    /// The client sent what it must not.
    Client(u16, &'static str, Refused),
    /// The origin failed.
    Origin(Failure),
    /// We did.
    Ours,
}

/// A request body grew past the limit.
pub const BODY_TOO_LARGE: ErrorType = ErrorType::Custom("body_too_large");

impl Fault {
    /// Reads Pingora's error.
    pub fn of(error: &Error, origin: Option<Failure>) -> Self {
        match (error.esource(), error.etype()) {
            (_, etype) if *etype == BODY_TOO_LARGE => {
                Self::Client(413, "the request body is too large", Refused::BodyTooLarge)
            }
            (ErrorSource::Downstream, ErrorType::ReadTimedout) => {
                Self::Client(408, "the request body did not arrive in time", Refused::BadRequest)
            }
            (ErrorSource::Downstream, _) if is_malformed(error) => {
                Self::Client(400, "the request body is malformed", Refused::BadRequest)
            }
            (ErrorSource::Downstream, ErrorType::InvalidHTTPHeader) => {
                Self::Client(400, "the request is malformed", Refused::BadRequest)
            }
            (ErrorSource::Downstream, _) => Self::Gone,
            (_, ErrorType::HTTPStatus(503)) => Self::Origin(Failure::NoServer),
            // What broke off while it came in has no try of its own to blame.
            (ErrorSource::Upstream, _) => Self::Origin(origin.unwrap_or(Failure::BodyCut)),
            _ => origin.map_or(Self::Ours, Self::Origin),
        }
    }

    /// The status to answer with; 0 where nobody is left to be answered.
    pub fn status(self) -> u16 {
        match self {
            Self::Gone => 0,
            Self::Client(status, ..) => status,
            Self::Origin(failure) => failure.status(),
            Self::Ours => 500,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Client(_, detail, _) => detail,
            Self::Origin(failure) => origin_detail(failure.status()),
            Self::Gone | Self::Ours => "something went wrong here",
        }
    }
}

/// Whether an origin that is too slow to answer is still owed a part of the request, and not the one that stops it from
/// coming: it must not be blamed.
pub fn is_the_clients_turn(s: &mut ServerSession, ctx: &Ctx, error: &Error) -> bool {
    let unanswered = *error.esource() == ErrorSource::Upstream
        && *error.etype() == ErrorType::ReadTimedout
        && ctx.origin.status.is_none();
    let unasked = !ctx.continued && s.req_header().headers.contains_key("expect");
    unanswered && !unasked && !s.is_body_done()
}

/// Whether the gate refused what came as a body: it says so as an I/O error, which Pingora wraps.
fn is_malformed(error: &Error) -> bool {
    let Some(cause) = &error.cause else { return false };
    match (cause.downcast_ref::<std::io::Error>(), cause.downcast_ref::<Box<Error>>()) {
        (Some(io), _) => io.kind() == std::io::ErrorKind::InvalidData,
        (_, Some(inner)) => is_malformed(inner),
        _ => false,
    }
}

/// What a client is told of a failed origin: enough to look it up by its id, no names of servers.
pub fn origin_detail(status: u16) -> &'static str {
    match status {
        503 => "no server is available",
        504 => "the origin did not answer in time",
        _ => "the origin could not be reached or broke off",
    }
}

/// Answers a request that ended in an error, if there is still somebody to answer. Gives the status.
pub async fn error(s: &mut ServerSession, ctx: &mut Ctx, error: &Error) -> u16 {
    let known = ctx.relayed.as_ref().and_then(|relayed| relayed.fault());
    let fault = known.unwrap_or_else(|| Fault::of(error, ctx.origin.failure));
    // RFC 9112 §9.6: what has begun can only be broken off.
    let begun = s.response_written().is_some_and(|head| finish::is_final(head.status));
    if let Fault::Client(_, _, why) = fault
        && !begun
    {
        ctx.outcome.kind = Kind::Answer;
        ctx.outcome.reason = Reason::Refused(why);
    }
    let status = fault.status();
    if status != 0 && !begun {
        s.set_keepalive(None);
        if answer(s, ctx, status, fault.detail()).await.is_err() {
            return 0;
        }
    }
    status
}

/// One clause for the person who reads a refusal.
pub fn refusal_detail(why: Refused) -> &'static str {
    match why {
        Refused::BadRequest => "the request is malformed",
        Refused::HeadTimeout => "the request head did not arrive in time",
        Refused::HeadTooLarge => "the request head is too large",
        Refused::TargetTooLong => "the request target is too long",
        Refused::BodyTooLarge => "the request body is too large",
        Refused::Denied => "this client may not ask that",
        Refused::Unauthorized => "credentials are missing or wrong",
        Refused::RateLimited => "too many requests",
        Refused::TooManyConnections => "too many connections",
        Refused::Overloaded => "too much is waiting already",
    }
}

/// Writes one of our own pages.
pub async fn answer(s: &mut ServerSession, ctx: &mut Ctx, status: u16, detail: &str) -> Result<()> {
    let cause = ctx.cause().map(|(plan, arrival, _)| (&**plan, arrival));
    let accept = s.req_header().headers.get("accept").map(|v| v.as_bytes().to_vec());
    let page = page::page(status, detail, id(cause), accept.as_deref());
    let header = header(status, &page, cause)?;
    ctx.outcome.status = status;
    let head_only = s.req_header().method == http::Method::HEAD;
    s.write_response_header(Box::new(header)).await?;
    if !head_only {
        s.write_response_body(Bytes::from(page.body), false).await?;
    }
    s.finish_body().await
}

fn id<'c>(cause: Option<(&Plan, &'c Arrival)>) -> &'c str {
    cause.map_or("", |(_, arrival)| arrival.id.as_str())
}

/// The head of one of our own pages, and what caused it.
pub fn header(status: u16, page: &Page, cause: Option<(&Plan, &Arrival)>) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build(status, Some(8))?;
    header.insert_header("Content-Type", page.content_type)?;
    header.insert_header("Content-Length", page.body.len().to_string())?;
    header.insert_header("Cache-Control", "no-store")?;
    header.insert_header("X-Request-Id", id(cause))?;
    if let Some((plan, arrival)) = cause {
        headers::of_listener(&mut header, plan, arrival)?;
    }
    if status == 503 {
        header.insert_header("Retry-After", page::RETRY_AFTER)?;
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_one_status() {
        let downstream = |etype| {
            let mut e = Error::new(etype);
            e.esource = ErrorSource::Downstream;
            e
        };
        assert_eq!(Fault::of(&downstream(ErrorType::WriteError), None).status(), 0);
        assert_eq!(Fault::of(&downstream(ErrorType::ReadTimedout), None).status(), 408);
        assert_eq!(Fault::of(&Error::new(BODY_TOO_LARGE), None).status(), 413);
        assert_eq!(Fault::of(&Error::new(ErrorType::InternalError), None).status(), 500);
        assert_eq!(Fault::of(&Error::new(ErrorType::HTTPStatus(503)), None).status(), 503);
        for (failure, status) in
            [(Failure::Unreachable, 502), (Failure::Timeout, 504), (Failure::NoServer, 503)]
        {
            assert_eq!(Fault::of(&Error::new(ErrorType::ReadError), Some(failure)).status(), status);
        }
    }
}
