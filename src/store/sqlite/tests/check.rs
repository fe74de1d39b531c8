//! The full check, and the repair of times.

use rusqlite::{Row, params};

use super::*;
use crate::model::Timestamp;
use crate::store::CheckReport;
use crate::store::sqlite::rows::{
    ChangeRow, Checked, REQUESTS, RequestRow, TASKS, TaskRow, change_columns,
};

fn check(path: &Path) -> CheckReport {
    let mut steps = Vec::new();
    let report = SqliteStore::check(path, &mut |progress| steps.push(progress.step)).unwrap();
    steps.dedup();
    assert_eq!(steps, ["file", "tasks", "changes", "idempotency records"]);
    report
}

#[test]
fn sound_lists_have_no_findings() {
    for golden in [GOLDEN_FORMAT_1, GOLDEN_FORMAT_2] {
        let fixture = Fixture::with_database(golden);
        drop(fixture.open());
        assert_eq!(check(fixture.path()).findings, [""; 0]);
    }
    let (bytes, loaded) = well_used_database();
    let fixture = Fixture::with_database(&bytes);
    let (mut store, _) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    for n in 0..300 {
        let step = oracle.some_step();
        store.commit(&oracle.batch(&step)).unwrap();
        if n % 50 == 0 {
            store.compact(&due_up_to(oracle.list.revision() - 20)).unwrap();
        }
    }
    drop(store);
    let report = check(fixture.path());
    assert_eq!(report.findings, [""; 0]);
    assert_eq!(report.tasks, oracle.list.len() as u64);
    assert_eq!(report.revision, oracle.list.revision());
    assert!(report.requests > 600 && report.changes > 600);
}

