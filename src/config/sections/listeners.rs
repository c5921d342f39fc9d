//! `listeners`: where clients connect.

use super::bench::Bench;
use super::hsts;
use super::tls::{self, TLS};
use crate::config::quantity::lists_nothing;
use crate::config::{Diagnostic, Field, Fields, Kind, Need, Report, Section, Severity, Span};
use crate::net::ListenAddress;
use crate::setup::Listener;
use std::net::IpAddr;

/// An address that clients connect to.
pub static LISTENER: Section = Section {
    name: "listener",
    doc: "An address that clients connect to.",
    fields: &[
        Field {
            name: "bind",
            kind: Kind::Text("an address to listen on such as :8080 or 127.0.0.1:8080"),
            need: Need::Required,
            doc: "The address and port. `:8080` is every address of this machine, IPv4 and IPv6, and so is `[::]:8080`; \
                  `0.0.0.0:8080` is every IPv4 address; `127.0.0.1:8080` only this machine reaches. Port 0 takes one \
                  that is free. No address may be listed twice, and none that another one covers.",
            example: "\":8080\"",
        },
        Field {
            name: "front",
            kind: Kind::Bool,
            need: Need::Default("true"),
            doc: "Whether fresh hits are answered right at the socket, without the proxy behind it. Both answer alike; \
                  `false` is for comparing them, and costs speed.",
            example: "false",
        },
        Field {
            name: "tls",
            kind: Kind::Section(&TLS),
            need: Need::Optional,
            doc: "Makes this a listener for HTTPS, over HTTP/1.1 and HTTP/2. Without it, clients speak HTTP in the clear.",
            example: "{ certificates: [{ cert: tls/site.pem, key: tls/site.key }] }",
        },
        Field {
            name: "proxy_protocol",
            kind: Kind::Bool,
            need: Need::Default("false"),
            doc: "Whether every connection begins with a header of the PROXY protocol, version 1 or 2, as a load balancer \
                  for TCP sends it before all else, TLS included. Of `trusted_proxies` it is believed: whom it names as \
                  the source counts as who has connected, and where it says that the client spoke TLS the scheme is \
                  https. Of anybody else it is read and ignored. A connection without one, or whose header is malformed, \
                  larger than 4 KiB or not there within `head_timeout`, is closed: clients cannot share such an address.",
            example: "true",
        },
        Field {
            name: "redirect_https",
            kind: Kind::Either(&[Kind::Bool, Kind::Integer { min: 1, max: 65_535 }]),
            need: Need::Default("false"),
            doc: "Sends every request that comes over http to the same URL with https, whatever the routes say: at port 443 \
                  with `true`, at another with its number. The answer is a 308, so that no request changes its method, and \
                  browsers keep it for an hour. One that a trusted proxy says came over https is served. A request that \
                  names no host gets a 400.",
            example: "true",
        },
    ],
};

/// The listeners, and where each address is written.
pub fn compile(top: &Fields<'_>, bench: &mut Bench<'_>) -> (Vec<Listener>, Vec<(ListenAddress, Span)>) {
    if lists_nothing("listeners", top) {
        top.error("listeners", "`listeners` lists no address, so nobody could connect", bench.report);
    }
    let (mut listeners, mut taken) = (Vec::new(), Vec::new());
    let mut redirecting = Vec::new();
    for fields in top.sections("listeners", &LISTENER, bench.report) {
        let bind: Option<ListenAddress> = fields.parse("bind", bench.report);
        let listener = listener(&fields, bind, bench);
        let Some(bind) = bind else { continue };
        let place = fields.value_span("bind");
        refuse_taken(bind, place, &taken, bench.report);
        taken.push((bind, place));
        let Some(listener) = listener else { continue };
        if listener.proxy_protocol && !trusts(top) {
            let message = "`proxy_protocol` is on and there are no `trusted_proxies`, so nothing that it says is believed";
            let label = "name the load balancer in `trusted_proxies`";
            bench.report.warning_with(fields.value_span("proxy_protocol"), message, label);
        }
        if listener.redirect_https.is_some() && listener.tls.is_none() {
            redirecting.push(fields.value_span("redirect_https"));
        }
        listeners.push(listener);
    }
    if let Some(first) = redirecting.first()
        && redirecting.len() == taken.len()
        && !trusts(top)
    {
        let message = "every listener sends every request to https, so none is ever served";
        let label = "give a listener `tls`, or name in `trusted_proxies` who speaks it before this node";
        bench.report.warning_with(*first, message, label);
    }
    (listeners, taken)
}

