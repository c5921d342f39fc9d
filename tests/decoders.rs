//! Lets other decoders than ours read what is compressed here: those of Debian, which forgive nothing.
//!
//! `FORELAND_BODIES` says how many random bodies; each goes through every coding.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fastrand::Rng;
use foreland::compress::{Decoder, Effort, Encoder, Levels};
use foreland::http::accept_encoding::Coding;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bodies for each run of a decoder: enough of them that starting it does not count, few enough for a command line.
const BATCH: usize = 200;

/// A folder that is gone when the test is.
struct Folder(PathBuf);

impl Folder {
    fn new(coding: Coding) -> Self {
        let name = format!("foreland-decoders-{}-{}", coding.token(), std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn brotli_reads_what_is_compressed_here() {
    batches(Coding::Br);
}

#[test]
fn gzip_reads_what_is_compressed_here() {
    batches(Coding::Gzip);
}

#[test]
fn zstd_reads_what_is_compressed_here() {
    batches(Coding::Zstd);
}

/// The end of a file's name, the program, its arguments, and the package of Debian that it comes in.
fn tool(coding: Coding) -> (&'static str, &'static str, &'static [&'static str], &'static str) {
    match coding {
        Coding::Br => ("br", "brotli", &["--decompress", "--keep", "--"], "brotli"),
        Coding::Gzip => ("gz", "gzip", &["--decompress", "--keep", "--"], "gzip"),
        // No more than a browser allows (RFC 9659 §3).
        Coding::Zstd => ("zst", "zstd", &["--decompress", "--keep", "--quiet", "--memory=8MB", "--"], "zstd"),
    }
}

fn batches(coding: Coding) {
    let count: usize = std::env::var("FORELAND_BODIES").map_or(600, |text| text.parse().unwrap());
    let folder = Folder::new(coding);
    let mut random = Rng::with_seed(0x5eed);
    for first in (0..count).step_by(BATCH) {
        batch(coding, &folder.0, first..count.min(first + BATCH), &mut random);
    }
    println!("{count} bodies, {}", coding.token());
}

/// Writes encoded bodies into the folder, has them decoded by one run of the tool, and compares.
fn batch(coding: Coding, folder: &Path, numbers: std::ops::Range<usize>, random: &mut Rng) {
    let (ending, ..) = tool(coding);
    let bodies: Vec<(String, Vec<u8>, String)> = numbers
        .map(|number| {
            let body = body(random, number);
            let (encoded, how) = encode(coding, random, &body);
            assert!(decode(coding, &encoded) == body, "our own decoder, body {number}, {how}");
            let name = number.to_string();
            fs::write(folder.join(format!("{name}.{ending}")), encoded).unwrap();
            (name, body, how)
        })
        .collect();
    decompress(coding, folder, bodies.iter().map(|(name, ..)| format!("{name}.{ending}")));
    for (name, body, how) in bodies {
        let decoded = fs::read(folder.join(&name)).unwrap();
        assert!(
            decoded == body,
            "{coding:?}, body {name}, {how}: {} bytes for {}",
            decoded.len(),
            body.len()
        );
        fs::remove_file(folder.join(&name)).unwrap();
        fs::remove_file(folder.join(format!("{name}.{ending}"))).unwrap();
    }
}

#[track_caller]
fn decompress(coding: Coding, folder: &Path, names: impl Iterator<Item = String>) {
    let (_, program, arguments, package) = tool(coding);
    let run = Command::new(program).args(arguments).args(names).current_dir(folder).output();
    let run = run.unwrap_or_else(|error| {
        panic!("`{program}` is missing ({error}). On Debian: sudo apt-get install -y {package}")
    });
    assert!(run.status.success(), "{program}: {}\n{}", run.status, String::from_utf8_lossy(&run.stderr));
}

/// Bodies as they come: mostly small, some empty, a few large; of order, repetition and noise in any mixture.
fn body(random: &mut Rng, number: usize) -> Vec<u8> {
    let length = match number % 20 {
        0 => random.usize(..3),
        1 => random.usize(..1_500_000),
        2..6 => random.usize(..150_000),
        _ => random.usize(..12_000),
    };
    let letters = random.u8(1..=255);
    let mixture = random.u8(1..=5);
    let mut body: Vec<u8> = Vec::with_capacity(length + 4000);
    while body.len() < length {
        let run = random.usize(1..if mixture == 5 { 4000 } else { 60 });
        match random.u8(..mixture) {
            0 => body.extend((0..run).map(|_| random.u8(..letters))),
            1 => body.extend(std::iter::repeat_n(random.u8(..), run)),
            _ => {
                let from = random.usize(..=body.len());
                body.extend_from_within(from..(from + run).min(body.len()));
            }
        }
    }
    body.truncate(length);
    body
}

/// Encodes at any level that may be set, cut and flushed anywhere, with a length that is right, wrong or missing; says
/// how.
fn encode(coding: Coding, random: &mut Rng, body: &[u8]) -> (Vec<u8>, String) {
    let highest = match coding {
        Coding::Br => 11,
        Coding::Gzip => 9,
        Coding::Zstd => 19,
    };
    let own = Levels::default();
    // Levels of the last third take seconds for a large body.
    let level = random.u8(1..=if body.len() < 20_000 { highest } else { highest * 2 / 3 });
    let levels = if random.u8(..3) == 0 { Levels { now: [level; 3], stored: [level; 3] } } else { own };
    let effort = if random.bool() { Effort::Now } else { Effort::Stored };
    let length = match random.u8(..4) {
        0 => None,
        1 => Some(random.u64(..2_000_000)),
        _ => Some(body.len() as u64),
    };
    let flushes = if random.bool() { 0 } else { random.u8(1..80) };
    let mut encoder = Encoder::new(coding, effort, &levels, length);
    let (mut rest, mut out) = (body, Vec::new());
    while !rest.is_empty() {
        let (part, left) = rest.split_at(random.usize(1..=Encoder::SLICE).min(rest.len()));
        out.extend_from_slice(&encoder.push(part).unwrap());
        if random.u8(..100) < flushes {
            out.extend_from_slice(&encoder.flush().unwrap());
        }
        rest = left;
    }
    out.extend_from_slice(&encoder.finish().unwrap());
    (out, format!("{effort:?} {} length {length:?} of {}", levels.of(coding, effort), body.len()))
}

fn decode(coding: Coding, encoded: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(coding);
    let mut out = Vec::new();
    decoder.push(encoded.to_vec().into());
    while let Some(piece) = decoder.pull().unwrap() {
        out.extend_from_slice(&piece);
    }
    decoder.finish().unwrap();
    out
}
