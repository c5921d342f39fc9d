//! A response on its way in: one fetch writes it, any number of clients read along while the origin is sending.
//!
//! A fill belongs to no client: readers come and go, and only the origin's own pace moves it. What is kept never
//! waits for a slow reader. A body that turns out too large to keep becomes a *window*: it is not stored, the
//! writer waits for its slowest reader, and with no reader left it stops.

use crate::cache::object::{Body, Object, StoredHead, Variant};
use crate::cache::store::reservation::Reservation;
use crate::verdict::{Key, NotStored, StaleWhy};
use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, watch};

/// How far a window's writer may run ahead of its slowest reader.
const WINDOW: u64 = 1024 * 1024;
/// Chunks smaller than this are gathered, so that an origin's one-byte chunks cost no more than one byte each.
const GATHER: usize = 16 * 1024;
/// Most readers of one fill; more than the connections a node of this size can hold.
const MAX_READERS: usize = 65_536;

/// What has been decided about the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No head yet.
    Pending,
    /// It may be stored: everybody may read along.
    Storing,
    /// The origin confirmed the stored response; see [`Fill::resolved`].
    Revalidated,
    /// It may not be stored: the one who asked first gets it, the others ask for themselves.
    NotStored(NotStored),
    /// There is no response to share.
    Failed(Failure),
}

/// Why a fetch gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Status that a client gets who cannot be served stale.
    pub status: u16,
    /// The reason with which a stale response may be served instead.
    pub why: StaleWhy,
    /// Whether any other request would have failed the same way: nothing of this one had reached the origin.
    pub shared: bool,
}

/// Whether more bytes will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More may come.
    Open,
    /// The body is complete.
    Complete,
    /// The origin or the fetch broke off: an error to every reader, never a short success.
    Aborted,
}

/// How far a fill has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What was decided.
    pub verdict: Verdict,
    /// Bytes of body received.
    pub len: u64,
    /// Whether more will come.
    pub end: End,
    /// Whether it has grown too large to keep: early bytes go once every reader has them.
    pub window: bool,
}

/// One fetch in flight and the response it brings.
pub struct Fill {
    /// What is being fetched.
    pub key: Key,
    /// Whether the request carried credentials; such fetches are shared among themselves only.
    pub with_credentials: bool,
    /// The selecting fields of the request, under the Vary known when the fetch began.
    pub guess: Option<Variant>,
    /// The stored response that is being revalidated.
    pub stale: Option<Arc<Object>>,
    limit: OnceLock<u64>,
    doomed: AtomicBool,
    head: OnceLock<StoredHead>,
    resolved: OnceLock<Arc<Object>>,
    lost: OnceLock<NotStored>,
    bytes: RwLock<Kept>,
    /// What pays for the bytes of a body that is read to its end and not stored.
    held: Mutex<Option<Reservation<Object>>>,
    readers: Mutex<Vec<Arc<AtomicU64>>>,
    room: Notify,
    /// A reader has left.
    left: Notify,
    progress: watch::Sender<Progress>,
}

/// The bytes at hand.
#[derive(Default)]
struct Kept {
    chunks: VecDeque<(u64, Bytes)>,
    tail: BytesMut,
    len: u64,
}

impl Kept {
    fn push(&mut self, data: Bytes) {
        let small = data.len() < GATHER;
        if !self.tail.is_empty() && (!small || self.tail.len() + data.len() > GATHER) {
            self.seal();
        }
        if small {
            self.tail.extend_from_slice(&data);
            self.len += data.len() as u64;
        } else {
            self.chunks.push_back((self.len, data.clone()));
            self.len += data.len() as u64;
        }
    }

    fn seal(&mut self) {
        let tail = self.tail.split().freeze();
        self.chunks.push_back((self.len - tail.len() as u64, tail));
    }

