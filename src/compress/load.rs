//! Keeps the processor time of compression within its share: what comes on top goes out as it is.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

/// How much compression may take, and takes.
///
/// It is a bucket of processor time, kept as one number: the moment at which it is, or was, empty. As time goes on it
/// fills by itself, and nobody has to come by for that.
pub struct Load {
    start: Instant,
    cores: u64,
    /// Hundredths of a core that may be used; with 0, nothing is compressed.
    share: AtomicU64,
    /// When the bucket holds nothing, in nanoseconds after `start`: the further back, the more it holds.
    empty_at: AtomicI64,
    /// Until when it stays empty if nothing more is spent; 0 while it holds something. Only a hint, so that
    /// [`Load::is_spent`] need not read the clock as long as all is well.
    spent_until: AtomicI64,
    taken: Arc<AtomicUsize>,
}

/// A body that is compressed while a client waits has a place; dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    taken: Arc<AtomicUsize>,
}

/// Why something is not compressed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// Its share of the processor is spent.
    Cpu,
    /// As many bodies are being compressed as may be at once.
    Places,
}

/// Bodies at once for each core. An encoder holds up to 1.3 MiB (the figures stand in `encoder`), so these are some
/// 80 MiB for each core. More would not get more done: most of them wait for their origin or for their client.
const PLACES_PER_CORE: usize = 64;

/// What the bucket holds at most: what flows into it in one second, in nanoseconds.
const DEPTH: i64 = 1_000_000_000;

/// How far it is overdrawn at most: what was spent on top is forgiven, so that a burst does not turn compression off
/// for longer than this, in nanoseconds.
const DEBT: i64 = 1_000_000_000;

impl Load {
    /// A share of so many cores: a half of them until [`Load::configure`] says otherwise.
    pub fn new(cores: usize) -> Self {
        let load = Self {
            start: Instant::now(),
            cores: u64::try_from(cores.max(1)).unwrap_or(u64::MAX),
            share: AtomicU64::new(0),
            empty_at: AtomicI64::new(-DEPTH),
            spent_until: AtomicI64::new(0),
            taken: Arc::default(),
        };
        load.configure(50);
        load
    }

    /// From now on so many percent of all cores; 0 compresses nothing, and more than 100 is 100.
    pub fn configure(&self, percent: u8) {
        self.share.store(self.cores.saturating_mul(u64::from(percent.min(100))), Relaxed);
    }

    /// A place for one more body, if there is one and time to spend.
    ///
    /// # Errors
    /// [`Shed`]: why not.
    pub fn enter(&self) -> Result<Place, Shed> {
        self.enter_at(self.now(), self.places())
    }

    /// The same for a body that nobody knows the end of, such as a stream of events: a half of the places is for those,
    /// so that they cannot keep all others from being compressed.
    ///
    /// # Errors
    /// [`Shed`]: why not.
    pub fn enter_endless(&self) -> Result<Place, Shed> {
        self.enter_at(self.now(), self.places() / 2)
    }

    /// Whether [`Load::enter`] would refuse now; changes nothing. As long as there is time left, it reads three numbers
    /// and no clock.
    pub fn is_spent(&self) -> bool {
        if self.share.load(Relaxed) == 0 || self.taken.load(Relaxed) >= self.places() {
            return true;
        }
        let until = self.spent_until.load(Relaxed);
        until != 0 && self.now() <= until
    }

    /// Whether there is time to spare: at least half of what the bucket holds. What nobody waits for is done then, and
    /// leaves the rest to those who do.
    pub fn has_spare(&self) -> bool {
        self.has_spare_at(self.now())
    }

    fn has_spare_at(&self, now: i64) -> bool {
        self.share.load(Relaxed) > 0 && now - self.empty_at.load(Relaxed) >= DEPTH / 2
    }

    /// So much time was spent.
    pub fn spend(&self, time: Duration) {
        self.spend_at(self.now(), time);
    }

