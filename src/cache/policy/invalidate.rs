//! What a successful write makes invalid: its own target, and what its response points to on the same origin.

use crate::http::fields::Fields;
use crate::http::request::RequestView;

/// Fields whose URIs a write invalidates beside its own target (RFC 9111 §4.4).
const POINTERS: [&str; 2] = ["location", "content-location"];

/// Values of those fields that are looked at; honest responses have one of each.
const MAX_POINTERS: usize = 4;

/// The longest target that a request may have, so nothing longer can be stored.
const MAX_TARGET: usize = 8 * 1024;

/// Whether a response to `method` invalidates its target (RFC 9111 §4.4): a success (2xx, 3xx) of any method that is
/// not known to be safe (RFC 9110 §9.2.1).
pub fn invalidates(method: &str, status: u16) -> bool {
    let safe = matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE");
    !safe && (200..400).contains(&status)
}

/// What else becomes invalid: Location and Content-Location as `path?query`, resolved against the request. Another
/// origin is left out (RFC 9111 §4.4: must not), the request's own target too, and what is no URI.
pub fn invalidated_targets(request: &RequestView<'_>, response: Fields<'_>) -> Vec<String> {
    let own = with_query(request.path, request.query);
    let mut targets = Vec::new();
    let pointers = POINTERS.into_iter().flat_map(|name| response.all(name));
    for value in pointers.take(MAX_POINTERS) {
        let target = resolve(request, value).filter(|target| *target != own && !targets.contains(target));
        targets.extend(target);
    }
    targets
}

/// RFC 3986 §5.2: the target that a reference means, if it is on the request's origin.
fn resolve(request: &RequestView<'_>, reference: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(reference.trim_ascii()).ok()?;
    if text.len() > MAX_TARGET || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let (text, _fragment) = text.split_once('#').unwrap_or((text, ""));
    let target = match local_part(request, text)? {
        Local::Rooted(path, query) => with_query(&without_dots(path), query),
        Local::Relative("", query) => with_query(request.path, query.or(request.query)),
        Local::Relative(path, query) => with_query(&without_dots(&beside(request.path, path)), query),
    };
    (target.len() <= MAX_TARGET).then_some(target)
}

/// What a reference says beyond its origin: path and query.
enum Local<'a> {
    /// The path begins with `/`.
    Rooted(&'a str, Option<&'a str>),
    /// The path, which may be empty, continues the request's.
    Relative(&'a str, Option<&'a str>),
}

/// Takes scheme and authority off; `None` where they are not the request's.
fn local_part<'a>(request: &RequestView<'_>, reference: &'a str) -> Option<Local<'a>> {
    let hierarchical = after_scheme(request, reference)?;
    let Some(rest) = hierarchical.strip_prefix("//") else {
        let (path, query) = split_query(hierarchical);
        let rooted = path.starts_with('/');
        return Some(if rooted { Local::Rooted(path, query) } else { Local::Relative(path, query) });
    };
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = split_query(tail);
    same_authority(request, authority).then_some(Local::Rooted(path, query))
}

/// What follows the scheme, if there is one; `None` if it is another than the request's or has no authority.
fn after_scheme<'a>(request: &RequestView<'_>, reference: &'a str) -> Option<&'a str> {
    let first = reference.find([':', '/', '?']).filter(|&at| reference.as_bytes().get(at) == Some(&b':'));
    let Some((scheme, rest)) = first.and_then(|_| reference.split_once(':')) else {
        return Some(reference);
    };
    (scheme.eq_ignore_ascii_case(request.scheme.as_str()) && rest.starts_with("//")).then_some(rest)
}

/// Whether an authority is the request's. One with user information never is.
fn same_authority(request: &RequestView<'_>, authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    same_host(host, request.host) && port_of(request, port) == Some(request.port)
}

/// RFC 9110 §4.2.3: without regard to case; with or without the brackets of an IPv6 address.
fn same_host(one: &str, other: &str) -> bool {
    !one.is_empty() && without_brackets(one).eq_ignore_ascii_case(without_brackets(other))
}

fn without_brackets(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// RFC 9110 §4.2: an absent or empty port is the scheme's own.
fn port_of(request: &RequestView<'_>, port: &str) -> Option<u16> {
    if port.is_empty() {
        return Some(request.scheme.default_port());
    }
    // `parse` alone would take a sign.
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    if digits { port.parse().ok() } else { None }
}

fn split_query(reference: &str) -> (&str, Option<&str>) {
    match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    }
}

