//! Answers from memory: what is stored, what the next client gets of it, and how old it is.

use crate::dsl::*;

in_every_mode! {
    and_over_tls;

    async fn a_second_request_is_a_hit(mode) {
        let origin = Origin::start(|_| fresh("hello").field("Content-Type", "text/plain")).await;
        let edge = Edge::start(mode, &origin).await;
        let miss = edge.get("/a").await;
        miss.assert_status(200).assert_body("hello").assert_cache_status("fwd=uri-miss; stored").assert_proxy();
        let hit = edge.get("/a").await;
        hit.assert_status(200).assert_body("hello").assert_cache_status("hit").assert_front();
        hit.assert_field("content-type", "text/plain").assert_field("content-length", "5");
        hit.assert_field("via", "1.1 foreland").assert_field("cache-control", "max-age=60");
        assert!((59..=60).contains(&hit.ttl()) && hit.seconds("age") <= 1, "{hit:?}");
        assert_eq!(origin.requests("/a"), 1);
        edge.assert_counted("hit 1, miss:absent 1").await;
    }

    async fn the_age_an_object_came_with_counts(mode) {
        let origin = Origin::start(|_| fresh("old").field("Age", "50")).await;
        let edge = Edge::start(mode, &origin).await;
        let miss = edge.get("/a").await;
        assert!((50..=51).contains(&miss.seconds("age")), "{miss:?}");
        let hit = edge.get("/a").await;
        hit.assert_cache_status("hit").assert_body("old");
        assert!((50..=51).contains(&hit.seconds("age")) && (9..=10).contains(&hit.ttl()), "{hit:?}");
        edge.assert_counted("hit 1, miss:absent 1").await;
    }

    async fn what_is_too_old_on_arrival_is_fetched_again(mode) {
        let origin = Origin::start(|_| fresh("old").field("Age", "61")).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("old");
        edge.get("/a").await.assert_body("old");
        assert_eq!(origin.requests("/a"), 2);
    }

    async fn a_query_makes_another_resource(mode) {
        let origin = Origin::start(|seen| fresh(seen.target.clone())).await;
        let edge = Edge::start(mode, &origin).await;
        for path in ["/a?x=1", "/a?x=2", "/a"] {
            edge.get(path).await.assert_body(path).assert_cache_status("fwd=uri-miss; stored");
        }
        for path in ["/a?x=1", "/a?x=2", "/a"] {
            edge.get(path).await.assert_body(path).assert_cache_status("hit").assert_front();
        }
        edge.assert_counted("hit 3, miss:absent 3").await;
    }

    async fn head_is_answered_from_what_get_stored(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("hello");
        let hit = edge.head("/a").await;
        hit.assert_status(200).assert_body("").assert_field("content-length", "5");
        hit.assert_cache_status("hit").assert_front();
        assert_eq!(origin.requests("/a"), 1);
        edge.assert_counted("hit 1, miss:absent 1").await;
    }

    async fn a_head_that_misses_is_fetched_with_get(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        let miss = edge.head("/a").await;
        miss.assert_status(200).assert_body("").assert_field("content-length", "5");
        miss.assert_cache_status("fwd=uri-miss; stored");
        edge.settled().await;
        assert_eq!(origin.last().method, "GET");
        edge.get("/a").await.assert_body("hello").assert_cache_status("hit").assert_front();
        edge.assert_counted("hit 1, miss:absent 1").await;
    }

    async fn a_body_of_unknown_length_has_one_once_it_is_stored(mode) {
        for chunked in [true, false] {
            let gate = Gate::new();
            let origin = Origin::start({
                let gate = gate.clone();
                move |_| {
                    let reply = fresh("hello ").wait(&gate).piece("world");
                    if chunked { reply.chunked() } else { reply.until_close() }
                }
            })
            .await;
            let edge = Edge::start(mode, &origin).await;
            let miss = edge.begin(get("/a")).await;
            assert_eq!(miss.head.field("content-length"), None);
            gate.open();
            edge.finish(miss).await.assert_body("hello world").assert_cache_status("fwd=uri-miss; stored");
            let hit = edge.get("/a").await;
            hit.assert_body("hello world").assert_cache_status("hit").assert_front();
            hit.assert_field("content-length", "11").assert_no_field("transfer-encoding");
            edge.assert_counted("hit 1, miss:absent 1").await;
        }
    }

    async fn an_answer_without_a_body_is_stored_as_such(mode) {
        let origin = Origin::start(|seen| match seen.path() {
            "/204" => reply(204).field("Cache-Control", "max-age=60"),
            "/404" => reply(404).field("Cache-Control", "max-age=60").piece("nothing here"),
            "/301" => reply(301).field("Cache-Control", "max-age=60").field("Location", "/new"),
            _ => fresh(""),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        for (path, status, body) in [("/204", 204, ""), ("/404", 404, "nothing here"), ("/301", 301, ""), ("/", 200, "")] {
            for _ in 0..2 {
                edge.get(path).await.assert_status(status).assert_body(body);
            }
            edge.get(path).await.assert_status(status).assert_body(body).assert_cache_status("hit").assert_front();
            assert_eq!(origin.requests(path), 1);
        }
        edge.get("/204").await.assert_no_field("content-length");
        edge.get("/301").await.assert_field("location", "/new");
    }

    async fn a_hit_larger_than_a_window_is_whole(mode) {
        let body = pattern(3 << 20);
        let origin = Origin::start({
            let body = body.clone();
            move |_| fresh(body.clone())
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body(&body).assert_cache_status("fwd=uri-miss; stored");
        edge.get("/a").await.assert_body(&body).assert_cache_status("hit").assert_front();
        edge.assert_counted("hit 1, miss:absent 1").await;
    }
}
