//! Clients that speak TLS: which certificate they get, what survives a new one, and what becomes of those who do it wrong.

use crate::dsl::*;
use foreland::server::Ended;
use foreland::setup::{Listener, Setup};
use foreland::tls::Version;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::HandshakeKind;
use tokio_rustls::rustls::version::{TLS12, TLS13};

type Tls = TlsStream<TcpStream>;

/// An edge before an origin, as a file describes it: TLS with these sites, in files that can be written anew.
struct Served {
    edge: Edge,
    files: Files,
    origin: Origin,
}

impl Served {
    async fn start(sites: &[&Site]) -> Self {
        let origin = Origin::start(|seen| fresh(seen.target.clone())).await;
        let files = Files::new();
        sites.iter().enumerate().for_each(|(at, site)| write_site(&files, at, site));
        write_main(&files, &origin, &tls_of(sites.len()));
        let edge = Edge::from_file(Mode::H1_TLS, &files.main()).await;
        Self { edge, files, origin }
    }

    async fn reload(&self) {
        self.edge.server().reload().await.unwrap();
    }

    async fn connect(&self, connector: &TlsConnector, name: &str) -> io::Result<Tls> {
        connect(connector, self.edge.address, name).await
    }

    async fn handshakes(&self, result: &str, expected: f64) {
        self.edge.assert_metric("foreland_tls_handshakes_total", &[("result", result)], expected).await;
    }
}

fn write_site(files: &Files, at: usize, site: &Site) {
    files.write(&format!("{at}.key"), &site.key);
    files.write(&format!("{at}.pem"), &site.cert);
}

fn tls_of(sites: usize) -> String {
    let pairs: Vec<String> = (0..sites).map(|at| format!("{{ cert: {at}.pem, key: {at}.key }}")).collect();
    format!(", tls: {{ certificates: [{}] }}", pairs.join(", "))
}

fn write_main(files: &Files, origin: &Origin, tls: &str) {
    files.routes(origin.address, "- { upstream: app }");
    let text = std::fs::read_to_string(files.main()).unwrap();
    files.write("foreland.yaml", &text.replacen("\"127.0.0.1:0\" }", &format!("\"127.0.0.1:0\"{tls} }}"), 1));
}

/// Asks for a path and reads the answer: by then a client has its tickets.
async fn ask(tls: Tls, path: &str) -> Wire {
    let mut wire = Wire::over(tls);
    wire.send(&get(path)).await.assert_status(200).assert_body(path);
    wire
}

#[tokio::test]
async fn each_of_a_hundred_names_gets_its_own_certificate() {
    let names: Vec<String> = (0..98).map(|n| format!("site{n}.test")).collect();
    let mut sites: Vec<Site> = vec![Site::new(&["default.test", "127.0.0.1"]), Site::new(&["*.wild.test"])];
    sites.extend(names.iter().map(|name| Site::new(&[name])));
    let sites: Vec<&Site> = sites.iter().collect();
    let origin = Origin::start(|_| fresh("hello")).await;
    let with_all = |setup: &mut Setup| setup.listeners[0].tls = Some(settings(&sites));
    let edge = Edge::with(Mode::H1, &[origin.address], with_all).await;
    let connector = trusting(&sites, &["http/1.1"]);
    for (site, name) in sites[2..].iter().zip(&names) {
        // The client checks the name itself.
        let tls = connect(&connector, edge.address, name).await.unwrap();
        assert!(site.is_shown_by(&tls), "{name}");
    }
    let shown = async |name: &str| connect(&connector, edge.address, name).await;
    assert!(sites[1].is_shown_by(&shown("any.wild.test").await.unwrap()));
    assert!(sites[1].is_shown_by(&shown("ANY.Wild.test").await.unwrap()));
    // Addresses are not asked for by name (RFC 6066 §3).
    assert!(sites[0].is_shown_by(&shown("127.0.0.1").await.unwrap()));
    for unknown in ["unknown.test", "two.labels.wild.test", "wild.test"] {
        let error = shown(unknown).await.unwrap_err().to_string();
        assert!(error.contains("default.test"), "{unknown}: {error}");
    }
}

