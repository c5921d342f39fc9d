//! `limits`: how much one client may take.

use crate::config::quantity::positive;
use crate::config::{Field, Fields, Kind, Need, Report, Section};
use crate::setup::Limits;

/// Bounds that keep one client from harming the others.
pub static LIMITS: Section = Section {
    name: "limits",
    doc: "Bounds that keep one client from harming the others. The defaults suit a site on the open internet.",
    fields: &[
        Field {
            name: "head_timeout",
            kind: Kind::Duration,
            need: Need::Default("10s"),
            doc: "How long the head of a request may take, from its first byte (of the first request: from the \
                  connection) to its last; then 408. Ten seconds: enough for a bad line, too short to hold connections \
                  open by the thousand.",
            example: "5s",
        },
        Field {
            name: "handshake_timeout",
            kind: Kind::Duration,
            need: Need::Default("10s"),
            doc: "How long a TLS handshake may take, from the connection on; then it is closed. As long as a head: it \
                  takes two more ways there and back, and clients with bad lines are slow in both.",
            example: "5s",
        },
        Field {
            name: "idle_timeout",
            kind: Kind::Duration,
            need: Need::Default("75s"),
            doc: "How long a connection may stay open between two requests. Longer than the 60s of most load balancers, \
                  so that they close first and never write to a closed connection.",
            example: "30s",
        },
        Field {
            name: "h2_idle_timeout",
            kind: Kind::Duration,
            need: Need::Default("60s"),
            doc: "The same for HTTP/2, with no stream open.",
            example: "30s",
        },
        Field {
            name: "body_timeout",
            kind: Kind::Duration,
            need: Need::Default("60s"),
            doc: "How long a client may be silent within a request body that is not answered yet; then 408. As nginx \
                  (`client_body_timeout`). For gRPC streams and WebSockets `read` of their upstream counts instead.",
            example: "20s",
        },
        Field {
            name: "send_timeout",
            kind: Kind::Duration,
            need: Need::Default("60s"),
            doc: "How long a client may take nothing of a response. As nginx.",
            example: "20s",
        },
        Field {
            name: "requests",
            kind: Kind::Integer { min: 1, max: u32::MAX as u64 },
            need: Need::Default("10000"),
            doc: "Requests on one connection, after which it is closed: what one connection gathers does not stay \
                  forever, and clients spread over servers again.",
            example: "1000",
        },
        Field {
            name: "max_body",
            kind: Kind::Size,
            need: Need::Default("100MiB"),
            doc: "The largest request body; a larger one is refused with 413. Bodies are streamed, so this protects the \
                  origin, not memory. A route may have a bound of its own.",
            example: "10MiB",
        },
        Field {
            name: "h2_streams",
            kind: Kind::Integer { min: 1, max: 10_000 },
            need: Need::Default("100"),
            doc: "Requests at once on an HTTP/2 connection: the least that RFC 9113 §6.5.2 recommends.",
            example: "250",
        },
        Field {
            name: "connections",
            kind: Kind::Integer { min: 1, max: 10_000_000 },
            need: Need::Default("100000"),
            doc: "Connections at once, over all listeners; one more is closed at once. Where the system allows fewer \
                  open files, those count.",
            example: "20000",
        },
        Field {
            name: "collapse_wait",
            kind: Kind::Duration,
            need: Need::Default("60s"),
            doc: "How long a request waits for somebody else's fetch of the same thing before it asks the origin for \
                  itself. As long as an origin may take to its first byte.",
            example: "5s",
        },
        Field {
            name: "drain",
            kind: Kind::Duration,
            need: Need::Default("30s"),
            doc: "How long answers may take to be finished after SIGTERM; then connections are cut. `0s` cuts at once.",
            example: "5m",
        },
    ],
};

/// The bounds.
pub fn compile(top: &Fields<'_>, report: &mut Report) -> Option<Limits> {
    let fields = top.section("limits", &LIMITS, report)?;
    let mut time = |key| positive(key, &fields, report);
    let (head_timeout, handshake_timeout) = (time("head_timeout"), time("handshake_timeout"));
    let idle_timeout = time("idle_timeout");
    let (h2_idle_timeout, body_timeout) = (time("h2_idle_timeout"), time("body_timeout"));
    let (send_timeout, collapse_wait) = (time("send_timeout"), time("collapse_wait"));
    Some(Limits {
        handshake_timeout: handshake_timeout?,
        head_timeout: head_timeout?,
        idle_timeout: idle_timeout?,
        h2_idle_timeout: h2_idle_timeout?,
        body_timeout: body_timeout?,
        send_timeout: send_timeout?,
        requests: fields.integer("requests", report)?,
        max_body: fields.size("max_body", report)?,
        h2_streams: fields.integer("h2_streams", report)?,
        connections: fields.integer("connections", report)?,
        collapse_wait: collapse_wait?,
        drain: fields.duration("drain", report)?,
    })
}
