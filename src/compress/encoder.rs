//! Compresses a body piece by piece, and finishes what it began.

use super::Effort;
use super::settings::Levels;
use crate::http::accept_encoding::Coding;
use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct};
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// A body that is being compressed.
pub struct Encoder {
    stream: Stream,
    /// Bytes taken in that a client perhaps cannot read yet.
    behind: usize,
    /// How many of them are too many.
    block: usize,
}

/// The encoder gave up; what it has written so far is no whole stream.
#[derive(Debug)]
pub struct Failed;

impl Encoder {
    /// Most bytes that one call of [`Encoder::push`] should be given: about half a millisecond of work.
    pub const SLICE: usize = 32 * 1024;

    /// Begins a stream. `length` is that of the whole body, if it is known: small bodies need small windows. It is no
    /// promise: a body of another length comes out whole, only less well compressed.
    pub fn new(coding: Coding, effort: Effort, levels: &Levels, length: Option<u64>) -> Self {
        let level = levels.of(coding, effort);
        let stream = match coding {
            Coding::Br => Stream::Br(Box::new(brotli(level, effort, length))),
            Coding::Gzip => Stream::Gzip(gzip(level, length)),
            Coding::Zstd => zstd(level, effort, length).map_or(Stream::Refused, Stream::Zstd),
        };
        let block = if coding == Coding::Br && effort == Effort::Now { BROTLI_BLOCK } else { usize::MAX };
        Self { stream, behind: 0, block }
    }

    /// Takes in more of the body; gives what has come out so far, perhaps nothing.
    ///
    /// # Errors
    /// [`Failed`] if the library refuses.
    pub fn push(&mut self, data: &[u8]) -> Result<Bytes, Failed> {
        if data.is_empty() {
            return Ok(Bytes::new());
        }
        self.behind = self.behind.saturating_add(data.len());
        if self.behind < self.block {
            return self.stream.run(data, Then::Go);
        }
        self.behind = 0;
        self.stream.run(data, Then::Flush)
    }

    /// Gives everything that was taken in so far, so that a client can read it now.
    ///
    /// # Errors
    /// [`Failed`] if the library refuses.
    pub fn flush(&mut self) -> Result<Bytes, Failed> {
        if std::mem::take(&mut self.behind) == 0 {
            return Ok(Bytes::new());
        }
        self.stream.run(&[], Then::Flush)
    }

    /// Ends the stream: the last bytes.
    ///
    /// # Errors
    /// [`Failed`] if the library refuses.
    pub fn finish(mut self) -> Result<Bytes, Failed> {
        self.stream.run(&[], Then::Finish)
    }
}

enum Stream {
    Br(Box<BrotliEncoderStateStruct<StandardAlloc>>),
    Gzip(Compress),
    Zstd(CCtx<'static>),
    /// The library had no memory for it, or failed before.
    Refused,
}

/// What is to come after the data at hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Go,
    Flush,
    Finish,
}

impl Stream {
    fn run(&mut self, data: &[u8], then: Then) -> Result<Bytes, Failed> {
        let mut out = Vec::new();
        let ran = match self {
            Self::Br(state) => run_brotli(state, data, then, &mut out),
            Self::Gzip(state) => run_gzip(state, data, then, &mut out),
            Self::Zstd(state) => run_zstd(state, data, then, &mut out),
            Self::Refused => Err(Failed),
        };
        if ran.is_err() {
            *self = Self::Refused;
        }
        ran.map(|()| out.into())
    }
}

/// How much room is made for what comes out, at first and whenever it is used up.
const ROOM: usize = 4096;

/// The bytes of a window, as a power of two.
type Window = u8;

// What a stream holds was counted for the default levels, as `a_stream_holds_little_while_a_client_waits` does again.
// While a client waits, between two calls: brotli 1.26 MiB, gzip 0.34, zstd 1.12, and a tenth more during a call; for
// bodies of 20 kB 0.8, 0.34 and 0.5. For the store, with bodies of 200 kB and of 3 MB: brotli 4 and 32 MiB, gzip 0.4,
// zstd 4 and 25. From its ninth level on, brotli takes 33 MiB for any body.

/// Brotli's window while a client waits. 2^18 takes 256 KiB more and saves 1.4 % of bodies of a megabyte, nothing of
/// those of 100 kB. From 2^16 down, the library takes tables of 32 MiB from the fifth level on.
const BROTLI_NOW: Window = 17;

/// zstd's window while a client waits, and its tables of four bytes each. Half the window costs 2.6 % more bytes
/// (of 130 kB of source text), tables of double size save 0.2 %.
const ZSTD_NOW: Window = 17;
const ZSTD_TABLE_NOW: u8 = 15;

