//! `GET /events`: the list, then every change, without loss.

use std::time::Duration;

use serde_json::json;
use todo::client::Edit;
use todo::state::{Limits as ServerLimits, Retention};
use todo::store::MemoryStore;
use todo::web::Limits;

use crate::app::{self, App};
use crate::harness::{TestServer, until};
use crate::http::{Connection, Events, get, post, revision_of};

#[test]
fn the_list_comes_first_and_then_each_change_with_its_position() {
    let (server, app) = app::start();
    let client = server.client();
    client.add("Buy milk").unwrap();
    client.add("Bread").unwrap();
    client.edit(2, Edit::Delete).unwrap();
    let mut events = Events::open(app.address, "any");

    let reset = events.expect("reset");
    assert_eq!((reset.data, &*reset.last_id), (json!({}), ""));
    let snapshot = events.expect("updates");
    assert_eq!(snapshot.last_id, "");
    let titles: Vec<_> =
        snapshot.data.as_array().unwrap().iter().map(|u| &u["task"]["title"]).collect();
    assert_eq!(titles, ["Buy milk", "Bread"]);
    assert_eq!(snapshot.data[0]["action"], "SNAPSHOT");
    assert_eq!(snapshot.data[1]["task"]["deleted"], true);
    let synced = events.expect("synced");
    assert_eq!(synced.data, json!({ "listId": "test-list", "revision": "3" }));
    assert_eq!(synced.last_id, "test-list:3");

    post(app.address, "CompleteTask", r#"{"taskId":1,"requestId":"r1"}"#);
    let completed = events.expect("updates");
    assert_eq!(completed.last_id, "test-list:4");
    let update = &completed.data[0];
    assert_eq!((&update["action"], &update["revision"]), (&json!("COMPLETED"), &json!("4")));
    assert_eq!((&update["requestId"], &update["task"]["completed"]), (&json!("r1"), &json!(true)));
    assert_eq!(update["task"]["title"], "Buy milk");
    for (edit, action) in [
        (Edit::Reopen, "REOPENED"),
        (Edit::Retitle("Oat milk".to_owned()), "UPDATED"),
        (Edit::Delete, "DELETED"),
        (Edit::Restore, "RESTORED"),
    ] {
        client.edit(1, edit).unwrap();
        assert_eq!(events.expect("updates").data[0]["action"], action);
    }
}

#[test]
fn a_browser_that_reconnects_gets_missed_changes_once_and_in_order() {
    let (server, app) = app::start();
    let client = server.client();
    client.add("first").unwrap();
    let mut events = Events::open(app.address, "any");
    let (_, mut place) = events.snapshot();
    let mut revision = 1;
    // Each round cuts the stream at another position, also between batches of one resume.
    for round in 0..20 {
        let missed = round * 17 % 50;
        drop(events);
        for n in 0..missed {
            client.add(&format!("{round} {n}")).unwrap();
        }
        events = Events::resume(app.address, "any", &place);
        let goal = revision + missed;
        while revision < goal {
            let event = events.expect("updates");
            for update in event.data.as_array().unwrap() {
                revision += 1;
                assert_eq!(revision_of(update), revision);
            }
            place = event.last_id;
            assert_eq!(place, format!("test-list:{revision}"));
            if revision % 3 == 0 {
                events = Events::resume(app.address, "any", &place);
            }
        }
        let synced = events.expect("synced");
        assert_eq!((synced.last_id, revision), (format!("test-list:{goal}"), goal));
    }
}

#[test]
fn an_unusable_event_id_starts_with_a_snapshot() {
    let (server, app) = app::start();
    server.client().add("a").unwrap();
    for id in [
        "other-list:1",
        "test-list:99",
        "test-list:-1",
        "test-list:1x",
        "test-list:9223372036854775808",
        "test-list",
        ":1",
        "nonsense",
    ] {
        let (tasks, place) = Events::resume(app.address, "any", id).snapshot();
        assert_eq!((tasks.len(), &*place), (1, "test-list:1"), "{id}");
    }
}

#[test]
fn compacted_history_starts_with_a_snapshot() {
    let history = Retention { revisions: 10, revisions_max: 10, ..Retention::default() };
    let limits = ServerLimits { retention: history, ..ServerLimits::default() };
    let server = TestServer::with(Box::new(MemoryStore::new("test-list")), limits);
    let app = App::serving(&server.address, Limits::default());
    let client = server.client();
    for n in 0..500 {
        client.add(&format!("task {n}")).unwrap();
    }
    until("history is compacted", || {
        let listed = post(app.address, "ListChanges", r#"{"afterRevision":"5"}"#);
        listed.status == 400
    });
    let (tasks, place) = Events::resume(app.address, "any", "test-list:5").snapshot();
    assert_eq!((tasks.len(), &*place), (500, "test-list:500"));
}

#[test]
fn the_filter_selects_tasks() {
    let (server, app) = app::start();
    let client = server.client();
    for title in ["open", "completed", "deleted"] {
        client.add(title).unwrap();
    }
    client.edit(2, Edit::Complete).unwrap();
    client.edit(3, Edit::Delete).unwrap();
    for (filter, titles) in [
        ("live", &["open", "completed"][..]),
        ("open", &["open"]),
        ("completed", &["completed"]),
        ("deleted", &["deleted"]),
        ("any", &["open", "completed", "deleted"]),
    ] {
        let (tasks, place) = Events::open(app.address, filter).snapshot();
        let shown: Vec<_> = tasks.iter().map(|task| &task["title"]).collect();
        assert_eq!(shown, titles, "{filter}");
        assert_eq!(place, "test-list:5");
    }
    let mut unsaid = Connection::open(app.address);
    unsaid.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(unsaid.head().status, 200);
    for query in ["filter=all", "filter=", "filter=ANY"] {
        let refused = get(app.address, &format!("/events?{query}"));
        assert_eq!(refused.error(), (400, "invalid_argument".to_owned()), "{query}");
    }
}

#[test]
fn a_large_list_comes_in_events_of_at_most_a_thousand_tasks() {
    let (server, app) = app::start();
    let client = server.client();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..400).for_each(|_| drop(client.add("task").unwrap())));
        }
    });
    let mut events = Events::open(app.address, "any");
    events.expect("reset");
    let mut ids = Vec::new();
    while ids.len() < 3_200 {
        let event = events.expect("updates");
        let updates = event.data.as_array().unwrap();
        assert!(updates.len() <= 1_000);
        ids.extend(updates.iter().map(|update| update["task"]["id"].as_i64().unwrap()));
    }
    assert_eq!(ids, (1..=3_200).collect::<Vec<_>>());
    assert_eq!(events.expect("synced").last_id, "test-list:3200");
}

