use super::*;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_new_list_gets_a_directory_of_its_own_and_an_id() {
    let fixture = Fixture::new();
    let dir = fixture.path().join("a/b");
    let (store, loaded) = open_and_load(&dir).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(loaded.tasks, []);
    assert_eq!(loaded.list_id.len(), 32);
    let pragma = |name| store.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    assert_eq!(pragma("application_id"), Ok(0x746f_646f));
    assert_eq!(pragma("user_version"), Ok(3));
    assert_eq!(pragma("synchronous"), Ok(2));
    drop(store);
    assert_eq!(open_and_load(&dir).unwrap().1.list_id, loaded.list_id);
    assert_ne!(fixture.open().1.list_id, loaded.list_id);
}

/// The modes of the database, its log and the log's index.
fn modes(fixture: &Fixture) -> [u32; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let file = fixture.path().join(format!("{DATABASE}{suffix}"));
        fs::metadata(file).unwrap().permissions().mode() & 0o777
    })
}

#[test]
fn a_list_in_a_directory_that_was_there_is_its_owners_alone() {
    let fixture = Fixture::new();
    fs::set_permissions(fixture.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // From the first moment: this draft never becomes a list.
    assert!(open_with(&fixture, &[NEXT_BROKEN]).is_err());
    let draft = fs::metadata(fixture.path().join("todo.db-new")).unwrap();
    assert_eq!(draft.permissions().mode() & 0o777, 0o600);
    let (store, _) = fixture.open();
    assert_eq!(modes(&fixture), [0o600; 3]);
    drop(store);
    // Who opened it to a group meant it.
    fs::set_permissions(fixture.database(), fs::Permissions::from_mode(0o640)).unwrap();
    let (_store, _) = fixture.open();
    assert_eq!(modes(&fixture), [0o640; 3]);
}

#[test]
fn an_empty_file_and_an_unfinished_start_count_as_new() {
    let fixture = Fixture::with_database(b"");
    fs::write(fixture.path().join("todo.db-new"), b"half of it").unwrap();
    fs::write(fixture.path().join("todo.db-new-journal"), b"half of it").unwrap();
    assert_eq!(fixture.open().1.tasks, []);
    assert!(!fixture.path().join("todo.db-new").exists());
}

#[test]
fn one_process_at_a_time() {
    let fixture = Fixture::new();
    let (store, _) = fixture.open();
    let me = std::process::id();
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    let lock = fixture.path().join("todod.lock");
    for (signature, expected) in [
        (format!("{me}\n"), format!("{} (process {me})", name.trim_end())),
        ("4194305".to_owned(), "process 4194305".to_owned()), // beyond Linux's greatest pid
        ("".to_owned(), "another process".to_owned()),
        ("\u{1b}[2J".to_owned(), "another process".to_owned()),
    ] {
        if signature.trim() == me.to_string() {
            assert_eq!(fs::read_to_string(&lock).unwrap(), signature, "the store signs");
        }
        fs::write(&lock, &signature).unwrap();
        match fixture.refused() {
            SqliteError::InUse { holder, .. } => assert_eq!(holder, expected),
            other => panic!("{other}"),
        }
    }
    drop(store);
    fixture.open();
}

#[test]
fn a_newer_format_is_refused() {
    let (fixture, by_log) = (Fixture::new(), Fixture::new());
    drop((fixture.open(), by_log.open()));
    fixture.tamper("PRAGMA user_version = 7");
    // Known to the write-ahead log alone.
    let writer = Connection::open(by_log.database()).unwrap();
    writer.pragma_update(None, "user_version", 7).unwrap();
    let by_log = by_log.after_kill();
    assert!(by_log.bytes()[1].is_some());

    for fixture in [fixture, by_log] {
        match fixture.refused() {
            SqliteError::Newer { found, known, .. } => assert_eq!((found, known), (7, 3)),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn what_is_not_ours_is_refused() {
    let somebodys = Fixture::new();
    somebodys.tamper("PRAGMA application_id = 42; CREATE TABLE t (x)");
    let nobodys = Fixture::new();
    nobodys.tamper("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title)");
    // Its main file is one page; the rest is in the log of a killed process.
    let busy = Fixture::new();
    let writer = Connection::open(busy.database()).unwrap();
    writer.pragma_update(None, "journal_mode", "WAL").unwrap();
    writer.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    let busy = busy.after_kill();

    let text = Fixture::with_database(b"- buy milk\n");
    let short = Fixture::with_database(b"S");
    let folder = Fixture::new();
    fs::create_dir(folder.database()).unwrap();
    for fixture in [somebodys, nobodys, busy, text, short, folder] {
        let error = fixture.refused();
        assert!(matches!(error, SqliteError::Foreign { .. }), "{error}");
    }
}

#[test]
fn a_log_without_its_database_is_not_played_into_a_new_one() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    store.commit(&Oracle::of(&loaded).batch("add milk")).unwrap();
    for emptied in [false, true] {
        let orphan = fixture.after_kill();
        match emptied {
            true => fs::write(orphan.database(), b"").unwrap(),
            false => fs::remove_file(orphan.database()).unwrap(),
        }
        let error = orphan.refused();
        assert!(matches!(error, SqliteError::Corrupt { .. }), "{error}");
    }
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let fixture = Fixture::with_database(b"");
    for path in [fixture.database(), fixture.database().join("below")] {
        match open_and_load(&path) {
            Err(SqliteError::Directory { error, .. }) => {
                let kind = error.kind();
                assert!(
                    matches!(kind, ErrorKind::NotADirectory | ErrorKind::AlreadyExists),
                    "{kind}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_error_of_the_system_is_reported_once() {
    let path = || PathBuf::from("/data");
    let denied = || std::io::Error::from(ErrorKind::PermissionDenied);
    for error in [
        SqliteError::Directory { path: path(), error: denied() },
        SqliteError::ReadOnly { path: path(), error: denied() },
    ] {
        assert!(error.to_string().contains("permission denied"), "{error}");
        assert!(std::error::Error::source(&error).is_none(), "{error}");
    }
}

const NEXT: Migration = Migration::Sql("ALTER TABLE tasks ADD COLUMN note TEXT");
const NEXT_BROKEN: Migration =
    Migration::Sql("CREATE TABLE half (x INTEGER) STRICT; SELECT nonsense");

fn open_with(fixture: &Fixture, more: &[Migration]) -> Result<SqliteStore, SqliteError> {
    SqliteStore::open_with(fixture.path(), IfMissing::Refuse, &[schema::MIGRATIONS, more].concat())
}

fn format_and_tables(fixture: &Fixture) -> (i64, i64) {
    let connection = Connection::open(fixture.database()).unwrap();
    let format = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    (format, connection.query_row(tables, [], |row| row.get(0)).unwrap())
}

#[test]
fn an_older_format_is_brought_up_to_date() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk; done 1")).unwrap();
    drop(store);
    assert_eq!(format_and_tables(&fixture), (3, 4));

    let mut store = open_with(&fixture, &[NEXT]).unwrap();
    assert_eq!(store.load().unwrap().tasks, oracle.tasks());
    store.connection.execute_batch("UPDATE tasks SET note = 'x'").unwrap();
    drop(store);
    assert_eq!(format_and_tables(&fixture), (4, 4));
    // Today's program does not open tomorrow's list.
    assert!(matches!(fixture.refused(), SqliteError::Newer { found: 4, known: 3, .. }));
}

#[test]
fn a_step_that_fails_leaves_the_format_before_it() {
    let fixture = Fixture::new();
    drop(fixture.open());
    assert!(open_with(&fixture, &[NEXT, NEXT_BROKEN]).is_err());
    assert_eq!(format_and_tables(&fixture), (4, 4));
    // A new list is made of all steps or not at all.
    let fresh = Fixture::new();
    assert!(open_with(&fresh, &[NEXT, NEXT_BROKEN]).is_err());
    assert!(!fresh.database().exists());
}

#[test]
fn another_journal_mode_is_set_right() {
    let fixture = Fixture::new();
    drop(fixture.open());
    fixture.tamper("PRAGMA journal_mode = DELETE");
    let (store, _) = fixture.open();
    let mode = store.connection.pragma_query_value(None, "journal_mode", |row| row.get(0));
    assert_eq!(mode, Ok("wal".to_owned()));
}

#[test]
fn a_damaged_list_is_not_migrated() {
    let (mut bytes, _) = well_used_database();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4 * 4096].fill(0x5a);
    let fixture = Fixture::with_database(&bytes);
    let error = open_with(&fixture, &[NEXT]).expect_err("migrated");
    assert!(matches!(error, SqliteError::Corrupt { .. }), "{error}");
    assert!(fs::read(fixture.database()).unwrap() == bytes);
}
