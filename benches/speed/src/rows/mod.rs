//! The rows of the table, one file each.

mod add;
mod alone;
mod flood;
mod list;
mod many;
mod million;
mod reads;
mod slow;
mod watch;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;

use crate::h2load::{Done, Load};
use crate::report::{Detail, Report};
use crate::server::{Contestant, Programs, Server};
use crate::{watchers, wire};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    Add,
    Alone,
    List,
    Watch,
    Flood,
    Slow,
    Many,
    Million,
    Reads,
}

impl Row {
    pub const ALL: [Row; 9] = [
        Row::Add,
        Row::Alone,
        Row::List,
        Row::Watch,
        Row::Flood,
        Row::Slow,
        Row::Many,
        Row::Million,
        Row::Reads,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Row::Add => "add",
            Row::Alone => "alone",
            Row::List => "list",
            Row::Watch => "watch",
            Row::Flood => "flood",
            Row::Slow => "slow",
            Row::Many => "many",
            Row::Million => "million",
            Row::Reads => "reads",
        }
    }
}

/// The size of the workloads.
pub struct Size {
    /// The approximate duration of one load.
    pub seconds: f64,
    pub watchers: usize,
    pub watchers_many: usize,
    pub tasks_million: u64,
    /// The number of changes in rows with 20 changes per second.
    pub paced_changes: usize,
    /// The number of changes as fast as they are accepted, for watchers with packing.
    pub flood_changes: usize,
    /// The number of changes as fast as they are accepted, for watchers without packing.
    pub read_changes: usize,
}

impl Size {
    pub const FULL: Size = Size {
        seconds: 3.0,
        watchers: 1_000,
        watchers_many: 10_000,
        tasks_million: 1_000_000,
        paced_changes: 100,
        flood_changes: 12_000,
        read_changes: 2_000,
    };
    /// A short run, to see that it works. Its figures mean little.
    pub const QUICK: Size = Size {
        seconds: 0.5,
        watchers: 100,
        watchers_many: 1_000,
        tasks_million: 50_000,
        paced_changes: 20,
        flood_changes: 1_000,
        read_changes: 1_000,
    };

    pub fn described(&self, rounds: usize) -> String {
        let Size { watchers, watchers_many, tasks_million, .. } = self;
        let s = if rounds == 1 { "" } else { "s" };
        format!(
            "{rounds} round{s} with {watchers} and {watchers_many} watchers, {tasks_million} tasks"
        )
    }
}

/// The number of calls before a load is measured.
const WARM_UP_CALLS: u64 = 2_000;

/// One run of the benchmarks.
pub struct Bench {
    pub programs: Programs,
    pub size: Size,
    pub report: Report,
}

impl Bench {
    pub async fn run(&mut self, row: Row) -> Result<()> {
        match row {
            Row::Add => add::run(self).await,
            Row::Alone => alone::run(self).await,
            Row::List => list::run(self).await,
            Row::Watch => watch::run(self).await,
            Row::Flood => flood::run(self).await,
            Row::Slow => slow::run(self).await,
            Row::Many => many::run(self).await,
            Row::Million => million::run(self).await,
            Row::Reads => reads::run(self).await,
        }
    }

    /// Calls AddTask as fast as it is answered for about [`Size::seconds`], after a start that
    /// is not measured. Checked like [`Bench::add`].
    async fn add_for_a_while(
        &self,
        server: &Server,
        connections: usize,
        streams: usize,
    ) -> Result<Loaded> {
        let warm_up = self.add(server, connections, streams, WARM_UP_CALLS).await?;
        let calls = (warm_up.done.per_second * self.size.seconds) as u64;
        self.add(server, connections, streams, calls.max(1_000)).await
    }

    /// Calls AddTask `calls` times. Fails unless the list gained as many changes, and the
    /// answers were tasks.
    async fn add(
        &self,
        server: &Server,
        connections: usize,
        streams: usize,
        calls: u64,
    ) -> Result<Loaded> {
        let mut probe = server.connect().await?;
        let before = probe.changes().await?;
        let body = wire::body(&watchers::add_request());
        let load = Load { port: server.port, method: wire::ADD_TASK, body, connections, streams };
        let loaded = self.load(server, &load, calls).await?;
        let page = probe.first_page().await?;
        let gained = page.changes() - before;
        ensure!(gained == calls, "{calls} calls were sent, but {gained} changes were made");
        let first = page.tasks.first().context("the list is empty")?;
        // 7 bytes precede the task. Other tasks have longer numbers, except for their times.
        let (received, least) = (loaded.done.data_bytes, calls * (7 + first.len() as u64 - 2));
        ensure!(received >= least, "the answers were {received} bytes, not {least}: errors");
        Ok(loaded)
    }

    /// Runs a load, and measures what it costs the server.
    async fn load(&self, server: &Server, load: &Load<'_>, calls: u64) -> Result<Loaded> {
        let cpu_before = server.cpu_us()?;
        let done = load.run(calls, self.programs.scratch()).await?;
        let cpu_us_each = (server.cpu_us()? - cpu_before) / calls as f64;
        Ok(Loaded { done, cpu_us_each, memory_mib: mib(server.memory_bytes()?) })
    }

    /// A watch as the example's client starts it.
    fn seed_watch(&self, server: &Server) -> Load<'static> {
        let body: Bytes = wire::body(&wire::WatchTasksRequest::default());
        let (port, connections) = (server.port, self.size.watchers);
        Load { port, method: wire::WATCH_TASKS, body, connections, streams: 1 }
    }

    fn start(&self, contestant: Contestant) -> Result<Server> {
        eprintln!("  {} ..", contestant.name());
        self.programs.start(contestant)
    }
}

/// The result of a load, with its costs.
struct Loaded {
    done: Done,
    cpu_us_each: f64,
    memory_mib: f64,
}

impl Loaded {
    fn detail(&self) -> Detail {
        Detail {
            per_second: self.done.per_second,
            cpu_us_each: self.cpu_us_each,
            p50_ms: self.done.p50_us / 1e3,
            p99_ms: self.done.p99_us / 1e3,
            memory_mib: self.memory_mib,
        }
    }
}

fn mib(bytes: f64) -> f64 {
    bytes / 1024.0 / 1024.0
}
