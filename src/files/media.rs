//! Knows the media type of a file by its name, and how long a browser may keep it.

use super::settings::{Lifetime, Settings};

/// The media type of a file, with charset where it has one. What the settings say is taken as it stands.
pub(super) fn media_type(settings: &Settings, name: &str) -> Box<str> {
    let Some(extension) = extension(name) else { return settings.default_type.clone() };
    if let Some((_, own)) = settings.types.iter().find(|(own, _)| own.eq_ignore_ascii_case(extension)) {
        return own.clone();
    }
    let lower = extension.to_ascii_lowercase();
    match TYPES.binary_search_by_key(&lower.as_str(), |(known, _)| known) {
        Ok(at) => with_charset(TYPES[at].1),
        Err(_) => settings.default_type.clone(),
    }
}

/// How long a browser may keep what is of this media type: the first pattern that matches says it.
pub(super) fn lifetime(settings: &Settings, media_type: &str) -> Option<Lifetime> {
    let essence = media_type.split(';').next().unwrap_or(media_type).trim();
    settings.expires.iter().find(|(pattern, _)| matches(pattern, essence)).map(|(_, lifetime)| *lifetime)
}

/// `a.tar.gz` is a `gz`; a dot at the beginning or at the end ends no name.
fn extension(name: &str) -> Option<&str> {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.rsplit_once('.')
        .filter(|(stem, extension)| !stem.is_empty() && !extension.is_empty())
        .map(|(_, it)| it)
}

/// Text is UTF-8 here. Of the types of applications only these have the parameter: JSON has none (RFC 8259 §11).
fn with_charset(media_type: &str) -> Box<str> {
    let is_text = media_type.starts_with("text/") || media_type.ends_with("xml");
    if is_text { format!("{media_type}; charset=utf-8").into() } else { media_type.into() }
}

fn matches(pattern: &str, essence: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("" | "*/") => true,
        Some(begin) => essence.get(..begin.len()).is_some_and(|it| it.eq_ignore_ascii_case(begin)),
        None => essence.eq_ignore_ascii_case(pattern),
    }
}

