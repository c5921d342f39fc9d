//! No two requests share a key that should not, and all keys of one URL are known as such.

use super::*;
use crate::http::request::{Framing, Protocol};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

fn key(host: &str, port: u16, path: &str, query: Option<&str>) -> Key {
    Recipe::new(7).url(Scheme::Http, host, port, path, query, None)
}

type Pairs = Vec<(String, String)>;

/// Runs with a request for this path and query that has these header fields.
fn with<R>(path: &str, query: Option<&str>, pairs: &Pairs, run: impl FnOnce(&RequestView<'_>) -> R) -> R {
    let fields: Vec<_> =
        pairs.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
    run(&RequestView {
        method: "GET",
        scheme: Scheme::Http,
        host: "Example.com",
        port: 80,
        path,
        query,
        protocol: Protocol::Http11,
        fields: Fields::Raw(&fields),
        framing: Framing::None,
        upgrade: false,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    })
}

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn boxed(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|&name| name.into()).collect()
}

/// The key of `/a?q` with these fields, where these headers and cookies count.
fn chosen_key(fields: &[(&str, &str)], headers: &[&str], cookies: &[&str]) -> Key {
    let (headers, cookies) = (boxed(headers), boxed(cookies));
    let parts = Parts { query: None, headers: &headers, cookies: &cookies };
    with("/a", Some("q"), &pairs(fields), |view| Recipe::new(7).of(view, &parts))
}

#[test]
fn the_host_is_the_same_in_any_case_and_nothing_else_is() {
    let base = key("example.com", 80, "/a", None);
    assert_eq!(base, key("EXAMPLE.com", 80, "/a", None));
    for other in [
        key("example.com", 81, "/a", None),
        key("example.com", 80, "/A", None),
        key("example.com", 80, "/a", Some("")),
        key("example.org", 80, "/a", None),
        Recipe::new(7).url(Scheme::Https, "example.com", 80, "/a", None, None),
    ] {
        assert_ne!(base, other);
        assert!(!is_of_url(&base, &other) && !is_of_url(&other, &base));
    }
}

#[test]
fn a_request_without_chosen_parts_has_the_key_of_its_url() {
    let of =
        with("/a", Some("b=c"), &pairs(&[("cookie", "a=b")]), |v| Recipe::new(7).of(v, &Parts::default()));
    assert_eq!(of, key("example.com", 80, "/a", Some("b=c")));
    assert!(!of.bytes.spilled());
}

#[test]
fn a_query_of_which_nothing_counts_is_none() {
    let url = |query, recipe: &QueryRecipe| {
        Recipe::new(7).url(Scheme::Http, "example.com", 80, "/a", query, Some(recipe))
    };
    let without = key("example.com", 80, "/a", None);
    let tracking = QueryRecipe { pick: Pick::Drop(vec![Name::Tracking]), sort: false };
    for query in [None, Some(""), Some("&"), Some("utm_source=x"), Some("fbclid=1&gclid=2")] {
        assert_eq!(url(query, &tracking), without);
        assert_eq!(url(query, &QueryRecipe { pick: Pick::None, sort: false }), without);
    }
    assert_eq!(url(Some("gclid=1&a=1"), &tracking), key("example.com", 80, "/a", Some("a=1")));
    // Without a recipe, and with one that changes nothing, `?` alone is what was sent.
    assert_eq!(url(Some(""), &QueryRecipe::default()), key("example.com", 80, "/a", Some("")));
    let sorted = QueryRecipe { pick: Pick::All, sort: true };
    assert_eq!(url(Some("b=1&a=2&b=0"), &sorted), key("example.com", 80, "/a", Some("a=2&b=1&b=0")));
}

#[test]
fn chosen_fields_and_cookies_tell_requests_apart_and_others_do_not() {
    let (h, c): (&[&str], &[&str]) = (&["x-device"], &["lang"]);
    let base = chosen_key(&[("x-device", "m"), ("cookie", "lang=de; id=1")], h, c);
    let same = chosen_key(&[("X-Device", " m "), ("cookie", "id=2"), ("cookie", "lang=de")], h, c);
    assert_eq!(base, same, "the same by other lines, other cookies and other spaces");
    for other in [
        chosen_key(&[("cookie", "lang=de")], h, c),
        chosen_key(&[("x-device", ""), ("cookie", "lang=de")], h, c),
        chosen_key(&[("x-device", "M"), ("cookie", "lang=de")], h, c),
        chosen_key(&[("x-device", "m"), ("x-device", "m"), ("cookie", "lang=de")], h, c),
        chosen_key(&[("x-device", "m")], h, c),
        chosen_key(&[("x-device", "m"), ("cookie", "lang=")], h, c),
        chosen_key(&[("x-device", "m"), ("cookie", "lang=de; lang=en")], h, c),
        chosen_key(&[("x-device", "m"), ("cookie", "Lang=de")], h, c),
        chosen_key(&[("x-device", "m"), ("cookie", "lang=de")], h, &[]),
        chosen_key(&[("x-device", "m"), ("lang", "de")], &["x-device", "lang"], &[]),
    ] {
        assert_ne!(base, other);
        assert!(is_of_url(&other, &key("example.com", 80, "/a", Some("q"))));
    }
}

