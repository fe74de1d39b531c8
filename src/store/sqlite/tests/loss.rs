//! Files that are exchanged, removed or cut behind the back of `todod`. SQLite opens what
//! is left without an error, so the store must notice.

use super::*;
use crate::store::sqlite::head::{HeadFile, StoredHead};

/// A directory with these files of another one.
fn copy_of(fixture: &Fixture, names: &[&str]) -> Fixture {
    let copy = Fixture::new();
    for name in names {
        fs::copy(fixture.path().join(name), copy.path().join(name)).unwrap();
    }
    copy
}

const DATABASE_AND_HEAD: [&str; 2] = [DATABASE, "todo.head"];
const ALL_FILES: [&str; 3] = [DATABASE, "todo.db-wal", "todo.head"];

fn commit(store: &mut SqliteStore, oracle: &mut Oracle, script: &str) {
    store.commit(&oracle.batch(script)).unwrap();
}

fn titles(loaded: &Loaded) -> Vec<&str> {
    loaded.tasks.iter().map(|task| task.title.as_str()).collect()
}

/// A backup is copied over the database of a killed server, whose log stays: SQLite would
/// apply the log to the backup. What made the backup, and when, makes no difference.
#[test]
fn log_of_a_killed_server_is_not_applied_to_a_backup() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    commit(&mut store, &mut oracle, "add milk");
    Box::new(store).close().unwrap();
    let copied = fixture.path().join("copied");
    fs::copy(fixture.database(), &copied).unwrap();
    let whole_directory = copy_of(&fixture, &DATABASE_AND_HEAD);

    let (mut store, _) = fixture.open();
    let mut backups = vec![copied];
    for script in ["add bread", "add butter; done 1"] {
        let vacuumed = fixture.path().join(format!("vacuumed before {script}"));
        let shell = Connection::open(fixture.database()).unwrap();
        shell.execute("VACUUM INTO ?1", [vacuumed.to_str().unwrap()]).unwrap();
        backups.push(vacuumed);
        let online = fixture.path().join(format!("online before {script}"));
        shell.backup("main", &online, None::<fn(rusqlite::backup::Progress)>).unwrap();
        backups.push(online);
        commit(&mut store, &mut oracle, script);
    }
    for backup in backups {
        let killed = copy_of(&fixture, &ALL_FILES);
        fs::copy(&backup, killed.database()).unwrap();
        let error = killed.refused();
        assert!(matches!(error, SqliteError::StrayLog { .. }), "{}: {error}", backup.display());
        // What the message advises.
        fs::remove_file(killed.path().join("todo.db-wal")).unwrap();
        assert_eq!(titles(&killed.open().1)[0], "milk");
    }
    let killed = copy_of(&fixture, &ALL_FILES);
    for name in DATABASE_AND_HEAD {
        fs::copy(whole_directory.path().join(name), killed.path().join(name)).unwrap();
    }
    let error = killed.refused();
    assert!(matches!(error, SqliteError::StrayLog { .. }), "{error}");
    assert_eq!(titles(&copy_of(&fixture, &ALL_FILES).open().1), ["milk", "bread", "butter"]);
}

/// The first start after a backup was restored writes a new list id before anything else.
#[test]
fn kill_after_a_restore_is_not_refused() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    commit(&mut store, &mut oracle, "add milk");
    Box::new(store).close().unwrap();
    let backup = copy_of(&fixture, &[DATABASE]);
    let (mut store, _) = fixture.open();
    commit(&mut store, &mut oracle, "add bread");
    Box::new(store).close().unwrap();
    fs::copy(backup.database(), fixture.database()).unwrap();

    let store = SqliteStore::open(fixture.path()).unwrap();
    let (restored, _) = recovery::load(&store.connection).unwrap();
    let new_id = store.report_loss(restored).unwrap().list_id;
    assert_ne!(new_id, loaded.list_id);
    let killed = copy_of(&fixture, &ALL_FILES);
    let (_, found) = killed.open();
    assert_eq!(titles(&found), ["milk"]);
    assert_ne!(found.list_id, loaded.list_id);
}

/// The same backup is restored twice. After the first time, `todo.head` names the new list,
/// so it cannot say how far the list of the backup had come.
#[test]
fn backup_that_is_restored_twice_gets_a_new_id_twice() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    commit(&mut store, &mut oracle, "add milk");
    Box::new(store).close().unwrap();
    let backup = copy_of(&fixture, &[DATABASE]);
    let (mut store, _) = fixture.open();
    commit(&mut store, &mut oracle, "add bread");
    Box::new(store).close().unwrap();
    let mut ids = vec![loaded.list_id];
    for _ in 0..3 {
        fs::copy(backup.database(), fixture.database()).unwrap();
        let (store, found) = fixture.open();
        assert_eq!(titles(&found), ["milk"]);
        assert!(!ids.contains(&found.list_id), "its revisions are used again");
        ids.push(found.list_id.clone());
        Box::new(store).close().unwrap();
        let (store, again) = fixture.open();
        assert_eq!(again.list_id, found.list_id, "only once");
        Box::new(store).close().unwrap();
    }
}

