//! An origin that a test plays itself, byte by byte or frame by frame: what it says when is what the test says.

use super::answer::Head;
use super::{soon, until};
use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
type Stream = Pin<Box<dyn Io>>;

/// A listening origin.
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    connections: mpsc::UnboundedReceiver<Raw>,
    calls: mpsc::UnboundedReceiver<Call>,
    /// Connections on which a request came.
    used: Arc<AtomicUsize>,
    /// Connections that have ended, of those.
    ended: Arc<AtomicUsize>,
    leaving: watch::Sender<()>,
    _tasks: JoinSet<()>,
}

/// An HTTP/1 connection, on which something came.
pub struct Raw {
    io: Stream,
    ahead: BytesMut,
    /// The name that the client asked for, over TLS.
    pub server_name: Option<String>,
}

/// A request over HTTP/2.
pub struct Call {
    /// Its head.
    pub head: http::request::Parts,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

/// What an accepted connection is handled with.
#[derive(Clone)]
struct Handler {
    tls: Option<TlsAcceptor>,
    h2: bool,
    connections: mpsc::UnboundedSender<Raw>,
    calls: mpsc::UnboundedSender<Call>,
    used: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    leaving: watch::Receiver<()>,
}

impl Backend {
    /// HTTP/1.1 in the clear.
    pub async fn h1() -> Self {
        Self::start(None, false).await
    }

    /// HTTP/2 with prior knowledge.
    pub async fn h2() -> Self {
        Self::start(None, true).await
    }

    /// TLS, and over it HTTP/2 where that is agreed upon.
    pub async fn tls(config: ServerConfig) -> Self {
        Self::start(Some(config), false).await
    }

    async fn start(tls: Option<ServerConfig>, h2: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (to_connections, connections) = mpsc::unbounded_channel();
        let (to_calls, calls) = mpsc::unbounded_channel();
        let (used, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let leaving = watch::Sender::new(());
        let handler = Handler {
            tls: tls.map(|config| TlsAcceptor::from(Arc::new(config))),
            h2,
            connections: to_connections,
            calls: to_calls,
            used: used.clone(),
            ended: ended.clone(),
            leaving: leaving.subscribe(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((io, _)) = listener.accept().await {
                let _ = io.set_nodelay(true);
                open.spawn(handler.clone().handle(io));
            }
        });
        Self { address, connections, calls, used, ended, leaving, _tasks: tasks }
    }

    /// The next HTTP/1 connection on which something came.
    pub async fn connection(&mut self) -> Raw {
        soon(self.connections.recv(), "a connection to the origin").await.unwrap()
    }

    /// The next request over HTTP/2.
    pub async fn call(&mut self) -> Call {
        soon(self.calls.recv(), "a request over HTTP/2").await.unwrap()
    }

    /// Whether another request came that nobody has looked at.
    pub fn is_asked(&mut self) -> bool {
        !self.connections.is_empty() || !self.calls.is_empty()
    }

    /// Connections on which a request came.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// Waits until so many of the HTTP/2 connections have ended.
    pub async fn ended(&self, count: usize) {
        until("connections to the origin to end", || self.ended.load(Ordering::SeqCst) >= count).await;
    }

    /// Tells every HTTP/2 client that is connected to open no more streams there (GOAWAY).
    pub fn leave(&self) {
        self.leaving.send_replace(());
    }
}

impl Handler {
    async fn handle(self, io: TcpStream) {
        let Some(tls) = &self.tls else { return self.speak(Box::pin(io), None, self.h2).await };
        let Ok(io) = tls.accept(io).await else { return };
        let session = io.get_ref().1;
        let (name, h2) = (session.server_name().map(str::to_owned), session.alpn_protocol() == Some(b"h2"));
        self.speak(Box::pin(io), name, h2).await;
    }

    async fn speak(&self, mut io: Stream, server_name: Option<String>, h2: bool) {
        if h2 {
            return self.calls(io).await;
        }
        let mut ahead = BytesMut::new();
        // A health check says nothing.
        if io.read_buf(&mut ahead).await.unwrap_or(0) > 0 {
            self.used.fetch_add(1, Ordering::SeqCst);
            let _ = self.connections.send(Raw { io, ahead, server_name });
        }
    }

    async fn calls(&self, io: Stream) {
        let Ok(mut connection) = h2::server::handshake(io).await else { return };
        let mut leaving = self.leaving.clone();
        leaving.borrow_and_update();
        let mut number = None;
        loop {
            let accepted = tokio::select! {
                accepted = connection.accept() => accepted,
                Ok(()) = leaving.changed() => {
                    connection.graceful_shutdown();
                    continue;
                }
            };
            let Some(Ok((request, respond))) = accepted else { break };
            let connection = *number.get_or_insert_with(|| self.used.fetch_add(1, Ordering::SeqCst));
            let (head, body) = request.into_parts();
            let _ = self.calls.send(Call { head, body, respond, send: None, connection });
        }
        if number.is_some() {
            self.ended.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Raw {
    /// The next head of a request.
    pub async fn head(&mut self) -> String {
        soon(self.next_head(), "a head at the origin").await.expect("the connection ended before a head")
    }

    /// The next head of a request, whenever it comes; `None` at the end of the connection.
    pub async fn next_head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.ahead, b"\r\n\r\n") {
                let head = self.ahead.split_to(end + 4);
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if !matches!(self.io.read_buf(&mut self.ahead).await, Ok(n) if n > 0) {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        matches!(soon(self.io.read_buf(&mut self.ahead), "bytes at the origin").await, Ok(n) if n > 0)
    }

    /// Reads exactly so many bytes, or fewer at the end of the connection.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length && self.more().await {}
        let length = length.min(self.ahead.len());
        self.ahead.split_to(length).to_vec()
    }

    /// A chunked body, decoded.
    pub async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(self.exactly(1).await);
            }
            let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).unwrap();
            body.extend(self.exactly(size).await);
            assert_eq!(self.exactly(2).await, b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    /// Waits for the end of the connection; what came before it.
    pub async fn closed(&mut self) -> Vec<u8> {
        while self.more().await {}
        self.ahead.split().to_vec()
    }

    /// Writes all of it.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.io.write_all(bytes.as_ref()), "a write of the origin").await.unwrap();
        soon(self.io.flush(), "a write of the origin").await.unwrap();
    }

