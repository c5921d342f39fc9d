//! A client that asks over either protocol and may read its answer piece by piece, slowly, or not at all.

use super::answer::{Answer, Head};
use super::ask::Ask;
use super::h1::{Left, Part, Wire};
use super::tls::{self, Site, trusting};
use super::{HOST, Mode, Protocol, soon};
use bytes::Bytes;
use h2::client::SendRequest;
use parking_lot::Mutex;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Connections of one protocol to one address.
pub struct Client {
    address: SocketAddr,
    mode: Mode,
    idle: Mutex<Vec<Wire>>,
    h2: Mutex<Option<SendRequest<Bytes>>>,
}

/// An answer on its way in.
pub struct Incoming {
    /// Its head.
    pub head: Head,
    /// What has been read of its body.
    pub body: Vec<u8>,
    /// Whether the front wrote it, where that is known.
    pub front: Option<bool>,
    source: Source,
    whole: Option<bool>,
}

enum Source {
    H1(Box<Wire>, Left),
    H2(Option<h2::RecvStream>),
}

impl Client {
    /// A client with no connection yet.
    pub fn new(address: SocketAddr, mode: Mode) -> Self {
        Self { address, mode, idle: Mutex::default(), h2: Mutex::default() }
    }

    /// A request and its whole answer.
    pub async fn send(&self, ask: Ask) -> Answer {
        let incoming = self.begin(&ask).await;
        self.finish(incoming).await
    }

    /// Sends a request and reads the head of its answer.
    pub async fn begin(&self, ask: &Ask) -> Incoming {
        match self.mode.protocol {
            Protocol::H1 => self.begin_h1(ask).await,
            Protocol::H2 => self.begin_h2(ask).await,
        }
    }

    async fn begin_h1(&self, ask: &Ask) -> Incoming {
        let kept = self.idle.lock().pop();
        let mut wire = match kept {
            Some(wire) => wire,
            None => Wire::open_in(self.mode, self.address).await,
        };
        wire.write(ask.wire()).await;
        let Some(head) = wire.head().await else { panic!("no answer to {} {}", ask.method, ask.path) };
        let left = Wire::left(&head, &ask.method);
        Incoming {
            head,
            body: Vec::new(),
            front: None,
            source: Source::H1(Box::new(wire), left),
            whole: None,
        }
    }

    async fn begin_h2(&self, ask: &Ask) -> Incoming {
        let mut send = self.h2().await;
        send = soon(send.ready(), "room for a stream").await.unwrap();
        let (answer, mut body) = send.send_request(ask.h2(self.mode.scheme()), ask.body.is_none()).unwrap();
        if let Some(data) = &ask.body {
            body.send_data(data.clone().into(), true).unwrap();
        }
        let answer = soon(answer, "the head of an answer").await;
        let answer = answer.unwrap_or_else(|e| panic!("no answer to {} {}: {e}", ask.method, ask.path));
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let head =
            Head { status: answer.status().as_u16(), fields: answer.headers().iter().map(field).collect() };
        let source = Source::H2(Some(answer.into_body()));
        Incoming { head, body: Vec::new(), front: None, source, whole: None }
    }

    /// The HTTP/2 connection, opened when it is first needed.
    pub async fn h2(&self) -> SendRequest<Bytes> {
        let kept = self.h2.lock().clone();
        if let Some(send) = kept {
            return send;
        }
        let send = match self.mode.tls {
            false => h2_connect(self.address).await.0,
            true => {
                let connector = trusting(&[Site::usual()], &["h2"]);
                let io = tls::connect(&connector, self.address, HOST).await.unwrap();
                assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                h2_over(io).await.0
            }
        };
        *self.h2.lock() = Some(send.clone());
        send
    }

    /// Reads an answer to its end, and keeps the connection if it can be used again.
    pub async fn finish(&self, mut incoming: Incoming) -> Answer {
        while incoming.more().await {}
        let whole = incoming.whole == Some(true);
        let Incoming { head, body, front, source, .. } = incoming;
        if let Source::H1(wire, Left::Bytes(_) | Left::Chunks) = source
            && whole
            && head.field("connection").as_deref() != Some("close")
        {
            self.idle.lock().push(*wire);
        }
        Answer { head, body, whole, front }
    }
}

/// An HTTP/2 connection with prior knowledge, and how it will have ended.
pub async fn h2_connect(
    address: SocketAddr,
) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    h2_over(soon(TcpStream::connect(address), "a connection").await.unwrap()).await
}

/// The same over a connection that is there already.
pub async fn h2_over<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    io: T,
) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let (send, connection) = soon(h2::client::handshake(io), "an HTTP/2 handshake").await.unwrap();
    (send, tokio::spawn(connection))
}

impl Incoming {
    /// Reads until so many bytes of the body are there.
    pub async fn read_to(&mut self, length: usize) -> &[u8] {
        while self.body.len() < length && self.more().await {}
        &self.body
    }

    /// Reads the next piece of the body; false at its end.
    pub async fn more(&mut self) -> bool {
        if self.whole.is_some() {
            return false;
        }
        let part = match &mut self.source {
            Source::H1(wire, left) => wire.part(left).await,
            Source::H2(stream) => h2_part(stream).await,
        };
        match part {
            Part::Data(data) => self.body.extend(data),
            Part::End => self.whole = Some(true),
            Part::Broken => self.whole = Some(false),
        }
        self.whole.is_none()
    }

    /// Leaves without reading the rest.
    pub fn leave(self) {
        drop(self);
    }
}

async fn h2_part(stream: &mut Option<h2::RecvStream>) -> Part {
    let Some(body) = stream else { return Part::End };
    match soon(body.data(), "data from the edge").await {
        Some(Ok(data)) => {
            let _ = body.flow_control().release_capacity(data.len());
            Part::Data(data.to_vec())
        }
        Some(Err(_)) => Part::Broken,
        None => Part::End,
    }
}