/// The start writes the cookie to three places. A kill between any two of these writes
/// must leave a list that opens, after any number of kills before.
#[test]
fn kill_at_any_moment_of_a_start_is_not_refused() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    commit(&mut store, &mut oracle, "add milk");
    let mut killed = copy_of(&fixture, &ALL_FILES);
    for kill in 0..24 {
        let mut store = SqliteStore::open(killed.path()).unwrap();
        let (_, loaded) = recovery::load(&store.connection).unwrap();
        assert_eq!(loaded.tasks, oracle.tasks(), "kill {kill}");
        let head = store.head.head().unwrap().clone();
        // How far the start comes.
        if kill % 4 >= 1 {
            connection::settle(&store.connection).unwrap();
        }
        let old = connection::schema_cookie(&store.connection).unwrap();
        if kill % 4 >= 2 {
            store.head.replace(StoredHead { cookies: [old, old + 1], ..head }).unwrap();
        }
        if kill % 4 >= 3 {
            connection::set_schema_cookie(&store.connection, old + 1).unwrap();
        }
        killed = copy_of(&killed, &ALL_FILES);
    }
    assert_eq!(killed.open().1.tasks, oracle.tasks());
}

#[test]
fn missing_database_of_an_earlier_list_is_refused_without_init() {
    let fixture = Fixture::new();
    let (mut store, first) = fixture.open();
    commit(&mut store, &mut Oracle::of(&first), "add milk");
    Box::new(store).close().unwrap();
    for emptied in [false, true] {
        let lost = copy_of(&fixture, &DATABASE_AND_HEAD);
        match emptied {
            true => fs::write(lost.database(), b"").unwrap(),
            false => fs::remove_file(lost.database()).unwrap(),
        }
        let error = lost.refused();
        assert!(matches!(error, SqliteError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("--init"), "{error}");
        drop(SqliteStore::open_or_init(lost.path()).unwrap());
        let (_, new) = lost.open();
        assert_eq!(new.tasks, []);
        assert_ne!(new.list_id, first.list_id);
    }
    drop(SqliteStore::open_or_init(fixture.path()).unwrap());
    assert_eq!(titles(&fixture.open().1), ["milk"], "--init keeps a list that exists");
}

/// The head beside the log is ahead of the list: changes that were acknowledged are gone.
/// Clients get another list id, because their revisions will mean other changes.
#[test]
fn list_that_lost_acknowledged_changes_is_reported() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    for n in 1..=6 {
        commit(&mut store, &mut oracle, &format!("add task {n}"));
    }
    let log = fs::read(fixture.path().join("todo.db-wal")).unwrap();
    let head = HeadFile::open(fixture.path()).unwrap().head().unwrap().clone();
    assert_eq!((head.revision, &*head.list_id), (6, &*loaded.list_id));
    let mut lost = 0;
    for at in (40..log.len()).step_by(997) {
        let mut damaged = log.clone();
        damaged[at] ^= 0x10;
        let killed = copy_of(&fixture, &DATABASE_AND_HEAD);
        fs::write(killed.path().join("todo.db-wal"), &damaged).unwrap();
        let (mut store, found) = killed.open();
        let is_prefix = found.tasks[..] == oracle.tasks()[..found.tasks.len()];
        assert!(is_prefix, "byte {at}");
        let reported = found.list_id != loaded.list_id;
        assert_eq!(reported, found.tasks.len() < 6, "byte {at}");
        let copy = killed.path().join("todo.db-wal-damaged");
        assert_eq!(copy.exists(), reported, "byte {at}");
        if reported {
            lost += 1;
            assert!(fs::read(copy).unwrap() == damaged);
        }
        // It is reported once, and the list goes on.
        let mut oracle = Oracle::of(&found);
        commit(&mut store, &mut oracle, "add more");
        drop(store);
        assert_eq!(killed.open().1.list_id, found.list_id);
    }
    assert!(lost > 10, "{lost} damaged logs lost changes");
}

