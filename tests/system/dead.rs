//! Connections whose other end is gone without a word: HTTP/2 by hand, from a peer that
//! opens a watch and then says nothing any more.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use grpcio::RpcStatusCode;
use protobuf::Message;
use todo::rpc::methods;
use todo::rpc::proto::*;
use todo::state::Limits;
use todo::store::MemoryStore;

use crate::harness::{TestServer, until};
use crate::load::add_many;
use crate::stream::{Stream, raw};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
// Flags.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The first stream of a client.
const STREAM: u32 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header in HPACK's plainest form: both as they are, in no table.
fn header(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// What a client sends to watch. With `much_room` the server may send as much as it has.
fn watch_request(address: &str, much_room: bool) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", methods::WATCH_TASKS.name),
        (":authority", address),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let headers: Vec<u8> = headers.iter().flat_map(|(name, value)| header(name, value)).collect();
    let request =
        WatchTasksRequest { snapshot: true, filter: Filter::ANY.into(), ..Default::default() };
    let request = request.write_to_bytes().unwrap();
    let prefix = [&[0], &(request.len() as u32).to_be_bytes()[..]].concat();
    let room = (1_i32 << 30).to_be_bytes();
    // SETTINGS_INITIAL_WINDOW_SIZE is 4.
    let settings = if much_room { [&[0, 4], &room[..]].concat() } else { Vec::new() };
    let mut sent = [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat();
    if much_room {
        sent.extend(frame(WINDOW_UPDATE, 0, 0, &room));
    }
    sent.extend(frame(HEADERS, END_HEADERS, STREAM, &headers));
    sent.extend(frame(DATA, END_STREAM, STREAM, &[prefix, request].concat()));
    sent
}

/// Whether the only place for a watch is taken.
fn is_taken(server: &TestServer) -> bool {
    let request = WatchTasksRequest { snapshot: true, ..Default::default() };
    let watch = Stream::open(&raw(&server.address, |channel| channel), &request);
    matches!(watch.message(), Err(end) if end.code() == RpcStatusCode::RESOURCE_EXHAUSTED)
}

/// A server with one place for a watch, and no other reason to end it.
fn server() -> TestServer {
    let limits = Limits {
        watchers_max: 1,
        watch_stall_timeout: Duration::from_secs(3_600),
        ..Limits::default()
    };
    TestServer::with(Box::new(MemoryStore::new("l")), limits)
}

/// Opens a watch, does `then` with the connection, and waits for its place to be free.
fn is_noticed(server: &TestServer, much_room: bool, then: impl FnOnce(&TcpStream) + Send) {
    let mut peer = TcpStream::connect(&server.address).unwrap();
    peer.write_all(&watch_request(&server.address, much_room)).unwrap();
    until("its watch is registered", || is_taken(server));
    thread::scope(|scope| {
        scope.spawn(|| then(&peer));
        let silent_since = Instant::now();
        until("the dead peer is noticed", || {
            thread::park_timeout(Duration::from_millis(200));
            !is_taken(server)
        });
        assert!(silent_since.elapsed() < Duration::from_secs(60), "promised: within 60 s");
    });
}

/// Three at once, since each takes 50 s.
#[test]
fn a_peer_that_answers_nothing_is_noticed_and_frees_its_place() {
    thread::scope(|scope| {
        // It reads nothing either.
        scope.spawn(|| is_noticed(&server(), false, |_| {}));
        // It reads, but answers no ping.
        scope.spawn(|| {
            is_noticed(&server(), false, |mut peer| {
                let mut received = [0; 4_096];
                loop {
                    match peer.read(&mut received) {
                        Ok(0) => return,
                        Ok(_) => {}
                        Err(e) if e.kind() == ErrorKind::ConnectionReset => return,
                        Err(e) => panic!("{e}"),
                    }
                }
            });
        });
        // There is so much for it that the system takes no more.
        scope.spawn(|| {
            let server = server();
            add_many(&server.address, 30_000, &"x".repeat(1_000));
            is_noticed(&server, true, |_| {});
        });
    });
}
