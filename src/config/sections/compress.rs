//! `compress`: what is compressed on its way to clients, how hard, and how much of the processor that may take.

use super::codings::{self, CODING};
use crate::compress::{Levels, Settings};
use crate::config::media::MediaPattern;
use crate::config::quantity::lists_nothing;
use crate::config::{Field, Fields, Kind, Need, Report, Section};
use crate::http::accept_encoding::Coding;

/// The word for no compression at all.
const OFF: &str = "off";

/// What `compress` may be.
pub const KIND: Kind = Kind::Either(&[Kind::Section(&COMPRESS), Kind::Word(&[OFF])]);

/// Compression.
pub static COMPRESS: Section = Section {
    name: "compression",
    doc: "Compression of what clients get, whoever answers. A response is compressed for a client that can read it, if it \
          came without compression, its type is worth it, and nothing forbids it (`Cache-Control: no-transform`, a part of \
          a body). What is stored is compressed once, in the background, when it is asked for again; till then, and where \
          nothing is stored, it is done while the client waits. The word `off` instead of the keys turns it off for good; \
          `compress: false` of a route or a rule does so there.",
    fields: &[
        Field {
            name: "codings",
            kind: Kind::OneOrMany(&CODING),
            need: Need::Default("[br, zstd, gzip]"),
            doc: "The compressions on offer, the favourite first: it decides where a client likes several as well.",
            example: "[zstd, gzip]",
        },
        Field {
            name: "types",
            kind: Kind::OneOrMany(&Kind::Text("a media type or a pattern such as text/*")),
            need: Need::Optional,
            doc: "The media types worth it, instead of the built-in ones: one (`application/json`), all of a kind \
                  (`text/*`), or all with a suffix (`*+json`). Without it: text of all kinds, JavaScript, JSON, XML, SVG \
                  and their like, WebAssembly, and fonts and icons that are not compressed by themselves.",
            example: "[text/*, application/json, \"*+json\"]",
        },
        Field {
            name: "min_size",
            kind: Kind::Size,
            need: Need::Default("1KiB"),
            doc: "The length of body from which it is worth it. Less fits in one packet anyway.",
            example: "256B",
        },
        Field {
            name: "levels",
            kind: Kind::Section(&LEVELS),
            need: Need::Default("{}"),
            doc: "How hard each compression tries while a client waits.",
            example: "{ gzip: 6 }",
        },
        Field {
            name: "stored_levels",
            kind: Kind::Section(&STORED_LEVELS),
            need: Need::Default("{}"),
            doc: "How hard each tries in the background, for what is stored.",
            example: "{ br: 11, zstd: 19 }",
        },
        Field {
            name: "cpu_percent",
            kind: Kind::Integer { min: 0, max: 100 },
            need: Need::Default("50"),
            doc: "How much of all processor cores compression may take, in percent. What comes on top goes out as it is: a \
                  rush of new content must not make everything slow.",
            example: "25",
        },
    ],
};

/// While a client waits.
pub static LEVELS: Section = Section {
    name: "list of levels",
    doc: "How hard each compression tries while a client waits: a higher level makes less of the body and takes longer.",
    fields: &[
        level(
            "br",
            0,
            6,
            "4",
            "Of Brotli. Each body under way takes 1.3 MiB of memory at 4, twice that at 6, and 33 MiB from 9 on.",
            "3",
        ),
        level("zstd", 1, 19, "3", "Of Zstandard.", "6"),
        level("gzip", 1, 9, "5", "Of gzip.", "6"),
    ],
};

/// In the background.
pub static STORED_LEVELS: Section = Section {
    name: "list of levels for the store",
    doc: "How hard each compression tries in the background, for what is stored and sent many times.",
    fields: &[
        level("br", 0, 11, "6", "Of Brotli. 10 and 11 take many times as long as 9.", "9"),
        level("zstd", 1, 19, "12", "Of Zstandard.", "19"),
        level("gzip", 1, 9, "9", "Of gzip.", "6"),
    ],
};

const fn level(
    name: &'static str,
    min: u64,
    max: u64,
    default: &'static str,
    doc: &'static str,
    example: &'static str,
) -> Field {
    Field { name, kind: Kind::Integer { min, max }, need: Need::Default(default), doc, example }
}

/// What is compressed. None: something is wrong, and reported.
pub fn compile(top: &Fields<'_>, report: &mut Report) -> Option<Settings> {
    if top.maybe("compress").is_some_and(|node| node.is_word(OFF)) {
        return Some(Settings::off());
    }
    let fields = top.section("compress", &COMPRESS, report)?;
    let usual = Settings::default();
    let codings = if fields.has("codings") { offered(&fields, report) } else { Some(usual.codings) };
    let types = if fields.has("types") { types(&fields, report) } else { Some(usual.types) };
    let min_size = fields.size("min_size", report);
    let now = levels(fields.section("levels", &LEVELS, report), report);
    let stored = levels(fields.section("stored_levels", &STORED_LEVELS, report), report);
    let cpu_percent = fields.integer("cpu_percent", report);
    Some(Settings {
        codings: codings?,
        types: types?,
        min_size: min_size?,
        levels: Levels { now: now?, stored: stored? },
        cpu_percent: cpu_percent?,
    })
}

fn offered(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<Coding>> {
    if lists_nothing("codings", fields) {
        fields.error("codings", "`codings` lists no compression: write `compress: off`", report);
        return None;
    }
    codings::listed("codings", fields, report)
}

fn types(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<Box<str>>> {
    if lists_nothing("types", fields) {
        let message =
            "`types` lists no media type: leave it out for the built-in ones, or write `compress: off`";
        fields.error("types", message, report);
        return None;
    }
    let types: Vec<MediaPattern> = fields.parse_all("types", report);
    Some(types.into_iter().map(|pattern| pattern.0).collect())
}

/// The levels, in the order of [`Coding`].
fn levels(fields: Option<Fields<'_>>, report: &mut Report) -> Option<[u8; 3]> {
    let fields = fields?;
    let mut levels = [0; 3];
    for coding in Coding::ALL {
        levels[coding.index()] = fields.integer(coding.token(), report)?;
    }
    Some(levels)
}
