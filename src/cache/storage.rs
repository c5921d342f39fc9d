//! Lets Pingora's cache write what it fetches into a fill: the one place where its storage API is named.
//!
//! A fetch is a subrequest with caching on. It is a miss by definition (`lookup` finds nothing), its response goes
//! into the fill that travels in the cache key, and it has no reader of its own: every client, the first
//! included, reads the fill. So of Pingora's cache this uses the path from a miss to the end of the body, where a
//! slow write holds the origin back and a body that breaks off is never finished. Freshness, Vary, ranges, collapsing
//! and eviction are ours and happen elsewhere.

use super::Cache;
use super::store::fill::{Fill, FillWriter};
use async_trait::async_trait;
use bytes::Bytes;
use pingora::cache::key::CacheKey;
use pingora::cache::storage::{
    HandleHit, HandleMiss, HitHandler, MissFinishType, MissHandler, PurgeOutcome, PurgeTarget,
};
use pingora::cache::trace::SpanHandle;
use pingora::cache::{CacheMeta, PurgeType, Storage};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The storage handed to Pingora. It holds nothing: what it needs travels in the key.
pub static STORAGE: Intake = Intake;

/// See [`STORAGE`].
pub struct Intake;

/// What travels in `CacheKey::extensions` of a fetch.
#[derive(Clone)]
pub struct Destination {
    /// Where finished objects go.
    pub cache: Arc<Cache>,
    /// Where this response goes.
    pub fill: Arc<Fill>,
}

/// The key of a fetch: its name is only for Pingora's log.
pub fn key(destination: Destination) -> CacheKey {
    let mut key = CacheKey::new(destination.fill.key.bytes.to_vec(), "");
    key.extensions.insert(destination);
    key
}

/// Pingora wants a meta with every response; ours lives in the fill, so this one says nothing.
pub fn meta(header: ResponseHeader) -> CacheMeta {
    let now = SystemTime::now();
    CacheMeta::new(now + Duration::from_secs(1), now, 0, 0, header)
}

fn destination(key: &CacheKey) -> Result<&Destination> {
    match key.extensions.get::<Destination>() {
        Some(destination) => Ok(destination),
        None => Error::e_explain(ErrorType::InternalError, "a fetch without a destination"),
    }
}

#[async_trait]
impl Storage for Intake {
    async fn lookup(&'static self, _: &CacheKey, _: &SpanHandle) -> Result<Option<(CacheMeta, HitHandler)>> {
        Ok(None)
    }

    async fn lookup_streaming_write(
        &'static self,
        _: &CacheKey,
        _: Option<&[u8]>,
        _: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let header = ResponseHeader::build(200, None)?;
        Ok(Some((meta(header), Box::new(Unread))))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        _: &CacheMeta,
        _: &SpanHandle,
    ) -> Result<MissHandler> {
        let destination = destination(key)?.clone();
        let writer = destination.cache.writer(&destination.fill);
        Ok(Box::new(Incoming { destination, writer: Some(writer) }))
    }

    async fn purge(&'static self, _: PurgeTarget<'_>, _: PurgeType, _: &SpanHandle) -> Result<PurgeOutcome> {
        Ok(PurgeOutcome::NotFound)
    }

    async fn update_meta(&'static self, _: &CacheKey, _: &CacheMeta, _: &SpanHandle) -> Result<bool> {
        Ok(false)
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

/// The reader that Pingora insists on: a fetch has none, so its body is empty.
struct Unread;

#[async_trait]
impl HandleHit for Unread {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        Ok(None)
    }

    async fn finish(
        self: Box<Self>,
        _: &'static (dyn Storage + Sync),
        _: &CacheKey,
        _: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

/// A body on its way into the fill. Dropped unfinished, it aborts the fill.
struct Incoming {
    destination: Destination,
    writer: Option<FillWriter>,
}

#[async_trait]
impl HandleMiss for Incoming {
    async fn write_body(&mut self, data: Bytes, _end: bool) -> Result<()> {
        let Some(writer) = self.writer.as_mut() else { return Ok(()) };
        match writer.write(data).await {
            Ok(()) => Ok(()),
            Err(_) => Error::e_explain(ErrorType::ConnectionClosed, "too large to keep, and nobody reads it"),
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<MissFinishType> {
        if let Some(writer) = self.writer.take() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            self.destination.cache.finish(&self.destination.fill, writer, now);
        }
        Ok(MissFinishType::Created(0))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(b"fill")
    }
}
