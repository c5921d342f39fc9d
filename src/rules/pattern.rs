//! What can be told about two patterns from how they are written: that one takes all the other takes, or nothing of it.
//!
//! Every answer that is not certain is no. Regular expressions say nothing about each other unless they are the same.

use crate::route::{HostPattern, PathPattern, TextPattern};
use std::fmt::Display;

/// A kind of pattern whose way of writing can be compared.
pub(super) trait Comparable: Display + PartialEq {
    /// The pattern as one in which `*` stands for anything and all else for itself; none if it cannot be said so.
    fn wild(&self) -> Option<String>;
}

impl Comparable for HostPattern {
    fn wild(&self) -> Option<String> {
        let text = self.to_string().to_ascii_lowercase();
        // An address has several ways of writing.
        (!text.starts_with('[')).then(|| text.trim_end_matches('.').to_owned())
    }
}

impl Comparable for PathPattern {
    fn wild(&self) -> Option<String> {
        let text = self.to_string();
        // An escape has several ways of writing.
        (!text.contains('%') && !text.starts_with('~')).then(|| match text.as_str() {
            "/" | "/*" => "*".to_owned(),
            // With a `*` elsewhere it is a whole pattern, and no beginning.
            _ if text.ends_with('/') && !text.contains('*') => text + "*",
            _ => text,
        })
    }
}

impl Comparable for TextPattern {
    fn wild(&self) -> Option<String> {
        let text = self.to_string();
        (!text.starts_with('~')).then_some(text)
    }
}

/// Whether everything that one of `narrow` takes is taken by one of `wide`.
pub(super) fn covers<P: Comparable>(wide: &[P], narrow: &[P]) -> bool {
    narrow.iter().all(|narrow| wide.iter().any(|wide| takes_all(wide, narrow)))
}

/// Whether nothing is taken by one of both.
pub(super) fn disjoint<P: Comparable>(one: &[P], other: &[P]) -> bool {
    one.iter().all(|one| other.iter().all(|other| take_nothing(one, other)))
}

/// Whether a pattern takes whatever there is.
pub(super) fn takes_everything<P: Comparable>(pattern: &P) -> bool {
    pattern.wild().is_some_and(|wild| wild == "*")
}

fn takes_all<P: Comparable>(wide: &P, narrow: &P) -> bool {
    if wide == narrow {
        return true;
    }
    // A `*` in `narrow` is only taken by a `*` in `wide`, so whatever stands for it is taken too.
    wide.wild().zip(narrow.wild()).is_some_and(|(wide, narrow)| takes(wide.as_bytes(), narrow.as_bytes()))
}

fn take_nothing<P: Comparable>(one: &P, other: &P) -> bool {
    let (Some(one), Some(other)) = (one.wild(), other.wild()) else { return false };
    match (one.split_once('*'), other.split_once('*')) {
        (None, _) => !takes(other.as_bytes(), one.as_bytes()),
        (_, None) => !takes(one.as_bytes(), other.as_bytes()),
        (Some((one_head, one_rest)), Some((other_head, other_rest))) => {
            let tail = |rest: &str| rest.rsplit('*').next().unwrap_or_default().to_owned();
            let (one_tail, other_tail) = (tail(one_rest), tail(other_rest));
            let heads_meet = one_head.starts_with(other_head) || other_head.starts_with(one_head);
            let tails_meet = one_tail.ends_with(&other_tail) || other_tail.ends_with(&one_tail);
            !heads_meet || !tails_meet
        }
    }
}

/// Whether a pattern in which `*` stands for any bytes takes a text. Takes at most the product of the lengths.
fn takes(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // The last `*`, and how far the text was when it was met: where to go on when what follows does not fit.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, read));
                at += 1;
            }
            (Some(&byte), _) if byte == text[read] => {
                at += 1;
                read += 1;
            }
            (_, Some((star_at, taken))) => {
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                read = taken + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    #[test]
    fn wider_paths_take_all_that_narrower_ones_take() {
        for (wide, narrow) in [
            ("*.js", "*.min.js"),
            ("/a/", "/a/b/"),
            ("/a/", "/a/b"),
            ("/a/", "/a/*.js"),
            ("/a/*", "/a/"),
            ("/", "/x/*/y"),
            ("*", "*.js"),
            ("/", "*"),
            ("~\\.js$", "~\\.js$"),
        ] {
            assert!(covers(&[path(wide)], &[path(narrow)]), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("/a/", "/a"),
            ("/a", "/a/"),
            ("*.js", "*.css"),
            ("*.min.js", "*.js"),
            ("/a/*.js", "/a/"),
            ("~.*", "/a"),
            ("/*/", "/a/"),
        ] {
            assert!(!covers(&[path(wide)], &[path(narrow)]), "{wide} {narrow}");
        }
        assert!(covers(&[path("*.js"), path("*.css")], &[path("/a.css"), path("*.min.js")]));
        assert!(!covers(&[path("*.js")], &[path("/a.css"), path("*.min.js")]));
    }

    #[test]
    fn paths_are_disjoint_where_a_head_or_tail_contradicts() {
        for (one, other) in
            [("/a/", "/b/"), ("*.js", "*.css"), ("/a", "/b"), ("/a.js", "*.css"), ("/a/*.js", "*.css")]
        {
            assert!(disjoint(&[path(one)], &[path(other)]), "{one} {other}");
            assert!(disjoint(&[path(other)], &[path(one)]), "{other} {one}");
        }
        for (one, other) in
            [("/a/", "*.js"), ("/a/", "/a/b/"), ("/a/", "~^/b/"), ("/%61", "/a"), ("/a", "/a")]
        {
            assert!(!disjoint(&[path(one)], &[path(other)]), "{one} {other}");
        }
    }

    #[test]
    fn hosts_and_texts_are_compared_the_same_way() {
        let host = |text: &str| text.parse::<HostPattern>().unwrap();
        assert!(covers(&[host("*.example.com")], &[host("www.example.com"), host("*.a.example.com")]));
        assert!(!covers(&[host("*.example.com")], &[host("example.com")]));
        assert!(disjoint(&[host("example.com")], &[host("*.example.com"), host("example.org")]));
        let text = |text: &str| text.parse::<TextPattern>().unwrap();
        assert!(covers(&[text("text/*")], &[text("text/html")]));
        assert!(disjoint(&[text("text/*")], &[text("image/png")]));
    }

    proptest! {
        #[test]
        fn what_is_said_of_patterns_holds_for_every_text(
            one in "/[ab/*]{0,5}", other in "/[ab/*]{0,5}", text in "/[ab/]{0,6}",
        ) {
            let (Ok(one), Ok(other)) = (one.parse::<PathPattern>(), other.parse::<PathPattern>()) else { return Ok(()) };
            prop_assume!(!text.contains("//"));
            let (a, b) = (one.matches(&text), other.matches(&text));
            prop_assert!(!takes_all(&one, &other) || !b || a, "{} {} {}", one, other, text);
            prop_assert!(!(take_nothing(&one, &other) && a && b), "{} {} {}", one, other, text);
        }
    }
}
