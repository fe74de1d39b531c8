//! 10,000 watchers on separate connections, and 100 changes.

use anyhow::Result;

use super::{Bench, mib};
use crate::report::Target::AtMost;
use crate::report::{Detail, Measure};
use crate::server::Contestant;
use crate::stats::percentile;
use crate::watchers::{self, Change, Kind, Watchers};

const CHANGES: usize = 100;
const CHANGES_PER_SECOND: u32 = 20;

static MEMORY: Measure =
    Measure { what: "10,000 watchers: memory per watcher", unit: "KiB", target: AtMost(48.0) };
static MISSING: Measure = Measure {
    what: "10,000 watchers, 100 changes: updates missing",
    unit: "",
    target: AtMost(0.0),
};

pub async fn run(bench: &mut Bench) -> Result<()> {
    let server = bench.start(Contestant::Memory)?;
    let count = bench.size.watchers_many;
    let memory_before = server.memory_bytes()?;
    let kind = Kind { max_updates_per_message: 0, says_synced: true, stalls: false };
    let watchers = Watchers::open(server.port, count, CHANGES, kind).await?;
    server.settled(count).await?;

    let cpu_before = server.cpu_us()?;
    let changes = watchers::change(server.port, Change::Add, CHANGES, CHANGES_PER_SECOND);
    let acknowledged_us = changes.await??;
    watchers.all_delivered().await?; // fails if one is missing
    let deliveries = watchers.deliveries();
    let memory = server.memory_bytes()?;
    let lags_ms = watchers.lags_ms(Some(&acknowledged_us));
    let detail = Detail {
        per_second: deliveries as f64 / watchers.delivering_s(),
        cpu_us_each: (server.cpu_us()? - cpu_before) / deliveries as f64,
        p50_ms: percentile(&lags_ms, 50.0),
        p99_ms: percentile(&lags_ms, 99.0),
        memory_mib: mib(memory),
    };
    bench.report.detail("many", Contestant::Memory.name(), detail);
    bench.report.measure(&MEMORY, (memory - memory_before) / 1024.0 / count as f64);
    bench.report.measure(&MISSING, (count * CHANGES - deliveries) as f64);
    Ok(())
}
