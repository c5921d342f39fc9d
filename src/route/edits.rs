//! What a route or a rule changes about header fields.

use super::template::Template;
use crate::http::hop_by_hop;
use crate::http::list;

/// Changes to header fields, in this order: fields are removed, then set, then added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Fields that get this value instead of any they had.
    pub set: Vec<(Box<str>, Template)>,
    /// Fields that get this value beside any they had.
    pub add: Vec<(Box<str>, Template)>,
    /// Fields that go.
    pub remove: Vec<Box<str>>,
}

impl Edits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Whether a field that was there goes: it is removed, or set anew.
    pub fn removes(&self, name: &str) -> bool {
        let mut gone = self.remove.iter().chain(self.set.iter().map(|(name, _)| name));
        gone.any(|gone| gone.eq_ignore_ascii_case(name))
    }

    /// The fields that are written after those that go, in order: those set, then those added.
    pub fn written(&self) -> impl Iterator<Item = (&str, &Template)> {
        self.set.iter().chain(&self.add).map(|(name, value)| (&**name, value))
    }

    /// Why a field may not be edited, if it may not.
    pub fn refuses(name: &str) -> Option<&'static str> {
        if !list::is_token(name.as_bytes()) {
            return Some("it is not the name of a field");
        }
        if hop_by_hop::is_hop_by_hop(name) {
            return Some("it is about one connection, which Foreland keeps itself (RFC 9110 §7.6.1)");
        }
        let frames = ["content-length", "content-range"].iter().any(|known| known.eq_ignore_ascii_case(name));
        frames.then_some("it says where the body ends, and a wrong one would let bodies pass for requests")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        text.parse().unwrap()
    }

    #[test]
    fn fields_go_when_they_are_removed_or_set() {
        let edits = Edits {
            set: vec![("X-Set".into(), template("1"))],
            add: vec![("x-add".into(), template("2"))],
            remove: vec!["Server".into()],
        };
        assert!(edits.removes("x-set") && edits.removes("SERVER") && !edits.removes("x-add"));
        let written: Vec<_> = edits.written().map(|(name, value)| (name, value.to_string())).collect();
        assert_eq!(written, [("X-Set", "1".to_owned()), ("x-add", "2".to_owned())]);
        assert!(!edits.is_empty() && Edits::default().is_empty());
    }

    #[test]
    fn fields_that_frame_a_message_cannot_be_edited() {
        for name in [
            "Connection",
            "transfer-encoding",
            "Content-Length",
            "TE",
            "upgrade",
            "Keep-Alive",
            "content-range",
        ] {
            assert!(Edits::refuses(name).is_some(), "{name}");
        }
        for name in ["", "a b", "x:y", "é"] {
            assert_eq!(Edits::refuses(name), Some("it is not the name of a field"), "{name}");
        }
        for name in ["X-Frame-Options", "server", "cache-control", "Host", "content-type"] {
            assert_eq!(Edits::refuses(name), None, "{name}");
        }
    }
}
