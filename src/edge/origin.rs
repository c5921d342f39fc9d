//! A request on its way to an origin server: which one, what it is sent, and what its answer changes here.

use super::arrival::unix_time;
use super::ctx::Ctx;
use super::edit::Edit;
use super::forget::{Target, forget};
use super::judge::{self, Bounds, Case};
use super::{Edge, fetch, headers, view};
use crate::cache::{Cache, policy};
use crate::http::fields::Fields;
use crate::http::request::RequestView;
use crate::upstream::{Cluster, Failure, Retry, Try};
use crate::verdict::{CacheUse, Kind, NotStored, Reason, Stored};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tries on connections that an origin had closed while they were idle; each is answered by a new connection soon.
const STALE_CONNECTIONS: u32 = 3;

/// A connection that its server had closed shows it within a round trip. What breaks later was at work.
const SHOWS_AT_ONCE: Duration = Duration::from_secs(1);

fn cluster(ctx: &Ctx) -> Option<&Arc<Cluster>> {
    let (plan, _, route) = ctx.cause()?;
    plan.cluster(route)
}

/// A server answered with a status that another one is asked after. Decided where the response is looked at; this is
/// how Pingora is told.
const ASK_ANOTHER: ErrorType = ErrorType::Custom("ask_another_server");

/// Picks a server for the next try.
pub fn pick(session: &Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
    let Some(cluster) = cluster(ctx).cloned() else {
        return Error::e_explain(ErrorType::InternalError, "a request without a route");
    };
    let picked = match cluster.pick(&ctx.origin.tried, key(session, ctx, &cluster)) {
        Ok(picked) => picked,
        Err(failure) => {
            ctx.origin.failure = ctx.origin.failure.or(Some(failure));
            return Error::e_explain(ErrorType::ConnectNoRoute, "no server is left to try");
        }
    };
    if ctx.origin.tries == 0 {
        cluster.requested();
    }
    let now = Instant::now();
    let origin = &mut ctx.origin;
    origin.tries += 1;
    origin.first_try = origin.first_try.or(Some(now));
    origin.began = Some(now);
    origin.in_flight = Some(picked.in_flight);
    (origin.sent, origin.status, origin.reused) = (None, None, false);
    let peer = cluster.peer(&picked.server, ctx.want);
    origin.server = Some(picked.server);
    // What was counted of the body is sent, and counted, again.
    ctx.bytes_in = 0;
    peer
}

/// What the request is balanced by. The path is the client's, whatever a route makes of it.
fn key(session: &Session, ctx: &Ctx, cluster: &Cluster) -> Option<u64> {
    if !cluster.is_keyed() {
        return None;
    }
    let (_, arrival, _) = ctx.cause()?;
    let view = view::of(session.req_header(), arrival.scheme, arrival.client).ok()?;
    cluster.key(&view)
}

/// A connection stands.
pub fn connected(ctx: &mut Ctx, reused: bool) {
    let origin = &mut ctx.origin;
    origin.reused = reused;
    origin.connect = if reused { None } else { origin.began.map(|began| began.elapsed()) };
}

/// A try failed: says whether there is another, and counts it.
pub fn failed(edge: &Edge, ctx: &mut Ctx, error: &mut Error, replayable: bool) {
    if *error.etype() == ASK_ANOTHER {
        return error.set_retry(true);
    }
    let Some(failure) = Failure::of(error, ctx.origin.phase()) else {
        error.set_retry(false);
        return;
    };
    ctx.origin.failure = Some(failure);
    count(edge, ctx, false);
    let untouched = Failure::is_untouched(error);
    let again = match failure.retry(Try { reused: ctx.origin.reused, replayable, untouched }) {
        // Nobody's fault: the server may close a connection that is not in use, and leave one that is.
        Retry::Anywhere if may_try_once_more(ctx, untouched) => {
            ctx.origin.stale += 1;
            true
        }
        retry => {
            complain(edge, ctx, failure, error);
            blame(ctx, failure, error);
            retry != Retry::No && may_try_another(ctx, failure)
        }
    };
    error.set_retry(again);
}

/// Whether another connection is tried, wherever to: soon after the last, a few times, and once where a server promises
/// that it did not look at the request, since it may be refusing everything.
fn may_try_once_more(ctx: &Ctx, untouched: bool) -> bool {
    let most = if untouched { 1 } else { STALE_CONNECTIONS };
    let at_once = ctx.origin.sent.is_none_or(|sent| sent.elapsed() < SHOWS_AT_ONCE);
    ctx.origin.stale < most && (untouched || at_once)
}

