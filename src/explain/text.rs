//! Writes what explain knows for people: figures aligned, causes before symptoms, the next step named.

use super::explained::{Action, Cache, Explained, Files, Now, Response, Rule, Set, Sourced, Stored};
use super::reasons;
use crate::http::duration::human;
use crate::rules::Matched;
use crate::verdict::{Kind, Reason};

/// Width of the labels.
const LABEL: usize = 11;
/// Where notes begin at the latest, and at the earliest, behind the labels.
const NOTES: (usize, usize) = (40, 59);
/// Rules that do not match are named one by one up to so many.
const MOST_UNMATCHED: usize = 24;
/// Characters of a line of what a rule sets.
const SETS: usize = 72;
/// Characters of a field value that are worth a line.
const MOST_VALUE: usize = 72;

/// A line: its label, which is often that of the line above, what it says, and what is said of that.
struct Line {
    label: &'static str,
    text: String,
    note: String,
    tone: Tone,
}

/// How a line is coloured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Bad,
    Faint,
    Good,
    Plain,
}

impl Explained {
    /// For people. Colour only where it is wanted.
    pub fn text(&self, color: bool) -> String {
        let mut page = Page::default();
        page.line("request", format!("{} {}", self.method, self.url), "");
        self.routing(&mut page);
        if matches!(self.action, Action::Upstream(_)) {
            self.ruling(&mut page);
            self.caching(&mut page);
        }
        page.line("gates", if self.gates.is_empty() { "none".to_owned() } else { self.gates.join(", ") }, "");
        let front = match self.front {
            Ok(()) if matches!(self.action, Action::Upstream(_)) => {
                "would answer a fresh hit itself".to_owned()
            }
            Ok(()) if matches!(self.action, Action::Files(_)) => {
                "would answer a file in memory itself".to_owned()
            }
            Ok(()) => "would answer itself".to_owned(),
            Err(why) => format!("leaves it to the proxy: {why}, {}", reasons::declined(why).meaning),
        };
        page.line("front", front, "");
        if let Some(now) = &self.now {
            stored_now(&mut page, now);
        }
        if let Some(response) = &self.response {
            answered(&mut page, response);
        }
        page.written(color)
    }

    /// The lines about rules alone, for a failing test.
    pub fn trace(&self, color: bool) -> String {
        let mut page = Page::default();
        self.routing(&mut page);
        self.ruling(&mut page);
        self.caching(&mut page);
        if let Some(response) = &self.response {
            answered(&mut page, response);
        }
        page.written(color)
    }

    fn routing(&self, page: &mut Page) {
        let route = &self.route;
        let number = route.number.map_or_else(|| "none".to_owned(), |number| format!("#{number}"));
        let name = if route.name.is_empty() { String::new() } else { format!(" {}", route.name) };
        page.line("route", format!("{number}{name}  {}", route.because), &route.place);
        for other in &route.others {
            let text = match (&other.beaten, other.matched) {
                (Some(why), _) => format!("  beats #{} ({}): {why}", other.number, other.because),
                (None, true) => format!("  beats #{} ({})", other.number, other.because),
                (None, false) => format!("  not #{}: {}", other.number, other.because),
            };
            page.push("", text, "", Tone::Faint);
        }
        match &self.action {
            Action::Answer(status) => page.line("answer", format!("{status}, by Foreland itself"), ""),
            Action::Files(Files { tried: Ok(tried), .. }) => page.line("files", tried.join(", then "), ""),
            Action::Files(Files { tried: Err(why), root }) => {
                page.push("files", format!("none below {root}: {why}"), "", Tone::Bad);
            }
            Action::Nobody(status) => {
                page.push("answer", format!("{status}: no route takes it"), "", Tone::Bad)
            }
            Action::Redirect(status, url) => {
                page.line("answer", format!("{status} to {url}: every listener without TLS says so"), "");
            }
            Action::Upstream(name) => page.line("upstream", name.clone(), ""),
        }
        for listener in &self.redirecting {
            let text = format!("  not at {listener}, which sends whoever asks over http to https");
            page.push("", text, "", Tone::Faint);
        }
    }

