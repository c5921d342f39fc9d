//! What the rules of a file put in force, value by value, for the list of changes after a reload.

use super::rule::Written;
use crate::config::effective::Effective;
use crate::config::{Node, Value};
use crate::verdict::Setting;

/// Every value that the rules of the file called `name` set, and their order: a later rule overrides an earlier one. Those that read the same in other words (`60s`, `1m`) are the same.
pub fn of(name: &str, root: &Node, written: &[Written]) -> Vec<Effective> {
    let names: Vec<&str> = written.iter().map(|written| &*written.rule.name).collect();
    let (subject, value) = (format!("rules {name}"), names.join(", "));
    let order = Effective { subject, key: "order".to_owned(), value };
    written.iter().flat_map(|written| of_rule(root, written)).chain([order]).collect()
}

fn of_rule(root: &Node, written: &Written) -> Vec<Effective> {
    let mut values = Vec::new();
    let node = root.at("rules").and_then(Node::as_list).unwrap_or_default().iter();
    let node = node.clone().find(|node| node.at("name").is_some_and(|name| name.span == written.name_at));
    if let Some(when) = node.and_then(|node| node.at("when")) {
        walk("when", when, &mut values);
    }
    for (setting, value) in written.rule.then.describe() {
        match setting {
            // One by one, below.
            Setting::ResponseHeaders => {}
            Setting::Status
            | Setting::Override
            | Setting::KeyHeaders
            | Setting::KeyCookies
            | Setting::StripCookies
            | Setting::Tags => {
                values.extend(value.split(", ").map(|one| (setting.as_str().to_owned(), one.to_owned())));
            }
            _ => values.push((setting.as_str().to_owned(), value)),
        }
    }
    if let Some(edits) = node.and_then(|node| node.at("then")?.at("response_headers")) {
        walk("response_headers", edits, &mut values);
    }
    let subject = format!("rule {}", written.rule.name);
    values.into_iter().map(|(key, value)| Effective { subject: subject.clone(), key, value }).collect()
}

/// Every scalar below a node with its path; the elements of a list share theirs.
fn walk(path: &str, node: &Node, values: &mut Vec<(String, String)>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| walk(path, item, values)),
        Value::Map(entries) => {
            entries.iter().for_each(|(key, value)| walk(&format!("{path}.{}", key.text), value, values));
        }
        Value::Broken | Value::Null => {}
        Value::Scalar(scalar) => values.push((path.to_owned(), scalar.shown().to_owned())),
    }
}
