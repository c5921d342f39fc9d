//! The origin's side of a miss: a subrequest that belongs to no client and fills what every client reads.
//!
//! It runs through Pingora's whole proxy, so connecting, retries and deadlines are those of any request. Its
//! response is judged once, here: stored into the fill, confirmed by a 304, passed on to the one who asked first,
//! or given up so that something stale can be served.

use super::arrival::{Arrival, unix_time};
use super::arrived::{self, Arriving};
use super::ctx::Ctx;
use super::fail::Fault;
use super::headers;
use crate::cache::storage::{self, Destination};
use crate::cache::store::fill::{Failure, Fill};
use crate::http::request::{Protocol, RequestView};
use crate::plan::Plan;
use crate::verdict::{Outcome, StaleWhy, Terms};
use parking_lot::Mutex;
use pingora::cache::{NoCacheReason, RespCacheable};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::subrequest::server::SubrequestHandle;
use pingora::proxy::{PreparedSubrequest, Session, SubrequestSpawner, subrequest};
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
    /// Which cache rules decide, as far as that request alone can tell.
    pub terms: Terms,
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
    /// Which cache rules decided about it.
    pub terms: Option<Terms>,
}

impl Errand {
    /// Status of the origin's response, once there is one.
    pub fn fill_status(&self) -> Option<u16> {
        self.report.lock().status
    }

    fn fill(&self) -> &Arc<Fill> {
        &self.destination.fill
    }

    /// What a response to it answers. The time it was sent comes from elapsed time, not from two clock readings: those
    /// differ by a second as soon as one begins in between.
    fn arriving<'a>(&'a self, view: &'a RequestView<'a>) -> Arriving<'a> {
        let now = unix_time().as_secs();
        let requested_at = now.saturating_sub(self.began.elapsed().as_secs());
        Arriving { plan: &self.plan, route: self.route, terms: self.terms, view, requested_at, now }
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
    let user = Box::new(errand.clone());
    let (prepared, handle) = subrequest(spawner, s, subrequest::Ctx::builder().user_ctx(user).build())?;
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

/// A subrequest with the head of a client's request, which stays as it is.
pub fn subrequest(
    spawner: &SubrequestSpawner,
    s: &mut ServerSession,
    ctx: subrequest::Ctx,
) -> Result<(PreparedSubrequest, SubrequestHandle)> {
    if s.req_header().version != http::Version::HTTP_2 {
        return Ok(spawner.create_subrequest(s, ctx));
    }
    // Pingora writes the head of a subrequest in the client's version and cannot read `HTTP/2` back.
    let before = s.req_header().clone();
    let request = s.req_header_mut();
    request.set_version(http::Version::HTTP_11);
    if let Some(authority) = request.uri.authority().map(|authority| authority.as_str().to_owned())
        && !request.headers.contains_key("host")
    {
        request.insert_header("Host", authority)?;
    }
    // HTTP/1.1 frames a body by its head (RFC 9112 §6), HTTP/2 by itself.
    if ctx.body_mode() == subrequest::BodyMode::ExpectBody && !request.headers.contains_key("content-length")
    {
        request.insert_header("Transfer-Encoding", "chunked")?;
    }
    let made = spawner.create_subrequest(s, ctx);
    *s.req_header_mut() = before;
    Ok(made)
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

/// What a fetch asks: for the whole, in the compression that rules want, and with our validators if there is
/// something to confirm. Pingora has taken out the client's own conditions and range, and made HEAD a GET.
pub fn ask(errand: &Errand, request: &mut RequestHeader) -> Result<()> {
    let ruled = errand.plan.ruled(errand.route, errand.terms);
    headers::ask_for_form(request, ruled.accept_encoding())?;
    // It has no body to be asked for.
    request.remove_header("expect");
    let Some(stale) = &errand.fill().stale else { return Ok(()) };
    if let Some(tag) = stale.head.first_received("etag") {
        request.insert_header("If-None-Match", tag)?;
    }
    if let Some(modified) = stale.head.first_received("last-modified") {
        request.insert_header("If-Modified-Since", modified)?;
    }
    Ok(())
}

/// The first look at what the origin sent, before anything is stored.
pub fn first_look(errand: &Errand, view: &RequestView<'_>, response: &ResponseHeader) {
    let (cache, fill) = (&errand.destination.cache, errand.fill());
    let ruled = |terms| errand.report.lock().terms = Some(terms);
    arrived::first_look(cache, fill, &errand.arriving(view), response, ruled);
}

/// Whether what came may be stored; tells the fill, and Pingora in its own words.
pub fn judge(
    ctx: &mut Ctx,
    errand: &Errand,
    view: &RequestView<'_>,
    response: &ResponseHeader,
) -> Result<RespCacheable> {
    let (cache, fill) = (&errand.destination.cache, errand.fill());
    let ruled = |terms| {
        ctx.terms = Some(terms);
        errand.report.lock().terms = Some(terms);
    };
    if arrived::judge(cache, fill, &errand.arriving(view), response, ruled) {
        Ok(RespCacheable::Cacheable(storage::meta(ResponseHeader::build(200, None)?)))
    } else {
        Ok(RespCacheable::Uncacheable(NoCacheReason::OriginNotCache))
    }
}

/// The fetch failed. Before there was anything to share, that is what everybody is told; afterwards the broken fill
/// says it. Gives the status for Pingora's log.
pub fn failed(errand: &Errand, ctx: &Ctx, error: &Error) -> u16 {
    report(ctx);
    let fault = Fault::of(error, ctx.origin.failure);
    let failure = arrived::failure(fault, ctx.origin.failure);
    errand.destination.cache.end(errand.fill(), failure);
    failure.status
}

/// Tells the request that waits what the log shall say of the origin.
pub fn report(ctx: &Ctx) {
    let Some(errand) = &ctx.errand else { return };
    let mut outcome = ctx.outcome.clone();
    ctx.origin.report(&mut outcome);
    outcome.upstream = errand.plan.cluster(errand.route).map(|cluster| cluster.name().clone());
    let mut report = errand.report.lock();
    (report.outcome, report.status) = (Some(outcome), ctx.origin.status);
}
