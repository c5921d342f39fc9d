//! A pattern for the value of a header field, a cookie, a parameter or a content type.

use super::{Expression, Glob, check_length};
use std::fmt;
use std::str::FromStr;

/// `gzip` the whole value, `image/*` with `*` for any characters, `~regex`. Case counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TextPattern {
    written: Box<str>,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shape {
    Exact,
    Glob(Glob),
    Regex(Expression),
}

impl TextPattern {
    /// Whether it takes the value.
    pub fn matches(&self, value: &[u8]) -> bool {
        match &self.shape {
            Shape::Exact => self.written.as_bytes() == value,
            Shape::Glob(glob) => glob.matches(value),
            Shape::Regex(regex) => regex.matches(value),
        }
    }

    /// Whether it takes one value only.
    pub fn is_exact(&self) -> bool {
        matches!(self.shape, Shape::Exact)
    }
}

impl FromStr for TextPattern {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        check_length(written)?;
        if let Some(control) = written.chars().find(|c| c.is_control()) {
            return Err(format!("the pattern has the control character {control:?}, which no value has"));
        }
        let shape = match written.strip_prefix('~') {
            Some(regex) => Shape::Regex(Expression::parse(regex)?),
            None => Glob::parse(written).map_or(Shape::Exact, Shape::Glob),
        };
        Ok(Self { written: written.into(), shape })
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_matched_as_a_whole_unless_a_regex_says_otherwise() {
        for (pattern, value, expected) in [
            ("gzip", "gzip", true),
            ("gzip", "gzip, br", false),
            ("gzip", "GZIP", false),
            ("image/*", "image/png", true),
            ("*bot*", "Googlebot/2.1", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("~bot", "Googlebot/2.1", true),
            ("~(?i)^GOOGLE", "Googlebot/2.1", true),
            ("~^a$", "ab", false),
        ] {
            let parsed: TextPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(value.as_bytes()), expected, "{pattern} {value}");
            assert_eq!(parsed.to_string(), pattern);
        }
        assert!("*x*".parse::<TextPattern>().unwrap().matches(b"\xff x \xfe"));
    }

    #[test]
    fn what_no_value_has_is_refused() {
        assert!("a\nb".parse::<TextPattern>().is_err());
        assert!("~(".parse::<TextPattern>().unwrap_err().contains("unclosed group"));
    }
}
