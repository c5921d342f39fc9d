//! The end of a server: who is idle is sent away at once, who waits for an answer gets it.

use crate::dsl::*;
use foreland::server::Ended;
use std::time::{Duration, Instant};

in_every_mode! {
    and_over_tls;

    async fn a_server_without_connections_ends_at_once(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let mut edge = Edge::start(mode, &origin).await;
        let start = Instant::now();
        assert_eq!(edge.stop().await, Ended::Clean);
        assert!(start.elapsed() < Duration::from_secs(2));
        assert!(tokio::net::TcpStream::connect(edge.address).await.is_err(), "it still listens");
    }

    async fn idle_connections_are_closed_at_once(mode) {
        let origin = Origin::start(|_| fresh("hello")).await;
        let mut edge = Edge::start(mode, &origin).await;
        edge.get("/a").await.assert_body("hello");
        edge.get("/a").await.assert_body("hello");
        let start = Instant::now();
        assert_eq!(edge.stop().await, Ended::Clean);
        assert!(start.elapsed() < Duration::from_secs(2));
        assert_eq!(edge.connections(), 0);
    }

    async fn a_busy_connection_gets_its_answer(mode) {
        let gate = Gate::new();
        let origin = Origin::start({
            let gate = gate.clone();
            move |seen| if seen.method == "POST" { ok("posted").hold(&gate) } else { fresh("first ").wait(&gate).piece("second") }
        })
        .await;
        let mut edge = Edge::start(mode, &origin).await;
        let (address, client) = (edge.address, edge.another_client());
        let mut reading = edge.begin(get("/a")).await;
        reading.read_to(6).await;
        let posting = async { client.finish(client.begin(&post("/b", "x")).await).await };
        let stopping = async {
            gate.arrivals(2).await;
            let ended = edge.stop();
            tokio::pin!(ended);
            assert!(futures_pending(&mut ended).await, "it did not wait for its clients");
            until("the door to be shut", || std::net::TcpStream::connect(address).is_err()).await;
            gate.open();
            while reading.more().await {}
            ended.await
        };
        let (posted, ended) = tokio::join!(posting, stopping);
        posted.assert_status(200).assert_body("posted");
        assert_eq!(String::from_utf8_lossy(&reading.body), "first second");
        assert_eq!(ended, Ended::Clean);
    }

    async fn who_takes_too_long_is_cut(mode) {
        let origin = Origin::start(|_| fresh("first ").wait(&Gate::new()).piece("never")).await;
        let mut edge = Edge::with(mode, &[origin.address], |setup| setup.limits.drain = Duration::from_millis(100)).await;
        let mut reading = edge.begin(get("/a")).await;
        reading.read_to(6).await;
        assert_eq!(edge.stop().await, Ended::Cut(1));
    }
}

/// Whether a future is not yet ready.
async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending()))
        .await
}

#[tokio::test]
async fn http2_clients_are_told_to_go_and_finish_their_streams() {
    let gate = Gate::new();
    let origin = Origin::start({
        let gate = gate.clone();
        move |_| fresh("first ").wait(&gate).piece("second")
    })
    .await;
    let mut edge = Edge::start(Mode::H2, &origin).await;
    let (mut send, connection) = h2_connect(edge.address).await;
    let ask = http::Request::get(format!("http://{HOST}/a")).body(()).unwrap();
    let (answer, _) = send.send_request(ask, true).unwrap();
    let mut body = soon(answer, "an answer").await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "first ");
    let (ended, ()) = tokio::join!(edge.stop(), async {
        // The client learns that it may open no more streams ...
        let refused = async {
            while send.clone().ready().await.is_ok() {
                tokio::task::yield_now().await
            }
        };
        soon(refused, "the edge to refuse streams").await;
        // ... and still gets the rest of the one it has.
        gate.open();
        let mut rest = Vec::new();
        while let Some(data) = soon(body.data(), "the rest").await {
            rest.extend(data.unwrap());
        }
        assert_eq!(rest, b"second");
    });
    assert_eq!(ended, Ended::Clean);
    drop(send);
    assert!(soon(connection, "the connection to end").await.unwrap().is_ok());
}

#[tokio::test]
async fn a_request_that_is_half_there_is_still_served() {
    let origin = Origin::start(|_| fresh("hello")).await;
    let mut edge = Edge::start(Mode::H1, &origin).await;
    let mut wire = edge.wire().await;
    let bytes = get("/a").wire();
    wire.write(&bytes[..10]).await;
    until("the connection to be taken", || edge.connections() == 1).await;
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    let (ended, answer) = tokio::join!(edge.stop(), async {
        tokio::task::yield_now().await;
        wire.write(&bytes[10..]).await;
        wire.answer("GET").await
    });
    answer.assert_status(200).assert_body("hello").assert_field("connection", "close");
    assert_eq!(ended, Ended::Clean);
}
