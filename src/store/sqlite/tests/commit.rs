use super::*;
use crate::model::Task;
use crate::store::Event;
use crate::store::oracle::commit as propose;
use crate::store::sqlite::transaction::{Stage, is_about_a_lock, is_about_space};
use rusqlite::ffi;

/// The table of the history, a line a row, without the tasks.
fn changes(store: &SqliteStore) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', revision, batch_revision, previous, action, task_id, at,
        request_id, iif(record = x'', 'empty', '')) FROM changes ORDER BY revision";
    let mut statement = store.connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|row| row.unwrap().trim_end().to_owned()).collect()
}

#[test]
fn every_kind_of_change_is_stored() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    for script in [
        "add milk",
        "done 1 #a",
        "add eggs #b",
        "reopen 1; retitle 1 Brød 👩‍👧; done 1",
        "delete 1",
        "restore 1; done 2; delete 2",
    ] {
        store.commit(&oracle.batch(script)).unwrap();
    }
    let mut expected = vec![
        "1 1 0 ADDED 1 1001",
        "2 2 1 COMPLETED 1 1002 a",
        "3 3 0 ADDED 2 1003 b",
        "4 4 2 REOPENED 1 1004",
        "5 5 4 UPDATED 1 1005",
        "6 6 5 COMPLETED 1 1006",
        "7 7 6 DELETED 1 1007",
        "8 8 7 RESTORED 1 1008",
        "9 9 3 COMPLETED 2 1009",
        "10 10 9 DELETED 2 1010",
    ];
    assert_eq!(changes(&store), expected);
    store.commit(&oracle.batch("add bread; purge 2 #c")).unwrap();
    expected[2] = "3 3 0 ADDED 2 1003 b empty";
    expected[8] = "9 9 3 COMPLETED 2 1009  empty";
    expected[9] = "10 10 9 DELETED 2 1010  empty";
    expected.extend(["11 11 0 ADDED 3 1011", "12 12 10 PURGED 2 1012 c empty"]);
    assert_eq!(changes(&store), expected);
    drop(store);
    let (_, again) = fixture.open();
    let (tasks, head) = (oracle.tasks(), oracle.list.head());
    assert_eq!((head.revision, head.last_id), (12, 3));
    let (requests, last_request) = (again.requests.clone(), 3);
    assert_eq!(again, Loaded { tasks, head, requests, last_request, ..loaded });
}

/// A list whose newest task was purged does not give its id to another task.
#[test]
fn an_empty_list_keeps_its_head() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk; delete 1; purge 1")).unwrap();
    for compacted in [0, 3] {
        assert_eq!(store.compact(&due_up_to(compacted)).unwrap(), compacted);
        drop(store);
        let (again, loaded) = fixture.open();
        assert_eq!((loaded.head, &loaded.tasks), (oracle.list.head(), &Vec::new()));
        store = again;
    }
    assert_eq!(changes(&store), [""; 0]);
    store.commit(&oracle.batch("add eggs")).unwrap();
    drop(store);
    let ids: Vec<_> =
        fixture.open().1.tasks.iter().map(|task: &std::sync::Arc<Task>| task.id).collect();
    assert_eq!(ids, [2]);
}

#[test]
fn a_proposal_reports_what_became_of_it() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    let batch = oracle.batch("add milk #a");
    let shell = Connection::open(fixture.database()).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    match propose(&mut store, &batch) {
        Ok(Event::Refused(error)) => assert_eq!(error.kind, StoreErrorKind::Busy),
        other => panic!("{other:?}"),
    }
    shell.execute_batch("COMMIT").unwrap();
    assert!(matches!(propose(&mut store, &batch), Ok(Event::Committed)));
    let fail = "CREATE TRIGGER fail BEFORE INSERT ON list BEGIN SELECT raise(ABORT, 'no'); END";
    store.connection.execute_batch(fail).unwrap();
    for _ in 0..2 {
        let error = propose(&mut store, &oracle.batch("add eggs")).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Failed);
        assert!(error.to_string().contains("outcome is unknown"), "{error}");
    }
}

#[test]
fn what_was_committed_survives_a_kill() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    let mut closed = Vec::new();
    for n in 1..=50 {
        store.commit(&oracle.batch(&format!("add {n} #{n}; done {n}"))).unwrap();
        let killed = fixture.after_kill();
        let (mut survivor, after) = killed.open();
        assert_eq!(killed.bytes()[1], None, "what recovery read is not written anew");
        assert_eq!(after.tasks, oracle.tasks());
        assert!(survivor.find_request(n).unwrap().is_some());
        closed = after.tasks;
    }
    assert_eq!(closed.len(), 50);
}

#[test]
fn closing_leaves_one_file_and_frees_the_directory() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk")).unwrap();
    assert!(fixture.bytes()[1].is_some());
    Box::new(store).close().unwrap();
    assert_eq!(fixture.bytes()[1], None);
    assert_eq!(fixture.open().1.tasks, oracle.tasks());
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk #a")).unwrap();
    let before = oracle.tasks();
    // The last statement of the batch fails.
    let fail = "CREATE TRIGGER fail BEFORE INSERT ON list BEGIN SELECT raise(ABORT, 'no'); END";
    store.connection.execute_batch(fail).unwrap();
    let failed = store.commit(&oracle.batch("add eggs; done 1 #b"));
    assert!(matches!(failed, Err(CommitError::Unknown(_))), "{failed:?}");
    drop(store);
    let (mut store, loaded) = fixture.open();
    assert_eq!((loaded.tasks, loaded.last_request), (before, 1));
    assert_eq!(store.find_request(2).unwrap(), None);
}

