//! Streams there and back: whatever is cut, flushed, missing, broken or added.

use super::*;
use crate::http::accept_encoding::Coding;
use bytes::Bytes;
use proptest::prelude::*;

const EFFORTS: [Effort; 2] = [Effort::Now, Effort::Stored];

/// The encodings of all codings and efforts at their own levels.
fn each(mut test: impl FnMut(Coding, Effort)) {
    for coding in Coding::ALL {
        EFFORTS.iter().for_each(|&effort| test(coding, effort));
    }
}

fn encode(coding: Coding, effort: Effort, hint: Option<u64>, body: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(coding, effort, &Levels::default(), hint);
    let mut out = Vec::new();
    body.chunks(Encoder::SLICE).for_each(|slice| out.extend_from_slice(&encoder.push(slice).unwrap()));
    out.extend_from_slice(&encoder.finish().unwrap());
    out
}

/// Everything that comes out now.
fn drain(decoder: &mut Decoder, out: &mut Vec<u8>) -> Result<(), Corrupt> {
    while let Some(piece) = decoder.pull()? {
        assert!(!piece.is_empty() && piece.len() <= Decoder::PIECE);
        out.extend_from_slice(&piece);
    }
    Ok(())
}

fn decode_cut(coding: Coding, encoded: &[u8], cut: usize) -> Result<Vec<u8>, Corrupt> {
    let mut decoder = Decoder::new(coding);
    let mut out = Vec::new();
    for part in encoded.chunks(cut) {
        decoder.push(Bytes::copy_from_slice(part));
        drain(&mut decoder, &mut out)?;
    }
    decoder.finish().map(|()| out)
}

fn decode(coding: Coding, encoded: &[u8]) -> Result<Vec<u8>, Corrupt> {
    decode_cut(coding, encoded, encoded.len().max(1))
}

/// Bytes without any order.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Bytes with some order in them, of a kind that the seed chooses.
fn body(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let letters = random.u8(1..=255);
    let mut body: Vec<u8> = Vec::with_capacity(length);
    while body.len() < length {
        let run = random.usize(1..200).min(length - body.len());
        let back = random.usize(..=body.len());
        match random.u8(..4) {
            0 => body.extend((0..run).map(|_| random.u8(..letters))),
            1 => body.extend(std::iter::repeat_n(random.u8(..letters), run)),
            _ => {
                let copied = body[back..(back + run).min(body.len())].to_vec();
                body.extend(copied);
            }
        }
    }
    body
}

#[test]
fn an_empty_body_is_a_valid_empty_stream() {
    each(|coding, effort| {
        for hint in [None, Some(0), Some(1000)] {
            let encoded = encode(coding, effort, hint, b"");
            assert!(!encoded.is_empty());
            assert_eq!(decode(coding, &encoded).unwrap(), b"");
        }
        assert!(decode(coding, b"").is_err(), "nothing at all is no stream");
    });
}

#[test]
fn bodies_of_all_sizes_come_back() {
    each(|coding, effort| {
        for length in [1, 2, 63, 64, 1023, 65_535, 65_536, 65_537, 300_000] {
            for body in [noise(length), body(length as u64, length), vec![b'a'; length]] {
                let encoded = encode(coding, effort, Some(length as u64), &body);
                assert!(
                    encoded.len() < length + length / 1000 + 64,
                    "{coding:?} {length}: {}",
                    encoded.len()
                );
                assert!(decode(coding, &encoded).unwrap() == body, "{coding:?} {effort:?} {length}");
            }
        }
    });
}

#[test]
fn a_length_that_lies_does_no_harm() {
    each(|coding, effort| {
        for length in [0, 1, 5000, 400_000] {
            let body = body(3, length);
            for hint in [0, 1, 700, 5000, 1 << 20, 1 << 40, u64::MAX] {
                let encoded = encode(coding, effort, Some(hint), &body);
                assert!(decode(coding, &encoded).unwrap() == body, "{coding:?} {effort:?} {length} {hint}");
            }
        }
    });
}

#[test]
fn a_bomb_goes_off_in_pieces() {
    let zeros = vec![0; 10 << 20];
    each(|coding, effort| {
        let encoded = encode(coding, effort, None, &zeros);
        assert!(encoded.len() < 30_000);
        let mut decoder = Decoder::new(coding);
        decoder.push(encoded.into());
        let mut length = 0;
        while let Some(piece) = decoder.pull().unwrap() {
            assert!(piece.len() <= Decoder::PIECE && piece.iter().all(|&byte| byte == 0));
            length += piece.len();
        }
        assert_eq!(length, zeros.len());
        decoder.finish().unwrap();
    });
}

