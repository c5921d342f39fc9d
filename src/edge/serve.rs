//! The client's side of the cache: what a request gets that the cache takes part in.

use super::ctx::{Ctx, unix_time};
use super::fetch::{self, Errand, Report};
use super::respond::{self, Source, left};
use super::{Edge, fail, headers, view};
use crate::cache::object::Object;
use crate::cache::policy;
use crate::cache::storage::Destination;
use crate::cache::store::fill::{Failure, Fill, FillReader, Verdict};
use crate::cache::{Ask, Fetch, Found, may_share};
use crate::http::fields::Fields;
use crate::verdict::{
    BypassWhy, CacheUse, Key, Kind, MissWhy, NotStored, Outcome, Reason, StaleWhy, Stored, Transport,
};
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

/// How often a client that waited in vain for somebody else's variant asks again.
const ROUNDS: usize = 3;

/// Serves a request through the cache.
pub async fn serve(edge: &Edge, session: &mut Session, ctx: &mut Ctx) -> Result<Served> {
    let Some(key) = key(ctx) else { return Ok(Served::Straight) };
    for _ in 0..ROUNDS {
        let now = unix_time().as_secs();
        let found = match ctx.handoff.as_mut().and_then(|h| h.found.take()) {
            Some(found) => found,
            None => edge.state.cache.lookup(&ask_of(Fields::Map(&session.req_header().headers), &key, now)),
        };
        let step = match found {
            Found::Hit(object) => object_as(session, ctx, object, Kind::Hit, Reason::None, now).await?,
            Found::Filling(reader) => {
                became(ctx, Kind::Collapsed, Reason::Miss(MissWhy::Absent));
                fill(session, ctx, reader).await?
            }
            Found::Stale(object, why) => stale(edge, session, ctx, &key, object, why).await?,
            Found::Forbidden => {
                became(ctx, Kind::Bypass, Reason::Bypass(BypassWhy::Authorization));
                Step::Straight
            }
            Found::HitForMiss(why) => {
                became(ctx, Kind::HitForMiss, Reason::Miss(MissWhy::Absent));
                ctx.outcome.stored = Some(Stored::No(why));
                Step::Straight
            }
            Found::Miss(why, object) => miss(edge, session, ctx, &key, why, object).await?,
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
fn ask<'a>(session: &'a Session, key: &'a Key) -> Ask<'a> {
    ask_of(Fields::Map(&session.req_header().headers), key, unix_time().as_secs())
}

/// What a request with these fields asks of the cache at a time, in seconds since 1970.
pub fn ask_of<'a>(fields: Fields<'a>, key: &'a Key, now: u64) -> Ask<'a> {
    Ask {
        key,
        fields,
        directives: policy::request_directives(fields),
        with_credentials: fields.has("authorization"),
        now,
    }
}

fn became(ctx: &mut Ctx, kind: Kind, reason: Reason) {
    ctx.outcome.kind = kind;
    ctx.outcome.reason = reason;
}

async fn object_as(
    session: &mut Session,
    ctx: &mut Ctx,
    object: Arc<Object>,
    kind: Kind,
    reason: Reason,
    now: u64,
) -> Result<Step> {
    became(ctx, kind, reason);
    respond::send(session.as_downstream_mut(), ctx, Source::Stored(object), now).await?;
    Ok(Step::Done)
}

async fn fill(session: &mut Session, ctx: &mut Ctx, reader: FillReader) -> Result<Step> {
    respond::send(session.as_downstream_mut(), ctx, Source::Incoming(reader), unix_time().as_secs()).await?;
    Ok(Step::Done)
}

/// RFC 5861 §3: what is stored at once, and a refresh that nobody waits for.
async fn stale(
    edge: &Edge,
    session: &mut Session,
    ctx: &mut Ctx,
    key: &Key,
    object: Arc<Object>,
    why: StaleWhy,
) -> Result<Step> {
    if why == StaleWhy::Revalidating
        && let Fetch::Lead(reader) = edge.state.cache.fetch(&ask(session, key), Some(object.clone()))
    {
        // The client is served whatever becomes of the refresh.
        drop(send_out(edge, session, ctx, reader.fill(), true));
    }
    object_as(session, ctx, object, Kind::Stale, Reason::Stale(why), unix_time().as_secs()).await
}

async fn miss(
    edge: &Edge,
    session: &mut Session,
    ctx: &mut Ctx,
    key: &Key,
    why: MissWhy,
    object: Option<Arc<Object>>,
) -> Result<Step> {
    let asked = ask(session, key);
    if asked.directives.only_if_cached {
        // RFC 9111 §5.2.1.7
        became(ctx, Kind::Miss, Reason::Miss(why));
        fail::answer(
            session.as_downstream_mut(),
            ctx,
            504,
            "not in the cache, and the request asks for nothing else",
        )
        .await?;
        return Ok(Step::Done);
    }
    match edge.state.cache.fetch(&asked, object.clone()) {
        Fetch::Ready(object) => {
            object_as(session, ctx, object, Kind::Collapsed, Reason::Miss(why), unix_time().as_secs()).await
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
    if verdict == Verdict::Storing {
        ctx.outcome.stored = Some(Stored::Yes);
    }
    let step = match verdict {
        Verdict::NotStored(why) => {
            ctx.outcome.stored = Some(Stored::No(why));
            passed_on(session, ctx, &errand, handle).await
        }
        _ => {
            drop(handle);
            told(session, ctx, key, reader, verdict, object, &errand).await
        }
    };
    adopt(ctx, &errand.report.lock().clone());
    if let Some(why) = errand.destination.fill.lost().filter(|_| verdict == Verdict::Storing) {
        ctx.outcome.stored = Some(Stored::No(why));
    }
    step
}

/// What the log says of the origin comes from the fetch.
fn adopt(ctx: &mut Ctx, report: &Report) {
    ctx.origin.status = ctx.origin.status.or(report.status);
    let Some(Outcome { tries, server, upstream, connect, first_byte, .. }) = report.outcome.clone() else {
        return;
    };
    let outcome = &mut ctx.outcome;
    (outcome.tries, outcome.server, outcome.upstream) = (tries, server, upstream);
    (outcome.connect, outcome.first_byte) = (connect, first_byte);
}

async fn told(
    session: &mut Session,
    ctx: &mut Ctx,
    key: &Key,
    reader: FillReader,
    verdict: Verdict,
    object: Option<Arc<Object>>,
    errand: &Errand,
) -> Result<Step> {
    if verdict == Verdict::Revalidated {
        ctx.outcome.kind = Kind::Revalidated;
        ctx.outcome.stored = Some(Stored::Yes);
    }
    ctx.origin.status = errand.report.lock().status;
    shared(session, ctx, key, reader, verdict, object).await
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
        Ok(Verdict::Failed(failure)) if !failure.shared && !covers(object.as_deref()) => Ok(Step::Again),
        Ok(verdict) => shared(session, ctx, key, reader, verdict, object).await,
    }
}

/// What a fetch brought, for one of those who wait for it.
async fn shared(
    session: &mut Session,
    ctx: &mut Ctx,
    key: &Key,
    reader: FillReader,
    verdict: Verdict,
    object: Option<Arc<Object>>,
) -> Result<Step> {
    if let Verdict::Failed(failure) = verdict {
        return failed(session, ctx, failure, object).await;
    }
    if !may_share(reader.fill(), &ask(session, key)) {
        return Ok(Step::Again);
    }
    match reader.fill().resolved().cloned() {
        Some(object) if verdict == Verdict::Revalidated => {
            let (kind, reason) = (ctx.outcome.kind, ctx.outcome.reason);
            object_as(session, ctx, object, kind, reason, unix_time().as_secs()).await
        }
        _ => fill(session, ctx, reader).await,
    }
}

/// Whether something stale may stand in for a failed origin.
fn covers(object: Option<&Object>) -> bool {
    object.is_some_and(|o| policy::may_serve_on_error(&o.head.times, unix_time().as_secs()))
}

/// The origin failed: something stale if policy allows (RFC 5861 §4), an error page otherwise.
async fn failed(
    session: &mut Session,
    ctx: &mut Ctx,
    failure: Failure,
    object: Option<Arc<Object>>,
) -> Result<Step> {
    let now = unix_time().as_secs();
    if let Some(object) = object.filter(|o| policy::may_serve_on_error(&o.head.times, now)) {
        ctx.origin.status = (failure.why == StaleWhy::Origin5xx).then_some(failure.status);
        return object_as(session, ctx, object, Kind::Stale, Reason::Stale(failure.why), now).await;
    }
    fail::answer(session.as_downstream_mut(), ctx, failure.status, fail::origin_detail(failure.status))
        .await?;
    Ok(Step::Done)
}

/// A response that may not be stored goes to the one who asked first, as fast as it is read there.
async fn passed_on(
    session: &mut Session,
    ctx: &mut Ctx,
    errand: &Errand,
    mut handle: SubrequestHandle,
) -> Result<Step> {
    let confirming = errand.fill_status() == Some(304);
    if confirming || wants_part(session) {
        // The fetch asked for the whole and without conditions: ask again, for what this client wants.
        return Ok(Step::Straight);
    }
    let s = session.as_downstream_mut();
    loop {
        let task = tokio::select! {
            task = handle.rx.recv() => task,
            idle = s.read_body_or_idle(true) => return Err(left(idle)),
        };
        match relay(s, ctx, errand, task, &mut handle).await? {
            Relay::More => {}
            Relay::End => {
                s.finish_body().await?;
                return Ok(Step::Done);
            }
        }
    }
}

fn wants_part(session: &Session) -> bool {
    let headers = &session.req_header().headers;
    ["range", "if-none-match", "if-modified-since", "if-match", "if-unmodified-since"]
        .iter()
        .any(|name| headers.contains_key(*name))
}

enum Relay {
    More,
    End,
}

async fn relay(
    s: &mut ServerSession,
    ctx: &mut Ctx,
    errand: &Errand,
    task: Option<HttpTask>,
    handle: &mut SubrequestHandle,
) -> Result<Relay> {
    let head_only = s.req_header().method == http::Method::HEAD;
    let end = match task {
        Some(HttpTask::Header(header, end)) if !header.status.is_informational() => {
            relay_head(s, ctx, errand, *header).await?;
            end || head_only
        }
        Some(HttpTask::Body(data, end) | HttpTask::UpgradedBody(data, end)) => {
            s.write_response_body(data.unwrap_or_default(), false).await?;
            end
        }
        Some(HttpTask::Done) => true,
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
    s: &mut ServerSession,
    ctx: &mut Ctx,
    errand: &Errand,
    mut header: ResponseHeader,
) -> Result<()> {
    adopt(ctx, &errand.report.lock().clone());
    ctx.outcome.status = header.status.as_u16();
    headers::pass(&mut header, s.req_header(), ctx)?;
    s.write_response_header(Box::new(header)).await
}

/// The fetch ended in the middle of a response.
fn broken(handle: &mut SubrequestHandle) -> Box<Error> {
    match handle.subreq_proxy_error.try_recv() {
        Ok(error) => error,
        Err(_) => Error::explain(ErrorType::ConnectionClosed, "the fetch ended early").into_up(),
    }
}

/// A fetch that nobody waits for is logged under its own name.
pub fn refresh_outcome(errand: &Errand) -> Outcome {
    let mut outcome = Outcome::new(Transport::Refresh, Kind::Miss, Reason::Miss(MissWhy::Expired));
    match errand.destination.fill.progress().verdict {
        Verdict::Storing => {
            outcome.stored = Some(errand.destination.fill.lost().map_or(Stored::Yes, Stored::No))
        }
        Verdict::Revalidated => (outcome.kind, outcome.stored) = (Kind::Revalidated, Some(Stored::Yes)),
        Verdict::NotStored(why) => outcome.stored = Some(Stored::No(why)),
        Verdict::Failed(failure) => outcome.reason = Reason::Stale(failure.why),
        Verdict::Pending => outcome.stored = Some(Stored::No(NotStored::Incomplete)),
    }
    outcome
}
