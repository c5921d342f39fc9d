//! A configuration as a tree of values in which every value and key knows its place.

use std::fmt;

use super::span::Span;

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it is written.
    pub span: Span,
    /// What is written there.
    pub value: Value,
}

/// What a value is. A map has no key twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Something wrong that has been reported: readers take it as given and pass over it in silence.
    Broken,
    /// Keys and values, in the order of the file.
    Map(Vec<(Key, Node)>),
    /// Values, in the order of the file.
    List(Vec<Node>),
    /// Nothing: an empty value, `null` or `~`.
    Null,
    /// One text, number or word.
    Scalar(Scalar),
}

/// One text, number or word.
#[derive(Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The value after expansion. Print [`shown`](Scalar::shown) instead, which keeps a secret.
    pub text: String,
    /// Written without quotes.
    pub plain: bool,
    /// Something in it came from `${file:…}`.
    pub secret: bool,
    /// The value before expansion.
    pub written: String,
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where it is written.
    pub span: Span,
    /// The key.
    pub text: String,
}

impl Node {
    /// The entries, if this is a map.
    pub fn as_map(&self) -> Option<&[(Key, Node)]> {
        if let Value::Map(entries) = &self.value { Some(entries) } else { None }
    }

    /// The elements, if this is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }

    /// The scalar, if this is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        if let Value::Scalar(scalar) = &self.value { Some(scalar) } else { None }
    }

    /// The text of a scalar, if this is one.
    pub fn as_text(&self) -> Option<&str> {
        self.as_scalar().map(|scalar| scalar.text.as_str())
    }

    /// The value of a key, if this is a map that has it.
    pub fn at(&self, key: &str) -> Option<&Node> {
        self.as_map()?.iter().find(|(k, _)| k.text == key).map(|(_, node)| node)
    }

    /// Whether this is a scalar that reads exactly `word`, such as `off`.
    pub fn is_word(&self, word: &str) -> bool {
        self.as_text() == Some(word)
    }

    /// Whether nothing is given: an empty value counts as an absent one.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Whether this is wrong and has been reported.
    pub fn is_broken(&self) -> bool {
        matches!(self.value, Value::Broken)
    }

    /// What messages call this value: `text`, `a list`, `a map` or `nothing`.
    pub fn what(&self) -> &'static str {
        match self.value {
            Value::Broken => "a broken value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Null => "nothing",
            Value::Scalar(_) => "text",
        }
    }
}

impl Scalar {
    /// The value as messages and listings may print it: a secret as it is written.
    pub fn shown(&self) -> &str {
        if self.secret { &self.written } else { &self.text }
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.plain { "" } else { " quoted" };
        write!(f, "{:?}{quote}", self.shown())
    }
}