fn with_query(path: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// RFC 3986 §5.2.3: a relative path takes the place of the last segment.
fn beside(base: &str, relative: &str) -> String {
    let folder = base.rfind('/').map_or("/", |at| &base[..=at]);
    format!("{folder}{relative}")
}

/// RFC 3986 §5.2.4: a path without `.` and `..`; an empty one is `/` (RFC 9110 §4.2.3).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut last = "";
    for segment in path.split('/').skip(1) {
        last = segment;
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    if matches!(last, "." | "..") {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::fixture::{Trial, headers, rows};
    use crate::http::request::Scheme;
    use proptest::prelude::*;

    /// What a successful POST to `http://Example.com/shop/cart?id=7` invalidates beside its target.
    fn pointed(fields: &[(&str, &str)]) -> Vec<String> {
        let trial = Trial::method("POST", &[]);
        trial.exchange(|exchange| invalidated_targets(exchange.request, Fields::Raw(&headers(fields))))
    }

    fn location(value: &str) -> Vec<String> {
        pointed(&[("Location", value)])
    }

    rows! {
        a_successful_post_invalidates: invalidates("POST", 200) => true;
        a_redirecting_post_invalidates: invalidates("POST", 303) => true;
        put_and_delete_invalidate: (invalidates("PUT", 204), invalidates("DELETE", 200)) => (true, true);
        a_method_whose_safety_is_unknown_invalidates: invalidates("M-SEARCH", 200) => true;
        methods_are_case_sensitive: invalidates("get", 200) => true;
        a_failed_post_invalidates_nothing: (invalidates("POST", 404), invalidates("POST", 500)) => (false, false);
        an_interim_response_invalidates_nothing: invalidates("POST", 100) => false;
        safe_methods_invalidate_nothing:
            ["GET", "HEAD", "OPTIONS", "TRACE"].map(|method| invalidates(method, 200)) => [false; 4];

        an_absolute_location_on_the_same_origin_counts: location("http://example.com/a?b") => ["/a?b"];
        the_default_port_is_the_same_origin: location("http://example.com:80/a") => ["/a"];
        an_empty_port_is_the_default_one: location("http://example.com:/a") => ["/a"];
        scheme_and_host_are_compared_without_case: location("HTTP://EXAMPLE.COM/a") => ["/a"];
        a_reference_without_scheme_takes_the_request_s: location("//example.com/a") => ["/a"];
        an_absolute_uri_without_path_is_the_root: location("http://example.com") => ["/"];
        an_absolute_uri_with_query_only_is_the_root: location("http://example.com?x") => ["/?x"];
        content_location_counts: pointed(&[("content-location", "/a")]) => ["/a"];
        both_fields_count: pointed(&[("content-location", "/a"), ("location", "/b")]) => ["/b", "/a"];
        the_same_target_is_named_once: pointed(&[("content-location", "/a"), ("location", "/a")]) => ["/a"];

        a_relative_location_replaces_the_last_segment: location("item") => ["/shop/item"];
        a_relative_location_may_climb: location("../x/./y") => ["/x/y"];
        a_relative_location_never_climbs_above_the_root: location("../../../x") => ["/x"];
        a_final_dot_leaves_a_folder: location("/a/b/..") => ["/a/"];
        a_query_alone_keeps_the_path: location("?id=8") => ["/shop/cart?id=8"];
        an_empty_query_is_another_target: location("?") => ["/shop/cart?"];
        a_colon_after_a_slash_is_no_scheme: location("/a:b") => ["/a:b"];
        a_fragment_is_no_part_of_the_target: location("/a#b?c") => ["/a"];
        the_own_target_is_left_to_the_caller: location("http://example.com/shop/cart?id=7") => [""; 0];
        a_fragment_alone_is_the_own_target: location("#x") => [""; 0];

        another_host_must_not_be_invalidated: location("http://example.org/a") => [""; 0];
        another_port_must_not_be_invalidated: location("http://example.com:8080/a") => [""; 0];
        another_scheme_must_not_be_invalidated: location("https://example.com/a") => [""; 0];
        a_longer_host_must_not_be_invalidated: location("http://example.com.evil/a") => [""; 0];
        user_information_is_another_authority: location("http://example.com@evil/a") => [""; 0];
        user_information_before_the_host_too: location("http://u:p@example.com/a") => [""; 0];
        a_signed_port_is_no_port: location("http://example.com:+80/a") => [""; 0];
        a_scheme_without_authority_is_no_target: location("http:a") => [""; 0];
        a_uri_that_is_not_hierarchical_is_no_target: location("mailto:a@example.com") => [""; 0];
        a_blank_is_no_part_of_a_uri: location("/a b") => [""; 0];
        what_is_longer_than_a_target_is_no_target: location(&format!("/{}", "a".repeat(9000))) => [""; 0];
    }

    #[test]
    fn an_address_in_brackets_is_compared_with_its_port() {
        let at = |port| Trial::method("POST", &[]).at(Scheme::Https, "[::1]", port);
        let fields = [("location", "https://[::1]:8443/a")];
        let targets = |trial: Trial| {
            trial.exchange(|exchange| invalidated_targets(exchange.request, Fields::Raw(&headers(&fields))))
        };
        assert_eq!(targets(at(8443)), ["/a"]);
        assert_eq!(targets(at(443)), [""; 0]);
    }

    #[test]
    fn the_number_of_targets_is_bounded() {
        let many: Vec<String> = (0..100).map(|n| format!("/{n}")).collect();
        let fields: Vec<(&str, &str)> = many.iter().map(|path| ("location", path.as_str())).collect();
        assert_eq!(pointed(&fields).len(), MAX_POINTERS);
    }

    proptest! {
        #[test]
        fn whatever_a_location_says_a_target_begins_with_a_slash(value in "\\PC{0,40}") {
            for target in location(&value) {
                prop_assert!(target.starts_with('/') && !target.contains('#'));
            }
        }

        #[test]
        fn uris_made_of_their_own_punctuation_never_panic(value in "[a/.:?#@\\[\\]]{0,30}") {
            let text = format!("http:{value}");
            prop_assert!(location(&value).len() + location(&text).len() <= 2);
        }
    }
}
