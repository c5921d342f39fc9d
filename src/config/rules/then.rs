//! Reads what a rule sets: `then`.

use super::settings::{LIFETIME, TAG_BYTES, TAGS, THEN};
use super::{is_empty, items, key};
use crate::cache::policy::Ignore;
use crate::config::{Diagnostic, Fields, Node, Report, Severity, edits, quantity};
use crate::http::accept_encoding::Coding;
use crate::http::status::StatusRange;
use crate::route::{Edits, Template, TextPattern};
use crate::rules::{Store, StripCookies, Then};
use crate::verdict::Setting;
use std::str::FromStr;

/// What `node` sets. What is wrong in it is reported and left out.
pub fn compile(node: &Node, report: &mut Report) -> Then {
    let Some(fields) = Fields::open(node, &THEN, report) else { return Then::default() };
    if is_empty(node) {
        report.error_with(
            node.span,
            "the rule sets nothing",
            "name a setting, such as `ttl: 10m` or `bypass: true`",
        );
    }
    let mut then = Then {
        bypass: fields.boolean("bypass", report),
        store: store(&fields),
        overrides: overrides(&fields, report),
        while_revalidate: quantity::seconds("stale_while_revalidate", &fields, report),
        if_error: quantity::seconds("stale_if_error", &fields, report),
        tags: tags(&fields, report),
        strip_cookies: strip_cookies(&fields, report),
        strip_set_cookie: fields.boolean("strip_set_cookie", report),
        max_object: fields.size("max_object", report),
        collapse: fields.boolean("collapse", report),
        request_directives: fields.word("request_directives", report).map(|word| word == "follow"),
        compress: fields.boolean("compress", report),
        accept_encoding: accept_encoding(&fields, report),
        response_headers: response_headers(&fields, report),
        ..Then::default()
    };
    lifetimes(&fields, &mut then, report);
    if let Some(node) = fields.maybe("key") {
        let parts = key::compile(node, report);
        (then.query, then.headers, then.cookies) = (parts.query, parts.headers, parts.cookies);
    }
    then
}

/// Reports what a rule that waits for the response sets although it was needed before, at its key.
pub fn refuse_too_late(node: &Node, then: &Then, report: &mut Report) {
    let Some(fields) = Fields::open(node, &THEN, report) else { return };
    for setting in then.request_only_settings() {
        let (key, why, instead) = too_late(setting);
        let message = format!("`{key}` in a rule that looks at the response: {why}");
        let diagnostic = Diagnostic::new(Severity::Error, Some(fields.key_span(key)), message);
        report.push(match instead {
            Some(instead) => diagnostic.label(instead),
            None => diagnostic,
        });
    }
}

/// The key of a setting, why it cannot wait for the response, and what to write instead.
fn too_late(setting: Setting) -> (&'static str, &'static str, Option<&'static str>) {
    match setting {
        Setting::Bypass => (
            "bypass",
            "the cache is asked before the response exists",
            Some("`store: false` keeps a response out of the cache"),
        ),
        Setting::StripCookies => (
            "strip_cookies",
            "the request has gone out by then",
            Some("`strip_set_cookie` is about the response"),
        ),
        Setting::Collapse => ("collapse", "requests wait for each other before the response exists", None),
        Setting::RequestDirectives => {
            ("request_directives", "the request is heard before the response exists", None)
        }
        Setting::AcceptEncoding => {
            ("accept_encoding", "the request has gone out by then", Some("`compress` is about the response"))
        }
        _ => ("key", "the key is needed before the response exists", None),
    }
}

fn store(fields: &Fields<'_>) -> Option<Store> {
    match fields.maybe("store")?.as_text()? {
        "true" => Some(Store::Yes),
        "false" => Some(Store::No),
        "deception" => Some(Store::Deception),
        _ => None,
    }
}

fn lifetimes(fields: &Fields<'_>, then: &mut Then, report: &mut Report) {
    let Some(node) = fields.maybe("ttl") else { return };
    if node.as_map().is_none() {
        then.edge = quantity::seconds("ttl", fields, report);
        return;
    }
    let Some(ttl) = Fields::open(node, &LIFETIME, report) else { return };
    if is_empty(node) {
        report.error(node.span, "`ttl` is empty: name `edge`, `browser` or `status`, or write `ttl: 10m`");
    }
    then.edge = quantity::seconds("edge", &ttl, report);
    then.browser = quantity::seconds("browser", &ttl, report);
    then.status = by_status(&ttl, report);
}

