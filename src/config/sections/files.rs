//! `files` of a route: a folder whose files answer.

use super::bench::Bench;
use super::codings::{self, CODING};
use super::expires::{self, EXPIRES_KIND};
use super::file_names;
use crate::config::env::no_folder;
use crate::config::media::MediaType;
use crate::config::{Field, Fields, Kind, Need, Node, Report, Section};
use crate::files::{Settings, Symlinks};
use crate::http::accept_encoding::Coding;
use std::path::PathBuf;

/// What `files` may be.
pub const FILES_KIND: Kind = Kind::Either(&[ROOT, Kind::Section(&FILES)]);

const ROOT: Kind = Kind::Text("the path of a folder");

/// A folder whose files answer.
pub static FILES: Section = Section {
    name: "folder",
    doc: "A folder whose files answer GET and HEAD. The path of the folder alone, as text, means the same with every \
          default. The path of the request, after `rewrite` if the route has one, is looked for below the folder; nothing \
          outside it is ever served. Small files are kept in memory and looked after: one that changes is served anew.",
    fields: &[
        Field {
            name: "root",
            kind: ROOT,
            need: Need::Required,
            doc: "The folder, relative to the file that names it. It must be there when the configuration is read. What is \
                  in it may change at any time without a reload, and so may the folder itself, as in a release that is \
                  moved to its place.",
            example: "public",
        },
        Field {
            name: "index",
            kind: Kind::OneOrMany(&Kind::Text("the name of a file")),
            need: Need::Default("index.html"),
            doc: "The file that answers for a folder, in a path that ends in a slash; of several the first that is there. \
                  `[]` for none. A folder that is asked for without its slash sends the client to the path with one.",
            example: "[index.html, index.htm]",
        },
        Field {
            name: "listing",
            kind: Kind::Bool,
            need: Need::Default("false"),
            doc: "Whether a folder without an index shows what is in it. Without it there is nothing there: 404.",
            example: "true",
        },
        Field {
            name: "symlinks",
            kind: Kind::Word(&["within", "none", "anywhere"]),
            need: Need::Default("within"),
            doc: "Which symbolic links are followed: those that stay `within` the folder, `none`, or all of them, \
                  `anywhere` they lead. Whoever may write a link into the folder may then have any file read that this \
                  program can.",
            example: "none",
        },
        Field {
            name: "hidden",
            kind: Kind::Bool,
            need: Need::Default("false"),
            doc: "Whether names that begin with a dot are served, such as `.git`. `.well-known` always is.",
            example: "true",
        },
        Field {
            name: "precompressed",
            kind: Kind::Either(&[Kind::Bool, Kind::OneOrMany(&CODING)]),
            need: Need::Default("true"),
            doc: "Whether files that were compressed beforehand stand beside the others: `app.js.br`, `app.js.zst`, \
                  `app.js.gz` answer for `app.js` to clients that can read them, unless they are older than it. `true` for all \
                  three, `false`, or those to look for.",
            example: "[br, gzip]",
        },
        Field {
            name: "types",
            kind: Kind::Map(&Kind::Text("a media type")),
            need: Need::Optional,
            doc: "Media types by the ends of names, without the dot, before the built-in ones. They are sent as they stand \
                  here; the built-in ones say `charset=utf-8` where it is text.",
            example: "{ log: text/plain; charset=utf-8, glb: model/gltf-binary }",
        },
        Field {
            name: "default_type",
            kind: Kind::Text("a media type"),
            need: Need::Default("application/octet-stream"),
            doc: "The media type of names with no known end. Browsers save the default instead of showing it.",
            example: "text/plain",
        },
        Field {
            name: "expires",
            kind: EXPIRES_KIND,
            need: Need::Optional,
            doc: "How long browsers may keep a file without asking (`Cache-Control: max-age`); `no-cache` has them ask each \
                  time, which costs a 304. One for all, or by media type: the first that takes the type counts; `text/*` takes all of a kind, `*` \
                  all. Long times are for names that change with their content. Without it nothing is said, and browsers \
                  guess.",
            example: "{ text/html: no-cache, \"image/*\": 30d, \"*\": 1h }",
        },
        Field {
            name: "fallback",
            kind: Kind::Text("a path such as /index.html"),
            need: Need::Optional,
            doc: "The file that answers, with status 200, for what does not exist: for applications that make pages of \
                  paths in the browser. Not together with `not_found`.",
            example: "/index.html",
        },
        Field {
            name: "not_found",
            kind: Kind::Text("a path such as /404.html"),
            need: Need::Optional,
            doc: "The file that answers, with status 404, for what does not exist.",
            example: "/404.html",
        },
        Field {
            name: "memory",
            kind: Kind::Size,
            need: Need::Default("1MiB"),
            doc: "Files up to this size are kept in the memory of `cache`, and compressed once; larger ones are read each \
                  time. `0` keeps none.",
            example: "256KiB",
        },
    ],
};

