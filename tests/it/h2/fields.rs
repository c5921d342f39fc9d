//! RFC 9113 §8.2: fields that no request may have.

use super::case::Reaction::*;
use super::case::*;
use super::frame::*;

const WHITESPACE: &str = "The `h2` crate lets white space around a value pass. Origins read it over HTTP/1, where \
    it means nothing (RFC 9112 §5).";

pub fn cases() -> Vec<Case> {
    [names(), values(), connection(), cookies()].into_iter().flatten().collect()
}

/// A GET with a field that may be anything.
fn raw(name: &[u8], value: &[u8]) -> [Vec<u8>; 1] {
    let field = [vec![0], string(name), string(value)].concat();
    [headers(1, WHOLE, [get_section(&[]), field].concat())]
}

fn names() -> Vec<Case> {
    vec![
        case("8.2.1", "a capital letter in a name", raw(b"X-Test", b"x"))
            .gets_refused()
            .by(Goaway(PROTOCOL_ERROR)),
        case("8.2.1", "a space in a name", raw(b"x test", b"x")).gets_refused().by(Goaway(PROTOCOL_ERROR)),
        case("8.2.1", "a space after a name", raw(b"x-test ", b"x"))
            .gets_refused()
            .by(Goaway(PROTOCOL_ERROR)),
        case("8.2.1", "a colon in a name", raw(b"x:test", b"x")).gets_refused().by(Goaway(PROTOCOL_ERROR)),
        case("8.2.1", "a line break in a name", raw(b"x\r\ny", b"x"))
            .gets_refused()
            .by(Goaway(PROTOCOL_ERROR)),
        case("8.2.1", "a byte above ASCII in a name", raw(b"x\xe9", b"x"))
            .gets_refused()
            .by(Goaway(PROTOCOL_ERROR)),
        case("8.2.1", "an empty name", raw(b"", b"x")).gets_refused().by(Goaway(PROTOCOL_ERROR)),
    ]
}

fn values() -> Vec<Case> {
    vec![
        case("8.2.1", "NUL in a value", raw(b"x-test", b"a\0b")).gets_refused().by(Goaway(PROTOCOL_ERROR)),
        case("8.2.1", "a carriage return in a value", raw(b"x-test", b"a\rb"))
            .gets_refused()
            .by(Goaway(PROTOCOL_ERROR)),
        case("8.2.1", "a line feed in a value", raw(b"x-test", b"a\nb"))
            .gets_refused()
            .by(Goaway(PROTOCOL_ERROR)),
        case("8.2.1", "another request in a value", raw(b"x-test", b"a\r\n\r\nGET /x HTTP/1.1\r\n"))
            .gets_refused()
            .by(Goaway(PROTOCOL_ERROR)),
        case("8.2.1", "a space before a value", raw(b"x-test", b" a"))
            .gets_refused()
            .instead(Answer(200), WHITESPACE),
        case("8.2.1", "a tab after a value", raw(b"x-test", b"a\t"))
            .gets_refused()
            .instead(Answer(200), WHITESPACE),
        case("8.2.1", "an empty value", raw(b"x-test", b"")).gets_answered(),
        case("8.2.1", "a byte above ASCII in a value", raw(b"x-test", b"caf\xe9")).gets_answered(),
    ]
}

fn connection() -> Vec<Case> {
    vec![
        case("8.2.2", "Connection", [get_with("connection", "keep-alive")]).gets_refused(),
        case("8.2.2", "Keep-Alive", [get_with("keep-alive", "timeout=5")]).gets_refused(),
        case("8.2.2", "Proxy-Connection", [get_with("proxy-connection", "keep-alive")]).gets_refused(),
        case(
            "8.2.2",
            "Transfer-Encoding",
            [
                headers(1, END_HEADERS, post_section(&[("transfer-encoding", "chunked")])),
                data(1, END_STREAM, "0\r\n\r\n"),
            ],
        )
        .gets_refused(),
        case("8.2.2", "Upgrade", [get_with("upgrade", "websocket")]).gets_refused(),
        case("8.2.2", "TE of trailers", [get_with("te", "trailers")]).gets_answered(),
        case("8.2.2", "TE of more than trailers", [get_with("te", "trailers, deflate")]).gets_refused(),
    ]
}

fn cookies() -> Vec<Case> {
    vec![
        case(
            "8.2.3",
            "a cookie in two fields",
            [headers(1, WHOLE, get_section(&[("cookie", "a=b"), ("cookie", "c=d")]))],
        )
        .gets_answered(),
    ]
}
