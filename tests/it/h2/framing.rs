//! RFC 9113 §4 and §5.5: how frames are read, and what is skipped.

use super::case::Reaction::*;
use super::case::*;
use super::frame::*;

const UNKNOWN: u8 = 0xee;

pub fn cases() -> Vec<Case> {
    let long = vec![b'x'; 16_385];
    vec![
        case("4.1", "a frame of an unknown type", [frame(UNKNOWN, 0xff, 0, b"12345678"), get(1)])
            .gets_answered(),
        case(
            "4.1",
            "a frame of an unknown type on a stream",
            [post(1), frame(UNKNOWN, 0, 1, ""), data(1, 1, "")],
        )
        .gets_answered(),
        case("4.1", "flags that are not defined", [frame(PING, 0xfe, 0, b"12345678")])
            .then(PING, 0, [get(1)])
            .gets_answered(),
        case("4.1", "the reserved bit of a stream's number", [frame(PING, NONE, 1 << 31, b"12345678")])
            .then(PING, 0, [get(1)])
            .gets_answered(),
        case("4.1", "the reserved bit before a request", [headers(1 << 31 | 1, WHOLE, get_section(&[]))])
            .gets_answered(),
        case("4.2", "DATA as long as may be", [post(1), data(1, END_STREAM, &long[1..])]).gets_answered(),
        case("4.2", "DATA that is longer", [post(1), data(1, END_STREAM, &long)])
            .breaks_the_stream(FRAME_SIZE_ERROR)
            .by(Goaway(FRAME_SIZE_ERROR)),
        case(
            "4.2",
            "HEADERS that are longer",
            [headers(1, WHOLE, get_section(&[("x-a", std::str::from_utf8(&long).unwrap())]))],
        )
        .breaks_the_connection(FRAME_SIZE_ERROR),
        case("4.2", "a longer frame of an unknown type", [frame(UNKNOWN, 0, 0, &long)])
            .breaks_the_connection(FRAME_SIZE_ERROR),
        case("4.3", "a field section that is none", [headers(1, WHOLE, [0xff; 10])]).cannot_be_decoded(),
        case("4.3", "a field section that is cut", [headers(1, WHOLE, &get_section(&[])[..20])])
            .cannot_be_decoded(),
        case(
            "4.3",
            "PRIORITY between HEADERS and CONTINUATION",
            [
                headers(1, END_STREAM, get_section(&[])),
                priority(1, 0, 10),
                frame(CONTINUATION, END_HEADERS, 1, []),
            ],
        )
        .breaks_the_connection(PROTOCOL_ERROR),
        case(
            "4.3",
            "HEADERS of another stream between HEADERS and CONTINUATION",
            [headers(1, END_STREAM, get_section(&[])), get(3)],
        )
        .breaks_the_connection(PROTOCOL_ERROR),
        case(
            "5.5",
            "a frame of an unknown type between HEADERS and CONTINUATION",
            [
                headers(1, END_STREAM, get_section(&[])),
                frame(UNKNOWN, 0, 1, ""),
                frame(CONTINUATION, END_HEADERS, 1, []),
            ],
        )
        .breaks_the_connection(PROTOCOL_ERROR),
    ]
}
