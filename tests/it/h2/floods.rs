//! RFC 9113 §10.5: what a client may do in excess, all of it legal by itself, and how it is held off.

use super::case::Reaction::*;
use super::case::*;
use super::frame::*;

pub fn cases() -> Vec<Case> {
    let long = "x".repeat(100);
    let large: Vec<u8> = (0..300).flat_map(|_| field("x-large", &long)).collect();
    let larger: Vec<u8> = (0..3).flat_map(|_| field("x-large", "x".repeat(5000))).collect();
    vec![
        case("10.5", "1,000 PINGs", (0..1000).map(|n: u64| frame(PING, NONE, 0, n.to_be_bytes())))
            .gets_ignored(),
        case("10.5", "1,000 SETTINGS", (0..1000).map(|n| settings(&[(HEADER_TABLE_SIZE, n)]))).gets_ignored(),
        case("10.5", "1,000 PRIORITYs", (0..1000).map(|n| priority(2 * n + 1, 0, 9))).gets_ignored(),
        case("10.5", "1,000 unknown frames", (0..1000).map(|_| frame(0xee, 0, 0, b"x"))).gets_ignored(),
        case("10.5", "1,000 WINDOW_UPDATEs", (0..1000).map(|_| window_update(0, 1))).gets_ignored(),
        case(
            "10.5",
            "10,000 empty CONTINUATIONs",
            std::iter::once(headers(1, END_STREAM, get_section(&[])))
                .chain((0..10_000).map(|_| frame(CONTINUATION, NONE, 1, ""))),
        )
        .last_word()
        .breaks_the_connection(ENHANCE_YOUR_CALM),
        case(
            "10.5",
            "10,000 empty DATA frames",
            std::iter::once(post(1)).chain((0..10_000).map(|_| data(1, NONE, ""))),
        )
        .last_word()
        .breaks_the_connection(ENHANCE_YOUR_CALM),
        case(
            "10.5",
            "2,000 requests that are reset at once",
            (0..2000).map(|n| {
                [headers(2 * n + 1, WHOLE, section(&asking("GET", "/held"))), rst_stream(2 * n + 1, 8)]
                    .concat()
            }),
        )
        .last_word()
        .breaks_the_connection(ENHANCE_YOUR_CALM),
        case(
            "10.5.1",
            "fields of more than 32 KiB",
            [
                headers(1, END_STREAM, get_section(&[])),
                frame(CONTINUATION, NONE, 1, &large[..16_384]),
                frame(CONTINUATION, NONE, 1, &large[16_384..32_768]),
                frame(CONTINUATION, END_HEADERS, 1, &large[32_768..]),
            ],
        )
        .wants(&[Answer(431)]),
        case("10.5.1", "a field of 5,000 bytes", [headers(1, WHOLE, [get_section(&[]), larger].concat())])
            .gets_answered(),
    ]
}
