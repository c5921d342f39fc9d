//! gRPC: HTTP/2 on both sides, messages both ways at once, and the status in the trailers.

use crate::dsl::*;
use bytes::Bytes;
use foreland::upstream::{OriginTls, Protocol};
use h2::Reason;
use std::time::Duration;

const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// A message as gRPC frames it: not compressed, its length, itself.
fn message(text: &str) -> Bytes {
    [&[0][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat().into()
}

fn call(method: &str) -> http::Request<()> {
    let request =
        http::Request::post(format!("http://{HOST}/test.Echo/{method}")).version(http::Version::HTTP_2);
    request.header(GRPC.0, GRPC.1).header("te", "trailers").header("grpc-timeout", "10S").body(()).unwrap()
}

async fn start() -> (Backend, Edge) {
    let backend = Backend::h2().await;
    let edge = Edge::before(Mode::H2, &backend.address.to_string(), |s| s.protocol = Protocol::H2).await;
    (backend, edge)
}

/// The next message to the client.
async fn next(exchange: &mut Exchange) -> Bytes {
    exchange.data().await.unwrap().unwrap()
}

fn assert_ok(trailers: Option<http::HeaderMap>) {
    assert_eq!(trailers.unwrap().get("grpc-status").unwrap(), "0");
}

#[tokio::test]
async fn a_unary_call_gets_its_message_and_its_status() {
    let (mut backend, edge) = start().await;
    let client = edge.another_client();
    for text in ["one", "two"] {
        let mut exchange = Exchange::begin(&client, call("Unary"), false).await;
        exchange.send(message(text), true);
        let mut origin = backend.call().await;
        assert_eq!(origin.head.method, "POST");
        assert_eq!(origin.head.uri.path(), "/test.Echo/Unary");
        // gRPC servers refuse a call whose client seems to drop trailers.
        assert_eq!(origin.field("te"), Some("trailers"));
        assert_eq!(origin.field("grpc-timeout"), Some("10S"));
        assert_eq!(origin.rest().await, message(text));
        origin.answer(200, &[GRPC], false);
        origin.send(message("answer"), false);
        origin.trailers(&[("grpc-status", "0"), ("grpc-message", "fine")]);
        assert_eq!(exchange.head().await.status, 200);
        assert_eq!(exchange.rest().await, message("answer"));
        assert_ok(exchange.trailers().await);
    }
    assert_eq!(backend.used(), 1, "one connection for both");
    edge.assert_counted("bypass:method 2").await;
}

#[tokio::test]
async fn an_answer_may_be_nothing_but_a_status() {
    let (mut backend, edge) = start().await;
    let client = edge.another_client();
    let mut exchange = Exchange::begin(&client, call("Unary"), false).await;
    exchange.send(message("x"), true);
    let mut origin = backend.call().await;
    origin.answer(200, &[GRPC, ("grpc-status", "5"), ("grpc-message", "nothing there")], true);
    let head = exchange.head().await;
    assert_eq!((head.status, head.field("grpc-status").as_deref()), (200, Some("5")));
    // Not even an empty frame: the `grpc` library takes it for a broken stream.
    assert!(exchange.data().await.is_none());
    edge.assert_counted("bypass:method 1").await;
    let line = &edge.logged("/test.Echo/Unary", 1).await[0];
    assert_eq!((line["status"].as_u64(), line.get("failed")), (Some(200), None), "{line}");
}

#[tokio::test]
async fn a_server_streams() {
    let (mut backend, edge) = start().await;
    let client = edge.another_client();
    let mut exchange = Exchange::begin(&client, call("Server"), false).await;
    exchange.send(message("x"), true);
    let mut origin = backend.call().await;
    origin.answer(200, &[GRPC], false);
    assert_eq!(exchange.head().await.status, 200);
    for number in 0..5 {
        origin.send(message(&number.to_string()), false);
        assert_eq!(next(&mut exchange).await, message(&number.to_string()));
    }
    origin.trailers(&[("grpc-status", "0")]);
    assert_eq!(exchange.rest().await, b"");
    assert_ok(exchange.trailers().await);
}

#[tokio::test]
async fn a_client_streams() {
    let (mut backend, edge) = start().await;
    let client = edge.another_client();
    let mut exchange = Exchange::begin(&client, call("Client"), false).await;
    exchange.send(message("0"), false);
    let mut origin = backend.call().await;
    assert_eq!(origin.data().await.unwrap(), message("0"));
    for number in 1..5 {
        exchange.send(message(&number.to_string()), number == 4);
        assert_eq!(origin.data().await.unwrap(), message(&number.to_string()));
    }
    assert_eq!(origin.rest().await, b"");
    origin.answer(200, &[GRPC], false);
    origin.send(message("sum"), false);
    origin.trailers(&[("grpc-status", "0")]);
    assert_eq!(exchange.head().await.status, 200);
    assert_eq!(exchange.rest().await, message("sum"));
    assert_ok(exchange.trailers().await);
}

#[tokio::test]
async fn both_stream_at_once() {
    let (mut backend, edge) = start().await;
    let client = edge.another_client();
    let mut exchange = Exchange::begin(&client, call("Both"), false).await;
    let mut origin = backend.call().await;
    // The origin may speak first.
    origin.answer(200, &[GRPC], false);
    origin.send(message("hello"), false);
    assert_eq!(exchange.head().await.status, 200);
    assert_eq!(next(&mut exchange).await, message("hello"));
    for number in 0..5 {
        exchange.send(message(&number.to_string()), false);
        assert_eq!(origin.data().await.unwrap(), message(&number.to_string()));
        origin.send(message("echo"), false);
        assert_eq!(next(&mut exchange).await, message("echo"));
    }
    exchange.send("", true);
    assert_eq!(origin.rest().await, b"");
    // And last.
    origin.send(message("bye"), false);
    origin.trailers(&[("grpc-status", "0")]);
    assert_eq!(exchange.rest().await, message("bye"));
    assert_ok(exchange.trailers().await);
}

#[tokio::test]
async fn a_client_that_gives_up_is_given_up_at_the_origin() {
    let (mut backend, edge) = start().await;
    let client = edge.another_client();
    for answered in [false, true] {
        let mut exchange = Exchange::begin(&client, call("Both"), false).await;
        exchange.send(message("x"), false);
        let mut origin = backend.call().await;
        if answered {
            origin.answer(200, &[GRPC], false);
            exchange.head().await;
        }
        exchange.leave();
        assert_eq!(origin.given_up().await, Reason::CANCEL, "{answered}");
    }
}

#[tokio::test]
async fn a_stream_that_is_broken_off_is_not_taken_for_whole() {
    let (mut backend, edge) = start().await;
    let client = edge.another_client();
    let mut exchange = Exchange::begin(&client, call("Server"), false).await;
    exchange.send(message("x"), true);
    let mut origin = backend.call().await;
    origin.answer(200, &[GRPC], false);
    origin.send(message("1"), false);
    exchange.head().await;
    assert_eq!(next(&mut exchange).await, message("1"));
    origin.reset(Reason::INTERNAL_ERROR);
    assert!(exchange.data().await.unwrap().is_err());
}

#[tokio::test]
async fn a_call_is_sent_once() {
    let (mut backend, edge) = start().await;
    let client = edge.another_client();
    let mut exchange = Exchange::begin(&client, call("Unary"), false).await;
    exchange.send(message("x"), true);
    let mut origin = backend.call().await;
    origin.reset(Reason::INTERNAL_ERROR);
    assert_eq!(exchange.head().await.status, 502);
    assert!(!backend.is_asked());
}

#[tokio::test]
async fn a_call_that_the_origin_did_not_look_at_is_sent_again() {
    let (mut backend, edge) = start().await;
    let client = edge.another_client();
    let mut exchange = Exchange::begin(&client, call("Unary"), false).await;
    exchange.send(message("x"), true);
    backend.call().await.reset(Reason::REFUSED_STREAM);
    let mut again = backend.call().await;
    assert_eq!(again.rest().await, message("x"));
    again.answer(200, &[GRPC, ("grpc-status", "0")], true);
    assert_eq!(exchange.head().await.status, 200);
}

#[tokio::test]
async fn an_origin_may_leave_and_what_is_under_way_is_finished() {
    let (mut backend, edge) = start().await;
    let client = edge.another_client();
    let mut first = Exchange::begin(&client, call("Both"), false).await;
    let mut old = backend.call().await;
    old.answer(200, &[GRPC], false);
    first.head().await;
    backend.leave();
    // The next call finds another connection, once the origin's word has come.
    let mut second = loop {
        let mut exchange = Exchange::begin(&client, call("Unary"), false).await;
        exchange.send(message("x"), true);
        let mut origin = backend.call().await;
        origin.answer(200, &[GRPC, ("grpc-status", "0")], true);
        assert_eq!(exchange.head().await.status, 200);
        if origin.connection > 0 {
            break origin;
        }
    };
    assert_eq!(second.rest().await, message("x"));
    old.send(message("still there"), false);
    assert_eq!(next(&mut first).await, message("still there"));
    old.trailers(&[("grpc-status", "0")]);
    assert_eq!(first.rest().await, b"");
    assert_ok(first.trailers().await);
    first.leave();
    backend.ended(1).await;
}

#[tokio::test]
async fn a_stream_lives_as_long_as_somebody_speaks() {
    let mut backend = Backend::h2().await;
    let edge = Edge::with(Mode::H2, &[backend.address], |setup| {
        let settings = &mut setup.upstreams[0].settings;
        (settings.protocol, settings.read) = (Protocol::H2, Duration::from_secs(1));
        setup.limits.body_timeout = Duration::from_secs(1);
        setup.limits.head_timeout = Duration::from_millis(300);
    })
    .await;
    let client = edge.another_client();
    // Only the client speaks, for longer than the origin may be silent before it answers.
    let mut exchange = Exchange::begin(&client, call("Client"), false).await;
    let mut origin = backend.call().await;
    for _ in 0..4 {
        edge.lapse().await;
        exchange.send(message("x"), false);
        assert_eq!(origin.data().await.unwrap(), message("x"));
    }
    origin.answer(200, &[GRPC], false);
    exchange.head().await;
    // Only the origin speaks, for longer than the client of a body may be silent.
    for _ in 0..4 {
        edge.lapse().await;
        origin.send(message("y"), false);
        assert_eq!(next(&mut exchange).await, message("y"));
    }
    // Only the client speaks, after the answer has begun.
    for _ in 0..4 {
        edge.lapse().await;
        exchange.send(message("x"), false);
        assert_eq!(origin.data().await.unwrap(), message("x"));
    }
    // Nobody does.
    assert!(exchange.data().await.unwrap().is_err());
    assert_eq!(origin.given_up().await, Reason::CANCEL);
}

#[tokio::test]
async fn a_quiet_stream_is_no_slow_body() {
    let mut backend = Backend::h2().await;
    let edge = Edge::with(Mode::H2, &[backend.address], |setup| {
        setup.upstreams[0].settings.protocol = Protocol::H2;
        setup.limits.body_timeout = Duration::from_millis(100);
        setup.limits.head_timeout = Duration::from_millis(300);
    })
    .await;
    let client = edge.another_client();
    // Whoever watches something says so once, and hears nothing before it happens.
    let mut exchange = Exchange::begin(&client, call("Watch"), false).await;
    exchange.send(message("it"), false);
    let mut origin = backend.call().await;
    edge.lapse().await;
    origin.answer(200, &[GRPC], false);
    origin.send(message("changed"), false);
    assert_eq!(exchange.head().await.status, 200);
    assert_eq!(next(&mut exchange).await, message("changed"));
}

#[tokio::test]
async fn an_origin_that_does_not_answer_is_a_504() {
    let mut backend = Backend::h2().await;
    let edge = Edge::before(Mode::H2, &backend.address.to_string(), |settings| {
        (settings.protocol, settings.read) = (Protocol::H2, Duration::from_millis(100));
    })
    .await;
    let client = edge.another_client();
    let mut exchange = Exchange::begin(&client, call("Unary"), false).await;
    exchange.send(message("x"), true);
    let mut origin = backend.call().await;
    assert_eq!(exchange.head().await.status, 504);
    assert_eq!(origin.given_up().await, Reason::CANCEL);
}

#[tokio::test]
async fn it_works_over_tls() {
    let authority = Authority::new();
    let mut backend = Backend::tls(authority.sign("origin.test").server(&["h2"])).await;
    let tls = OriginTls {
        ca: Some(authority.ca()),
        server_name: Some("origin.test".parse().unwrap()),
        ..OriginTls::default()
    };
    for protocol in [Protocol::H2, Protocol::Auto] {
        let edge = Edge::before(Mode::H2, &format!("https://{}", backend.address), |settings| {
            (settings.protocol, settings.tls) = (protocol, tls.clone());
        })
        .await;
        let client = edge.another_client();
        let mut exchange = Exchange::begin(&client, call("Unary"), false).await;
        exchange.send(message("x"), true);
        let mut origin = backend.call().await;
        assert_eq!(origin.head.uri.scheme_str(), Some("https"));
        assert_eq!(origin.rest().await, message("x"));
        origin.answer(200, &[GRPC], false);
        origin.trailers(&[("grpc-status", "0")]);
        exchange.head().await;
        assert_eq!(exchange.rest().await, b"");
        assert_ok(exchange.trailers().await);
    }
}

#[tokio::test]
async fn many_calls_share_a_connection_and_none_waits_for_a_slow_reader() {
    let (mut backend, edge) = start().await;
    let client = edge.another_client();
    // Its client reads nothing of what is more than any window.
    let slow = edge.another_client();
    let slow = Exchange::begin(&slow, call("Server"), true).await;
    let mut flooding = backend.call().await;
    flooding.answer(200, &[GRPC], false);
    flooding.send(vec![0; 16 << 20], false);
    let mut exchanges = Vec::new();
    let mut calls = Vec::new();
    for _ in 0..20 {
        exchanges.push(Exchange::begin(&client, call("Unary"), true).await);
        calls.push(backend.call().await);
    }
    for origin in &mut calls {
        origin.answer(200, &[GRPC], false);
        origin.send(vec![1; 2_000], false);
        origin.trailers(&[("grpc-status", "0")]);
    }
    for exchange in &mut exchanges {
        exchange.head().await;
        assert_eq!(exchange.rest().await.len(), 2_000);
        assert_ok(exchange.trailers().await);
    }
    assert_eq!(backend.used(), 1);
    slow.leave();
}

#[tokio::test]
async fn a_client_of_http1_gets_messages_but_no_status() {
    // RFC 9112 §7.1.2: trailers may be dropped, and Pingora does; gRPC needs HTTP/2 all the way.
    let (mut backend, edge) = start().await;
    let mut wire = edge.wire().await;
    let ask = post("/test.Echo/Unary", message("x").to_vec()).field(GRPC.0, GRPC.1).field("TE", "trailers");
    wire.write(ask.wire()).await;
    let mut origin = backend.call().await;
    assert_eq!(origin.rest().await, message("x"));
    origin.answer(200, &[GRPC], false);
    origin.send(message("answer"), false);
    origin.trailers(&[("grpc-status", "0")]);
    wire.answer("POST")
        .await
        .assert_status(200)
        .assert_body(message("answer"))
        .assert_no_field("grpc-status");
}

#[tokio::test]
async fn an_origin_of_http1_is_asked_without_a_promise_to_pass_trailers_on() {
    let mut backend = Backend::h1().await;
    let edge = Edge::before(Mode::H2, &backend.address.to_string(), |_| {}).await;
    let client = edge.another_client();
    let mut exchange = Exchange::begin(&client, call("Unary"), false).await;
    exchange.send(message("x"), true);
    let mut raw = backend.connection().await;
    let head = raw.head().await.to_ascii_lowercase();
    assert!(!head.contains("\r\nte:") && head.contains("content-type: application/grpc\r\n"), "{head}");
    assert_eq!(raw.chunks().await, message("x"));
    raw.write("HTTP/1.1 415 No gRPC here\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(exchange.head().await.status, 415);
}
