//! Finds routes that can never take a request, because another one always goes before them.

use super::pattern::{HostPattern, PathPattern};
use super::specificity::{HostRank, PathRank};
use super::table::Match;
use super::test::Test;
use std::collections::{BTreeSet, HashMap};

/// One host and path of a route; `None` is any, however it is written.
type Pair<'r> = (Option<&'r HostPattern>, Option<&'r PathPattern>);

/// Every hidden route with the first one that takes all of its requests.
pub(super) fn hidden(routes: &[Match]) -> Vec<(usize, usize)> {
    let mut by_pair: HashMap<Pair<'_>, BTreeSet<usize>> = HashMap::new();
    for (at, route) in routes.iter().enumerate() {
        for pair in pairs(route) {
            by_pair.entry(pair).or_default().insert(at);
        }
    }
    let hider = |(at, route)| {
        // Whoever takes all of its requests takes those of its first pair.
        let first = pairs(route).next()?;
        let candidates = same(&by_pair, first);
        let hides = |other: &usize| *other != at && hides(routes, *other, at);
        candidates.filter(hides).min().map(|other| (at, other))
    };
    routes.iter().enumerate().filter_map(hider).collect()
}

/// Routes with the same pair.
fn same<'m>(
    by_pair: &'m HashMap<Pair<'_>, BTreeSet<usize>>,
    pair: Pair<'m>,
) -> impl Iterator<Item = usize> + use<'m> {
    by_pair.get(&pair).into_iter().flatten().copied()
}

/// Whether `other` goes before `route` for every request that `route` matches.
fn hides(routes: &[Match], other: usize, route: usize) -> bool {
    let (before, behind) = (&routes[other], &routes[route]);
    // Where `behind` matches, `before` has to match.
    if !before.tests.iter().all(|test| behind.tests.iter().any(|same| is_same(test, same))) {
        return false;
    }
    let wins_a_tie = before.tests.len() > behind.tests.len()
        || (before.tests.len() == behind.tests.len() && other < route);
    pairs(behind).all(|(host, path)| {
        pairs(before).any(|(other_host, other_path)| host == other_host && path == other_path && wins_a_tie)
    })
}

/// Whether two conditions ask the same, in whatever order.
fn is_same(one: &Test, other: &Test) -> bool {
    match (one, other) {
        _ if one == other => true,
        (Test::Client(a), Test::Client(b)) => is_same_set(a, b),
        (Test::Host(a), Test::Host(b)) => is_same_set(a, b),
        (Test::Method(a), Test::Method(b)) => is_same_set(a, b),
        (Test::Path(a), Test::Path(b)) => is_same_set(a, b),
        (Test::UserAgent(a), Test::UserAgent(b)) => is_same_set(a, b),
        (Test::Cookie(a), Test::Cookie(b))
        | (Test::Header(a), Test::Header(b))
        | (Test::Query(a), Test::Query(b)) => a.name == b.name && a.value.is_same(&b.value),
        _ => false,
    }
}

/// Whether two lists have the same members.
pub(super) fn is_same_set<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    a.iter().all(|item| b.contains(item)) && b.iter().all(|item| a.contains(item))
}

fn pairs(route: &Match) -> impl Iterator<Item = Pair<'_>> {
    let hosts = (0..route.hosts.len().max(1)).map(|at| route.hosts.get(at));
    let hosts = hosts.map(|host| host.filter(|host| HostRank::of(Some(host)) != HostRank::Any));
    hosts.flat_map(|host| {
        let paths = (0..route.paths.len().max(1)).map(|at| route.paths.get(at));
        paths.map(move |path| (host, path.filter(|path| PathRank::of(Some(path)) != PathRank::Any)))
    })
}

#[cfg(test)]
mod tests {
    use crate::route::fixture::route;
    use crate::route::table::{Match, Table};

    fn hidden(routes: &[&str]) -> Vec<(usize, usize)> {
        let routes: Vec<Match> = routes.iter().map(|text| route(text)).collect();
        Table::open(&routes).hidden()
    }

    #[test]
    fn the_later_of_two_equal_routes_is_hidden() {
        assert_eq!(hidden(&["a /a/", "a /a/*"]), [(1, 0)]);
        assert_eq!(hidden(&["a,b /x,/y m", "b,a /y,/x m"]), [(1, 0)]);
        assert_eq!(hidden(&["* /", "* *", "- -"]), [(1, 0), (2, 0)]);
        assert_eq!(hidden(&["a /x mc", "a /x cm"]), [(1, 0)]);
        assert_eq!(hidden(&["a,b /x,/y", "b /y"]), [(1, 0)]);
    }

    #[test]
    fn what_can_match_is_not_hidden() {
        for routes in [
            &["a /x", "b /x"][..],
            &["a /x", "a /y"],
            &["a /", "a /x"],
            &["* /x", "a /x"],
            &["a /x", "a /x m"],
            &["a /x m", "a /x p"],
            &["a /x m", "a /x"],
            &["b /y", "a,b /x,/y"],
            &["a /a", "a /a/"],
        ] {
            assert_eq!(hidden(routes), [], "{routes:?}");
        }
        // A glob or an expression below a prefix picks out something.
        assert_eq!(hidden(&["a /a/*.js", "a /a/"]), []);
        assert_eq!(hidden(&["a ~^/a/b/[0-9] m", "a /a/"]), []);
    }
}
