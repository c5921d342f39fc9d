//! Asks a server once whether it is well.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::settings::{HttpProbe, Probe, ProbeMethod};
use super::subject::{CheckTls, Subject};
use crate::upstream::Endpoint;

/// So much of a body is searched.
const BODY: usize = 64 << 10;

/// So much of a head is read.
const HEAD: usize = 64 << 10;

const OUR_NAME: HeaderValue =
    HeaderValue::from_static(concat!("foreland-health/", env!("CARGO_PKG_VERSION")));

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwell {
    /// Which text is not said: it may come from a secret file.
    #[error("the body lacks the text")]
    Body,
    #[error("{}", in_words(.0))]
    Connect(io::Error),
    #[error("no HTTP answer: {}", cause(.0))]
    Http(hyper::Error),
    #[error("{0} within {1:?}")]
    Late(Stage, Duration),
    #[error("no request can be made for it: {0}")]
    Request(http::Error),
    #[error("status {0}")]
    Status(u16),
    #[error("TLS: {}", in_words(.0))]
    Tls(io::Error),
}

impl Unwell {
    /// Whether it says something about this node and nothing about the server: out of files or memory. Were that a
    /// failure, one busy minute would take every server out.
    pub(super) fn is_our_own(&self) -> bool {
        const OURS: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        match self {
            Self::Connect(error) => Errno::from_io_error(error).is_some_and(|errno| OURS.contains(&errno)),
            _ => false,
        }
    }
}

/// What a check waits for.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Stage {
    #[error("no answer")]
    Answer,
    #[error("no connection")]
    Connection,
    #[error("no TLS handshake")]
    Handshake,
}

/// Connects, and asks what the probe wants to know, all within `patience`. Whatever the server does, nothing is left
/// behind: there is no task but the caller's.
pub(super) async fn ask(subject: &Subject, patience: Duration) -> Result<(), Unwell> {
    let deadline = Deadline { at: Instant::now() + patience, patience };
    let stream =
        deadline.hold(Stage::Connection, connect(&subject.endpoint)).await?.map_err(Unwell::Connect)?;
    let Probe::Http(probe) = &subject.probe else {
        return Ok(());
    };
    let stream = match &subject.tls {
        Some(tls) => deadline.hold(Stage::Handshake, encrypt(tls, stream)).await?.map_err(Unwell::Tls)?,
        None => stream,
    };
    deadline.hold(Stage::Answer, exchange(stream, probe, subject.authority.as_deref())).await?
}

/// The one deadline of a check.
struct Deadline {
    at: Instant,
    patience: Duration,
}

impl Deadline {
    async fn hold<T>(&self, stage: Stage, work: impl Future<Output = T>) -> Result<T, Unwell> {
        timeout_at(self.at, work).await.map_err(|_| Unwell::Late(stage, self.patience))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn connect(endpoint: &Endpoint) -> io::Result<Box<dyn Stream>> {
    Ok(match endpoint {
        Endpoint::Inet(address) => Box::new(TcpStream::connect(address).await?),
        Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

async fn encrypt(tls: &CheckTls, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    Ok(Box::new(connector.connect(tls.server_name.clone(), stream).await?))
}

/// Sends the request and looks at the answer. The connection is driven here, beside the exchange, and dropped with it.
async fn exchange(stream: Box<dyn Stream>, probe: &HttpProbe, authority: Option<&str>) -> Result<(), Unwell> {
    let request = request(probe, authority).map_err(Unwell::Request)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(Unwell::Http)?;
    // Dropped when it is over, so that the exchange cannot wait for more.
    let connection = async move { drop(connection.await) };
    let answered = async {
        let response = sender.send_request(request).await.map_err(Unwell::Http)?;
        let status = response.status().as_u16();
        if !probe.statuses.iter().any(|good| good.contains(status)) {
            return Err(Unwell::Status(status));
        }
        match &probe.body {
            Some(text) if !has(response.into_body(), text.as_bytes()).await.map_err(Unwell::Http)? => {
                Err(Unwell::Body)
            }
            _ => Ok(()),
        }
    };
    let (mut answered, mut connection) = (pin!(answered), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        // It is over, for good or ill; the exchange has what came of it, or learns why nothing did.
        () = &mut connection => answered.await,
    }
}

fn request(probe: &HttpProbe, authority: Option<&str>) -> Result<Request<Empty<Bytes>>, http::Error> {
    let method = match probe.method {
        ProbeMethod::Get => Method::GET,
        ProbeMethod::Head => Method::HEAD,
    };
    let host = match &probe.host {
        Some(host) => host.clone(),
        None => HeaderValue::from_str(authority.unwrap_or_default())?,
    };
    Request::builder()
        .method(method)
        .uri(probe.path.as_str())
        .header(HOST, host)
        .header(USER_AGENT, OUR_NAME)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new())
}

/// Whether `text` occurs in the first 64 KiB; reads no further than it.
async fn has(mut body: Incoming, text: &[u8]) -> Result<bool, hyper::Error> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let searched = read.len().saturating_sub(text.len());
        read.extend(data.iter().take(BODY - read.len()));
        if memchr::memmem::find(read.get(searched..).unwrap_or_default(), text).is_some() {
            return Ok(true);
        }
        if read.len() == BODY {
            break;
        }
    }
    Ok(false)
}

/// What went wrong below the HTTP, where something did; else what is wrong with the HTTP.
fn cause(error: &hyper::Error) -> String {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref() {
            return in_words(io);
        }
        source = error.source();
    }
    error.to_string()
}

/// Errors of the system begin with a capital letter and end with a number; lines of our log do not.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such socket".to_owned(),
        io::ErrorKind::UnexpectedEof => "connection closed".to_owned(),
        _ => {
            let text = error.to_string();
            let text = text.split_once(" (os error").map_or(&*text, |(text, _)| text);
            let mut letters = text.chars();
            letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
        }
    }
}

#[cfg(test)]
mod tests;
