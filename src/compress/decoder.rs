//! Undoes a compression for a client that cannot, piece by piece.

use crate::http::accept_encoding::Coding;
use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// A body that is being decompressed.
pub struct Decoder {
    stream: Stream,
    /// What was put in and is not used up yet.
    input: Bytes,
    /// Where a piece is made.
    piece: Box<[u8]>,
    /// Whether more may come out although nothing more was put in: the last piece was full.
    has_more: bool,
    /// Whether what was used up so far is a whole stream, or several.
    is_whole: bool,
}

/// What came in is not what its `Content-Encoding` says, or ended early.
#[derive(Debug)]
pub struct Corrupt;

impl Decoder {
    /// Most bytes that one call of [`Decoder::pull`] gives.
    pub const PIECE: usize = 64 * 1024;

    /// Begins a stream.
    pub fn new(coding: Coding) -> Self {
        let stream = match coding {
            Coding::Br => Stream::Br(Box::new(brotli())),
            Coding::Gzip => Stream::Gzip(Decompress::new_gzip(15)),
            Coding::Zstd => zstd().map_or(Stream::Broken, Stream::Zstd),
        };
        let piece = vec![0; Self::PIECE].into();
        Self { stream, input: Bytes::new(), piece, has_more: false, is_whole: false }
    }

    /// Takes in more of the encoded body. Call [`Decoder::pull`] until it gives nothing before the next.
    pub fn push(&mut self, data: Bytes) {
        if self.input.is_empty() {
            self.input = data;
        } else {
            self.input = [std::mem::take(&mut self.input), data].concat().into();
        }
    }

    /// The next bytes of the body; nothing when more must be put in. Bounded however well the body was compressed.
    ///
    /// # Errors
    /// [`Corrupt`]; then and ever after.
    pub fn pull(&mut self) -> Result<Option<Bytes>, Corrupt> {
        while self.has_more || !self.input.is_empty() {
            match self.step() {
                Ok(0) => {}
                Ok(written) => return Ok(Some(Bytes::copy_from_slice(&self.piece[..written]))),
                Err(Corrupt) => {
                    self.stream = Stream::Broken;
                    return Err(Corrupt);
                }
            }
        }
        match self.stream {
            Stream::Broken => Err(Corrupt),
            _ => Ok(None),
        }
    }

    /// Everything was put in and pulled.
    ///
    /// # Errors
    /// [`Corrupt`] if the stream did not end there.
    pub fn finish(self) -> Result<(), Corrupt> {
        let is_used_up = self.input.is_empty() && !self.has_more && self.is_whole;
        if is_used_up && !matches!(self.stream, Stream::Broken) { Ok(()) } else { Err(Corrupt) }
    }

    /// Decompresses once; says how many bytes of the piece it has written.
    fn step(&mut self) -> Result<usize, Corrupt> {
        let step = match &mut self.stream {
            // Brotli is one stream, and nothing may follow it (RFC 7932 §9.1).
            Stream::Br(_) if self.is_whole => return Err(Corrupt),
            Stream::Br(state) => step_brotli(state, &self.input, &mut self.piece),
            Stream::Gzip(state) => {
                if self.is_whole {
                    // RFC 1952 §2.2: one member after the other. It goes on expecting the header of gzip.
                    state.reset(true);
                }
                step_gzip(state, &self.input, &mut self.piece)
            }
            Stream::Zstd(state) => step_zstd(state, &self.input, &mut self.piece),
            Stream::Broken => Err(Corrupt),
        }?;
        // Nothing read and nothing written although there was something to read: it would be so for ever.
        if step.read == 0 && step.written == 0 && !self.input.is_empty() && !self.has_more {
            return Err(Corrupt);
        }
        self.input.advance(step.read);
        self.is_whole = step.is_whole;
        self.has_more = step.written == self.piece.len() && !step.is_whole;
        Ok(step.written)
    }
}

enum Stream {
    Br(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Gzip(Decompress),
    Zstd(DCtx<'static>),
    /// It was corrupt, or the library had no memory for it.
    Broken,
}

/// What one call of a library did.
struct Step {
    read: usize,
    written: usize,
    /// Whether it ended a stream, a member or a frame, and everything of it was written.
    is_whole: bool,
}

/// Windows up to 16 MiB (RFC 7932 §9.1), not the larger ones of a later extension, which no client knows.
fn brotli() -> BrotliState<StandardAlloc, StandardAlloc, StandardAlloc> {
    BrotliState::new_strict(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default())
}

/// Windows up to 8 MiB: RFC 9659 §3 lets nobody ask for more in `Content-Encoding`.
fn zstd() -> Option<DCtx<'static>> {
    let mut state = DCtx::try_create()?;
    state.set_parameter(DParameter::WindowLogMax(23)).ok()?;
    Some(state)
}

fn step_brotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    input: &[u8],
    piece: &mut [u8],
) -> Result<Step, Corrupt> {
    let (mut left, mut read, mut room, mut written, mut total) = (input.len(), 0, piece.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut left,
        &mut read,
        input,
        &mut room,
        &mut written,
        piece,
        &mut total,
        state,
    );
    match result {
        BrotliResult::ResultFailure => Err(Corrupt),
        BrotliResult::ResultSuccess => Ok(Step { read, written, is_whole: true }),
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {
            Ok(Step { read, written, is_whole: false })
        }
    }
}

/// The library checks the header, its checksum, the body's checksum and length (RFC 1952 §2.3).
fn step_gzip(state: &mut Decompress, input: &[u8], piece: &mut [u8]) -> Result<Step, Corrupt> {
    let (before_in, before_out) = (state.total_in(), state.total_out());
    let status = state.decompress(input, piece, FlushDecompress::None).map_err(|_| Corrupt)?;
    let count = |now: u64, before: u64| usize::try_from(now - before).map_err(|_| Corrupt);
    Ok(Step {
        read: count(state.total_in(), before_in)?,
        written: count(state.total_out(), before_out)?,
        is_whole: status == Status::StreamEnd,
    })
}

/// The library goes from frame to frame by itself, and over those that are to be skipped (RFC 8878 §3.1).
fn step_zstd(state: &mut DCtx<'static>, input: &[u8], piece: &mut [u8]) -> Result<Step, Corrupt> {
    let mut input = InBuffer::around(input);
    let mut output = OutBuffer::around(piece);
    let left = state.decompress_stream(&mut output, &mut input).map_err(|_| Corrupt)?;
    Ok(Step { read: input.pos(), written: output.pos(), is_whole: left == 0 })
}
