//! Counts the instructions of what every request pays for: exact, so that a change of a percent is a change.
//!
//! `cargo bench` runs each case twice under valgrind's callgrind, with different numbers of rounds, and divides the
//! difference: start-up does not count. It fails where a case costs more than its budget in `instructions.txt`.

use bytes::Bytes;
use foreland::cache::key::Parts;
use foreland::cache::object::{Body, Object, Ruled, StoredHead};
use foreland::cache::policy::{
    self, Exchange, Lifetime, LifetimeSource, Override, ResponseView, StoredTimes,
};
use foreland::cache::store::ram::Ram;
use foreland::cache::{Ask, Cache, Found, Settings};
use foreland::edge::decide::{ask, decide};
use foreland::http::fields::Fields;
use foreland::http::head;
use foreland::http::request::{RequestView, Scheme};
use foreland::plan;
use foreland::upstream::balance::{Balance, HashBy};
use foreland::verdict::{Key, Terms};
use std::hint::black_box;
use std::net::IpAddr;
use std::process::{Command, ExitCode};
use std::sync::Arc;

mod forms;
mod picks;
mod plans;

const BUDGETS: &str = include_str!("instructions.txt");
const FEW: u64 = 1_000;
const MANY: u64 = 3_000;

/// A request as a browser sends it.
const REQUEST: &[u8] = b"GET /assets/app.js?v=3 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0\r\n\
Accept: */*\r\nAccept-Language: en\r\nAccept-Encoding: gzip, deflate, br\r\nReferer: https://www.example.com/\r\n\
Connection: keep-alive\r\n\r\n";

const RESPONSE: &[(&str, &str)] = &[
    ("Date", "Sun, 22 Nov 2026 12:00:00 GMT"),
    ("Content-Type", "application/javascript"),
    ("Cache-Control", "public, max-age=600, stale-while-revalidate=30"),
    ("ETag", "\"abc\""),
    ("Last-Modified", "Sat, 21 Nov 2026 12:00:00 GMT"),
    ("Vary", "Accept-Encoding"),
    ("Server", "nginx"),
];

const NOW: u64 = 1_795_348_800;

