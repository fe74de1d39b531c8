use super::*;
use crate::limits::LOG_BYTES_MAX;
use crate::store::sqlite::history::SqliteHistory;
use crate::store::{ChangeRange, History, HistoryError};
use std::sync::{Arc, mpsc};
use std::thread;

fn everything() -> ChangeRange {
    ChangeRange { after: 0, up_to: i64::MAX, task: None, complete: true, max: 1_000 }
}

/// What the history said was wrong.
fn damage<T: std::fmt::Debug>(read: Result<T, HistoryError>) -> String {
    match read {
        Err(HistoryError::Store(StoreError::Corrupt { detail, .. })) => detail,
        other => panic!("{other:?}"),
    }
}

/// A list whose history was open before somebody else wrote to it.
fn tampered(sql: &[&str]) -> (Fixture, Box<dyn History>) {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    store.commit(&story.turn("add milk; done 1 #a; add eggs; add bread")).unwrap();
    let history = store.history().unwrap();
    sql.iter().for_each(|sql| fixture.tamper(sql));
    (fixture, history)
}

#[test]
fn changes_that_make_no_sense_are_refused() {
    for (sql, expected) in [
        (
            "UPDATE changes SET action = 'LOST' WHERE revision = 2",
            "change 2 cannot be read: the action \"LOST\" is unknown",
        ),
        (
            "UPDATE changes SET action = 'ADDED' WHERE revision = 2",
            "change 2 cannot be read: its action and its flags disagree",
        ),
        (
            "UPDATE changes SET was_completed = 0, was_deleted = 0 WHERE revision = 1",
            "change 1 cannot be read: its action and its flags disagree",
        ),
        (
            "UPDATE changes SET was_deleted = NULL WHERE revision = 2",
            "change 2 cannot be read: its action and its flags disagree",
        ),
        (
            "UPDATE changes SET request_id = '' WHERE revision = 2",
            "change 2 cannot be read: a request_id is empty",
        ),
        (
            "UPDATE changes SET request_id = 'a b' WHERE revision = 2",
            "change 2 cannot be read: a request_id is made of visible ASCII characters, ' ' (at \
             character 2) is none",
        ),
        (
            "UPDATE changes SET title = ' eggs' WHERE revision = 3",
            "change 3 cannot be read: a title has outer white space",
        ),
        (
            "UPDATE changes SET task_id = 1 << 40 WHERE revision = 3",
            "Integer 1099511627776 out of range at index 0",
        ),
        ("DELETE FROM changes WHERE revision = 1", "change 1 is missing"),
        ("DELETE FROM changes WHERE revision = 3", "change 3 is missing"),
        (
            "UPDATE meta SET value = 'x' WHERE key = 'compacted_revision'",
            "its compacted revision is \"x\"",
        ),
        ("DELETE FROM meta WHERE key = 'compacted_revision'", "the list has no compacted revision"),
        ("DROP TABLE changes", "no such table: changes"),
    ] {
        let (_scene, mut history) = tampered(&[sql]);
        assert_eq!(damage(history.changes(&everything())), expected, "{sql}");
    }
}

#[test]
fn a_task_without_its_change_is_refused() {
    let (_scene, mut history) = tampered(&["DELETE FROM changes WHERE revision = 3"]);
    assert_eq!(damage(history.tasks_at(3, 0, 9)), "change 3 is missing");
    // At revision 2 the task was not there yet.
    assert_eq!(history.tasks_at(2, 0, 9).unwrap().len(), 1);
}

#[test]
fn a_read_that_fails_says_so() {
    let (fixture, mut history) = tampered(&[]);
    drop(fixture); // its directory goes with it
    let failed = history.changes(&everything());
    assert!(matches!(failed, Err(HistoryError::Store(StoreError::Failed { .. }))), "{failed:?}");
}

#[test]
fn an_index_that_disagrees_with_its_table_is_refused() {
    // As the one of no rows, the index does not learn of the update.
    let set_index = |of_rows: &str| {
        format!(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX changes_by_task ON changes (task_id) {of_rows}'
             WHERE name = 'changes_by_task'"
        )
    };
    let update = "UPDATE changes SET task_id = 2 WHERE revision = 4";
    let (_scene, mut history) = tampered(&[&set_index("WHERE 0"), update, &set_index("")]);
    assert_eq!(damage(history.tasks_at(4, 0, 9)), "change 4 is not of task 3");
}

#[test]
fn a_reader_sees_what_is_committed_and_writes_nothing() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    let mut history = store.history().unwrap();
    for n in 1..=5 {
        store.commit(&story.turn("add milk")).unwrap();
        assert_eq!(history.changes(&everything()).unwrap().len(), n);
    }
    // Also when it is the last to close, the log stays for recovery to look at.
    let killed = fixture.after_kill();
    let files = killed.bytes();
    let mut history = SqliteHistory::open(&killed.database(), Arc::default()).unwrap();
    assert_eq!(history.changes(&everything()).unwrap().len(), 5);
    drop(history);
    assert!(killed.bytes() == files);
}

#[test]
fn a_store_closes_before_its_reader() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    let mut history = store.history().unwrap();
    store.commit(&story.turn("add milk")).unwrap();
    assert_eq!(history.changes(&everything()).unwrap().len(), 1);
    Box::new(store).close().unwrap();
    assert_eq!(fixture.bytes()[1], None, "the log is empty");
    assert_eq!(history.changes(&everything()).unwrap().len(), 1);
    drop(history);
    assert_eq!(fixture.open().1.tasks, story.tasks());
}

/// SQLite starts the log over when nobody reads it, which a reader that pages without a
/// pause must let happen. The store waits for that, though not for long: so the log may
/// outgrow its limit, but never holds all that is written.
#[test]
fn a_reader_that_pages_does_not_make_the_log_grow() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    let mut history = store.history().unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let reader = thread::spawn(move || {
        let (mut read, mut after) = (0, 0);
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let changes = history.changes(&ChangeRange { after, ..everything() }).unwrap();
            after = changes.last().map_or(0, |change| change.revision());
            read += changes.len();
        }
        read
    });
    let script = vec![format!("add {}", "x".repeat(1_000)); 64].join(";");
    let log = || fs::metadata(fixture.path().join("todo.db-wal")).unwrap().len();
    let mut longest = 0;
    for _ in 0..600 {
        store.commit(&story.turn(&script)).unwrap();
        longest = longest.max(log());
    }
    drop(stop);
    assert!(reader.join().unwrap() > 1_000);
    assert!(longest <= 3 * LOG_BYTES_MAX, "the log had {longest} bytes");
    Box::new(store).close().unwrap();
    assert!(fs::metadata(fixture.database()).unwrap().len() > 8 * LOG_BYTES_MAX);
}
