//! Shakes hands thousands of times while certificates are exchanged and the proxy reloads, and counts what failed.

use crate::arguments::Arguments;
use crate::certificates::Certificates;
use crate::herd::{Groups, Process, origin};
use crate::proxy::{Kind, Wish, free_ports};
use crate::run::wait_for;
use crate::visitor::{Visitor, ask};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{Instant as Tick, sleep, sleep_until};
use tokio_rustls::rustls::version::{TLS12, TLS13};

/// The least share of handshakes that must be resumed.
const RESUMED: f64 = 0.95;
/// How long after the last exchange the newest certificates must be in force.
const SETTLED: Duration = Duration::from_secs(3);
/// Connections that stay open and ask on.
const KEPT: usize = 8;

struct Plan {
    count: usize,
    length: Duration,
    concurrency: usize,
    swap: Duration,
    reload: Duration,
}

impl Plan {
    /// What each of those who come does, of each version of TLS.
    fn pace(&self) -> Pace {
        let count = (self.count / 2).div_ceil(self.concurrency);
        Pace { count, pause: self.length / count as u32 }
    }
}

#[derive(Clone, Copy)]
struct Pace {
    count: usize,
    pause: Duration,
}

type Shared = Rc<RefCell<Certificates>>;
type Tallied = Rc<RefCell<Tally>>;

#[derive(Default)]
struct Tally {
    asked: usize,
    full: usize,
    resumed: usize,
    failed: BTreeMap<String, usize>,
    /// Certificates that are nobody's, or another's than was asked for.
    strange: usize,
    slowest: Duration,
}

impl Tally {
    fn failures(&self) -> usize {
        self.failed.values().sum()
    }

    fn shaken(&self) -> usize {
        self.full + self.resumed
    }

    fn line(&self, name: &str) -> String {
        let share = 100.0 * self.resumed as f64 / self.shaken().max(1) as f64;
        let slowest = self.slowest.as_secs_f64() * 1000.0;
        let why: Vec<String> = self.failed.iter().map(|(what, count)| format!("{what}: {count}")).collect();
        format!(
            "| {name:<9} | {:>6} | {:>6} | {:>7} | {share:>9.1} | {:>6} | {:>7} | {slowest:>10.1} | {} |",
            self.asked,
            self.full,
            self.resumed,
            self.failures(),
            self.strange,
            why.join(", ")
        )
    }
}

pub fn main(mut arguments: Arguments) -> Result<ExitCode, String> {
    let millis = |millis| Duration::from_millis(millis);
    let plan = Plan {
        count: arguments.option_or("count", 10_000)?,
        length: Duration::from_secs_f64(arguments.option_or("seconds", 20.0)?),
        concurrency: arguments.option_or("concurrency", 16)?,
        swap: millis(arguments.option_or("swap", 1000)?),
        reload: millis(arguments.option_or("reload", 2000)?),
    };
    let names = arguments.option_or("names", 100)?;
    let foreland = arguments.option_or("foreland", PathBuf::from("target/release/foreland"))?;
    let foreland = std::path::absolute(foreland).map_err(|error| error.to_string())?;
    let kept = arguments.option("keep").map(PathBuf::from);
    let kind = Kind::of(&arguments.word::<String>("the proxy")?)?;
    arguments.end()?;
    let temporary = std::env::temp_dir().join(format!("handshakes-{}", std::process::id()));
    let folder = kept.clone().unwrap_or(temporary);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let groups = Groups::default();
    groups.watch(plan.length + Duration::from_secs(30));
    let certificates = Certificates::new(&folder, names)?;
    // Of nginx: what its tickets are encrypted with.
    let ticket: Vec<u8> = (0..80).map(|_| fastrand::u8(..)).collect();
    std::fs::write(folder.join("ticket.key"), ticket).map_err(|error| error.to_string())?;
    let port = free_ports(1)?[0];
    let _origin = origin(port, "s0", &groups)?;
    wait_for(SocketAddr::from(([127, 0, 0, 1], port)))?;
    let wish = Wish { kind, settings: None, foreland, tries: 2, sites: certificates.sites() };
    let (mut process, address) = wish.start(&folder, &[port], &groups)?;
    let good = play(&plan, Rc::new(RefCell::new(certificates)), &process, address)?;
    if process.has_ended() {
        return Err(format!("{} ended during the run", kind.name()));
    }
    process.stop();
    match kept {
        None if good => std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?,
        _ => println!("\nsettings and logs: {}", folder.display()),
    }
    Ok(ExitCode::from(u8::from(!good)))
}

