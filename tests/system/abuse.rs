//! Clients that take more than their share, or do not take what they asked for.

use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::{SinkExt, StreamExt};
use grpcio::{
    CallOption, ChannelBuilder, ClientSStreamReceiver, Marshaller, Method, MethodType,
    RpcStatusCode, WriteFlags,
};
use rustix::process::Signal;
use todo::client::{Client, Code};
use todo::wire::methods;
use todo::wire::proto::*;
use todo::state::Limits;
use todo::store::MemoryStore;

use crate::daemon::Daemon;
use crate::harness::{Calls, TestServer, refusal, watch};
use crate::neutral::script;
use crate::stream::raw;

/// Lets 64 KiB of each stream through until somebody reads.
pub fn narrow(channel: ChannelBuilder) -> ChannelBuilder {
    channel.stream_initial_window_size(65_536).http2_bdp_probe(false)
}

/// A watch whose messages nobody reads.
fn unread_watch(client: &grpcio::Client) -> ClientSStreamReceiver<TaskUpdate> {
    let request = WatchTasksRequest { snapshot: true, ..Default::default() };
    client.server_streaming(&methods::WATCH_TASKS, &request, CallOption::default()).unwrap()
}

/// The transport has a place for each call whose request has not arrived in full.
#[test]
fn calls_without_a_request_do_not_keep_others_out() {
    let server = TestServer::start();
    let greedy = raw(&server.address, |channel| channel);
    let half_sent = Method::<AddTaskRequest, AddTaskResponse> {
        ty: MethodType::ClientStreaming,
        name: methods::ADD_TASK.name,
        req_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
        resp_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
    };
    let open = || greedy.client_streaming(&half_sent, CallOption::default()).unwrap();
    let calls: Vec<_> = (0..3_000).map(|_| open()).collect();
    server.client().add("still served").unwrap();
    drop(calls);
}

#[test]
fn one_watch_too_many_is_refused_and_an_ended_one_makes_room() {
    let limits = Limits { watchers_max: 2, ..Limits::default() };
    let server = TestServer::with(Box::new(MemoryStore::new("l")), limits);
    let client = server.client();
    let (first, _) = watch(&client, Filter::LIVE);
    let (_second, _) = watch(&client, Filter::LIVE);
    let other = raw(&server.address, |channel| channel);
    let refused = || {
        let mut third = unread_watch(&other);
        match block_on(third.next()) {
            Some(Err(grpcio::Error::RpcFailure(status))) => Some(status.code()),
            _ => None,
        }
    };
    assert_eq!(refused(), Some(RpcStatusCode::RESOURCE_EXHAUSTED));
    drop(first);
    crate::harness::until("the place is free", || refused().is_none());
}

#[test]
fn a_watcher_that_reads_nothing_is_cut_off_and_makes_room() {
    let limits = Limits {
        watchers_max: 1,
        watch_stall_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = TestServer::with(Box::new(MemoryStore::new("l")), limits);
    let client = server.client();
    let lazy = raw(&server.address, narrow);
    let mut unread = unread_watch(&lazy);
    let title = "x".repeat(1_024);
    for _ in 0..4_000 {
        client.add(&title).unwrap();
    }
    crate::harness::until("its place is free", || {
        let mut next = unread_watch(&lazy);
        matches!(block_on(next.next()), Some(Ok(_)))
    });
    let end = block_on(async {
        while let Some(message) = unread.next().await {
            if let Err(e) = message {
                return e;
            }
        }
        panic!("the stream must end with an error");
    });
    let grpcio::Error::RpcFailure(status) = end else { panic!("{end:?}") };
    assert_eq!(status.code(), RpcStatusCode::RESOURCE_EXHAUSTED, "{status}");
}

#[test]
fn a_request_above_its_limit_is_refused() {
    let server = TestServer::start();
    let (code, message) = refusal(server.client().add(&"x".repeat(2 * 1024 * 1024)));
    assert_eq!(code, Code::ResourceExhausted, "{message}");
    assert_eq!(server.client().revision(), 0);
}

/// The core would unpack 256 MiB before it looks at the limit.
#[test]
fn a_compressed_request_is_not_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), &[]);
    let out = script("compressed.py").arg(&daemon.address).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "INTERNAL\n", "{out:?}");
    let peak_kib = daemon.peak_memory_kib();
    assert!(peak_kib < 100 * 1024, "it took {peak_kib} KiB");
}

/// SIGTERM while watchers do not read, listings wait, and calls are half sent.
#[test]
fn it_ends_within_five_seconds_whatever_its_clients_do() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), &["--store", "memory"]);
    let client = crate::harness::client(&daemon.address);
    let title = "x".repeat(1_024);
    for _ in 0..5_000 {
        client.add(&title).unwrap();
    }
    let idle = raw(&daemon.address, |channel| channel);
    let watches: Vec<_> = (0..20).map(|_| unread_watch(&idle)).collect();
    let listing = |_| {
        let everything = GetTasksRequest::new();
        idle.unary_call_async(&methods::GET_TASKS, &everything, CallOption::default()).unwrap()
    };
    let listings: Vec<_> = (0..400).map(listing).collect();
    let (mut half_sent, _answer) = idle
        .client_streaming(
            &Method::<AddTaskRequest, AddTaskResponse> {
                ty: MethodType::ClientStreaming,
                name: methods::ADD_TASK.name,
                req_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
                resp_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
            },
            CallOption::default(),
        )
        .unwrap();
    client.add("all of it has arrived").unwrap();
    let told = Instant::now();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(5), "promised: within 5 s");
    drop((watches, listings));
    let late = AddTaskRequest::new();
    assert!(block_on(half_sent.send((late, WriteFlags::default()))).is_err());
}

#[test]
fn a_client_is_told_to_come_back_when_nobody_takes_the_listings() {
    let server = TestServer::start();
    let client = server.client();
    let title = "x".repeat(1_024);
    for _ in 0..10_000 {
        client.add(&title).unwrap();
    }
    // Each listing has 10 MB; this client lets 64 KiB of each through.
    let stalled = raw(&server.address, narrow);
    let everything = GetTasksRequest::new();
    let unread: Vec<_> = (0..100)
        .map(|_| {
            let pages = Method::<GetTasksRequest, GetTasksResponse> {
                ty: MethodType::ServerStreaming,
                name: methods::GET_TASKS.name,
                req_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
                resp_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
            };
            stalled.server_streaming(&pages, &everything, CallOption::default()).unwrap()
        })
        .collect();
    crate::harness::until("listings are refused", || {
        let hasty = Client::new(&server.address, Duration::from_secs(30)).unwrap();
        match hasty.page(Filter::LIVE, 1, "") {
            Ok(_) => false,
            refused => {
                let (code, message) = refusal(refused);
                assert_eq!(code, Code::ResourceExhausted, "{message}");
                true
            }
        }
    });
    drop(unread);
    crate::harness::until("listings are made again", || client.page(Filter::LIVE, 1, "").is_ok());
}
