//! Finds where a chunked request body ends, so that the next request on the connection starts at the right byte.
//!
//! It follows the framing without decoding it, and is stricter than it would have to be: whatever two programs could
//! read differently (a bare line feed, a padded size, a folded trailer) is refused, as that is how requests are smuggled.

use std::fmt;

use super::list;

/// Hex digits of a chunk size; sixteen always fit 64 bits.
const MOST_DIGITS: u16 = 16;

/// Bytes of extensions on one chunk; nobody uses them but attackers (RFC 9112 §7.1.1 asks for a limit).
const MOST_EXTENSION: u16 = 256;

/// Bytes of the trailer section, line ends included.
const MOST_TRAILER: u16 = 8 * 1024;

/// Follows one chunked body from its first byte to its last (RFC 9112 §7.1).
#[derive(Clone, Debug)]
pub struct Tracker {
    state: State,
    /// Size of the chunk being read, then what is left of its data.
    chunk: u64,
    /// Digits, extension bytes or trailer bytes so far, each against its limit.
    count: u16,
}

/// The framing is broken; the connection can only be closed (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed chunked body")
    }
}

impl std::error::Error for Malformed {}

impl Tracker {
    /// A tracker before the first byte of a body.
    pub fn new() -> Self {
        Self { state: State::Size, chunk: 0, count: 0 }
    }

    /// Follows the next bytes, and says how many of them still belong to the body: all while it goes on, fewer where
    /// it ends within them, none once it is done. After an error every further call is an error.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            at += match self.state {
                State::Data => self.skip_data(bytes.len() - at),
                _ => self.step(bytes[at])?,
            };
        }
        Ok(at)
    }

    /// Whether the last byte of the body has been seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Passes over chunk data without looking at it.
    fn skip_data(&mut self, available: usize) -> usize {
        let taken = usize::try_from(self.chunk).map_or(available, |left| left.min(available));
        self.chunk -= taken as u64;
        if self.chunk == 0 {
            self.state = State::DataCr;
        }
        taken
    }

    fn step(&mut self, byte: u8) -> Result<usize, Malformed> {
        let next = self.after(byte);
        self.state = next.unwrap_or(State::Broken);
        next.map(|_| 1).ok_or(Malformed)
    }

    /// The state after one byte of framing; `None` where that byte may not stand.
    fn after(&mut self, byte: u8) -> Option<State> {
        match (self.state, byte) {
            (State::Size, _) => self.size(byte),
            (State::Padding, b';') => self.counted(State::Extension, MOST_EXTENSION),
            (State::Padding, b' ' | b'\t') => self.counted(State::Padding, MOST_EXTENSION),
            (State::Extension, b'\r') => Some(State::SizeLf),
            (State::Extension, _) if is_text(byte) => self.counted(State::Extension, MOST_EXTENSION),
            (State::SizeLf, b'\n') => Some(self.data_or_trailer()),
            (State::DataCr, b'\r') => Some(State::DataLf),
            (State::DataLf, b'\n') => Some(State::Size),
            (State::TrailerStart, b'\r') => Some(State::LastLf),
            (State::TrailerStart | State::TrailerName, _) if list::is_token_byte(byte) => {
                self.counted(State::TrailerName, MOST_TRAILER)
            }
            (State::TrailerName, b':') => self.counted(State::TrailerValue, MOST_TRAILER),
            (State::TrailerValue, b'\r') => self.counted(State::TrailerLf, MOST_TRAILER),
            (State::TrailerValue, _) if is_text(byte) => self.counted(State::TrailerValue, MOST_TRAILER),
            (State::TrailerLf, b'\n') => self.counted(State::TrailerStart, MOST_TRAILER),
            (State::LastLf, b'\n') => Some(State::Done),
            _ => None,
        }
    }

    /// A digit of the size, or what may follow at least one.
    fn size(&mut self, byte: u8) -> Option<State> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            self.chunk = self.chunk << 4 | u64::from(digit);
            return self.counted(State::Size, MOST_DIGITS);
        }
        if self.count == 0 {
            return None;
        }
        self.count = 0;
        match byte {
            b'\r' => Some(State::SizeLf),
            b';' => self.counted(State::Extension, MOST_EXTENSION),
            // Whitespace only before an extension (RFC 9112 §7.1.1), never before the line end.
            b' ' | b'\t' => self.counted(State::Padding, MOST_EXTENSION),
            _ => None,
        }
    }

    fn data_or_trailer(&mut self) -> State {
        self.count = 0;
        match self.chunk {
            0 => State::TrailerStart,
            _ => State::Data,
        }
    }

    fn counted(&mut self, next: State, most: u16) -> Option<State> {
        self.count += 1; // at most one beyond a limit, which ends it
        (self.count <= most).then_some(next)
    }
}

impl Default for Tracker {
    fn default() -> Self {
        Self::new()
    }
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Padding,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
    Broken,
}