/// Everything that goes on at once; says whether it went well.
fn play(plan: &Plan, certificates: Shared, process: &Process, address: SocketAddr) -> Result<bool, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    LocalSet::new().block_on(&runtime, async {
        let authority = certificates.borrow().authority().clone();
        let hosts: Rc<[String]> = certificates.borrow().hosts().into();
        let (over, kept) = (Rc::new(Cell::new(false)), Tallied::default());
        let (mut rows, mut tasks, mut stays) = (vec![], vec![], vec![]);
        for (name, version) in [("TLS 1.2", &TLS12), ("TLS 1.3", &TLS13)] {
            let visitor = Visitor::new(address, &authority, version, true)?;
            let visits = Visits { visitor: visitor.clone(), hosts: hosts.clone(), tally: Tallied::default() };
            rows.push((name, visits.tally.clone()));
            for number in 0..plan.concurrency {
                tasks.push(spawn_local(visits.clone().run(number, plan.pace(), certificates.clone())));
            }
            for host in hosts.iter().take(KEPT) {
                stays.push(spawn_local(stay(visitor.clone(), host.clone(), over.clone(), kept.clone())));
            }
        }
        rows.push(("kept open", kept));
        let (swaps, reloads) = disturb(plan, &certificates, process).await?;
        for task in tasks {
            task.await.map_err(|error| error.to_string())?;
        }
        over.set(true);
        for task in stays {
            task.await.map_err(|error| error.to_string())?;
        }
        println!("{swaps} times new certificates, {reloads} reloads\n");
        let good = print(&rows);
        // What is on disk now is in force soon: after a reload, or, where none is wanted, without one.
        if !plan.reload.is_zero() {
            process.reload()?;
        }
        sleep(SETTLED).await;
        let visitor = Visitor::new(address, &authority, &TLS13, false)?;
        Ok(newest(&certificates, &hosts, &visitor).await & good)
    })
}

/// What was counted; says whether nothing failed and enough was resumed.
fn print(rows: &[(&str, Tallied)]) -> bool {
    println!(
        "| what      |  asked |   full | resumed | resumed % | failed | strange | slowest ms | failures |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---|");
    let mut good = true;
    for (name, tally) in rows {
        let tally = tally.borrow();
        println!("{}", tally.line(name));
        good &= tally.failures() == 0 && tally.strange == 0;
        good &= tally.shaken() == 0 || tally.resumed as f64 >= RESUMED * tally.shaken() as f64;
    }
    good
}

/// Exchanges certificates and asks for reloads until the time is over; says how often.
async fn disturb(plan: &Plan, certificates: &Shared, process: &Process) -> Result<(usize, usize), String> {
    let start = Tick::now();
    let (mut swaps, mut reloads) = (0, 0);
    let next = |done: usize, pause: Duration| match pause {
        Duration::ZERO => Duration::MAX,
        pause => pause * (done as u32 + 1),
    };
    loop {
        let (swap, reload) = (next(swaps, plan.swap), next(reloads, plan.reload));
        let at = swap.min(reload);
        if at >= plan.length {
            sleep_until(start + plan.length).await;
            return Ok((swaps, reloads));
        }
        sleep_until(start + at).await;
        if swap == at {
            let names = certificates.borrow_mut().next_generation();
            for n in 0..names {
                certificates.borrow_mut().renew(n)?;
                // The handshakes go on meanwhile.
                yield_now().await;
            }
            swaps += 1;
        }
        if reload == at {
            process.reload()?;
            reloads += 1;
        }
    }
}

/// Those who come, ask once and leave.
#[derive(Clone)]
struct Visits {
    visitor: Visitor,
    hosts: Rc<[String]>,
    tally: Tallied,
}

impl Visits {
    async fn run(self, number: usize, pace: Pace, certificates: Shared) {
        let start = Tick::now();
        for visit in 0..pace.count {
            sleep_until(start + pace.pause * visit as u32).await;
            // Every name in turn, each task beginning elsewhere.
            let n = (number * 7 + visit) % self.hosts.len();
            let began = Instant::now();
            let shaken = self.visitor.visit(&self.hosts[n]).await;
            let mut tally = self.tally.borrow_mut();
            tally.slowest = tally.slowest.max(began.elapsed());
            tally.asked += 1;
            match shaken {
                Err(what) => *tally.failed.entry(what).or_default() += 1,
                Ok(shaken) => {
                    let whose = certificates.borrow().recognise(&shaken.certificate);
                    tally.strange += usize::from(whose.map(|(whose, _)| whose) != Some(n));
                    *(if shaken.resumed { &mut tally.resumed } else { &mut tally.full }) += 1;
                }
            }
        }
    }
}

/// One that stays and asks on until all is over.
async fn stay(visitor: Visitor, host: String, over: Rc<Cell<bool>>, tally: Tallied) {
    let mut stream = None;
    for count in 0u64.. {
        if over.get() {
            return;
        }
        let began = Instant::now();
        let asked = match stream.take() {
            Some(open) => Ok(open),
            None => visitor.open(&host).await,
        };
        let asked = match asked {
            Ok(mut open) => {
                ask(&mut open, &host, &format!("/stay/{count}")).await.map(|()| stream = Some(open))
            }
            Err(what) => Err(what),
        };
        {
            let mut tally = tally.borrow_mut();
            tally.asked += 1;
            tally.slowest = tally.slowest.max(began.elapsed());
            if let Err(what) = asked {
                *tally.failed.entry(what).or_default() += 1;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Asks for every name once more: the certificate must be the name's own, and the newest.
async fn newest(certificates: &Shared, hosts: &[String], visitor: &Visitor) -> bool {
    let (mut right, mut new) = (0, 0);
    for (n, host) in hosts.iter().enumerate() {
        let shaken = visitor.visit(host).await;
        match shaken.map(|shaken| certificates.borrow().recognise(&shaken.certificate)) {
            Err(what) => println!("  {host}: {what}"),
            Ok(Some((whose, age))) if whose == n => {
                right += 1;
                new += usize::from(age == 0);
            }
            Ok(other) => println!("  {host}: the certificate of {other:?}"),
        }
    }
    println!("\nof {} names {right} got their own certificate, {new} the newest one", hosts.len());
    (right, new) == (hosts.len(), hosts.len())
}
