//! Changes the path of a request before it goes to the origin.

use super::normal;
use super::pattern::Expression;
use std::borrow::Cow;

/// A change of the path. The query stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rewrite {
    /// The first match of an expression is replaced; `$1` and `${name}` are its groups.
    Regex {
        /// What is looked for.
        regex: Expression,
        /// What stands there instead.
        with: Box<str>,
    },
    /// A beginning is replaced, whole segments only.
    Replace {
        /// The beginning, without a slash at its end.
        prefix: Box<str>,
        /// What stands there instead, without a slash at its end.
        with: Box<str>,
    },
    /// A beginning is taken off, whole segments only.
    Strip(Box<str>),
}

impl Rewrite {
    /// Takes `/api` off `/api/x`, so that `/x` is left. `/api/` means the same.
    pub fn strip(prefix: &str) -> Result<Self, String> {
        segments(prefix).map(Self::Strip)
    }

    /// Makes `/v2/x` of `/api/x`.
    pub fn replace(prefix: &str, with: &str) -> Result<Self, String> {
        Ok(Self::Replace { prefix: segments(prefix)?, with: segments(with)? })
    }

    /// Replaces the first match of a regular expression, written without `~`.
    pub fn regex(regex: &str, with: &str) -> Result<Self, String> {
        let regex = Expression::parse(regex)?;
        match unknown_group(&regex, with) {
            None => Ok(Self::Regex { regex, with: with.into() }),
            Some(group) => Err(format!(
                "`{with}` names group `{group}`, which `{}` does not have; write `${{1}}` before letters",
                regex.as_str()
            )),
        }
    }

    /// The path as the origin gets it; as it was, where the rewrite does not apply.
    ///
    /// What is rewritten has its escapes in their one form, and no dot segments: a prefix that was put before
    /// `/../x` would not hold the request below it. The result begins with one `/` and may stand in a request target.
    pub fn apply<'p>(&self, path: &'p str) -> Cow<'p, str> {
        if !path.starts_with('/') {
            return Cow::Borrowed(path);
        }
        let escaped = normal::escape(path);
        let tidy = match normal::has_dot_segment(&escaped) {
            true => Cow::Owned(normal::resolve(&escaped)),
            false => escaped,
        };
        // Then in the very form in which the route was found, so that no spelling of a path evades its rewrite.
        match self.rewritten(&tidy).or_else(|| self.rewritten(&normal::normal(path))) {
            Some(rewritten) => Cow::Owned(target(&rewritten)),
            None => Cow::Borrowed(path),
        }
    }

    /// The path with the change made, if it applies.
    fn rewritten(&self, path: &str) -> Option<String> {
        match self {
            Self::Regex { regex, with } => match regex.regex().replace(path.as_bytes(), with.as_bytes()) {
                Cow::Borrowed(_) => None,
                Cow::Owned(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            },
            Self::Replace { prefix, with } => below(path, prefix).map(|rest| format!("{with}{rest}")),
            Self::Strip(prefix) => below(path, prefix).map(str::to_owned),
        }
    }
}

/// What of a path stands behind a prefix of whole segments: nothing, or a text that begins with `/`.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path that may stand in a request target. One that began with `//` would name a host (RFC 3986 §3.3).
fn target(rewritten: &str) -> String {
    let escaped = normal::escape(rewritten);
    if normal::has_dot_segment(&escaped) {
        return normal::resolve(&escaped);
    }
    format!("/{}", escaped.trim_start_matches('/'))
}

/// A prefix in the form it is compared in.
fn segments(written: &str) -> Result<Box<str>, String> {
    if !written.starts_with('/') {
        return Err(format!("`{written}` must begin with `/`: write `/{written}`"));
    }
    if let Some(at) = written.find(['?', '#', '*']) {
        let odd = &written[at..=at];
        return Err(format!(
            "`{written}` has a `{odd}`; a rewrite changes whole segments of the path: write `{}`",
            &written[..at]
        ));
    }
    let escaped = normal::escape(written);
    if escaped.contains("//") || normal::has_dot_segment(&escaped) {
        return Err(format!("`{written}` has empty or dot segments: write `{}`", normal::resolve(&escaped)));
    }
    Ok(escaped.trim_end_matches('/').into())
}

