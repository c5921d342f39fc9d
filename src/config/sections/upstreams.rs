//! `upstreams`: clusters of origin servers.

use super::bench::Bench;
use super::eject::{self, EJECT};
use super::health::{self, HEALTH};
use super::lookup::{self, LOOKUP};
use super::origin_tls::{self, ORIGIN_TLS};
use super::retry::{self, RETRY};
use crate::config::names::Name;
use crate::config::quantity::{lists_nothing, positive};
use crate::config::{Diagnostic, Field, Fields, Key, Kind, Need, Node, Report, Section, Severity, Span};
use crate::setup::Upstream;
use crate::upstream::balance::{Balance, HashBy, MAX_WEIGHT};
use crate::upstream::{Protocol, ServerSpec, Settings};
use std::collections::HashMap;
use std::num::NonZeroU32;

/// So many servers may form a cluster.
const MOST_SERVERS: usize = 1000;

/// What a server's address is, for messages.
const ADDRESS: Kind =
    Kind::Text("the address of a server such as app:8080, https://origin.example.com or unix:/run/app.sock");

/// A cluster of origin servers.
pub static UPSTREAM: Section = Section {
    name: "upstream",
    doc: "A cluster of origin servers that serve the same content. Its name is what routes, log and metrics call it.",
    fields: &[
        Field {
            name: "servers",
            kind: Kind::OneOrMany(&Kind::Either(&[ADDRESS, Kind::Section(&SERVER)])),
            need: Need::Required,
            doc: "The servers: a host or an address with a port, a URL with `http://` or `https://`, which stand for \
                  ports 80 and 443 if there is none, or `unix:` and the path of a socket. At least one, none twice. A \
                  name that does not resolve is a warning and tried again; one with several addresses is as many \
                  servers.",
            example: "[\"app1:8080\", { address: \"dr:8080\", backup: true }]",
        },
        Field {
            name: "balance",
            kind: Kind::Word(&["consistent_hash", "ip_hash", "least_connections", "random", "round_robin"]),
            need: Need::Default("round_robin"),
            doc: "Which server gets a request, of those that are up: `round_robin`, each in turn; `least_connections`, \
                  the one with the fewest requests under way; `ip_hash`, always the same one for a client; \
                  `consistent_hash`, always the same one for what `hash_by` says, so that one that leaves or joins \
                  moves only its own share; `random`. All of them keep to the weights.",
            example: "least_connections",
        },
        Field {
            name: "hash_by",
            kind: Kind::Text("what to hash: path, header:NAME or cookie:NAME"),
            need: Need::Optional,
            doc: "What `consistent_hash` goes by: `path` (without the query), `header:NAME` or `cookie:NAME`. `path` if it \
                  is not given. Requests without that field or cookie go round in turn.",
            example: "\"header:x-tenant\"",
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
            doc: "How long the origin may be silent, before its first byte and between two. Then 504. As nginx \
                  (`proxy_read_timeout`, `grpc_read_timeout`). While a WebSocket, a gRPC stream or an upload goes on, both \
                  sides must be silent that long: give streams that are quiet for minutes an upstream of their own, with \
                  a larger value, or have their ends send pings.",
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
            name: "lifetime",
            kind: Kind::Duration,
            need: Need::Default("1h"),
            doc: "How long a connection is used at all; then it is replaced, gradually, and no request is cut. As nginx \
                  (`keepalive_time`): behind a balancer that goes by connections, as in Kubernetes, servers that joined \
                  later would get nothing while the old connections are busy.",
            example: "10m",
        },
        Field {
            name: "protocol",
            kind: Kind::Word(&["h1", "h2", "auto"]),
            need: Need::Default("h1"),
            doc: "What servers are spoken to in. `h1` is HTTP/1.1. `h2` is HTTP/2: over TLS, and in the clear with servers \
                  that expect it (h2c with prior knowledge), as gRPC servers do. `auto` is HTTP/2 with `https://` servers \
                  that agree to it, else HTTP/1.1. A WebSocket goes over HTTP/1.1 whatever stands here.",
            example: "auto",
        },
        Field {
            name: "tls",
            kind: Kind::Section(&ORIGIN_TLS),
            need: Need::Default("{}"),
            doc: "How `https://` servers are verified, and who we are to them.",
            example: "{ ca: tls/internal-ca.pem }",
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
            name: "retry",
            kind: Kind::Section(&RETRY),
            need: Need::Default("{}"),
            doc: "What may be sent to another server once one had it.",
            example: "{ on: [502, 503], within: 10s }",
        },
        Field {
            name: "health",
            kind: Kind::Section(&HEALTH),
            need: Need::Default("{}"),
            doc: "When a server counts as down, and when as up again.",
            example: "{ interval: 2s, fall: 2 }",
        },
        Field {
            name: "eject",
            kind: Kind::Section(&EJECT),
            need: Need::Default("{}"),
            doc: "When a server is left out for a while because requests fail there.",
            example: "{ failures: 3, for: 30s }",
        },
        Field {
            name: "lookup",
            kind: Kind::Section(&LOOKUP),
            need: Need::Default("{}"),
            doc: "How often the names of servers are looked up again.",
            example: "{ max_ttl: 30s }",
        },
    ],
};

