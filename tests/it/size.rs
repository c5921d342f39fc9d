//! Bodies that are too large to keep, and a budget of memory that holds whatever comes.

use crate::dsl::*;
use foreland::setup::Setup;

const MIB: usize = 1 << 20;

fn eight_mib(setup: &mut Setup) {
    setup.cache.memory = 8 * MIB as u64;
}

/// An origin with a body in pieces of 64 KiB.
async fn in_pieces(body: Vec<u8>, finish: impl Fn(Reply) -> Reply + Send + Sync + 'static) -> Origin {
    Origin::start(move |_| finish(body.chunks(64 << 10).fold(fresh(""), |r, piece| r.piece(piece.to_vec()))))
        .await
}

in_every_mode! {
    async fn an_announced_body_too_large_to_keep_is_passed_on(mode) {
        let body = pattern(3 * MIB);
        let origin = in_pieces(body.clone(), |reply| reply).await;
        let edge = Edge::with(mode, &[origin.address], eight_mib).await;
        let first = edge.get("/a").await;
        first.assert_body(&body).assert_cache_status("fwd=uri-miss; detail=too_large");
        first.assert_field("content-length", &body.len().to_string());
        edge.assert_not_stored("too_large", 1.0).await;
        edge.get("/a").await.assert_body(&body).assert_cache_status("fwd=uri-miss; detail=hit_for_miss");
        assert_eq!(edge.metric("foreland_cache_objects", &[]), 0.0);
        edge.assert_counted("hit_for_miss:absent 1, miss:absent 1").await;
    }

    async fn a_body_that_grows_too_large_streams_on(mode) {
        let body = pattern(3 * MIB);
        let origin = in_pieces(body.clone(), Reply::chunked).await;
        let edge = Edge::with(mode, &[origin.address], eight_mib).await;
        edge.get("/a").await.assert_status(200).assert_body(&body);
        edge.settled().await;
        assert_eq!(edge.metric("foreland_cache_objects", &[]), 0.0);
        assert_eq!(edge.metric("foreland_cache_bytes", &[]), 0.0);
        edge.get("/a").await.assert_body(&body);
        assert_eq!(origin.requests("/a"), 2);
    }

    async fn a_slow_client_holds_back_the_origin_of_what_is_too_large(mode) {
        let body = pattern(40 * MIB);
        for chunked in [false, true] {
            let origin = in_pieces(body.clone(), move |r| if chunked { r.chunked() } else { r }).await;
            let edge = Edge::with(mode, &[origin.address], eight_mib).await;
            let slow = edge.begin(get("/a")).await;
            let taken = origin.stalled().await;
            assert!(taken < 30 * MIB, "{taken} bytes were taken for a client that reads nothing");
            let bytes = edge.metric("foreland_cache_bytes", &[]);
            assert!(bytes <= 8.0 * MIB as f64, "{bytes}");
            edge.finish(slow).await.assert_body(&body);
            edge.settled().await;
            assert_eq!(edge.metric("foreland_cache_objects", &[]), 0.0);
        }
    }

    async fn a_fetch_too_large_to_keep_ends_with_its_last_reader(mode) {
        let body = pattern(40 * MIB);
        for chunked in [false, true] {
            let origin = in_pieces(body.clone(), move |r| if chunked { r.chunked() } else { r }).await;
            let edge = Edge::with(mode, &[origin.address], eight_mib).await;
            let slow = edge.begin(get("/a")).await;
            origin.stalled().await;
            slow.leave();
            edge.settled().await;
            edge.assert_metric("foreland_upstream_connections", &[("state", "active")], 0.0).await;
            assert_eq!(edge.metric("foreland_cache_bytes", &[]), 0.0);
        }
    }

    async fn the_memory_budget_holds(mode) {
        let body = pattern(100 << 10);
        let origin = Origin::start({
            let body = body.clone();
            move |_| fresh(body.clone())
        })
        .await;
        let edge = Edge::with(mode, &[origin.address], eight_mib).await;
        for number in 0..150 {
            edge.get(&format!("/{number}")).await.assert_body(&body);
            let bytes = edge.metric("foreland_cache_bytes", &[]);
            assert!(bytes <= 8.0 * MIB as f64, "{bytes}");
        }
        assert!(edge.metric("foreland_cache_objects", &[]) > 60.0);
        assert!(edge.metric("foreland_cache_evictions_total", &[("reason", "capacity")]) >= 60.0);
        edge.get("/149").await.assert_body(&body).assert_cache_status("hit").assert_front();
    }

    async fn what_is_stored_gives_way_to_nothing_too_large(mode) {
        let small = pattern(100 << 10);
        let large = pattern(3 * MIB);
        let origin = Origin::start({
            let (small, large) = (small.clone(), large.clone());
            move |seen| if seen.path() == "/large" { fresh(large.clone()).chunked() } else { fresh(small.clone()) }
        })
        .await;
        let edge = Edge::with(mode, &[origin.address], eight_mib).await;
        for number in 0..10 {
            edge.get(&format!("/{number}")).await.assert_body(&small);
        }
        edge.get("/large").await.assert_body(&large);
        for number in 0..10 {
            edge.get(&format!("/{number}")).await.assert_body(&small).assert_cache_status("hit").assert_front();
        }
    }
}
