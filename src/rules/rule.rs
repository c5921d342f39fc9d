//! One cache rule: where it stands, when it matches, what it sets.

use super::cookies::StripCookies;
use super::when::When;
use crate::cache::key::{Pick, QueryRecipe};
use crate::cache::policy::Ignore;
use crate::http::accept_encoding::Coding;
use crate::http::duration::human;
use crate::http::status::StatusRange;
use crate::route::{Edits, Template};
use crate::verdict::Setting;
use std::fmt::Display;
use std::sync::Arc;

/// A cache rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as log, metrics and explain show it.
    pub name: Arc<str>,
    /// Where it is written: `cache-rules/site.yaml:6`.
    pub place: Box<str>,
    /// When it matches.
    pub when: When,
    /// What it sets.
    pub then: Then,
}

/// What a rule sets; what it does not name is left to the rules before it. Times are seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Then {
    /// Leave the cache out.
    pub bypass: Option<bool>,
    /// Whether the response may be stored.
    pub store: Option<Store>,
    /// How long we keep it.
    pub edge: Option<u32>,
    /// How long browsers are told to keep it.
    pub browser: Option<u32>,
    /// How long we keep it if it has one of these statuses. Where ranges overlap the narrower one counts.
    pub status: Option<Vec<(StatusRange, u32)>>,
    /// Which words of the origin are not listened to.
    pub overrides: Option<Ignore>,
    /// How long it may be served stale while it is refreshed.
    pub while_revalidate: Option<u32>,
    /// How long it may stand in for a failing origin.
    pub if_error: Option<u32>,
    /// Which query parameters are part of the key.
    pub query: Option<QueryRecipe>,
    /// Which header fields are.
    pub headers: Option<Vec<Box<str>>>,
    /// Which cookies are.
    pub cookies: Option<Vec<Box<str>>>,
    /// What it can be purged by.
    pub tags: Option<Vec<Box<str>>>,
    /// Which cookies do not reach the origin.
    pub strip_cookies: Option<StripCookies>,
    /// Whether `Set-Cookie` is taken out.
    pub strip_set_cookie: Option<bool>,
    /// The largest body that is stored, in bytes.
    pub max_object: Option<u64>,
    /// Whether requests for the same thing wait for one fetch.
    pub collapse: Option<bool>,
    /// Whether the `Cache-Control` of a request is listened to.
    pub request_directives: Option<bool>,
    /// Whether it is compressed.
    pub compress: Option<bool>,
    /// The compression that the origin is asked for; `Some(None)` for none.
    pub accept_encoding: Option<Option<Coding>>,
    /// What is changed in its fields.
    pub response_headers: Option<Edits>,
}

/// Whether a response may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It may not: its type contradicts its path (cache deception).
    Deception,
    /// It may not.
    No,
    /// It may, if HTTP allows it; takes back what an earlier rule refused.
    Yes,
}

/// What only matters before the response is there.
pub(super) const REQUEST_ONLY: [Setting; 8] = [
    Setting::Bypass,
    Setting::KeyQuery,
    Setting::KeyHeaders,
    Setting::KeyCookies,
    Setting::StripCookies,
    Setting::Collapse,
    Setting::RequestDirectives,
    Setting::AcceptEncoding,
];

impl Then {
    /// Every setting that is named.
    pub fn settings(&self) -> impl Iterator<Item = Setting> {
        Setting::ALL.iter().copied().filter(|setting| self.text(*setting).is_some())
    }

    /// Those named here that a rule on the response cannot set, because they were needed before.
    pub fn request_only_settings(&self) -> Vec<Setting> {
        self.settings().filter(|setting| REQUEST_ONLY.contains(setting)).collect()
    }

    /// Every setting that is named, with its value in words: `30d`, `drop @tracking, sort`.
    pub fn describe(&self) -> Vec<(Setting, String)> {
        Setting::ALL.iter().filter_map(|setting| Some((*setting, self.text(*setting)?))).collect()
    }

