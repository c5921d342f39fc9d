//! `hsts` of a listener's `tls`: for how long browsers come over https only (RFC 6797).

use crate::config::quantity::seconds;
use crate::config::{Field, Fields, Kind, Need, Report, Section};
use http::HeaderValue;

/// What browsers must have been told before they put a name into their own lists (hstspreload.org).
const LISTED: u32 = 31_536_000;

/// The key.
pub const FIELD: Field = Field {
    name: "hsts",
    kind: Kind::Either(&[Kind::Duration, Kind::Section(&HSTS)]),
    need: Need::Optional,
    doc: "Has browsers come over https only, for so long from every visit on: each answer says so in \
          `Strict-Transport-Security`, in place of what an origin says there. Nothing takes that back before its time but a \
          visit over https to an answer with `0`, so begin with minutes. A route's `response_headers` have the last word. \
          Without it, what an origin says passes.",
    example: "1y",
};

/// The same with keys.
pub static HSTS: Section = Section {
    name: "hsts",
    doc: "For how long browsers come over https only, and for which names. A duration alone means the same as `max_age`.",
    fields: &[
        Field {
            name: "max_age",
            kind: Kind::Duration,
            need: Need::Required,
            doc: "How long from every visit on.",
            example: "1y",
        },
        Field {
            name: "include_subdomains",
            kind: Kind::Bool,
            need: Need::Default("false"),
            doc: "Whether it holds for every name below that of the visit, too: all of them must be there over https.",
            example: "true",
        },
        Field {
            name: "preload",
            kind: Kind::Bool,
            need: Need::Default("false"),
            doc: "Whether browsers may list the name as such without a visit (hstspreload.org), which cannot be taken back \
                  for months. Only with `include_subdomains` and a year or more.",
            example: "true",
        },
    ],
};

/// The value of the field, if there is one. What is wrong is reported.
pub fn compile(tls: &Fields<'_>, report: &mut Report) -> Option<HeaderValue> {
    let node = tls.maybe(FIELD.name)?;
    if node.as_map().is_none() {
        return value(seconds(FIELD.name, tls, report)?, false, false);
    }
    let fields = Fields::open(node, &HSTS, report)?;
    let max_age = seconds("max_age", &fields, report);
    let (below, preload) = (fields.boolean("include_subdomains", report), fields.boolean("preload", report));
    let (max_age, below, preload) = (max_age?, below?, preload?);
    if preload && !below {
        let message =
            "`preload` needs `include_subdomains: true`: browsers list no name without those below it";
        fields.error("preload", message, report);
    }
    if preload && max_age < LISTED {
        let message = "`preload` needs a `max_age` of `1y` or more, or browsers will not list the name";
        fields.error("preload", message, report);
    }
    value(max_age, below, preload)
}

fn value(max_age: u32, below: bool, preload: bool) -> Option<HeaderValue> {
    let below = if below { "; includeSubDomains" } else { "" };
    let preload = if preload { "; preload" } else { "" };
    HeaderValue::try_from(format!("max-age={max_age}{below}{preload}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::tree;
    use crate::config::sections::tls::TLS;

    fn read(hsts: &str) -> (Option<String>, Vec<String>) {
        let (node, _, mut report) = tree(&format!("{{ certificates: [], hsts: {hsts} }}"));
        let node = node.unwrap();
        let fields = Fields::open(&node, &TLS, &mut report).unwrap();
        let value = compile(&fields, &mut report).map(|value| value.to_str().unwrap().to_owned());
        (value, report.diagnostics().iter().map(|found| found.message.clone()).collect())
    }

    #[test]
    fn what_is_written_becomes_what_rfc_6797_has() {
        for (written, value) in [
            ("1y", Some("max-age=31536000")),
            ("10m", Some("max-age=600")),
            ("0", Some("max-age=0")),
            ("{ max_age: 365d, include_subdomains: true }", Some("max-age=31536000; includeSubDomains")),
            (
                "{ max_age: 2y, include_subdomains: true, preload: true }",
                Some("max-age=63072000; includeSubDomains; preload"),
            ),
            ("", None),
        ] {
            assert_eq!(read(written), (value.map(str::to_owned), Vec::new()), "{written}");
        }
    }

    #[test]
    fn what_browsers_would_not_take_is_an_error() {
        for (written, wrong) in [
            ("{ max_age: 1y, preload: true }", "`preload` needs `include_subdomains: true`"),
            (
                "{ max_age: 364d, include_subdomains: true, preload: true }",
                "`preload` needs a `max_age` of `1y` or more",
            ),
            ("1500ms", "`hsts` needs whole seconds"),
            ("{ include_subdomains: true }", "a hsts needs `max_age`"),
            ("true", "`hsts` needs a duration"),
        ] {
            let (_, messages) = read(written);
            assert!(messages.len() == 1 && messages[0].starts_with(wrong), "{written}: {messages:?}");
        }
    }
}
