//! Who answers the requests of a route, and by which cache rules.

use super::answers;
use super::bench::Bench;
use super::files;
use crate::config::quantity::lists_nothing;
use crate::config::{Diagnostic, Fields, Node, Severity, did_you_mean};
use crate::rules::RuleSet;
use crate::setup::Action;
use std::sync::Arc;

/// The keys that say who answers.
const ACTIONS: [&str; 4] = ["upstream", "files", "redirect", "respond"];
/// The keys that mean nothing without an origin.
const OF_THE_ORIGIN: [&str; 2] = ["cache", "request_headers"];
/// The key that means nothing for an answer that does not come from anywhere.
const REWRITE: &str = "rewrite";

/// Who answers; exactly one key says so.
pub fn compile(number: usize, route: &Fields<'_>, top: &Fields<'_>, bench: &mut Bench<'_>) -> Option<Action> {
    let given: Vec<&str> = ACTIONS.into_iter().filter(|key| route.has(key)).collect();
    match given.as_slice() {
        ["upstream"] => upstream(number, route, top, bench),
        ["files"] => {
            without_origin(number, "serves files", &OF_THE_ORIGIN, route, bench);
            files::compile(route.maybe("files")?, bench).map(Action::Files)
        }
        ["redirect"] => {
            by_itself(number, route, bench);
            answers::redirect(route.maybe("redirect")?, bench.report).map(Action::Answer)
        }
        [_respond] => {
            by_itself(number, route, bench);
            answers::respond(route.maybe("respond")?, bench).map(Action::Answer)
        }
        [] => {
            let message = format!("route {number} does not say who answers");
            bench.report.error_with(
                route.span(),
                message,
                "add `upstream`, `files`, `redirect` or `respond`",
            );
            None
        }
        [first, second, ..] => {
            let message = format!("route {number} has both `{first}` and `{second}`");
            bench.report.error_with(route.key_span(second), message, "one of them answers: remove the other");
            None
        }
    }
}

/// The rules of a route; `Some(None)` where the cache is off. None: something is wrong, and reported.
pub fn rules(route: &Fields<'_>, bench: &mut Bench<'_>) -> Option<Option<Arc<RuleSet>>> {
    let node = route.maybe("cache");
    if node.is_some_and(|node| node.is_word("off")) {
        return Some(None);
    }
    let nodes = route.list("cache", bench.report);
    if lists_nothing("cache", route) {
        route.error("cache", "`cache` lists no rule file: leave it out, or write `off`", bench.report);
    }
    let mut paths = Vec::new();
    for node in nodes {
        let path = node.text("cache", "`off` or the path of a rule file", bench.report)?;
        paths.push((bench.files.resolve(node.span.file, path), node.span));
    }
    bench.rules.compile(&paths, bench.files, bench.report).map(Some)
}

fn upstream(number: usize, route: &Fields<'_>, top: &Fields<'_>, bench: &mut Bench<'_>) -> Option<Action> {
    let name = route.text("upstream", bench.report)?;
    if top.maybe("upstreams").is_some_and(Node::is_broken) {
        return None; // Which are defined cannot be told.
    }
    let defined: Vec<&str> =
        top.map("upstreams", bench.report).iter().map(|(key, _)| key.text.as_str()).collect();
    if defined.contains(&name) {
        return Some(Action::Upstream(name.into()));
    }
    let message = format!("route {number} points at upstream `{name}`, which is not defined");
    let label = did_you_mean(name, defined.iter().copied()).unwrap_or_else(|| match defined.is_empty() {
        true => "no upstream is defined".to_owned(),
        false => format!("defined are: {}", defined.join(", ")),
    });
    let unknown = Diagnostic::new(Severity::Error, Some(route.value_span("upstream")), message);
    bench.report.push(unknown.label(label));
    None
}

fn by_itself(number: usize, route: &Fields<'_>, bench: &mut Bench<'_>) {
    without_origin(number, "answers by itself", &[&OF_THE_ORIGIN[..], &[REWRITE]].concat(), route, bench);
}

fn without_origin(number: usize, does: &str, keys: &[&str], route: &Fields<'_>, bench: &mut Bench<'_>) {
    for key in keys.iter().filter(|key| route.has(key)) {
        let message = format!("`{key}` is about an origin, and route {number} {does}");
        bench.report.error_with(route.key_span(key), message, "remove it");
    }
}
