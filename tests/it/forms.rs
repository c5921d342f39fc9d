//! Stored bodies in other compressions: made once, read by all, and gone with what they were made from.

use crate::dsl::*;

const ALL: &str = "gzip, deflate, br, zstd";

/// A page of text with an entity tag, fresh for a minute.
fn page(body: impl Into<bytes::Bytes>) -> Reply {
    fresh(body).field("Content-Type", "text/html").field("ETag", "\"v1\"")
}

fn ask(path: &str, codings: &str) -> Ask {
    get(path).field("Accept-Encoding", codings)
}

/// Asks until the front has a stored form to answer with, a bounded number of times.
async fn until_stored(edge: &Edge, path: &str, codings: &str) -> Answer {
    for _ in 0..500 {
        let answer = edge.send(ask(path, codings)).await;
        if answer.field("content-length").is_some() && answer.field("content-encoding").is_some() {
            return answer;
        }
        tokio::task::yield_now().await;
    }
    panic!("no form of {path} was stored for {codings}");
}

in_every_mode! {
    and_over_tls;

    async fn the_first_clients_get_it_as_it_is_made_and_later_ones_as_it_was_stored(mode) {
        let body = text(20_000, 1);
        let given = body.clone();
        let origin = Origin::start(move |_| page(given.clone())).await;
        let edge = Edge::start(mode, &origin).await;
        for (path, codings, coding) in [("/a", ALL, "br"), ("/b", "gzip", "gzip"), ("/c", "zstd, br;q=0.5", "zstd")] {
            let first = edge.send(ask(path, codings)).await;
            first.assert_status(200).assert_coded(coding, &body).assert_no_field("content-length");
            first.assert_field("etag", "W/\"v1\"").assert_field("vary", "Accept-Encoding");
            first.assert_cache_status("fwd=uri-miss; stored").assert_proxy();
            assert_eq!(origin.last().field("accept-encoding").as_deref(), Some("identity"));
            let second = edge.send(ask(path, codings)).await;
            second.assert_coded(coding, &body).assert_cache_status("hit").assert_field("etag", "W/\"v1\"");
            until_stored(&edge, path, codings).await;
            let stored = edge.send(ask(path, codings)).await;
            stored.assert_coded(coding, &body).assert_cache_status("hit").assert_front();
            stored.assert_field("vary", "Accept-Encoding");
            let tag = stored.field("etag").unwrap();
            assert!(tag.starts_with(&format!("\"v1-{coding}-")) && tag.len() == 5 + coding.len() + 17, "{tag}");
            assert!(stored.body.len() < body.len() / 2, "{} of {}", stored.body.len(), body.len());
            assert_eq!(origin.requests(path), 1);
        }
    }

    async fn a_client_that_wants_none_gets_none(mode) {
        let body = text(5_000, 2);
        let given = body.clone();
        let origin = Origin::start(move |_| page(given.clone())).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_coded("", &body).assert_field("vary", "Accept-Encoding");
        for codings in ["", "identity", "deflate", "gzip;q=0", "gzip;q=0.5, identity", "*;q=0"] {
            let hit = edge.send(ask("/a", codings)).await;
            hit.assert_coded("", &body).assert_field("content-length", "5000").assert_field("etag", "\"v1\"");
            hit.assert_field("vary", "Accept-Encoding").assert_front();
        }
    }

    async fn what_is_not_worth_it_or_forbidden_stays_as_it_is(mode) {
        let body = text(5_000, 3);
        for (fields, asked) in [
            (&[("Content-Type", "image/png")][..], ALL),
            (&[("Content-Type", "text/html"), ("Cache-Control", "max-age=60, no-transform")], ALL),
            (&[], ALL),
            (&[("Content-Type", "text/html"), ("Content-Encoding", "compress")], ALL),
        ] {
            let given = body.clone();
            let fields = fields.to_vec();
            let origin = Origin::start(move |_| {
                fields.iter().fold(ok(given.clone()).field("Cache-Control", "max-age=60"), |r, (n, v)| r.field(n, v))
            })
            .await;
            let edge = Edge::start(mode, &origin).await;
            for _ in 0..3 {
                let answer = edge.send(ask("/a", asked)).await;
                answer.assert_body(&body).assert_field("content-length", "5000").assert_no_field("vary");
            }
            edge.send(ask("/a", asked)).await.assert_front();
        }
        let small = Origin::start(|_| page(text(1023, 1))).await;
        let edge = Edge::start(mode, &small).await;
        edge.send(ask("/a", ALL)).await.assert_coded("", text(1023, 1));
        edge.send(ask("/a", ALL)).await.assert_coded("", text(1023, 1)).assert_front();
        let untouched = edge.send(ask("/a", ALL).field("Cache-Control", "no-transform")).await;
        untouched.assert_coded("", text(1023, 1));
    }

    async fn a_client_may_ask_for_the_bytes_as_they_are(mode) {
        let origin = Origin::start(|_| page(text(5_000, 3))).await;
        let edge = Edge::start(mode, &origin).await;
        edge.send(ask("/a", ALL)).await.assert_coded("br", text(5_000, 3));
        let plain = edge.send(ask("/a", ALL).field("Cache-Control", "no-transform")).await;
        plain.assert_coded("", text(5_000, 3)).assert_cache_status("hit");
    }

    async fn a_head_says_what_a_get_would(mode) {
        let body = text(5_000, 4);
        let given = body.clone();
        let origin = Origin::start(move |_| page(given.clone())).await;
        let edge = Edge::start(mode, &origin).await;
        let wanted = |answer: &Answer| {
            ["content-encoding", "etag", "vary", "content-length"].map(|name| answer.field(name))
        };
        let head = |codings: &str| edge.send(head("/a").field("Accept-Encoding", codings));
        let first = edge.send(ask("/a", ALL)).await;
        assert_eq!(wanted(&head(ALL).await), wanted(&first));
        let stored = until_stored(&edge, "/a", ALL).await;
        let of_stored = head(ALL).await;
        assert_eq!((wanted(&of_stored), of_stored.body.len()), (wanted(&stored), 0));
    }

    async fn a_range_is_one_of_the_body_as_it_is(mode) {
        let body = text(5_000, 5);
        let given = body.clone();
        let origin = Origin::start(move |_| page(given.clone())).await;
        let edge = Edge::start(mode, &origin).await;
        edge.send(ask("/a", ALL)).await.assert_coded("br", &body);
        for _ in 0..2 {
            let part = edge.send(ask("/a", ALL).field("Range", "bytes=100-199")).await;
            part.assert_status(206).assert_coded("", &body[100..200]).assert_field("etag", "\"v1\"");
            part.assert_field("content-range", "bytes 100-199/5000").assert_field("vary", "Accept-Encoding");
            until_stored(&edge, "/a", ALL).await;
        }
        let tag = until_stored(&edge, "/a", ALL).await.field("etag").unwrap();
        let part = edge.send(ask("/a", ALL).field("Range", "bytes=0-9").field("If-Range", &tag)).await;
        part.assert_status(200).assert_coded("", &body);
    }

    async fn whoever_has_any_form_has_it(mode) {
        let body = text(5_000, 6);
        let given = body.clone();
        let origin = Origin::start(move |_| page(given.clone())).await;
        let edge = Edge::start(mode, &origin).await;
        edge.send(ask("/a", ALL)).await.assert_coded("br", &body);
        let has = |tag: &str| edge.send(ask("/a", ALL).field("If-None-Match", tag));
        for tag in ["\"v1\"", "W/\"v1\"", "\"v1-gzip-0123456789abcdef\"", "W/\"v0\", \"v1-br-0000000000000000\""] {
            let answer = has(tag).await;
            answer.assert_status(304).assert_field("vary", "Accept-Encoding").assert_no_field("content-encoding");
            answer.assert_field("etag", "W/\"v1\"");
        }
        has("\"v2\"").await.assert_status(200).assert_coded("br", &body);
        let stored = until_stored(&edge, "/a", ALL).await.field("etag").unwrap();
        has(&stored).await.assert_status(304).assert_field("etag", &stored);
        has("\"v1\"").await.assert_status(304).assert_field("etag", "W/\"v1\"");
    }

    async fn a_purge_takes_every_form(mode) {
        let origin = Origin::start(|_| page(text(5_000, 7))).await;
        let edge = Edge::start(mode, &origin).await;
        edge.send(ask("/a", ALL)).await;
        until_stored(&edge, "/a", ALL).await;
        assert_eq!(edge.purge("/a").await, 1);
        assert_eq!(edge.metric("foreland_cache_bytes", &[]), 0.0);
        let again = edge.send(ask("/a", ALL)).await;
        again.assert_coded("br", text(5_000, 7)).assert_cache_status("fwd=uri-miss; stored; detail=purged");
        assert_eq!(origin.requests("/a"), 2);
    }

    async fn what_the_origin_confirms_keeps_its_forms(mode) {
        let body = text(5_000, 8);
        let given = body.clone();
        let origin = Origin::start(move |seen| match seen.field("if-none-match") {
            Some(_) => reply(304).field("ETag", "\"v1\"").field("Cache-Control", "max-age=60").field("X-New", "1"),
            None => page(given.clone()),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        edge.send(ask("/a", ALL)).await;
        let stored = until_stored(&edge, "/a", ALL).await;
        edge.send(get("/a").field("Cache-Control", "no-cache")).await.assert_coded("", &body);
        assert_eq!(origin.requests("/a"), 2);
        let after = edge.send(ask("/a", ALL)).await;
        after.assert_coded("br", &body).assert_cache_status("hit").assert_front().assert_field("x-new", "1");
        assert_eq!(after.field("etag"), stored.field("etag"));
    }

    async fn what_comes_compressed_is_undone_for_whoever_cannot_read_it(mode) {
        let body = text(50_000, 9);
        for (coding, packed) in packed(&body) {
            let origin = Origin::start(move |_| page(packed.clone()).field("Content-Encoding", coding)).await;
            let edge = Edge::start(mode, &origin).await;
            edge.get("/a").await.assert_coded("", &body).assert_field("etag", "W/\"v1\"");
            let as_it_came = edge.send(ask("/a", coding)).await;
            as_it_came.assert_coded(coding, &body).assert_field("etag", "\"v1\"").assert_front();
            as_it_came.assert_field("vary", "Accept-Encoding");
            edge.get("/a").await.assert_coded("", &body).assert_cache_status("hit");
            until_plain(&edge, "/a").await.assert_coded("", &body);
            assert_eq!(origin.requests("/a"), 1);
        }
    }

    async fn what_is_undone_as_it_comes_has_no_ranges(mode) {
        let body = text(50_000, 13);
        for (coding, packed) in packed(&body) {
            let origin = Origin::start(move |_| page(packed.clone()).field("Content-Encoding", coding)).await;
            let edge = Edge::start(mode, &origin).await;
            for _ in 0..2 {
                let whole = edge.send(get("/a").field("Range", "bytes=0-9")).await;
                whole.assert_status(200).assert_coded("", &body);
            }
            let part = edge.send(ask("/a", coding).field("Range", "bytes=0-9")).await;
            part.assert_status(206).assert_field("content-encoding", coding);
        }
    }

    async fn what_cannot_be_kept_is_undone_each_time(mode) {
        let body = "x".repeat(2 << 20);
        let (coding, packed) = packed(&body).remove(1);
        let origin = Origin::start(move |_| page(packed.clone()).field("Content-Encoding", coding)).await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            setup.cache.memory = 8 << 20;
            setup.compress.cpu_percent = 0;
        })
        .await;
        for _ in 0..5 {
            edge.get("/a").await.assert_coded("", &body);
        }
        assert_eq!(origin.requests("/a"), 1);
    }

    async fn an_empty_body_means_nothing_in_any_compression(mode) {
        let origin = Origin::start(|_| page("").field("Content-Encoding", "gzip")).await;
        let edge = Edge::start(mode, &origin).await;
        for _ in 0..3 {
            edge.get("/a").await.assert_status(200).assert_body("");
        }
    }

    async fn a_date_that_several_forms_share_joins_no_ranges(mode) {
        let body = text(5_000, 14);
        let given = body.clone();
        let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
        let origin = Origin::start(move |_| {
            fresh(given.clone()).field("Content-Type", "text/html").field("Last-Modified", modified)
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        edge.send(ask("/a", ALL)).await.assert_coded("br", &body);
        let resumed = edge.send(ask("/a", ALL).field("Range", "bytes=9-").field("If-Range", modified)).await;
        resumed.assert_status(200).assert_coded("", &body);
    }

    async fn what_a_rule_has_the_origin_compress_reaches_nobody_who_cannot_read_it(mode) {
        let body = text(5_000, 15);
        let gzip = packed(&body).remove(1).1;
        let plain = body.clone();
        let origin = Origin::start(move |seen| {
            let asked = seen.field("accept-encoding").unwrap_or_default();
            let reply = match asked.contains("gzip") {
                true => ok(gzip.clone()).field("Content-Encoding", "gzip"),
                false => ok(plain.clone()),
            };
            let reply = reply.field("Content-Type", "text/html");
            reply.field("Cache-Control", if seen.path() == "/a" { "max-age=60" } else { "private" })
        })
        .await;
        let files = Files::with_rules(origin.address, "rules: [{ name: far, when: { path: / }, then: { accept_encoding: gzip } }]");
        let edge = Edge::from_file(mode, &files.main()).await;
        edge.get("/mine").await.assert_coded("", &body);
        assert_eq!(origin.requests("/mine"), 2, "once as the rule wants, once as the client can");
        edge.send(ask("/yours", "gzip")).await.assert_coded("gzip", &body);
        assert_eq!(origin.requests("/yours"), 1);
        edge.get("/a").await.assert_coded("", &body);
        assert_eq!(origin.last().field("accept-encoding").as_deref(), Some("gzip"));
        edge.send(ask("/a", "gzip, br")).await.assert_coded("gzip", &body);
        assert_eq!(origin.requests("/a"), 1);
    }

    async fn a_rule_that_wants_nothing_compressed_is_heard_at_once(mode) {
        let body = text(5_000, 16);
        let given = body.clone();
        let origin = Origin::start(move |_| page(given.clone())).await;
        let files = Files::with_rules(
            origin.address,
            "rules: [{ name: known, when: { header: x-secret }, then: { compress: false } }]",
        );
        let edge = Edge::from_file(mode, &files.main()).await;
        edge.send(ask("/a", ALL)).await.assert_coded("br", &body);
        until_stored(&edge, "/a", ALL).await;
        edge.send(ask("/a", ALL).field("X-Secret", "1")).await.assert_coded("", &body);
    }

    async fn a_body_that_breaks_off_breaks_off_in_every_form(mode) {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |_| {
            page(text(40_000, 10)).wait(&held).piece("more").length(50_000).cut()
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let coming = edge.begin(ask("/a", ALL)).await;
        gate.arrived().await;
        gate.open();
        edge.finish(coming).await.assert_broken();
    }

    async fn a_client_that_leaves_breaks_no_form_for_others(mode) {
        let gate = Gate::new();
        let held = gate.clone();
        let body = text(40_000, 11);
        let (one, two) = (body[..20_000].to_owned(), body[20_000..].to_owned());
        let origin = Origin::start(move |_| {
            page(one.clone()).wait(&held).piece(two.clone())
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let first = edge.begin(ask("/a", ALL)).await;
        gate.arrived().await;
        let other = edge.another_client();
        let second = other.begin(&ask("/a", ALL)).await;
        first.leave();
        gate.open();
        other.finish(second).await.assert_coded("br", &body);
        edge.send(ask("/a", ALL)).await.assert_coded("br", &body);
        assert_eq!(origin.requests("/a"), 1);
    }
}

/// A body in each compression, as an origin would send it.
fn packed(body: &str) -> Vec<(&'static str, Vec<u8>)> {
    use std::io::Write;
    let mut br = Vec::new();
    brotli::BrotliCompress(&mut body.as_bytes(), &mut br, &brotli::enc::BrotliEncoderParams::default())
        .unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(body.as_bytes()).unwrap();
    let zstd = zstd::encode_all(body.as_bytes(), 3).unwrap();
    vec![("br", br), ("gzip", gzip.finish().unwrap()), ("zstd", zstd)]
}

/// Asks for the plain form until it is stored, a bounded number of times.
async fn until_plain(edge: &Edge, path: &str) -> Answer {
    for _ in 0..500 {
        let answer = edge.get(path).await;
        if answer.field("content-length").is_some() {
            return answer;
        }
        tokio::task::yield_now().await;
    }
    panic!("{path} was not stored as it is");
}

/// Two hundred clients who want the same at the same time cost one request and one run of the encoder.
#[tokio::test]
async fn many_who_ask_at_once_cost_one_request_and_one_run() {
    let gate = Gate::new();
    let held = gate.clone();
    let body = text(1 << 20, 12);
    let given = body.clone();
    let origin =
        Origin::start(move |_| fresh(given.clone()).field("Content-Type", "application/json").hold(&held))
            .await;
    let edge = Edge::start(Mode::H1, &origin).await;
    let clients: Vec<_> = (0..200).map(|_| edge.another_client()).collect();
    let waiting: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(async move { client.send(ask("/a", "br")).await }))
        .collect();
    until("every client waits", || edge.connections() >= 200).await;
    gate.arrived().await;
    gate.open();
    for client in waiting {
        client.await.unwrap().assert_coded("br", &body);
    }
    assert_eq!(origin.requests("/a"), 1);
    let runs = |run| edge.metric("foreland_compress_runs_total", &[("coding", "br"), ("run", run)]);
    assert_eq!((runs("stream"), runs("build")), (1.0, 0.0));
    edge.send(ask("/a", "br")).await.assert_coded("br", &body).assert_front();
}
