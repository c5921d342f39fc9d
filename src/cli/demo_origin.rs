//! A slow little web site to try Foreland on: `foreland demo` puts it behind the edge.
//!
//! Each page shows one thing a cache must get right. Nearly every body counts `origin request N`, so that a person
//! sees whether the origin was asked.

use super::demo_body::DemoBody;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LAST_MODIFIED, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long to leave the listener alone after it failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `until` says true, or its sender is gone; what is still being sent then is cut off. Each answer
/// begins after `delay`.
pub async fn serve(listener: TcpListener, delay: Duration, mut until: watch::Receiver<bool>) {
    let origin = Arc::new(DemoOrigin { delay, asked: AtomicU64::new(0), flaky: AtomicU64::new(0) });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = until.wait_for(|end| *end) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let origin = origin.clone();
                connections.spawn(async move { origin.connection(stream).await });
            }
            Err(error) => {
                log::warn!("demo origin: cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// The site, and how often it was asked.
struct DemoOrigin {
    delay: Duration,
    asked: AtomicU64,
    flaky: AtomicU64,
}

impl DemoOrigin {
    async fn connection(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(&request).await));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            log::debug!("demo origin: a connection ended early: {error}");
        }
    }

    async fn answer<B>(&self, request: &Request<B>) -> Response<DemoBody> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let fails = request.uri().path() == "/flaky" && self.flaky.fetch_add(1, Ordering::Relaxed) % 3 == 2;
        tokio::time::sleep(self.delay).await;
        page(request, number, fails)
    }
}

/// What is listed at `/`: each path, and what it shows.
const PAGES: [(&str, &str); 8] = [
    ("/page", "an HTML page: fresh for 60 s, then confirmed with a 304"),
    ("/api/items", "JSON: fresh for 5 s, served stale for 30 s more while it is fetched again"),
    ("/image.png", "an image: fresh for an hour"),
    ("/private", "sets a cookie: must not be stored, though it says max-age=60"),
    ("/never", "says no-store: fetched every time"),
    ("/flaky", "every third answer is a 500: the stale one is served instead"),
    ("/big", "10 MB: fresh for ten minutes; try a range"),
    ("/slow-stream", "a line each half second: others who ask meanwhile read along"),
];

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// The page's counter differs from answer to answer, which a reader may overlook: so the validator is a weak one.
const PAGE_TAG: &str = "W/\"page-1\"";
const BIG_TAG: &str = "\"big-1\"";
const MODIFIED: &str = "Sat, 01 Nov 2025 00:00:00 GMT";

const ASKED: HeaderName = HeaderName::from_static("x-origin-request");

/// The answer to the `number`th request. Pure, but for `/slow-stream`, whose body takes its time.
fn page<B>(request: &Request<B>, number: u64, fails: bool) -> Response<DemoBody> {
    let mut answer = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, path) => resource(path, request.headers(), number, fails),
        _ => not_allowed(),
    };
    answer.headers_mut().insert(ASKED, number.into());
    answer
}

fn resource(path: &str, fields: &HeaderMap, number: u64, fails: bool) -> Response<DemoBody> {
    match path {
        "/" => answer(HTML, "max-age=5", listing(number)),
        "/page" => validated(fields, PAGE_TAG, answer(HTML, "max-age=60", html(number))),
        "/api/items" => answer("application/json", "max-age=5, stale-while-revalidate=30", items(number)),
        "/image.png" => answer("image/png", "max-age=3600", IMAGE),
        "/private" => private(number),
        "/never" => answer(TEXT, "no-store", format!("never stored: origin request {number}\n")),
        "/flaky" => flaky(number, fails),
        "/big" => {
            validated(fields, BIG_TAG, answer("application/octet-stream", "max-age=600", DemoBody::big()))
        }
        "/slow-stream" => answer(TEXT, "max-age=30", DemoBody::slow(number)),
        _ => with_status(
            StatusCode::NOT_FOUND,
            answer(TEXT, "max-age=5", format!("nothing here: origin request {number}\n")),
        ),
    }
}

fn listing(number: u64) -> String {
    let item = |(path, about): (&str, &str)| format!("<li><a href=\"{path}\">{path}</a>: {about}\n");
    let items: String = PAGES.into_iter().map(item).collect();
    document("Foreland demo", number, &format!("<ul>\n{items}</ul>\n"))
}

fn html(number: u64) -> String {
    document(
        "A page",
        number,
        "<p>Load it again: within a minute the number stays.\n<p><img src=\"/image.png\" alt=\"\">\n",
    )
}

fn document(title: &str, number: u64, content: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n\
         <p>origin request {number}\n{content}</html>\n"
    )
}

