//! Forgetting on demand: by URL or by tag, every variant, at once.
//!
//! Fetches go first, stored responses after them: a fetch that ends in between stores its object and then sees that it
//! is doomed. So nothing that was asked for before a purge is there after it, and nothing asked for later is lost.

use super::Cache;
use super::key::is_of_url;
use super::marks::Mark;
use super::store::fill::Fill;
use crate::verdict::Key;

/// Seconds for which a later miss still says `purged`.
const REMEMBER: u64 = 3600;

/// Keys of one purge by scan for which a later miss says so. It is a word in a log: not worth a note for every one of a
/// million objects.
const MOST_NOTED: usize = 1_024;

impl Cache {
    /// Forgets every variant of a resource, stored or on its way in. Gives the number of stored responses and
    /// fetches it took away.
    pub fn purge(&self, key: &Key, now: u64) -> usize {
        // Fetches first: one that ends in between stores its object and then sees that it is doomed.
        let fetches = self.flights.doom(key);
        let objects = self.ram.remove(key.hash, |o| o.key == *key);
        for with_credentials in [false, true] {
            let known = self.marks.find(key, with_credentials, now);
            if fetches + objects > 0 {
                self.marks.set(key, with_credentials, Mark::Purged, now, now + REMEMBER);
            } else if known != Some(Mark::Purged) {
                self.marks.clear(key, with_credentials);
            }
        }
        fetches + objects
    }

    /// Forgets everything of these URLs, which are keys from [`super::key::Recipe::url`]: several where rules leave open
    /// which parameters count. `extras` says whether keys may have header fields or cookies beside their URL: then all
    /// of the store is looked through, else each URL is found at once. Gives what [`Cache::purge`] gives.
    pub fn purge_url(&self, urls: &[Key], extras: bool, now: u64) -> usize {
        if !extras {
            return urls.iter().map(|url| self.purge(url, now)).sum();
        }
        let named = |key: &Key| urls.iter().any(|url| is_of_url(key, url));
        let mut noted = Noted::default();
        let fetches = self.flights.doom_where(|fill| named(&fill.key));
        fetches.iter().for_each(|fill| noted.add(&fill.key));
        let objects = self.ram.remove_where(|o| named(&o.key), |o| noted.add(&o.key));
        self.marks.clear_urls(urls);
        self.note(noted, now);
        fetches.len() + objects
    }

    /// Forgets everything that has this tag. A fetch that has no head yet may be about to have it: what that brings is
    /// not stored either, and not counted. Gives the number of stored responses and fetches known to have the tag.
    pub fn purge_tag(&self, tag: &str, now: u64) -> usize {
        let has_it = |fill: &Fill| fill.head().map(|head| head.ruled.has_tag(tag));
        let mut noted = Noted::default();
        let mut fetches = 0;
        for fill in self.flights.doom_where(|fill| has_it(fill).unwrap_or(true)) {
            if has_it(&fill) == Some(true) {
                fetches += 1;
                noted.add(&fill.key);
            }
        }
        let objects = self.ram.remove_where(|o| o.head.ruled.has_tag(tag), |o| noted.add(&o.key));
        self.note(noted, now);
        fetches + objects
    }

    fn note(&self, noted: Noted, now: u64) {
        for key in noted.0 {
            for with_credentials in [false, true] {
                self.marks.set(&key, with_credentials, Mark::Purged, now, now + REMEMBER);
            }
        }
    }
}

/// Keys that were purged, as far as that is worth remembering.
#[derive(Default)]
struct Noted(Vec<Key>);