/// Gives every row a right checksum, so that only a comparison with other rows can tell.
fn make_checksums_right(fixture: &Fixture) {
    fn fix<'r, R: Checked<'r>>(row: &'r Row<'_>) -> rusqlite::Result<(i64, u32)> {
        Ok((row.get(0)?, R::columns(row)?.checksum()))
    }
    let connection = Connection::open(fixture.database()).unwrap();
    let changes = concat!("SELECT ", change_columns!(), " FROM changes AS c");
    type ReadKey = fn(&Row<'_>) -> rusqlite::Result<(i64, u32)>;
    let tables: [(&str, &str, ReadKey); 3] = [
        (TASKS, "UPDATE tasks SET checksum = ?2 WHERE id = ?1", |row| fix::<TaskRow<'_>>(row)),
        (changes, "UPDATE changes SET checksum = ?2 WHERE revision = ?1", |row| {
            fix::<ChangeRow<'_>>(row)
        }),
        (REQUESTS, "UPDATE requests SET checksum = ?2 WHERE number = ?1", |row| {
            fix::<RequestRow<'_>>(row)
        }),
    ];
    for (select, update, fix) in tables {
        let mut select = connection.prepare(select).unwrap();
        let fixed: Vec<_> = select.query_map([], fix).unwrap().map(Result::unwrap).collect();
        for (key, checksum) in fixed {
            connection.execute(update, params![key, checksum]).unwrap();
        }
    }
}

#[test]
fn rows_that_disagree_are_found() {
    // Revisions: task 1 at 1, 2 and 9, task 2 at 3 and 7, task 3 at 4 to 6 (purged), task 4 at 8
    // and 10. Compacted up to 2.
    let script = "add milk #a; done 1; add eggs; add secret #b; delete 3; purge 3; done 2; add salt; \
                  reopen 1 #c; done 4";
    for (sql, expected) in [
        (
            "DELETE FROM changes WHERE revision = 8",
            vec![
                "change 8 is missing",
                "change 10: it names change 8 as the one before it of task 4, but that is change 0",
            ],
        ),
        (
            "DELETE FROM changes WHERE revision IN (9, 10)",
            vec![
                "changes 9 to 10 are missing",
                "task 1: it is at revision 9, but its newest change is 2",
                "task 4: it is at revision 10, but its newest change is 8",
            ],
        ),
        (
            "DELETE FROM changes WHERE revision = 2",
            vec![
                "change 9: it names change 2 as the one before it of task 1, but that is change 0",
            ],
        ),
        (
            "UPDATE changes SET previous = 3 WHERE revision = 9",
            vec![
                "change 9: it names change 3 as the one before it of task 1, but that is change 2",
            ],
        ),
        (
            "UPDATE changes SET batch_revision = 8 WHERE revision = 10",
            vec!["change 10: it is of the batch of revision 8, but the change before it is of 9"],
        ),
        (
            "UPDATE changes SET action = 'ADDED' WHERE revision = 7",
            vec!["change 7: its action is ADDED, and change 3 is before it"],
        ),
        (
            "UPDATE changes SET record = x'' WHERE revision = 3",
            vec!["change 3 of task 2 has no content, but its task was not purged"],
        ),
        (
            "INSERT INTO tasks SELECT 3, 5, record, 0 FROM tasks WHERE id = 1",
            vec![
                "task 3: its record is of task 1 at revision 9",
                "the list has 4 tasks instead of 3",
                "change 4 of task 3 has no content, but its task was not purged",
                "change 5 of task 3 has no content, but its task was not purged",
                "change 6 of task 3 purged its task, which still exists",
            ],
        ),
        (
            "DELETE FROM tasks WHERE id = 2",
            vec![
                "the list has 2 tasks instead of 3",
                "change 3 of task 2 has content, but its task was purged or is missing",
                "change 7 of task 2 has content, but its task was purged or is missing",
                "task 2: it is missing, and change 7 did not purge it",
            ],
        ),
        ("DELETE FROM requests WHERE number = 2", vec!["idempotency record 2 is missing"]),
        ("DELETE FROM requests WHERE number > 1", vec!["idempotency records 2 to 3 are missing"]),
        (
            "UPDATE requests SET number = 7 WHERE number = 3",
            vec![
                "idempotency record 7: the list has those after 0, up to 3",
                "idempotency record 3 is missing",
            ],
        ),
        (
            "UPDATE requests SET fingerprint = CAST(fingerprint || 'x' AS BLOB) WHERE number = 2",
            vec!["idempotency record 2: it has content, but its task was purged or is missing"],
        ),
        ("DELETE FROM list", vec!["the row of the list is missing"]),
    ] {
        let fixture = Fixture::new();
        let (mut store, loaded) = fixture.open();
        store.commit(&Oracle::of(&loaded).batch(script)).unwrap();
        store.compact(&due_up_to(2)).unwrap();
        Box::new(store).close().unwrap();
        fixture.tamper(sql);
        make_checksums_right(&fixture);
        let found = SqliteStore::check(fixture.path(), &mut |_| {}).unwrap();
        assert_eq!(found.findings, expected, "{sql}");
        assert_eq!(found.found, expected.len() as u64);
    }
}

#[test]
fn check_refuses_a_list_in_use_and_changes_nothing() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    store.commit(&Oracle::of(&loaded).batch("add milk")).unwrap();
    for path in [fixture.path(), &fixture.database()] {
        let error = SqliteStore::check(path, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("is in use by"), "{error}");
    }
    let killed = fixture.after_kill();
    let before = killed.bytes();
    assert_eq!((check(killed.path()).revision, check(&killed.database()).revision), (1, 1));
    assert!(killed.bytes() == before);
    let error = SqliteStore::check(&fixture.path().join("none"), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("none: the file is missing or empty; give"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = SqliteStore::check(empty.path(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("todo.db: the file is missing or empty"), "{error}");
    assert_eq!(empty.path().read_dir().unwrap().count(), 0, "no lock file");
}

/// The clock was ahead for a while: the list carries that time from then on.
#[test]
fn repair_replaces_the_times_of_a_clock_that_was_ahead() {
    const FUTURE: i64 = 251_000_000_000_000_000; // the year 9923
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk; add eggs #a; done 1")).unwrap();
    oracle.clock = FUTURE;
    store.commit(&oracle.batch("done 2; add salt #b; delete 3 #c; add oil; purge 3")).unwrap();
    Box::new(store).close().unwrap();
    let now = Timestamp(2_000);
    // The tasks 2 and 4; the changes 4 to 8; the records b and c.
    assert_eq!(SqliteStore::repair_times(fixture.path(), now).unwrap(), 9);
    assert_eq!(SqliteStore::repair_times(fixture.path(), now).unwrap(), 0);
    assert_eq!(check(fixture.path()).findings, [""; 0]);
    let (mut store, repaired) = fixture.open();
    assert_ne!(repaired.list_id, loaded.list_id);
    assert_eq!(repaired.head.changed_at, now);
    assert_eq!(repaired.tasks[0], oracle.tasks()[0], "times in the past stay");
    let times: Vec<_> = repaired.tasks.iter().map(|task| task.updated_at.0).collect();
    assert_eq!(times, [1_003, 2_000, 2_000]);
    oracle = Oracle::of(&repaired);
    oracle.clock = 2_999;
    store.commit(&oracle.batch("reopen 2")).unwrap();
    assert_eq!(oracle.list.head().changed_at, Timestamp(3_000), "time continues");

    let none = Fixture::new();
    assert!(SqliteStore::repair_times(&none.path().join("none"), now).is_err());
    assert!(!none.path().join("none").exists());
}
