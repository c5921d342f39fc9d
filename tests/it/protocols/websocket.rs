//! WebSocket: a 101, and then bytes both ways for as long as both sides want.

use crate::dsl::*;
use foreland::upstream::{OriginTls, Protocol};
use std::time::Duration;

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: edge.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A text frame, and a masked binary one: what they say means nothing to anybody between.
const FROM_ORIGIN: &[u8] = b"\x81\x05hello";
const FROM_CLIENT: &[u8] = b"\x82\x84\x01\x02\x03\x04\x00\xff\x0d\x0a";

/// Opens a WebSocket; both ends of it.
async fn open(edge: &Edge, backend: &mut Backend) -> (Wire, Raw) {
    let mut client = edge.wire().await;
    client.write(HANDSHAKE).await;
    let mut origin = backend.connection().await;
    let head = origin.head().await.to_ascii_lowercase();
    for field in ["upgrade: websocket\r\n", "connection: upgrade\r\n", "sec-websocket-version: 13\r\n"] {
        assert!(head.contains(field), "{head}");
    }
    origin.write(SWITCHING).await;
    let head = client.any_head().await.unwrap();
    assert_eq!((head.status, head.field("upgrade").as_deref()), (101, Some("websocket")), "{head:?}");
    assert_eq!(head.field("sec-websocket-accept").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    (client, origin)
}

async fn talk(client: &mut Wire, origin: &mut Raw) {
    for _ in 0..3 {
        client.write(FROM_CLIENT).await;
        assert_eq!(origin.exactly(FROM_CLIENT.len()).await, FROM_CLIENT);
        origin.write(FROM_ORIGIN).await;
        assert_eq!(client.exactly(FROM_ORIGIN.len()).await, FROM_ORIGIN);
    }
}

in_both_h1_modes! {
    async fn bytes_go_both_ways_until_the_client_closes(mode) {
        let mut backend = Backend::h1().await;
        let edge = Edge::before(mode, &backend.address.to_string(), |_| {}).await;
        let (mut client, mut origin) = open(&edge, &mut backend).await;
        talk(&mut client, &mut origin).await;
        client.write(FROM_CLIENT).await;
        client.finish_writing().await;
        assert_eq!(origin.closed().await, FROM_CLIENT);
        edge.assert_counted("bypass:upgrade 1").await;
        let line = &edge.logged("/ws", 1).await[0];
        assert_eq!((&line["status"], &line["bytes_out"]), (&101.into(), &(3 * FROM_ORIGIN.len()).into()));
    }

    async fn bytes_go_both_ways_until_the_origin_closes(mode) {
        let mut backend = Backend::h1().await;
        let edge = Edge::before(mode, &backend.address.to_string(), |_| {}).await;
        let (mut client, mut origin) = open(&edge, &mut backend).await;
        talk(&mut client, &mut origin).await;
        origin.write(FROM_ORIGIN).await;
        origin.finish_writing().await;
        assert_eq!(client.closed().await, FROM_ORIGIN);
        edge.assert_counted("bypass:upgrade 1").await;
    }

    async fn what_the_origin_says_at_once_is_not_lost(mode) {
        let mut backend = Backend::h1().await;
        let edge = Edge::before(mode, &backend.address.to_string(), |_| {}).await;
        let mut client = edge.wire().await;
        client.write(HANDSHAKE).await;
        let mut origin = backend.connection().await;
        origin.head().await;
        origin.write([SWITCHING.as_bytes(), FROM_ORIGIN].concat()).await;
        assert_eq!(client.any_head().await.unwrap().status, 101);
        assert_eq!(client.exactly(FROM_ORIGIN.len()).await, FROM_ORIGIN);
        talk(&mut client, &mut origin).await;
    }

    async fn an_origin_may_refuse(mode) {
        let mut backend = Backend::h1().await;
        let edge = Edge::before(mode, &backend.address.to_string(), |_| {}).await;
        let mut client = edge.wire().await;
        for status in [403, 426] {
            client.write(HANDSHAKE).await;
            // It answers a health check of ours never, and a second request on the same connection.
            let mut origin = backend.connection().await;
            origin.head().await;
            origin.write(format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")).await;
            drop(origin);
            client.answer("GET").await.assert_status(status).assert_body("no");
        }
        edge.assert_counted("bypass:upgrade 2").await;
    }

    async fn a_quiet_side_is_not_cut_off_while_the_other_speaks(mode) {
        let mut backend = Backend::h1().await;
        let edge = Edge::with(mode, &[backend.address], |setup| {
            setup.limits.body_timeout = Duration::from_millis(100);
            // Nor are its bytes those of a body.
            setup.limits.max_body = 10;
        })
        .await;
        let (mut client, mut origin) = open(&edge, &mut backend).await;
        talk(&mut client, &mut origin).await;
        // A body that stops coming is cut off; meanwhile the client of the WebSocket is as silent.
        let mut other = edge.wire().await;
        other.write("POST /a HTTP/1.1\r\nHost: edge.test\r\nContent-Length: 5\r\n\r\nhe").await;
        other.answer("POST").await.assert_status(408);
        talk(&mut client, &mut origin).await;
    }

    async fn it_goes_over_http1_whatever_the_origin_speaks_otherwise(mode) {
        let authority = Authority::new();
        let tls = OriginTls {
            ca: Some(authority.ca()),
            server_name: Some("origin.test".parse().unwrap()),
            ..OriginTls::default()
        };
        for protocol in [Protocol::H1, Protocol::Auto, Protocol::H2] {
            let offered = &["h2", "http/1.1"];
            let mut backend = Backend::tls(authority.sign("origin.test").server(offered)).await;
            let address = format!("https://{}", backend.address);
            let edge = Edge::before(mode, &address, |settings| {
                (settings.protocol, settings.tls) = (protocol, tls.clone());
            })
            .await;
            let (mut client, mut origin) = open(&edge, &mut backend).await;
            talk(&mut client, &mut origin).await;
            origin.finish_writing().await;
            assert_eq!(client.closed().await, b"");
        }
    }

    async fn when_both_sides_are_silent_for_too_long_it_ends(mode) {
        let mut backend = Backend::h1().await;
        let edge = Edge::before(mode, &backend.address.to_string(), |settings| {
            settings.read = Duration::from_millis(100);
        })
        .await;
        let (mut client, mut origin) = open(&edge, &mut backend).await;
        talk(&mut client, &mut origin).await;
        assert_eq!((client.closed().await, origin.closed().await), (vec![], vec![]));
    }
}
