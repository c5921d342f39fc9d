//! The processes that a run started: broken, repaired, and all gone at its end, whatever happens.

use crate::schedule::{SERVERS, Trouble};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Process groups that are to be ended. A group is one that was made here; its first process is its number.
#[derive(Clone, Default)]
pub struct Groups(Arc<Mutex<Vec<Pid>>>);

impl Groups {
    fn add(&self, pid: Pid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    }

    fn remove(&self, pid: Pid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| *known != pid);
    }

    pub fn kill(&self) {
        for pid in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Ends everything after `limit`, even if nothing else moves any more; unless what it returns is true by then.
    pub fn watch(&self, limit: Duration) -> Arc<AtomicBool> {
        let (groups, ended) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let seen = ended.clone();
        std::thread::spawn(move || {
            std::thread::sleep(limit);
            if seen.load(Ordering::Acquire) {
                return;
            }
            groups.kill();
            eprintln!("chaos: the run took longer than {limit:?} and was ended");
            std::process::exit(3);
        });
        ended
    }
}

/// A process in a group of its own, which is killed when this goes.
pub struct Process {
    child: Child,
    pid: Pid,
    groups: Groups,
}

impl Process {
    pub fn start(command: &mut Command, groups: &Groups) -> Result<Self, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.process_group(0).spawn().map_err(|error| format!("{name}: {error}"))?;
        let pid = Pid::from_child(&child);
        groups.add(pid);
        Ok(Self { child, pid, groups: groups.clone() })
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to read its configuration again.
    pub fn reload(&self) -> Result<(), String> {
        kill_process(self.pid, Signal::HUP).map_err(|error| error.to_string())
    }

    /// Asks it to end, and waits a while.
    pub fn stop(mut self) {
        let _ = kill_process(self.pid, Signal::TERM);
        let until = Instant::now() + Duration::from_secs(5);
        while !self.has_ended() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = self.child.wait();
        self.groups.remove(self.pid);
    }
}

/// The ten origins.
pub struct Herd {
    ports: Vec<u16>,
    running: Vec<Option<Process>>,
    groups: Groups,
    flap: Duration,
    read: Arc<Read>,
}

/// What all origins together have read of requests that nobody may send twice, and how often.
#[derive(Default)]
struct Read(Mutex<HashMap<String, usize>>);

impl Read {
    /// Takes down what an origin says that it has read, until it ends.
    fn listen(self: Arc<Self>, origin: ChildStdout) {
        std::thread::spawn(move || {
            for line in BufReader::new(origin).lines().map_while(Result::ok) {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(line).or_default() += 1;
            }
        });
    }

    fn twice(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().filter(|count| **count > 1).count()
    }
}

impl Herd {
    pub fn start(ports: Vec<u16>, groups: &Groups, flap: Duration) -> Result<Self, String> {
        let running = (0..SERVERS).map(|_| None).collect();
        let mut herd = Self { ports, running, groups: groups.clone(), flap, read: Arc::default() };
        (0..SERVERS).try_for_each(|server| herd.revive(server))?;
        Ok(herd)
    }

    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// How many requests that nobody may send twice were read twice.
    pub fn read_twice(&self) -> usize {
        self.read.twice()
    }

    /// Breaks a server, or repairs it.
    pub fn change(&mut self, server: usize, trouble: Option<Trouble>) -> Result<(), String> {
        let Some(process) = &mut self.running[server] else { return self.revive(server) };
        let signal = |signal| kill_process(process.pid, signal).map_err(|error| error.to_string());
        match trouble {
            Some(Trouble::Kill) => {
                self.running[server] = None;
                Ok(())
            }
            Some(Trouble::Freeze) => signal(Signal::STOP),
            Some(Trouble::Slow) => self.order(server, "slow 5000"),
            Some(Trouble::Errors) => self.order(server, "status 500"),
            Some(Trouble::SilentErrors) => self.order(server, "silent 500"),
            Some(Trouble::Reset) => self.order(server, "reset"),
            Some(Trouble::Refuse) => self.order(server, "refuse"),
            Some(Trouble::Flap) => self.order(server, &format!("flap {}", self.flap.as_millis())),
            None => {
                signal(Signal::CONT)?;
                self.order(server, "normal")
            }
        }
    }

    fn order(&mut self, server: usize, order: &str) -> Result<(), String> {
        let input = self.running[server].as_mut().and_then(|process| process.child.stdin.as_mut());
        let Some(input) = input else { return Err(format!("server {server} is not running")) };
        writeln!(input, "{order}").map_err(|error| format!("server {server}: {error}"))
    }

    fn revive(&mut self, server: usize) -> Result<(), String> {
        let mut process = origin(self.ports[server], &format!("s{server}"), &self.groups)?;
        if let Some(output) = process.child.stdout.take() {
            self.read.clone().listen(output);
        }
        self.running[server] = Some(process);
        Ok(())
    }
}

/// Starts an origin, which ends when its standard input does.
pub fn origin(port: u16, name: &str, groups: &Groups) -> Result<Process, String> {
    let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    command.args(["origin", &port.to_string(), name]).stdin(Stdio::piped()).stdout(Stdio::piped());
    Process::start(&mut command, groups)
}

/// A file that takes what a process says.
pub fn output(folder: &Path, name: &str) -> Result<File, String> {
    let path = folder.join(name);
    File::create(&path).map_err(|error| format!("{}: {error}", path.display()))
}