/// What may stand in a field value or an extension: no control characters but tab (RFC 9110 §5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many bytes belong to the body, and whether it is over.
    fn follow(body: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut tracker = Tracker::new();
        let taken = tracker.feed(body)?;
        Ok((taken, tracker.is_done()))
    }

    #[test]
    fn a_body_ends_after_its_last_chunk_and_its_trailers() {
        for body in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "A\r\n0\r\n\r\n67890\r\n0\r\n\r\n",
            "1;name=value\r\na\r\n0;x=\"q\"\r\n\r\n",
            "1 \t; x\r\na\r\n0\r\n\r\n",
            "0\r\nX-Sum: 1\r\nEmpty:\r\n\r\n",
            "0000000000000001\r\na\r\n0\r\n\r\n",
        ] {
            assert_eq!(follow(body.as_bytes()), Ok((body.len(), true)), "{body:?}");
            let pipelined = format!("{body}GET / HTTP/1.1\r\n\r\n");
            assert_eq!(follow(pipelined.as_bytes()), Ok((body.len(), true)), "{body:?}");
        }
    }

    #[test]
    fn a_body_that_is_not_over_takes_everything() {
        for body in ["", "3", "3\r", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n0\r\n", "0\r\nX: y\r\n", "0\r\n\r"] {
            assert_eq!(follow(body.as_bytes()), Ok((body.len(), false)), "{body:?}");
        }
    }

    #[test]
    fn whatever_could_be_read_two_ways_is_refused() {
        for body in [
            "\r\n",
            " 3\r\nabc\r\n",
            "3\nabc\n0\n\n",
            "3\r\nabc\n",
            "3\r\nabc\r0",
            "3\r\nabcd\r\n",
            "3 \r\n",
            "+3\r\n",
            "-3\r\n",
            "0x3\r\n",
            "3_0\r\n",
            "g\r\n",
            ";x\r\n",
            "3;a\nb\r\n",
            "3;a\0\r\n",
            "3;a\u{7f}\r\n",
            "3\r\r\n",
            "3;a\rb",
            "0\r\n\n",
            "0\r\nX\r\n",
            "0\r\n folded\r\n",
            "0\r\nX : y\r\n",
            "0\r\nX: y\n",
            "0\r\nX: \0\r\n",
            "0\r\n: y\r\n",
            "0\r\n\rX",
        ] {
            assert_eq!(follow(body.as_bytes()), Err(Malformed), "{body:?}");
        }
    }

    #[test]
    fn sizes_extensions_and_trailers_have_limits() {
        assert_eq!(follow(b"ffffffffffffffff\r\nabc"), Ok((21, false)));
        assert_eq!(follow(b"00000000000000001\r\n"), Err(Malformed));
        let extension = |length: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(length - 1));
        assert!(follow(extension(256).as_bytes()).is_ok());
        assert_eq!(follow(extension(257).as_bytes()), Err(Malformed));
        let trailer =
            |length: usize| format!("0\r\n{}\r\n", format!("a:{}\r\n", "x".repeat(60)).repeat(length / 64));
        assert!(follow(trailer(8192).as_bytes()).is_ok());
        assert_eq!(follow(trailer(8192 + 64).as_bytes()), Err(Malformed));
    }

    #[test]
    fn each_chunk_may_have_its_own_extension() {
        let chunk = format!("1;{}\r\na\r\n", "x".repeat(255));
        let body = format!("{}0\r\n\r\n", chunk.repeat(4));
        assert_eq!(follow(body.as_bytes()), Ok((body.len(), true)));
    }

    #[test]
    fn after_an_error_there_is_no_way_back() {
        let mut tracker = Tracker::new();
        assert_eq!(tracker.feed(b"x"), Err(Malformed));
        assert_eq!(tracker.feed(b"0\r\n\r\n"), Err(Malformed));
        assert!(!tracker.is_done());
    }

    fn body() -> impl Strategy<Value = Vec<u8>> {
        let chunk = (proptest::collection::vec(any::<u8>(), 1..40), "(;[a-z]{0,3}(=\"[a-z; ]{0,4}\")?)?");
        let trailer = "(X-[a-z]{1,5}: [ -~]{0,10}\r\n){0,3}";
        (proptest::collection::vec(chunk, 0..5), trailer).prop_map(|(chunks, trailer)| {
            let mut out = Vec::new();
            for (data, extension) in chunks {
                out.extend_from_slice(format!("{:x}{extension}\r\n", data.len()).as_bytes());
                out.extend_from_slice(&data);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
            out
        })
    }

    proptest! {
        #[test]
        fn however_it_is_split_it_ends_at_the_same_byte(body in body(), after in proptest::collection::vec(any::<u8>(), 0..20), size in 1usize..30) {
            let stream = [body.as_slice(), &after].concat();
            let mut tracker = Tracker::new();
            let mut taken = 0;
            for piece in stream.chunks(size) {
                taken += tracker.feed(piece).unwrap();
            }
            prop_assert_eq!((taken, tracker.is_done()), (body.len(), true));
            prop_assert_eq!(tracker.feed(&after), Ok(0));
        }

        #[test]
        fn no_shorter_piece_of_a_body_is_a_whole_one(body in body(), cut in any::<proptest::sample::Index>()) {
            let part = &body[..cut.index(body.len())];
            prop_assert_eq!(follow(part), Ok((part.len(), false)));
        }

        #[test]
        fn arbitrary_bytes_end_the_same_however_they_are_split(bytes in proptest::collection::vec(prop_oneof![
            Just(b'0'), Just(b'1'), Just(b'\r'), Just(b'\n'), Just(b';'), Just(b':'), Just(b' '), any::<u8>()], 0..40))
        {
            let mut single = Tracker::new();
            let one_by_one = bytes.iter().try_fold(0, |taken, byte| Ok(taken + single.feed(&[*byte])?));
            prop_assert_eq!(follow(&bytes).map(|(taken, _)| taken), one_by_one);
        }
    }
}
