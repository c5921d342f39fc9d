//! The life of an HTTP/2 connection: accepts streams, answers small hits at once, spawns the rest.

use super::Door;
use super::caller::Caller;
use super::deadline::Deadline;
use super::front::{Considered, Hit, consider};
use super::gate::Gate;
use super::h1::Closing;
use crate::edge::Arrival;
use crate::edge::{Carried, Own, fail, finish, headers, page, view};
use crate::http::fields::Fields;
use crate::http::head::Refusal;
use crate::plan::Plan;
use crate::telemetry::ConnectionProtocol;
use crate::verdict::{Kind, Outcome, Reason, Transport};
use bytes::Bytes;
use parking_lot::Mutex;
use pingora::apps::HttpServerApp;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, HttpSession, default_h2_options, handshake};
use pingora::protocols::{Digest, Stream};
use pingora::{Error, ErrorType, Result};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Malformed streams before the connection is given up.
const MALFORMED: usize = 32;
/// A hit up to this size is answered without a task of its own: it fits the window every client opens with.
const INLINE: u64 = 65_535;

/// After a GOAWAY: how long an idle client may take to close, before it is closed.
const GRACE: Duration = Duration::from_secs(1);
/// How long nothing may move on a connection whose streams are all answered, before it is taken for dead: what was
/// answered may still be on its way to a client that reads slowly.
const UNSENT: Duration = Duration::from_secs(5);

/// What the connection does next.
enum Event {
    Stream(Box<HttpSession>),
    Malformed,
    Closing,
    Over,
}

/// Streams that are being served, so that an idle connection can be told from a busy one.
#[derive(Clone, Default)]
struct Busy(Arc<AtomicUsize>);

/// When bytes last moved on a connection, as far as anybody looked.
struct Movement {
    moved: Arc<AtomicU64>,
    seen: u64,
    since: Instant,
}

impl Movement {
    /// Whether nothing has moved for a while.
    fn is_quiet(&mut self) -> bool {
        let moved = self.moved.load(Ordering::Relaxed);
        if moved != self.seen {
            (self.seen, self.since) = (moved, Instant::now());
        }
        self.since.elapsed() > UNSENT
    }
}

impl Busy {
    fn enter(&self) -> Served {
        self.0.fetch_add(1, Ordering::AcqRel);
        Served(self.0.clone())
    }

