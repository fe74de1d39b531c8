use super::*;
use crate::limits::LOG_BYTES_MAX;
use crate::store::sqlite::history::SqliteHistory;
use crate::store::{ChangeRange, History, HistoryError};
use std::sync::{Arc, mpsc};
use std::thread;

fn everything() -> ChangeRange {
    ChangeRange { after: 0, up_to: i64::MAX, task: None, complete: true, max: 1_000 }
}

/// What the error of a read says is damaged.
fn damage<T: std::fmt::Debug>(read: Result<T, HistoryError>) -> String {
    match read {
        Err(HistoryError::Store(error)) if error.kind == StoreErrorKind::Damaged => {
            let message = error.to_string();
            let (_, detail) = message.split_once(" is damaged (").unwrap();
            detail.split_once("): stop todod and run").unwrap().0.to_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// A list whose history was open before another program wrote to it.
fn tampered(sql: &[&str]) -> (Fixture, Box<dyn History>) {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk; done 1 #a; add eggs; add bread")).unwrap();
    let history = store.history().unwrap();
    sql.iter().for_each(|sql| fixture.tamper(sql));
    (fixture, history)
}

#[test]
fn damaged_changes_are_reported() {
    let of_checksum = |revision| format!("change {revision}: it does not match its checksum");
    for (sql, expected) in [
        ("UPDATE changes SET action = 'ADDED' WHERE revision = 2", of_checksum(2)),
        ("UPDATE changes SET batch_revision = 1 WHERE revision = 2", of_checksum(2)),
        ("UPDATE changes SET previous = 0 WHERE revision = 2", of_checksum(2)),
        ("UPDATE changes SET at = at + 1 WHERE revision = 2", of_checksum(2)),
        ("UPDATE changes SET request_id = 'b' WHERE revision = 2", of_checksum(2)),
        ("UPDATE changes SET request_id = '' WHERE revision = 2", of_checksum(2)),
        ("UPDATE changes SET record = x'' WHERE revision = 2", of_checksum(2)),
        ("UPDATE changes SET checksum = 1 << 40 WHERE revision = 2", of_checksum(2)),
        ("UPDATE changes SET task_id = 1 << 40 WHERE revision = 3", of_checksum(3)),
        ("UPDATE changes SET revision = 5 WHERE revision = 4", of_checksum(5)),
        (
            "UPDATE changes SET action = CAST(x'c328' AS TEXT) WHERE revision = 2",
            "change 2: Conversion error from type Text at index: 4, invalid utf-8 sequence of 1 \
             bytes from index 0"
                .to_owned(),
        ),
        ("DELETE FROM changes WHERE revision = 1", "change 1 is missing".to_owned()),
        ("DELETE FROM changes WHERE revision = 3", "change 3 is missing".to_owned()),
        (
            "UPDATE list SET compacted = 1",
            "the row of the list: it does not match its checksum".to_owned(),
        ),
        ("DELETE FROM list", "the row of the list is missing".to_owned()),
        ("DROP TABLE changes", "no such table: changes".to_owned()),
    ] {
        let (_fixture, mut history) = tampered(&[sql]);
        assert_eq!(damage(history.changes(&everything())), expected, "{sql}");
    }
}

/// Whoever does not read the damaged change is not affected.
#[test]
fn a_damaged_change_affects_only_the_reads_that_need_it() {
    let (_fixture, mut history) = tampered(&["UPDATE changes SET at = at + 1 WHERE revision = 1"]);
    for (after, up_to, task, damaged) in
        [(0, 4, None, true), (1, 4, None, true), (2, 4, None, false), (0, 4, Some(2), false)]
    {
        let read = history.changes(&ChangeRange { after, up_to, task, ..everything() });
        match damaged {
            // The state before change 2 is that after change 1.
            true => assert_eq!(damage(read), "change 1: it does not match its checksum"),
            false => assert!(read.is_ok()),
        }
    }
    assert_eq!(history.tasks_at(4, 0, 9).unwrap().len(), 3);
    assert_eq!(damage(history.tasks_at(1, 0, 9)), "change 1: it does not match its checksum");
}

#[test]
fn a_missing_change_is_reported() {
    let (_fixture, mut history) = tampered(&["DELETE FROM changes WHERE revision IN (1, 3)"]);
    assert_eq!(damage(history.tasks_at(3, 0, 9)), "change 3 is missing");
    let only_2 = ChangeRange { after: 1, up_to: 2, ..everything() };
    assert_eq!(damage(history.changes(&only_2)), "change 1 is missing", "the state before");
}

#[test]
fn a_failed_read_is_an_error() {
    let (fixture, mut history) = tampered(&[]);
    drop(fixture); // removes the directory
    let failed = history.changes(&everything());
    assert!(
        matches!(&failed, Err(HistoryError::Store(e)) if e.kind == StoreErrorKind::Failed),
        "{failed:?}"
    );
}

#[test]
fn an_index_that_disagrees_with_its_table_is_reported() {
    // As an index of no rows, it does not change with the update.
    let set_index = |of_rows: &str| {
        format!(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX changes_by_task ON changes (task_id) {of_rows}'
             WHERE name = 'changes_by_task'"
        )
    };
    let update = "UPDATE changes SET task_id = 2 WHERE revision = 4";
    let (_scene, mut history) = tampered(&[&set_index("WHERE 0"), update, &set_index("")]);
    assert_eq!(damage(history.tasks_at(4, 0, 9)), "change 4: it does not match its checksum");
}

#[test]
fn a_reader_sees_what_is_committed_and_writes_nothing() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    let mut history = store.history().unwrap();
    for n in 1..=5 {
        store.commit(&oracle.batch("add milk")).unwrap();
        assert_eq!(history.changes(&everything()).unwrap().len(), n);
    }
    // Even if it is the last to close, the log stays for recovery.
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
    let mut oracle = Oracle::of(&loaded);
    let mut history = store.history().unwrap();
    store.commit(&oracle.batch("add milk")).unwrap();
    assert_eq!(history.changes(&everything()).unwrap().len(), 1);
    Box::new(store).close().unwrap();
    assert_eq!(fixture.bytes()[1], None, "the log is empty");
    assert_eq!(history.changes(&everything()).unwrap().len(), 1);
    drop(history);
    assert_eq!(fixture.open().1.tasks, oracle.tasks());
}

/// SQLite restarts the log only while nothing reads it, which a reader that pages without a
/// pause must allow. The store waits for that, but not for long: so the log may exceed its
/// limit, but never holds all that is written.
#[test]
fn a_reader_that_pages_does_not_make_the_log_grow() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    let mut history = store.history().unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let reader = thread::spawn(move || {
        let (mut read, mut after) = (0, 0);
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let changes = history.changes(&ChangeRange { after, ..everything() }).unwrap();
            after = changes.last().map_or(0, |recorded| recorded.change.revision);
            read += changes.len();
        }
        read
    });
    let script = vec![format!("add {}", "x".repeat(1_000)); 64].join(";");
    let log = || fs::metadata(fixture.path().join("todo.db-wal")).unwrap().len();
    let mut longest = 0;
    for _ in 0..600 {
        store.commit(&oracle.batch(&script)).unwrap();
        longest = longest.max(log());
    }
    drop(stop);
    assert!(reader.join().unwrap() > 1_000);
    assert!(longest <= 3 * LOG_BYTES_MAX, "the log had {longest} bytes");
    Box::new(store).close().unwrap();
    assert!(fs::metadata(fixture.database()).unwrap().len() > 8 * LOG_BYTES_MAX);
}
