//! Which parameters of a query count for the key: all, none, some by name; as sent or in one order.
//!
//! The invariant: in doubt a parameter counts. What is left out of the key still reaches the origin, so leaving out
//! something that the origin reads would let one client choose what the next one is served. Frameworks read names in
//! ways of their own: `%61` and `A` as `a`, `a.b` as `a_b`, `a[]` as `a`, and `x;a=1` as two parameters.

use crate::http::query::parameters;
use smallvec::SmallVec;
use std::fmt;
use std::str::FromStr;

/// Names that `@tracking` stands for: what advertising, mail and analytics services append for their scripts in the
/// page. No server chooses its answer by them; one that does must not use `@tracking`.
pub const TRACKING: &[&str] = &[
    // Google: Analytics, Ads, Campaign Manager, Merchant Center
    "utm_*",
    "_ga",
    "_gl",
    "gclid",
    "gclsrc",
    "dclid",
    "gbraid",
    "wbraid",
    "gad_source",
    "gad_campaignid",
    "srsltid",
    // Meta, Microsoft, X, TikTok, LinkedIn, Pinterest, Snapchat, Reddit
    "fbclid",
    "igsh",
    "igshid",
    "msclkid",
    "twclid",
    "ttclid",
    "li_fat_id",
    "epik",
    "ScCid",
    "rdt_cid",
    // Yandex, Openstat
    "yclid",
    "ysclid",
    "_openstat",
    // Mailchimp, HubSpot, Marketo, Klaviyo, Vero, Omeda, Drip
    "mc_cid",
    "mc_eid",
    "_hsenc",
    "_hsmi",
    "__hssc",
    "__hstc",
    "__hsfp",
    "hsCtaTracking",
    "mkt_tok",
    "_kx",
    "vero_id",
    "vero_conv",
    "oly_anon_id",
    "oly_enc_id",
    "__s",
    // Matomo, Branch, Wicked Reports
    "mtm_*",
    "pk_campaign",
    "pk_kwd",
    "pk_keyword",
    "_branch_match_id",
    "wickedid",
];

/// What of a query counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct QueryRecipe {
    /// Which parameters.
    pub pick: Pick,
    /// Whether their order does not: they are put in the order of their bytes, repeated ones all kept.
    pub sort: bool,
}

/// Which parameters count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pick {
    /// Every one.
    #[default]
    All,
    /// Every one but these.
    Drop(Vec<Name>),
    /// These alone.
    Keep(Vec<Name>),
    /// None: the query does not matter at all.
    None,
}

/// The name of a parameter as a recipe has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// This one.
    Exact(Box<str>),
    /// Every one that fits; `*` stands for any characters, or none.
    Glob(Box<str>),
    /// Every one in [`TRACKING`].
    Tracking,
}

/// What was written is no name; says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// Nothing was written.
    Empty,
    /// A `&`, `=` or `#` can be in no name.
    Separator,
    /// No built-in list has this name.
    UnknownList,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => {
                "the name of a parameter is missing; for a query that does not count write `query: ignore`"
            }
            Self::Separator => "write the name of a parameter alone, without `&`, `=`, `#` or a value",
            Self::UnknownList => "there is one built-in list of names: `@tracking`",
        })
    }
}

impl std::error::Error for BadName {}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        match text {
            "" => Err(BadName::Empty),
            "@tracking" => Ok(Self::Tracking),
            _ if text.starts_with('@') => Err(BadName::UnknownList),
            _ if text.contains(['&', '=', '#']) => Err(BadName::Separator),
            _ if text.contains('*') => Ok(Self::Glob(text.into())),
            _ => Ok(Self::Exact(text.into())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) | Self::Glob(text) => f.write_str(text),
            Self::Tracking => f.write_str("@tracking"),
        }
    }
}

