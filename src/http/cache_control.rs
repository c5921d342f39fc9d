//! Reads `Cache-Control`: what the origin allows the cache to keep, and what a client asks of it.
//!
//! Doubt always resolves to less caching: a number nobody can read is zero, of two numbers the stricter wins, and
//! malformed text never hides a directive that follows it.

use super::list;

/// Every directive the cache acts on, from a request or a response (RFC 9111 §5.2, RFC 5861, RFC 8246).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// Keep nothing (RFC 9111 §5.2.1.5, §5.2.2.5).
    pub no_store: bool,
    /// Ask the origin before every reuse (RFC 9111 §5.2.1.4, §5.2.2.4). The qualified form counts as this.
    pub no_cache: bool,
    /// Not for a shared cache (RFC 9111 §5.2.2.7). The qualified form counts as this.
    pub private: bool,
    /// May be shared even where that is not the default (RFC 9111 §5.2.2.9).
    pub public: bool,
    /// Never stale without asking (RFC 9111 §5.2.2.2).
    pub must_revalidate: bool,
    /// The same, for shared caches only (RFC 9111 §5.2.2.8).
    pub proxy_revalidate: bool,
    /// Store only when the status code is understood, in spite of `no-store` (RFC 9111 §5.2.2.3).
    pub must_understand: bool,
    /// Does not change while fresh (RFC 8246 §2).
    pub immutable: bool,
    /// Leave the body as it is (RFC 9111 §5.2.1.6, §5.2.2.6).
    pub no_transform: bool,
    /// Answer from the cache or not at all (RFC 9111 §5.2.1.7).
    pub only_if_cached: bool,
    /// Seconds of freshness, or the greatest age a client takes (RFC 9111 §5.2.1.1, §5.2.2.1).
    pub max_age: Option<u32>,
    /// Seconds of freshness in a shared cache (RFC 9111 §5.2.2.10).
    pub s_maxage: Option<u32>,
    /// Seconds of freshness a client wants left (RFC 9111 §5.2.1.3).
    pub min_fresh: Option<u32>,
    /// Seconds a stale response may be used while a fresh one is fetched (RFC 5861 §3).
    pub stale_while_revalidate: Option<u32>,
    /// Seconds a stale response may be used while the origin fails (RFC 5861 §4).
    pub stale_if_error: Option<u32>,
    /// Seconds of staleness a client takes; without a number `u32::MAX`: any (RFC 9111 §5.2.1.2).
    pub max_stale: Option<u32>,
    /// Whether there was any `Cache-Control` field at all.
    pub present: bool,
}

/// Reads all `Cache-Control` fields of a message, in one pass and without allocating (RFC 9111 §5.2).
pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> CacheControl {
    let mut parsed = CacheControl::default();
    for value in values {
        parsed.present = true;
        for member in list::members(value) {
            parsed.apply(&Directive::split(member));
        }
    }
    parsed
}

impl CacheControl {
    fn apply(&mut self, directive: &Directive<'_>) {
        let mut buffer = [0; LONGEST_NAME];
        match directive.lower_name(&mut buffer) {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"no-transform" => self.no_transform = true,
            b"only-if-cached" => self.only_if_cached = true,
            // These three permit something: with an argument they do not have, they are not believed.
            b"public" => self.public |= directive.is_bare(),
            b"immutable" => self.immutable |= directive.is_bare(),
            b"must-understand" => self.must_understand |= directive.is_bare(),
            b"max-age" => lower(&mut self.max_age, directive.seconds_or_zero()),
            b"s-maxage" => lower(&mut self.s_maxage, directive.seconds_or_zero()),
            b"stale-while-revalidate" => {
                lower(&mut self.stale_while_revalidate, directive.seconds_or_zero());
            }
            b"stale-if-error" => lower(&mut self.stale_if_error, directive.seconds_or_zero()),
            b"max-stale" if directive.is_bare() => lower(&mut self.max_stale, u32::MAX),
            b"max-stale" => lower(&mut self.max_stale, directive.seconds_or_zero()),
            // The one number where more is stricter.
            b"min-fresh" => self.min_fresh = self.min_fresh.max(directive.seconds()),
            _ => {}
        }
    }
}

/// Of two values for one directive the smaller wins (RFC 9111 §4.2.1: first, or most restrictive).
fn lower(slot: &mut Option<u32>, seconds: u32) {
    *slot = Some(slot.map_or(seconds, |known| known.min(seconds)));
}

/// RFC 9111 §1.2.2: a number too large to represent counts as 2^31.
const MOST_SECONDS: u32 = 1 << 31;

/// `stale-while-revalidate` is 22 bytes long; a longer name is none of ours.
const LONGEST_NAME: usize = 22;

struct Directive<'a> {
    name: &'a [u8],
    argument: Option<&'a [u8]>,
}

impl<'a> Directive<'a> {
    fn split(member: &'a [u8]) -> Self {
        let Some(equals) = member.iter().position(|&byte| byte == b'=') else {
            return Self { name: member, argument: None };
        };
        let name = member[..equals].trim_ascii_end();
        // `max-age =60` is not the grammar: the directive counts, its number does not.
        let well_formed = name.len() == equals;
        let argument = if well_formed { &member[equals + 1..] } else { b"" };
        Self { name, argument: Some(argument) }
    }

    fn lower_name<'b>(&self, buffer: &'b mut [u8; LONGEST_NAME]) -> &'b [u8] {
        let Some(lowered) = buffer.get_mut(..self.name.len()) else {
            return b"";
        };
        lowered.copy_from_slice(self.name);
        lowered.make_ascii_lowercase();
        lowered
    }

    fn is_bare(&self) -> bool {
        self.argument.is_none()
    }

    /// RFC 9111 §4.2.1: invalid freshness information counts as stale.
    fn seconds_or_zero(&self) -> u32 {
        self.seconds().unwrap_or(0)
    }

    /// The delta-seconds of RFC 9111 §1.2.2, quoted or not.
    fn seconds(&self) -> Option<u32> {
        let digits = unquote(self.argument?);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let seconds = digits
            .iter()
            .fold(0u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
        Some(seconds.min(MOST_SECONDS))
    }
}

