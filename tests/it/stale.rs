//! Past its lifetime: asking the origin whether it still holds, and what is served when the origin cannot say.

use crate::dsl::*;

const STALE_AT_ONCE: &str = "max-age=0, stale-while-revalidate=60";

/// An origin whose every answer is version n, with this Cache-Control; it confirms a version it is asked about if told
/// to, and lets the second and later answers wait at the gate.
async fn versions(control: &'static str, confirms: bool, gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |seen| {
        let reply = match seen.field("if-none-match").filter(|_| confirms) {
            Some(tag) => reply(304).field("ETag", &tag),
            None => ok(format!("version {}", seen.index)).field("ETag", &format!("\"v{}\"", seen.index)),
        };
        let reply = reply.field("Cache-Control", control);
        if seen.index == 0 { reply } else { reply.hold(&gate) }
    })
    .await
}

fn open() -> Gate {
    let gate = Gate::new();
    gate.open();
    gate
}

in_every_mode! {
    async fn stale_is_served_at_once_while_one_refresh_is_on_its_way(mode) {
        for confirms in [true, false] {
            let gate = Gate::new();
            let origin = Origin::start({
                let gate = gate.clone();
                move |seen| match (seen.index, confirms) {
                    (0, _) => ok("old").field("Cache-Control", STALE_AT_ONCE).field("ETag", "\"v0\""),
                    (_, true) => reply(304).field("Cache-Control", "max-age=60").field("X-New", "1").hold(&gate),
                    (_, false) => fresh("new").hold(&gate),
                }
            })
            .await;
            let edge = Edge::start(mode, &origin).await;
            edge.get("/a").await.assert_body("old").assert_cache_status("fwd=uri-miss; stored");
            let first = edge.get("/a").await;
            first.assert_body("old").assert_cache_status("hit; detail=revalidating").assert_proxy();
            assert!(first.ttl() <= 0, "{first:?}");
            gate.arrived().await;
            // Somebody refreshes it already, so the front may answer.
            for _ in 0..3 {
                let stale = edge.get("/a").await;
                stale.assert_body("old").assert_cache_status("hit; detail=revalidating").assert_front();
            }
            assert_eq!(origin.requests("/a"), 2);
            assert_eq!(origin.last().field("if-none-match").as_deref(), Some("\"v0\""));
            gate.open();
            edge.settled().await;
            let fresh = edge.get("/a").await;
            fresh.assert_body(if confirms { "old" } else { "new" }).assert_cache_status("hit").assert_front();
            assert_eq!(fresh.field("x-new").is_some(), confirms);
            assert_eq!(origin.requests("/a"), 2);
            edge.assert_counted("hit 1, miss:absent 1, stale:revalidating 4").await;
            let log = edge.logged("/a", 7).await;
            let refresh = log.iter().find(|line| line["transport"] == "refresh").unwrap();
            assert_eq!(refresh["outcome"], if confirms { "revalidated" } else { "miss" });
        }
    }

    async fn a_refresh_that_fails_leaves_what_is_stored(mode) {
        let origin = Origin::start(|seen| match seen.index {
            0 => ok("old").field("Cache-Control", STALE_AT_ONCE).field("ETag", "\"v0\""),
            1 => reply(500),
            2 => hangup(),
            _ => fresh("new"),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("old");
        for requests in [2, 3, 4] {
            edge.get("/a").await.assert_body("old").assert_cache_status("hit; detail=revalidating");
            until("the refresh", || origin.requests("/a") == requests).await;
            edge.settled().await;
        }
        edge.get("/a").await.assert_body("new").assert_cache_status("hit").assert_front();
        edge.assert_counted("hit 1, miss:absent 1, stale:revalidating 3").await;
    }

    async fn what_has_expired_is_asked_about(mode) {
        let origin = versions("max-age=0", true, &open()).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("version 0").assert_cache_status("fwd=uri-miss; stored");
        let confirmed = edge.get("/a").await;
        confirmed.assert_status(200).assert_body("version 0");
        confirmed.assert_cache_status("fwd=stale; fwd-status=304; stored");
        assert_eq!(origin.last().field("if-none-match").as_deref(), Some("\"v0\""));
        edge.assert_counted("miss:absent 1, revalidated:expired 1").await;
    }

    async fn what_has_changed_is_replaced(mode) {
        let origin = versions("max-age=0", false, &open()).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("version 0");
        edge.get("/a").await.assert_body("version 1").assert_cache_status("fwd=stale; stored");
        edge.get("/a").await.assert_body("version 2").assert_cache_status("fwd=stale; stored");
        edge.assert_counted("miss:absent 1, miss:expired 2").await;
        edge.assert_metric("foreland_cache_objects", &[], 1.0).await;
    }

    async fn a_304_updates_what_is_stored(mode) {
        let origin = Origin::start(|seen| match seen.index {
            0 => ok("body").field("Cache-Control", "max-age=0").field("ETag", "\"v0\"").field("X-Kept", "1").field("X-Changed", "1"),
            _ => reply(304).field("Cache-Control", "max-age=60").field("ETag", "\"v0\"").field("X-Changed", "2"),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("body");
        for status in ["fwd=stale; fwd-status=304; stored", "hit"] {
            let answer = edge.get("/a").await;
            answer.assert_body("body").assert_cache_status(status);
            answer.assert_field("x-kept", "1").assert_field("x-changed", "2").assert_field("cache-control", "max-age=60");
            answer.assert_field("via", "1.1 foreland").assert_field("etag", "\"v0\"");
        }
        assert_eq!(origin.requests("/a"), 2);
        edge.assert_counted("hit 1, miss:absent 1, revalidated:expired 1").await;
    }

    async fn a_304_about_something_else_is_not_believed(mode) {
        let origin = Origin::start(|seen| match seen.index {
            0 => ok("old").field("Cache-Control", "max-age=0").field("ETag", "\"v0\""),
            1 => reply(304).field("ETag", "\"v7\""),
            _ => fresh("new"),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("old");
        edge.get("/a").await.assert_status(200).assert_body("new");
        assert_eq!(origin.last().field("if-none-match"), None);
    }

    async fn a_client_that_insists_is_heard(mode) {
        let origin = versions("max-age=60", true, &open()).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("version 0");
        for (name, value) in [("Cache-Control", "no-cache"), ("Cache-Control", "max-age=0"), ("Pragma", "no-cache")] {
            let answer = edge.send(get("/a").field(name, value)).await;
            // RFC 9211 §2.2: the stored response was fresh, so it was the request that had it forwarded.
            answer.assert_body("version 0").assert_cache_status("fwd=request; fwd-status=304; stored");
        }
        assert_eq!(origin.requests("/a"), 4);
        edge.get("/a").await.assert_cache_status("hit").assert_front();
        edge.assert_counted("hit 1, miss:absent 1, revalidated:request_no_cache 3").await;
    }

    async fn only_if_cached_never_reaches_the_origin(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        let ask = || edge.send(get("/a").field("Cache-Control", "only-if-cached"));
        ask().await.assert_status(504);
        assert_eq!(origin.requests("/a"), 0);
        edge.get("/a").await;
        ask().await.assert_status(200).assert_body("hello").assert_cache_status("hit");
        assert_eq!(origin.requests("/a"), 1);
        edge.assert_counted("hit 1, miss:absent 2").await;
    }

    async fn a_client_may_ask_for_stale(mode) {
        let origin = versions("max-age=0", true, &open()).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await;
        let stale = edge.send(get("/a").field("Cache-Control", "max-stale=60")).await;
        stale.assert_body("version 0").assert_cache_status("hit; detail=asked");
        assert_eq!(origin.requests("/a"), 1);
        edge.assert_counted("miss:absent 1, stale:asked 1").await;
    }

    async fn stale_is_served_while_the_origin_is_down(mode) {
        let mut origin = versions("max-age=0", false, &open()).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("version 0");
        origin.kill().await;
        for _ in 0..2 {
            let stale = edge.get("/a").await;
            stale.assert_status(200).assert_body("version 0");
            stale.assert_cache_status("fwd=stale; detail=origin_unreachable");
        }
        edge.assert_counted("miss:absent 1, stale:origin_unreachable 2").await;
        let log = edge.logged("/a", 3).await;
        assert_eq!((&log[2]["outcome"], &log[2]["reason"]), (&"stale".into(), &"origin_unreachable".into()));
        origin.revive().await;
        edge.get("/a").await.assert_body("version 1").assert_cache_status("fwd=stale; stored");
    }

    async fn stale_is_served_instead_of_a_500(mode) {
        let origin = Origin::start(|seen| match seen.index {
            0 => ok("good").field("Cache-Control", "max-age=0").field("ETag", "\"v0\""),
            1 => reply(503).piece("out of order"),
            _ => fresh("better"),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("good");
        let stale = edge.get("/a").await;
        stale.assert_status(200).assert_body("good");
        stale.assert_cache_status("fwd=stale; fwd-status=503; detail=origin_5xx");
        edge.get("/a").await.assert_body("better").assert_cache_status("fwd=stale; stored");
        edge.assert_counted("miss:absent 1, miss:expired 1, stale:origin_5xx 1").await;
        let log = edge.logged("/a", 3).await;
        assert_eq!((&log[1]["status"], &log[1]["reason"]), (&200.into(), &"origin_5xx".into()));
    }

    async fn stale_is_served_when_the_origin_is_too_slow(mode) {
        let gate = Gate::new();
        let origin = versions("max-age=0", false, &gate).await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            setup.upstreams[0].settings.read = std::time::Duration::from_millis(100);
        })
        .await;
        edge.get("/a").await.assert_body("version 0");
        let stale = edge.get("/a").await;
        stale.assert_status(200).assert_body("version 0").assert_cache_status("fwd=stale; detail=origin_timeout");
        edge.get("/b").await.assert_status(504);
        edge.assert_counted("miss:absent 2, stale:origin_timeout 1").await;
    }

    async fn must_revalidate_is_never_served_stale(mode) {
        let origin = versions("max-age=0, must-revalidate", false, &Gate::new()).await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            setup.upstreams[0].settings.read = std::time::Duration::from_millis(100);
        })
        .await;
        edge.get("/a").await.assert_body("version 0");
        edge.get("/a").await.assert_status(504);
        origin.kill().await;
        edge.get("/a").await.assert_status(502);
        edge.assert_counted("miss:absent 1, miss:expired 2").await;
    }

    async fn an_error_of_the_origin_is_passed_on_where_stale_is_forbidden(mode) {
        let origin = Origin::start(|seen| match seen.index {
            0 => ok("good").field("Cache-Control", "max-age=0, must-revalidate").field("ETag", "\"v0\""),
            _ => reply(500).piece("out of order"),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("good");
        edge.get("/a").await.assert_status(500).assert_body("out of order");
    }

    async fn everybody_who_waits_for_a_confirmation_gets_it(mode) {
        let gate = Gate::new();
        let origin = versions("max-age=0", true, &gate).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await;
        let (one, two, ()) = tokio::join!(edge.get("/a"), edge.get("/a"), async {
            gate.arrived().await;
            gate.open();
        });
        one.assert_status(200).assert_body("version 0");
        two.assert_status(200).assert_body("version 0");
    }
}
