//! What is not stored is compressed while it passes: every client gets what it can read, whole, and at once.

use crate::dsl::*;
use foreland::rules::{Rule, RuleSet, Then, When};
use foreland::setup::{Route, Setup};
use foreland::upstream::Protocol;
use std::io::Read;
use std::sync::Arc;

/// What is given for what is asked for.
const CODINGS: [(&str, &str); 4] = [
    ("br", "gzip, deflate, br, zstd"),
    ("gzip", "deflate, gzip;q=0.8, br;q=0.5"),
    ("zstd", "identity;q=0, zstd;q=0.1"),
    ("gzip", "gzip"),
];

fn compressing(setup: &mut Setup) {
    setup.compress.types = vec!["text/*".into(), "application/*".into()];
    setup.compress.cpu_percent = 100;
}

async fn before(mode: Mode, origin: &Origin) -> Edge {
    Edge::with(mode, &[origin.address], compressing).await
}

/// Whatever can be read of a compressed body, and whether it is whole.
fn read(coding: &str, body: &[u8]) -> (Vec<u8>, bool) {
    let mut reader: Box<dyn Read + '_> = match coding {
        "br" => Box::new(brotli::Decompressor::new(body, 4096)),
        "gzip" => Box::new(flate2::read::MultiGzDecoder::new(body)),
        "zstd" => Box::new(zstd::stream::read::Decoder::new(body).unwrap()),
        other => panic!("nobody asked for {other:?}"),
    };
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return (all, !body.is_empty()),
            Ok(length) => all.extend(&piece[..length]),
            Err(_) => return (all, false),
        }
    }
}

/// It is this body, compressed this way.
#[track_caller]
fn assert_compressed(answer: &Answer, coding: &str, body: &[u8]) {
    answer.assert_field("content-encoding", coding).assert_no_field("content-length");
    assert!(answer.whole, "the body broke off: {:?}", answer.head);
    let (read, whole) = read(coding, &answer.body);
    assert!(whole && read == body, "{} bytes, whole: {whole}", read.len());
    assert!(answer.body.len() < body.len() / 2, "{} bytes", answer.body.len());
}

/// It is this body, as it came.
#[track_caller]
fn assert_plain(answer: &Answer, body: &[u8]) {
    answer.assert_body(body).assert_no_field("content-encoding");
}

/// A text that is not stored.
fn text(body: impl Into<bytes::Bytes>) -> Reply {
    ok(body).field("Content-Type", "text/plain").field("Cache-Control", "no-store")
}

in_every_mode! {
    and_over_tls;

    async fn each_client_gets_what_it_likes_best_and_can_read(mode) {
        let body = pattern(100_000);
        let sent = body.clone();
        let origin = Origin::start(move |seen| match seen.path() {
            "/chunks" => sent.chunks(30_000).fold(text(""), |reply, piece| reply.piece(piece.to_vec())).chunked(),
            "/close" => text(sent.clone()).until_close(),
            _ => text(sent.clone()),
        })
        .await;
        let edge = before(mode, &origin).await;
        for (coding, accepted) in CODINGS {
            for path in ["/length", "/chunks", "/close"] {
                // First by a fetch of the cache, then past it.
                for ask in [get(path), get(path), post(path, "question"), post(path, "question").chunked()] {
                    let answer = edge.send(ask.field("Accept-Encoding", accepted)).await;
                    assert_compressed(&answer, coding, &body);
                    answer.assert_field("vary", "Accept-Encoding");
                }
            }
        }
        for accepted in ["identity", "gzip;q=0", "deflate", "br;q=0.5, identity"] {
            for _ in 0..2 {
                let answer = edge.send(get("/length").field("Accept-Encoding", accepted)).await;
                assert_plain(&answer, &body);
                answer.assert_field("vary", "Accept-Encoding").assert_field("content-length", "100000");
            }
        }
    }
}

