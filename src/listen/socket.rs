//! A client's connection beneath HTTP: a socket as it is, or TLS over one.

use crate::tls::Stream;
use bytes::BytesMut;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Room made for a read.
const READ: usize = 4 * 1024;

/// A connection to a client.
pub enum Socket {
    /// As it is.
    Plain(TcpStream),
    /// Behind TLS, after the handshake.
    Tls(Box<Stream>),
}

impl Socket {
    /// Whether HTTP/2 was agreed on (RFC 9113 §3.2).
    pub fn is_h2(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.alpn() == Some(b"h2"))
    }

    /// The socket as the system knows it.
    pub fn beneath(&self) -> &TcpStream {
        match self {
            Self::Plain(io) => io,
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Appends what the client has sent. 0: it will send no more.
    pub fn poll_ahead(&mut self, cx: &mut Context<'_>, ahead: &mut BytesMut) -> Poll<io::Result<usize>> {
        let io = match self {
            Self::Plain(io) => io,
            Self::Tls(stream) => return stream.poll_ahead(cx, ahead),
        };
        loop {
            ready!(io.poll_read_ready(cx))?;
            ahead.reserve(READ);
            match io.try_read_buf(ahead) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    /// Writes what can be written without waiting. What TLS takes of it has left once this is [flushed](Self::flush).
    pub fn try_write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(io) => io.try_write(data),
            Self::Tls(stream) => stream.try_write(&[IoSlice::new(data)]),
        }
    }

    /// The same for what is in several pieces.
    pub fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(io) => io.try_write_vectored(slices),
            Self::Tls(stream) => stream.try_write(slices),
        }
    }

    /// Writes all of it, to a client that takes something at least this often.
    pub async fn write(&mut self, mut data: &[u8], patience: Duration) -> io::Result<()> {
        while !data.is_empty() {
            self.flush(patience).await?;
            let written = poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, data));
            match tokio::time::timeout(patience, written).await.map_err(|_| io::ErrorKind::TimedOut)?? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => data = &data[written..],
            }
        }
        Ok(())
    }

    /// Waits until all that was written has left, which it has at once but for TLS.
    pub async fn flush(&mut self, patience: Duration) -> io::Result<()> {
        while let Self::Tls(stream) = self
            && !stream.is_flushed()
        {
            let sent = poll_fn(|cx| stream.poll_send(cx));
            tokio::time::timeout(patience, sent).await.map_err(|_| io::ErrorKind::TimedOut)??;
        }
        Ok(())
    }

    /// Tells the client that nothing more will come, if it can be told without waiting. The last answer was whole.
    pub fn say_end(&mut self) {
        if let Self::Tls(stream) = self {
            let _ = stream.say_end();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, out),
            Self::Tls(stream) => stream.poll_read(cx, out),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, data),
            Self::Tls(stream) => stream.poll_write(cx, &[IoSlice::new(data)]),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(stream) => stream.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(stream) => stream.poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Self::Tls(stream) => stream.poll_write(cx, slices),
        }
    }
}