/// Remembers who failed and how, for this request, for the log and for those that come after it. A silence after the head
/// is no sign of a bad server: it may be the client's, and of a WebSocket both may say nothing for long.
fn blame(ctx: &mut Ctx, failure: Failure, error: &Error) {
    let Some(server) = ctx.origin.server.clone() else { return };
    let silence = *error.etype() == ErrorType::ReadTimedout || ctx.origin.status == Some(101);
    if let Some(cluster) = cluster(ctx).filter(|_| failure != Failure::BodyCut || !silence) {
        cluster.failed(&server, failure, error.to_string());
    }
    ctx.origin.blame(&server, failure.as_str().into());
}

/// Whether one more server may be asked: there is one, there is time, and not too much is being repeated already.
fn may_try_another(ctx: &Ctx, failure: Failure) -> bool {
    let Some(cluster) = cluster(ctx) else { return false };
    let settings = cluster.settings();
    let in_time = ctx.origin.first_try.is_none_or(|first| first.elapsed() < settings.retry.within);
    let tries = ctx.origin.tries.saturating_sub(ctx.origin.stale);
    in_time && (tries as usize) < settings.tries && cluster.may_retry(&ctx.origin.tried, failure)
}

/// A server answered with this status: teaches the cluster, and says whether another server is asked instead.
fn answered(edge: &Edge, ctx: &mut Ctx, status: u16, replayable: bool) -> bool {
    let (Some(cluster), Some(server)) = (cluster(ctx).cloned(), ctx.origin.server.clone()) else {
        return false;
    };
    let waited = ctx.origin.first_byte.unwrap_or_default();
    match is_failure(status) {
        true => cluster.failed(&server, Failure::Status, format!("status {status}")),
        false => cluster.answered(&server, waited),
    }
    if !replayable || !cluster.settings().retry.takes(status) {
        return false;
    }
    ctx.origin.blame(&server, status.to_string().into());
    if !may_try_another(ctx, Failure::Status) {
        ctx.origin.forgive();
        return false;
    }
    ctx.origin.failure = Some(Failure::Status);
    count(edge, ctx, true);
    true
}

/// A response is complete.
pub fn completed(ctx: &Ctx) {
    if let (Some(cluster), Some(server), Some(status)) = (cluster(ctx), &ctx.origin.server, ctx.origin.status)
        && !is_failure(status)
    {
        cluster.completed(server);
    }
}

/// Whether a status tells of a server that cannot do its work, rather than of a request it does not like.
fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// The access log tells the client's side of it; why a server failed is told here, once a second.
fn complain(edge: &Edge, ctx: &Ctx, failure: Failure, error: &Error) {
    let Some(held) = edge.state.origin_errors.pass(unix_time().as_secs()) else { return };
    let cluster = cluster(ctx).map_or("", |cluster| cluster.name());
    let server = ctx.origin.server.as_ref().map_or("", |server| &server.name);
    let more = if held > 0 { format!(" ({held} more since the last of these lines)") } else { String::new() };
    log::warn!("upstream {cluster}: {server}: {}: {error}{more}", failure.as_str());
}

/// Counts the try that has just ended.
pub fn count(edge: &Edge, ctx: &mut Ctx, ok: bool) {
    let (Some(cluster), Some(server)) = (cluster(ctx).cloned(), &ctx.origin.server) else { return };
    let metrics = edge.state.metrics.server(cluster.name(), &server.name);
    if ok {
        metrics.ok.inc()
    } else {
        metrics.error.inc()
    }
    ctx.origin.in_flight = None;
}

/// The head that is sent to the server.
pub fn request(session: &Session, ctx: &mut Ctx, request: &mut RequestHeader) -> Result<()> {
    if let Some((_, arrival, _)) = ctx.cause() {
        if let Ok(view) = view::of(session.req_header(), arrival.scheme, arrival.client) {
            let server = ctx.origin.server.as_ref().map_or("", |server| &server.name);
            let protocol = ctx.errand.as_ref().map_or(view.protocol, |errand| errand.protocol);
            headers::to_origin(request, &RequestView { protocol, ..view }, arrival, server)?;
        }
        if let Some(errand) = &ctx.errand {
            fetch::ask(errand, request)?;
        }
        as_the_route_says(session, ctx, request)?;
    }
    ctx.origin.sent = Some(Instant::now());
    Ok(())
}

