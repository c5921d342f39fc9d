//! The routes of a configuration, and which of them takes a request.

use super::hidden;
use super::index::Index;
use super::pattern::{HostPattern, PathPattern};
use super::specificity::{HostRank, PathRank, Specificity};
use super::subject::Subject;
use super::test::Test;
use std::cmp::Reverse;
use std::fmt::Display;

/// Most routes that are explained.
const EXPLAINED: usize = 8;

/// What a route takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Any of these hosts; none means every host.
    pub hosts: Vec<HostPattern>,
    /// Any of these paths; none means every path.
    pub paths: Vec<PathPattern>,
    /// And all of these conditions.
    pub tests: Vec<Test>,
}

/// Routes, found by request. A route is named by its position in the file.
///
/// Each pair of a route's hosts and paths competes with its own specificity.
#[derive(Clone, Debug, Default)]
pub struct Table {
    routes: Vec<Match>,
    /// Every pair, the most specific first: a pair's position is its id in the index.
    pairs: Vec<Pair>,
    index: Index,
}

/// One host and one path of a route.
#[derive(Clone, Copy, Debug)]
struct Pair {
    specificity: Specificity,
    route: usize,
    /// Positions in the route's lists; past the end of an empty one.
    host: usize,
    path: usize,
}

/// A route that was looked at for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// The route.
    pub route: usize,
    /// Whether it could take the request.
    pub matched: bool,
    /// By what it matched, "host www.example.com, path /assets/", or the condition that failed.
    pub because: String,
    /// Why the winner goes before it, where it matched and did not win.
    pub beaten: Option<String>,
}

impl Table {
    /// A table of these routes.
    pub fn open(routes: &[Match]) -> Self {
        let mut pairs: Vec<Pair> =
            routes.iter().enumerate().flat_map(|(at, route)| pairs(at, route)).collect();
        pairs.sort_by_key(|pair| (Reverse(pair.specificity), pair.route));
        let mut index = Index::default();
        for (id, pair) in (0u32..).zip(&pairs) {
            index.insert(pair.host(routes), pair.path(routes), id);
        }
        Self { routes: routes.to_vec(), pairs, index }
    }

    /// The most specific route that takes the request. Allocates nothing.
    pub fn find(&self, s: &Subject<'_>) -> Option<usize> {
        let mut best = u32::MAX;
        self.index.visit(s.host(), s.path(), |id| {
            if id < best && self.pair(id).is_some_and(|pair| self.failed(pair, s).is_none()) {
                best = id;
            }
        });
        self.pair(best).map(|pair| pair.route)
    }

    /// The winner, then the others that match, then those of which only host and path match; at most eight.
    pub fn explain(&self, s: &Subject<'_>) -> Vec<Considered> {
        let mut ids = Vec::new();
        self.index.visit(s.host(), s.path(), |id| ids.push(id));
        ids.sort_unstable();
        let mut seen = vec![false; self.routes.len()];
        let pairs = ids.into_iter().filter_map(|id| self.pair(id));
        // The first pair of a route is its most specific one; its conditions are the same for all.
        let (matched, failed): (Vec<&Pair>, Vec<&Pair>) = pairs
            .filter(|pair| !std::mem::replace(&mut seen[pair.route], true))
            .partition(|pair| self.failed(pair, s).is_none());
        let winner = matched.first().copied();
        let losers = matched.iter().enumerate().map(|(place, pair)| Considered {
            route: pair.route,
            matched: true,
            because: self.because(pair, s),
            beaten: winner.filter(|_| place > 0).map(|winner| winner.specificity.beats(&pair.specificity)),
        });
        let failed = failed.iter().map(|pair| Considered {
            route: pair.route,
            matched: false,
            because: self.failed(pair, s).map(|test| test.because(s, false)).unwrap_or_default(),
            beaten: None,
        });
        losers.chain(failed).take(EXPLAINED).collect()
    }

    /// Every route that can never take a request, with the one that takes all of its requests.
    pub fn hidden(&self) -> Vec<(usize, usize)> {
        hidden::hidden(&self.routes)
    }

    fn pair(&self, id: u32) -> Option<&Pair> {
        self.pairs.get(usize::try_from(id).ok()?)
    }

    /// The first condition of the pair's route that does not hold.
    fn failed(&self, pair: &Pair, s: &Subject<'_>) -> Option<&Test> {
        self.routes[pair.route].tests.iter().find(|test| !test.check(s))
    }

