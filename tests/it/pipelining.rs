//! Requests that do not wait for answers, cut anywhere: every answer whole and in order, every request as it was sent.

use crate::dsl::*;

/// A request of the script: its bytes, its method, and what its answer must be.
struct Line {
    bytes: Vec<u8>,
    method: &'static str,
    body: String,
}

/// A hit, a miss, a POST, a HEAD, a POST that expects 100-continue, a hit.
fn script(round: usize) -> Vec<Line> {
    let line = |ask: Ask, method, body: String| Line { bytes: ask.wire(), method, body };
    let text = |text: &str| text.to_owned();
    vec![
        line(get("/hit"), "GET", text("GET /hit ")),
        line(get(&format!("/miss?{round}")), "GET", format!("GET /miss?{round} ")),
        line(post("/post", "hello"), "POST", text("POST /post hello")),
        line(head("/hit"), "HEAD", text("")),
        line(
            post("/expect", "GET / HTTP/1.1\r\n\r\n").field("Expect", "100-continue"),
            "POST",
            text("POST /expect GET / HTTP/1.1\r\n\r\n"),
        ),
        line(get("/hit"), "GET", text("GET /hit ")),
    ]
}

async fn echo() -> Origin {
    Origin::start(|seen| fresh([format!("{} {} ", seen.method, seen.target).as_bytes(), &seen.body].concat()))
        .await
}

async fn answered(wire: &mut Wire, line: &Line, at: usize) {
    let answer = wire.answer(line.method).await;
    assert_eq!((answer.head.status, answer.text()), (200, line.body.clone()), "cut at {at}: {answer:?}");
    assert!(answer.whole, "cut at {at}");
}

/// Runs the script once, cut in two at this byte.
async fn cut_at(edge: &Edge, at: usize, all: &[Line]) {
    let bytes: Vec<u8> = all.iter().flat_map(|line| line.bytes.clone()).collect();
    let mut wire = edge.wire().await;
    wire.write(&bytes[..at]).await;
    // What is complete is answered before the rest comes; the rest finds the edge waiting for it.
    let mut end = 0;
    let mut lines = all.iter().peekable();
    while let Some(line) = lines.next_if(|line| end + line.bytes.len() <= at) {
        end += line.bytes.len();
        answered(&mut wire, line, at).await;
    }
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    wire.write(&bytes[at..]).await;
    for line in lines {
        answered(&mut wire, line, at).await;
    }
}

/// What the origin must have seen since `from`: the requests of the script that are not answered from memory.
fn assert_seen(origin: &Origin, from: usize, round: usize) {
    let seen: Vec<_> = origin.seen().split_off(from);
    let seen: Vec<_> = seen.iter().map(|s| (s.method.as_str(), s.target.as_str(), &s.body[..])).collect();
    let miss = format!("/miss?{round}");
    let expected: [(&str, &str, &[u8]); 3] =
        [("GET", &miss, b""), ("POST", "/post", b"hello"), ("POST", "/expect", b"GET / HTTP/1.1\r\n\r\n")];
    assert_eq!(seen, expected, "round {round}");
}

in_both_h1_modes! {
    and_over_tls;

    async fn a_script_may_be_cut_anywhere(mode) {
        let origin = echo().await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/hit").await.assert_body("GET /hit ");
        let length = script(100).iter().map(|line| line.bytes.len()).sum::<usize>();
        for at in 0..length {
            let round = 100 + at;
            let from = origin.seen().len();
            cut_at(&edge, at.max(1), &script(round)).await;
            assert_seen(&origin, from, round);
        }
    }

    async fn a_script_may_come_at_once(mode) {
        let origin = echo().await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/hit").await.assert_body("GET /hit ");
        let mut wire = edge.wire().await;
        let all: Vec<Line> = (0..20).flat_map(script).collect();
        wire.write(all.iter().flat_map(|line| line.bytes.clone()).collect::<Vec<u8>>()).await;
        for line in &all {
            answered(&mut wire, line, 0).await;
        }
        for round in 0..20 {
            assert_eq!(origin.seen().iter().filter(|s| s.target == format!("/miss?{round}")).count(), 1);
        }
    }

    async fn a_script_may_come_byte_by_byte(mode) {
        let origin = echo().await;
        let edge = Edge::start(mode, &origin).await;
        edge.get("/hit").await.assert_body("GET /hit ");
        let mut wire = edge.wire().await;
        let all = script(0);
        for byte in all.iter().flat_map(|line| line.bytes.clone()) {
            wire.write([byte]).await;
            tokio::task::yield_now().await;
        }
        for line in &all {
            answered(&mut wire, line, 0).await;
        }
        assert_seen(&origin, 1, 0);
    }

    async fn what_follows_a_refused_request_is_not_read(mode) {
        let origin = echo().await;
        let edge = Edge::start(mode, &origin).await;
        let mut wire = edge.wire().await;
        wire.write([&get("/a").wire()[..], b"GET / HTTP/1.1\r\n\r\n", &get("/b").wire()].concat()).await;
        wire.answer("GET").await.assert_body("GET /a ");
        wire.answer("GET").await.assert_status(400);
        wire.finish_writing().await;
        assert_eq!(wire.closed().await, b"");
        assert_eq!(origin.requests("/b"), 0);
    }

    async fn what_follows_connection_close_is_not_read(mode) {
        let origin = echo().await;
        let edge = Edge::start(mode, &origin).await;
        for path in ["/a", "/a"] {
            let mut wire = edge.wire().await;
            wire.write([get(path).field("Connection", "close").wire(), get("/b").wire()].concat()).await;
            wire.answer("GET").await.assert_body("GET /a ");
            wire.closed().await;
        }
        assert_eq!(origin.requests("/b"), 0);
    }

    async fn chunked_bodies_may_be_pipelined(mode) {
        let origin = echo().await;
        let edge = Edge::start(mode, &origin).await;
        let one = post("/one", "a body in several chunks").chunked().wire();
        let two = post("/two", "another").chunked().wire();
        let bytes = [&one[..], &two, &get("/three").wire()].concat();
        for at in 1..bytes.len() {
            let mut wire = edge.wire().await;
            wire.write(&bytes[..at]).await;
            for _ in 0..16 {
                tokio::task::yield_now().await;
            }
            wire.write(&bytes[at..]).await;
            wire.answer("POST").await.assert_body("POST /one a body in several chunks");
            wire.answer("POST").await.assert_body("POST /two another");
            wire.answer("GET").await.assert_body("GET /three ");
        }
        assert_eq!(origin.requests("/three"), 1);
    }
}
