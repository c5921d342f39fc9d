//! A client's HTTP/1 connection, byte for byte: what is written when, and what comes back.

use super::answer::{Answer, Head};
use super::tls::{self, Site, trusting};
use super::{HOST, Mode, soon};
use bytes::{Buf, BytesMut};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection and what was read ahead on it.
pub struct Wire {
    /// The socket, or TLS over one.
    pub io: Box<dyn Io>,
    ahead: BytesMut,
    ended: bool,
}

/// What a wire is made of.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How much of a body is left.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left {
    /// So many bytes.
    Bytes(usize),
    /// A chunk head comes next.
    Chunks,
    /// So many bytes of a chunk, its line end included.
    Chunk(usize),
    /// Whatever comes before the end of the connection.
    UntilClose,
}

/// What the next read of a body brought.
pub(super) enum Part {
    Data(Vec<u8>),
    End,
    Broken,
}

impl Wire {
    /// A new connection.
    pub async fn open(address: SocketAddr) -> Self {
        let io = soon(TcpStream::connect(address), "a connection").await.unwrap();
        io.set_nodelay(true).unwrap();
        Self::over(io)
    }

    /// A new connection as a mode has it.
    pub async fn open_in(mode: Mode, address: SocketAddr) -> Self {
        if !mode.tls {
            return Self::open(address).await;
        }
        let connector = trusting(&[Site::usual()], &["http/1.1"]);
        Self::over(tls::connect(&connector, address, HOST).await.unwrap())
    }

    /// A connection that is there already.
    pub fn over(io: impl Io + 'static) -> Self {
        Self { io: Box::new(io), ahead: BytesMut::new(), ended: false }
    }

    /// Writes all of it.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.io.write_all(bytes.as_ref()), "a write").await.unwrap();
        soon(self.io.flush(), "a write").await.unwrap();
    }

    /// Says that nothing more will be written.
    pub async fn finish_writing(&mut self) {
        self.io.shutdown().await.unwrap();
    }

    /// Reads more; false at the end of the connection.
    async fn more(&mut self) -> bool {
        if !self.ended {
            let read = soon(self.io.read_buf(&mut self.ahead), "bytes from the edge").await;
            self.ended = !matches!(read, Ok(n) if n > 0);
        }
        !self.ended
    }

    /// The next head, interim ones too; `None` at the end of the connection.
    pub async fn any_head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.ahead, b"\r\n\r\n") {
                let head = self.ahead.split_to(end + 4);
                return Some(parse(&String::from_utf8_lossy(&head)));
            }
            if !self.more().await {
                assert!(self.ahead.is_empty(), "half a head: {:?}", self.ahead);
                return None;
            }
        }
    }

    /// The next head of a final answer.
    pub async fn head(&mut self) -> Option<Head> {
        loop {
            match self.any_head().await {
                Some(head) if (100..200).contains(&head.status) && head.status != 101 => {}
                head => return head,
            }
        }
    }

    /// The next answer, to a request with this method.
    pub async fn answer(&mut self, method: &str) -> Answer {
        let Some(head) = self.head().await else {
            return Answer { head: Head::default(), body: Vec::new(), whole: false, front: None };
        };
        let mut left = Self::left(&head, method);
        let mut body = Vec::new();
        let whole = loop {
            match self.part(&mut left).await {
                Part::Data(data) => body.extend(data),
                Part::End => break true,
                Part::Broken => break false,
            }
        };
        Answer { head, body, whole, front: None }
    }

    /// Sends a request and reads its answer.
    pub async fn send(&mut self, ask: &super::Ask) -> Answer {
        self.write(ask.wire()).await;
        self.answer(&ask.method).await
    }

    /// Reads exactly so many raw bytes.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length && self.more().await {}
        let length = length.min(self.ahead.len());
        self.ahead.split_to(length).to_vec()
    }

    /// Waits for the end of the connection; what came before it.
    pub async fn closed(&mut self) -> Vec<u8> {
        while self.more().await {}
        self.ahead.split().to_vec()
    }

    pub(super) fn left(head: &Head, method: &str) -> Left {
        let length = head.field("content-length").map(|value| value.parse().unwrap());
        match length {
            _ if method == "HEAD" || matches!(head.status, 101 | 204 | 304) => Left::Bytes(0),
            _ if head.field("transfer-encoding").is_some() => Left::Chunks,
            Some(length) => Left::Bytes(length),
            None => Left::UntilClose,
        }
    }

    pub(super) async fn part(&mut self, left: &mut Left) -> Part {
        loop {
            match *left {
                Left::Bytes(0) => return Part::End,
                Left::Chunks => match self.line().await.map(|line| chunk_size(&line)) {
                    None => return Part::Broken,
                    Some(0) => return if self.line().await.is_some() { Part::End } else { Part::Broken },
                    Some(size) => *left = Left::Chunk(size + 2),
                },
                _ if self.ahead.is_empty() => {
                    if !self.more().await {
                        return if matches!(left, Left::UntilClose) { Part::End } else { Part::Broken };
                    }
                }
                Left::Bytes(length) => {
                    let data = self.take(length);
                    *left = Left::Bytes(length - data.len());
                    return Part::Data(data);
                }
                Left::Chunk(size) if size <= 2 => {
                    self.ahead.advance(1);
                    *left = if size == 1 { Left::Chunks } else { Left::Chunk(1) };
                }
                Left::Chunk(size) => {
                    let data = self.take(size - 2);
                    *left = Left::Chunk(size - data.len());
                    return Part::Data(data);
                }
                Left::UntilClose => return Part::Data(self.ahead.split().to_vec()),
            }
        }
    }

    fn take(&mut self, most: usize) -> Vec<u8> {
        let length = most.min(self.ahead.len());
        self.ahead.split_to(length).to_vec()
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.ahead, b"\r\n") {
                let line = self.ahead.split_to(end + 2);
                return Some(String::from_utf8_lossy(&line).trim().to_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }
}

fn chunk_size(line: &str) -> usize {
    usize::from_str_radix(line, 16).unwrap_or_else(|_| panic!("{line:?} is no chunk size"))
}

fn parse(head: &str) -> Head {
    let mut lines = head.trim_end().split("\r\n");
    let status_line = lines.next().unwrap();
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let field = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?} is no field"));
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    Head {
        status: status.unwrap_or_else(|| panic!("{status_line:?} is no status line")),
        fields: lines.map(field).collect(),
    }
}
