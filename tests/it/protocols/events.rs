//! Server-sent events: each reaches its client before the next is sent, and a client that leaves is not served on.

use crate::dsl::*;
use foreland::upstream::Protocol;

/// How an origin frames a body without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    H2,
    UntilClose,
}

const FRAMINGS: [Framing; 3] = [Framing::Chunked, Framing::H2, Framing::UntilClose];

/// An origin that sends events.
enum Source {
    H1(Raw, Framing),
    H2(Box<Call>),
}

impl Source {
    async fn answer(backend: &mut Backend, framing: Framing, caching: &str) -> Self {
        let fields = [("content-type", "text/event-stream"), ("cache-control", caching)];
        if framing == Framing::H2 {
            let mut call = backend.call().await;
            call.answer(200, &fields, false);
            return Self::H2(Box::new(call));
        }
        let mut raw = backend.connection().await;
        raw.head().await;
        let fields = fields.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
        let coding = if framing == Framing::Chunked { "Transfer-Encoding: chunked\r\n" } else { "" };
        raw.write(format!("HTTP/1.1 200 OK\r\n{fields}{coding}\r\n")).await;
        Self::H1(raw, framing)
    }

    async fn send(&mut self, event: &str) {
        match self {
            Self::H1(raw, Framing::Chunked) => raw.write(format!("{:x}\r\n{event}\r\n", event.len())).await,
            Self::H1(raw, _) => raw.write(event).await,
            Self::H2(call) => call.send(event.to_owned(), false),
        }
    }

    /// Waits until the client is gone, telling it of the time until then.
    async fn left(&mut self) {
        match self {
            Self::H1(raw, _) => drop(raw.closed().await),
            Self::H2(call) => drop(call.given_up().await),
        }
    }
}

async fn start(framing: Framing, mode: Mode) -> (Backend, Edge) {
    let backend = if framing == Framing::H2 { Backend::h2().await } else { Backend::h1().await };
    let protocol = if framing == Framing::H2 { Protocol::H2 } else { Protocol::H1 };
    let edge =
        Edge::before(mode, &backend.address.to_string(), |settings| settings.protocol = protocol).await;
    (backend, edge)
}

in_every_mode! {
    async fn every_event_arrives_before_the_next_is_sent(mode) {
        for framing in FRAMINGS {
            for caching in ["no-cache", "no-store", "max-age=60"] {
                let (mut backend, edge) = start(framing, mode).await;
                // First by a fetch of the cache, then past it.
                for path in ["/events", if caching == "max-age=60" { "/others" } else { "/events" }] {
                    let asking = async { edge.begin(get(path)).await };
                    let answering = Source::answer(&mut backend, framing, caching);
                    // The head comes before the first event: a browser fires `open` then.
                    let (mut incoming, mut source) = tokio::join!(asking, answering);
                    for number in 0..3 {
                        let event = format!("data: {number}\n\n");
                        source.send(&event).await;
                        let length = incoming.body.len() + event.len();
                        let body = incoming.read_to(length).await;
                        assert!(body.ends_with(event.as_bytes()), "{framing:?} {caching}");
                    }
                    incoming.leave();
                }
            }
        }
    }

    async fn a_client_that_leaves_is_not_served_on(mode) {
        for framing in FRAMINGS {
            for caching in ["no-cache", "no-store"] {
                let (mut backend, edge) = start(framing, mode).await;
                for _ in 0..2 {
                    let client = edge.another_client();
                    let ask = get("/events");
                    let answering = Source::answer(&mut backend, framing, caching);
                    let (incoming, mut source) = tokio::join!(client.begin(&ask), answering);
                    incoming.leave();
                    drop(client);
                    source.left().await;
                }
            }
        }
    }
}