#[test]
fn a_lock_of_another_program_refuses_a_batch_and_the_store_continues() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk #a")).unwrap();
    let before = oracle.list.clone();
    let shell = Connection::open(fixture.database()).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..2 {
        let refused = store.commit(&oracle.batch("add eggs #b"));
        assert!(matches!(refused, Err(CommitError::Busy(_))), "{refused:?}");
        oracle.list = before.clone();
        assert!(store.find_request(1).unwrap().is_some(), "reading continues");
    }
    shell.execute_batch("COMMIT").unwrap();
    store.commit(&oracle.batch("add bread #b")).unwrap();
    drop(store);
    assert_eq!(fixture.open().1.tasks, oracle.tasks());
}

/// A write of the same connection that is not read to its end is the one way to have
/// SQLITE_BUSY from COMMIT in write-ahead mode.
#[test]
fn a_commit_that_is_busy_is_rolled_back() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk")).unwrap();
    let before = oracle.list.clone();
    store.connection.execute_batch("CREATE TABLE scratch (x)").unwrap();
    let unfinished = "INSERT INTO scratch VALUES ('a') RETURNING x";
    let mut statement = store.connection.prepare(unfinished).unwrap();
    let mut rows = statement.query([]).unwrap();
    assert!(rows.next().unwrap().is_some());
    let Condition::Sound(list) = &store.condition else { panic!("the store is loaded") };
    let refused =
        crate::store::sqlite::commit::commit(&store.connection, list, &oracle.batch("add eggs"));
    assert!(matches!(refused, Err(CommitError::Busy(_))), "{refused:?}");
    assert!(store.connection.is_autocommit(), "a transaction is left open");
    drop(rows);
    drop(statement);
    oracle.list = before;
    store.commit(&oracle.batch("add bread")).unwrap();
    drop(store);
    assert_eq!(fixture.open().1.tasks, oracle.tasks());
}

/// COMMIT itself fails on a deferred foreign key. Any failure there but a full disk
/// has an unknown outcome, for the store as for one of the disk's.
#[test]
fn a_failed_commit_ends_the_store() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk")).unwrap();
    let before = oracle.tasks();
    store
        .connection
        .execute_batch(
            "CREATE TABLE orphans (parent REFERENCES list (one) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER t AFTER INSERT ON changes BEGIN INSERT INTO orphans VALUES (2); END;",
        )
        .unwrap();
    let failed = store.commit(&oracle.batch("add eggs"));
    let Err(CommitError::Unknown(why)) = failed else { panic!("{failed:?}") };
    assert!(why.contains("FOREIGN KEY"), "{why}");

    store.connection.execute_batch("ROLLBACK; DROP TRIGGER t").unwrap();
    let refused = store.commit(&oracle.batch("add bread"));
    assert!(matches!(&refused, Err(CommitError::Unknown(why)) if why.contains("earlier")));
    let files = fixture.bytes();
    Box::new(store).close().unwrap();
    assert!(fixture.bytes() == files, "closing wrote after a failed commit");
    assert_eq!(fixture.open().1.tasks, before);
}

#[test]
fn a_store_that_was_not_loaded_commits_nothing() {
    let fixture = Fixture::new();
    let mut oracle = Oracle::of(&fixture.open().1);
    let mut store = SqliteStore::open(fixture.path()).unwrap();
    let refused = store.commit(&oracle.batch("add milk"));
    assert!(matches!(&refused, Err(CommitError::Unknown(why)) if why.contains("not loaded")));
}

#[test]
fn which_failures_are_about_space() {
    use Stage::{BeforeCommit, Commit};
    for (stage, code, about_space) in [
        (BeforeCommit, ffi::SQLITE_FULL, true),
        (Commit, ffi::SQLITE_FULL, true),
        (BeforeCommit, ffi::SQLITE_IOERR_SHMSIZE, true),
        (Commit, ffi::SQLITE_IOERR_SHMSIZE, false),
        (BeforeCommit, ffi::SQLITE_IOERR_WRITE, false),
        (Commit, ffi::SQLITE_IOERR_WRITE, false),
        (Commit, ffi::SQLITE_IOERR_FSYNC, false),
        (BeforeCommit, ffi::SQLITE_IOERR_READ, false),
        (BeforeCommit, ffi::SQLITE_CORRUPT, false),
        (BeforeCommit, ffi::SQLITE_NOMEM, false),
        (BeforeCommit, ffi::SQLITE_BUSY, false),
    ] {
        assert_eq!(is_about_space(stage, code), about_space, "{stage:?}, code {code}");
    }
}

#[test]
fn which_failures_are_about_a_lock() {
    use Stage::{BeforeCommit, Commit};
    for (stage, code, about_a_lock) in [
        (BeforeCommit, ffi::SQLITE_BUSY, true),
        (BeforeCommit, ffi::SQLITE_BUSY_RECOVERY, true),
        (BeforeCommit, ffi::SQLITE_LOCKED, true),
        (BeforeCommit, ffi::SQLITE_PROTOCOL, false),
        (BeforeCommit, ffi::SQLITE_IOERR_LOCK, false),
        (BeforeCommit, ffi::SQLITE_FULL, false),
        (Commit, ffi::SQLITE_BUSY, true),
        (Commit, ffi::SQLITE_BUSY_RECOVERY, false),
        (Commit, ffi::SQLITE_LOCKED, false),
        (Commit, ffi::SQLITE_IOERR_FSYNC, false),
    ] {
        assert_eq!(is_about_a_lock(stage, code), about_a_lock, "{stage:?}, code {code}");
    }
}
