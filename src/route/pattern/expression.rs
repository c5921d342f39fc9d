//! A regular expression that was checked, bounded and remembers how it was written.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind, Look};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What a compiled expression may take; one of this size already holds ten thousand names.
const MAX_COMPILED: usize = 1 << 20;
/// How deep groups may nest.
const MAX_NESTING: u32 = 64;

/// A regular expression, found anywhere in a text unless it says `^` or `$`. It takes linear time whatever it is.
#[derive(Clone, Debug)]
pub struct Expression {
    regex: Arc<Regex>,
}

impl Expression {
    /// Reads an expression. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("`~` needs a regular expression after it, such as `~^/v[0-9]+/`".to_owned());
        }
        let built = RegexBuilder::new(text)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .nest_limit(MAX_NESTING)
            .build();
        built.map(|regex| Self { regex: Arc::new(regex) }).map_err(|error| explain(text, &error))
    }

    /// Whether it is found in the text.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// As it was written, without `~`.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// The compiled expression, for replacements.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    /// What every text it takes begins with, as far as that is plain to see.
    pub fn beginning(&self) -> String {
        regex_syntax::parse(self.as_str()).ok().and_then(|hir| beginning(&hir)).unwrap_or_default()
    }
}

/// Two expressions are equal when they were written the same.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// `^literal…`: only then does a text have to begin with the literal.
fn beginning(hir: &Hir) -> Option<String> {
    let HirKind::Concat(parts) = hir.kind() else { return None };
    let [start, literal, ..] = parts.as_slice() else { return None };
    match (start.kind(), literal.kind()) {
        (HirKind::Look(Look::Start), HirKind::Literal(literal)) => String::from_utf8(literal.0.to_vec()).ok(),
        _ => None,
    }
}

fn explain(text: &str, error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            format!(
                "regular expression `{text}` is too large: make its repetitions `{{n,m}}` smaller or fewer"
            )
        }
        _ => {
            let shown = error.to_string();
            // The crate draws the place over several lines; its last one says what is wrong.
            let cause = shown.lines().rev().find_map(|line| line.strip_prefix("error: "));
            format!("regular expression `{text}` is malformed: {}", cause.unwrap_or(shown.trim()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_what_is_wrong() {
        for (text, cause) in [
            ("a(", "unclosed group"),
            ("*a", "repetition operator missing expression"),
            ("(?=a)", "look-around, including look-ahead and look-behind, is not supported"),
            ("[z-a]", "invalid character class range"),
            ("", "needs a regular expression"),
            ("\\w{500}{500}", "too large"),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert!(error.contains(cause) && !error.contains('\n'), "{error}");
        }
        assert!(Expression::parse(&"(".repeat(500)).is_err());
    }

    #[test]
    fn the_beginning_is_what_every_match_begins_with() {
        for (text, expected) in [
            ("^/api/v[0-9]", "/api/v"),
            ("^/api/(a|b)$", "/api/"),
            ("^/a/?b", "/a"),
            ("^/a|^/b", ""),
            ("/a/", ""),
            ("(?i)^/a/", "/"),
            ("(?m)^/a/", ""),
            ("^/a\\.b/", "/a.b/"),
            ("^(/a/)", ""),
            ("^/", "/"),
        ] {
            assert_eq!(Expression::parse(text).unwrap().beginning(), expected, "{text}");
        }
    }
}