#[test]
fn a_quiet_stream_sends_signs_of_life() {
    let limits = Limits { alive_interval: Duration::from_millis(50), ..Limits::default() };
    let (server, app) = app::start_with(limits);
    let mut events = Events::open(app.address, "any");
    let (_, place) = events.snapshot();
    for _ in 0..2 {
        assert_eq!(events.expect("alive").last_id, place, "the position stays");
    }
    server.client().add("a").unwrap();
    assert_eq!(events.expect("updates").last_id, "test-list:1");
}

#[test]
fn shutdown_ends_streams_and_a_browser_resumes_elsewhere() {
    let (server, app) = app::start();
    let mut events = Events::open(app.address, "any");
    let (_, place) = events.snapshot();
    app.stop();
    assert_eq!(events.next(), None);
    server.client().add("missed").unwrap();
    // The browser reconnects by itself, and continues at its position.
    let app = App::serving(&server.address, Limits::default());
    let mut events = Events::resume(app.address, "any", &place);
    assert_eq!(events.expect("updates").data[0]["task"]["title"], "missed");
}

#[test]
fn a_browser_that_leaves_ends_its_watch() {
    let store = Box::new(MemoryStore::new("test-list"));
    let server =
        TestServer::with(store, ServerLimits { watchers_max: 1, ..ServerLimits::default() });
    let app = App::serving(&server.address, Limits::default());
    for _ in 0..20 {
        let mut events = Events::open(app.address, "any");
        // The watch before may not have ended yet: then todo-web says so and tries again.
        let first = events.next().unwrap();
        let first = if first.name == "offline" { events.next().unwrap() } else { first };
        assert_eq!(first.name, "reset");
    }
}
