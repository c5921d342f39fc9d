//! What the response to a fetch does to the cache: decided and done here, for an origin that answers and for one that
//! is only rehearsed.

use super::fail::Fault;
use super::judge::{Bounds, Case};
use super::{headers, part};
use crate::cache::Cache;
use crate::cache::object::Object;
use crate::cache::policy;
use crate::cache::store::fill::{Failure, Fill, Verdict};
use crate::http::fields::Fields;
use crate::http::request::RequestView;
use crate::http::{conditional, date, etag};
use crate::plan::Plan;
use crate::upstream;
use crate::verdict::{NotStored, StaleWhy, Terms};
use pingora::http::ResponseHeader;
use std::sync::Arc;

/// The request that a response answers.
#[derive(Clone, Copy)]
pub struct Arriving<'a> {
    /// The plan of the request that caused the fetch.
    pub plan: &'a Plan,
    /// Its route.
    pub route: usize,
    /// Which cache rules decide, as far as that request alone can tell.
    pub terms: Terms,
    /// That request.
    pub view: &'a RequestView<'a>,
    /// When it was sent, in seconds since 1970.
    pub requested_at: u64,
    /// When the response came.
    pub now: u64,
}

impl<'a> Arriving<'a> {
    /// A response to it, to be judged.
    pub fn case(&self, status: u16, fields: &'a [(&'a str, &'a [u8])], length: Option<u64>) -> Case<'a> {
        let Self { plan, route, terms, view, requested_at, now } = *self;
        Case { plan, route, terms, view, status, fields, length, requested_at, now }
    }
}

/// The first look at what the origin sent, before anything is stored: a 304 confirms, a 5xx may be covered by
/// something stale. Anything else goes on to [`judge`]. `ruled` is told which rules decide, where they are asked, before
/// anybody is told what became of it.
pub fn first_look(
    cache: &Cache,
    fill: &Arc<Fill>,
    arriving: &Arriving<'_>,
    response: &ResponseHeader,
    ruled: impl FnOnce(Terms),
) {
    let status = response.status.as_u16();
    let Some(stale) = &fill.stale else {
        // A 304 to what was no question of ours. Pingora takes no further interest in it, so that nobody asks `judge`.
        if status == 304 {
            ruled(arriving.case(status, &headers::list(response), None).judge(&Bounds::of(cache)).terms);
            cache.not_stored(fill, NotStored::Status, status, arriving.now);
        }
        return;
    };
    if status == 304 {
        confirm(cache, fill, stale, arriving, response, ruled);
    } else if response.status.is_server_error() && policy::may_serve_on_error(&stale.head.times, arriving.now)
    {
        cache.end(fill, Failure { status, why: StaleWhy::Origin5xx, shared: false });
    }
}

/// RFC 9111 §4.3.4: the stored response with the fields of the 304, judged as if it had just come.
fn confirm(
    cache: &Cache,
    fill: &Arc<Fill>,
    stale: &Arc<Object>,
    arriving: &Arriving<'_>,
    response: &ResponseHeader,
    ruled: impl FnOnce(Terms),
) {
    let fields = Fields::Map(&response.headers);
    let modified = fields.first("last-modified").and_then(date::parse);
    let fresh =
        conditional::Validators { etag: fields.first("etag"), last_modified: modified, any_form: false };
    if !policy::confirms(&part::received_validators(&stale.head), &fresh) && !confirms_encoded(stale, &fresh)
    {
        // It speaks of something else: forget the old body, let everybody ask without validators.
        cache.disown(fill, stale);
        return;
    }
    let merged = policy::merge_304(stale.head.received(), headers::list(response).into_iter());
    let judged = arriving.case(stale.head.status, &merged, None).judge(&Bounds::of(cache));
    ruled(judged.terms);
    match judged.head {
        Ok(head) => cache.confirm(fill, head, stale),
        // What is confirmed may still be served this once (RFC 9111 §4.3.3), but no longer be kept.
        Err(why) => {
            fill.lose(why);
            fill.confirm(stale.clone());
            cache.disown(fill, stale);
        }
    }
}

/// An origin that compresses on the fly weakens the entity tag of its 200 but not of its 304 (nginx does): the same
/// opaque tag is good enough for a body that we keep as it was sent.
fn confirms_encoded(stale: &Object, fresh: &conditional::Validators<'_>) -> bool {
    match (stale.head.first_received("etag"), fresh.etag) {
        (Some(old), Some(new)) => etag::weak_eq(old, new),
        _ => false,
    }
}

/// Whether what came is stored; tells the fill, unless [`first_look`] settled it. `ruled` is told which rules decide
/// before.
pub fn judge(
    cache: &Cache,
    fill: &Arc<Fill>,
    arriving: &Arriving<'_>,
    response: &ResponseHeader,
    ruled: impl FnOnce(Terms),
) -> bool {
    if fill.progress().verdict != Verdict::Pending {
        return false;
    }
    let status = response.status.as_u16();
    let fields = headers::list(response);
    let length = Fields::Map(&response.headers).content_length();
    let judged = arriving.case(status, &fields, length).judge(&Bounds::of(cache));
    ruled(judged.terms);
    match judged.head {
        Ok(head) => {
            fill.limit_to(judged.max_object);
            fill.start(head)
        }
        Err(why) => {
            cache.not_stored(fill, why, status, arriving.now);
            false
        }
    }
}

/// What those who wait for a fetch are told that went wrong.
pub fn failure(fault: Fault, origin: Option<upstream::Failure>) -> Failure {
    // A response that may not be stored comes to its reader through the handle, and so does its end.
    let status = if fault.status() == 0 { 502 } else { fault.status() };
    let why = match origin {
        Some(upstream::Failure::Timeout | upstream::Failure::ConnectTimeout) => StaleWhy::OriginTimeout,
        _ => StaleWhy::OriginUnreachable,
    };
    // Before anything was sent, and where the origin is merely slow, the next request would fare no better; a reset may
    // be the answer to this very request.
    let shared = matches!(fault, Fault::Origin(failure) if failure.is_general());
    Failure { status, why, shared }
}
