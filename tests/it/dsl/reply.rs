//! What an origin of a test answers: a head, pieces of a body, and places where it waits for the test.

use super::soon;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::watch;

/// A place where an origin waits until the test lets it go on.
#[derive(Clone)]
pub struct Gate(Arc<(watch::Sender<bool>, watch::Sender<usize>)>);

impl Gate {
    /// A gate that is shut.
    pub fn new() -> Self {
        Self(Arc::new((watch::channel(false).0, watch::channel(0).0)))
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.0.send_replace(true);
    }

    /// Waits until somebody stands before it.
    pub async fn arrived(&self) {
        self.arrivals(1).await;
    }

    /// Waits until so many have come to it.
    pub async fn arrivals(&self, count: usize) {
        let mut waiting = self.0.1.subscribe();
        soon(waiting.wait_for(|n| *n >= count), "the origin to come to the gate").await.unwrap();
    }

    pub(super) async fn pass(&self) {
        self.0.1.send_modify(|n| *n += 1);
        let _ = self.0.0.subscribe().wait_for(|open| *open).await;
    }
}

/// One step of a body.
#[derive(Clone)]
pub(super) enum Step {
    /// Bytes.
    Piece(Bytes),
    /// Waits for the test.
    Wait(Gate),
    /// Closes the connection.
    Cut,
}

/// How the end of a body is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    Length(Option<u64>),
    UntilClose,
}

/// What kind of answer it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An answer.
    Answer,
    /// No byte at all: the connection is closed.
    Hangup,
    /// 101, and then an echo in capitals.
    Upgrade,
}

/// A scripted answer.
#[derive(Clone)]
pub struct Reply {
    pub(super) kind: Kind,
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    pub(super) hold: Option<Gate>,
    pub(super) steps: Vec<Step>,
    pub(super) framing: Framing,
    pub(super) close: bool,
}

/// An answer with a status and no body.
pub fn reply(status: u16) -> Reply {
    let (kind, framing) = (Kind::Answer, Framing::Length(None));
    Reply { kind, status, fields: Vec::new(), hold: None, steps: Vec::new(), framing, close: false }
}

/// A 200 with a body.
pub fn ok(body: impl Into<Bytes>) -> Reply {
    reply(200).piece(body)
}

/// A 200 with a body that is fresh for a minute.
pub fn fresh(body: impl Into<Bytes>) -> Reply {
    ok(body).field("Cache-Control", "max-age=60")
}

/// Closes the connection without a word.
pub fn hangup() -> Reply {
    Reply { kind: Kind::Hangup, ..reply(0) }
}

/// Changes the protocol to one that echoes in capitals.
pub fn upgrade() -> Reply {
    Reply { kind: Kind::Upgrade, ..reply(101).field("Connection", "upgrade").field("Upgrade", "websocket") }
}

impl Reply {
    /// One more field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more piece of the body, written on its own.
    pub fn piece(mut self, data: impl Into<Bytes>) -> Self {
        self.steps.push(Step::Piece(data.into()));
        self
    }

    /// Here the body waits for the test.
    pub fn wait(mut self, gate: &Gate) -> Self {
        self.steps.push(Step::Wait(gate.clone()));
        self
    }

    /// Here the connection is closed.
    pub fn cut(mut self) -> Self {
        self.steps.push(Step::Cut);
        self
    }

    /// The head waits for the test.
    pub fn hold(mut self, gate: &Gate) -> Self {
        self.hold = Some(gate.clone());
        self
    }

    /// In chunks, one for each piece.
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// The end of the connection is the end of the body.
    pub fn until_close(mut self) -> Self {
        self.framing = Framing::UntilClose;
        self
    }

    /// A Content-Length that the pieces need not add up to.
    pub fn length(mut self, length: u64) -> Self {
        self.framing = Framing::Length(Some(length));
        self
    }

    /// The connection is closed after it.
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// The head, with the fields that frame the body.
    pub(super) fn head(&self) -> Vec<u8> {
        let reason = http::StatusCode::from_u16(self.status).unwrap().canonical_reason().unwrap_or("");
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.fields {
            head += &format!("{name}: {value}\r\n");
        }
        match self.framing {
            _ if matches!(self.status, 101 | 204 | 304) => {}
            Framing::Chunked => head += "Transfer-Encoding: chunked\r\n",
            Framing::Length(length) => {
                head += &format!("Content-Length: {}\r\n", length.unwrap_or(self.body_length()));
            }
            Framing::UntilClose => head += "Connection: close\r\n",
        }
        (head + "\r\n").into_bytes()
    }

    fn body_length(&self) -> u64 {
        let piece = |step: &Step| if let Step::Piece(data) = step { data.len() as u64 } else { 0 };
        self.steps.iter().map(piece).sum()
    }
}
