//! Reads what a purge asks for, and says exactly what is wrong with it if it cannot be done.

use http::Uri;
use serde::Deserialize;

/// Why a purge was not carried out. Always the client's fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It names both a URL and a tag.
    #[error("`url` and `tag` stand side by side: send one purge for each")]
    Both,
    /// It is not what was asked for.
    #[error("the body is not what a purge needs: {0}. {EXAMPLE}")]
    Data(serde_json::Error),
    /// There is none.
    #[error("the body is empty. {EXAMPLE}")]
    Empty,
    /// It is not JSON at all.
    #[error("the body is not JSON: {0}. {EXAMPLE}")]
    Json(serde_json::Error),
    /// It names nothing to purge.
    #[error("`url` or `tag` is missing. {EXAMPLE}")]
    Missing,
    /// Its URL is none, or not one that could be stored.
    #[error("`{url}` {why}. {EXAMPLE}")]
    Url { url: String, why: String },
}

const EXAMPLE: &str = r#"Send {"url": "http://host/path?query"} or {"tag": "assets"}"#;

/// The body of a purge request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Purge {
    url: Option<String>,
    tag: Option<String>,
}

/// What is to be purged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything that a rule has given this tag.
    Tag(String),
    /// Every variant of an absolute URL, `http` or `https`.
    Url(Uri),
}

/// Reads what is to be purged.
pub(super) fn wanted(body: &[u8]) -> Result<Wanted, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(Refusal::Empty);
    }
    let purge: Purge = serde_json::from_slice(body)
        .map_err(|error| if error.is_data() { Refusal::Data(error) } else { Refusal::Json(error) })?;
    match (purge.url, purge.tag) {
        (Some(_), Some(_)) => Err(Refusal::Both),
        (None, Some(tag)) => Ok(Wanted::Tag(tag)),
        (Some(text), None) => match absolute(&text) {
            Ok(url) => Ok(Wanted::Url(url)),
            Err(why) => Err(Refusal::Url { url: text, why }),
        },
        (None, None) => Err(Refusal::Missing),
    }
}

fn absolute(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("is not a URL: {error}"))?;
    let Some(authority) = url.authority().filter(|_| url.scheme().is_some()) else {
        return Err("is not absolute: it needs scheme and host".into());
    };
    if authority.as_str().contains('@') {
        return Err("names a user, which no stored URL does".into());
    }
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err("is neither http nor https".into());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_url_is_taken() {
        for taken in ["http://a/", "https://a.example:8443/x?y=1", "http://[::1]/", "HTTP://A/b"] {
            let body = serde_json::json!({ "url": taken }).to_string();
            let wanted = wanted(body.as_bytes()).unwrap();
            assert!(matches!(wanted, Wanted::Url(url) if url.authority().is_some()), "{taken}");
        }
        assert_eq!(wanted(br#"{"tag":"a"}"#).unwrap(), Wanted::Tag("a".into()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, complaint) in [
            ("", "the body is empty."),
            (" \n", "the body is empty."),
            ("{", "the body is not JSON: EOF while parsing an object at line 1 column 1."),
            ("{\n  \"url\": x}", "the body is not JSON: expected value at line 2 column 10."),
            ("url=http://a/", "the body is not JSON: expected value at line 1 column 1."),
            ("{}", "`url` or `tag` is missing."),
            (r#"{"url": "http://a/", "tag": "b"}"#, "`url` and `tag` stand side by side"),
            (
                r#"{"url": 5}"#,
                "the body is not what a purge needs: invalid type: integer `5`, expected a string at",
            ),
            (
                r#"{"host": "a"}"#,
                "the body is not what a purge needs: unknown field `host`, expected `url` or `tag` at line 1",
            ),
            (r#"{"url": "/path"}"#, "`/path` is not absolute: it needs scheme and host."),
            (r#"{"url": "host/path"}"#, "`host/path` is not a URL: "),
            (r#"{"url": "host:80"}"#, "`host:80` is not absolute"),
            (r#"{"url": "ftp://a/"}"#, "`ftp://a/` is neither http nor https."),
            (r#"{"url": "http://u:p@a/"}"#, "`http://u:p@a/` names a user"),
            (r#"{"url": "http://a/ b"}"#, "`http://a/ b` is not a URL: "),
            (r#"{"url": ""}"#, "`` is not a URL: "),
        ] {
            let refusal = wanted(body.as_bytes()).unwrap_err();
            assert!(refusal.to_string().starts_with(complaint), "{body}: {refusal}");
        }
    }
}
