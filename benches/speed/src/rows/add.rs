//! AddTask on 8 connections with 64 calls in flight on each.

use anyhow::{Result, ensure};

use super::Bench;
use crate::report::Measure;
use crate::report::Target::{AtLeast, AtMost};
use crate::server::Contestant;

const CONNECTIONS: usize = 8;
const STREAMS: usize = 64;

static MEMORY: Measure = Measure {
    what: "AddTask, memory store, 8 × 64: CPU per request against control",
    unit: "×",
    target: AtMost(1.15),
};
static SQLITE: Measure = Measure {
    what: "AddTask, SQLite, 8 × 64: CPU per request against control",
    unit: "×",
    target: AtMost(1.6),
};
static SEED: Measure = Measure {
    what: "AddTask, SQLite, 8 × 64: requests a second against the seed",
    unit: "×",
    target: AtLeast(5.0),
};

pub async fn run(bench: &mut Bench) -> Result<()> {
    let control = measure(bench, Contestant::Control).await?;
    let memory = measure(bench, Contestant::Memory).await?;
    let sqlite = measure(bench, Contestant::Sqlite).await?;
    let _ = measure(bench, Contestant::Tonic).await?;
    bench.report.measure(&MEMORY, memory.cpu_us_each / control.cpu_us_each);
    bench.report.measure(&SQLITE, sqlite.cpu_us_each / control.cpu_us_each);
    if bench.programs.has_seed() {
        let seed = measure(bench, Contestant::Seed).await?;
        bench.report.measure(&SEED, sqlite.done.per_second / seed.done.per_second);
    }
    Ok(())
}

async fn measure(bench: &mut Bench, contestant: Contestant) -> Result<super::Loaded> {
    let server = bench.start(contestant)?;
    let loaded = bench.add_for_a_while(&server, CONNECTIONS, STREAMS).await?;
    bench.report.detail("add", contestant.name(), loaded.detail());
    if contestant == Contestant::Sqlite {
        survives_a_kill(bench, server).await?;
    }
    Ok(loaded)
}

/// Checks that everything that was acknowledged is on disk.
async fn survives_a_kill(bench: &Bench, server: crate::server::Server) -> Result<()> {
    let acknowledged = server.connect().await?.changes().await?;
    drop(server);
    let again = bench.programs.start_on(&bench.programs.data_dir())?;
    let kept = again.connect().await?.changes().await?;
    ensure!(kept == acknowledged, "{acknowledged} changes were acknowledged, {kept} were kept");
    Ok(())
}
