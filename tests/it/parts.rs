//! Parts of what is stored: a 304 for who has it already, ranges for who wants some of it.

use crate::dsl::*;

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

async fn digits(mode: Mode) -> (Origin, Edge) {
    let script = |_: &Seen| {
        let reply = fresh("0123456789").field("Content-Type", "text/plain");
        reply.field("ETag", "\"v1\"").field("Last-Modified", MODIFIED)
    };
    let origin = Origin::start(script).await;
    let edge = Edge::start(mode, &origin).await;
    edge.get("/a").await.assert_body("0123456789");
    (origin, edge)
}

in_every_mode! {
    and_over_tls;

    async fn who_has_it_already_is_told_so(mode) {
        let (origin, edge) = digits(mode).await;
        for (name, value) in [
            ("If-None-Match", "\"v1\""),
            ("If-None-Match", "\"v0\", W/\"v1\""),
            ("If-None-Match", "*"),
            ("If-Modified-Since", MODIFIED),
        ] {
            let answer = edge.send(get("/a").field(name, value)).await;
            answer.assert_status(304).assert_body("").assert_cache_status("hit").assert_proxy();
            answer.assert_field("etag", "\"v1\"").assert_field("cache-control", "max-age=60");
            answer.assert_no_field("content-type").assert_no_field("content-length");
        }
        edge.send(head("/a").field("If-None-Match", "\"v1\"")).await.assert_status(304);
        for (name, value) in [("If-None-Match", "\"v2\""), ("If-Modified-Since", EARLIER)] {
            edge.send(get("/a").field(name, value)).await.assert_status(200).assert_body("0123456789");
        }
        edge.send(get("/a").field("If-Match", "\"v2\"")).await.assert_status(412).assert_body("");
        edge.get("/a").await.assert_body("0123456789").assert_front();
        assert_eq!(origin.requests("/a"), 1);
        edge.assert_counted("hit 9, miss:absent 1").await;
    }

    async fn a_range_is_cut_from_what_is_stored(mode) {
        let (origin, edge) = digits(mode).await;
        for (range, body, content_range) in [
            ("bytes=2-4", "234", "bytes 2-4/10"),
            ("bytes=7-", "789", "bytes 7-9/10"),
            ("bytes=-3", "789", "bytes 7-9/10"),
            ("bytes=8-99", "89", "bytes 8-9/10"),
            ("bytes=0-0", "0", "bytes 0-0/10"),
            ("bytes=0-", "0123456789", "bytes 0-9/10"),
        ] {
            let answer = edge.send(get("/a").field("Range", range)).await;
            answer.assert_status(206).assert_body(body).assert_cache_status("hit").assert_proxy();
            answer.assert_field("content-range", content_range).assert_field("content-type", "text/plain");
            answer.assert_field("content-length", &body.len().to_string());
        }
        edge.get("/a").await.assert_body("0123456789").assert_front();
        assert_eq!(origin.requests("/a"), 1);
        edge.assert_counted("hit 7, miss:absent 1").await;
    }

    async fn several_ranges_come_in_parts(mode) {
        let (_origin, edge) = digits(mode).await;
        let answer = edge.send(get("/a").field("Range", "bytes=0-1,5-6,-1")).await;
        answer.assert_status(206).assert_no_field("content-range");
        let kind = answer.field("content-type").unwrap();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let part = |range: &str, body: &str| {
            format!("\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/10\r\n\r\n{body}")
        };
        let parts = part("0-1", "01") + &part("5-6", "56") + &part("9-9", "9");
        let body = answer.text();
        assert_eq!(body.trim_start(), format!("{parts}\r\n--{boundary}--\r\n").trim_start());
        answer.assert_field("content-length", &body.len().to_string());
        edge.assert_counted("hit 1, miss:absent 1").await;
    }

    async fn a_range_beyond_the_end_is_a_416(mode) {
        let (_origin, edge) = digits(mode).await;
        let answer = edge.send(get("/a").field("Range", "bytes=10-12")).await;
        answer.assert_status(416).assert_body("").assert_field("content-range", "bytes */10");
        // What cannot be read is ignored (RFC 9110 §14.2).
        for range in ["bytes=x-y", "lines=1-2", "bytes=5-2"] {
            edge.send(get("/a").field("Range", range)).await.assert_status(200).assert_body("0123456789");
        }
    }

    async fn if_range_lets_a_range_count_only_for_the_version_it_names(mode) {
        let (_origin, edge) = digits(mode).await;
        let ask = |value| edge.send(get("/a").field("Range", "bytes=2-4").field("If-Range", value));
        ask("\"v1\"").await.assert_status(206).assert_body("234");
        ask(MODIFIED).await.assert_status(206).assert_body("234");
        for other in ["\"v2\"", "W/\"v1\"", EARLIER] {
            ask(other).await.assert_status(200).assert_body("0123456789");
        }
    }

    async fn a_range_of_what_is_not_stored_stores_the_whole(mode) {
        let origin = Origin::start(|_| fresh("0123456789")).await;
        let edge = Edge::start(mode, &origin).await;
        let part = edge.send(get("/a").field("Range", "bytes=2-4")).await;
        part.assert_status(206).assert_body("234").assert_field("content-range", "bytes 2-4/10");
        part.assert_cache_status("fwd=uri-miss; stored");
        assert_eq!(origin.last().field("range"), None);
        edge.settled().await;
        edge.get("/a").await.assert_body("0123456789").assert_cache_status("hit").assert_front();
        edge.assert_counted("hit 1, miss:absent 1").await;
    }

    async fn a_range_of_what_cannot_be_stored_is_the_origins_to_cut(mode) {
        let origin = Origin::start(|seen| {
            let reply = match seen.field("range") {
                Some(_) => reply(206).field("Content-Range", "bytes 2-4/10").piece("234"),
                None => ok("0123456789"),
            };
            reply.field("Cache-Control", "no-store")
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        for _ in 0..2 {
            let part = edge.send(get("/a").field("Range", "bytes=2-4")).await;
            part.assert_status(206).assert_body("234").assert_field("content-range", "bytes 2-4/10");
        }
        edge.get("/a").await.assert_status(200).assert_body("0123456789");
    }

    async fn a_condition_on_what_is_not_stored_is_met_here(mode) {
        let origin = Origin::start(|_| fresh("hello").field("ETag", "\"v1\"")).await;
        let edge = Edge::start(mode, &origin).await;
        let answer = edge.send(get("/a").field("If-None-Match", "\"v1\"")).await;
        answer.assert_status(304).assert_body("").assert_cache_status("fwd=uri-miss; stored");
        assert_eq!(origin.last().field("if-none-match"), None);
        edge.settled().await;
        edge.get("/a").await.assert_body("hello").assert_cache_status("hit").assert_front();
    }
}
