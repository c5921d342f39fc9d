//! Files in memory: which one a request means, whether it still is what is on the disk, and how it gets there.

use super::head;
use crate::cache::Cache;
use crate::cache::forms::head_of;
use crate::cache::object::{Body, Object, Witness};
use crate::compress;
use crate::files::{Folder, Found, Item, Name, Opened};
use crate::plan::Plan;
use crate::verdict::Key;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// More than the heads and keys of a file and its siblings take.
const OF_HEADS: u64 = 4096;

/// The files of a folder that are kept in memory.
pub struct Shelf<'a> {
    cache: &'a Cache,
    folder: &'a Folder,
    id: u64,
    compress: Option<&'a compress::Settings>,
}

/// A file that was found.
pub enum Got {
    /// In memory.
    Kept(Arc<Object>),
    /// Too large for that, or changed while it was read.
    Open(Box<Opened>),
}

/// What a look on the disk brought.
pub enum Looked {
    /// A file.
    File(Got),
    /// A folder, asked for without its slash.
    Folder,
    /// It may not be read.
    Forbidden,
    /// The things in a folder without an index.
    Listing(Vec<Item>),
    /// Nothing, but perhaps a file that says so.
    Missing(Option<Got>),
}

impl<'a> Shelf<'a> {
    /// That of a route; `None` if it has no folder.
    pub fn of(plan: &'a Plan, cache: &'a Cache, route: usize) -> Option<Self> {
        let at = plan.routes.get(route)?;
        let compress = plan.compress(route).map(|settings| &**settings);
        Some(Self { cache, folder: at.folder.as_ref()?, id: at.folder_id, compress })
    }

    /// What is kept under a name, if it is the same on the disk. Asks the kernel once a second, and never waits.
    pub fn find(&self, name: &Name, now: u64) -> Option<Arc<Object>> {
        let object = self.cache.kept(&self.key(name))?;
        let witness = object.witness.as_ref()?;
        if witness.checked() != now {
            if self.folder.is_unchanged(name, &witness.stamp) != Some(true) {
                return None;
            }
            witness.confirm(now);
        }
        Some(object)
    }

    /// Looks on the disk, keeps a small file that it finds and forgets one that it does not find any more. Waits.
    ///
    /// # Errors
    /// What the disk says.
    pub fn look(&self, name: &Name, now: u64) -> io::Result<Looked> {
        let found = self.folder.find(name)?;
        let own = match &found {
            Found::File(opened) => self.is_own(name, opened),
            _ => false,
        };
        if !own {
            self.forget(name);
        }
        Ok(match found {
            Found::File(opened) if own => Looked::File(self.take(name, opened, now)?),
            Found::File(opened) => Looked::File(self.instead(opened, now)?),
            Found::Folder => Looked::Folder,
            Found::Forbidden => Looked::Forbidden,
            Found::Listing(items) => Looked::Listing(items),
            Found::Missing(opened) => {
                Looked::Missing(opened.map(|opened| self.instead(opened, now)).transpose()?)
            }
        })
    }

    /// Whether a file is what the name means, be it as an index, and does not stand in for what does not exist.
    fn is_own(&self, name: &Name, opened: &Opened) -> bool {
        if !name.is_folder {
            return opened.name == name.text;
        }
        let last = match &*name.text {
            "" => Some(&*opened.name),
            folder => opened.name.strip_prefix(folder).and_then(|below| below.strip_prefix('/')),
        };
        last.is_some_and(|last| self.folder.settings().index.iter().any(|index| **index == *last))
    }

    /// What stands in for a name that does not exist is kept under its own: there is no end of names that do not exist.
    fn instead(&self, opened: Box<Opened>, now: u64) -> io::Result<Got> {
        let name = Name { text: opened.name.clone(), is_folder: false };
        if let Some(object) = self.find(&name, now) {
            return Ok(Got::Kept(object));
        }
        match self.folder.find(&name)? {
            Found::File(itself) if itself.name == name.text => self.take(&name, itself, now),
            _ => Ok(Got::Open(opened)),
        }
    }

    /// Keeps a file, if it is small enough.
    fn take(&self, name: &Name, opened: Box<Opened>, now: u64) -> io::Result<Got> {
        let key = self.key(name);
        let kept = self.cache.kept(&key);
        if let Some((object, witness)) = kept.as_ref().and_then(|kept| Some((kept, kept.witness.as_ref()?)))
            && witness.stamp == opened.stamp
        {
            // Somebody else has read it, or it is as it was and nobody could tell without waiting.
            witness.confirm(now);
            return Ok(Got::Kept(object.clone()));
        }
        let body = match self.is_small(opened.length, 0) {
            true => opened.file.read_all(opened.length)?,
            false => None,
        };
        if let Some(body) = body {
            let object = Arc::new(self.object(key, &opened, body, now)?);
            if self.cache.keep(object.clone()) {
                return Ok(Got::Kept(object));
            }
        }
        kept.iter().for_each(|kept| self.cache.drop_kept(kept));
        Ok(Got::Open(opened))
    }