/// A listener. None: something is wrong, and reported.
fn listener(fields: &Fields<'_>, bind: Option<ListenAddress>, bench: &mut Bench<'_>) -> Option<Listener> {
    let front = fields.boolean("front", bench.report);
    // What is wrong with its TLS was reported: then there is no setup, whatever is in it.
    let secured = fields.section("tls", &TLS, bench.report);
    let tls = secured.and_then(|fields| tls::compile(&fields, bench));
    let hsts = secured.and_then(|fields| hsts::compile(&fields, bench.report));
    let proxy_protocol = fields.boolean("proxy_protocol", bench.report);
    let redirect_https = redirect_https(fields, bench.report);
    Some(Listener {
        bind: bind?,
        front: front?,
        proxy_protocol: proxy_protocol?,
        redirect_https: redirect_https?,
        hsts,
        tls,
    })
}

/// Whether anybody's word is taken.
fn trusts(top: &Fields<'_>) -> bool {
    let written = top.maybe("trusted_proxies");
    written.is_some_and(|node| node.as_list().is_none_or(|list| !list.is_empty()))
}

/// The port of `redirect_https`; `Some(None)` where nobody is sent anywhere.
fn redirect_https(fields: &Fields<'_>, report: &mut Report) -> Option<Option<u16>> {
    const KEY: &str = "redirect_https";
    match fields.maybe(KEY).and_then(|node| node.as_text()) {
        None if !fields.has(KEY) => Some(None),
        Some("false") => Some(None),
        Some("true") => Some(Some(443)),
        _ => fields.integer(KEY, report).map(Some),
    }
}

fn refuse_taken(bind: ListenAddress, place: Span, taken: &[(ListenAddress, Span)], report: &mut Report) {
    let Some((known, first)) = taken.iter().find(|(known, _)| collide(known, &bind)) else { return };
    let message = match *known == bind {
        true => format!("two listeners have the address {bind}"),
        false => format!("a listener at {bind} is in the way of the one at {known}"),
    };
    let twice = Diagnostic::new(Severity::Error, Some(place), message);
    report.push(twice.label("remove one of them").other(*first, "first given here"));
}

/// Whether the system would refuse the second of them: the same address, or one that the other takes as well.
pub fn collide(one: &ListenAddress, other: &ListenAddress) -> bool {
    let same_port = one.port == other.port && one.port != 0;
    same_port && (takes(one.ip, other.ip) || takes(other.ip, one.ip))
}

/// Whether a socket at `one` leaves nothing of `other`. Sockets for all of IPv6 take IPv4 as well.
fn takes(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    let (one, other) = (one.map(|ip| ip.to_canonical()), other.map(|ip| ip.to_canonical()));
    match one {
        None => true,
        Some(IpAddr::V6(ip)) if ip.is_unspecified() => true,
        Some(IpAddr::V4(ip)) if ip.is_unspecified() => other.is_some_and(|other| other.is_ipv4()),
        Some(_) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_takes_what_it_covers() {
        let rows = [
            (":80", "127.0.0.1:80", true),
            (":80", "[::]:80", true),
            (":80", ":81", false),
            (":0", ":0", false),
            ("[::]:80", "0.0.0.0:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "[::]:81", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("0.0.0.0:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "localhost:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "[::1]:80", false),
        ];
        for (one, other, expected) in rows {
            let (a, b) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((collide(&a, &b), collide(&b, &a)), (expected, expected), "{one} {other}");
        }
    }
}
