//! Explain equals serving: random requests and responses under a random plan become what was foretold.

mod random;

use crate::dsl::*;
use foreland::cache::{Cache, Settings};
use foreland::edge::rehearse::{Given, Origin as Answer, Rehearsed, rehearse};
use foreland::edge::unix_time;
use foreland::explain::{Explained, Question, Request, explain};
use foreland::plan::Plan;
use foreland::verdict::{Kind, NotStored, Outcome, Stored};
use parking_lot::Mutex;
use random::{Answered, Asked, Random};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Random plans of a test, and requests under each: one plan may well send everything past the cache.
const PLANS: u64 = 4;
const REQUESTS: usize = 2_500;

/// What the plans and requests of an ordinary run are made from.
const SEED: u64 = 20_261_122;

/// How often the words of a request are the same, and what is compared.
const WORDS: [&str; 6] = ["route", "rule", "outcome", "reason", "stored", "status"];

/// One request, as it was foretold.
struct Foretold {
    text: String,
    words: [String; 6],
    refresh: Option<[String; 6]>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_explained_is_what_is_served() {
    let seed = match std::env::var("FORELAND_SEED").as_deref() {
        Ok("random") => fastrand::u64(..),
        Ok(seed) => seed.parse().unwrap(),
        // The same every time, so that a failure is the doing of the change it comes with.
        Err(_) => SEED,
    };
    eprintln!("FORELAND_SEED={seed} repeats this run; FORELAND_SEED=random tries another");
    let mut foretold = Vec::new();
    for plan in 0..PLANS {
        let mode = if plan % 2 == 0 { Mode::H1 } else { Mode::H1_PROXY };
        foretold.extend(under_a_plan(mode, seed.wrapping_add(plan)).await);
    }
    assert_is_varied(&foretold);
}

/// Foretells and serves requests one after the other under a random plan.
async fn under_a_plan(mode: Mode, seed: u64) -> Vec<Foretold> {
    let mut random = Random::new(seed);
    let next: Arc<Mutex<Option<Answered>>> = Arc::default();
    let script = next.clone();
    let origin = Origin::start(move |_| script.lock().as_ref().unwrap().reply()).await;
    let settings = Settings { memory: 64 << 20, ..Settings::default() };
    let edge = Edge::with(mode, &[origin.address], |setup| {
        setup.routes = random.routes(&setup.upstreams[0].name);
        setup.cache = settings;
    })
    .await;
    let (plan, state) = (edge.server().edge.plan.load_full(), edge.server().edge.state.clone());
    let (cache, client) = (Cache::new(settings), edge.another_client());
    let mut foretold = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS {
        let asked = random.asked(number);
        let answered = random.answered(&asked);
        *next.lock() = Some(answered.clone());
        let (told, fields) = foretell(&plan, &cache, &asked, &answered);
        let got = client.finish(client.begin(&asked.ask()).await).await;
        // A fetch goes on after its client has its answer.
        until("the fetches to end", || state.cache.fills() == (0, 0)).await;
        assert_eq!(visible(&got.head.fields), fields, "{}\n{:?}", told.text, got.head);
        foretold.push(told);
    }
    let lines = lines(&edge, &foretold).await;
    for (number, told) in foretold.iter().enumerate() {
        let agent = format!("t{number}");
        assert_eq!(lines[&(agent.clone(), false)], told.words, "{}", told.text);
        assert_eq!(lines.get(&(agent, true)), told.refresh.as_ref(), "the refresh of {}", told.text);
    }
    foretold
}

/// Plays a request through on the cache of the test. Gives also the fields that the client will get.
fn foretell(
    plan: &Arc<Plan>,
    cache: &Cache,
    asked: &Asked,
    answered: &Answered,
) -> (Foretold, Vec<(String, String)>) {
    let request = asked.request();
    let now = unix_time().as_secs();
    let response = match &answered.origin {
        // How long a body in chunks is shows only at its end.
        Answer::Answers(given) => {
            Some(Given { length: given.length.filter(|_| !answered.chunked), ..given.clone() })
        }
        _ => None,
    };
    let question = Question { request, response };
    let explained = explain(plan, cache, &question, now);
    let done = question.request.with(|view| rehearse(plan, cache, view, &answered.origin, now)).unwrap();
    let text = format!("{}\nanswer {:?}\n{}", asked.text(), answered.origin, explained.text(false));
    agree(&explained, &done, &text);
    let route = &explained.route.name;
    let refresh = done.refresh.as_ref().map(|outcome| words(route, outcome));
    let fields: Vec<(String, String)> = done
        .fields
        .iter()
        .map(|(name, value)| (name.to_lowercase(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    (Foretold { text, words: words(route, &done.outcome), refresh }, visible(&fields))
}

/// What explain says beforehand is what comes of it.
fn agree(explained: &Explained, done: &Rehearsed, text: &str) {
    let outcome = &done.outcome;
    if let Some(now) = &explained.now {
        let became = match outcome.kind {
            // What the origin said is not known before.
            Kind::Revalidated => Kind::Miss,
            Kind::Stale if now.kind == Kind::Miss => Kind::Miss,
            kind => kind,
        };
        assert_eq!(now.kind, became, "{text}");
        if now.kind == outcome.kind {
            assert_eq!(now.reason, outcome.reason, "{text}");
        }
    }
    let Some(response) = explained.response.as_ref().filter(|response| response.status != 304) else {
        return;
    };
    match (outcome.kind, outcome.stored) {
        (Kind::Miss, Some(Stored::Yes)) => assert!(response.stored.is_ok(), "{text}"),
        (Kind::Miss, Some(Stored::No(NotStored::TooLarge))) if response.stored.is_ok() => {}
        (Kind::Miss, Some(Stored::No(why))) => {
            assert_eq!(
                response.stored.as_ref().map_err(|refusal| refusal.word).err(),
                Some(why.as_str()),
                "{text}"
            );
        }
        _ => {}
    }
}

fn words(route: &str, outcome: &Outcome) -> [String; 6] {
    let stored = match outcome.stored {
        None => "",
        Some(Stored::Yes) => "yes",
        Some(Stored::No(why)) => why.as_str(),
    };
    let status = if outcome.status == 0 { String::new() } else { outcome.status.to_string() };
    let rule = outcome.rule.as_deref().unwrap_or("");
    let (kind, reason) = (outcome.kind.as_str(), outcome.reason.as_str());
    [route, rule, kind, reason, stored, &status].map(str::to_owned)
}

/// What a client gets to see, without what depends on the moment or on the connection.
fn visible(fields: &[(String, String)]) -> Vec<(String, String)> {
    let left_out =
        ["age", "date", "x-request-id", "connection", "keep-alive", "transfer-encoding", "content-length"];
    let kept = fields.iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
    // Whether a form is there already or is made now is a matter of the moment; its entity tag tells.
    let is_form = fields.iter().any(|(name, value)| name == "content-encoding" && value != "compress");
    let value = |name: &str, value: &str| match name {
        "cache-status" => {
            value.split("; ").filter(|part| !part.starts_with("ttl=")).collect::<Vec<_>>().join("; ")
        }
        "etag" if is_form => value.split('-').next().unwrap_or_default().replace(['W', '/', '"'], ""),
        "content-type" if value.starts_with("multipart/byteranges") => "multipart/byteranges".to_owned(),
        // A lifetime for the browser is counted from the age of the answer.
        "cache-control" => value.split('=').next().unwrap_or_default().to_owned(),
        _ => value.to_owned(),
    };
    let mut kept: Vec<_> = kept.map(|(name, text)| (name.clone(), value(name, text))).collect();
    kept.sort();
    kept
}

/// The words of every line of the log, by user agent and whether it is a refresh.
async fn lines(edge: &Edge, foretold: &[Foretold]) -> HashMap<(String, bool), [String; 6]> {
    let refreshes = foretold.iter().filter(|told| told.refresh.is_some()).count();
    let wanted = foretold.len() + refreshes;
    until_or("every line of the log", || edge.log_length() >= wanted, || edge.log_length().to_string()).await;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let word = |line: &Value, name: &str| line.get(name).map(text).unwrap_or_default();
    let lines = edge.log().into_iter().map(|line| {
        let key = (word(&line, "user_agent"), line["transport"] == "refresh");
        (key, WORDS.map(|name| word(&line, name)))
    });
    lines.collect()
}

/// A plan under which every request is the same would prove nothing.
fn assert_is_varied(foretold: &[Foretold]) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for told in foretold {
        let [_, _, kind, reason, stored, _] = &told.words;
        *counts.entry(format!("{kind} {reason} {stored}")).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort();
    for (what, count) in &counts {
        eprintln!("{count:6}  {what}");
    }
    assert!(counts.len() >= 12, "{counts:?}");
}

impl Asked {
    fn url(&self) -> String {
        format!("http://{}{}", self.host, self.target)
    }

    fn text(&self) -> String {
        format!("{} {} {:?}", self.method, self.url(), self.fields)
    }

    /// As the client sends it.
    fn ask(&self) -> Ask {
        // The target names the host: the one of the Host field does not count.
        let path = if self.host == HOST { self.target.clone() } else { self.url() };
        let mut ask = get(&path).method(self.method);
        if self.body {
            ask = post(&path, "body").method(self.method);
        }
        self.fields.iter().fold(ask, |ask, (name, value)| ask.field(name, value))
    }

    /// The same as it is explained.
    fn request(&self) -> Request {
        let mut fields = self.fields.clone();
        if self.body {
            fields.push(("Content-Length".to_owned(), "4".to_owned()));
        }
        Request::new(self.method, &self.url(), &fields, None).unwrap()
    }
}