fn items(number: u64) -> String {
    let items = serde_json::json!([{ "id": 1, "name": "lamp" }, { "id": 2, "name": "lens" }]);
    format!("{}\n", serde_json::json!({ "note": format!("origin request {number}"), "items": items }))
}

fn private(number: u64) -> Response<DemoBody> {
    let mut answer = answer(TEXT, "max-age=60", format!("for you alone: origin request {number}\n"));
    // Digits only, so it is always a valid field value.
    if let Ok(cookie) = HeaderValue::try_from(format!("session={number}; Path=/; HttpOnly")) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

fn flaky(number: u64, fails: bool) -> Response<DemoBody> {
    if fails {
        let sorry = answer(TEXT, "no-store", format!("broken: origin request {number}\n"));
        return with_status(StatusCode::INTERNAL_SERVER_ERROR, sorry);
    }
    answer(TEXT, "max-age=1", format!("worked this time: origin request {number}\n"))
}

/// Adds validators, and answers 304 without a body if the client has the representation already.
fn validated(fields: &HeaderMap, tag: &'static str, mut answer: Response<DemoBody>) -> Response<DemoBody> {
    answer.headers_mut().insert(ETAG, HeaderValue::from_static(tag));
    answer.headers_mut().insert(LAST_MODIFIED, HeaderValue::from_static(MODIFIED));
    if !has_tag(fields, tag) {
        return answer;
    }
    *answer.body_mut() = DemoBody::empty();
    answer.headers_mut().remove(CONTENT_TYPE);
    with_status(StatusCode::NOT_MODIFIED, answer)
}

/// RFC 9110 §13.1.2: If-None-Match compares weakly, and takes a list or `*`. Our tags have no comma.
fn has_tag(fields: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let lists = fields.get_all(IF_NONE_MATCH).into_iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|sent| sent.trim() == "*" || opaque(sent) == opaque(tag))
}