    fn enter_at(&self, now: i64, places: usize) -> Result<Place, Shed> {
        if self.share.load(Relaxed) == 0 || now <= self.empty_at.load(Relaxed) {
            return Err(Shed::Cpu);
        }
        let place = self.taken.fetch_update(Relaxed, Relaxed, |taken| (taken < places).then_some(taken + 1));
        place.map_err(|_| Shed::Places)?;
        Ok(Place { taken: Arc::clone(&self.taken) })
    }

    fn spend_at(&self, now: i64, time: Duration) {
        let share = self.share.load(Relaxed);
        if share == 0 {
            return;
        }
        // How long it takes until as much has flowed in again.
        let again = (time.as_nanos() * 100).div_ceil(u128::from(share));
        let again = i64::try_from(again).unwrap_or(i64::MAX).min(DEPTH + DEBT);
        let after = |empty_at: i64| (empty_at.max(now - DEPTH) + again).min(now + DEBT);
        let updated = self.empty_at.fetch_update(Relaxed, Relaxed, |empty_at| Some(after(empty_at)));
        let empty_at = updated.map_or(now, after);
        self.spent_until.store(if empty_at >= now { empty_at.max(1) } else { 0 }, Relaxed);
    }

    fn places(&self) -> usize {
        usize::try_from(self.cores).unwrap_or(usize::MAX).saturating_mul(PLACES_PER_CORE)
    }

    /// Nanoseconds since the start; they last for 292 years.
    fn now(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX / 2)
    }
}

/// Measures processor time of the present thread: what it waits for others is not compression's doing.
pub struct Stopwatch(Timespec);

impl Stopwatch {
    /// From now on.
    pub fn start() -> Self {
        Self(clock_gettime(ClockId::ThreadCPUTime))
    }

