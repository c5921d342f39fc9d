//! A text with `*` in it, each of which stands for any characters or none.

use memchr::memmem;

/// Literal pieces between the stars. The first and last are bound to the ends of the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob {
    first: Box<str>,
    middle: Box<[Box<str>]>,
    last: Box<str>,
}

impl Glob {
    /// Reads a text; `None` if it has no star. Stars in a row mean one.
    pub fn parse(written: &str) -> Option<Self> {
        let (first, rest) = written.split_once('*')?;
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let middle = middle.split('*').filter(|piece| !piece.is_empty()).map(Into::into).collect();
        Some(Self { first: first.into(), middle, last: last.into() })
    }

    /// Whether it takes the whole text. Linear: a star never has to give back what it took.
    pub fn matches(&self, text: &[u8]) -> bool {
        let Some(rest) = text.strip_prefix(self.first.as_bytes()) else { return false };
        let Some(mut rest) = rest.strip_suffix(self.last.as_bytes()) else { return false };
        for piece in &self.middle {
            match memmem::find(rest, piece.as_bytes()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        true
    }

    /// What every text it takes begins with.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// What every text it takes ends with, if that is all it asks for.
    pub fn only_ending(&self) -> Option<&str> {
        (self.first.is_empty() && self.middle.is_empty()).then_some(&self.last)
    }

    /// What every text it takes begins with, if that is all it asks for.
    pub fn only_beginning(&self) -> Option<&str> {
        (self.last.is_empty() && self.middle.is_empty()).then_some(&self.first)
    }

    /// How many characters it names.
    pub fn literal_len(&self) -> usize {
        self.first.len() + self.middle.iter().map(|piece| piece.len()).sum::<usize>() + self.last.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_stands_for_any_characters_or_none() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("*.js", "a/b.js", true),
            ("*.js", ".js", true),
            ("*.js", "a.jsx", false),
            ("/x/*/y", "/x/a/b/y", true),
            ("/x/*/y", "/x/y", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*bot*", "a robot b", true),
            ("*ab*ab*", "ab", false),
            ("*ab*ab*", "abab", true),
            ("a**b", "ab", true),
            ("a?c*", "abc", false),
        ] {
            assert_eq!(Glob::parse(glob).unwrap().matches(text.as_bytes()), expected, "{glob} {text}");
        }
        assert_eq!(Glob::parse("abc"), None);
    }

    fn naive(glob: &[u8], text: &[u8]) -> bool {
        match glob {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            [byte, rest @ ..] => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_trying_everything(glob in "[ab*]{0,3}\\*[ab*]{0,5}", text in "[ab]{0,9}") {
            prop_assert_eq!(
                Glob::parse(&glob).unwrap().matches(text.as_bytes()),
                naive(glob.as_bytes(), text.as_bytes())
            );
        }
    }
}