/// By extension, which the rows are sorted by. Registered types (IANA) where there is one; JavaScript as RFC 9239 §6 says.
static TYPES: [(&str, &str); 158] = [
    ("3gp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("apng", "image/apng"),
    ("appcache", "text/cache-manifest"),
    ("asc", "application/pgp-signature"),
    ("atom", "application/atom+xml"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain"),
    ("cc", "text/plain"),
    ("cer", "application/x-x509-ca-cert"),
    ("cjs", "text/javascript"),
    ("conf", "text/plain"),
    ("cpp", "text/plain"),
    ("crt", "application/x-x509-ca-cert"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("cur", "image/vnd.microsoft.icon"),
    ("deb", "application/vnd.debian.binary-package"),
    ("dll", "application/octet-stream"),
    ("dmg", "application/octet-stream"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("eot", "application/vnd.ms-fontobject"),
    ("eps", "application/postscript"),
    ("epub", "application/epub+zip"),
    ("exe", "application/octet-stream"),
    ("flac", "audio/flac"),
    ("flv", "video/x-flv"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("go", "text/plain"),
    ("gpx", "application/gpx+xml"),
    ("gql", "application/graphql"),
    ("graphql", "application/graphql"),
    ("gz", "application/gzip"),
    ("h", "text/plain"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("hpp", "text/plain"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar"),
    ("img", "application/octet-stream"),
    ("ini", "text/plain"),
    ("iso", "application/octet-stream"),
    ("jar", "application/java-archive"),
    ("java", "text/plain"),
    ("jfif", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonl", "application/x-ndjson"),
    ("jsonld", "application/ld+json"),
    ("jsx", "text/jsx"),
    ("jxl", "image/jxl"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("log", "text/plain"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("markdown", "text/markdown"),
    ("md", "text/markdown"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mjs", "text/javascript"),
    ("mkv", "video/matroska"),
    ("mobi", "application/x-mobipocket-ebook"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("msi", "application/octet-stream"),
    ("ndjson", "application/x-ndjson"),
    ("obj", "model/obj"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("pem", "application/x-x509-ca-cert"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("proto", "text/plain"),
    ("ps", "application/postscript"),
    ("psd", "image/vnd.adobe.photoshop"),
    ("py", "text/plain"),
    ("qt", "video/quicktime"),
    ("rar", "application/vnd.rar"),
    ("rdf", "application/rdf+xml"),
    ("rpm", "application/x-rpm"),
    ("rs", "text/plain"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("sh", "text/plain"),
    ("shtml", "text/html"),
    ("sig", "application/pgp-signature"),
    ("so", "application/octet-stream"),
    ("sql", "application/sql"),
    ("stl", "model/stl"),
    ("svg", "image/svg+xml"),
    ("swf", "application/vnd.adobe.flash.movie"),
    ("tar", "application/x-tar"),
    ("text", "text/plain"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("torrent", "application/x-bittorrent"),
    ("ts", "video/mp2t"),
    ("tsv", "text/tab-separated-values"),
    ("tsx", "text/plain"),
    ("ttc", "font/collection"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain"),
    ("usdz", "model/vnd.usdz+zip"),
    ("vcf", "text/vcard"),
    ("vtt", "text/vtt"),
    ("war", "application/java-archive"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("wmv", "video/x-ms-wmv"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "application/xml"),
    ("xsd", "application/xml"),
    ("xsl", "application/xml"),
    ("xslt", "application/xslt+xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn of(name: &str) -> String {
        media_type(&Settings::of(PathBuf::new()), name).into()
    }

    #[test]
    fn the_extension_says_the_media_type() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.MJS", "text/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.svg", "image/svg+xml; charset=utf-8"),
            ("feed.xml", "application/xml; charset=utf-8"),
            ("a.PNG", "image/png"),
            ("a.min.tar.gz", "application/gzip"),
            ("a.wasm", "application/wasm"),
            ("a.woff2", "font/woff2"),
            ("a.webmanifest", "application/manifest+json"),
            ("a", "application/octet-stream"),
            ("a.", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("a.html/b", "application/octet-stream"),
            ("a.unheard", "application/octet-stream"),
            ("", "application/octet-stream"),
            ("a.txt::$DATA", "application/octet-stream"),
        ] {
            assert_eq!(of(name), expected, "{name}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_lower_case() {
        for pair in TYPES.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{pair:?}");
        }
        for (extension, media_type) in TYPES {
            assert_eq!(extension, extension.to_ascii_lowercase());
            assert!(media_type.contains('/') && !media_type.contains(';'), "{media_type}");
        }
    }

    #[test]
    fn own_types_come_first_and_are_taken_as_they_stand() {
        let mut settings = Settings::of(PathBuf::new());
        settings.types = vec![("html".into(), "text/x-own".into()), ("foo".into(), "text/plain".into())];
        settings.default_type = "text/plain; charset=latin1".into();
        for (name, expected) in
            [("a.HTML", "text/x-own"), ("a.foo", "text/plain"), ("a", "text/plain; charset=latin1")]
        {
            assert_eq!(&*media_type(&settings, name), expected);
        }
    }

    #[test]
    fn the_first_pattern_that_matches_says_the_lifetime() {
        let mut settings = Settings::of(PathBuf::new());
        assert_eq!(lifetime(&settings, "text/html"), None);
        let rows = [("text/html", 1), ("image/svg+xml", 2), ("Image/*", 3), ("*/*", 4), ("*", 5)];
        settings.expires =
            rows.iter().map(|(it, seconds)| ((*it).into(), Lifetime::Seconds(*seconds))).collect();
        for (media_type, seconds) in [
            ("text/html; charset=utf-8", 1),
            ("image/svg+xml", 2),
            ("image/png", 3),
            ("imagex/png", 4),
            ("text/htmlx", 4),
        ] {
            assert_eq!(lifetime(&settings, media_type), Some(Lifetime::Seconds(seconds)), "{media_type}");
        }
        settings.expires.truncate(1);
        assert_eq!(lifetime(&settings, "text/css"), None);
    }
}