impl Name {
    /// Whether a parameter has this name, to the letter.
    pub fn matches(&self, name: &str) -> bool {
        let exact = |a: u8, b: u8| a == b;
        match self {
            Self::Exact(text) => **text == *name,
            Self::Glob(text) => fits(text, name, exact),
            // A look at the first byte spares nearly all of the list.
            Self::Tracking => {
                let first = name.as_bytes().first();
                TRACKING.iter().any(|text| text.as_bytes().first() == first && fits(text, name, exact))
            }
        }
    }

    /// Whether it may have this name for an origin that does not tell upper from lower case.
    fn may_match(&self, name: &str) -> bool {
        let in_any_case = |a: u8, b: u8| a.eq_ignore_ascii_case(&b);
        match self {
            Self::Exact(text) => text.eq_ignore_ascii_case(name),
            Self::Glob(text) => fits(text, name, in_any_case),
            Self::Tracking => TRACKING.iter().any(|text| fits(text, name, in_any_case)),
        }
    }
}

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate<'r> {
    /// It counts.
    Counts,
    /// It counts only because an origin may read it as one that does.
    Doubtful,
    /// It does not count, because of this name.
    Dropped(&'r Name),
    /// It does not count, because it is not among those that do.
    NotKept,
    /// It does not count, as none does.
    NoneCounts,
}

impl QueryRecipe {
    /// Whether the query counts as it was sent.
    pub(super) fn is_verbatim(&self) -> bool {
        self.pick == Pick::All && !self.sort
    }

    /// The parameters that count, whole, in the order in which they count.
    pub(super) fn apply<'q>(&self, query: &'q str) -> SmallVec<[&'q str; 32]> {
        if self.pick == Pick::None {
            return SmallVec::new();
        }
        // Nothing between two `&` is no parameter.
        let all = parameters(Some(query)).filter(|(_, whole)| !whole.is_empty());
        let counts = |(name, whole): &(&str, &str)| self.fate(name, whole).counts();
        let mut kept: SmallVec<[&'q str; 32]> = all.filter(counts).map(|(_, whole)| whole).collect();
        if self.sort {
            // By name only: an origin may take the first or the last of two values. Where a parameter stands in the
            // query breaks the tie, so that nothing need be allocated for a stable order.
            kept.sort_unstable_by_key(|whole| (whole.split('=').next(), whole.as_ptr()));
        }
        kept
    }

    pub(super) fn fate(&self, name: &str, whole: &str) -> Fate<'_> {
        match &self.pick {
            Pick::All => Fate::Counts,
            Pick::None => Fate::NoneCounts,
            Pick::Drop(names) => match names.iter().find(|n| n.matches(name)) {
                None => Fate::Counts,
                Some(_) if whole.contains(';') => Fate::Doubtful,
                Some(dropped) => Fate::Dropped(dropped),
            },
            Pick::Keep(names) if names.iter().any(|n| n.may_match(name)) => Fate::Counts,
            Pick::Keep(_) if whole.contains(';') || !is_plain(name) => Fate::Doubtful,
            Pick::Keep(_) => Fate::NotKept,
        }
    }
}

impl Fate<'_> {
    pub(super) fn counts(self) -> bool {
        matches!(self, Self::Counts | Self::Doubtful)
    }
}

/// Whether every origin reads these bytes of a name as they are.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~'))
}

