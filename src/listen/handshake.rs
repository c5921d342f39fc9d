//! The TLS handshake of a client: it has a deadline, is counted, and who does not speak TLS is told so.

use super::caller::Caller;
use super::deadline::Deadline;
use super::h1::{Closing, HURRY};
use super::refuse::{Refused, refuse};
use super::{Door, Socket};
use crate::edge::Arrival;
use crate::http::head::Refusal;
use crate::telemetry::Handshake;
use crate::tls::{self, Stream, Terminator};
use crate::verdict;
use std::future::{Future, poll_fn};
use std::task::Poll;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What nginx says too, so that whoever looks for it finds what to do.
const PLAIN: Refusal = Refusal {
    status: 400,
    reason: verdict::Refused::BadRequest,
    detail: "The plain HTTP request was sent to HTTPS port",
};
/// How much of such a request the log is told about.
const SEEN: usize = 1024;

/// Shakes hands. `None`: there is nobody to talk to, and everything has been said and counted.
pub async fn shake(
    door: &Door,
    io: TcpStream,
    caller: Caller,
    terminator: &Terminator,
    closing: &mut Closing,
) -> Option<Socket> {
    let mut stream = match Stream::new(io, terminator.config()) {
        Ok(stream) => Box::new(stream),
        Err(error) => {
            log::error!("{}: cannot begin a TLS handshake: {error}", door.name);
            return None;
        }
    };
    let result = match in_time(door, &mut stream, closing).await {
        Some(Ok(())) if stream.is_resumed() => Handshake::Resumed,
        Some(Ok(())) => Handshake::Full,
        // Who only looks whether somebody listens has asked for nothing.
        Some(Err(tls::Refusal::Nothing)) => return None,
        Some(Err(tls::Refusal::Plain)) => {
            door.metrics.handshake(Handshake::Failed);
            refuse_plain(door, stream.into_socket(), caller).await;
            return None;
        }
        Some(Err(tls::Refusal::Failed(error))) => {
            log::debug!("{}: TLS handshake with {}: {error}", door.name, caller.address);
            Handshake::Failed
        }
        None => Handshake::Timeout,
    };
    door.metrics.handshake(result);
    matches!(result, Handshake::Full | Handshake::Resumed).then_some(Socket::Tls(stream))
}

/// `None`: it did not end in time, or was given up because the server is being stopped.
async fn in_time(
    door: &Door,
    stream: &mut Stream,
    closing: &mut Closing,
) -> Option<Result<(), tls::Refusal>> {
    let mut deadline = Deadline::after(door.limits().handshake_timeout);
    let mut handshake = std::pin::pin!(stream.handshake());
    let mut hurried = false;
    poll_fn(|cx| {
        if let Poll::Ready(done) = handshake.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if !hurried && closing.as_mut().poll(cx).is_ready() {
            hurried = true;
            deadline.move_to(Instant::now(), HURRY);
        }
        deadline.poll_passed(cx).map(|()| None)
    })
    .await
}

async fn refuse_plain(door: &Door, io: TcpStream, caller: Caller) {
    let mut seen = [0; SEEN];
    let read = io.try_read(&mut seen).unwrap_or(0);
    let arrival = Arrival::now(door.listener, caller.address.ip(), caller.scheme);
    let seen = seen.get(..read).unwrap_or_default();
    refuse(door, &mut Socket::Plain(io), Refused { arrival: &arrival, refusal: PLAIN, seen }).await;
}
