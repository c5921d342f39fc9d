//! `routes`: which requests, and what becomes of them.

use super::actions;
use super::answers::{REDIRECT_KIND, RESPOND};
use super::bench::Bench;
use super::files::FILES_KIND;
use super::rewrite::{self, REWRITE};
use super::unique::{Named, names};
use crate::config::quantity::lists_nothing;
use crate::config::{Diagnostic, Field, Fields, Kind, Need, Report, Section, Severity, Span};
use crate::config::{edits, matchers};
use crate::route::{Match, Table};
use crate::setup::{Action, Route};
use std::sync::Arc;

/// The word for no bound.
const UNLIMITED: &str = "unlimited";

/// A route.
pub static ROUTE: Section = Section {
    name: "route",
    doc: "Which requests, and what becomes of them. Of the routes that match, the most specific takes a request, wherever \
          it stands in the file: first the host counts (a name before a longer wildcard before a shorter one before any), \
          then the path (exact before a regular expression before a pattern before a longer beginning before a shorter \
          one before any), then the number of conditions, then the order of the file. A request that no route takes is \
          answered with 404.",
    fields: &[
        Field {
            name: "name",
            kind: Kind::Text("a name"),
            need: Need::Optional,
            doc: "What log, metrics and `explain` call it. Without it the name of the upstream, where another route does \
                  not have that, or else `route` and its number.",
            example: "www",
        },
        Field {
            name: "match",
            kind: Kind::Section(&MATCH),
            need: Need::Default("{}"),
            doc: "The requests that it takes. Without it: all.",
            example: "{ host: www.example.com, path: /assets/ }",
        },
        Field {
            name: "upstream",
            kind: Kind::Text("the name of an upstream"),
            need: Need::Optional,
            doc: "The cluster that answers. A route has this, `files`, `redirect` or `respond`.",
            example: "app",
        },
        Field {
            name: "files",
            kind: FILES_KIND,
            need: Need::Optional,
            doc: "The folder whose files answer, as text or with keys. No cache rules apply to it.",
            example: "public",
        },
        Field {
            name: "redirect",
            kind: REDIRECT_KIND,
            need: Need::Optional,
            doc: "Sends the client elsewhere.",
            example: "\"https://www.example.com{uri}\"",
        },
        Field {
            name: "respond",
            kind: Kind::Section(&RESPOND),
            need: Need::Optional,
            doc: "Answers as it stands here.",
            example: "{ status: 404, body: \"nothing here\" }",
        },
        Field {
            name: "cache",
            kind: Kind::Either(&[
                Kind::Word(&["off"]),
                Kind::OneOrMany(&Kind::Text("the path of a rule file")),
            ]),
            need: Need::Optional,
            doc: "The cache rules of its requests: a rule file or several, which follow the default rules, each relative \
                  to the file that names it; or `off` for no cache. Without it: the default rules.",
            example: "cache-rules/site.yaml",
        },
        Field {
            name: "request_headers",
            kind: edits::KIND,
            need: Need::Optional,
            doc: "Changes to the header fields that the origin gets.",
            example: "{ set: { X-Client: \"{client}\" } }",
        },
        Field {
            name: "response_headers",
            kind: edits::KIND,
            need: Need::Optional,
            doc: "Changes to the header fields that the client gets, whoever answers. What is stored stays as it is.",
            example: "{ set: { X-Frame-Options: DENY }, remove: Server }",
        },
        Field {
            name: "rewrite",
            kind: Kind::Section(&REWRITE),
            need: Need::Optional,
            doc: "What path the origin is asked for, or which file is looked for.",
            example: "{ strip: /api }",
        },
        Field {
            name: "compress",
            kind: Kind::Bool,
            need: Need::Default("true"),
            doc: "Whether its answers are compressed, as the section `compress` says. What an origin compressed stays so for \
                  clients that can read it. `false` where a secret stands beside what a stranger can have repeated there \
                  (BREACH).",
            example: "false",
        },
        Field {
            name: "max_body",
            kind: Kind::Either(&[Kind::Word(&[UNLIMITED]), Kind::Size]),
            need: Need::Optional,
            doc: "The largest request body here; a larger one is refused with 413. `unlimited` is for streams, which have \
                  no end to tell: all that one gRPC call sends counts as one body. Bodies are never gathered here, \
                  however large. Without it: that of `limits`. What is sent over a WebSocket does not count.",
            example: "10GiB",
        },
    ],
};

