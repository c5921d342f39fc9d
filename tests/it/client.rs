//! Who the client is: what proxies say of it is believed from those that are trusted, and from nobody else.

use crate::dsl::*;
use foreland::setup::Setup;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The client of the tests is a trusted proxy, and so are its neighbours.
fn trusting(setup: &mut Setup) {
    setup.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()].into();
}

in_every_mode! {
    async fn a_trusted_proxy_names_the_client_in_either_spelling(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], trusting).await;
        let plain = "203.0.113.9";
        for (path, fields, client, scheme) in [
            ("/a", &[("X-Forwarded-For", "203.0.113.9, 10.0.0.7"), ("X-Forwarded-Proto", "http, https")][..], plain, "https"),
            ("/b", &[("Forwarded", "for=198.51.100.1, for=\"203.0.113.9:80\";proto=https"), ("Forwarded", "for=10.0.0.7;proto=http")], plain, "https"),
            ("/c", &[("Forwarded", "for=\"[2001:db8::1]\"")], "2001:db8::1", "http"),
            // A proxy that writes the one lets the other through unseen.
            ("/d", &[("Forwarded", "for=198.51.100.1;proto=https"), ("X-Forwarded-For", plain)], plain, "http"),
            ("/e", &[("Forwarded", "for=unknown;proto=https")], "127.0.0.1", "https"),
        ] {
            let ask = fields.iter().fold(get(path), |ask, (name, value)| ask.field(name, value));
            edge.send(ask.clone()).await.assert_body("hello");
            edge.send(ask).await.assert_body("hello").assert_cache_status("hit").assert_front();
            for line in edge.logged(path, 2).await {
                assert_eq!((line["client"].as_str(), line["scheme"].as_str()), (Some(client), Some(scheme)), "{line}");
            }
            let seen = origin.last();
            assert_eq!(seen.field("x-real-ip").as_deref(), Some(client), "{seen:?}");
            assert_eq!(seen.field("x-forwarded-proto").as_deref(), Some(scheme), "{seen:?}");
        }
    }

    async fn the_origin_is_told_the_same_in_both_spellings(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], trusting).await;
        let own = "for=127.0.0.1;host=edge.test;proto=http";
        for (path, fields, hops, elements) in [
            ("/a", &[("X-Forwarded-For", "198.51.100.1, 203.0.113.9"), ("Forwarded", "for=6.6.6.6")][..],
                "198.51.100.1, 203.0.113.9, 127.0.0.1", "for=203.0.113.9;proto=http, "),
            ("/b", &[("Forwarded", "for=198.51.100.1"), ("Forwarded", "for=203.0.113.9")],
                "203.0.113.9, 127.0.0.1", "for=198.51.100.1, for=203.0.113.9, "),
            ("/c", &[("Forwarded", "for=_hidden")], "127.0.0.1", "for=_hidden, "),
            ("/d", &[], "127.0.0.1", ""),
        ] {
            edge.send(fields.iter().fold(get(path), |ask, (name, value)| ask.field(name, value))).await.assert_body("hello");
            let seen = origin.last();
            assert_eq!(seen.field("x-forwarded-for").as_deref(), Some(hops), "{seen:?}");
            assert_eq!(seen.field("forwarded"), Some(format!("{elements}{own}")), "{seen:?}");
        }
    }

    async fn nobody_else_is_heard(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], |setup| setup.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()].into()).await;
        let sent = [
            ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Port", "1"),
            ("X-Real-IP", "10.0.0.1"), ("Forwarded", "for=10.0.0.1;proto=https;host=evil.test"), ("X-Request-Id", "mine"),
        ];
        edge.send(sent.iter().fold(get("/a"), |ask, (name, value)| ask.field(name, value))).await.assert_body("hello");
        let line = &edge.logged("/a", 1).await[0];
        assert_eq!((line["client"].as_str(), line["scheme"].as_str()), (Some("127.0.0.1"), Some("http")), "{line}");
        let seen = origin.last();
        for (name, value) in [
            ("x-forwarded-for", Some("127.0.0.1")), ("x-forwarded-proto", Some("http")), ("x-forwarded-host", Some(HOST)), ("x-forwarded-port", None),
            ("x-real-ip", Some("127.0.0.1")), ("forwarded", Some("for=127.0.0.1;host=edge.test;proto=http")),
        ] {
            assert_eq!(seen.field(name).as_deref(), value, "{name} of {seen:?}");
        }
        assert_ne!(seen.field("x-request-id").as_deref(), Some("mine"));
    }
}

