//! Origins that answer what nobody asked for: what the client gets, and what the log says of it.

use crate::dsl::*;
use serde_json::Value;

/// Outcome, reason and whether it was stored, as a line of the log has them.
fn words(line: &Value) -> [&str; 3] {
    ["outcome", "reason", "stored"].map(|name| line[name].as_str().unwrap_or(""))
}

in_every_mode! {
    /// Pingora leaves its cache out on a 304 that it has nothing for, so that nobody was told and the client got a 502.
    async fn a_304_to_a_request_without_condition_goes_to_the_client(mode) {
        let origin = Origin::start(|_| reply(304).field("Cache-Control", "max-age=60").field("ETag", "\"1\"")).await;
        let edge = Edge::start(mode, &origin).await;
        for _ in 0..2 {
            edge.get("/a").await.assert_status(304).assert_body("").assert_field("etag", "\"1\"");
        }
        let lines = edge.logged("/a", 2).await;
        assert_eq!(words(&lines[0]), ["miss", "absent", "status"]);
        assert_eq!(words(&lines[1]), ["hit_for_miss", "absent", "status"]);
    }

    async fn a_confirmation_that_forbids_keeping_is_not_logged_as_stored(mode) {
        let origin = Origin::start(|seen| match seen.index {
            0 => ok("hello").field("Cache-Control", "max-age=0").field("ETag", "\"1\""),
            1 => reply(304).field("Cache-Control", "private").field("ETag", "\"1\""),
            _ => fresh("new"),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        for body in ["hello", "hello", "new"] {
            edge.get("/a").await.assert_status(200).assert_body(body);
        }
        let lines = edge.logged("/a", 3).await;
        assert_eq!(words(&lines[1]), ["revalidated", "expired", "private"]);
        assert_eq!(words(&lines[2]), ["miss", "absent", "yes"]);
        edge.assert_not_stored("private", 1.0).await;
    }

    async fn a_refresh_that_is_too_large_says_so(mode) {
        let stale = "max-age=0, stale-while-revalidate=60";
        let origin = Origin::start(move |seen| match seen.index {
            0 => ok("hello").field("Cache-Control", stale),
            _ => ok(pattern(300_000)).field("Cache-Control", stale).chunked(),
        })
        .await;
        let edge = Edge::with(mode, &[origin.address], |setup| setup.cache.memory = 1 << 20).await;
        for _ in 0..2 {
            edge.get("/a").await.assert_body("hello");
        }
        let lines = edge.logged("/a", 3).await;
        let refresh = lines.iter().find(|line| line["transport"] == "refresh").unwrap();
        assert_eq!(words(refresh), ["miss", "expired", "too_large"]);
    }
}