#[test]
fn a_part_of_any_length_is_framed() {
    for length in [65_533, 65_534, 65_535, 65_536, 70_000] {
        let path = "/".repeat(length);
        let url = key("example.com", 80, &path, Some("q"));
        assert_eq!(url_part(&url), &url.bytes[..], "{length}");
        assert!(!is_of_url(&url, &key("example.com", 80, &path, None)));
        assert!(!is_of_url(&url, &key("example.com", 80, &path[1..], Some("q"))));
    }
}

#[test]
fn explain_names_what_counts_and_what_does_not() {
    let headers = boxed(&["x-device", "x-none"]);
    let cookies = boxed(&["lang"]);
    let drop = QueryRecipe {
        pick: Pick::Drop(vec![Name::Tracking, "s*".parse().unwrap(), "id".parse().unwrap()]),
        sort: true,
    };
    let parts = Parts { query: Some(&drop), headers: &headers, cookies: &cookies };
    let fields = pairs(&[("x-device", "m"), ("cookie", "lang=de")]);
    let described =
        with("/a", Some("b=2&utm_source=x&sid=1&id=3&a=1&gclid=1;a"), &fields, |v| describe(v, &parts));
    let said: Vec<_> = described.iter().map(|p| (&*p.what, &*p.value, &*p.note)).collect();
    let note = "utm_source dropped (@tracking), sid dropped (s*), id dropped, \
                gclid stays: the origin may read it as another parameter, sorted";
    assert_eq!(
        said,
        [
            ("scheme", "http", ""),
            ("host", "example.com", ""),
            ("port", "80", ""),
            ("path", "/a", ""),
            ("query", "a=1&b=2&gclid=1;a", note),
            ("header x-device", "m", ""),
            ("header x-none", "", "absent"),
            ("cookie lang", "de", ""),
        ]
    );
}

#[test]
fn explain_does_not_list_a_thousand_names() {
    let none = QueryRecipe { pick: Pick::None, sort: true };
    let query = (0..1000).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
    let parts = Parts { query: Some(&none), ..Parts::default() };
    let part = with("/", Some(&query), &Pairs::new(), |view| describe(view, &parts)).pop().unwrap();
    assert_eq!((part.value.as_str(), part.note.ends_with("p7 dropped (ignore), and 992 more")), ("", true));
}

/// A request in the few bytes that matter.
type Request = (String, Option<String>, Pairs);

fn requests() -> impl Strategy<Value = Request> {
    let field = prop_oneof![("(x|y)", "[ab,;]{0,3}"), ("cookie", "((a|b)=[xy]{0,2};?){0,3}")];
    ("/[a-z?&]{0,3}", proptest::option::of("[a-b=&?]{0,5}"), proptest::collection::vec(field, 0..4))
}

/// What the key must tell apart, spelled out.
fn model(request: &Request) -> (String, Option<String>, [Vec<String>; 4]) {
    let (path, query, fields) = request;
    let header = |name: &str| fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect();
    let cookie = |name: &str| {
        let pieces = fields.iter().filter(|(n, _)| n == "cookie").flat_map(|(_, line)| line.split(';'));
        let named = pieces.filter_map(|piece| piece.split_once('=')).filter(|(n, _)| *n == name);
        named.map(|(_, value)| value.to_owned()).collect()
    };
    (path.clone(), query.clone(), [header("x"), header("y"), cookie("a"), cookie("b")])
}

proptest! {
    #[test]
    fn different_parts_never_make_the_same_bytes(
        a in ("[a-z]{0,4}", "/[a-z?]{0,4}", proptest::option::of("[a-z?]{0,4}")),
        b in ("[a-z]{0,4}", "/[a-z?]{0,4}", proptest::option::of("[a-z?]{0,4}")),
    ) {
        let of = |p: &(String, String, Option<String>)| key(&p.0, 80, &p.1, p.2.as_deref());
        prop_assert_eq!(a == b, of(&a).bytes == of(&b).bytes);
        prop_assert_eq!(a == b, is_of_url(&of(&a), &of(&b)));
    }

    #[test]
    fn requests_share_a_key_exactly_when_all_that_counts_is_the_same(one in requests(), other in requests()) {
        let (headers, cookies) = (boxed(&["x", "y"]), boxed(&["a", "b"]));
        let parts = Parts { query: None, headers: &headers, cookies: &cookies };
        let of = |r: &Request| with(&r.0, r.1.as_deref(), &r.2, |view| Recipe::new(7).of(view, &parts));
        prop_assert_eq!(of(&one).bytes == of(&other).bytes, model(&one) == model(&other));
    }

    #[test]
    fn a_key_is_of_its_own_url_and_of_no_other(one in requests(), other in requests()) {
        let (headers, cookies) = (boxed(&["x", "y"]), boxed(&["a"]));
        let parts = Parts { query: None, headers: &headers, cookies: &cookies };
        let key_of = with(&one.0, one.1.as_deref(), &one.2, |view| Recipe::new(7).of(view, &parts));
        let url = |r: &Request| key("example.com", 80, &r.0, r.1.as_deref());
        prop_assert_eq!(url_part(&key_of), &url(&one).bytes[..]);
        let same = (&one.0, &one.1) == (&other.0, &other.1);
        prop_assert_eq!(is_of_url(&key_of, &url(&other)), same);
    }

    #[test]
    fn no_bytes_make_the_end_of_a_url_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let key = Key { hash: 0, bytes: bytes.into() };
        prop_assert!(url_part(&key).len() <= key.bytes.len());
    }
}
