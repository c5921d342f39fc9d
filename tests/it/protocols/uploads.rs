//! Bodies towards the origin, streamed over every pair of protocols; and answers that tell no length.

use crate::dsl::*;
use bytes::Bytes;
use foreland::upstream::{Protocol, Settings};
use std::time::Duration;

/// An origin of one protocol that a test plays, whatever that is.
enum Seen {
    H1(Raw),
    H2(Box<Call>),
}

const ORIGINS: [Protocol; 2] = [Protocol::H1, Protocol::H2];

async fn start(mode: Mode, origin: Protocol, change: impl FnOnce(&mut Settings)) -> (Backend, Edge) {
    let backend = if origin == Protocol::H2 { Backend::h2().await } else { Backend::h1().await };
    let edge = Edge::before(mode, &backend.address.to_string(), |settings| {
        settings.protocol = origin;
        change(settings);
    })
    .await;
    (backend, edge)
}

impl Seen {
    async fn request(backend: &mut Backend, origin: Protocol) -> Self {
        if origin == Protocol::H2 {
            return Self::H2(Box::new(backend.call().await));
        }
        let mut raw = backend.connection().await;
        raw.head().await;
        Self::H1(raw)
    }

    /// Waits for a piece of the body that ends with these bytes, however it is framed.
    async fn until(&mut self, end: &[u8]) {
        let mut seen = Vec::new();
        while !memchr::memmem::find(&seen, end).is_some_and(|_| true) {
            match self {
                Self::H1(raw) => seen.extend(raw.exactly(1).await),
                Self::H2(call) => seen.extend(call.data().await.expect("the body ended")),
            }
        }
    }

    /// The rest of a chunked or unframed body, decoded.
    async fn rest(&mut self) -> Vec<u8> {
        match self {
            Self::H1(raw) => raw.chunks().await,
            Self::H2(call) => call.rest().await,
        }
    }

    async fn answer(&mut self, status: u16, body: &str) {
        match self {
            Self::H1(raw) => {
                let length = body.len();
                raw.write(format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}")).await;
            }
            Self::H2(call) => {
                call.answer(status, &[], body.is_empty());
                if !body.is_empty() {
                    call.send(body.to_owned(), true);
                }
            }
        }
    }
}

/// A client's side of an upload, piece by piece.
enum Upload {
    H1(Wire),
    H2(Exchange),
}