    /// The value of a setting in words; none if it is not named.
    fn text(&self, setting: Setting) -> Option<String> {
        let seconds = |seconds: Option<u32>| seconds.map(|seconds| human(seconds.into()));
        let names = |names: &Option<Vec<Box<str>>>| names.as_deref().map(list);
        let yes = |yes: Option<bool>| yes.map(|yes| yes.to_string());
        match setting {
            Setting::Bypass => yes(self.bypass),
            Setting::Store => self.store.map(|store| store.word().to_owned()),
            Setting::Edge => seconds(self.edge),
            Setting::Browser => seconds(self.browser),
            Setting::Status => self.status.as_deref().map(by_status),
            Setting::Override => self.overrides.map(ignored),
            Setting::StaleWhileRevalidate => seconds(self.while_revalidate),
            Setting::StaleIfError => seconds(self.if_error),
            Setting::KeyQuery => self.query.as_ref().map(query),
            Setting::KeyHeaders => names(&self.headers),
            Setting::KeyCookies => names(&self.cookies),
            Setting::Tags => names(&self.tags),
            Setting::StripCookies => self.strip_cookies.as_ref().map(StripCookies::to_string),
            Setting::StripSetCookie => yes(self.strip_set_cookie),
            Setting::MaxObject => self.max_object.map(size),
            Setting::Collapse => yes(self.collapse),
            Setting::RequestDirectives => {
                self.request_directives.map(|follow| if follow { "follow" } else { "ignore" }.to_owned())
            }
            Setting::Compress => yes(self.compress),
            Setting::AcceptEncoding => {
                self.accept_encoding.map(|coding| coding.map_or("identity", Coding::token).to_owned())
            }
            Setting::ResponseHeaders => self.response_headers.as_ref().map(edits),
        }
    }
}

impl Store {
    fn word(self) -> &'static str {
        match self {
            Self::Deception => "deception",
            Self::No => "false",
            Self::Yes => "true",
        }
    }
}

/// `a, b`, or `none`.
pub(super) fn list<T: Display>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(T::to_string).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// `drop @tracking, sort`.
fn query(recipe: &QueryRecipe) -> String {
    let pick = match &recipe.pick {
        Pick::All => "all".to_owned(),
        Pick::Drop(names) => format!("drop {}", list(names)),
        Pick::Keep(names) => format!("keep {}", list(names)),
        Pick::None => "none".to_owned(),
    };
    if recipe.sort { pick + ", sort" } else { pick }
}

fn by_status(times: &[(StatusRange, u32)]) -> String {
    let times: Vec<String> =
        times.iter().map(|(range, seconds)| format!("{range} {}", human((*seconds).into()))).collect();
    list(&times)
}

fn ignored(ignore: Ignore) -> String {
    let words = [
        (ignore.no_store, "no_store"),
        (ignore.private, "private"),
        (ignore.no_cache, "no_cache"),
        (ignore.set_cookie, "set_cookie"),
        (ignore.authorization, "authorization"),
    ];
    let words: Vec<&str> = words.iter().filter(|(ignored, _)| *ignored).map(|(_, word)| *word).collect();
    list(&words)
}

