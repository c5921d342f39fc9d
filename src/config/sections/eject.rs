//! `eject` of an upstream: when a server is left out for a while because requests fail there.

use crate::config::quantity::positive;
use crate::config::units::show_duration;
use crate::config::{Field, Fields, Kind, Need, Report, Section};
use crate::upstream::health::Ejection;

/// What requests show about a server, as against checks.
pub static EJECT: Section = Section {
    name: "ejection",
    doc: "When a server is left out for a while because requests fail there, although its checks may pass: it cannot be \
          reached, does not answer in time, breaks off, or answers with a status of 500 or above. When it is back, one more \
          failure before the first success leaves it out again, for twice as long. Never more than half of an upstream's \
          servers are out, and never the only one.",
    fields: &[
        Field {
            name: "failures",
            kind: Kind::Integer { min: 0, max: 1000 },
            need: Need::Default("5"),
            doc: "Requests that fail in a row before a server is left out. Five: more than one visitor's bad luck. `0` \
                  leaves none out.",
            example: "3",
        },
        Field {
            name: "for",
            kind: Kind::Duration,
            need: Need::Default("10s"),
            doc: "How long the first time; each further time is twice as long, until there was no failure for as long as \
                  it was last out. Ten seconds: a restart is over by then.",
            example: "30s",
        },
        Field {
            name: "at_most",
            kind: Kind::Duration,
            need: Need::Default("5m"),
            doc: "How long at most.",
            example: "1m",
        },
    ],
};

/// The ejections of an upstream.
pub fn compile(fields: &Fields<'_>, report: &mut Report) -> Option<Ejection> {
    let fields = fields.section("eject", &EJECT, report)?;
    let failures = fields.integer("failures", report);
    let (for_, at_most) = (positive("for", &fields, report), positive("at_most", &fields, report));
    let ejection = Ejection { failures: failures?, for_: for_?, at_most: at_most? };
    if ejection.for_ > ejection.at_most {
        let (for_, at_most) = (show_duration(ejection.for_), show_duration(ejection.at_most));
        let key = if fields.has("at_most") { "at_most" } else { "for" };
        let message = format!("`for` is {for_}, longer than `at_most`, which is {at_most}");
        report.error_with(fields.value_span(key), message, format!("for example `at_most: {for_}`"));
    }
    Some(ejection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::tree;
    use std::time::Duration;

    static UPSTREAM: Section = Section {
        name: "upstream",
        doc: "For tests.",
        fields: &[Field {
            name: "eject",
            kind: Kind::Section(&EJECT),
            need: Need::Default("{}"),
            doc: "",
            example: "",
        }],
    };

    fn read(eject: &str) -> (Option<Ejection>, Vec<String>) {
        let (node, files, mut report) = tree(&format!("eject: {eject}\n"));
        let fields = Fields::open(node.as_ref().unwrap(), &UPSTREAM, &mut report).unwrap();
        let ejection = compile(&fields, &mut report);
        let shown = |span| format!("{}: ", files.slice(span));
        let diagnostics = report.diagnostics();
        let errors = diagnostics.iter().map(|d| d.span.map_or_else(String::new, shown) + &d.message);
        (ejection, errors.collect())
    }

    #[test]
    fn what_is_not_written_is_the_default() {
        assert_eq!(read("{}"), (Some(Ejection::default()), Vec::new()));
        let seconds = Duration::from_secs;
        let written = Ejection { failures: 0, for_: seconds(2), at_most: seconds(60) };
        assert_eq!(read("{ failures: 0, for: 2s, at_most: 1m }"), (Some(written), Vec::new()));
    }

    #[test]
    fn the_longest_time_is_no_shorter_than_the_first() {
        for (written, error) in [
            ("{ for: 10m }", "10m: `for` is 10m, longer than `at_most`, which is 5m"),
            ("{ at_most: 5s }", "5s: `for` is 10s, longer than `at_most`, which is 5s"),
            ("{ for: 2m, at_most: 1m }", "1m: `for` is 2m, longer than `at_most`, which is 1m"),
            ("{ for: 0s }", "0s: `for` must be longer than 0s"),
        ] {
            assert_eq!(read(written).1, [error]);
        }
    }
}
