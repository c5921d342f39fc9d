//! `health` of an upstream: what its servers are asked, when one counts as down, and when as up again.

use crate::config::matchers::all;
use crate::config::quantity::positive;
use crate::config::{Field, Fields, Kind, Need, Report, Section};
use crate::http::status::StatusRange;
use crate::upstream::ServerAddress;
use crate::upstream::health::{Health, HttpProbe, Probe, ProbeMethod};
use http::HeaderValue;
use http::uri::PathAndQuery;
use std::str::FromStr;
use std::sync::Arc;

/// Background checks.
pub static HEALTH: Section = Section {
    name: "health check",
    doc: "What the servers are asked in the background, when one counts as down, and when as up again. Without `path` a \
          check opens a connection, with it a server must answer. All servers count as up at the start; if none is up, \
          requests are tried all the same. A server that several upstreams name is asked once for all that ask the same.",
    fields: &[
        Field {
            name: "interval",
            kind: Kind::Duration,
            need: Need::Default("5s"),
            doc: "Pause between two checks of a server that is up. Pauses differ by up to a tenth, so that checks spread.",
            example: "2s",
        },
        Field {
            name: "interval_down",
            kind: Kind::Duration,
            need: Need::Default("1s"),
            doc: "Pause while a server is down or its last check failed, so that both the outage and its end are noticed \
                  within seconds. Never longer than `interval`.",
            example: "500ms",
        },
        Field {
            name: "timeout",
            kind: Kind::Duration,
            need: Need::Default("2s"),
            doc: "How long a check may take in all, from connecting to the last byte that matters.",
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
        PORT,
        PATH,
        HOST,
        METHOD,
        STATUS,
        BODY,
    ],
};

const PORT: Field = Field {
    name: "port",
    kind: Kind::Integer { min: 1, max: 65_535 },
    need: Need::Optional,
    doc: "The port that is asked. The server's own if it is not given; a unix socket has none, and is asked itself.",
    example: "9000",
};

const PATH: Field = Field {
    name: "path",
    kind: Kind::Text("a path such as /healthz"),
    need: Need::Optional,
    doc: "What is asked for over HTTP/1.1, with its query if it has one; over TLS, and with its verification, where the \
          server is an `https://` one. Redirects are not followed. Without it a check only opens a connection.",
    example: "/healthz",
};

const HOST: Field = Field {
    name: "host",
    kind: Kind::Text("a host such as www.example.com"),
    need: Need::Optional,
    doc: "The Host field of the check. The server's own host and port if it is not given.",
    example: "www.example.com",
};

const METHOD: Field = Field {
    name: "method",
    kind: Kind::Word(&["GET", "HEAD"]),
    need: Need::Optional,
    doc: "The method of the check. `GET` if it is not given.",
    example: "HEAD",
};

const STATUS: Field = Field {
    name: "status",
    kind: Kind::OneOrMany(&Kind::Text("a status such as 200, 2xx or 200-399")),
    need: Need::Optional,
    doc: "The statuses of a healthy server: one, a class, a range, or several of them in a list or between commas. \
          `200-399` if it is not given.",
    example: "[2xx, 404]",
};

const BODY: Field = Field {
    name: "body",
    kind: Kind::Text("a text of the body"),
    need: Need::Optional,
    doc: "A text that must be in the body, within its first 64 KiB. Letter case counts. If it is not given, the body may \
          be anything, and is not read.",
    example: "\"\\\"status\\\":\\\"ok\\\"\"",
};

/// The checks of an upstream.
pub fn compile(fields: &Fields<'_>, report: &mut Report) -> Option<Health> {
    let fields = fields.section("health", &HEALTH, report)?;
    let mut time = |key| positive(key, &fields, report);
    let (every, every_down, timeout) = (time("interval"), time("interval_down"), time("timeout"));
    let (fall, rise) = (fields.integer("fall", report), fields.integer("rise", report));
    let port = given("port", &fields, |key| fields.integer(key, report));
    let probe = probe(&fields, report);
    Some(Health {
        every: every?,
        every_down: every_down?,
        timeout: timeout?,
        fall: fall?,
        rise: rise?,
        port: port?,
        probe: probe?,
    })
}

fn probe(fields: &Fields<'_>, report: &mut Report) -> Option<Probe> {
    if !fields.has("path") {
        for key in ["host", "method", "status", "body"].into_iter().filter(|key| fields.has(key)) {
            let message = format!("`{key}` needs `path`: without it a check only opens a connection");
            report.error_with(fields.key_span(key), message, "write for example `path: /healthz` beside it");
        }
        return Some(Probe::Tcp);
    }
    let path = fields.parse::<ProbePath>("path", report);
    let host = given("host", fields, |key| fields.parse::<ProbeHost>(key, report));
    let method = given("method", fields, |key| fields.word(key, report));
    let statuses = all::<Statuses>("status", fields, report);
    let body = given("body", fields, |key| fields.parse::<ProbeText>(key, report));
    let method = match method? {
        Some("HEAD") => ProbeMethod::Head,
        _ => ProbeMethod::Get,
    };
    if method == ProbeMethod::Head && fields.has("body") {
        let message = "`body` needs `method: GET`: the answer to a HEAD has none";
        report.error_with(fields.key_span("body"), message, "leave `method` out");
    }
    let mut statuses: Vec<StatusRange> = statuses?.into_iter().flat_map(|statuses| statuses.0).collect();
    if statuses.is_empty() {
        statuses.push(StatusRange { from: 200, to: 399 });
    }
    Some(Probe::Http(Arc::new(HttpProbe {
        path: path?.0,
        host: host?.map(|host| host.0),
        method,
        statuses,
        body: body?.map(|text| text.0),
    })))
}

/// A key that may be absent; None if it is wrong.
fn given<T>(key: &str, fields: &Fields<'_>, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if fields.has(key) { read(key).map(Some) } else { Some(None) }
}

/// A path with its query, as it goes into a request.
struct ProbePath(PathAndQuery);

impl FromStr for ProbePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sent = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        let path = Some(text).filter(|text| text.starts_with('/') && text.bytes().all(sent));
        path.and_then(|path| path.parse().ok()).map(Self).ok_or_else(|| {
            format!(
                "`{text}` is not a path as it is sent: write one such as `/healthz`, %-encoded where need be"
            )
        })
    }
}

