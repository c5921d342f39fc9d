//! Makes in the background what is stored: few threads, behind everything else, and a short queue.

use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::Builder;

/// Threads that compress for the store. Dropping it ends them after what each is at; what is still in the queue is
/// not done.
pub struct Pool {
    most: usize,
    started: Mutex<usize>,
    sender: SyncSender<Job>,
    shared: Arc<Shared>,
}

/// The queue is full: whoever wants it will ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Jobs that wait. A job is a body in memory, and one that waits for long is asked for again anyway.
const QUEUE: usize = 64;

/// How far behind the rest of the process these threads stand: a core that is wanted by both goes to them for about a
/// tenth of the time, and one that is idle wholly.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// What the threads know of the pool.
struct Shared {
    queue: Mutex<Receiver<Job>>,
    /// Threads that wait for a job, and jobs that none of them has taken up yet.
    idle: AtomicUsize,
    queued: AtomicUsize,
    closed: AtomicBool,
}

impl Pool {
    /// So many threads, at least one, started when they are needed first, each at the lowest priority that still moves.
    pub fn new(threads: usize) -> Self {
        let (sender, receiver) = sync_channel(QUEUE);
        let shared = Shared {
            queue: Mutex::new(receiver),
            idle: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        };
        Self { most: threads.max(1), started: Mutex::new(0), sender, shared: Arc::new(shared) }
    }

    /// Has it done, some time. Never waits.
    ///
    /// # Errors
    /// [`Full`]; also if there is no thread and none can be started.
    pub fn submit(&self, job: Job) -> Result<(), Full> {
        self.shared.queued.fetch_add(1, Ordering::SeqCst);
        let sent = if self.is_staffed() { self.sender.try_send(job) } else { Err(TrySendError::Full(job)) };
        sent.map_err(|_| {
            self.shared.queued.fetch_sub(1, Ordering::SeqCst);
            Full
        })
    }

    /// Whether there is a thread that will come to a job; starts one more if all that there are have work.
    fn is_staffed(&self) -> bool {
        let mut started = self.started.lock();
        let has_work = self.shared.queued.load(Ordering::SeqCst) > self.shared.idle.load(Ordering::SeqCst);
        if *started < self.most && has_work {
            let shared = Arc::clone(&self.shared);
            let spawned = Builder::new().name("foreland-encode".to_owned()).spawn(move || shared.work());
            match spawned {
                Ok(_) => *started += 1,
                Err(error) => log::warn!("a thread that compresses for the store cannot start: {error}"),
            }
        }
        *started > 0
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn work(&self) {
        step_back();
        while let Some(job) = self.next() {
            // Its panic has been told to standard error; the next job has nothing to do with it.
            drop(catch_unwind(AssertUnwindSafe(job)));
        }
    }

    /// The next job; nothing when the pool is gone.
    fn next(&self) -> Option<Job> {
        self.idle.fetch_add(1, Ordering::SeqCst);
        let job = self.queue.lock().recv().ok();
        self.idle.fetch_sub(1, Ordering::SeqCst);
        self.queued.fetch_sub(usize::from(job.is_some()), Ordering::SeqCst);
        job.filter(|_| !self.closed.load(Ordering::SeqCst))
    }
}

/// Lets everything else go first. On Linux, niceness belongs to a thread and no process named means the calling one
/// (setpriority(2), BUGS); elsewhere it would be the whole process.
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        let now = rustix::process::getpriority_process(None).unwrap_or(0);
        // Where that is forbidden, compression competes like everything else.
        let _forbidden = rustix::process::setpriority_process(None, now + NICENESS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{ThreadId, current};

    /// A job that says that it has begun and ends when it may.
    fn held(begun: &Sender<ThreadId>) -> (Job, Sender<()>) {
        let (release, wait) = channel::<()>();
        let begun = begun.clone();
        let job = move || {
            begun.send(current().id()).unwrap();
            let _ = wait.recv();
        };
        (Box::new(job), release)
    }

    #[test]
    fn what_is_submitted_is_done() {
        let pool = Pool::new(2);
        let (sender, done) = channel();
        for number in 0..50 {
            let sender = sender.clone();
            pool.submit(Box::new(move || sender.send(number).unwrap())).unwrap();
        }
        let mut numbers: Vec<i32> = done.iter().take(50).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
        assert!(*pool.started.lock() <= 2);
    }

    #[test]
    fn no_thread_is_there_before_the_first_job_and_never_too_many() {
        let pool = Pool::new(2);
        assert_eq!(*pool.started.lock(), 0);
        let (begun, began) = channel();
        let releases: Vec<_> = (0..5)
            .map(|_| {
                let (job, release) = held(&begun);
                pool.submit(job).unwrap();
                release
            })
            .collect();
        let (first, second) = (began.recv().unwrap(), began.recv().unwrap());
        assert_ne!(first, second);
        assert_eq!(*pool.started.lock(), 2);
        drop(releases);
    }

    #[test]
    fn a_full_queue_refuses_at_once() {
        let pool = Pool::new(1);
        let (begun, began) = channel();
        let (job, release) = held(&begun);
        pool.submit(job).unwrap();
        began.recv().unwrap();
        let (sender, done) = channel();
        for _ in 0..QUEUE {
            let sender = sender.clone();
            pool.submit(Box::new(move || sender.send(()).unwrap())).unwrap();
        }
        assert_eq!(pool.submit(Box::new(|| ())), Err(Full));
        drop(release);
        assert_eq!(done.iter().take(QUEUE).count(), QUEUE);
        let sender = sender.clone();
        pool.submit(Box::new(move || sender.send(()).unwrap())).unwrap();
        done.recv().unwrap();
    }

    #[test]
    fn a_job_that_panics_harms_no_other() {
        let pool = Pool::new(1);
        let (sender, done) = channel();
        for number in 0..6 {
            let sender = sender.clone();
            pool.submit(Box::new(move || {
                assert_eq!(number % 2, 1, "a test wants this panic");
                sender.send((number, current().id())).unwrap();
            }))
            .unwrap();
        }
        drop(sender);
        let numbers: Vec<_> = done.iter().take(3).collect();
        assert_eq!(numbers.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 3, 5]);
        assert!(numbers.windows(2).all(|pair| pair[0].1 == pair[1].1));
    }

    #[test]
    fn dropping_it_ends_the_threads_after_the_current_job() {
        let pool = Pool::new(1);
        let shared = Arc::downgrade(&pool.shared);
        let (begun, began) = channel();
        let (job, release) = held(&begun);
        pool.submit(job).unwrap();
        began.recv().unwrap();
        // One that waits in the queue is dropped: its end of this channel closes without a word.
        let (sender, dropped) = channel::<()>();
        pool.submit(Box::new(move || sender.send(()).unwrap())).unwrap();
        drop(pool);
        drop(release);
        assert!(dropped.recv().is_err());
        while shared.strong_count() > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn its_threads_have_a_name_and_stand_back() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let pool = Pool::new(1);
        let (sender, said) = channel();
        pool.submit(Box::new(move || sender.send((current().name().map(str::to_owned), nice())).unwrap()))
            .unwrap();
        let (name, niceness) = said.recv().unwrap();
        assert_eq!(name.as_deref(), Some("foreland-encode"));
        assert_eq!(niceness, (nice() + NICENESS).min(19));
    }
}