    fn is_idle(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

struct Served(Arc<AtomicUsize>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Serves a connection to its end.
pub async fn serve(door: Arc<Door>, mut gate: Box<Gate>, caller: Caller, mut closing: Closing) {
    let limits = door.limits();
    gate.open();
    let _counted = door.metrics.connection(ConnectionProtocol::H2);
    let mut movement = Movement { moved: gate.moved(), seen: 0, since: Instant::now() };
    let socket_digest = Some(gate.digest());
    let digest =
        Arc::new(Digest { ssl_digest: None, timing_digest: vec![], proxy_digest: None, socket_digest });
    let mut options = default_h2_options();
    options.max_concurrent_streams(limits.h2_streams);
    let stream: Stream = gate;
    let shaken = tokio::time::timeout(limits.head_timeout, handshake(stream, Some(options))).await;
    let Ok(Ok(mut connection)) = shaken else { return };
    let busy = Busy::default();
    let mut idle = Deadline::after(limits.h2_idle_timeout);
    let (mut malformed, mut stopping) = (0, false);
    loop {
        let event = {
            let mut accept = std::pin::pin!(HttpSession::from_h2_conn(&mut connection, digest.clone()));
            poll_fn(|cx| match accept.as_mut().poll(cx) {
                Poll::Ready(Ok(Some(H2Accept::Session(session)))) => {
                    Poll::Ready(Event::Stream(Box::new(session)))
                }
                Poll::Ready(Ok(Some(H2Accept::Rejected))) => Poll::Ready(Event::Malformed),
                Poll::Ready(_) => Poll::Ready(Event::Over),
                Poll::Pending if !stopping && closing.as_mut().poll(cx).is_ready() => {
                    Poll::Ready(Event::Closing)
                }
                Poll::Pending => {
                    while idle.poll_passed(cx).is_ready() {
                        let quiet = movement.is_quiet();
                        match (busy.is_idle(), stopping) {
                            // It was told to go away and does not.
                            (true, true) if quiet => return Poll::Ready(Event::Over),
                            (true, false) => return Poll::Ready(Event::Closing),
                            (_, true) => idle.move_to(Instant::now(), GRACE),
                            (false, false) => idle.move_to(Instant::now(), limits.h2_idle_timeout),
                        }
                    }
                    Poll::Pending
                }
            })
            .await
        };
        match event {
            Event::Stream(session) => {
                idle.move_to(Instant::now(), if stopping { GRACE } else { limits.h2_idle_timeout });
                stream_came(&door, caller, *session, &busy);
            }
            Event::Malformed if malformed < MALFORMED => malformed += 1,
            // RFC 9113 §6.8: open streams are finished, new ones refused.
            Event::Closing => {
                stopping = true;
                idle.move_to(Instant::now(), GRACE);
                connection.graceful_shutdown();
            }
            Event::Over | Event::Malformed => return,
        }
    }
}

/// One request.
fn stream_came(door: &Arc<Door>, caller: Caller, mut session: HttpSession, busy: &Busy) {
    let mut arrival = Arrival::now(door.listener, caller.address.ip(), caller.scheme);
    join_cookies(session.req_header_mut());
    let plan = door.edge.plan.load_full();
    if caller.vouches {
        arrival.believe(&plan.trusted_proxies, Fields::Map(&session.req_header().headers));
    }
    let considered = match view::of(session.req_header(), arrival.scheme, arrival.client) {
        Ok(view) => consider(&door.edge, plan, &view, &arrival),
        Err(refusal) => return refuse(door, session, &arrival, refusal),
    };
    match considered {
        Considered::Answer(hit) if hit.object.body.len() <= INLINE => {
            let _busy = busy.enter();
            let _ = inline(session, hit, &arrival);
        }
        Considered::Answer(hit) => {
            let busy = busy.enter();
            tokio::spawn(async move {
                let _busy = busy;
                let _ = large(session, hit, &arrival).await;
            });
        }
        Considered::Own(plan, route, own, outcome) => {
            let _busy = busy.enter();
            let _ = write_own(session, &plan, route, own, outcome, &arrival);
        }
        Considered::Leave(handoff) => {
            let carried = Carried(Arc::new(Mutex::new(Some(handoff))));
            session.req_header_mut().extensions_mut().insert(carried);
            let (door, busy) = (door.clone(), busy.enter());
            tokio::spawn(async move {
                let _busy = busy;
                door.proxy.process_new_http(ServerSession::new_http2(session), &door.shutdown).await;
            });
        }
    }
}

/// RFC 9113 §8.2.3: cookie crumbs are one field again for whoever does not speak HTTP/2.
fn join_cookies(request: &mut RequestHeader) {
    let crumbs: Vec<&[u8]> = request.headers.get_all("cookie").iter().map(|crumb| crumb.as_bytes()).collect();
    if crumbs.len() > 1 {
        let whole = crumbs.join(&b"; "[..]);
        let _ = request.insert_header("cookie", whole);
    }
}

/// A small hit. Its body is handed to HTTP/2 without waiting: waiting here would hold up the whole connection.
fn inline(mut session: HttpSession, hit: Hit, arrival: &Arrival) -> Result<()> {
    let header = header(session.req_header(), &hit, arrival)?;
    let Hit { plan, route, object, mut outcome } = hit;
    let body = match object.body.slice(0, u64::MAX) {
        Some(body) if session.req_header().method != http::Method::HEAD => body,
        _ => Bytes::new(),
    };
    outcome.bytes_out = body.len() as u64;
    at_once(&mut session, header, body)?;
    finish::tell(&plan, route, arrival, session.req_header(), &mut outcome);
    Ok(())
}

/// An answer of our own.
fn write_own(
    mut session: HttpSession,
    plan: &Plan,
    route: usize,
    own: Own,
    mut outcome: Outcome,
    arrival: &Arrival,
) -> Result<()> {
    let header = own.header()?;
    let body = if session.req_header().method == http::Method::HEAD { Bytes::new() } else { own.body };
    outcome.bytes_out = body.len() as u64;
    at_once(&mut session, header, body)?;
    finish::tell(plan, route, arrival, session.req_header(), &mut outcome);
    Ok(())
}

fn at_once(session: &mut HttpSession, header: ResponseHeader, body: Bytes) -> Result<()> {
    session.write_response_header(Box::new(header), body.is_empty())?;
    if !body.is_empty()
        && let Some(mut writer) = session.take_response_body_writer()
    {
        let sent = writer.send_data(body, true);
        sent.map_err(|error| Error::because(ErrorType::WriteError, "an answer over h2", error))?;
    }
    Ok(())
}

/// A hit that needs more than one window.
async fn large(mut session: HttpSession, hit: Hit, arrival: &Arrival) -> Result<()> {
    let header = header(session.req_header(), &hit, arrival)?;
    let Hit { plan, route, object, mut outcome } = hit;
    session.set_write_timeout(Some(plan.limits.send_timeout));
    let head_only = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(header), head_only)?;
    let mut result = Ok(());
    while !head_only
        && result.is_ok()
        && let Some(piece) = object.body.slice(outcome.bytes_out, u64::MAX)
    {
        let after = outcome.bytes_out + piece.len() as u64;
        result = session.write_body(piece, after == object.body.len()).await;
        if result.is_ok() {
            outcome.bytes_out = after;
        }
    }
    finish::tell(&plan, route, arrival, session.req_header(), &mut outcome);
    result
}

fn header(request: &RequestHeader, hit: &Hit, arrival: &Arrival) -> Result<ResponseHeader> {
    let object = &hit.object;
    let mut header = ResponseHeader::build_no_case(object.head.status, Some(24))?;
    for (name, value) in object.head.shared_fields() {
        header.append_header(name, value)?;
    }
    if object.head.status != 204 {
        header.insert_header("Content-Length", http::HeaderValue::from(object.body.len()))?;
    }
    let shows_age = headers::shows_age(&hit.plan, hit.route);
    headers::from_store(&mut header, &object.head, &hit.outcome, None, arrival, shows_age)?;
    headers::of_listener(&mut header, &hit.plan, arrival)?;
    headers::of_route(&mut header, request, &hit.plan, hit.route, arrival)?;
    Ok(header)
}

/// HTTP/2 let it through and we do not.
fn refuse(door: &Door, mut session: HttpSession, arrival: &Arrival, refusal: Refusal) {
    let accept = session.req_header().headers.get("accept").map(|v| v.as_bytes().to_vec());
    let page = page::page(refusal.status, refusal.detail, arrival.id.as_str(), accept.as_deref());
    let mut outcome = Outcome::new(Transport::Front, Kind::Answer, Reason::Refused(refusal.reason));
    outcome.status = refusal.status;
    outcome.bytes_out = page.body.len() as u64;
    let plan = door.edge.plan.load();
    if let Ok(header) = fail::header(refusal.status, &page, Some((&plan, arrival)))
        && session.write_response_header(Box::new(header), false).is_ok()
        && let Some(mut writer) = session.take_response_body_writer()
    {
        let _ = writer.send_data(Bytes::from(page.body), true);
    }
    finish::tell(&plan, plan.nowhere(), arrival, session.req_header(), &mut outcome);
}