/// The listener wants a header of the PROXY protocol.
fn proxied(setup: &mut Setup) {
    trusting(setup);
    setup.listeners[0].proxy_protocol = true;
}

const FROM: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 9, 0x12, 0x67, 0, 80];

/// A header of version 2 with this command, family and content.
fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &(content.len() as u16).to_be_bytes(), content].concat()
}

/// The same, saying that the client spoke TLS.
fn secure() -> Vec<u8> {
    v2(0x21, 0x11, &[&FROM[..], &[0x20, 0, 5, 1, 0, 0, 0, 0]].concat())
}

/// Asks over a connection that begins with a header; what the log says of the client and its scheme.
async fn ask_behind(edge: &Edge, header: &[u8], ask: Ask) -> (String, String) {
    let path = ask.target().to_owned();
    if edge.mode.is_h2() {
        let mut io = soon(TcpStream::connect(edge.address), "a connection").await.unwrap();
        soon(io.write_all(header), "a write").await.unwrap();
        let (mut send, connection) = h2_over(io).await;
        let (answer, _) = send.send_request(ask.h2("http"), true).unwrap();
        assert_eq!(soon(answer, "an answer").await.unwrap().status(), 200);
        drop(send);
        let _ = soon(connection, "the connection to end").await;
    } else {
        let mut wire = edge.wire().await;
        // In one piece with what follows, of which not a byte may be lost.
        wire.write([header, &ask.wire(), &ask.wire()].concat()).await;
        wire.answer("GET").await.assert_status(200).assert_body("hello");
        wire.answer("GET").await.assert_status(200).assert_body("hello");
    }
    let lines = edge.logged(&path, 1).await;
    let text = |name| lines[0][name].as_str().unwrap().to_owned();
    (text("client"), text("scheme"))
}

fn says(client: &str, scheme: &str) -> (String, String) {
    (client.to_owned(), scheme.to_owned())
}

in_every_mode! {
    async fn a_load_balancer_names_the_source_in_a_header_before_all_else(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], proxied).await;
        let line = b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n";
        assert_eq!(ask_behind(&edge, line, get("/a")).await, says("2001:db8::1", "http"));
        assert_eq!(ask_behind(&edge, &v2(0x21, 0x11, &FROM), get("/b")).await, says("203.0.113.9", "http"));
        assert_eq!(ask_behind(&edge, &secure(), get("/c")).await, says("203.0.113.9", "https"));
        let seen = origin.last();
        for (name, value) in [
            ("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https"), ("x-real-ip", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9;host=edge.test;proto=https"),
        ] {
            assert_eq!(seen.field(name).as_deref(), Some(value), "{name} of {seen:?}");
        }
        // Who speaks for itself, or cannot tell.
        for (path, header) in [
            ("/d", b"PROXY UNKNOWN\r\n".to_vec()), ("/e", v2(0x20, 0, &[])), ("/f", v2(0x20, 0xff, &FROM)),
            ("/g", v2(0x21, 0, &FROM)), ("/h", v2(0x21, 0x31, &[1; 216])), ("/i", v2(0x21, 0x11, &[&FROM[..], &[0xe0, 0xf, 0, 0][..3], &[0; 3840]].concat())),
        ] {
            let client = if path == "/i" { "203.0.113.9" } else { "127.0.0.1" };
            assert_eq!(ask_behind(&edge, &header, get(path)).await, says(client, "http"), "{path}");
        }
        edge.assert_refused("bad_request", 0.0).await;
    }

    async fn the_source_is_believed_about_others_only_if_it_is_a_trusted_proxy_itself(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], proxied).await;
        let forged = |path| get(path).field("X-Forwarded-For", "198.51.100.1").field("X-Forwarded-Proto", "https");
        let of_a_client = b"PROXY TCP4 203.0.113.9 10.0.0.9 4711 80\r\n";
        assert_eq!(ask_behind(&edge, of_a_client, forged("/a")).await, says("203.0.113.9", "http"));
        assert_eq!(origin.last().field("x-forwarded-for").as_deref(), Some("203.0.113.9"));
        let of_a_proxy = b"PROXY TCP4 10.0.0.7 10.0.0.9 4711 80\r\n";
        assert_eq!(ask_behind(&edge, of_a_proxy, forged("/b")).await, says("198.51.100.1", "https"));
        assert_eq!(origin.last().field("x-forwarded-for").as_deref(), Some("198.51.100.1, 10.0.0.7"));
    }

    async fn nobody_speaks_for_a_client_whom_the_header_does_not_name(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], proxied).await;
        let forged = |path| get(path).field("X-Forwarded-For", "198.51.100.1").field("X-Forwarded-Proto", "https");
        // The balancer passes on bytes; the fields in them are the client's own.
        for (path, header) in [("/a", b"PROXY UNKNOWN\r\n".to_vec()), ("/b", v2(0x21, 0, &FROM)), ("/c", v2(0x21, 0x31, &[1; 216]))] {
            assert_eq!(ask_behind(&edge, &header, forged(path)).await, says("127.0.0.1", "http"), "{path}");
        }
        // With LOCAL it speaks for itself.
        assert_eq!(ask_behind(&edge, &v2(0x20, 0, &[]), forged("/d")).await, says("198.51.100.1", "https"));
    }

    async fn what_a_header_says_that_nobody_vouches_for_is_ignored(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            setup.listeners[0].proxy_protocol = true;
            setup.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()].into();
        })
        .await;
        assert_eq!(ask_behind(&edge, b"PROXY TCP4 10.0.0.1 10.0.0.9 4711 80\r\n", get("/a")).await, says("127.0.0.1", "http"));
        assert_eq!(ask_behind(&edge, &secure(), get("/b")).await, says("127.0.0.1", "http"));
        assert_eq!(origin.last().field("x-real-ip").as_deref(), Some("127.0.0.1"));
    }
}

