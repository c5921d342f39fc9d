//! Asks a running node's admin address.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::http::request::Builder;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// From connecting to the end of the answer: a reload may look up names, 5 s each, all at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer, for people.
pub struct Failure(pub String);

/// Sends a body to a path of the admin address; gives the status and the JSON that came back.
pub fn post(admin: &str, path: &str, body: Vec<u8>) -> Result<(u16, Value), Failure> {
    exchange(admin, Request::post(path), body)
}

/// Asks for a path of the admin address; gives the status and the JSON that came back.
pub fn get(admin: &str, path: &str) -> Result<(u16, Value), Failure> {
    exchange(admin, Request::get(path), Vec::new())
}

fn exchange(admin: &str, request: Builder, body: Vec<u8>) -> Result<(u16, Value), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        match timeout(PATIENCE, ask(admin, request, body)).await {
            Ok(answer) => answer.map_err(|error| Failure(format!("{admin} does not answer: {error}"))),
            Err(_) => Err(Failure(format!("{admin} does not answer within {} s", PATIENCE.as_secs()))),
        }
    })
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

async fn ask(admin: &str, request: Builder, body: Vec<u8>) -> Result<(u16, Value), Problem> {
    let address = admin.trim_start_matches("http://").trim_end_matches('/');
    let address = match address.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None => address.to_owned(),
    };
    let stream = TcpStream::connect(&address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = request.header("Host", &address);
    if let Some(token) = std::env::var("FORELAND_ADMIN_TOKEN").ok().filter(|token| !token.is_empty()) {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    let answer = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    Ok((status, answer))
}
