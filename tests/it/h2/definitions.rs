//! RFC 9113 §6 and §7: what each kind of frame must be like; its windows have a table of their own.

use super::case::Reaction::*;
use super::case::*;
use super::frame::*;

pub fn cases() -> Vec<Case> {
    [bodies(), heads(), priorities(), resets(), parameters(), pings(), continued()]
        .into_iter()
        .flatten()
        .collect()
}

fn bodies() -> Vec<Case> {
    vec![
        case("6.1", "DATA of the connection", [data(0, END_STREAM, "body")])
            .breaks_the_connection(PROTOCOL_ERROR),
        case(
            "6.1",
            "DATA of a stream that the client has ended",
            [headers(1, WHOLE, section(&asking("GET", "/held"))), data(1, END_STREAM, "body")],
        )
        .breaks_the_stream(STREAM_CLOSED)
        .instead(Goaway(PROTOCOL_ERROR), super::streams::AFTER_THE_END),
        case(
            "6.1",
            "DATA with more padding than payload",
            [post(1), frame(DATA, WHOLE | PADDED, 1, b"\x09bodybody")],
        )
        .breaks_the_connection(PROTOCOL_ERROR),
        case(
            "6.1",
            "DATA with as much padding as payload",
            [post(1), frame(DATA, END_STREAM | PADDED, 1, b"\x05body")],
        )
        .breaks_the_connection(PROTOCOL_ERROR),
        case(
            "6.1",
            "DATA that is nothing but padding",
            [post(1), frame(DATA, END_STREAM | PADDED, 1, padded(9, ""))],
        )
        .gets_answered(),
        case("6.1", "DATA that is padded and empty", [post(1), frame(DATA, END_STREAM | PADDED, 1, "")])
            .wants(&[Goaway(PROTOCOL_ERROR), Goaway(FRAME_SIZE_ERROR), Reset(FRAME_SIZE_ERROR)]),
    ]
}

fn heads() -> Vec<Case> {
    let section = get_section(&[]);
    vec![
        case("6.2", "HEADERS of the connection", [headers(0, WHOLE, &section)])
            .breaks_the_connection(PROTOCOL_ERROR),
        case(
            "6.2",
            "HEADERS with more padding than payload",
            [headers(1, WHOLE | PADDED, [&[200][..], &section].concat())],
        )
        .breaks_the_connection(PROTOCOL_ERROR),
        case("6.2", "HEADERS too short for their priority", [headers(1, WHOLE | PRIORITISED, [0, 0, 0])])
            .has_a_wrong_length(),
        case(
            "6.6",
            "PUSH_PROMISE of a client",
            [post(1), frame(PUSH_PROMISE, END_HEADERS, 1, [&2u32.to_be_bytes()[..], &section].concat())],
        )
        .breaks_the_connection(PROTOCOL_ERROR),
    ]
}

fn priorities() -> Vec<Case> {
    vec![
        case("6.3", "PRIORITY of the connection", [priority(0, 0, 9)]).breaks_the_connection(PROTOCOL_ERROR),
        case("6.3", "PRIORITY that is too short", [post(1), frame(PRIORITY, NONE, 1, [0, 0, 0, 0])])
            .breaks_the_stream(FRAME_SIZE_ERROR)
            .instead(Goaway(PROTOCOL_ERROR), UNREADABLE),
        case("6.3", "PRIORITY that is too long", [post(1), frame(PRIORITY, NONE, 1, [0; 6])])
            .breaks_the_stream(FRAME_SIZE_ERROR)
            .instead(Goaway(PROTOCOL_ERROR), UNREADABLE),
    ]
}

fn resets() -> Vec<Case> {
    vec![
        case("6.4", "RST_STREAM of the connection", [rst_stream(0, 8)]).breaks_the_connection(PROTOCOL_ERROR),
        case("6.4", "RST_STREAM of an idle stream", [rst_stream(1, 8)]).breaks_the_connection(PROTOCOL_ERROR),
        case("6.4", "RST_STREAM that is too short", [post(1), frame(RST_STREAM, NONE, 1, [0, 0, 8])])
            .has_a_wrong_length(),
        case("6.4", "RST_STREAM that is too long", [post(1), frame(RST_STREAM, NONE, 1, [0; 5])])
            .has_a_wrong_length(),
        case("7", "RST_STREAM with an unknown code", [post(1), rst_stream(1, 0xff)]).gets_ignored(),
        case("7", "GOAWAY with an unknown code", [get(1)])
            .answered(1, [goaway(0, 0xff), frame(PING, NONE, 0, b"12345678")])
            .last_word()
            .wants(&[Goaway(NO_ERROR), Closed]),
        case("6.8", "GOAWAY of a stream", [goaway(1, 0)]).breaks_the_connection(PROTOCOL_ERROR),
    ]
}

