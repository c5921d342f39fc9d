//! Who is at the other end of a connection: its peer, or whom a trusted load balancer names before anything else.
//!
//! On a listener with `proxy_protocol` every connection begins with a header; whether there is one is never guessed,
//! since a client could write one too (`proxy-protocol.txt` §2). What it says is believed of trusted proxies only. A
//! connection that begins otherwise is closed without a word, as HAProxy and nginx do, and so is one whose header does
//! not come in time. A connection keeps what was believed of it at its beginning, whatever a reload says later.

use super::Door;
use super::proxy_protocol::{self, Malformed, Progress, Said};
use super::refuse::{Refused, close};
use crate::edge::{Arrival, is_trusted, unix_time};
use crate::http::head::Refusal;
use crate::http::request::Scheme;
use crate::plan::Plan;
use crate::verdict;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Room for a header of version 1, and for most of version 2 (§2.2: they fit the smallest segment of TCP).
const USUAL: usize = 536;

const LATE: &str = "the PROXY header did not arrive in time";

/// The other end of a connection, for all that comes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its address.
    pub address: SocketAddr,
    /// How it connected: to us, or to a load balancer that passes the connection on.
    pub scheme: Scheme,
    /// Whether fields of its requests may be the word of a trusted proxy at all.
    pub vouches: bool,
}

/// What came before the end of a header.
enum Ended {
    /// The client left, or the server is being stopped: nobody to tell.
    Left,
    /// What is no header, and what was read of it.
    Malformed(Malformed, Vec<u8>),
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

/// Finds out who has connected. `None`: the connection is to be closed; where somebody must know, it has been told.
pub async fn identify(door: &Door, io: &mut TcpStream, peer: SocketAddr) -> Option<Caller> {
    let caller = Caller { address: peer, scheme: Scheme::Http, vouches: true };
    let plan = door.edge.plan.load_full();
    if !plan.listeners.get(door.listener).is_some_and(|listener| listener.proxy_protocol) {
        return Some(caller);
    }
    let began = Instant::now();
    let mut shutdown = door.shutdown.clone();
    let ended = tokio::select! {
        biased;
        read = tokio::time::timeout(plan.limits.head_timeout, header(io)) => read,
        _ = shutdown.wait_for(|stop| *stop) => return None,
    };
    match ended {
        Ok(Ok(said)) => Some(believe(caller, said, &plan)),
        Ok(Err(Ended::Left)) => None,
        Ok(Err(Ended::Malformed(Malformed(detail), seen))) => {
            let reason = verdict::Refused::BadRequest;
            refuse(door, peer, began, Refusal { status: 400, reason, detail }, &seen)
        }
        Err(_) => {
            let reason = verdict::Refused::HeadTimeout;
            refuse(door, peer, began, Refusal { status: 408, reason, detail: LATE }, &[])
        }
    }
}

/// The caller after what a header says of it.
fn believe(caller: Caller, said: Said, plan: &Plan) -> Caller {
    if !is_trusted(&plan.trusted_proxies, caller.address.ip()) {
        return caller;
    }
    Caller {
        address: said.source.unwrap_or(caller.address),
        scheme: if said.tls { Scheme::Https } else { caller.scheme },
        // It passes on a connection of somebody whom it does not name: what is said there are that client's words.
        vouches: said.source.is_some() || !said.relayed,
    }
}

/// Reads a header, and not a byte of what follows it: that may be TLS. Looks first and takes then, twice the calls, but
/// the end of a line cannot be known before it is seen.
async fn header(io: &mut TcpStream) -> Result<Said, Ended> {
    let mut seen = Vec::new();
    loop {
        let before = seen.len();
        seen.resize(before + USUAL, 0);
        let there = io.peek(&mut seen[before..]).await?;
        seen.truncate(before + there);
        let progress = match proxy_protocol::read(&seen) {
            _ if there == 0 => return Err(Ended::Left),
            Ok(progress) => progress,
            Err(malformed) => return Err(Ended::Malformed(malformed, seen)),
        };
        if let Progress::Whole(_, length) = progress {
            seen.truncate(length);
        }
        io.read_exact(&mut seen[before..]).await?;
        if let Progress::Whole(said, _) = progress {
            return Ok(said);
        }
    }
}

fn refuse(door: &Door, peer: SocketAddr, began: Instant, refusal: Refusal, seen: &[u8]) -> Option<Caller> {
    if let Some(held) = door.edge.state.stray_callers.pass(unix_time().as_secs()) {
        let more =
            if held > 0 { format!(" ({held} more since the last of these lines)") } else { String::new() };
        log::warn!(
            "{}: closed a connection from {}: {}{more}",
            door.name,
            peer.ip().to_canonical(),
            refusal.detail
        );
    }
    let arrival = Arrival { started: began, ..Arrival::now(door.listener, peer.ip(), Scheme::Http) };
    close(door, &Refused { arrival: &arrival, refusal, seen });
    None
}
