//! The access log: one line for each request, with what became of it and why, whichever transport answered.

use crate::dsl::*;
use serde_json::json;

in_every_mode! {
    and_over_tls;

    async fn every_request_has_its_line(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::start(mode, &origin).await;
        let ask = || get("/a?b=c").field("User-Agent", "test/1").field("Referer", "http://edge.test/");
        edge.send(ask()).await.assert_body("hello");
        let hit = edge.send(ask()).await;
        let lines = edge.logged("/a?b=c", 2).await;
        let protocol = if mode.is_h2() { "h2" } else { "http/1.1" };
        for line in &lines {
            for (name, value) in [
                ("client", json!("127.0.0.1")),
                ("method", json!("GET")),
                ("scheme", json!(mode.scheme())),
                ("host", json!(HOST)),
                ("uri", json!("/a?b=c")),
                ("protocol", json!(protocol)),
                ("status", json!(200)),
                ("bytes_out", json!(5)),
                ("listener", json!(edge.address.to_string())),
                ("route", json!("default")),
                ("user_agent", json!("test/1")),
                ("referer", json!("http://edge.test/")),
            ] {
                assert_eq!(line[name], value, "{name} of {line}");
            }
            assert!(line["duration"].as_f64().unwrap() < 15.0, "{line}");
        }
        let (miss, line) = (&lines[0], &lines[1]);
        assert_eq!((&miss["outcome"], &miss["reason"]), (&json!("miss"), &json!("absent")));
        assert_eq!((&miss["stored"], &miss["transport"]), (&json!("yes"), &json!("proxy")));
        assert_eq!((&miss["upstream"], &miss["server"]), (&json!("origin"), &json!(origin.address.to_string())));
        assert_eq!(miss["tries"], 1);
        assert!(miss["connect"].is_number() && miss["first_byte"].is_number(), "{miss}");
        assert_eq!((&line["outcome"], line.get("reason")), (&json!("hit"), None));
        assert_eq!(line["transport"], if mode.front { "front" } else { "proxy" });
        assert_eq!(line["id"], json!(hit.field("x-request-id")));
        assert!(line["age"].is_number() && line["ttl"].is_number() && line.get("server").is_none(), "{line}");
    }

    async fn every_fetch_that_a_client_waited_for_names_its_server(mode) {
        let origin = Origin::start(|seen| match seen.path() {
            "/stored" => fresh("hello"),
            "/passed" => ok("hello").field("Cache-Control", "no-store"),
            "/confirmed" if seen.field("if-none-match").is_some() => reply(304),
            _ => ok("hello").field("Cache-Control", "max-age=0").field("ETag", "\"v\""),
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        for path in ["/stored", "/passed", "/passed", "/confirmed", "/confirmed"] {
            edge.get(path).await.assert_status(200).assert_body("hello");
        }
        edge.send(post("/passed", "x")).await.assert_status(200);
        edge.logged("/passed", 3).await;
        for line in edge.log() {
            assert_eq!(line["server"], json!(origin.address.to_string()), "{line}");
            assert_eq!((&line["upstream"], &line["tries"]), (&json!("origin"), &json!(1)), "{line}");
            assert!(line["first_byte"].is_number() && line["bytes_out"] == 5, "{line}");
        }
        edge.assert_metric("foreland_upstream_requests_total", &[("result", "ok")], 6.0).await;
        edge.assert_metric("foreland_upstream_requests_total", &[("result", "error")], 0.0).await;
    }

    async fn a_broken_body_is_logged_with_what_was_sent_of_it(mode) {
        let origin = Origin::start(|_| fresh("half ").length(100).cut()).await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_broken();
        let line = &edge.logged("/a", 1).await[0];
        assert_eq!((&line["status"], &line["bytes_out"]), (&json!(200), &json!(5)), "{line}");
        assert_eq!(line["stored"], "incomplete", "{line}");
    }

    async fn counters_agree_with_the_log(mode) {
        let origin = Origin::start(|seen| if seen.path() == "/404" { reply(404) } else { fresh("hello") }).await;
        let edge = Edge::start(mode, &origin).await;
        for path in ["/a", "/a", "/404"] {
            edge.get(path).await;
        }
        edge.head("/a").await;
        edge.send(post("/a", "x")).await;
        let total = |method, status| edge.metric("foreland_requests_total", &[("method", method), ("status", status)]);
        edge.assert_metric("foreland_requests_total", &[], 5.0).await;
        assert_eq!((total("GET", "2xx"), total("GET", "4xx"), total("HEAD", "2xx"), total("POST", "2xx")), (2.0, 1.0, 1.0, 1.0));
        edge.assert_metric("foreland_request_duration_seconds_count", &[("outcome", "hit")], 2.0).await;
        edge.assert_metric("foreland_response_bytes_total", &[("outcome", "hit")], 5.0).await;
        until("five lines", || edge.log().len() == 5).await;
    }
}
