//! `retry` of an upstream: what may be sent to another server once one had it.

use crate::config::quantity::positive;
use crate::config::{Field, Fields, Kind, Need, Report, Section, matchers};
use crate::upstream::RetryOn;

/// Retries.
pub static RETRY: Section = Section {
    name: "retry",
    doc: "What may be sent to another server once one had it. A connection that cannot be made is always tried elsewhere, \
          for every method. A request that broke off before the first byte of an answer, timed out, was answered with \
          what is not HTTP or with one of the statuses in `on` is tried elsewhere if its method is idempotent (RFC 9110 \
          §9.2.2: not POST, not PATCH) and its body, if any, is at most 64KiB. `tries` counts all of them.",
    fields: &[
        Field {
            name: "on",
            kind: Kind::OneOrMany(&Kind::Text("a status such as 503, 5xx or 500-504")),
            need: Need::Default("[502, 503, 504]"),
            doc: "Statuses that say that this server cannot, and another may. The answer of the last server that is asked \
                  goes to the client as it is. `[]` for none.",
            example: "[500, 502, 503, 504]",
        },
        Field {
            name: "within",
            kind: Kind::Duration,
            need: Need::Default("30s"),
            doc: "How long after its first try a request may still be tried anew. Who has waited longer than half a minute \
                  has left.",
            example: "10s",
        },
        Field {
            name: "budget",
            kind: Kind::Integer { min: 0, max: 1000 },
            need: Need::Default("20"),
            doc: "How many of the requests that a server had may be sent to another, in percent of all requests of the last \
                  ten seconds; ten a second are allowed beside that. So that a cluster that is overloaded is not asked \
                  for everything twice.",
            example: "50",
        },
    ],
};

/// The retries of an upstream.
pub fn compile(fields: &Fields<'_>, report: &mut Report) -> Option<RetryOn> {
    let fields = fields.section("retry", &RETRY, report)?;
    let within = positive("within", &fields, report);
    let statuses = match fields.has("on") {
        true => matchers::all("on", &fields, report)?,
        false => RetryOn::default().statuses,
    };
    Some(RetryOn { statuses, within: within?, budget: fields.integer("budget", report)? })
}
