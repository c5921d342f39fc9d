//! RFC 9113 §5.1 to §5.4: what a stream takes in which state, how streams are numbered, and how many there may be.

use super::STREAMS;
use super::case::Reaction::*;
use super::case::*;
use super::frame::*;

/// What §5.1 says of a stream that is closed, for frames other than HEADERS: one may break the connection, ignore
/// them, or, as RFC 7540 had it, reset the stream.
const CLOSED: [crate::h2::case::Reaction; 3] = [Reset(STREAM_CLOSED), Goaway(STREAM_CLOSED), Ignored];

/// Why frames on a half-closed stream end the connection.
pub const AFTER_THE_END: &str = "§5.1 asks for a stream error. The `h2` crate takes a client that goes on after its own \
    END_STREAM for one that has lost count, and ends the connection, which §5.4.1 lets it do at any time.";

pub fn cases() -> Vec<Case> {
    [idle(), half_closed(), closed(), numbers(), errors()].into_iter().flatten().collect()
}

fn held() -> Vec<u8> {
    hold(1)
}

/// A request that is never answered.
fn hold(stream: u32) -> Vec<u8> {
    headers(stream, WHOLE, section(&asking("GET", "/held")))
}

fn continuation(stream: u32) -> Vec<u8> {
    frame(CONTINUATION, END_HEADERS, stream, get_section(&[]))
}

fn idle() -> Vec<Case> {
    vec![
        case("5.1", "idle: DATA", [data(1, END_STREAM, "body")]).breaks_the_connection(PROTOCOL_ERROR),
        case("5.1", "idle: RST_STREAM", [rst_stream(1, 8)]).breaks_the_connection(PROTOCOL_ERROR),
        case("5.1", "idle: WINDOW_UPDATE", [window_update(1, 100)]).breaks_the_connection(PROTOCOL_ERROR),
        case("5.1", "idle: CONTINUATION", [continuation(1)]).breaks_the_connection(PROTOCOL_ERROR),
        case("5.1", "idle: PRIORITY", [priority(1, 0, 255)]).gets_ignored(),
    ]
}

fn half_closed() -> Vec<Case> {
    vec![
        case("5.1", "half-closed: DATA", [held(), data(1, END_STREAM, "body")])
            .breaks_the_stream(STREAM_CLOSED)
            .instead(Goaway(PROTOCOL_ERROR), AFTER_THE_END),
        case("5.1", "half-closed: HEADERS", [held(), get(1)])
            .breaks_the_stream(STREAM_CLOSED)
            .instead(Goaway(PROTOCOL_ERROR), AFTER_THE_END),
        case("5.1", "half-closed: CONTINUATION", [held(), continuation(1)])
            .breaks_the_connection(PROTOCOL_ERROR),
        case("5.1", "half-closed: WINDOW_UPDATE", [held(), window_update(1, 100)]).gets_ignored(),
        case("5.1", "half-closed: PRIORITY", [held(), priority(1, 0, 255)]).gets_ignored(),
        case("5.1", "half-closed: RST_STREAM", [held(), rst_stream(1, 8)]).gets_ignored(),
    ]
}

fn closed() -> Vec<Case> {
    // HEADERS would open a stream whose number is not a new one: §5.1.1.
    vec![
        case("5.1", "reset by the client: DATA", [post(1), rst_stream(1, 8), data(1, END_STREAM, "body")])
            .wants(&CLOSED),
        case("5.1", "reset by the client: HEADERS", [post(1), rst_stream(1, 8), get(1)])
            .breaks_the_connection(PROTOCOL_ERROR),
        case("5.1", "reset by the client: CONTINUATION", [post(1), rst_stream(1, 8), continuation(1)])
            .breaks_the_connection(PROTOCOL_ERROR),
        case("5.1", "reset by the client: WINDOW_UPDATE", [post(1), rst_stream(1, 8), window_update(1, 9)])
            .wants(&CLOSED)
            .by(Ignored),
        case("5.1", "closed: DATA", [get(1)]).answered(1, [data(1, END_STREAM, "body")]).wants(&CLOSED),
        case("5.1", "closed: HEADERS", [get(1)]).answered(1, [get(1)]).breaks_the_connection(PROTOCOL_ERROR),
        case("5.1", "closed: CONTINUATION", [get(1)])
            .answered(1, [continuation(1)])
            .breaks_the_connection(PROTOCOL_ERROR),
        // They may have been sent before the end of the stream was seen.
        case("5.1", "closed: WINDOW_UPDATE", [get(1)]).answered(1, [window_update(1, 9)]).gets_ignored(),
        case("5.1", "closed: RST_STREAM", [get(1)]).answered(1, [rst_stream(1, 8)]).gets_ignored(),
        case("5.1", "closed: PRIORITY", [get(1)]).answered(1, [priority(1, 0, 255)]).gets_ignored(),
    ]
}

fn numbers() -> Vec<Case> {
    let too_many = (0..=STREAMS).map(|n| hold(2 * n + 1));
    vec![
        case("5.1.1", "a stream with an even number", [get(2)]).breaks_the_connection(PROTOCOL_ERROR),
        case("5.1.1", "a stream below another that was opened", [get(5)])
            .answered(5, [get(3)])
            .on(3)
            .breaks_the_connection(PROTOCOL_ERROR),
        case("5.1.1", "the last number that there is", [get(0x7fff_ffff)]).on(0x7fff_ffff).gets_answered(),
        case("5.1.2", "one stream too many", too_many)
            .on(2 * STREAMS + 1)
            .last_word()
            .wants(&[Reset(REFUSED_STREAM), Reset(PROTOCOL_ERROR)]),
    ]
}

fn errors() -> Vec<Case> {
    let depends_on_itself =
        headers(1, WHOLE | PRIORITISED, [&[0, 0, 0, 1, 9][..], &get_section(&[])].concat());
    vec![
        // RFC 7540 §5.3.1 made it a stream error; RFC 9113 §5.3 took priorities back and says nothing of it.
        case("5.3", "HEADERS that depend on themselves", [depends_on_itself])
            .wants(&[Answer(200), Reset(PROTOCOL_ERROR)])
            .by(Reset(PROTOCOL_ERROR)),
        case("5.3", "PRIORITY that depends on itself", [priority(1, 1, 9)])
            .wants(&[Ignored, Reset(PROTOCOL_ERROR)])
            .by(Reset(PROTOCOL_ERROR)),
        case("5.4.1", "an error of the connection ends it with GOAWAY", [frame(PING, NONE, 1, b"12345678")])
            .breaks_the_connection(PROTOCOL_ERROR),
        case(
            "5.4.2",
            "an error of a stream leaves the others alone",
            [get_with("connection", "close"), get(3)],
        )
        .on(3)
        .gets_answered(),
    ]
}
