//! A run: ten origins, a proxy, a load, and a schedule that breaks the origins meanwhile.

use crate::arguments::Arguments;
use crate::herd::{Groups, Herd, Process};
use crate::load::{Load, Sample};
use crate::proxy::{Kind, Wish, free_ports};
use crate::schedule::{SERVERS, Schedule};
use crate::table;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until};

/// Failures that are shown in full.
const SHOWN: usize = 12;
/// After the load: how long answers may take (clients give up after 30 s), and all the rest.
const REST: Duration = Duration::from_secs(45);

struct Plan {
    schedule: Schedule,
    seconds: f64,
    seed: u64,
    rate: u32,
    connections: usize,
}

pub fn main(mut arguments: Arguments) -> Result<ExitCode, String> {
    let seconds: f64 = arguments.option_or("seconds", 60.0)?;
    let seed = arguments.option_or("seed", 1)?;
    let only = arguments.option("only");
    let plan = Plan {
        schedule: Schedule::new(seed, Duration::from_secs_f64(seconds), only.as_deref())?,
        seconds,
        seed,
        rate: arguments.option_or("rate", 2000)?,
        connections: arguments.option_or("connections", 64)?,
    };
    let settings = arguments.option("config").map(read_text).transpose()?;
    let foreland = arguments.option_or("foreland", PathBuf::from("target/release/foreland"))?;
    let foreland = std::path::absolute(foreland).map_err(|error| error.to_string())?;
    let tries = arguments.option_or("tries", 8)?;
    let kept = arguments.option("keep").map(PathBuf::from);
    let mut kinds = vec![];
    while let Some(name) = arguments.next_word() {
        kinds.push(Kind::of(&name)?);
    }
    arguments.end()?;
    if kinds.is_empty() {
        return Err("which proxy? foreland, haproxy or nginx".to_owned());
    }
    let temporary = std::env::temp_dir().join(format!("chaos-{}", std::process::id()));
    let folder = kept.clone().unwrap_or(temporary);
    let (mut rows, mut repeated) = (vec![], false);
    for kind in kinds {
        let wish =
            Wish { kind, settings: settings.clone(), foreland: foreland.clone(), tries, sites: vec![] };
        let (row, twice) = once(&plan, &wish, &folder.join(kind.name()))?;
        rows.push((kind.name(), row));
        repeated |= twice > 0;
    }
    table::side_by_side(&rows);
    let failed = repeated || rows.iter().any(|(_, row)| row.failed > 0);
    match kept {
        None if !failed => std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?,
        _ => println!("\nsettings and logs: {}", folder.display()),
    }
    Ok(ExitCode::from(u8::from(failed)))
}

fn read_text(path: String) -> Result<String, String> {
    std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
}

/// One proxy through the whole schedule.
fn once(plan: &Plan, wish: &Wish, folder: &Path) -> Result<(table::Row, usize), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let groups = Groups::default();
    let ended = groups.watch(Duration::from_secs_f64(plan.seconds) + REST);
    let mut herd = Herd::start(free_ports(SERVERS)?, &groups, plan.schedule.flap)?;
    let ports = herd.ports().to_vec();
    ports.iter().try_for_each(|port| wait_for(SocketAddr::from(([127, 0, 0, 1], *port))))?;
    let (process, address) = wish.start(folder, &ports, &groups)?;
    let samples = play(plan, address, &mut herd);
    stop(process, wish.kind)?;
    ended.store(true, std::sync::atomic::Ordering::Release);
    let samples = samples?;
    let title = format!("{}, {} s, seed {}, {} tries", wish.kind.name(), plan.seconds, plan.seed, wish.tries);
    let row = table::print(&title, &plan.schedule.phases, &samples);
    let twice = herd.read_twice();
    println!("POST requests that origins read twice: {twice}");
    show_failures(&samples);
    Ok((row, twice))
}

/// A proxy that died meanwhile is a result too.
fn stop(mut process: Process, kind: Kind) -> Result<(), String> {
    if process.has_ended() {
        return Err(format!("{} ended during the run", kind.name()));
    }
    process.stop();
    Ok(())
}

pub fn wait_for(address: SocketAddr) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > until {
            return Err(format!("nothing listens on {address}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn play(plan: &Plan, address: SocketAddr, herd: &mut Herd) -> Result<Vec<Sample>, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        // Health checks have seen every server once.
        sleep(Duration::from_secs(2)).await;
        let Plan { seconds, seed, rate, connections, .. } = *plan;
        let load = Load { address, connections, rate, seconds, seed };
        let start = tokio::time::Instant::now();
        let load = tokio::task::spawn_local(load.run());
        for event in &plan.schedule.events {
            sleep_until(start + event.at).await;
            herd.change(event.server, event.trouble)?;
        }
        load.await.map_err(|error| error.to_string())
    })
}

/// The first failures of each kind, with what the proxy said.
fn show_failures(samples: &[Sample]) {
    let mut failed: Vec<&Sample> =
        samples.iter().filter(|sample| sample.failure.is_some() && sample.method.is_idempotent()).collect();
    failed.sort_by_key(|sample| sample.at);
    for sample in failed.iter().take(SHOWN) {
        let Some(failure) = &sample.failure else { continue };
        let said: Vec<&str> = failure.said.lines().filter(|line| !line.is_empty()).collect();
        println!(
            "  {:>7.3} s  {:<4} {:<12} after {:>6.3} s: {}  [{}]",
            sample.at.as_secs_f64(),
            sample.method.name(),
            sample.path,
            sample.took.as_secs_f64(),
            failure.what,
            said.join(" · ")
        );
    }
    if failed.len() > SHOWN {
        println!("  … and {} more", failed.len() - SHOWN);
    }
}
