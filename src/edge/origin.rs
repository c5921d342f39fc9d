//! A request on its way to an origin server: which one, what it is sent, and what its answer changes here.

use super::ctx::{Ctx, unix_time};
use super::{Edge, fetch, headers, view};
use crate::cache::policy::{self, Exchange, ResponseView};
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
    plan.routes.get(route).map(|route| &route.cluster)
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
    let tries = ctx.cause().map_or(1, |(plan, ..)| plan.limits.tries);
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
    }
    ctx.origin.sent = Some(Instant::now());
    Ok(())
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
            fetch::first_look(edge, errand, &view, response);
        }
        None => passed_by(edge, ctx, &view, response),
    }
}

/// A response that goes past the cache may still change what the cache holds.
fn passed_by(edge: &Edge, ctx: &Ctx, view: &RequestView<'_>, response: &ResponseHeader) {
    let fields = Fields::Map(&response.headers);
    let status = response.status.as_u16();
    let cache = &edge.state.cache;
    let now = unix_time().as_secs();
    // RFC 9111 §4.4
    if policy::invalidates(view.method, status) {
        cache.purge(&cache.recipe().of(view), now);
        for target in policy::invalidated_targets(view, fields) {
            let (path, query) = crate::http::head::split_query(&target);
            cache.purge(&cache.recipe().key(view.scheme, view.host, view.port, path, query), now);
        }
    }
    let Some(CacheUse::Use(key)) = ctx.handoff.as_ref().map(|h| &h.decision.cache) else { return };
    // That it is too large shows only at its end, if it does not say its length.
    let unknown =
        ctx.outcome.stored == Some(Stored::No(NotStored::TooLarge)) && !fields.has("content-length");
    if ctx.outcome.kind == Kind::HitForMiss && !unknown && is_storable(edge, view, status, fields, now) {
        cache.heal(key, view.fields.has("authorization"));
    }
}

fn is_storable(edge: &Edge, view: &RequestView<'_>, status: u16, fields: Fields<'_>, now: u64) -> bool {
    let request = RequestView { method: "GET", ..*view };
    let response = ResponseView { status, fields };
    let exchange = Exchange { request: &request, response: &response, requested_at: now, received_at: now };
    fields.content_length().is_none_or(|length| length <= edge.state.cache.max_object())
        && policy::storable(&exchange, &edge.state.cache.settings().policy).is_ok()
}

/// What a request is called whose decision says that the cache is left out.
pub fn bypass(ctx: &Ctx) -> Option<(Kind, Reason)> {
    match &ctx.handoff.as_ref()?.decision.cache {
        CacheUse::Bypass(why) => Some((Kind::Bypass, Reason::Bypass(*why))),
        CacheUse::Use(_) => None,
    }
}
