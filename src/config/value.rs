//! Reads one value as the type that it must have, or says what is wrong with it.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use super::report::Report;
use super::suggest::did_you_mean;
use super::table::Kind;
use super::tree::{Node, Scalar, Value};
use super::units;

/// Each reader returns None after it has reported why. `name` is what messages call the value: its key.
impl Node {
    /// `true` or `false`.
    pub fn boolean(&self, name: &str, report: &mut Report) -> Option<bool> {
        let scalar = self.scalar_of(&Kind::Bool, name, report)?;
        Some(scalar.text == "true")
    }

    /// A duration such as `30s`.
    pub fn duration(&self, name: &str, report: &mut Report) -> Option<Duration> {
        let scalar = self.scalar_of(&Kind::Duration, name, report)?;
        units::parse_duration(&scalar.text).ok()
    }

    /// A size in bytes, such as `10MiB`.
    pub fn size(&self, name: &str, report: &mut Report) -> Option<u64> {
        let scalar = self.scalar_of(&Kind::Size, name, report)?;
        units::parse_size(&scalar.text).ok()
    }

    /// A whole number from `min` to `max`.
    pub fn integer(&self, name: &str, min: u64, max: u64, report: &mut Report) -> Option<u64> {
        let scalar = self.scalar_of(&Kind::Integer { min, max }, name, report)?;
        units::parse_integer(&scalar.text, min, max).ok()
    }

    /// One of `words`.
    pub fn word(
        &self,
        name: &str,
        words: &'static [&'static str],
        report: &mut Report,
    ) -> Option<&'static str> {
        let scalar = self.scalar_of(&Kind::Word(words), name, report)?;
        words.iter().find(|word| **word == scalar.text).copied()
    }

    /// Any text. `what` says what it is: `the name of an upstream`.
    pub fn text(&self, name: &str, what: &'static str, report: &mut Report) -> Option<&str> {
        self.scalar_of(&Kind::Text(what), name, report).map(|scalar| scalar.text.as_str())
    }

    /// Any text that `T` can be made of. A message is "`name`: " and the error that `T` gives.
    pub fn parse<T>(&self, name: &str, what: &'static str, report: &mut Report) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let scalar = self.scalar_of(&Kind::Text(what), name, report)?;
        match scalar.text.parse() {
            Ok(value) => Some(value),
            Err(_) if scalar.secret => {
                report.error(
                    self.span,
                    format!("`{name}` needs {what}; `{}` holds something else", scalar.written),
                );
                None
            }
            Err(error) => {
                report.error(self.span, format!("`{name}`: {error}"));
                None
            }
        }
    }

    /// The scalar, if it reads as `kind`.
    pub(super) fn scalar_of(&self, kind: &Kind, name: &str, report: &mut Report) -> Option<&Scalar> {
        let Value::Scalar(scalar) = &self.value else {
            self.wrong_shape(kind, name, report);
            return None;
        };
        match kind.takes(&scalar.text) {
            Ok(()) => Some(scalar),
            Err(why) => {
                self.wrong_scalar(scalar, kind, name, &why, report);
                None
            }
        }
    }

    /// Reports that this is a list where text is wanted, and the like.
    pub(super) fn wrong_shape(&self, kind: &Kind, name: &str, report: &mut Report) {
        let message = match &self.value {
            Value::Broken => return,
            Value::Scalar(scalar) => {
                format!("`{name}` needs {}; `{}` is text", kind.wants(), units::shorten(scalar.shown()))
            }
            _ => format!("`{name}` needs {}, not {}", kind.wants(), self.what()),
        };
        match self.braces() {
            Some(meant) => report.error_with(self.span, message, format!("quote it: \"{meant}\"")),
            None => report.error(self.span, message),
        }
    }

    fn wrong_scalar(&self, scalar: &Scalar, kind: &Kind, name: &str, why: &str, report: &mut Report) {
        let wants = kind.wants();
        if scalar.secret {
            let message = format!("`{name}` needs {wants}; `{}` holds something else", scalar.written);
            return report.error(self.span, message);
        }
        let message = format!("`{name}` needs {wants}; {why}");
        match hint(kind, &scalar.text) {
            Some(hint) => report.error_with(self.span, message, hint),
            None => report.error(self.span, message),
        }
    }

    /// An unquoted `{host}` is a map with one key and no value; this is what was meant.
    fn braces(&self) -> Option<String> {
        match self.as_map()? {
            [(key, value)] if value.is_null() => Some(format!("{{{}}}", key.text)),
            _ => None,
        }
    }
}

fn hint(kind: &Kind, text: &str) -> Option<String> {
    match kind {
        Kind::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "on" | "1" => Some("write `true`".to_owned()),
            "false" | "no" | "n" | "off" | "0" => Some("write `false`".to_owned()),
            _ => None,
        },
        Kind::Word(words) => did_you_mean(text, words.iter().copied()),
        Kind::Either(kinds) => {
            kinds.iter().filter(|kind| matches!(kind, Kind::Word(_))).find_map(|kind| hint(kind, text))
        }
        _ => None,
    }
}
