//! Configuration: from files that people write to a `Setup` in which nothing is wrong.
//!
//! - **reading**: `files`, `env`, `syntax`, `yaml`, `tree`, `expand`, `secrets`, `include`, `source` make a tree in which every
//!   value knows its place;
//! - **tables**: `table` says which keys there are; `validate`, `fields`, `value`, `units`, `suggest` read by it, and
//!   `dump`, `reference`, `schema`, `problems` write from it;
//! - **mistakes**: `span`, `report`, `render` collect and show all of them at once;
//! - **sections**: `sections` has the table of each part and compiles it; `matchers`, `named`, `edits`, `names`,
//!   `media`, `quantity` are what they and the rule files share; `rules` compiles cache rules and their tests;
//! - **the whole**: `load` puts all of it together; `effective` says what is in force.
//!
//! The invariant: a setup is made only from files in which not one mistake was found, and every mistake is reported
//! with its place, in one go. It opens nothing, starts nothing and changes nothing.

mod dump;
pub mod edits;
pub mod effective;
pub mod env;
mod expand;
mod fields;
mod files;
#[cfg(test)]
mod fixture;
mod include;
mod load;
pub mod matchers;
pub mod media;
pub mod named;
pub mod names;
mod problems;
pub mod quantity;
mod reference;
mod render;
mod report;
pub mod rules;
mod schema;
mod secrets;
mod sections;
mod source;
mod span;
mod suggest;
mod syntax;
mod table;
#[cfg(test)]
mod tests;
mod tree;
pub mod units;
mod validate;
mod value;
mod yaml;

pub use dump::{dump, flatten};
pub use effective::Effective;
pub use env::{Env, Nothing, System};
pub use fields::Fields;
pub use files::{File, Files};
pub use include::INCLUDE;
pub use load::{Loaded, Refused, load, load_rules, load_text, load_with};
pub use reference::reference;
pub use render::{render_json, render_text};
pub use report::{Counts, Diagnostic, Report, Severity};
pub use rules::{DEFAULT_RULES, RULE_FILE, default_rules};
pub use schema::schema;
pub use sections::TOP;
pub use source::{Source, load_one, parse_one};
pub use span::Span;
pub use suggest::{did_you_mean, suggest};
pub use table::{Field, Kind, Need, Section};
pub use tree::{Key, Node, Scalar, Value};
pub use validate::{validate, validate_value};
