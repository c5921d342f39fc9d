//! Media types and patterns for them, as compression and folders of files write them.

use crate::http::list::is_token;
use std::str::FromStr;

/// A media type as it is sent, perhaps with parameters: `text/html; charset=utf-8`.
pub struct MediaType(pub Box<str>);
/// A pattern for media types, in lower case: `application/json`, `text/*`, `*+json`.
pub struct MediaPattern(pub Box<str>);

impl FromStr for MediaType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (essence, parameters) = text.split_once(';').unwrap_or((text, "charset=utf-8"));
        // RFC 9110 §8.3.1: type "/" subtype, and parameters with `=` between name and value.
        let named = |parameter: &str| {
            let (name, value) = parameter.trim().split_once('=')?;
            (is_token(name.as_bytes()) && !value.is_empty()).then_some(())
        };
        let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        match is_type(essence.trim_end()) && printable && parameters.split(';').all(|p| named(p).is_some()) {
            true => Ok(Self(text.into())),
            false => Err(format!("`{text}` is no media type: write one such as text/html")),
        }
    }
}

impl FromStr for MediaPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((essence, _)) = text.split_once(';') {
            return Err(format!(
                "`{text}` has parameters, which do not count: write `{}`",
                essence.trim_end()
            ));
        }
        if text == "*" {
            return Err(
                "`*` takes every type, also those that gain nothing: name those that are meant".to_owned()
            );
        }
        let suffix = text.strip_prefix("*+").is_some_and(is_name);
        let whole = text.strip_suffix("/*").is_some_and(is_name);
        match suffix || whole || is_type(text) {
            true => Ok(Self(text.to_ascii_lowercase().into())),
            false => Err(format!("`{text}` takes no media type: write such as text/html or text/*")),
        }
    }
}

impl MediaPattern {
    /// Whether every type that another pattern takes is taken by this one, too.
    pub fn covers(&self, other: &Self) -> bool {
        let whole = self.0.strip_suffix('*').filter(|kind| kind.ends_with('/'));
        let suffix = self.0.strip_prefix('*');
        self.0 == other.0
            || whole.is_some_and(|kind| other.0.starts_with(kind))
            || suffix.is_some_and(|suffix| other.0.ends_with(suffix))
    }
}

fn is_type(text: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, below)| is_name(kind) && is_name(below))
}

/// A part of a media type. HTTP would let a star stand in it; nobody means one.
fn is_name(text: &str) -> bool {
    is_token(text.as_bytes()) && !text.contains('*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_media_type_is_taken_as_it_is_sent() {
        for fine in
            ["text/html", "text/html; charset=utf-8", "text/html;charset=utf-8;a=\"b c\"", "image/svg+xml"]
        {
            assert_eq!(fine.parse::<MediaType>().ok().map(|MediaType(kind)| kind).as_deref(), Some(fine));
        }
        for wrong in
            ["", "html", "text/", "/html", "text/*", "text/html;", "text/html; x", "a b/c", "text/é", "a/b/c"]
        {
            assert!(wrong.parse::<MediaType>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pattern_takes_one_type_a_kind_or_a_suffix() {
        for fine in ["text/html", "TEXT/*", "*+json", "application/vnd.api+json"] {
            let read = fine.parse::<MediaPattern>().ok().map(|MediaPattern(pattern)| pattern);
            assert_eq!(read.as_deref(), Some(&*fine.to_ascii_lowercase()));
        }
        for wrong in
            ["", "*", "*/*", "*/html", "text", "te*t/html", "text/h*", "+json", "*+", "text/html; q=1"]
        {
            assert!(wrong.parse::<MediaPattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        let pattern = |text: &str| text.parse::<MediaPattern>().unwrap();
        for (wide, narrow, expected) in [
            ("text/*", "text/html", true),
            ("text/*", "text/*", true),
            ("*+json", "application/a+json", true),
            ("text/html", "text/*", false),
            ("text/*", "textual/html", false),
            ("*+json", "application/json", false),
            ("application/*", "*+json", false),
        ] {
            assert_eq!(pattern(wide).covers(&pattern(narrow)), expected, "{wide} {narrow}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "\\PC{0,12}|[a-z*/+;= ]{0,10}") {
            if let Ok(MediaType(kind)) = text.parse::<MediaType>() {
                prop_assert!(http::HeaderValue::from_str(&kind).is_ok());
            }
            if let Ok(pattern) = text.parse::<MediaPattern>() {
                prop_assert!(pattern.covers(&pattern));
            }
        }
    }
}
