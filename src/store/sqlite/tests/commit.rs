use super::*;
use crate::store::CommitError;
use crate::store::sqlite::commit::commit;
use crate::store::sqlite::transaction::{Stage, is_about_a_lock, is_about_space};
use rusqlite::ffi;

/// The history table, a line a row.
fn changes(store: &SqliteStore) -> Vec<String> {
    let mut statement = store
        .connection
        .prepare(
            "SELECT concat_ws(' ', revision, action, task_id, title, deleted, created_at,
                 updated_at, ifnull(completed_at, '-'), ifnull(was_completed, '-'),
                 ifnull(was_deleted, '-'), ifnull(request_id, '-'))
             FROM changes ORDER BY revision",
        )
        .unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn every_kind_of_change_comes_back() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    for turn in [
        "add milk",
        "done 1 #a",
        "reopen 1; retitle 1 Brød 👩‍👧; done 1",
        "delete 1",
        "restore 1; add eggs #b",
        "done 2; delete 2",
    ] {
        store.commit(&story.turn(turn)).unwrap();
    }
    assert_eq!(
        changes(&store),
        [
            "1 ADDED 1 milk 0 1001 1001 - - - -",
            "2 COMPLETED 1 milk 0 1001 1002 1002 0 0 a",
            "3 REOPENED 1 milk 0 1001 1003 - 1 0 -",
            "4 UPDATED 1 Brød 👩‍👧 0 1001 1004 - 0 0 -",
            "5 COMPLETED 1 Brød 👩‍👧 0 1001 1005 1005 0 0 -",
            "6 DELETED 1 Brød 👩‍👧 1 1001 1006 1005 1 0 -",
            "7 RESTORED 1 Brød 👩‍👧 0 1001 1007 1005 1 1 -",
            "8 ADDED 2 eggs 0 1008 1008 - - - b",
            "9 COMPLETED 2 eggs 0 1008 1009 1009 0 0 -",
            "10 DELETED 2 eggs 1 1008 1010 1009 1 0 -",
        ]
    );
    drop(store);
    let (_, again) = fixture.open();
    assert_eq!(again, Loaded { tasks: story.tasks(), ..loaded });
    assert_eq!(Story::of(&again).list.revision(), 10);
}

#[test]
fn what_was_committed_survives_a_kill() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    let mut closed = Vec::new();
    for n in 1..=50 {
        store.commit(&story.turn(&format!("add {n} #{n}; done {n}"))).unwrap();
        let killed = fixture.after_kill();
        let (mut survivor, after) = killed.open();
        assert_eq!(killed.bytes()[1], None, "what recovery read is not written anew");
        assert_eq!(after.tasks, story.tasks());
        assert!(survivor.find_request(&id(&n.to_string())).unwrap().is_some());
        closed = after.tasks;
    }
    assert_eq!(closed.len(), 50);
}

#[test]
fn closing_leaves_one_file_and_frees_the_directory() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    store.commit(&story.turn("add milk")).unwrap();
    assert!(fixture.bytes()[1].is_some());
    Box::new(store).close().unwrap();
    assert_eq!(fixture.bytes()[1], None);
    assert_eq!(fixture.open().1.tasks, story.tasks());
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    store.commit(&story.turn("add milk #a")).unwrap();
    let before = story.tasks();
    // The request id is there already: the last statement of the batch fails.
    let failed = store.commit(&story.turn("add eggs; done 1 #a"));
    assert!(matches!(failed, Err(CommitError::Unknown(_))), "{failed:?}");
    drop(store);
    assert_eq!(fixture.open().1.tasks, before);
}

#[test]
fn somebody_elses_lock_refuses_a_batch_and_the_store_goes_on() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    store.commit(&story.turn("add milk #a")).unwrap();
    let before = story.list.clone();
    let shell = Connection::open(fixture.database()).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..2 {
        let refused = store.commit(&story.turn("add eggs #b"));
        assert!(matches!(refused, Err(CommitError::Busy(_))), "{refused:?}");
        story.list = before.clone();
        assert!(store.find_request(&id("a")).unwrap().is_some(), "reading goes on");
    }
    shell.execute_batch("COMMIT").unwrap();
    store.commit(&story.turn("add bread #b")).unwrap();
    drop(store);
    assert_eq!(fixture.open().1.tasks, story.tasks());
}

/// A write of the same connection that is not read to its end is the one way to have
/// SQLITE_BUSY from COMMIT in write-ahead mode.
#[test]
fn a_commit_that_is_busy_is_rolled_back() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    store.commit(&story.turn("add milk")).unwrap();
    let before = story.list.clone();
    let unfinished = "INSERT INTO meta VALUES ('a', 'b') RETURNING key";
    let mut statement = store.connection.prepare(unfinished).unwrap();
    let mut rows = statement.query([]).unwrap();
    assert!(rows.next().unwrap().is_some());
    let refused = commit(&store.connection, &story.turn("add eggs"), &Retention::default());
    assert!(matches!(refused, Err(CommitError::Busy(_))), "{refused:?}");
    assert!(store.connection.is_autocommit(), "a transaction is left open");
    drop(rows);
    drop(statement);
    story.list = before;
    store.commit(&story.turn("add bread")).unwrap();
    drop(store);
    assert_eq!(fixture.open().1.tasks, story.tasks());
}

/// COMMIT itself fails on a deferred foreign key. Any failure there but a full disk
/// has an unknown outcome, for the store as for one of the disk's.
#[test]
fn a_failed_commit_ends_the_store() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    store.commit(&story.turn("add milk")).unwrap();
    let before = story.tasks();
    store
        .connection
        .execute_batch(
            "CREATE TABLE orphans (parent REFERENCES meta (key) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER t AFTER INSERT ON changes BEGIN INSERT INTO orphans VALUES ('x'); END;",
        )
        .unwrap();
    let failed = store.commit(&story.turn("add eggs"));
    let Err(CommitError::Unknown(why)) = failed else { panic!("{failed:?}") };
    assert!(why.contains("FOREIGN KEY"), "{why}");

    store.connection.execute_batch("ROLLBACK; DROP TRIGGER t").unwrap();
    let refused = store.commit(&story.turn("add bread"));
    assert!(matches!(&refused, Err(CommitError::Unknown(why)) if why.contains("earlier")));
    let files = fixture.bytes();
    Box::new(store).close().unwrap();
    assert!(fixture.bytes() == files, "closing wrote after a failed commit");
    assert_eq!(fixture.open().1.tasks, before);
}

#[test]
fn a_store_that_was_not_loaded_takes_nothing() {
    let fixture = Fixture::new();
    let mut story = Story::of(&fixture.open().1);
    let mut store = SqliteStore::open(fixture.path()).unwrap();
    let refused = store.commit(&story.turn("add milk"));
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
