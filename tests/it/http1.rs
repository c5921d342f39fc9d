//! What only HTTP/1 has: versions, forms of target, a connection that is kept or closed, a change of protocol.

use crate::dsl::*;

async fn hello() -> Origin {
    Origin::start(|seen| match seen.path() {
        "/chunked" => fresh("hel").piece("lo").chunked(),
        "/pass" => ok("hel").piece("lo").chunked(),
        _ => fresh("hello"),
    })
    .await
}

in_both_h1_modes! {
    async fn a_client_of_1_0_never_sees_a_chunk(mode) {
        let origin = hello().await;
        let edge = Edge::start(mode, &origin).await;
        for path in ["/chunked", "/chunked", "/pass", "/pass", "/a", "/a"] {
            let mut wire = edge.wire().await;
            wire.write(format!("GET {path} HTTP/1.0\r\nHost: edge.test\r\n\r\n")).await;
            let answer = wire.answer("GET").await;
            answer.assert_status(200).assert_body("hello").assert_no_field("transfer-encoding");
            assert_eq!(wire.closed().await, b"", "{path}");
        }
        edge.get("/chunked").await.assert_cache_status("hit");
    }

    async fn a_client_of_1_0_may_keep_its_connection(mode) {
        let origin = hello().await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await;
        let mut wire = edge.wire().await;
        for _ in 0..3 {
            wire.write("GET /a HTTP/1.0\r\nHost: edge.test\r\nConnection: keep-alive\r\n\r\n").await;
            let hit = wire.answer("GET").await;
            hit.assert_body("hello").assert_cache_status("hit").assert_field("connection", "keep-alive");
        }
        wire.write("GET /a HTTP/1.0\r\n\r\n").await;
        wire.answer("GET").await.assert_body("hello");
        assert_eq!(wire.closed().await, b"");
    }

    async fn a_connection_ends_when_the_client_says_so(mode) {
        let origin = hello().await;
        let edge = Edge::start(mode, &origin).await;
        for path in ["/a", "/a", "/pass"] {
            let mut wire = edge.wire().await;
            let answer = wire.send(&get(path).field("Connection", "close")).await;
            answer.assert_body("hello").assert_field("connection", "close");
            assert_eq!(wire.closed().await, b"");
        }
    }

    async fn a_connection_serves_so_many_requests(mode) {
        let origin = hello().await;
        let edge = Edge::with(mode, &[origin.address], |setup| setup.limits.requests = 3).await;
        let mut wire = edge.wire().await;
        for _ in 0..2 {
            assert_ne!(wire.send(&get("/a")).await.field("connection").as_deref(), Some("close"));
        }
        wire.send(&get("/a")).await.assert_body("hello").assert_field("connection", "close");
        assert_eq!(wire.closed().await, b"");
    }

    async fn an_idle_connection_is_closed_without_a_word(mode) {
        let origin = hello().await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            setup.limits.idle_timeout = std::time::Duration::from_millis(50);
        })
        .await;
        let mut wire = edge.wire().await;
        wire.send(&get("/a")).await.assert_body("hello");
        assert_eq!(wire.closed().await, b"");
    }

    async fn an_absolute_target_names_the_host(mode) {
        let origin = hello().await;
        let edge = Edge::start(mode, &origin).await;
        let mut wire = edge.wire().await;
        wire.write("GET http://edge.test/a?b HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
        wire.answer("GET").await.assert_body("hello").assert_cache_status("fwd=uri-miss; stored");
        let seen = origin.last();
        assert_eq!((seen.target.as_str(), seen.field("host").as_deref()), ("/a?b", Some(HOST)), "{seen:?}");
        wire.write("POST http://edge.test/p HTTP/1.1\r\nHost: other.test\r\nContent-Length: 2\r\n\r\nhi").await;
        wire.answer("POST").await.assert_body("hello");
        let seen = origin.last();
        assert_eq!((seen.target.as_str(), seen.field("host").as_deref()), ("/p", Some(HOST)), "{seen:?}");
        assert_eq!(seen.body, b"hi");
        // It is the same resource however it is named.
        edge.get("/a?b").await.assert_body("hello").assert_cache_status("hit").assert_front();
        wire.write("GET http://EDGE.test:80/a?b HTTP/1.1\r\nHost: edge.test\r\n\r\n").await;
        wire.answer("GET").await.assert_body("hello").assert_cache_status("hit");
    }

    async fn another_host_is_another_resource(mode) {
        let origin = Origin::start(|seen| fresh(seen.field("host").unwrap())).await;
        let edge = Edge::start(mode, &origin).await;
        let mut wire = edge.wire().await;
        for host in ["a.test", "b.test", "a.test:81", "a.test"] {
            wire.write(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            wire.answer("GET").await.assert_body(host);
        }
        edge.assert_counted("hit 1, miss:absent 3").await;
    }

    async fn empty_lines_before_a_request_are_ignored(mode) {
        let origin = hello().await;
        let edge = Edge::start(mode, &origin).await;
        let mut wire = edge.wire().await;
        for _ in 0..2 {
            wire.write([b"\r\n\r\n".as_slice(), &get("/a").wire()].concat()).await;
            wire.answer("GET").await.assert_body("hello");
        }
    }

    async fn a_client_that_has_finished_writing_still_gets_its_answers(mode) {
        let origin = hello().await;
        let edge = Edge::start(mode, &origin).await;
        let mut wire = edge.wire().await;
        wire.write([get("/a").wire(), get("/a").wire(), post("/b", "x").wire(), get("/a").wire()].concat()).await;
        wire.finish_writing().await;
        for method in ["GET", "GET", "POST", "GET"] {
            wire.answer(method).await.assert_status(200).assert_body("hello");
        }
        assert_eq!(wire.closed().await, b"");
    }

    async fn a_connection_becomes_a_websocket(mode) {
        let origin = Origin::start(|_| upgrade()).await;
        let edge = Edge::start(mode, &origin).await;
        let mut wire = edge.wire().await;
        let ask = get("/ws").field("Connection", "Upgrade").field("Upgrade", "websocket");
        wire.write(ask.field("Sec-WebSocket-Key", "x").wire()).await;
        let head = wire.head().await.unwrap();
        assert_eq!((head.status, head.field("upgrade").as_deref()), (101, Some("websocket")), "{head:?}");
        for (sent, echoed) in [("hello", "HELLO"), ("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"), ("x", "X")] {
            wire.write(sent).await;
            assert_eq!(wire.exactly(sent.len()).await, echoed.as_bytes());
        }
        assert_eq!(origin.last().field("upgrade").as_deref(), Some("websocket"));
        wire.finish_writing().await;
        assert_eq!(wire.closed().await, b"");
        edge.assert_counted("bypass:upgrade 1").await;
    }

    async fn an_upgrade_that_is_not_granted_is_an_answer(mode) {
        let origin = hello().await;
        let edge = Edge::start(mode, &origin).await;
        let mut wire = edge.wire().await;
        let ask = get("/a").field("Connection", "Upgrade").field("Upgrade", "websocket");
        wire.send(&ask).await.assert_status(200).assert_body("hello");
        edge.assert_counted("bypass:upgrade 1").await;
    }

    async fn what_is_pipelined_behind_an_upgrade_that_is_not_granted_spoils_nothing(mode) {
        let origin = hello().await;
        let edge = Edge::start(mode, &origin).await;
        let mut wire = edge.wire().await;
        let ask = get("/a").field("Connection", "Upgrade").field("Upgrade", "websocket");
        wire.write([ask.wire(), get("/b").wire()].concat()).await;
        wire.answer("GET").await.assert_status(200).assert_body("hello");
    }
}