in_both_h1_modes! {
    async fn a_connection_that_does_not_begin_with_a_header_is_closed_without_a_word(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], proxied).await;
        for (count, bytes) in [
            get("/a").wire(),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 +80 80\r\n".to_vec(),
            [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat(),
            v2(0x21, 0x11, &FROM[..11]),
            v2(0x22, 0x11, &FROM),
            v2(0x21, 0x11, &[&FROM[..], &[3, 0, 4, 1, 2, 3, 4]].concat()),
            [&v2(0x20, 0, &[])[..14], &[0xff, 0xff]].concat(),
        ]
        .into_iter()
        .enumerate()
        {
            let mut wire = edge.wire().await;
            wire.write(&bytes).await;
            assert_eq!(wire.closed().await, b"", "{bytes:?}");
            edge.assert_refused("bad_request", count as f64 + 1.0).await;
        }
        until("its lines in the log", || edge.log().len() == 9).await;
        for line in edge.log() {
            let words = ["status", "reason", "outcome", "client", "bytes_out"].map(|name| line[name].to_string());
            assert_eq!(words, ["400", "\"bad_request\"", "\"answer\"", "\"127.0.0.1\"", "0"], "{line}");
        }
        assert_eq!(edge.log()[0]["uri"], "/a");
        assert_eq!(origin.begun(), 0);
    }

    async fn a_header_may_come_byte_by_byte_and_holds_up_nobody_else(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], proxied).await;
        for (path, header) in [("/a", b"PROXY TCP4 203.0.113.9 10.0.0.9 4711 80\r\n".to_vec()), ("/b", secure())] {
            let mut slow = edge.wire().await;
            for byte in header.iter().take(header.len() - 1) {
                slow.write([*byte]).await;
                tokio::task::yield_now().await;
            }
            ask_behind(&edge, b"PROXY UNKNOWN\r\n", get("/other")).await;
            slow.write(&header[header.len() - 1..]).await;
            slow.send(&get(path)).await.assert_body("hello");
            assert_eq!(edge.logged(path, 1).await[0]["client"], "203.0.113.9");
        }
    }

    async fn a_header_that_does_not_come_in_time_ends_the_connection(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            proxied(setup);
            setup.limits.head_timeout = std::time::Duration::from_millis(100);
        })
        .await;
        for (count, bytes) in [&b""[..], b"PROXY TCP4 203", &secure()[..20]].into_iter().enumerate() {
            let mut wire = edge.wire().await;
            wire.write(bytes).await;
            assert_eq!(wire.closed().await, b"", "{bytes:?}");
            edge.assert_refused("head_timeout", count as f64 + 1.0).await;
        }
        until("its lines in the log", || edge.log().iter().filter(|line| line["status"] == 408).count() == 3).await;
    }

    async fn a_connection_whose_header_is_awaited_does_not_hold_up_the_end(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let mut edge = Edge::with(mode, &[origin.address], proxied).await;
        let mut half = edge.wire().await;
        half.write("PROXY TCP4 203").await;
        // One that comes and goes, as a check of a load balancer for open ports does, is nothing to tell.
        drop(edge.wire().await);
        ask_behind(&edge, b"PROXY UNKNOWN\r\n", get("/a")).await;
        assert_eq!(edge.stop().await, foreland::server::Ended::Clean);
        assert_eq!(half.closed().await, b"");
        assert!(edge.log().iter().all(|line| line["status"] == 200), "{:?}", edge.log());
    }
}

