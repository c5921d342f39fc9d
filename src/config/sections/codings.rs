//! Compressions by their names, as compression and folders of files list them.

use crate::config::{Fields, Kind, Report};
use crate::http::accept_encoding::Coding;

/// A compression, our favourite first.
pub const CODING: Kind = Kind::Word(&["br", "zstd", "gzip"]);

/// The compressions under a key, in the order of the file; nothing without the key. None: something is wrong, and
/// reported.
pub fn listed(key: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Vec<Coding>> {
    let mut codings = Vec::new();
    for node in fields.list(key, report) {
        let coding = Coding::parse(node.as_text()?.as_bytes())?;
        if codings.contains(&coding) {
            let message = format!("`{key}` lists `{}` twice", coding.token());
            report.error_with(node.span, message, "remove it");
            return None;
        }
        codings.push(coding);
    }
    Some(codings)
}
