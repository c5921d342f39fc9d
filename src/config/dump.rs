//! Shows the configuration that is in force: what is given, and the defaults of everything else.

use super::table::{Kind, Need, Section};
use super::tree::{Node, Scalar, Value};

/// The whole configuration as YAML in the order of the tables; a default is marked `# default`, a secret stays `${file:…}`.
pub fn dump(section: &'static Section, node: &Node) -> String {
    let mut text = section_lines(section, Some(node)).join("\n");
    text.push('\n');
    text
}

/// The same as pairs of a path and a value, for telling what differs: `upstreams.app.servers[0]`.
/// An element of a list that has a name is called by it: `rules[assets].then.ttl.edge`.
pub fn flatten(section: &'static Section, node: &Node) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    flatten_section(section, Some(node), "", &mut pairs);
    pairs
}

/// A value as lines, of which a short one stands behind its key and others below it.
enum Shown {
    Below(Vec<String>),
    Beside(String),
}

fn section_lines(section: &'static Section, node: Option<&Node>) -> Vec<String> {
    let mut lines = Vec::new();
    for field in section.fields {
        let given = node.and_then(|node| node.at(field.name)).filter(|node| !node.is_null());
        match (given, field.need, field.kind.section()) {
            (Some(value), ..) => lines.extend(entry(field.name, shown(&field.kind, value))),
            (None, Need::Default("{}"), Some(below)) => match section_lines(below, None) {
                inner if inner.is_empty() => lines.push(format!("{}: {{}} # default", field.name)),
                inner => lines.extend(entry(field.name, Shown::Below(inner))),
            },
            (None, Need::Default(default), _) => lines.push(format!("{}: {default} # default", field.name)),
            (None, Need::Optional | Need::Required, _) => {}
        }
    }
    lines
}

fn shown(kind: &'static Kind, node: &Node) -> Shown {
    match (kind.meant(node), &node.value) {
        (Kind::Section(section), Value::Map(_)) => match section_lines(section, Some(node)) {
            lines if lines.is_empty() => Shown::Beside("{}".to_owned()),
            lines => Shown::Below(lines),
        },
        (Kind::Map(kind), Value::Map(entries)) if !entries.is_empty() => {
            let lines =
                entries.iter().flat_map(|(key, value)| entry(&scalar_text(&key.text), shown(kind, value)));
            Shown::Below(lines.collect())
        }
        (_, Value::Map(_)) => Shown::Beside("{}".to_owned()),
        (_, Value::List(items)) if items.is_empty() => Shown::Beside("[]".to_owned()),
        (Kind::List(kind) | Kind::OneOrMany(kind), Value::List(items)) => {
            Shown::Below(items.iter().flat_map(|item| element(shown(kind, item))).collect())
        }
        (Kind::OneOrMany(kind), Value::Scalar(_)) => shown(kind, node),
        (_, Value::Scalar(scalar)) => Shown::Beside(value_text(scalar)),
        (_, Value::Broken | Value::List(_) | Value::Null) => Shown::Beside("null".to_owned()),
    }
}

fn entry(key: &str, value: Shown) -> Vec<String> {
    match value {
        Shown::Beside(text) => vec![format!("{key}: {text}")],
        Shown::Below(lines) => {
            std::iter::once(format!("{key}:")).chain(lines.iter().map(|line| format!("  {line}"))).collect()
        }
    }
}

fn element(value: Shown) -> Vec<String> {
    let lines = match value {
        Shown::Beside(text) => vec![text],
        Shown::Below(lines) => lines,
    };
    let lead = |(at, line): (usize, &String)| format!("{}{line}", if at == 0 { "- " } else { "  " });
    lines.iter().enumerate().map(lead).collect()
}

fn flatten_section(
    section: &'static Section,
    node: Option<&Node>,
    path: &str,
    pairs: &mut Vec<(String, String)>,
) {
    for field in section.fields {
        let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        let given = node.and_then(|node| node.at(field.name)).filter(|node| !node.is_null());
        match (given, field.need, field.kind.section()) {
            (Some(value), ..) => flatten_value(&field.kind, value, path, pairs),
            (None, Need::Default("{}"), Some(below)) => flatten_section(below, None, &path, pairs),
            (None, Need::Default(default), _) if matches!(field.kind, Kind::List(_) | Kind::OneOrMany(_)) => {
                let inner = default.trim_start_matches('[').trim_end_matches(']').split(',').map(str::trim);
                let items = inner.filter(|item| !item.is_empty()).enumerate();
                pairs.extend(items.map(|(at, item)| (format!("{path}[{at}]"), unquoted(item).to_owned())));
            }
            (None, Need::Default(default), _) => pairs.push((path, unquoted(default).to_owned())),
            (None, Need::Optional | Need::Required, _) => {}
        }
    }
}

fn flatten_value(kind: &'static Kind, node: &Node, path: String, pairs: &mut Vec<(String, String)>) {
    match (kind.meant(node), &node.value) {
        (Kind::Section(section), Value::Map(_)) => {
            let before = pairs.len();
            flatten_section(section, Some(node), &path, pairs);
            if pairs.len() == before {
                pairs.push((path, "{}".to_owned()));
            }
        }
        (Kind::Map(kind), Value::Map(entries)) => {
            entries
                .iter()
                .for_each(|(key, value)| flatten_value(kind, value, format!("{path}.{}", key.text), pairs));
        }
        (Kind::List(kind) | Kind::OneOrMany(kind), Value::List(items)) => {
            for (at, item) in items.iter().enumerate() {
                let name = name_of(item)
                    .filter(|name| items.iter().filter(|other| name_of(other) == Some(name)).count() == 1);
                let step = name.map_or_else(|| at.to_string(), str::to_owned);
                flatten_value(kind, item, format!("{path}[{step}]"), pairs);
            }
        }
        (Kind::OneOrMany(kind), Value::Scalar(_)) => flatten_value(kind, node, format!("{path}[0]"), pairs),
        (_, Value::Scalar(scalar)) => pairs.push((path, scalar.shown().to_owned())),
        _ => {}
    }
}