#[test]
fn what_ends_early_is_corrupt_wherever_it_ends() {
    each(|coding, effort| {
        for body in [vec![], b"a".to_vec(), body(9, 1500), noise(300)] {
            let encoded = encode(coding, effort, Some(body.len() as u64), &body);
            for end in 0..encoded.len() {
                assert!(decode(coding, &encoded[..end]).is_err(), "{coding:?} {end} of {}", encoded.len());
            }
        }
    });
}

#[test]
fn what_follows_the_end_is_corrupt() {
    each(|coding, effort| {
        let encoded = encode(coding, effort, None, b"hello");
        for garbage in [&b"\0"[..], b"x", b"garbage", &[0; 100], &[0xff; 1000], b"<!-- made by a cache -->"] {
            let garbled = [&encoded, garbage].concat();
            for cut in [1, 7, garbled.len()] {
                assert!(decode_cut(coding, &garbled, cut).is_err(), "{coding:?} {garbage:?} {cut}");
            }
        }
    });
}

#[test]
fn a_decoder_that_found_corruption_keeps_saying_so() {
    for coding in Coding::ALL {
        let mut decoder = Decoder::new(coding);
        decoder.push(Bytes::from_static(&[0xff; 64]));
        assert!(decoder.pull().is_err());
        assert!(decoder.pull().is_err());
        decoder.push(encode(coding, Effort::Now, None, b"x").into());
        assert!(decoder.pull().is_err());
        assert!(decoder.finish().is_err());
    }
}

#[test]
fn a_stream_is_not_finished_before_it_is_pulled() {
    for coding in Coding::ALL {
        let mut decoder = Decoder::new(coding);
        decoder.push(encode(coding, Effort::Now, None, &[0; 200_000]).into());
        decoder.pull().unwrap().unwrap();
        assert!(decoder.finish().is_err(), "{coding:?}");
    }
}

#[test]
fn members_and_frames_follow_each_other() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let part = |body: &[u8]| encode(coding, Effort::Now, None, body);
        let whole = [part(b"one, "), part(b""), part(&noise(70_000)), part(b"two")].concat();
        let expected = [&b"one, "[..], &noise(70_000), b"two"].concat();
        for cut in [1, 2, 1000, whole.len()] {
            assert!(decode_cut(coding, &whole, cut).unwrap() == expected, "{coding:?} {cut}");
        }
        assert!(decode(coding, &whole[..whole.len() - 1]).is_err());
    }
    // Brotli has nothing like it.
    let twice = encode(Coding::Br, Effort::Now, None, b"one").repeat(2);
    assert!(decode(Coding::Br, &twice).is_err());
}

#[test]
fn frames_that_are_to_be_skipped_are_skipped() {
    // RFC 8878 §3.1.2: a magic number of sixteen, a length, so many bytes.
    let skipped = |length: u32| {
        [&0x184d_2a53_u32.to_le_bytes()[..], &length.to_le_bytes(), &noise(length as usize)].concat()
    };
    let frame = encode(Coding::Zstd, Effort::Now, None, b"hello");
    let whole = [skipped(0), skipped(100_000), frame, skipped(3)].concat();
    for cut in [1, 5, whole.len()] {
        assert_eq!(decode_cut(Coding::Zstd, &whole, cut).unwrap(), b"hello");
    }
    assert!(decode(Coding::Zstd, &whole[..whole.len() - 1]).is_err());
}

#[test]
fn the_window_of_zstd_is_8_mib_at_most() {
    // A frame of one raw, last, empty block; its window is 2^exponent bytes and no more (RFC 8878 §3.1.1.1.2).
    let frame = |exponent: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (exponent - 10) << 3, 1, 0, 0];
    assert_eq!(decode(Coding::Zstd, &frame(23)).unwrap(), b"");
    assert!(decode(Coding::Zstd, &frame(24)).is_err());
    assert!(decode(Coding::Zstd, &frame(31)).is_err());
    // Nor does ours ask for more, whatever the level.
    let levels = Levels { now: [19; 3], stored: [22; 3] };
    for effort in EFFORTS {
        let mut encoder = Encoder::new(Coding::Zstd, effort, &levels, Some(1 << 40));
        let mut encoded = encoder.push(b"a body").unwrap().to_vec();
        encoded.extend_from_slice(&encoder.flush().unwrap());
        encoded.extend_from_slice(&encoder.finish().unwrap());
        assert_eq!(encoded[4] & 0x20, 0, "the frame names its window");
        assert!((encoded[5] >> 3) + 10 <= 23);
        assert_eq!(decode(Coding::Zstd, &encoded).unwrap(), b"a body");
    }
}

