//! Clients that use more than their share, or do not read what they asked for.

use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::{SinkExt, StreamExt};
use grpcio::{
    CallOption, ChannelBuilder, ClientSStreamReceiver, Marshaller, Method, MethodType,
    RpcStatusCode, WriteFlags,
};
use protobuf::Message;
use rustix::process::Signal;
use todo::client::{Client, Code};
use todo::limits::{CALLS_PER_CONNECTION_MAX, REQUEST_CHECK, REQUEST_TIMEOUT};
use todo::state::Limits;
use todo::store::MemoryStore;
use todo::wire::methods;
use todo::wire::proto::*;

use crate::daemon::Daemon;
use crate::harness::{Calls, TestServer, next_update, refusal, watch};
use crate::http2::{DATA, END_STREAM, Peer, frame, message};
use crate::interop::script;
use crate::stream::raw;

/// The server may send 64 KiB of each stream until the client reads.
pub fn narrow(channel: ChannelBuilder) -> ChannelBuilder {
    channel.stream_initial_window_size(65_536).http2_bdp_probe(false)
}

/// A watch whose messages nobody reads.
fn unread_watch(client: &grpcio::Client) -> ClientSStreamReceiver<TaskUpdate> {
    let request = WatchTasksRequest { snapshot: true, ..Default::default() };
    client.server_streaming(&methods::WATCH_TASKS, &request, CallOption::default()).unwrap()
}

/// The core has a slot for each call whose message a handler waits for. Connections that open
/// calls and send no message must not take all of them.
#[test]
fn requests_that_do_not_arrive_do_not_delay_other_calls() {
    let paths = [methods::ADD_TASK.name, methods::GET_TASKS.name, methods::WATCH_TASKS.name];
    let stall = |peer: &mut Peer, calls: usize| {
        for at in 0..calls {
            peer.open(paths[at % paths.len()], &[]);
        }
    };
    let server = TestServer::start();
    let mut obedient = [Peer::connect(&server.address), Peer::connect(&server.address)];
    for peer in &mut obedient {
        peer.acknowledge_settings();
        stall(peer, CALLS_PER_CONNECTION_MAX as usize);
        peer.ping();
    }
    server.client().add("still served").unwrap();
    // It does not acknowledge the SETTINGS, so the core does not limit its calls.
    let mut boundless = Peer::connect(&server.address);
    stall(&mut boundless, 3 * CALLS_PER_CONNECTION_MAX as usize);
    for _ in 0..2 * CALLS_PER_CONNECTION_MAX {
        assert_eq!(boundless.status().1, RpcStatusCode::RESOURCE_EXHAUSTED, "above its share");
    }
    server.client().add("still served").unwrap();
    let (watch, _) = watch(&server.client(), Filter::LIVE);
    server.client().add("still served").unwrap();
    assert_eq!(next_update(&watch).revision, 3);
}

#[test]
fn a_request_that_does_not_arrive_within_10_s_ends_its_call() {
    let server = TestServer::start();
    let mut peer = Peer::connect(&server.address);
    let begun = Instant::now();
    let half = message(0, &[10, 5, b'h', b'a']);
    let stalled = [
        peer.open(methods::ADD_TASK.name, &[]),
        peer.open(methods::WATCH_TASKS.name, &[]),
        peer.open(methods::ADD_TASK.name, &[]),
    ];
    peer.send(&frame(DATA, 0, stalled[2], &half[..half.len() - 1]));
    for stream in stalled {
        assert_eq!(peer.status(), (stream, RpcStatusCode::DEADLINE_EXCEEDED));
    }
    let took = begun.elapsed();
    assert!(took >= REQUEST_TIMEOUT, "{took:?}");
    assert!(took < REQUEST_TIMEOUT + REQUEST_CHECK + Duration::from_secs(5), "{took:?}");
    assert_eq!(server.client().revision(), 0);
}

