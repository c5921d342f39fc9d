//! `trusted_proxies`: whose word on the client's address is taken.

use crate::config::names::Net;
use crate::config::{Field, Fields, Kind, Need, Report};
use ipnet::IpNet;
use std::sync::Arc;

/// The key.
pub const FIELD: Field = Field {
    name: "trusted_proxies",
    kind: Kind::OneOrMany(&Kind::Text("an address such as 10.1.2.3 or a network such as 10.0.0.0/8")),
    need: Need::Default("[]"),
    doc: "Proxies and load balancers in front of Foreland. Their word is taken on who asks and how: `X-Forwarded-For` with \
          `X-Forwarded-Proto`, or `Forwarded` where they send no `X-Forwarded-For`, read from the right up to the first \
          address that is not one of these networks. So is their `X-Request-Id`, and only they see in `Cache-Status` which \
          rule it was. What others send in these fields is replaced. A proxy that is named here must write one of the two \
          itself, and one that writes only `Forwarded` must drop an `X-Forwarded-For` of its clients. None by default: \
          anybody could write those fields.",
    example: "[10.0.0.0/8, \"2001:db8::/32\"]",
};

/// The networks.
pub fn compile(top: &Fields<'_>, report: &mut Report) -> Arc<[IpNet]> {
    for node in top.list(FIELD.name, report) {
        let net: Option<Net> = node.as_text().and_then(|text| text.parse().ok());
        if net.is_some_and(|net| net.0.prefix_len() == 0) {
            let message = "every client is a trusted proxy, so each can pass for any address";
            report.warning_with(node.span, message, "name the networks of your proxies");
        }
    }
    top.parse_all::<Net>(FIELD.name, report).into_iter().map(|net| net.0).collect()
}
