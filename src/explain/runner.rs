//! Plays the tests of rule files through, each on an empty cache of its own and with a clock of its own.

use super::case::{Case, Down, Response, Step};
use super::compare::{self, Seen};
use super::inquiry::explain;
use super::question::{Question, Request};
use crate::cache::{Cache, Settings};
use crate::edge::decide::decide;
use crate::edge::rehearse::{Given, Origin, rehearse};
use crate::plan::{Listener, Plan};
use crate::rules::RuleSet;
use crate::setup::{Limits, Log, Route, Setup};
use crate::telemetry::{AccessLog, Format, Metrics};
use std::sync::Arc;

/// When every test begins: the start of 2026, in seconds since 1970. Dates in responses are written against it.
pub const START: u64 = 1_767_225_600;

/// A test that was played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What it shows.
    pub name: String,
    /// Where it is written.
    pub place: String,
    /// What was not as expected; empty if it passed. After the first request that fails the rest is not played.
    pub failures: Vec<Failure>,
}

/// A request of a test that did not go as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where it is written.
    pub place: String,
    /// Which one of several: `step 2, GET https://…`; empty where there is one.
    pub step: String,
    /// What was expected and is not so.
    pub expected: String,
    /// What was instead.
    pub got: String,
    /// Why.
    pub because: Vec<String>,
    /// How it was decided, line by line.
    pub trace: String,
}

/// A plan that nobody serves: what a setup decides, with nothing opened.
pub fn dry(setup: &Setup) -> Arc<Plan> {
    let listeners =
        setup.listeners.iter().map(|it| Listener::open(it.bind.to_string().into(), it, None)).collect();
    let (metrics, log) = (Metrics::new(), Arc::new(AccessLog::off()));
    Arc::new(Plan::open(0, setup, setup.limits, listeners, |_| None, &metrics, log))
}

/// A plan with one route that takes everything, for the tests of a rule file.
pub fn stage(rules: Arc<RuleSet>) -> Arc<Plan> {
    dry(&Setup {
        listeners: Vec::new(),
        admin: None,
        trusted_proxies: Arc::default(),
        upstreams: Vec::new(),
        routes: vec![Arc::new(Route::to(&"origin".into(), rules))],
        cache: Settings::default(),
        compress: crate::compress::Settings::default(),
        log: Log { format: Format::Off, file: None },
        limits: Limits::default(),
    })
}

/// Plays tests under a plan.
pub fn run(plan: &Arc<Plan>, cases: &[Case]) -> Vec<Ran> {
    cases.iter().map(|case| play(plan, case)).collect()
}

fn play(plan: &Arc<Plan>, case: &Case) -> Ran {
    let cache = Cache::new(Settings::default());
    let mut failures = Vec::new();
    for (at, step) in case.steps.iter().enumerate() {
        let number = (case.steps.len() > 1).then_some(at + 1);
        failures.extend(fails(plan, &cache, step, number));
        if !failures.is_empty() {
            break;
        }
    }
    Ran { name: case.name.clone(), place: case.place.clone(), failures }
}

fn fails(plan: &Arc<Plan>, cache: &Cache, step: &Step, number: Option<usize>) -> Option<Failure> {
    let failure = |expected: String, got: String, because: Vec<String>, trace: String| Failure {
        place: step.place.clone(),
        step: number.map_or(String::new(), |number| format!("step {number}, {} {}", step.method, step.url)),
        expected,
        got,
        because,
        trace,
    };
    let now = START + step.at.as_secs();
    let request = match Request::new(&step.method, &step.url, &step.headers, step.client) {
        Ok(request) => request,
        Err(why) => return Some(failure("a request".to_owned(), why, Vec::new(), String::new())),
    };
    let origin = origin(step);
    let given = match &origin {
        Origin::Answers(given) => Some(given.clone()),
        Origin::Timeout | Origin::Unknown | Origin::Unreachable => None,
    };
    // Before it is played: afterwards the cache is another.
    let question = Question { request, response: given };
    let explained = explain(plan, cache, &question, now);
    let request = &question.request;
    let done = match request.with(|view| rehearse(plan, cache, view, &origin, now)) {
        Ok(done) => done,
        Err(why) => {
            return Some(failure("a response that can be sent".to_owned(), why, Vec::new(), String::new()));
        }
    };
    let keys = compare::Keys {
        same: others(plan, cache, step, &step.expect.same_key_as),
        different: others(plan, cache, step, &step.expect.different_key_from),
    };
    let seen = Seen { done: &done, explained: &explained, keys };
    let differs = compare::compare(&step.expect, &seen);
    (!differs.is_empty()).then(|| {
        let expected: Vec<String> = differs.iter().map(|differs| differs.expected.clone()).collect();
        let mut because: Vec<String> = differs.iter().filter_map(|differs| differs.because.clone()).collect();
        because.dedup();
        failure(expected.join(", "), seen.got(&differs), because, explained.trace(false))
    })
}

fn origin(step: &Step) -> Origin {
    match (&step.response, step.origin) {
        (Some(Response { status, headers, body_size }), _) => {
            Origin::Answers(Given { status: *status, fields: headers.clone(), length: *body_size })
        }
        (None, Some(Down::Timeout)) => Origin::Timeout,
        (None, Some(Down::Unreachable)) => Origin::Unreachable,
        (None, None) => Origin::Unknown,
    }
}

/// The decisions about other URLs, asked for like the one of the step.
fn others(plan: &Plan, cache: &Cache, step: &Step, urls: &[String]) -> Vec<compare::Other> {
    let decided = |url: &String| {
        let request = Request::new(&step.method, url, &step.headers, step.client);
        let question = Question { request: request.ok()?, response: None };
        let decision = question.request.with(|view| decide(plan, &cache.recipe(), view, None));
        Some((decision, explain(plan, cache, &question, START)))
    };
    urls.iter().map(|url| compare::Other { url: url.clone(), decided: decided(url) }).collect()
}
