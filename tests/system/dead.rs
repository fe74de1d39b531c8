//! Connections whose other end is gone without a word: HTTP/2 by hand, from a peer that
//! opens a watch and then says nothing any more.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use grpcio::RpcStatusCode;
use protobuf::Message;
use todo::wire::methods;
use todo::wire::proto::*;

use crate::daemon::Daemon;
use crate::harness::until;
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
/// What is promised.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);
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

/// Whether each place for a watch is taken.
fn is_full(daemon: &Daemon) -> bool {
    let request = WatchTasksRequest { snapshot: true, ..Default::default() };
    let watch = Stream::open(&raw(&daemon.address, |channel| channel), &request);
    matches!(watch.message(), Err(end) if end.code() == RpcStatusCode::RESOURCE_EXHAUSTED)
}

/// At once: enough that memory they left behind would show.
const PEERS: usize = 32;

/// A server with so many places for a watch, and no other reason to end one.
fn start() -> Daemon {
    let peers = PEERS.to_string();
    let args = ["--watchers-max", &peers, "--watch-stall-timeout", "1h", "--store", "memory"];
    Daemon::start(Path::new("/nonexistent"), &args)
}

/// Peers that take all the places.
fn open_all(daemon: &Daemon, much_room: bool) -> Vec<TcpStream> {
    let open = || {
        let mut peer = TcpStream::connect(&daemon.address).unwrap();
        peer.set_read_timeout(Some(2 * NOTICED_WITHIN)).unwrap();
        peer.write_all(&watch_request(&daemon.address, much_room)).unwrap();
        peer
    };
    let peers = (0..PEERS).map(|_| open()).collect();
    until("their watches are registered", || is_full(daemon));
    peers
}

/// Opens watches, does `then` with each connection, and waits for all that they take to
/// be free.
fn are_noticed(daemon: &Daemon, much_room: bool, then: impl Fn(&TcpStream) + Sync) {
    let files = daemon.open_files();
    let peers = open_all(daemon, much_room);
    thread::scope(|scope| {
        for peer in &peers {
            scope.spawn(|| then(peer));
        }
        let silent_since = Instant::now();
        until("the dead peers are noticed", || {
            thread::park_timeout(Duration::from_millis(200));
            // In this order: asking for a place opens a connection.
            daemon.open_files() <= files && !is_full(daemon)
        });
        assert!(silent_since.elapsed() < NOTICED_WITHIN, "promised: within 60 s");
    });
}

/// Until the server closes the connection.
fn read_all(mut peer: &TcpStream) {
    let mut received = [0; 4_096];
    loop {
        match peer.read(&mut received) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return,
            Err(e) => panic!("{e}"),
        }
    }
}

/// There is so much for them that the system takes no more. Those that come next fit
/// into the memory that the first ones have left.
fn full_connections_free_their_memory() {
    let daemon = start();
    add_many(&daemon.address, 30_000, &"x".repeat(1_000));
    let growth_kib = || {
        let before = daemon.resident_kib();
        are_noticed(&daemon, true, |_| {});
        daemon.resident_kib().saturating_sub(before)
    };
    // With what stays for whoever comes: encoded tasks.
    let (first, second) = (growth_kib(), growth_kib());
    assert!(second <= first / 2, "it grew by {first} KiB, then by {second}");
}

/// Three at once, since each takes 50 s, and those that take no more half of that.
#[test]
fn peers_that_answer_nothing_are_noticed_and_free_everything_they_held() {
    thread::scope(|scope| {
        // They read nothing either.
        scope.spawn(|| are_noticed(&start(), false, |_| {}));
        // They read, but answer no ping.
        scope.spawn(|| are_noticed(&start(), false, read_all));
        scope.spawn(full_connections_free_their_memory);
    });
}
