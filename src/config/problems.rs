//! Holds the tables to their own rules, so that a default that does not parse is found by a test and not by a user.

use std::collections::HashSet;
use std::sync::Arc;

use super::env::Nothing;
use super::files::Files;
use super::report::Report;
use super::source::parse_one;
use super::table::{Field, Need, Section};
use super::tree::Value;
use super::validate::validate_value;

impl Section {
    /// What is wrong with this table and those below it: empty docs, names given twice, defaults and examples that
    /// are not of their kind. For tests.
    pub fn problems(&'static self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names = HashSet::new();
        for section in self.family() {
            if !names.insert(section.name) {
                problems.push(format!("two sections are called `{}`", section.name));
            }
            if section.doc.trim().is_empty() {
                problems.push(format!("section `{}` has no doc", section.name));
            }
            let mut keys = HashSet::new();
            for field in section.fields {
                let place = format!("`{}` of `{}`", field.name, section.name);
                if !keys.insert(field.name) {
                    problems.push(format!("{place} is there twice"));
                }
                problems.extend(field_problems(field).into_iter().map(|why| format!("{place}: {why}")));
            }
        }
        problems
    }
}

fn field_problems(field: &'static Field) -> Vec<String> {
    let mut problems = Vec::new();
    if field.doc.trim().is_empty() {
        problems.push("no doc".to_owned());
    }
    if field.need == Need::Required && field.example.is_empty() {
        problems.push("required, and no example".to_owned());
    }
    if let Need::Default(default) = field.need {
        problems.extend(mistakes(field, default).into_iter().map(|why| format!("default: {why}")));
    }
    if !field.example.is_empty() {
        problems.extend(mistakes(field, field.example).into_iter().map(|why| format!("example: {why}")));
    }
    problems
}

fn mistakes(field: &'static Field, value: &str) -> Vec<String> {
    let mut files = Files::new(Arc::new(Nothing));
    let mut report = Report::new();
    // An example may use `${NAME}`, which nothing sets here.
    let text = format!("{}: {}", field.name, value.replace("${", "$${"));
    let file = files.add_text("table", &text);
    if let Some(mut node) = parse_one(file, &mut files, &mut report) {
        let given = if let Value::Map(entries) = &mut node.value { entries.first_mut() } else { None };
        match given {
            Some((_, node)) if !node.is_null() => validate_value(node, &field.kind, field.name, &mut report),
            _ => report.error(None, "it is nothing"),
        }
    }
    let expanded = value.contains("${");
    report.diagnostics().iter().filter(|_| !expanded).map(|found| found.message.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Kind;
    use crate::config::fixture::TOP;

    #[test]
    fn a_sound_table_has_none() {
        assert_eq!(TOP.problems(), [] as [String; 0]);
    }

    #[test]
    fn slips_in_a_table_are_found() {
        static BAD: Section = Section {
            name: "bad",
            doc: "",
            fields: &[
                Field { name: "a", kind: Kind::Duration, need: Need::Default("5x"), doc: "x", example: "1s" },
                Field { name: "a", kind: Kind::Bool, need: Need::Required, doc: "", example: "" },
                Field { name: "b", kind: Kind::Text("x"), need: Need::Default(""), doc: "x", example: "[a]" },
                Field { name: "c", kind: Kind::Text("x"), need: Need::Optional, doc: "x", example: "*.js" },
            ],
        };
        let expected = [
            "section `bad` has no doc",
            "`a` of `bad`: default: `a` needs a duration such as 30s, 10m, 1h, 30d; `5x` has an unknown unit",
            "`a` of `bad` is there twice",
            "`a` of `bad`: no doc",
            "`a` of `bad`: required, and no example",
            "`b` of `bad`: default: it is nothing",
            "`b` of `bad`: example: `b` needs x, not a list",
            "`c` of `bad`: example: YAML takes `*.js` for an alias, and no value has this name",
        ];
        assert_eq!(BAD.problems(), expected);
    }
}