#[tokio::test]
async fn what_a_client_speaks_is_agreed_on_in_the_handshake() {
    let served = Served::start(&[Site::usual()]).await;
    let rows: [(&[&str], Option<&[u8]>); 4] = [
        (&["h2", "http/1.1"], Some(b"h2")),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ];
    for (offered, agreed) in rows {
        let tls = served.connect(&trusting(&[Site::usual()], offered), HOST).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
        if agreed != Some(b"h2") {
            ask(tls, "/a").await;
        }
    }
    let gopher = served.connect(&trusting(&[Site::usual()], &["gopher"]), HOST).await;
    assert!(gopher.unwrap_err().to_string().contains("NoApplicationProtocol"));
    served.handshakes("full", 4.0).await;
    served.handshakes("failed", 1.0).await;
}

#[tokio::test]
async fn http_and_https_are_two_resources_and_the_origin_knows_which() {
    let origin = Origin::start(|seen| fresh(seen.field("x-forwarded-proto").unwrap())).await;
    let two = |setup: &mut Setup| {
        let bind = setup.listeners[0].bind;
        setup.listeners.push(Listener { tls: Some(settings(&[Site::usual()])), ..Listener::at(bind) });
    };
    let edge = Edge::with(Mode::H1, &[origin.address], two).await;
    let addresses = edge.server().addresses.clone();
    let mut plain = Wire::open(addresses[0]).await;
    let connector = trusting(&[Site::usual()], &[]);
    let mut secure = Wire::over(connect(&connector, addresses[1], HOST).await.unwrap());
    for status in ["fwd=uri-miss; stored", "hit"] {
        plain.send(&get("/a")).await.assert_body("http").assert_cache_status(status);
        secure.send(&get("/a")).await.assert_body("https").assert_cache_status(status);
    }
    let schemes: Vec<_> = edge.logged("/a", 4).await.iter().map(|line| line["scheme"].clone()).collect();
    assert_eq!(schemes, ["http", "https", "http", "https"]);
}

#[tokio::test]
async fn a_new_certificate_is_served_while_clients_come_and_stay() {
    let (old, new) = (Site::new(&[HOST]), Site::new(&[HOST]));
    let served = Served::start(&[&old]).await;
    let stays = served.connect(&trusting(&[&old], &[]), HOST).await.unwrap();
    let mut stays = ask(stays, "/a").await;
    write_site(&served.files, 0, &new);
    // Whoever comes meanwhile gets one of the two; who has a session is not shown any.
    let start = Instant::now();
    loop {
        let tls = served.connect(&trusting(&[&old, &new], &[]), HOST).await.unwrap();
        let is_new = new.is_shown_by(&tls);
        ask(tls, "/a").await;
        if is_new || start.elapsed() > Duration::from_secs(15) {
            assert!(is_new, "the new certificate is not served");
            break;
        }
    }
    stays.send(&get("/a")).await.assert_body("/a").assert_cache_status("hit");
    assert_eq!(served.edge.metric("foreland_config_reloads_total", &[]), 0.0);
    served.handshakes("failed", 0.0).await;
    let ends = served.edge.metric("foreland_tls_certificate_not_after_seconds", &[("certificate", HOST)]);
    assert!(ends > 60_000_000_000.0, "{ends}");
}

#[tokio::test]
async fn half_a_new_certificate_takes_nothing_away() {
    let (old, new, other) = (Site::new(&[HOST]), Site::new(&[HOST]), Site::new(&["other.test"]));
    let served = Served::start(&[&old, &Site::new(&["other.test"])]).await;
    let connector = || trusting(&[&old, &new, &other], &[]);
    served.files.write("0.pem", &new.cert);
    write_site(&served.files, 1, &other);
    // Files are looked at in their order: once the second is new, the first was looked at.
    let start = Instant::now();
    while served.connect(&connector(), "other.test").await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(15), "the other certificate is not served");
    }
    assert!(old.is_shown_by(&served.connect(&connector(), HOST).await.unwrap()));
    served.files.write("0.key", &new.key);
    let start = Instant::now();
    while !new.is_shown_by(&served.connect(&connector(), HOST).await.unwrap()) {
        assert!(start.elapsed() < Duration::from_secs(15), "the new certificate is not served");
    }
}

