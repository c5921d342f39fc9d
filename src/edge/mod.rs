//! A request's life, top to bottom: the phases in the order in which Pingora runs them, each a comment and a call.
//!
//! `decide`, `offhand`, `turn` and `judge` say what shall happen and are pure; `serve` is the client's side of the cache,
//! `fetch` the origin's, and `arrived` what a response does to the cache; `rehearse` plays all that without a network;
//! `origin` speaks to servers; `file` answers from a folder; `respond` writes what is stored, `part` chooses how much of
//! it and `form` in which compression, `make` makes that; `passing` compresses what is not stored; `headers` and `labels`
//! edit fields; `fail` and `page` answer when something went wrong; `finish` counts and logs.
//!
//! Two kinds of requests come through here: a client's, which carries what the listener decided (`Handoff`), and a
//! fetch, a subrequest that carries an `Errand`. Invariants: nothing is decided twice; every request ends in one
//! outcome, told once; no request reaches an origin without a deadline.

mod answer;
mod arrival;
mod arrived;
pub mod ctx;
pub mod decide;
pub mod edit;
pub mod fail;
mod fetch;
pub mod file;
pub mod finish;
pub mod forget;
pub mod form;
pub mod headers;
pub mod judge;
pub mod labels;
mod make;
pub mod offhand;
mod origin;
pub mod page;
mod part;
mod passing;
pub mod rehearse;
mod relay;
mod respond;
pub mod serve;
pub mod turn;
pub mod view;

use crate::plan::Plan;
use crate::state::State;
use crate::upstream::{Failure, Want};
use crate::verdict::Action;
pub use answer::{Own, https_url, own};
use arc_swap::ArcSwap;
pub use arrival::{Arrival, is_trusted, unix_time};
use async_trait::async_trait;
use bytes::Bytes;
use ctx::{Ctx, Handoff};
pub use judge::{Bounds, Case, Judged};
use parking_lot::Mutex;
use pingora::cache::key::CacheKey;
use pingora::cache::{NoCacheReason, RespCacheable};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, RangeType, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// What every request of this node shares.
pub struct Edge {
    /// The present generation of configuration.
    pub plan: Arc<ArcSwap<Plan>>,
    /// What outlives it.
    pub state: Arc<State>,
}

/// How long the rest of a request body is waited for that was answered before it came.
const UNWANTED: Duration = Duration::from_secs(2);

/// How long a client may be silent from here on that is still sending a body, or that has changed the protocol. As long
/// as it likes while the answer goes on: the origin may wait for it, and its own silence is bounded.
fn patience(request: &RequestHeader, response: &ResponseHeader) -> Option<Duration> {
    let empty = response.headers.get("content-length").is_some_and(|length| length == "0");
    let answered =
        empty || request.method == http::Method::HEAD || matches!(response.status.as_u16(), 204 | 304);
    answered.then_some(UNWANTED)
}

/// How a handoff travels with an HTTP/2 request.
#[derive(Clone)]
pub struct Carried(pub Arc<Mutex<Option<Box<Handoff>>>>);

#[async_trait]
impl ProxyHttp for Edge {
    // Boxed: Pingora's future holds the context several times over and is copied for every request.
    type CTX = Box<Ctx>;

    fn new_ctx(&self) -> Box<Ctx> {
        Box::default()
    }

    // Modules cost every request an allocation, and what they do is done elsewhere.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    // HTTP/1: what the front found out arrives with the connection.
    fn on_connection_reuse(
        &self,
        _session: &mut Session,
        ctx: &mut Box<Ctx>,
        carried: Box<dyn Any + Send + Sync>,
    ) {
        ctx.handoff = carried.downcast::<Handoff>().ok();
    }

