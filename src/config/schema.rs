//! Writes the tables as a JSON Schema, so that an editor completes keys and marks mistakes while they are typed.

use serde_json::{Map, Value as Json, json};

use super::table::{Field, Kind, Need, Section};

/// What an editor cannot know: the value behind `${NAME}` or `${file:…}`.
const EXPANDED: &str = r"\$\{[^}]*\}";
const DURATION: &str = r"^(0|[0-9]+(ms|s|m|h|d|w|y)( *[0-9]+(ms|s|m|h|d|w|y))*)$";
const SIZE: &str = r"^(0|[0-9]+(B|KiB|MiB|GiB|TiB))$";

/// The schema of a file whose top level is `top`.
pub fn schema(top: &'static Section) -> Json {
    let family = top.family();
    let definitions: Map<String, Json> =
        family.iter().map(|section| (section.name.to_owned(), object(section))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": top.name,
        "$ref": reference(top),
        "$defs": definitions,
    })
}

fn reference(section: &Section) -> String {
    format!("#/$defs/{}", section.name.replace('~', "~0").replace('/', "~1").replace(' ', "%20"))
}

fn object(section: &'static Section) -> Json {
    let properties: Map<String, Json> =
        section.fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    let required: Vec<&str> =
        section.fields.iter().filter(|field| field.need == Need::Required).map(|field| field.name).collect();
    json!({
        "type": "object",
        "description": section.doc.trim(),
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(field: &'static Field) -> Json {
    let mut value = kind(&field.kind);
    if let Some(keywords) = value.as_object_mut() {
        let mut doc = field.doc.trim().to_owned();
        if let Need::Default(default) = field.need {
            doc.push_str(&format!("\n\nDefault: `{default}`"));
        }
        if !field.example.is_empty() {
            doc.push_str(&format!("\n\nExample: `{}: {}`", field.name, field.example));
        }
        keywords.insert("description".to_owned(), json!(doc));
    }
    // A key without a value counts as absent.
    match field.need {
        Need::Required => value,
        Need::Default(_) | Need::Optional => {
            let description = value.as_object_mut().and_then(|keywords| keywords.remove("description"));
            json!({ "anyOf": [value, { "type": "null" }], "description": description })
        }
    }
}

fn kind(kind: &'static Kind) -> Json {
    match kind {
        Kind::Bool => expanded(json!({ "type": "boolean" })),
        Kind::Duration => expanded(written(DURATION)),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(self::kind).collect::<Vec<Json>>() }),
        Kind::Integer { min, max } => {
            let mut integer = json!({ "type": "integer", "minimum": min });
            if let Some(keywords) = integer.as_object_mut().filter(|_| *max < u64::MAX) {
                keywords.insert("maximum".to_owned(), json!(max));
            }
            expanded(integer)
        }
        Kind::List(inner) => json!({ "type": "array", "items": self::kind(inner) }),
        Kind::Map(inner) => json!({ "type": "object", "additionalProperties": self::kind(inner) }),
        Kind::OneOrMany(inner) => {
            let one = self::kind(inner);
            json!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
        }
        Kind::Section(section) => json!({ "$ref": reference(section) }),
        Kind::Size => expanded(written(SIZE)),
        Kind::Text(_) => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Word(words) => expanded(json!({ "enum": words })),
    }
}

/// A text of a form, or the number 0, which has no unit.
fn written(pattern: &str) -> Json {
    json!({ "type": ["string", "integer"], "pattern": pattern, "maximum": 0 })
}

fn expanded(value: Json) -> Json {
    json!({ "anyOf": [value, { "type": "string", "pattern": EXPANDED }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::TOP;

    #[test]
    fn every_section_is_a_definition_that_refuses_other_keys() {
        let schema = schema(&TOP);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["$ref"], "#/$defs/configuration");
        let definitions = schema["$defs"].as_object().unwrap();
        assert_eq!(definitions.len(), 10);
        for definition in definitions.values() {
            assert_eq!(definition["additionalProperties"], false);
        }
        assert_eq!(definitions["listener"]["required"], json!(["bind"]));
    }

    #[test]
    fn kinds_become_keywords() {
        let schema = schema(&TOP);
        let property = |section: &str, key: &str| schema["$defs"][section]["properties"][key].clone();
        let expanded = json!({ "type": "string", "pattern": EXPANDED });
        assert_eq!(
            property("server", "weight"),
            json!({
                "anyOf": [
                    { "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 1000 }, expanded] },
                    { "type": "null" },
                ],
                "description": "What it is for.\n\nDefault: `1`\n\nExample: `weight: 2`",
            })
        );
        assert_eq!(
            property("upstream", "balance")["anyOf"][0]["anyOf"][0],
            json!({ "enum": ["round_robin", "least_connections", "random"] })
        );
        assert_eq!(property("condition", "any")["anyOf"][0]["items"], json!({ "$ref": "#/$defs/condition" }));
        assert_eq!(property("cache", "memory")["anyOf"][0]["anyOf"][0]["pattern"], SIZE);
        assert_eq!(property("listener", "bind")["type"], json!(["string", "number", "boolean"]));
    }

    #[test]
    fn it_is_the_same_every_time() {
        assert_eq!(schema(&TOP).to_string(), schema(&TOP).to_string());
    }
}
