//! The manual and the schema are what the tables say.

use super::{project, same_as_file};
use crate::config::{RULE_FILE, TOP, reference, schema};

const HEAD: &str = "\
# Every key of the configuration

Written from the tables that the program reads by (`FORELAND_BLESS=1 cargo test manual` after a change). Durations are
written `30s`, `10m`, `1h30m`, sizes `64KiB`, `512MiB`. `foreland check` finds every mistake at once, `foreland check
--dump` prints what is in force. For editors there are schemas: `conf/foreland.schema.json` and
`conf/rules.schema.json`.

";

#[test]
fn the_reference_is_what_the_tables_say() {
    same_as_file(&project("conf/REFERENCE.md"), &format!("{HEAD}{}", reference(&[&TOP, &RULE_FILE])));
}

#[test]
fn the_schemas_are_what_the_tables_say() {
    for (path, section) in [("conf/foreland.schema.json", &TOP), ("conf/rules.schema.json", &RULE_FILE)] {
        let text = serde_json::to_string_pretty(&schema(section)).unwrap();
        same_as_file(&project(path), &format!("{text}\n"));
    }
}