    /// "host www.example.com, path /assets/, method is GET".
    fn because(&self, pair: &Pair, s: &Subject<'_>) -> String {
        let shown = |what: &str, pattern: Option<&dyn Display>, any: &str| {
            pattern.map_or(any.to_owned(), |pattern| format!("{what} {pattern}"))
        };
        let is_any = pair.specificity.host == HostRank::Any;
        let host = pair.host(&self.routes).first().filter(|_| !is_any).map(|host| host as &dyn Display);
        let path = pair.path(&self.routes).first().map(|path| path as &dyn Display);
        let mut parts = vec![shown("host", host, "any host"), shown("path", path, "path /")];
        parts.extend(self.routes[pair.route].tests.iter().map(|test| test.because(s, true)));
        parts.join(", ")
    }
}

impl Pair {
    /// The host as a list of one; empty for any.
    fn host<'r>(&self, routes: &'r [Match]) -> &'r [HostPattern] {
        routes[self.route].hosts.get(self.host..=self.host).unwrap_or_default()
    }

    /// The path as a list of one; empty for any.
    fn path<'r>(&self, routes: &'r [Match]) -> &'r [PathPattern] {
        routes[self.route].paths.get(self.path..=self.path).unwrap_or_default()
    }
}

/// Every pair of a route's hosts and paths.
fn pairs(at: usize, route: &Match) -> impl Iterator<Item = Pair> {
    let hosts = 0..route.hosts.len().max(1);
    hosts.flat_map(move |host| (0..route.paths.len().max(1)).map(move |path| pair(at, route, host, path)))
}

