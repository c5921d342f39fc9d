//! The client's side of the cache: what a request gets that the cache takes part in.

use super::arrival::unix_time;
use super::ctx::Ctx;
use super::fetch::{self, Errand, Report};
use super::respond::{self, Source, left};
use super::turn::{self, Led, Turn};
use super::{Edge, decide, fail, headers, passing, view};
use crate::cache::object::Object;
use crate::cache::storage::Destination;
use crate::cache::store::fill::{Failure, Fill, FillReader, Verdict};
use crate::cache::{Ask, Fetch};
use crate::http::fields::Fields;
use crate::verdict::{CacheUse, Key, Kind, MissWhy, Outcome, Reason, StaleWhy, Stored};
use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::protocols::http::subrequest::server::SubrequestHandle;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use std::sync::Arc;
use std::time::Instant;

/// Whether the client has its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It has.
    Done,
    /// It must be asked of the origin, past the cache.
    Straight,
}

/// Serves a request through the cache.
pub async fn serve(edge: &Edge, session: &mut Session, ctx: &mut Ctx) -> Result<Served> {
    let Some(key) = key(ctx) else { return Ok(Served::Straight) };
    for _ in 0..turn::ROUNDS {
        let found = ctx.handoff.as_mut().and_then(|h| h.found.take());
        let asked = ask(session, ctx, &key);
        let found = found.unwrap_or_else(|| edge.state.cache.lookup(&asked));
        let step = match turn::turn(found, &asked.directives) {
            Turn::Fetch(why, object) => miss(edge, session, ctx, &key, why, object).await?,
            Turn::Join(reader) => {
                became(ctx, Kind::Collapsed, Reason::Miss(MissWhy::Absent));
                fill(edge, session, ctx, reader).await?
            }
            Turn::Nothing(why) => {
                became(ctx, Kind::Miss, Reason::Miss(why));
                fail::answer(session.as_downstream_mut(), ctx, 504, turn::NOT_CACHED).await?;
                Step::Done
            }
            Turn::Refresh(object) => stale(edge, session, ctx, &key, object).await?,
            Turn::Serve(object, kind, reason) => {
                became(ctx, kind, reason);
                stored(edge, session, ctx, object).await?
            }
            Turn::Straight(kind, reason, stored) => {
                became(ctx, kind, reason);
                ctx.outcome.stored = stored;
                Step::Straight
            }
        };
        match step {
            Step::Done => return Ok(Served::Done),
            Step::Straight => return Ok(Served::Straight),
            Step::Again => {}
        }
    }
    Ok(Served::Straight)
}

enum Step {
    Done,
    Straight,
    Again,
}

fn key(ctx: &Ctx) -> Option<Key> {
    match &ctx.handoff.as_ref()?.decision.cache {
        CacheUse::Use(key) => Some(key.clone()),
        CacheUse::Bypass(_) => None,
    }
}

/// What the request asks of the cache, now.
fn ask<'a>(session: &'a Session, ctx: &Ctx, key: &'a Key) -> Ask<'a> {
    decide::ask(&ctx.ruled(), Fields::Map(&session.req_header().headers), key, unix_time().as_secs())
}

fn became(ctx: &mut Ctx, kind: Kind, reason: Reason) {
    ctx.outcome.kind = kind;
    ctx.outcome.reason = reason;
}

/// What is stored; `ctx.outcome` already says why.
async fn stored(edge: &Edge, session: &mut Session, ctx: &mut Ctx, object: Arc<Object>) -> Result<Step> {
    let now = unix_time().as_secs();
    respond::send(edge, session.as_downstream_mut(), ctx, Source::Stored(object), now).await?;
    Ok(Step::Done)
}

async fn fill(edge: &Edge, session: &mut Session, ctx: &mut Ctx, reader: FillReader) -> Result<Step> {
    respond::send(edge, session.as_downstream_mut(), ctx, Source::Incoming(reader), unix_time().as_secs())
        .await?;
    Ok(Step::Done)
}

/// RFC 5861 §3: what is stored at once, and a refresh that nobody waits for.
async fn stale(
    edge: &Edge,
    session: &mut Session,
    ctx: &mut Ctx,
    key: &Key,
    object: Arc<Object>,
) -> Result<Step> {
    if let Fetch::Lead(reader) = edge.state.cache.fetch(&ask(session, ctx, key), Some(object.clone())) {
        // The client is served whatever becomes of the refresh.
        drop(send_out(edge, session, ctx, reader.fill(), true));
    }
    became(ctx, Kind::Stale, Reason::Stale(StaleWhy::Revalidating));
    stored(edge, session, ctx, object).await
}

