//! RFC 7541: how fields are compressed. An error in it is an error of the connection, RFC 9113 §4.3.

use super::case::*;
use super::frame::*;

pub fn cases() -> Vec<Case> {
    [forms(), mistakes()].into_iter().flatten().collect()
}

/// A GET with more bytes behind its fields.
fn with(bytes: impl AsRef<[u8]>) -> [Vec<u8>; 1] {
    [headers(1, WHOLE, [&get_section(&[]), bytes.as_ref()].concat())]
}

/// A GET with more bytes before its fields.
fn after(bytes: impl AsRef<[u8]>) -> [Vec<u8>; 1] {
    [headers(1, WHOLE, [bytes.as_ref(), &get_section(&[])].concat())]
}

/// A literal with a new name.
fn literal(first: u8) -> Vec<u8> {
    [vec![first], string("x-test"), string("value")].concat()
}

/// A literal whose name is `accept`, number 19 of the static table.
fn named(first: u8, bits: u32) -> Vec<u8> {
    [number(first, bits, 19), string("*/*")].concat()
}

/// Indexed fields for method, scheme and path, and a Huffman-coded authority: `edge.test`.
fn compact() -> Vec<u8> {
    const EDGE_TEST: [u8; 7] = [0x86, 0x2c, 0x93, 0x15, 0x74, 0x95, 0x09];
    [&[0x82, 0x86, 0x84, 0x41][..], &EDGE_TEST].concat()
}

fn forms() -> Vec<Case> {
    vec![
        case("HPACK 6.1", "indexed fields and Huffman coding", [headers(1, WHOLE, compact())])
            .gets_answered(),
        case(
            "HPACK 6.1",
            "a field of the dynamic table",
            [headers(1, WHOLE, [get_section(&[]), literal(0x40), vec![0xbe]].concat())],
        )
        .gets_answered(),
        case("HPACK 6.2.1", "a literal that is kept, with a known name", with(named(0x40, 6)))
            .gets_answered(),
        case("HPACK 6.2.1", "a literal that is kept, with a new name", with(literal(0x40))).gets_answered(),
        case("HPACK 6.2.2", "a literal that is not kept, with a known name", with(named(0x00, 4)))
            .gets_answered(),
        case("HPACK 6.2.2", "a literal that is not kept, with a new name", with(literal(0x00)))
            .gets_answered(),
        case("HPACK 6.2.3", "a literal that is never kept, with a known name", with(named(0x10, 4)))
            .gets_answered(),
        case("HPACK 6.2.3", "a literal that is never kept, with a new name", with(literal(0x10)))
            .gets_answered(),
        case("HPACK 6.3", "the table made smaller", after(number(0x20, 5, 1024))).gets_answered(),
        case(
            "HPACK 4.2",
            "the table emptied and made as large as it was",
            after([number(0x20, 5, 0), number(0x20, 5, 4096)].concat()),
        )
        .gets_answered(),
        case(
            "HPACK 2.3.2",
            "what the first request kept serves the second",
            [headers(1, WHOLE, [get_section(&[]), literal(0x40)].concat())],
        )
        .answered(1, [headers(3, WHOLE, [get_section(&[]), vec![0xbe]].concat())])
        .on(3)
        .gets_answered(),
    ]
}

fn mistakes() -> Vec<Case> {
    vec![
        case("HPACK 2.3.3", "an index beyond the table", with(number(0x80, 7, 70))).cannot_be_decoded(),
        case(
            "HPACK 2.3.3",
            "a name with an index beyond the table",
            with([number(0x40, 6, 70), string("x")].concat()),
        )
        .cannot_be_decoded(),
        case("HPACK 4.2", "a table size behind a field", with(number(0x20, 5, 1))).cannot_be_decoded(),
        case(
            "HPACK 4.3",
            "a field that was pushed out of the table",
            [headers(1, WHOLE, [get_section(&[]), literal(0x40)].concat())],
        )
        .answered(1, [headers(3, WHOLE, [number(0x20, 5, 0), get_section(&[]), vec![0xbe]].concat())])
        .cannot_be_decoded(),
        case(
            "HPACK 5.1",
            "a number without an end",
            with([0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        )
        .cannot_be_decoded(),
        case(
            "HPACK 5.2",
            "a string longer than its frame",
            with([vec![0x00], string("x"), vec![0x7e, b'x']].concat()),
        )
        .cannot_be_decoded(),
        // `x-test: test`, its padding wrong in each of the three ways.
        case(
            "HPACK 5.2",
            "Huffman padding of more than seven bits",
            with(huffman(&[0x49, 0x50, 0x9f, 0xff])),
        )
        .cannot_be_decoded(),
        case("HPACK 5.2", "Huffman padding of zeros", with(huffman(&[0x49, 0x50, 0x90]))).cannot_be_decoded(),
        case(
            "HPACK 5.2",
            "the end of string in Huffman coding",
            with(huffman(&[0x49, 0x50, 0x9f, 0xff, 0xff, 0xff, 0xff])),
        )
        .cannot_be_decoded(),
        case("HPACK 6.1", "index 0", with([0x80])).cannot_be_decoded(),
        case("HPACK 6.3", "a table larger than was offered", after(number(0x20, 5, 4097)))
            .cannot_be_decoded(),
    ]
}

/// A literal `x-test` with a Huffman-coded value.
fn huffman(value: &[u8]) -> Vec<u8> {
    [vec![0x00], string("x-test"), vec![0x80 | value.len() as u8], value.to_vec()].concat()
}
