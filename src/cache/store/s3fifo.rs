//! Decides which object leaves RAM first: what was asked for once goes soon, what is asked for again stays.
//!
//! S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023).
//! A newcomer enters `small`. At its end it moves to `main` if it was visited enough, else it leaves and
//! the ghost remembers it; a remembered newcomer enters `main` at once. At the end of `main` a visited
//! object goes round again for one visit less. A visit moves nothing, it only counts to three, so a hit
//! needs no write lock.
//!
//! The queues are lists linked through slot numbers: an object removed from the middle leaves nothing
//! behind, and there are never more links than there were residents at once.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::ghost::Ghost;

/// No slot: the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// Visits are counted in two bits (S3-FIFO §4.1).
const MOST_VISITS: u8 = 3;

/// Visits in small that earn a place in main: "more than once" in the paper, once in some variants. Hit ratio
/// in percent for two | one, 100,000 objects, Zipf (`hit_ratios` in `ram/tests.rs`); with a 1:1 scan two is
/// no worse either:
///
/// | RAM holds | 0.8 | 0.9 | 1.0 | 1.1 |
/// |---|---|---|---|---|
/// | 2 % | 37.65 \| 37.56 | 51.35 \| 51.26 | 65.59 \| 65.52 | 78.13 \| 78.07 |
/// | 10 % | 55.50 \| 55.35 | 67.57 \| 67.46 | 78.81 \| 78.73 | 87.62 \| 87.58 |
const VISITS_FOR_MAIN: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Main,
    Small,
}

impl Queue {
    pub(super) const COUNT: usize = 2;
}

/// What a replaced object leaves to its successor.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub(super) queue: Queue,
    pub(super) visits: u8,
}

/// What a shard's queues hold, for the order over all shards.
pub(super) struct Tally {
    pub(super) objects: u64,
    pub(super) small_bytes: u64,
    /// By `Queue`; `u64::MAX` for an empty one.
    pub(super) oldest: [u64; Queue::COUNT],
}

/// What became of the oldest of a queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing was there: another thread was faster.
    Empty,
    /// It has to leave: the caller unlinks it.
    Evict(u32),
    /// It was visited and stays, as the newest of main.
    Kept,
}

/// The queues of one shard.
#[derive(Default)]
pub(super) struct S3Fifo {
    links: Vec<Link>,
    queues: [Fifo; Queue::COUNT],
    objects: u64,
    small_bytes: u64,
    ghost: Ghost,
}

impl S3Fifo {
    /// Counts a visit. Two at once may count as one; no write once the count is full.
    pub(super) fn visit(&self, slot: u32) {
        let visits = &self.links[slot as usize].visits;
        let seen = visits.load(Relaxed);
        if seen < MOST_VISITS {
            visits.store(seen + 1, Relaxed);
        }
    }

    pub(super) fn standing(&self, slot: u32) -> Standing {
        let link = &self.links[slot as usize];
        Standing { queue: link.queue, visits: link.visits.load(Relaxed) }
    }

    /// Puts a newcomer in its queue: its predecessor's, or main if the ghost remembers it, or small.
    pub(super) fn enter(&mut self, slot: u32, entry: Entry, heir_of: Option<Standing>) {
        let remembered = self.ghost.recall(entry.fingerprint);
        let fresh = Standing { queue: if remembered { Queue::Main } else { Queue::Small }, visits: 0 };
        let Standing { queue, visits } = heir_of.unwrap_or(fresh);
        let Entry { age, weight, .. } = entry;
        let link = Link { age, weight, newer: NONE, older: NONE, visits: visits.into(), queue };
        match self.links.get_mut(slot as usize) {
            Some(old) => *old = link,
            None => push_tight(&mut self.links, link),
        }
        self.attach(slot, queue);
        self.objects += 1;
    }

    /// Takes an object out of its queue and returns its weight.
    pub(super) fn leave(&mut self, slot: u32) -> u64 {
        self.detach(slot);
        self.objects -= 1;
        self.links[slot as usize].weight
    }

    pub(super) fn tally(&self) -> Tally {
        let oldest = |queue: Queue| {
            let slot = self.queues[queue as usize].oldest;
            self.links.get(slot as usize).map_or(u64::MAX, |link| link.age)
        };
        Tally {
            objects: self.objects,
            small_bytes: self.small_bytes,
            oldest: [oldest(Queue::Main), oldest(Queue::Small)],
        }
    }

    /// Judges the oldest of a queue. On the last `chance` it goes whatever its visits.
    pub(super) fn step(&mut self, queue: Queue, age: u64, chance: Chance) -> Step {
        let slot = self.queues[queue as usize].oldest;
        let Some(link) = self.links.get_mut(slot as usize) else {
            return Step::Empty;
        };
        let visits = link.visits.get_mut();
        let stays = chance == Chance::Fair && *visits >= visits_to_stay(queue);
        if !stays {
            return Step::Evict(slot);
        }
        // Into main with a clean slate, round main for one visit less (S3-FIFO algorithm 1).
        *visits = if queue == Queue::Main { *visits - 1 } else { 0 };
        link.age = age;
        self.detach(slot);
        self.attach(slot, Queue::Main);
        Step::Kept
    }

    /// Remembers an object that was evicted from small.
    pub(super) fn remember(&mut self, fingerprint: u32, room: usize) {
        self.ghost.remember(fingerprint, room);
    }

