//! RFC 9113 §6.9: nobody sends more than the other side has room for, and windows stay within their bounds.

use super::case::Reaction::*;
use super::case::*;
use super::frame::*;

const MOST: u32 = (1 << 31) - 1;

pub fn cases() -> Vec<Case> {
    let window = |size| settings(&[(INITIAL_WINDOW_SIZE, size)]);
    let body = |flags| data(1, flags, vec![b'x'; 16_384]);
    vec![
        case("6.9", "an increment of 0 for the connection", [window_update(0, 0)])
            .breaks_the_connection(PROTOCOL_ERROR),
        case("6.9", "an increment of 0 for a stream", [post(1), window_update(1, 0)])
            .breaks_the_stream(PROTOCOL_ERROR)
            .by(Goaway(PROTOCOL_ERROR)),
        case("6.9", "WINDOW_UPDATE of three bytes", [frame(WINDOW_UPDATE, NONE, 0, [0, 0, 1])])
            .has_a_wrong_length(),
        case("6.9", "the reserved bit of an increment", [window_update(0, 1 << 31 | 1), get(1)])
            .gets_answered(),
        case("6.9.1", "a window of one byte, then room for the rest", [window(1), get(1)])
            .then(DATA, 1, [window_update(1, 100)])
            .gets_answered(),
        case(
            "6.9.1",
            "a window of the connection that grows too large",
            [window_update(0, MOST), window_update(0, MOST)],
        )
        .breaks_the_connection(FLOW_CONTROL_ERROR),
        case(
            "6.9.1",
            "a window of a stream that grows too large",
            [post(1), window_update(1, MOST), window_update(1, MOST)],
        )
        .breaks_the_stream(FLOW_CONTROL_ERROR),
        case(
            "6.9.1",
            "more DATA than there is room for",
            [
                headers(1, END_HEADERS, section(&asking("POST", "/held"))),
                [body(NONE), body(NONE), body(NONE), body(NONE), body(NONE), body(NONE), body(NONE)].concat(),
                [body(NONE), body(NONE), body(NONE), body(NONE), body(NONE), body(NONE), body(NONE)].concat(),
            ],
        )
        .last_word()
        .breaks_the_stream(FLOW_CONTROL_ERROR)
        .by(Goaway(FLOW_CONTROL_ERROR)),
        case("6.9.2", "no room at first, then settings that make some", [window(0), get(1)])
            .then(HEADERS, 1, [window(100)])
            .gets_answered(),
        case("6.9.2", "a window that becomes negative, and positive again", [window(3), get(1)])
            .then(DATA, 1, [window(0), window_update(1, 2), window_update(1, 100)])
            .gets_answered(),
        case(
            "6.9.2",
            "settings under which an open window grows too large",
            [post(1), window_update(1, MOST - 65_535), window(65_536)],
        )
        .breaks_the_connection(FLOW_CONTROL_ERROR),
    ]
}