/// The listener sends plain requests to https.
fn redirecting(setup: &mut Setup) {
    trusting(setup);
    setup.listeners[0].redirect_https = Some(443);
}

in_every_mode! {
    async fn plain_requests_are_sent_to_https_whatever_the_routes_say(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let files = Files::with_routes(origin.address, "- { match: { path: /a }, upstream: app }\n- { match: { path: /b }, respond: { status: 200, body: b } }");
        for (setting, port) in [("true", ""), ("8443", ":8443")] {
            let text = std::fs::read_to_string(files.main()).unwrap();
            let listener = format!("listeners: [{{ bind: \"127.0.0.1:0\", redirect_https: {setting} }}]\n");
            files.write("foreland.yaml", &(listener + text.split_once('\n').unwrap().1));
            let edge = Edge::from_file(mode, &files.main()).await;
            for ask in [get("/a?b=%20c&d"), head("/b"), get("/no/route"), get("//evil.test/x"), get("/a").method("DELETE"), post("/a", "body"), post("/b", "body").chunked()] {
                let location = format!("https://edge.test{port}{}", ask.target());
                let answer = edge.send(ask).await;
                answer.assert_status(308).assert_body("").assert_field("location", &location);
                answer.assert_field("cache-control", "private, max-age=3600").assert_field("content-length", "0");
                answer.assert_no_field("cache-status").assert_no_field("strict-transport-security");
                assert!(answer.field("date").is_some() && answer.field("x-request-id").is_some(), "{answer:?}");
            }
            edge.get("/a").await.assert_status(308).assert_front();
            edge.get("/a/..%2fb").await.assert_status(400);
            let line = &edge.logged("/a", 3).await[0];
            assert_eq!((&line["outcome"], line.get("reason"), &line["status"]), (&"answer".into(), None, &308.into()), "{line}");
            assert_eq!(edge.metric("foreland_requests_total", &[("status", "3xx")]), 8.0);
        }
        assert_eq!(origin.begun(), 0);
    }

    async fn who_came_over_https_to_a_trusted_proxy_is_served(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], redirecting).await;
        for fields in [&[("X-Forwarded-Proto", "https")][..], &[("Forwarded", "for=203.0.113.9;proto=https")]] {
            let ask = fields.iter().fold(get("/a"), |ask, (name, value)| ask.field(name, value));
            edge.send(ask).await.assert_body("hello");
        }
        edge.send(get("/a").field("X-Forwarded-Proto", "http")).await.assert_status(308);
        let untrusting = Edge::with(mode, &[origin.address], |setup| setup.listeners[0].redirect_https = Some(443)).await;
        untrusting.send(get("/a").field("X-Forwarded-Proto", "https")).await.assert_status(308);
    }
}

in_both_h1_modes! {
    async fn who_names_no_host_has_nowhere_to_be_sent(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], redirecting).await;
        for (bytes, status, location) in [
            ("GET / HTTP/1.0\r\n\r\n", 400, None),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, None),
            ("GET / HTTP/1.0\r\nHost: A.test:8080\r\n\r\n", 308, Some("https://a.test/")),
            ("GET http://b.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n", 308, Some("https://b.test/x")),
            ("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", 308, Some("https://a.test")),
            ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 308, Some("https://[::1]/")),
            ("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 308, Some("https://a.test/ws")),
        ] {
            let mut wire = edge.wire().await;
            wire.write(bytes).await;
            let answer = wire.answer("GET").await;
            answer.assert_status(status);
            assert_eq!(answer.field("location").as_deref(), location, "{bytes:?}");
        }
        assert_eq!(origin.begun(), 0);
    }
}