/// A host, and perhaps a port, as a Host field has them.
struct ProbeHost(HeaderValue);

impl FromStr for ProbeHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = Some(text).filter(|text| !text.contains('/') && text.parse::<ServerAddress>().is_ok());
        address.and_then(|host| HeaderValue::from_str(host).ok()).map(Self).ok_or_else(|| {
            format!("`{text}` is not a host: write one such as `www.example.com` or `www.example.com:8443`")
        })
    }
}

/// Statuses between commas.
struct Statuses(Vec<StatusRange>);

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ranges = text.split(',').map(|range| range.trim().parse::<StatusRange>());
        ranges.collect::<Result<_, _>>().map(Self).map_err(|error| error.to_string())
    }
}

/// A text to look for.
struct ProbeText(Box<str>);

impl FromStr for ProbeText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LONGEST: usize = 1024;
        match text.len() {
            0 => Err("an empty text is in every body: leave the key out".to_owned()),
            1..=LONGEST => Ok(Self(text.into())),
            bytes => Err(format!("a text may have {LONGEST} bytes; this one has {bytes}")),
        }
    }
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
            name: "health",
            kind: Kind::Section(&HEALTH),
            need: Need::Default("{}"),
            doc: "",
            example: "",
        }],
    };

    /// The checks that `health` says, and what is wrong with it.
    fn read(health: &str) -> (Option<Health>, Vec<String>) {
        let (node, _, mut report) = tree(&format!("health: {health}\n"));
        let fields = Fields::open(node.as_ref().unwrap(), &UPSTREAM, &mut report).unwrap();
        let health = compile(&fields, &mut report);
        (health, report.diagnostics().iter().map(|d| d.message.clone()).collect())
    }

    fn fine(health: &str) -> Health {
        let (read, errors) = read(health);
        assert!(errors.is_empty(), "{errors:?}");
        read.unwrap()
    }

    fn probe(health: &str) -> HttpProbe {
        match fine(health).probe {
            Probe::Http(probe) => (*probe).clone(),
            Probe::Tcp => unreachable!(),
        }
    }

    #[test]
    fn what_is_not_written_is_the_default() {
        assert_eq!(fine("{}"), Health::default());
        let default = HttpProbe {
            path: PathAndQuery::from_static("/healthz"),
            host: None,
            method: ProbeMethod::Get,
            statuses: vec![StatusRange { from: 200, to: 399 }],
            body: None,
        };
        assert_eq!(probe("{ path: /healthz }"), default);
    }

    #[test]
    fn every_key_says_something() {
        let times = fine("{ interval: 2s, interval_down: 500ms, timeout: 1s, fall: 5, rise: 4, port: 9000 }");
        let expected = Health {
            every: Duration::from_secs(2),
            every_down: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            fall: 5,
            rise: 4,
            port: Some(9000),
            probe: Probe::Tcp,
        };
        assert_eq!(times, expected);
        let expected = HttpProbe {
            path: PathAndQuery::from_static("/healthz?a=b"),
            host: Some(HeaderValue::from_static("www.example.com:8443")),
            method: ProbeMethod::Head,
            statuses: vec![StatusRange { from: 404, to: 404 }],
            body: None,
        };
        let written = "{ path: '/healthz?a=b', host: 'www.example.com:8443', method: HEAD, status: 404 }";
        assert_eq!(probe(written), expected);
        assert_eq!(probe("{ path: /, body: 'all is well' }").body.as_deref(), Some("all is well"));
    }

    #[test]
    fn statuses_stand_between_commas_or_in_a_list() {
        for (written, expected) in [
            ("200", "200"),
            ("200-399", "200-399"),
            ("2xx", "2xx"),
            ("'200-299,404'", "2xx 404"),
            ("'200 , 204'", "200 204"),
            ("[200, 301]", "200 301"),
            ("['200,204', 3xx]", "200 204 3xx"),
        ] {
            let statuses = probe(&format!("{{ path: /, status: {written} }}")).statuses;
            let shown: Vec<_> = statuses.iter().map(ToString::to_string).collect();
            assert_eq!(shown.join(" "), expected, "{written}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_write() {
        for (written, message) in [
            ("{ status: 200 }", "`status` needs `path`"),
            ("{ host: a, method: GET }", "`host` needs `path`"),
            ("{ body: a }", "`body` needs `path`"),
            ("{ path: healthz }", "write one such as `/healthz`"),
            ("{ path: '/a b' }", "%-encoded where need be"),
            ("{ path: '/a#b' }", "as it is sent"),
            ("{ path: /ä }", "as it is sent"),
            ("{ path: /, host: 'https://a' }", "is not a host"),
            ("{ path: /, host: 'a b' }", "is not a host"),
            ("{ path: /, host: 'a:0' }", "is not a host"),
            ("{ path: /, status: 199 }", "from 200 to 599"),
            ("{ path: /, status: '200,' }", "is not a status"),
            ("{ path: /, status: [] }", "lists nothing"),
            ("{ path: /, body: '' }", "leave the key out"),
            ("{ path: /, method: HEAD, body: a }", "`body` needs `method: GET`"),
            ("{ path: /, method: POST }", "`GET` or `HEAD`"),
            ("{ port: 0 }", "from 1 to 65535"),
            ("{ interval_down: 0s }", "must be longer than 0s"),
        ] {
            let (_, errors) = read(written);
            assert!(errors.first().is_some_and(|e| e.contains(message)), "{written}: {errors:?}");
        }
        let (_, errors) = read(&format!("{{ path: /, body: {} }}", "a".repeat(1025)));
        assert!(errors[0].contains("may have 1024 bytes"), "{errors:?}");
    }
}
