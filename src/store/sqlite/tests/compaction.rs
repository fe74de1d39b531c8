use super::*;
use crate::store::sqlite::history::{TASKS_AT, changes_sql};

/// A list of random changes, at most one step long.
fn changed(fixture: &Fixture, changes: usize) -> (SqliteStore, Oracle) {
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    for _ in 0..changes {
        let step = oracle.some_step();
        store.commit(&oracle.batch(&step)).unwrap();
    }
    (store, oracle)
}

/// What the history table holds.
fn revisions(store: &SqliteStore) -> Vec<i64> {
    let mut statement =
        store.connection.prepare("SELECT revision FROM changes ORDER BY revision").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_was_compacted_survives_a_kill_and_a_restart() {
    let fixture = Fixture::new();
    let (mut store, oracle) = changed(&fixture, 60);
    for compacted in 1..=60 {
        assert_eq!(store.compact(&due_up_to(compacted)).unwrap(), compacted);
        let killed = fixture.after_kill();
        let (survivor, loaded) = killed.open();
        assert_eq!((loaded.compacted, loaded.tasks), (compacted, oracle.tasks()));
        assert_eq!(revisions(&survivor), revisions(&store));
        if compacted % 7 == 0 {
            Box::new(store).close().unwrap();
            store = fixture.open().0;
            assert_eq!(
                store.compact(&due_up_to(1)).unwrap(),
                compacted,
                "the compacted revision never decreases"
            );
        }
    }
    assert_eq!(revisions(&store).len(), oracle.list.len());
}

#[test]
fn a_step_with_nothing_due_writes_nothing() {
    let fixture = Fixture::new();
    let (mut store, _) = changed(&fixture, 10);
    store.compact(&due_up_to(5)).unwrap();
    let files = fixture.bytes();
    for up_to in [0, 4, 5] {
        assert_eq!(store.compact(&due_up_to(up_to)).unwrap(), 5);
    }
    assert!(fixture.bytes() == files);
    store.compact(&due_up_to(6)).unwrap();
    assert!(fixture.bytes() != files);
}

#[test]
fn a_lock_of_another_program_refuses_a_step_and_the_store_continues() {
    let fixture = Fixture::new();
    let (mut store, mut oracle) = changed(&fixture, 10);
    let before = revisions(&store);
    let shell = Connection::open(fixture.database()).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.compact(&due_up_to(5));
    assert!(
        refused.as_ref().is_err_and(|refused| refused.kind == StoreErrorKind::Busy),
        "{refused:?}"
    );
    shell.execute_batch("COMMIT").unwrap();
    assert_eq!(revisions(&store), before);
    assert_eq!(store.compact(&due_up_to(5)).unwrap(), 5);
    store.commit(&oracle.batch("add milk")).unwrap();
}

#[test]
fn a_failed_step_ends_the_store() {
    let fixture = Fixture::new();
    let (mut store, mut oracle) = changed(&fixture, 10);
    let (before, tasks) = (revisions(&store), oracle.tasks());
    let fail = "CREATE TRIGGER fail BEFORE INSERT ON list BEGIN SELECT raise(ABORT, 'no'); END";
    store.connection.execute_batch(fail).unwrap();
    let failed = store.compact(&due_up_to(10));
    assert!(failed.unwrap_err().to_string().contains("no, SQLite code"));

    let refused = store.compact(&due_up_to(0)).unwrap_err();
    assert!(refused.to_string().contains("an earlier write failed"), "{refused}");
    let refused = store.commit(&oracle.batch("add x"));
    assert!(matches!(&refused, Err(CommitError::Unknown(why)) if why.contains("earlier")));
    let files = fixture.bytes();
    Box::new(store).close().unwrap();
    assert!(fixture.bytes() == files, "closing wrote after a failed step");
    let (store, loaded) = fixture.open();
    assert_eq!((loaded.compacted, loaded.tasks), (0, tasks));
    assert_eq!(revisions(&store), before);
}

#[test]
fn a_store_that_was_not_loaded_compacts_nothing() {
    let fixture = Fixture::new();
    drop(changed(&fixture, 10));
    let mut store = SqliteStore::open(fixture.path()).unwrap();
    let refused = store.compact(&due_up_to(5)).unwrap_err();
    assert!(refused.to_string().contains("not loaded"), "{refused}");
}

/// Reads search the tables, however long the list is.
#[test]
fn the_history_is_searched_never_scanned() {
    let fixture = Fixture::new();
    let (store, _) = changed(&fixture, 10);
    for (sql, expected) in [
        (changes_sql(false), &["SEARCH c USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"][..]),
        (
            changes_sql(true),
            &["SEARCH c USING INDEX changes_by_task (task_id=? AND rowid>? AND rowid<?)"],
        ),
        (
            TASKS_AT,
            &[
                "CO-ROUTINE t",
                "SEARCH tasks USING INTEGER PRIMARY KEY (rowid>?)",
                "CORRELATED SCALAR SUBQUERY 1",
                "SEARCH c USING COVERING INDEX changes_by_task (task_id=? AND rowid<?)",
                "CORRELATED SCALAR SUBQUERY 2",
                "SEARCH n USING COVERING INDEX changes_by_task (task_id=? AND rowid>?)",
                "SCAN t",
                "SEARCH c USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
                "SEARCH n USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
            ],
        ),
    ] {
        let mut plan = store.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let lines = plan.raw_query().mapped(|row| row.get(3));
        assert_eq!(lines.map(Result::unwrap).collect::<Vec<String>>(), expected, "{sql}");
    }
}