    /// So much since then; only on the same thread does that mean anything.
    pub fn elapsed(&self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let nanos =
            (now.tv_sec - self.0.tv_sec).saturating_mul(1_000_000_000) + (now.tv_nsec - self.0.tv_nsec);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000_000;

    fn load(cores: usize, percent: u8) -> Load {
        let load = Load::new(cores);
        load.configure(percent);
        load
    }

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_second_of_its_share_is_there_at_the_beginning_and_no_more() {
        let load = load(4, 50);
        load.spend_at(0, milliseconds(1999));
        assert!(load.enter_at(0, load.places()).is_ok());
        load.spend_at(0, milliseconds(1));
        assert_eq!(load.enter_at(0, load.places()).unwrap_err(), Shed::Cpu);
        assert!(load.enter_at(1, load.places()).is_ok());
        // A long rest holds no more than that second either.
        load.spend_at(1000 * SECOND, milliseconds(2000));
        assert_eq!(load.enter_at(1000 * SECOND, load.places()).unwrap_err(), Shed::Cpu);
    }

    #[test]
    fn what_is_overdrawn_flows_in_again_at_the_rate_of_the_share() {
        let load = load(2, 25); // half a core
        load.spend_at(0, milliseconds(750));
        assert_eq!(load.enter_at(SECOND / 2, load.places()).unwrap_err(), Shed::Cpu);
        assert!(load.enter_at(SECOND / 2 + 1, load.places()).is_ok());
    }

    #[test]
    fn nobody_is_in_debt_for_longer_than_a_second() {
        let load = load(1, 1);
        load.spend_at(0, Duration::MAX);
        load.spend_at(0, Duration::MAX);
        assert_eq!(load.enter_at(SECOND, load.places()).unwrap_err(), Shed::Cpu);
        assert!(load.enter_at(SECOND + 1, load.places()).is_ok());
    }

    #[test]
    fn nothing_is_compressed_with_a_share_of_nothing() {
        let load = load(8, 0);
        assert!(load.is_spent());
        assert_eq!(load.enter().unwrap_err(), Shed::Cpu);
        load.spend(milliseconds(1));
        load.configure(1);
        assert!(!load.is_spent());
        assert!(load.enter().is_ok());
    }

    #[test]
    fn all_cores_are_the_most_there_is() {
        let (all, more) = (load(3, 100), load(3, 255));
        for load in [all, more] {
            load.spend_at(0, milliseconds(2999));
            assert!(load.enter_at(0, load.places()).is_ok());
            load.spend_at(0, milliseconds(1));
            assert!(load.enter_at(0, load.places()).is_err());
        }
    }

    #[test]
    fn what_nobody_waits_for_leaves_half_of_the_time_to_others() {
        let load = Load::new(1);
        load.configure(100);
        assert!(load.has_spare_at(0));
        load.spend_at(0, Duration::from_millis(600));
        assert!(!load.has_spare_at(0) && load.enter_at(0, load.places()).is_ok());
        assert!(load.has_spare_at(SECOND / 10));
        load.configure(0);
        assert!(!load.has_spare_at(SECOND));
    }

    #[test]
    fn a_stopwatch_counts_what_its_thread_works() {
        let watch = Stopwatch::start();
        let mut sum = 0u64;
        while watch.elapsed() < Duration::from_millis(1) {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        assert!(watch.elapsed() >= Duration::from_millis(1), "{sum}");
    }

    #[test]
    fn bodies_without_an_end_take_no_more_than_half_of_the_places() {
        let load = Load::new(1);
        let endless: Vec<_> = (0..PLACES_PER_CORE / 2).map(|_| load.enter_endless().unwrap()).collect();
        assert_eq!(load.enter_endless().unwrap_err(), Shed::Places);
        assert!(load.enter().is_ok() && !load.is_spent());
        drop(endless);
        assert!(load.enter_endless().is_ok());
    }

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let load = load(1, 100);
        let mut places: Vec<Place> =
            (0..PLACES_PER_CORE).map(|_| load.enter_at(0, load.places()).unwrap()).collect();
        assert_eq!(load.enter_at(0, load.places()).unwrap_err(), Shed::Places);
        assert!(load.is_spent());
        places.pop();
        assert!(!load.is_spent());
        places.push(load.enter_at(0, load.places()).unwrap());
        assert_eq!(load.enter_at(0, load.places()).unwrap_err(), Shed::Places);
        drop(places);
        assert_eq!(load.taken.load(Relaxed), 0);
    }

    #[test]
    fn being_spent_ends_by_itself() {
        let load = load(1, 100);
        assert!(!load.is_spent());
        load.spend_at(load.now() + 1000 * SECOND, milliseconds(1000));
        assert!(load.is_spent());
        // The moment until which it is spent has passed, and nobody has called anything but `is_spent`.
        load.spent_until.store(load.now().max(1), Relaxed);
        while load.now() <= load.spent_until.load(Relaxed) {}
        assert!(!load.is_spent());
    }

    #[test]
    fn places_come_and_go_from_many_threads() {
        let load = load(1, 100);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..2000).for_each(|_| drop(load.enter())));
            }
        });
        assert_eq!(load.taken.load(Relaxed), 0);
    }

    proptest! {
        #[test]
        fn over_any_stretch_no_more_is_let_in_than_its_share_and_a_burst(
            cores in 1..9usize, percent in 20..101u8, steps in proptest::collection::vec((0..200u64, 0..100u64), 1..200)
        ) {
            let load = load(cores, percent);
            let (mut now, mut spent) = (0i64, 0u64);
            for (wait, work) in steps {
                now += i64::try_from(wait).unwrap() * 1_000_000;
                if load.enter_at(now, load.places()).is_ok() {
                    load.spend_at(now, milliseconds(work));
                    spent += work;
                }
                let hint = load.spent_until.load(Relaxed);
                prop_assert_eq!(hint != 0 && now <= hint, load.enter_at(now, load.places()).is_err());
            }
            let rate = cores as f64 * f64::from(percent) / 100.0;
            // The last one that was let in may overdraw it.
            let allowed = rate * (now as f64 / 1e6 + 1000.0) + 100.0;
            prop_assert!(spent as f64 <= allowed, "{spent} of {allowed}");
        }
    }
}
