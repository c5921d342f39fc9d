//! The whole configuration: its keys, and what they make together.

use super::admin::{self, KIND as ADMIN_KIND};
use super::bench::Bench;
use super::cache::{self, CACHE};
use super::compress::{self, KIND as COMPRESS_KIND};
use super::files;
use super::limits::{self, LIMITS};
use super::listeners::{self, LISTENER};
use super::log::{self, LOG};
use super::routes::{self, ROUTE};
use super::trusted_proxies;
use super::upstreams::{self, UPSTREAM};
use crate::config::{Field, Fields, INCLUDE, Kind, Need, Node, Section, Value};
use crate::setup::Setup;
use std::collections::HashSet;

/// The configuration file.
pub static TOP: Section = Section {
    name: "configuration",
    doc: "The configuration file, YAML. An unknown key is an error. Durations are written `30s`, `10m`, `1h30m`, \
          `1h 30m` or `1y`, which is 365 days; sizes `64KiB`, `512MiB`. In values, not in keys, `${NAME}` and \
          `${NAME:-default}` are environment variables and `${file:/run/secrets/x}` is the text of a file, which is never \
          shown; `$${` is a plain `${`, in keys too. Relative paths are relative to the file that names them.",
    fields: &[
        INCLUDE,
        Field {
            name: "listeners",
            kind: Kind::List(&Kind::Section(&LISTENER)),
            need: Need::Required,
            doc: "The addresses that clients connect to; at least one.",
            example: "[{ bind: \":8080\" }]",
        },
        trusted_proxies::FIELD,
        Field {
            name: "upstreams",
            kind: Kind::Map(&Kind::Section(&UPSTREAM)),
            need: Need::Default("{}"),
            doc: "Clusters of origin servers, by the names that routes call them.",
            example: "{ app: { servers: [\"app1:8080\", \"app2:8080\"] } }",
        },
        Field {
            name: "routes",
            kind: Kind::List(&Kind::Section(&ROUTE)),
            need: Need::Required,
            doc: "Which requests go where; at least one.",
            example: "[{ upstream: app }]",
        },
        Field {
            name: "cache",
            kind: Kind::Section(&CACHE),
            need: Need::Default("{}"),
            doc: "How much is kept, and how long where the origin is silent.",
            example: "{ memory: 4GiB }",
        },
        Field {
            name: "compress",
            kind: COMPRESS_KIND,
            need: Need::Default("{}"),
            doc: "What is compressed for clients, and how hard, or `off`.",
            example: "{ codings: [zstd, gzip], cpu_percent: 25 }",
        },
        Field {
            name: "admin",
            kind: ADMIN_KIND,
            need: Need::Default("{}"),
            doc: "The operator's listener, or `off` for none.",
            example: "{ bind: \"127.0.0.1:9900\" }",
        },
        Field {
            name: "log",
            kind: Kind::Section(&LOG),
            need: Need::Default("{}"),
            doc: "Logs.",
            example: "{ access: { format: combined } }",
        },
        Field {
            name: "limits",
            kind: Kind::Section(&LIMITS),
            need: Need::Default("{}"),
            doc: "Bounds that keep one client from harming the others.",
            example: "{ max_body: 10MiB }",
        },
    ],
};

/// What a configuration asks for. None: something is wrong, and reported.
pub fn compile(root: &Node, bench: &mut Bench<'_>) -> Option<Setup> {
    let top = Fields::open(root, &TOP, bench.report)?;
    let (listeners, taken) = listeners::compile(&top, bench);
    let admin = admin::compile(&top, &taken, bench.files.env(), bench.report);
    let trusted_proxies = trusted_proxies::compile(&top, bench.report);
    let upstreams = upstreams::compile(&top, bench);
    let routes = routes::compile(&top, bench);
    unused(&top, bench);
    files::exposed(bench);
    let cache = cache::compile(&top, bench.report);
    let compress = compress::compile(&top, bench.report);
    let log = log::compile(&top, bench.files, bench.report);
    let limits = limits::compile(&top, bench.report);
    Some(Setup {
        listeners,
        admin: admin?,
        trusted_proxies,
        upstreams,
        routes,
        cache: cache?,
        compress: compress?,
        log: log?,
        limits: limits?,
    })
}

/// Warns of clusters that no route points at, unless a route points at nothing that is known: that may be the one.
fn unused(top: &Fields<'_>, bench: &mut Bench<'_>) {
    let routes = top.list("routes", bench.report);
    let clusters = top.map("upstreams", bench.report);
    let names: HashSet<&str> = clusters.iter().map(|(key, _)| key.text.as_str()).collect();
    let is_broken = |node: &Node| node.value == Value::Broken;
    let wanted: Vec<&Node> = routes.iter().filter_map(|route| route.at("upstream")).collect();
    let is_lost = |node: &&Node| node.as_text().is_none_or(|name| !names.contains(name));
    if routes.is_empty() || routes.iter().any(is_broken) || wanted.iter().any(is_lost) {
        return;
    }
    let used: HashSet<&str> = wanted.into_iter().filter_map(Node::as_text).collect();
    for (key, _) in clusters.iter().filter(|(key, _)| !used.contains(key.text.as_str())) {
        bench.report.warning(key.span, format!("no route uses upstream `{}`", key.text));
    }
}
