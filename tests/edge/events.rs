//! `GET /events`: the list, then what changes, without loss.

use std::time::Duration;

use serde_json::json;
use todo::client::Edit;
use todo::state::{Limits as ServerLimits, Retention};
use todo::store::MemoryStore;
use todo::web::Limits;

use crate::edge::{self, Edge};
use crate::harness::{TestServer, until};
use crate::http::{Connection, Events, get, post, revision_of};

#[test]
fn first_the_list_then_each_change_with_its_place() {
    let (server, edge) = edge::start();
    let client = server.client();
    client.add("Buy milk").unwrap();
    client.add("Bread").unwrap();
    client.edit(2, Edit::Delete).unwrap();
    let mut events = Events::open(edge.address, "any");

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

    post(edge.address, "CompleteTask", r#"{"taskId":1,"requestId":"r1"}"#);
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
fn a_browser_that_comes_back_gets_what_it_missed_once_and_in_order() {
    let (server, edge) = edge::start();
    let client = server.client();
    client.add("first").unwrap();
    let mut events = Events::open(edge.address, "any");
    let (_, mut place) = events.snapshot();
    let mut revision = 1;
    // It is cut off in a different place each time, in the middle of a burst, too.
    for round in 0..20 {
        let missed = round * 17 % 50;
        drop(events);
        for n in 0..missed {
            client.add(&format!("{round} {n}")).unwrap();
        }
        events = Events::resume(edge.address, "any", &place);
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
                events = Events::resume(edge.address, "any", &place);
            }
        }
        let synced = events.expect("synced");
        assert_eq!((synced.last_id, revision), (format!("test-list:{goal}"), goal));
    }
}

#[test]
fn a_place_that_is_none_starts_anew() {
    let (server, edge) = edge::start();
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
        let (tasks, place) = Events::resume(edge.address, "any", id).snapshot();
        assert_eq!((tasks.len(), &*place), (1, "test-list:1"), "{id}");
    }
}

#[test]
fn history_that_is_gone_is_told_and_the_list_follows() {
    let history = Retention { revisions: 10, revisions_max: 10, ..Retention::default() };
    let limits = ServerLimits { retention: history, ..ServerLimits::default() };
    let server = TestServer::with(Box::new(MemoryStore::new("test-list")), limits);
    let edge = Edge::before(&server.address, Limits::default());
    let client = server.client();
    for n in 0..500 {
        client.add(&format!("task {n}")).unwrap();
    }
    until("history is forgotten", || {
        let listed = post(edge.address, "ListChanges", r#"{"afterRevision":"5"}"#);
        listed.status == 400
    });
    let (tasks, place) = Events::resume(edge.address, "any", "test-list:5").snapshot();
    assert_eq!((tasks.len(), &*place), (500, "test-list:500"));
}

#[test]
fn a_filter_says_which_tasks() {
    let (server, edge) = edge::start();
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
        let (tasks, place) = Events::open(edge.address, filter).snapshot();
        let shown: Vec<_> = tasks.iter().map(|task| &task["title"]).collect();
        assert_eq!(shown, titles, "{filter}");
        assert_eq!(place, "test-list:5");
    }
    let mut unsaid = Connection::open(edge.address);
    unsaid.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(unsaid.head().status, 200);
    for query in ["filter=all", "filter=", "filter=ANY"] {
        let refused = get(edge.address, &format!("/events?{query}"));
        assert_eq!(refused.error(), (400, "invalid_argument".to_owned()), "{query}");
    }
}

#[test]
fn a_large_list_comes_in_events_of_a_thousand_at_most() {
    let (server, edge) = edge::start();
    let client = server.client();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..400).for_each(|_| drop(client.add("task").unwrap())));
        }
    });
    let mut events = Events::open(edge.address, "any");
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
fn what_is_silent_is_told_from_what_is_dead() {
    let limits = Limits { comment_interval: Duration::from_millis(50), ..Limits::default() };
    let (server, edge) = edge::start_with(limits);
    let mut events = Events::open(edge.address, "any");
    events.snapshot();
    events.comment();
    events.comment();
    events.expect("alive");
    server.client().add("a").unwrap();
    assert_eq!(events.expect("updates").last_id, "test-list:1");
}

#[test]
fn the_end_of_the_edge_is_the_end_of_its_streams() {
    let (server, edge) = edge::start();
    let mut events = Events::open(edge.address, "any");
    let (_, place) = events.snapshot();
    edge.stop();
    assert_eq!(events.next(), None);
    server.client().add("meanwhile").unwrap();
    // The browser asks again by itself, and goes on.
    let edge = Edge::before(&server.address, Limits::default());
    let mut events = Events::resume(edge.address, "any", &place);
    assert_eq!(events.expect("updates").data[0]["task"]["title"], "meanwhile");
}

#[test]
fn a_browser_that_leaves_takes_its_watch_along() {
    let store = Box::new(MemoryStore::new("test-list"));
    let server =
        TestServer::with(store, ServerLimits { watchers_max: 1, ..ServerLimits::default() });
    let edge = Edge::before(&server.address, Limits::default());
    for _ in 0..20 {
        let mut events = Events::open(edge.address, "any");
        // One that came before may not be gone yet: then it is said, and tried again.
        let first = events.next().unwrap();
        let first = if first.name == "offline" { events.next().unwrap() } else { first };
        assert_eq!(first.name, "reset");
    }
}
