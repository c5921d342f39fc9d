//! Routes: which of them takes a request, what it answers by itself, and what it changes on the way.

use crate::dsl::*;

/// An origin that tells what it was asked.
async fn echo() -> Origin {
    Origin::start(|seen| {
        let mut reply = fresh(format!("{} {}", seen.method, seen.target));
        for (name, value) in seen.fields.iter().filter(|(name, _)| name.to_lowercase().starts_with("x-test"))
        {
            reply = reply.field(&format!("Seen-{name}"), value);
        }
        reply.field("X-Powered-By", "PHP")
    })
    .await
}

async fn edge(mode: Mode, origin: &Origin, routes: &str) -> (Edge, Files) {
    let files = Files::with_routes(origin.address, routes);
    (Edge::from_file(mode, &files.main()).await, files)
}

in_every_mode! {
    async fn the_most_specific_route_takes_a_request_whatever_the_order(mode) {
        let origin = echo().await;
        let routes = r#"
- { name: any, upstream: app }
- { name: host, match: { host: edge.test }, upstream: app }
- { name: prefix, match: { host: edge.test, path: /a/ }, upstream: app }
- { name: exact, match: { path: /a/b, host: edge.test }, upstream: app }
- { name: post, match: { host: edge.test, path: /a/, method: POST }, upstream: app }
- { name: elsewhere, match: { host: other.test, path: /a/b }, upstream: app }
- { name: beta, match: { host: edge.test, cookie: { stage: beta }, header: { x-kind: "b*" }, query: page }, upstream: app }
"#;
        let (edge, _files) = edge(mode, &origin, routes).await;
        for (ask, route) in [
            (get("/"), "host"),
            (get("/a/y"), "prefix"),
            (get("/a/b"), "exact"),
            (post("/a/x", "1"), "post"),
            (get("/b?page=1").field("Cookie", "x=1; stage=beta").field("X-Kind", "bus"), "beta"),
            (get("/b?page=2").field("Cookie", "stage=alpha").field("X-Kind", "bus"), "host"),
            (get("/%61/b?decoded"), "exact"),
        ] {
            let uri = ask.target().to_owned();
            edge.send(ask).await.assert_status(200);
            let line = edge.logged(&uri, 1).await.pop().unwrap();
            assert_eq!(line["route"], route, "{uri}");
        }
    }

    async fn a_request_that_no_route_takes_is_not_found(mode) {
        let origin = echo().await;
        let (edge, _files) = edge(mode, &origin, "- { match: { host: other.test }, upstream: app }").await;
        let page = edge.get("/a").await;
        page.assert_status(404).assert_field("cache-control", "no-store").assert_front();
        assert!(page.text().contains("no route takes this request"), "{}", page.text());
        assert_eq!(origin.requests("/a"), 0);
        let line = &edge.logged("/a", 1).await[0];
        assert_eq!((line["status"].as_u64(), &line["outcome"]), (Some(404), &"answer".into()), "{line}");
        assert!(line.get("route").is_none(), "{line}");
        edge.assert_counted("answer 1").await;
        edge.assert_metric("foreland_requests_total", &[("route", ""), ("status", "4xx")], 1.0).await;
    }

    async fn redirects_and_responses_need_no_origin(mode) {
        let origin = echo().await;
        let routes = r#"
- { name: old, match: { path: /old/ }, redirect: "https://new.test{uri}" }
- { name: moved, match: { path: /moved }, redirect: { to: "/there?from={path}", status: 302 } }
- name: robots
  match: { path: /robots.txt }
  respond: { body: "User-agent: *\nDisallow:\n", headers: { Cache-Control: max-age=60 } }
- { name: gone, match: { path: /gone }, respond: { status: 410 } }
- { name: rest, upstream: app }
"#;
        let (edge, _files) = edge(mode, &origin, routes).await;
        let old = edge.get("/old/a?b=c").await;
        old.assert_status(308).assert_field("location", "https://new.test/old/a?b=c").assert_body("").assert_front();
        edge.get("/moved").await.assert_status(302).assert_field("location", "/there?from=/moved");
        let robots = edge.get("/robots.txt").await;
        robots.assert_status(200).assert_body("User-agent: *\nDisallow:\n").assert_front();
        robots.assert_field("content-type", "text/plain; charset=utf-8").assert_field("cache-control", "max-age=60");
        assert!(robots.field("date").is_some() && robots.field("x-request-id").is_some(), "{robots:?}");
        let head = edge.head("/robots.txt").await;
        head.assert_status(200).assert_field("content-length", "24").assert_body("");
        edge.get("/gone").await.assert_status(410).assert_body("");
        // A body that nobody wants is not taken for a request.
        edge.send(post("/old/x", "GET /evil HTTP/1.1\r\nHost: edge.test\r\n\r\n")).await.assert_status(308);
        edge.get("/other").await.assert_status(200).assert_body("GET /other");
        assert_eq!(origin.seen().len(), 1);
        edge.assert_metric("foreland_cache_requests_total", &[("outcome", "answer")], 6.0).await;
    }

    async fn fields_are_edited_on_the_way_to_the_origin_and_back(mode) {
        let origin = echo().await;
        let routes = r#"
- name: site
  upstream: app
  request_headers:
    set: { X-Test-Client: "{client}", X-Test-Host: "{host}", X-Test-Agent: "<{header:user-agent}>" }
    add: { X-Test-Added: "two" }
    remove: [X-Test-Secret]
  response_headers:
    set: { X-Frame-Options: DENY, X-Served: "{route} {path}" }
    add: { X-More: "1" }
    remove: [X-Powered-By, Age]
"#;
        let (edge, _files) = edge(mode, &origin, routes).await;
        let ask = || {
            get("/a").field("User-Agent", "curl").field("X-Test-Secret", "s").field("X-Test-Added", "one")
        };
        let miss = edge.send(ask()).await;
        miss.assert_field("seen-x-test-client", "127.0.0.1").assert_field("seen-x-test-host", "edge.test");
        miss.assert_field("seen-x-test-agent", "<curl>").assert_no_field("seen-x-test-secret");
        miss.assert_field("seen-x-test-added", "one, two");
        let hit = edge.send(ask()).await;
        hit.assert_front().assert_cache_status("hit");
        let passed = edge.send(ask().method("POST")).await;
        for answer in [&miss, &hit, &passed] {
            answer.assert_field("x-frame-options", "DENY").assert_field("x-served", "site /a");
            answer.assert_field("x-more", "1").assert_no_field("x-powered-by").assert_no_field("age");
        }
    }

    async fn the_path_is_rewritten_for_the_origin_and_not_for_the_key(mode) {
        let origin = echo().await;
        let routes = r#"
- { name: strip, match: { path: /strip/ }, upstream: app, rewrite: { strip: /strip } }
- { name: replace, match: { path: /old/ }, upstream: app, rewrite: { replace: { prefix: /old/, with: /new/ } } }
- { name: regex, match: { path: /item/ }, upstream: app, rewrite: { regex: { match: "^/item/([0-9]+)$", with: "/items/$1/view" } } }
- { name: rest, upstream: app }
"#;
        let (edge, _files) = edge(mode, &origin, routes).await;
        edge.get("/strip/a?x=1").await.assert_body("GET /a?x=1");
        edge.get("/strip/a?x=1").await.assert_body("GET /a?x=1").assert_cache_status("hit").assert_front();
        // However the path is spelt that the route takes, it is rewritten.
        for spelling in ["//strip/b", "/%73trip/b", "/x/../strip/b"] {
            edge.get(spelling).await.assert_body("GET /b");
        }
        edge.get("/a?x=1").await.assert_body("GET /a?x=1").assert_cache_status("fwd=uri-miss; stored");
        edge.get("/old/b/c").await.assert_body("GET /new/b/c");
        edge.get("/item/42").await.assert_body("GET /items/42/view");
        edge.get("/item/x").await.assert_body("GET /item/x");
    }

    async fn a_path_that_means_one_thing_here_and_another_there_is_refused(mode) {
        let origin = echo().await;
        let (edge, _files) = edge(mode, &origin, "- { name: share, upstream: app }").await;
        for path in ["/share/..%2fapi/session", "/share/%2F..%2Fapi", "/a%5C..%5cb"] {
            edge.get(path).await.assert_status(400).assert_no_field("cache-status");
        }
        edge.get("/a%2Fb").await.assert_body("GET /a%2Fb");
        assert_eq!(origin.seen().len(), 1);
        edge.assert_refused("bad_request", 3.0).await;
    }

    async fn what_proxies_tell_applications_is_not_taken_from_clients(mode) {
        let origin = Origin::start(|seen| {
            let names = ["x-forwarded-port", "x-forwarded-prefix", "x-original-url", "x-http-method-override"];
            fresh(names.iter().filter_map(|name| seen.field(name)).collect::<Vec<_>>().join(" "))
        })
        .await;
        let (edge, _files) = edge(mode, &origin, "- { name: site, upstream: app }").await;
        let ask = get("/a").field("X-Forwarded-Port", "1").field("X-Forwarded-Prefix", "/p");
        edge.send(ask.field("X-Original-URL", "/admin").field("X-HTTP-Method-Override", "DELETE")).await.assert_body("");
    }

    async fn a_trusted_proxy_says_who_the_client_is_and_nobody_else_does(mode) {
        let origin = Origin::start(|seen| {
            let told = |name: &str| seen.field(name).unwrap_or_default();
            fresh(format!("{} {} {}", told("x-forwarded-for"), told("x-real-ip"), told("x-forwarded-proto")))
        })
        .await;
        let forwarded = |path: &str| {
            let id = "0123456789abcdef";
            get(path).field("X-Forwarded-For", "198.51.100.1, 203.0.113.9").field("X-Forwarded-Proto", "https").field("X-Request-Id", id)
        };
        for (trusted, expected, client) in [
            ("[127.0.0.0/8]", "198.51.100.1, 203.0.113.9, 127.0.0.1 203.0.113.9 https", "203.0.113.9"),
            ("[10.0.0.0/8]", "127.0.0.1 127.0.0.1 http", "127.0.0.1"),
        ] {
            let files = Files::with_routes(origin.address, "- { name: site, upstream: app }");
            let text = std::fs::read_to_string(files.main()).unwrap();
            files.write("foreland.yaml", &format!("trusted_proxies: {trusted}\n{text}"));
            let edge = Edge::from_file(mode, &files.main()).await;
            let answer = edge.send(forwarded("/a")).await;
            answer.assert_body(expected);
            assert_eq!(answer.field("x-request-id").as_deref() == Some("0123456789abcdef"), client == "203.0.113.9");
            let line = &edge.logged("/a", 1).await[0];
            assert_eq!(line["client"], client);
            assert_eq!(line["scheme"], if client == "127.0.0.1" { "http" } else { "https" });
        }
    }
}