    fn ruling(&self, page: &mut Page) {
        if self.rules.is_empty() {
            return page.line("rules", "none".to_owned(), "");
        }
        let width = self.rules.iter().map(|rule| rule.name.chars().count()).max().unwrap_or(0);
        let unmatched = self.rules.iter().filter(|rule| rule.matched == Matched::No).count();
        let mut label = "rules";
        for rule in
            self.rules.iter().filter(|rule| unmatched <= MOST_UNMATCHED || rule.matched != Matched::No)
        {
            let (word, tone) = match rule.matched {
                Matched::Later => ("later", Tone::Plain),
                Matched::No => ("no", Tone::Faint),
                Matched::Yes => ("yes", Tone::Good),
            };
            page.push(label, format!("{:width$}  {word:6}{}", rule.name, rule.because), &rule.place, tone);
            label = "";
            for (at, line) in folded(sets(rule)).into_iter().enumerate() {
                let verb = if at == 0 { "sets" } else { "" };
                page.push("", format!("{:width$}        {verb:4} {line}", ""), "", Tone::Faint);
            }
        }
        if unmatched > MOST_UNMATCHED {
            page.push(label, format!("and {unmatched} more that do not match"), "", Tone::Faint);
        }
    }

    fn caching(&self, page: &mut Page) {
        let parts = match &self.cache {
            Cache::Bypass(why) => {
                let told = reasons::bypass(*why);
                let rule = self.rule.as_ref().filter(|_| why.as_str() == "rule");
                let rule = rule.map_or(String::new(), |rule| format!(" (rule `{rule}`)"));
                page.push("cache", format!("bypass: {why}{rule}. {}", told.meaning), told.clause, Tone::Bad);
                return page.next(told.next);
            }
            Cache::Key(parts) => parts,
        };
        let (url, chosen): (Vec<_>, Vec<_>) = parts.iter().partition(|part| !part.what.contains(' '));
        let words: Vec<&str> =
            url.iter().filter(|part| part.what != "query").map(|part| part.value.as_str()).collect();
        let query = url.iter().find(|part| part.what == "query");
        let shown = query.map_or(String::new(), |query| format!(" ?{}", query.value));
        page.line("key", words.join(" ") + &shown, query.map_or("", |query| &query.note));
        for part in chosen {
            let value =
                if part.value.is_empty() { String::new() } else { format!(": {}", short(&part.value)) };
            page.line("", part.what.clone() + &value, &part.note);
        }
    }
}

/// What a rule that matches sets; in brackets what a later one overrides.
fn sets(rule: &Rule) -> Vec<String> {
    let shown = |set: &Set| match set.decides {
        true => format!("{} {}", set.setting, set.value),
        false => format!("({} {}: a later rule decides)", set.setting, set.value),
    };
    let matched = rule.matched == Matched::Yes;
    rule.sets.iter().filter(|_| matched).map(shown).collect()
}