/// What a route takes.
pub static MATCH: Section = Section {
    name: "match",
    doc: "Conditions on a request, all of which must hold.",
    fields: &[
        matchers::HOST,
        matchers::PATH,
        matchers::METHOD,
        matchers::HEADER,
        matchers::COOKIE,
        matchers::QUERY,
        matchers::USER_AGENT,
        matchers::CLIENT,
    ],
};

/// The routes. One that is wrong is reported and left out.
pub fn compile(top: &Fields<'_>, bench: &mut Bench<'_>) -> Vec<Arc<Route>> {
    let nodes = top.list("routes", bench.report);
    if lists_nothing("routes", top) {
        top.error(
            "routes",
            "`routes` lists no route, so every request would be answered with 404",
            bench.report,
        );
    }
    let named: Vec<Named<'_>> = nodes.iter().map(Named::of).collect();
    let names = names(&named, bench.report);
    let (mut routes, mut places) = (Vec::new(), Vec::new());
    for (number, (node, name)) in (1..).zip(nodes.iter().zip(names)) {
        let written = Written { number, name };
        let Some(fields) = Fields::open(node, &ROUTE, bench.report) else { continue };
        if let Some(route) = written.route(&fields, top, bench) {
            routes.push(Arc::new(route));
            places.push((number, node.span));
        }
    }
    hidden(&routes, &places, bench);
    routes
}

struct Written {
    number: usize,
    name: Arc<str>,
}

impl Written {
    fn route(self, fields: &Fields<'_>, top: &Fields<'_>, bench: &mut Bench<'_>) -> Option<Route> {
        let takes = takes(fields, bench.report);
        let action = actions::compile(self.number, fields, top, bench);
        let rules = actions::rules(fields, bench);
        let request_headers = edits::compile("request_headers", fields, bench.report);
        let response_headers = edits::compile("response_headers", fields, bench.report);
        let rewrite = rewrite::compile(fields, bench.report);
        let max_body = max_body(fields, bench.report);
        let compress = fields.boolean("compress", bench.report);
        let (action, rules) = (action?, rules?);
        Some(Route {
            name: self.name,
            place: bench.files.place(fields.span()).into(),
            takes: takes?,
            rules: rules.filter(|_| matches!(action, Action::Upstream(_))),
            action,
            request_headers: request_headers?,
            response_headers: response_headers?,
            rewrite: rewrite?,
            max_body: max_body?,
            compress: compress?,
        })
    }
}

/// The bound on bodies; `Some(None)` without one of the route's own.
fn max_body(fields: &Fields<'_>, report: &mut Report) -> Option<Option<u64>> {
    match fields.maybe("max_body") {
        None => Some(None),
        Some(node) if node.is_word(UNLIMITED) => Some(Some(u64::MAX)),
        Some(_) => fields.size("max_body", report).map(Some),
    }
}

fn takes(fields: &Fields<'_>, report: &mut Report) -> Option<Match> {
    let fields = fields.section("match", &MATCH, report)?;
    let (hosts, paths) = (matchers::hosts(&fields, report), matchers::paths(&fields, report));
    let tests = matchers::others(&fields, report);
    Some(Match { hosts: hosts?, paths: paths?, tests: tests? })
}

/// Reports routes that no request can ever reach. Those that are wrong in themselves have been left out: without them
/// fewer are hidden, never more.
fn hidden(routes: &[Arc<Route>], places: &[(usize, Span)], bench: &mut Bench<'_>) {
    let takes: Vec<Match> = routes.iter().map(|route| route.takes.clone()).collect();
    for (hidden, by) in Table::open(&takes).hidden() {
        let (Some((number, place)), Some((other, there))) = (places.get(hidden), places.get(by)) else {
            continue;
        };
        let (line, _) = bench.files.line_col(*there);
        let at = if place.file == there.file { format!("line {line}") } else { bench.files.place(*there) };
        let message =
            format!("route {number} can never be reached: route {other} ({at}) takes the same requests");
        let never = Diagnostic::new(Severity::Error, Some(*place), message);
        bench.report.push(never.label("remove it, or make it more specific"));
    }
}
