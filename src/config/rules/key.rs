//! Reads what a rule makes of the cache key: `key`.

use super::items;
use crate::cache::key::{Name, Pick, QueryRecipe};
use crate::config::matchers;
use crate::config::names::{CookieName, FieldName};
use crate::config::{Field, Fields, Kind, Need, Node, Report, Section};
use std::str::FromStr;

/// What tells two stored responses apart, beside scheme, host, port and path.
pub static KEY: Section = Section {
    name: "key",
    doc: "What tells stored responses apart, beside scheme, host, port and path, which always do. What is not part of \
          the key still reaches the origin: leave out only what the origin does not look at, or one client chooses what \
          the next one gets.",
    fields: &[
        Field {
            name: "query",
            kind: Kind::Either(&[Kind::Word(&["all", "ignore"]), Kind::Section(&QUERY)]),
            need: Need::Optional,
            doc: "Which query parameters count. `all` is the query as it was sent, `ignore` none of it. Without it: as \
                  earlier rules say, else all.",
            example: "{ drop: [\"@tracking\"], sort: true }",
        },
        Field {
            name: "headers",
            kind: Kind::OneOrMany(&Kind::Text("the name of a header field")),
            need: Need::Optional,
            doc: "Header fields of the request that count, with their whole values: everything that differs there is \
                  stored once more. `[]` takes back what earlier rules name. Where the origin sends `Vary`, that is \
                  enough.",
            example: "[x-device]",
        },
        Field {
            name: "cookies",
            kind: Kind::Either(&[
                Kind::Word(&["none"]),
                Kind::OneOrMany(&Kind::Text("the name of a cookie")),
            ]),
            need: Need::Optional,
            doc: "Cookies that count, by name. `none` takes back what earlier rules name. Without it no cookie counts.",
            example: "[currency]",
        },
    ],
};

/// Which query parameters count.
pub static QUERY: Section = Section {
    name: "query key",
    doc: "Which query parameters count, and whether their order does. Names may have `*` for any characters. \
          `@tracking` stands for what advertising, mail and analytics services append (`utm_*`, `gclid`, `fbclid`, …).",
    fields: &[
        Field {
            name: "keep",
            kind: Kind::OneOrMany(&Kind::Text("the name of a query parameter")),
            need: Need::Optional,
            doc: "The parameters that count; all others do not. Not together with `drop`.",
            example: "[page, \"filter_*\"]",
        },
        Field {
            name: "drop",
            kind: Kind::OneOrMany(&Kind::Text("the name of a query parameter")),
            need: Need::Optional,
            doc: "The parameters that do not count; all others do. Not together with `keep`.",
            example: "[\"@tracking\", sessionid]",
        },
        Field {
            name: "sort",
            kind: Kind::Bool,
            need: Need::Default("false"),
            doc: "Whether parameters are put in order of their names, so that `a=1&b=2` and `b=2&a=1` are one. Several of one \
                  name keep their order.",
            example: "true",
        },
    ],
};

/// What a rule says of the key; what it does not name is None.
#[derive(Debug, Default)]
pub struct KeyParts {
    /// Which query parameters count.
    pub query: Option<QueryRecipe>,
    /// Which header fields count.
    pub headers: Option<Vec<Box<str>>>,
    /// Which cookies count.
    pub cookies: Option<Vec<Box<str>>>,
}

/// Reads `key`. What is wrong is reported and left out.
pub fn compile(node: &Node, report: &mut Report) -> KeyParts {
    let Some(fields) = Fields::open(node, &KEY, report) else { return KeyParts::default() };
    if node.as_map().is_some_and(<[_]>::is_empty) {
        report.error(node.span, "`key` is empty: name `query`, `headers` or `cookies`");
    }
    KeyParts {
        query: fields.maybe("query").and_then(|node| query(node, report)),
        headers: items("headers", &fields, report)
            .map(|names: Vec<KeyHeader>| names.into_iter().map(|n| n.0).collect()),
        cookies: cookies(&fields, report),
    }
}

fn query(node: &Node, report: &mut Report) -> Option<QueryRecipe> {
    if node.as_map().is_none() {
        // Told apart by its word, and by `validate` if it is neither.
        return match node.as_text() {
            Some("all") => Some(QueryRecipe { pick: Pick::All, sort: false }),
            Some("ignore") => Some(QueryRecipe { pick: Pick::None, sort: false }),
            _ => None,
        };
    }
    let fields = Fields::open(node, &QUERY, report)?;
    if node.as_map().is_some_and(<[_]>::is_empty) {
        report.error(node.span, "`query` is empty: name `keep`, `drop` or `sort`");
        return None;
    }
    let sort = fields.boolean("sort", report)?;
    let keep: Vec<Name> = matchers::all("keep", &fields, report)?;
    let drop: Vec<Name> = matchers::all("drop", &fields, report)?;
    let pick = match (keep.is_empty(), drop.is_empty()) {
        (true, true) => Pick::All,
        (false, true) => Pick::Keep(keep),
        (true, false) => Pick::Drop(drop),
        (false, false) => {
            report.error(
                fields.key_span("drop"),
                "`drop` stands beside `keep`: what is not kept does not count anyway, so name one of them",
            );
            return None;
        }
    };
    Some(QueryRecipe { pick, sort })
}

fn cookies(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<Box<str>>> {
    if fields.maybe("cookies")?.is_word("none") {
        return Some(Vec::new());
    }
    items("cookies", fields, report).map(|names: Vec<KeyCookie>| names.into_iter().map(|n| n.0).collect())
}

/// A header field that may be part of a key.
struct KeyHeader(Box<str>);

impl FromStr for KeyHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let FieldName(name) = text.parse()?;
        match &*name {
            "accept-encoding" => {
                Err("`accept-encoding` is no part of a key: encodings are kept apart by `Vary`".into())
            }
            "cookie" => Err(
                "`cookie` would make a key for every visitor: name the cookies that count under `cookies`"
                    .into(),
            ),
            "host" => Err("`host` is always part of the key".into()),
            _ => Ok(Self(name)),
        }
    }
}

/// A cookie that may be part of a key.
struct KeyCookie(Box<str>);

impl FromStr for KeyCookie {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Both are letters of a name to HTTP; here they would look like a pattern.
        if text.contains('*') || text.starts_with('~') {
            return Err(format!("`{text}` is a pattern: name the cookies that count one by one"));
        }
        text.parse().map(|CookieName(name)| Self(name))
    }
}
