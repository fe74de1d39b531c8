//! Damaged files are refused and left as they are, because they may still be rescued. A
//! damaged row that only some callers need is reported to them.

use std::thread;

use super::*;
use crate::store::{ChangeRange, HistoryError, StoreError};

const PAGE: usize = 4096;

/// What recovery said was wrong.
fn detail(error: SqliteError) -> String {
    match error {
        SqliteError::Corrupt { detail, .. } => detail,
        other => panic!("{other}"),
    }
}

#[test]
fn damaged_lists_are_refused() {
    let task = |id: i32| format!("task {id}: it does not match its checksum");
    let list = || "the row of the list: it does not match its checksum".to_owned();
    for (sql, expected) in [
        ("UPDATE tasks SET record = x'0801' WHERE id = 1", task(1)),
        ("UPDATE tasks SET revision = 9 WHERE id = 2", task(2)),
        ("UPDATE tasks SET checksum = checksum + 1 WHERE id = 2", task(2)),
        ("UPDATE tasks SET id = 7 WHERE id = 2", task(7)),
        ("DELETE FROM tasks WHERE id = 2", "it has 1 task instead of 2".to_owned()),
        ("DELETE FROM tasks", "it has 0 tasks instead of 2".to_owned()),
        ("DELETE FROM changes WHERE revision = 3", "change 3 is missing".to_owned()),
        ("DELETE FROM changes WHERE revision = 1", "change 1 is missing".to_owned()),
        ("DELETE FROM changes", "change 3 is missing".to_owned()),
        (
            "UPDATE changes SET revision = 9 WHERE revision = 2",
            "change 9: it is newer than the list".to_owned(),
        ),
        ("UPDATE list SET revision = 2", list()),
        ("UPDATE list SET last_id = 1", list()),
        ("UPDATE list SET changed_at = 0", list()),
        ("UPDATE list SET tasks = 1", list()),
        ("UPDATE list SET list_id = 'x'", list()),
        ("UPDATE list SET last_request = 7", list()),
        ("UPDATE list SET forgotten_request = 1", list()),
        ("DELETE FROM list", "the row of the list is missing".to_owned()),
        ("DROP TABLE changes", "no such table: changes".to_owned()),
    ] {
        let fixture = Fixture::new();
        let (mut store, loaded) = fixture.open();
        store.commit(&Oracle::of(&loaded).batch("add milk; done 1 #a; add bread")).unwrap();
        drop(store);
        fixture.tamper(sql);
        assert_eq!(detail(fixture.refused()), expected, "{sql}");
    }
}

/// Rows that are sound each, but not of the same moment.
#[test]
fn rows_that_disagree_are_refused() {
    let older = |table: &str, row: &str| {
        format!(
            "DELETE FROM {table} WHERE {row}; INSERT INTO {table} SELECT * FROM old.{table} WHERE {row}"
        )
    };
    for (sql, expected) in [
        (older("list", "one = 1"), "task 1: it is newer than the list"),
        (older("tasks", "id = 1"), "task 1: it is not what change 3 made of it"),
        ("DELETE FROM changes WHERE revision > 2".to_owned(), "change 3 is missing"),
        (
            older("tasks", "id = 1") + ";" + &older("list", "one = 1"),
            "change 3: it is newer than the list",
        ),
    ] {
        let fixture = Fixture::new();
        let (mut store, loaded) = fixture.open();
        let mut oracle = Oracle::of(&loaded);
        store.commit(&oracle.batch("add milk; add bread")).unwrap();
        Box::new(store).close().unwrap();
        let old = Fixture::with_database(&fs::read(fixture.database()).unwrap());
        let (mut store, _) = fixture.open();
        store.commit(&oracle.batch("done 1")).unwrap();
        Box::new(store).close().unwrap();
        let attach = format!("ATTACH '{}' AS old;", old.database().display());
        fixture.tamper(&(attach + &sql));
        let found = detail(fixture.refused());
        assert!(found.starts_with(expected), "{sql}: {found}");
    }
}