impl Upload {
    async fn begin(edge: &Edge) -> Self {
        if edge.mode.is_h2() {
            let request = http::Request::post(format!("http://{HOST}/upload")).version(http::Version::HTTP_2);
            let client = edge.another_client();
            return Self::H2(Exchange::begin(&client, request.body(()).unwrap(), false).await);
        }
        let mut wire = edge.wire().await;
        wire.write(format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n"))
            .await;
        Self::H1(wire)
    }

    async fn send(&mut self, piece: &str) {
        match self {
            Self::H1(wire) => wire.write(format!("{:x}\r\n{piece}\r\n", piece.len())).await,
            Self::H2(exchange) => exchange.send(piece.to_owned(), false),
        }
    }

    async fn end(&mut self) {
        match self {
            Self::H1(wire) => wire.write("0\r\n\r\n").await,
            Self::H2(exchange) => exchange.send("", true),
        }
    }

    /// Status and body of the answer.
    async fn answer(&mut self) -> (u16, Vec<u8>) {
        match self {
            Self::H1(wire) => {
                let answer = wire.answer("POST").await;
                (answer.head.status, answer.body)
            }
            Self::H2(exchange) => (exchange.head().await.status, exchange.rest().await),
        }
    }
}

in_every_mode! {
    async fn the_origin_sees_the_first_bytes_before_the_last_are_sent(mode) {
        for protocol in ORIGINS {
            let (mut backend, edge) = start(mode, protocol, |_| {}).await;
            let mut upload = Upload::begin(&edge).await;
            upload.send("first").await;
            let mut origin = Seen::request(&mut backend, protocol).await;
            origin.until(b"first").await;
            upload.send("last").await;
            origin.until(b"last").await;
            upload.end().await;
            origin.answer(201, "thanks").await;
            assert_eq!(upload.answer().await, (201, b"thanks".to_vec()));
            edge.assert_counted("bypass:method 1").await;
            let line = &edge.logged("/upload", 1).await[0];
            assert_eq!((&line["bytes_in"], &line["status"]), (&9.into(), &201.into()), "{line}");
            let spoken = if mode.is_h2() { "h2" } else { "http/1.1" };
            assert_eq!(line["protocol"], spoken);
        }
    }

    async fn a_large_body_arrives_whole(mode) {
        for protocol in ORIGINS {
            let (mut backend, edge) = start(mode, protocol, |_| {}).await;
            for chunked in [false, true] {
                // Its chunks are very small.
                let body = pattern(if chunked { 100_000 } else { 3_000_000 });
                let ask = post("/upload", body.clone());
                let ask = if chunked { ask.chunked() } else { ask };
                let client = edge.another_client();
                let asking = client.send(ask);
                let answering = async {
                    let mut origin = Seen::request(&mut backend, protocol).await;
                    let seen = match &mut origin {
                        Seen::H1(raw) if !chunked => raw.exactly(body.len()).await,
                        origin => origin.rest().await,
                    };
                    origin.answer(200, "whole").await;
                    (seen, origin)
                };
                let (answer, (seen, _origin)) = tokio::join!(asking, answering);
                assert!(seen == body, "{protocol:?} {chunked}: {}", seen.len());
                answer.assert_status(200).assert_body("whole");
            }
        }
    }

    async fn a_body_that_breaks_off_is_not_taken_for_whole(mode) {
        for protocol in ORIGINS {
            let (mut backend, edge) = start(mode, protocol, |_| {}).await;
            let mut upload = Upload::begin(&edge).await;
            upload.send("first").await;
            let mut origin = Seen::request(&mut backend, protocol).await;
            origin.until(b"first").await;
            match upload {
                Upload::H1(wire) => drop(wire),
                Upload::H2(exchange) => exchange.leave(),
            }
            match origin {
                // No last chunk.
                Seen::H1(mut raw) => assert_eq!(raw.closed().await, b"\r\n"),
                Seen::H2(mut call) => assert_eq!(call.given_up().await, h2::Reason::CANCEL),
            }
            edge.assert_counted("bypass:method 1").await;
            assert_eq!(edge.logged("/upload", 1).await[0]["status"], 499);
        }
    }

    async fn an_answer_may_come_before_the_body_has_ended(mode) {
        for protocol in ORIGINS {
            for body in ["no", ""] {
                let (mut backend, edge) = start(mode, protocol, |_| {}).await;
                let mut upload = Upload::begin(&edge).await;
                upload.send("first").await;
                let mut origin = Seen::request(&mut backend, protocol).await;
                origin.until(b"first").await;
                origin.answer(403, body).await;
                assert_eq!(upload.answer().await, (403, body.as_bytes().to_vec()), "{protocol:?}");
                // A client that goes on in silence is not waited for.
                edge.assert_counted("bypass:method 1").await;
                assert_eq!(edge.logged("/upload", 1).await[0]["status"], 403);
            }
        }
    }

    async fn an_origin_that_closes_after_an_early_answer_is_heard(mode) {
        let (mut backend, edge) = start(mode, Protocol::H1, |_| {}).await;
        let mut upload = Upload::begin(&edge).await;
        upload.send("first").await;
        let mut raw = backend.connection().await;
        raw.head().await;
        raw.write("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
        drop(raw);
        assert_eq!(upload.answer().await, (413, b"no".to_vec()));
    }

    async fn an_http2_origin_that_wants_no_more_of_a_body_is_heard(mode) {
        let (mut backend, edge) = start(mode, Protocol::H2, |_| {}).await;
        let mut upload = Upload::begin(&edge).await;
        upload.send("first").await;
        let mut call = backend.call().await;
        call.answer(413, &[], false);
        call.send("no", true);
        // RFC 9113 §8.1: the answer is whole, and the rest of the request refused with a reset.
        drop(call);
        upload.send("more").await;
        assert_eq!(upload.answer().await, (413, b"no".to_vec()));
    }

    async fn an_answer_over_http2_is_stored_like_any_other(mode) {
        let (mut backend, edge) = start(mode, Protocol::H2, |_| {}).await;
        let answering = async {
            let mut call = backend.call().await;
            call.answer(200, &[("cache-control", "max-age=60")], false);
            call.send("hello", false);
            call.trailers(&[("x-sum", "1")]);
        };
        let (first, ()) = tokio::join!(edge.get("/a"), answering);
        first.assert_status(200).assert_body("hello");
        edge.get("/a").await.assert_body("hello").assert_cache_status("hit");
        assert!(!backend.is_asked());
    }

    async fn a_client_that_stops_sending_is_not_the_origins_fault(mode) {
        for protocol in ORIGINS {
            let backend = if protocol == Protocol::H2 { Backend::h2().await } else { Backend::h1().await };
            let edge = Edge::with(mode, &[backend.address], |setup| {
                setup.upstreams[0].settings.protocol = protocol;
                setup.limits.body_timeout = Duration::from_millis(100);
            })
            .await;
            let mut upload = Upload::begin(&edge).await;
            upload.send("first").await;
            assert_eq!(upload.answer().await.0, 408, "{protocol:?}");
            edge.assert_refused("bad_request", 1.0).await;
        }
    }

    async fn an_origin_that_does_not_answer_an_upload_is_a_504(mode) {
        for protocol in ORIGINS {
            let quick = |settings: &mut Settings| settings.read = Duration::from_millis(100);
            let (mut backend, edge) = start(mode, protocol, quick).await;
            let mut upload = Upload::begin(&edge).await;
            upload.send("all").await;
            upload.end().await;
            let _origin = Seen::request(&mut backend, protocol).await;
            assert_eq!(upload.answer().await.0, 504, "{protocol:?}");
            edge.assert_metric("foreland_upstream_requests_total", &[("result", "error")], 1.0).await;
        }
    }

    async fn an_answer_without_a_length_is_whole_when_it_ends(mode) {
        let (mut backend, edge) = start(mode, Protocol::H1, |_| {}).await;
        for path in ["/a", "/post"] {
            let ask = if path == "/post" { post(path, "x") } else { get(path) };
            let asking = edge.send(ask);
            let answering = async {
                let mut raw = backend.connection().await;
                raw.head().await;
                raw.write("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n\r\nhello").await;
                raw.write(", world").await;
                raw.finish_writing().await;
                drop(raw);
            };
            let (answer, ()) = tokio::join!(asking, answering);
            answer.assert_status(200).assert_body("hello, world");
        }
    }

    async fn trailers_are_no_part_of_a_body(mode) {
        let (mut backend, edge) = start(mode, Protocol::H1, |_| {}).await;
        let answering = async {
            let mut raw = backend.connection().await;
            for _ in 0..2 {
                raw.head().await;
                raw.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nCache-Control: no-store\r\n\r\n").await;
                raw.write("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n").await;
            }
            raw
        };
        let asking = async {
            for _ in 0..2 {
                // RFC 9112 §7.1.2 allows to drop them; then they must not be promised.
                edge.get("/a").await.assert_status(200).assert_body("hello").assert_no_field("trailer");
            }
        };
        let _raw = tokio::join!(asking, answering).1;
    }

    async fn an_answer_over_http2_is_framed_for_its_client(mode) {
        let (mut backend, edge) = start(mode, Protocol::H2, |_| {}).await;
        for path in ["/a", "/post"] {
            let ask = if path == "/post" { post(path, "x") } else { get(path) };
            let asking = edge.send(ask);
            let answering = async {
                let mut call = backend.call().await;
                call.answer(200, &[("cache-control", "no-store")], false);
                call.send("hello", false);
                call.send(", world", false);
                call.trailers(&[("x-sum", "1")]);
            };
            let (answer, ()) = tokio::join!(asking, answering);
            answer.assert_status(200).assert_body("hello, world");
        }
        for (method, status) in [("HEAD", 200), ("GET", 204), ("DELETE", 204), ("GET", 304)] {
            let asking = edge.send(get("/b").method(method).field("Cache-Control", "no-store"));
            let answering = async {
                let mut call = backend.call().await;
                call.answer(status, &[], true);
            };
            let (answer, ()) = tokio::join!(asking, answering);
            answer.assert_status(status).assert_body("");
        }
    }
}

in_every_mode! {
    async fn a_route_may_take_more_or_less_than_the_others(mode) {
        let origin = Origin::start(|seen| ok(format!("{} bytes", seen.body.len()))).await;
        let routes = "- { match: { path: /less }, upstream: app, max_body: 10B }\n\
                      - { match: { path: /more }, upstream: app, max_body: unlimited }\n- { upstream: app }";
        let files = Files::with_routes(origin.address, routes);
        let main = std::fs::read_to_string(files.main()).unwrap();
        files.write("foreland.yaml", &format!("{main}limits: {{ max_body: 100B }}\n"));
        let edge = Edge::from_file(mode, &files.main()).await;
        for (path, length, status) in
            [("/less", 10, 200), ("/less", 11, 413), ("/", 100, 200), ("/", 101, 413), ("/more", 100_000, 200)]
        {
            for chunked in [false, true] {
                let ask = post(path, pattern(length));
                let client = edge.another_client();
                let answer = client.send(if chunked { ask.chunked() } else { ask }).await;
                assert_eq!(answer.head.status, status, "{path} {length} {chunked}");
            }
        }
    }
}

in_both_h1_modes! {
    async fn a_client_that_waits_to_be_asked_is_asked_before_an_http2_origin(mode) {
        let (mut backend, edge) = start(mode, Protocol::H2, |_| {}).await;
        let mut wire = edge.wire().await;
        for _ in 0..2 {
            wire.write("POST /a HTTP/1.1\r\nHost: edge.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
            assert_eq!(wire.any_head().await.unwrap().status, 100);
            wire.write("hello").await;
            let mut call = backend.call().await;
            assert_eq!(call.field("expect"), None);
            assert_eq!(call.rest().await, b"hello");
            call.answer(200, &[("content-length", "0")], true);
            wire.answer("POST").await.assert_status(200).assert_body("");
        }
    }

    async fn a_client_of_http_1_0_gets_no_chunks_from_an_http2_origin(mode) {
        let (mut backend, edge) = start(mode, Protocol::H2, |_| {}).await;
        for method in ["GET", "POST"] {
            let mut wire = edge.wire().await;
            let body = if method == "POST" { "Content-Length: 1\r\n\r\nx" } else { "\r\n" };
            wire.write(format!("{method} /a HTTP/1.0\r\nHost: edge.test\r\nCache-Control: no-store\r\n{body}")).await;
            let mut call = backend.call().await;
            call.answer(200, &[("cache-control", "no-store")], false);
            call.send("hello", true);
            let answer = wire.answer(method).await;
            answer.assert_status(200).assert_body("hello").assert_no_field("transfer-encoding");
        }
    }
}

#[tokio::test]
async fn an_upload_may_take_longer_than_an_origin_may_be_silent() {
    let quick = |settings: &mut Settings| settings.read = Duration::from_millis(500);
    for mode in [Mode::H1, Mode::H2] {
        let (mut backend, edge) = start(mode, Protocol::H2, quick).await;
        let mut upload = Upload::begin(&edge).await;
        upload.send("first").await;
        let mut origin = Seen::request(&mut backend, Protocol::H2).await;
        origin.until(b"first").await;
        // Another origin of the same cluster's kind is given up meanwhile.
        let other = edge.another_client();
        let get = get("/silent");
        let asking = other.begin(&get);
        let silent = Seen::request(&mut backend, Protocol::H2);
        let (incoming, _silent) = tokio::join!(asking, silent);
        assert_eq!(incoming.head.status, 504);
        upload.send("last").await;
        origin.until(b"last").await;
        upload.end().await;
        origin.answer(200, "").await;
        assert_eq!(upload.answer().await.0, 200);
    }
}

#[tokio::test]
async fn what_an_origin_does_not_take_is_not_piled_up() {
    for protocol in ORIGINS {
        let (mut backend, edge) = start(Mode::H2, protocol, |_| {}).await;
        let client = edge.another_client();
        let request = http::Request::post(format!("http://{HOST}/upload")).version(http::Version::HTTP_2);
        let mut exchange = Exchange::begin(&client, request.body(()).unwrap(), false).await;
        let _origin = Seen::request(&mut backend, protocol).await;
        let piled = exchange.send_until_refused(Bytes::from(vec![0; 64 << 10]), 256 << 20).await;
        // Sockets take some, the windows of HTTP/2 take some, and here is room for a few pieces.
        assert!(piled < 32 << 20, "{protocol:?}: {piled}");
    }
}
