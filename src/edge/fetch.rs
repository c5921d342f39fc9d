//! The origin's side of a miss: a subrequest that belongs to no client and fills what every client reads.
//!
//! It runs through Pingora's whole proxy, so connecting, retries and deadlines are those of any request. Its
//! response is judged once, here: stored into the fill, confirmed by a 304, passed on to the one who asked first,
//! or given up so that something stale can be served.

use super::Edge;
use super::ctx::{Arrival, Ctx, unix_time};
use super::fail::Fault;
use super::{headers, part};
use crate::cache::object::{Object, StoredHead};
use crate::cache::policy::{self, Exchange, LifetimeSource, ResponseView, StoredTimes};
use crate::cache::storage::{self, Destination};
use crate::cache::store::fill::{Failure, Fill, Verdict};
use crate::cache::variant;
use crate::http::fields::Fields;
use crate::http::request::{Protocol, RequestView};
use crate::http::{conditional, date, etag, vary};
use crate::plan::Plan;
use crate::upstream;
use crate::verdict::{NotStored, Outcome, StaleWhy};
use parking_lot::Mutex;
use pingora::cache::{NoCacheReason, RespCacheable};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::subrequest::server::SubrequestHandle;
use pingora::proxy::{Session, SubrequestSpawner, subrequest};
use pingora::{Error, Result};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// What a fetch is sent out with.
pub struct Errand {
    /// The plan of the request that caused it.
    pub plan: Arc<Plan>,
    /// Its route.
    pub route: usize,
    /// That request's id, client and time.
    pub arrival: Arrival,
    /// Where the response goes.
    pub destination: Destination,
    /// Whether a client was served stale already, so that nobody waits for this.
    pub refresh: bool,
    /// The protocol that request came over; a fetch itself is always written as HTTP/1.1.
    pub protocol: Protocol,
    /// Places for fetches that nobody waits for.
    pub orphans: Arc<Semaphore>,
    /// When the fetch began; the request is sent a moment later.
    pub began: Instant,
    /// What the log of the one who waits will say of the origin.
    pub report: Mutex<Report>,
}

/// What a fetch tells the request that caused it.
#[derive(Clone, Default)]
pub struct Report {
    /// Server, tries and times, as the log has them.
    pub outcome: Option<Outcome>,
    /// Status of the origin's response.
    pub status: Option<u16>,
}

impl Errand {
    /// Status of the origin's response, once there is one.
    pub fn fill_status(&self) -> Option<u16> {
        self.report.lock().status
    }

    fn fill(&self) -> &Arc<Fill> {
        &self.destination.fill
    }
}

/// Ends a fetch however it ends: a panic on the way must not leave anybody waiting.
struct End(Arc<Errand>);

impl Drop for End {
    fn drop(&mut self) {
        let failure = Failure { status: 502, why: StaleWhy::OriginUnreachable, shared: false };
        self.0.destination.cache.end(self.0.fill(), failure);
    }
}

/// Starts a fetch on a task of its own. The handle is where a response comes out that may not be stored; dropped,
/// it does not disturb one that may.
pub fn start(
    spawner: &SubrequestSpawner,
    s: &mut ServerSession,
    errand: Arc<Errand>,
) -> Result<SubrequestHandle> {
    let end = End(errand.clone());
    let was = s.req_header().version;
    let had_host = s.req_header().headers.contains_key("host");
    // Pingora writes the head of a subrequest in the client's version and cannot read `HTTP/2` back.
    if was == http::Version::HTTP_2 {
        let authority = s.req_header().uri.authority().map(|a| a.as_str().to_owned());
        let request = s.req_header_mut();
        request.set_version(http::Version::HTTP_11);
        if let Some(authority) = authority.filter(|_| !had_host) {
            request.insert_header("Host", authority)?;
        }
    }
    let user = Box::new(errand.clone());
    let (prepared, handle) = spawner.create_subrequest(s, subrequest::Ctx::builder().user_ctx(user).build());
    if was == http::Version::HTTP_2 {
        s.req_header_mut().set_version(was);
        if !had_host {
            s.req_header_mut().remove_header("host");
        }
    }
    let orphans = errand.orphans.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = prepared.run() => {}
            () = surplus(end.0.fill(), &orphans) => {}
        }
        drop(end);
    });
    Ok(handle)
}

