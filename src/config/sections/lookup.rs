//! `lookup` of an upstream: who is asked for the addresses of its servers, and how often.

use crate::config::quantity::{lists_nothing, positive};
use crate::config::{Diagnostic, Field, Fields, Kind, Need, Report, Section, Severity, Span, units};
use crate::upstream::Lookup;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// So many name servers may be given: within the time for a look-up no more than that are asked.
const MOST_SERVERS: usize = 8;

/// Name look-ups.
pub static LOOKUP: Section = Section {
    name: "lookup",
    doc: "How the names of servers are looked up, and when again: when the TTL of an answer is over. The addresses of a \
          name are all used, up to 64. A look-up that fails takes no server away: the last addresses stay.",
    fields: &[
        Field {
            name: "servers",
            kind: Kind::OneOrMany(&Kind::Text(
                "the address of a name server such as 10.0.0.2 or 10.0.0.2:53",
            )),
            need: Need::Optional,
            doc: "Name servers to ask instead of the system's, by address; port 53 unless another is given. The first is \
                  asked, and the next when one fails or is silent for half a second. They are asked for names as they \
                  are written: `/etc/hosts` and search domains do not count then. Without this key: `/etc/hosts`, then \
                  the servers, search domains and `ndots` of `/etc/resolv.conf`.",
            example: "[10.0.0.2, \"10.0.0.3:8600\"]",
        },
        Field {
            name: "min_ttl",
            kind: Kind::Duration,
            need: Need::Default("5s"),
            doc: "How long an answer is used at least, whatever its TTL says. Some say 0. At least 1s.",
            example: "1s",
        },
        Field {
            name: "max_ttl",
            kind: Kind::Duration,
            need: Need::Default("5m"),
            doc: "How long an answer is used at most. Up to a tenth is added to every pause by chance, so that nodes do \
                  not ask together. Five minutes: a server that has moved is found again by then.",
            example: "1m",
        },
        Field {
            name: "retry",
            kind: Kind::Duration,
            need: Need::Default("5s"),
            doc: "Pause after a look-up that failed. While there are addresses from before, it doubles with each further \
                  failure, up to `max_ttl`.",
            example: "1s",
        },
        Field {
            name: "timeout",
            kind: Kind::Duration,
            need: Need::Default("5s"),
            doc: "How long a look-up may take, so that a name server that is down does not hold up a start.",
            example: "2s",
        },
    ],
};

/// The look-ups of an upstream.
pub fn compile(fields: &Fields<'_>, report: &mut Report) -> Option<Lookup> {
    let fields = fields.section("lookup", &LOOKUP, report)?;
    let servers = servers(&fields, report);
    let mut time = |key| positive(key, &fields, report);
    let (min_ttl, max_ttl) = (time("min_ttl"), time("max_ttl"));
    let (retry, timeout) = (time("retry"), time("timeout"));
    let (min_ttl, max_ttl) = (min_ttl?, max_ttl?);
    check_bounds(min_ttl, max_ttl, &fields, report);
    Some(Lookup { servers: servers?, min_ttl, max_ttl, retry: retry?, timeout: timeout? })
}

fn check_bounds(min_ttl: Duration, max_ttl: Duration, fields: &Fields<'_>, report: &mut Report) {
    // A server may say 0 for ever, and a name is not to be asked for all the time.
    if min_ttl < Duration::from_secs(1) {
        let given = units::show_duration(min_ttl);
        fields.error("min_ttl", format!("`min_ttl` must be at least 1s; `{given}` is less"), report);
    }
    if min_ttl > max_ttl {
        let given = if fields.has("min_ttl") { "min_ttl" } else { "max_ttl" };
        let (min_ttl, max_ttl) = (units::show_duration(min_ttl), units::show_duration(max_ttl));
        let message = format!("`min_ttl` is {min_ttl}, longer than `max_ttl`, which is {max_ttl}");
        fields.error(given, message, report);
    }
}

fn servers(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<SocketAddr>> {
    if lists_nothing("servers", fields) {
        let message = "`servers` lists no name server: leave it out to ask those of the system";
        fields.error("servers", message, report);
    }
    let nodes = fields.list("servers", report);
    if nodes.len() > MOST_SERVERS {
        fields.error("servers", format!("`servers` lists more than {MOST_SERVERS} name servers"), report);
    }
    let mut known: HashMap<SocketAddr, Span> = HashMap::new();
    let mut servers = Vec::new();
    for node in nodes {
        let server = node.parse("servers", "the address of a name server such as 10.0.0.2", report);
        let server = server.map(|NameServer(address)| address);
        if let Some(first) = server.and_then(|address| known.insert(address, node.span)) {
            let twice =
                Diagnostic::new(Severity::Error, Some(node.span), "this name server is listed twice".into());
            report.push(twice.label("remove one of them").other(first, "first listed here"));
        }
        servers.push(server);
    }
    servers.into_iter().collect()
}

/// A name server has no name: somebody would have to be asked for its address.
struct NameServer(SocketAddr);

impl FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        let address = bare.or_else(|_| text.parse::<SocketAddr>());
        match address {
            Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => Ok(Self(address)),
            _ => Err(format!(
                "`{text}` is not the address of a name server: write `10.0.0.2`, `10.0.0.2:53` or `[fd00::2]:53`"
            )),
        }
    }
}
