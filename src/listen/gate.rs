//! A client's connection as Pingora may see it: exactly one request, and nothing of the next.
//!
//! Pingora reads ahead. Given a plain stream, pipelined requests are dropped, answered 400, or reach the origin with
//! their first byte missing. The gate lets one head's body through, to the byte, and keeps what follows until the
//! answer is written; of the next request only the end of the connection is ever seen.

use super::Socket;
use crate::http::chunked::Tracker;
use crate::http::request::Framing;
use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Most that is read ahead while the gate is shut; enough to notice that the client left.
const AHEAD: usize = 64 * 1024;
/// A response head this long or longer is not held back.
const HOLD: usize = 16 * 1024;

/// How the head of a response begins that changes the protocol (RFC 9110 §15.2.2).
const SWITCHING: &[u8] = b"HTTP/1.1 101";
/// How one begins that another will follow.
const INFORMATIONAL: &[u8] = b"HTTP/1.1 1";
/// How every one begins.
const HEAD: &[u8] = b"HTTP/1.";

/// How much of the connection may be read.
enum Pass {
    /// Everything: HTTP/2, or a protocol that was changed to.
    All,
    /// So many bytes more.
    Length(u64),
    /// Up to the end of a chunked body.
    Chunked(Tracker),
}

/// A connection with a gate before its read side.
pub struct Gate {
    io: Socket,
    /// Bytes read and not yet let through: the front parses heads here.
    pub ahead: BytesMut,
    pass: Pass,
    ended: bool,
    held: Vec<u8>,
    hold: bool,
    /// A request asked to change protocol: a 101 opens the gate for good.
    may_change: bool,
    /// Bytes read and written so far: whether the client still takes what it was sent.
    moved: Arc<AtomicU64>,
    /// How long a client may take nothing of what is only waited for to leave: Pingora has no deadline for that.
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    digest: Arc<SocketDigest>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("ahead", &self.ahead.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// A connection from `peer`, shut.
    pub fn new(io: Socket, peer: std::net::SocketAddr) -> Self {
        let digest = SocketDigest::from_raw_fd(io.beneath().as_raw_fd());
        // Set already, so that nobody asks the kernel.
        let _ = digest.peer_addr.set(Some(peer.into()));
        Self {
            io,
            ahead: BytesMut::new(),
            pass: Pass::Length(0),
            ended: false,
            held: Vec::new(),
            hold: false,
            may_change: false,
            moved: Arc::default(),
            patience: Duration::MAX,
            waiting: None,
            digest: Arc::new(digest),
        }
    }

    /// The connection itself, for the front, which reads heads and writes answers.
    pub fn io(&mut self) -> &mut Socket {
        &mut self.io
    }

    /// Whether HTTP/2 was agreed on.
    pub fn is_h2(&self) -> bool {
        self.io.is_h2()
    }

    /// Bytes read and written so far, counted while the gate is open.
    pub fn moved(&self) -> Arc<AtomicU64> {
        self.moved.clone()
    }

    /// What Pingora asks of a socket.
    pub fn digest(&self) -> Arc<SocketDigest> {
        self.digest.clone()
    }

    /// Lets the body of one request through, and everything after a 101 if the request asks for one.
    pub fn open_for(&mut self, framing: Framing, upgrade: bool, patience: Duration) {
        (self.may_change, self.patience) = (upgrade, patience);
        self.pass = match framing {
            Framing::None => Pass::Length(0),
            Framing::Length(length) => Pass::Length(length),
            Framing::Chunked => Pass::Chunked(Tracker::new()),
        };
        self.hold = true;
    }

    /// Lets everything through.
    pub fn open(&mut self) {
        self.pass = Pass::All;
    }

    /// Whether the next request begins where reading stopped.
    pub fn is_between_requests(&self) -> bool {
        let consumed = match &self.pass {
            Pass::All => false,
            Pass::Length(left) => *left == 0,
            Pass::Chunked(tracker) => tracker.is_done(),
        };
        consumed && self.held.is_empty()
    }

    /// Reads what the client has sent into `ahead`. 0: it will send no more.
    pub fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = self.io.poll_ahead(cx, &mut self.ahead);
        match &read {
            Poll::Ready(Ok(n)) => self.ended |= *n == 0,
            // No buffer is kept while nothing comes: an idle connection costs little.
            Poll::Pending if self.ahead.is_empty() => self.ahead = BytesMut::new(),
            _ => {}
        }
        read
    }

    /// The gate is shut: only that the client left may be seen.
    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What the client did not take at once goes out also while the answer's next part is waited for.
        let _ = Pin::new(&mut self.io).poll_flush(cx)?;
        loop {
            // A client that sent more and then closed its side still waits for its answers.
            if self.ahead.len() >= AHEAD || (self.ended && !self.ahead.is_empty()) {
                return Poll::Pending;
            }
            if self.ended || ready!(self.poll_ahead(cx))? == 0 {
                return if self.ahead.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
        }
    }

