//! A new configuration while requests flow: what changes at once, what stays, and what a broken one does: nothing.

use crate::dsl::*;
use serde_json::Value;

async fn reload(edge: &Edge) -> (u16, Value) {
    let answer = edge.admin(&post("/v1/reload", "")).await;
    (answer.head.status, serde_json::from_slice(&answer.body).unwrap())
}

fn subjects(answer: &Value) -> Vec<String> {
    let text = |change: &Value| {
        format!("{}: {}", change["subject"].as_str().unwrap(), change["what"].as_str().unwrap())
    };
    answer["changes"].as_array().unwrap().iter().map(text).filter(|t| !t.starts_with("listener")).collect()
}

in_every_mode! {
    async fn routes_and_rules_follow_at_once_and_what_is_stored_stays(mode) {
        let origin = Origin::start(|seen| fresh(seen.target.clone())).await;
        let files = Files::with_rules(origin.address, "rules: []");
        let edge = Edge::from_file(mode, &files.main()).await;
        edge.get("/a").await.assert_cache_status("fwd=uri-miss; stored");
        files.write("rules.yaml", "rules: [{ name: b, when: { path: /b }, then: { bypass: true } }]");
        let (status, answer) = reload(&edge).await;
        assert_eq!((status, answer["before"].as_u64(), answer["generation"].as_u64()), (200, Some(1), Some(2)));
        assert_eq!(subjects(&answer), ["rule b: added"]);
        edge.get("/a").await.assert_cache_status("hit").assert_front();
        edge.get("/b").await.assert_cache_status("fwd=bypass; detail=rule");
        files.routes(origin.address, "- { name: site, upstream: app, cache: off }");
        let (_, answer) = reload(&edge).await;
        assert!(subjects(&answer).iter().any(|line| line.starts_with("route site: cache")), "{answer}");
        edge.get("/a").await.assert_cache_status("fwd=bypass; detail=off");
        assert_eq!(edge.metric("foreland_config_generation", &[]), 3.0);
        assert_eq!(edge.metric("foreland_config_reloads_total", &[("result", "ok")]), 2.0);
    }

    async fn a_broken_configuration_changes_nothing_and_says_why(mode) {
        let origin = Origin::start(|_| fresh("a")).await;
        let files = Files::with_rules(origin.address, "rules: []");
        let edge = Edge::from_file(mode, &files.main()).await;
        edge.get("/a").await.assert_status(200);
        files.write("rules.yaml", "rules: [{ name: b, then: { bypas: true, ttl: 30 parsecs } }]");
        let (status, answer) = reload(&edge).await;
        assert_eq!((status, answer["generation"].as_u64(), answer["error"].as_str()), (422, Some(1), Some("2 errors")));
        let diagnostics = answer["diagnostics"].as_array().unwrap();
        assert_eq!(diagnostics.len(), 2, "{answer}");
        assert!(answer["text"].as_str().unwrap().contains("did you mean `bypass`?"), "{answer}");
        edge.get("/a").await.assert_cache_status("hit").assert_front();
        assert_eq!(edge.metric("foreland_config_reloads_total", &[("result", "error")]), 1.0);
        assert_eq!(edge.metric("foreland_config_generation", &[]), 1.0);
        // Nor does one whose address is taken.
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        files.write("rules.yaml", "rules: []");
        let text = std::fs::read_to_string(files.main()).unwrap();
        let text = text.replacen("127.0.0.1:0", &taken.local_addr().unwrap().to_string(), 1);
        files.write("foreland.yaml", &text);
        let (status, answer) = reload(&edge).await;
        assert!(status == 500 && answer["error"].as_str().unwrap().contains("cannot listen on"), "{answer}");
        edge.get("/a").await.assert_cache_status("hit").assert_front();
    }

    async fn a_request_under_way_keeps_the_plan_it_began_with(mode) {
        let gate = Gate::new();
        let origin = Origin::start({
            let gate = gate.clone();
            move |_| fresh("old").hold(&gate)
        })
        .await;
        let files = Files::with_routes(origin.address, "- { name: old, upstream: app, response_headers: { set: { X-Plan: old } } }");
        let edge = Edge::from_file(mode, &files.main()).await;
        let client = edge.another_client();
        let (answer, ()) = tokio::join!(client.send(get("/a")), async {
            gate.arrived().await;
            files.routes(origin.address, "- { name: new, respond: { body: new } }");
            let (status, answer) = reload(&edge).await;
            assert_eq!(status, 200, "{answer}");
            edge.get("/a").await.assert_body("new");
            gate.open();
        });
        answer.assert_body("old").assert_field("x-plan", "old");
        let lines = edge.logged("/a", 2).await;
        let routes: Vec<_> = lines.iter().map(|line| line["route"].as_str().unwrap()).collect();
        assert_eq!(routes, ["new", "old"]);
    }

    async fn servers_come_and_go_while_connections_stay(mode) {
        let (one, two) = (Origin::start(|_| fresh("one")).await, Origin::start(|_| fresh("two")).await);
        let files = Files::with_routes(one.address, "- { name: site, upstream: app }");
        let edge = Edge::from_file(mode, &files.main()).await;
        edge.get("/a").await.assert_body("one");
        let connections = edge.connections();
        files.routes(two.address, "- { name: site, upstream: app }");
        let (_, answer) = reload(&edge).await;
        assert_eq!(subjects(&answer), [format!("upstream app: + {}, - {}", two.address, one.address)]);
        edge.get("/a").await.assert_body("one").assert_cache_status("hit");
        edge.get("/b").await.assert_body("two");
        assert_eq!(edge.connections(), connections, "the client's connection was closed");
        let up = |address: std::net::SocketAddr| edge.metric("foreland_upstream_up", &[("server", &address.to_string())]);
        edge.assert_metric("foreland_upstream_up", &[("server", &two.address.to_string())], 1.0).await;
        assert_eq!(up(one.address), 0.0, "what has left is still shown as up");
    }
}