#[test]
fn damaged_files_are_refused() {
    let (sound, loaded) = well_used_database();
    assert_eq!(Fixture::with_database(&sound).open().1, loaded);
    let pages = sound.len() / PAGE;
    let garbage = |from: usize, bytes: usize| {
        let mut damaged = sound.clone();
        damaged[from..from + bytes].fill(0xa5);
        damaged
    };
    for (what, damaged) in [
        ("garbage in the first page, after the header", garbage(100, PAGE - 100)),
        ("an impossible page size", garbage(16, 2)),
        ("half a file", sound[..pages / 2 * PAGE].to_vec()),
        ("a file without its last page", sound[..(pages - 1) * PAGE].to_vec()),
        ("the first page alone", sound[..PAGE].to_vec()),
        ("half a header", sound[..50].to_vec()),
        ("format 0", [&sound[..60], &[0; 4], &sound[64..]].concat()),
    ] {
        let fixture = Fixture::with_database(&damaged);
        for _ in 0..2 {
            let error = fixture.refused();
            assert!(matches!(error, SqliteError::Corrupt { .. }), "{what}: {error}");
        }
    }
}

/// All that a database holds, each row by itself.
#[derive(Debug, PartialEq)]
struct Content {
    loaded: Loaded,
    /// The change at each revision with the state before it.
    changes: Vec<Row>,
    /// The tasks at each revision that is not compacted, and each idempotency record.
    others: Vec<Row>,
}

/// A row, or `None` if its damage is reported.
type Row = Option<String>;

fn reported<T: std::fmt::Debug>(read: Result<T, StoreError>) -> Row {
    match read {
        Ok(read) => Some(format!("{read:?}")),
        Err(error) => {
            assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
            None
        }
    }
}

fn of_store(error: HistoryError) -> StoreError {
    match error {
        HistoryError::Store(error) => error,
        compacted => panic!("{compacted}"),
    }
}

fn read_everything(fixture: &Fixture) -> Result<Content, SqliteError> {
    let (mut store, loaded) = fixture.try_open()?;
    let (mut changes, mut others) = (Vec::new(), Vec::new());
    let mut history = store.history().expect("the database is open");
    let newest = loaded.head.revision;
    for after in 0..newest {
        let (up_to, task, complete, max) = (after + 1, None, false, 9);
        let read = history.changes(&ChangeRange { after, up_to, task, complete, max });
        changes.push(reported(read.map_err(of_store)));
    }
    // Some, if there are many.
    for revision in (loaded.compacted..=newest).step_by(1 + newest as usize / 50) {
        others.push(reported(history.tasks_at(revision, 0, 1_000).map_err(of_store)));
    }
    for task in loaded.tasks.iter().take(50) {
        let (task, complete, max) = (Some(task.id), true, 99);
        let (first, middle) = (loaded.compacted, newest / 2);
        for (after, up_to) in [(first, newest), (middle, newest), (first, middle)] {
            let range = ChangeRange { after, up_to, task, complete, max };
            others.push(reported(history.changes(&range).map_err(of_store)));
        }
    }
    for number in 1..=loaded.last_request {
        others.push(reported(store.find_request(number)));
    }
    Ok(Content { loaded, changes, others })
}

/// Reads the damaged file. Returns whether the damage was reported; otherwise it is
/// harmless.
fn check_damage(what: &str, damaged: &[u8], sound: &Content) -> bool {
    let reported = is_reported(what, damaged, sound);
    // Whatever a caller can meet, the check names beforehand.
    let fixture = Fixture::with_database(damaged);
    let checked = SqliteStore::check(&fixture.database(), &mut |_| {});
    let found = checked.map_or(true, |report| report.found > 0);
    assert!(found || !reported, "{what}: the check found nothing");
    reported
}

