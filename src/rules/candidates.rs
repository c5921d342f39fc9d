//! Finds the rules that can match a request, so that those bound to other hosts and paths cost nothing.

use super::when::When;
use crate::route::{HostPattern, Index, PathPattern, Subject, Test};

/// The rules of one phase, by the hosts and paths their conditions need.
pub(super) struct Candidates {
    /// Rules that need a host or a path.
    index: Index,
    /// Rules that may match anywhere.
    anywhere: Vec<u32>,
    /// Of the rules in `index`, those that match wherever they are found.
    settled: Vec<bool>,
}

impl Candidates {
    /// From rules by their position.
    pub(super) fn open<'r>(rules: impl Iterator<Item = (usize, &'r When)>) -> Self {
        let mut all = Self { index: Index::default(), anywhere: Vec::new(), settled: Vec::new() };
        for (rule, when) in rules {
            let Ok(id) = u32::try_from(rule) else { break };
            match Places::of(when) {
                None => all.anywhere.push(id),
                Some(places) => {
                    for place in &places.any {
                        all.index.insert(&place.hosts, &place.paths, id);
                    }
                    all.settled.resize(rule + 1, false);
                    all.settled[rule] = places.whole;
                }
            }
        }
        all
    }

    /// Calls `found(rule, settled)` for every rule that can match, some of them twice; a settled one does match.
    pub(super) fn visit(&self, subject: &Subject<'_>, mut found: impl FnMut(usize, bool)) {
        self.anywhere.iter().for_each(|&id| found(id as usize, false));
        self.index.visit(subject.host(), subject.path(), |id| {
            let rule = id as usize;
            found(rule, self.settled.get(rule).copied().unwrap_or_default());
        });
    }
}

/// A host and path of which a condition needs one each; an empty list allows all.
#[derive(Clone, Debug, Default)]
struct Place {
    hosts: Vec<HostPattern>,
    paths: Vec<PathPattern>,
}

impl Place {
    /// Both at once, and whether that is said in full: of two lists for the same part one is left out.
    fn and(&self, other: &Self) -> (Self, bool) {
        let (hosts, hosts_whole) = both(&self.hosts, &other.hosts);
        let (paths, paths_whole) = both(&self.paths, &other.paths);
        (Self { hosts, paths }, hosts_whole && paths_whole)
    }
}

fn both<T: Clone>(one: &[T], other: &[T]) -> (Vec<T>, bool) {
    let needed = if one.is_empty() { other } else { one };
    (needed.to_vec(), one.is_empty() || other.is_empty())
}

/// Where a condition can hold: in any of some places.
#[derive(Debug)]
struct Places {
    any: Vec<Place>,
    /// Whether it holds in all of them, so that nothing else is to be checked.
    whole: bool,
}

impl Places {
    /// More places than this are not worked out for one rule; its conditions are checked instead.
    const MOST: usize = 64;

    /// Where a condition can hold; `None` if that may be anywhere.
    fn of(when: &When) -> Option<Self> {
        match when {
            When::All(members) => Self::of_all(members),
            When::Any(members) => {
                let mut all = Self { any: Vec::new(), whole: true };
                for member in members {
                    let places = Self::of(member)?;
                    all.any.extend(places.any);
                    all.whole &= places.whole;
                }
                Some(all)
            }
            When::Request(Test::Host(hosts)) => {
                let place = (!hosts.is_empty()).then(|| Place { hosts: hosts.clone(), paths: Vec::new() });
                Some(Self { any: place.into_iter().collect(), whole: true })
            }
            When::Request(Test::Path(paths)) => {
                let place = (!paths.is_empty()).then(|| Place { hosts: Vec::new(), paths: paths.clone() });
                Some(Self { any: place.into_iter().collect(), whole: true })
            }
            When::ContentType(_)
            | When::Not(_)
            | When::Request(_)
            | When::ResponseHeader(_)
            | When::Status(_) => None,
        }
    }

    fn of_all(members: &[When]) -> Option<Self> {
        let mut all: Option<Self> = None;
        let mut whole = true;
        for member in members {
            match Self::of(member) {
                None => whole = false,
                Some(places) => {
                    all = Some(match all {
                        None => places,
                        Some(before) => before.and(places),
                    });
                }
            }
        }
        all.map(|places| Self { whole: places.whole && whole, ..places })
    }

    /// Where both can hold.
    fn and(self, other: Self) -> Self {
        if self.any.len() * other.any.len() > Self::MOST {
            return Self { whole: false, ..self };
        }
        let mut both = Self { any: Vec::new(), whole: self.whole && other.whole };
        for one in &self.any {
            for another in &other.any {
                let (place, whole) = one.and(another);
                both.any.push(place);
                both.whole &= whole;
            }
        }
        both
    }
}
