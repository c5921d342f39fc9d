//! Compares what a test expects with what came of its request, and says why they differ.

use super::case::{Expect, Storing};
use super::explained::{Cache, Explained};
use super::reasons;
use crate::edge::rehearse::Rehearsed;
use crate::http::duration::human;
use crate::route::{FieldTest, ValueTest};
use crate::rules::Matched;
use crate::verdict::{CacheUse, Decision, Kind, Reason, Stored};

/// What came of a request.
pub(super) struct Seen<'a> {
    pub done: &'a Rehearsed,
    /// How it was decided, before it was played.
    pub explained: &'a Explained,
    pub keys: Keys,
}

/// Requests whose keys are compared with this one's.
pub(super) struct Keys {
    pub same: Vec<Other>,
    pub different: Vec<Other>,
}

/// Another URL, asked for in the same way.
pub(super) struct Other {
    pub url: String,
    /// What is decided about it; `None` if it cannot be asked for.
    pub decided: Option<(Decision, Explained)>,
}

/// One thing that is not as expected.
pub(super) struct Differs {
    /// What was expected: `outcome bypass`.
    pub expected: String,
    /// What is instead, where that is not said of every request: `status 404`.
    pub got: Option<String>,
    /// Why.
    pub because: Option<String>,
}

/// Everything that is not as expected.
pub(super) fn compare(expect: &Expect, seen: &Seen<'_>) -> Vec<Differs> {
    let mut differs = Vec::new();
    let (done, outcome) = (seen.done, &seen.done.outcome);
    if let Some(wanted) = expect.route.as_ref().filter(|wanted| **wanted != seen.explained.route.name) {
        let got = format!("route {}", seen.explained.route.name);
        differs.push(Differs::new(
            format!("route {wanted}"),
            Some(got),
            Some(seen.explained.route.because.clone()),
        ));
    }
    if let Some(wanted) = expect.outcome.filter(|wanted| *wanted != outcome.kind) {
        differs.push(Differs::new(format!("outcome {wanted}"), None, seen.why_outcome()));
    }
    if let Some(wanted) = expect.reason.filter(|wanted| *wanted != outcome.reason.as_str()) {
        let named =
            |word: &str| if word.is_empty() { "no reason".to_owned() } else { format!("reason {word}") };
        let got = named(outcome.reason.as_str());
        differs.push(Differs::new(named(wanted), Some(got), seen.why_outcome()));
    }
    if let Some(wanted) = expect.bypass.filter(|wanted| *wanted != (outcome.kind == Kind::Bypass)) {
        let wanted = if wanted { "a bypass" } else { "no bypass" };
        differs.push(Differs::new(wanted.to_owned(), None, seen.why_outcome()));
    }
    if let Some(wanted) = expect.rule.as_ref().filter(|wanted| **wanted != seen.rule()) {
        let named = if wanted.is_empty() { "no rule".to_owned() } else { format!("rule {wanted}") };
        differs.push(Differs::new(named, None, seen.why_rule(wanted)));
    }
    differs.extend(expect.stored.and_then(|wanted| stored(wanted, seen)));
    if let Some(wanted) = expect.ttl.map(|ttl| ttl.as_secs())
        && done.lifetime.map(u64::from) != Some(wanted)
    {
        differs.push(Differs::new(format!("ttl {}", human(wanted)), None, seen.why_lifetime()));
    }
    if let Some(wanted) = expect.age.map(|age| age.as_secs()).filter(|wanted| Some(*wanted) != outcome.age) {
        let got = outcome.age.map_or("no age".to_owned(), |age| format!("age {}", human(age)));
        differs.push(Differs::new(format!("age {}", human(wanted)), Some(got), seen.unknown()));
    }
    if let Some(wanted) = expect.status.filter(|wanted| *wanted != outcome.status) {
        let got =
            if seen.done.unknown { "no status".to_owned() } else { format!("status {}", outcome.status) };
        differs.push(Differs::new(format!("status {wanted}"), Some(got), seen.unknown()));
    }
    differs.extend(expect.tags.as_ref().and_then(|wanted| tags(wanted, seen)));
    differs.extend(expect.headers.iter().filter_map(|test| field(test, seen)));
    differs.extend(seen.keys.same.iter().filter_map(|other| key(other, true, seen)));
    differs.extend(seen.keys.different.iter().filter_map(|other| key(other, false, seen)));
    differs
}

impl Differs {
    fn new(expected: String, got: Option<String>, because: Option<String>) -> Self {
        Self { expected, got, because }
    }
}

fn stored(wanted: Storing, seen: &Seen<'_>) -> Option<Differs> {
    let got = seen.done.outcome.stored;
    let (fits, named) = match wanted {
        Storing::Because(why) => (got == Some(Stored::No(why)), format!("not stored: {why}")),
        // What never reaches the store is not stored either.
        Storing::No => (got != Some(Stored::Yes) && !seen.done.unknown, "not stored".to_owned()),
        Storing::Yes => (got == Some(Stored::Yes), "stored".to_owned()),
    };
    (!fits).then(|| Differs::new(named, None, seen.why_stored()))
}

fn tags(wanted: &[String], seen: &Seen<'_>) -> Option<Differs> {
    let sorted = |tags: &[String]| {
        let mut tags = tags.to_vec();
        tags.sort_unstable();
        tags.dedup();
        tags
    };
    let (wanted, got) = (sorted(wanted), sorted(&seen.done.tags));
    let named = |tags: &[String]| {
        if tags.is_empty() { "no tags".to_owned() } else { format!("tags {}", tags.join(" ")) }
    };
    (wanted != got).then(|| Differs::new(named(&wanted), Some(named(&got)), seen.unknown()))
}