#[tokio::test]
async fn sessions_are_resumed_across_reloads_and_new_certificates() {
    for version in [&TLS12, &TLS13] {
        let (old, new) = (Site::new(&[HOST]), Site::new(&[HOST]));
        let served = Served::start(&[&old]).await;
        let connector = trusting_with(&[&old, &new], &[], &[version]);
        let connected = async || {
            let tls = served.connect(&connector, HOST).await.unwrap();
            let kind = tls.get_ref().1.handshake_kind().unwrap();
            ask(tls, "/a").await;
            kind
        };
        assert_eq!(connected().await, HandshakeKind::Full, "{version:?}");
        assert_eq!(connected().await, HandshakeKind::Resumed, "{version:?}");
        write_main(&served.files, &served.origin, &tls_of(1).replace("tls: {", "tls: { min_version: 1.2,"));
        served.reload().await;
        assert_eq!(connected().await, HandshakeKind::Resumed, "{version:?} after a reload");
        write_site(&served.files, 0, &new);
        served.reload().await;
        assert_eq!(connected().await, HandshakeKind::Resumed, "{version:?} after a new certificate");
        // Somebody who was never here gets the new one.
        let stranger = trusting_with(&[&new], &[], &[version]);
        assert!(new.is_shown_by(&served.connect(&stranger, HOST).await.unwrap()));
        served.handshakes("resumed", 3.0).await;
        served.handshakes("full", 2.0).await;
    }
}

