//! The admin listener: metrics, health, purges, reloads and explanations, for the operator and never for visitors.
//!
//! - `GET /metrics`: everything Foreland counts, in the Prometheus text format.
//! - `GET /healthz`: 200 while the process lives. `GET /readyz`: 200 while it serves, 503 before and while it drains.
//! - `POST /v1/purge` with `{"url": "http://host/path?query"}` or `{"tag": "assets"}`: answers `{"purged": n}`.
//! - `POST /v1/reload`: reads the configuration again; 200 with what changed, 422 with its mistakes, 409 without a file.
//! - `GET /v1/upstreams`: every server of every cluster, its state and why, since when, how busy and how fast it is.
//! - `POST /v1/explain` with `{"url": "…"}`: what would become of a request, and what is stored for it now.
//!
//! It knows the engines only as [`Operations`]. One connection carries one request and ends within half a minute,
//! so that no idle client can keep a purge or a scrape out. TLS is deliberately absent: it listens on loopback, or
//! in a private network with a [`Token`](crate::net::Token).

mod body;
mod endpoints;
mod purge;

use crate::net::Token;
use async_trait::async_trait;
use http::Uri;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::RwLock;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What the process answers to a question that only it can answer.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What is said.
    pub body: serde_json::Value,
}

impl Answer {
    /// It was done.
    pub fn ok(body: serde_json::Value) -> Self {
        Self { status: 200, body }
    }
}

/// What the admin listener may ask of the running process.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Every metric, in the Prometheus text format.
    fn metrics(&self) -> String;

    /// Whether requests are being served: neither still starting nor already draining.
    fn ready(&self) -> bool;

    /// Removes what is stored for an absolute URL, every variant of it; tells how many objects that were.
    fn purge_url(&self, url: &Uri) -> usize;

    /// Removes what is stored under a tag; tells how many objects that were.
    fn purge_tag(&self, tag: &str) -> usize;

    /// Reads the configuration again and puts it in force.
    async fn reload(&self) -> Answer;

    /// Every server of every cluster, and how it is doing.
    fn upstreams(&self) -> Answer;

    /// Says what would become of a request, given as JSON.
    fn explain(&self, question: &[u8]) -> Answer;
}

/// Connections at a time; more wait in the listener's backlog.
const CONNECTIONS: usize = 64;

/// From accepting a connection to the end of its request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// From accepting a connection to its end, whatever it does.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(30);