/// After so many bytes brotli has to give what it has, while a client waits. By itself it would gather up to two
/// windows and then work on all of them in one call: at the fourth level, with bodies of a megabyte, that takes
/// 3.1 MiB instead of 1.3. It costs 0.7 % more bytes.
const BROTLI_BLOCK: usize = Encoder::SLICE;

/// Bodies of this size and more get larger tables in brotli: 4 MiB instead of 512 KiB at the fourth level.
const BROTLI_LARGE: u64 = 1 << 20;

fn brotli(level: u8, effort: Effort, length: Option<u64>) -> BrotliEncoderStateStruct<StandardAlloc> {
    // What the library believes of the length chooses its tables; nothing of it is written. It always gets one, as it
    // would otherwise go by how much the first call happens to bring.
    let (window, believed) = match effort {
        Effort::Now => (BROTLI_NOW, length.unwrap_or(BROTLI_LARGE).min(BROTLI_LARGE - 1)),
        // 22 is what everything makes that is not asked for more (RFC 7932 §9.1 allows 24).
        Effort::Stored => (window(length, 17, 22), length.unwrap_or(BROTLI_LARGE).min(1 << 30)),
    };
    let believed = u32::try_from(believed.max(1)).unwrap_or(u32::MAX);
    let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, level.min(11).into());
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, window.into());
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT, believed);
    state
}

/// The header has no name and no time, so that equal bodies give equal bytes (RFC 1952 §2.3.1: MTIME 0 means none).
fn gzip(level: u8, length: Option<u64>) -> Compress {
    // A match reaches no further back than the window less the longest match and the shortest: 262 bytes.
    let window = window(length.map(|length| length.saturating_add(262)), 9, 15);
    Compress::new_gzip(Compression::new(level.min(9).into()), window)
}

fn zstd(level: u8, effort: Effort, length: Option<u64>) -> Option<CCtx<'static>> {
    let (window, table) = match effort {
        Effort::Now => (window(length, 10, ZSTD_NOW), ZSTD_TABLE_NOW),
        // RFC 9659 §3: more than 8 MiB is not for `Content-Encoding`; without a length, what most levels use.
        Effort::Stored => (window(length.or(Some(1 << 22)), 10, 23), 22),
    };
    // The library's own tables grow with the level much like this, but not down with the window, as it is not told the
    // length: it would hold us to that.
    let hash = (window + 1).min(level.saturating_add(13)).min(table);
    let chain = window.min(level.saturating_add(12)).min(table);
    let mut state = CCtx::try_create()?;
    state.set_parameter(CParameter::CompressionLevel(level.into())).ok()?;
    state.set_parameter(CParameter::WindowLog(window.into())).ok()?;
    state.set_parameter(CParameter::HashLog(hash.into())).ok()?;
    state.set_parameter(CParameter::ChainLog(chain.into())).ok()?;
    Some(state)
}

/// The power of two that holds a body of this length, within bounds; without a length, the most.
fn window(length: Option<u64>, least: u8, most: u8) -> u8 {
    let bits =
        |length: u64| u8::try_from(u64::BITS - length.saturating_sub(1).leading_zeros()).unwrap_or(u8::MAX);
    length.map_or(most, bits).clamp(least, most)
}

fn run_brotli(
    state: &mut BrotliEncoderStateStruct<StandardAlloc>,
    data: &[u8],
    then: Then,
    out: &mut Vec<u8>,
) -> Result<(), Failed> {
    let operation = match then {
        Then::Go => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        Then::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
        Then::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
    };
    let (mut left, mut at) = (data.len(), 0);
    loop {
        // No room at all: what comes out waits in the encoder's own buffer, and is taken from there.
        let (mut room, mut written) = (0, 0);
        let before = left;
        let went = state.compress_stream(
            operation,
            &mut left,
            data,
            &mut at,
            &mut room,
            &mut [],
            &mut written,
            &mut None,
            &mut |_, _, _, _| (),
        );
        let mut size = 0;
        let waiting = state.take_output(&mut size);
        // What it gives is all of its buffer from there on; `size` says how much of that is meant.
        out.extend_from_slice(waiting.get(..size).ok_or(Failed)?);
        let is_done = match then {
            Then::Go | Then::Flush => left == 0 && !state.has_more_output(),
            Then::Finish => state.is_finished(),
        };
        match (went, is_done) {
            (true, true) => return Ok(()),
            (true, false) if size > 0 || left < before => {}
            _ => return Err(Failed),
        }
    }
}

