//! Reads `Accept-Encoding`: which compressions a client can undo, reduced to the three this proxy deals in.

use super::list;

/// A compression this proxy stores and makes (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Coding {
    /// `br`
    Br,
    /// `gzip`, or its old name `x-gzip`
    Gzip,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 3] = [Self::Br, Self::Gzip, Self::Zstd];

    /// Its name on the wire.
    pub fn token(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Reads a name, in any case (RFC 9110 §8.4.1).
    pub fn parse(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Self::Gzip); // RFC 9110 §8.4.1.3: equivalent
        }
        Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.token().as_bytes()))
    }

    /// Its position in [`Coding::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The compressions a client accepts. Preferences among them are not kept: the server chooses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Accepted(u8);

/// Reads all `Accept-Encoding` fields of a request (RFC 9110 §12.5.3).
///
/// `q=0`, or a weight nobody can read, refuses; a refusal outweighs an acceptance of the same coding; `*` stands for
/// what is not named. A request without the field gets nothing compressed.
pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Accepted {
    let mut tally = Tally::default();
    for member in values.into_iter().flat_map(list::members) {
        tally.add(member);
    }
    tally.accepted()
}

impl Accepted {
    /// Nothing compressed.
    pub const NONE: Self = Self(0);

    /// Whether the client can undo this one.
    pub fn contains(self, coding: Coding) -> bool {
        self.0 & coding.bit() != 0
    }

    /// The same capabilities as a field value: what the origin is asked, and what selects a variant. Clients that can
    /// do the same share it, however they wrote it.
    pub fn canonical(self) -> &'static str {
        const TEXTS: [&str; 8] =
            ["", "br", "gzip", "br, gzip", "zstd", "br, zstd", "gzip, zstd", "br, gzip, zstd"];
        TEXTS[usize::from(self.0 & EVERY_BIT)]
    }
}

impl FromIterator<Coding> for Accepted {
    fn from_iter<I: IntoIterator<Item = Coding>>(codings: I) -> Self {
        Self(codings.into_iter().fold(0, |bits, coding| bits | coding.bit()))
    }
}

const EVERY_BIT: u8 = 0b111;

/// What has been said so far, as bits of [`Coding`].
#[derive(Default)]
struct Tally {
    wanted: u8,
    refused: u8,
    star_wanted: u8,
    star_refused: u8,
}

impl Tally {
    fn add(&mut self, member: &[u8]) {
        let mut parts = member.split(|&byte| byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let accepted = parts.all(accepts);
        let (wanted, refused, bits) = match Coding::parse(name) {
            Some(coding) => (&mut self.wanted, &mut self.refused, coding.bit()),
            None if name == b"*" => (&mut self.star_wanted, &mut self.star_refused, EVERY_BIT),
            None => return,
        };
        let side = if accepted { wanted } else { refused };
        *side |= bits;
    }

    fn accepted(&self) -> Accepted {
        let unnamed = !(self.wanted | self.refused);
        let by_star = self.star_wanted & !self.star_refused & unnamed;
        Accepted((self.wanted & !self.refused | by_star) & EVERY_BIT)
    }
}

/// Whether a parameter leaves its coding acceptable: any but a weight of zero, or one that is not a number.
fn accepts(parameter: &[u8]) -> bool {
    let parameter = parameter.trim_ascii();
    let Some((b'q' | b'Q', rest)) = parameter.split_first() else {
        return true;
    };
    let Some(weight) = rest.trim_ascii_start().strip_prefix(b"=") else {
        return true;
    };
    let weight = weight.trim_ascii_start();
    let is_number = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    weight.iter().all(is_number) && weight.iter().any(|byte| matches!(byte, b'1'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(value: &str) -> &'static str {
        parse([value.as_bytes()]).canonical()
    }

    #[test]
    fn what_browsers_send_becomes_one_text() {
        assert_eq!(canonical("gzip, deflate, br, zstd"), "br, gzip, zstd");
        assert_eq!(canonical("zstd;q=0.1,BR, x-gzip"), "br, gzip, zstd");
        assert_eq!(canonical("gzip, deflate"), "gzip");
        assert_eq!(canonical("identity"), "");
        assert_eq!(canonical(""), "");
        assert_eq!(parse([]), Accepted::NONE);
        assert_eq!(parse([&b"gzip"[..], b"br"]).canonical(), "br, gzip");
    }

    #[test]
    fn a_weight_of_zero_refuses() {
        assert_eq!(canonical("gzip;q=0, br;q=0.000 , zstd; Q = 0."), "");
        assert_eq!(canonical("gzip;q=0.001, br; q=1.0"), "br, gzip");
        assert_eq!(canonical("gzip, gzip;q=0"), "");
    }

    #[test]
    fn a_weight_nobody_can_read_refuses() {
        for weight in ["", "x", "-1", "1e3", "0.5;q=0"] {
            assert_eq!(canonical(&format!("gzip;q={weight}")), "", "{weight}");
        }
    }

    #[test]
    fn a_star_stands_for_what_is_not_named() {
        assert_eq!(canonical("*"), "br, gzip, zstd");
        assert_eq!(canonical("br;q=0, *"), "gzip, zstd");
        assert_eq!(canonical("gzip, *;q=0"), "gzip");
        assert_eq!(canonical("*;q=0"), "");
    }

    #[test]
    fn each_capability_is_found_in_its_text() {
        for bits in 0..8u8 {
            let accepted = Accepted(bits);
            assert_eq!(parse([accepted.canonical().as_bytes()]), accepted);
            assert_eq!(
                Coding::ALL.into_iter().filter(|c| accepted.contains(*c)).collect::<Accepted>(),
                accepted
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let accepted = parse([value.as_slice()]);
            prop_assert_eq!(parse([accepted.canonical().as_bytes()]), accepted);
        }

        #[test]
        fn it_agrees_with_a_naive_reader(members in proptest::collection::vec(("(gzip|br|zstd|deflate|\\*)", 0u32..3), 0..6)) {
            let text: Vec<String> = members.iter().map(|(name, tenths)| format!("{name}; q=0.{tenths}")).collect();
            let accepted = parse([text.join(",").as_bytes()]);
            for coding in Coding::ALL {
                let weights = |wanted: &str| members.iter().filter(|(name, _)| name == wanted).map(|(_, tenths)| *tenths).min();
                let expected = weights(coding.token()).or(weights("*")).is_some_and(|tenths| tenths > 0);
                prop_assert_eq!(accepted.contains(coding), expected);
            }
        }
    }
}
