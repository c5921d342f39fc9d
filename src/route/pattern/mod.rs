//! Patterns as users write them, for hosts, paths and the text of fields.
//!
//! - `path`: `/a` exact, `/a/` or `/a/*` a prefix, `*.js` a glob, `~regex`;
//! - `host`: a name, `*.example.com`, or `*`;
//! - `text`: the value of a field, cookie or parameter;
//! - `glob`, `expression`: what `*` and `~` mean in all of them.
//!
//! A pattern that was read can be matched at once: matching never fails and never takes more than linear time. Two
//! patterns are equal when they take the same texts by the same means, however they were spelt. Nothing here knows
//! which pattern wins: that is `specificity`.

mod expression;
mod glob;
mod host;
mod path;
mod text;

pub use expression::Expression;
pub use host::HostPattern;
pub use path::PathPattern;
pub use text::TextPattern;

pub(super) use glob::Glob;
pub(super) use host::HostShape;
pub(super) use path::PathShape;

/// More bytes than any request target has: a longer pattern could match nothing.
const MAX_PATTERN: usize = 8 * 1024;

/// Refuses what no pattern may be.
fn check_length(written: &str) -> Result<(), String> {
    if written.len() > MAX_PATTERN {
        return Err(format!("a pattern of {} bytes is too long: {MAX_PATTERN} are allowed", written.len()));
    }
    Ok(())
}
