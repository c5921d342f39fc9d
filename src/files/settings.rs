//! How a folder is served.

use crate::http::accept_encoding::Coding;
use std::path::PathBuf;

/// A folder to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder; `/a.css` is `root/a.css`.
    pub root: PathBuf,
    /// Names tried, in order, for a path that ends in a slash.
    pub index: Vec<Box<str>>,
    /// Whether a folder without an index is listed.
    pub listing: bool,
    /// Which symbolic links are followed.
    pub symlinks: Symlinks,
    /// Whether names that begin with a dot are served; `.well-known` always is.
    pub hidden: bool,
    /// Compressions whose files are looked for beside a file: `a.css.br`.
    pub precompressed: Vec<Coding>,
    /// Media types by extension (lower case, without the dot), before the built-in ones.
    pub types: Vec<(Box<str>, Box<str>)>,
    /// The media type of what has no known extension.
    pub default_type: Box<str>,
    /// What browsers are told, by media type: the first that matches. `text/*`, `*`.
    pub expires: Vec<(Box<str>, Lifetime)>,
    /// The file served, with status 200, for what does not exist: a path from the root such as `/index.html`.
    pub fallback: Option<Box<str>>,
    /// The file served, with status 404, for what does not exist.
    pub not_found: Option<Box<str>>,
    /// Files up to so many bytes are kept in memory.
    pub keep: u64,
}

/// How long a browser may keep a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It asks before each use (`Cache-Control: no-cache`).
    NoCache,
    /// So many seconds (`Cache-Control: max-age`).
    Seconds(u32),
}

/// Which symbolic links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// All, wherever they lead.
    Anywhere,
    /// None.
    None,
    /// Those that stay within the folder.
    Within,
}

impl Settings {
    /// A folder with everything else as it is by default.
    pub fn of(root: PathBuf) -> Self {
        Self {
            root,
            index: vec!["index.html".into()],
            listing: false,
            symlinks: Symlinks::Within,
            hidden: false,
            precompressed: vec![Coding::Br, Coding::Zstd, Coding::Gzip],
            types: Vec::new(),
            default_type: "application/octet-stream".into(),
            expires: Vec::new(),
            fallback: None,
            not_found: None,
            keep: 1 << 20,
        }
    }
}
