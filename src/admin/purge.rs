//! Reads what a purge asks for, and says exactly what is wrong with it if it cannot be done.

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::timeout;

/// Largest body that is taken.
const MAX_BODY: usize = 64 << 10;

/// From the end of the head to the end of the body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Why a purge was not carried out. Always the client's fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It ended early, or is not delimited as HTTP wants it.
    #[error("the body could not be read: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// It is not what was asked for.
    #[error("the body is not what a purge needs: {0}. {EXAMPLE}")]
    Data(serde_json::Error),
    /// There is none.
    #[error("the body is empty. {EXAMPLE}")]
    Empty,
    /// It is not JSON at all.
    #[error("the body is not JSON: {0}. {EXAMPLE}")]
    Json(serde_json::Error),
    /// It names no URL.
    #[error("`url` is missing. {EXAMPLE}")]
    MissingUrl,
    /// It is not finished in time.
    #[error("the body did not arrive within {} seconds", BODY_DEADLINE.as_secs())]
    Slow,
    /// It is larger than any purge.
    #[error("the body is larger than {} KiB", MAX_BODY >> 10)]
    TooLarge,
    /// Its URL is none, or not one that could be stored.
    #[error("`{url}` {why}. {EXAMPLE}")]
    Url { url: String, why: String },
}

const EXAMPLE: &str = r#"Send {"url": "http://host/path?query"}"#;

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// The body of a purge request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Purge {
    url: Option<String>,
}

/// Reads a body of bounded length in bounded time.
pub(super) async fn read<B>(body: B) -> Result<Bytes, Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match timeout(BODY_DEADLINE, Box::pin(Limited::new(body, MAX_BODY)).collect()).await {
        Err(_) => Err(Refusal::Slow),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Ok(Err(error)) => Err(Refusal::Broken(error)),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// The URL to purge: absolute, `http` or `https`.
pub(super) fn url(body: &[u8]) -> Result<Uri, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(Refusal::Empty);
    }
    let purge: Purge = serde_json::from_slice(body)
        .map_err(|error| if error.is_data() { Refusal::Data(error) } else { Refusal::Json(error) })?;
    let text = purge.url.ok_or(Refusal::MissingUrl)?;
    absolute(&text).map_err(|why| Refusal::Url { url: text, why })
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
            assert!(url(body.as_bytes()).unwrap().authority().is_some(), "{taken}");
        }
        assert_eq!(url(br#"{"url":"http://a"}"#).unwrap().path(), "/");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, complaint) in [
            ("", "the body is empty."),
            (" \n", "the body is empty."),
            ("{", "the body is not JSON: EOF while parsing an object at line 1 column 1."),
            ("{\n  \"url\": x}", "the body is not JSON: expected value at line 2 column 10."),
            ("url=http://a/", "the body is not JSON: expected value at line 1 column 1."),
            ("{}", "`url` is missing."),
            (
                r#"{"url": 5}"#,
                "the body is not what a purge needs: invalid type: integer `5`, expected a string at",
            ),
            (
                r#"{"tag": "a"}"#,
                "the body is not what a purge needs: unknown field `tag`, expected `url` at line 1",
            ),
            (r#"{"url": "/path"}"#, "`/path` is not absolute: it needs scheme and host."),
            (r#"{"url": "host/path"}"#, "`host/path` is not a URL: "),
            (r#"{"url": "host:80"}"#, "`host:80` is not absolute"),
            (r#"{"url": "ftp://a/"}"#, "`ftp://a/` is neither http nor https."),
            (r#"{"url": "http://u:p@a/"}"#, "`http://u:p@a/` names a user"),
            (r#"{"url": "http://a/ b"}"#, "`http://a/ b` is not a URL: "),
            (r#"{"url": ""}"#, "`` is not a URL: "),
        ] {
            let refusal = url(body.as_bytes()).unwrap_err();
            assert!(refusal.to_string().starts_with(complaint), "{body}: {refusal}");
            assert_eq!(refusal.status(), StatusCode::BAD_REQUEST);
        }
    }
}
