//! RFC 9113 §8.1, §8.3 and §8.5: what makes a request, and what makes it malformed.

use super::case::Reaction::*;
use super::case::*;
use super::frame::*;

pub fn cases() -> Vec<Case> {
    [exchange(), lengths(), pseudo(), targets(), connecting()].into_iter().flatten().collect()
}

fn whole(fields: &[(&str, &str)]) -> [Vec<u8>; 1] {
    [headers(1, WHOLE, section(fields))]
}

fn posted(fields: &[(&str, &str)], bodies: &[&str]) -> Vec<Vec<u8>> {
    let last = bodies.len() - 1;
    let body = |(n, body): (usize, &&str)| data(1, if n == last { END_STREAM } else { NONE }, *body);
    let head = headers(1, END_HEADERS, post_section(fields));
    std::iter::once(head).chain(bodies.iter().enumerate().map(body)).collect()
}

fn exchange() -> Vec<Case> {
    vec![
        case("8.1", "HEADERS again that do not end the stream", [post(1), post(1)])
            .breaks_the_stream(PROTOCOL_ERROR),
        case(
            "8.1",
            "trailers that do not end the stream",
            [post(1), data(1, NONE, "body"), headers(1, END_HEADERS, section(&[("x-sum", "4")]))],
        )
        .breaks_the_stream(PROTOCOL_ERROR),
        case(
            "8.1",
            "a pseudo-field in trailers",
            [post(1), headers(1, WHOLE, section(&[(":method", "POST")]))],
        )
        .gets_refused()
        .instead(
            Answer(200),
            "The `h2` crate leaves pseudo-fields out of trailers without a word: nobody behind it sees them.",
        ),
    ]
}

fn lengths() -> Vec<Case> {
    vec![
        case("8.1.1", "a Content-Length that is right", posted(&[("content-length", "4")], &["body"]))
            .gets_answered(),
        case("8.1.1", "a Content-Length that is too large", posted(&[("content-length", "9")], &["body"]))
            .gets_refused(),
        case("8.1.1", "a Content-Length that is too small", posted(&[("content-length", "1")], &["body"]))
            .gets_refused(),
        case(
            "8.1.1",
            "a Content-Length that two frames miss",
            posted(&[("content-length", "9")], &["bo", "dy"]),
        )
        .gets_refused(),
        case(
            "8.1.1",
            "a Content-Length and no body",
            [headers(1, WHOLE, post_section(&[("content-length", "4")]))],
        )
        .gets_refused(),
        case("8.1.1", "a Content-Length that is no number", posted(&[("content-length", "4x")], &["body"]))
            .gets_refused(),
        case(
            "8.1.1",
            "two Content-Lengths that differ",
            posted(&[("content-length", "4"), ("content-length", "5")], &["body"]),
        )
        .gets_refused(),
        case(
            "8.1.1",
            "a Content-Length that trailers cut short",
            [
                headers(1, END_HEADERS, post_section(&[("content-length", "9")])),
                data(1, NONE, "body"),
                headers(1, WHOLE, section(&[("x-sum", "4")])),
            ],
        )
        .gets_refused(),
    ]
}