/// A log that ends within a transaction is what a loss of power leaves. The head is
/// written after the commit, so it does not count the torn one.
#[test]
fn torn_last_transaction_is_not_a_loss() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    commit(&mut store, &mut oracle, "add milk");
    let before = copy_of(&fixture, &ALL_FILES);
    commit(&mut store, &mut oracle, "add bread");
    let log = fs::read(fixture.path().join("todo.db-wal")).unwrap();
    let whole = fs::metadata(before.path().join("todo.db-wal")).unwrap().len() as usize;
    for end in (whole..log.len()).step_by(1_001) {
        let torn = copy_of(&before, &DATABASE_AND_HEAD);
        fs::write(torn.path().join("todo.db-wal"), &log[..end]).unwrap();
        let (_, found) = torn.open();
        assert_eq!((titles(&found), &found.list_id), (vec!["milk"], &loaded.list_id));
    }
}

/// `rm`, `mv` or a copy under a new inode: SQLite writes on to a file that nobody will
/// find again.
#[test]
fn change_to_a_file_that_is_no_longer_at_its_path_is_not_acknowledged() {
    for name in [DATABASE, "todo.db-wal", "todo.db-shm"] {
        for replaced in [false, true] {
            let fixture = Fixture::new();
            let (mut store, loaded) = fixture.open();
            let mut oracle = Oracle::of(&loaded);
            commit(&mut store, &mut oracle, "add milk");
            let (path, moved) = (fixture.path().join(name), fixture.path().join("moved"));
            fs::rename(&path, &moved).unwrap();
            if replaced {
                fs::copy(&moved, &path).unwrap();
            }
            let lost = store.commit(&oracle.batch("add bread"));
            let what = if replaced { "was replaced" } else { "was removed or moved" };
            match lost {
                Err(CommitError::Unknown(why)) => assert!(why.contains(what), "{name}: {why}"),
                other => panic!("{name}: {other:?}"),
            }
            let files = fixture.bytes();
            Box::new(store).close().unwrap();
            assert!(fixture.bytes() == files, "closing wrote");
        }
    }
}

#[test]
fn files_that_vanish_while_idle_are_reported_when_the_store_closes() {
    let fixture = Fixture::new();
    let (store, _) = fixture.open();
    fs::rename(fixture.database(), fixture.path().join("moved")).unwrap();
    let error = Box::new(store).close().unwrap_err();
    assert!(error.to_string().contains("was removed or moved"), "{error}");
}

#[test]
fn removed_lock_file_lets_no_second_process_in() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    fs::remove_file(fixture.path().join("todod.lock")).unwrap();
    for _ in 0..2 {
        let error = fixture.refused();
        assert!(matches!(error, SqliteError::InUse { .. }), "{error}");
    }
    commit(&mut store, &mut Oracle::of(&loaded), "add milk");
    drop(store);
    assert_eq!(titles(&fixture.open().1), ["milk"]);
}

/// Another program reads an old state: the log cannot start over, and would fill the disk.
#[test]
fn log_that_a_reader_keeps_from_shrinking_is_limited() {
    const MIB: u64 = 1024 * 1024;
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    store.log = LogSize::new(9 * MIB, 12 * MIB);
    let mut oracle = Oracle::of(&loaded);
    let add = format!("add {}", "x".repeat(1_000));
    let many = vec![add; 200].join(";");
    let shell = Connection::open(fixture.database()).unwrap();
    shell.execute_batch("BEGIN; SELECT count(*) FROM tasks").unwrap();
    let refused = loop {
        let before = oracle.list.clone();
        match store.commit(&oracle.batch(&many)) {
            Ok(()) => assert!(oracle.list.len() < 20_000, "the log is not limited"),
            Err(error) => {
                oracle.list = before; // as the state thread drops its draft
                break error;
            }
        }
    };
    match refused {
        CommitError::NoSpace(why) => {
            assert!(why.contains("another program holds a read transaction"), "{why}");
        }
        other => panic!("{other}"),
    }
    let log = fs::metadata(fixture.path().join("todo.db-wal")).unwrap().len();
    assert!((12 * MIB..14 * MIB).contains(&log), "{log} bytes");
    shell.execute_batch("COMMIT").unwrap();
    commit(&mut store, &mut oracle, "add milk");
    let log = fs::metadata(fixture.path().join("todo.db-wal")).unwrap().len();
    assert!(log <= 8 * MIB, "{log} bytes");
    drop(store);
    assert_eq!(fixture.open().1.tasks, oracle.tasks());
}

#[test]
fn directory_that_others_can_write_gets_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    for (mode, warned) in [(0o700, false), (0o755, false), (0o777, true), (0o770, true)] {
        fs::set_permissions(fixture.path(), fs::Permissions::from_mode(mode)).unwrap();
        let warning = directory::warning_about(fixture.path()).unwrap();
        assert_eq!(warning.is_some(), warned, "{mode:o}: {warning:?}");
        if let Some(warning) = warning {
            assert!(warning.contains("run chmod go-w"), "{warning}");
        }
    }
}
