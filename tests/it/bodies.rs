//! Request bodies: streamed to the origin in either framing, bounded, and asked for when the client waits for that.

use crate::dsl::*;

async fn sink() -> Origin {
    Origin::start(|seen| ok(format!("{} bytes", seen.body.len()))).await
}

in_every_mode! {
    and_over_tls;

    async fn a_body_reaches_the_origin_as_it_was_sent(mode) {
        let origin = sink().await;
        let edge = Edge::start(mode, &origin).await;
        for length in [1, 100, 200_000] {
            for chunked in [false, true] {
                let body = pattern(length);
                let ask = post("/a", body.clone());
                let answer = edge.send(if chunked { ask.chunked() } else { ask }).await;
                answer.assert_status(200).assert_body(format!("{length} bytes"));
                assert!(origin.last().body == body, "{length} {chunked}");
            }
        }
        edge.assert_counted("bypass:method 6").await;
        let log = edge.logged("/a", 6).await;
        assert_eq!(log[5]["bytes_in"], 200_000);
    }

    async fn an_empty_body_is_no_body(mode) {
        let origin = sink().await;
        let edge = Edge::start(mode, &origin).await;
        edge.send(post("/a", "")).await.assert_body("0 bytes");
        edge.send(post("/a", "").chunked()).await.assert_body("0 bytes");
        edge.get("/a").await.assert_body("0 bytes");
    }

    async fn a_body_too_large_is_refused(mode) {
        let origin = sink().await;
        let edge = Edge::with(mode, &[origin.address], |setup| setup.limits.max_body = 10).await;
        edge.send(post("/a", "0123456789")).await.assert_status(200).assert_body("10 bytes");
        edge.send(post("/a", "0123456789").chunked()).await.assert_status(200).assert_body("10 bytes");
        for chunked in [false, true] {
            let ask = post("/a", "0123456789a");
            let client = edge.another_client();
            let ask = if chunked { ask.chunked() } else { ask };
            let answer = client.finish(client.begin(&ask).await).await;
            answer.assert_status(413).assert_field("cache-control", "no-store");
            let id = answer.field("x-request-id").unwrap();
            assert!(answer.text().contains(&id), "{answer:?}");
        }
        edge.assert_refused("body_too_large", 2.0).await;
        edge.assert_counted("answer:body_too_large 2, bypass:method 2").await;
        assert_eq!(origin.requests("/a"), 2);
        let log = edge.logged("/a", 4).await;
        assert_eq!((&log[3]["status"], &log[3]["reason"]), (&413.into(), &"body_too_large".into()));
    }

    async fn an_answer_before_the_end_of_a_body_is_passed_on(mode) {
        // The origin reads nothing of a body it does not want.
        let origin = Origin::start(|_| reply(403).piece("no").close()).await;
        let edge = Edge::start(mode, &origin).await;
        edge.send(post("/a", "some")).await.assert_status(403).assert_body("no");
    }
}