/// Ready once a fetch that nobody waits for is one too many: a client that asks and leaves, again and again, must not
/// keep an origin busy with what nobody will read.
async fn surplus(fill: &Fill, orphans: &Arc<Semaphore>) {
    fill.orphaned().await;
    if let Ok(place) = orphans.clone().try_acquire_owned() {
        // It may go on; its place is taken until it ends.
        std::future::pending::<()>().await;
        drop(place);
    }
}

/// The errand of a subrequest; `None` for a client's request.
pub fn errand(session: &Session) -> Option<Arc<Errand>> {
    let user = session.subrequest_ctx.as_ref()?.user_ctx()?;
    user.downcast_ref::<Arc<Errand>>().cloned()
}

/// What a fetch asks: for the whole, in one spelling of Accept-Encoding, and with our validators if there is
/// something to confirm. Pingora has taken out the client's own conditions and range, and made HEAD a GET.
pub fn ask(errand: &Errand, request: &mut RequestHeader) -> Result<()> {
    headers::normalise_accept_encoding(request)?;
    // It has no body to be asked for.
    request.remove_header("expect");
    let Some(stale) = &errand.fill().stale else { return Ok(()) };
    if let Some(tag) = stale.head.first("etag") {
        request.insert_header("If-None-Match", tag)?;
    }
    if let Some(modified) = stale.head.first("last-modified") {
        request.insert_header("If-Modified-Since", modified)?;
    }
    Ok(())
}

/// The first look at what the origin sent, before anything is stored: a 304 confirms, a 5xx may be covered by
/// something stale. Anything else goes on to [`judge`].
pub fn first_look(edge: &Edge, errand: &Errand, view: &RequestView<'_>, response: &ResponseHeader) {
    let Some(stale) = &errand.fill().stale else { return };
    let now = unix_time().as_secs();
    let status = response.status.as_u16();
    if status == 304 {
        confirm(edge, errand, view, stale, response, now);
    } else if response.status.is_server_error() && policy::may_serve_on_error(&stale.head.times, now) {
        let failure = Failure { status, why: StaleWhy::Origin5xx, shared: false };
        errand.destination.cache.end(errand.fill(), failure);
    }
}

/// RFC 9111 §4.3.4: the stored response with the fields of the 304, judged as if it had just come.
fn confirm(
    edge: &Edge,
    errand: &Errand,
    view: &RequestView<'_>,
    stale: &Arc<Object>,
    response: &ResponseHeader,
    now: u64,
) {
    let fields = Fields::Map(&response.headers);
    let modified = fields.first("last-modified").and_then(date::parse);
    let fresh = conditional::Validators { etag: fields.first("etag"), last_modified: modified };
    if !policy::confirms(&part::validators(&stale.head), &fresh) && !confirms_encoded(stale, &fresh) {
        // It speaks of something else: forget the old body, let everybody ask without validators.
        errand.destination.cache.disown(errand.fill(), stale);
        return;
    }
    let merged = policy::merge_304(stale.head.fields(), header_fields(response).into_iter());
    match head(edge, errand, view, stale.head.status, &merged, None, now) {
        Ok(head) => errand.destination.cache.confirm(errand.fill(), head, stale),
        // What is confirmed may still be served this once (RFC 9111 §4.3.3), but no longer be kept.
        Err(why) => {
            edge.state.metrics.not_stored(why);
            errand.fill().confirm(stale.clone());
            errand.destination.cache.disown(errand.fill(), stale);
        }
    }
}

/// An origin that compresses on the fly weakens the entity tag of its 200 but not of its 304 (nginx does): the same
/// opaque tag is good enough for a body that we keep as it was sent.
fn confirms_encoded(stale: &Object, fresh: &conditional::Validators<'_>) -> bool {
    match (stale.head.first("etag"), fresh.etag) {
        (Some(old), Some(new)) => etag::weak_eq(old, new),
        _ => false,
    }
}

/// The fields as the origin spelled them.
fn header_fields(response: &ResponseHeader) -> Vec<(&str, &[u8])> {
    if !response.has_case() {
        return response.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    }
    let spelled = response.case_header_iter();
    spelled
        .map(|(name, value)| (std::str::from_utf8(name.as_slice()).unwrap_or_default(), value.as_bytes()))
        .collect()
}

