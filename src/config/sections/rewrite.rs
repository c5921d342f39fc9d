//! `rewrite`: what path the origin is asked for.

use crate::config::{Field, Fields, Kind, Need, Node, Report, Section};
use crate::route::{Expression, Rewrite};

/// What path the origin is asked for.
pub static REWRITE: Section = Section {
    name: "rewrite",
    doc: "What path the origin is asked for, or which file is looked for; the query stays as it is. One of the keys. Where \
          it does not apply, the path stays as it is. The cache key is made of the path that the client asks for.",
    fields: &[
        Field {
            name: "strip",
            kind: Kind::Text("the beginning of a path such as /api"),
            need: Need::Optional,
            doc: "A beginning that is taken off, whole segments only: `/api` makes `/x` of `/api/x`.",
            example: "/api",
        },
        Field {
            name: "replace",
            kind: Kind::Section(&REPLACE),
            need: Need::Optional,
            doc: "A beginning that is replaced, whole segments only.",
            example: "{ prefix: /api, with: /v2 }",
        },
        Field {
            name: "regex",
            kind: Kind::Section(&REGEX),
            need: Need::Optional,
            doc: "The first match of a regular expression is replaced.",
            example: "{ match: \"^/u/([0-9]+)$\", with: \"/users/$1\" }",
        },
    ],
};

/// A beginning that is replaced.
pub static REPLACE: Section = Section {
    name: "rewrite by prefix",
    doc: "A beginning of the path that is replaced, whole segments only.",
    fields: &[
        Field {
            name: "prefix",
            kind: Kind::Text("the beginning of a path such as /api"),
            need: Need::Required,
            doc: "What is replaced.",
            example: "/api",
        },
        Field {
            name: "with",
            kind: Kind::Text("a path such as /v2"),
            need: Need::Required,
            doc: "What stands there instead.",
            example: "/v2",
        },
    ],
};

/// A regular expression that is replaced.
pub static REGEX: Section = Section {
    name: "rewrite by regex",
    doc: "The first match of a regular expression in the path is replaced.",
    fields: &[
        Field {
            name: "match",
            kind: Kind::Text("a regular expression such as ^/u/([0-9]+)$"),
            need: Need::Required,
            doc: "What is replaced. Without `^` it may be anywhere in the path.",
            example: "\"^/u/([0-9]+)$\"",
        },
        Field {
            name: "with",
            kind: Kind::Text("a path, with $1 for groups"),
            need: Need::Required,
            doc: "What stands there instead; `$1` and `${name}` are groups of the expression (in YAML `$${name}`, because \
                  `${name}` is an environment variable).",
            example: "/users/$1",
        },
    ],
};

/// The rewrite of a route; `Some(None)` for none. None: something is wrong, and reported.
pub fn compile(route: &Fields<'_>, report: &mut Report) -> Option<Option<Rewrite>> {
    let Some(node) = route.maybe("rewrite") else { return Some(None) };
    let fields = Fields::open(node, &REWRITE, report)?;
    let given: Vec<&str> = REWRITE.keys().filter(|key| fields.has(key)).collect();
    match given.as_slice() {
        ["strip"] => {
            let prefix = fields.text("strip", report)?;
            made(Rewrite::strip(prefix), fields.maybe("strip")?, "strip", report)
        }
        ["replace"] => {
            let replace = fields.section("replace", &REPLACE, report)?;
            let (prefix, with) = (replace.text("prefix", report), replace.text("with", report));
            made(Rewrite::replace(prefix?, with?), fields.maybe("replace")?, "replace", report)
        }
        [_regex] => {
            let regex = fields.section("regex", &REGEX, report)?;
            let (expression, with) = (regex.text("match", report), regex.text("with", report));
            let (expression, with) = (expression?, with?);
            let key = if Expression::parse(expression).is_err() { "match" } else { "with" };
            made(Rewrite::regex(expression, with), regex.maybe(key)?, key, report)
        }
        [] => {
            report.error(node.span, "`rewrite` says nothing: give `strip`, `replace` or `regex`");
            None
        }
        [_, second, ..] => {
            report.error(fields.key_span(second), "`rewrite` does one thing: `strip`, `replace` or `regex`");
            None
        }
    }
}

fn made(
    made: Result<Rewrite, String>,
    node: &Node,
    key: &str,
    report: &mut Report,
) -> Option<Option<Rewrite>> {
    match made {
        Ok(rewrite) => Some(Some(rewrite)),
        Err(why) => {
            report.error(node.span, format!("`{key}`: {why}"));
            None
        }
    }
}