    fn read(&self, at: u64) -> Option<Bytes> {
        let tail_at = self.len - self.tail.len() as u64;
        if at >= self.len {
            return None;
        }
        if at >= tail_at {
            return Some(Bytes::copy_from_slice(&self.tail[(at - tail_at) as usize..]));
        }
        let after = self.chunks.partition_point(|(start, _)| *start <= at);
        let (start, chunk) = self.chunks.get(after.checked_sub(1)?)?;
        let from = (at - start) as usize;
        (from < chunk.len()).then(|| chunk.slice(from..))
    }

    fn drop_before(&mut self, at: u64) {
        while self.chunks.front().is_some_and(|(start, chunk)| start + chunk.len() as u64 <= at) {
            self.chunks.pop_front();
        }
    }
}

impl Fill {
    /// A fetch that has just been elected.
    pub fn new(
        key: Key,
        with_credentials: bool,
        guess: Option<Variant>,
        stale: Option<Arc<Object>>,
    ) -> Arc<Self> {
        let start = Progress { verdict: Verdict::Pending, len: 0, end: End::Open, window: false };
        Arc::new(Self {
            key,
            with_credentials,
            guess,
            stale,
            limit: OnceLock::new(),
            doomed: AtomicBool::new(false),
            head: OnceLock::new(),
            resolved: OnceLock::new(),
            lost: OnceLock::new(),
            bytes: RwLock::default(),
            held: Mutex::default(),
            readers: Mutex::default(),
            room: Notify::new(),
            left: Notify::new(),
            progress: watch::channel(start).0,
        })
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Keeps no more than so many bytes of body. Only the first word counts, and only before [`Fill::start`].
    pub fn limit_to(&self, bytes: u64) -> bool {
        self.head.get().is_none() && self.limit.set(bytes).is_ok()
    }

    /// How many bytes of body may be kept, where that was limited.
    pub fn limit(&self) -> Option<u64> {
        self.limit.get().copied()
    }

    /// The head, once the verdict is [`Verdict::Storing`].
    pub fn head(&self) -> Option<&StoredHead> {
        self.head.get()
    }

    /// The finished or confirmed object.
    pub fn resolved(&self) -> Option<&Arc<Object>> {
        self.resolved.get()
    }

    /// Why the response was not kept although it might have been, once that is known.
    pub fn lost(&self) -> Option<NotStored> {
        self.lost.get().copied()
    }

    /// The response is not kept after all.
    pub fn lose(&self, why: NotStored) {
        let _ = self.lost.set(why);
    }

    /// A purge came by: what this fill brings must not be stored.
    pub fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }

    /// Whether a purge came by.
    pub fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Acquire)
    }

    /// Whether it has grown too large to keep.
    pub fn is_window(&self) -> bool {
        self.progress.borrow().window
    }

    /// Says what is to become of the response; only the first word counts.
    pub fn decide(&self, verdict: Verdict) -> bool {
        self.progress.send_if_modified(|p| {
            let first = p.verdict == Verdict::Pending;
            if first {
                p.verdict = verdict;
                if verdict != Verdict::Storing {
                    p.end = End::Complete;
                }
            }
            first
        })
    }

    /// The response may be stored and has this head.
    pub fn start(&self, head: StoredHead) -> bool {
        self.head.set(head).is_ok() && self.decide(Verdict::Storing)
    }

    /// The origin confirmed the stored response, which is now `object`.
    pub fn confirm(&self, object: Arc<Object>) -> bool {
        self.resolved.set(object).is_ok() && self.decide(Verdict::Revalidated)
    }

    /// The fetch is over, however it went: nobody may be left waiting.
    pub fn abandon(&self, failure: Failure) {
        self.decide(Verdict::Failed(failure));
        self.progress.send_if_modified(|p| {
            let open = p.end == End::Open;
            if open {
                p.end = End::Aborted;
            }
            open
        });
    }

    /// Joins as a reader from the first byte on. `None`: too many read already, or the first bytes are gone.
    pub fn read(self: &Arc<Self>) -> Option<FillReader> {
        let mut readers = self.readers.lock();
        // A window may have let its first bytes go.
        if readers.len() >= MAX_READERS || self.is_window() {
            return None;
        }
        let place = Arc::new(AtomicU64::new(0));
        readers.push(place.clone());
        drop(readers);
        Some(FillReader { rx: self.progress.subscribe(), fill: self.clone(), place, at: 0, end: u64::MAX })
    }

    /// Ready as soon as nobody reads what is still coming in.
    pub async fn orphaned(&self) {
        let mut progress = self.progress.subscribe();
        loop {
            let left = self.left.notified();
            let Progress { verdict, end, .. } = *progress.borrow_and_update();
            if end != End::Open || !matches!(verdict, Verdict::Pending | Verdict::Storing) {
                // It is over, or goes to the one who asked and stops with that one.
                return std::future::pending().await;
            }
            if self.readers.lock().is_empty() {
                return;
            }
            tokio::select! {
                () = left => {}
                // The verdict, not every chunk: that would wake this for nothing.
                _ = progress.wait_for(|p| p.verdict != verdict || p.end != End::Open) => {}
            }
        }
    }

    /// Whether anybody reads it.
    pub fn is_read(&self) -> bool {
        !self.readers.lock().is_empty()
    }

    fn slowest(&self) -> Option<u64> {
        self.readers.lock().iter().map(|place| place.load(Ordering::Acquire)).min()
    }

    fn chunk(&self, at: u64) -> Option<Bytes> {
        // A finished body is read from the object, so that a slow reader does not keep a second copy alive.
        if let Some(object) = self.resolved.get() {
            return object.body.slice(at, u64::MAX);
        }
        let kept = self.bytes.read();
        match kept.read(at) {
            None => self.resolved.get().and_then(|object| object.body.slice(at, u64::MAX)),
            chunk => chunk,
        }
    }
}

