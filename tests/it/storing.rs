//! What may not be stored: every reason by name, and how a resource recovers from having been such.

use crate::dsl::*;

const REFUSED: [(&str, &[(&str, &str)]); 7] = [
    ("no_store", &[("Cache-Control", "no-store")]),
    ("private", &[("Cache-Control", "private, max-age=60")]),
    ("set_cookie", &[("Cache-Control", "max-age=60"), ("Set-Cookie", "id=1")]),
    ("vary_star", &[("Cache-Control", "max-age=60"), ("Vary", "*")]),
    ("no_lifetime", &[]),
    ("no_lifetime", &[("Cache-Control", "max-age=0, must-revalidate")]),
    ("no_lifetime", &[("Cache-Control", "no-cache")]),
];

in_every_mode! {
    async fn what_may_not_be_stored_says_why_and_passes_from_then_on(mode) {
        for (reason, fields) in REFUSED {
            let script = |_: &Seen| fields.iter().fold(ok("mine"), |reply, (n, v)| reply.field(n, v));
            let origin = Origin::start(script).await;
            let edge = Edge::start(mode, &origin).await;
            let first = edge.get("/a").await;
            first.assert_body("mine").assert_cache_status(&format!("fwd=uri-miss; detail={reason}"));
            edge.assert_not_stored(reason, 1.0).await;
            let second = edge.get("/a").await;
            second.assert_body("mine").assert_cache_status("fwd=uri-miss; detail=hit_for_miss").assert_proxy();
            edge.assert_counted("hit_for_miss:absent 1, miss:absent 1").await;
            assert_eq!(origin.requests("/a"), 2, "{reason}");
            let log = edge.logged("/a", 2).await;
            assert_eq!((&log[0]["stored"], &log[1]["outcome"]), (&reason.into(), &"hit_for_miss".into()));
            assert_eq!(edge.metric("foreland_cache_objects", &[]), 0.0);
        }
    }

    async fn a_status_that_may_not_be_stored_says_so(mode) {
        for (status, reason) in [(302, "status"), (403, "status"), (206, "partial"), (500, "status")] {
            let origin = Origin::start(move |_| {
                let part = if status == 206 { "bytes 0-3/9" } else { "" };
                let fields = ("Content-Range", part);
                let reply = reply(status).piece("some");
                if part.is_empty() { reply } else { reply.field(fields.0, fields.1).field("Cache-Control", "max-age=60") }
            })
            .await;
            let edge = Edge::start(mode, &origin).await;
            let first = edge.get("/a").await;
            first.assert_status(status).assert_body("some");
            first.assert_cache_status(&format!("fwd=uri-miss; detail={reason}"));
            edge.get("/a").await.assert_status(status).assert_body("some");
            assert_eq!(origin.requests("/a"), 2);
        }
    }

    async fn expires_is_a_lifetime(mode) {
        let tomorrow = httpdate::fmt_http_date(std::time::SystemTime::now() + std::time::Duration::from_secs(86_400));
        let origin = Origin::start(move |_| ok("hello").field("Expires", &tomorrow)).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_cache_status("fwd=uri-miss; stored");
        let hit = edge.get("/a").await;
        hit.assert_body("hello").assert_cache_status("hit").assert_front();
        assert!((86_397..=86_400).contains(&hit.ttl()), "{hit:?}");
    }

    async fn s_maxage_beats_max_age(mode) {
        let origin = Origin::start(|_| ok("a").field("Cache-Control", "max-age=1, s-maxage=600")).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_cache_status("fwd=uri-miss; stored");
        assert!(edge.get("/a").await.assert_cache_status("hit").ttl() >= 598);
    }

    async fn credentials_keep_a_response_private_unless_it_is_public(mode) {
        let origin = Origin::start(|seen| match seen.path() {
            "/public" => ok("public").field("Cache-Control", "public, max-age=60"),
            _ => fresh("mine"),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let with_credentials = |path| get(path).field("Authorization", "Basic eDp5");
        let mine = edge.send(with_credentials("/mine")).await;
        mine.assert_body("mine").assert_cache_status("fwd=uri-miss; detail=authorization");
        assert_eq!(origin.last().field("authorization").as_deref(), Some("Basic eDp5"));
        // Nobody else waits for it or is kept from storing what is the same for all.
        edge.get("/mine").await.assert_body("mine").assert_cache_status("fwd=uri-miss; stored");
        let again = edge.send(with_credentials("/mine")).await;
        again.assert_body("mine").assert_cache_status("fwd=bypass; detail=authorization");
        edge.get("/mine").await.assert_cache_status("hit").assert_front();
        edge.send(with_credentials("/public")).await.assert_cache_status("fwd=uri-miss; stored");
        edge.send(with_credentials("/public")).await.assert_body("public").assert_cache_status("hit").assert_front();
        edge.get("/public").await.assert_body("public").assert_cache_status("hit").assert_front();
        edge.assert_counted("bypass:authorization 1, hit 3, miss:absent 3").await;
    }

    async fn a_resource_that_becomes_storable_is_stored_again(mode) {
        let origin = Origin::start(|seen| match seen.index {
            0 => ok("first").field("Cache-Control", "no-store"),
            _ => fresh("later"),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("first").assert_cache_status("fwd=uri-miss; detail=no_store");
        edge.get("/a").await.assert_body("later").assert_cache_status("fwd=uri-miss; detail=hit_for_miss");
        edge.get("/a").await.assert_body("later").assert_cache_status("fwd=uri-miss; stored");
        edge.get("/a").await.assert_body("later").assert_cache_status("hit").assert_front();
        edge.assert_counted("hit 1, hit_for_miss:absent 1, miss:absent 2").await;
    }

    async fn an_error_of_the_origin_keeps_nothing_from_being_stored_next(mode) {
        let origin = Origin::start(|seen| if seen.index == 0 { reply(500) } else { fresh("hello") }).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_status(500).assert_cache_status("fwd=uri-miss; detail=status");
        edge.get("/a").await.assert_body("hello").assert_cache_status("fwd=uri-miss; stored");
        edge.get("/a").await.assert_body("hello").assert_cache_status("hit").assert_front();
    }

    async fn requests_that_leave_the_cache_out_say_why(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        let no_store = edge.send(get("/a").field("Cache-Control", "no-store")).await;
        no_store.assert_body("hello").assert_cache_status("fwd=bypass; detail=request_no_store");
        edge.send(post("/a", "x")).await.assert_body("hello").assert_cache_status("fwd=method");
        let body = edge.send(post("/a", "x").method("GET")).await;
        body.assert_body("hello").assert_cache_status("fwd=bypass; detail=body");
        assert_eq!((origin.last().method.as_str(), &origin.last().body[..]), ("GET", &b"x"[..]));
        edge.send(get("/a").method("OPTIONS")).await.assert_body("hello").assert_cache_status("fwd=method");
        edge.assert_counted("bypass:body 1, bypass:method 2, bypass:request_no_store 1").await;
        assert_eq!(edge.metric("foreland_cache_objects", &[]), 0.0);
    }

    async fn one_fetch_serves_all_whatever_they_can_read(mode) {
        let origin = Origin::start(|seen| {
            let coding = seen.field("accept-encoding").unwrap_or_default();
            fresh(coding).field("Vary", "Accept-Encoding")
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let ask = |codings| edge.send(get("/a").field("Accept-Encoding", codings));
        ask("gzip, br").await.assert_body("identity").assert_cache_status("fwd=uri-miss; stored");
        for other in ["br,gzip", "identity", "GZIP, deflate, br", "zstd"] {
            ask(other).await.assert_body("identity").assert_cache_status("hit").assert_front();
        }
        edge.get("/a").await.assert_body("identity").assert_cache_status("hit").assert_front();
        edge.assert_counted("hit 5, miss:absent 1").await;
    }

    async fn variants_live_side_by_side(mode) {
        let origin = Origin::start(|seen| {
            fresh(seen.field("accept-language").unwrap_or_default()).field("Vary", "Accept-Language")
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let ask = |language| edge.send(get("/a").field("Accept-Language", language));
        ask("en").await.assert_body("en").assert_cache_status("fwd=uri-miss; stored");
        ask("de").await.assert_body("de").assert_cache_status("fwd=vary-miss; stored");
        for language in ["en", "de"] {
            ask(language).await.assert_body(language).assert_cache_status("hit").assert_front();
        }
        edge.assert_counted("hit 2, miss:absent 1, miss:vary 1").await;
    }

    async fn a_resource_keeps_a_bounded_number_of_variants(mode) {
        let origin = Origin::start(|seen| {
            fresh(seen.field("x-variant").unwrap_or_default()).field("Vary", "X-Variant")
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        for number in 0..80 {
            let variant = number.to_string();
            edge.send(get("/a").field("X-Variant", &variant)).await.assert_body(variant);
        }
        assert_eq!(edge.metric("foreland_cache_objects", &[]), 64.0);
        edge.send(get("/a").field("X-Variant", "79")).await.assert_body("79").assert_cache_status("hit");
        edge.send(get("/a").field("X-Variant", "0")).await.assert_cache_status("fwd=vary-miss; stored");
    }

    async fn two_variants_asked_for_at_once_are_not_mixed_up(mode) {
        let gate = Gate::new();
        let origin = Origin::start({
            let gate = gate.clone();
            move |seen| {
                let language = seen.field("accept-language").unwrap_or_default();
                fresh(language).field("Vary", "Accept-Language").hold(&gate)
            }
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let ask = |language| edge.send(get("/a").field("Accept-Language", language));
        let (en, de, fr, ()) = tokio::join!(ask("en"), ask("de"), ask("fr"), async {
            gate.arrived().await;
            gate.open();
        });
        en.assert_body("en");
        de.assert_body("de");
        fr.assert_body("fr");
    }
}
