//! RFC 9113 §3.4: how a connection begins; and that every kind of frame, well formed, is taken.

use super::case::Reaction::*;
use super::case::*;
use super::frame::*;

const SETTINGS_LATER: &str = "The `h2` crate does not insist on SETTINGS first and goes by the initial values (§6.5.2) \
    until they come. Whoever leaves them out has said by its preface that it speaks HTTP/2, and harms nobody.";

pub fn cases() -> Vec<Case> {
    let open = [PREFACE.to_vec(), settings(&[])].concat();
    vec![
        case("3.4", "the preface, settings, and a request at once", [open.clone(), get(1)])
            .at_the_first_byte()
            .gets_answered(),
        case("3.4", "the server's preface is a SETTINGS frame", [open.clone()])
            .at_the_first_byte()
            .then(SETTINGS, 0, [frame(SETTINGS, ACK, 0, []), get(1)])
            .gets_answered(),
        case("3.4", "a preface that is none", [b"INVALID CONNECTION PREFACE\r\n\r\n".to_vec()])
            .at_the_first_byte()
            .last_word()
            .wants(&[Goaway(PROTOCOL_ERROR), Closed])
            .by(Closed),
        case(
            "3.4",
            "a preface that ends wrong",
            [b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n".to_vec(), settings(&[])],
        )
        .at_the_first_byte()
        .last_word()
        .wants(&[Goaway(PROTOCOL_ERROR), Closed])
        .by(Closed),
        case("3.4", "no SETTINGS after the preface", [PREFACE.to_vec(), get(1)])
            .at_the_first_byte()
            .wants(&[Goaway(PROTOCOL_ERROR), Closed])
            .instead(Answer(200), SETTINGS_LATER),
        case(
            "3.4",
            "settings that acknowledge nothing come first",
            [PREFACE.to_vec(), frame(SETTINGS, ACK, 0, []), get(1)],
        )
        .at_the_first_byte()
        .wants(&[Goaway(PROTOCOL_ERROR), Closed])
        .instead(Answer(200), SETTINGS_LATER),
    ]
}

pub fn every_kind() -> Vec<Case> {
    let path = |path| headers(1, WHOLE, section(&asking("GET", path)));
    let to_pass = |fields: &[(&str, &str)]| section(&[&asking("POST", "/pass")[..], fields].concat());
    vec![
        case("8.1", "GET of what is stored", [get(1)]).gets_answered(),
        case("8.1", "GET of what is not", [path("/pass")]).gets_answered(),
        case("8.1", "HEAD", [headers(1, WHOLE, section(&asking("HEAD", "/")))]).gets_answered(),
        case("8.1", "POST", [post(1), data(1, END_STREAM, "body")]).gets_answered(),
        case("8.1", "POST in two frames", [post(1), data(1, NONE, "bo"), data(1, END_STREAM, "dy")])
            .gets_answered(),
        case(
            "8.1",
            "POST that ends in an empty frame",
            [post(1), data(1, NONE, "body"), data(1, END_STREAM, "")],
        )
        .gets_answered(),
        case(
            "8.1",
            "POST with trailers",
            [
                headers(1, END_HEADERS, to_pass(&[("trailer", "x-sum")])),
                data(1, NONE, "body"),
                headers(1, WHOLE, section(&[("x-sum", "4")])),
            ],
        )
        .gets_answered(),
        case("6.1", "DATA with padding", [post(1), frame(DATA, END_STREAM | PADDED, 1, padded(6, "body"))])
            .gets_answered(),
        case("6.2", "HEADERS with padding", [headers(1, WHOLE | PADDED, padded(6, get_section(&[])))])
            .gets_answered(),
        case(
            "6.2",
            "HEADERS with priority",
            [headers(1, WHOLE | PRIORITISED, [&[0, 0, 0, 0, 200][..], &get_section(&[])].concat())],
        )
        .gets_answered(),
        case(
            "6.2",
            "HEADERS with padding and priority",
            [headers(
                1,
                WHOLE | PRIORITISED | PADDED,
                padded(3, [&[0x80, 0, 0, 0, 200][..], &get_section(&[])].concat()),
            )],
        )
        .gets_answered(),
        case("6.3", "PRIORITY with the least weight", [priority(1, 0, 0), get(1)]).gets_answered(),
        case("6.3", "PRIORITY with the greatest weight", [priority(1, 0, 255), get(1)]).gets_answered(),
        case("6.3", "PRIORITY that depends on another", [priority(1, 3, 10), get(1)]).gets_answered(),
        case("6.3", "PRIORITY that is exclusive", [priority(1, 1 << 31, 10), get(1)]).gets_answered(),
        case("6.3", "PRIORITY of an idle stream, and a request before it", [priority(5, 0, 10), get(1)])
            .gets_answered(),
        case("6.4", "RST_STREAM of what goes on", [post(1), rst_stream(1, 8)]).gets_ignored(),
        case(
            "6.5",
            "SETTINGS",
            [settings(&[(HEADER_TABLE_SIZE, 4096), (MAX_HEADER_LIST_SIZE, 1 << 16)]), get(1)],
        )
        .gets_answered(),
        case("6.7", "PING", [frame(PING, NONE, 0, b"12345678")]).then(PING, 0, [get(1)]).gets_answered(),
        case(
            "6.8",
            "GOAWAY, after which what was asked is still answered",
            [headers(1, END_HEADERS, to_pass(&[])), goaway(0, 0), data(1, END_STREAM, "body")],
        )
        .last_word()
        .gets_answered(),
        case("6.9", "WINDOW_UPDATE of the connection", [window_update(0, 1), get(1)]).gets_answered(),
        case("6.9", "WINDOW_UPDATE of a stream", [post(1), window_update(1, 1), data(1, END_STREAM, "")])
            .gets_answered(),
        case("6.10", "CONTINUATION", in_pieces(2)).gets_answered(),
        case("6.10", "several CONTINUATION frames", in_pieces(5)).gets_answered(),
        case(
            "6.10",
            "CONTINUATION without a payload",
            [headers(1, END_STREAM, get_section(&[])), frame(CONTINUATION, END_HEADERS, 1, [])],
        )
        .gets_answered(),
    ]
}

/// A GET whose fields take so many frames.
pub fn in_pieces(count: usize) -> Vec<Vec<u8>> {
    let section = get_section(&[]);
    let pieces: Vec<&[u8]> = section.chunks(section.len().div_ceil(count)).collect();
    let last = pieces.len() - 1;
    let piece = |(n, piece): (usize, &&[u8])| match n {
        0 => headers(1, END_STREAM, piece),
        n if n == last => frame(CONTINUATION, END_HEADERS, 1, piece),
        _ => frame(CONTINUATION, NONE, 1, piece),
    };
    pieces.iter().enumerate().map(piece).collect()
}
