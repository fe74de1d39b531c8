//! A contestant's server: started on its own core, observed from outside, killed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::wire::Connection;

/// The core of the server. The load has another one.
const SERVER_CORE: &str = "0";
/// Ports below the ephemeral range, from which clients' connections take theirs.
const PORTS: std::ops::Range<u16> = 21_000..30_000;

/// The steps in which the kernel counts CPU time, in microseconds.
pub const TICK_US: f64 = 10_000.0;

/// The interval at which the server's CPU time is checked until it has settled.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A server has settled when it used less than a tick of CPU time in this many intervals in a
/// row: less than 2 % of its core.
const CALM_LOOKS: usize = 5;
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// todod with its memory store.
    Memory,
    /// todod with SQLite: a sync before every acknowledgement.
    Sqlite,
    /// The bare transport of todod.
    Control,
    /// The server of the teaching example.
    Seed,
    /// The service as users of tonic write it.
    Tonic,
}

impl Contestant {
    pub fn name(self) -> &'static str {
        match self {
            Contestant::Memory => "todod, memory store",
            Contestant::Sqlite => "todod, SQLite",
            Contestant::Control => "control",
            Contestant::Seed => "seed",
            Contestant::Tonic => "tonic",
        }
    }
}

/// The paths of the programs, from the environment that scripts/bench.sh sets.
pub struct Programs {
    todod: PathBuf,
    control: PathBuf,
    tonic: PathBuf,
    /// Python, the script that runs the server, and the example's server.py.
    seed: Option<[PathBuf; 3]>,
    /// The directory for data directories.
    scratch: PathBuf,
}

impl Programs {
    pub fn from_env() -> Result<Programs> {
        let seed = ["TODO_BENCH_PYTHON", "TODO_BENCH_SEED_RUNNER", "TODO_BENCH_SEED"];
        Ok(Programs {
            todod: path("TODO_BENCH_TODOD")?,
            control: path("TODO_BENCH_CONTROL")?,
            tonic: path("TODO_BENCH_TONIC")?,
            seed: match std::env::var_os("TODO_BENCH_SEED") {
                Some(_) => Some([path(seed[0])?, path(seed[1])?, path(seed[2])?]),
                None => None,
            },
            scratch: path("TODO_BENCH_SCRATCH")?,
        })
    }

    pub fn has_seed(&self) -> bool {
        self.seed.is_some()
    }

    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// The data directory of the last server that was started with SQLite.
    pub fn data_dir(&self) -> PathBuf {
        self.scratch.join("data")
    }

    pub fn start(&self, contestant: Contestant) -> Result<Server> {
        match contestant {
            Contestant::Sqlite => {
                let dir = self.data_dir();
                if dir.exists() {
                    fs::remove_dir_all(&dir)?;
                }
                self.start_on(&dir)
            }
            Contestant::Memory => self.todod(&["--store", "memory"]),
            Contestant::Control => Server::start(|port| {
                let mut command = pinned(&self.control);
                command.arg(port.to_string());
                command
            }),
            Contestant::Tonic => Server::start(|port| {
                let mut command = pinned(&self.tonic);
                command.arg(port.to_string());
                command
            }),
            Contestant::Seed => {
                let [python, runner, seed] = self.seed.as_ref().context("the seed is missing")?;
                Server::start(|port| {
                    let mut command = pinned(python);
                    command.arg(runner).arg(seed).arg(port.to_string());
                    command
                })
            }
        }
    }

    /// Starts todod with SQLite on this data directory.
    pub fn start_on(&self, data_dir: &Path) -> Result<Server> {
        self.todod(&["--data-dir", data_dir.to_str().context("the path is not UTF-8")?])
    }

    fn todod(&self, arguments: &[&str]) -> Result<Server> {
        Server::start(|port| {
            let mut command = pinned(&self.todod);
            command.args(["--listen", &format!("127.0.0.1:{port}")]).args(arguments);
            command
        })
    }
}

fn path(variable: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable)
        .with_context(|| format!("{variable} is not set: run this with scripts/bench.sh"))?;
    Ok(path.into())
}

/// A command that runs on the server's core.
fn pinned(program: &Path) -> Command {
    let mut command = mortal("taskset");
    command.args(["-c", SERVER_CORE]).arg(program);
    command
}

/// A command whose program is killed when this process ends, however it ends.
pub fn mortal(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    pub port: u16,
    pub started: Instant,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has ended already, which the checks have noticed by then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(command: impl FnOnce(u16) -> Command) -> Result<Server> {
        let port = free_port()?;
        let mut command = command(port);
        let started = Instant::now();
        let mut child = command
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut ready = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut ready)?;
        }
        if !ready.starts_with("listening on ") {
            let _ = child.kill();
            bail!("{command:?} ended with {}", child.wait()?);
        }
        Ok(Server { child, port, started })
    }

    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(self.port).await
    }

    /// Stops the server with SIGTERM.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        ensure!(Command::new("kill").arg(&pid).status()?.success(), "cannot stop {pid}");
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// The CPU time of the process so far, in microseconds, in steps of a tick. It includes
    /// threads that have ended.
    pub fn cpu_us(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name may contain anything. After it, the state is the third field of the file.
        let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat has another form")?;
        let (user, system) = (11, 12);
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok());
        let ticks = ticks(user).zip(ticks(system)).context("no CPU time in /proc/PID/stat")?;
        Ok((ticks.0 + ticks.1) * TICK_US)
    }

    /// The resident memory, in bytes.
    pub fn memory_bytes(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .context("no VmRSS")?;
        Ok(kib.parse::<f64>()? * 1024.0)
    }

    /// The number of open files: connections, and a few others.
    pub fn open_files(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Waits until this many connections are open and the server is idle, so that it has
    /// served all requests.
    pub async fn settled(&self, connections: usize) -> Result<()> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        let mut before = self.cpu_us()?;
        let mut calm = 0;
        while calm < CALM_LOOKS {
            ensure!(Instant::now() < deadline, "the server is still busy after {SETTLED_WITHIN:?}");
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.cpu_us()?;
            let is_calm = now == before && self.open_files()? > connections;
            calm = if is_calm { calm + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }
}

fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(PORTS.start);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        ensure!(port < PORTS.end, "no free port in {PORTS:?}");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}
