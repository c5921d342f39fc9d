//! A request with a body where HTTP/2 is spoken: it runs as a subrequest, and how long who may be silent is watched here.
//!
//! Pingora has no deadline for the body of an HTTP/2 client, so that a client that stops sending would be taken for an
//! origin that does not answer, or be waited for without end. And it counts the time of an upload to an HTTP/2 origin
//! against its answer: one of more than a minute, or a stream on which only the client speaks, would fail.
//!
//! So such a request gets a task of its own, in which it lives as any other (`Relayed` brings it what the listener
//! decided); here bytes are carried between it and the client. If somebody is silent for too long, it is told so as if
//! the client had broken off, with the true reason beside it, and ends in its own order: page, counter, log.
//!
//! The invariant: what the client did not finish is never taken for whole. A subrequest takes the end of its channel for
//! the end of a body, so it is told or aborted before that.

use super::ctx::{Ctx, Handoff};
use super::fail::Fault;
use super::fetch;
use crate::upstream::{Failure, Protocol, Want};
use crate::verdict::{CacheUse, Refused};
use bytes::Bytes;
use parking_lot::Mutex;
use pingora::http::ResponseHeader;
use pingora::protocols::http::subrequest::server::SubrequestHandle;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::proxy::{Session, subrequest};
use pingora::{Error, ErrorSource, ErrorType, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// How long the rest of a body is waited for that was answered before it came.
const UNWANTED: Duration = Duration::from_secs(2);

/// What the client has sent too slowly.
const LATE: Fault = Fault::Client(408, "the request body did not arrive in time", Refused::BadRequest);

/// What a relayed request shares with whoever carries its bytes.
pub struct Relayed {
    handoff: Mutex<Option<Box<Handoff>>>,
    version: http::Version,
    /// Whether the client was asked for its body here.
    asked: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When a server was sent the request; `None` while there is no connection.
    sent: Option<Instant>,
    /// Why the request was given up, if that is not for the request itself to find out.
    fault: Option<Fault>,
    /// Whether the answer is not whole though it will end as if it were.
    spoiled: bool,
}

impl Relayed {
    /// The relayed request that this subrequest is, with what was decided about it. `None` for any other.
    pub fn enter(session: &mut Session, ctx: &mut Ctx) -> Option<Arc<Self>> {
        let relayed = session.subrequest_ctx.as_ref()?.user_ctx()?.downcast_ref::<Arc<Self>>().cloned()?;
        ctx.handoff = relayed.handoff.lock().take();
        ctx.want = Want::Stream;
        let s = session.as_downstream_mut();
        // Pingora looks at the framing now; behind that the head is as the client sent it.
        s.is_body_empty();
        if relayed.asked {
            s.req_header_mut().remove_header("expect");
        }
        if relayed.version == http::Version::HTTP_2 {
            let request = s.req_header_mut();
            request.set_version(relayed.version);
            request.remove_header("transfer-encoding");
        }
        Some(relayed)
    }

    /// A server is being looked for.
    pub fn looking(&self) {
        self.state.lock().sent = None;
    }

    /// A server has been sent the request.
    pub fn sent(&self) {
        self.state.lock().sent = Some(Instant::now());
    }

    /// Why the request was given up, if it was.
    pub fn fault(&self) -> Option<Fault> {
        self.state.lock().fault
    }

    /// The answer must not end as a whole one, which the request itself can no longer prevent.
    pub fn spoil(&self) {
        self.state.lock().spoiled = true;
    }

    /// Pingora's error, but for what is the origin's fault: that it sees as the client's.
    pub fn true_error(&self, error: Box<Error>) -> Box<Error> {
        match self.fault() {
            Some(Fault::Origin(_)) => {
                Error::explain(ErrorType::ReadTimedout, "neither side has said anything for too long")
                    .into_up()
            }
            _ => error,
        }
    }
}

/// Whether a request must be relayed.
pub fn is_needed(session: &mut Session, ctx: &Ctx) -> bool {
    let Some(handoff) = ctx.handoff.as_ref().filter(|_| ctx.relayed.is_none()) else { return false };
    if ctx.want != Want::Exchange || matches!(handoff.decision.cache, CacheUse::Use(_)) {
        return false;
    }
    let speaks_h2 = |ctx: &Ctx| {
        let (plan, _, route) = ctx.cause()?;
        Some(plan.cluster(route)?.settings().protocol != Protocol::H1)
    };
    let (version, to_h2) = (session.req_header().version, speaks_h2(ctx) == Some(true));
    // Pingora makes chunks of every answer of an HTTP/2 origin, whoever the client is.
    let chunkless = version <= http::Version::HTTP_10;
    let bodied = !session.as_downstream_mut().is_body_empty();
    (bodied && version == http::Version::HTTP_2) || ((bodied || chunkless) && to_h2)
}

fn is_grpc(s: &ServerSession) -> bool {
    let kind = s.req_header().headers.get("content-type").map(http::HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// Carries a request and its answer between the client and a task of its own.
pub async fn relay(session: &mut Session, ctx: &mut Ctx) -> Result<()> {
    let (Some(spawner), Some(handoff)) = (session.subrequest_spawner.take(), ctx.handoff.take()) else {
        return Error::e_explain(ErrorType::InternalError, "a request without a cause");
    };
    ctx.relays = true;
    let limits = handoff.plan.limits;
    let settings = handoff.plan.cluster(handoff.decision.route).map(|cluster| cluster.settings());
    let silence = settings.as_ref().map_or(limits.body_timeout, |settings| settings.read);
    let s = session.as_downstream_mut();
    // Here somebody else keeps the time.
    s.set_read_timeout(None);
    // A gRPC stream has turns that only its ends know.
    let body_timeout = if is_grpc(s) { silence } else { limits.body_timeout };
    let expects = s.req_header().headers.contains_key("expect");
    // RFC 9110 §10.1.1: Pingora hears no 100 of an HTTP/2 origin.
    let asked = expects && settings.is_some_and(|settings| settings.protocol != Protocol::H1);
    if asked {
        s.write_continue_response().await?;
    }
    let relayed = Arc::new(Relayed {
        version: s.req_header().version,
        asked,
        handoff: Mutex::new(Some(handoff)),
        state: Mutex::default(),
    });
    let builder = subrequest::Ctx::builder().user_ctx(Box::new(relayed.clone()));
    let user = builder.body_mode(subrequest::BodyMode::ExpectBody).build();
    let (prepared, handle) = fetch::subrequest(&spawner, s, user)?;
    let inner = Inner { handle, task: tokio::spawn(prepared.run()), told: s.is_body_done() };
    let now = Instant::now();
    let bare = s.is_body_done();
    let carrier = Carrier {
        s,
        inner,
        relayed,
        body_timeout,
        silence,
        held: None,
        body: if bare { Body::Done } else { Body::Coming },
        answer: Answer::None,
        ended: false,
        expecting: expects && !asked,
        heard: now,
        moved: now,
    };
    carrier.run().await
}

/// The task in which the request lives.
struct Inner {
    handle: SubrequestHandle,
    task: JoinHandle<()>,
    /// Whether it knows how the body ended.
    told: bool,
}

impl Inner {
    /// Ends the body as one that was broken off.
    fn break_off(&mut self) {
        self.told = true;
        let why = Error::explain(ErrorType::ConnectionClosed, "the request was given up").into_down();
        if let Err(TrySendError::Full(task)) = self.handle.tx.try_send(HttpTask::Failed(why)) {
            let tx = self.handle.tx.clone();
            tokio::spawn(async move { drop(tx.send(task).await) });
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.told {
            self.task.abort();
        }
    }
}

/// How far the request's body has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Coming,
    Done,
    /// Nobody listens any more.
    GivenUp,
}

/// How far the answer has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    None,
    Begun,
    Done,
}

struct Carrier<'s> {
    s: &'s mut ServerSession,
    inner: Inner,
    relayed: Arc<Relayed>,
    /// How long the client may be silent before there is an answer.
    body_timeout: Duration,
    /// How long both may be.
    silence: Duration,
    /// What the client sent and the request has not taken yet.
    held: Option<HttpTask>,
    body: Body,
    answer: Answer,
    /// Whether the client was sent the end of the answer before the request came to it.
    ended: bool,
    /// Whether the client waits to be asked for its body.
    expecting: bool,
    /// When the client last said something, or was last listened to again.
    heard: Instant,
    /// When anything last moved.
    moved: Instant,
}

/// Whether nothing follows.
fn is_end(task: &HttpTask) -> bool {
    matches!(task, HttpTask::Body(_, true) | HttpTask::Trailer(_) | HttpTask::Done)
}

enum Event {
    Answer(Option<HttpTask>),
    Body(Result<Option<Bytes>>),
    Late,
    Taken,
}

impl Carrier<'_> {
    async fn run(mut self) -> Result<()> {
        while self.body == Body::Coming || self.answer != Answer::Done {
            match self.next().await {
                Event::Answer(Some(task)) => self.answer(task).await?,
                Event::Answer(None) if self.answer == Answer::Done => return Ok(()),
                Event::Answer(None) => return Err(self.broken()),
                Event::Body(read) => self.read(read)?,
                Event::Late => self.late(),
                Event::Taken => {
                    (self.heard, self.moved) = (Instant::now(), Instant::now());
                }
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Event {
        let deadline = self.deadline();
        let Self { s, inner, held, body, .. } = self;
        let (tx, rx) = (&inner.handle.tx, &mut inner.handle.rx);
        tokio::select! {
            task = rx.recv() => Event::Answer(task),
            room = tx.reserve(), if held.is_some() => {
                if let (Ok(room), Some(task)) = (room, held.take()) {
                    room.send(task);
                }
                Event::Taken
            }
            read = s.read_body_or_idle(*body == Body::Done), if held.is_none() && *body != Body::GivenUp => {
                Event::Body(read)
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Event::Late,
        }
    }

    /// Whether the client may speak, and is not held up by the origin.
    fn may_hear(&self) -> bool {
        self.body == Body::Coming && self.held.is_none() && !self.expecting
    }

    /// When somebody will have been silent for too long.
    fn deadline(&self) -> Option<Instant> {
        match (self.body, self.answer) {
            (Body::GivenUp, _) => None,
            (_, Answer::Done) => Some(self.heard + UNWANTED),
            (_, Answer::None) if self.may_hear() => Some(self.heard + self.body_timeout),
            // Connecting has deadlines of its own.
            _ => Some(self.since().unwrap_or_else(Instant::now) + self.silence),
        }
    }

    /// Since when the origin and the client have been silent; `None` while no server has the request.
    fn since(&self) -> Option<Instant> {
        Some(self.moved.max(self.relayed.state.lock().sent?))
    }

    /// A deadline has passed, or what it was about has changed meanwhile.
    fn late(&mut self) {
        let silent = self.since().is_some_and(|since| since.elapsed() >= self.silence);
        match self.answer {
            Answer::Done => self.give_up(None),
            Answer::None if self.may_hear() => self.give_up(Some(LATE)),
            // Both could have spoken: an origin is not blamed for that.
            Answer::Begun if silent && self.may_hear() => self.give_up(Some(LATE)),
            _ if silent => self.give_up(Some(Fault::Origin(Failure::Timeout))),
            _ => {}
        }
    }

    /// Nothing of the client's is carried any more; the answer still is.
    fn give_up(&mut self, fault: Option<Fault>) {
        self.relayed.state.lock().fault = fault;
        self.body = Body::GivenUp;
        self.inner.break_off();
    }

    /// Something of the client's body, or that it has left.
    fn read(&mut self, read: Result<Option<Bytes>>) -> Result<()> {
        (self.heard, self.moved) = (Instant::now(), Instant::now());
        match read {
            Ok(data) if self.body == Body::Coming => {
                self.expecting = false;
                let end = data.is_none() || self.s.is_body_done();
                if end {
                    self.body = Body::Done;
                    self.inner.told = true;
                }
                self.held = Some(HttpTask::Body(data, end));
                Ok(())
            }
            Ok(_) => self.left(Error::explain(ErrorType::ConnectionClosed, "the client left")),
            Err(error) => self.left(error),
        }
    }

    /// The client left, or sent what it must not: if that can be told, it is.
    fn left(&mut self, mut error: Box<Error>) -> Result<()> {
        error.esource = ErrorSource::Downstream;
        let fault = Fault::of(&error, None);
        self.give_up(Some(fault));
        if fault == Fault::Gone { Err(error) } else { Ok(()) }
    }

    /// Something of the answer.
    async fn answer(&mut self, task: HttpTask) -> Result<()> {
        self.moved = Instant::now();
        if is_end(&task) && self.relayed.state.lock().spoiled {
            self.inner.break_off();
            return Err(Error::explain(ErrorType::InternalError, "the answer is not whole").into_in());
        }
        let task = match task {
            // The client has the end already.
            task if self.ended => {
                if is_end(&task) {
                    self.answer = Answer::Done;
                }
                return Ok(());
            }
            HttpTask::Header(header, end) => {
                let header = self.head(header);
                // gRPC's «Trailers-Only»: a subrequest forgets that the head was the end, and gRPC clients take an
                // empty DATA frame behind a status for a stream that broke.
                self.ended = !end && header.headers.contains_key("grpc-status");
                HttpTask::Header(header, end || self.ended)
            }
            HttpTask::Failed(error) => {
                self.inner.break_off();
                return Err(error);
            }
            task => task,
        };
        match self.s.response_duplex_vec(vec![task]).await {
            Ok(true) if !self.ended => self.answer = Answer::Done,
            Ok(_) => {}
            Err(error) => return self.left(error),
        }
        // Writing may have taken its time.
        (self.heard, self.moved) = (Instant::now(), Instant::now());
        if self.answer == Answer::Done {
            self.s.finish_body().await?;
        }
        Ok(())
    }

    fn head(&mut self, mut header: Box<ResponseHeader>) -> Box<ResponseHeader> {
        if header.status.is_informational() {
            self.expecting &= header.status != http::StatusCode::CONTINUE;
            return header;
        }
        self.answer = Answer::Begun;
        if self.s.req_header().version <= http::Version::HTTP_10 {
            header.remove_header("transfer-encoding");
        }
        // Nobody can tell where the next request begins if a body that was not asked for need not be sent, and few
        // clients send the rest of one that was refused.
        let refused = self.body != Body::Done && header.status.as_u16() >= 400;
        if self.expecting || refused {
            self.s.set_keepalive(None);
        }
        header
    }

    /// The request ended without an end of its answer.
    fn broken(&mut self) -> Box<Error> {
        self.inner.told = true;
        match self.inner.handle.subreq_proxy_error.try_recv() {
            Ok(error) => error,
            Err(_) => Error::explain(ErrorType::ConnectionClosed, "the request ended early").into_up(),
        }
    }
}
