//! Finds every id whose host and path patterns take a request, however many others there are.

use super::names::Names;
use super::paths::Paths;
use super::pattern::{HostPattern, HostShape, PathPattern};

/// Ids by host and path. A visit costs a step for each label of the host and each segment of the path, not for each id
/// that does not match; only globs and expressions that begin alike are tried one after the other.
#[derive(Clone, Debug, Default)]
pub struct Index {
    exact: Names<Paths>,
    /// By the name that hosts are below.
    below: Names<Paths>,
    /// Bytes of the longest name in `below`: a host of thousands of labels costs no more than that.
    longest: usize,
    any: Paths,
}

impl Index {
    /// Adds an id with its patterns; any host with any path. No hosts or no paths means all of them.
    pub fn insert(&mut self, hosts: &[HostPattern], paths: &[PathPattern], id: u32) {
        if hosts.is_empty() {
            self.any.insert_all(paths, id);
        }
        for host in hosts {
            let place = match host.shape() {
                HostShape::Any => &mut self.any,
                HostShape::Below(parent) => {
                    self.longest = self.longest.max(parent.len());
                    self.below.entry(parent)
                }
                HostShape::Exact(name) => self.exact.entry(name),
            };
            place.insert_all(paths, id);
        }
    }

    /// Calls `f` with exactly the ids whose host and path patterns match, some perhaps twice. Allocates nothing.
    ///
    /// `host` and `path` are in their normal form, as [`super::Subject`] gives them.
    pub fn visit(&self, host: &str, path: &str, mut f: impl FnMut(u32)) {
        if let Some(paths) = self.exact.get(host) {
            paths.visit(path, &mut f);
        }
        if !self.below.is_empty() {
            let from = host.len().saturating_sub(self.longest + 1).max(1);
            let dots = host.bytes().enumerate().skip(from).filter(|(_, byte)| *byte == b'.');
            for (at, _) in dots {
                if let Some(paths) = self.below.get(&host[at + 1..]) {
                    paths.visit(path, &mut f);
                }
            }
        }
        if !self.any.is_empty() {
            self.any.visit(path, &mut f);
        }
    }
}

impl Paths {
    fn insert_all(&mut self, paths: &[PathPattern], id: u32) {
        if paths.is_empty() {
            self.insert_any(id);
        }
        paths.iter().for_each(|path| self.insert(path, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::fixture::{a_host, a_host_pattern, a_path, a_path_pattern};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    type Entry = (Vec<HostPattern>, Vec<PathPattern>);

    fn index(entries: &[Entry]) -> Index {
        let mut index = Index::default();
        for (id, (hosts, paths)) in entries.iter().enumerate() {
            index.insert(hosts, paths, u32::try_from(id).unwrap());
        }
        index
    }

    fn found(index: &Index, host: &str, path: &str) -> BTreeSet<u32> {
        let mut ids = BTreeSet::new();
        index.visit(host, path, |id| {
            ids.insert(id);
        });
        ids
    }

    fn naive(entries: &[Entry], host: &str, path: &str) -> BTreeSet<u32> {
        let takes = |(hosts, paths): &Entry| {
            (hosts.is_empty() || hosts.iter().any(|p| p.matches(host)))
                && (paths.is_empty() || paths.iter().any(|p| p.matches(path)))
        };
        (0..).zip(entries).filter(|(_, entry)| takes(entry)).map(|(id, _)| id).collect()
    }

    fn one(hosts: &[&str], paths: &[&str]) -> Entry {
        let hosts = hosts.iter().map(|text| text.parse().unwrap()).collect();
        (hosts, paths.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn ids_are_found_by_host_and_path() {
        let entries = [
            one(&["www.example.com"], &["/a/"]),
            one(&["*.example.com"], &["*.js", "*.tar.gz", "*x"]),
            one(&[], &["/a/b", "/a/*/c", "~^/a/[0-9]+$", "~q$"]),
            one(&["*"], &[]),
        ];
        let index = index(&entries);
        for (host, path, expected) in [
            ("www.example.com", "/a/", &[0, 3][..]),
            ("www.example.com", "/a", &[3]),
            ("www.example.com", "/a/b.js", &[0, 1, 3]),
            ("a.b.example.com", "/y.tar.gz", &[1, 3]),
            ("a.b.example.com", "/y.gz", &[3]),
            ("example.com", "/y.js", &[3]),
            ("b.example.com", "/ax", &[1, 3]),
            ("", "/a/b", &[2, 3]),
            ("", "/a/b/c", &[2, 3]),
            ("", "/a/12", &[2, 3]),
            ("", "/a/12x", &[3]),
            ("", "/q", &[2, 3]),
            ("", "*", &[3]),
        ] {
            assert_eq!(found(&index, host, path), expected.iter().copied().collect(), "{host} {path}");
            assert_eq!(naive(&entries, host, path), expected.iter().copied().collect(), "{host} {path}");
        }
    }

    proptest! {
        #[test]
        fn it_finds_what_trying_every_pattern_finds(
            entries in proptest::collection::vec(
                (
                    proptest::collection::vec(a_host_pattern(), 0..3),
                    proptest::collection::vec(a_path_pattern(), 0..4),
                ),
                0..12,
            ),
            hosts in proptest::collection::vec(a_host(), 1..4),
            paths in proptest::collection::vec(a_path(), 1..8),
        ) {
            let index = index(&entries);
            for host in &hosts {
                for path in &paths {
                    prop_assert_eq!(found(&index, host, path), naive(&entries, host, path), "{} {}", host, path);
                }
            }
        }
    }
}
