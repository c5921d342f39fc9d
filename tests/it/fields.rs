//! Header fields on their way through: what ends here, what the origin is told of the client, what the client is told.

use crate::dsl::*;

in_every_mode! {
    and_over_tls;

    async fn the_origin_is_told_who_asks(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        for ask in [get("/a"), post("/a", "x")] {
            let forged = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "X-Request-Id"];
            let answer = edge.send(forged.iter().fold(ask, |ask, name| ask.field(name, "forged"))).await;
            let seen = origin.last();
            let field = |name| seen.field(name).unwrap_or_default();
            assert_eq!(field("host"), HOST, "{seen:?}");
            assert_eq!(field("x-forwarded-for"), "127.0.0.1");
            assert_eq!(field("x-forwarded-proto"), mode.scheme());
            assert_eq!(field("x-forwarded-host"), HOST);
            assert_eq!(field("x-real-ip"), "127.0.0.1");
            assert_eq!(field("forwarded"), format!("for=127.0.0.1;host=edge.test;proto={}", mode.scheme()));
            assert_eq!(field("via"), if mode.is_h2() { "2.0 foreland" } else { "1.1 foreland" });
            assert_eq!(Some(field("x-request-id")), answer.field("x-request-id"));
        }
    }

    async fn other_fields_of_the_request_pass(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        let ask = get("/a?b=%20c").field("User-Agent", "test/1").field("Cookie", "a=b; c=d").field("X-Custom", "1");
        edge.send(ask.field("Referer", "http://edge.test/").field("Via", "1.0 before")).await.assert_body("hello");
        let seen = origin.last();
        assert_eq!(seen.target, "/a?b=%20c");
        for (name, value) in
            [("user-agent", "test/1"), ("cookie", "a=b; c=d"), ("x-custom", "1"), ("referer", "http://edge.test/")]
        {
            assert_eq!(seen.field(name).as_deref(), Some(value), "{seen:?}");
        }
        assert!(seen.field("via").unwrap().starts_with("1.0 before, "), "{seen:?}");
    }

    async fn what_concerns_only_the_origins_connection_ends_here(mode) {
        let origin = Origin::start(|seen| {
            let control = if seen.path() == "/pass" { "no-store" } else { "max-age=60" };
            ok("hello")
                .field("Cache-Control", control)
                .field("Connection", "keep-alive, X-Internal")
                .field("Keep-Alive", "timeout=5")
                .field("X-Internal", "1")
                .field("Proxy-Authenticate", "Basic")
                .field("X-External", "1")
                .field("Via", "1.0 inner")
                .field("Server", "origin/1")
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        for path in ["/pass", "/pass", "/a", "/a"] {
            let answer = edge.get(path).await;
            answer.assert_body("hello").assert_field("x-external", "1").assert_field("server", "origin/1");
            for name in ["keep-alive", "x-internal", "proxy-authenticate"] {
                answer.assert_no_field(name);
            }
            assert!(matches!(answer.field("connection").as_deref(), None | Some("keep-alive")), "{answer:?}");
            assert!(!mode.is_h2() || answer.field("connection").is_none(), "{answer:?}");
            answer.assert_field("via", "1.0 inner, 1.1 foreland");
        }
        edge.get("/a").await.assert_cache_status("hit").assert_front();
    }

    async fn every_answer_has_an_id_of_its_own(mode) {
        let origin = Origin::start(|_| fresh("hello").field("X-Request-Id", "the origin's")).await;
        let edge = Edge::start(mode, &origin).await;
        let mut ids = Vec::new();
        for path in ["/a", "/a", "/b"] {
            ids.push(edge.get(path).await.field("x-request-id").unwrap());
        }
        edge.send(post("/a", "")).await.assert_status(200);
        let logged = edge.logged("/a", 3).await;
        assert_eq!([&logged[0]["id"], &logged[1]["id"]], [&ids[0], &ids[1]]);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 3, "{ids:?}");
    }
}

in_both_h1_modes! {
    async fn what_concerns_only_the_clients_connection_ends_here(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        for ask in [get("/a"), post("/a", "x")] {
            let ask = ask.field("Connection", "keep-alive, X-Private").field("X-Private", "1");
            let ask = ask.field("Keep-Alive", "timeout=5").field("TE", "trailers").field("Proxy-Connection", "keep-alive");
            edge.send(ask.field("Proxy-Authorization", "Basic eDp5").field("X-Public", "1")).await.assert_body("hello");
            let seen = origin.last();
            for name in ["x-private", "keep-alive", "te", "proxy-connection", "proxy-authorization"] {
                assert_eq!(seen.field(name), None, "{name} of {seen:?}");
            }
            assert_eq!(seen.field("x-public").as_deref(), Some("1"));
        }
    }

    async fn connection_cannot_take_away_what_the_origin_relies_on(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        let mut lost = Vec::new();
        for name in ["host", "cookie", "x-forwarded-for", "x-real-ip", "x-request-id", "via", "authorization"] {
            for ask in [get(&format!("/{name}")), post("/p", "x")] {
                let ask = ask.field("Connection", name).field("Cookie", "a=b").field("Authorization", "Basic eDp5");
                let answer = edge.send(ask.clone()).await;
                // To refuse it is as good, if the client is told that the fault is its own.
                let refused = answer.head.status == 400 && answer.text().contains("malformed");
                let reached = answer.head.status == 200 && origin.last().field(name).is_some();
                if !refused && !reached {
                    lost.push(format!("{} {name} {}", ask.wire()[0] as char, answer.text()));
                }
            }
        }
        assert!(lost.is_empty(), "{lost:?}");
    }

    async fn connection_cannot_put_one_variant_in_the_place_of_another(mode) {
        let origin = Origin::start(|seen| {
            fresh(seen.field("accept-language").unwrap_or("none".to_owned())).field("Vary", "Accept-Language")
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let german = || get("/a").field("Accept-Language", "de");
        edge.send(german().field("Connection", "Accept-Language")).await;
        edge.settled().await;
        edge.send(german()).await.assert_body("de");
    }
}