    /// Whether so many bytes may be kept beside so many others of the same file.
    fn is_small(&self, length: u64, beside: u64) -> bool {
        let keep = self.folder.settings().keep;
        keep > 0 && length <= keep && beside.saturating_add(length + OF_HEADS) <= self.cache.max_object()
    }

    /// A file and its siblings in memory. Their entity tags are made of their bytes: the same on every machine that has
    /// the same files, whenever they were put there.
    fn object(&self, key: Key, opened: &Opened, body: Bytes, now: u64) -> io::Result<Object> {
        let etag = format!("\"{:032x}\"", xxh3_128(&body));
        let compressed = head::is_compressed(opened, self.compress);
        let varies = compressed || !opened.siblings.is_empty();
        let mut head = head::of(opened, None, &etag, opened.length, varies, now);
        head.desk = compressed.then(Arc::default);
        let mut object = Object::new(key, head, Body::pack(&[body]));
        let mut beside = opened.length;
        for sibling in &opened.siblings {
            if !self.is_small(sibling.length, beside) {
                continue;
            }
            beside += sibling.length;
            let Some(bytes) = sibling.file.read_all(sibling.length)? else { continue };
            let (form, body) = (Some(sibling.coding), Body::pack(&[bytes]));
            let mut head = head_of(&object.head, form, Some(&body)).with_length(body.len());
            // Not made here: what it means is for whoever put it there to say, and a new one is another one.
            head.is_form = false;
            object.made = object.made.with(form, Arc::new(Object::new(object.key.clone(), head, body)));
        }
        // What may be changed once more without a trace is read again the next time that it is looked at.
        let stamp = if opened.is_settled { opened.stamp.clone() } else { Box::default() };
        object.witness = Some(Arc::new(Witness::new(stamp, now)));
        Ok(object)
    }

    fn forget(&self, name: &Name) {
        if let Some(object) = self.cache.kept(&self.key(name)) {
            self.cache.drop_kept(&object);
        }
    }

