//! What was stored and no longer holds: purged by an operator, or made invalid by a write.

use crate::dsl::*;

in_every_mode! {
    async fn a_purge_forgets_every_variant(mode) {
        let origin = Origin::start(|seen| {
            fresh(format!("{} {}", seen.field("accept-language").unwrap_or_default(), seen.index))
                .field("Vary", "Accept-Language")
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let ask = |language| edge.send(get("/a?b=c").field("Accept-Language", language));
        ask("en").await.assert_body("en 0");
        ask("de").await.assert_body("de 1");
        assert_eq!(edge.purge("/a").await, 0);
        assert_eq!(edge.purge("/a?b=c").await, 2);
        ask("en").await.assert_body("en 2").assert_cache_status("fwd=uri-miss; stored; detail=purged");
        ask("de").await.assert_body("de 3");
        ask("en").await.assert_body("en 2").assert_cache_status("hit").assert_front();
        edge.assert_metric("foreland_purges_total", &[("kind", "url")], 2.0).await;
    }

    async fn a_fetch_from_before_a_purge_is_not_stored(mode) {
        let gates = [Gate::new(), Gate::new(), Gate::new()];
        let origin = Origin::start({
            let gates = gates.clone();
            move |seen| fresh(format!("version {} ", seen.index)).wait(&gates[seen.index]).piece("end")
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let mut old = edge.begin(get("/a")).await;
        old.read_to(10).await;
        assert_eq!(edge.purge("/a").await, 1);
        // Who asks after the purge gets what was fetched after it.
        let mut new = edge.begin(get("/a")).await;
        assert_eq!(new.read_to(10).await, b"version 1 ");
        gates[1].open();
        edge.finish(new).await.assert_body("version 1 end");
        gates[0].open();
        edge.finish(old).await.assert_body("version 0 end");
        edge.settled().await;
        gates[2].open();
        edge.get("/a").await.assert_body("version 1 end").assert_cache_status("hit").assert_front();
        assert_eq!(origin.requests("/a"), 2);
        edge.assert_counted("hit 1, miss:absent 1, miss:purged 1").await;
    }

    async fn a_fetch_that_waits_for_its_head_can_be_purged(mode) {
        let gate = Gate::new();
        let origin = Origin::start({
            let gate = gate.clone();
            move |seen| {
                let reply = fresh(format!("version {}", seen.index));
                if seen.index == 0 { reply.hold(&gate) } else { reply }
            }
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let (old, new) = tokio::join!(edge.get("/a"), async {
            gate.arrived().await;
            assert_eq!(edge.purge("/a").await, 1);
            let other = edge.another_client();
            let new = other.finish(other.begin(&get("/a")).await).await;
            gate.open();
            new
        });
        old.assert_body("version 0");
        new.assert_body("version 1").assert_cache_status("fwd=uri-miss; stored; detail=purged");
        edge.settled().await;
        edge.get("/a").await.assert_body("version 1").assert_cache_status("hit").assert_front();
    }

    async fn a_miss_after_a_purge_during_a_fetch_says_purged(mode) {
        let gate = Gate::new();
        let origin = Origin::start({
            let gate = gate.clone();
            move |seen| fresh("version ").wait(&gate).piece(seen.index.to_string())
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let old = edge.begin(get("/a")).await;
        edge.purge("/a").await;
        gate.open();
        edge.finish(old).await.assert_body("version 0");
        edge.settled().await;
        edge.get("/a").await.assert_body("version 1").assert_cache_status("fwd=uri-miss; stored; detail=purged");
    }

    async fn a_write_makes_what_it_writes_invalid(mode) {
        let origin = Origin::start(|seen| match (seen.method.as_str(), seen.path()) {
            ("GET", path) => fresh(format!("{path} {}", seen.index)),
            (_, "/failing") => reply(500),
            ("DELETE", _) => reply(204),
            _ => reply(201).field("Location", "/made").field("Content-Location", "http://edge.test/also"),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        for path in ["/form", "/made", "/also", "/other", "/failing", "/gone"] {
            edge.get(path).await.assert_cache_status("fwd=uri-miss; stored");
        }
        edge.send(post("/form", "x=1")).await.assert_status(201).assert_cache_status("fwd=method");
        edge.send(post("/failing", "x=1")).await.assert_status(500);
        edge.send(get("/gone").method("DELETE")).await.assert_status(204);
        for path in ["/form", "/made", "/also", "/gone"] {
            edge.get(path).await.assert_status(200).assert_cache_status("fwd=uri-miss; stored; detail=purged");
        }
        for path in ["/other", "/failing"] {
            edge.get(path).await.assert_status(200).assert_cache_status("hit").assert_front();
        }
        edge.assert_counted("bypass:method 3, hit 2, miss:absent 6, miss:purged 4").await;
    }

    async fn a_write_does_not_reach_other_origins(mode) {
        let origin = Origin::start(|seen| match seen.method.as_str() {
            "GET" => fresh("hello"),
            _ => reply(201).field("Location", "http://other.test/a").field("Content-Location", "//edge.test:8080/b"),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await;
        edge.get("/b").await;
        edge.send(post("/c", "")).await.assert_status(201);
        edge.get("/a").await.assert_cache_status("hit");
        edge.get("/b").await.assert_cache_status("hit");
    }
}