/// A number of bytes in the largest unit that says it exactly: `10MiB`.
fn size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let exact = units.iter().find(|(_, shift)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    exact.map_or_else(|| format!("{bytes}B"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

/// `remove server; set x-cache: hit, x-kind: page`.
fn edits(edits: &Edits) -> String {
    let written = |edits: &[(Box<str>, Template)]| -> Vec<String> {
        edits.iter().map(|(name, value)| format!("{name}: {value}")).collect()
    };
    let parts = [
        ("remove", edits.remove.iter().map(Box::to_string).collect()),
        ("set", written(&edits.set)),
        ("add", written(&edits.add)),
    ];
    let named = parts.iter().filter(|(_, edits)| !edits.is_empty());
    let parts: Vec<String> = named.map(|(verb, edits)| format!("{verb} {}", edits.join(", "))).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Option<Vec<Box<str>>> {
        Some(list.iter().map(|name| (*name).into()).collect())
    }

    fn everything() -> Then {
        Then {
            compress: Some(false),
            accept_encoding: Some(None),
            bypass: Some(false),
            store: Some(Store::Deception),
            edge: Some(2_592_000),
            browser: Some(3_600),
            status: Some(vec![("404".parse().unwrap(), 30), ("5xx".parse().unwrap(), 0)]),
            overrides: Some(Ignore { no_store: true, set_cookie: true, ..Ignore::default() }),
            while_revalidate: Some(90),
            if_error: Some(0),
            query: Some(QueryRecipe { pick: Pick::Drop(vec!["@tracking".parse().unwrap()]), sort: true }),
            headers: names(&["accept-language", "x-kind"]),
            cookies: names(&[]),
            tags: names(&["assets"]),
            strip_cookies: Some(StripCookies::Named(vec!["_ga*".parse().unwrap()])),
            strip_set_cookie: Some(true),
            max_object: Some(10 << 20),
            collapse: Some(false),
            request_directives: Some(true),
            response_headers: Some(Edits {
                remove: vec!["server".into(), "x-a".into()],
                set: vec![("x-host".into(), "{host}".parse().unwrap())],
                add: Vec::new(),
            }),
        }
    }

    #[test]
    fn everything_that_is_named_is_described_as_written() {
        let described = everything().describe();
        let described: Vec<(Setting, &str)> = described.iter().map(|(s, text)| (*s, text.as_str())).collect();
        assert_eq!(
            described,
            [
                (Setting::Bypass, "false"),
                (Setting::Store, "deception"),
                (Setting::Edge, "30d"),
                (Setting::Browser, "1h"),
                (Setting::Status, "404 30s, 5xx 0s"),
                (Setting::Override, "no_store, set_cookie"),
                (Setting::StaleWhileRevalidate, "1m 30s"),
                (Setting::StaleIfError, "0s"),
                (Setting::KeyQuery, "drop @tracking, sort"),
                (Setting::KeyHeaders, "accept-language, x-kind"),
                (Setting::KeyCookies, "none"),
                (Setting::Tags, "assets"),
                (Setting::StripCookies, "_ga*"),
                (Setting::StripSetCookie, "true"),
                (Setting::MaxObject, "10MiB"),
                (Setting::Collapse, "false"),
                (Setting::RequestDirectives, "follow"),
                (Setting::Compress, "false"),
                (Setting::AcceptEncoding, "identity"),
                (Setting::ResponseHeaders, "remove server, x-a; set x-host: {host}"),
            ]
        );
        assert_eq!(Then::default().describe(), []);
        assert!(everything().settings().eq(Setting::ALL.iter().copied()));
    }

    #[test]
    fn what_is_needed_before_the_response_is_known_by_name() {
        assert_eq!(everything().request_only_settings(), REQUEST_ONLY);
        let late = Then { edge: Some(1), tags: names(&[]), store: Some(Store::No), ..Then::default() };
        assert_eq!(late.request_only_settings(), []);
    }

    #[test]
    fn values_read_as_people_write_them() {
        for (bytes, text) in [(0, "0B"), (1000, "1000B"), (1536, "1536B"), (2048, "2KiB"), (1 << 30, "1GiB")]
        {
            assert_eq!(size(bytes), text);
        }
        let recipe = |pick, sort| query(&QueryRecipe { pick, sort });
        assert_eq!(recipe(Pick::All, true), "all, sort");
        assert_eq!(recipe(Pick::None, false), "none");
        assert_eq!(
            recipe(Pick::Keep(vec!["q".parse().unwrap(), "p*".parse().unwrap()]), false),
            "keep q, p*"
        );
        assert_eq!(ignored(Ignore::default()), "none");
        assert_eq!(edits(&Edits::default()), "none");
    }
}
