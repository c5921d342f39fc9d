//! A small table and a machine in memory, for the tests of the reader.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::clean;
use super::{Env, Field, Files, INCLUDE, Kind, Need, Node, Report, Section, Source};

/// Variables and files that exist nowhere else.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    variables: HashMap<String, String>,
    files: HashMap<PathBuf, Vec<u8>>,
}

impl Machine {
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(clean(Path::new(path)), bytes.into());
        self
    }

    /// Loads `main.yaml` against the table below.
    pub fn load(self) -> Source {
        Source::load(Path::new("conf/main.yaml"), Arc::new(self), &TOP)
    }
}

impl Env for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let bytes = self.files.get(&clean(path)).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes.iter().copied().take(limit + 1).collect())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let within = self.files.keys().filter_map(|path| path.strip_prefix(clean(folder)).ok());
        let first = within.filter_map(|rest| rest.components().next());
        Ok(first.map(|name| name.as_os_str().to_string_lossy().into_owned()).collect())
    }

    fn folder(&self, path: &Path) -> io::Result<()> {
        let path = clean(path);
        match self.files.keys().find(|file| file.starts_with(&path)) {
            Some(file) if *file == path => Err(io::ErrorKind::NotADirectory.into()),
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// A text as a main file.
pub fn source(text: &str) -> Source {
    Source::from_text("main.yaml", text, Arc::new(Machine::default()), &TOP)
}

/// What `check` would print for a text.
pub fn shown(text: &str) -> String {
    let source = source(text);
    super::render_text(&source.report, &source.files, false)
}

/// Severity-free short form: `line:column message [label]`.
pub fn found(source: &Source) -> Vec<String> {
    let line = |d: &&super::Diagnostic| {
        let place = d.span.map_or("-".to_owned(), |span| {
            let (line, column) = source.files.line_col(span);
            format!("{line}:{column}")
        });
        let label = d.label.as_ref().map_or(String::new(), |label| format!(" [{label}]"));
        format!("{place} {}{label}", d.message)
    };
    source.report.diagnostics().iter().map(line).collect()
}

/// A tree without a table.
pub fn tree(text: &str) -> (Option<Node>, Files, Report) {
    let mut files = Files::new(Arc::new(Machine::default()));
    let mut report = Report::new();
    let file = files.add_text("main.yaml", text);
    let node = super::parse_one(file, &mut files, &mut report);
    (node, files, report)
}

const fn field(name: &'static str, kind: Kind, need: Need, example: &'static str) -> Field {
    Field { name, kind, need, doc: "What it is for.", example }
}

pub static TOP: Section = Section {
    name: "configuration",
    doc: "The main file.",
    fields: &[
        INCLUDE,
        field("listeners", Kind::List(&Kind::Section(&LISTENER)), Need::Required, "[{ bind: \":8080\" }]"),
        field(
            "trusted",
            Kind::OneOrMany(&Kind::Text("a network")),
            Need::Default("[127.0.0.0/8, \"::1\"]"),
            "10.0.0.0/8",
        ),
        field(
            "upstreams",
            Kind::Map(&Kind::Section(&UPSTREAM)),
            Need::Optional,
            "{ app: { servers: [\"app:80\"] } }",
        ),
        field(
            "cache",
            Kind::Either(&[Kind::Word(&["off"]), Kind::Section(&CACHE)]),
            Need::Default("{}"),
            "{ memory: 1GiB }",
        ),
        field("limits", Kind::Section(&LIMITS), Need::Default("{}"), "{ fields: 50 }"),
        field("rules", Kind::List(&Kind::Section(&RULE)), Need::Optional, "[{ name: assets, ttl: 30d }]"),
    ],
};

pub static LISTENER: Section = Section {
    name: "listener",
    doc: "A place to listen on.",
    fields: &[
        field("bind", Kind::Text("an address to listen on"), Need::Required, "\"0.0.0.0:8080\""),
        field("tls", Kind::Section(&TLS), Need::Optional, "{ cert: site.pem }"),
        field("front", Kind::Bool, Need::Default("true"), "false"),
    ],
};

pub static TLS: Section = Section {
    name: "tls",
    doc: "Certificates.",
    fields: &[field("cert", Kind::Text("a file"), Need::Required, "site.pem")],
};

pub static UPSTREAM: Section = Section {
    name: "upstream",
    doc: "Servers to ask.",
    fields: &[
        field(
            "balance",
            Kind::Word(&["round_robin", "least_connections", "random"]),
            Need::Default("round_robin"),
            "random",
        ),
        field(
            "servers",
            Kind::List(&Kind::Either(&[Kind::Text("HOST:PORT"), Kind::Section(&SERVER)])),
            Need::Required,
            "[\"app:8080\"]",
        ),
        field("token", Kind::Text("a secret"), Need::Optional, "\"${file:/run/secrets/token}\""),
    ],
};

pub static SERVER: Section = Section {
    name: "server",
    doc: "One server.",
    fields: &[
        field("address", Kind::Text("HOST:PORT"), Need::Required, "\"app:8080\""),
        field("weight", Kind::Integer { min: 1, max: 1000 }, Need::Default("1"), "2"),
    ],
};

pub static CACHE: Section = Section {
    name: "cache",
    doc: "What is kept.",
    fields: &[
        field("memory", Kind::Size, Need::Default("512MiB"), "1GiB"),
        field("hit_for_miss", Kind::Duration, Need::Default("120s"), "10s"),
    ],
};

pub static LIMITS: Section = Section {
    name: "limit",
    doc: "Bounds on requests.",
    fields: &[
        field("fields", Kind::Integer { min: 1, max: 1000 }, Need::Default("100"), "50"),
        field("methods", Kind::List(&Kind::Text("a method")), Need::Default("[GET, HEAD]"), "[GET]"),
        field("banner", Kind::Text("any text"), Need::Default("\"\""), "hello"),
        field(
            "wait",
            Kind::Either(&[Kind::Duration, Kind::Word(&["forever"])]),
            Need::Default("10s"),
            "forever",
        ),
    ],
};

pub static RULE: Section = Section {
    name: "rule",
    doc: "What to do when.",
    fields: &[
        field("name", Kind::Text("a name"), Need::Required, "assets"),
        field("ttl", Kind::Either(&[Kind::Duration, Kind::Section(&TTL)]), Need::Optional, "30d"),
        field("when", Kind::Section(&WHEN), Need::Optional, "{ path: \"*.js\" }"),
    ],
};

pub static TTL: Section = Section {
    name: "ttl",
    doc: "How long.",
    fields: &[
        field("edge", Kind::Duration, Need::Optional, "30d"),
        field("status", Kind::Map(&Kind::Duration), Need::Optional, "{ 404: 30s }"),
    ],
};

pub static WHEN: Section = Section {
    name: "condition",
    doc: "Which requests.",
    fields: &[
        field("path", Kind::OneOrMany(&Kind::Text("a path")), Need::Optional, "/a/"),
        field("any", Kind::List(&Kind::Section(&WHEN)), Need::Optional, "[{ path: /a/ }]"),
    ],
};