/// The first group in a replacement that the expression does not have: it would silently stand for nothing.
fn unknown_group(regex: &Expression, with: &str) -> Option<String> {
    let mut rest = with;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(escaped) = after.strip_prefix('$') {
            rest = escaped;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}')).map(|(name, _)| name);
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let name = braced.unwrap_or(&after[..end]);
        let is_known = match name.parse::<usize>() {
            Ok(number) => number < regex.regex().captures_len(),
            Err(_) => name.is_empty() || regex.regex().capture_names().flatten().any(|known| known == name),
        };
        if !is_known {
            return Some(name.to_owned());
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strip(prefix: &str) -> Rewrite {
        Rewrite::strip(prefix).unwrap()
    }

    fn replace(prefix: &str, with: &str) -> Rewrite {
        Rewrite::replace(prefix, with).unwrap()
    }

    fn regex(regex: &str, with: &str) -> Rewrite {
        Rewrite::regex(regex, with).unwrap()
    }

    #[test]
    fn a_path_is_rewritten_by_whole_segments() {
        for (rewrite, path, expected) in [
            (strip("/api"), "/api/x", "/x"),
            (strip("/api/"), "/api/x", "/x"),
            (strip("/api"), "/api", "/"),
            (strip("/api"), "/api/", "/"),
            (strip("/api"), "/apis/x", "/apis/x"),
            (strip("/"), "/a", "/a"),
            (strip("/api"), "/%61pi/a%20b", "/a%20b"),
            (strip("/api"), "*", "*"),
            (strip("/img"), "/img/https://cdn/x", "/https://cdn/x"),
            (replace("/api", "/v2"), "/api/x/", "/v2/x/"),
            (replace("/api/", "/v2/"), "/api", "/v2"),
            (replace("/", "/base"), "/x", "/base/x"),
            (replace("/a", "/"), "/a/x", "/x"),
            (replace("/a", "/é b"), "/a/x", "/%C3%A9%20b/x"),
            (regex("^/v([0-9]+)/", "/version-$1/"), "/v12/x", "/version-12/x"),
            (regex("^/v(?<n>[0-9]+)", "/${n}x"), "/v12/x", "/12x/x"),
            (regex("x", "y"), "/a", "/a"),
            (regex("^/a", "b?c#d e"), "/a", "/b%3Fc%23d%20e"),
            (regex("^/.*$", ""), "/a", "/"),
        ] {
            assert_eq!(rewrite.apply(path), expected, "{rewrite:?} {path}");
        }
    }

    #[test]
    fn a_rewritten_path_cannot_leave_its_prefix_or_name_a_host() {
        let rewrite = replace("/api", "/internal/v1");
        assert_eq!(rewrite.apply("/api/../../api/admin"), "/internal/v1/admin");
        assert_eq!(rewrite.apply("/api/%2e%2E/secret"), "/api/%2e%2E/secret");
        assert_eq!(strip("/api").apply("/api//evil.example/x"), "/evil.example/x");
        assert_eq!(regex("^/x", "//evil.example").apply("/x/y"), "/evil.example/y");
        assert_eq!(regex("x", "../..").apply("/a/x/b"), "/b");
    }

    #[test]
    fn an_error_says_what_to_write_instead() {
        for (error, hint) in [
            (Rewrite::strip("api").unwrap_err(), "write `/api`"),
            (Rewrite::strip("/api/*").unwrap_err(), "write `/api/`"),
            (Rewrite::strip("/a/../b").unwrap_err(), "write `/b`"),
            (Rewrite::replace("/a", "b").unwrap_err(), "write `/b`"),
            (Rewrite::regex("(", "").unwrap_err(), "unclosed group"),
            (Rewrite::regex("(a)", "$2").unwrap_err(), "names group `2`"),
            (Rewrite::regex("(a)", "$1x").unwrap_err(), "names group `1x`"),
        ] {
            assert!(error.contains(hint), "{error}");
        }
        assert!(Rewrite::regex("(a)", "$1 ${1}x $$2").is_ok());
    }

    proptest! {
        #[test]
        fn the_result_may_stand_in_a_request_target(path in "/[a/.%é ?2e]{0,12}", with in "/[a/. é]{0,6}") {
            let rewrites = [strip("/a"), regex("a", &with), regex("^/(a*)", "$1")];
            for rewrite in rewrites.into_iter().chain(Rewrite::replace("/a", &with)) {
                let result = rewrite.apply(&path);
                prop_assert!(result.starts_with('/'));
                if let Cow::Owned(result) = result {
                    prop_assert!(!result.starts_with("//") && !normal::has_dot_segment(&result), "{}", result);
                    prop_assert!(result.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?'));
                }
            }
        }
    }
}
