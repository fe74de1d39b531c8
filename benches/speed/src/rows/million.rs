//! 1,000,000 tasks in SQLite: the duration of a start, and the memory per task.

use anyhow::{Result, ensure};

use super::Bench;
use crate::report::Measure;
use crate::report::Target::AtMost;
use crate::server::Contestant;

static START: Measure =
    Measure { what: "1,000,000 tasks: start to first answer", unit: "s", target: AtMost(3.0) };
static MEMORY: Measure =
    Measure { what: "1,000,000 tasks: memory per task", unit: "bytes", target: AtMost(400.0) };

pub async fn run(bench: &mut Bench) -> Result<()> {
    let tasks = bench.size.tasks_million;
    // All rounds use the list of the first one.
    let dir = bench.programs.scratch().join("million");
    if !dir.exists() {
        eprintln!("  adding {tasks} tasks ..");
        let server = bench.programs.start_on(&dir)?;
        bench.add(&server, 8, 64, tasks).await?;
        server.stop()?;
    }
    let empty_bytes = bench.programs.start(Contestant::Sqlite)?.memory_bytes()?;

    let server = bench.programs.start_on(&dir)?;
    let answered = server.connect().await?.changes().await?;
    let took_s = server.started.elapsed().as_secs_f64();
    ensure!(answered == tasks, "{tasks} tasks were added, but {answered} are there");
    let memory_bytes = server.memory_bytes()? - empty_bytes;
    bench.report.measure(&START, took_s);
    bench.report.measure(&MEMORY, memory_bytes / tasks as f64);
    Ok(())
}