fn unquote(argument: &[u8]) -> &[u8] {
    argument.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(argument)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(value: &str) -> CacheControl {
        parse([value.as_bytes()])
    }

    fn max_age(value: &str) -> Option<u32> {
        one(value).max_age
    }

    #[test]
    fn no_field_is_not_the_same_as_an_empty_field() {
        assert_eq!(parse([]), CacheControl::default());
        assert!(one("").present);
    }

    #[test]
    fn names_are_read_in_any_case_and_over_several_lines() {
        let read = parse([&b"No-Store, MAX-AGE=5"[..], b"Private"]);
        assert!(read.no_store && read.private);
        assert_eq!(read.max_age, Some(5));
    }

    #[test]
    fn every_directive_reaches_its_own_field() {
        let read = one(
            "no-store, no-cache, private, public, must-revalidate, proxy-revalidate, must-understand, immutable, \
             no-transform, only-if-cached, max-age=1, s-maxage=2, min-fresh=3, stale-while-revalidate=4, \
             stale-if-error=5, max-stale=6, unknown=7",
        );
        let all = CacheControl {
            no_store: true,
            no_cache: true,
            private: true,
            public: true,
            must_revalidate: true,
            proxy_revalidate: true,
            must_understand: true,
            immutable: true,
            no_transform: true,
            only_if_cached: true,
            max_age: Some(1),
            s_maxage: Some(2),
            min_fresh: Some(3),
            stale_while_revalidate: Some(4),
            stale_if_error: Some(5),
            max_stale: Some(6),
            present: true,
        };
        assert_eq!(read, all);
    }

    #[test]
    fn a_number_may_be_quoted_and_is_clamped() {
        assert_eq!(max_age("max-age=\"60\""), Some(60));
        assert_eq!(max_age("max-age=0060"), Some(60));
        assert_eq!(max_age("max-age=2147483648"), Some(1 << 31));
        assert_eq!(max_age("max-age=99999999999999999999999"), Some(1 << 31));
    }

    #[test]
    fn a_number_nobody_can_read_is_zero() {
        for bad in ["", "=", "=-1", "=+1", "=1.5", "='60'", "= 60", " =60", "=60a", "=\"60", "=\"\"", "=60;x"]
        {
            assert_eq!(max_age(&format!("max-age{bad}")), Some(0), "max-age{bad}");
        }
        assert_eq!(one("s-maxage=x").s_maxage, Some(0));
        assert_eq!(one("stale-if-error").stale_if_error, Some(0));
        assert_eq!(one("stale-while-revalidate=-5").stale_while_revalidate, Some(0));
    }

    #[test]
    fn of_two_numbers_the_stricter_wins() {
        assert_eq!(max_age("max-age=60, max-age=30"), Some(30));
        assert_eq!(max_age("max-age=30, max-age=60"), Some(30));
        assert_eq!(one("max-stale, max-stale=9").max_stale, Some(9));
        assert_eq!(one("min-fresh=3, min-fresh=9, min-fresh=x").min_fresh, Some(9));
    }

    #[test]
    fn max_stale_without_a_number_means_any() {
        assert_eq!(one("max-stale").max_stale, Some(u32::MAX));
        assert_eq!(one("max-stale=").max_stale, Some(0));
    }

    #[test]
    fn a_qualified_form_counts_as_unqualified() {
        assert!(one("no-cache=\"Set-Cookie, X\"").no_cache);
        assert!(one("private=x").private);
    }

    #[test]
    fn what_is_inside_quotes_is_not_a_directive() {
        let read = one("ext=\"a, no-store, max-age=0\", max-age=9");
        assert!(!read.no_store);
        assert_eq!(read.max_age, Some(9));
    }

    #[test]
    fn an_open_quote_does_not_hide_no_store() {
        assert!(one("private=\"x, no-store").no_store);
        assert!(one("a\"b, no-store, c=\"").no_store);
    }

    #[test]
    fn a_permission_with_an_argument_is_not_believed() {
        let read = one("public=1, immutable=\"\", must-understand=no");
        assert!(!read.public && !read.immutable && !read.must_understand);
        assert!(one("no-store=1").no_store);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4)) {
            let read = parse(values.iter().map(Vec::as_slice));
            prop_assert_eq!(read.present, !values.is_empty());
            prop_assert!(read.max_age.is_none_or(|seconds| seconds <= MOST_SECONDS));
        }

        #[test]
        fn it_agrees_with_a_naive_reader(members in proptest::collection::vec(
            ("(max-age|Max-Age|s-maxage|no-store|x)", proptest::option::of(0u32..100)), 0..8), lines in 1usize..3)
        {
            let text: Vec<String> = members.iter().map(|(name, number)| match number {
                Some(number) => format!("{name}={number}"),
                None => name.clone(),
            }).collect();
            let joined: Vec<String> = text.chunks(lines).map(|chunk| chunk.join(" ,")).collect();
            let read = parse(joined.iter().map(String::as_bytes));
            let least = |wanted: &str| members.iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, number)| number.unwrap_or(0)).min();
            prop_assert_eq!(read.max_age, least("max-age"));
            prop_assert_eq!(read.s_maxage, least("s-maxage"));
            prop_assert_eq!(read.no_store, members.iter().any(|(name, _)| name == "no-store"));
        }
    }
}
