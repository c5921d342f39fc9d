//! Reads `Accept-Encoding`: which compressions a client can undo, of the three this proxy deals in, and which it likes.

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
}

/// Fields that speak of the bytes of a body in one compression, and of no other (RFC 9110 §14.3, RFC 9530, and what these
/// were before); beside its entity tag and its length.
pub const OF_BYTES: [&str; 5] = ["accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"];

/// What a client can take, and what it would rather have (RFC 9110 §12.5.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preferences {
    /// For each [`Coding`], twice its weight in thousandths; 0 refuses.
    codings: [u16; 3],
    /// The same for a body that is not compressed.
    identity: u16,
}

/// Twice the weight of what is named without one.
const FULL: u16 = 2000;

/// Not compressed is acceptable though nobody says so, after everything that is named.
const UNSAID: u16 = 1;

/// Reads all `Accept-Encoding` fields of a request.
///
/// `q=0`, or a weight nobody can read, refuses; a refusal outweighs an acceptance of the same coding; `*` stands for
/// what is not named, also for no compression. A request without the field gets nothing compressed: RFC 9110 would
/// allow anything, but whoever does not know the field does not know its codings.
pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Preferences {
    let mut values = values.into_iter();
    let Some(first) = values.next() else { return Preferences::PLAIN };
    let second = values.next();
    if second.is_none()
        && let Some(known) = known(first)
    {
        return known;
    }
    let mut tally = Tally::default();
    for member in [first].into_iter().chain(second).chain(values).flat_map(list::members) {
        tally.add(member);
    }
    tally.preferences()
}

/// What nearly all clients send, word for word: comparing it costs a tenth of reading it.
fn known(value: &[u8]) -> Option<Preferences> {
    let (br, gzip, zstd) = match value {
        b"gzip, deflate, br, zstd" => (true, true, true),
        b"gzip, deflate, br" | b"br, gzip, deflate" | b"gzip, br" | b"br, gzip" => (true, true, false),
        b"gzip, deflate" | b"gzip" | b"deflate, gzip" => (false, true, false),
        b"br" => (true, false, false),
        b"zstd" => (false, false, true),
        _ => return None,
    };
    let weight = |wanted| if wanted { FULL } else { 0 };
    Some(Preferences { codings: [weight(br), weight(gzip), weight(zstd)], identity: UNSAID })
}

impl Preferences {
    /// Nothing compressed.
    pub const PLAIN: Self = Self { codings: [0; 3], identity: UNSAID };

    /// Whether the client can undo this one.
    pub fn accepts(self, coding: Coding) -> bool {
        self.codings[coding.index()] > 0
    }

    /// Whether it wants nothing that is not compressed.
    pub fn refuses_identity(self) -> bool {
        self.identity == 0
    }

    /// What it likes best of what is offered, the server's favourite first; `None` for no compression, which is also
    /// what a client gets whom nothing pleases: RFC 9110 §12.5.3 lets a server disregard the field then.
    pub fn best(self, offered: impl IntoIterator<Item = Coding>) -> Option<Coding> {
        let mut best = None;
        // What is liked as much as no compression at all goes before it.
        let mut least = self.identity.max(1);
        for coding in offered {
            let weight = self.codings[coding.index()];
            if weight >= least {
                best = Some(coding);
                least = weight + 1;
            }
        }
        best
    }
}

/// What has been said so far, weights as in [`Preferences`].
#[derive(Default)]
struct Tally {
    codings: [Option<u16>; 3],
    identity: Option<u16>,
    star: Option<u16>,
}

impl Tally {
    fn add(&mut self, member: &[u8]) {
        let mut parts = member.split(|&byte| byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let weight = parts.filter_map(weight).min().unwrap_or(FULL);
        let said = match Coding::parse(name) {
            Some(coding) => &mut self.codings[coding.index()],
            None if name == b"*" => &mut self.star,
            None if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            None => return,
        };
        *said = Some(match *said {
            Some(0) => 0,
            Some(before) if weight > 0 => before.max(weight),
            _ => weight,
        });
    }

    fn preferences(&self) -> Preferences {
        let or_star = |said: Option<u16>| said.or(self.star);
        Preferences {
            codings: self.codings.map(|said| or_star(said).unwrap_or(0)),
            identity: or_star(self.identity).unwrap_or(UNSAID),
        }
    }
}

/// Twice the weight in thousandths that a parameter says, if it is a weight (RFC 9110 §12.4.2); 0 if nobody can read it.
fn weight(parameter: &[u8]) -> Option<u16> {
    let (b'q' | b'Q', rest) = parameter.trim_ascii().split_first()? else { return None };
    let value = rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
    Some(2 * thousandths(value).unwrap_or(0))
}

/// `0.5` is 500; more than 1 is 1, and digits after the third count only as more than nothing.
fn thousandths(value: &[u8]) -> Option<u16> {
    let mut parts = value.splitn(2, |&byte| byte == b'.');
    let (whole, fraction) = (parts.next()?, parts.next().unwrap_or_default());
    let is_number = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    if !is_number(whole) || !is_number(fraction) || whole.is_empty() && fraction.is_empty() {
        return None;
    }
    if whole.iter().any(|&digit| digit != b'0') {
        return Some(1000);
    }
    let digit = |at: usize| fraction.get(at).map_or(0, |digit| u16::from(digit - b'0'));
    let value = 100 * digit(0) + 10 * digit(1) + digit(2);
    let more = fraction.iter().any(|&digit| digit != b'0');
    Some(if value == 0 && more { 1 } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FAVOURITES: [Coding; 3] = [Coding::Br, Coding::Zstd, Coding::Gzip];

    fn best(value: &str) -> &'static str {
        parse([value.as_bytes()]).best(FAVOURITES).map_or("", Coding::token)
    }

    /// What the client can take, and `identity` unless it refuses that.
    fn taken(value: &str) -> Vec<&'static str> {
        let preferences = parse([value.as_bytes()]);
        let codings =
            Coding::ALL.into_iter().filter(|coding| preferences.accepts(*coding)).map(Coding::token);
        codings.chain((!preferences.refuses_identity()).then_some("identity")).collect()
    }