/// The port of an address at which nothing listens at the moment.
fn free() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn listeners_are_opened_and_closed_without_the_others_noticing() {
    let origin = Origin::start(|_| fresh("a")).await;
    let (kept, closed, opened) = (free(), free(), free());
    let files = Files::new();
    let write = |listeners: &str| {
        files.write("foreland.yaml", &format!(
            "listeners: [{listeners}]\nadmin: off\nupstreams: {{ app: {{ servers: \"{}\" }} }}\nroutes: [{{ upstream: app }}]\nlog: {{ access: {{ format: off }} }}\n",
            origin.address
        ));
    };
    write(&format!("{{ bind: \"{kept}\" }}, {{ bind: \"{closed}\" }}"));
    let (setup, loaded) = foreland::config::load(&files.main()).unwrap();
    let server = foreland::server::Server::start(setup, Some(loaded)).await.unwrap();
    let (mut stays, mut goes) = (Wire::open(kept).await, Wire::open(closed).await);
    stays.send(&get("/a")).await.assert_body("a");
    goes.send(&get("/a")).await.assert_body("a");
    write(&format!("{{ bind: \"{opened}\" }}, {{ bind: \"{kept}\" }}"));
    let reloaded = server.reload().await.unwrap();
    assert_eq!((reloaded.before, reloaded.generation), (1, 2));
    let mut told: Vec<String> =
        reloaded.changes.iter().map(|change| format!("{}: {}", change.what, change.subject)).collect();
    told.sort();
    assert_eq!(
        told,
        [
            format!("added: listener {opened}"),
            format!("removed: listener {closed}"),
            format!("unchanged, 1 connection kept: listener {kept}")
        ]
    );
    stays.send(&get("/a")).await.assert_body("a");
    Wire::open(opened).await.send(&get("/a")).await.assert_body("a");
    soon(goes.closed(), "the idle connection of the closed listener to end").await;
    assert!(tokio::net::TcpStream::connect(closed).await.is_err());
    assert_eq!(server.stop().await, foreland::server::Ended::Clean);
}
