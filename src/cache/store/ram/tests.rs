//! The RAM tier against a model, against scans and Zipf, and against itself from several threads.

use proptest::prelude::*;
use std::collections::HashMap;

use super::*;

const MIB: u64 = 1 << 20;

/// An object without bytes: only a name, a variant, a version and a weight.
#[derive(Debug, PartialEq)]
struct Fake {
    name: u64,
    variant: u8,
    version: u64,
    weight: u64,
}

impl Weigh for Fake {
    fn hash(&self) -> u128 {
        hash(self.name)
    }

    fn weight(&self) -> u64 {
        self.weight
    }
}

fn hash(name: u64) -> u128 {
    u128::from(mix(name)) << 64 | u128::from(mix(!name))
}

/// The finalizer of splitmix64.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn plain(name: u64, weight: u64) -> Arc<Fake> {
    Arc::new(Fake { name, variant: 0, version: 0, weight })
}

fn is_resident(ram: &Ram<Fake>, name: u64) -> bool {
    ram.peek(hash(name), |_| true).is_some()
}

/// A request; a miss is admitted.
fn request(ram: &Ram<Fake>, name: u64, weight: u64) {
    is_hit(ram, name, weight);
}

fn is_hit(ram: &Ram<Fake>, name: u64, weight: u64) -> bool {
    let hit = ram.find(hash(name), |fake| fake.name == name).is_some();
    if !hit {
        ram.insert(plain(name, weight), |_| true).unwrap();
    }
    hit
}

/// Draws names by Zipf's law, 0 the most popular, from a seeded stream.
struct Zipf {
    below: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new(names: u64, exponent: f64, seed: u64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=names).map(|rank| (rank as f64).powf(-exponent));
        let below = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        Self { below, state: seed }
    }

    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(1);
        let all = self.below[self.below.len() - 1];
        let at = mix(self.state) as f64 / u64::MAX as f64 * all;
        self.below.partition_point(|&below| below < at) as u64
    }
}

/// What a tier holds, counted one by one.
fn census(ram: &Ram<Fake>, names: std::ops::Range<u64>) -> (u64, u64) {
    let (mut objects, mut bytes) = (0, 0);
    for name in names {
        ram.peek(hash(name), |fake| {
            objects += 1;
            bytes += fake.weight;
            false
        });
    }
    (objects, bytes)
}

fn evicted(ram: &Ram<Fake>, reason: &str) -> u64 {
    ram.evictions().iter().find(|(name, _)| *name == reason).unwrap().1
}

#[test]
fn a_refreshed_object_is_freed_at_once_and_its_successor_keeps_its_standing() {
    let ram = Ram::new(MIB, 4);
    ram.insert(plain(0, 1_000), |_| true).unwrap();
    (0..3).for_each(|_| drop(ram.find(hash(0), |_| true)));
    (1..2_000).for_each(|name| ram.insert(plain(name, 1_000), |_| true).unwrap());
    let old = ram.peek(hash(0), |_| true).unwrap();
    let new = Arc::new(Fake { name: 0, variant: 0, version: 1, weight: 2_000 });
    ram.insert(new.clone(), |fake| fake.variant == 0).unwrap();
    assert_eq!(Arc::strong_count(&old), 1, "only the reader still has the old one");
    (2_000..4_000).for_each(|name| ram.insert(plain(name, 1_000), |_| true).unwrap());
    assert_eq!(ram.find(hash(0), |_| true), Some(new), "in main as its predecessor was");
    assert_eq!(evicted(&ram, "replaced"), 1);
}

#[test]
fn variants_of_a_resource_live_side_by_side_and_are_found_newest_first() {
    let ram = Ram::new(MIB, 4);
    for variant in 0..4 {
        let fake = Arc::new(Fake { name: 9, variant, version: 0, weight: 10 });
        ram.insert(fake, |other| other.variant == variant).unwrap();
    }
    let mut seen = Vec::new();
    ram.peek(hash(9), |fake| {
        seen.push(fake.variant);
        false
    });
    assert_eq!(seen, [3, 2, 1, 0]);
    assert_eq!(ram.remove(hash(9), |fake| fake.variant % 2 == 0), 2);
    assert_eq!(ram.find(hash(9), |_| true).unwrap().variant, 3);
    assert_eq!((ram.objects(), ram.bytes(), evicted(&ram, "removed")), (2, 20, 2));
}

