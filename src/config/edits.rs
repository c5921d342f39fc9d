//! Changes to header fields: set, add, remove.

use super::fields::Fields;
use super::report::Report;
use super::table::{Field, Kind, Need, Section};
use super::tree::{Key, Node};
use crate::route::{Edits, Template};
use std::str::FromStr;

/// What `request_headers` and `response_headers` are.
pub const KIND: Kind = Kind::Section(&EDITS);

/// Changes to header fields.
pub static EDITS: Section = Section {
    name: "list of header changes",
    doc: "Changes to header fields, made in this order: `remove`, `set`, `add`. Values may have variables: `{client}`, \
          `{method}`, `{scheme}`, `{host}`, `{port}`, `{uri}` (path and query), `{path}`, `{query}`, `{protocol}`, `{id}` \
          (of the request), `{listener}`, `{route}`, `{header:name}` and `{cookie:name}`; `{{` is a brace. A value that \
          begins with a brace must be quoted. Fields that frame a message or belong to one connection (Content-Length, \
          Transfer-Encoding, Connection, …) cannot be changed.",
    fields: &[
        Field {
            name: "set",
            kind: Kind::Map(&Kind::Text("a value")),
            need: Need::Optional,
            doc: "Fields that get this value, instead of any that they have.",
            example: "{ X-Client: \"{client}\" }",
        },
        Field {
            name: "add",
            kind: Kind::Map(&Kind::OneOrMany(&Kind::Text("a value"))),
            need: Need::Optional,
            doc: "Fields that get this value, or several, beside those that they have.",
            example: "{ Link: \"</a.css>; rel=preload\" }",
        },
        Field {
            name: "remove",
            kind: Kind::OneOrMany(&Kind::Text("the name of a header field")),
            need: Need::Optional,
            doc: "Fields that are taken out.",
            example: "[Server, X-Powered-By]",
        },
    ],
};

/// The changes under `key`; none if it is not given. None: something is wrong, and reported.
pub fn compile(key: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Edits> {
    let Some(node) = fields.maybe(key) else { return Some(Edits::default()) };
    let fields = Fields::open(node, &EDITS, report)?;
    let set = values("set", &fields, report);
    let add = values("add", &fields, report);
    let remove: Vec<Option<Box<str>>> =
        fields.list("remove", report).iter().map(|node| removed(node, report)).collect();
    Some(Edits { set: set?, add: add?, remove: remove.into_iter().collect::<Option<_>>()? })
}

/// Fields with their values, where one field may have several. None: something is wrong, and reported.
pub fn values(key: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Vec<(Box<str>, Template)>> {
    let mut read = Vec::new();
    for (name, node) in fields.map(key, report) {
        let fit = may_change(name, report);
        for value in node.as_list().unwrap_or(std::slice::from_ref(node)) {
            let template: Option<Template> = value.parse(&name.text, "a value", report);
            read.push(template.filter(|_| fit).map(|template| (name.text.as_str().into(), template)));
        }
    }
    read.into_iter().collect()
}

fn may_change(name: &Key, report: &mut Report) -> bool {
    let refused = Edits::refuses(&name.text);
    if let Some(why) = refused {
        report.error(name.span, format!("`{}` cannot be changed: {why}", name.text));
    }
    refused.is_none()
}

fn removed(node: &Node, report: &mut Report) -> Option<Box<str>> {
    node.parse::<Changeable>("remove", "the name of a header field", report).map(|name| name.0)
}

/// The name of a field that may be changed.
struct Changeable(Box<str>);

impl FromStr for Changeable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Edits::refuses(text) {
            Some(why) => Err(format!("`{text}` cannot be changed: {why}")),
            None => Ok(Self(text.into())),
        }
    }
}