    /// A folder has another key than a file of its name.
    fn key(&self, name: &Name) -> Key {
        let id = if name.is_folder { !self.id } else { self.id };
        self.cache.recipe().file(id, &name.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Settings as CacheSettings;
    use crate::files::{Lifetime, Settings};
    use crate::http::accept_encoding::Coding;
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    const NOW: u64 = 2_000_000_000;

    /// A folder of the test's own.
    struct Temp(PathBuf);

    impl Temp {
        fn new() -> Self {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("foreland-shelf-{}-{number}", std::process::id()));
            fs::create_dir_all(path.join("docs")).unwrap();
            Self(path)
        }

        /// Writes a file as it was changed at a time.
        fn write(&self, name: &str, text: &str, modified: u64) {
            fs::write(self.0.join(name), text).unwrap();
            let file = fs::File::options().append(true).open(self.0.join(name)).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(modified)).unwrap();
            // What was changed just now is read again the next time: wait for the clock to leave that behind.
            let written = SystemTime::now();
            while written.elapsed().unwrap_or_default() < Duration::from_millis(21) {
                std::thread::yield_now();
            }
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn cache() -> Cache {
        Cache::new(CacheSettings { memory: 8 << 20, ..CacheSettings::default() })
    }

    fn folder(temp: &Temp, change: impl FnOnce(&mut Settings)) -> Folder {
        let mut settings = Settings::of(temp.0.clone());
        change(&mut settings);
        Folder::new(settings)
    }

    fn shelf<'a>(cache: &'a Cache, folder: &'a Folder) -> Shelf<'a> {
        Shelf { cache, folder, id: 7, compress: None }
    }

    fn kept(looked: Looked) -> Arc<Object> {
        match looked {
            Looked::File(Got::Kept(object)) | Looked::Missing(Some(Got::Kept(object))) => object,
            _ => panic!("nothing that is kept"),
        }
    }

    fn body(object: &Object) -> Bytes {
        object.body.slice(0, u64::MAX).unwrap_or_default()
    }

    #[test]
    fn a_file_is_kept_until_it_changes_and_looked_at_once_a_second() {
        let (temp, cache) = (Temp::new(), cache());
        let folder = folder(&temp, |_| {});
        let shelf = shelf(&cache, &folder);
        temp.write("a.css", "one", NOW - 100);
        let name = folder.name("/a.css").unwrap();
        assert!(shelf.find(&name, NOW).is_none());
        let object = kept(shelf.look(&name, NOW).unwrap());
        assert_eq!(body(&object), "one");
        assert!(Arc::ptr_eq(&shelf.find(&name, NOW).unwrap(), &object));
        assert!(Arc::ptr_eq(&shelf.find(&name, NOW + 1).unwrap(), &object));
        temp.write("a.css", "two", NOW - 50);
        assert!(shelf.find(&name, NOW + 1).is_some(), "looked at in this second already");
        assert!(shelf.find(&name, NOW + 2).is_none());
        let changed = kept(shelf.look(&name, NOW + 2).unwrap());
        assert_eq!(body(&changed), "two");
        assert_ne!(changed.head.first("etag"), object.head.first("etag"));
        assert!(Arc::ptr_eq(&shelf.find(&name, NOW + 2).unwrap(), &changed));
        assert_eq!(cache.ram().objects(), 1);
        fs::remove_file(temp.0.join("a.css")).unwrap();
        assert!(shelf.find(&name, NOW + 3).is_none());
        assert!(matches!(shelf.look(&name, NOW + 3).unwrap(), Looked::Missing(None)));
        assert_eq!(cache.ram().objects(), 0);
    }

    #[test]
    fn what_nobody_could_tell_without_waiting_is_read_only_if_it_changed() {
        let (temp, cache) = (Temp::new(), cache());
        let folder = folder(&temp, |_| {});
        let shelf = shelf(&cache, &folder);
        temp.write("a.css", "one", NOW - 100);
        let name = folder.name("/a.css").unwrap();
        let object = kept(shelf.look(&name, NOW).unwrap());
        assert!(Arc::ptr_eq(&kept(shelf.look(&name, NOW + 9).unwrap()), &object));
        assert_eq!(object.witness.as_ref().unwrap().checked(), NOW + 9);
    }

    #[test]
    fn a_head_says_what_is_known_of_the_file() {
        let (temp, cache) = (Temp::new(), cache());
        let folder =
            folder(&temp, |settings| settings.expires = vec![("text/*".into(), Lifetime::Seconds(60))]);
        let shelf = shelf(&cache, &folder);
        temp.write("a.css", "one", 784_111_777);
        temp.write("later.json", "{}", NOW + 100);
        let object = kept(shelf.look(&folder.name("/a.css").unwrap(), NOW).unwrap());
        let text = String::from_utf8_lossy(object.head.wire()).into_owned();
        let etag = format!("\"{:032x}\"", xxh3_128(b"one"));
        assert_eq!(
            text,
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/css; charset=utf-8\r\n\
                 Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: {etag}\r\nAccept-Ranges: bytes\r\n\
                 Cache-Control: max-age=60\r\n"
            )
        );
        assert!(object.head.desk.is_none() && object.made.is_empty());
        let later = kept(shelf.look(&folder.name("/later.json").unwrap(), NOW).unwrap());
        let now = crate::http::date::format(NOW);
        assert_eq!(later.head.first("last-modified"), Some(&now[..]), "never later than the answer");
        assert_eq!(later.head.first("cache-control"), None);
    }

    #[test]
    fn an_entity_tag_is_that_of_the_bytes_whenever_they_were_written() {
        let (temp, cache) = (Temp::new(), cache());
        let folder = folder(&temp, |_| {});
        let shelf = shelf(&cache, &folder);
        let mut tags = Vec::new();
        for modified in [NOW - 100, NOW - 50] {
            temp.write("a.css", "one", modified);
            let object = kept(shelf.look(&folder.name("/a.css").unwrap(), modified).unwrap());
            tags.push(object.head.first("etag").unwrap().to_vec());
        }
        assert_eq!(tags[0], tags[1]);
    }

    #[test]
    fn siblings_are_forms_of_the_file_with_entity_tags_of_their_own() {
        let (temp, cache) = (Temp::new(), cache());
        let folder = folder(&temp, |_| {});
        let shelf = shelf(&cache, &folder);
        for (name, text) in [("a.js", "plain"), ("a.js.br", "brotli"), ("a.js.gz", "gzip")] {
            temp.write(name, text, NOW - 100);
        }
        let object = kept(shelf.look(&folder.name("/a.js").unwrap(), NOW).unwrap());
        assert_eq!(object.head.first("vary"), Some(&b"Accept-Encoding"[..]));
        let forms: Vec<_> = object.made.iter().map(|(form, made)| (form, body(made))).collect();
        assert_eq!(forms, [(Some(Coding::Br), "brotli".into()), (Some(Coding::Gzip), "gzip".into())]);
        for (form, made) in object.made.iter() {
            assert_eq!(made.head.first("content-encoding"), form.map(|form| form.token().as_bytes()));
            assert_eq!(made.head.length, Some(made.body.len()));
            assert_eq!(made.head.first("vary"), Some(&b"Accept-Encoding"[..]));
            assert_ne!(made.head.first("etag"), object.head.first("etag"));
        }
        // One that comes later is noticed.
        temp.write("a.js.zst", "zstd", NOW - 100);
        let name = folder.name("/a.js").unwrap();
        assert!(shelf.find(&name, NOW + 1).is_none());
        assert_eq!(kept(shelf.look(&name, NOW + 1).unwrap()).made.iter().count(), 3);
    }

    #[test]
    fn what_is_worth_compressing_has_a_desk_and_says_that_it_varies() {
        let (temp, cache) = (Temp::new(), cache());
        let folder = folder(&temp, |_| {});
        let compress = compress::Settings::default();
        let shelf = Shelf { compress: Some(&compress), ..shelf(&cache, &folder) };
        temp.write("a.css", &"a".repeat(2000), NOW - 100);
        temp.write("b.css", "short", NOW - 100);
        for (path, worth) in [("/a.css", true), ("/b.css", false)] {
            let object = kept(shelf.look(&folder.name(path).unwrap(), NOW).unwrap());
            assert_eq!(object.head.desk.is_some(), worth, "{path}");
            assert_eq!(object.head.first("vary").is_some(), worth, "{path}");
        }
    }

    #[test]
    fn a_large_file_is_not_kept_and_takes_the_place_of_a_small_one() {
        let (temp, cache) = (Temp::new(), cache());
        let folder = folder(&temp, |settings| settings.keep = 4);
        let shelf = shelf(&cache, &folder);
        let name = folder.name("/a.css").unwrap();
        temp.write("a.css", "four", NOW - 100);
        kept(shelf.look(&name, NOW).unwrap());
        temp.write("a.css", "fives", NOW - 100);
        assert!(
            matches!(shelf.look(&name, NOW + 1).unwrap(), Looked::File(Got::Open(opened)) if opened.length == 5)
        );
        assert_eq!(cache.ram().objects(), 0);
    }

    #[test]
    fn an_index_is_kept_under_its_folder() {
        let (temp, cache) = (Temp::new(), cache());
        let folder = folder(&temp, |_| {});
        let shelf = shelf(&cache, &folder);
        temp.write("index.html", "home", NOW - 100);
        temp.write("docs/index.html", "docs", NOW - 100);
        for (path, text) in [("/", "home"), ("/docs/", "docs")] {
            let name = folder.name(path).unwrap();
            let object = kept(shelf.look(&name, NOW).unwrap());
            assert_eq!(body(&object), text);
            assert!(Arc::ptr_eq(&shelf.find(&name, NOW + 1).unwrap(), &object));
        }
        assert!(matches!(shelf.look(&folder.name("/docs").unwrap(), NOW).unwrap(), Looked::Folder));
        assert!(shelf.find(&folder.name("/docs").unwrap(), NOW).is_none());
    }

    #[test]
    fn what_stands_in_for_what_does_not_exist_is_kept_once() {
        let (temp, cache) = (Temp::new(), cache());
        temp.write("index.html", "app", NOW - 100);
        temp.write("404.html", "gone", NOW - 100);
        let with_fallback = folder(&temp, |settings| settings.fallback = Some("/index.html".into()));
        let spa = shelf(&cache, &with_fallback);
        for number in 0..10 {
            let name = with_fallback.name(&format!("/users/{number}")).unwrap();
            assert_eq!(body(&kept(spa.look(&name, NOW).unwrap())), "app");
        }
        assert_eq!(cache.ram().objects(), 1);
        let with_page = folder(&temp, |settings| settings.not_found = Some("/404.html".into()));
        let site = Shelf { id: 8, ..shelf(&cache, &with_page) };
        for number in 0..10 {
            let looked = site.look(&with_page.name(&format!("/users/{number}")).unwrap(), NOW).unwrap();
            assert!(matches!(looked, Looked::Missing(Some(_))));
            assert_eq!(body(&kept(looked)), "gone");
        }
        assert_eq!(cache.ram().objects(), 2);
    }
}