async fn miss(
    edge: &Edge,
    session: &mut Session,
    ctx: &mut Ctx,
    key: &Key,
    why: MissWhy,
    object: Option<Arc<Object>>,
) -> Result<Step> {
    match edge.state.cache.fetch(&ask(session, ctx, key), object.clone()) {
        Fetch::Ready(object) => {
            became(ctx, Kind::Collapsed, Reason::Miss(why));
            stored(edge, session, ctx, object).await
        }
        Fetch::Crowded => {
            became(ctx, Kind::Miss, Reason::Miss(why));
            Ok(Step::Straight)
        }
        Fetch::Lead(reader) => {
            became(ctx, Kind::Miss, Reason::Miss(why));
            lead(edge, session, ctx, key, reader, object).await
        }
        Fetch::Follow(reader) => {
            became(ctx, Kind::Collapsed, Reason::Miss(why));
            follow(edge, session, ctx, key, reader, object).await
        }
    }
}

/// Sends a fetch out on behalf of the request.
fn send_out(
    edge: &Edge,
    session: &mut Session,
    ctx: &Ctx,
    fill: &Arc<Fill>,
    refresh: bool,
) -> Result<(Arc<Errand>, SubrequestHandle)> {
    let (Some((plan, arrival, route)), Some(spawner)) = (ctx.cause(), session.subrequest_spawner.take())
    else {
        let failure = Failure { status: 500, why: StaleWhy::OriginUnreachable, shared: false };
        edge.state.cache.end(fill, failure);
        return Error::e_explain(ErrorType::InternalError, "a fetch without a cause");
    };
    let errand = Arc::new(Errand {
        plan: plan.clone(),
        route,
        terms: ctx.ruled().terms,
        arrival: arrival.clone(),
        destination: Destination { cache: edge.state.cache.clone(), fill: fill.clone() },
        refresh,
        protocol: view::protocol(session.req_header()),
        orphans: if refresh { edge.state.refreshes.clone() } else { edge.state.orphans.clone() },
        began: Instant::now(),
        report: Default::default(),
    });
    let handle = fetch::start(&spawner, session.as_downstream_mut(), errand.clone());
    session.subrequest_spawner = Some(spawner);
    Ok((errand, handle?))
}

/// The one who asked first: starts the fetch and then reads it like everybody else.
async fn lead(
    edge: &Edge,
    session: &mut Session,
    ctx: &mut Ctx,
    key: &Key,
    mut reader: FillReader,
    object: Option<Arc<Object>>,
) -> Result<Step> {
    let (errand, handle) = send_out(edge, session, ctx, reader.fill(), false)?;
    let verdict = tokio::select! {
        verdict = reader.verdict() => verdict,
        idle = session.as_downstream_mut().read_body_or_idle(true) => return Err(left(idle)),
    };
    turn::account(&mut ctx.outcome, verdict);
    let (status, form) = (errand.fill_status(), ctx.decided().accept_encoding());
    let led = turn::led(verdict, reader.fill(), &ask(session, ctx, key), status, form, object);
    let step = match led {
        Led::PassOn => passed_on(edge, session, ctx, &errand, handle).await,
        // What this client wants is asked for anew: nobody reads the fetch.
        Led::Straight => Ok(Step::Straight),
        led => {
            drop(handle);
            ctx.origin.status = status;
            given(edge, session, ctx, reader, led).await
        }
    };
    adopt(ctx, &errand.report.lock().clone());
    turn::correct(&mut ctx.outcome, &errand.destination.fill);
    step
}

/// What the log says of the origin comes from the fetch.
fn adopt(ctx: &mut Ctx, report: &Report) {
    ctx.origin.status = ctx.origin.status.or(report.status);
    ctx.terms = report.terms.or(ctx.terms);
    let Some(report) = report.outcome.clone() else { return };
    let Outcome { tries, failed, server, upstream, connect, first_byte, .. } = report;
    let outcome = &mut ctx.outcome;
    (outcome.tries, outcome.server, outcome.upstream) = (tries, server, upstream);
    (outcome.failed, outcome.connect, outcome.first_byte) = (failed, connect, first_byte);
}

/// One who came later: waits as long as a fetch may take, then asks for itself.
async fn follow(
    edge: &Edge,
    session: &mut Session,
    ctx: &mut Ctx,
    key: &Key,
    mut reader: FillReader,
    object: Option<Arc<Object>>,
) -> Result<Step> {
    let patience = edge.plan.load().limits.collapse_wait;
    let verdict = tokio::select! {
        verdict = tokio::time::timeout(patience, reader.verdict()) => verdict,
        idle = session.as_downstream_mut().read_body_or_idle(true) => return Err(left(idle)),
    };
    match verdict {
        Err(_) => {
            ctx.outcome.kind = Kind::Miss;
            Ok(Step::Straight)
        }
        Ok(Verdict::NotStored(why)) => {
            ctx.outcome.kind = Kind::Miss;
            ctx.outcome.stored = Some(Stored::No(why));
            Ok(Step::Straight)
        }
        // What went wrong may be the other request's own doing: ask again, and perhaps lead.
        Ok(Verdict::Failed(failure))
            if !failure.shared && !turn::covers(object.as_deref(), unix_time().as_secs()) =>
        {
            Ok(Step::Again)
        }
        Ok(verdict) => {
            let led = turn::shared(verdict, reader.fill(), &ask(session, ctx, key), object);
            given(edge, session, ctx, reader, led).await
        }
    }
}

