//! HTTPS origins: who is believed, under which name, what is shown to them, and what is spoken.

use crate::dsl::*;
use foreland::upstream::{OriginTls, Protocol, Settings};
use tokio_rustls::rustls::ServerConfig;

const NAME: &str = "origin.test";

/// An edge before a server of this kind, which it asks for under `NAME`.
async fn edge(backend: &Backend, tls: OriginTls) -> Edge {
    let address = format!("https://{}", backend.address);
    Edge::before(Mode::H1, &address, |settings| settings.tls = tls).await
}

fn believing(authority: &Authority) -> OriginTls {
    OriginTls { ca: Some(authority.ca()), server_name: Some(NAME.parse().unwrap()), ..OriginTls::default() }
}

/// Answers every request over HTTP/1 with the name that its connection asked for.
fn answering(mut backend: Backend) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let mut raw = backend.connection().await;
            tokio::spawn(async move {
                let name = raw.server_name.clone().unwrap_or_default();
                while raw.next_head().await.is_some() {
                    let length = name.len();
                    raw.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}")).await;
                }
            });
        }
    })
}

/// What a client gets of an origin with this server side, under these settings.
async fn status(server: ServerConfig, tls: OriginTls) -> (u16, String) {
    let backend = Backend::tls(server).await;
    let edge = edge(&backend, tls).await;
    let answering = answering(backend);
    let answer = edge.get("/a").await;
    answering.abort();
    (answer.head.status, answer.text())
}

#[tokio::test]
async fn an_origin_is_believed_if_its_authority_vouches_for_its_name() {
    let (authority, other) = (Authority::new(), Authority::new());
    let named = || authority.sign(NAME);
    let ok = (200, NAME.to_owned());
    assert_eq!(status(named().server(&[]), believing(&authority)).await, ok);
    assert_eq!(status(named().old_server(), believing(&authority)).await, ok, "TLS 1.2");
    assert_eq!(status(named().server(&[]), believing(&other)).await.0, 502, "another authority");
    assert_eq!(status(named().server(&[]), OriginTls::default()).await.0, 502, "the system's authorities");
    assert_eq!(status(authority.sign("a.test").server(&[]), believing(&authority)).await.0, 502, "a name");
    assert_eq!(status(authority.sign_expired(NAME).server(&[]), believing(&authority)).await.0, 502, "time");
}

#[tokio::test]
async fn a_server_is_verified_under_the_name_it_is_configured_by() {
    let authority = Authority::new();
    let own = OriginTls { ca: Some(authority.ca()), ..OriginTls::default() };
    // No name is sent for an address (RFC 6066 §3), but it is verified.
    assert_eq!(status(authority.sign("127.0.0.1").server(&[]), own.clone()).await, (200, String::new()));
    assert_eq!(status(authority.sign("127.0.0.2").server(&[]), own.clone()).await.0, 502);
    assert_eq!(status(authority.sign("localhost").server(&[]), own).await.0, 502);
}

#[tokio::test]
async fn a_certificate_that_signed_itself_is_believed_if_it_is_given() {
    for (marked, expected) in [(false, 200), (true, 502)] {
        let signed = Signed::by_itself(NAME, marked);
        let tls = OriginTls {
            ca: Some(foreland::upstream::tls::Authorities::from_pem(signed.pem.as_bytes()).unwrap()),
            server_name: Some(NAME.parse().unwrap()),
            ..OriginTls::default()
        };
        assert_eq!(status(signed.server(&[]), tls).await.0, expected, "{marked}");
    }
}

#[tokio::test]
async fn verify_false_believes_everybody_and_nobody_else_with_it() {
    let backend = Backend::tls(Signed::by_itself("a.test", true).server(&[])).await;
    let files = Files::new();
    let address = backend.address;
    files.write(
        "foreland.yaml",
        &format!(
            "listeners: [{{ bind: \"127.0.0.1:0\" }}]\nadmin: {{ bind: \"127.0.0.1:0\" }}\n\
             log: {{ access: {{ to: access.log }} }}\nupstreams:\n\
             \x20 lab: {{ servers: \"https://{address}\", tls: {{ server_name: {NAME}, verify: false }} }}\n\
             \x20 strict: {{ servers: \"https://{address}\", tls: {{ server_name: {NAME} }} }}\n\
             routes: [{{ match: {{ path: /lab }}, upstream: lab }}, {{ match: {{ path: /strict }}, upstream: strict }}]\n"
        ),
    );
    let edge = Edge::from_file(Mode::H1, &files.main()).await;
    let answering = answering(backend);
    // Neither a pooled connection nor a TLS session that was begun unverified serves the other upstream.
    for _ in 0..3 {
        edge.get("/lab").await.assert_status(200);
        edge.get("/strict").await.assert_status(502);
    }
    answering.abort();
}

#[tokio::test]
async fn an_origin_that_asks_is_shown_our_certificate() {
    let authority = Authority::new();
    let server = || authority.sign(NAME).server_for_clients_of(&authority);
    let own = |signed: Signed| OriginTls { certificate: Some(signed.identity()), ..believing(&authority) };
    assert_eq!(status(server(), own(authority.sign("client.test"))).await.0, 200);
    assert_eq!(status(server(), own(Authority::new().sign("client.test"))).await.0, 502);
    assert_eq!(status(server(), believing(&authority)).await.0, 502);
}

#[tokio::test]
async fn what_is_spoken_is_what_both_sides_speak() {
    use Protocol::{Auto, H1, H2};
    let authority = Authority::new();
    for (wanted, offered, expected) in [
        (H1, &["h2", "http/1.1"][..], "h1"),
        (H1, &[][..], "h1"),
        (Auto, &["h2", "http/1.1"][..], "h2"),
        (Auto, &["http/1.1"][..], "h1"),
        (Auto, &[][..], "h1"),
        (H2, &["h2", "http/1.1"][..], "h2"),
        (H2, &["http/1.1"][..], "nothing"),
    ] {
        let mut backend = Backend::tls(authority.sign(NAME).server(offered)).await;
        let address = format!("https://{}", backend.address);
        let settings = |settings: &mut Settings| {
            (settings.tls, settings.protocol) = (believing(&authority), wanted);
        };
        let edge = Edge::before(Mode::H1, &address, settings).await;
        let asking = tokio::spawn(async move { edge.get("/a").await.head.status });
        let spoken = match expected {
            "h2" => {
                let mut call = backend.call().await;
                call.answer(200, &[], true);
                "h2"
            }
            "h1" => {
                let mut raw = backend.connection().await;
                raw.head().await;
                raw.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                "h1"
            }
            _ => "nothing",
        };
        let status = asking.await.unwrap();
        assert_eq!((spoken, status), (expected, if expected == "nothing" { 502 } else { 200 }), "{wanted:?}");
    }
}
