//! What is compressed, how hard, and how much of the processor that may take.

use crate::http::accept_encoding::Coding;

/// What is compressed and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The compressions on offer, the favourite first; none turns compression off.
    pub codings: Vec<Coding>,
    /// Media types worth it, in lower case: `text/*`, `application/json`, `*+json`.
    pub types: Vec<Box<str>>,
    /// Bytes of body from which it is worth it.
    pub min_size: u64,
    /// How hard each compression tries.
    pub levels: Levels,
    /// Percent of all cores that compression may take.
    pub cpu_percent: u8,
}

/// What gets smaller by a half or more and is asked for often: text in all its forms, and the few binary formats that
/// are not compressed in themselves. It is the union of what Caddy and Cloudflare compress unasked and what guides for
/// nginx list, without names that nothing sends any more. Left out on purpose: woff and woff2, pictures, sound, video,
/// PDF and archives are compressed already; `application/octet-stream` says nothing, and is mostly a download.
const TYPES: [&str; 38] = [
    // HTML, CSS, scripts, plain text, CSV, calendars, subtitles; first, because most of what comes is one of these.
    "text/*",
    // Scripts by their older names, and what they are built into.
    "application/javascript",
    "application/x-javascript",
    "application/ecmascript",
    "application/wasm",
    // Data; the suffixes (RFC 6839) cover manifests, feeds, SVG, XHTML, GeoJSON, glTF, DASH, problem details, …
    "application/json",
    "*+json",
    "application/xml",
    "*+xml",
    "application/json-seq",
    "application/jsonl",
    "application/x-ndjson",
    "application/graphql",
    "application/yaml",
    "application/x-yaml",
    "*+yaml",
    "application/toml",
    "application/sql",
    "application/x-protobuf",
    "application/protobuf",
    "application/x-httpd-cgi",
    "application/x-sh",
    "application/rtf",
    "application/postscript",
    // Playlists of HLS (RFC 8216 §4).
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
    // Fonts without compression of their own, under the names in use before RFC 8081 and since.
    "font/ttf",
    "font/otf",
    "font/sfnt",
    "font/collection",
    "application/x-font-ttf",
    "application/x-font-opentype",
    "application/font-sfnt",
    "application/vnd.ms-fontobject",
    // Pictures that are mostly plain pixels.
    "image/bmp",
    "image/x-ms-bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
];

/// How hard each compression tries; the position is that of [`Coding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// While a client waits.
    pub now: [u8; 3],
    /// In the background, for what is stored.
    pub stored: [u8; 3],
}

/// For whom a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// For a client that waits.
    Now,
    /// For the store.
    Stored,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            codings: vec![Coding::Br, Coding::Zstd, Coding::Gzip],
            types: TYPES.iter().map(|&pattern| pattern.into()).collect(),
            min_size: 1024,
            levels: Levels::default(),
            cpu_percent: 50,
        }
    }
}

impl Default for Levels {
    fn default() -> Self {
        // In the order of `Coding`: br, gzip, zstd.
        Self { now: [4, 5, 3], stored: [6, 9, 12] }
    }
}

impl Levels {
    /// The level of a compression.
    pub fn of(&self, coding: Coding, effort: Effort) -> u8 {
        let levels = match effort {
            Effort::Now => &self.now,
            Effort::Stored => &self.stored,
        };
        levels[coding.index()]
    }
}

impl Settings {
    /// Nothing is compressed.
    pub fn off() -> Self {
        Self { codings: Vec::new(), ..Self::default() }
    }

    /// Whether a body of this type and length is worth compressing; one of unknown length may be.
    pub fn is_worth(&self, content_type: Option<&[u8]>, length: Option<u64>) -> bool {
        self.takes_type(content_type) && length.is_none_or(|length| length >= self.min_size)
    }

    /// Whether a body of this `Content-Type` is worth compressing (RFC 9110 §8.3.1: parameters do not matter here, nor
    /// does case). What names no type is only taken by `*`.
    pub fn takes_type(&self, content_type: Option<&[u8]>) -> bool {
        let value = content_type.unwrap_or_default();
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let essence = value[..end].trim_ascii();
        self.types.iter().any(|pattern| matches(pattern.as_bytes(), essence))
    }
}