/// Words joined by commas, on as many lines as that takes.
fn folded(words: Vec<String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < SETS => {
                line.push_str(", ");
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

fn stored_now(page: &mut Page, now: &Now) {
    let text = match (now.kind, now.reason) {
        (Kind::Hit, _) => "hit: it is stored, and fresh".to_owned(),
        (Kind::Collapsed, _) => "collapsed: it is just coming in".to_owned(),
        (Kind::HitForMiss, _) => {
            let why = now.not_shared.map_or("", |why| why.as_str());
            format!("hit_for_miss: the last response was not stored ({why}); asked for each time")
        }
        (kind, Reason::Miss(why)) => format!("{kind}: {why}. {}", reasons::miss(why).meaning),
        (kind, Reason::Stale(why)) => format!("{kind}: {why}. {}", reasons::stale(why).meaning),
        (kind, Reason::Bypass(why)) => format!("{kind}: {why}. {}", reasons::bypass(why).meaning),
        (kind, reason) => format!("{kind} {}", reason.as_str()),
    };
    let variants = if now.variants > 1 { format!("{} variants", now.variants) } else { String::new() };
    page.line("now", text, &variants);
    if let Some(object) = &now.object {
        let left = match object.ttl {
            ttl if ttl >= 0 => format!("fresh for {}", human(ttl.unsigned_abs())),
            ttl => format!("stale since {}", human(ttl.unsigned_abs())),
        };
        let rule = object.rule.as_ref().map_or(String::new(), |rule| format!("rule `{rule}`"));
        let (status, age, size) = (object.status, human(object.age), object.size);
        page.line("", format!("{status}, {size} bytes, {age} old, {left}"), &rule);
        if !object.tags.is_empty() {
            page.line("", format!("tags {}", object.tags.join(", ")), "");
        }
    }
}

fn answered(page: &mut Page, response: &Response) {
    let fields =
        response.fields.iter().map(|(name, value)| format!(", {}: {}", name.to_lowercase(), short(value)));
    page.line("response", format!("{}{}", response.status, fields.collect::<String>()), "");
    match &response.stored {
        Ok(stored) => kept(page, stored),
        Err(refusal) => {
            let rule = refusal.rule.as_ref().map_or(String::new(), |rule| format!(" ({rule})"));
            let text = format!("{}{rule}. {}", refusal.word, refusal.told.meaning);
            page.push("not stored", text, refusal.told.clause, Tone::Bad);
            page.next(refusal.told.next);
        }
    }
}

fn kept(page: &mut Page, stored: &Stored) {
    page.push("stored", "yes".to_owned(), "RFC 9111 §3", Tone::Good);
    sourced(page, "lifetime", &stored.lifetime);
    sourced(page, "age", &stored.age);
    let fresh = match stored.fresh {
        _ if stored.always_validate => "never: the origin is asked each time".to_owned(),
        fresh if fresh > 0 => human(fresh.unsigned_abs()),
        _ => "not at all: stale on arrival".to_owned(),
    };
    page.line("fresh for", fresh, "");
    let window = |window: &Sourced| format!("{} ({})", human(window.seconds), window.source);
    let clause = stored.if_error.clause;
    page.line(
        "stale",
        format!(
            "while revalidating {}; if the origin fails {}",
            window(&stored.while_revalidate),
            window(&stored.if_error)
        ),
        clause,
    );
    let says = |(name, value): &(String, String)| match value.as_str() {
        "" => format!("{name} (absent)"),
        value => format!("{name}: {}", short(value)),
    };
    if !stored.vary.is_empty() {
        let says: Vec<String> = stored.vary.iter().map(says).collect();
        page.line("vary", says.join("; "), "RFC 9111 §4.1");
    }
    if !stored.variants.is_empty() {
        page.line("variants", stored.variants.clone(), "");
    }
    page.line("browser", stored.browser.0.clone(), &stored.browser.1);
    if !stored.tags.is_empty() {
        page.line("tags", stored.tags.join(", "), "");
    }
}

fn sourced(page: &mut Page, label: &'static str, value: &Sourced) {
    page.line(label, format!("{:9} {}", human(value.seconds), value.source), value.clause);
}

/// A value that somebody else wrote, fit for a line of text.
fn short(value: &str) -> String {
    let cut = value.char_indices().nth(MOST_VALUE).map_or(value.len(), |(at, _)| at);
    let clean = value[..cut].chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    clean.chain((cut < value.len()).then_some('…')).collect()
}

/// Lines on their way to being aligned.
#[derive(Default)]
struct Page(Vec<Line>);

impl Page {
    fn line(&mut self, label: &'static str, text: String, note: &str) {
        self.push(label, text, note, Tone::Plain);
    }

    fn push(&mut self, label: &'static str, text: String, note: &str, tone: Tone) {
        self.0.push(Line { label, text, note: note.to_owned(), tone });
    }

    /// What to do about the line above.
    fn next(&mut self, next: &str) {
        if !next.is_empty() {
            self.line("", format!("{next}."), "");
        }
    }

    fn written(&self, color: bool) -> String {
        let widths = self.0.iter().filter(|line| !line.note.is_empty()).map(|line| line.text.chars().count());
        let column = widths.filter(|width| *width <= NOTES.1).max().unwrap_or(0).max(NOTES.0);
        let mut out = String::new();
        for line in &self.0 {
            let gap =
                if line.note.is_empty() { 0 } else { column.saturating_sub(line.text.chars().count()) + 2 };
            let (on, off) = match line.tone {
                Tone::Bad => ("\x1b[31m", "\x1b[0m"),
                Tone::Faint => ("\x1b[2m", "\x1b[0m"),
                Tone::Good => ("\x1b[32m", "\x1b[0m"),
                Tone::Plain => ("", ""),
            };
            let (on, off) = if color { (on, off) } else { ("", "") };
            let (bold, plain) =
                if color && !line.label.is_empty() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
            let written =
                format!("{bold}{:LABEL$}{plain}{on}{}{off}{:gap$}{}", line.label, line.text, "", line.note);
            out.push_str(written.trim_end());
            out.push('\n');
        }
        out
    }
}
