//! The table of what a rule can set.

use super::key::KEY;
use crate::config::{Field, Kind, Need, Section, edits};

/// Tags that one object has at most.
pub const TAGS: usize = 1024;
/// Bytes of tags that one object has at most.
pub const TAG_BYTES: usize = 16 << 10;

/// What a rule sets.
pub static THEN: Section = Section {
    name: "effect",
    doc: "What a rule sets. Of all rules that apply, the last that names a setting decides it; a setting that none names \
          is as HTTP and the `cache` section have it.",
    fields: &[
        Field {
            name: "bypass",
            kind: Kind::Bool,
            need: Need::Optional,
            doc: "Leaves the cache out: nothing is looked up and nothing stored. Needs a condition on the request alone. \
                  `false` takes it back.",
            example: "true",
        },
        Field {
            name: "store",
            kind: Kind::Either(&[Kind::Bool, Kind::Word(&["deception"])]),
            need: Need::Optional,
            doc: "Whether the response may be stored. `false` keeps it out (`stored: rule` in the log), `deception` too, \
                  with that word as the reason. `true` takes back what an earlier rule refused; it allows nothing that \
                  HTTP forbids.",
            example: "false",
        },
        Field {
            name: "ttl",
            kind: Kind::Either(&[Kind::Duration, Kind::Section(&LIFETIME)]),
            need: Need::Optional,
            doc: "How long the response is fresh, instead of what the origin says. A duration alone is `edge`. It replaces \
                  the lifetime and nothing else: no-store, private, no-cache, Set-Cookie and Authorization still count \
                  (see `override`), and so does the age that the response has when it comes.",
            example: "{ edge: 30d, browser: 1h, status: { 404: 30s } }",
        },
        Field {
            name: "override",
            kind: Kind::OneOrMany(&Kind::Word(&[
                "no_store",
                "private",
                "no_cache",
                "set_cookie",
                "authorization",
            ])),
            need: Need::Optional,
            doc: "What does not keep a response out of the cache, or stale, although HTTP says it does: `no_store`, \
                  `private` and `no_cache` of its Cache-Control; `set_cookie`: it is stored with its cookies, and everybody \
                  gets them; `authorization`: what came for one user's credentials is for everybody. Name only what you \
                  know to be wrong. `[]` takes it back.",
            example: "[private, no_cache]",
        },
        Field {
            name: "stale_while_revalidate",
            kind: Kind::Duration,
            need: Need::Optional,
            doc: "How long past its lifetime the response is served while it is refreshed in the background, instead of what \
                  the origin or the `cache` section says. Not where the origin forbids it with must-revalidate, \
                  proxy-revalidate or no-cache.",
            example: "1h",
        },
        Field {
            name: "stale_if_error",
            kind: Kind::Duration,
            need: Need::Optional,
            doc: "How long past its lifetime the response stands in for an origin that fails, likewise.",
            example: "1d",
        },
        Field {
            name: "key",
            kind: Kind::Section(&KEY),
            need: Need::Optional,
            doc: "What tells stored responses apart. Needs a condition on the request alone.",
            example: "{ query: { drop: [\"@tracking\"], sort: true } }",
        },
        Field {
            name: "tags",
            kind: Kind::OneOrMany(&Kind::Text("a tag without spaces and commas")),
            need: Need::Optional,
            doc: "Names under which the stored response can be purged: 1,024 and 16 KiB of them at most. A later rule \
                  replaces the list; `[]` empties it.",
            example: "[assets, release-7]",
        },
        Field {
            name: "strip_cookies",
            kind: Kind::Either(&[
                Kind::Bool,
                Kind::OneOrMany(&Kind::Text("the name of a cookie, or a pattern")),
            ]),
            need: Need::Optional,
            doc: "Cookies that the origin does not get: `true` for all, or names, with `*` for any characters or `~` and a \
                  regular expression. Needs a condition on the request alone. `false` takes it back.",
            example: "[\"_ga*\", \"_gid\"]",
        },
        Field {
            name: "strip_set_cookie",
            kind: Kind::Bool,
            need: Need::Optional,
            doc: "Whether Set-Cookie is taken out of the response, for everybody, so that it is no reason not to store it. \
                  Never where a login or a shopping basket may answer.",
            example: "true",
        },
        Field {
            name: "max_object",
            kind: Kind::Size,
            need: Need::Optional,
            doc: "The longest body that is stored; an eighth of the cache is the most there is. What is longer streams \
                  through.",
            example: "10MiB",
        },
        Field {
            name: "collapse",
            kind: Kind::Bool,
            need: Need::Optional,
            doc: "Whether requests for the same thing wait for one fetch (they do unless a rule says `false`). Needs a \
                  condition on the request alone.",
            example: "false",
        },
        Field {
            name: "request_directives",
            kind: Kind::Word(&["follow", "ignore"]),
            need: Need::Optional,
            doc: "Whether Cache-Control and Pragma of a request are heard (they are unless a rule says `ignore`). Ignored, \
                  no client can make the origin work by a reload. Needs a condition on the request alone.",
            example: "ignore",
        },
        Field {
            name: "compress",
            kind: Kind::Bool,
            need: Need::Optional,
            doc: "Whether the response is compressed for clients, as the section `compress` says (it is unless a rule or the \
                  route says `false`).",
            example: "false",
        },
        Field {
            name: "accept_encoding",
            kind: Kind::Word(&["identity", "br", "zstd", "gzip"]),
            need: Need::Optional,
            doc: "The compression that the origin is asked for, whatever the client can read: none (`identity`, unless a \
                  rule says otherwise) or one. A response that comes compressed is stored like that, and decompressed for \
                  clients that cannot read it: less comes from a far origin, and nothing is compressed here. Needs a \
                  condition on the request alone.",
            example: "gzip",
        },
        Field {
            name: "response_headers",
            kind: edits::KIND,
            need: Need::Optional,
            doc: "Header fields that are changed before the response is stored. Everybody gets them as stored, so of the \
                  variables only `{scheme}`, `{host}`, `{port}` and `{path}` may be used.",
            example: "{ remove: [X-Powered-By] }",
        },
    ],
};

/// How long a response is fresh.
pub static LIFETIME: Section = Section {
    name: "lifetime",
    doc: "How long a response is fresh: here, in browsers, and with which status.",
    fields: &[
        Field {
            name: "edge",
            kind: Kind::Duration,
            need: Need::Optional,
            doc: "How long it is fresh in this cache, if its status is one that HTTP calls cacheable by default (200, 203, \
                  204, 300, 301, 308, 404, 405, 410, 414, 451, 501). `0s` stores it and asks the origin each time.",
            example: "30d",
        },
        Field {
            name: "browser",
            kind: Kind::Duration,
            need: Need::Optional,
            doc: "How long browsers are told to keep what is stored: the Cache-Control that clients get says `max-age` with \
                  this instead of what the origin says.",
            example: "1h",
        },
        Field {
            name: "status",
            kind: Kind::Map(&Kind::Duration),
            need: Need::Optional,
            doc: "How long it is fresh here if it has this status (`404`, `5xx`, `400-404`), whatever `edge` says in this or \
                  another rule; of several the narrowest counts. Browsers are not told a longer one. Also for a status \
                  that is not cacheable by default, such as 302.",
            example: "{ 404: 30s, 5xx: 0s }",
        },
    ],
};
