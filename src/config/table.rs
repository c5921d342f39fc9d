//! The tables of keys: one `Section` says which keys a part of the configuration has, of which kind, and what they mean.
//!
//! The same table feeds the reader, the generated reference, the JSON Schema and the dump of what is in force.

use super::tree::{Node, Value};
use super::units::{self, DURATION_LOOKS, SIZE_LOOKS, shorten};

/// A part of the configuration that has keys of its own.
#[derive(Debug)]
pub struct Section {
    /// What one of them is called, as a noun without an article: `listener`. No two sections share a name.
    pub name: &'static str,
    /// What it is for, in whole sentences.
    pub doc: &'static str,
    /// Its keys, in the order of the reference.
    pub fields: &'static [Field],
}

/// A key.
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Whether it must be given, and what holds if it is not.
    pub need: Need,
    /// What it means, in whole sentences: meaning, unit, what happens without it.
    pub doc: &'static str,
    /// A value as it is written in the file.
    pub example: &'static str,
}

/// Whether a key must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// What holds if it is not given, as it would be written in the file. A section that applies even when it is
    /// absent has the default `{}`: its own defaults.
    Default(&'static str),
    /// May be absent; its doc says what that means.
    Optional,
    /// Must be given.
    Required,
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`, nothing else.
    Bool,
    /// `30s`, `1h30m`.
    Duration,
    /// One of several; which one is told by its shape, and for words by what they say.
    Either(&'static [Kind]),
    /// A whole number.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// Several of a kind.
    List(&'static Kind),
    /// Names of the user's choice, and for each a value.
    Map(&'static Kind),
    /// One of a kind, or a list of it.
    OneOrMany(&'static Kind),
    /// Keys of its own.
    Section(&'static Section),
    /// `64KiB`, `10GiB`.
    Size,
    /// Anything else that is written as text, and what it is: `an address to listen on`.
    Text(&'static str),
    /// One of these words.
    Word(&'static [&'static str]),
}

impl Section {
    /// The key with this name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of all keys.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.fields.iter().map(|field| field.name)
    }

    /// The noun with its article: `a listener`, `an upstream`.
    pub fn one(&self) -> String {
        let article = if self.name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{article} {}", self.name)
    }

    /// This section and every one that its keys lead to, each once, in the order of the tables.
    pub fn family(&'static self) -> Vec<&'static Section> {
        let mut family = vec![self];
        let mut next = 0;
        while let Some(section) = family.get(next).copied() {
            for field in section.fields {
                field.kind.sections(&mut |found| {
                    if !family.iter().any(|known| std::ptr::eq(*known, found)) {
                        family.push(found);
                    }
                });
            }
            next += 1;
        }
        family
    }
}

impl Kind {
    /// What a value must be, for messages: "`ttl` needs …".
    pub fn wants(&self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Duration => DURATION_LOOKS.to_owned(),
            Self::Either(kinds) => any_of(kinds.iter().map(Kind::wants)),
            Self::Integer { min: 0, max: u64::MAX } => "a whole number".to_owned(),
            Self::Integer { min, max: u64::MAX } => format!("a whole number of at least {min}"),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::List(kind) => format!("a list of {}", kind.noun()),
            Self::Map(kind) => format!("names, each with {}", kind.noun()),
            Self::OneOrMany(kind) => format!("{} or a list of them", kind.noun()),
            Self::Section(section) => {
                let keys: Vec<&str> = section.keys().take(3).collect();
                let more = if section.fields.len() > keys.len() { ", …" } else { "" };
                format!("keys: {}{more}", keys.join(", "))
            }
            Self::Size => SIZE_LOOKS.to_owned(),
            Self::Text(what) => (*what).to_owned(),
            Self::Word(words) => any_of(words.iter().map(|word| format!("`{word}`"))),
        }
    }

    /// The same, shorter: for use inside a list or a table.
    pub fn noun(&self) -> String {
        match self {
            Self::Duration => "a duration".to_owned(),
            Self::Either(kinds) => any_of(kinds.iter().map(Kind::noun)),
            Self::Section(section) => section.one(),
            Self::Size => "a size".to_owned(),
            _ => self.wants(),
        }
    }

    /// The alternative that a value is meant as: itself, but for `Either` the one that its shape and words fit.
    pub fn meant(&'static self, node: &Node) -> &'static Kind {
        let Self::Either(kinds) = self else { return self };
        let of_shape = kinds.iter().find(|kind| kind.fits_shape(&node.value));
        let fits = kinds.iter().find(|kind| kind.fits(node));
        fits.or(of_shape).map_or(self, |kind| kind.meant(node))
    }

    /// Whether a value has the right shape: scalar, list or map.
    pub fn fits_shape(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Broken | Value::Null) => false,
            (Self::Either(kinds), _) => kinds.iter().any(|kind| kind.fits_shape(value)),
            (Self::OneOrMany(kind), value) => matches!(value, Value::List(_)) || kind.fits_shape(value),
            (Self::List(_), value) => matches!(value, Value::List(_)),
            (Self::Map(_) | Self::Section(_), value) => matches!(value, Value::Map(_)),
            (_, value) => matches!(value, Value::Scalar(_)),
        }
    }

    /// Whether a scalar reads as this kind. What a text means is for its own parser to say.
    pub fn takes(&self, text: &str) -> Result<(), String> {
        match self {
            Self::Bool if matches!(text, "true" | "false") => Ok(()),
            Self::Bool => Err(format!("`{}` is neither", shorten(text))),
            Self::Duration => units::parse_duration(text).map(drop),
            Self::Integer { min, max } => units::parse_integer(text, *min, *max).map(drop),
            Self::Size => units::parse_size(text).map(drop),
            Self::Word(words) if words.contains(&text) => Ok(()),
            Self::Word(_) => Err(format!("`{}` is not one of them", shorten(text))),
            Self::OneOrMany(kind) => kind.takes(text),
            Self::Either(kinds) if kinds.iter().any(|kind| kind.takes(text).is_ok()) => Ok(()),
            Self::Either(kinds) => {
                // With one form beside words, what is wrong with that form says most.
                let mut forms = kinds
                    .iter()
                    .filter(|kind| matches!(kind, Self::Duration | Self::Integer { .. } | Self::Size));
                match (forms.next(), forms.next()) {
                    (Some(form), None) => form.takes(text),
                    _ => Err(format!("`{}` is neither", shorten(text))),
                }
            }
            Self::Text(_) => Ok(()),
            Self::List(_) | Self::Map(_) | Self::Section(_) => Err("it is text".to_owned()),
        }
    }

    /// The section that a value may be.
    pub(super) fn section(&self) -> Option<&'static Section> {
        match self {
            Self::Either(kinds) => kinds.iter().find_map(Kind::section),
            Self::Section(section) => Some(section),
            _ => None,
        }
    }

    fn fits(&self, node: &Node) -> bool {
        self.fits_shape(&node.value) && node.as_text().is_none_or(|text| self.takes(text).is_ok())
    }

    fn sections(&self, found: &mut impl FnMut(&'static Section)) {
        match self {
            Self::Either(kinds) => kinds.iter().for_each(|kind| kind.sections(found)),
            Self::List(kind) | Self::Map(kind) | Self::OneOrMany(kind) => kind.sections(found),
            Self::Section(section) => found(section),
            _ => {}
        }
    }
}

/// `a`, `a or b`, `a, b or c`.
fn any_of(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match items.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "nothing".to_owned(),
    }
}
