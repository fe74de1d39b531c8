//! What watchers do to those who write: 1,000 that do not read, 1,000 that do.

use anyhow::{Result, ensure};

use super::{Bench, mib};
use crate::report::Target::{AtLeast, None};
use crate::report::{Detail, Measure};
use crate::server::Contestant;
use crate::stats::percentile;
use crate::watchers::{Kind, Watchers};

/// More than the window of a watcher that does not read takes.
const UNTIL_STUCK: u64 = 512;

static STALLED: Measure = Measure {
    what: "adds a second with 1,000 watchers that do not read, against none",
    unit: "×",
    target: AtLeast(0.8),
};
static READING: Measure = Measure {
    what: "adds a second with 1,000 watchers that read, against none",
    unit: "×",
    target: None,
};

pub async fn run(bench: &mut Bench) -> Result<()> {
    let none = adds_with_none(bench).await?;
    let stalled = adds_with_stalled(bench).await?;
    let reading = adds_with_reading(bench).await?;
    bench.report.measure(&STALLED, stalled / none);
    bench.report.measure(&READING, reading / none);
    Ok(())
}

async fn adds_with_none(bench: &mut Bench) -> Result<f64> {
    let server = bench.start(Contestant::Memory)?;
    let loaded = bench.add_for_a_while(&server, 8, 64).await?;
    bench.report.detail("slow", "adds, no watchers", loaded.detail());
    Ok(loaded.done.per_second)
}

/// The watchers are an h2load that stands still, with windows of a kilobyte.
async fn adds_with_stalled(bench: &mut Bench) -> Result<f64> {
    let server = bench.start(Contestant::Memory)?;
    let watching = bench.seed_watch(&server).stall(bench.programs.scratch())?;
    server.settled(bench.size.watchers).await?;
    watching.freeze().await?;
    bench.add(&server, 8, 64, UNTIL_STUCK).await?;
    server.settled(bench.size.watchers).await?;
    let loaded = bench.add_for_a_while(&server, 8, 64).await?;
    let open = server.open_files()?;
    ensure!(open > bench.size.watchers, "only {open} files are open: the watchers are gone");
    bench.report.detail("slow", "adds, watchers that do not read", loaded.detail());
    Ok(loaded.done.per_second)
}

/// One update a message, as the seed's client asks for it.
async fn adds_with_reading(bench: &mut Bench) -> Result<f64> {
    let server = bench.start(Contestant::Memory)?;
    let (count, changes) = (bench.size.watchers, bench.size.read_changes);
    let kind = Kind { max_updates_per_message: 0, says_synced: true };
    let watchers = Watchers::open(server.port, count, changes, kind).await?;
    server.settled(bench.size.watchers).await?;

    let cpu_before = server.cpu_us()?;
    let loaded = bench.add(&server, 8, 64, changes as u64).await?;
    watchers.all_delivered().await?;
    let deliveries = watchers.deliveries() as f64;
    let lags_ms = watchers.lags_ms(Option::None);
    let detail = Detail {
        per_second: deliveries / watchers.delivering_s(),
        cpu_us_each: (server.cpu_us()? - cpu_before) / deliveries,
        p50_ms: percentile(&lags_ms, 50.0),
        p99_ms: percentile(&lags_ms, 99.0),
        memory_mib: mib(server.memory_bytes()?),
    };
    bench.report.detail("slow", "adds, watchers that read", loaded.detail());
    bench.report.detail("slow", "deliveries to watchers that read, and their lag", detail);
    Ok(loaded.done.per_second)
}
