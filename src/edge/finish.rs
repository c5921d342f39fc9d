//! The end of a request: its one outcome, counted once and logged once.

use super::arrival::Arrival;
use super::ctx::Ctx;
use super::{Edge, origin, turn, view};
use crate::plan::Plan;
use crate::telemetry::Entry;
use crate::verdict::Outcome;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

/// What nginx logs for a client that left before it was answered, and what its users look for.
const CLIENT_LEFT: u16 = 499;

/// Ends a request of Pingora's transport, or a fetch.
pub fn finish(edge: &Edge, session: &Session, ctx: &mut Ctx, failed: bool) {
    if ctx.origin.in_flight.is_some() {
        if !failed {
            origin::completed(ctx);
        }
        origin::count(edge, ctx, !failed || ctx.origin.status.is_some());
    }
    if ctx.errand.is_some() {
        return finish_fetch(session, ctx);
    }
    let Some(handoff) = &ctx.handoff else { return };
    let (plan, arrival) = (handoff.plan.clone(), handoff.arrival.clone());
    let route = handoff.decision.route;
    if ctx.origin.tries > 0 {
        ctx.origin.report(&mut ctx.outcome);
        ctx.outcome.upstream = plan.cluster(route).map(|cluster| cluster.name().clone());
    }
    name_rule(ctx);
    let outcome = &mut ctx.outcome;
    let sent =
        session.response_written().filter(|head| is_final(head.status)).map(|head| head.status.as_u16());
    outcome.status = sent.unwrap_or(if ctx.gone { CLIENT_LEFT } else { outcome.status });
    outcome.bytes_in = ctx.bytes_in;
    outcome.bytes_out = session.body_bytes_sent() as u64;
    tell(&plan, route, &arrival, session.req_header(), outcome);
}

/// Whether nothing but a body follows: a change of protocol is final, though its status is a 1xx (RFC 9110 §15.2.2).
pub fn is_final(status: http::StatusCode) -> bool {
    !status.is_informational() || status == http::StatusCode::SWITCHING_PROTOCOLS
}

/// Names the rule that decided, where what was served does not.
pub fn name_rule(ctx: &mut Ctx) {
    if ctx.outcome.rule.is_none() {
        ctx.outcome.rule = ctx.ruled().name().cloned();
    }
}

/// A fetch is counted by the client that waits for it; only a refresh speaks for itself.
fn finish_fetch(session: &Session, ctx: &mut Ctx) {
    let Some(errand) = ctx.errand.clone() else { return };
    if !errand.refresh {
        return;
    }
    let mut outcome = turn::refreshed(&errand.destination.fill);
    ctx.origin.report(&mut outcome);
    outcome.upstream = errand.plan.cluster(errand.route).map(|cluster| cluster.name().clone());
    // After a 304 the errand knows more: there the merged response was judged.
    ctx.terms = errand.report.lock().terms.or(ctx.terms);
    outcome.rule = ctx.ruled().name().cloned();
    outcome.status = ctx.origin.status.unwrap_or(0);
    tell(&errand.plan, errand.route, &errand.arrival, session.req_header(), &mut outcome);
}

/// Counts and logs.
pub fn tell(plan: &Plan, route: usize, arrival: &Arrival, request: &RequestHeader, outcome: &mut Outcome) {
    outcome.duration = arrival.started.elapsed();
    // What only a line would show is looked up only for a line.
    let on = plan.log.is_on();
    let header =
        |name: &str| if on { request.headers.get(name).map(http::HeaderValue::as_bytes) } else { None };
    let read = on.then(|| view::of(request, arrival.scheme, arrival.client).ok()).flatten();
    let host = read.map_or("", |view| view.host);
    write(
        plan,
        route,
        &Entry {
            time: arrival.unix_millis,
            id: arrival.id.as_str(),
            client: arrival.client,
            method: request.method.as_str().as_bytes(),
            scheme: arrival.scheme.as_str(),
            host: host.as_bytes(),
            uri: request.raw_path(),
            protocol: view::protocol(request).as_str(),
            listener: plan.listener_name(arrival.listener),
            route: plan.route_name(route),
            user_agent: header("user-agent"),
            referer: header("referer"),
            outcome,
        },
        arrival.listener,
    );
}

/// The one place where an outcome becomes numbers and a line.
pub fn write(plan: &Plan, route: usize, entry: &Entry<'_>, listener: usize) {
    if let Some(metrics) = plan.routes.get(route).and_then(|r| r.metrics.get(listener)) {
        metrics.record(std::str::from_utf8(entry.method).unwrap_or(""), entry.outcome);
    }
    plan.log.write(entry);
}
