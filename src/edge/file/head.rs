//! The heads under which files are sent.

use crate::cache::object::{Fields, Ruled, StoredHead};
use crate::cache::policy::{Lifetime as Life, LifetimeSource, StoredTimes};
use crate::compress;
use crate::files::{Lifetime, Opened};
use crate::http::accept_encoding::{self, Coding};
use crate::http::date;
use crate::http::fields;
use std::sync::Arc;

/// Fields that a file keeps which stands in for what does not exist: what browsers do with it is not what they do with
/// the file itself, and nobody shall take it for an answer to a condition.
const OF_A_STANDIN: [&str; 3] = ["content-type", "content-encoding", "vary"];

/// The head of a file, or of its compressed sibling with this entity tag and length.
pub fn of(
    opened: &Opened,
    coding: Option<Coding>,
    etag: &str,
    length: u64,
    varies: bool,
    now: u64,
) -> StoredHead {
    // RFC 9110 §8.8.2.1: never later than the answer itself.
    let modified = date::format(opened.modified.min(now));
    let lifetime = opened.lifetime.map(|lifetime| match lifetime {
        Lifetime::NoCache => "no-cache".to_owned(),
        Lifetime::Seconds(seconds) => format!("max-age={seconds}"),
    });
    let mut kept: Vec<(&str, &[u8])> = vec![
        ("Content-Type", opened.media_type.as_bytes()),
        ("Last-Modified", &modified),
        ("ETag", etag.as_bytes()),
    ];
    // Ranges are those of the file itself.
    kept.extend(coding.is_none().then_some(("Accept-Ranges", &b"bytes"[..])));
    kept.extend(lifetime.as_ref().map(|lifetime| ("Cache-Control", lifetime.as_bytes())));
    kept.extend(varies.then_some(("Vary", &b"Accept-Encoding"[..])));
    kept.extend(coding.map(|coding| ("Content-Encoding", coding.token().as_bytes())));
    let fields = Fields { kept, ..Fields::default() };
    let mut head = StoredHead::of(200, fields, Some(length), times(now), None, Ruled::default());
    head.coding = coding;
    head
}

/// The head of a file that is read as it is sent, and which sibling it is of: the one that the client likes best. Who
/// asks for a range means the file itself. Of a file without the right sibling other forms may be made as it is read.
pub fn of_open(
    opened: &Opened,
    compress: Option<&compress::Settings>,
    fields: fields::Fields<'_>,
    now: u64,
) -> (Option<usize>, StoredHead) {
    let offered = opened.siblings.iter().map(|sibling| sibling.coding);
    let best = match fields.has("range") {
        false => accept_encoding::parse(fields.all("accept-encoding")).best(offered),
        true => None,
    };
    let compressed = is_compressed(opened, compress);
    let varies = compressed || !opened.siblings.is_empty();
    let at = best.and_then(|best| opened.siblings.iter().position(|sibling| sibling.coding == best));
    match at.and_then(|at| opened.siblings.get(at)) {
        Some(sibling) => (at, of(opened, best, &sibling.etag, sibling.length, varies, now)),
        None => {
            let mut head = of(opened, None, &opened.etag, opened.length, varies, now);
            head.desk = compressed.then(Arc::default);
            (None, head)
        }
    }
}

/// Whether a file is compressed for clients that can read that.
pub fn is_compressed(opened: &Opened, compress: Option<&compress::Settings>) -> bool {
    let media_type = Some(opened.media_type.as_bytes());
    compress.is_some_and(|settings| settings.is_worth(media_type, Some(opened.length)))
}

/// The head of a file that stands in for what does not exist.
pub fn instead(status: u16, head: &StoredHead, length: u64) -> StoredHead {
    let stays = |name: &str| OF_A_STANDIN.iter().any(|n| name.eq_ignore_ascii_case(n));
    let kept = head.shown_fields().filter(|(name, _)| stays(name)).collect();
    let fields = Fields { kept, ..Fields::default() };
    StoredHead::of(status, fields, Some(length), head.times, None, Ruled::default())
}

/// A file is never taken for what an origin said: it is looked at again instead.
fn times(now: u64) -> StoredTimes {
    let life = Life {
        lifetime: 0,
        initial_age: 0,
        while_revalidate: 0,
        if_error: 0,
        always_validate: false,
        must_revalidate: false,
        shareable_with_credentials: true,
        stale_if_asked: false,
        source: LifetimeSource::None,
    };
    StoredTimes { received_at: now, life }
}
