//! Bodies in another compression, read by libraries that the edge has no part in.

use super::answer::Answer;
use std::io::Read;

/// A body that any compression makes shorter; no two of another seed are alike.
pub fn text(length: usize, seed: u32) -> String {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut out = String::with_capacity(length + 16);
    while out.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        out += ["alpha ", "beta ", "gamma ", "delta ", "42 ", "{\"key\": ", "true}, ", "\n"]
            [(state >> 29) as usize];
    }
    out.truncate(length);
    out
}

/// What a whole compressed stream means; panics where it is none, or has something behind it.
pub fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    match coding {
        "br" => {
            brotli::BrotliDecompress(&mut rest, &mut out).expect("a whole brotli stream");
        }
        "gzip" => {
            let mut decoder = flate2::bufread::GzDecoder::new(&mut rest);
            decoder.read_to_end(&mut out).expect("a whole gzip stream");
        }
        "zstd" => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut rest).unwrap().single_frame();
            decoder.read_to_end(&mut out).expect("a whole zstd frame");
        }
        other => panic!("{other:?} is no compression of ours"),
    }
    assert_eq!(
        rest.len(),
        0,
        "something follows the stream of {} bytes, which means {}",
        bytes.len(),
        out.len()
    );
    out
}

impl Answer {
    /// Its body is whole, in this compression (`""` for none), and means this.
    #[track_caller]
    pub fn assert_coded(&self, coding: &str, body: impl AsRef<[u8]>) -> &Self {
        assert!(self.whole, "the body broke off: {:?}", self.head);
        assert_eq!(self.field("content-encoding").unwrap_or_default(), coding, "{:?}", self.head);
        let means = if coding.is_empty() { self.body.clone() } else { decoded(coding, &self.body) };
        assert!(means == body.as_ref(), "{} bytes mean something else: {:?}", self.body.len(), self.head);
        if let Some(length) = self.field("content-length") {
            assert_eq!(length, self.body.len().to_string(), "{:?}", self.head);
        }
        self
    }
}