const STS: &str = "max-age=31536000; includeSubDomains";

fn secured(setup: &mut Setup) {
    setup.listeners[0].hsts = Some(http::HeaderValue::from_static(STS));
}

/// Every kind of answer, by path: stored, confirmed, passed by, failed.
async fn every_kind() -> Origin {
    Origin::start(|seen| match seen.path() {
        "/stored" => fresh("stored"),
        "/its-own" => fresh("its own").field("Strict-Transport-Security", "max-age=1").field("X-Behind", "1"),
        "/passed" => {
            ok("passed").field("Cache-Control", "no-store").field("Strict-Transport-Security", "max-age=1")
        }
        "/confirmed" if seen.field("if-none-match").is_some() => reply(304),
        "/confirmed" => ok("confirmed").field("Cache-Control", "max-age=0").field("ETag", "\"v\""),
        _ => hangup(),
    })
    .await
}

/// Every way over TLS.
const SECURE: [Mode; 4] = [
    Mode::H1_TLS,
    Mode { front: false, ..Mode::H1_TLS },
    Mode::H2_TLS,
    Mode { front: false, ..Mode::H2_TLS },
];

#[tokio::test]
async fn every_answer_of_a_listener_with_hsts_says_so_once() {
    for mode in SECURE {
        let origin = every_kind().await;
        let edge = Edge::with(mode, &[origin.address], secured).await;
        for path in ["/stored", "/its-own", "/passed", "/confirmed"] {
            for ask in [
                get(path),
                get(path),
                head(path),
                get(path).field("Range", "bytes=1-2"),
                get(path).field("If-None-Match", "*"),
            ] {
                let answer = edge.send(ask).await;
                assert!(matches!(answer.head.status, 200 | 206 | 304), "{answer:?}");
                answer.assert_field("strict-transport-security", STS);
            }
        }
        edge.get("/its-own").await.assert_cache_status("hit").assert_front().assert_field("x-behind", "1");
        edge.get("/broken").await.assert_status(502).assert_field("strict-transport-security", STS);
        edge.send(post("/passed", "x"))
            .await
            .assert_status(200)
            .assert_field("strict-transport-security", STS);
        edge.get("/..%2f").await.assert_status(400).assert_field("strict-transport-security", STS);
        let long = get(&format!("/{}", "a".repeat(8192)));
        edge.send(long).await.assert_status(414).assert_field("strict-transport-security", STS);
    }
}

#[tokio::test]
async fn hsts_is_not_stored_and_what_an_origin_says_of_it_passes_where_the_listener_says_nothing() {
    for mode in SECURE {
        let origin = every_kind().await;
        let files = Files::with_routes(origin.address, "- { upstream: app }");
        let edge = Edge::from_file_with(mode, &files.main(), secured).await;
        edge.get("/its-own").await.assert_field("strict-transport-security", STS);
        edge.get("/stored").await.assert_field("strict-transport-security", STS);
        let plain = Edge::start(mode, &origin).await;
        for _ in 0..2 {
            plain.get("/stored").await.assert_no_field("strict-transport-security");
            plain.get("/its-own").await.assert_field("strict-transport-security", "max-age=1");
        }
    }
}

