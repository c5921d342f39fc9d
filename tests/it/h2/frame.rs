//! HTTP/2 frames byte by byte, right or wrong, as a test wants them: RFC 9113 §4 and §6, RFC 7541 §5 and §6.

/// Types of frames, RFC 9113 §6.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags.
pub const NONE: u8 = 0;
pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const PRIORITISED: u8 = 0x20;
/// A whole request in one frame.
pub const WHOLE: u8 = END_STREAM | END_HEADERS;

/// What a connection of a client begins with, RFC 9113 §3.4.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Settings, RFC 9113 §6.5.2.
pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;
pub const MAX_HEADER_LIST_SIZE: u16 = 6;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    frame_of_length(payload.len(), kind, flags, stream, payload)
}

/// A frame that claims to be of another length than it is.
pub fn frame_of_length(length: usize, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (length as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(id, value)| [id.to_be_bytes().to_vec(), value.to_be_bytes().to_vec()].concat())
        .collect();
    frame(SETTINGS, NONE, 0, payload)
}

pub fn data(stream: u32, flags: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    frame(DATA, flags, stream, body)
}

pub fn rst_stream(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, NONE, stream, code.to_be_bytes())
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, NONE, stream, increment.to_be_bytes())
}

pub fn priority(stream: u32, depends_on: u32, weight: u8) -> Vec<u8> {
    frame(PRIORITY, NONE, stream, [&depends_on.to_be_bytes()[..], &[weight]].concat())
}

pub fn goaway(stream: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, NONE, stream, [0u32.to_be_bytes(), code.to_be_bytes()].concat())
}

/// A string without Huffman coding, RFC 7541 §5.2.
pub fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [number(0, 7, text.len()), text.to_vec()].concat()
}

/// An integer after the upper bits of its first byte, RFC 7541 §5.1.
pub fn number(first: u8, bits: u32, value: usize) -> Vec<u8> {
    let most = (1 << bits) - 1;
    if value < most {
        return vec![first | value as u8];
    }
    let (mut bytes, mut rest) = (vec![first | most as u8], value - most);
    while rest >= 128 {
        bytes.push(128 | (rest % 128) as u8);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// A field that changes no table: a literal without indexing and with a new name, RFC 7541 §6.2.2.
pub fn field(name: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

/// A field section.
pub fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// The pseudo-fields of a request for a path.
pub fn asking<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":path", path), (":authority", "edge.test")]
}

/// The field section of a GET, with more fields.
pub fn get_section(more: &[(&str, &str)]) -> Vec<u8> {
    section(&[&asking("GET", "/")[..], more].concat())
}

/// The field section of a POST, with more fields.
pub fn post_section(more: &[(&str, &str)]) -> Vec<u8> {
    section(&[&asking("POST", "/")[..], more].concat())
}

/// A HEADERS frame.
pub fn headers(stream: u32, flags: u8, section: impl AsRef<[u8]>) -> Vec<u8> {
    frame(HEADERS, flags, stream, section)
}

/// A whole GET.
pub fn get(stream: u32) -> Vec<u8> {
    headers(stream, WHOLE, get_section(&[]))
}

/// A whole GET with one more field.
pub fn get_with(name: &str, value: &str) -> Vec<u8> {
    headers(1, WHOLE, get_section(&[(name, value)]))
}

/// The head of a POST, whose body is still to come.
pub fn post(stream: u32) -> Vec<u8> {
    headers(stream, END_HEADERS, post_section(&[]))
}

/// The padded payload of a DATA or HEADERS frame, RFC 9113 §6.1.
pub fn padded(length: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    [&[length][..], payload.as_ref(), &vec![0; usize::from(length)]].concat()
}
