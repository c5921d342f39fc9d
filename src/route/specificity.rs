//! Which of two routes that take the same request is the more specific.

use super::pattern::{HostPattern, HostShape, PathPattern, PathShape};

/// How specific a route is by the host and path pattern it took a request with. The greater one wins; between equals,
/// the first in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    /// The host decides first.
    pub host: HostRank,
    /// Then the path.
    pub path: PathRank,
    /// Then the number of further conditions.
    pub tests: usize,
}

/// How specific a host pattern is; the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostRank {
    /// Any host.
    Any,
    /// Hosts below a name of so many bytes.
    Wildcard(usize),
    /// One host.
    Exact,
}

/// How specific a path pattern is; the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathRank {
    /// Any path.
    Any,
    /// A prefix of so many bytes.
    Prefix(usize),
    /// A glob that names so many characters: below a prefix it picks out something, as nginx's users know it.
    Glob(usize),
    /// A regular expression.
    Regex,
    /// One path.
    Exact,
}

impl HostRank {
    /// The rank of a pattern; without one, any host is taken.
    pub fn of(pattern: Option<&HostPattern>) -> Self {
        match pattern.map(HostPattern::shape) {
            None | Some(HostShape::Any) => Self::Any,
            Some(HostShape::Below(parent)) => Self::Wildcard(parent.len()),
            Some(HostShape::Exact(_)) => Self::Exact,
        }
    }

    const fn named(self) -> &'static str {
        match self {
            Self::Any => "any host",
            Self::Wildcard(_) => "a wildcard",
            Self::Exact => "a named host",
        }
    }
}

impl PathRank {
    /// The rank of a pattern; without one, any path is taken.
    pub fn of(pattern: Option<&PathPattern>) -> Self {
        match pattern.map(PathPattern::shape) {
            None | Some(PathShape::Any) => Self::Any,
            Some(PathShape::Regex(..)) => Self::Regex,
            Some(PathShape::Glob(glob)) => Self::Glob(glob.literal_len()),
            Some(PathShape::Ending(ending)) => Self::Glob(ending.len()),
            Some(PathShape::Prefix(prefix)) => Self::Prefix(prefix.len()),
            Some(PathShape::Exact(_)) => Self::Exact,
        }
    }

    const fn named(self) -> &'static str {
        match self {
            Self::Any => "any path",
            Self::Regex => "a regular expression",
            Self::Glob(_) => "a glob",
            Self::Prefix(_) => "a prefix",
            Self::Exact => "an exact path",
        }
    }
}

impl Specificity {
    /// Why this one goes before another that it beats.
    pub fn beats(&self, other: &Self) -> String {
        match (self.host, other.host, self.path, other.path) {
            (HostRank::Wildcard(longer), HostRank::Wildcard(shorter), ..) if longer != shorter => {
                "a longer wildcard is more specific".to_owned()
            }
            (host, less, ..) if host != less => {
                format!("{} is more specific than {}", host.named(), less.named())
            }
            (_, _, PathRank::Prefix(longer), PathRank::Prefix(shorter)) if longer != shorter => {
                "a longer prefix is more specific".to_owned()
            }
            (_, _, PathRank::Glob(longer), PathRank::Glob(shorter)) if longer != shorter => {
                "a longer glob is more specific".to_owned()
            }
            (_, _, path, less) if path != less => {
                format!("{} is more specific than {}", path.named(), less.named())
            }
            _ if self.tests != other.tests => "it has more conditions".to_owned(),
            _ => "it comes first in the file".to_owned(),
        }
    }
}