/// Why a fill's writer must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Too large to keep, and nobody reads it any more.
    Unread,
}

/// The writing end of a fill; dropping it unfinished aborts the fill.
pub struct FillWriter {
    fill: Arc<Fill>,
    budget: Option<Reservation<Object>>,
    max: u64,
    finished: bool,
}

impl FillWriter {
    /// A writer that keeps at most `max` bytes, charged to `budget`.
    pub fn new(fill: Arc<Fill>, budget: Reservation<Object>, max: u64) -> Self {
        Self { fill, budget: Some(budget), max, finished: false }
    }

    /// Adds what the origin sent. Waits only if the body has become a window.
    ///
    /// # Errors
    /// [`Stop`] if going on would serve nobody.
    pub async fn write(&mut self, data: Bytes) -> Result<(), Stop> {
        if data.is_empty() {
            return Ok(());
        }
        let size = data.len() as u64;
        if !self.keep(size) {
            self.wait_for_room(size).await?;
        }
        let len = {
            let mut kept = self.fill.bytes.write();
            kept.push(data);
            kept.len
        };
        self.fill.progress.send_modify(|p| p.len = len);
        Ok(())
    }

    /// Whether the bytes may be kept; once not, never again.
    fn keep(&mut self, size: u64) -> bool {
        let Some(budget) = self.budget.as_mut() else { return false };
        let len = self.fill.bytes.read().len;
        if len + size <= self.max && budget.grow(size) {
            return true;
        }
        self.budget = None;
        self.fill.progress.send_modify(|p| p.window = true);
        false
    }

    async fn wait_for_room(&self, size: u64) -> Result<(), Stop> {
        loop {
            let wake = self.fill.room.notified();
            let slowest = self.fill.slowest().ok_or(Stop::Unread)?;
            let len = {
                let mut kept = self.fill.bytes.write();
                kept.drop_before(slowest);
                kept.len
            };
            if len + size <= slowest + WINDOW.max(size) {
                return Ok(());
            }
            wake.await;
        }
    }

