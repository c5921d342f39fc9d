//! A response on its way in: one fetch, any number of readers, none of whom can harm the others.

use crate::dsl::*;

/// An origin that sends `first `, waits, and sends `second`.
async fn in_two_halves(gate: &Gate, finish: impl Fn(Reply) -> Reply + Send + Sync + 'static) -> Origin {
    let gate = gate.clone();
    Origin::start(move |_| finish(fresh("first ").wait(&gate).piece("second"))).await
}

in_every_mode! {
    async fn two_clients_share_one_fetch(mode) {
        let (head, body) = (Gate::new(), Gate::new());
        let origin = Origin::start({
            let (head, body) = (head.clone(), body.clone());
            move |_| fresh("first ").wait(&body).piece("second").hold(&head)
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let (mut one, mut two, ()) = tokio::join!(edge.begin(get("/a")), edge.begin(get("/a")), async {
            head.arrived().await;
            head.open();
        });
        // Both read along while the origin is still sending.
        assert_eq!(one.read_to(6).await, b"first ");
        assert_eq!(two.read_to(6).await, b"first ");
        body.open();
        let answers = [edge.finish(one).await, edge.finish(two).await];
        for answer in &answers {
            answer.assert_status(200).assert_body("first second");
        }
        let collapsed = |answer: &&Answer| answer.field("cache-status").unwrap().ends_with("collapsed");
        assert_eq!(answers.iter().filter(collapsed).count(), 1);
        assert_eq!(origin.requests("/a"), 1);
        edge.assert_counted("collapsed:absent 1, miss:absent 1").await;
    }

    async fn who_comes_late_reads_along_from_the_start(mode) {
        let gate = Gate::new();
        let origin = in_two_halves(&gate, Reply::chunked).await;
        let edge = Edge::start(mode, &origin).await;
        let mut first = edge.begin(get("/a")).await;
        assert_eq!(first.read_to(6).await, b"first ");
        let mut second = edge.begin(get("/a")).await;
        assert_eq!(second.read_to(6).await, b"first ");
        gate.open();
        edge.finish(first).await.assert_body("first second").assert_cache_status("fwd=uri-miss; stored");
        edge.finish(second).await.assert_body("first second").assert_cache_status("fwd=uri-miss; collapsed");
        edge.get("/a").await.assert_body("first second").assert_cache_status("hit").assert_front();
        assert_eq!(origin.requests("/a"), 1);
        edge.assert_counted("collapsed:absent 1, hit 1, miss:absent 1").await;
    }

    async fn the_first_client_may_leave(mode) {
        let gate = Gate::new();
        let origin = in_two_halves(&gate, |reply| reply).await;
        let edge = Edge::start(mode, &origin).await;
        let mut first = edge.begin(get("/a")).await;
        first.read_to(6).await;
        let second = edge.begin(get("/a")).await;
        first.leave();
        gate.open();
        edge.finish(second).await.assert_body("first second");
        edge.get("/a").await.assert_body("first second").assert_cache_status("hit").assert_front();
        assert_eq!(origin.requests("/a"), 1);
        edge.assert_counted("collapsed:absent 1, hit 1, miss:absent 1").await;
    }

    async fn what_its_only_client_left_is_stored_all_the_same(mode) {
        let gate = Gate::new();
        let origin = in_two_halves(&gate, |reply| reply).await;
        let edge = Edge::start(mode, &origin).await;
        let mut only = edge.begin(get("/a")).await;
        only.read_to(6).await;
        only.leave();
        edge.assert_counted("miss:absent 1").await;
        gate.open();
        edge.settled().await;
        edge.get("/a").await.assert_body("first second").assert_cache_status("hit").assert_front();
        assert_eq!(origin.requests("/a"), 1);
    }

    async fn a_client_that_leaves_before_the_head_ends_nothing(mode) {
        let gate = Gate::new();
        let origin = Origin::start({
            let gate = gate.clone();
            move |_| fresh("hello").hold(&gate)
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        {
            let pending = edge.begin(get("/a"));
            tokio::select! {
                _ = pending => panic!("an answer before there was one"),
                () = gate.arrived() => {}
            }
        }
        gate.open();
        edge.settled().await;
        edge.get("/a").await.assert_body("hello").assert_cache_status("hit");
        assert_eq!(origin.requests("/a"), 1);
    }

    async fn a_slow_client_holds_nobody_up(mode) {
        let body = pattern(6 << 20);
        let origin = Origin::start({
            let body = body.clone();
            move |_| fresh(body.clone())
        })
        .await;
        let edge = Edge::start(mode, &origin).await;
        let slow = edge.begin(get("/a")).await;
        // On a connection of its own: over HTTP/2 streams share a window, which the slow one has used up.
        let other = edge.another_client();
        let quick = other.begin(&get("/a")).await;
        other.finish(quick).await.assert_body(&body);
        edge.settled().await;
        let hit = other.begin(&get("/a")).await;
        other.finish(hit).await.assert_body(&body).assert_cache_status("hit");
        edge.finish(slow).await.assert_body(&body);
        assert_eq!(origin.requests("/a"), 1);
    }

    async fn a_body_that_breaks_off_is_never_a_short_success(mode) {
        for chunked in [false, true] {
            let gate = Gate::new();
            let origin = Origin::start({
                let gate = gate.clone();
                move |seen| {
                    let whole = fresh("half and half");
                    let broken = fresh("half ").wait(&gate).cut();
                    match (seen.index, chunked) {
                        (0, true) => broken.chunked(),
                        (0, false) => broken.length(13),
                        _ => whole,
                    }
                }
            })
            .await;
            let edge = Edge::start(mode, &origin).await;
            let mut first = edge.begin(get("/a")).await;
            first.read_to(5).await;
            let mut second = edge.begin(get("/a")).await;
            second.read_to(5).await;
            gate.open();
            for reader in [first, second] {
                let answer = edge.finish(reader).await;
                answer.assert_status(200).assert_broken();
                assert_eq!(answer.text(), "half ");
            }
            edge.settled().await;
            edge.get("/a").await.assert_body("half and half").assert_cache_status("fwd=uri-miss; stored");
            assert_eq!(origin.requests("/a"), 2);
            edge.assert_counted("collapsed:absent 1, miss:absent 2").await;
        }
    }

    async fn a_passed_on_body_that_breaks_off_is_broken_too(mode) {
        for chunked in [false, true] {
            let origin = Origin::start(move |_| {
                let reply = ok("half ").field("Cache-Control", "no-store").cut();
                if chunked { reply.chunked() } else { reply.length(13) }
            })
            .await;
            let edge = Edge::start(mode, &origin).await;
            for _ in 0..2 {
                edge.get("/a").await.assert_status(200).assert_broken();
            }
        }
    }

    async fn a_range_is_served_before_the_rest_is_there(mode) {
        for (chunked, complete) in [(false, "12"), (true, "*")] {
            let gate = Gate::new();
            let origin = in_two_halves(&gate, move |r| if chunked { r.chunked() } else { r }).await;
            let edge = Edge::start(mode, &origin).await;
            let mut first = edge.begin(get("/a")).await;
            first.read_to(6).await;
            let part = edge.send(get("/a").field("Range", "bytes=1-3")).await;
            part.assert_status(206).assert_body("irs").assert_cache_status("fwd=uri-miss; collapsed");
            part.assert_field("content-range", &format!("bytes 1-3/{complete}"));
            gate.open();
            edge.finish(first).await.assert_body("first second");
            edge.assert_counted("collapsed:absent 1, miss:absent 1").await;
        }
    }

    async fn a_range_that_depends_on_the_length_waits_for_it(mode) {
        let gate = Gate::new();
        let origin = in_two_halves(&gate, Reply::chunked).await;
        let edge = Edge::start(mode, &origin).await;
        let mut first = edge.begin(get("/a")).await;
        first.read_to(6).await;
        let suffix = edge.send(get("/a").field("Range", "bytes=-3"));
        let open_end = edge.send(get("/a").field("Range", "bytes=4-"));
        let beyond = edge.send(get("/a").field("Range", "bytes=4-99"));
        let (suffix, open_end, beyond, ()) = tokio::join!(suffix, open_end, beyond, async { gate.open() });
        suffix.assert_status(206).assert_body("ond").assert_field("content-range", "bytes 9-11/12");
        open_end.assert_status(206).assert_body("t second").assert_field("content-range", "bytes 4-11/12");
        beyond.assert_status(206).assert_body("t second").assert_field("content-range", "bytes 4-11/12");
        edge.finish(first).await.assert_body("first second");
        assert_eq!(origin.requests("/a"), 1);
    }

    async fn a_client_may_wait_for_a_range_that_is_still_coming(mode) {
        let gate = Gate::new();
        let origin = in_two_halves(&gate, |reply| reply).await;
        let edge = Edge::start(mode, &origin).await;
        let mut part = edge.begin(get("/a").field("Range", "bytes=4-7")).await;
        assert_eq!(part.head.status, 206);
        assert_eq!(part.read_to(2).await, b"t ");
        gate.open();
        edge.finish(part).await.assert_body("t se").assert_field("content-range", "bytes 4-7/12");
    }
}