#[test]
fn objects_are_removed_by_what_they_are_wherever_they_live() {
    let ram = Ram::new(MIB, 8);
    for (name, variant) in (0..500).flat_map(|name| (0..2).map(move |variant| (name, variant))) {
        let fake = Arc::new(Fake { name, variant, version: 0, weight: name });
        ram.insert(fake, |other| other.variant == variant).unwrap();
    }
    let mut gone = Vec::new();
    let removed =
        ram.remove_where(|fake| fake.name % 5 == 0 && fake.variant == 1, |fake| gone.push(fake.name));
    gone.sort_unstable();
    assert_eq!((removed, gone), (100, (0..100).map(|n| n * 5).collect()));
    assert_eq!(ram.remove_where(|fake| fake.name % 5 == 0, |fake| assert_eq!(fake.variant, 0)), 100);
    assert_eq!(ram.remove_where(|fake| fake.name % 5 == 0, |_| panic!("nothing is left")), 0);
    assert_eq!(census(&ram, 0..500), (800, ram.bytes()));
    assert_eq!((ram.objects(), evicted(&ram, "removed")), (800, 200));
    // Both of one name at once, and the places are used again.
    assert_eq!(ram.remove_where(|_| true, |_| {}), 800);
    assert_eq!((ram.objects(), ram.bytes()), (0, 0));
    ram.insert(plain(1, 7), |_| true).unwrap();
    assert_eq!((ram.objects(), ram.bytes(), is_resident(&ram, 1)), (1, 7, true));
}

#[test]
fn an_object_over_an_eighth_is_refused_and_its_reservation_given_back() {
    let ram = Arc::new(Ram::new(800, 4));
    assert_eq!(ram.insert(plain(1, 101), |_| true), Err(TooLarge));
    let mut reservation = ram.reserve();
    assert!(reservation.grow(101));
    assert_eq!(reservation.insert(plain(1, 101), |_| true), Err(TooLarge));
    assert_eq!((ram.bytes(), ram.objects()), (0, 0));
}

#[test]
fn downloads_push_out_residents_but_never_hold_more_than_half() {
    let ram = Arc::new(Ram::new(800, 4));
    (0..8).for_each(|name| ram.insert(plain(name, 100), |_| true).unwrap());
    let (mut one, mut other) = (ram.reserve(), ram.reserve());
    assert!(one.grow(300) && other.grow(100) && !other.grow(1));
    assert_eq!((ram.bytes(), ram.objects()), (800, 4));
    drop(one);
    assert_eq!(ram.bytes(), 500);
    other.insert(plain(100, 60), |_| true).unwrap();
    assert_eq!((ram.bytes(), ram.objects()), (460, 5));
}

#[test]
fn a_hot_set_survives_a_scan_of_ten_times_the_budget() {
    let ram = Ram::new(10_000 * 1_000, 64);
    (0..3).for_each(|_| (0..2_000).for_each(|name| request(&ram, name, 1_000)));
    (10_000..110_000).for_each(|name| request(&ram, name, 1_000));
    let kept = (0..2_000).filter(|&name| is_resident(&ram, name)).count();
    assert!(kept >= 1_980, "{kept} of 2,000 are left");
}

#[test]
fn the_popular_stay_and_the_budget_is_used_under_zipf() {
    const WEIGHT: u64 = 100_000;
    let ram = Ram::new(256 * MIB, 64);
    let mut zipf = Zipf::new(100_000, 1.0, 1);
    (0..400_000).for_each(|_| request(&ram, zipf.draw(), WEIGHT));
    let mut resident = 0;
    for _ in 0..20 {
        (0..10_000).for_each(|_| request(&ram, zipf.draw(), WEIGHT));
        assert!(ram.bytes() >= ram.budget() / 10 * 9 && ram.bytes() <= ram.budget());
        resident += (0..1_000).filter(|&name| is_resident(&ram, name)).count();
    }
    assert!(resident >= 20 * 990, "{} of the 1,000 most popular are resident", resident as f64 / 20.0);
}

#[test]
fn a_smaller_budget_evicts_at_once_and_everything_visited_is_no_way_out() {
    let ram = Ram::new(1_000_000, 8);
    (0..10_000).for_each(|name| request(&ram, name, 100));
    (0..30_000).for_each(|at| drop(ram.find(hash(at % 10_000), |_| true)));
    ram.set_budget(1_000);
    assert_eq!((ram.bytes(), ram.objects(), ram.max_object()), (1_000, 10, 125));
    assert_eq!(census(&ram, 0..10_000), (10, 1_000));
}

