//! Conditions on what has a name and values: header fields, cookies, query parameters.

use super::fields::Fields;
use super::names::{CookieName, FieldName, ParameterName};
use super::report::Report;
use super::table::Kind;
use super::tree::{Key, Node, Value};
use crate::route::{FieldTest, TextPattern, ValueTest};
use std::fmt::Display;
use std::str::FromStr;

/// Names that must be there, or names with what their values must be.
pub const FIELD_TESTS: Kind = Kind::Either(&[
    Kind::Text("a name"),
    Kind::Map(&Kind::Either(&[Kind::Bool, Kind::OneOrMany(&Kind::Text("a text or pattern"))])),
]);

/// Conditions on header fields, under a key of kind [`FIELD_TESTS`]; names in lower case.
pub fn header_tests(key: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Vec<FieldTest>> {
    named_tests(key, fields, report, name::<FieldName>)
}

/// Conditions on cookies.
pub fn cookie_tests(key: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Vec<FieldTest>> {
    named_tests(key, fields, report, name::<CookieName>)
}

/// Conditions on query parameters.
pub fn parameter_tests(key: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Vec<FieldTest>> {
    named_tests(key, fields, report, name::<ParameterName>)
}

type ReadName = fn(&str, &Node, &str, &mut Report) -> Option<Box<str>>;

fn named_tests(
    key: &str,
    fields: &Fields<'_>,
    report: &mut Report,
    name: ReadName,
) -> Option<Vec<FieldTest>> {
    let Some(node) = fields.maybe(key) else { return Some(Vec::new()) };
    match &node.value {
        Value::Scalar(scalar) => {
            let name = name(&scalar.text, node, key, report)?;
            Some(vec![FieldTest { name, value: ValueTest::Present }])
        }
        Value::Map(entries) if entries.is_empty() => {
            report.error_with(
                node.span,
                format!("`{key}` names nothing"),
                "leave the key out, or name something",
            );
            None
        }
        Value::Map(entries) => {
            let tests: Vec<_> = entries.iter().map(|entry| named_test(key, entry, report, name)).collect();
            tests.into_iter().collect()
        }
        // Of no use here, and reported with the whole table.
        Value::Broken | Value::List(_) | Value::Null => None,
    }
}

fn named_test(key: &str, entry: &(Key, Node), report: &mut Report, name: ReadName) -> Option<FieldTest> {
    let (written, node) = entry;
    let at_key = Node { span: written.span, value: Value::Null };
    let name = name(&written.text, &at_key, key, report);
    let value = value_test(&written.text, node, report);
    Some(FieldTest { name: name?, value: value? })
}

fn value_test(name: &str, node: &Node, report: &mut Report) -> Option<ValueTest> {
    match node.as_scalar().filter(|scalar| scalar.plain).map(|scalar| scalar.text.as_str()) {
        Some("true") => return Some(ValueTest::Present),
        Some("false") => return Some(ValueTest::Absent),
        _ => {}
    }
    let items = node.as_list().unwrap_or(std::slice::from_ref(node));
    if items.is_empty() {
        let hint = format!("write `{name}: true` for any value, `{name}: false` for none");
        report.error_with(node.span, format!("`{name}` lists no value"), hint);
        return None;
    }
    let patterns: Vec<_> = items.iter().map(|item| item.parse(name, "a text or pattern", report)).collect();
    patterns.into_iter().collect::<Option<Vec<TextPattern>>>().map(ValueTest::Is)
}

fn name<T: Into<Box<str>> + FromStr<Err: Display>>(
    text: &str,
    at: &Node,
    key: &str,
    report: &mut Report,
) -> Option<Box<str>> {
    match text.parse::<T>() {
        Ok(name) => Some(name.into()),
        Err(error) => {
            report.error(at.span, format!("`{key}`: {error}"));
            None
        }
    }
}