    /// Says that nothing more will be written.
    pub async fn finish_writing(&mut self) {
        let _ = self.io.shutdown().await;
    }
}

impl Call {
    /// The value of a field of the request.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The next piece of the request's body; `None` at its end.
    pub async fn data(&mut self) -> Option<Bytes> {
        let data = soon(self.body.data(), "data at the origin").await?.unwrap();
        self.body.flow_control().release_capacity(data.len()).unwrap();
        Some(data)
    }

    /// All that is left of the body.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(data) = self.data().await {
            all.extend(data);
        }
        all
    }

    /// Waits until the client has given up; how.
    pub async fn given_up(&mut self) -> Reason {
        soon(
            std::future::poll_fn(|cx| match &mut self.send {
                Some(send) => send.poll_reset(cx),
                None => self.respond.poll_reset(cx),
            }),
            "the client to give up",
        )
        .await
        .unwrap()
    }

    /// Answers with a head; `end` if that is all.
    pub fn answer(&mut self, status: u16, fields: &[(&str, &str)], end: bool) {
        let mut response = http::Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        self.send = Some(self.respond.send_response(response.body(()).unwrap(), end).unwrap());
    }

    /// More of the answer's body.
    pub fn send(&mut self, data: impl Into<Bytes>, end: bool) {
        self.send.as_mut().unwrap().send_data(data.into(), end).unwrap();
    }

    /// The end of the answer, with trailers.
    pub fn trailers(&mut self, fields: &[(&'static str, &str)]) {
        let mut map = http::HeaderMap::new();
        for (name, value) in fields {
            map.insert(*name, value.parse().unwrap());
        }
        self.send.as_mut().unwrap().send_trailers(map).unwrap();
    }

    /// Breaks the stream off.
    pub fn reset(&mut self, reason: Reason) {
        match &mut self.send {
            Some(send) => send.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}

/// A request of a test over HTTP/2 that goes both ways at once.
pub struct Exchange {
    answer: Option<h2::client::ResponseFuture>,
    send: SendStream<Bytes>,
    body: Option<RecvStream>,
}

impl Exchange {
    /// Sends a head; its body follows.
    pub async fn begin(client: &super::client::Client, request: http::Request<()>, end: bool) -> Self {
        let mut sender = soon(client.h2().await.ready(), "room for a stream").await.unwrap();
        let (answer, send) = sender.send_request(request, end).unwrap();
        Self { answer: Some(answer), send, body: None }
    }

    /// More of the request's body.
    pub fn send(&mut self, data: impl Into<Bytes>, end: bool) {
        self.send.send_data(data.into(), end).unwrap();
    }

    /// Sends a piece again and again until it is not taken for a while, or so many bytes were; how many were.
    pub async fn send_until_refused(&mut self, piece: Bytes, most: usize) -> usize {
        let mut sent = 0;
        while sent < most {
            self.send.reserve_capacity(piece.len());
            let room = std::future::poll_fn(|cx| self.send.poll_capacity(cx));
            let Ok(room) = tokio::time::timeout(Duration::from_millis(500), room).await else { break };
            let room = room.unwrap().unwrap().min(piece.len());
            self.send.send_data(piece.slice(..room), false).unwrap();
            sent += room;
        }
        sent
    }

    /// The head of the answer.
    pub async fn head(&mut self) -> Head {
        let answer = soon(self.answer.take().unwrap(), "the head of an answer").await.unwrap();
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let head =
            Head { status: answer.status().as_u16(), fields: answer.headers().iter().map(field).collect() };
        self.body = Some(answer.into_body());
        head
    }

    /// The next piece of the answer; `None` at its end.
    pub async fn data(&mut self) -> Option<Result<Bytes, h2::Error>> {
        let body = self.body.as_mut().unwrap();
        let data = soon(body.data(), "data from the edge").await?;
        if let Ok(data) = &data {
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        Some(data)
    }

    /// All that is left of the answer.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(data) = self.data().await {
            all.extend(data.unwrap());
        }
        all
    }

    /// The trailers.
    pub async fn trailers(&mut self) -> Option<http::HeaderMap> {
        soon(self.body.as_mut().unwrap().trailers(), "trailers").await.unwrap()
    }

    /// Gives up.
    pub fn leave(mut self) {
        self.send.send_reset(Reason::CANCEL);
    }
}
