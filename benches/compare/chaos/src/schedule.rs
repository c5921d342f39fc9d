//! What breaks when: phases, each with its trouble, the same for the same seed.

use std::time::Duration;

pub const SERVERS: usize = 10;
/// At most so many are broken at once.
const BROKEN: usize = 6;

/// How a server fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// SIGKILL, and started again later.
    Kill,
    /// SIGSTOP: the system goes on accepting connections for it.
    Freeze,
    /// Answers long after the deadline for the first byte.
    Slow,
    /// 500, to health checks too.
    Errors,
    /// 500, except to health checks.
    SilentErrors,
    /// Half a head, then a reset.
    Reset,
    /// Takes no new connections and serves those it has.
    Refuse,
    /// Dead and alive in turn.
    Flap,
}

const ALL: [Trouble; 8] = [
    Trouble::Kill,
    Trouble::Freeze,
    Trouble::Slow,
    Trouble::Errors,
    Trouble::SilentErrors,
    Trouble::Reset,
    Trouble::Refuse,
    Trouble::Flap,
];

#[derive(Debug)]
pub struct Phase {
    pub name: &'static str,
    pub from: Duration,
    pub to: Duration,
}

#[derive(Debug)]
pub struct Event {
    pub at: Duration,
    pub server: usize,
    /// None: it is repaired.
    pub trouble: Option<Trouble>,
}

#[derive(Debug)]
pub struct Schedule {
    pub phases: Vec<Phase>,
    pub events: Vec<Event>,
    /// How long a flapping server stays as it is.
    pub flap: Duration,
}

/// Name, length in parts of 60, servers that break, how.
const PLAN: [(&str, f64, usize, &[Trouble]); 11] = [
    ("calm", 3.0, 0, &[]),
    ("killed", 6.0, 6, &[Trouble::Kill]),
    ("frozen", 7.0, 5, &[Trouble::Freeze]),
    ("slow", 7.0, 5, &[Trouble::Slow]),
    ("500", 4.0, 6, &[Trouble::Errors]),
    ("500, health fine", 4.0, 6, &[Trouble::SilentErrors]),
    ("reset mid-header", 5.0, 6, &[Trouble::Reset]),
    ("refusing", 4.0, 6, &[Trouble::Refuse]),
    ("flapping", 8.0, 6, &[Trouble::Flap]),
    ("all of it", 10.0, 6, &ALL),
    ("calm again", 2.0, 0, &[]),
];

impl Schedule {
    /// The whole plan, or one phase of it between two calm ones, squeezed into `length`.
    pub fn new(seed: u64, length: Duration, only: Option<&str>) -> Result<Self, String> {
        let mut random = fastrand::Rng::with_seed(seed);
        let chosen: Vec<_> =
            PLAN.iter().filter(|plan| plan.2 == 0 || only.is_none_or(|only| plan.0 == only)).collect();
        if chosen.len() < 3 {
            let names: Vec<_> = PLAN.iter().map(|plan| plan.0).collect();
            return Err(format!("the phases are: {}", names.join(", ")));
        }
        let part = length.as_secs_f64() / chosen.iter().map(|plan| plan.1).sum::<f64>();
        let (mut phases, mut events, mut now) = (vec![], vec![], 0.0);
        for (name, parts, broken, troubles) in chosen {
            let span = Span { from: now, length: parts * part };
            now += span.length;
            match troubles {
                [] => {}
                [trouble] => at_once(&mut events, &mut random, &span, *broken, *trouble),
                _ => rolling(&mut events, &mut random, &span, *broken),
            }
            let (from, to) = (Duration::from_secs_f64(span.from), Duration::from_secs_f64(now));
            phases.push(Phase { name, from, to });
        }
        events.sort_by_key(|event: &Event| event.at);
        Ok(Self { phases, events, flap: Duration::from_secs_f64(2.0 * part.min(1.0)) })
    }
}

/// A stretch of time, in seconds.
struct Span {
    from: f64,
    length: f64,
}

impl Span {
    fn at(&self, share: f64) -> Duration {
        Duration::from_secs_f64(self.from + self.length * share)
    }
}

/// Several servers break in the same way shortly after each other, and are repaired shortly after each other.
fn at_once(
    events: &mut Vec<Event>,
    random: &mut fastrand::Rng,
    span: &Span,
    broken: usize,
    trouble: Trouble,
) {
    for server in random.choose_multiple(0..SERVERS, broken.min(BROKEN)) {
        let (from, to) = (span.at(random.f64() * 0.25), span.at(0.7 + random.f64() * 0.25));
        events.push(Event { at: from, server, trouble: Some(trouble) });
        events.push(Event { at: to, server, trouble: None });
    }
}

/// When a server is repaired, another breaks in another way.
fn rolling(events: &mut Vec<Event>, random: &mut fastrand::Rng, span: &Span, broken: usize) {
    let mut whole: Vec<usize> = (0..SERVERS).collect();
    // Each entry: when it is repaired, as a share of the span, and which.
    let mut out: Vec<(f64, usize)> = vec![];
    let mut now = 0.0;
    loop {
        while out.len() < broken.min(BROKEN) && !whole.is_empty() {
            let server = whole.swap_remove(random.usize(..whole.len()));
            let trouble = ALL[random.usize(..ALL.len())];
            events.push(Event { at: span.at(now), server, trouble: Some(trouble) });
            out.push((now + 0.15 + random.f64() * 0.2, server));
        }
        let Some(first) = (0..out.len()).min_by(|a, b| out[*a].0.total_cmp(&out[*b].0)) else { return };
        let (repaired, server) = out.swap_remove(first);
        if repaired >= 0.9 {
            out.push((repaired, server));
            break;
        }
        // A little later, so that the order of the two events is certain.
        now = repaired + 0.001;
        events.push(Event { at: span.at(repaired), server, trouble: None });
        whole.push(server);
    }
    events.extend(out.into_iter().map(|(_, server)| Event { at: span.at(0.95), server, trouble: None }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_six_are_broken_and_all_are_whole_at_the_end() {
        for seed in 0..200 {
            let schedule = Schedule::new(seed, Duration::from_secs(60), None).unwrap();
            let mut broken = [false; SERVERS];
            let mut most = 0;
            for event in &schedule.events {
                assert_ne!(broken[event.server], event.trouble.is_some(), "{event:?}");
                broken[event.server] = event.trouble.is_some();
                most = most.max(broken.iter().filter(|broken| **broken).count());
            }
            assert_eq!((most, broken), (BROKEN, [false; SERVERS]), "seed {seed}");
        }
    }

    #[test]
    fn a_seed_makes_the_same_schedule_every_time() {
        let text = |seed| format!("{:?}", Schedule::new(seed, Duration::from_secs(12), None).unwrap());
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }
}
