//! Servers that are down, hang up, or answer nonsense: what is tried again, and what a client is told.

use crate::dsl::*;
use std::net::SocketAddr;

/// An address at which nothing listens, and at which nothing else can begin to: the port stays taken.
fn nobody() -> SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

in_every_mode! {
    async fn a_server_that_is_down_is_not_noticed(mode) {
        let origin = Origin::start(|seen| ok(seen.body.clone())).await;
        let edge = Edge::with(mode, &[nobody(), origin.address], |_| {}).await;
        for number in 0..6 {
            edge.get(&format!("/{number}")).await.assert_status(200);
            // Nothing was sent to the one that is down, so a POST may go to the other.
            edge.send(post("/post", number.to_string())).await.assert_status(200).assert_body(number.to_string());
        }
        assert_eq!(origin.requests("/post"), 6);
        let failed = edge.metric("foreland_upstream_requests_total", &[("result", "error")]);
        assert!(failed >= 1.0, "{failed}");
        let log = edge.logged("/post", 6).await;
        assert!(log.iter().all(|line| line["server"] == origin.address.to_string()), "{log:?}");
    }

    async fn a_connection_the_origin_had_closed_is_replaced(mode) {
        let origin = Origin::start(|seen| if seen.nth == 0 { fresh("hello") } else { hangup() }).await;
        let edge = Edge::start(mode, &origin).await;
        for path in ["/a", "/b", "/c"] {
            edge.get(path).await.assert_status(200).assert_body("hello");
        }
        // Twice each, for the first try was on an old connection.
        assert_eq!((origin.requests("/a"), origin.requests("/b"), origin.requests("/c")), (1, 2, 2));
        assert_eq!(edge.logged("/b", 1).await[0]["tries"], 2);
        edge.assert_counted("miss:absent 3").await;
    }

    async fn what_may_have_been_acted_on_is_not_sent_twice(mode) {
        let origin = Origin::start(|seen| if seen.method == "POST" { hangup() } else { fresh("hello") }).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("hello");
        edge.send(post("/post", "x")).await.assert_status(502);
        assert_eq!(origin.requests("/post"), 1);
    }

    async fn a_fresh_connection_that_is_hung_up_on_is_a_502(mode) {
        let origin = Origin::start(|_| hangup()).await;
        let edge = Edge::start(mode, &origin).await;
        let page = edge.get("/a").await;
        page.assert_status(502).assert_no_field("cache-status");
        assert_eq!(origin.requests("/a"), 1);
        edge.assert_counted("miss:absent 1").await;
    }

    async fn every_client_is_told_that_the_origin_is_down_in_its_own_form(mode) {
        let edge = Edge::with(mode, &[nobody(), nobody()], |_| {}).await;
        for (accept, kind) in [
            ("*/*", "text/plain; charset=utf-8"),
            ("application/json", "application/json"),
            ("text/html,*/*;q=0.8", "text/html; charset=utf-8"),
        ] {
            for ask in [get("/a"), post("/a", "x")] {
                let page = edge.send(ask.field("Accept", accept)).await;
                page.assert_status(502).assert_field("content-type", kind).assert_field("cache-control", "no-store");
                let id = page.field("x-request-id").unwrap();
                assert!(page.whole && page.text().contains(&id) && page.text().contains("502"), "{page:?}");
                if kind == "application/json" {
                    let json: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
                    assert_eq!((&json["status"], &json["request"]), (&502.into(), &id.into()));
                }
            }
        }
        edge.head("/a").await.assert_status(502).assert_body("");
        edge.assert_counted("bypass:method 3, miss:absent 4").await;
        let log = edge.logged("/a", 7).await;
        assert_eq!((&log[0]["status"], &log[0]["tries"]), (&502.into(), &2.into()));
    }

    async fn an_origin_that_does_not_answer_in_time_is_a_504(mode) {
        let origin = Origin::start(|_| fresh("hello").hold(&Gate::new())).await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            setup.upstreams[0].settings.read = std::time::Duration::from_millis(100);
        })
        .await;
        edge.get("/a").await.assert_status(504);
        edge.send(post("/a", "x")).await.assert_status(504);
        // It got both requests once: it may have acted on either.
        assert_eq!(origin.requests("/a"), 2);
    }

    async fn an_origin_that_stops_in_the_middle_is_cut(mode) {
        let origin = Origin::start(|_| fresh("half ").wait(&Gate::new()).piece("rest")).await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            setup.upstreams[0].settings.read = std::time::Duration::from_millis(100);
        })
        .await;
        edge.get("/a").await.assert_status(200).assert_broken();
        edge.settled().await;
        assert_eq!(edge.metric("foreland_cache_objects", &[]), 0.0);
    }

    async fn a_server_that_comes_back_is_asked_again(mode) {
        let mut origin = Origin::start(|_| ok("hello")).await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            setup.upstreams[0].settings.health.every = std::time::Duration::from_millis(10);
        })
        .await;
        edge.get("/a").await.assert_body("hello");
        let server = origin.address.to_string();
        origin.kill().await;
        edge.assert_metric("foreland_upstream_up", &[("server", &server)], 0.0).await;
        edge.get("/a").await.assert_status(502);
        origin.revive().await;
        edge.assert_metric("foreland_upstream_up", &[("server", &server)], 1.0).await;
        edge.get("/a").await.assert_status(200).assert_body("hello");
    }

    async fn an_answer_that_is_not_http_is_a_502(mode) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut io, _)) = listener.accept().await {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut io, b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
            }
        });
        let edge = Edge::with(mode, &[address], |_| {}).await;
        edge.get("/a").await.assert_status(502);
        edge.send(post("/a", "x")).await.assert_status(502);
    }
}