/// A message whose bytes are compressed, or said to be, must not be read as if they were not.
#[test]
fn a_compressed_request_is_not_executed() {
    let server = TestServer::start();
    server.client().add("stays").unwrap();
    let request = DeleteTaskRequest { task_id: 1, ..Default::default() };
    let message = message(1, &request.write_to_bytes().unwrap());
    for encoding in ["gzip", "deflate"] {
        let mut peer = Peer::connect(&server.address);
        peer.acknowledge_settings();
        for _ in 0..500 {
            let stream = peer.open(methods::DELETE_TASK.name, &[("grpc-encoding", encoding)]);
            peer.send(&frame(DATA, END_STREAM, stream, &message));
            assert_eq!(peer.status_of(stream), RpcStatusCode::UNIMPLEMENTED, "{encoding}");
        }
        let stream = peer.open(methods::WATCH_TASKS.name, &[("grpc-encoding", encoding)]);
        peer.send(&frame(DATA, END_STREAM, stream, &message));
        assert_eq!(peer.status_of(stream), RpcStatusCode::UNIMPLEMENTED, "{encoding}");
    }
    assert_eq!(server.client().revision(), 1);
}

#[test]
fn a_request_is_one_valid_message() {
    let server = TestServer::start();
    let mut peer = Peer::connect(&server.address);
    let valid = AddTaskRequest { title: "x".to_owned(), ..Default::default() };
    let valid = message(0, &valid.write_to_bytes().unwrap());
    let torn = message(0, &[10, 200, b'x']);
    let two = [&valid[..], &valid].concat();
    for path in [methods::ADD_TASK.name, methods::WATCH_TASKS.name] {
        for (body, code) in [
            (&torn[..], RpcStatusCode::INVALID_ARGUMENT),
            (&[], RpcStatusCode::INTERNAL),
            (&valid[..valid.len() - 1], RpcStatusCode::INTERNAL),
        ] {
            let stream = peer.open(path, &[]);
            peer.send(&frame(DATA, END_STREAM, stream, body));
            assert_eq!(peer.status(), (stream, code), "{path}: {body:?}");
        }
    }
    assert_eq!(server.client().revision(), 0);
    // The first one counts, whether the client ends the request or not.
    for (body, flags) in [(&two, END_STREAM), (&two, 0), (&valid, 0)] {
        let stream = peer.open(methods::ADD_TASK.name, &[]);
        peer.send(&frame(DATA, flags, stream, body));
        assert_eq!(peer.status(), (stream, RpcStatusCode::OK));
    }
    assert_eq!(server.client().revision(), 3);
}

#[test]
fn watches_above_the_limit_are_refused_until_one_ends() {
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
    crate::harness::until("there is room for a watch", || refused().is_none());
}

#[test]
fn a_watcher_that_does_not_read_is_ended_and_makes_room() {
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
    crate::harness::until("there is room for a watch", || {
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

/// The core would decompress 256 MiB before it checks the limit.
#[test]
fn a_compressed_request_is_not_decompressed() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), &[]);
    let out = script("compressed.py").arg(&daemon.address).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "UNIMPLEMENTED\n", "{out:?}");
    let peak_kib = daemon.peak_memory_kib();
    assert!(peak_kib < 100 * 1024, "it took {peak_kib} KiB");
}

/// SIGTERM while watchers do not read, listings wait, and a request has not arrived.
#[test]
fn the_server_ends_within_5_s_whatever_its_clients_do() {
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
    assert!(told.elapsed() < Duration::from_secs(5), "documented: within 5 s");
    drop((watches, listings));
    let late = AddTaskRequest::new();
    assert!(block_on(half_sent.send((late, WriteFlags::default()))).is_err());
}

#[test]
fn listings_are_refused_while_too_many_bytes_are_not_read() {
    let server = TestServer::start();
    let client = server.client();
    let title = "x".repeat(1_024);
    for _ in 0..10_000 {
        client.add(&title).unwrap();
    }
    // Each listing has 10 MB, of which the server may send 64 KiB.
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