    /// The origin has sent everything. Gives the object to store with the bytes already charged for it, or why
    /// it must not be stored. Nobody is told before [`FillWriter::complete`].
    ///
    /// # Errors
    /// [`NotStored`] for a body that is short, too large, or purged while it came in.
    pub fn seal(&mut self) -> Result<(Arc<Object>, Reservation<Object>), NotStored> {
        let Some(head) = self.fill.head.get() else { return Err(NotStored::Incomplete) };
        let mut kept = self.fill.bytes.write();
        if head.length.is_some_and(|length| length != kept.len) {
            return Err(NotStored::Incomplete);
        }
        let Some(budget) = self.budget.take() else { return Err(NotStored::TooLarge) };
        if !kept.tail.is_empty() {
            kept.seal();
        }
        let chunks: Vec<Bytes> = kept.chunks.iter().map(|(_, chunk)| chunk.clone()).collect();
        let body = Body::pack(&chunks);
        let head = head.with_length(body.len());
        let object = Arc::new(Object::new(self.fill.key.clone(), head, body));
        if self.fill.resolved.set(object.clone()).is_ok() {
            kept.chunks.clear();
        }
        Ok((object, budget))
    }

    /// Tells every reader that the body is complete.
    pub fn complete(mut self) {
        self.finished = true;
        *self.fill.held.lock() = self.budget.take();
        self.fill.progress.send_modify(|p| p.end = End::Complete);
    }
}

impl Drop for FillWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody reads on what is too large to keep: that is why, and not the origin.
            let large = self.fill.is_window();
            self.fill.lose(if large { NotStored::TooLarge } else { NotStored::Incomplete });
            self.fill.progress.send_modify(|p| p.end = End::Aborted);
        }
    }
}

/// What a reader gets next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// More bytes.
    Data(Bytes),
    /// All that was asked for has been read.
    End,
    /// The body will never be complete.
    Aborted,
}

/// A client's place in a fill.
pub struct FillReader {
    fill: Arc<Fill>,
    rx: watch::Receiver<Progress>,
    place: Arc<AtomicU64>,
    at: u64,
    end: u64,
}

impl FillReader {
    /// The fill it reads.
    pub fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// Waits until it is decided what becomes of the response. Cancel-safe.
    pub async fn verdict(&mut self) -> Verdict {
        match self.rx.wait_for(|p| p.verdict != Verdict::Pending).await {
            Ok(progress) => progress.verdict,
            Err(_) => {
                Verdict::Failed(Failure { status: 502, why: StaleWhy::OriginUnreachable, shared: false })
            }
        }
    }

    /// Waits until `len` bytes are there, no more will come, or early bytes are about to go. Cancel-safe.
    pub async fn reached(&mut self, len: u64) -> Progress {
        match self.rx.wait_for(|p| p.len >= len || p.end != End::Open || p.window).await {
            Ok(progress) => *progress,
            Err(_) => self.fill.progress(),
        }
    }

    /// Reads `start..end` from now on.
    pub fn seek(&mut self, start: u64, end: u64) {
        self.at = start;
        self.end = end;
        self.place.store(start, Ordering::Release);
        self.fill.room.notify_one();
    }

    /// The next bytes, as soon as there are any. Cancel-safe: the place moves only when bytes are handed out.
    pub async fn next(&mut self) -> Piece {
        loop {
            let progress = *self.rx.borrow_and_update();
            if self.at >= self.end {
                return Piece::End;
            }
            if let Some(mut data) = self.fill.chunk(self.at) {
                data.truncate((self.end - self.at).min(data.len() as u64) as usize);
                self.at += data.len() as u64;
                self.place.store(self.at, Ordering::Release);
                self.fill.room.notify_one();
                return Piece::Data(data);
            }
            match progress.end {
                // A window let these bytes go: whoever asks for them now came too late.
                _ if self.at < progress.len && self.fill.resolved().is_none() => return Piece::Aborted,
                End::Complete => return Piece::End,
                End::Aborted => return Piece::Aborted,
                End::Open if self.rx.changed().await.is_err() => return Piece::Aborted,
                End::Open => {}
            }
        }
    }
}

impl Drop for FillReader {
    fn drop(&mut self) {
        self.fill.readers.lock().retain(|place| !Arc::ptr_eq(place, &self.place));
        self.fill.room.notify_one();
        self.fill.left.notify_one();
    }
}
