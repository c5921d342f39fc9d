//! `upstreams`: clusters of origin servers.

use super::health::{self, HEALTH};
use super::lookup::{self, LOOKUP};
use crate::config::names::Name;
use crate::config::quantity::{lists_nothing, positive};
use crate::config::{Diagnostic, Field, Fields, Key, Kind, Need, Node, Report, Section, Severity, Span};
use crate::setup::Upstream;
use crate::upstream::{ServerAddress, Settings};
use std::collections::HashMap;

/// So many servers may form a cluster.
const MOST_SERVERS: usize = 1000;

/// What a server's address is, for messages.
const ADDRESS: Kind = Kind::Text("the address of a server such as app:8080 or https://origin.example.com");

/// A cluster of origin servers.
pub static UPSTREAM: Section = Section {
    name: "upstream",
    doc: "A cluster of origin servers that serve the same content. Its name is what routes, log and metrics call it.",
    fields: &[
        Field {
            name: "servers",
            kind: Kind::OneOrMany(&Kind::Either(&[ADDRESS, Kind::Section(&SERVER)])),
            need: Need::Required,
            doc: "The servers: a host or an address with a port, or a URL with `http://` or `https://`, which stand for \
                  ports 80 and 443 if there is none. At least one, none twice. A name that does not resolve is a warning \
                  and tried again.",
            example: "[\"app1:8080\", \"https://origin.example.com\"]",
        },
        Field {
            name: "balance",
            kind: Kind::Word(&["round_robin"]),
            need: Need::Default("round_robin"),
            doc: "Which server gets a request: `round_robin`, each in turn of those that are up.",
            example: "round_robin",
        },
        Field {
            name: "connect",
            kind: Kind::Duration,
            need: Need::Default("3s"),
            doc: "How long a connection may take to be usable, TLS included. Three seconds: two lost packets.",
            example: "1s",
        },
        Field {
            name: "read",
            kind: Kind::Duration,
            need: Need::Default("60s"),
            doc: "How long the origin may be silent, before its first byte and between two. Then 504. As nginx.",
            example: "10s",
        },
        Field {
            name: "write",
            kind: Kind::Duration,
            need: Need::Default("60s"),
            doc: "How long the origin may take nothing of a request. As nginx.",
            example: "10s",
        },
        Field {
            name: "idle",
            kind: Kind::Duration,
            need: Need::Default("60s"),
            doc: "How long an unused connection is kept. Shorter than most origins keep theirs, so that none is written to \
                  while the origin closes it.",
            example: "15s",
        },
        Field {
            name: "tries",
            kind: Kind::Integer { min: 1, max: 16 },
            need: Need::Default("2"),
            doc: "Servers that are asked for one request before it fails. More than one only where asking again does no \
                  harm. Two: one server may be down, and a cluster that is down is not asked many times over.",
            example: "3",
        },
        Field {
            name: "health",
            kind: Kind::Section(&HEALTH),
            need: Need::Default("{}"),
            doc: "When a server counts as down, and when as up again.",
            example: "{ interval: 2s, fall: 2 }",
        },
        Field {
            name: "lookup",
            kind: Kind::Section(&LOOKUP),
            need: Need::Default("{}"),
            doc: "How often the names of servers are looked up again.",
            example: "{ interval: 10s }",
        },
    ],
};

/// A server that is written with keys.
pub static SERVER: Section = Section {
    name: "server",
    doc: "An origin server. Its address alone, as text, means the same.",
    fields: &[Field {
        name: "address",
        kind: ADDRESS,
        need: Need::Required,
        doc: "A host or an address with a port, or a URL with `http://` or `https://`.",
        example: "\"app1:8080\"",
    }],
};

/// The clusters; those that are wrong are reported and left out.
pub fn compile(top: &Fields<'_>, report: &mut Report) -> Vec<Upstream> {
    top.map("upstreams", report).iter().filter_map(|entry| one(entry, report)).collect()
}

fn one((name, node): &(Key, Node), report: &mut Report) -> Option<Upstream> {
    let named: Result<Name, String> = name.text.parse();
    if let Err(why) = &named {
        report.error(name.span, why);
    }
    let fields = Fields::open(node, &UPSTREAM, report)?;
    let servers = servers(&name.text, &fields, report);
    let settings = settings(&fields, report);
    Some(Upstream { name: named.ok()?.0.into(), servers: servers?, settings: settings? })
}

fn servers(upstream: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Vec<ServerAddress>> {
    let nodes = fields.list("servers", report);
    if lists_nothing("servers", fields) {
        fields.error("servers", format!("upstream `{upstream}` lists no server"), report);
    }
    if nodes.len() > MOST_SERVERS {
        fields.error(
            "servers",
            format!("upstream `{upstream}` lists more than {MOST_SERVERS} servers"),
            report,
        );
    }
    let mut known: HashMap<String, Span> = HashMap::new();
    let mut servers = Vec::new();
    for node in nodes {
        let server = server(node, report);
        if let Some(server) = &server {
            match known.get(&server.to_string()) {
                Some(first) => {
                    let message = format!("upstream `{upstream}` lists `{server}` twice");
                    let twice = Diagnostic::new(Severity::Error, Some(node.span), message);
                    report.push(twice.label("remove one of them").other(*first, "first listed here"));
                }
                None => drop(known.insert(server.to_string(), node.span)),
            }
        }
        servers.push(server);
    }
    let servers: Option<Vec<ServerAddress>> = servers.into_iter().collect();
    servers.filter(|servers| !servers.is_empty())
}

fn server(node: &Node, report: &mut Report) -> Option<ServerAddress> {
    match node.as_map() {
        Some(_) => Fields::open(node, &SERVER, report)?.parse("address", report),
        None => node.parse("servers", "the address of a server such as app:8080", report),
    }
}

fn settings(fields: &Fields<'_>, report: &mut Report) -> Option<Settings> {
    let mut time = |key| positive(key, fields, report);
    let (connect, read, write, idle) = (time("connect"), time("read"), time("write"), time("idle"));
    let health = health::compile(fields, report);
    let lookup = lookup::compile(fields, report);
    Some(Settings {
        connect: connect?,
        read: read?,
        write: write?,
        idle: idle?,
        tries: fields.integer("tries", report)?,
        health: health?,
        lookup: lookup?,
    })
}
