//! 1,000 watchers and changes as fast as they are accepted, with packing.

use anyhow::Result;

use super::{Bench, mib};
use crate::report::Target::{AtMost, None};
use crate::report::{Detail, Measure};
use crate::server::Contestant;
use crate::stats::percentile;
use crate::watchers::{Kind, Watchers};

static CPU: Measure = Measure {
    what: "1,000 watchers, changes as fast as accepted, packing on: CPU per update delivered, \
           against tonic",
    unit: "×",
    target: AtMost(1.0),
};
static PACKED: Measure = Measure { what: "the same: updates in a message", unit: "", target: None };

pub async fn run(bench: &mut Bench) -> Result<()> {
    let (memory, packed) = measure(bench, Contestant::Memory).await?;
    let (tonic, _) = measure(bench, Contestant::Tonic).await?;
    bench.report.measure(&CPU, memory / tonic);
    bench.report.measure(&PACKED, packed);
    Ok(())
}

/// Returns the CPU time per delivered update in µs, and the updates per message.
async fn measure(bench: &mut Bench, contestant: Contestant) -> Result<(f64, f64)> {
    let server = bench.start(contestant)?;
    let (count, changes) = (bench.size.watchers, bench.size.flood_changes);
    let says_synced = contestant != Contestant::Tonic;
    let kind = Kind { max_updates_per_message: 1_000, says_synced, stalls: false };
    let watchers = Watchers::open(server.port, count, changes, kind).await?;
    server.settled(count).await?;

    let cpu_before = server.cpu_us()?;
    bench.add(&server, 8, 64, changes as u64).await?;
    watchers.all_delivered().await?;
    let deliveries = watchers.deliveries();
    let cpu_us_each = (server.cpu_us()? - cpu_before) / deliveries as f64;

    let lags_ms = watchers.lags_ms(Option::None);
    let detail = Detail {
        per_second: deliveries as f64 / watchers.delivering_s(),
        cpu_us_each,
        p50_ms: percentile(&lags_ms, 50.0),
        p99_ms: percentile(&lags_ms, 99.0),
        memory_mib: mib(server.memory_bytes()?),
    };
    bench.report.detail("flood", contestant.name(), detail);
    Ok((cpu_us_each, watchers.updates_per_message()))
}
