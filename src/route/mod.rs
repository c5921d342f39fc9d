//! Which route takes a request, and the conditions that routes and cache rules share.
//!
//! - `normal`, `subject`: a request as patterns see it, host and path in their one normal form;
//! - `pattern`: hosts, paths and texts as users write them;
//! - `test`, `client`, `because`: conditions on a request, and why one holds or does not, in words;
//! - `index`, `paths`, `names`: the ids whose patterns take a request, at a cost that does not grow with the others;
//! - `table`, `specificity`, `hidden`: the routes, which of them wins, and which never can;
//! - `template`, `edits`, `rewrite`: what a route changes about a request or a response.
//!
//! Invariant: matching never fails, allocates nothing (an expression makes its working memory the first time that a
//! thread uses it) and takes time linear in the request. Nothing here knows what a route leads to, reads
//! configuration, or decides about the cache.

mod because;
mod client;
mod edits;
#[cfg(test)]
mod fixture;
#[expect(clippy::mutable_key_type, reason = "a pattern hashes by its text, which never changes")]
mod hidden;
mod index;
mod names;
mod normal;
mod paths;
mod pattern;
mod rewrite;
mod specificity;
mod subject;
mod table;
mod template;
mod test;

pub use because::{of_field as because_field, of_value as because_value};
pub use client::parse_net;
pub use edits::Edits;
pub use index::Index;
pub use normal::{hides_dot_segments, normal};
pub use pattern::{Expression, HostPattern, PathPattern, TextPattern};
pub use rewrite::Rewrite;
pub use specificity::{HostRank, PathRank, Specificity};
pub use subject::Subject;
pub use table::{Considered, Match, Table};
pub use template::{Template, Values};
pub use test::{FieldTest, Test, ValueTest};