fn name_of(node: &Node) -> Option<&str> {
    node.at("name")?.as_scalar().map(Scalar::shown)
}

fn unquoted(default: &str) -> &str {
    default.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(default)
}

/// A scalar so that reading it again gives the same value.
fn value_text(scalar: &Scalar) -> String {
    if scalar.secret { scalar_text(&scalar.written) } else { scalar_text(&scalar.text.replace("${", "$${")) }
}

fn scalar_text(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Whether YAML reads a text without quotes as this very text, wherever it stands. Rather too strict than too loose.
fn is_plain(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.'));
    let safe = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '-' | '+' | ';' | '=' | '@' | '*')
    };
    first && text.chars().all(safe) && text != "null"
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                out.push_str(&format!("\\U{:08x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::fixture::{Machine, TOP, source};
    use crate::config::units;

    const TEXT: &str = r#"
upstreams:
  app:
    servers: ["app1:80", {weight: 2, address: "app2:80"}]
    token: "${file:token}"
listeners: [{ bind: ":8080", front: false }]
rules:
  - name: assets
    ttl: { edge: 30d, status: { 404: 30s } }
  - { name: pages, ttl: 10s, when: { path: /a/ } }
limits: { banner: "$${x} \"y\"" }
trusted: []
"#;

    fn root() -> Node {
        let machine = Machine::default().file("conf/main.yaml", TEXT).file("conf/token", "hidden\n");
        let source = machine.load();
        assert!(source.report.is_empty());
        source.root.unwrap()
    }

    #[test]
    fn everything_is_there_in_the_order_of_the_tables() {
        let expected = r#"listeners:
  - bind: ":8080"
    front: false
trusted: []
upstreams:
  app:
    balance: round_robin # default
    servers:
      - "app1:80"
      - address: "app2:80"
        weight: 2
    token: "${file:token}"
cache:
  memory: 512MiB # default
  hit_for_miss: 120s # default
limits:
  fields: 100 # default
  methods: [GET, HEAD] # default
  banner: "$${x} \"y\""
  wait: 10s # default
rules:
  - name: assets
    ttl:
      edge: 30d
      status:
        404: 30s
  - name: pages
    ttl: 10s
    when:
      path: /a/
"#;
        assert_eq!(dump(&TOP, &root()), expected);
    }

    #[test]
    fn a_dump_is_a_configuration_that_means_the_same() {
        let root = root();
        let machine =
            Machine::default().file("conf/main.yaml", dump(&TOP, &root)).file("conf/token", "hidden\n");
        let again = machine.load();
        assert!(again.report.is_empty());
        assert_eq!(flatten(&TOP, &again.root.unwrap()), flatten(&TOP, &root));
    }

    #[test]
    fn paths_name_what_has_a_name() {
        let pairs = flatten(&TOP, &root());
        let pairs: Vec<String> = pairs.iter().map(|(path, value)| format!("{path} = {value}")).collect();
        let expected = [
            "listeners[0].bind = :8080",
            "listeners[0].front = false",
            "upstreams.app.balance = round_robin",
            "upstreams.app.servers[0] = app1:80",
            "upstreams.app.servers[1].address = app2:80",
            "upstreams.app.servers[1].weight = 2",
            "upstreams.app.token = ${file:token}",
            "cache.memory = 512MiB",
            "cache.hit_for_miss = 120s",
            "limits.fields = 100",
            "limits.methods[0] = GET",
            "limits.methods[1] = HEAD",
            "limits.banner = ${x} \"y\"",
            "limits.wait = 10s",
            "rules[assets].name = assets",
            "rules[assets].ttl.edge = 30d",
            "rules[assets].ttl.status.404 = 30s",
            "rules[pages].name = pages",
            "rules[pages].ttl = 10s",
            "rules[pages].when.path[0] = /a/",
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn names_that_are_given_twice_are_numbered() {
        let text = "listeners: []\nrules: [{name: a}, {name: a}, {name: b}]\n";
        let pairs = flatten(&TOP, &source(text).root.unwrap());
        let paths: Vec<&str> =
            pairs.iter().map(|(p, _)| p.as_str()).filter(|p| p.starts_with("rules")).collect();
        assert_eq!(paths, ["rules[0].name", "rules[1].name", "rules[b].name"]);
    }

    proptest! {
        #[test]
        fn any_text_survives(text in "\\PC{0,16}|[\\x00-\\x20\"'\\\\${}#:!&*,\u{85}\u{2028}\u{feff}a-z]{0,12}") {
            let scalar = Scalar { text: text.clone(), plain: false, secret: false, written: text.clone() };
            let line = format!("listeners: []\nlimits: {{ banner: {} }}\n", value_text(&scalar));
            let again = source(&line);
            prop_assert!(again.report.is_empty(), "{:?} {:?}", line, again.report.diagnostics());
            let root = again.root.unwrap();
            prop_assert_eq!(root.at("limits").unwrap().at("banner").unwrap().as_text(), Some(text.as_str()));
            let _ = units::parse_size(&text);
        }
    }
}