/// How a folder is served, from its path or its keys. None: something is wrong, and reported.
pub fn compile(node: &Node, bench: &mut Bench<'_>) -> Option<Settings> {
    if node.as_map().is_none() {
        return root(node, "files", bench).map(Settings::of);
    }
    let fields = Fields::open(node, &FILES, bench.report)?;
    let root = fields.maybe("root").and_then(|node| root(node, "root", bench));
    let report = &mut *bench.report;
    let hidden = fields.boolean("hidden", report);
    let serves_hidden = hidden.unwrap_or(true);
    let index = file_names::index("index", serves_hidden, &fields, report);
    let listing = fields.boolean("listing", report);
    let symlinks = symlinks(&fields, report);
    let precompressed = precompressed(&fields, report);
    let types = file_names::types(&fields, report);
    let default_type = fields.parse("default_type", report).map(|MediaType(kind)| kind);
    let expires = expires::compile(&fields, report);
    let fallback = file_names::path("fallback", serves_hidden, &fields, report);
    let not_found = file_names::path("not_found", serves_hidden, &fields, report);
    let keep = fields.size("memory", report);
    if fields.has("fallback") && fields.has("not_found") {
        let message = "`not_found` stands beside `fallback`, which answers for all that does not exist";
        report.error_with(fields.key_span("not_found"), message, "remove one of them");
    }
    Some(Settings {
        root: root?,
        index: index?,
        listing: listing?,
        symlinks: symlinks?,
        hidden: hidden?,
        precompressed: precompressed?,
        types: types?,
        default_type: default_type?,
        expires: expires?,
        fallback: fallback?,
        not_found: not_found?,
        keep: keep?,
    })
}

/// A folder that is there.
fn root(node: &Node, key: &str, bench: &mut Bench<'_>) -> Option<PathBuf> {
    let written = node.text(key, "the path of a folder", bench.report)?;
    if written.is_empty() {
        bench.report.error(node.span, format!("`{key}` is empty: write the path of a folder"));
        return None;
    }
    let path = bench.files.resolve(node.span.file, written);
    if let Err(error) = bench.files.env().folder(&path) {
        // It may come.
        bench.files.watch(&path);
        let why = no_folder(&error);
        bench.report.error(node.span, format!("cannot serve the files of `{written}`: {why}"));
        return None;
    }
    bench.folders.push((path.clone(), node.span));
    Some(path)
}

/// Warns of folders that hold what the configuration was read from, keys and secrets included. Only once all of it is
/// read is that known.
pub fn exposed(bench: &mut Bench<'_>) {
    for (folder, span) in std::mem::take(&mut bench.folders) {
        if let Some(file) = bench.files.within(&folder) {
            let shown = folder.display();
            let message = format!("the folder `{shown}` holds `{file}`, which everybody may read then");
            bench.report.warning(span, message);
        }
    }
}

fn symlinks(fields: &Fields<'_>, report: &mut Report) -> Option<Symlinks> {
    match fields.word("symlinks", report)? {
        "anywhere" => Some(Symlinks::Anywhere),
        "none" => Some(Symlinks::None),
        _ => Some(Symlinks::Within),
    }
}

fn precompressed(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<Coding>> {
    match fields.maybe("precompressed").map(|node| (node.as_text(), node)) {
        None | Some((Some("true"), _)) => Some(vec![Coding::Br, Coding::Zstd, Coding::Gzip]),
        Some((Some("false"), _)) => Some(Vec::new()),
        Some((_, node)) if node.is_broken() => None,
        Some(_) => codings::listed("precompressed", fields, report),
    }
}