/// Threads that insert, replace, find, remove and download in a tier far too small for them.
fn stress(ram: &Arc<Ram<Fake>>, thread: u64, rounds: u64) {
    for round in 0..rounds {
        let dice = mix(thread << 32 | round);
        let (name, weight) = (dice % 200, 1 + dice / 1_000 % ram.max_object());
        match dice >> 61 {
            0..=2 => ram.insert(plain(name, weight), |_| true).unwrap(),
            3 if dice.is_multiple_of(100) => drop(ram.remove_where(|fake| fake.name % 7 == name % 7, |_| {})),
            3 => assert!(ram.remove(hash(name), |_| true) <= 1),
            4 => {
                let mut reservation = ram.reserve();
                while reservation.bytes() < weight && reservation.grow(7) {}
                reservation.insert(plain(name, weight), |_| true).unwrap();
            }
            _ => assert!(ram.find(hash(name), |_| true).is_none_or(|fake| fake.name == name)),
        }
        let most = ram.budget() + 8 * ram.max_object();
        assert!(ram.bytes() <= most, "over by more than what is being inserted");
    }
}

#[test]
fn the_account_is_exact_after_threads_have_fought() {
    for (budget, shards) in [(80, 4), (800, 1), (20_000, 64)] {
        let ram = Arc::new(Ram::new(budget, shards));
        std::thread::scope(|scope| {
            let ram = &ram;
            (0..8).for_each(|thread| drop(scope.spawn(move || stress(ram, thread, 20_000))));
        });
        assert_eq!(census(&ram, 0..200), (ram.objects(), ram.bytes()));
        assert!(ram.bytes() <= budget);
        let removed: usize = (0..200).map(|name| ram.remove(hash(name), |_| true)).sum();
        assert_eq!((ram.objects(), ram.bytes(), evicted(&ram, "removed") >= removed as u64), (0, 0, true));
    }
}

#[derive(Clone, Debug)]
enum Op {
    Budget(u64),
    Drop,
    Find(u64, u8),
    Grow(u64),
    Insert(u64, u8, u64),
    Keep(u64, u8, u64),
    Remove(u64, u8),
    RemoveWhere(u64, u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (name, variant) = (0..12_u64, 0..3_u8);
    let id = (name, variant);
    let op = prop_oneof![
        1 => (500..2_000_u64).prop_map(Op::Budget),
        1 => Just(Op::Drop),
        4 => id.clone().prop_map(|(name, variant)| Op::Find(name, variant)),
        2 => (0..300_u64).prop_map(Op::Grow),
        8 => (id.clone(), 0..260_u64).prop_map(|((name, variant), weight)| Op::Insert(name, variant, weight)),
        2 => (id.clone(), 0..260_u64).prop_map(|((name, variant), weight)| Op::Keep(name, variant, weight)),
        2 => id.clone().prop_map(|(name, variant)| Op::Remove(name, variant)),
        1 => id.prop_map(|(name, variant)| Op::RemoveWhere(name, variant)),
    ];
    proptest::collection::vec(op, 1..200)
}

/// A tier, its one download, and the newest version of everything that may be resident.
struct Model {
    ram: Arc<Ram<Fake>>,
    download: Reservation<Fake>,
    newest: HashMap<(u64, u8), u64>,
    versions: u64,
}

impl Model {
    fn new(shards: usize) -> Self {
        let ram = Arc::new(Ram::new(1_000, shards));
        Self { download: ram.reserve(), ram, newest: HashMap::new(), versions: 0 }
    }

    fn resident(&self, name: u64, variant: u8) -> Option<Arc<Fake>> {
        self.ram.peek(hash(name), |fake| fake.variant == variant)
    }

    fn run(&mut self, op: Op) {
        let (capacity, held) = (evicted(&self.ram, "capacity"), self.ram.bytes());
        match op {
            Op::Budget(bytes) => self.ram.set_budget(bytes),
            Op::Drop => self.download = self.ram.reserve(),
            Op::Find(name, variant) => {
                let known = self.resident(name, variant);
                assert_eq!(self.ram.find(hash(name), |fake| fake.variant == variant), known);
            }
            Op::Grow(bytes) => {
                let fits = self.download.bytes() + bytes <= self.ram.budget() / 2;
                assert_eq!(self.download.grow(bytes), fits);
            }
            Op::Insert(name, variant, weight) => {
                self.admit(name, variant, weight, |ram, fake, same| ram.insert(fake, same));
                let fitted = held + weight <= self.ram.budget();
                assert!(!fitted || evicted(&self.ram, "capacity") == capacity, "evicted without need");
            }
            Op::Keep(name, variant, weight) => {
                let download = std::mem::replace(&mut self.download, self.ram.reserve());
                self.admit(name, variant, weight, |_, fake, same| download.insert(fake, same));
            }
            Op::Remove(name, variant) => {
                let known = usize::from(self.resident(name, variant).is_some());
                assert_eq!(self.ram.remove(hash(name), |fake| fake.variant == variant), known);
                self.newest.remove(&(name, variant));
            }
            Op::RemoveWhere(most, variant) => {
                let known = (0..=most).filter_map(|name| self.resident(name, variant)).count();
                let named = |fake: &Fake| fake.name <= most && fake.variant == variant;
                assert_eq!(self.ram.remove_where(named, |fake| assert!(named(fake))), known);
                self.newest.retain(|(name, other), _| *name > most || *other != variant);
            }
        }
    }

