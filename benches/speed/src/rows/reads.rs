//! Reads beside writers, with SQLite: 8 connections add one task after the other, so that the
//! server syncs all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;

use super::Bench;
use crate::report::Target::AtMost;
use crate::report::{Detail, Measure};
use crate::server::{Contestant, Server};
use crate::stats::percentile;
use crate::wire::{self, GetTaskRequest, GetTasksRequest};

const WRITERS: usize = 8;
const TASKS: u64 = 1_000;
const PAGE: i32 = 100;

static TASK: Measure = Measure {
    what: "GetTask while 8 connections add, SQLite: p99 against no writers",
    unit: "×",
    target: AtMost(2.0),
};
static LISTING: Measure = Measure {
    what: "GetTasks, one page, while 8 connections add, SQLite: p99 against no writers",
    unit: "×",
    target: AtMost(2.0),
};

pub async fn run(bench: &mut Bench) -> Result<()> {
    let server = bench.start(Contestant::Sqlite)?;
    bench.add(&server, 8, 64, TASKS).await?;
    let [task, page] = read_for_a_while(bench, &server).await?;
    let (writers, stop) = write(&server).await?;
    let [task_beside, page_beside] = read_for_a_while(bench, &server).await?;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await??;
    }
    for (what, detail) in [
        ("GetTask, no writers", task),
        ("GetTask, writers", task_beside),
        ("GetTasks, no writers", page),
        ("GetTasks, writers", page_beside),
    ] {
        bench.report.detail("reads", what, detail);
    }
    bench.report.measure(&TASK, task_beside.p99_ms / task.p99_ms);
    bench.report.measure(&LISTING, page_beside.p99_ms / page.p99_ms);
    Ok(())
}

type Writers = Vec<tokio::task::JoinHandle<Result<()>>>;

/// Starts the writers. They add until they are stopped.
async fn write(server: &Server) -> Result<(Writers, Arc<AtomicBool>)> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let (mut connection, stop) = (server.connect().await?, stop.clone());
        writers.push(tokio::spawn(async move {
            let request = wire::AddTaskRequest { title: "Buy milk".to_owned() };
            while !stop.load(Ordering::Relaxed) {
                let _: wire::ChangeResponse = connection.call(wire::ADD_TASK, &request).await?;
            }
            Ok(())
        }));
    }
    Ok((writers, stop))
}

/// GetTask and GetTasks in turn, one call after the other on one connection.
async fn read_for_a_while(bench: &Bench, server: &Server) -> Result<[Detail; 2]> {
    let mut connection = server.connect().await?;
    let (task, page) = (GetTaskRequest { task_id: 1 }, GetTasksRequest { page_size: PAGE });
    let (mut task_ms, mut page_ms) = (Vec::new(), Vec::new());
    let began = Instant::now();
    while began.elapsed().as_secs_f64() < bench.size.seconds {
        let start = Instant::now();
        let _: wire::ChangeResponse = connection.call(wire::GET_TASK, &task).await?;
        task_ms.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let _: wire::GetTasksResponse = connection.call(wire::GET_TASKS, &page).await?;
        page_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let took_s = began.elapsed().as_secs_f64();
    Ok([task_ms, page_ms].map(|mut took_ms: Vec<f64>| {
        took_ms.sort_unstable_by(f64::total_cmp);
        Detail {
            per_second: took_ms.len() as f64 / took_s,
            cpu_us_each: 0.0,
            p50_ms: percentile(&took_ms, 50.0),
            p99_ms: percentile(&took_ms, 99.0),
            memory_mib: 0.0,
        }
    }))
}