/// How long to leave the listener alone after it failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `until` says true, or its sender is gone; then finishes the requests it has and returns.
pub async fn serve(
    listener: TcpListener,
    operations: Arc<dyn Operations>,
    token: Arc<RwLock<Option<Token>>>,
    mut until: watch::Receiver<bool>,
) {
    let admin = Arc::new(Admin { operations, token });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = until.wait_for(|end| *end) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        if let Some((stream, place)) = accepted {
            let admin = admin.clone();
            connections.spawn(async move {
                admin.connection(stream).await;
                drop(place);
            });
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            log::warn!("admin: cannot accept a connection: {error}");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// What every connection shares.
struct Admin {
    operations: Arc<dyn Operations>,
    token: Arc<RwLock<Option<Token>>>,
}

impl Admin {
    /// One connection, one request. Whatever ends it early is the client's to notice.
    async fn connection(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(request).await));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        if let Ok(Err(error)) = timeout(CONNECTION_DEADLINE, connection).await {
            log::debug!("admin: a connection ended early: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    #[derive(Default)]
    struct Engines {
        draining: bool,
        purged: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Operations for Engines {
        fn metrics(&self) -> String {
            "foreland_config_generation 1\n".into()
        }

        fn ready(&self) -> bool {
            !self.draining
        }

        fn purge_url(&self, url: &Uri) -> usize {
            self.purged.lock().push(url.to_string());
            3
        }

        fn purge_tag(&self, tag: &str) -> usize {
            self.purged.lock().push(format!("tag {tag}"));
            5
        }

        async fn reload(&self) -> Answer {
            Answer { status: 422, body: serde_json::json!({ "error": "1 error" }) }
        }

        fn upstreams(&self) -> Answer {
            Answer::ok(serde_json::json!({ "upstreams": [] }))
        }

        fn explain(&self, question: &[u8]) -> Answer {
            Answer::ok(serde_json::json!({ "asked": String::from_utf8_lossy(question) }))
        }
    }

    struct Running {
        addr: SocketAddr,
        engines: Arc<Engines>,
        end: watch::Sender<bool>,
        task: JoinHandle<()>,
    }

    async fn start(engines: Engines, token: Option<&str>) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let token = Arc::new(RwLock::new(crate::net::token_for(addr, token).unwrap()));
        let (engines, (end, until)) = (Arc::new(engines), watch::channel(false));
        let task = tokio::spawn(serve(listener, engines.clone(), token, until));
        Running { addr, engines, end, task }
    }

    impl Running {
        async fn ask(&self, request: &str) -> String {
            let mut stream = TcpStream::connect(self.addr).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        }

        async fn get(&self, path: &str) -> String {
            self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await
        }

        async fn purge(&self, fields: &str, body: &str) -> String {
            let length = body.len();
            self.ask(&format!(
                "POST /v1/purge HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
            ))
            .await
        }
    }

    fn status(answer: &str) -> &str {
        answer.get(9..12).unwrap_or(answer)
    }

    #[tokio::test]
    async fn metrics_and_health_are_there_and_nothing_is_kept_by_a_cache() {
        let admin = start(Engines::default(), None).await;
        for (path, content_type, body) in [
            ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "foreland_config_generation 1\n"),
            ("/healthz", "text/plain; charset=utf-8", "ok\n"),
            ("/readyz", "text/plain; charset=utf-8", "ready\n"),
        ] {
            let answer = admin.get(path).await;
            assert_eq!(status(&answer), "200");
            assert!(answer.contains(&format!("content-type: {content_type}\r\n")), "{answer}");
            assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
        }
    }

    #[tokio::test]
    async fn head_has_the_length_and_no_body() {
        let admin = start(Engines::default(), None).await;
        let answer = admin.ask("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(answer.contains("content-length: 29\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn a_node_that_drains_is_alive_but_not_ready() {
        let admin = start(Engines { draining: true, ..Engines::default() }, None).await;
        assert_eq!(status(&admin.get("/healthz").await), "200");
        assert_eq!(status(&admin.get("/readyz").await), "503");
    }

    #[tokio::test]
    async fn a_purge_reaches_the_store_and_says_how_much_went() {
        let admin = start(Engines::default(), None).await;
        let answer = admin.purge("", r#"{"url": "http://www.example.com/a?b=c"}"#).await;
        assert_eq!(status(&answer), "200");
        assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
        assert!(answer.ends_with("{\"purged\":3}\n"), "{answer}");
        assert_eq!(*admin.engines.purged.lock(), ["http://www.example.com/a?b=c"]);
    }

    #[tokio::test]
    async fn a_tag_is_purged_a_reload_and_an_explanation_are_asked_for() {
        let admin = start(Engines::default(), None).await;
        let answer = admin.purge("", r#"{"tag": "assets"}"#).await;
        assert!(answer.ends_with("{\"purged\":5}\n"), "{answer}");
        assert_eq!(*admin.engines.purged.lock(), ["tag assets"]);
        let answer = admin.ask("POST /v1/reload HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(status(&answer) == "422" && answer.ends_with("{\"error\":\"1 error\"}\n"), "{answer}");
        let asked = "POST /v1/explain HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
        let answer = admin.ask(asked).await;
        assert!(status(&answer) == "200" && answer.ends_with("{\"asked\":\"{}\"}\n"), "{answer}");
        for path in ["/v1/reload", "/v1/explain"] {
            assert_eq!(status(&admin.get(path).await), "405", "{path}");
            let foreign = format!("POST {path} HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n");
            assert_eq!(status(&admin.ask(&foreign).await), "403", "{path}");
        }
    }

    #[tokio::test]
    async fn a_purge_that_cannot_be_read_is_a_400_that_says_where() {
        let admin = start(Engines::default(), None).await;
        let answer = admin.purge("", "{\"url\": }").await;
        assert_eq!(status(&answer), "400");
        assert!(
            answer.contains("{\"error\":\"the body is not JSON: expected value at line 1 column 9."),
            "{answer}"
        );
        assert!(admin.engines.purged.lock().is_empty());
    }

    #[tokio::test]
    async fn a_body_of_64_kib_is_read_and_one_byte_more_is_not() {
        let admin = start(Engines::default(), None).await;
        let padded = |length: usize| {
            let url = r#"{"url": "http://a/"}"#;
            url.to_owned() + &" ".repeat(length - url.len())
        };
        assert_eq!(status(&admin.purge("", &padded(64 << 10)).await), "200");
        assert_eq!(status(&admin.purge("", &padded((64 << 10) + 1)).await), "413");
        let chunked = format!("{:x}\r\n{}\r\n0\r\n\r\n", 65_537, padded(65_537));
        let head = "POST /v1/purge HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(status(&admin.ask(&format!("{head}{chunked}")).await), "413");
    }

    #[tokio::test]
    async fn an_unknown_path_is_a_404_and_a_wrong_method_is_told_the_right_one() {
        let admin = start(Engines::default(), None).await;
        assert_eq!(status(&admin.get("/").await), "404");
        assert_eq!(status(&admin.get("/metrics/").await), "404");
        let answer = admin.get("/v1/purge").await;
        assert!(status(&answer) == "405" && answer.contains("allow: POST\r\n"), "{answer}");
        for path in ["/metrics", "/healthz", "/readyz"] {
            let answer = admin.ask(&format!("DELETE {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            assert!(status(&answer) == "405" && answer.contains("allow: GET, HEAD\r\n"), "{answer}");
        }
    }

    #[tokio::test]
    async fn with_a_token_only_health_is_open() {
        let admin = start(Engines::default(), Some("s3cret")).await;
        let body = r#"{"url": "http://a/"}"#;
        assert_eq!(status(&admin.get("/healthz").await), "200");
        assert_eq!(status(&admin.get("/readyz").await), "200");
        for path in ["/metrics", "/v1/purge", "/anything"] {
            let answer = admin.get(path).await;
            assert_eq!(status(&answer), "401", "{path}");
            assert!(answer.contains("www-authenticate: Bearer realm=\"foreland\"\r\n"), "{answer}");
        }
        assert_eq!(status(&admin.purge("Authorization: Bearer wrong\r\n", body).await), "401");
        assert!(admin.engines.purged.lock().is_empty());
        assert_eq!(status(&admin.purge("Authorization: Bearer s3cret\r\n", body).await), "200");
    }

    #[tokio::test]
    async fn a_page_of_another_site_cannot_purge_through_a_browser() {
        let admin = start(Engines::default(), None).await;
        let body = r#"{"url": "http://a/"}"#;
        for origin in ["http://evil.example", "null", "http://a:81", "file://a"] {
            assert_eq!(status(&admin.purge(&format!("Origin: {origin}\r\n"), body).await), "403", "{origin}");
        }
        // Nor one that calls itself our own, under a name that leads here.
        assert_eq!(status(&admin.purge("Origin: http://a\r\n", body).await), "403");
        assert!(admin.engines.purged.lock().is_empty());
        let own = format!(
            "POST /v1/purge HTTP/1.1\r\nHost: 127.0.0.1:9900\r\nOrigin: http://127.0.0.1:9900\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(status(&admin.ask(&own).await), "200");
    }

    #[tokio::test]
    async fn the_end_waits_for_a_request_that_is_under_way() {
        let admin = start(Engines::default(), None).await;
        let mut stream = TcpStream::connect(admin.addr).await.unwrap();
        let head = "POST /v1/purge HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut go_ahead = [0; 25];
        stream.read_exact(&mut go_ahead).await.unwrap();
        admin.end.send(true).unwrap();
        stream.write_all(br#"{"url": "http://a/"}"#).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(status(&answer), "200", "{answer}");
        admin.task.await.unwrap();
        assert!(TcpStream::connect(admin.addr).await.is_err());
    }

    #[tokio::test]
    async fn more_connections_than_there_are_places_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let places = Arc::new(Semaphore::new(1));
        let _clients = [TcpStream::connect(addr).await.unwrap(), TcpStream::connect(addr).await.unwrap()];
        let first = accept(&listener, &places).await.unwrap();
        tokio::select! {
            biased;
            _ = accept(&listener, &places) => panic!("there was no place"),
            () = std::future::ready(()) => {}
        }
        drop(first);
        assert!(accept(&listener, &places).await.is_some());
    }

    async fn lifetime(sent: &[u8]) -> Duration {
        let admin = Admin { operations: Arc::new(Engines::default()), token: Arc::default() };
        let (mut client, server) = duplex(1024);
        client.write_all(sent).await.unwrap();
        let start = Instant::now();
        admin.connection(server).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_or_a_body_that_does_not_arrive_ends_the_connection() {
        assert_eq!(lifetime(b"GET /metrics HTTP/1.1\r\n").await.as_secs(), 10);
        assert_eq!(lifetime(b"").await.as_secs(), 10);
        let half = b"POST /v1/purge HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n{";
        assert_eq!(lifetime(half).await.as_secs(), 10);
    }
}
