//! The life of an HTTP/1 connection: reads heads, answers what the front may, hands the rest over one at a time.

use super::Door;
use super::caller::Caller;
use super::deadline::Deadline;
use super::front::{Considered, Hit, consider};
use super::gate::Gate;
use super::refuse::{Refused, refuse};
use super::wire::{self, Frame};
use crate::cache::object::Object;
use crate::edge::Arrival;
use crate::edge::ctx::Handoff;
use crate::edge::finish;
use crate::http::clean;
use crate::http::fields::Fields;
use crate::http::head::{self, Head, Refusal};
use crate::http::request::{Framing, Protocol, RequestView};
use crate::plan::Plan;
use crate::setup::Limits;
use crate::telemetry::{ConnectionProtocol, Entry};
use crate::verdict::{self, Outcome};
use bytes::BytesMut;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// How an HTTP/2 connection begins (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A head that says something else once it is written anew: nobody shall guess which it meant.
const AMBIGUOUS: Refusal =
    Refusal { status: 400, reason: verdict::Refused::BadRequest, detail: "the head is ambiguous" };

/// How long half a head, or half a handshake, is waited for once the server is being stopped.
pub const HURRY: Duration = Duration::from_secs(1);

/// The server is being stopped: one future for the whole connection, polled only while nothing comes.
pub type Closing = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// A connection between requests.
struct Connection {
    door: Arc<Door>,
    caller: Caller,
    deadline: Deadline,
    closing: Closing,
    /// Whether the server is being stopped and half a head is not waited for as usual.
    hurried: bool,
    served: u32,
}

/// What came of waiting for a head.
enum Arrived {
    /// A head may be there.
    Bytes,
    /// The client is done, or we are.
    Over,
    /// It did not come in time.
    Late,
}

/// Ready once the server is being stopped.
pub fn closing(door: &Door) -> Closing {
    let mut shutdown = door.shutdown.clone();
    let mut told = Box::pin(async move {
        let _ = shutdown.wait_for(|stop| *stop).await;
    });
    let mut is_told = false;
    // Asked again by every stage of the connection, also by those that begin once it is known.
    Box::pin(poll_fn(move |cx| {
        is_told = is_told || told.as_mut().poll(cx).is_ready();
        if is_told { Poll::Ready(()) } else { Poll::Pending }
    }))
}

/// Serves a connection to its end, or until it turns out to be HTTP/2.
pub async fn serve(
    door: Arc<Door>,
    gate: Box<Gate>,
    caller: Caller,
    closing: Closing,
) -> Option<(Box<Gate>, Closing)> {
    let mut gate = gate;
    let _counted = door.metrics.connection(ConnectionProtocol::H1);
    let deadline = Deadline::after(door.limits().head_timeout);
    let mut connection = Connection { door, caller, deadline, closing, hurried: false, served: 0 };
    loop {
        match connection.request(gate).await {
            Next::Again(back) => gate = back,
            Next::H2(gate) => return Some((gate, connection.closing)),
            Next::Close => return None,
        }
    }
}

/// What becomes of the connection.
enum Next {
    Again(Box<Gate>),
    Close,
    H2(Box<Gate>),
}

/// What is to be done with a complete head.
enum Step {
    /// Written, or as much of it as the socket took: the object and how much of head and body is left.
    Answered { rest: Vec<u8>, object: Arc<Object>, body_from: u64, told: Box<Told>, keep_alive: bool },
    /// An answer of our own, and how much of it the socket took.
    Own { whole: Vec<u8>, sent: usize, body: u64, told: Box<Told>, keep_alive: bool },
    /// For the proxy.
    Leave { head: BytesMut, handoff: Box<Handoff>, framing: Framing, upgrade: bool },
}

/// What the log needs of a request that the front answered.
struct Told {
    plan: Arc<Plan>,
    route: usize,
    arrival: Arrival,
    outcome: Outcome,
    method: &'static str,
    line: Option<Line>,
}