in_both_h1_modes! {
    async fn a_client_that_waits_for_100_continue_gets_it(mode) {
        let origin = sink().await;
        let edge = Edge::start(mode, &origin).await;
        for body in ["Content-Length: 5\r\n\r\n|hello", "Transfer-Encoding: chunked\r\n\r\n|5\r\nhello\r\n0\r\n\r\n"] {
            let (framing, body) = body.split_once('|').unwrap();
            let mut wire = edge.wire().await;
            wire.write(format!("POST /a HTTP/1.1\r\nHost: edge.test\r\nExpect: 100-continue\r\n{framing}")).await;
            assert_eq!(wire.any_head().await.unwrap().status, 100);
            wire.write(body).await;
            wire.answer("POST").await.assert_status(200).assert_body("5 bytes");
            assert_eq!(origin.last().body, b"hello");
            // The connection goes on behind it.
            wire.send(&post("/a", "again")).await.assert_body("5 bytes");
        }
    }

    async fn an_answer_that_did_not_ask_for_the_body_ends_the_connection(mode) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            // The first connections may be health checks, which say nothing.
            loop {
                let (mut io, _) = listener.accept().await.unwrap();
                let mut seen = vec![0; 4096];
                if io.read(&mut seen).await.unwrap_or(0) > 0 {
                    io.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
                    return io;
                }
            }
        });
        let edge = Edge::with(mode, &[address], |_| {}).await;
        let mut wire = edge.wire().await;
        wire.write("POST /a HTTP/1.1\r\nHost: edge.test\r\nExpect: 100-continue\r\nContent-Length: 60\r\n\r\n").await;
        // A client may leave the body out now, and nobody can tell where its next request would begin.
        wire.answer("POST").await.assert_status(403).assert_body("no").assert_field("connection", "close");
        wire.closed().await;
        drop(origin.await.unwrap());
    }

    async fn a_refused_body_need_not_be_sent(mode) {
        let origin = sink().await;
        let edge = Edge::with(mode, &[origin.address], |setup| setup.limits.max_body = 10).await;
        let mut wire = edge.wire().await;
        wire.write("POST /a HTTP/1.1\r\nHost: edge.test\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n").await;
        let head = wire.any_head().await.unwrap();
        assert_eq!((head.status, head.field("connection").as_deref()), (413, Some("close")), "{head:?}");
        assert_eq!(origin.begun(), 0);
    }

    async fn the_page_of_a_refused_body_is_not_lost(mode) {
        let origin = sink().await;
        let edge = Edge::with(mode, &[origin.address], |setup| setup.limits.max_body = 10).await;
        for chunked in [false, true] {
            let mut wire = edge.wire().await;
            let ask = post("/a", pattern(150_000));
            // All of it is written before anything is read.
            let answer = wire.send(&if chunked { ask.chunked() } else { ask }).await;
            answer.assert_status(413).assert_field("connection", "close");
            assert!(answer.whole, "{answer:?}");
            wire.closed().await;
        }
    }

    async fn a_body_that_stops_coming_is_a_408(mode) {
        let origin = sink().await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            setup.limits.body_timeout = std::time::Duration::from_millis(100);
        })
        .await;
        let mut wire = edge.wire().await;
        wire.write("POST /a HTTP/1.1\r\nHost: edge.test\r\nContent-Length: 5\r\n\r\nhe").await;
        wire.answer("POST").await.assert_status(408).assert_field("connection", "close");
        assert_eq!(wire.closed().await, b"");
        assert_eq!(origin.requests("/a"), 0);
    }

    async fn a_malformed_chunk_reaches_no_origin_whole(mode) {
        let origin = sink().await;
        let edge = Edge::start(mode, &origin).await;
        let malformed =
            ["5\r\nhelloX\r\n0\r\n\r\n", "x\r\nhello\r\n0\r\n\r\n", "5;a\nhello\r\n0\r\n\r\n", "-1\r\n\r\n"];
        let head = "POST /a HTTP/1.1\r\nHost: edge.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut statuses = Vec::new();
        for body in malformed {
            let mut wire = edge.wire().await;
            wire.write(format!("{head}{body}")).await;
            statuses.push(wire.answer("POST").await.head.status);
            wire.closed().await;
        }
        assert_eq!(statuses, [400; 4]);
        assert_eq!(origin.requests("/a"), 0);
    }

    async fn a_client_that_leaves_in_the_middle_of_its_body_leaves_no_trace(mode) {
        let origin = sink().await;
        let edge = Edge::start(mode, &origin).await;
        let mut wire = edge.wire().await;
        wire.write("POST /a HTTP/1.1\r\nHost: edge.test\r\nContent-Length: 5\r\n\r\nhe").await;
        until("the origin to be asked", || origin.begun() == 1).await;
        drop(wire);
        edge.assert_counted("bypass:method 1").await;
        until("the connection to be forgotten", || edge.connections() == 0).await;
        assert_eq!(origin.requests("/a"), 0);
        assert_eq!(edge.logged("/a", 1).await[0]["status"], 499);
    }
}