in_every_mode! {
    async fn the_origin_is_asked_as_the_client_asks_and_may_compress_by_itself(mode) {
        let origin = Origin::start(|_| text(pattern(5000)).field("Content-Encoding", "gzip")).await;
        let edge = before(mode, &origin).await;
        for (at, asked) in ["identity", "br, gzip;q=0.5"].into_iter().enumerate() {
            let answer = edge.send(get("/a").field("Accept-Encoding", "br, gzip;q=0.5")).await;
            answer.assert_body(pattern(5000)).assert_field("content-encoding", "gzip").assert_no_field("vary");
            assert_eq!(origin.seen()[at].field("accept-encoding").as_deref(), Some(asked));
        }
        edge.assert_metric("foreland_compress_runs_total", &[], 0.0).await;
    }

    async fn an_origin_over_http2_is_compressed_too_and_its_trailers_go(mode) {
        let body = pattern(100_000);
        let mut backend = Backend::h2().await;
        let edge = Edge::with(mode, &[], |setup| {
            compressing(setup);
            setup.upstreams[0].servers = vec![backend.address.to_string().parse::<foreland::upstream::ServerAddress>().unwrap().into()];
            setup.upstreams[0].settings.protocol = Protocol::H2;
        })
        .await;
        for trailers in [false, true] {
            for ask in [get("/a"), get("/a"), post("/a", "question")] {
                let ask = ask.field("Accept-Encoding", "gzip").field("TE", "trailers");
                let answering = async {
                    let mut call = backend.call().await;
                    call.rest().await;
                    call.answer(200, &[("content-type", "text/plain"), ("cache-control", "no-store")], false);
                    call.send(body.clone(), !trailers);
                    if trailers {
                        call.trailers(&[("digest", "x")]);
                    }
                    // It lives until the client has read it.
                    call
                };
                let (answer, call) = tokio::join!(edge.send(ask), answering);
                assert_compressed(&answer, "gzip", &body);
                drop(call);
            }
        }
    }

    async fn a_head_is_that_of_a_get_without_its_body(mode) {
        let origin = Origin::start(|_| text(pattern(5000)).field("ETag", "\"x\"").field("Accept-Ranges", "bytes")).await;
        let edge = before(mode, &origin).await;
        for path in ["/a", "/a", "/b"] {
            for ask in [head(path), get(path)] {
                let answer = edge.send(ask.field("Accept-Encoding", "br")).await;
                answer.assert_status(200).assert_field("content-encoding", "br").assert_field("etag", "W/\"x\"");
                answer.assert_field("vary", "Accept-Encoding").assert_no_field("content-length");
                answer.assert_no_field("accept-ranges");
                assert_ne!(answer.field("connection").as_deref(), Some("close"));
                assert!(answer.whole);
            }
        }
        assert_eq!(edge.connections(), 1);
        edge.assert_metric("foreland_compress_runs_total", &[("coding", "br"), ("run", "pass")], 3.0).await;
    }

    async fn what_may_not_be_changed_or_is_not_worth_it_passes_as_it_came(mode) {
        let origin = Origin::start(|seen| match seen.path() {
            "/no-transform" => ok(pattern(5000)).field("Content-Type", "text/plain").field("Cache-Control", "no-store, no-transform"),
            "/small" => text("small"),
            "/image" => ok(pattern(5000)).field("Content-Type", "image/png").field("Cache-Control", "no-store"),
            "/untyped" => ok(pattern(5000)).field("Cache-Control", "no-store"),
            "/part" if seen.field("range").is_some() => reply(206)
                .piece(pattern(5000))
                .field("Content-Type", "text/plain")
                .field("Content-Range", "bytes 0-4999/9000"),
            "/part" => text(pattern(9000)),
            _ => text(pattern(5000)).field("ETag", "\"x\""),
        })
        .await;
        let edge = before(mode, &origin).await;
        for path in ["/no-transform", "/image", "/untyped"] {
            for _ in 0..2 {
                let answer = edge.send(get(path).field("Accept-Encoding", "gzip")).await;
                assert_plain(&answer, &pattern(5000));
                answer.assert_no_field("vary").assert_field("content-length", "5000");
            }
        }
        assert_plain(&edge.send(get("/small").field("Accept-Encoding", "gzip")).await, b"small");
        for _ in 0..2 {
            let ask = get("/asked").field("Accept-Encoding", "gzip").field("Cache-Control", "no-transform");
            let answer = edge.send(ask).await;
            assert_plain(&answer, &pattern(5000));
            answer.assert_field("vary", "Accept-Encoding").assert_field("etag", "\"x\"");
        }
        edge.get("/part").await.assert_status(200);
        let ask = get("/part").field("Accept-Encoding", "gzip").field("Range", "bytes=0-4999");
        let part = edge.send(ask).await;
        assert_plain(part.assert_status(206).assert_no_field("vary"), &pattern(5000));
        // A range that the origin does not heed is answered with the whole.
        edge.get("/whole").await.assert_status(200);
        let ask = get("/whole").field("Accept-Encoding", "gzip").field("Range", "bytes=0-1");
        assert_compressed(edge.send(ask).await.assert_status(200), "gzip", &pattern(5000));
    }

    async fn routes_and_rules_can_leave_it(mode) {
        let origin = Origin::start(|_| text(pattern(5000))).await;
        let never = Rule {
            name: "never".into(),
            place: "".into(),
            when: When::All(Vec::new()),
            then: Then { compress: Some(false), ..Then::default() },
        };
        let rules = Arc::new(RuleSet::open(vec![never]));
        let upstream: Arc<str> = "origin".into();
        let routes = [
            Route { compress: false, ..Route::to(&upstream, foreland::config::default_rules()) },
            Route::to(&upstream, rules),
        ];
        for route in routes {
            let edge = Edge::with(mode, &[origin.address], |setup| {
                compressing(setup);
                setup.routes = vec![Arc::new(route)];
            })
            .await;
            for _ in 0..2 {
                let answer = edge.send(get("/a").field("Accept-Encoding", "gzip")).await;
                assert_plain(&answer, &pattern(5000));
                answer.assert_no_field("vary");
            }
        }
        let edge = Edge::with(mode, &[origin.address], |setup| {
            compressing(setup);
            setup.routes = vec![Arc::new(Route { rules: None, ..Route::to(&upstream, foreland::config::default_rules()) })];
        })
        .await;
        assert_compressed(&edge.send(get("/a").field("Accept-Encoding", "gzip")).await, "gzip", &pattern(5000));
    }

    async fn a_tag_is_weak_and_its_confirmation_too(mode) {
        let origin = Origin::start(|seen| {
            let reply = match seen.field("if-none-match") {
                Some(_) => reply(304),
                None => text(pattern(5000)),
            };
            reply.field("ETag", if seen.path() == "/odd" { "x" } else { "\"x\"" }).field("Vary", "Cookie")
        })
        .await;
        let edge = before(mode, &origin).await;
        for _ in 0..2 {
            let answer = edge.send(get("/a").field("Accept-Encoding", "zstd")).await;
            assert_compressed(&answer, "zstd", &pattern(5000));
            answer.assert_field("etag", "W/\"x\"").assert_field("vary", "Cookie, Accept-Encoding");
            edge.send(get("/odd").field("Accept-Encoding", "zstd")).await.assert_no_field("etag");
        }
        for (held, confirmed) in [("W/\"x\"", "W/\"x\""), ("\"x\"", "\"x\"")] {
            let answer = edge.send(get("/a").field("Accept-Encoding", "zstd").field("If-None-Match", held)).await;
            answer.assert_status(304).assert_field("etag", confirmed).assert_field("vary", "Cookie, Accept-Encoding");
        }
    }

    async fn an_event_is_read_before_the_next_is_sent(mode) {
        for (coding, accepted) in CODINGS {
            let gates: [Gate; 3] = std::array::from_fn(|_| Gate::new());
            let held = gates.clone();
            let origin = Origin::start(move |_| {
                let reply = reply(200).field("Content-Type", "text/event-stream").field("Cache-Control", "no-store");
                let event = |n: usize| format!("data: {n} {}\n\n", "x".repeat(n * 50_000));
                held.iter().enumerate().fold(reply, |reply, (n, gate)| reply.piece(event(n)).wait(gate)).piece("end").chunked()
            })
            .await;
            let edge = before(mode, &origin).await;
            let mut incoming = edge.begin(get("/events").field("Accept-Encoding", accepted)).await;
            assert_eq!(incoming.head.field("content-encoding").as_deref(), Some(coding));
            for gate in gates {
                while !read(coding, &incoming.body).0.ends_with(b"\n\n") {
                    assert!(incoming.more().await, "{coding}");
                }
                gate.open();
                assert!(incoming.more().await, "{coding}");
            }
            let answer = edge.finish(incoming).await;
            let (text, whole) = read(coding, &answer.body);
            assert!(whole && answer.whole && text.ends_with(b"\n\nend"), "{coding}");
        }
    }

    async fn what_breaks_off_at_the_origin_breaks_off_at_the_client(mode) {
        let origin = Origin::start(|seen| match seen.path() {
            "/chunks" => text(pattern(50_000)).chunked().cut(),
            _ => text(pattern(50_000)).length(100_000).cut(),
        })
        .await;
        let edge = before(mode, &origin).await;
        for (coding, accepted) in CODINGS {
            for path in ["/chunks", "/length"] {
                for ask in [get(path), get(path), post(path, "question")] {
                    let client = edge.another_client();
                    let ask = ask.field("Accept-Encoding", accepted);
                    let answer = client.finish(client.begin(&ask).await).await;
                    answer.assert_broken();
                    assert!(!read(coding, &answer.body).1, "{coding} {path}");
                }
            }
        }
    }

    async fn a_client_that_leaves_is_not_compressed_for(mode) {
        for _ in 0..2 {
            let mut backend = Backend::h1().await;
            let edge = Edge::with(mode, &[backend.address], compressing).await;
            let client = edge.another_client();
            let ask = get("/a").field("Accept-Encoding", "br");
            let answering = async {
                let mut raw = backend.connection().await;
                raw.head().await;
                raw.write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n\r\nhello").await;
                raw
            };
            let (mut incoming, mut raw) = tokio::join!(client.begin(&ask), answering);
            assert!(incoming.more().await);
            assert_eq!(read("br", &incoming.body).0, b"hello");
            incoming.leave();
            drop(client);
            raw.closed().await;
        }
    }

    async fn what_would_cost_too_much_goes_out_as_it_is_and_is_counted(mode) {
        let origin = Origin::start(|_| text(pattern(5000)).field("ETag", "\"x\"")).await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            compressing(setup);
            setup.compress.cpu_percent = 0;
        })
        .await;
        for ask in [get("/a"), get("/a"), post("/a", "question")] {
            let answer = edge.send(ask.field("Accept-Encoding", "gzip")).await;
            assert_plain(&answer, &pattern(5000));
            answer.assert_field("vary", "Accept-Encoding").assert_field("etag", "\"x\"").assert_field("content-length", "5000");
        }
        edge.assert_metric("foreland_compress_shed_total", &[("why", "cpu")], 3.0).await;
        edge.assert_metric("foreland_compress_runs_total", &[], 0.0).await;
    }

    async fn log_and_metrics_tell_what_went_over_the_wire(mode) {
        let origin = Origin::start(|_| text(pattern(100_000))).await;
        let edge = before(mode, &origin).await;
        let mut sent = 0;
        for ask in [get("/a"), get("/a"), post("/a", "question")] {
            sent += edge.send(ask.field("Accept-Encoding", "gzip")).await.body.len();
        }
        let logged = edge.logged("/a", 3).await;
        assert_eq!(logged.iter().map(|line| line["bytes_out"].as_u64().unwrap()).sum::<u64>(), sent as u64);
        let labels = |side| [("coding", "gzip"), ("run", "pass"), ("side", side)];
        edge.assert_metric("foreland_compress_bytes_total", &labels("in"), 300_000.0).await;
        edge.assert_metric("foreland_compress_bytes_total", &labels("out"), sent as f64).await;
        edge.assert_metric("foreland_compress_runs_total", &[("run", "pass")], 3.0).await;
        assert!(edge.metric("foreland_compress_seconds_total", &[("run", "pass")]) > 0.0);
    }
}