fn not_allowed() -> Response<DemoBody> {
    let mut answer = answer(TEXT, "no-store", "GET and HEAD only\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    with_status(StatusCode::METHOD_NOT_ALLOWED, answer)
}

fn with_status(status: StatusCode, mut answer: Response<DemoBody>) -> Response<DemoBody> {
    *answer.status_mut() = status;
    answer
}

fn answer(
    content_type: &'static str,
    caching: &'static str,
    body: impl Into<DemoBody>,
) -> Response<DemoBody> {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    answer
}

/// A foreland: a hill, the sea, the sun. 64 × 64 pixels, PNG with a palette.
const IMAGE: &[u8] = b"\
    \x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00@\x00\x00\x00@\x02\x03\x00\x00\x00\xd7\x07\x99M\x00\x00\
    \x00\x0cPLTE\x9c\xd3\xf0.m\xa4\xf2\xe2\xb6\xff\xff\xffZ\x1d\xfa\xf7\x00\x00\x00|IDATx\xda\xed\x8f\xbb\x0d\x800\
    \x0cD\xa3\xd0\x20\x1a\xf6\xc8\x12L\xc1>\x8c\xe2\x12\xdd\x14\x8c\xc4\x00H\xe6\x13\x14rNE\x81\xa0\xe0\xba{\xd2\
    \xd3\xd9\xce}/\x9d\x1a\xa0:Q\xafTg\x02\xad\xea\xf2\x02(\xee(.-\x7fy<\xb5\x05\xc1t\x0fa\xd0`4\x06\xc0\x00\xc0\
    \xc0\x06\xd8\xd9\x0cv\xf6\x9e;\xfe\x00b\x8c\xdc\x89\xfdr\xfc\x09$\x1fE>\x0c\xb0\xe3\x13\x106\x92\x13\x12\x88\
    \xc3\xbd\xc9\x0f\xee\x82\x15\x11\x85\xca\xa4\x03\xc5\x95U\x00\x00\x00\x00IEND\xaeB`\x82";

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    fn ask(method: &str, path: &str, tag: Option<&str>) -> Response<DemoBody> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        page(&request.body(()).unwrap(), 7, false)
    }

    fn get(path: &str) -> Response<DemoBody> {
        ask("GET", path, None)
    }

    async fn text(answer: Response<DemoBody>) -> String {
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn every_page_says_how_it_may_be_cached() {
        for (path, status, caching) in [
            ("/", 200, "max-age=5"),
            ("/page", 200, "max-age=60"),
            ("/api/items", 200, "max-age=5, stale-while-revalidate=30"),
            ("/image.png", 200, "max-age=3600"),
            ("/private", 200, "max-age=60"),
            ("/never", 200, "no-store"),
            ("/flaky", 200, "max-age=1"),
            ("/big", 200, "max-age=600"),
            ("/slow-stream", 200, "max-age=30"),
            ("/missing", 404, "max-age=5"),
        ] {
            let answer = get(path);
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.headers()[CACHE_CONTROL], caching, "{path}");
            assert_eq!(answer.headers()[ASKED], "7", "{path}");
        }
        assert!(get("/private").headers()[SET_COOKIE].to_str().unwrap().starts_with("session="));
    }

    #[tokio::test(start_paused = true)]
    async fn a_person_can_see_whether_the_origin_was_asked() {
        for path in ["/", "/page", "/api/items", "/private", "/never", "/flaky", "/slow-stream", "/missing"] {
            let text = text(get(path)).await;
            assert!(text.contains("origin request 7"), "{path}: {text}");
        }
    }

    #[tokio::test]
    async fn every_page_is_listed() {
        let listing = text(get("/")).await;
        for (path, _) in PAGES {
            assert!(listing.contains(&format!("<a href=\"{path}\">")), "{listing}");
            assert_eq!(get(path).status(), 200, "{path}");
        }
        serde_json::from_str::<serde_json::Value>(&text(get("/api/items")).await).unwrap();
    }

    #[tokio::test]
    async fn who_has_the_page_gets_a_304_without_a_body() {
        for tag in ["W/\"page-1\"", "\"page-1\"", "\"other\", W/\"page-1\"", "*"] {
            let answer = ask("GET", "/page", Some(tag));
            assert_eq!(answer.status(), 304, "{tag}");
            assert_eq!(answer.headers()[ETAG], PAGE_TAG);
            assert_eq!(answer.headers()[CACHE_CONTROL], "max-age=60");
            assert_eq!(text(answer).await, "");
        }
        assert_eq!(ask("GET", "/page", Some("\"page-2\"")).status(), 200);
        assert_eq!(ask("GET", "/big", Some(BIG_TAG)).status(), 304);
        assert_eq!(ask("GET", "/never", Some("*")).status(), 200);
    }

    #[tokio::test]
    async fn every_third_answer_of_the_flaky_page_is_a_500() {
        let origin = DemoOrigin { delay: Duration::ZERO, asked: AtomicU64::new(0), flaky: AtomicU64::new(0) };
        let request = |path: &str| Request::get(path).body(()).unwrap();
        let mut seen = Vec::new();
        for _ in 0..6 {
            origin.answer(&request("/page")).await;
            seen.push(origin.answer(&request("/flaky")).await.status().as_u16());
        }
        assert_eq!(seen, [200, 200, 500, 200, 200, 500]);
    }

    #[test]
    fn only_get_and_head_are_served() {
        let answer = ask("POST", "/page", None);
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[ALLOW]),
            (405, &HeaderValue::from_static("GET, HEAD"))
        );
    }

    #[test]
    fn the_image_is_a_png() {
        assert!(IMAGE.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0@\0\0\0@"));
        assert!(IMAGE.ends_with(b"IEND\xaeB`\x82"));
        assert_eq!(IMAGE.len(), 205);
    }

    /// Sends a request over a wire of its own, and tells what came back and how long it took.
    async fn over_the_wire(request: &str) -> (String, Duration) {
        let delay = Duration::from_millis(200);
        let origin = DemoOrigin { delay, asked: AtomicU64::new(0), flaky: AtomicU64::new(0) };
        let (mut client, server) = duplex(64 << 10);
        let start = Instant::now();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::join!(origin.connection(server), async { client.read_to_end(&mut answer).await.unwrap() });
        (String::from_utf8_lossy(&answer).into_owned(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_takes_as_long_as_it_was_told_to() {
        let (answer, took) =
            over_the_wire("GET /never HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(answer.ends_with("\r\n\r\nnever stored: origin request 1\n"), "{answer}");
        assert_eq!(took.as_millis(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn head_tells_the_length_of_what_get_would_send() {
        let (answer, _) = over_the_wire("HEAD /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(answer.contains("content-length: 10000000\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_304_on_the_wire_has_no_body() {
        let (answer, _) = over_the_wire(
            "GET /page HTTP/1.1\r\nHost: a\r\nIf-None-Match: W/\"page-1\"\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 304 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(
            !answer.contains("content-length: 0"),
            "a 304 must not claim that the page is empty: {answer}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_slow_stream_is_chunked_and_takes_five_seconds() {
        let (answer, took) =
            over_the_wire("GET /slow-stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(answer.contains("transfer-encoding: chunked\r\n"), "{answer}");
        assert_eq!(answer.matches("origin request 1").count(), 10);
        assert_eq!(took.as_millis(), 200 + 5_000);
    }

    #[tokio::test]
    async fn it_serves_on_a_socket_until_it_is_told_to_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (end, until) = watch::channel(false);
        let task = tokio::spawn(serve(listener, Duration::ZERO, until));
        let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        end.send(true).unwrap();
        task.await.unwrap();
        assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    }
}
