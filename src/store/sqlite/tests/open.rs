use super::*;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_new_list_gets_a_directory_of_its_own_and_an_id() {
    let scene = Scene::new();
    let dir = scene.path().join("a/b");
    let (store, loaded) = open_and_load(&dir).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(loaded.tasks, []);
    assert_eq!(loaded.list_id.len(), 32);
    let pragma = |name| store.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    assert_eq!(pragma("application_id"), Ok(0x746f_646f));
    assert_eq!(pragma("user_version"), Ok(2));
    assert_eq!(pragma("synchronous"), Ok(2));
    drop(store);
    assert_eq!(open_and_load(&dir).unwrap().1.list_id, loaded.list_id);
    assert_ne!(scene.open().1.list_id, loaded.list_id);
}

/// The modes of the database, its log and the log's index.
fn modes(scene: &Scene) -> [u32; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let file = scene.path().join(format!("{DATABASE}{suffix}"));
        fs::metadata(file).unwrap().permissions().mode() & 0o777
    })
}

#[test]
fn a_list_in_a_directory_that_was_there_is_its_owners_alone() {
    let scene = Scene::new();
    fs::set_permissions(scene.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // From the first moment: this draft never becomes a list.
    assert!(open_with(&scene, &[NEXT_BROKEN]).is_err());
    let draft = fs::metadata(scene.path().join("todo.db-new")).unwrap();
    assert_eq!(draft.permissions().mode() & 0o777, 0o600);
    let (store, _) = scene.open();
    assert_eq!(modes(&scene), [0o600; 3]);
    drop(store);
    // Who opened it to a group meant it.
    fs::set_permissions(scene.database(), fs::Permissions::from_mode(0o640)).unwrap();
    let (_store, _) = scene.open();
    assert_eq!(modes(&scene), [0o640; 3]);
}

#[test]
fn an_empty_file_and_an_unfinished_start_count_as_new() {
    let scene = Scene::with_database(b"");
    fs::write(scene.path().join("todo.db-new"), b"half of it").unwrap();
    fs::write(scene.path().join("todo.db-new-journal"), b"half of it").unwrap();
    assert_eq!(scene.open().1.tasks, []);
    assert!(!scene.path().join("todo.db-new").exists());
}

#[test]
fn one_process_at_a_time() {
    let scene = Scene::new();
    let (store, _) = scene.open();
    let me = std::process::id();
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    let lock = scene.path().join("todod.lock");
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
        match scene.refused() {
            StoreError::InUse { holder, .. } => assert_eq!(holder, expected),
            other => panic!("{other}"),
        }
    }
    drop(store);
    scene.open();
}

