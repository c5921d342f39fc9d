//! Keys, fetches and stored responses in a line, for the tests of the cache.

use super::key::Parts;
use super::object::{Ruled, StoredHead};
use super::policy::{Lifetime, LifetimeSource, RequestDirectives, StoredTimes};
use super::store::fill::{Fill, FillReader};
use super::{Ask, Cache, Fetch, Settings};
use crate::http::fields::Fields;
use crate::http::request::{Framing, Protocol, RequestView, Scheme};
use crate::verdict::Key;
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// When everything happens, in seconds since 1970.
pub(super) const NOW: u64 = 1_000_000;

/// A lifetime of so many seconds and nothing special.
pub(crate) fn life(seconds: u32) -> Lifetime {
    Lifetime {
        lifetime: seconds,
        initial_age: 0,
        while_revalidate: 0,
        if_error: 0,
        always_validate: false,
        must_revalidate: false,
        shareable_with_credentials: false,
        stale_if_asked: true,
        source: LifetimeSource::MaxAge,
    }
}

pub(super) fn cache() -> Cache {
    Cache::new(Settings { memory: 1 << 20, ..Settings::default() })
}

/// The key of a URL on the host `a`.
pub(super) fn url(cache: &Cache, path: &str) -> Key {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    cache.recipe().url(Scheme::Http, "a", 80, path, query, None)
}

/// The same with the value of a header field that counts.
pub(super) fn for_device(cache: &Cache, path: &str, device: &str) -> Key {
    let raw = [httparse::Header { name: "x-device", value: device.as_bytes() }];
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let view = RequestView {
        method: "GET",
        scheme: Scheme::Http,
        host: "a",
        port: 80,
        path,
        query,
        protocol: Protocol::Http11,
        fields: Fields::Raw(&raw),
        framing: Framing::None,
        upgrade: false,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let headers = [Box::from("x-device")];
    cache.recipe().of(&view, &Parts { headers: &headers, ..Parts::default() })
}

pub(super) fn ask(key: &Key) -> Ask<'_> {
    Ask {
        key,
        fields: Fields::Raw(&[]),
        directives: RequestDirectives::default(),
        with_credentials: false,
        collapse: true,
        now: NOW,
    }
}

/// A head that is fresh for a minute, with these tags.
pub(super) fn head(tags: &[&str]) -> StoredHead {
    let tags = tags.iter().map(|&tag| Box::from(tag)).collect::<Vec<_>>();
    let ruled = Ruled { tags: (!tags.is_empty()).then(|| tags.into()), ..Ruled::default() };
    let times = StoredTimes { received_at: NOW, life: life(60) };
    StoredHead::new(200, std::iter::empty(), None, times, None, ruled)
}

/// A fetch that this request leads.
pub(super) fn lead(cache: &Cache, ask: &Ask<'_>) -> FillReader {
    match cache.fetch(ask, None) {
        Fetch::Lead(reader) => reader,
        _ => panic!("somebody else leads"),
    }
}

/// Fetches and stores what the key names.
pub(super) async fn store(cache: &Cache, key: &Key, tags: &[&str], body: &'static str) {
    let reader = lead(cache, &ask(key));
    assert!(reader.fill().start(head(tags)));
    complete(cache, reader.fill(), body).await;
}

/// Ends a fetch whose head is there.
pub(super) async fn complete(cache: &Cache, fill: &Arc<Fill>, body: &'static str) {
    let mut writer = cache.writer(fill);
    writer.write(Bytes::from_static(body.as_bytes())).await.unwrap();
    cache.finish(fill, writer, NOW);
}