/// A server that is written with keys.
pub static SERVER: Section = Section {
    name: "server",
    doc: "An origin server. Its address alone, as text, means the same.",
    fields: &[
        Field {
            name: "address",
            kind: ADDRESS,
            need: Need::Required,
            doc: "A host or an address with a port, a URL with `http://` or `https://`, or `unix:` and a path.",
            example: "\"app1:8080\"",
        },
        Field {
            name: "weight",
            kind: Kind::Integer { min: 1, max: MAX_WEIGHT as u64 },
            need: Need::Default("1"),
            doc: "Its share of the requests: one of weight 2 gets twice as many as one of weight 1. Each address of a name \
                  has the weight.",
            example: "2",
        },
        Field {
            name: "backup",
            kind: Kind::Bool,
            need: Need::Default("false"),
            doc: "Whether it is asked only while no other server can be.",
            example: "true",
        },
        Field {
            name: "max_connections",
            kind: Kind::Integer { min: 1, max: 1_000_000 },
            need: Need::Optional,
            doc: "How many requests it gets at once, each over a connection of its own unless it speaks HTTP/2. Where all \
                  that are up have as many as they may, the answer is a 503 with Retry-After. As many as come if it is \
                  not given.",
            example: "200",
        },
    ],
};

/// The clusters; those that are wrong are reported and left out.
pub fn compile(top: &Fields<'_>, bench: &mut Bench<'_>) -> Vec<Upstream> {
    top.map("upstreams", bench.report).iter().filter_map(|entry| one(entry, bench)).collect()
}

fn one((name, node): &(Key, Node), bench: &mut Bench<'_>) -> Option<Upstream> {
    let named: Result<Name, String> = name.text.parse();
    if let Err(why) = &named {
        bench.report.error(name.span, why);
    }
    let fields = Fields::open(node, &UPSTREAM, bench.report)?;
    let servers = servers(&name.text, &fields, bench.report);
    let settings = settings(&name.text, servers.as_deref().unwrap_or_default(), &fields, bench);
    Some(Upstream { name: named.ok()?.0.into(), servers: servers?, settings: settings? })
}

fn servers(upstream: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Vec<ServerSpec>> {
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
        if let Some(ServerSpec { address, .. }) = &server {
            match known.get(&address.to_string()) {
                Some(first) => {
                    let message = format!("upstream `{upstream}` lists `{address}` twice");
                    let twice = Diagnostic::new(Severity::Error, Some(node.span), message);
                    report.push(twice.label("remove one of them").other(*first, "first listed here"));
                }
                None => drop(known.insert(address.to_string(), node.span)),
            }
        }
        servers.push(server);
    }
    let servers: Option<Vec<ServerSpec>> = servers.into_iter().collect();
    servers.filter(|servers| !servers.is_empty())
}

fn server(node: &Node, report: &mut Report) -> Option<ServerSpec> {
    if node.as_map().is_none() {
        let what = "the address of a server such as app:8080";
        return node.parse("servers", what, report);
    }
    let fields = Fields::open(node, &SERVER, report)?;
    let address = fields.parse("address", report);
    let (weight, backup) = (fields.integer("weight", report), fields.boolean("backup", report));
    let max_connections: Option<u32> = match fields.has("max_connections") {
        true => fields.integer("max_connections", report),
        false => None,
    };
    let max_connections = max_connections.and_then(NonZeroU32::new);
    Some(ServerSpec { address: address?, weight: weight?, backup: backup?, max_connections })
}

fn settings(
    upstream: &str,
    servers: &[ServerSpec],
    fields: &Fields<'_>,
    bench: &mut Bench<'_>,
) -> Option<Settings> {
    let tls = origin_tls::compile(upstream, servers, fields, bench);
    let report = &mut *bench.report;
    let mut time = |key| positive(key, fields, report);
    let (connect, read, write) = (time("connect"), time("read"), time("write"));
    let (idle, lifetime) = (time("idle"), time("lifetime"));
    let protocol = fields.word("protocol", report).map(protocol);
    let (balance, retry) = (balance(fields, report), retry::compile(fields, report));
    let (health, eject) = (health::compile(fields, report), eject::compile(fields, report));
    let lookup = lookup::compile(fields, report);
    Some(Settings {
        balance: balance?,
        connect: connect?,
        read: read?,
        write: write?,
        idle: idle?,
        lifetime: lifetime?,
        protocol: protocol?,
        tls: tls?,
        tries: fields.integer("tries", report)?,
        retry: retry?,
        health: health?,
        eject: eject?,
        lookup: lookup?,
    })
}

fn balance(fields: &Fields<'_>, report: &mut Report) -> Option<Balance> {
    let word = fields.word("balance", report)?;
    let by = match fields.has("hash_by") {
        true => Some(fields.parse::<HashBy>("hash_by", report)?),
        false => None,
    };
    if by.is_some() && word != "consistent_hash" {
        let message = format!("`hash_by` is for `balance: consistent_hash`; this cluster has `{word}`");
        fields.error("hash_by", message, report);
    }
    Some(match word {
        "consistent_hash" => Balance::ConsistentHash(by.unwrap_or_default()),
        "ip_hash" => Balance::IpHash,
        "least_connections" => Balance::LeastConnections,
        "random" => Balance::Random,
        _ => Balance::RoundRobin,
    })
}

fn protocol(word: &str) -> Protocol {
    match word {
        "auto" => Protocol::Auto,
        "h2" => Protocol::H2,
        _ => Protocol::H1,
    }
}