type Case = (&'static str, fn(u64));

const CASES: &[Case] = &[
    ("head", heads),
    ("key", keys),
    ("storable", storables),
    ("reuse", reuses),
    ("find", finds),
    ("lookup", lookups),
    ("form", |rounds| forms::choices(&some_object(), b"gzip, deflate, br, zstd", rounds)),
    ("form_read", |rounds| forms::choices(&some_object(), b"br;q=1.0, gzip;q=0.8, *;q=0.1", rounds)),
    ("preferences", forms::preferences),
    ("file_name", forms::names),
    ("decide10", |rounds| decides(10, rounds)),
    ("decide1000", |rounds| decides(1_000, rounds)),
    ("pick_round_robin", |rounds| picks::cluster_picks(&Balance::RoundRobin, rounds)),
    ("pick_least", |rounds| picks::cluster_picks(&Balance::LeastConnections, rounds)),
    ("pick_hash", |rounds| picks::cluster_picks(&Balance::ConsistentHash(HashBy::Path), rounds)),
    ("round_robin", |rounds| picks::picks(&Balance::RoundRobin, 1, rounds)),
    ("round_robin_half", |rounds| picks::picks(&Balance::RoundRobin, 2, rounds)),
    ("least_connections", |rounds| picks::picks(&Balance::LeastConnections, 1, rounds)),
    ("least_connections_half", |rounds| picks::picks(&Balance::LeastConnections, 2, rounds)),
    ("ip_hash", |rounds| picks::picks(&Balance::IpHash, 1, rounds)),
    ("ip_hash_half", |rounds| picks::picks(&Balance::IpHash, 2, rounds)),
    ("consistent_hash", |rounds| picks::picks(&Balance::ConsistentHash(HashBy::Path), 1, rounds)),
    ("consistent_hash_half", |rounds| picks::picks(&Balance::ConsistentHash(HashBy::Path), 2, rounds)),
    ("random", |rounds| picks::picks(&Balance::Random, 1, rounds)),
    ("random_half", |rounds| picks::picks(&Balance::Random, 2, rounds)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match (arguments.get(1).map(String::as_str), arguments.get(2), arguments.get(3)) {
        (Some("--case"), Some(name), Some(rounds)) => {
            let case = CASES.iter().find(|(case, _)| case == name);
            if let (Some((_, run)), Ok(rounds)) = (case, rounds.parse()) {
                run(rounds);
            }
            ExitCode::SUCCESS
        }
        _ => measure_all(),
    }
}

fn measure_all() -> ExitCode {
    let mut over = false;
    for (name, _) in CASES {
        let (Some(few), Some(many)) = (instructions(name, FEW), instructions(name, MANY)) else {
            eprintln!("valgrind did not run: install it to count instructions");
            return ExitCode::FAILURE;
        };
        let each = many.saturating_sub(few) / (MANY - FEW);
        let budget = budget(name);
        over |= budget.is_none_or(|budget| each > budget);
        println!(
            "{name:22} {each:>7} instructions, budget {}",
            budget.map_or("missing".into(), |b| b.to_string())
        );
    }
    if over { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn budget(name: &str) -> Option<u64> {
    let line = BUDGETS.lines().find(|line| line.split_whitespace().next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What callgrind collects for a whole run.
fn instructions(name: &str, rounds: u64) -> Option<u64> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--case", name, &rounds.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("Collected :"))?;
    line.split(':').nth(1)?.trim().parse().ok()
}

/// Calls `run` with the request, parsed.
fn with_view(run: impl FnOnce(&RequestView<'_>)) {
    let mut slots = head::slots();
    if let Ok(Some(head)) = head::read(REQUEST, &mut slots) {
        run(&head.view(Scheme::Http, IpAddr::from([127, 0, 0, 1])));
    }
}

fn heads(rounds: u64) {
    for _ in 0..rounds {
        let mut slots = head::slots();
        let head = head::read(black_box(REQUEST), &mut slots);
        black_box(head.is_ok());
    }
}

fn keys(rounds: u64) {
    let recipe = foreland::cache::key::Recipe::new(7);
    with_view(|view| {
        for _ in 0..rounds {
            black_box(recipe.of(black_box(view), &Parts::default()).hash);
        }
    });
}

fn storables(rounds: u64) {
    let headers: Vec<_> =
        RESPONSE.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
    let response = ResponseView { status: 200, fields: Fields::Raw(&headers) };
    with_view(|request| {
        for _ in 0..rounds {
            let exchange = Exchange { request, response: &response, requested_at: NOW, received_at: NOW };
            black_box(
                policy::storable(black_box(&exchange), &policy::Defaults::default(), &Override::default())
                    .is_ok(),
            );
        }
    });
}

fn times() -> StoredTimes {
    let life = Lifetime {
        lifetime: 1_000_000_000,
        initial_age: 0,
        while_revalidate: 30,
        if_error: 3600,
        always_validate: false,
        must_revalidate: false,
        shareable_with_credentials: true,
        stale_if_asked: true,
        source: LifetimeSource::MaxAge,
    };
    StoredTimes { received_at: NOW, life }
}

fn reuses(rounds: u64) {
    with_view(|view| {
        for _ in 0..rounds {
            let directives = policy::request_directives(black_box(view.fields));
            black_box(policy::reuse(black_box(&times()), &directives, NOW + 5));
        }
    });
}

fn object(key: Key) -> Arc<Object> {
    let fields = RESPONSE.iter().map(|(name, value)| (*name, value.as_bytes()));
    let head = StoredHead::new(200, fields, Some(1024), times(), None, Ruled::default());
    Arc::new(Object::new(key, head, Body::pack(&[Bytes::from(vec![b'x'; 1024])])))
}

fn some_object() -> Arc<Object> {
    object(foreland::cache::key::Recipe::new(7).url(Scheme::Http, "www.example.com", 80, "/a", None, None))
}

fn finds(rounds: u64) {
    let recipe = foreland::cache::key::Recipe::new(7);
    with_view(|view| {
        let key = recipe.of(view, &Parts::default());
        let ram = Ram::new(64 << 20, 64);
        let _ = ram.insert(object(key.clone()), |_: &Object| false);
        for _ in 0..rounds {
            black_box(ram.find(key.hash, |o| o.key == key).is_some());
        }
    });
}

/// What a request pays for its route and its rules, the key included.
fn decides(number: usize, rounds: u64) {
    let (plan, view) = (plans::plan(number, number), plans::view());
    let recipe = foreland::cache::key::Recipe::new(7);
    for _ in 0..rounds {
        let decision = decide(&plan, &recipe, black_box(&view), black_box(None));
        assert!(decision.route == 7 && decision.uses_cache() && !decision.terms.is_empty());
        black_box(decision);
    }
}

fn lookups(rounds: u64) {
    let cache = Cache::new(Settings { memory: 64 << 20, ..Settings::default() });
    with_view(|view| {
        let key = cache.recipe().of(view, &Parts::default());
        let _ = cache.ram().insert(object(key.clone()), |_| false);
        let mut hits = 0;
        for _ in 0..rounds {
            let ask: Ask<'_> =
                ask(&plan::Ruled { rules: None, terms: Terms::default() }, black_box(view.fields), &key, NOW);
            hits += u64::from(matches!(cache.lookup(&ask), Found::Hit(_)));
        }
        assert_eq!(hits, rounds, "the object must be found, or this counts something else");
    });
}