/// Whether a text fits a pattern with `*`. Goes back to the last `*` only, so it takes no more steps than pattern
/// times text.
fn fits(pattern: &str, text: &str, same: impl Fn(u8, u8) -> bool) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if same(byte, text[t]) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(list: &[&str]) -> Vec<Name> {
        list.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn drop(list: &[&str]) -> QueryRecipe {
        QueryRecipe { pick: Pick::Drop(names(list)), sort: false }
    }

    fn keep(list: &[&str]) -> QueryRecipe {
        QueryRecipe { pick: Pick::Keep(names(list)), sort: false }
    }

    fn left(recipe: &QueryRecipe, query: &str) -> String {
        recipe.apply(query).join("&")
    }

    #[test]
    fn what_counts_is_chosen_by_name() {
        for (recipe, query, want) in [
            (drop(&["@tracking"]), "a=1&utm_source=x&gclid=2&b", "a=1&b"),
            (drop(&["@tracking"]), "utm=1&gclid2=1&_gax=1", "utm=1&gclid2=1&_gax=1"),
            (drop(&["x*", "y"]), "x=1&xy=1&y=1&yx=1&ax=1", "yx=1&ax=1"),
            (drop(&["a"]), "A=1&a=2", "A=1"),
            (keep(&["a", "p_*"]), "a=1&b=2&p_=3&p_x=4&p=5", "a=1&p_=3&p_x=4"),
            (keep(&[]), "a=1", ""),
            (keep(&["a"]), "a=2&a=1&a=2", "a=2&a=1&a=2"),
            (QueryRecipe { pick: Pick::None, sort: true }, "a=1;b&%41", ""),
            (QueryRecipe { pick: Pick::All, sort: true }, "b=1&a=2&&a=1&b=1&B=0", "B=0&a=2&a=1&b=1&b=1"),
            (QueryRecipe { sort: true, ..drop(&["c"]) }, "c=1&b=1&a=1", "a=1&b=1"),
        ] {
            assert_eq!(left(&recipe, query), want, "{recipe:?} {query}");
        }
    }

    #[test]
    fn what_the_origin_may_read_as_another_parameter_counts() {
        // The second of two parameters, for those who separate by `;`.
        assert_eq!(left(&drop(&["@tracking"]), "utm_source=x;a=evil"), "utm_source=x;a=evil");
        for cloaked in ["%61=evil", "A=evil", "a[]=evil", "+a=evil", "x;a=evil", "a.=evil", "\u{e4}=1"] {
            assert_eq!(left(&keep(&["a"]), cloaked), cloaked);
        }
        // Dropping goes by the letter: what is spelled otherwise stays.
        assert_eq!(left(&drop(&["utm_*"]), "%75tm_source=x&UTM_source=x"), "%75tm_source=x&UTM_source=x");
    }

    #[test]
    fn a_name_is_written_back_as_it_was_read_and_others_say_what_to_write() {
        for text in ["a", "utm_*", "*", "a.b[]", "@tracking"] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
        for (text, error) in [
            ("", BadName::Empty),
            ("@ads", BadName::UnknownList),
            ("a=1", BadName::Separator),
            ("a&b", BadName::Separator),
        ] {
            assert_eq!(text.parse::<Name>(), Err(error));
        }
    }

    #[test]
    fn the_list_of_tracking_names_has_none_twice_and_each_is_a_name() {
        for (at, name) in TRACKING.iter().enumerate() {
            assert!(name.parse::<Name>().is_ok() && !TRACKING[..at].contains(name), "{name}");
            assert!(Name::Tracking.matches(&name.replace('*', "source")), "{name}");
        }
    }

    #[test]
    fn a_hostile_name_does_not_take_long() {
        let name = "a".repeat(8 * 1024);
        assert!(!fits("*a*a*a*a*a*a*b", &name, |a, b| a == b));
    }

    proptest! {
        #[test]
        fn a_glob_fits_what_a_slow_reading_says(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            fn slow(pattern: &[u8], text: &[u8]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some((b'*', rest)) => (0..=text.len()).any(|at| slow(rest, &text[at..])),
                    Some((byte, rest)) => text.first() == Some(byte) && slow(rest, &text[1..]),
                }
            }
            let fast = fits(&pattern, &text, |a, b| a == b);
            prop_assert_eq!(fast, slow(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn sorted_queries_are_equal_exactly_when_they_have_the_same_parameters(
            one in prop::collection::vec("[ab]=?[01]?", 0..5),
            other in prop::collection::vec("[ab]=?[01]?", 0..5),
        ) {
            let sort = QueryRecipe { pick: Pick::All, sort: true };
            let name = |whole: &String| whole.split('=').next().unwrap().to_owned();
            let model = |list: &[String]| { let mut list = list.to_vec(); list.sort_by_key(name); list };
            prop_assert_eq!(left(&sort, &one.join("&")) == left(&sort, &other.join("&")), model(&one) == model(&other));
        }
    }
}
