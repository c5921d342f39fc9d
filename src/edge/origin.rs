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
use std::time::Instant;

/// Tries on connections that an origin had closed while they were idle; each is answered by a new connection soon.
const STALE_CONNECTIONS: u32 = 3;

fn cluster(ctx: &Ctx) -> Option<&Arc<Cluster>> {
    let (plan, _, route) = ctx.cause()?;
    plan.cluster(route)
}

/// Picks a server for the next try.
pub fn pick(ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
    let Some(cluster) = cluster(ctx).cloned() else {
        return Error::e_explain(ErrorType::InternalError, "a request without a route");
    };
    let Some(server) = cluster.pick(&ctx.origin.tried) else {
        ctx.origin.failure = ctx.origin.failure.or(Some(Failure::NoServer));
        return Error::e_explain(ErrorType::ConnectNoRoute, "no server is left to try");
    };
    let peer = cluster.peer(&server);
    let origin = &mut ctx.origin;
    origin.tries += 1;
    origin.began = Some(Instant::now());
    origin.in_flight = Some(server.enter());
    (origin.sent, origin.status, origin.reused) = (None, None, false);
    origin.server = Some(server);
    Ok(peer)
}

/// A connection stands.
pub fn connected(ctx: &mut Ctx, reused: bool) {
    let origin = &mut ctx.origin;
    origin.reused = reused;
    origin.connect = if reused { None } else { origin.began.map(|began| began.elapsed()) };
}

/// A try failed: says whether there is another, and counts it.
pub fn failed(edge: &Edge, ctx: &mut Ctx, error: &mut Error, replayable: bool) {
    let Some(failure) = Failure::of(error, ctx.origin.phase()) else {
        error.set_retry(false);
        return;
    };
    ctx.origin.failure = Some(failure);
    complain(edge, ctx, failure, error);
    count(edge, ctx, false);
    let tries = cluster(ctx).map_or(1, |cluster| cluster.settings().tries as u32);
    let reused = ctx.origin.reused;
    let again = match failure.retry(Try { reused, replayable }) {
        Retry::Elsewhere => {
            ctx.origin.tried.extend(ctx.origin.server.as_ref().map(|server| server.address));
            ctx.origin.tries < tries
        }
        Retry::Anywhere => ctx.origin.tries < tries + STALE_CONNECTIONS,
        Retry::No => false,
    };
    error.set_retry(again);
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
pub fn response(edge: &Edge, session: &Session, ctx: &mut Ctx, response: &mut ResponseHeader) {
    if response.status.is_informational() && response.status != http::StatusCode::SWITCHING_PROTOCOLS {
        ctx.continued |= response.status == http::StatusCode::CONTINUE;
        return;
    }
    let status = response.status.as_u16();
    ctx.origin.status = Some(status);
    ctx.origin.failure = None;
    ctx.origin.first_byte = ctx.origin.sent.map(|sent| sent.elapsed());
    if let (Some(cluster), Some(waited)) = (cluster(ctx), ctx.origin.first_byte) {
        edge.state.metrics.upstream_duration(cluster.name()).observe(waited.as_secs_f64());
    }
    headers::strip_hop_by_hop(response);
    let Some((_, arrival, _)) = ctx.cause() else { return };
    let Ok(view) = view::of(session.req_header(), arrival.scheme, arrival.client) else { return };
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
