//! What is not HTTP, or too much of it, is refused with a page, counted and logged, and never reaches an origin.

use crate::dsl::*;
use std::time::Duration;

/// Sends bytes and checks that they are refused with this status for this reason.
async fn assert_refused(edge: &Edge, origin: &Origin, bytes: &[u8], status: u16, reason: &str) {
    let before = edge.metric("foreland_refused_total", &[("reason", reason)]);
    let mut wire = edge.wire().await;
    wire.write(bytes).await;
    let answer = wire.answer("GET").await;
    let sent = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
    assert_eq!(answer.head.status, status, "{sent:?}: {answer:?}");
    answer.assert_field("connection", "close").assert_field("cache-control", "no-store");
    answer.assert_no_field("cache-status");
    let id = answer.field("x-request-id").unwrap();
    assert!(answer.whole && answer.text().contains(&id), "{answer:?}");
    wire.finish_writing().await;
    assert_eq!(wire.closed().await, b"", "{sent:?}");
    edge.assert_refused(reason, before + 1.0).await;
    until("its line in the log", || edge.log().iter().any(|line| line["id"] == id)).await;
    let log = edge.log();
    let line = log.iter().find(|line| line["id"] == id).unwrap();
    assert_eq!(
        (&line["status"], &line["reason"], &line["outcome"]),
        (&status.into(), &reason.into(), &"answer".into())
    );
    assert_eq!((&line["client"], &line["transport"]), (&"127.0.0.1".into(), &"front".into()));
    assert_eq!(origin.begun(), 0, "{sent:?}");
}

in_both_h1_modes! {
    async fn a_malformed_head_is_refused(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        for bytes in [
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX : z\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\0\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\rHost: a\r\n\r\n",
            "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}",
        ] {
            assert_refused(&edge, &origin, bytes.as_bytes(), 400, "bad_request").await;
        }
    }

    async fn what_cannot_be_done_has_its_own_status(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        for (bytes, status) in [
            ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n", 417),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ] {
            assert_refused(&edge, &origin, bytes.as_bytes(), status, "bad_request").await;
        }
    }

    async fn a_head_too_large_is_refused(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        let many = "X: y\r\n".repeat(101);
        let long = format!("X: {}\r\n", "y".repeat(33_000));
        for fields in [many, long] {
            let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            assert_refused(&edge, &origin, bytes.as_bytes(), 431, "head_too_large").await;
        }
        let bytes = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8192));
        assert_refused(&edge, &origin, bytes.as_bytes(), 414, "target_too_long").await;
        let endless = "a".repeat(10_000);
        assert_refused(&edge, &origin, endless.as_bytes(), 414, "target_too_long").await;
    }

    async fn the_largest_head_allowed_is_served(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        let path = format!("/{}", "a".repeat(8191));
        edge.get(&path).await.assert_body("hello");
        edge.get(&path).await.assert_body("hello").assert_cache_status("hit").assert_front();
        let many = (0..80).fold(get("/many"), |ask, n| ask.field(&format!("X-{n}"), &"y".repeat(300)));
        edge.send(many).await.assert_body("hello");
        assert_eq!(origin.last().field("x-79").unwrap().len(), 300);
    }

    async fn a_head_that_does_not_come_in_time_is_a_408(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let short = |setup: &mut foreland::setup::Setup| setup.limits.head_timeout = Duration::from_millis(100);
        let edge = Edge::with(mode, &[origin.address], short).await;
        for bytes in ["", "GET", "GET / HTTP/1.1\r\nHost: a\r\n", "PRI * HTTP/2.0\r\n"] {
            assert_refused(&edge, &origin, bytes.as_bytes(), 408, "head_timeout").await;
        }
        // One byte after the other does not win time.
        let mut wire = edge.wire().await;
        let dripping = async {
            loop {
                if tokio::io::AsyncWriteExt::write_all(&mut wire.io, b"a").await.is_err() {
                    return;
                }
                let mut byte = [0];
                let read = tokio::io::AsyncReadExt::read(&mut wire.io, &mut byte);
                if tokio::time::timeout(Duration::from_millis(10), read).await.is_ok() {
                    return;
                }
            }
        };
        soon(dripping, "the edge to lose its patience").await;
        // It is counted once the client has gone.
        drop(wire);
        edge.assert_refused("head_timeout", 5.0).await;
    }

    async fn a_client_that_says_nothing_and_leaves_is_no_request(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        drop(edge.wire().await);
        let mut half = edge.wire().await;
        half.write("GET / HT").await;
        drop(half);
        edge.get("/a").await.assert_body("hello");
        edge.assert_counted("miss:absent 1").await;
        assert_eq!(edge.logged("/a", 1).await.len(), edge.log().len());
    }

    async fn one_client_too_many_is_told_so(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], |setup| setup.limits.connections = 2).await;
        let mut first = edge.wire().await;
        let mut second = edge.wire().await;
        first.send(&get("/a")).await.assert_body("hello");
        second.send(&get("/a")).await.assert_body("hello");
        let mut third = edge.wire().await;
        third.answer("GET").await.assert_status(503).assert_field("retry-after", "5");
        edge.assert_refused("too_many_connections", 1.0).await;
        drop(first);
        until("room for another", || edge.connections() == 1).await;
        edge.wire().await.send(&get("/a")).await.assert_body("hello");
    }
}