    fn admit(
        &mut self,
        name: u64,
        variant: u8,
        weight: u64,
        insert: impl FnOnce(&Ram<Fake>, Arc<Fake>, &dyn Fn(&Fake) -> bool) -> Result<(), TooLarge>,
    ) {
        self.versions += 1;
        let fake = Arc::new(Fake { name, variant, version: self.versions, weight });
        let fits = weight <= self.ram.max_object();
        assert_eq!(insert(&self.ram, fake, &|other| other.variant == variant).is_ok(), fits);
        if fits {
            self.newest.insert((name, variant), self.versions);
            let room = self.download.bytes() + weight <= self.ram.budget();
            assert!(!room || self.resident(name, variant).is_some(), "evicted itself");
        }
    }

    fn check(&self) {
        let (objects, bytes) = census(&self.ram, 0..12);
        assert_eq!((self.ram.objects(), self.ram.bytes()), (objects, bytes + self.download.bytes()));
        assert!(self.ram.bytes() <= self.ram.budget().max(self.download.bytes()));
        for (name, variant) in (0..12).flat_map(|name| (0..3).map(move |variant| (name, variant))) {
            if let Some(fake) = self.resident(name, variant) {
                assert_eq!(self.newest.get(&(name, variant)), Some(&fake.version));
            }
        }
    }
}

proptest! {
    #[test]
    fn the_tier_does_what_the_model_does(ops in ops(), shards in 1..17_usize) {
        let mut model = Model::new(shards);
        for op in ops {
            model.run(op);
            model.check();
        }
    }
}

/// The figures in `s3fifo` and `order`: `cargo test --release hit_ratios -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures, asserts nothing"]
fn hit_ratios() {
    const WEIGHT: u64 = 1_000;
    for (fitting, exponent) in [2_000, 10_000].into_iter().flat_map(|n| [0.8, 0.9, 1.0, 1.1].map(|e| (n, e)))
    {
        let ram = Ram::new(fitting * WEIGHT, 64);
        let mut zipf = Zipf::new(100_000, exponent, 7);
        (0..1_000_000).for_each(|_| request(&ram, zipf.draw(), WEIGHT));
        let plain = (0..2_000_000).filter(|_| is_hit(&ram, zipf.draw(), WEIGHT)).count();
        let with_scan = |at: &u64| {
            request(&ram, 1_000_000 + at, WEIGHT);
            is_hit(&ram, zipf.draw(), WEIGHT)
        };
        let scanned = (0..2_000_000).filter(with_scan).count();
        let [plain, scanned] = [plain, scanned].map(|hits| hits as f64 / 20_000.0);
        println!("{fitting} fit, Zipf {exponent}: {plain:.2} %, with a 1:1 scan {scanned:.2} %");
    }
}

/// What a hit and an insert cost: `cargo test --release costs -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures, asserts nothing"]
fn costs() {
    let names = 200_000;
    let ram = Ram::new(names * 1_000, 64);
    let objects: Vec<_> = (0..2 * names).map(|name| plain(name, 1_000)).collect();
    let timed = |what: &str, run: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        run();
        println!("{what}: {} ns", start.elapsed().as_nanos() as u64 / names);
    };
    let (first, second) = objects.split_at(names as usize);
    let insert = |object: &Arc<Fake>| ram.insert(object.clone(), |_| true).unwrap();
    timed("insert", &mut || first.iter().for_each(insert));
    let draws: Vec<u128> = (0..names).map(|at| hash(mix(at) % names)).collect();
    timed("find", &mut || draws.iter().for_each(|&hash| drop(ram.find(hash, |_| true))));
    timed("insert and evict", &mut || second.iter().for_each(insert));
}