#[tokio::test]
async fn the_oldest_version_is_as_it_is_configured() {
    let origin = Origin::start(|seen| fresh(seen.target.clone())).await;
    for (oldest, spoken) in [(Version::Tls12, [true, true]), (Version::Tls13, [false, true])] {
        let edge = Edge::with(Mode::H1_TLS, &[origin.address], |setup| {
            setup.listeners[0].tls.as_mut().unwrap().min_version = oldest;
        })
        .await;
        for (version, spoken) in [&TLS12, &TLS13].into_iter().zip(spoken) {
            let tls = connect(&trusting_with(&[Site::usual()], &[], &[version]), edge.address, HOST).await;
            match tls {
                Ok(tls) if spoken => drop(ask(tls, "/a").await),
                Err(error) if !spoken => assert!(error.to_string().contains("ProtocolVersion"), "{error}"),
                other => panic!("{oldest:?} {version:?} {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_listener_takes_tls_up_and_lays_it_down_while_it_listens() {
    let served = Served::start(&[Site::usual()]).await;
    let connector = trusting(&[Site::usual()], &[]);
    let mut secure = ask(served.connect(&connector, HOST).await.unwrap(), "/a").await;
    write_main(&served.files, &served.origin, "");
    served.reload().await;
    let mut plain = Wire::open(served.edge.address).await;
    plain.send(&get("/b")).await.assert_body("/b");
    secure.send(&get("/c")).await.assert_body("/c");
    write_main(&served.files, &served.origin, &tls_of(1));
    served.reload().await;
    ask(served.connect(&connector, HOST).await.unwrap(), "/d").await;
    plain.send(&get("/e")).await.assert_body("/e");
    secure.send(&get("/f")).await.assert_body("/f");
    // The same certificate, the same listener, the same counters.
    served.handshakes("full", 1.0).await;
    served.handshakes("resumed", 1.0).await;
}

#[tokio::test]
async fn a_configuration_with_a_broken_certificate_changes_nothing() {
    let served = Served::start(&[Site::usual()]).await;
    served.files.write("0.key", "");
    let answer = served.edge.admin(&post("/v1/reload", "")).await;
    answer.assert_status(422);
    assert!(answer.text().contains("there is no private key"), "{}", answer.text());
    let tls = served.connect(&trusting(&[Site::usual()], &[]), HOST).await.unwrap();
    ask(tls, "/a").await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_in_time_is_given_up() {
    let origin = Origin::start(|_| fresh("hello")).await;
    let short = |setup: &mut Setup| setup.limits.handshake_timeout = Duration::from_millis(100);
    let edge = Edge::with(Mode::H1_TLS, &[origin.address], short).await;
    for bytes in [&b""[..], &[22], &[22, 3, 1, 2, 0, 1, 0, 1, 252]] {
        let mut wire = Wire::open(edge.address).await;
        wire.write(bytes).await;
        assert_eq!(wire.closed().await, b"");
    }
    edge.assert_metric("foreland_tls_handshakes_total", &[("result", "timeout")], 3.0).await;
    // The time for a handshake is not the time for a request.
    let tls = connect(&trusting(&[Site::usual()], &[]), edge.address, HOST).await.unwrap();
    let mut wire = Wire::over(tls);
    tokio::time::timeout(Duration::from_millis(300), wire.closed()).await.unwrap_err();
    wire.send(&get("/a")).await.assert_body("hello");
}

#[tokio::test]
async fn who_only_looks_whether_somebody_listens_is_not_counted() {
    let origin = Origin::start(|_| fresh("hello")).await;
    let edge = Edge::start(Mode::H1_TLS, &origin).await;
    let mut wire = Wire::open(edge.address).await;
    wire.finish_writing().await;
    assert_eq!(wire.closed().await, b"");
    // Half a handshake is a failure.
    let mut wire = Wire::open(edge.address).await;
    wire.write([22, 3, 1]).await;
    wire.finish_writing().await;
    assert_eq!(wire.closed().await, b"");
    edge.assert_metric("foreland_tls_handshakes_total", &[("result", "failed")], 1.0).await;
    assert_eq!(edge.metric("foreland_tls_handshakes_total", &[]), 1.0);
}

#[tokio::test]
async fn a_plain_request_on_a_tls_port_is_told_so() {
    let origin = Origin::start(|_| fresh("hello")).await;
    let edge = Edge::start(Mode::H1_TLS, &origin).await;
    let mut wire = Wire::open(edge.address).await;
    wire.write(get("/lost").wire()).await;
    let answer = wire.answer("GET").await;
    answer.assert_status(400).assert_field("connection", "close");
    assert!(answer.text().contains("The plain HTTP request was sent to HTTPS port"), "{}", answer.text());
    edge.assert_refused("bad_request", 1.0).await;
    edge.assert_metric("foreland_tls_handshakes_total", &[("result", "failed")], 1.0).await;
    let line = &edge.logged("/lost", 1).await[0];
    assert_eq!((line["scheme"].as_str(), line["status"].as_u64()), (Some("http"), Some(400)), "{line}");
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn a_connection_too_many_is_closed_without_a_word() {
    let origin = Origin::start(|seen| fresh(seen.target.clone())).await;
    let edge = Edge::with(Mode::H1_TLS, &[origin.address], |setup| setup.limits.connections = 1).await;
    let connector = trusting(&[Site::usual()], &[]);
    let first = ask(connect(&connector, edge.address, HOST).await.unwrap(), "/a").await;
    assert!(connect(&connector, edge.address, HOST).await.is_err());
    edge.assert_refused("too_many_connections", 1.0).await;
    drop(first);
    until("room for another", || edge.connections() == 0).await;
    ask(connect(&connector, edge.address, HOST).await.unwrap(), "/b").await;
}

#[tokio::test]
async fn a_websocket_runs_over_tls() {
    let origin = Origin::start(|_| upgrade()).await;
    for mode in [Mode::H1_TLS, Mode { front: false, ..Mode::H1_TLS }] {
        let edge = Edge::start(mode, &origin).await;
        let mut wire = edge.wire().await;
        let ask = get("/ws").field("Connection", "Upgrade").field("Upgrade", "websocket");
        wire.write(ask.field("Sec-WebSocket-Key", "x").wire()).await;
        let head = wire.head().await.unwrap();
        assert_eq!((head.status, head.field("upgrade").as_deref()), (101, Some("websocket")), "{head:?}");
        for sent in ["hello", "", "x", &"long ".repeat(20_000)] {
            let (answer, ()) = {
                let echoed = sent.to_uppercase();
                let (mut reading, mut writing) = tokio::io::split(&mut wire.io);
                let mut back = vec![0; echoed.len()];
                let write = async {
                    writing.write_all(sent.as_bytes()).await.unwrap();
                    writing.flush().await.unwrap();
                };
                let (read, ()) =
                    soon(async { tokio::join!(reading.read_exact(&mut back), write) }, "an echo").await;
                read.unwrap();
                (String::from_utf8(back).unwrap() == echoed, ())
            };
            assert!(answer, "{} bytes came back otherwise", sent.len());
        }
        wire.finish_writing().await;
        assert_eq!(wire.closed().await, b"");
        edge.assert_counted("bypass:upgrade 1").await;
    }
}

/// A connection of a client that takes little at once.
async fn narrow(address: SocketAddr) -> Tls {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let io = soon(socket.connect(address), "a connection").await.unwrap();
    let connector = trusting(&[Site::usual()], &["http/1.1"]);
    soon(connector.connect(HOST.try_into().unwrap(), io), "a handshake").await.unwrap()
}

#[tokio::test]
async fn a_slow_client_gets_every_byte_and_then_asks_again() {
    let origin = Origin::start(|seen| fresh(pattern(seen.path()[1..].parse().unwrap()))).await;
    for mode in [Mode::H1_TLS, Mode { front: false, ..Mode::H1_TLS }] {
        let edge = Edge::start(mode, &origin).await;
        let mut tls = narrow(edge.address).await;
        for length in [1_usize, 10_000, 16_000, 100_000, 3_000_000, 9_000_000] {
            // The second time from memory.
            for _ in 0..2 {
                let ask = get(&format!("/{length}")).wire();
                tls.write_all(&ask).await.unwrap();
                let mut got = Vec::new();
                let whole = async {
                    let mut room = vec![0; 60_000];
                    let mut end = None;
                    while end.is_none_or(|end| got.len() < end + length) {
                        let read = tls.read(&mut room).await.unwrap();
                        assert!(read > 0, "the connection was closed");
                        got.extend_from_slice(&room[..read]);
                        end = end.or_else(|| got.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4));
                    }
                };
                soon(whole, "the rest of an answer").await;
                assert!(got.ends_with(&pattern(length)), "{length} bytes came otherwise");
            }
        }
    }
}

/// Sends a request and reads until the connection ends, which is an error if its end was not said.
async fn to_the_end(edge: &Edge, request: &[u8]) -> (io::Result<usize>, Vec<u8>) {
    let mut tls = connect(&trusting(&[Site::usual()], &[]), edge.address, HOST).await.unwrap();
    tls.write_all(request).await.unwrap();
    let mut got = Vec::new();
    let read = soon(tls.read_to_end(&mut got), "the end of a connection").await;
    (read, got)
}

#[tokio::test]
async fn the_end_of_a_connection_is_said_unless_something_is_missing() {
    let origin = Origin::start(|seen| match seen.path() {
        "/broken" => ok("half").chunked().cut(),
        _ => fresh("hello"),
    })
    .await;
    for mode in [Mode::H1_TLS, Mode { front: false, ..Mode::H1_TLS }] {
        let edge = Edge::with(mode, &[origin.address], |setup| {
            setup.limits.idle_timeout = Duration::from_millis(50)
        })
        .await;
        let last = get("/a").field("Connection", "close").wire();
        for (request, what) in
            [(&last, "a miss"), (&last, "a hit"), (&get("/a").wire(), "a connection that is idle")]
        {
            let (read, got) = to_the_end(&edge, request).await;
            assert!(read.is_ok() && got.ends_with(b"hello"), "{what}: {read:?}");
        }
        // An answer that ends with the connection must not look whole.
        let (read, got) =
            to_the_end(&edge, format!("GET /broken HTTP/1.0\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
        assert!(
            got.starts_with(b"HTTP/1.1 200") && read.is_err(),
            "{read:?}: {}",
            String::from_utf8_lossy(&got)
        );
    }
}

#[tokio::test]
async fn who_says_that_it_will_send_no_more_still_gets_its_answers() {
    let origin = Origin::start(|_| fresh("hello")).await;
    let edge = Edge::start(Mode::H1_TLS, &origin).await;
    edge.get("/a").await.assert_body("hello");
    let mut wire = edge.wire().await;
    wire.write([get("/a").wire(), get("/b").wire(), get("/a").wire()].concat()).await;
    wire.finish_writing().await;
    for _ in 0..3 {
        wire.answer("GET").await.assert_status(200).assert_body("hello");
    }
    assert_eq!(wire.closed().await, b"");
}

#[tokio::test]
async fn a_handshake_under_way_holds_up_the_end_for_a_second_at_most() {
    let origin = Origin::start(|_| fresh("hello")).await;
    let mut edge = Edge::start(Mode::H1_TLS, &origin).await;
    let mut half = Wire::open(edge.address).await;
    half.write([22, 3, 1]).await;
    // Accepted in order: once this one is served, the other is waited for.
    edge.get("/a").await.assert_body("hello");
    let start = Instant::now();
    assert_eq!(edge.stop().await, Ended::Clean);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(half.closed().await, b"");
}