fn pair(at: usize, route: &Match, host: usize, path: usize) -> Pair {
    let specificity = Specificity {
        host: HostRank::of(route.hosts.get(host)),
        path: PathRank::of(route.paths.get(path)),
        tests: route.tests.len(),
    };
    Pair { specificity, route: at, host, path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::fixture::{a_host, a_match, a_path, route, view};
    use proptest::prelude::*;

    fn find(routes: &[Match], host: &str, path: &str) -> Option<usize> {
        Table::open(routes).find(&Subject::of(&view("GET", host, path)))
    }

    /// The conditions of `fixture::route`: `m` means method GET, `p` method POST.
    #[test]
    fn the_most_specific_route_wins() {
        for (routes, host, path, expected) in [
            (&["* /", "a.b /"][..], "a.b", "/x", Some(1)),
            (&["* /", "*.b /"], "a.b", "/x", Some(1)),
            (&["*.b /x", "a.b /"], "a.b", "/x", Some(1)),
            (&["*.c /", "*.b.c /"], "a.b.c", "/x", Some(1)),
            (&["* /a/", "* /a/b/"], "h", "/a/b/c", Some(1)),
            (&["* /a/b/", "* /a/b/c"], "h", "/a/b/c", Some(1)),
            (&["* /a/", "* *.js"], "h", "/a/b.js", Some(1)),
            (&["* *.js", "* *b.js"], "h", "/a/b.js", Some(1)),
            (&["* *.js", "* ~js$"], "h", "/a/b.js", Some(1)),
            (&["* /", "* ~js$"], "h", "/a/b.js", Some(1)),
            (&["* /a/", "* /a/ m"], "h", "/a/", Some(1)),
            (&["* /a/", "* /a/ p"], "h", "/a/", Some(0)),
            (&["* /a/b/ p", "* /"], "h", "/a/b/", Some(1)),
            (&["* /a/", "* /a/*"], "h", "/a/", Some(0)),
            (&["a,b /x/,/y", "* /y"], "b", "/y", Some(0)),
            (&["a /x"], "a", "/y", None),
            (&["* /ACCOUNT/"], "a", "/account/", None),
            (&["* /account/"], "a", "/x/%2e%2E/%61ccount//y", Some(0)),
            (&[], "a", "/", None),
        ] {
            let routes: Vec<Match> = routes.iter().map(|text| route(text)).collect();
            assert_eq!(find(&routes, host, path), expected, "{routes:?}");
        }
    }

    #[test]
    fn explain_says_who_won_and_why_the_others_did_not() {
        let routes = [
            route("* /assets/"),
            route("www.example.com /"),
            route("www.example.com /assets/"),
            route("www.example.com /assets/ p"),
            route("*.example.com /assets/"),
            route("www.example.com *.js"),
            route("www.example.com /assets/ m"),
            route("www.example.com /assets/*"),
            route("*.org /assets/"),
        ];
        let view = view("GET", "www.example.com", "/assets/app.js");
        let explained = Table::open(&routes).explain(&Subject::of(&view));
        let row =
            |c: &Considered| format!("#{} {} {:?}", c.route, c.because, c.beaten.as_deref().unwrap_or("-"));
        let rows: Vec<String> = explained.iter().map(row).collect();
        assert_eq!(
            rows,
            [
                "#5 host www.example.com, path *.js \"-\"",
                "#6 host www.example.com, path /assets/, method is GET \"a glob is more specific than a prefix\"",
                "#2 host www.example.com, path /assets/ \"a glob is more specific than a prefix\"",
                "#7 host www.example.com, path /assets/* \"a glob is more specific than a prefix\"",
                "#1 host www.example.com, path / \"a glob is more specific than any path\"",
                "#4 host *.example.com, path /assets/ \"a named host is more specific than a wildcard\"",
                "#0 any host, path /assets/ \"a named host is more specific than any host\"",
                "#3 method GET is not POST \"-\"",
            ]
        );
        assert!(explained[..7].iter().all(|c| c.matched) && !explained[7].matched);
    }

    #[test]
    fn explain_names_the_kind_of_advantage() {
        for (winner, loser, expected) in [
            ("* /a/b/", "* /a/", "a longer prefix is more specific"),
            ("* /a/b/c.js", "* /a/", "an exact path is more specific than a prefix"),
            ("* *c.js", "* *.js", "a longer glob is more specific"),
            ("* ~js", "* *.js", "a regular expression is more specific than a glob"),
            ("* *.js", "* /a/b/", "a glob is more specific than a prefix"),
            ("* /a/ m", "* /a/", "it has more conditions"),
            ("*.h.i /", "*.i /", "a longer wildcard is more specific"),
            ("*.i /", "* /", "a wildcard is more specific than any host"),
            ("* /", "* *", "it comes first in the file"),
        ] {
            let view = view("GET", "g.h.i", "/a/b/c.js");
            let explained = Table::open(&[route(winner), route(loser)]).explain(&Subject::of(&view));
            assert_eq!((explained[0].route, explained[0].beaten.as_deref()), (0, None));
            assert_eq!(explained[1].beaten.as_deref(), Some(expected));
        }
    }

    #[test]
    fn explain_shows_what_failed_when_nothing_matched() {
        let view = view("GET", "h", "/");
        let explained = Table::open(&[route("* / p")]).explain(&Subject::of(&view));
        assert_eq!(explained.len(), 1);
        assert_eq!((explained[0].matched, explained[0].because.as_str()), (false, "method GET is not POST"));
    }

    /// Every pair, one after the other.
    fn naive(routes: &[Match], s: &Subject<'_>) -> Option<usize> {
        let pairs = routes.iter().enumerate().flat_map(|(at, route)| pairs(at, route));
        let matching = pairs.filter(|pair| {
            let route = &routes[pair.route];
            route.hosts.get(pair.host).is_none_or(|p| p.matches(s.host()))
                && route.paths.get(pair.path).is_none_or(|p| p.matches(s.path()))
                && route.tests.iter().all(|test| test.check(s))
        });
        matching.max_by_key(|pair| (pair.specificity, Reverse(pair.route))).map(|pair| pair.route)
    }

    proptest! {
        #[test]
        fn it_finds_what_trying_every_route_finds(
            routes in proptest::collection::vec(a_match(), 0..10),
            hosts in proptest::collection::vec(a_host(), 1..4),
            paths in proptest::collection::vec(a_path(), 1..8),
        ) {
            let table = Table::open(&routes);
            let hidden = table.hidden();
            for (host, path) in hosts.iter().flat_map(|host| paths.iter().map(move |path| (host, path))) {
                let view = view("GET", host, path);
                let s = Subject::of(&view);
                let found = table.find(&s);
                prop_assert_eq!(found, naive(&routes, &s), "{} {}", host, path);
                prop_assert!(hidden.iter().all(|(route, _)| found != Some(*route)), "{:?} {} {}", hidden, host, path);
                let explained = table.explain(&s);
                prop_assert_eq!(explained.first().filter(|first| first.matched).map(|first| first.route), found);
            }
        }
    }
}