    #[test]
    fn what_clients_send_is_read() {
        for (value, expected, favourite) in [
            ("gzip, deflate, br, zstd", &["br", "gzip", "zstd", "identity"][..], "br"),
            ("zstd;q=0.1,BR, x-gzip", &["br", "gzip", "zstd", "identity"], "br"),
            ("gzip, deflate", &["gzip", "identity"], "gzip"),
            ("deflate", &["identity"], ""),
            ("identity", &["identity"], ""),
            ("", &["identity"], ""),
            ("gzip;q=0, br;q=0.000 , zstd; Q = 0.", &["identity"], ""),
            ("gzip;q=0.001, br; q=1.0", &["br", "gzip", "identity"], "br"),
            ("gzip, gzip;q=0", &["identity"], ""),
            ("gzip;q=0, gzip", &["identity"], ""),
            ("*", &["br", "gzip", "zstd", "identity"], "br"),
            ("br;q=0, *", &["gzip", "zstd", "identity"], "zstd"),
            ("gzip, *;q=0", &["gzip"], "gzip"),
            ("*;q=0", &[], ""),
            ("identity;q=0", &[], ""),
            ("identity;q=0, gzip", &["gzip"], "gzip"),
            ("identity, *;q=0", &["identity"], ""),
        ] {
            assert_eq!((taken(value).as_slice(), best(value)), (expected, favourite), "{value:?}");
        }
        assert_eq!(parse([]), Preferences::PLAIN);
        assert_eq!(parse([&b"gzip"[..], b"br"]).best(FAVOURITES), Some(Coding::Br));
    }

    #[test]
    fn weights_say_what_is_liked_best() {
        for (value, favourite) in [
            ("br;q=0.5, gzip;q=0.8", "gzip"),
            ("br;q=0.5, gzip;q=0.8, zstd;q=0.8", "zstd"),
            ("gzip, identity;q=0.5", "gzip"),
            ("gzip;q=0.5, identity", ""),
            ("gzip;q=0.5, identity;q=0.5", "gzip"),
            ("gzip;q=0.2, *;q=0.5", "br"),
            ("gzip;q=0.0004", "gzip"),
            ("br;q=0.9, zstd;q=7", "zstd"),
        ] {
            assert_eq!(best(value), favourite, "{value:?}");
        }
        assert_eq!(
            parse([&b"gzip;q=0.5, br"[..]]).best([Coding::Gzip]),
            Some(Coding::Gzip),
            "what is offered counts"
        );
        assert_eq!(parse([&b"gzip"[..]]).best([]), None);
    }

    #[test]
    fn a_weight_nobody_can_read_refuses() {
        for weight in ["", "x", "-1", "1e3", ".", "0.5;q=0", "0,5x"] {
            assert_eq!(best(&format!("gzip;q={weight}")), "", "{weight}");
        }
    }

    #[test]
    fn what_is_known_by_heart_is_what_would_be_read() {
        for value in [
            "gzip, deflate, br, zstd",
            "gzip, deflate, br",
            "br, gzip, deflate",
            "gzip, br",
            "br, gzip",
            "gzip, deflate",
            "gzip",
            "deflate, gzip",
            "br",
            "zstd",
        ] {
            let read = parse([value.as_bytes(), b""]);
            assert_eq!(known(value.as_bytes()), Some(read), "{value}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let preferences = parse([value.as_slice()]);
            if let Some(coding) = preferences.best(FAVOURITES) {
                prop_assert!(preferences.accepts(coding));
            }
        }

        #[test]
        fn it_agrees_with_a_naive_reader(
            members in proptest::collection::vec(("(gzip|br|zstd|identity|\\*)", 0u16..4), 0..6),
        ) {
            let text: Vec<String> = members.iter().map(|(name, tenths)| format!("{name}; q=0.{tenths}")).collect();
            let preferences = parse([text.join(",").as_bytes()]);
            let said = |wanted: &str| {
                let weights = || members.iter().filter(|(name, _)| name == wanted).map(|(_, tenths)| *tenths);
                if weights().any(|tenths| tenths == 0) { Some(0) } else { weights().max() }
            };
            for coding in Coding::ALL {
                let expected = said(coding.token()).or(said("*")).is_some_and(|tenths| tenths > 0);
                prop_assert_eq!(preferences.accepts(coding), expected);
            }
            let refused = said("identity").or(said("*")) == Some(0);
            prop_assert_eq!(preferences.refuses_identity(), refused);
        }
    }
}
