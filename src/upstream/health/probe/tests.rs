//! Checks against servers that are well, and against many that are not.

use std::path::Path;
use std::sync::Arc;

use http::uri::PathAndQuery;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::*;
use crate::http::status::StatusRange;
use crate::upstream::health::Health;
use crate::upstream::health::Target;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(100);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What a server does with one connection.
#[derive(Clone)]
enum Manner {
    /// Reads the request and writes these pieces, then closes.
    Answers(Vec<String>),
    /// Reads the request and closes.
    Closes,
    /// Writes this a byte at a time, again and again, a while after the other.
    Drips(&'static str),
    /// Writes this again and again, as fast as it can.
    Floods(&'static str),
    /// Reads, and says nothing.
    Hangs,
    /// Closes with a reset, the request unread.
    Resets,
}

fn answers(answer: &str) -> Manner {
    Manner::Answers(vec![answer.to_owned()])
}

/// Serves one connection; gives the request it read.
async fn serve(mut stream: Box<dyn Stream>, manner: Manner) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    match manner {
        Manner::Answers(pieces) => {
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.ok()?;
                stream.flush().await.ok()?;
            }
            let _ = stream.shutdown().await;
        }
        Manner::Closes | Manner::Resets => {}
        Manner::Drips(text) => {
            let mut clock = tokio::time::interval(Duration::from_millis(1));
            for byte in text.bytes().cycle() {
                clock.tick().await;
                stream.write_u8(byte).await.ok()?;
            }
        }
        Manner::Floods(text) => while stream.write_all(text.as_bytes()).await.is_ok() {},
        Manner::Hangs => drop(stream.read_u8().await),
    }
    Some(String::from_utf8(request).unwrap())
}

/// A server on a port of its own; gives its address and the requests it reads.
async fn server(manner: Manner) -> (Endpoint, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Inet(listener.local_addr().unwrap());
    let (tx, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if matches!(manner, Manner::Resets) {
                stream.set_zero_linger().unwrap();
                stream.readable().await.unwrap();
                continue;
            }
            let (manner, tx) = (manner.clone(), tx.clone());
            tokio::spawn(
                async move { serve(Box::new(stream), manner).await.map(|request| tx.send(request)) },
            );
        }
    });
    (endpoint, requests)
}

fn probe() -> HttpProbe {
    HttpProbe {
        path: PathAndQuery::from_static("/healthz?full"),
        host: None,
        method: ProbeMethod::Get,
        statuses: vec![StatusRange { from: 200, to: 399 }],
        body: None,
    }
}

fn with_body(text: &str) -> HttpProbe {
    HttpProbe { body: Some(text.into()), ..probe() }
}

fn subject(endpoint: Endpoint, tls: Option<Arc<CheckTls>>, probe: Option<HttpProbe>) -> Subject {
    let probe = probe.map_or(Probe::Tcp, |probe| Probe::Http(Arc::new(probe)));
    let target = Target { endpoint, host: "app".into(), tls };
    Subject::of(target, &Health { probe, ..Health::default() })
}

/// `ok`, or why not.
async fn outcome(subject: &Subject, patience: Duration) -> String {
    ask(subject, patience).await.err().map_or("ok".to_owned(), |error| error.to_string())
}

/// Asks a server of this manner once.
async fn asked(manner: Manner, probe: HttpProbe, patience: Duration) -> String {
    let (endpoint, _requests) = server(manner).await;
    outcome(&subject(endpoint, None, Some(probe)), patience).await
}

#[tokio::test]
async fn the_request_is_a_plain_one_that_says_who_asks() {
    let (endpoint, mut requests) = server(answers(OK)).await;
    let Endpoint::Inet(address) = &endpoint else { unreachable!() };
    let port = address.port();
    let version = env!("CARGO_PKG_VERSION");
    let rest = format!("user-agent: foreland-health/{version}\r\naccept: */*\r\nconnection: close\r\n\r\n");
    let other = HttpProbe {
        host: Some(HeaderValue::from_static("www.example.com")),
        method: ProbeMethod::Head,
        ..probe()
    };
    for (probe, method, host) in
        [(probe(), "GET", format!("app:{port}")), (other, "HEAD", "www.example.com".into())]
    {
        assert_eq!(outcome(&subject(endpoint.clone(), None, Some(probe)), LONG).await, "ok");
        let request = requests.recv().await.unwrap();
        assert_eq!(request, format!("{method} /healthz?full HTTP/1.1\r\nhost: {host}\r\n{rest}"));
    }
}