/// What a fetch brought, for one of those who wait for it.
async fn given(
    edge: &Edge,
    session: &mut Session,
    ctx: &mut Ctx,
    reader: FillReader,
    led: Led,
) -> Result<Step> {
    match led {
        Led::Again => Ok(Step::Again),
        Led::Confirmed(object) => stored(edge, session, ctx, object).await,
        Led::Error(status) => {
            fail::answer(session.as_downstream_mut(), ctx, status, fail::origin_detail(status)).await?;
            Ok(Step::Done)
        }
        Led::Incoming => fill(edge, session, ctx, reader).await,
        Led::PassOn | Led::Straight => Ok(Step::Straight),
        Led::Stale(object, why, status) => {
            ctx.origin.status = status;
            became(ctx, Kind::Stale, Reason::Stale(why));
            stored(edge, session, ctx, object).await
        }
    }
}

/// A response that may not be stored goes to the one who asked first, as fast as it is read there.
async fn passed_on(
    edge: &Edge,
    session: &mut Session,
    ctx: &mut Ctx,
    errand: &Errand,
    mut handle: SubrequestHandle,
) -> Result<Step> {
    let s = session.as_downstream_mut();
    loop {
        let task = tokio::select! {
            task = handle.rx.recv() => task,
            idle = s.read_body_or_idle(true) => return Err(left(idle)),
        };
        match relay(edge, s, ctx, errand, task, &mut handle).await? {
            Relay::More => {}
            Relay::End => {
                s.finish_body().await?;
                return Ok(Step::Done);
            }
        }
    }
}

enum Relay {
    More,
    End,
}

async fn relay(
    edge: &Edge,
    s: &mut ServerSession,
    ctx: &mut Ctx,
    errand: &Errand,
    task: Option<HttpTask>,
    handle: &mut SubrequestHandle,
) -> Result<Relay> {
    let head_only = s.req_header().method == http::Method::HEAD;
    let end = match task {
        Some(HttpTask::Header(header, end)) if !header.status.is_informational() => {
            relay_head(edge, s, ctx, errand, *header).await?;
            if end {
                relay_body(edge, s, ctx, None, true).await?;
            }
            end || head_only
        }
        Some(HttpTask::Body(data, end) | HttpTask::UpgradedBody(data, end)) => {
            relay_body(edge, s, ctx, data, end).await?;
            end
        }
        Some(HttpTask::Done) => {
            relay_body(edge, s, ctx, None, true).await?;
            true
        }
        Some(HttpTask::Failed(error)) => return Err(error),
        // A fetch asks for no change of protocol.
        Some(HttpTask::Header(header, _)) if header.status == http::StatusCode::SWITCHING_PROTOCOLS => {
            return Err(broken(handle));
        }
        Some(_) => false,
        None => return Err(broken(handle)),
    };
    if end && s.response_written().is_none_or(|head| head.status.is_informational()) {
        return Err(broken(handle));
    }
    Ok(if end { Relay::End } else { Relay::More })
}

async fn relay_head(
    edge: &Edge,
    s: &mut ServerSession,
    ctx: &mut Ctx,
    errand: &Errand,
    mut header: ResponseHeader,
) -> Result<()> {
    adopt(ctx, &errand.report.lock().clone());
    ctx.outcome.status = header.status.as_u16();
    headers::pass(&mut header, s.req_header(), ctx)?;
    ctx.passing = passing::begin(&edge.state, ctx, s.req_header(), &mut header)?;
    s.write_response_header(Box::new(header)).await
}

async fn relay_body(
    edge: &Edge,
    s: &mut ServerSession,
    ctx: &mut Ctx,
    mut data: Option<Bytes>,
    end: bool,
) -> Result<()> {
    passing::body(&edge.state, ctx, &mut data, end)?;
    s.write_response_body(data.unwrap_or_default(), false).await
}

/// The fetch ended in the middle of a response.
fn broken(handle: &mut SubrequestHandle) -> Box<Error> {
    match handle.subreq_proxy_error.try_recv() {
        Ok(error) => error,
        Err(_) => Error::explain(ErrorType::ConnectionClosed, "the fetch ended early").into_up(),
    }
}
