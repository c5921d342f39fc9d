//! What a hit pays for the choice of a compression, and a file for its name.

use bytes::Bytes;
use foreland::cache::forms::head_of;
use foreland::cache::key::Recipe;
use foreland::cache::object::{Body, Object};
use foreland::compress::Settings;
use foreland::edge::form::{self, Choice};
use foreland::files::{self, Folder};
use foreland::http::accept_encoding::{self, Coding};
use foreland::http::fields::Fields;
use foreland::http::request::Protocol;
use std::hint::black_box;
use std::sync::Arc;

/// Chooses a form that is there, as a client writes what it can read.
pub fn choices(parent: &Object, written: &[u8], rounds: u64) {
    let body = Body::pack(&[Bytes::from_static(b"made")]);
    let head = head_of(&parent.head, Some(Coding::Br), Some(&body));
    let made = Arc::new(Object::new(parent.key.clone(), head, body));
    let mut object = parent.with(parent.made.with(Some(Coding::Br), made));
    object.head.desk = Some(Arc::default());
    let settings = Settings::default();
    let raw = [httparse::Header { name: "Accept-Encoding", value: written }];
    for _ in 0..rounds {
        let fields = black_box(Fields::Raw(&raw));
        let choice = form::choose(Some(&settings), form::Body::from(&object), fields, Protocol::Http11);
        assert!(matches!(choice, Choice::Made(_)), "{choice:?}");
        black_box(choice);
    }
}

/// Reads what a client writes of what it can read, where it is not known by heart.
pub fn preferences(rounds: u64) {
    let written: &[u8] = b"gzip;q=1.0, br;q=0.9, zstd, deflate, *;q=0.1";
    for _ in 0..rounds {
        black_box(accept_encoding::parse([black_box(written)]).best(Coding::ALL));
    }
}

/// The key of a file, from the path of its request.
pub fn names(rounds: u64) {
    let folder = Folder::new(files::Settings::of("/srv/www".into()));
    let recipe = Recipe::new(7);
    for _ in 0..rounds {
        let name = folder.name(black_box("/assets/css/site.css"));
        assert!(name.is_ok());
        black_box(name.map(|name| recipe.file(7, &name.text)).ok());
    }
}