in_both_h1_modes! {
    async fn a_client_of_http_1_0_gets_no_stream(mode) {
        let origin = Origin::start(|seen| match seen.path() {
            "/chunks" => text(pattern(5000)).chunked(),
            _ => text(pattern(5000)),
        })
        .await;
        let edge = before(mode, &origin).await;
        for path in ["/a", "/a", "/chunks", "/chunks"] {
            let mut wire = edge.wire().await;
            wire.write(format!("GET {path} HTTP/1.0\r\nHost: {HOST}\r\nAccept-Encoding: gzip\r\n\r\n")).await;
            let answer = wire.answer("GET").await;
            assert_plain(&answer, &pattern(5000));
            answer.assert_no_field("transfer-encoding").assert_field("vary", "Accept-Encoding");
        }
    }

    async fn an_origin_of_http_1_0_is_given_chunks(mode) {
        let mut backend = Backend::h1().await;
        let edge = Edge::with(mode, &[backend.address], compressing).await;
        for _ in 0..2 {
            let answering = async {
                let mut raw = backend.connection().await;
                raw.head().await;
                let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\nContent-Length: 5000\r\n\r\n";
                raw.write([head.as_bytes(), &pattern(5000)].concat()).await;
                raw.finish_writing().await;
            };
            let mut wire = edge.wire().await;
            let ask = get("/a").field("Accept-Encoding", "gzip");
            let (answer, ()) = tokio::join!(wire.send(&ask), answering);
            assert_compressed(&answer, "gzip", &pattern(5000));
            answer.assert_field("transfer-encoding", "chunked");
        }
    }

    async fn a_websocket_is_left_alone(mode) {
        let origin = Origin::start(|_| upgrade().field("Content-Type", "text/plain")).await;
        let edge = before(mode, &origin).await;
        let mut wire = edge.wire().await;
        wire.write(format!(
            "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nAccept-Encoding: gzip\r\n\r\n"
        ))
        .await;
        let head = wire.any_head().await.unwrap();
        assert_eq!((head.status, head.field("content-encoding")), (101, None), "{head:?}");
        wire.write("hello").await;
        assert_eq!(wire.exactly(5).await, b"HELLO");
    }
}

#[tokio::test]
async fn grpc_is_left_alone() {
    let mut backend = Backend::h2().await;
    let edge = Edge::with(Mode::H2, &[], |setup| {
        compressing(setup);
        let server: foreland::upstream::ServerAddress = backend.address.to_string().parse().unwrap();
        setup.upstreams[0].servers = vec![server.into()];
        setup.upstreams[0].settings.protocol = Protocol::H2;
    })
    .await;
    let client = edge.another_client();
    let request = http::Request::post(format!("http://{HOST}/a")).version(http::Version::HTTP_2);
    let request = request.header("content-type", "application/grpc+proto").header("accept-encoding", "gzip");
    let mut exchange = Exchange::begin(&client, request.body(()).unwrap(), true).await;
    let mut call = backend.call().await;
    call.answer(200, &[("content-type", "application/grpc+proto")], false);
    call.send(pattern(5000), false);
    call.trailers(&[("grpc-status", "0")]);
    let head = exchange.head().await;
    assert_eq!((head.field("content-encoding"), head.field("vary")), (None, None), "{head:?}");
    assert_eq!(exchange.rest().await, pattern(5000));
    assert_eq!(exchange.trailers().await.unwrap().get("grpc-status").unwrap(), "0");
}