/// Whether a media type is what a pattern says; a `*` in it stands for anything.
fn matches(pattern: &[u8], essence: &[u8]) -> bool {
    let Some(star) = memchr::memchr(b'*', pattern) else {
        return pattern.eq_ignore_ascii_case(essence);
    };
    let (head, tail) = (&pattern[..star], &pattern[star + 1..]);
    essence.len() >= head.len() + tail.len()
        && essence[..head.len()].eq_ignore_ascii_case(head)
        && essence[essence.len() - tail.len()..].eq_ignore_ascii_case(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn only(types: &[&str]) -> Settings {
        Settings { types: types.iter().map(|&pattern| pattern.into()).collect(), ..Settings::default() }
    }

    #[test]
    fn a_type_is_taken_by_name_by_family_and_by_suffix() {
        let settings = only(&["text/*", "application/json", "*+json"]);
        for taken in [
            "text/html",
            "TEXT/Plain; charset=utf-8",
            " text/css ;x",
            "application/json",
            "Application/JSON;charset=utf-8",
            "application/ld+json",
            "application/problem+JSON ; v=1",
        ] {
            assert!(settings.takes_type(Some(taken.as_bytes())), "{taken}");
        }
        for left in
            ["", "text", "application/jsonl", "application/xml", "image/png; x=text/html", "json", "+jso"]
        {
            assert!(!settings.takes_type(Some(left.as_bytes())), "{left}");
        }
        assert!(!settings.takes_type(None));
    }

    #[test]
    fn a_star_takes_everything_and_no_type_nothing() {
        for value in [None, Some(&b""[..]), Some(b"image/png"), Some(b"\xff;;")] {
            assert!(only(&["*"]).takes_type(value));
            assert!(!only(&[]).takes_type(value));
        }
    }

    #[test]
    fn by_default_text_is_compressed_and_what_is_compressed_already_is_not() {
        let settings = Settings::default();
        for taken in [
            "text/html; charset=utf-8",
            "text/css",
            "text/javascript",
            "application/javascript",
            "application/json",
            "application/manifest+json",
            "application/wasm",
            "application/rss+xml",
            "application/x-ndjson",
            "image/svg+xml",
            "image/vnd.microsoft.icon",
            "font/ttf",
        ] {
            assert!(settings.takes_type(Some(taken.as_bytes())), "{taken}");
        }
        for left in [
            "image/png",
            "image/jpeg",
            "image/webp",
            "video/mp4",
            "audio/mpeg",
            "font/woff",
            "font/woff2",
            "application/zip",
            "application/gzip",
            "application/pdf",
            "application/octet-stream",
        ] {
            assert!(!settings.takes_type(Some(left.as_bytes())), "{left}");
        }
        assert!(TYPES.iter().all(|pattern| *pattern == pattern.to_ascii_lowercase()));
    }

    #[test]
    fn a_short_body_is_not_worth_it_and_one_of_unknown_length_may_be() {
        let settings = Settings::default();
        let html = Some(&b"text/html"[..]);
        assert!(settings.is_worth(html, None));
        assert!(settings.is_worth(html, Some(1024)));
        assert!(!settings.is_worth(html, Some(1023)));
        assert!(!settings.is_worth(Some(b"image/png"), None));
    }

    #[test]
    fn a_level_is_found_by_its_coding() {
        let levels = Levels::default();
        assert_eq!(Coding::ALL.map(|coding| levels.of(coding, Effort::Now)), [4, 5, 3]);
        assert_eq!(Coding::ALL.map(|coding| levels.of(coding, Effort::Stored)), [6, 9, 12]);
    }

    #[test]
    fn looking_at_a_type_allocates_nothing() {
        let settings = Settings::default();
        let counted = allocation_counter::measure(|| {
            assert!(!settings.is_worth(Some(b"application/octet-stream; a=b"), Some(5000)));
        });
        assert_eq!(counted.count_total, 0);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..60), pattern in ".{0,12}") {
            let settings = only(&[&pattern, "*a", "a*", "a*a", "*"]);
            prop_assert!(settings.takes_type(Some(&value)));
        }

        #[test]
        fn parameters_and_case_make_no_difference(essence in "[a-zA-Z]{1,9}/[a-zA-Z+]{1,9}", parameter in "[ -~]{0,20}") {
            let settings = Settings::default();
            let other = format!(" {} ;{parameter}", essence.to_ascii_uppercase());
            prop_assert_eq!(settings.takes_type(Some(essence.as_bytes())), settings.takes_type(Some(other.as_bytes())));
        }
    }
}
