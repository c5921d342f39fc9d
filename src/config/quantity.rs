//! Quantities with a bound of their own: durations longer than nothing or of whole seconds, sizes, lists.

use super::fields::Fields;
use super::report::Report;
use super::tree::Node;
use super::units;
use std::time::Duration;

/// Whether a list is given that has no elements.
pub fn lists_nothing(key: &str, fields: &Fields<'_>) -> bool {
    fields.maybe(key).and_then(Node::as_list).is_some_and(<[Node]>::is_empty)
}

/// A duration that is longer than nothing.
pub fn positive(key: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Duration> {
    let duration = fields.duration(key, report)?;
    if duration.is_zero() {
        fields.error(key, format!("`{key}` must be longer than 0s"), report);
        return None;
    }
    Some(duration)
}

/// A duration of whole seconds.
pub fn seconds(key: &str, fields: &Fields<'_>, report: &mut Report) -> Option<u32> {
    match fields.maybe(key) {
        Some(node) => node_seconds(node, key, report),
        None => u32::try_from(fields.duration(key, report)?.as_secs()).ok(),
    }
}

/// The same for one value; `key` is what messages call it.
pub fn node_seconds(node: &Node, key: &str, report: &mut Report) -> Option<u32> {
    let duration = node.duration(key, report)?;
    if duration.subsec_nanos() != 0 {
        // HTTP counts in seconds (RFC 9111 §1.2.2).
        let message =
            format!("`{key}` needs whole seconds; `{}` has a fraction", units::show_duration(duration));
        report.error(node.span, message);
        return None;
    }
    u32::try_from(duration.as_secs()).ok()
}

/// A size of at least `least` bytes.
pub fn at_least(key: &str, least: u64, fields: &Fields<'_>, report: &mut Report) -> Option<u64> {
    let size = fields.size(key, report)?;
    if size < least {
        let (least, size) = (units::show_size(least), units::show_size(size));
        fields.error(key, format!("`{key}` must be at least {least}; `{size}` is less"), report);
        return None;
    }
    Some(size)
}