    // Who is this: a client, or a fetch of our own? And how long may it take?
    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Box<Ctx>) -> Result<()> {
        ctx.errand = fetch::errand(session);
        ctx.relayed = relay::Relayed::enter(session, ctx);
        if ctx.errand.is_none() && ctx.handoff.is_none() {
            let carried = session.req_header().extensions.get::<Carried>().cloned();
            ctx.handoff = carried.and_then(|carried| carried.0.lock().take());
        }
        let Some((plan, ..)) = ctx.cause() else {
            return Error::e_explain(ErrorType::InternalError, "a request that nobody decided about");
        };
        let timed = ctx.relayed.is_none();
        session.set_read_timeout(timed.then_some(plan.limits.body_timeout));
        session.set_write_timeout(timed.then_some(plan.limits.send_timeout));
        session.set_total_drain_timeout(Some(plan.limits.body_timeout));
        // Pingora ends a connection on which anything, a 100 included, was written before the body was read.
        let bodied = !matches!(session.req_header().method, http::Method::GET | http::Method::HEAD);
        if bodied && session.req_header().headers.contains_key("expect") {
            session.set_close_on_response_before_downstream_finish(false);
        }
        if ctx.handoff.as_ref().is_some_and(|handoff| handoff.last) {
            session.set_keepalive(None);
        }
        if session.as_downstream().is_upgrade_req() {
            ctx.want = Want::Upgrade;
        }
        if let Some((kind, reason)) = origin::bypass(ctx) {
            (ctx.outcome.kind, ctx.outcome.reason) = (kind, reason);
        }
        Ok(())
    }

    // A client's request may send out a fetch; a fetch sends out nothing.
    fn allow_spawning_subrequest(&self, session: &Session, _ctx: &Box<Ctx>) -> bool {
        session.subrequest_ctx.is_none()
    }

    // What needs no origin is answered here; the rest goes on.
    async fn request_filter(&self, session: &mut Session, ctx: &mut Box<Ctx>) -> Result<bool> {
        if ctx.errand.is_some() || ctx.relayed.is_some() {
            return Ok(false);
        }
        if let Some(Action::Answer(answer)) = ctx.handoff.as_ref().map(|h| h.decision.action) {
            answer::write(session.as_downstream_mut(), ctx, answer).await?;
            return Ok(true);
        }
        if ctx.handoff.as_ref().is_some_and(|h| h.decision.action == Action::Files) {
            file::serve(self, session, ctx).await?;
            return Ok(true);
        }
        if relay::is_needed(session, ctx) {
            relay::relay(session, ctx).await?;
            return Ok(true);
        }
        Ok(serve::serve(self, session, ctx).await? == serve::Served::Done)
    }

    // Only a fetch goes through Pingora's cache, and only to be taken in.
    fn request_cache_filter(&self, session: &mut Session, ctx: &mut Box<Ctx>) -> Result<()> {
        if ctx.errand.is_some() {
            session.cache.enable(&crate::cache::storage::STORAGE, None, None, None, None);
        }
        Ok(())
    }

    fn cache_key_callback(&self, _session: &Session, ctx: &mut Box<Ctx>) -> Result<CacheKey> {
        match &ctx.errand {
            Some(errand) => Ok(crate::cache::storage::key(errand.destination.clone())),
            None => Error::e_explain(ErrorType::InternalError, "a key for what is no fetch"),
        }
    }

    // Which server?
    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Box<Ctx>) -> Result<Box<HttpPeer>> {
        if let Some(relayed) = &ctx.relayed {
            relayed.looking();
        }
        origin::pick(session, ctx)
    }

    // It does not answer the door: another one?
    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Box<Ctx>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        origin::failed(self, ctx, &mut error, true);
        error
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        origin::connected(ctx, reused);
        Ok(())
    }

    // What the server is told.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        origin::request(session, ctx, request)?;
        if let Some(relayed) = &ctx.relayed {
            relayed.sent();
        }
        Ok(())
    }

    // The request body, counted.
    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        ctx.bytes_in += body.as_ref().map_or(0, |b| b.len() as u64);
        match ctx.cause() {
            // What comes after a change of protocol is no body.
            Some((plan, _, route)) if ctx.want != Want::Upgrade && ctx.bytes_in > plan.max_body(route) => {
                Err(Error::new_down(fail::BODY_TOO_LARGE))
            }
            _ => Ok(()),
        }
    }

    // It broke off half-way: once more?
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Box<Ctx>,
        _reused: bool,
    ) -> Box<Error> {
        if let Some(relayed) = &ctx.relayed {
            error = relayed.true_error(error);
        } else if fail::is_the_clients_turn(session.as_downstream_mut(), ctx, &error) {
            error = Error::explain(ErrorType::ReadTimedout, "the rest of the request body").into_down();
        }
        let repeatable = Failure::is_untouched(&error) && !session.as_ref().retry_buffer_truncated();
        // Nobody watches over a request any more that was given up.
        let given_up = ctx.relayed.as_ref().is_some_and(|relayed| relayed.fault().is_some());
        let replayable = !given_up && (repeatable || origin::is_replayable(session));
        origin::failed(self, ctx, &mut error, replayable);
        error
    }

    // What came back, before it is stored.
    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        origin::response(self, session, ctx, response)
    }

    // May it be stored? Asked only in a fetch.
    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Box<Ctx>,
    ) -> Result<RespCacheable> {
        let (Some(errand), Some((_, arrival, _))) = (ctx.errand.clone(), ctx.cause()) else {
            return Ok(RespCacheable::Uncacheable(NoCacheReason::NeverEnabled));
        };
        match view::of(session.req_header(), arrival.scheme, arrival.client) {
            Ok(view) => fetch::judge(ctx, &errand, &view, response),
            Err(_) => Ok(RespCacheable::Uncacheable(NoCacheReason::InternalError)),
        }
    }

    // Conditions and ranges of what is stored are ours (`part`); of a fetch nobody reads a part.
    fn cache_not_modified_filter(&self, _: &Session, _: &ResponseHeader, _: &mut Box<Ctx>) -> Result<bool> {
        Ok(false)
    }

    fn range_header_filter(&self, _: &mut Session, _: &mut ResponseHeader, _: &mut Box<Ctx>) -> RangeType {
        RangeType::None
    }

    // What goes past the cache is marked on its way to the client, and compressed if that is worth it.
    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        let timed = ctx.errand.is_none() && ctx.relayed.is_none();
        if timed && finish::is_final(response.status) {
            let patience = patience(session.req_header(), response);
            session.set_read_timeout(patience);
        }
        if ctx.errand.is_some() || response.status.is_informational() {
            return Ok(());
        }
        // RFC 9110 §10.1.1: answered without asking for the body, which the client may now send or not: nobody can tell
        // where the next request begins.
        let unasked = ctx.bytes_in == 0 && !ctx.continued;
        if unasked && session.req_header().headers.contains_key("expect") {
            session.set_keepalive(None);
        }
        headers::pass(response, session.req_header(), ctx)?;
        ctx.passing = passing::begin(&self.state, ctx, session.req_header(), response)?;
        Ok(())
    }

    // The answer is complete: what is left of the request body is not waited for as long as before.
    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Box<Ctx>,
    ) -> Result<Option<Duration>> {
        if end && ctx.relayed.is_none() {
            session.set_read_timeout(Some(UNWANTED));
        }
        passing::body(&self.state, ctx, body, end)?;
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        session: &mut Session,
        _trailers: &mut http::HeaderMap,
        ctx: &mut Box<Ctx>,
    ) -> Result<Option<Bytes>> {
        passing::trailers(&self.state, session.as_downstream_mut(), ctx).await
    }

    // It went wrong for good.
    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Box<Ctx>) -> FailToProxy {
        let error_code = match ctx.errand.clone() {
            Some(errand) => fetch::failed(&errand, ctx, error),
            None => fail::error(session.as_downstream_mut(), ctx, error).await,
        };
        ctx.gone = error_code == 0;
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    // Told once, at the end.
    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Box<Ctx>) {
        finish::finish(self, session, ctx, error.is_some());
    }

    // The access log says what went wrong; Pingora's own lines would repeat it, for fetches several times.
    fn suppress_error_log(&self, _session: &Session, ctx: &Box<Ctx>, _error: &Error) -> bool {
        ctx.errand.is_some() || ctx.gone || ctx.relays
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Box<Ctx>, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}