/// The parts of a head that the log shows, kept only where a log is written.
struct Line {
    host: String,
    uri: String,
    protocol: Protocol,
    /// A method that is not among the known ones.
    method: Option<String>,
    user_agent: Option<Vec<u8>>,
    referer: Option<Vec<u8>>,
}

impl Connection {
    /// One request.
    async fn request(&mut self, mut gate: Box<Gate>) -> Next {
        let limits = self.door.limits();
        if gate.ahead.is_empty() {
            match self.first_bytes(&mut gate, &limits).await {
                Arrived::Bytes => {}
                // Nothing was asked on a connection that was used before: no answer is owed.
                Arrived::Late if self.served == 0 => return self.late(gate).await,
                Arrived::Over | Arrived::Late => {
                    gate.io().say_end();
                    return Next::Close;
                }
            }
        }
        let mut arrival = self.arrival();
        let mut waited = false;
        loop {
            if self.served == 0 && may_be_preface(&gate.ahead) {
                if gate.ahead.len() >= PREFACE.len() {
                    return Next::H2(gate);
                }
            } else {
                match self.step(&mut gate, &mut arrival, &limits) {
                    Ok(Some(step)) => return self.carry_out(gate, step, &limits).await,
                    Ok(None) => {}
                    Err(refusal) => return self.refuse(gate, &arrival, refusal).await,
                }
            }
            // Most heads come in one piece; the clock is set for those that do not.
            if !std::mem::replace(&mut waited, true) {
                self.deadline.move_to(Instant::now(), limits.head_timeout);
            }
            match self.more(&mut gate, false).await {
                Arrived::Bytes => {}
                Arrived::Over => return Next::Close,
                Arrived::Late => return self.late(gate).await,
            }
        }
    }

    /// A request that begins now.
    fn arrival(&self) -> Arrival {
        Arrival::now(self.door.listener, self.caller.address.ip(), self.caller.scheme)
    }

    /// Waits for the first bytes of a request: here, and only here, may a server that stops hang up.
    async fn first_bytes(&mut self, gate: &mut Gate, limits: &Limits) -> Arrived {
        let patience = if self.served == 0 { limits.head_timeout } else { limits.idle_timeout };
        self.deadline.move_to(Instant::now(), patience);
        self.more(gate, true).await
    }

    async fn more(&mut self, gate: &mut Gate, between: bool) -> Arrived {
        let (deadline, closing, hurried) = (&mut self.deadline, &mut self.closing, &mut self.hurried);
        poll_fn(|cx| {
            match gate.poll_ahead(cx) {
                Poll::Ready(Ok(n)) if n > 0 => return Poll::Ready(Arrived::Bytes),
                Poll::Ready(_) => return Poll::Ready(Arrived::Over),
                Poll::Pending => {}
            }
            if !*hurried && closing.as_mut().poll(cx).is_ready() {
                if between {
                    return Poll::Ready(Arrived::Over);
                }
                *hurried = true;
                deadline.move_to(Instant::now(), HURRY);
            }
            deadline.poll_passed(cx).map(|()| Arrived::Late)
        })
        .await
    }

