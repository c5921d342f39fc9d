//! `health` of an upstream: when a server counts as down, and when as up again.

use crate::config::quantity::positive;
use crate::config::{Field, Fields, Kind, Need, Report, Section};
use crate::upstream::Health;

/// Background checks.
pub static HEALTH: Section = Section {
    name: "health check",
    doc: "When a server counts as down, and when as up again. A check opens a connection. All servers count as up at the \
          start; if none is up, requests are tried all the same.",
    fields: &[
        Field {
            name: "interval",
            kind: Kind::Duration,
            need: Need::Default("5s"),
            doc: "Pause between two checks.",
            example: "2s",
        },
        Field {
            name: "timeout",
            kind: Kind::Duration,
            need: Need::Default("2s"),
            doc: "How long a check may take.",
            example: "500ms",
        },
        Field {
            name: "fall",
            kind: Kind::Integer { min: 1, max: 100 },
            need: Need::Default("3"),
            doc: "Failed checks in a row that take a server out. Three: one lost packet is no outage.",
            example: "2",
        },
        Field {
            name: "rise",
            kind: Kind::Integer { min: 1, max: 100 },
            need: Need::Default("2"),
            doc: "Passed checks in a row that take it back. Two: a server that just started may stumble.",
            example: "1",
        },
    ],
};

/// The checks of an upstream.
pub fn compile(fields: &Fields<'_>, report: &mut Report) -> Option<Health> {
    let fields = fields.section("health", &HEALTH, report)?;
    let (every, timeout) = (positive("interval", &fields, report), positive("timeout", &fields, report));
    let (fall, rise) = (fields.integer("fall", report), fields.integer("rise", report));
    Some(Health { every: every?, timeout: timeout?, fall: fall?, rise: rise? })
}