#[test]
fn a_header_of_gzip_may_hold_what_it_likes() {
    // RFC 1952 §2.3: extra field, name, comment, and a checksum of the header.
    let body = encode(Coding::Gzip, Effort::Now, None, b"hello");
    assert_eq!(body[..9], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0], "no flags, no time");
    let mut header = vec![0x1f, 0x8b, 8, 0x1e, 1, 2, 3, 4, 0, 3, 2, 0, b'x', b'y'];
    header.extend_from_slice(b"name\0comment\0");
    let mut sum = flate2::Crc::new();
    sum.update(&header);
    let checked = [&header, &sum.sum().to_le_bytes()[..2], &body[10..]].concat();
    assert_eq!(decode_cut(Coding::Gzip, &checked, 1).unwrap(), b"hello");
    let mut wrong = checked.clone();
    wrong[12] ^= 1;
    assert!(decode(Coding::Gzip, &wrong).is_err(), "the checksum of the header");
    let mut reserved = body.clone();
    reserved[3] = 0x20;
    assert!(decode(Coding::Gzip, &reserved).is_err(), "a reserved flag");
    for from_end in [1, 5] {
        let mut wrong = body.clone();
        let at = wrong.len() - from_end;
        wrong[at] ^= 1;
        assert!(decode(Coding::Gzip, &wrong).is_err(), "length and checksum of the body");
    }
}

#[test]
fn equal_bodies_give_equal_bytes() {
    let body = body(5, 150_000);
    each(|coding, effort| {
        let whole = encode(coding, effort, None, &body);
        assert!(whole == encode(coding, effort, None, &body), "{coding:?} {effort:?}");
    });
}

#[test]
fn every_level_gives_a_stream() {
    let body = body(11, 20_000);
    for level in (0..=25).chain([255]) {
        let levels = Levels { now: [level; 3], stored: [level; 3] };
        each(|coding, effort| {
            let mut encoder = Encoder::new(coding, effort, &levels, Some(20_000));
            let mut out = encoder.push(&body[..7000]).unwrap().to_vec();
            out.extend_from_slice(&encoder.flush().unwrap());
            out.extend_from_slice(&encoder.push(&body[7000..]).unwrap());
            out.extend_from_slice(&encoder.finish().unwrap());
            assert!(decode(coding, &out).unwrap() == body, "{coding:?} {effort:?} {level}");
        });
    }
}

#[test]
fn streams_can_move_between_threads() {
    fn moves<T: Send + 'static>() {}
    moves::<Encoder>();
    moves::<Decoder>();
    moves::<Place>();
}

proptest! {
    #[test]
    fn what_is_flushed_can_be_read_at_once(
        seed in any::<u64>(),
        parts in proptest::collection::vec((0..40_000usize, any::<bool>()), 0..8),
        coding in proptest::sample::select(Coding::ALL.to_vec()),
        effort in proptest::sample::select(EFFORTS.to_vec()),
        hint in proptest::option::of(0..300_000u64),
        cut in prop_oneof![Just(1), 2..100usize, Just(usize::MAX)],
    ) {
        let whole = body(seed, parts.iter().map(|(length, _)| length).sum());
        let mut encoder = Encoder::new(coding, effort, &Levels::default(), hint);
        let mut decoder = Decoder::new(coding);
        let (mut at, mut out) = (0, Vec::new());
        let mut send = |encoded: Bytes, out: &mut Vec<u8>| {
            encoded.chunks(cut).for_each(|part| {
                decoder.push(Bytes::copy_from_slice(part));
                drain(&mut decoder, out).unwrap();
            });
        };
        for (length, flush) in parts {
            send(encoder.push(&whole[at..at + length]).unwrap(), &mut out);
            at += length;
            if flush {
                send(encoder.flush().unwrap(), &mut out);
                prop_assert!(out == whole[..at], "{} of {}", out.len(), at);
                prop_assert!(encoder.flush().unwrap().is_empty());
            }
        }
        send(encoder.finish().unwrap(), &mut out);
        prop_assert!(out == whole);
        prop_assert!(decoder.finish().is_ok());
    }

    #[test]
    fn a_broken_body_never_panics_and_never_goes_on_for_ever(
        seed in any::<u64>(), length in 0..3000usize,
        coding in proptest::sample::select(Coding::ALL.to_vec()),
        breaks in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in 1..400usize,
    ) {
        let mut encoded = encode(coding, Effort::Stored, Some(length as u64), &body(seed, length));
        for (at, byte) in breaks {
            let at = at.index(encoded.len());
            encoded[at] = byte;
        }
        let _ = decode_cut(coding, &encoded, cut);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 1..100usize) {
        for coding in Coding::ALL {
            let magic: &[u8] = match coding {
                Coding::Br => b"",
                Coding::Gzip => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
                Coding::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
            };
            let _ = decode_cut(coding, &bytes, cut);
            let _ = decode_cut(coding, &[magic, &bytes].concat(), cut);
        }
    }
}
