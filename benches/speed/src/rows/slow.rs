//! The effect of watchers on writers: 1,000 that do not read, and 1,000 that do.

use anyhow::Result;

use super::{Bench, Loaded, WARM_UP_CALLS, mib};
use crate::report::Target::{AtLeast, None};
use crate::report::{Detail, Measure};
use crate::server::Contestant;
use crate::stats::percentile;
use crate::watchers::{Kind, Watchers};

/// More changes than fit the window of a watcher that does not read.
const UNTIL_STUCK: u64 = 512;
/// The number of changes that every watcher receives before deliveries are measured.
const WARM_UP_CHANGES: usize = 500;

static STALLED: Measure = Measure {
    what: "adds a second with 1,000 watchers that do not read, against none",
    unit: "×",
    target: AtLeast(0.8),
};
static DELIVERIES: Measure = Measure {
    what: "adds as fast as accepted with 1,000 watchers that read: deliveries",
    unit: "a second",
    target: None,
};
static LAG: Measure = Measure { what: "the same: their lag, p99", unit: "ms", target: None };

pub async fn run(bench: &mut Bench) -> Result<()> {
    let none = adds_with_none(bench).await?.done.per_second;
    let stalled = adds_with_stalled(bench, (none * bench.size.seconds) as u64).await?;
    let reading = deliveries(bench).await?;
    bench.report.measure(&STALLED, stalled.done.per_second / none);
    bench.report.measure(&DELIVERIES, reading.per_second);
    bench.report.measure(&LAG, reading.p99_ms);
    Ok(())
}

async fn adds_with_none(bench: &mut Bench) -> Result<Loaded> {
    let server = bench.start(Contestant::Memory)?;
    let loaded = bench.add_for_a_while(&server, 8, 64).await?;
    bench.report.detail("slow", "adds, no watchers", loaded.detail());
    Ok(loaded)
}

/// The windows of the watchers are full. Afterwards they read, and each must receive every
/// change. So they were registered all the time and missed nothing.
async fn adds_with_stalled(bench: &mut Bench, calls: u64) -> Result<Loaded> {
    let server = bench.start(Contestant::Memory)?;
    let count = bench.size.watchers;
    let changes = (UNTIL_STUCK + WARM_UP_CALLS + calls) as usize;
    // With packing, because there is much to read afterwards.
    let kind = Kind { max_updates_per_message: 1_000, says_synced: true, stalls: true };
    let watchers = Watchers::open(server.port, count, changes, kind).await?;
    bench.add(&server, 8, 64, UNTIL_STUCK).await?;
    server.settled(count).await?;

    bench.add(&server, 8, 64, WARM_UP_CALLS).await?;
    let loaded = bench.add(&server, 8, 64, calls).await?;
    bench.report.detail("slow", "adds, watchers that do not read", loaded.detail());
    watchers.read_on();
    watchers.all_delivered().await?;
    Ok(loaded)
}

/// One update per message, as the example's client requests it.
async fn deliveries(bench: &mut Bench) -> Result<Detail> {
    let server = bench.start(Contestant::Memory)?;
    let (count, changes) = (bench.size.watchers, bench.size.read_changes);
    let kind = Kind { max_updates_per_message: 0, says_synced: true, stalls: false };
    let mut watchers = Watchers::open(server.port, count, WARM_UP_CHANGES + changes, kind).await?;
    bench.add(&server, 8, 64, WARM_UP_CHANGES as u64).await?;
    watchers.warmed_up(WARM_UP_CHANGES).await?;

    let cpu_before = server.cpu_us()?;
    bench.add(&server, 8, 64, changes as u64).await?;
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
    bench.report.detail("slow", "deliveries to watchers that read, and their lag", detail);
    Ok(detail)
}