#[tokio::test]
async fn an_answer_is_good_if_its_status_is_expected() {
    let only = |ranges: &[(u16, u16)]| HttpProbe {
        statuses: ranges.iter().map(|(from, to)| StatusRange { from: *from, to: *to }).collect(),
        ..probe()
    };
    for (status, probe, expected) in [
        ("200 OK", probe(), "ok"),
        ("204 No Content", probe(), "ok"),
        ("399 Odd", probe(), "ok"),
        ("400 Bad Request", probe(), "status 400"),
        ("503 Service Unavailable", probe(), "status 503"),
        ("301 Moved Permanently\r\nLocation: /elsewhere", probe(), "ok"),
        ("301 Moved Permanently\r\nLocation: /elsewhere", only(&[(200, 299)]), "status 301"),
        ("404 Not Found", only(&[(200, 299), (404, 404)]), "ok"),
        ("200 OK", only(&[(404, 404)]), "status 200"),
        ("101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade", probe(), "status 101"),
        ("103 Early Hints\r\n\r\nHTTP/1.1 200 OK", probe(), "ok"),
        ("103 Early Hints\r\n\r\nHTTP/1.1 500 No", probe(), "status 500"),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(asked(answers(&answer), probe, LONG).await, expected, "{status}");
    }
    let http10 = answers("HTTP/1.0 200 OK\r\n\r\nhello");
    assert_eq!(asked(http10, probe(), LONG).await, "ok");
}

#[tokio::test]
async fn an_answer_is_good_if_its_body_has_the_text() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
    let sized = |body: &str| answers(&format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len()));
    let chunks = |chunks: &[&str]| {
        let mut pieces = vec![format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n")];
        pieces.extend(chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())));
        pieces.push("0\r\n\r\n".to_owned());
        Manner::Answers(pieces)
    };
    let far = |before: usize| format!("{}all is well", "x".repeat(before));
    const MISSED: &str = "the body lacks the text";
    for (what, manner, expected) in [
        ("it is there", sized("I say all is well."), "ok"),
        ("it is all there is", sized("all is well"), "ok"),
        ("it is not", sized("all is lost"), MISSED),
        ("there is nothing", sized(""), MISSED),
        ("in pieces", chunks(&["al", "l is", " ", "well"]), "ok"),
        ("in the middle of pieces", chunks(&["so al", "l is well now"]), "ok"),
        ("not even in pieces", chunks(&["all is", "well"]), MISSED),
        ("up to the close", answers(&format!("{HEAD}\r\nall is well")), "ok"),
        ("just within what is read", sized(&far(BODY - 11)), "ok"),
        ("just beyond", sized(&far(BODY - 10)), MISSED),
    ] {
        assert_eq!(asked(manner, with_body("all is well"), LONG).await, expected, "{what}");
    }
    let unwell = answers("HTTP/1.1 500 No\r\nContent-Length: 11\r\n\r\nall is well");
    assert_eq!(asked(unwell, with_body("all is well"), LONG).await, "status 500");
}

#[tokio::test]
async fn a_body_without_end_is_read_no_further_than_needed() {
    let flood = |text| Manner::Floods(text);
    const STREAM: &str = "HTTP/1.1 200 OK\r\n\r\nbeat beat beat";
    assert_eq!(asked(flood(STREAM), probe(), LONG).await, "ok");
    assert_eq!(asked(flood(STREAM), with_body("beat"), LONG).await, "ok");
    assert_eq!(asked(flood(STREAM), with_body("bear"), LONG).await, "the body lacks the text");
    assert_eq!(asked(Manner::Drips(STREAM), with_body("beat"), LONG).await, "ok");
}

#[tokio::test]
async fn a_server_that_takes_too_long_fails_whatever_it_does_meanwhile() {
    const LATE: &str = "no answer within 100ms";
    assert_eq!(asked(Manner::Hangs, probe(), SHORT).await, LATE);
    assert_eq!(asked(Manner::Drips("HTTP/1.1 200 OK\r\nA: aaaaaaaa"), probe(), SHORT).await, LATE);
    let half = answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal");
    assert!(asked(half, with_body("whole"), LONG).await.starts_with("no HTTP answer: "), "it closed");
    let stream = Manner::Drips("HTTP/1.1 200 OK\r\n\r\nbeat beat beat");
    assert_eq!(asked(stream, with_body("bear"), SHORT).await, LATE);
}

#[tokio::test]
async fn what_is_no_answer_fails() {
    for (manner, expected) in [
        (Manner::Closes, "no HTTP answer: connection closed before message completed"),
        (Manner::Resets, "no HTTP answer: connection reset by peer"),
        (answers("220 mail.example.com ESMTP\r\n"), "no HTTP answer: invalid HTTP version parsed"),
        (answers("HTTP/1.1 200 OK\r\nA: b"), "no HTTP answer: connection closed before message completed"),
        (Manner::Floods("HTTP/1.1 200 OK\r\nA: b\r\nC: d"), "no HTTP answer: "),
    ] {
        let outcome = asked(manner, probe(), LONG).await;
        assert!(outcome.starts_with(expected), "{outcome} and not {expected}");
    }
}

#[tokio::test]
async fn a_tcp_check_wants_a_connection_and_no_more() {
    let (endpoint, _requests) = server(Manner::Hangs).await;
    assert_eq!(outcome(&subject(endpoint, None, None), LONG).await, "ok");
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let refused = subject(Endpoint::Inet(closed.local_addr().unwrap()), None, None);
    assert_eq!(outcome(&refused, LONG).await, "connection refused");
}