    /// Lets through what is at hand and belongs to the body.
    fn let_through(&mut self, out: &mut ReadBuf<'_>) -> io::Result<()> {
        let here = self.ahead.len().min(out.remaining());
        let take = match &mut self.pass {
            Pass::All => here,
            Pass::Length(left) => {
                let take = here.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= take as u64;
                take
            }
            Pass::Chunked(tracker) => tracker
                .feed(&self.ahead[..here])
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "malformed chunked body"))?,
        };
        out.put_slice(&self.ahead[..take]);
        self.ahead.advance(take);
        Ok(())
    }

    /// Reads from the connection into the reader's own buffer, no further than the body goes.
    fn poll_straight(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Pass::Length(left) = &mut self.pass else {
            let before = out.filled().len();
            ready!(Pin::new(&mut self.io).poll_read(cx, out))?;
            self.moved.fetch_add((out.filled().len() - before) as u64, Ordering::Relaxed);
            return Poll::Ready(Ok(()));
        };
        let most = out.remaining().min(usize::try_from(*left).unwrap_or(usize::MAX));
        let mut part = ReadBuf::new(out.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        self.ended |= read == 0;
        *left -= read as u64;
        out.advance(read);
        Poll::Ready(Ok(()))
    }

    fn is_shut(&self) -> bool {
        match &self.pass {
            Pass::All => false,
            Pass::Length(left) => *left == 0,
            Pass::Chunked(tracker) => tracker.is_done(),
        }
    }

    /// Writes what was held back, so that the connection can be used again.
    pub fn poll_flush_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Gives up a wait that lasts too long. A connection that carries another protocol keeps its own time.
    fn in_time(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if done.is_ready() {
            self.waiting = None;
            return done;
        }
        if matches!(self.pass, Pass::All) || self.patience == Duration::MAX {
            return Poll::Pending;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Writes what was held back.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &self.held))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.drain(..n);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if me.is_shut() {
            return me.poll_shut(cx);
        }
        // Bodies that need no look inside go straight to the reader.
        if me.ahead.is_empty() && !me.ended && !matches!(me.pass, Pass::Chunked(_)) {
            return me.poll_straight(cx, out);
        }
        if me.ahead.is_empty() && (me.ended || ready!(me.poll_ahead(cx))? == 0) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(me.let_through(out))
    }
}

impl AsyncWrite for Gate {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let me = &mut *self;
        if me.may_change && data.starts_with(HEAD) {
            if data.starts_with(SWITCHING) {
                me.pass = Pass::All;
            }
            // After the final head comes a body, which may look like anything.
            me.may_change = data.starts_with(INFORMATIONAL) && !data.starts_with(SWITCHING);
        }
        // The head waits for the first of the body, so that a small answer is one packet.
        if me.hold && me.held.is_empty() && data.len() < HOLD {
            me.hold = false;
            me.held.extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        me.hold = false;
        if me.held.is_empty() {
            let n = ready!(Pin::new(&mut me.io).poll_write(cx, data))?;
            me.moved.fetch_add(n as u64, Ordering::Relaxed);
            return Poll::Ready(Ok(n));
        }
        let both = [io::IoSlice::new(&me.held), io::IoSlice::new(data)];
        let n = ready!(Pin::new(&mut me.io).poll_write_vectored(cx, &both))?;
        if n <= me.held.len() {
            me.held.drain(..n);
            ready!(me.poll_held(cx))?;
            return Pin::new(&mut me.io).poll_write(cx, data);
        }
        let of_data = n - me.held.len();
        me.held.clear();
        Poll::Ready(Ok(of_data))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let flushed = match me.poll_held(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut me.io).poll_flush(cx),
            other => other,
        };
        me.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let shut = match me.poll_held(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut me.io).poll_shutdown(cx),
            other => other,
        };
        me.in_time(cx, shut)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_held(cx))?;
        self.hold = false;
        let n = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices))?;
        self.moved.fetch_add(n as u64, Ordering::Relaxed);
        Poll::Ready(Ok(n))
    }
}

#[async_trait]
impl Shutdown for Gate {
    async fn shutdown(&mut self) {
        let _ = tokio::io::AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Gate {
    fn id(&self) -> UniqueIDType {
        self.io.beneath().as_raw_fd()
    }
}

impl Ssl for Gate {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        None
    }
}

#[async_trait]
impl Peek for Gate {}

impl GetTimingDigest for Gate {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Gate {
    fn get_proxy_digest(&self) -> Option<Arc<pingora::protocols::raw_connect::ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Gate {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }
}
