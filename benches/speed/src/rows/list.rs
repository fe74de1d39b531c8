//! GetTasks with 10,000 tasks in one answer, while 20 changes a second are made.

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;

use super::{Bench, Loaded};
use crate::h2load::Load;
use crate::report::Measure;
use crate::report::Target::AtLeast;
use crate::server::Contestant;
use crate::watchers::{self, Change};
use crate::wire::{self, GetTasksResponse};

const TASKS: u64 = 10_000;
const CONNECTIONS: usize = 4;
const CHANGES_PER_SECOND: u32 = 20;

static CPU: Measure = Measure {
    what: "GetTasks with 10,000 tasks, 20 changes a second: CPU per request, tonic's against ours",
    unit: "×",
    target: AtLeast(5.0),
};

pub async fn run(bench: &mut Bench) -> Result<()> {
    let memory = measure(bench, Contestant::Memory).await?;
    let tonic = measure(bench, Contestant::Tonic).await?;
    bench.report.measure(&CPU, tonic.cpu_us_each / memory.cpu_us_each);
    Ok(())
}

async fn measure(bench: &mut Bench, contestant: Contestant) -> Result<Loaded> {
    let server = bench.start(contestant)?;
    bench.add(&server, 8, 64, TASKS).await?;
    let everything = wire::GetTasksRequest { page_size: 0 };
    let load = Load {
        port: server.port,
        method: wire::GET_TASKS,
        body: wire::body(&everything),
        connections: CONNECTIONS,
        streams: 1,
    };
    let warm_up = bench.load(&server, &load, 40).await?;
    let calls = (warm_up.done.per_second * bench.size.seconds) as u64;

    let mut probe = server.connect().await?;
    let before = body_bytes(&mut probe).await?;
    let count = (bench.size.seconds * f64::from(CHANGES_PER_SECOND)) as usize;
    let changes = watchers::change(server.port, Change::Complete, count, CHANGES_PER_SECOND);
    let loaded = bench.load(&server, &load, calls).await?;
    changes.await??;
    let after = body_bytes(&mut probe).await?;

    let changed = probe.changes().await? - TASKS;
    ensure!(changed == count as u64, "{count} changes were sent, but {changed} were made");
    // Each change makes the list some bytes longer. A server that always sends the first
    // answer sends the least.
    ensure!(after > before, "the list has {after} bytes after {count} changes, {before} before");
    let (received, least, most) = (loaded.done.data_bytes, calls * before, calls * after);
    ensure!(received > least, "received {received} bytes: no answer shows a change");
    ensure!(received <= most, "received {received} bytes, more than {most}");
    bench.report.detail("list", contestant.name(), loaded.detail());
    Ok(loaded)
}

/// The size of the body of an answer with the whole list.
async fn body_bytes(probe: &mut wire::Connection) -> Result<u64> {
    let everything = wire::GetTasksRequest { page_size: 0 };
    let mut answer = probe.start(wire::GET_TASKS, &everything).await?;
    let message = answer.next().await?.context("no answer")?;
    let bytes = 5 + message.len() as u64;
    let tasks = GetTasksResponse::decode(message)?.tasks.len();
    ensure!(tasks as u64 == TASKS, "{tasks} tasks were listed, not {TASKS}");
    Ok(bytes)
}