#[tokio::test]
async fn the_port_of_the_check_is_asked_instead_of_the_servers() {
    let (Endpoint::Inet(well), _requests) = server(answers(OK)).await else { unreachable!() };
    let (Endpoint::Inet(unwell), _requests) = server(answers("HTTP/1.1 500 No\r\n\r\n")).await else {
        unreachable!()
    };
    for (port, expected) in [(None, "status 500"), (Some(well.port()), "ok")] {
        let target = Target { endpoint: Endpoint::Inet(unwell), host: "app".into(), tls: None };
        let health = Health { port, probe: Probe::Http(Arc::new(probe())), ..Health::default() };
        assert_eq!(outcome(&Subject::of(target, &health), LONG).await, expected);
    }
}

#[tokio::test]
async fn a_unix_socket_is_asked_by_its_path() {
    let folder = tempfile_folder();
    let path: Arc<Path> = folder.0.join("app.sock").into();
    let missing = subject(Endpoint::Unix(path.clone()), None, None);
    assert_eq!(outcome(&missing, LONG).await, "no such socket");

    let listener = UnixListener::bind(&path).unwrap();
    let well = subject(Endpoint::Unix(path.clone()), None, Some(with_body("ok")));
    let served = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(Box::new(stream), answers(OK)).await.unwrap()
    };
    let (outcome_of_it, request) = tokio::join!(outcome(&well, LONG), served);
    assert_eq!(outcome_of_it, "ok");
    assert!(request.contains("\r\nhost: app\r\n"), "{request}");
    assert_eq!(outcome(&subject(Endpoint::Unix(path.clone()), None, None), LONG).await, "ok");

    drop(listener);
    assert_eq!(outcome(&missing, LONG).await, "connection refused", "the file is there, nobody listens");
}

/// A folder of the test's own, removed at its end.
struct Folder(std::path::PathBuf);

fn tempfile_folder() -> Folder {
    let name = format!("foreland-{}-{:016x}", std::process::id(), fastrand::u64(..));
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir(&path).unwrap();
    Folder(path)
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A certificate for `app`, as a server has it, and what a client needs to trust it.
fn certificate() -> (TlsAcceptor, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(["app".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = config.with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), roots)
}

fn trusting(roots: RootCertStore, name: &'static str) -> Option<Arc<CheckTls>> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Some(CheckTls::new(1, config, ServerName::try_from(name).unwrap()))
}

#[tokio::test]
async fn a_tls_server_is_asked_over_tls_and_must_be_who_it_says() {
    let (acceptor, roots) = certificate();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Inet(listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(Box::new(stream), answers(OK)).await;
            }
        }
    });
    for (tls, expected) in [
        (trusting(roots.clone(), "app"), "ok"),
        (trusting(RootCertStore::empty(), "app"), "TLS: invalid peer certificate: UnknownIssuer"),
        (trusting(roots, "other"), "TLS: invalid peer certificate: certificate not valid for name"),
    ] {
        let outcome = outcome(&subject(endpoint.clone(), tls, Some(with_body("ok"))), LONG).await;
        assert!(outcome.starts_with(expected), "{outcome} and not {expected}");
    }
}

#[tokio::test]
async fn a_server_that_never_greets_fails_its_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap(); // the kernel accepts for it
    let endpoint = Endpoint::Inet(listener.local_addr().unwrap());
    let tls = trusting(certificate().1, "app");
    let outcome_of_it = outcome(&subject(endpoint, tls.clone(), Some(probe())), SHORT).await;
    assert_eq!(outcome_of_it, "no TLS handshake within 100ms");
    let (endpoint, _requests) = server(Manner::Resets).await;
    let outcome_of_it = outcome(&subject(endpoint, tls, Some(probe())), LONG).await;
    assert_eq!(outcome_of_it, "TLS: connection reset by peer");
}

#[test]
fn a_lack_of_files_is_our_own_fault_and_a_refusal_is_not() {
    let connect = |errno: Errno| Unwell::Connect(errno.into());
    assert!(connect(Errno::MFILE).is_our_own() && connect(Errno::NOMEM).is_our_own());
    assert!(!connect(Errno::CONNREFUSED).is_our_own() && !connect(Errno::ADDRNOTAVAIL).is_our_own());
    assert!(!Unwell::Status(503).is_our_own());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a body is cut into frames, what is found is what is in it.
    #[test]
    fn a_text_is_found_wherever_the_body_is_cut(
        body in "[ab]{0,40}",
        text in "[ab]{1,5}",
        cuts in proptest::collection::vec(1..8_usize, 0..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut pieces = vec!["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()];
        let mut rest = &body[..];
        for cut in cuts.into_iter().chain([body.len()]).filter(|cut| *cut > 0) {
            let (chunk, after) = rest.split_at(cut.min(rest.len()));
            if !chunk.is_empty() {
                pieces.push(format!("{:x}\r\n{chunk}\r\n", chunk.len()));
            }
            rest = after;
        }
        pieces.push("0\r\n\r\n".to_owned());
        let found = runtime.block_on(asked(Manner::Answers(pieces), with_body(&text), LONG)) == "ok";
        prop_assert_eq!(found, body.contains(&text));
    }
}
