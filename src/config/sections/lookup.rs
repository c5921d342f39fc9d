//! `lookup` of an upstream: how often the names of its servers are looked up.

use crate::config::quantity::positive;
use crate::config::{Field, Fields, Kind, Need, Report, Section};
use crate::upstream::Lookup;

/// Name look-ups.
pub static LOOKUP: Section = Section {
    name: "lookup",
    doc: "How often the names of servers are looked up again. The addresses of a name are all used.",
    fields: &[
        Field {
            name: "interval",
            kind: Kind::Duration,
            need: Need::Default("30s"),
            doc: "Pause between two look-ups. The system's resolver tells no TTL; this is what Docker, Kubernetes and \
                  Consul hand out at most.",
            example: "10s",
        },
        Field {
            name: "retry",
            kind: Kind::Duration,
            need: Need::Default("5s"),
            doc: "Pause while a name has no address at all.",
            example: "1s",
        },
        Field {
            name: "timeout",
            kind: Kind::Duration,
            need: Need::Default("5s"),
            doc: "How long a look-up may take, so that a resolver that is down does not hold up a start.",
            example: "2s",
        },
    ],
};

/// The look-ups of an upstream.
pub fn compile(fields: &Fields<'_>, report: &mut Report) -> Option<Lookup> {
    let fields = fields.section("lookup", &LOOKUP, report)?;
    let mut time = |key| positive(key, &fields, report);
    let (every, retry, timeout) = (time("interval"), time("retry"), time("timeout"));
    Some(Lookup { every: every?, retry: retry?, timeout: timeout? })
}