fn pseudo() -> Vec<Case> {
    const METHOD: (&str, &str) = (":method", "GET");
    const SCHEME: (&str, &str) = (":scheme", "http");
    const PATH: (&str, &str) = (":path", "/");
    const HOST: (&str, &str) = (":authority", "edge.test");
    vec![
        case("8.3", "a pseudo-field that is unknown", whole(&[METHOD, SCHEME, PATH, HOST, (":test", "x")]))
            .gets_refused()
            .by(Goaway(PROTOCOL_ERROR)),
        case("8.3", "a pseudo-field of responses", whole(&[METHOD, SCHEME, PATH, HOST, (":status", "200")]))
            .gets_refused(),
        case("8.3", "a pseudo-field after another field", whole(&[METHOD, SCHEME, PATH, ("x-a", "b"), HOST]))
            .gets_refused(),
        case("8.3.1", "no :method", whole(&[SCHEME, PATH, HOST])).gets_refused(),
        case("8.3.1", "no :scheme", whole(&[METHOD, PATH, HOST])).gets_refused(),
        case("8.3.1", "no :path", whole(&[METHOD, SCHEME, HOST])).gets_refused(),
        case("8.3.1", "an empty :path", whole(&[METHOD, SCHEME, (":path", ""), HOST])).gets_refused(),
        case("8.3", ":method twice", whole(&[METHOD, METHOD, SCHEME, PATH, HOST])).gets_refused(),
        case("8.3", ":scheme twice", whole(&[METHOD, SCHEME, SCHEME, PATH, HOST])).gets_refused(),
        case("8.3", ":path twice", whole(&[METHOD, SCHEME, PATH, PATH, HOST])).gets_refused(),
        case("8.3", ":authority twice", whole(&[METHOD, SCHEME, PATH, HOST, HOST])).gets_refused(),
        case("8.3", "no field at all", [headers(1, WHOLE, [])]).gets_refused(),
        case("8.3.1", "Host in place of :authority", whole(&[METHOD, SCHEME, PATH, ("host", "edge.test")]))
            .gets_answered(),
        case("8.3.1", "neither Host nor :authority", whole(&[METHOD, SCHEME, PATH]))
            .gets_refused()
            .by(Answer(400)),
        case("8.3.1", "an empty :authority", whole(&[METHOD, SCHEME, PATH, (":authority", "")]))
            .gets_refused(),
        case("8.3.1", "Host that says the same", [get_with("host", "edge.test")]).gets_answered(),
        case("8.3.1", "Host that says something else", [get_with("host", "other.test")])
            .gets_refused()
            .by(Answer(400)),
        case("8.3.1", "a user in :authority", whole(&[METHOD, SCHEME, PATH, (":authority", "me@edge.test")]))
            .gets_refused()
            .by(Answer(400)),
    ]
}

fn targets() -> Vec<Case> {
    let path = |method, path| whole(&asking(method, path));
    vec![
        case("8.3.1", "a :path without a slash", path("GET", "a")).gets_refused(),
        case("8.3.1", "a :path that is a URL", path("GET", "http://edge.test/")).gets_refused(),
        case("8.3.1", "a :path with a space", path("GET", "/a b")).gets_refused(),
        case("8.3.1", "a :path with a line break", path("GET", "/a\r\nx: y")).gets_refused(),
        case("8.3.1", "a :path with a fragment", path("GET", "/a#b")).gets_refused().instead(
                Answer(200),
                "The `http` crate cuts a fragment off before anybody sees it. The route, the key and the origin all go \
                 by what is left.",
            ),
        case("8.3.1", "OPTIONS of everything", path("OPTIONS", "*")).gets_answered(),
        case("8.3.1", "GET of everything", path("GET", "*")).gets_refused().by(Answer(400)),
        case("8.3.1", "a method that is no token", path("GE T", "/")).gets_refused().by(Goaway(PROTOCOL_ERROR)),
        case("8.3.1", "an empty method", path("", "/")).gets_refused().by(Goaway(PROTOCOL_ERROR)),
    ]
}

fn connecting() -> Vec<Case> {
    vec![
        case("8.5", "CONNECT", whole(&[(":method", "CONNECT"), (":authority", "edge.test:80")]))
            .wants(&[Answer(405), Answer(501)]),
        case("8.5", "CONNECT with :path and :scheme", whole(&asking("CONNECT", "/"))).gets_refused(),
        case("8.5", "CONNECT to nobody", whole(&[(":method", "CONNECT")])).gets_refused().by(Answer(400)),
        // RFC 8441 §3: it was not offered.
        case(
            "8.5",
            "CONNECT with a :protocol",
            whole(&[&asking("CONNECT", "/")[..], &[(":protocol", "websocket")]].concat()),
        )
        .gets_refused(),
    ]
}
