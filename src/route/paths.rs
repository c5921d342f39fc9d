//! Finds the ids whose path pattern takes a path, in steps as many as the path has segments.

use super::names::Names;
use super::pattern::{PathPattern, PathShape};

/// Path patterns with their ids, by what they begin or end with.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// Patterns by the segments they begin with.
    root: Node,
    /// Patterns such as `*.js` by what stands after their last dot.
    endings: Names<Vec<(Box<str>, u32)>>,
    used: bool,
}

/// A place in the tree of segments; the root is `/`.
#[derive(Clone, Debug, Default)]
struct Node {
    children: Names<Node>,
    /// Ids for this path without a slash at its end.
    exact: Vec<u32>,
    /// Ids for everything below.
    under: Vec<u32>,
    /// Globs and expressions that take only paths below, each to be tried.
    shapes: Vec<(PathPattern, u32)>,
}

impl Paths {
    /// Whether no pattern was added.
    pub fn is_empty(&self) -> bool {
        !self.used
    }

    /// Adds an id that takes every path.
    pub fn insert_any(&mut self, id: u32) {
        self.used = true;
        self.root.under.push(id);
    }

    /// Adds a pattern.
    pub fn insert(&mut self, pattern: &PathPattern, id: u32) {
        self.used = true;
        match pattern.shape() {
            PathShape::Any => self.insert_any(id),
            PathShape::Ending(ending) => match extension(ending) {
                Some(extension) => self.endings.entry(extension).push((ending.clone(), id)),
                None => self.root.shapes.push((pattern.clone(), id)),
            },
            PathShape::Exact(path) => self.root.at(path).exact.push(id),
            PathShape::Prefix(prefix) => self.root.at(prefix.trim_end_matches('/')).under.push(id),
            PathShape::Glob(_) | PathShape::Regex(..) => {
                // Whole segments only: `/a/b*` is tried for everything below `/a/`.
                let beginning = pattern.beginning();
                let whole = beginning.rfind('/').map_or("", |at| &beginning[..at]);
                let place = if whole.starts_with('/') { self.root.at(whole) } else { &mut self.root };
                place.shapes.push((pattern.clone(), id));
            }
        }
    }

    /// Calls `f` with every id whose pattern takes the path, and with no other.
    pub fn visit(&self, path: &str, f: &mut impl FnMut(u32)) {
        if !self.endings.is_empty()
            && let Some(extension) = extension(path)
        {
            let same = self.endings.get(extension).map_or(&[][..], Vec::as_slice);
            same.iter().filter(|(ending, _)| path.ends_with(&**ending)).for_each(|(_, id)| f(*id));
        }
        self.root.visit(path, f);
        let mut node = &self.root;
        let Some(mut rest) = path.strip_prefix('/') else { return };
        while !node.children.is_empty() {
            let slash = rest.bytes().position(|byte| byte == b'/');
            let Some(child) = node.children.get(slash.map_or(rest, |at| &rest[..at])) else { return };
            match slash {
                Some(at) => {
                    child.visit(path, f);
                    node = child;
                    rest = &rest[at + 1..];
                }
                None => {
                    child.exact.iter().for_each(|id| f(*id));
                    return;
                }
            }
        }
    }
}

impl Node {
    /// The place of a path that begins with `/`, or is empty for this place.
    fn at(&mut self, path: &str) -> &mut Self {
        path.split('/').skip(1).fold(self, |node, segment| node.children.entry(segment))
    }

    #[inline]
    fn visit(&self, path: &str, f: &mut impl FnMut(u32)) {
        self.under.iter().for_each(|id| f(*id));
        self.shapes.iter().filter(|(pattern, _)| pattern.matches(path)).for_each(|(_, id)| f(*id));
    }
}

/// What stands after the last dot of the last segment.
fn extension(path: &str) -> Option<&str> {
    let at = path.bytes().rposition(|byte| matches!(byte, b'.' | b'/'))?;
    path[at..].strip_prefix('.')
}
