//! A pattern for the path of a request.

use super::{Expression, Glob, check_length};
use crate::route::normal;
use std::fmt;
use std::str::FromStr;

/// `/a` exact, `/a/` or `/a/*` everything below and `/a/` itself, `*.js` a glob, `~regex` anywhere in the path.
///
/// Patterns see a path in its normal form (`normal`), and what is written here is brought into it too.
#[derive(Clone, Debug)]
pub struct PathPattern {
    written: Box<str>,
    shape: PathShape,
}

/// What a path pattern means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathShape {
    /// Every path, `*` included.
    Any,
    /// Paths that end in this text: `*.js`.
    Ending(Box<str>),
    /// This path; it does not end in a slash.
    Exact(Box<str>),
    /// Any other text with stars.
    Glob(Glob),
    /// Paths that begin with this text, which ends in a slash.
    Prefix(Box<str>),
    /// An expression, and what every path it takes begins with.
    Regex(Expression, Box<str>),
}

impl PathPattern {
    /// Whether it takes a path as [`crate::route::Subject::path`] gives it.
    pub fn matches(&self, path: &str) -> bool {
        match &self.shape {
            PathShape::Any => true,
            PathShape::Ending(ending) => path.ends_with(&**ending),
            PathShape::Exact(exact) => **exact == *path,
            PathShape::Glob(glob) => glob.matches(path.as_bytes()),
            PathShape::Prefix(prefix) => path.starts_with(&**prefix),
            PathShape::Regex(regex, _) => regex.matches(path.as_bytes()),
        }
    }

    /// What every path it takes begins with.
    pub fn beginning(&self) -> &str {
        match &self.shape {
            PathShape::Any | PathShape::Ending(_) => "",
            PathShape::Exact(text) | PathShape::Prefix(text) | PathShape::Regex(_, text) => text,
            PathShape::Glob(glob) => glob.first(),
        }
    }

    pub(in crate::route) fn shape(&self) -> &PathShape {
        &self.shape
    }
}

/// Equal when they take the same paths by the same means: `/a/` is `/a/*`.
impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
    }
}

impl Eq for PathPattern {}

impl std::hash::Hash for PathPattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.shape.hash(state);
    }
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        check_length(written)?;
        let shape = match written.bytes().next() {
            Some(b'~') => regex(&written[1..])?,
            Some(b'/' | b'*') => plain(written)?,
            None => return Err("the path is empty: write one that begins with `/`".to_owned()),
            Some(_) => return Err(start_is_wrong(written)),
        };
        Ok(Self { written: written.into(), shape })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn start_is_wrong(written: &str) -> String {
    if let Some((_, rest)) = written.split_once("://") {
        let path = rest.find('/').map_or("/", |at| &rest[at..]);
        return format!("path `{written}` has a scheme and host: write only `{path}`");
    }
    if written.starts_with('.') && !written.starts_with("./") && !written.starts_with("..") {
        return format!("path `{written}` must begin with `/`, `*` or `~`: write `*{written}`");
    }
    format!("path `{written}` must begin with `/`, `*` or `~`: write `/{}`", written.trim_start_matches("./"))
}

fn regex(text: &str) -> Result<PathShape, String> {
    let regex = Expression::parse(text)?;
    let beginning = regex.beginning().into();
    Ok(PathShape::Regex(regex, beginning))
}

fn plain(written: &str) -> Result<PathShape, String> {
    if let Some(at) = written.find(['?', '#']) {
        return Err(format!(
            "path `{written}` has a `{}`, which ends a path: write `{}`, and test parameters with `query`",
            &written[at..=at],
            &written[..at]
        ));
    }
    let pieces: Vec<_> = written.split('*').map(normal::escape).collect();
    let text = pieces.join("*");
    if text.contains("//") || normal::has_dot_segment(&text) {
        return Err(format!(
            "path `{written}` can never match: `//`, `.` and `..` are resolved before; write `{}`",
            normal::resolve(&text)
        ));
    }
    let Some(glob) = Glob::parse(&text) else {
        return Ok(match text.as_str() {
            "/" => PathShape::Any,
            _ if text.ends_with('/') => PathShape::Prefix(text.into()),
            _ => PathShape::Exact(text.into()),
        });
    };
    Ok(match (glob.only_beginning(), glob.only_ending()) {
        (Some("" | "/"), _) => PathShape::Any,
        (Some(beginning), _) if beginning.ends_with('/') => PathShape::Prefix(beginning.into()),
        (_, Some(ending)) => PathShape::Ending(ending.into()),
        _ => PathShape::Glob(glob),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    #[test]
    fn one_grammar_for_every_path() {
        for (pattern, takes, leaves) in [
            ("/a", &["/a"][..], &["/a/", "/ab", "/", "/A"][..]),
            ("/a/", &["/a/", "/a/b", "/a/b/c"], &["/a", "/ab", "/"]),
            ("/a/*", &["/a/", "/a/b", "/a/b/c"], &["/a", "/ab", "/"]),
            ("*.js", &["/a.js", "/b/c.js"], &["/a.jsx", "/js", "/"]),
            ("/x/*/y", &["/x/1/y", "/x/1/2/y"], &["/x/y", "/x/1/y/"]),
            ("/a*", &["/a", "/ab", "/a/b"], &["/b"]),
            ("/", &["/", "/a", "*"], &[]),
            ("*", &["/", "/a", "*"], &[]),
            ("/*", &["/", "/a", "*"], &[]),
            ("~^/v[0-9]+/", &["/v1/", "/v12/x"], &["/v/", "/a/v1/"]),
            ("~x", &["/ax"], &["/a"]),
            ("/%61/%2f", &["/a/%2F"], &["/a/"]),
            ("/é", &["/%C3%A9"], &[]),
        ] {
            let parsed = parse(pattern);
            assert_eq!(parsed.to_string(), pattern);
            for path in takes {
                assert!(parsed.matches(path), "{pattern} {path}");
                assert!(path.starts_with(parsed.beginning()), "{pattern}");
            }
            for path in leaves {
                assert!(!parsed.matches(path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn patterns_are_equal_by_what_they_mean() {
        for (a, b) in
            [("/a/", "/a/*"), ("/", "*"), ("/*", "/"), ("/%61", "/a"), ("**.js", "*.js"), ("~a", "~a")]
        {
            assert_eq!(parse(a), parse(b));
        }
        for (a, b) in [("/a", "/a/"), ("/a", "/A"), ("~a", "~(a)"), ("*.js", "/*.js")] {
            assert_ne!(parse(a), parse(b));
        }
    }

    #[test]
    fn an_error_says_what_to_write_instead() {
        for (pattern, hint) in [
            ("", "begins with `/`"),
            ("account/", "write `/account/`"),
            ("./account", "write `/account`"),
            (".js", "write `*.js`"),
            ("https://example.com/a", "write only `/a`"),
            ("/a?x=1", "write `/a`, and test parameters with `query`"),
            ("/a//b", "write `/a/b`"),
            ("/a/../b/", "write `/b/`"),
            ("/%2e%2e/b", "write `/b`"),
            ("~(", "unclosed group"),
            ("~", "needs a regular expression"),
        ] {
            let error = pattern.parse::<PathPattern>().unwrap_err();
            assert!(error.contains(hint), "{pattern}: {error}");
        }
        assert!(format!("/{}", "a".repeat(9000)).parse::<PathPattern>().unwrap_err().contains("too long"));
    }
}
