//! Cache rules on whole requests: what each setting changes on the wire, in the log and in the store.

use crate::dsl::*;

async fn edge(mode: Mode, origin: &Origin, rules: &str) -> (Edge, Files) {
    let files = Files::with_rules(origin.address, rules);
    (Edge::from_file(mode, &files.main()).await, files)
}

in_every_mode! {
    async fn a_rule_that_bypasses_leaves_the_store_alone_and_is_named(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let rules = "rules: [{ name: private, when: { any: [{ path: /account/ }, { header: authorization }] }, then: { bypass: true } }]";
        let (edge, _files) = edge(mode, &origin, rules).await;
        for ask in [get("/account/a"), get("/b").field("Authorization", "Basic x")] {
            for _ in 0..2 {
                edge.send(ask.clone()).await.assert_body("hello").assert_cache_status("fwd=bypass; detail=rule").assert_proxy();
            }
        }
        edge.get("/b").await.assert_cache_status("fwd=uri-miss; stored");
        edge.assert_counted("bypass:rule 4, miss:absent 1").await;
        let line = &edge.logged("/account/a", 2).await[0];
        assert_eq!((line["rule"].as_str(), line["reason"].as_str()), (Some("private"), Some("rule")), "{line}");
        edge.assert_metric("foreland_cache_requests_total", &[("rule", "private"), ("reason", "rule")], 4.0).await;
    }

    async fn a_lifetime_replaces_what_the_origin_says_but_not_what_it_forbids(mode) {
        let origin = Origin::start(|seen| match seen.path() {
            "/silent" => ok("silent"),
            "/short" => ok("short").field("Cache-Control", "max-age=1"),
            "/missing" => reply(404).piece("missing"),
            "/broken" => reply(500).piece("broken"),
            "/never" => ok("never").field("Cache-Control", "no-store"),
            "/cookie" => fresh("cookie").field("Set-Cookie", "a=b"),
            "/forced" => ok("forced").field("Cache-Control", "private, no-store"),
            "/stripped" => fresh("stripped").field("Set-Cookie", "a=b"),
            _ => unreachable!(),
        })
        .await;
        let rules = r#"
rules:
  - { name: all, then: { ttl: { edge: 1d, status: { 404: 10m } } } }
  - { name: force, when: { path: /forced }, then: { override: [private, no_store] } }
  - { name: strip, when: { path: /stripped }, then: { strip_set_cookie: true } }
"#;
        let (edge, _files) = edge(mode, &origin, rules).await;
        for (path, ttl) in [("/silent", Some(86_400)), ("/short", Some(86_400)), ("/missing", Some(600)),
            ("/forced", Some(86_400)), ("/stripped", Some(86_400)), ("/broken", None), ("/never", None), ("/cookie", None)] {
            let first = edge.get(path).await;
            let second = edge.get(path).await;
            match ttl {
                Some(ttl) => {
                    second.assert_cache_status("hit").assert_front();
                    assert!((ttl - 2..=ttl).contains(&second.ttl()), "{path}: {second:?}");
                    second.assert_no_field("set-cookie");
                }
                None => assert!(!first.field("cache-status").unwrap().contains("stored"), "{path}: {first:?}"),
            }
            first.assert_body(path.trim_start_matches('/'));
        }
        edge.get("/stripped").await.assert_no_field("set-cookie");
        let line = &edge.logged("/forced", 2).await[1];
        assert_eq!((line["outcome"].as_str(), line["rule"].as_str()), (Some("hit"), Some("force")), "{line}");
    }

    async fn a_browser_is_told_its_own_lifetime_counted_from_now(mode) {
        let origin = Origin::start(|_| ok("a").field("Cache-Control", "max-age=5").field("Age", "90").field("Expires", "0")).await;
        let (edge, _files) = edge(mode, &origin, "rules: [{ name: b, then: { ttl: { edge: 30d, browser: 1h } } }]").await;
        for expected in ["fwd=uri-miss; stored", "hit"] {
            let answer = edge.get("/a").await;
            answer.assert_cache_status(expected).assert_no_field("expires");
            let age = answer.seconds("age");
            assert!((90..95).contains(&age), "{answer:?}");
            answer.assert_field("cache-control", &format!("max-age={}", age + 3600));
        }
    }

    async fn the_key_leaves_out_what_a_rule_says_and_the_origin_still_sees_it(mode) {
        let origin = Origin::start(|seen| fresh(seen.target.clone())).await;
        let rules = r#"
rules:
  - { name: tracking, then: { key: { query: { drop: ["@tracking"], sort: true } } } }
  - { name: keep, when: { path: /keep }, then: { key: { query: { keep: [page] } } } }
  - { name: whole, when: { path: /none }, then: { key: { query: ignore } } }
"#;
        let (edge, _files) = edge(mode, &origin, rules).await;
        for (first, same, other) in [
            ("/a?b=2&a=1&utm_source=x", "/a?a=1&b=2", "/a?a=1"),
            ("/b?gclid=1", "/b", "/b?x"),
            ("/keep?page=1&session=9", "/keep?page=1", "/keep?page=2"),
            ("/none?x=1", "/none?y=2", "/nothing"),
        ] {
            edge.get(first).await.assert_body(first).assert_cache_status("fwd=uri-miss; stored");
            edge.get(same).await.assert_body(first).assert_cache_status("hit").assert_front();
            edge.get(other).await.assert_body(other).assert_cache_status("fwd=uri-miss; stored");
            assert_eq!(edge.purge(same).await, 1, "{same}");
            edge.get(first).await.assert_cache_status("fwd=uri-miss; stored; detail=purged");
        }
    }

    async fn fields_and_cookies_split_the_key_where_a_rule_says_so(mode) {
        let origin = Origin::start(|seen| {
            fresh(format!("{:?} {:?}", seen.field("x-country"), seen.field("cookie")))
        })
        .await;
        let rules = "rules: [{ name: split, when: { path: /split }, then: { key: { headers: [x-country], cookies: [currency] } } }]";
        let (edge, _files) = edge(mode, &origin, rules).await;
        let ask = |country: &str, cookie: &str| get("/split").field("X-Country", country).field("Cookie", cookie);
        edge.send(ask("de", "currency=eur; session=1")).await.assert_cache_status("fwd=uri-miss; stored");
        edge.send(ask("de", "session=2; currency=eur")).await.assert_cache_status("hit").assert_front();
        edge.send(ask("fr", "currency=eur")).await.assert_cache_status("fwd=uri-miss; stored");
        edge.send(ask("de", "currency=usd")).await.assert_cache_status("fwd=uri-miss; stored");
        edge.get("/split").await.assert_cache_status("fwd=uri-miss; stored");
        // Whatever the key is made of, the URL takes all of it along.
        assert_eq!(edge.purge("/split").await, 4);
        edge.send(ask("fr", "currency=eur")).await.assert_cache_status("fwd=uri-miss; stored; detail=purged");
        edge.send(post("/split", "x")).await.assert_status(200);
        edge.send(ask("fr", "currency=eur")).await.assert_cache_status("fwd=uri-miss; stored; detail=purged");
    }

    async fn what_the_response_is_decides_too(mode) {
        let origin = Origin::start(|seen| match seen.path() {
            "/image" => ok("i").field("Content-Type", "image/png"),
            "/page" => ok("p").field("Content-Type", "text/html; charset=utf-8"),
            "/secret" => fresh("s").field("X-Secret", "1"),
            "/account/x.css" => fresh("<html>").field("Content-Type", "text/html"),
            _ => fresh("other"),
        })
        .await;
        let rules = r#"
rules:
  - { name: images, when: { content_type: "image/*" }, then: { ttl: 1d, tags: [image], response_headers: { set: { X-Kind: image } } } }
  - { name: secret, when: { response_header: x-secret }, then: { store: false } }
"#;
        let (edge, _files) = edge(mode, &origin, rules).await;
        let image = edge.get("/image").await;
        image.assert_cache_status("fwd=uri-miss; stored").assert_field("x-kind", "image");
        edge.get("/image").await.assert_cache_status("hit").assert_field("x-kind", "image").assert_front();
        edge.get("/page").await.assert_cache_status("fwd=uri-miss; detail=no_lifetime").assert_no_field("x-kind");
        edge.get("/secret").await.assert_cache_status("fwd=uri-miss; detail=rule");
        // The rules that are compiled in: a page under the name of a style sheet is one user's page.
        edge.get("/account/x.css").await.assert_cache_status("fwd=uri-miss; detail=deception");
        edge.get("/other").await.assert_cache_status("fwd=uri-miss; stored");
        edge.assert_metric("foreland_cache_not_stored_total", &[("reason", "rule"), ("rule", "secret")], 1.0).await;
        edge.assert_metric("foreland_cache_not_stored_total", &[("reason", "deception"), ("rule", "deception")], 1.0).await;
        let lines = edge.logged("/image", 2).await;
        assert!(lines.iter().all(|line| line["rule"] == "images"), "{lines:?}");
        let purged = edge.admin(&post("/v1/purge", r#"{"tag":"image"}"#)).await;
        purged.assert_body("{\"purged\":1}\n");
        edge.get("/image").await.assert_cache_status("fwd=uri-miss; stored; detail=purged");
    }

    async fn cookies_are_stripped_on_the_way_to_the_origin_where_the_cache_is_used(mode) {
        let origin = Origin::start(|seen| fresh(seen.field("cookie").unwrap_or_default())).await;
        let rules = r#"
rules:
  - { name: all, when: { path: /all }, then: { strip_cookies: true } }
  - { name: some, when: { path: /some }, then: { strip_cookies: ["_ga*"] } }
"#;
        let (edge, _files) = edge(mode, &origin, rules).await;
        let ask = |path: &str| get(path).field("Cookie", "_ga=1; keep=2; _ga_x=3");
        edge.send(ask("/all")).await.assert_body("");
        edge.send(ask("/some")).await.assert_body("keep=2");
        edge.send(ask("/none")).await.assert_body("_ga=1; keep=2; _ga_x=3");
        edge.send(ask("/all").method("POST")).await.assert_body("_ga=1; keep=2; _ga_x=3");
    }

    async fn a_client_is_not_heard_where_a_rule_says_so(mode) {
        let origin = Origin::start(|_| fresh("a")).await;
        let (edge, _files) = edge(mode, &origin, "rules: [{ name: deaf, when: { path: /deaf }, then: { request_directives: ignore } }]").await;
        for path in ["/deaf", "/heard"] {
            edge.get(path).await.assert_cache_status("fwd=uri-miss; stored");
        }
        let reload = |path: &str| get(path).field("Cache-Control", "no-cache").field("Pragma", "no-cache");
        edge.send(reload("/deaf")).await.assert_cache_status("hit").assert_front();
        edge.send(get("/deaf").field("Cache-Control", "no-store")).await.assert_cache_status("hit").assert_front();
        edge.send(reload("/heard")).await.assert_cache_status("fwd=request; stored");
        edge.send(get("/heard").field("Cache-Control", "no-store")).await.assert_cache_status("fwd=bypass; detail=request_no_store");
    }

    async fn what_is_too_large_for_a_rule_streams_through(mode) {
        let origin = Origin::start(|seen| match seen.path() {
            "/announced" => fresh(pattern(2000)),
            _ => fresh(pattern(2000)).chunked(),
        })
        .await;
        let (edge, _files) = edge(mode, &origin, "rules: [{ name: small, then: { max_object: 1KiB } }]").await;
        edge.get("/announced").await.assert_body(pattern(2000)).assert_cache_status("fwd=uri-miss; detail=too_large");
        edge.get("/chunked").await.assert_body(pattern(2000));
        edge.settled().await;
        edge.get("/chunked").await.assert_body(pattern(2000)).assert_cache_status("fwd=uri-miss; detail=hit_for_miss");
        edge.assert_not_stored("too_large", 3.0).await;
    }

    async fn clients_do_not_wait_for_each_other_where_a_rule_says_so(mode) {
        let gate = Gate::new();
        let origin = Origin::start({
            let gate = gate.clone();
            move |_| fresh("a").hold(&gate)
        })
        .await;
        let (edge, _files) = edge(mode, &origin, "rules: [{ name: alone, then: { collapse: false } }]").await;
        let (a, b, c) = (edge.another_client(), edge.another_client(), edge.another_client());
        let answers = async { tokio::join!(a.send(get("/a")), b.send(get("/a")), c.send(get("/a"))) };
        let opened = async {
            until("three requests at the origin", || origin.requests("/a") == 3).await;
            gate.open();
        };
        let ((one, two, three), ()) = tokio::join!(answers, opened);
        for answer in [one, two, three] {
            answer.assert_body("a");
        }
        edge.get("/a").await.assert_cache_status("hit");
    }

    /// A 304 without Cache-Control once left what a rule had written there as if the origin had said it.
    async fn what_a_rule_puts_in_is_not_the_origins_word_when_a_304_comes(mode) {
        let origin = Origin::start(|seen| match seen.field("if-none-match") {
            Some(tag) => reply(304).field("ETag", &tag),
            None => ok("a").field("Cache-Control", "no-cache").field("ETag", "\"1\"").field("X-Kind", "page"),
        })
        .await;
        let rules = r#"
rules:
  - name: page
    when: { response_header: { x-kind: page } }
    then:
      tags: [page]
      response_headers: { set: { Cache-Control: "max-age=31536000" }, add: { X-Added: "1" }, remove: [X-Kind] }
"#;
        let (edge, _files) = edge(mode, &origin, rules).await;
        for round in 1..=3 {
            let answer = edge.get("/a").await;
            answer.assert_body("a").assert_field("cache-control", "max-age=31536000").assert_field("x-added", "1");
            answer.assert_no_field("x-kind");
            assert_eq!(origin.requests("/a"), round, "{answer:?}");
        }
        // The rule still knows what it was asked about.
        let lines = edge.logged("/a", 3).await;
        assert!(lines.iter().all(|line| line["rule"] == "page"), "{lines:?}");
        edge.admin(&post("/v1/purge", r#"{"tag":"page"}"#)).await.assert_body("{\"purged\":1}\n");
    }

    async fn stale_windows_of_a_rule_hold_where_the_origin_names_none(mode) {
        let origin = Origin::start(|seen| match (seen.path(), seen.index) {
            ("/swr", 0) => ok("old").field("Cache-Control", "max-age=0").field("ETag", "\"1\""),
            ("/swr", _) => fresh("new"),
            _ => unreachable!(),
        })
        .await;
        let (edge, _files) = edge(mode, &origin, "rules: [{ name: w, then: { stale_while_revalidate: 1m } }]").await;
        edge.get("/swr").await.assert_body("old");
        edge.get("/swr").await.assert_body("old").assert_cache_status("hit; detail=revalidating");
        until("the refresh", || origin.requests("/swr") == 2).await;
        edge.settled().await;
        edge.get("/swr").await.assert_body("new").assert_cache_status("hit");
    }
}
