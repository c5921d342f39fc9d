//! Writes what explain knows for programs.

use super::explained::{
    Action, Cache, Explained, Files, Now, Object, Other, Part, Response, Rule, Sourced, Stored,
};
use super::reasons::{self, Told};
use crate::rules::Matched;
use serde_json::{Map, Value, json};

impl Explained {
    /// For programs. What does not apply is `null` or absent; seconds are whole numbers.
    pub fn json(&self) -> Value {
        let mut all = json!({
            "request": { "method": self.method, "url": self.url },
            "route": {
                "number": self.route.number,
                "name": self.route.name,
                "place": self.route.place,
                "because": self.route.because,
                "others": self.route.others.iter().map(other).collect::<Vec<_>>(),
            },
            "action": action(&self.action),
            "redirecting": self.redirecting,
            "rule": self.rule,
            "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
            "cache": cache(&self.cache),
            "gates": self.gates,
            "front": match self.front {
                Ok(()) => json!({ "answers": true }),
                Err(why) => json!({ "answers": false, "declined": why.as_str(), "meaning": reasons::declined(why).meaning }),
            },
        });
        if let Some(all) = all.as_object_mut() {
            add(all, "now", self.now.as_ref().map(now));
            add(all, "response", self.response.as_ref().map(response));
        }
        all
    }
}

fn add(all: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        all.insert(name.to_owned(), value);
    }
}

fn other(other: &Other) -> Value {
    json!({
        "number": other.number, "name": other.name, "matched": other.matched,
        "because": other.because, "beaten": other.beaten,
    })
}

fn action(action: &Action) -> Value {
    match action {
        Action::Answer(status) => json!({ "answer": status }),
        Action::Files(Files { root, tried: Ok(tried) }) => json!({ "files": root, "tried": tried }),
        Action::Files(Files { root, tried: Err(why) }) => json!({ "files": root, "refused": why }),
        Action::Nobody(status) => json!({ "answer": status, "no_route": true }),
        Action::Redirect(status, url) => json!({ "answer": status, "location": url }),
        Action::Upstream(name) => json!({ "upstream": name }),
    }
}

fn rule(rule: &Rule) -> Value {
    let matched = match rule.matched {
        Matched::Later => "later",
        Matched::No => "no",
        Matched::Yes => "yes",
    };
    let sets = rule
        .sets
        .iter()
        .map(|set| json!({ "setting": set.setting, "value": set.value, "decides": set.decides }));
    json!({
        "name": rule.name, "place": rule.place, "matched": matched, "because": rule.because,
        "sets": sets.collect::<Vec<_>>(),
    })
}

fn told(told: &Told) -> Map<String, Value> {
    let texts = [("meaning", told.meaning), ("clause", told.clause), ("next", told.next)];
    texts
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name.to_owned(), json!(text)))
        .collect()
}

fn cache(cache: &Cache) -> Value {
    match cache {
        Cache::Bypass(why) => {
            let mut all = told(&reasons::bypass(*why));
            all.insert("bypass".to_owned(), json!(why.as_str()));
            Value::Object(all)
        }
        Cache::Key(parts) => {
            let part = |part: &Part| json!({ "part": part.what, "value": part.value, "note": part.note });
            json!({ "key": parts.iter().map(part).collect::<Vec<_>>() })
        }
    }
}

fn now(now: &Now) -> Value {
    json!({
        "outcome": now.kind.as_str(),
        "reason": now.reason.as_str(),
        "not_stored": now.not_shared.map(|why| why.as_str()),
        "variants": now.variants,
        "object": now.object.as_ref().map(object),
    })
}

fn object(object: &Object) -> Value {
    json!({
        "status": object.status, "age": object.age, "ttl": object.ttl, "size": object.size,
        "rule": object.rule, "tags": object.tags,
    })
}

fn response(response: &Response) -> Value {
    let fields = response.fields.iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>();
    let mut all = match &response.stored {
        Ok(stored) => self::stored(stored),
        Err(refusal) => {
            let mut all = told(&refusal.told);
            all.insert("stored".to_owned(), json!(false));
            all.insert("not_stored".to_owned(), json!(refusal.word));
            all.insert("rule".to_owned(), json!(refusal.rule));
            all
        }
    };
    all.insert("status".to_owned(), json!(response.status));
    all.insert("headers".to_owned(), json!(fields));
    Value::Object(all)
}

fn stored(stored: &Stored) -> Map<String, Value> {
    let vary = stored.vary.iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>();
    let all = [
        ("stored", json!(true)),
        ("lifetime", sourced(&stored.lifetime)),
        ("age", sourced(&stored.age)),
        ("fresh_for", json!(stored.fresh)),
        ("always_validate", json!(stored.always_validate)),
        ("stale_while_revalidate", sourced(&stored.while_revalidate)),
        ("stale_if_error", sourced(&stored.if_error)),
        ("vary", json!(vary)),
        ("variants", json!(stored.variants)),
        ("browser", json!({ "says": stored.browser.0, "source": stored.browser.1 })),
        ("tags", json!(stored.tags)),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn sourced(value: &Sourced) -> Value {
    json!({ "seconds": value.seconds, "source": value.source, "clause": value.clause })
}