fn parameters() -> Vec<Case> {
    let one = |id, value| [settings(&[(id, value)])];
    vec![
        case("6.5", "an acknowledgement with a payload", [frame(SETTINGS, ACK, 0, [0, 1, 0, 0, 0, 0])])
            .has_a_wrong_length(),
        case("6.5", "SETTINGS of a stream", [frame(SETTINGS, NONE, 1, [0, 3, 0, 0, 0, 9])])
            .breaks_the_connection(PROTOCOL_ERROR),
        case("6.5", "SETTINGS of a wrong length", [frame(SETTINGS, NONE, 0, [0, 3, 0])])
            .has_a_wrong_length(),
        case("6.5.2", "ENABLE_PUSH of 2", one(ENABLE_PUSH, 2)).breaks_the_connection(PROTOCOL_ERROR),
        case("6.5.2", "ENABLE_PUSH of 1", one(ENABLE_PUSH, 1)).gets_ignored(),
        case("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", one(INITIAL_WINDOW_SIZE, 1 << 31))
            .breaks_the_connection(FLOW_CONTROL_ERROR)
            .instead(
                Goaway(PROTOCOL_ERROR),
                "The `h2` crate has one code for all SETTINGS that it cannot load. The connection ends, as it must; the \
                 code only conveys the reason (§7).",
            ),
        case("6.5.2", "MAX_FRAME_SIZE below 2^14", one(MAX_FRAME_SIZE, (1 << 14) - 1))
            .breaks_the_connection(PROTOCOL_ERROR),
        case("6.5.2", "MAX_FRAME_SIZE of 2^24", one(MAX_FRAME_SIZE, 1 << 24)).breaks_the_connection(PROTOCOL_ERROR),
        case("6.5.2", "a setting that is unknown", one(0xff, 1)).gets_ignored(),
        case("6.5.3", "SETTINGS are acknowledged", one(HEADER_TABLE_SIZE, 0)).then(SETTINGS, 0, []).gets_ignored(),
        case("6.5.3", "the last of several values counts", [
            settings(&[(INITIAL_WINDOW_SIZE, 0), (INITIAL_WINDOW_SIZE, 1 << 16)]),
            get(1),
        ])
        .gets_answered(),
    ]
}

fn pings() -> Vec<Case> {
    vec![
        case("6.7", "PING that acknowledges nothing", [frame(PING, ACK, 0, b"12345678")]).gets_ignored(),
        case("6.7", "PING of a stream", [frame(PING, NONE, 1, b"12345678")])
            .breaks_the_connection(PROTOCOL_ERROR),
        case("6.7", "PING of six bytes", [frame(PING, NONE, 0, b"123456")]).has_a_wrong_length(),
        case("6.7", "PING of nine bytes", [frame(PING, NONE, 0, b"123456789")]).has_a_wrong_length(),
    ]
}

fn continued() -> Vec<Case> {
    let open = || headers(1, END_STREAM, &get_section(&[])[..9]);
    let rest = |stream, flags| frame(CONTINUATION, flags, stream, &get_section(&[])[9..]);
    vec![
        case("6.10", "DATA where CONTINUATION must come", [open(), data(1, END_STREAM, "")])
            .breaks_the_connection(PROTOCOL_ERROR),
        case("6.10", "PING where CONTINUATION must come", [open(), frame(PING, NONE, 0, b"12345678")])
            .breaks_the_connection(PROTOCOL_ERROR),
        case("6.10", "CONTINUATION of the connection", [open(), rest(0, END_HEADERS)])
            .breaks_the_connection(PROTOCOL_ERROR),
        case("6.10", "CONTINUATION of another stream", [open(), rest(3, END_HEADERS)])
            .breaks_the_connection(PROTOCOL_ERROR),
        case("6.10", "CONTINUATION after HEADERS that are whole", [post(1), rest(1, END_HEADERS)])
            .breaks_the_connection(PROTOCOL_ERROR),
        case(
            "6.10",
            "CONTINUATION after the last one",
            [headers(1, NONE, &get_section(&[])[..9]), rest(1, END_HEADERS), rest(1, END_HEADERS)],
        )
        .breaks_the_connection(PROTOCOL_ERROR),
        case("6.10", "CONTINUATION after DATA", [post(1), data(1, NONE, "body"), rest(1, END_HEADERS)])
            .breaks_the_connection(PROTOCOL_ERROR),
    ]
}