fn is_reported(what: &str, damaged: &[u8], sound: &Content) -> bool {
    let fixture = Fixture::with_database(damaged);
    let read = match read_everything(&fixture) {
        Ok(read) => read,
        Err(SqliteError::Corrupt { .. }) => return true,
        Err(other) => panic!("{what}: {other}"),
    };
    let same = Loaded { requests: sound.loaded.requests.clone(), ..read.loaded.clone() };
    assert_eq!(same, sound.loaded, "{what}");
    assert_eq!(read.loaded.requests.len(), sound.loaded.requests.len(), "{what}");
    for (index, (read, sound)) in read.changes.iter().zip(&sound.changes).enumerate() {
        // What is left of the compacted history may be less.
        let compacted = index < same.compacted as usize && read.as_deref() == Some("[]");
        assert!(compacted || read.is_none() || read == sound, "{what}: {read:?}, not {sound:?}");
    }
    for (read, sound) in read.others.iter().zip(&sound.others) {
        assert!(read.is_none() || read == sound, "{what}: {read:?}, not {sound:?}");
    }
    read.changes.contains(&None) || read.others.contains(&None)
}

/// Whichever page a disk ruins: what is read is right, or the damage is reported.
#[test]
fn no_ruined_page_gives_wrong_data() {
    let (bytes, _) = well_used_database();
    let sound = read_everything(&Fixture::with_database(&bytes)).unwrap();
    let mut seen = 0;
    let pages = bytes.len() / PAGE;
    for page in 1..pages {
        for ruin in [[0x00; PAGE], [0xa5; PAGE]] {
            let mut damaged = bytes.clone();
            damaged[page * PAGE..(page + 1) * PAGE].copy_from_slice(&ruin);
            seen += usize::from(check_damage(&format!("page {page}"), &damaged, &sound));
        }
    }
    assert!(seen > pages, "{seen} of {} cases", 2 * pages);
}

/// Whichever byte of a row flips: what is read is right, or the damage is reported.
#[test]
fn no_flipped_byte_gives_wrong_data() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    let script = "add milk #request-1; done 1 #request-2; add eggs; delete 2; retitle 1 Brød";
    store.commit(&oracle.batch(script)).unwrap();
    store.commit(&oracle.batch("add bread; delete 3 #request-3; purge 3 #request-4")).unwrap();
    store.compact(&due_up_to(1)).unwrap();
    Box::new(store).close().unwrap();
    let bytes = fs::read(fixture.database()).unwrap();
    let sound = read_everything(&Fixture::with_database(&bytes)).unwrap();
    assert!(!sound.changes.contains(&None) && !sound.others.contains(&None));
    // The cells of a page come after its unused space. The first page is the schema.
    let cells = |page: usize| {
        let bytes = &bytes[page * PAGE + 100..(page + 1) * PAGE];
        let unused = bytes.iter().take_while(|byte| **byte == 0).count();
        page * PAGE + 100 + unused..(page + 1) * PAGE
    };
    let flips: Vec<(usize, u8)> = (1..bytes.len() / PAGE)
        .flat_map(cells)
        .flat_map(|at| [(at, 1 << (at % 8)), (at, 0xff)])
        .collect();
    let check = &|(at, mask): &(usize, u8)| {
        let mut damaged = bytes.clone();
        damaged[*at] ^= mask;
        check_damage(&format!("byte {at} ^ {mask}"), &damaged, &sound)
    };
    let seen: usize = thread::scope(|scope| {
        let threads: Vec<_> = flips
            .chunks(flips.len().div_ceil(8))
            .map(|flips| scope.spawn(move || flips.iter().filter(|flip| check(flip)).count()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // The others are what deleted rows left.
    assert!(flips.len() > 1_500 && seen > flips.len() * 3 / 4, "{seen} of {}", flips.len());
}

#[test]
fn a_refused_list_keeps_its_log() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk")).unwrap();
    drop(store);
    let (mut store, _) = fixture.open();
    store.commit(&oracle.batch("add bread")).unwrap();
    store.connection.execute_batch("DELETE FROM changes WHERE revision = 2").unwrap();
    let killed = fixture.after_kill();
    assert!(killed.bytes()[1].is_some());
    assert_eq!(detail(killed.refused()), "change 2 is missing");
}
