//! Turns away what is not HTTP as RFC 9112 has it: with a page, a line in the log and a count, like any answer.

use super::{Door, Socket};
use crate::edge::headers::HSTS;
use crate::edge::{Arrival, finish, page};
use crate::http::date;
use crate::http::head::Refusal;
use crate::http::request::Scheme;
use crate::telemetry::Entry;
use crate::verdict::{Kind, Outcome, Reason, Transport};
use http::HeaderValue;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// How long a client that is turned away may take to read why.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request that is turned away.
pub struct Refused<'a> {
    /// When and from whom it came.
    pub arrival: &'a Arrival,
    /// Why.
    pub refusal: Refusal,
    /// What was read of it.
    pub seen: &'a [u8],
}

/// Answers, counts and logs. The connection is of no more use.
pub async fn refuse(door: &Door, io: &mut Socket, refused: Refused<'_>) {
    let Refused { arrival, refusal, .. } = refused;
    let page = page::page(refusal.status, refusal.detail, arrival.id.as_str(), None);
    let plan = door.edge.plan.load_full();
    // RFC 6797 §7.2: not to who spoke in the clear where TLS was wanted.
    let hsts = plan.hsts(door.listener, Scheme::Https).filter(|_| matches!(io, Socket::Tls(_)));
    let head = head(refusal.status, page.content_type, page.body.len(), hsts, arrival);
    let whole = [head.as_bytes(), page.body.as_bytes()].concat();
    let sent = tokio::time::timeout(PATIENCE, io.write_all(&whole)).await;
    let bytes_out = if matches!(sent, Ok(Ok(()))) { page.body.len() as u64 } else { 0 };
    log(door, &refused, bytes_out);
    linger(io, PATIENCE).await;
}

/// Counts and logs a connection that is closed without an answer.
pub fn close(door: &Door, refused: &Refused<'_>) {
    log(door, refused, 0);
}

/// RFC 9112 §9.6: closing with unread bytes resets the connection and may take the answer with it, so the client gets
/// a moment to read it and to close first.
pub async fn linger(io: &mut Socket, patience: Duration) {
    let reading = async {
        io.shutdown().await?;
        // Not within this future: every connection has room for it, and few ever come here.
        let mut rest = vec![0; 4096];
        for _ in 0..64 {
            if tokio::io::AsyncReadExt::read(io, &mut rest).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(patience, reading).await;
}

fn head(
    status: u16,
    content_type: &str,
    length: usize,
    hsts: Option<&HeaderValue>,
    arrival: &Arrival,
) -> String {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
    let date = date::format(arrival.unix_millis / 1000);
    let retry = if status == 503 { format!("Retry-After: {}\r\n", page::RETRY_AFTER) } else { String::new() };
    let hsts = hsts.and_then(|hsts| hsts.to_str().ok());
    let hsts = hsts.map_or(String::new(), |hsts| format!("{HSTS}: {hsts}\r\n"));
    format!(
        "HTTP/1.1 {status} {reason}\r\nDate: {}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\n{retry}{hsts}X-Request-Id: {}\r\nConnection: close\r\n\r\n",
        String::from_utf8_lossy(&date),
        arrival.id.as_str(),
    )
}

fn log(door: &Door, refused: &Refused<'_>, bytes_out: u64) {
    let Refused { arrival, refusal, seen } = refused;
    let mut outcome = Outcome::new(Transport::Front, Kind::Answer, Reason::Refused(refusal.reason));
    (outcome.status, outcome.bytes_out) = (refusal.status, bytes_out);
    outcome.duration = arrival.started.elapsed();
    let plan = door.edge.plan.load();
    let (method, uri) = request_line(seen);
    let entry = Entry {
        time: arrival.unix_millis,
        id: arrival.id.as_str(),
        client: arrival.client,
        method,
        scheme: arrival.scheme.as_str(),
        host: b"",
        uri,
        protocol: "",
        listener: &door.name,
        route: "",
        user_agent: None,
        referer: None,
        outcome: &outcome,
    };
    finish::write(&plan, plan.nowhere(), &entry, door.listener);
}

/// The first words of what may not have been a request line at all: for the log, cut to a readable length.
fn request_line(seen: &[u8]) -> (&[u8], &[u8]) {
    let line = seen.split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default();
    let mut words = line.split(|b| *b == b' ');
    let method = words.next().filter(|m| !m.is_empty() && m.len() <= 32 && m.is_ascii());
    let uri = words.next().unwrap_or_default();
    (method.unwrap_or_default(), &uri[..uri.len().min(256)])
}