#[test]
fn a_newer_format_is_refused() {
    let (scene, by_log) = (Scene::new(), Scene::new());
    drop((scene.open(), by_log.open()));
    scene.tamper("PRAGMA user_version = 7");
    // Known to the write-ahead log alone.
    let writer = Connection::open(by_log.database()).unwrap();
    writer.pragma_update(None, "user_version", 7).unwrap();
    let by_log = by_log.after_kill();
    assert!(by_log.bytes()[1].is_some());

    for scene in [scene, by_log] {
        match scene.refused() {
            StoreError::Newer { found, known, .. } => assert_eq!((found, known), (7, 2)),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn what_is_not_ours_is_refused() {
    let somebodys = Scene::new();
    somebodys.tamper("PRAGMA application_id = 42; CREATE TABLE t (x)");
    let nobodys = Scene::new();
    nobodys.tamper("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title)");
    // Its main file is one page; the rest is in the log of a killed process.
    let busy = Scene::new();
    let writer = Connection::open(busy.database()).unwrap();
    writer.pragma_update(None, "journal_mode", "WAL").unwrap();
    writer.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    let busy = busy.after_kill();

    let text = Scene::with_database(b"- buy milk\n");
    let short = Scene::with_database(b"S");
    let folder = Scene::new();
    fs::create_dir(folder.database()).unwrap();
    for scene in [somebodys, nobodys, busy, text, short, folder] {
        let error = scene.refused();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    }
}

#[test]
fn a_log_without_its_database_is_not_played_into_a_new_one() {
    let scene = Scene::new();
    let (mut store, loaded) = scene.open();
    store.commit(&Story::of(&loaded).turn("add milk")).unwrap();
    for emptied in [false, true] {
        let orphan = scene.after_kill();
        match emptied {
            true => fs::write(orphan.database(), b"").unwrap(),
            false => fs::remove_file(orphan.database()).unwrap(),
        }
        let error = orphan.refused();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let scene = Scene::with_database(b"");
    for path in [scene.database(), scene.database().join("below")] {
        match SqliteStore::open(&path) {
            Err(StoreError::Directory { error, .. }) => {
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
fn the_systems_error_is_said_once() {
    let path = || PathBuf::from("/data");
    let denied = || std::io::Error::from(ErrorKind::PermissionDenied);
    for error in [
        StoreError::Directory { path: path(), error: denied() },
        StoreError::ReadOnly { path: path(), error: denied() },
    ] {
        assert!(error.to_string().contains("permission denied"), "{error}");
        assert!(std::error::Error::source(&error).is_none(), "{error}");
    }
}

const NEXT: &str = "ALTER TABLE tasks ADD COLUMN note TEXT";
const NEXT_BROKEN: &str = "CREATE TABLE half (x INTEGER) STRICT; SELECT nonsense";

fn open_with(scene: &Scene, more: &[&str]) -> Result<SqliteStore, StoreError> {
    SqliteStore::open_with(
        scene.path(),
        IfMissing::Refuse,
        Retention::default(),
        &[schema::MIGRATIONS, more].concat(),
    )
}

fn format_and_tables(scene: &Scene) -> (i64, i64) {
    let connection = Connection::open(scene.database()).unwrap();
    let format = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    (format, connection.query_row(tables, [], |row| row.get(0)).unwrap())
}

#[test]
fn an_older_format_is_brought_up_to_date() {
    let scene = Scene::new();
    let (mut store, loaded) = scene.open();
    let mut story = Story::of(&loaded);
    store.commit(&story.turn("add milk; done 1")).unwrap();
    drop(store);
    assert_eq!(format_and_tables(&scene), (2, 4));

    let mut store = open_with(&scene, &[NEXT]).unwrap();
    assert_eq!(store.load().unwrap().tasks, story.tasks());
    store.connection.execute_batch("UPDATE tasks SET note = 'x'").unwrap();
    drop(store);
    assert_eq!(format_and_tables(&scene), (3, 4));
    // Today's program does not open tomorrow's list.
    assert!(matches!(scene.refused(), StoreError::Newer { found: 3, known: 2, .. }));
}

#[test]
fn a_step_that_fails_leaves_the_format_before_it() {
    let scene = Scene::new();
    drop(scene.open());
    assert!(open_with(&scene, &[NEXT, NEXT_BROKEN]).is_err());
    assert_eq!(format_and_tables(&scene), (3, 4));
    // A new list is made of all steps or not at all.
    let fresh = Scene::new();
    assert!(open_with(&fresh, &[NEXT, NEXT_BROKEN]).is_err());
    assert!(!fresh.database().exists());
}

#[test]
fn another_journal_mode_is_set_right() {
    let scene = Scene::new();
    drop(scene.open());
    scene.tamper("PRAGMA journal_mode = DELETE");
    let (store, _) = scene.open();
    let mode = store.connection.pragma_query_value(None, "journal_mode", |row| row.get(0));
    assert_eq!(mode, Ok("wal".to_owned()));
}

#[test]
fn a_damaged_list_is_not_migrated() {
    let (mut bytes, _) = well_used_database();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4 * 4096].fill(0x5a);
    let scene = Scene::with_database(&bytes);
    let error = open_with(&scene, &[NEXT]).expect_err("migrated");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(fs::read(scene.database()).unwrap() == bytes);
}
