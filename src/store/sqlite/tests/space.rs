//! Full and read-only disks: real ones where the tests may mount them.

use super::*;
use std::io::ErrorKind;
use std::process::Command;

/// A small disk of its own, unmounted with the value.
struct Disk {
    dir: TempDir,
}

impl Disk {
    /// `None` where mounting is not allowed, which is reported as skipped.
    fn mount(size: &str) -> Option<Disk> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        if run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], dir.path()) {
            return Some(Disk { dir });
        }
        skipped("to mount a small tmpfs, as root");
        None
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Fills the disk.
    fn fill(&self) -> PathBuf {
        let filler = self.dir.path().join("filler");
        let zeros = std::io::repeat(0);
        let full = std::io::copy(&mut { zeros }, &mut fs::File::create(&filler).unwrap());
        assert_eq!(full.unwrap_err().kind(), ErrorKind::StorageFull);
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a store may still be open when a test fails.
        run("umount", &["--lazy"], self.dir.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

/// Commits until there is no space, and checks the error.
fn commit_until_full(store: &mut SqliteStore, oracle: &mut Oracle) {
    for n in 0.. {
        let before = (oracle.list.clone(), oracle.last_request);
        let title = "x".repeat(1_000);
        match store.commit(&oracle.batch(&format!("add {n} {title} #{}", before.0.revision()))) {
            Ok(()) => assert!(n < 10_000, "the disk never got full"),
            Err(CommitError::NoSpace(_)) => {
                // As the state thread drops its draft.
                (oracle.list, oracle.last_request) = before;
                return;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_full_database_continues_once_there_is_room() {
    // SQLite rolls back a transaction that finds no space. But not if the statement
    // can be undone alone, as with these triggers; then the store must.
    let echo = |table: &str| {
        format!(
            "CREATE TRIGGER echo_{table} AFTER INSERT ON {table}
             BEGIN INSERT INTO echoes VALUES (new.record); END;"
        )
    };
    let undone_alone = ["tasks", "changes", "requests"].map(echo).concat();
    fill_and_continue("");
    fill_and_continue(&format!("CREATE TABLE echoes (record NOT NULL); {undone_alone}"));
}

fn fill_and_continue(also: &str) {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    store.connection.execute_batch(also).unwrap();
    store.connection.pragma_update_and_check(None, "max_page_count", 80, |_| Ok(())).unwrap();
    for _ in 0..3 {
        commit_until_full(&mut store, &mut oracle);
        assert!(store.connection.is_autocommit(), "a transaction is left open");
    }
    assert!(oracle.list.len() > 10);
    assert_eq!(fixture.after_kill().open().1.tasks, oracle.tasks());

    store.connection.pragma_update_and_check(None, "max_page_count", 100_000, |_| Ok(())).unwrap();
    store.commit(&oracle.batch("add milk #after; done 1")).unwrap();
    assert!(store.find_request(oracle.last_request).unwrap().is_some());
    drop(store);
    assert_eq!(fixture.open().1.tasks, oracle.tasks());
}

/// Small batches fail in COMMIT, one that outgrows SQLite's cache before it.
#[test]
fn a_full_disk_continues_once_there_is_room() {
    let Some(disk) = Disk::mount("12m") else { return };
    let (mut store, loaded) = open_and_load(&disk.data_dir()).unwrap();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk #first")).unwrap();
    for _ in 0..2 {
        let filler = disk.fill();
        commit_until_full(&mut store, &mut oracle);
        let before = oracle.list.clone();
        let add = format!("add {}", "x".repeat(1_000));
        let large = oracle.batch(&vec![add; 3_000].join(";"));
        assert!(matches!(store.commit(&large), Err(CommitError::NoSpace(_))));
        oracle.list = before;
        assert!(store.find_request(1).unwrap().is_some(), "reading continues");

        fs::remove_file(filler).unwrap();
        store.commit(&oracle.batch("done 1; reopen 1; add bread")).unwrap();
        assert_eq!(Oracle::of(&reopened(&mut store, &disk)).tasks(), oracle.tasks());
    }
}

/// A list of one task that changed more often than a step of compaction passes.
fn often_retitled(data_dir: &Path) -> (SqliteStore, Oracle) {
    let (mut store, loaded) = open_and_load(data_dir).unwrap();
    let mut oracle = Oracle::of(&loaded);
    store.commit(&oracle.batch("add milk")).unwrap();
    let retitles: Vec<_> = (2..=700).map(|n| format!("retitle 1 now {n}")).collect();
    store.commit(&oracle.batch(&retitles.join(";"))).unwrap();
    Box::new(store).close().unwrap();
    (open_and_load(data_dir).unwrap().0, oracle)
}

/// A delete that is undone alone leaves the rollback to the store.
#[test]
fn a_full_database_is_compacted_once_there_is_room() {
    let fixture = Fixture::new();
    let (mut store, mut oracle) = often_retitled(fixture.path());
    let echo = "CREATE TABLE echoes (record NOT NULL);
        CREATE TRIGGER echo AFTER DELETE ON changes
        BEGIN INSERT INTO echoes VALUES (hex(zeroblob(4000))); END;";
    store.connection.execute_batch(echo).unwrap();
    store.connection.pragma_update_and_check(None, "max_page_count", 60, |_| Ok(())).unwrap();
    for _ in 0..3 {
        let full = store.compact(&due_up_to(700));
        assert!(full.as_ref().is_err_and(|full| full.kind == StoreErrorKind::NoSpace), "{full:?}");
        assert!(store.connection.is_autocommit(), "a transaction is left open");
    }
    store.commit(&oracle.batch("done 1")).unwrap();
    store.connection.execute_batch("DROP TRIGGER echo").unwrap();
    compacted_in_two_steps(&mut store);
    drop(store);
    let (_, loaded) = fixture.open();
    assert_eq!((loaded.compacted, loaded.tasks), (700, oracle.tasks()));
}

#[test]
fn a_list_on_a_full_disk_is_compacted_once_there_is_room() {
    let Some(disk) = Disk::mount("12m") else { return };
    let (mut store, mut oracle) = often_retitled(&disk.data_dir());
    let filler = disk.fill();
    for _ in 0..3 {
        let full = store.compact(&due_up_to(700));
        assert!(full.as_ref().is_err_and(|full| full.kind == StoreErrorKind::NoSpace), "{full:?}");
    }
    fs::remove_file(filler).unwrap();
    store.commit(&oracle.batch("done 1")).unwrap();
    compacted_in_two_steps(&mut store);
    let loaded = reopened(&mut store, &disk);
    assert_eq!((loaded.compacted, loaded.tasks), (700, oracle.tasks()));
}

fn compacted_in_two_steps(store: &mut SqliteStore) {
    for expected in [500, 700, 700] {
        assert_eq!(store.compact(&due_up_to(700)).unwrap(), expected);
    }
}

/// Closes the store in place and opens the list anew.
fn reopened(store: &mut SqliteStore, disk: &Disk) -> Loaded {
    let elsewhere = Fixture::new();
    drop(std::mem::replace(store, elsewhere.open().0));
    let (again, loaded) = open_and_load(&disk.data_dir()).unwrap();
    *store = again;
    loaded
}

#[test]
fn a_list_on_a_full_disk_opens_after_a_kill() {
    let Some(disk) = Disk::mount("4m") else { return };
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    for n in 0..50 {
        store.commit(&oracle.batch(&format!("add {n} {}", "x".repeat(1_000)))).unwrap();
    }
    fs::create_dir(disk.data_dir()).unwrap();
    let killed = fixture.after_kill();
    for name in [DATABASE, "todo.db-wal"] {
        fs::copy(killed.path().join(name), disk.data_dir().join(name)).unwrap();
    }
    // What SQLite needs beside the log, and nothing more: the database cannot grow.
    let room = disk.dir.path().join("room");
    fs::write(&room, [0; 64 * 1024]).unwrap();
    let _filler = disk.fill();
    fs::remove_file(room).unwrap();
    let (store, loaded) = open_and_load(&disk.data_dir()).unwrap();
    assert_eq!(loaded.tasks, oracle.tasks());
    Box::new(store).close().unwrap();
}

#[test]
fn a_read_only_disk_is_refused() {
    let Some(disk) = Disk::mount("4m") else { return };
    drop(open_and_load(&disk.data_dir()).unwrap());
    assert!(run("mount", &["-o", "remount,ro"], disk.dir.path()));
    for path in [disk.data_dir(), disk.dir.path().join("new")] {
        match open_and_load(&path) {
            Err(SqliteError::Directory { error, .. }) => {
                assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The lock and the database may be writable, SQLite's files beside them are not.
#[test]
fn a_directory_that_takes_no_files_is_refused() {
    let Some(disk) = Disk::mount("4m") else { return };
    drop(open_and_load(&disk.data_dir()).unwrap());
    for name in ["todod.lock", DATABASE] {
        let file = disk.data_dir().join(name);
        assert!(run("mount", &["--bind", file.to_str().unwrap()], &file));
    }
    assert!(run("mount", &["-o", "remount,bind,ro"], disk.dir.path()));
    match open_and_load(&disk.data_dir()) {
        Err(SqliteError::Directory { error, .. }) => {
            assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
        }
        other => panic!("{other:?}"),
    }
}

/// Permissions do not stop root, a read-only mount of the file does.
#[test]
fn a_read_only_database_is_refused() {
    let Some(disk) = Disk::mount("4m") else { return };
    drop(open_and_load(&disk.data_dir()).unwrap());
    let database = disk.data_dir().join(DATABASE);
    let path = database.to_str().unwrap();
    assert!(run("mount", &["--bind", path], &database));
    assert!(run("mount", &["-o", "remount,bind,ro"], &database));
    let refused = open_and_load(&disk.data_dir());
    assert!(run("umount", &[], &database));
    match refused {
        Err(SqliteError::ReadOnly { error, .. }) => {
            assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
        }
        other => panic!("{other:?}"),
    }
    open_and_load(&disk.data_dir()).unwrap();
}
