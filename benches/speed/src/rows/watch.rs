//! 1,000 watchers on separate connections, and 20 changes per second.

use anyhow::{Context as _, Result, ensure};

use super::{Bench, mib};
use crate::report::Target::{AtMost, None};
use crate::report::{Detail, Measure};
use crate::server::Contestant;
use crate::stats::percentile;
use crate::watchers::{self, Change, Kind, Watchers};
use crate::wire;

const CHANGES_PER_SECOND: u32 = 20;
/// How long h2load's watchers wait for another update, in seconds. Longer than their start.
const QUIET_S: u64 = 5;

static CPU: Measure = Measure {
    what: "1,000 watchers, 20 changes a second: CPU per delivery against tonic",
    unit: "×",
    target: AtMost(1.5),
};
static P99: Measure = Measure {
    what: "1,000 watchers, 20 changes a second: acknowledgement to the last of them, p99",
    unit: "ms",
    target: AtMost(50.0),
};
static TONIC_P99: Measure = Measure { what: "the same, tonic's", unit: "ms", target: None };

pub async fn run(bench: &mut Bench) -> Result<()> {
    let memory = measure(bench, Contestant::Memory).await?;
    let tonic = measure(bench, Contestant::Tonic).await?;
    bench.report.measure(&CPU, memory.cpu_us_each / tonic.cpu_us_each);
    bench.report.measure(&P99, memory.p99_ms);
    bench.report.measure(&TONIC_P99, tonic.p99_ms);
    Ok(())
}

async fn measure(bench: &mut Bench, contestant: Contestant) -> Result<Detail> {
    let (cpu_us_each, memory_mib) = cpu_per_delivery(bench, contestant).await?;
    let (lags_ms, per_second) = lags_ms(bench, contestant).await?;
    let detail = Detail {
        per_second,
        cpu_us_each,
        p50_ms: percentile(&lags_ms, 50.0),
        p99_ms: percentile(&lags_ms, 99.0),
        memory_mib,
    };
    bench.report.detail("watch", contestant.name(), detail);
    Ok(detail)
}

/// h2load watches, and one more watcher counts the bytes that each must have received.
async fn cpu_per_delivery(bench: &Bench, contestant: Contestant) -> Result<(f64, f64)> {
    let server = bench.start(contestant)?;
    let watching = bench.seed_watch(&server).watch(QUIET_S, bench.programs.scratch())?;
    let request = wire::WatchTasksRequest::default();
    let port = server.port;
    let probe = tokio::spawn(async move {
        wire::Connection::open(port).await?.start(wire::WATCH_TASKS, &request).await
    });
    server.settled(bench.size.watchers).await?;

    let count = bench.size.paced_changes;
    let cpu_before = server.cpu_us()?;
    watchers::change(port, Change::Add, count, CHANGES_PER_SECOND).await??;
    server.settled(bench.size.watchers).await?;
    let deliveries = count * (bench.size.watchers + 1);
    let cpu_us_each = (server.cpu_us()? - cpu_before) / deliveries as f64;
    let memory_mib = mib(server.memory_bytes()?);

    let mut updates = probe.await??;
    let mut bytes = 0;
    for _ in 0..count {
        let update = updates.next().await?.context("the watch ended")?;
        bytes += 5 + update.len() as u64;
    }
    let expected = bytes * bench.size.watchers as u64;
    let received = watching.received_bytes().await?;
    ensure!(received == expected, "received {received} bytes of updates, not {expected}");
    Ok((cpu_us_each, memory_mib))
}

/// Returns the delay of the last watcher after each acknowledgement, and the deliveries per
/// second.
async fn lags_ms(bench: &Bench, contestant: Contestant) -> Result<(Vec<f64>, f64)> {
    let server = bench.start(contestant)?;
    let count = bench.size.paced_changes;
    let says_synced = contestant != Contestant::Tonic;
    let kind = Kind { max_updates_per_message: 0, says_synced, stalls: false };
    let watchers = Watchers::open(server.port, bench.size.watchers, count, kind).await?;
    let changes = watchers::change(server.port, Change::Add, count, CHANGES_PER_SECOND);
    let acknowledged_us = changes.await??;
    watchers.all_delivered().await?;
    let per_second = changes_per_second(&acknowledged_us) * bench.size.watchers as f64;
    Ok((watchers.lags_ms(Some(&acknowledged_us)), per_second))
}

/// The actual rate, from the first acknowledgement to the last: at most
/// [`CHANGES_PER_SECOND`].
fn changes_per_second(acknowledged_us: &[u64]) -> f64 {
    let [first, .., last] = acknowledged_us else { return 0.0 };
    (acknowledged_us.len() - 1) as f64 / (last.saturating_sub(*first) as f64 / 1e6)
}