    /// Links a slot in as the newest of a queue.
    fn attach(&mut self, slot: u32, queue: Queue) {
        let second = std::mem::replace(&mut self.queues[queue as usize].newest, slot);
        match self.links.get_mut(second as usize) {
            Some(link) => link.newer = slot,
            None => self.queues[queue as usize].oldest = slot,
        }
        let link = &mut self.links[slot as usize];
        (link.queue, link.newer, link.older) = (queue, NONE, second);
        if queue == Queue::Small {
            self.small_bytes += link.weight;
        }
    }

    fn detach(&mut self, slot: u32) {
        let Link { newer, older, queue, weight, .. } = self.links[slot as usize];
        let ends = &mut self.queues[queue as usize];
        match self.links.get_mut(newer as usize) {
            Some(link) => link.older = older,
            None => ends.newest = older,
        }
        match self.links.get_mut(older as usize) {
            Some(link) => link.newer = newer,
            None => ends.oldest = newer,
        }
        if queue == Queue::Small {
            self.small_bytes -= weight;
        }
    }
}

/// Pushes, growing by a quarter: doubling would leave a third of the memory unused on average.
pub(super) fn push_tight<T>(items: &mut Vec<T>, item: T) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len() / 4 + 4);
    }
    items.push(item);
}

/// The visits that save the oldest of a queue.
fn visits_to_stay(queue: Queue) -> u8 {
    match queue {
        Queue::Main => 1,
        Queue::Small => VISITS_FOR_MAIN,
    }
}

/// What a newcomer brings.
pub(super) struct Entry {
    pub(super) weight: u64,
    /// Its number in the order over all shards.
    pub(super) age: u64,
    pub(super) fingerprint: u32,
}

/// Whether visits still count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chance {
    Fair,
    Last,
}

struct Link {
    age: u64,
    weight: u64,
    newer: u32,
    older: u32,
    visits: AtomicU8,
    queue: Queue,
}

/// The two ends of a list.
struct Fifo {
    newest: u32,
    oldest: u32,
}

impl Default for Fifo {
    fn default() -> Self {
        Self { newest: NONE, oldest: NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newcomer(age: u64) -> Entry {
        Entry { weight: 10, age, fingerprint: age as u32 }
    }

    /// Three newcomers in slots 0, 1, 2, the first the oldest.
    fn three() -> S3Fifo {
        let mut queues = S3Fifo::default();
        (0..3).for_each(|slot| queues.enter(slot, newcomer(slot.into()), None));
        queues
    }

    fn evict(queues: &mut S3Fifo, queue: Queue) -> Option<u32> {
        match queues.step(queue, 100, Chance::Fair) {
            Step::Evict(slot) => {
                queues.leave(slot);
                Some(slot)
            }
            Step::Empty | Step::Kept => None,
        }
    }

    #[test]
    fn one_visit_does_not_save_from_leaving_small_and_two_do() {
        let mut queues = three();
        [0, 1, 1].into_iter().for_each(|slot| queues.visit(slot));
        assert_eq!(evict(&mut queues, Queue::Small), Some(0));
        assert_eq!(queues.step(Queue::Small, 100, Chance::Fair), Step::Kept);
        assert_eq!(evict(&mut queues, Queue::Small), Some(2));
        assert_eq!(queues.step(Queue::Small, 100, Chance::Fair), Step::Empty);
        let tally = queues.tally();
        assert_eq!((tally.objects, tally.small_bytes, tally.oldest), (1, 0, [100, u64::MAX]));
    }

    #[test]
    fn main_goes_round_once_for_each_visit_and_never_more_than_three_times() {
        let mut queues = S3Fifo::default();
        queues.enter(0, newcomer(0), Some(Standing { queue: Queue::Main, visits: 0 }));
        (0..50).for_each(|_| queues.visit(0));
        (0..3).for_each(|_| assert_eq!(queues.step(Queue::Main, 1, Chance::Fair), Step::Kept));
        assert_eq!(evict(&mut queues, Queue::Main), Some(0));
    }

    #[test]
    fn an_heir_takes_over_queue_and_visits() {
        for (queue, visits) in [(Queue::Main, 1), (Queue::Small, 2)] {
            let mut queues = S3Fifo::default();
            queues.enter(0, newcomer(0), Some(Standing { queue, visits }));
            assert_eq!((queues.standing(0).queue, queues.standing(0).visits), (queue, visits));
            assert_eq!(queues.step(queue, 1, Chance::Fair), Step::Kept);
        }
    }

    #[test]
    fn on_the_last_chance_visits_do_not_count() {
        let mut queues = three();
        (0..3).for_each(|_| queues.visit(0));
        assert_eq!(queues.step(Queue::Small, 100, Chance::Last), Step::Evict(0));
    }

    #[test]
    fn an_object_costs_what_the_documentation_says() {
        assert_eq!(size_of::<Link>(), 32);
    }

    #[test]
    fn what_the_ghost_remembers_enters_main() {
        let mut queues = three();
        queues.leave(1);
        queues.remember(1, 10);
        queues.enter(1, newcomer(1), None);
        assert_eq!(queues.standing(1).queue, Queue::Main);
    }

    #[test]
    fn leaving_from_the_middle_and_the_ends_keeps_the_queue_whole() {
        for slot in 0..3 {
            let mut queues = three();
            assert_eq!(queues.leave(slot), 10);
            let rest: Vec<u32> = std::iter::from_fn(|| evict(&mut queues, Queue::Small)).collect();
            assert_eq!(rest, (0..3).filter(|&other| other != slot).collect::<Vec<_>>());
            assert_eq!((queues.tally().objects, queues.tally().small_bytes), (0, 0));
        }
    }
}
