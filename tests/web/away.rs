//! `todod` becomes unreachable, in every way that it can.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use todo::web::Limits;

use crate::app::App;
use crate::controlled_server::{ControlledServer, task};
use crate::daemon::Daemon;
use crate::harness::{client, until};
use crate::http::{Events, post, revision_of};

#[test]
fn kill_9_loses_nothing_and_the_stream_stays_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path());
    let app = App::serving(&daemon.address, Limits::default());
    let mut events = Events::open(app.address, "any");
    events.snapshot();
    let mut revision = 0;
    for round in 0..5 {
        for n in 0..20 {
            let json = format!(r#"{{"title":"{round} {n}"}}"#);
            let added = post(app.address, "AddTask", &json);
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
        let refused = post(app.address, "GetTasks", "{}");
        assert_eq!(refused.error(), (503, "unavailable".to_owned()));
        assert!(refused.message().starts_with("cannot reach unix:"), "{}", refused.message());

        daemon = Daemon::start(dir.path());
        assert_eq!(daemon.address, address);
        // Made while todo-web may not have noticed yet.
        client(&daemon.address).add("early").unwrap();
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
                assert_eq!(event.name, "synced", "offline is reported once");
                is_live = true;
            }
        }
        until("calls are answered again", || post(app.address, "GetTasks", "{}").status == 200);
    }
}

#[test]
fn a_stream_opened_before_todod_starts_gets_the_list_later() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", dir.path().join("todo.sock").display());
    let app = App::serving(&address, Limits::default());
    let mut events = Events::open(app.address, "any");
    let offline = events.expect("offline");
    assert_eq!(offline.last_id, "");
    let daemon = Daemon::start(dir.path());
    let (tasks, _) = events.snapshot();
    assert_eq!(tasks.len(), 0);
    client(&daemon.address).add("a").unwrap();
    assert_eq!(events.expect("updates").data[0]["task"]["title"], "a");
}

#[test]
fn another_list_at_the_same_address_starts_with_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let app = App::serving(&daemon.address, Limits::default());
    client(&daemon.address).add("old").unwrap();
    let mut events = Events::open(app.address, "any");
    let (_, place) = events.snapshot();
    daemon.kill();
    events.expect("offline");
    for file in ["todo.db", "todo.db-wal", "todo.db-shm", "todo.head"] {
        let _ = std::fs::remove_file(dir.path().join(file));
    }
    let _daemon = Daemon::start(dir.path());
    let (tasks, other) = events.snapshot();
    assert_eq!(tasks.len(), 0);
    assert!(other.ends_with(":0") && other != place, "{other}");
}

/// An update that has no JSON form must not be skipped: the changes after it would reach the
/// browser, and it would be lost silently.
#[test]
fn an_update_without_json_form_ends_the_stream_before_it() {
    let server = ControlledServer::start();
    let app = App::serving(&server.address, Limits::default());
    let mut events = Events::open(app.address, "any");
    let mut watch = server.watch();
    watch.send("RESET", 0, None);
    watch.send("SYNCED", 4, None);
    let (_, position) = events.snapshot();
    let mut task = task(1, "year 292277026596");
    task.created_at.mut_or_insert_default().seconds = i64::MAX;
    watch.send("UPDATED", 5, Some(task));
    let offline = events.expect("offline");
    assert_eq!((&*position, &*offline.last_id), ("l:4", "l:4"));
    let why = offline.data["message"].as_str().unwrap();
    assert!(why.contains("timestamp out of range"), "{why}");
    assert_eq!(events.next(), None);
    let _again = Events::resume(app.address, "any", &offline.last_id);
    assert_eq!(server.watch().request.after_revision, Some(4));
}

/// Accepts connections and reads from them, but sends nothing.
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
fn a_silent_server_counts_as_unreachable() {
    let limits = Limits { silence_max: Duration::from_millis(300), ..Limits::default() };
    let app = App::serving(&silent(), limits);
    let mut events = Events::open(app.address, "any");
    let why = events.expect("offline").data["message"].as_str().unwrap().to_owned();
    assert!(why.contains("nothing for 300ms") || why.contains("cannot reach"), "{why}");
}