/// Whether what came may be stored; tells the fill, and Pingora in its own words.
pub fn judge(
    edge: &Edge,
    errand: &Errand,
    view: &RequestView<'_>,
    response: &ResponseHeader,
) -> Result<RespCacheable> {
    if errand.fill().progress().verdict != Verdict::Pending {
        return Ok(RespCacheable::Uncacheable(NoCacheReason::OriginNotCache));
    }
    let status = response.status.as_u16();
    let now = unix_time().as_secs();
    let cache = &errand.destination.cache;
    let length = Fields::Map(&response.headers).content_length();
    let fields = header_fields(response);
    let verdict = if status == 304 {
        Err(NotStored::Status)
    } else if length.is_some_and(|length| length > cache.max_object()) {
        Err(NotStored::TooLarge)
    } else {
        head(edge, errand, view, status, &fields, body_length(status, length), now)
    };
    match verdict {
        Ok(head) => {
            errand.fill().start(head);
            Ok(RespCacheable::Cacheable(storage::meta(ResponseHeader::build(200, None)?)))
        }
        Err(why) => {
            cache.not_stored(errand.fill(), why, status, now);
            Ok(RespCacheable::Uncacheable(NoCacheReason::OriginNotCache))
        }
    }
}

/// A 204 has no body whatever it says.
fn body_length(status: u16, length: Option<u64>) -> Option<u64> {
    if status == 204 { Some(0) } else { length }
}

/// The head to store, if the policy allows it.
fn head(
    edge: &Edge,
    errand: &Errand,
    view: &RequestView<'_>,
    status: u16,
    fields: &[(&str, &[u8])],
    length: Option<u64>,
    now: u64,
) -> Result<StoredHead, NotStored> {
    let raw: Vec<_> = fields.iter().map(|(name, value)| httparse::Header { name, value }).collect();
    let request = RequestView { method: "GET", ..*view };
    // From elapsed time, not from two clock readings: those differ by a second as soon as one begins in between.
    let requested_at = now.saturating_sub(errand.began.elapsed().as_secs());
    let response = ResponseView { status, fields: Fields::Raw(&raw) };
    let exchange = Exchange { request: &request, response: &response, requested_at, received_at: now };
    let life = policy::storable(&exchange, &edge.state.cache.settings().policy)?;
    let encoded = response.fields.has("content-encoding");
    let variant = match vary::parse(response.fields.all("vary")) {
        vary::Vary::Names(names) => Some(variant(&names, request.fields)),
        // An origin that compresses and does not say so: whoever cannot read it must not get it.
        vary::Vary::None if encoded => Some(variant(&["accept-encoding".into()], request.fields)),
        vary::Vary::None => None,
        vary::Vary::Star => return Err(NotStored::VaryStar),
    };
    let today = date::format(now);
    let lifetime = (life.source == LifetimeSource::Expires).then(|| format!("max-age={}", life.lifetime));
    let kept = headers::stored(fields.iter().copied(), &today, lifetime.as_deref());
    Ok(StoredHead::new(status, kept.into_iter(), length, StoredTimes { received_at: now, life }, variant))
}

/// The fetch failed. Before there was anything to share, that is what everybody is told; afterwards the broken fill
/// says it. Gives the status for Pingora's log.
pub fn failed(errand: &Errand, ctx: &Ctx, error: &Error) -> u16 {
    report(ctx);
    let fault = Fault::of(error, ctx.origin.failure);
    // A response that may not be stored comes to its reader through the handle, and so does its end.
    let status = if fault.status() == 0 { 502 } else { fault.status() };
    let why = match ctx.origin.failure {
        Some(upstream::Failure::Timeout | upstream::Failure::ConnectTimeout) => StaleWhy::OriginTimeout,
        _ => StaleWhy::OriginUnreachable,
    };
    // Before anything was sent, and where the origin is merely slow, the next request would fare no better; a reset may
    // be the answer to this very request.
    let shared = matches!(fault, Fault::Origin(failure) if failure.is_general());
    errand.destination.cache.end(errand.fill(), Failure { status, why, shared });
    status
}

/// Tells the request that waits what the log shall say of the origin.
pub fn report(ctx: &Ctx) {
    let Some(errand) = &ctx.errand else { return };
    let mut outcome = ctx.outcome.clone();
    ctx.origin.report(&mut outcome);
    outcome.upstream = errand.plan.routes.get(errand.route).map(|route| route.cluster.name().clone());
    *errand.report.lock() = Report { outcome: Some(outcome), status: ctx.origin.status };
}