    /// Reads the head, if it is complete, and does with it what needs no waiting.
    fn step(
        &mut self,
        gate: &mut Gate,
        arrival: &mut Arrival,
        limits: &Limits,
    ) -> Result<Option<Step>, Refusal> {
        skip_empty_lines(&mut gate.ahead);
        let mut slots = head::slots();
        let Some(mut head) = head::read(&gate.ahead, &mut slots)? else { return Ok(None) };
        let mut clean_slots = head::slots();
        if head.odd {
            // Everything from here on, the key included, sees what the origin will see.
            let clean = clean::clean(&head);
            let (len, framing) = (head.len, head.framing);
            let rest = gate.ahead.split_off(len);
            gate.ahead = clean;
            gate.ahead.unsplit(rest);
            head = match head::read(&gate.ahead, &mut clean_slots)? {
                Some(head) if head.framing == framing => head,
                _ => return Err(AMBIGUOUS),
            };
        }
        self.served += 1;
        let keep_alive = head.keep_alive && self.served < limits.requests && !*self.door.shutdown.borrow();
        let plan = self.door.edge.plan.load_full();
        if self.caller.vouches {
            arrival.believe(&plan.trusted_proxies, Fields::Raw(head.fields));
        }
        let view = head.view(arrival.scheme, arrival.client);
        let connection = connection_field(&head, keep_alive);
        let considered = consider(&self.door.edge, plan, &view, arrival);
        let prepared = prepare(considered, &view, arrival, connection);
        let (len, framing, upgrade) = (head.len, head.framing, head.upgrade);
        Ok(Some(match prepared {
            Prepared::Hit { object, told, head_only } => {
                bytes::Buf::advance(&mut gate.ahead, len);
                answer(gate, head_only, object, told, keep_alive)
            }
            Prepared::Own { whole, body, told } => {
                bytes::Buf::advance(&mut gate.ahead, len);
                let sent = gate.io().try_write(&whole).unwrap_or(0);
                Step::Own { whole, sent, body, told, keep_alive }
            }
            Prepared::Leave(mut handoff) => {
                handoff.last = !keep_alive;
                Step::Leave { head: gate.ahead.split_to(len), handoff, framing, upgrade }
            }
        }))
    }

    async fn carry_out(&mut self, gate: Box<Gate>, step: Step, limits: &Limits) -> Next {
        match step {
            Step::Answered { rest, object, body_from, told, keep_alive } => {
                self.answered(gate, rest, object, body_from, told, keep_alive, limits).await
            }
            Step::Own { whole, sent, body, told, keep_alive } => {
                self.answered_own(gate, whole.get(sent..).unwrap_or_default(), body, told, keep_alive, limits)
                    .await
            }
            Step::Leave { head, handoff, framing, upgrade } => {
                self.hand_over(gate, head, handoff, framing, upgrade, limits).await
            }
        }
    }

    /// The rest of an answer that the socket did not take at once, and its line in the log.
    #[allow(clippy::too_many_arguments)]
    async fn answered(
        &mut self,
        mut gate: Box<Gate>,
        rest: Vec<u8>,
        object: Arc<Object>,
        mut body_from: u64,
        mut told: Box<Told>,
        keep_alive: bool,
        limits: &Limits,
    ) -> Next {
        let mut ok = rest.is_empty() || gate.io().write(&rest, limits.send_timeout).await.is_ok();
        while ok && let Some(piece) = object.body.slice(body_from, u64::MAX) {
            ok = gate.io().write(&piece, limits.send_timeout).await.is_ok();
            if ok {
                body_from += piece.len() as u64;
            }
        }
        told.outcome.bytes_out = if body_from == u64::MAX { 0 } else { body_from };
        self.ended(gate, told, ok, keep_alive, limits).await
    }

    /// The same for an answer of our own.
    async fn answered_own(
        &mut self,
        mut gate: Box<Gate>,
        rest: &[u8],
        body: u64,
        mut told: Box<Told>,
        keep_alive: bool,
        limits: &Limits,
    ) -> Next {
        let ok = rest.is_empty() || gate.io().write(rest, limits.send_timeout).await.is_ok();
        told.outcome.bytes_out = if ok { body } else { 0 };
        self.ended(gate, told, ok, keep_alive, limits).await
    }

    /// Tells the log, and what becomes of the connection.
    async fn ended(
        &mut self,
        mut gate: Box<Gate>,
        mut told: Box<Told>,
        ok: bool,
        keep_alive: bool,
        limits: &Limits,
    ) -> Next {
        let ok = ok && gate.io().flush(limits.send_timeout).await.is_ok();
        told.outcome.duration = told.arrival.started.elapsed();
        self.tell(&told);
        match (ok, keep_alive) {
            (true, true) => Next::Again(gate),
            (true, false) => {
                super::refuse::linger(gate.io(), HURRY).await;
                Next::Close
            }
            (false, _) => Next::Close,
        }
    }

