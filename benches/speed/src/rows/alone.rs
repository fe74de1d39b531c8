//! AddTask, one call after the other on one connection.

use anyhow::Result;

use super::Bench;
use crate::report::Measure;
use crate::report::Target::AtMost;
use crate::server::Contestant;

static P50: Measure = Measure {
    what: "AddTask alone on one connection, memory store: p50 against control",
    unit: "×",
    target: AtMost(1.2),
};

pub async fn run(bench: &mut Bench) -> Result<()> {
    let control = p50_us(bench, Contestant::Control).await?;
    let memory = p50_us(bench, Contestant::Memory).await?;
    let _ = p50_us(bench, Contestant::Sqlite).await?;
    let _ = p50_us(bench, Contestant::Tonic).await?;
    if bench.programs.has_seed() {
        let _ = p50_us(bench, Contestant::Seed).await?;
    }
    bench.report.measure(&P50, memory / control);
    Ok(())
}

async fn p50_us(bench: &mut Bench, contestant: Contestant) -> Result<f64> {
    let server = bench.start(contestant)?;
    let loaded = bench.add_for_a_while(&server, 1, 1).await?;
    bench.report.detail("alone", contestant.name(), loaded.detail());
    Ok(loaded.done.p50_us)
}
