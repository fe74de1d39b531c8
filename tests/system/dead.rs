//! Connections that are quiet: those of dead peers end, those of living clients do not.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use grpcio::RpcStatusCode;
use todo::wire::methods;
use todo::wire::proto::*;

use crate::daemon::Daemon;
use crate::harness::{DEADLINE, until};
use crate::http2::{GOAWAY, Peer, WINDOW_UPDATE, frame};
use crate::load::add_many;
use crate::stream::{Stream, raw};

/// The interval at which clients may send pings, as documented.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// The time within which the server notices a dead peer, as documented.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// Opens a watch. With `much_room` the server may send everything it has.
fn watch(address: &str, much_room: bool) -> Peer {
    let room = 1_u32 << 30;
    // SETTINGS_INITIAL_WINDOW_SIZE is 4.
    let settings = if much_room { &[(4, room)][..] } else { &[] };
    let mut peer = Peer::with_settings(address, settings);
    if much_room {
        peer.send(&frame(WINDOW_UPDATE, 0, 0, &room.to_be_bytes()));
    }
    let request =
        WatchTasksRequest { snapshot: true, filter: Filter::ANY.into(), ..Default::default() };
    peer.call(methods::WATCH_TASKS.name, &request);
    peer.set_timeout(2 * NOTICED_WITHIN);
    peer
}

/// Whether the server has all the watches it allows.
fn is_full(daemon: &Daemon) -> bool {
    let request = WatchTasksRequest { snapshot: true, ..Default::default() };
    let watch = Stream::open(&raw(&daemon.address, |channel| channel), &request);
    matches!(watch.message(), Err(end) if end.code() == RpcStatusCode::RESOURCE_EXHAUSTED)
}

/// Enough that a leak of their memory is visible.
const PEERS: usize = 32;

/// A server that allows [`PEERS`] watches and has no other reason to end one.
fn start() -> Daemon {
    let peers = PEERS.to_string();
    let args = ["--watchers-max", &peers, "--watch-stall-timeout", "1h", "--store", "memory"];
    Daemon::start(Path::new("/nonexistent"), &args)
}

/// Opens all the watches that the server allows.
fn open_all(daemon: &Daemon, much_room: bool) -> Vec<TcpStream> {
    let open = |_| watch(&daemon.address, much_room).socket;
    let peers = (0..PEERS).map(open).collect();
    until("their watches are registered", || is_full(daemon));
    peers
}

/// What the full connections hold at least: a message of the transport's size each.
const HELD_KIB_MIN: u64 = 64 * PEERS as u64;

/// Opens watches, calls `then` with each connection, and waits until the server has freed
/// everything that they used.
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
            // In this order: asking for a watch opens a connection.
            daemon.open_files() <= files && !is_full(daemon)
        });
        assert!(silent_since.elapsed() < NOTICED_WITHIN, "documented: within 60 s");
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

/// The server has more for these peers than the operating system buffers. The next peers fit into
/// the memory that the first ones have freed.
fn full_connections_free_their_memory() {
    let daemon = start();
    add_many(&daemon.address, 30_000, &"x".repeat(1_000));
    let growth_kib = || {
        let before = daemon.resident_kib();
        are_noticed(&daemon, true, |_| {});
        daemon.resident_kib().saturating_sub(before)
    };
    // The first growth includes the encoded tasks, which stay for later watches.
    let first = growth_kib();
    // Memory that was free before the first ones hides their growth.
    let most = (first / 2).max(HELD_KIB_MIN / 2);
    // The allocator may take more once, by chance. What is not freed grows each time.
    let (second, third) = (growth_kib(), growth_kib());
    let least = second.min(third);
    assert!(least <= most, "it grew by {first} KiB, then by {second} and {third}");
}

/// By default the core closes the connection at the fourth ping, with "too many pings".
fn pings_of_clients_are_allowed() {
    let daemon = start();
    let without_calls = Peer::connect(&daemon.address);
    for mut peer in [watch(&daemon.address, false), without_calls] {
        peer.acknowledge_settings();
        peer.ping();
        for _ in 0..4 {
            peer.set_timeout(PING_INTERVAL);
            while let Ok(frame) = peer.try_frame() {
                assert_ne!(frame.kind, GOAWAY, "{:?}", String::from_utf8_lossy(&frame.payload));
            }
            peer.set_timeout(DEADLINE);
            peer.ping();
        }
    }
}

/// All at the same time, since each takes up to 50 s.
#[test]
fn dead_peers_are_noticed_and_free_everything_they_held_and_pings_are_allowed() {
    thread::scope(|scope| {
        scope.spawn(pings_of_clients_are_allowed);
        // Peers that do not read either.
        scope.spawn(|| are_noticed(&start(), false, |_| {}));
        // Peers that read, but do not answer pings.
        scope.spawn(|| are_noticed(&start(), false, read_all));
        scope.spawn(full_connections_free_their_memory);
    });
}
