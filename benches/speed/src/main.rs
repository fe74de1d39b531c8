//! Measures todod against other servers. scripts/bench.sh builds everything and runs this
//! program on the load's core. BENCHMARKS.md describes the rows.

mod h2load;
mod report;
mod rows;
mod server;
mod stats;
mod watchers;
mod wire;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use report::Report;
use rows::{Bench, Row, Size};
use server::{Programs, TICK_US};

const USAGE: &str = "usage: scripts/bench.sh [--rounds N] [--quick] [ROW...]
rows: add alone list watch flood slow many million reads; without any, all of them";

struct Args {
    rounds: usize,
    size: Size,
    rows: Vec<Row>,
}

fn args() -> Result<Args> {
    let mut rounds = None;
    let mut quick = false;
    let mut rows = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match &*word {
            "--rounds" => {
                let number = words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                rounds = Some(number.context("--rounds takes a number above 0")?);
            }
            "--quick" => quick = true,
            name => match Row::ALL.into_iter().find(|row| row.name() == name) {
                Some(row) => rows.push(row),
                None => bail!("unknown row {name:?}\n{USAGE}"),
            },
        }
    }
    if rows.is_empty() {
        rows = Row::ALL.to_vec();
    }
    let (size, usual_rounds) = if quick { (Size::QUICK, 1) } else { (Size::FULL, 5) };
    Ok(Args { rounds: rounds.unwrap_or(usual_rounds), size, rows })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Args { rounds, size, rows } = args()?;
    let programs = Programs::from_env()?;
    let machine = machine()?;
    fs::create_dir_all(programs.scratch())?;
    let mut bench = Bench { programs, size, report: Report::default() };
    for round in 1..=rounds {
        for row in &rows {
            eprintln!("round {round} of {rounds}: {}", row.name());
            bench.run(*row).await.with_context(|| format!("the row {} failed", row.name()))?;
        }
    }
    fs::remove_dir_all(bench.programs.scratch())?;
    println!("{machine}; {}\n", bench.size.described(rounds));
    println!("{}", bench.report.markdown());
    if !bench.programs.has_seed() {
        println!("The seed was not measured: ../shared/seed/server.py is missing.");
    }
    Ok(())
}

/// Describes the machine. Fails if the figures would be meaningless.
fn machine() -> Result<String> {
    let cpu = value(Path::new("/proc/cpuinfo"), "model name")?;
    let memory_kib = value(Path::new("/proc/meminfo"), "MemTotal")?;
    let memory_kib: f64 = memory_kib.trim_end_matches(" kB").parse()?;
    let cores = std::thread::available_parallelism()?;
    ensure!(cores.get() == 1, "the load does not have a core of its own: use scripts/bench.sh");
    let ticks = Command::new("getconf").arg("CLK_TCK").output()?.stdout;
    let ticks: f64 = String::from_utf8(ticks)?.trim().parse().context("getconf CLK_TCK")?;
    ensure!(1e6 / ticks == TICK_US, "the kernel counts CPU time in steps of 1/{ticks} s");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let busy = fs::read_to_string("/proc/loadavg")?;
    let busy = busy.split(' ').next().unwrap_or_default();
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output()?;
    Ok(format!(
        "Commit {}; {cpu}, one core for the server, one for the load; {:.0} GiB; Linux {}; \
         load average before: {busy}",
        String::from_utf8_lossy(&commit.stdout).trim(),
        memory_kib / 1024.0 / 1024.0,
        kernel.trim()
    ))
}

fn value(file: &Path, key: &str) -> Result<String> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find(|line| line.starts_with(key));
    let (_, value) = line.and_then(|line| line.split_once(':')).context("no such line")?;
    Ok(value.trim().to_owned())
}
