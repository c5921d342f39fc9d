//! Every value in force, in the words of the file: what a reload compares.

use super::sections::{ADMIN, COMPRESS, FILES, LISTENER, ROUTE, SERVER, TOP, UPSTREAM};
use super::{Files, Kind, Need, Node, Section, Value, flatten};
use crate::setup::Setup;

/// One value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// What it belongs to, as people say it: `upstream app`, `listener :8080`, `cache`.
    pub subject: String,
    /// Its key: `servers`, `ttl.edge`. The elements of a list have the same key.
    pub key: String,
    /// The value as it would be written. A secret is shown as it is written, `${file:…}`.
    pub value: String,
}

/// Every value of a configuration that was compiled to `setup`, and then those of its rules.
pub fn of(root: &Node, setup: &Setup, rules: &[Effective]) -> Vec<Effective> {
    let mut values = Vec::new();
    let nothing = Node { span: root.span, value: Value::Map(Vec::new()) };
    for (listener, node) in setup.listeners.iter().zip(list(root, "listeners")) {
        values.extend(section(&format!("listener {}", listener.bind), &LISTENER, node));
    }
    for (key, node) in root.at("upstreams").and_then(Node::as_map).unwrap_or_default() {
        values.extend(servers_whole(section(&format!("upstream {}", key.text), &UPSTREAM, node)));
    }
    for (route, node) in setup.routes.iter().zip(list(root, "routes")) {
        values.extend(of_route(&format!("route {}", route.name), node));
    }
    values
        .extend(setup.trusted_proxies.iter().map(|net| one("trusted_proxies", "networks", &net.to_string())));
    for name in ["cache", "log", "limits"] {
        if let Some(Kind::Section(table)) = TOP.field(name).map(|field| field.kind) {
            values.extend(section(name, table, root.at(name).unwrap_or(&nothing)));
        }
    }
    values.extend(of_compress(root.at("compress").unwrap_or(&nothing)));
    match root.at("admin").and_then(Node::as_text) {
        Some(word) => values.push(one("admin", "bind", word)),
        None => values.extend(section("admin", &ADMIN, root.at("admin").unwrap_or(&nothing))),
    }
    values.extend_from_slice(rules);
    values
}

/// Every value of one section under one subject.
pub fn section(subject: &str, table: &'static Section, node: &Node) -> Vec<Effective> {
    // An empty section says as much as none.
    let values = flatten(table, node).into_iter().filter(|(_, value)| value != "{}");
    values.map(|(path, value)| one(subject, &key(&path), &value)).collect()
}

/// A route, whose folder has all of its keys even if only its path is written.
fn of_route(subject: &str, node: &Node) -> Vec<Effective> {
    let mut values: Vec<Effective> = section(subject, &ROUTE, node).into_iter().map(expires_listed).collect();
    let path = node.at("files").filter(|files| files.as_map().is_none()).and_then(Node::as_scalar);
    let (Some(at), Some(path)) = (values.iter().position(|value| value.key == "files"), path) else {
        return values;
    };
    let absent = Node { span: node.span, value: Value::Map(Vec::new()) };
    let keys = section(subject, &FILES, &absent)
        .into_iter()
        .map(|value| Effective { key: format!("files.{}", value.key), ..value });
    let keys: Vec<Effective> = [one(subject, "files.root", path.shown())].into_iter().chain(keys).collect();
    values.splice(at..=at, keys);
    values
}

/// Lifetimes by media type as the elements of a list, for their order counts: `image/* 30d`.
fn expires_listed(value: Effective) -> Effective {
    const EXPIRES: &str = "files.expires";
    let Effective { subject, key, value } = value;
    let of = key.strip_prefix(EXPIRES).map(|of| of.strip_prefix('.').unwrap_or("*").to_owned());
    match of {
        Some(of) => Effective { subject, key: EXPIRES.to_owned(), value: format!("{of} {value}") },
        None => Effective { subject, key, value },
    }
}

/// Compression, whose codings are one value: their order counts, and `off` means none of them.
fn of_compress(node: &Node) -> Vec<Effective> {
    let absent = Node { span: node.span, value: Value::Map(Vec::new()) };
    let word = node.as_text();
    let values = section("compress", &COMPRESS, if word.is_some() { &absent } else { node });
    let (codings, mut rest): (Vec<_>, Vec<_>) = values.into_iter().partition(|value| value.key == "codings");
    let codings: Vec<String> = codings.into_iter().map(|value| value.value).collect();
    rest.insert(0, one("compress", "codings", word.unwrap_or(&codings.join(", "))));
    rest
}

/// A server and what is said of it as one value: `app2:8080, weight 2`. What is as always is not said.
fn servers_whole(values: Vec<Effective>) -> Vec<Effective> {
    let mut whole: Vec<Effective> = Vec::with_capacity(values.len());
    for value in values {
        let Some(name) = value.key.strip_prefix("servers.") else {
            whole.push(value);
            continue;
        };
        let usual = matches!(SERVER.field(name).map(|field| field.need), Some(Need::Default(usual)) if usual == value.value);
        if let (false, Some(server)) = (usual, whole.last_mut()) {
            server.value += &format!(", {name} {}", value.value);
        }
    }
    whole
}

/// The same without what came from `${file:…}`: a name or an address may.
pub fn hidden(values: Vec<Effective>, files: &Files) -> Vec<Effective> {
    let hide = |text: String| files.hide(&text).into_owned();
    let one =
        |Effective { subject, key, value }| Effective { subject: hide(subject), key, value: hide(value) };
    values.into_iter().map(one).collect()
}

/// Marks what must not be shown, however it is written: the operator's token.
pub fn keep_secrets(root: &mut Node) {
    let Some(token) = at_mut(root, "admin").and_then(|admin| at_mut(admin, "token")) else { return };
    if let Value::Scalar(scalar) = &mut token.value {
        if !scalar.written.contains("${") {
            scalar.written = "…".to_owned();
        }
        scalar.secret = true;
    }
}

fn at_mut<'n>(node: &'n mut Node, name: &str) -> Option<&'n mut Node> {
    let Value::Map(entries) = &mut node.value else { return None };
    entries.iter_mut().find(|(key, _)| key.text == name).map(|(_, node)| node)
}

fn one(subject: &str, key: &str, value: &str) -> Effective {
    Effective { subject: subject.to_owned(), key: key.to_owned(), value: value.to_owned() }
}

fn list<'n>(root: &'n Node, name: &str) -> &'n [Node] {
    root.at(name).and_then(Node::as_list).unwrap_or_default()
}

/// `servers` of `servers[0]` and `servers[0].address`: the elements of a list have one key, and a server is its address.
fn key(path: &str) -> String {
    let mut key = String::new();
    let mut depth = 0_usize;
    for c in path.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            c if depth == 0 => key.push(c),
            _ => {}
        }
    }
    if key == "servers.address" { "servers".to_owned() } else { key }
}
