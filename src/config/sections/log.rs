//! `log`: what is written about each request, and where.

use crate::config::{Field, Fields, Files, Kind, Need, Report, Section};
use crate::setup::Log;
use crate::telemetry::Format;
use std::path::PathBuf;

/// Logs.
pub static LOG: Section = Section {
    name: "log",
    doc: "Logs. What Foreland says about itself goes to standard error; the environment variable `FORELAND_LOG` says how \
          much.",
    fields: &[Field {
        name: "access",
        kind: Kind::Section(&ACCESS),
        need: Need::Default("{}"),
        doc: "The access log: a line for each request.",
        example: "{ format: combined, to: /var/log/foreland/access.log }",
    }],
};

/// The access log.
pub static ACCESS: Section = Section {
    name: "access log",
    doc: "The access log: a line for each request.",
    fields: &[
        Field {
            name: "format",
            kind: Kind::Word(&["json", "combined", "off"]),
            need: Need::Default("json"),
            doc: "How a line looks: `json` has every field and nothing ambiguous, `combined` is as nginx writes it, \
                  `off` writes none.",
            example: "combined",
        },
        Field {
            name: "to",
            kind: Kind::Either(&[Kind::Word(&["stdout"]), Kind::Text("the path of a file")]),
            need: Need::Default("stdout"),
            doc: "Where lines go: `stdout`, or a file, relative to the one that names it. A file is opened again on \
                  SIGUSR1, so that it can be moved away.",
            example: "/var/log/foreland/access.log",
        },
    ],
};

/// The access log's settings.
pub fn compile(top: &Fields<'_>, files: &Files, report: &mut Report) -> Option<Log> {
    let access = top.section("log", &LOG, report)?.section("access", &ACCESS, report)?;
    let format: Option<Format> = access.word("format", report).and_then(|word| word.parse().ok());
    Some(Log { format: format?, file: file(&access, files, report)? })
}

fn file(access: &Fields<'_>, files: &Files, report: &mut Report) -> Option<Option<PathBuf>> {
    let Some(node) = access.maybe("to").filter(|node| !node.is_word("stdout")) else { return Some(None) };
    let path = node.text("to", "`stdout` or the path of a file", report)?;
    if path.is_empty() {
        report.error(node.span, "`to` is empty: write `stdout` or the path of a file");
        return None;
    }
    Some(Some(files.resolve(node.span.file, path)))
}
