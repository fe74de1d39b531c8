use super::*;
use std::time::Duration;

#[test]
fn a_request_is_remembered_across_restarts() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    let mut expected = Vec::new();
    // The last changes nothing, and is remembered all the same.
    for turn in ["add milk #a", "done 1 #b; retitle 1 bread #c", "done 1 #d"] {
        let batch = story.turn(turn);
        store.commit(&batch).unwrap();
        expected.extend(batch.remembered);
    }
    for _ in 0..2 {
        for remembered in &expected {
            let found = store.find_request(&remembered.request_id).unwrap();
            assert_eq!(found.as_ref(), Some(remembered));
        }
        assert_eq!(store.find_request(&id("e")).unwrap(), None);
        drop(store);
        store = fixture.open().0;
    }
}

/// Requests 1, 2, 3 .. come one a second, each in its own turn.
fn remembered_after(requests: i64, retention: Retention) -> Vec<i64> {
    let fixture = Fixture::new();
    let mut store =
        SqliteStore::open_with(fixture.path(), IfMissing::Refuse, retention, schema::MIGRATIONS)
            .unwrap();
    let mut story = Story::of(&store.load().unwrap());
    for n in 1..=requests {
        story.clock = n * 1_000_000;
        store.commit(&story.turn(&format!("add x #{n}"))).unwrap();
    }
    let known = |n: &i64| store.find_request(&id(&n.to_string())).unwrap().is_some();
    (1..=requests).filter(known).collect()
}

#[test]
fn which_requests_are_remembered() {
    let limits = |kept, kept_min, kept_max, forgotten_per_commit| Retention {
        kept: Duration::from_secs(kept),
        kept_max,
        kept_min,
        forgotten_per_commit,
    };
    for (what, retention, from) in [
        ("young and few: all", limits(100, 2, 50, 9), 1),
        ("older than 5 s go", limits(5, 2, 50, 9), 15),
        ("but not the newest 8", limits(5, 8, 50, 9), 13),
        ("young, but more than 10", limits(100, 2, 10, 9), 11),
        ("age and number", limits(5, 2, 10, 9), 15),
        ("none a commit", limits(5, 2, 10, 0), 1),
    ] {
        assert_eq!(remembered_after(20, retention), (from..=20).collect::<Vec<_>>(), "{what}");
    }
}

#[test]
fn a_commit_forgets_a_few_and_stops_at_the_first_it_keeps() {
    let fixture = Fixture::new();
    let retention = Retention {
        kept: Duration::from_secs(10),
        kept_max: 100,
        kept_min: 1,
        forgotten_per_commit: 4,
    };
    let mut store =
        SqliteStore::open_with(fixture.path(), IfMissing::Refuse, retention, schema::MIGRATIONS)
            .unwrap();
    let mut story = Story::of(&store.load().unwrap());
    let mut turn = |seconds: i64, script: &str| {
        story.clock = seconds * 1_000_000;
        store.commit(&story.turn(script)).unwrap();
        let count = "SELECT concat_ws(' ', min(seq), max(seq), count(*)) FROM requests";
        store.connection.query_row(count, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(turn(0, "add a #1; done 1 #2; done 1 #3; done 1 #4; done 1 #5"), "1 5 5");
    assert_eq!(turn(50, "done 1 #6"), "5 6 2", "four at most");
    // The clock went back, so 6 looks young. What waits behind it keeps its place.
    assert_eq!(turn(5, "done 1 #7"), "5 7 3");
    assert_eq!(turn(30, "done 1 #8"), "6 8 3", "7 is due, but behind 6");
    // A commit without requests forgets, too; the newest stays for its number.
    assert_eq!(turn(500, "add b"), "8 8 1");
}
