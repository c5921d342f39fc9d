//! Writes the manual of every key from the tables, as Markdown.

use super::table::{Field, Kind, Need, Section};

/// One heading and one table for each section and every section below it, each once.
pub fn reference(sections: &[&'static Section]) -> String {
    let mut all: Vec<&'static Section> = Vec::new();
    for section in sections.iter().flat_map(|section| section.family()) {
        if !all.iter().any(|known| std::ptr::eq(*known, section)) {
            all.push(section);
        }
    }
    all.iter().map(|section| one(section)).collect::<Vec<String>>().join("\n")
}

fn one(section: &Section) -> String {
    let mut out = format!("## {}\n\n{}\n\n", section.name, section.doc.trim());
    out.push_str("| key | type | default | meaning | example |\n|---|---|---|---|---|\n");
    section.fields.iter().for_each(|field| out.push_str(&row(field)));
    out
}

fn row(field: &Field) -> String {
    let default = match field.need {
        Need::Default(default) => code(default),
        Need::Optional => String::new(),
        Need::Required => "**required**".to_owned(),
    };
    let example = if field.example.is_empty() { String::new() } else { code(field.example) };
    format!(
        "| `{}` | {} | {default} | {} | {example} |\n",
        field.name,
        cell(&kind(&field.kind)),
        cell(field.doc.trim())
    )
}

/// What a value is, with a link to the section that it may be.
fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Either(kinds) => kinds.iter().map(self::kind).collect::<Vec<String>>().join(" or "),
        Kind::List(inner) => format!("list of {}", self::kind(inner)),
        Kind::Map(inner) => format!("names, each with {}", self::kind(inner)),
        Kind::OneOrMany(inner) => format!("{}, or a list of them", self::kind(inner)),
        Kind::Section(section) => format!("[{}](#{})", section.name, anchor(section.name)),
        Kind::Word(words) => words.iter().map(|word| code(word)).collect::<Vec<String>>().join(", "),
        Kind::Duration | Kind::Integer { .. } | Kind::Size | Kind::Text(_) => kind.noun(),
    }
}

/// The name that a heading has in links.
fn anchor(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

/// A text that does not end its table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<&str>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::{LIMITS, TOP};

    #[test]
    fn a_section_is_a_heading_and_a_table() {
        let expected = "\
## limit

Bounds on requests.

| key | type | default | meaning | example |
|---|---|---|---|---|
| `fields` | a whole number from 1 to 1000 | `100` | What it is for. | `50` |
| `methods` | list of a method | `[GET, HEAD]` | What it is for. | `[GET]` |
| `banner` | any text | `\"\"` | What it is for. | `hello` |
| `wait` | a duration or `forever` | `10s` | What it is for. | `forever` |
";
        assert_eq!(reference(&[&LIMITS]), expected);
    }

    #[test]
    fn every_section_is_there_once_and_linked() {
        let text = reference(&[&TOP, &LIMITS]);
        let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let expected = [
            "configuration",
            "listener",
            "upstream",
            "cache",
            "limit",
            "rule",
            "tls",
            "server",
            "ttl",
            "condition",
        ];
        assert_eq!(headings, expected);
        assert!(text.contains("| `listeners` | list of [listener](#listener) | **required** |"), "{text}");
        assert_eq!(text, reference(&[&TOP, &LIMITS]));
    }
}