fn field(test: &FieldTest, seen: &Seen<'_>) -> Option<Differs> {
    let values = || {
        let fields = seen.done.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(&test.name));
        fields.map(|(_, value)| value.as_slice())
    };
    if !seen.done.unknown && test.check(values()) {
        return None;
    }
    let name = &test.name;
    let wanted = match &test.value {
        ValueTest::Absent => format!("no header {name}"),
        ValueTest::Present => format!("a header {name}"),
        ValueTest::Is(patterns) => {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            format!("header {name}: {}", patterns.join(" or "))
        }
    };
    let got: Vec<_> = values().map(String::from_utf8_lossy).collect();
    let got = if got.is_empty() {
        format!("no header {name}")
    } else {
        format!("header {name}: {}", got.join(", "))
    };
    Some(Differs::new(wanted, Some(got), seen.unknown()))
}

fn key(other: &Other, same: bool, seen: &Seen<'_>) -> Option<Differs> {
    let wanted = if same { "the same key as" } else { "another key than" };
    let wanted = format!("{wanted} {}", other.url);
    let Some((decision, explained)) = &other.decided else {
        return Some(Differs::new(wanted, Some(format!("{} cannot be asked for", other.url)), None));
    };
    let equal = match (&seen.done.decision.cache, &decision.cache) {
        (CacheUse::Use(one), CacheUse::Use(another)) => one == another,
        (CacheUse::Bypass(why), _) | (_, CacheUse::Bypass(why)) => {
            let because = reasons::bypass(*why).meaning.to_owned();
            return Some(Differs::new(wanted, Some("no key to compare".to_owned()), Some(because)));
        }
    };
    (equal != same).then(|| {
        let got = if equal { "the same key" } else { "another key" };
        let because = match equal {
            true => format!("both keys are {}", in_words(seen.explained)),
            false => format!("its key is {}, the other {}", in_words(seen.explained), in_words(explained)),
        };
        Differs::new(wanted, Some(got.to_owned()), Some(because))
    })
}

/// A key as explain shows it.
fn in_words(explained: &Explained) -> String {
    let Cache::Key(parts) = &explained.cache else { return String::new() };
    let part = |part: &super::explained::Part| match part.what.as_str() {
        "query" => format!("?{}", part.value),
        what if what.contains(' ') => format!("({what}: {})", part.value),
        _ => part.value.clone(),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(" ")
}

impl Seen<'_> {
    /// The name of the rule that the log would show.
    fn rule(&self) -> &str {
        self.done.outcome.rule.as_deref().unwrap_or("")
    }

    /// What is said of every request, and what differs beside that.
    pub(super) fn got(&self, differs: &[Differs]) -> String {
        let outcome = &self.done.outcome;
        let mut words = vec![format!("outcome {}", outcome.kind)];
        words.push(match self.rule() {
            "" => "no rule".to_owned(),
            rule => format!("rule {rule}"),
        });
        words.extend(outcome.stored.map(|stored| match stored {
            Stored::Yes => "stored".to_owned(),
            Stored::No(why) => format!("not stored: {why}"),
        }));
        words.extend(self.done.lifetime.map(|seconds| format!("ttl {}", human(seconds.into()))));
        words.extend(differs.iter().filter_map(|differs| differs.got.clone()));
        words.join(", ")
    }

    /// That the test does not say what the origin would answer, if that is why.
    fn unknown(&self) -> Option<String> {
        let text = "the origin is asked, and the test does not say what it answers: add `response`";
        self.done.unknown.then(|| text.to_owned())
    }

    fn why_outcome(&self) -> Option<String> {
        let told = match self.done.outcome.reason {
            Reason::Bypass(why) => reasons::bypass(why),
            Reason::Miss(_) if self.done.outcome.kind == Kind::HitForMiss => {
                return Some(
                    "the last response was not stored, so each request goes to the origin".to_owned(),
                );
            }
            Reason::Miss(why) => reasons::miss(why),
            Reason::Stale(why) => reasons::stale(why),
            Reason::None | Reason::Refused(_) => return None,
        };
        Some(told.meaning.to_owned())
    }

    fn why_rule(&self, wanted: &str) -> Option<String> {
        let found = self.explained.rules.iter().rev().find(|rule| rule.name == *wanted);
        let Some(rule) = found else {
            return match (wanted, self.explained.rules.iter().rev().find(|rule| rule.name == self.rule())) {
                ("", Some(rule)) => Some(format!("rule `{}` matched: {}", rule.name, rule.because)),
                ("", None) => None,
                _ => Some(format!("no rule is called `{wanted}`")),
            };
        };
        Some(match rule.matched {
            Matched::Later => format!("rule `{wanted}` {}", rule.because),
            Matched::No => format!("rule `{wanted}` did not match: {}", rule.because),
            Matched::Yes if rule.sets.iter().any(|set| set.decides) => {
                format!("rule `{wanted}` matched, and `{}` decides more", self.rule())
            }
            Matched::Yes => format!("rule `{wanted}` matched, and later rules set all that it sets"),
        })
    }

    fn why_stored(&self) -> Option<String> {
        match self.done.outcome.stored {
            Some(Stored::No(why)) => {
                let told = reasons::not_stored(why);
                Some(format!("{} {}.", told.meaning, told.next))
            }
            Some(Stored::Yes) => None,
            None if self.done.unknown => self.unknown(),
            None => self.why_outcome(),
        }
    }

    fn why_lifetime(&self) -> Option<String> {
        if self.done.lifetime.is_none() {
            return self.why_stored();
        }
        let response = self.explained.response.as_ref()?;
        let stored = response.stored.as_ref().ok()?;
        Some(format!("lifetime {}: {}", human(stored.lifetime.seconds), stored.lifetime.source))
    }
}
