//! `todod` goes away, in every way that it can.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use todo::web::Limits;

use crate::daemon::Daemon;
use crate::edge::Edge;
use crate::harness::{client, until};
use crate::http::{Events, post, revision_of};

#[test]
fn nothing_is_lost_over_kill_9_and_the_stream_stays_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path());
    let edge = Edge::before(&daemon.address, Limits::default());
    let mut events = Events::open(edge.address, "any");
    events.snapshot();
    let mut revision = 0;
    for round in 0..5 {
        for n in 0..20 {
            let json = format!(r#"{{"title":"{round} {n}"}}"#);
            let added = post(edge.address, "AddTask", &json);
            assert_eq!(added.status, 200, "{added:?}");
        }
        let address = daemon.address.clone();
        daemon.kill();
        let mut event = events.next().unwrap();
        while event.name == "updates" {
            for update in event.data.as_array().unwrap() {
                revision += 1;
                assert_eq!(revision_of(update), revision);
            }
            event = events.next().unwrap();
        }
        assert_eq!(event.name, "offline");
        let why = event.data["message"].as_str().unwrap();
        assert!(why.starts_with("cannot reach unix:"), "{why}");
        let refused = post(edge.address, "GetTasks", "{}");
        assert_eq!(refused.error(), (503, "unavailable".to_owned()));
        assert!(refused.message().starts_with("cannot reach unix:"), "{}", refused.message());

        daemon = Daemon::start(dir.path());
        assert_eq!(daemon.address, address);
        // Made while the edge may not have noticed yet.
        client(&daemon.address).add("meanwhile").unwrap();
        let goal = (round + 1) * 21;
        let mut is_live = false;
        while revision < goal || !is_live {
            let event = events.next().unwrap();
            if event.name == "updates" {
                for update in event.data.as_array().unwrap() {
                    revision += 1;
                    assert_eq!(revision_of(update), revision);
                }
            } else {
                assert_eq!(event.name, "synced", "said to be offline once");
                is_live = true;
            }
        }
        until("calls are answered again", || post(edge.address, "GetTasks", "{}").status == 200);
    }
}

#[test]
fn a_page_that_is_opened_while_todod_is_away_fills_when_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", dir.path().join("todo.sock").display());
    let edge = Edge::before(&address, Limits::default());
    let mut events = Events::open(edge.address, "any");
    let offline = events.expect("offline");
    assert_eq!(offline.last_id, "");
    let daemon = Daemon::start(dir.path());
    let (tasks, _) = events.snapshot();
    assert_eq!(tasks.len(), 0);
    client(&daemon.address).add("a").unwrap();
    assert_eq!(events.expect("updates").data[0]["task"]["title"], "a");
}

#[test]
fn another_list_in_its_place_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let edge = Edge::before(&daemon.address, Limits::default());
    client(&daemon.address).add("old").unwrap();
    let mut events = Events::open(edge.address, "any");
    let (_, place) = events.snapshot();
    daemon.kill();
    events.expect("offline");
    for file in ["todo.db", "todo.db-wal", "todo.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(file));
    }
    let _daemon = Daemon::start(dir.path());
    let (tasks, other) = events.snapshot();
    assert_eq!(tasks.len(), 0);
    assert!(other.ends_with(":0") && other != place, "{other}");
}

/// Takes connections and what is sent, and says nothing.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            thread::spawn(move || while stream.read(&mut [0; 1_024]).is_ok_and(|n| n > 0) {});
        }
    });
    address
}

#[test]
fn a_server_that_says_nothing_counts_as_lost() {
    let limits = Limits { silence_max: Duration::from_millis(300), ..Limits::default() };
    let edge = Edge::before(&silent(), limits);
    let mut events = Events::open(edge.address, "any");
    let why = events.expect("offline").data["message"].as_str().unwrap().to_owned();
    assert!(why.contains("said nothing for 300ms") || why.contains("cannot reach"), "{why}");
}