#[tokio::test]
async fn a_route_has_the_last_word_on_hsts() {
    for mode in SECURE {
        let origin = Origin::start(|_| fresh("hello").field("Strict-Transport-Security", "max-age=1")).await;
        let routes = "
- { match: { path: /a }, upstream: app, response_headers: { remove: Strict-Transport-Security } }
- { match: { path: /b }, upstream: app, response_headers: { set: { Strict-Transport-Security: max-age=5 } } }
- { match: { path: /c }, respond: { status: 200, body: c }, response_headers: { set: { Strict-Transport-Security: max-age=5 } } }
- { match: { path: /d }, respond: { status: 200, body: d } }
- { match: { path: /e }, redirect: /d }";
        let files = Files::with_routes(origin.address, routes);
        let edge = Edge::from_file_with(mode, &files.main(), secured).await;
        for _ in 0..2 {
            for (path, expected) in [
                ("/a", None),
                ("/b", Some("max-age=5")),
                ("/c", Some("max-age=5")),
                ("/d", Some(STS)),
                ("/e", Some(STS)),
                ("/f", Some(STS)),
            ] {
                let answer = edge.get(path).await;
                assert_eq!(
                    answer.field("strict-transport-security").as_deref(),
                    expected,
                    "{path} {answer:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn hsts_and_the_way_to_https_are_written_in_a_configuration() {
    for mode in SECURE {
        let origin = Origin::start(|_| fresh("hello")).await;
        let files = Files::with_routes(origin.address, "- { upstream: app }");
        files.write("site.pem", &Site::usual().cert);
        files.write("site.key", &Site::usual().key);
        let text = std::fs::read_to_string(files.main()).unwrap();
        let tls = "{ certificates: [{ cert: site.pem, key: site.key }], hsts: { max_age: 1y, include_subdomains: true } }";
        let listener = format!(
            "listeners: [{{ bind: \"127.0.0.1:0\", redirect_https: true, tls: {tls} }}]\ntrusted_proxies: 127.0.0.1\n"
        );
        files.write("foreland.yaml", &(listener + text.split_once('\n').unwrap().1));
        let edge = Edge::from_file(mode, &files.main()).await;
        edge.get("/a").await.assert_body("hello").assert_field("strict-transport-security", STS);
        // A proxy that speaks TLS to us, and did not to its client.
        edge.send(get("/a").field("X-Forwarded-Proto", "http"))
            .await
            .assert_status(308)
            .assert_field("location", "https://edge.test/a");
    }
}

#[tokio::test]
async fn a_header_of_the_proxy_protocol_stands_before_tls() {
    for mode in SECURE {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            proxied(setup);
            secured(setup);
        })
        .await;
        let alpn = if mode.is_h2() { "h2" } else { "http/1.1" };
        let connector = crate::dsl::trusting(&[Site::usual()], &[alpn]);
        for (path, pieces) in [("/a", 1), ("/b", 7)] {
            let mut io = soon(TcpStream::connect(edge.address), "a connection").await.unwrap();
            for piece in v2(0x21, 0x11, &FROM).chunks(28_usize.div_ceil(pieces)) {
                soon(io.write_all(piece), "a write").await.unwrap();
                tokio::task::yield_now().await;
            }
            let io = soon(connector.connect(HOST.try_into().unwrap(), io), "a handshake").await.unwrap();
            if mode.is_h2() {
                let (mut send, connection) = h2_over(io).await;
                let (answer, _) = send.send_request(get(path).h2("https"), true).unwrap();
                assert_eq!(
                    soon(answer, "an answer").await.unwrap().headers()["strict-transport-security"],
                    STS
                );
                drop(send);
                let _ = soon(connection, "the connection to end").await;
            } else {
                let mut wire = Wire::over(io);
                wire.send(&get(path))
                    .await
                    .assert_body("hello")
                    .assert_field("strict-transport-security", STS);
            }
            let line = &edge.logged(path, 1).await[0];
            assert_eq!(
                (line["client"].as_str(), line["scheme"].as_str()),
                (Some("203.0.113.9"), Some("https")),
                "{line}"
            );
        }
        // TLS without a header before it.
        let error = crate::dsl::connect(&connector, edge.address, HOST).await;
        assert!(error.is_err());
        edge.assert_refused("bad_request", 1.0).await;
    }
}

in_every_mode! {
    async fn hsts_is_never_said_in_the_clear(mode) {
        let origin = every_kind().await;
        let edge = Edge::with(mode, &[origin.address], |setup| {
            trusting(setup);
            secured(setup);
        })
        .await;
        for path in ["/stored", "/stored", "/..%2f", "/broken"] {
            edge.send(get(path).field("X-Forwarded-Proto", "https")).await.assert_no_field("strict-transport-security");
        }
    }
}

in_both_h1_modes! {
    async fn hsts_is_not_said_to_who_spoke_in_the_clear_where_tls_was_wanted(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let edge = Edge::with(Mode { tls: true, ..mode }, &[origin.address], secured).await;
        let mut wire = Wire::open(edge.address).await;
        wire.write(get("/a").wire()).await;
        wire.answer("GET").await.assert_status(400).assert_no_field("strict-transport-security");
    }
}