    fn tell(&self, told: &Told) {
        let line = told.line.as_ref();
        let entry = Entry {
            time: told.arrival.unix_millis,
            id: told.arrival.id.as_str(),
            client: told.arrival.client,
            method: line.and_then(|l| l.method.as_deref()).unwrap_or(told.method).as_bytes(),
            scheme: told.arrival.scheme.as_str(),
            host: line.map_or(&[], |l| l.host.as_bytes()),
            uri: line.map_or(&[], |l| l.uri.as_bytes()),
            protocol: line.map_or("", |l| l.protocol.as_str()),
            listener: &self.door.name,
            route: told.plan.route_name(told.route),
            user_agent: line.and_then(|l| l.user_agent.as_deref()),
            referer: line.and_then(|l| l.referer.as_deref()),
            outcome: &told.outcome,
        };
        finish::write(&told.plan, told.route, &entry, self.door.listener);
    }

    /// Pingora gets exactly one request; the connection comes back if it can be used again.
    async fn hand_over(
        &mut self,
        mut gate: Box<Gate>,
        head: BytesMut,
        handoff: Box<Handoff>,
        framing: Framing,
        upgrade: bool,
        limits: &Limits,
    ) -> Next {
        let last = handoff.last;
        gate.open_for(framing, upgrade, limits.send_timeout);
        let mut session = ServerSession::new_http1(gate);
        session.set_pipelined_prefix(head);
        session.set_connection_user_context(Some(handoff));
        let Some(reused) = self.door.proxy.process_new_http(session, &self.door.shutdown).await else {
            return Next::Close;
        };
        let back = reused.consume().0.into_any().downcast::<Gate>().ok();
        let Some(mut gate) = back.filter(|_| !last) else { return Next::Close };
        let flushed = poll_fn(|cx| gate.poll_flush_held(cx));
        match tokio::time::timeout(limits.send_timeout, flushed).await {
            Ok(Ok(())) if gate.is_between_requests() => Next::Again(gate),
            _ => Next::Close,
        }
    }

    async fn late(&mut self, gate: Box<Gate>) -> Next {
        let arrival = self.arrival();
        let detail = "the request head did not arrive in time";
        self.refuse(gate, &arrival, Refusal { status: 408, reason: verdict::Refused::HeadTimeout, detail })
            .await
    }

    async fn refuse(&mut self, mut gate: Box<Gate>, arrival: &Arrival, refusal: Refusal) -> Next {
        let seen = std::mem::take(&mut gate.ahead);
        refuse(&self.door, gate.io(), Refused { arrival, refusal, seen: &seen }).await;
        Next::Close
    }
}

/// Whether these bytes may become the preface of HTTP/2: told from the first on, so that no head waits for more.
fn may_be_preface(bytes: &[u8]) -> bool {
    let n = bytes.len().min(PREFACE.len());
    !bytes.is_empty() && bytes[..n] == PREFACE[..n]
}

/// RFC 9112 §2.2: an empty line before a request is ignored.
fn skip_empty_lines(ahead: &mut BytesMut) {
    while ahead.starts_with(b"\r\n") {
        bytes::Buf::advance(ahead, 2);
    }
}

