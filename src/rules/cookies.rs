//! Which cookies of a request do not reach the origin.

use super::rule::list;
use crate::http::cookie::cookies;
use crate::http::fields::Fields;
use crate::route::TextPattern;
use std::fmt;

/// Which cookies are taken out of a request before it goes to the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StripCookies {
    /// All of them.
    All,
    /// Those whose name is one of these.
    Named(Vec<TextPattern>),
    /// None; takes back what an earlier rule takes out.
    No,
}

impl StripCookies {
    /// What is left, as the value of one `Cookie` field (RFC 6265 §5.4); none if nothing is, so that no field is sent.
    /// A cookie without `=` gets one: [`cookies`] reads both as a name with an empty value.
    pub fn rest(&self, fields: Fields<'_>) -> Option<Vec<u8>> {
        let mut rest = Vec::new();
        for (name, value) in cookies(fields).filter(|(name, _)| !self.takes(name)) {
            if !rest.is_empty() {
                rest.extend_from_slice(b"; ");
            }
            rest.extend_from_slice(name);
            rest.push(b'=');
            rest.extend_from_slice(value);
        }
        (!rest.is_empty()).then_some(rest)
    }

    fn takes(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|pattern| pattern.matches(name)),
            Self::No => false,
        }
    }
}

impl fmt::Display for StripCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("true"),
            Self::Named(names) => f.write_str(&list(names)),
            Self::No => f.write_str("false"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(strip: &StripCookies, fields: &[&str]) -> Option<String> {
        let fields: Vec<httparse::Header<'_>> =
            fields.iter().map(|value| httparse::Header { name: "Cookie", value: value.as_bytes() }).collect();
        strip.rest(Fields::Raw(&fields)).map(|rest| String::from_utf8(rest).unwrap())
    }

    #[test]
    fn named_cookies_are_taken_out_and_the_rest_is_one_field() {
        let named =
            |names: &[&str]| StripCookies::Named(names.iter().map(|name| name.parse().unwrap()).collect());
        let some = |text: &str| Some(text.to_owned());
        let ga = named(&["_ga*", "utm"]);
        assert_eq!(rest(&ga, &["_ga=1; sid=2; _gat=3", "utm=4; lang=en"]), some("sid=2; lang=en"));
        assert_eq!(rest(&ga, &["_ga=1; _gid=2"]), some("_gid=2"));
        assert_eq!(rest(&ga, &["_ga=1"]), None);
        assert_eq!(rest(&ga, &["sid=a=b"]), some("sid=a=b"));
        assert_eq!(rest(&StripCookies::All, &["a=1; b=2"]), None);
        assert_eq!(rest(&StripCookies::No, &["a=1;b=2", "c=3"]), some("a=1; b=2; c=3"));
        assert_eq!(rest(&StripCookies::No, &[]), None);
    }

    #[test]
    fn what_is_taken_out_is_shown_as_written() {
        let named = StripCookies::Named(vec!["_ga*".parse().unwrap(), "utm".parse().unwrap()]);
        assert_eq!(named.to_string(), "_ga*, utm");
        assert_eq!(
            (StripCookies::All.to_string().as_str(), StripCookies::No.to_string().as_str()),
            ("true", "false")
        );
    }
}