fn by_status(ttl: &Fields<'_>, report: &mut Report) -> Option<Vec<(StatusRange, u32)>> {
    let node = ttl.maybe("status")?;
    let mut times: Vec<(StatusRange, u32)> = Vec::new();
    for (key, value) in ttl.map("status", report) {
        let range = key
            .text
            .parse::<StatusRange>()
            .map_err(|error| report.error(key.span, format!("`status`: {error}")));
        let seconds = quantity::node_seconds(value, &key.text, report);
        let (Ok(range), Some(seconds)) = (range, seconds) else { continue };
        if times.iter().any(|(known, _)| *known == range) {
            report.error(key.span, format!("`status` has a lifetime for {range} already"));
        }
        times.push((range, seconds));
    }
    if is_empty(node) {
        report.error(node.span, "`status` is empty: write such as `{ 404: 30s, 5xx: 0s }`");
    }
    Some(times)
}

fn overrides(fields: &Fields<'_>, report: &mut Report) -> Option<Ignore> {
    let words: Vec<String> = items("override", fields, report)?;
    let has = |word: &str| words.iter().any(|given| given == word);
    Some(Ignore {
        no_store: has("no_store"),
        private: has("private"),
        no_cache: has("no_cache"),
        set_cookie: has("set_cookie"),
        authorization: has("authorization"),
    })
}

fn tags(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<Box<str>>> {
    let mut tags: Vec<Box<str>> = Vec::new();
    for Tag(tag) in items("tags", fields, report)? {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let bytes: usize = tags.iter().map(|tag| tag.len() + 1).sum();
    if tags.len() > TAGS || bytes > TAG_BYTES {
        let message = format!(
            "`tags` lists too much: an object has {TAGS} tags and {} KiB of them at most",
            TAG_BYTES / 1024
        );
        fields.error("tags", message, report);
    }
    Some(tags)
}

/// What an object can be purged by.
struct Tag(Box<str>);

impl FromStr for Tag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return Ok(Self(text.into()));
        }
        Err(format!("`{text}` is no tag: one has letters, digits and signs, but no spaces and no commas"))
    }
}

fn strip_cookies(fields: &Fields<'_>, report: &mut Report) -> Option<StripCookies> {
    let node = fields.maybe("strip_cookies")?;
    match node.as_text() {
        Some("true") => Some(StripCookies::All),
        Some("false") => Some(StripCookies::No),
        _ => {
            let names: Vec<TextPattern> = items("strip_cookies", fields, report)?;
            if names.is_empty() {
                report.error(node.span, "`strip_cookies` lists nothing: write `false` to strip no cookie");
            }
            Some(StripCookies::Named(names))
        }
    }
}

/// The compression that the origin is asked for; `Some(None)` for none.
fn accept_encoding(fields: &Fields<'_>, report: &mut Report) -> Option<Option<Coding>> {
    fields.word("accept_encoding", report).map(|word| Coding::parse(word.as_bytes()))
}

/// What every client gets must not be made of what one of them sent.
fn response_headers(fields: &Fields<'_>, report: &mut Report) -> Option<Edits> {
    let node = fields.maybe("response_headers")?;
    if is_empty(node) {
        report.error(node.span, "`response_headers` is empty: name `set`, `add` or `remove`");
    }
    let written = ["set", "add"].into_iter().filter_map(|key| node.at(key)?.as_map()).flatten();
    let values = written.flat_map(|(_, value)| value.as_list().unwrap_or(std::slice::from_ref(value)));
    for value in values {
        for name in value.as_text().into_iter().flat_map(variables) {
            if IN_EVERY_KEY.contains(&name.as_str()) {
                continue;
            }
            let message = format!(
                "`{{{name}}}` may differ from request to request, and what a rule sets is stored for everybody"
            );
            report.error_with(value.span, message, "`response_headers` of the route may have it");
        }
    }
    edits::compile("response_headers", fields, report)
}

/// Variables that say the same for everybody who gets the same stored response.
const IN_EVERY_KEY: [&str; 4] = ["host", "path", "port", "scheme"];

/// The names of the variables in a template; none if it does not read, which is reported elsewhere.
fn variables(template: &str) -> Vec<String> {
    if template.parse::<Template>().is_err() {
        return Vec::new();
    }
    let text = template.replace("{{", "").replace("}}", "");
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect()
}