thread_local! {
    /// Where a thread puts an answer together; kept, so that a hit allocates nothing for it.
    static OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A body up to this size is copied behind the head: one write of one buffer is cheaper than two buffers.
const COPY: u64 = 16 * 1024;

/// What is left of a request once its head need not be looked at any more.
enum Prepared {
    /// The head of the answer is in `OUT`.
    Hit { object: Arc<Object>, told: Box<Told>, head_only: bool },
    /// The whole answer, and how much of it is body.
    Own { whole: Vec<u8>, body: u64, told: Box<Told> },
    /// For the proxy.
    Leave(Box<Handoff>),
}

/// Writes what the front answers into memory, and keeps of the request what the log needs.
fn prepare(
    considered: Considered,
    view: &RequestView<'_>,
    arrival: &Arrival,
    connection: Option<&'static str>,
) -> Prepared {
    let head_only = view.method == "HEAD";
    match considered {
        Considered::Answer(Hit { plan, route, object, outcome }) => {
            let frame = Frame { plan: &plan, route, view, arrival, connection };
            OUT.with_borrow_mut(|out| {
                out.clear();
                wire::stored(&frame, &object.head, object.body.len(), &outcome, out);
            });
            Prepared::Hit { object, told: Told::new(plan, route, view, arrival, outcome), head_only }
        }
        Considered::Own(plan, route, own, outcome) => {
            let frame = Frame { plan: &plan, route, view, arrival, connection };
            let mut whole = Vec::with_capacity(512 + own.body.len());
            wire::own(&frame, &own, &mut whole);
            let body = if head_only { &[] } else { &own.body[..] };
            whole.extend_from_slice(body);
            let body = body.len() as u64;
            Prepared::Own { whole, body, told: Told::new(plan, route, view, arrival, outcome) }
        }
        Considered::Leave(handoff) => Prepared::Leave(handoff),
    }
}

/// Writes the answer without waiting; what the socket does not take is left to [`Connection::answered`].
fn answer(gate: &mut Gate, head_only: bool, object: Arc<Object>, told: Box<Told>, keep_alive: bool) -> Step {
    OUT.with_borrow_mut(|out| {
        let head_end = out.len();
        let body = if head_only { None } else { object.body.slice(0, u64::MAX) };
        let copied = body.as_ref().is_some_and(|b| b.len() as u64 <= COPY);
        let sent = match &body {
            Some(piece) if copied => {
                out.extend_from_slice(piece);
                gate.io().try_write(out)
            }
            Some(piece) => gate.io().try_write_vectored(&[io::IoSlice::new(out), io::IoSlice::new(piece)]),
            None => gate.io().try_write(out),
        };
        // An error that is not "later" shows again at the next write.
        let sent = sent.unwrap_or(0);
        let of_body = sent.saturating_sub(head_end) as u64;
        let rest = out.get(sent..head_end).unwrap_or_default().to_vec();
        let body_from = if head_only { u64::MAX } else { of_body };
        Step::Answered { rest, object, body_from, told, keep_alive }
    })
}

/// What the Connection field says, where it must say something.
fn connection_field(head: &Head<'_, '_>, keep_alive: bool) -> Option<&'static str> {
    match (keep_alive, head.protocol) {
        (false, _) => Some("close"),
        (true, Protocol::Http10) => Some("keep-alive"),
        (true, _) => None,
    }
}

impl Told {
    fn new(
        plan: Arc<Plan>,
        route: usize,
        view: &RequestView<'_>,
        arrival: &Arrival,
        outcome: Outcome,
    ) -> Box<Self> {
        let line = plan.log.is_on().then(|| Line::of(view));
        let method = known_method(view.method);
        Box::new(Self { plan, route, arrival: arrival.clone(), outcome, method, line })
    }
}

impl Line {
    fn of(view: &RequestView<'_>) -> Self {
        let field = |name| view.fields.first(name).map(<[u8]>::to_vec);
        let query = view.query.map(|query| format!("?{query}")).unwrap_or_default();
        Self {
            host: view.host.to_owned(),
            uri: format!("{}{query}", view.path),
            protocol: view.protocol,
            method: (known_method(view.method).is_empty()).then(|| view.method.to_owned()),
            user_agent: field("user-agent"),
            referer: field("referer"),
        }
    }
}

/// The method without a copy of it, where it is one of those that a route is likely to answer.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("")
}
