//! Names of routes: each once, with one made up for a route that has none.

use crate::config::names::Name;
use crate::config::{Diagnostic, Node, Report, Severity, Span};
use std::collections::HashMap;
use std::sync::Arc;

/// What a route is called, and what it could be.
pub struct Named<'n> {
    given: Option<&'n Node>,
    upstream: Option<&'n str>,
}

impl<'n> Named<'n> {
    /// The names that a route has in the file.
    pub fn of(node: &'n Node) -> Self {
        let given = node.at("name").filter(|name| name.as_text().is_some());
        Self { given, upstream: node.at("upstream").and_then(Node::as_text) }
    }
}

/// A name for each route, no two the same but where that is reported.
pub fn names(routes: &[Named<'_>], report: &mut Report) -> Vec<Arc<str>> {
    let mut taken: HashMap<String, Option<Span>> = HashMap::new();
    for node in routes.iter().filter_map(|route| route.given) {
        let Some(Name(name)) = node.parse("name", "a name", report) else { continue };
        match taken.get(&name).copied().flatten() {
            Some(first) => {
                let message = format!("two routes are named `{name}`");
                let twice = Diagnostic::new(Severity::Error, Some(node.span), message);
                report.push(twice.label("give it a name of its own").other(first, "the first of them"));
            }
            None => drop(taken.insert(name, Some(node.span))),
        }
    }
    let mut name = |(number, route): (usize, &Named<'_>)| {
        if let Some(given) = route.given.and_then(Node::as_text) {
            return given.into();
        }
        let numbered = (0..).map(|marks| format!("route {number}{}", "'".repeat(marks)));
        let mut possible = route.upstream.map(str::to_owned).into_iter().chain(numbered);
        let free = possible.find(|name| !taken.contains_key(name)).unwrap_or_default();
        taken.insert(free.clone(), None);
        free.into()
    };
    (1..).zip(routes).map(&mut name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_without_a_name_is_called_by_its_upstream_or_its_number() {
        let upstreams = [Some("app"), Some("app"), None, Some("api")];
        let routes: Vec<Named<'_>> =
            upstreams.into_iter().map(|upstream| Named { given: None, upstream }).collect();
        let names = names(&routes, &mut Report::new());
        assert_eq!(names, ["app", "route 2", "route 3", "api"].map(Arc::<str>::from));
    }
}