impl Noted {
    fn add(&mut self, key: &Key) {
        if self.0.len() < MOST_NOTED {
            self.0.push(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::fixture::{NOW, ask, cache, complete, for_device, head, lead, store, url};
    use crate::cache::{Ask, Fetch, Found};
    use crate::verdict::{MissWhy, NotStored};
    use std::sync::Arc;

    /// What is said of a key: `hit`, why it missed, or that it is not shared.
    fn said(cache: &Cache, key: &Key) -> &'static str {
        match cache.lookup(&ask(key)) {
            Found::Hit(_) => "hit",
            Found::Miss(why, None) => why.as_str(),
            Found::HitForMiss(_) => "hit_for_miss",
            _ => "other",
        }
    }

    #[tokio::test]
    async fn a_url_is_forgotten_with_all_its_header_fields_and_no_other_url_is() {
        let cache = cache();
        let keys = [
            url(&cache, "/a"),
            for_device(&cache, "/a", "m"),
            for_device(&cache, "/a", "d"),
            url(&cache, "/a?b"),
            for_device(&cache, "/a?b", "m"),
            url(&cache, "/ab"),
        ];
        for key in &keys {
            store(&cache, key, &[], "x").await;
        }
        assert_eq!(cache.purge_url(&keys[..1], true, NOW), 3);
        let now = keys.each_ref().map(|key| said(&cache, key));
        assert_eq!(now, ["purged", "purged", "purged", "hit", "hit", "hit"]);
        assert_eq!(cache.ram().objects(), 3);
        assert_eq!(cache.purge_url(&keys[..1], true, NOW), 0, "and once is enough");
        assert_eq!(cache.purge_url(&[keys[3].clone(), keys[5].clone()], true, NOW), 3, "several at once");
        assert_eq!((cache.ram().objects(), cache.ram().bytes()), (0, 0));
    }

    #[tokio::test]
    async fn without_extras_only_the_key_itself_is_forgotten() {
        let cache = cache();
        let (plain, device) = (url(&cache, "/a"), for_device(&cache, "/a", "m"));
        store(&cache, &plain, &[], "x").await;
        store(&cache, &device, &[], "x").await;
        assert_eq!(cache.purge_url(&[plain.clone(), url(&cache, "/b")], false, NOW), 1);
        assert_eq!((said(&cache, &plain), said(&cache, &device)), ("purged", "hit"));
    }

    #[tokio::test]
    async fn a_fetch_of_a_purged_url_is_read_to_its_end_and_not_stored() {
        let cache = cache();
        let key = for_device(&cache, "/a", "m");
        let mut reader = lead(&cache, &ask(&key));
        assert_eq!(cache.purge_url(&[url(&cache, "/a")], true, NOW), 1);
        assert!(matches!(cache.fetch(&ask(&key), None), Fetch::Lead(_)), "nobody joins what is doomed");
        let fill = reader.fill().clone();
        assert!(fill.start(head(&[])));
        complete(&cache, &fill, "old").await;
        assert!(matches!(reader.next().await, crate::cache::store::fill::Piece::Data(_)));
        assert_eq!((said(&cache, &key), cache.ram().objects()), ("purged", 0));
    }

    #[test]
    fn what_could_not_be_shared_of_a_purged_url_is_asked_for_again() {
        let cache = cache();
        let keys = [for_device(&cache, "/a", "m"), url(&cache, "/a"), url(&cache, "/b")];
        for key in &keys {
            let reader = lead(&cache, &ask(key));
            cache.not_stored(reader.fill(), NotStored::Private, 200, NOW);
        }
        assert_eq!(cache.purge_url(&keys[1..2], true, NOW), 0);
        assert_eq!(keys.each_ref().map(|key| said(&cache, key)), ["absent", "absent", "hit_for_miss"]);
    }

    #[tokio::test]
    async fn a_tag_is_forgotten_wherever_it_is() {
        let cache = cache();
        let keys = ["/1", "/2", "/3", "/4"].map(|path| url(&cache, path));
        for (key, tags) in keys.iter().zip([&["news", "front"][..], &["news"], &["newsroom"], &[]]) {
            store(&cache, key, tags, "x").await;
        }
        assert_eq!(cache.purge_tag("news", NOW), 2);
        assert_eq!(keys.each_ref().map(|key| said(&cache, key)), ["purged", "purged", "hit", "hit"]);
        assert_eq!(cache.purge_tag("", NOW), 0);
        assert_eq!(cache.ram().objects(), 2);
    }

    #[tokio::test]
    async fn a_fetch_goes_with_its_tag_and_one_of_unknown_tags_too() {
        let cache = cache();
        let keys = ["/tagged", "/other", "/unknown"].map(|path| url(&cache, path));
        let readers = keys.each_ref().map(|key| lead(&cache, &ask(key)));
        readers[0].fill().start(head(&["news"]));
        readers[1].fill().start(head(&["sport"]));
        assert_eq!(cache.purge_tag("news", NOW), 1, "the unknown one is not counted");
        assert_eq!(readers.each_ref().map(|reader| reader.fill().is_doomed()), [true, false, true]);
        readers[2].fill().start(head(&["news"]));
        for reader in &readers {
            complete(&cache, reader.fill(), "x").await;
        }
        assert_eq!(keys.each_ref().map(|key| said(&cache, key)), ["purged", "hit", "absent"]);
    }

    #[tokio::test]
    async fn a_response_confirmed_after_the_purge_of_its_tag_is_not_stored_again() {
        let cache = cache();
        let key = url(&cache, "/a");
        store(&cache, &key, &["news"], "x").await;
        let late = Ask { now: NOW + 100, ..ask(&key) };
        let Found::Miss(MissWhy::Expired, Some(stale)) = cache.lookup(&late) else { panic!("not stale") };
        let Fetch::Lead(reader) = cache.fetch(&late, Some(stale.clone())) else { panic!("not led") };
        assert_eq!(cache.purge_tag("news", NOW), 1);
        cache.confirm(reader.fill(), head(&["news"]), &stale);
        assert!(reader.fill().resolved().is_some_and(|object| !Arc::ptr_eq(object, &stale)));
        assert_eq!((said(&cache, &key), cache.ram().objects()), ("purged", 0));
    }

    #[tokio::test]
    async fn a_purge_of_a_thousand_keys_takes_all_of_them() {
        let cache = cache();
        for n in 0..1_200 {
            store(&cache, &url(&cache, &format!("/{n}")), &["all"], "x").await;
        }
        let stored = cache.ram().objects();
        assert!(stored > MOST_NOTED as u64, "{stored}");
        assert_eq!(cache.purge_tag("all", NOW) as u64, stored);
        assert_eq!((cache.ram().objects(), cache.ram().bytes()), (0, 0));
    }
}