fn run_gzip(state: &mut Compress, mut data: &[u8], then: Then, out: &mut Vec<u8>) -> Result<(), Failed> {
    let flush = match then {
        Then::Go => FlushCompress::None,
        Then::Flush => FlushCompress::Sync,
        Then::Finish => FlushCompress::Finish,
    };
    loop {
        out.reserve(ROOM);
        let before = state.total_in();
        let status = state.compress_vec(data, out, flush).map_err(|_| Failed)?;
        let taken = usize::try_from(state.total_in() - before).map_err(|_| Failed)?;
        data = data.get(taken..).ok_or(Failed)?;
        // zlib.h: there is more to come for as long as the room was filled; `BufError` says there was nothing to do.
        let has_more = out.len() == out.capacity();
        match status {
            Status::StreamEnd => return Ok(()),
            _ if has_more => {}
            Status::Ok | Status::BufError if data.is_empty() && then != Then::Finish => return Ok(()),
            Status::Ok if taken > 0 => {}
            _ => return Err(Failed),
        }
    }
}

fn run_zstd(state: &mut CCtx<'static>, data: &[u8], then: Then, out: &mut Vec<u8>) -> Result<(), Failed> {
    let directive = match then {
        Then::Go => ZSTD_EndDirective::ZSTD_e_continue,
        Then::Flush => ZSTD_EndDirective::ZSTD_e_flush,
        Then::Finish => ZSTD_EndDirective::ZSTD_e_end,
    };
    let mut input = InBuffer::around(data);
    loop {
        out.reserve(ROOM);
        let (read, written) = (input.pos(), out.len());
        let mut output = OutBuffer::around_pos(out, written);
        let left = state.compress_stream2(&mut output, &mut input, directive).map_err(|_| Failed)?;
        let is_done = if then == Then::Go { input.pos() == data.len() } else { left == 0 };
        if is_done {
            return Ok(());
        }
        if input.pos() == read && out.len() == written {
            return Err(Failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: usize) -> Vec<u8> {
        // Words in an order without a pattern: some two bits for each byte, like a page.
        let mut random = fastrand::Rng::with_seed(7);
        let words: Vec<String> = (0..3000)
            .map(|_| (0..random.usize(2..9)).map(|_| random.lowercase()).collect::<String>())
            .collect();
        let mut text = String::new();
        while text.len() < length {
            let rank = random.f64().powi(3) * words.len() as f64;
            text.push_str(&words[rank as usize]);
            text.push(if random.u8(..) < 25 { '\n' } else { ' ' });
        }
        text.into_bytes()[..length].to_vec()
    }

    /// Bytes that an encoder holds after it took in a body, and at most on the way; it must leave none behind.
    fn held(coding: Coding, length: Option<u64>, body: &[u8]) -> (usize, usize) {
        let mut kept = None;
        let until_here = allocation_counter::measure(|| {
            let mut encoder = Encoder::new(coding, Effort::Now, &Levels::default(), length);
            body.chunks(Encoder::SLICE).for_each(|slice| drop(encoder.push(slice).unwrap()));
            kept = Some(encoder);
        });
        let encoder = kept.unwrap();
        let native = if let Stream::Zstd(state) = &encoder.stream { state.sizeof() } else { 0 };
        let end = allocation_counter::measure(|| drop(encoder.finish().unwrap()));
        assert_eq!(until_here.bytes_current + end.bytes_current, 0, "{coding:?} leaks");
        (until_here.bytes_current as usize + native, until_here.bytes_max as usize + native)
    }

    #[test]
    fn a_stream_holds_little_while_a_client_waits() {
        let body = text(2 << 20);
        for (coding, most) in [(Coding::Br, 1400), (Coding::Gzip, 400), (Coding::Zstd, 1300)] {
            for length in [Some(20_000), Some(200_000), None] {
                let taken = length.map_or(body.len(), |length| length as usize);
                let (rest, work) = held(coding, length, &body[..taken]);
                println!("{coding:?}, {length:?}: {} KiB, {} KiB at work", rest >> 10, work >> 10);
                assert!(work <= most << 10, "{coding:?} {length:?}: {rest}, {work}");
            }
        }
    }

    #[test]
    fn a_window_holds_the_body() {
        let windows =
            [0, 1, 2, 1024, 1025, 65_536, 65_537, u64::MAX].map(|length| window(Some(length), 10, 20));
        assert_eq!(windows, [10, 10, 10, 10, 11, 16, 17, 20]);
        assert_eq!(window(None, 10, 20), 20);
    }

    #[test]
    fn brotli_gives_what_it_was_given_with_every_slice() {
        let body = text(10 * Encoder::SLICE);
        let mut encoder = Encoder::new(Coding::Br, Effort::Now, &Levels::default(), None);
        for slice in body.chunks(Encoder::SLICE) {
            assert!(encoder.push(slice).unwrap().len() > 1000);
        }
    }
}
