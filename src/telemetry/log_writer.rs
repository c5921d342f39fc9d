//! Carries lines to a file or pipe on a thread of its own: a slow one costs lines, which are counted, never a request.

use parking_lot::{Condvar, Mutex};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that may wait. At 50,000 requests a second this bridges about half a second of a disk that stands still.
pub(super) const CAPACITY: usize = 8 << 20;

/// The thread writes when this much has come together, or the first line has waited for [`LINGER`]: waking it for
/// each line would cost a system call per request.
const BATCH: usize = 64 << 10;
const LINGER: Duration = Duration::from_millis(50);

/// How long the end waits for lines that are not yet written.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long to wait before asking again, where standard output was made non-blocking by whoever shares it.
const WOULD_BLOCK: Duration = Duration::from_millis(10);

/// The thread that writes, and the bounded buffer before it.
pub(super) struct LogWriter(Arc<Shared>);

impl LogWriter {
    /// Starts the thread; at most `capacity` bytes wait for it.
    pub(super) fn start(file: File, capacity: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(capacity));
        let output = Output { shared: shared.clone(), file, torn: false, failing: false };
        thread::Builder::new().name("access-log".into()).spawn(move || output.run())?;
        Ok(Self(shared))
    }

    /// Hands over a line that ends with a newline. Never waits for the file; drops the line if there is no room.
    pub(super) fn push(&self, line: &[u8]) {
        let mut queue = self.0.queue.lock();
        let before = queue.lines.len();
        if queue.closing || before + line.len() > self.0.capacity {
            drop(queue);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.lines.extend_from_slice(line);
        let after = queue.lines.len();
        drop(queue);
        if before == 0 || (before < BATCH && after >= BATCH) {
            self.0.arrived.notify_one();
        }
    }

    /// Every line pushed from now on goes to `file`.
    pub(super) fn switch(&self, file: File) {
        self.0.queue.lock().next = Some(file);
        self.0.arrived.notify_one();
    }

    /// Lines that were lost, to a full buffer or to an error.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits and ends the thread; gives up after [`FAREWELL`] on a file that takes nothing.
    pub(super) fn close(&self) {
        let deadline = Instant::now() + FAREWELL;
        let mut queue = self.0.queue.lock();
        queue.closing = true;
        self.0.arrived.notify_one();
        let writing = |queue: &mut Queue| !queue.ended;
        let waited = self.0.ended.wait_while_for(&mut queue, writing, deadline - Instant::now());
        if waited.timed_out() {
            log::warn!("access log: its reader takes nothing; the last lines were given up");
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.close();
    }
}

/// What pushers and the thread share.
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    ended: Condvar,
    dropped: AtomicU64,
    capacity: usize,
}

/// What waits for the thread.
#[derive(Default)]
struct Queue {
    lines: Vec<u8>,
    next: Option<File>,
    closing: bool,
    ended: bool,
}

impl Shared {
    fn new(capacity: usize) -> Self {
        Self {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            ended: Condvar::new(),
            dropped: AtomicU64::new(0),
            capacity,
        }
    }

    /// Waits for lines and swaps them into `batch`, which is empty; hands out the next file, and whether to go on.
    fn take(&self, batch: &mut Vec<u8>) -> (Option<File>, bool) {
        let mut queue = self.queue.lock();
        let idle = |queue: &mut Queue| queue.lines.is_empty() && queue.next.is_none() && !queue.closing;
        self.arrived.wait_while(&mut queue, idle);
        let few = |queue: &mut Queue| queue.lines.len() < BATCH && queue.next.is_none() && !queue.closing;
        self.arrived.wait_while_for(&mut queue, few, LINGER);
        std::mem::swap(&mut queue.lines, batch);
        (queue.next.take(), !queue.closing)
    }
}

/// The thread's side: the file, and what is known of it.
struct Output {
    shared: Arc<Shared>,
    file: File,
    /// The last write ended inside a line.
    torn: bool,
    /// The last batch could not be written, and that has been said.
    failing: bool,
}

impl Output {
    fn run(mut self) {
        let mut batch = Vec::new();
        let mut go_on = true;
        while go_on {
            let (next, more) = self.shared.take(&mut batch);
            if let Some(file) = next {
                (self.file, self.torn) = (file, false);
            }
            self.write(&batch);
            batch.clear();
            go_on = more;
        }
        self.shared.queue.lock().ended = true;
        self.shared.ended.notify_all();
    }

    /// Writes a batch of whole lines, after closing a line that an error tore. What fails is counted as lost.
    fn write(&mut self, batch: &[u8]) {
        let mut written = 0;
        let result = self.mend().and_then(|()| write_all(&mut self.file, batch, &mut written));
        let lost = &batch[written..];
        self.torn |= written > 0 && batch[written - 1] != b'\n';
        let lines = lost.iter().filter(|byte| **byte == b'\n').count();
        self.shared.dropped.fetch_add(lines as u64, Ordering::Relaxed);
        match result {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                log::error!("access log: {error}; lines are being lost");
            }
            Err(_) => {}
        }
    }

    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            write_all(&mut self.file, b"\n", &mut 0)?;
            self.torn = false;
        }
        Ok(())
    }
}

/// As `Write::write_all`, but tells how far it came, and waits out a file that would block.
fn write_all(file: &mut impl Write, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < bytes.len() {
        match file.write(&bytes[*written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(WOULD_BLOCK),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