/// The path, fields and cookies that route and rules want the origin to see.
fn as_the_route_says(session: &Session, ctx: &Ctx, request: &mut RequestHeader) -> Result<()> {
    let Some((plan, arrival, route)) = ctx.cause() else { return Ok(()) };
    let Some(setup) = plan.routes.get(route).map(|route| &*route.setup) else { return Ok(()) };
    let uses_cache = ctx.errand.is_some() || ctx.handoff.as_ref().is_some_and(|h| h.decision.uses_cache());
    let ruled = ctx.ruled();
    if let Some(rules) = ruled.rules.filter(|_| uses_cache) {
        headers::strip_cookies(request, rules.strip_cookies(ruled.terms))?;
    }
    if setup.rewrite.is_none() && setup.request_headers.is_empty() {
        return Ok(());
    }
    let Ok(view) = view::of(session.req_header(), arrival.scheme, arrival.client) else { return Ok(()) };
    if let Some(rewrite) = &setup.rewrite {
        headers::rewrite(request, rewrite, &view);
    }
    Edit::new(&setup.request_headers, plan, &setup.name, &view, arrival).request(request)
}

/// The head that came back, before anything is stored or sent on.
///
/// # Errors
/// One that Pingora takes for a reason to ask another server, where that is what shall happen.
pub fn response(edge: &Edge, session: &Session, ctx: &mut Ctx, response: &mut ResponseHeader) -> Result<()> {
    if response.status.is_informational() && response.status != http::StatusCode::SWITCHING_PROTOCOLS {
        ctx.continued |= response.status == http::StatusCode::CONTINUE;
        return Ok(());
    }
    let status = response.status.as_u16();
    ctx.origin.status = Some(status);
    ctx.origin.failure = None;
    ctx.origin.first_byte = ctx.origin.sent.map(|sent| sent.elapsed());
    if let (Some(cluster), Some(waited)) = (cluster(ctx), ctx.origin.first_byte) {
        edge.state.metrics.upstream_duration(cluster.name()).observe(waited.as_secs_f64());
    }
    if answered(edge, ctx, status, is_replayable(session)) {
        let mut error = Error::explain(ASK_ANOTHER, "a status that another server is asked after");
        error.set_retry(true);
        return Err(error);
    }
    headers::strip_hop_by_hop(response);
    let Some((_, arrival, _)) = ctx.cause() else { return Ok(()) };
    let Ok(view) = view::of(session.req_header(), arrival.scheme, arrival.client) else { return Ok(()) };
    match &ctx.errand {
        Some(errand) => {
            fetch::report(ctx);
            fetch::first_look(errand, &view, response);
        }
        None => {
            // Another response may have been judged before this one: it has no say in it.
            let terms = judge::terms(&ctx.decided(), &view, status, Fields::Map(&response.headers));
            passed_by(&edge.state.cache, ctx, &view, response, unix_time().as_secs());
            ctx.terms = Some(terms);
        }
    }
    Ok(())
}

/// Whether the request may be sent again: by its method (RFC 9110 §9.2.2), and because all of its body is at hand.
pub fn is_replayable(session: &Session) -> bool {
    session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated()
}

/// A response that goes past the cache may still change what the cache holds.
pub fn passed_by(cache: &Cache, ctx: &Ctx, view: &RequestView<'_>, response: &ResponseHeader, now: u64) {
    let fields = Fields::Map(&response.headers);
    let status = response.status.as_u16();
    let Some((plan, _, route)) = ctx.cause() else { return };
    // RFC 9111 §4.4
    if policy::invalidates(view.method, status) {
        forget(cache, plan, &Target::of(view), now);
        for target in policy::invalidated_targets(view, fields) {
            let (path, query) = crate::http::head::split_query(&target);
            forget(cache, plan, &Target { path, query, ..Target::of(view) }, now);
        }
    }
    let Some(CacheUse::Use(key)) = ctx.handoff.as_ref().map(|h| &h.decision.cache) else { return };
    // That it is too large shows only at its end, if it does not say its length.
    let unknown =
        ctx.outcome.stored == Some(Stored::No(NotStored::TooLarge)) && !fields.has("content-length");
    if ctx.outcome.kind == Kind::HitForMiss && !unknown {
        let terms = ctx.ruled().terms;
        let fields: Vec<_> = headers::list(response);
        let length = Fields::Map(&response.headers).content_length();
        let (requested_at, fields) = (now, &fields[..]);
        let case = Case { plan, route, terms, view, status, fields, length, requested_at, now };
        if case.judge(&Bounds::of(cache)).head.is_ok() {
            cache.heal(key, view.fields.has("authorization"));
        }
    }
}

/// What a request is called whose decision says that the cache is left out.
pub fn bypass(ctx: &Ctx) -> Option<(Kind, Reason)> {
    match &ctx.handoff.as_ref()?.decision.cache {
        CacheUse::Bypass(why) => Some((Kind::Bypass, Reason::Bypass(*why))),
        CacheUse::Use(_) => None,
    }
}
