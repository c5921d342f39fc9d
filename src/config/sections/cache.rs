//! `cache`: how much is kept, and how long where the origin is silent.

use crate::cache::Settings;
use crate::cache::policy::Defaults;
use crate::config::quantity::{at_least, seconds};
use crate::config::{Field, Fields, Kind, Need, Report, Section};

/// Smallest cache that can hold anything worth the name.
const LEAST_MEMORY: u64 = 1 << 20;

/// The cache.
pub static CACHE: Section = Section {
    name: "cache",
    doc: "How much is kept, and for how long where the origin says nothing. What is cached, and for how long, is for \
          the origin and for cache rules to say.",
    fields: &[
        Field {
            name: "memory",
            kind: Kind::Size,
            need: Need::Default("512MiB"),
            doc: "Memory for stored responses and for those on their way in, at least 1MiB. What was asked for once goes \
                  first when it is full. One response may take an eighth of it. The default leaves room for the rest on \
                  a machine of 1 GiB.",
            example: "4GiB",
        },
        Field {
            name: "hit_for_miss",
            kind: Kind::Duration,
            need: Need::Default("120s"),
            doc: "For how long requests for something that turned out not to be storable go to the origin at once, \
                  without waiting for each other. Two minutes: long enough to matter, short enough that a page which \
                  becomes storable soon is.",
            example: "30s",
        },
        Field {
            name: "stale_if_error",
            kind: Kind::Duration,
            need: Need::Default("1h"),
            doc: "How long past its lifetime a response may stand in for an origin that fails, if neither the origin \
                  (`stale-if-error`) nor a rule says. One hour: enough to repair something, too short for yesterday's \
                  page. Never under must-revalidate, proxy-revalidate, s-maxage or no-cache.",
            example: "1d",
        },
        Field {
            name: "stale_while_revalidate",
            kind: Kind::Duration,
            need: Need::Default("0s"),
            doc: "How long past its lifetime a response may be served while it is refreshed, if neither the origin \
                  (`stale-while-revalidate`) nor a rule says. Not at all: an origin that works should be the one to say \
                  that old is good enough.",
            example: "30s",
        },
    ],
};

/// The cache's settings.
pub fn compile(top: &Fields<'_>, report: &mut Report) -> Option<Settings> {
    let fields = top.section("cache", &CACHE, report)?;
    let memory = at_least("memory", LEAST_MEMORY, &fields, report);
    let hit_for_miss = seconds("hit_for_miss", &fields, report);
    let stale_if_error = seconds("stale_if_error", &fields, report);
    let stale_while_revalidate = seconds("stale_while_revalidate", &fields, report);
    Some(Settings {
        memory: memory?,
        policy: Defaults { stale_if_error: stale_if_error?, stale_while_revalidate: stale_while_revalidate? },
        hit_for_miss: hit_for_miss?.into(),
    })
}
