//! Servers that fail while others do not: what is sent again and where, what never is, and what the log says of it.

use crate::dsl::*;
use foreland::upstream::{Endpoint, Settings};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Two servers that answer alike, by a script that is told which of all requests this is.
async fn pair(script: impl Fn(&Seen, usize) -> Reply + Clone + Send + Sync + 'static) -> [Origin; 2] {
    let counter = std::sync::Arc::new(AtomicUsize::new(0));
    let start = || {
        let (script, counter) = (script.clone(), counter.clone());
        Origin::start(move |seen| script(seen, counter.fetch_add(1, Ordering::SeqCst)))
    };
    [start().await, start().await]
}

async fn before(mode: Mode, origins: &[Origin; 2], change: impl FnOnce(&mut Settings)) -> Edge {
    let addresses = [origins[0].address, origins[1].address];
    Edge::with(mode, &addresses, |setup| change(&mut setup.upstreams[0].settings)).await
}

fn requests(origins: &[Origin; 2], path: &str) -> usize {
    origins.iter().map(|origin| origin.requests(path)).sum()
}

in_every_mode! {
    async fn a_server_that_hangs_up_costs_no_request_that_may_be_repeated(mode) {
        let origins = pair(|_, nth| if nth % 2 == 0 { hangup() } else { fresh("hello") }).await;
        let edge = before(mode, &origins, |settings| settings.eject.failures = 0).await;
        edge.get("/a").await.assert_status(200).assert_body("hello");
        edge.send(post("/put", "x").method("PUT")).await.assert_status(200);
        assert_eq!((requests(&origins, "/a"), requests(&origins, "/put")), (2, 2));
        let line = &edge.logged("/a", 1).await[0];
        assert_eq!(line["tries"], 2);
        let failed = line["failed"].as_str().unwrap();
        let server = line["server"].as_str().unwrap();
        assert!(failed.ends_with("=reset") && !failed.starts_with(server), "{line}");
    }

    async fn a_body_that_is_sent_again_is_counted_once(mode) {
        let origins = pair(|_, nth| if nth == 0 { reply(503) } else { ok("hello") }).await;
        let addresses = [origins[0].address, origins[1].address];
        let edge = Edge::with(mode, &addresses, |setup| setup.limits.max_body = 1000).await;
        edge.send(post("/a", pattern(900)).method("PUT")).await.assert_status(200).assert_body("hello");
        assert_eq!(requests(&origins, "/a"), 2);
        assert_eq!(edge.logged("/a", 1).await[0]["bytes_in"], 900);
    }

    async fn what_may_not_be_repeated_is_sent_once(mode) {
        let origins = pair(|_, nth| if nth == 0 { hangup() } else { ok("hello") }).await;
        let edge = before(mode, &origins, |_| {}).await;
        edge.send(post("/a", "x")).await.assert_status(502);
        assert_eq!(requests(&origins, "/a"), 1);
        assert!(edge.logged("/a", 1).await[0]["failed"].as_str().unwrap().ends_with("=reset"));
    }

    async fn a_server_that_does_not_answer_is_given_up_for_another(mode) {
        let gate = Gate::new();
        let origins = pair(move |_, nth| if nth == 0 { ok("late").hold(&gate) } else { fresh("hello") }).await;
        let edge = before(mode, &origins, |settings| settings.read = Duration::from_millis(100)).await;
        edge.get("/a").await.assert_status(200).assert_body("hello");
        let line = &edge.logged("/a", 1).await[0];
        assert!(line["failed"].as_str().unwrap().ends_with("=timeout"), "{line}");
    }

    async fn a_status_that_says_ask_another_is_heard(mode) {
        let origins = pair(|_, nth| if nth == 0 { reply(503).piece("no") } else { fresh("hello") }).await;
        let edge = before(mode, &origins, |_| {}).await;
        edge.get("/a").await.assert_status(200).assert_body("hello");
        let line = &edge.logged("/a", 1).await[0];
        assert!(line["failed"].as_str().unwrap().ends_with("=503"), "{line}");
        assert_eq!(line["tries"], 2);
        let ok = edge.metric("foreland_upstream_requests_total", &[("result", "ok")]);
        assert_eq!(ok, 2.0);
    }

    async fn where_all_say_so_the_last_answer_is_the_answer(mode) {
        let origins = pair(|_, nth| reply(503).field("X-Nth", &nth.to_string()).piece("closed for today")).await;
        let edge = before(mode, &origins, |_| {}).await;
        let answer = edge.get("/a").await;
        answer.assert_status(503).assert_body("closed for today").assert_field("x-nth", "1");
        let line = &edge.logged("/a", 1).await[0];
        assert!(line["failed"].as_str().unwrap().ends_with("=503"), "{line}");
        // A POST takes the first.
        edge.send(post("/b", "x")).await.assert_status(503).assert_field("x-nth", "2");
    }

    async fn statuses_that_are_not_listed_are_passed_on(mode) {
        let origins = pair(|_, nth| if nth == 0 { reply(500).piece("oops") } else { ok("hello") }).await;
        let edge = before(mode, &origins, |_| {}).await;
        edge.get("/a").await.assert_status(500).assert_body("oops");
        assert_eq!(requests(&origins, "/a"), 1);
    }

    async fn retries_have_an_end(mode) {
        let origins = pair(|_, _| hangup()).await;
        let edge = before(mode, &origins, |settings| settings.tries = 5).await;
        edge.get("/a").await.assert_status(502);
        // Nobody is asked twice.
        assert_eq!(requests(&origins, "/a"), 2);
        let edge = before(mode, &origins, |settings| settings.tries = 1).await;
        edge.get("/b").await.assert_status(502);
        assert_eq!(requests(&origins, "/b"), 1);
        let edge = before(mode, &origins, |settings| settings.retry.within = Duration::ZERO).await;
        edge.get("/c").await.assert_status(502);
        assert_eq!(requests(&origins, "/c"), 1);
    }

    async fn a_cluster_that_fails_as_a_whole_is_not_asked_everything_twice(mode) {
        let origins = pair(|_, _| hangup()).await;
        let edge = before(mode, &origins, |settings| {
            settings.retry.budget = 0;
            settings.eject.failures = 0;
        })
        .await;
        // The reserve of ten a second for ten seconds is spent, and then each is asked once.
        for number in 0..110 {
            edge.get(&format!("/{number}?x")).await.assert_status(502);
        }
        let sent = origins.iter().map(|origin| origin.seen().len()).sum::<usize>();
        assert_eq!(sent, 110 + 100);
    }

    async fn a_server_that_keeps_failing_is_left_out(mode) {
        let good = Origin::start(|_| ok("hello")).await;
        let bad = Origin::start(|_| reply(500)).await;
        let edge = Edge::with(mode, &[good.address, bad.address], |setup| {
            setup.upstreams[0].settings.eject.failures = 3;
        })
        .await;
        let mut failed = 0;
        for number in 0..20 {
            failed += usize::from(edge.get(&format!("/{number}")).await.head.status == 500);
        }
        assert_eq!((failed, bad.seen().len()), (3, 3));
        let server = bad.address.to_string();
        edge.assert_metric("foreland_upstream_up", &[("server", &server)], 0.0).await;
        let shown = edge.admin(&get("/v1/upstreams")).await;
        let shown: serde_json::Value = serde_json::from_slice(&shown.assert_status(200).body).unwrap();
        let state = &shown["upstreams"][0]["servers"][1];
        assert_eq!((&state["state"], &state["name"]), (&"out".into(), &server.into()));
        assert_eq!(state["reason"], "3 failures in a row, last: status");
        assert_eq!(state["last_error"]["what"], "status 500");
    }

    async fn servers_that_are_full_are_a_503_with_retry_after(mode) {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |seen| if seen.path() == "/slow" { reply(200).chunked().piece("sl").wait(&held).piece("ow") } else { ok("hello") }).await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            setup.upstreams[0].servers[0].max_connections = NonZeroU32::new(1);
        })
        .await;
        let slow = edge.begin(post("/slow", "x")).await;
        gate.arrived().await;
        let refused = edge.get("/a").await;
        refused.assert_status(503);
        assert!(refused.field("retry-after").is_some(), "{refused:?}");
        assert_eq!(edge.admin(&get("/v1/upstreams")).await.text().matches("\"connections\":1").count(), 1);
        gate.open();
        edge.finish(slow).await.assert_status(200);
        edge.get("/a").await.assert_status(200);
    }

    async fn a_unix_socket_is_an_origin(mode) {
        let directory = std::env::temp_dir().join(format!("foreland-{}-{mode:?}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("origin.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut io, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    while !seen.ends_with(b"\r\n\r\n") {
                        if tokio::io::AsyncReadExt::read_buf(&mut io, &mut seen).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut io, answer).await;
                });
            }
        });
        let server = format!("unix:{}", path.display());
        let edge = Edge::with(mode, &[], |setup| {
            setup.upstreams[0].servers = vec![server.parse::<foreland::upstream::ServerAddress>().unwrap().into()];
        })
        .await;
        edge.get("/a").await.assert_status(200).assert_body("hello");
        assert_eq!(edge.logged("/a", 1).await[0]["server"], server);
        assert_eq!(Endpoint::Unix(path.as_path().into()).to_string(), server);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
