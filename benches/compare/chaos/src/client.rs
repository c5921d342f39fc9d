//! A client that forgives nothing: one request at a time, and every way in which an answer can be wrong has a name.

use crate::message;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// After so long an answer counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }

    /// RFC 9110 §9.2.2: whether sending it twice does the same as sending it once.
    pub fn is_idempotent(self) -> bool {
        self != Self::Post
    }

    fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put)
    }
}

/// What went wrong, in a few words for the table, and what the proxy said about it.
#[derive(Debug)]
pub struct Failure {
    pub what: String,
    pub said: String,
}

impl Failure {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), said: String::new() }
    }
}

pub struct Client {
    address: SocketAddr,
    connection: Option<TcpStream>,
}

struct Answer {
    status: u16,
    head: String,
    length: Option<usize>,
    close: bool,
    body: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    pub async fn ask(&mut self, method: Method, path: &str, body: &[u8]) -> Result<(), Failure> {
        let body = if method.has_body() { body } else { &[] };
        // A connection that saw a failure is not used again.
        let connection = self.connection.take();
        let asked = timeout(PATIENCE, exchange(self.address, connection, method, path, body)).await;
        let (answer, connection) = asked.unwrap_or_else(|_| Err(Failure::new("client timeout")))?;
        judge(&answer, method, path, body)?;
        if !answer.close {
            self.connection = Some(connection);
        }
        Ok(())
    }
}

async fn exchange(
    address: SocketAddr,
    connection: Option<TcpStream>,
    method: Method,
    path: &str,
    body: &[u8],
) -> Result<(Answer, TcpStream), Failure> {
    let mut stream = match connection {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address).await;
            let stream = stream.map_err(|error| Failure::new(format!("connect: {}", error.kind())))?;
            let _ = stream.set_nodelay(true);
            stream
        }
    };
    let mut request = format!("{} {path} HTTP/1.1\r\nHost: chaos.test\r\n", method.name()).into_bytes();
    if method.has_body() {
        request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    let sent = stream.write_all(&request).await;
    sent.map_err(|error| Failure::new(format!("sending: {}", error.kind())))?;
    let answer = read(&mut stream, method).await?;
    Ok((answer, stream))
}

async fn read(stream: &mut TcpStream, method: Method) -> Result<Answer, Failure> {
    let mut bytes = Vec::with_capacity(2048);
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if more(stream, &mut bytes).await? == 0 {
            let what = if bytes.is_empty() { "closed without an answer" } else { "head cut" };
            return Err(Failure::new(what));
        }
    };
    let mut answer = head(&bytes[..end]).ok_or_else(|| Failure::new("no HTTP"))?;
    let length = match (method, answer.length) {
        (Method::Head, _) => 0,
        (_, Some(length)) => length,
        // Only an answer of the proxy's own, which is a failure anyway.
        (_, None) => 0,
    };
    while bytes.len() < end + length {
        if more(stream, &mut bytes).await? == 0 {
            break;
        }
    }
    answer.body = bytes.split_off(end);
    Ok(answer)
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<usize, Failure> {
    let read = stream.read_buf(bytes).await;
    read.map_err(|error| Failure::new(format!("reading: {}", error.kind())))
}

fn head(bytes: &[u8]) -> Option<Answer> {
    let head = String::from_utf8_lossy(bytes).into_owned();
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let (mut length, mut close) = (None, false);
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok(),
            "connection" => close |= value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    Some(Answer { status, head, length, close, body: vec![] })
}

/// Anything but 200 with the right body is a failure.
fn judge(answer: &Answer, method: Method, path: &str, sent: &[u8]) -> Result<(), Failure> {
    let what = match (answer.status, method) {
        (200, Method::Head) => {
            let asked =
                answer.head.lines().any(|line| line.to_ascii_lowercase() == format!("x-asked: {path}"));
            if asked { None } else { Some("answer to another request".to_owned()) }
        }
        (200, _) => message::mistake(&answer.body, method.name(), path, sent).map(str::to_owned),
        (status, _) => Some(status.to_string()),
    };
    match what {
        None => Ok(()),
        Some(what) => {
            let said = format!("{}{}", answer.head, String::from_utf8_lossy(&answer.body));
            Err(Failure { what, said })
        }
    }
}
