//! Full and read-only disks. Some tests mount a real one, which needs root.

use super::*;
use crate::store::CommitError;
use std::io::ErrorKind;
use std::process::Command;

/// A small mounted file system, unmounted when the value is dropped.
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

    /// Fills the disk. Returns the file that takes the space.
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
        // Lazily, because a store may still be open when a test fails.
        run("umount", &["--lazy"], self.dir.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

/// Commits until a commit fails, which must be for lack of space.
fn commit_until_full(store: &mut SqliteStore, story: &mut Story) {
    for n in 0.. {
        let before = story.list.clone();
        let title = "x".repeat(1_000);
        match store.commit(&story.turn(&format!("add {n} {title} #{}", before.revision()))) {
            Ok(()) => assert!(n < 10_000, "the disk never got full"),
            Err(CommitError::NoSpace(_)) => {
                story.list = before; // as the state thread drops its draft
                return;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn full_database_takes_changes_once_there_is_room() {
    // SQLite rolls back a transaction that finds no space, except where it can undo the
    // statement alone, as with these triggers. Then the store must roll back.
    let echo = |table: &str| {
        format!(
            "CREATE TRIGGER echo_{table} AFTER INSERT ON {table}
             BEGIN INSERT INTO echoes VALUES (new.title); END;"
        )
    };
    let undone_alone = ["tasks", "changes", "requests"].map(echo).concat();
    full_and_on("");
    full_and_on(&format!("CREATE TABLE echoes (title NOT NULL); {undone_alone}"));
}

fn full_and_on(also: &str) {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    store.connection.execute_batch(also).unwrap();
    store.connection.pragma_update_and_check(None, "max_page_count", 60, |_| Ok(())).unwrap();
    for _ in 0..3 {
        commit_until_full(&mut store, &mut story);
        assert!(store.connection.is_autocommit(), "a transaction is left open");
    }
    assert!(story.list.len() > 10);
    assert_eq!(fixture.after_kill().open().1.tasks, story.tasks());

    store.connection.pragma_update_and_check(None, "max_page_count", 100_000, |_| Ok(())).unwrap();
    store.commit(&story.turn("add milk #after; done 1")).unwrap();
    assert!(store.find_request(&id("after")).unwrap().is_some());
    drop(store);
    assert_eq!(fixture.open().1.tasks, story.tasks());
}

/// Small batches fail in COMMIT; a batch larger than SQLite's cache fails before it.
#[test]
fn full_disk_takes_changes_once_there_is_room() {
    let Some(disk) = Disk::mount("12m") else { return };
    let (mut store, loaded) = open_and_load(&disk.data_dir()).unwrap();
    let mut story = Story::of(&loaded);
    store.commit(&story.turn("add milk #first")).unwrap();
    for _ in 0..2 {
        let filler = disk.fill();
        commit_until_full(&mut store, &mut story);
        let before = story.list.clone();
        let add = format!("add {}", "x".repeat(1_000));
        let large = story.turn(&vec![add; 3_000].join(";"));
        assert!(matches!(store.commit(&large), Err(CommitError::NoSpace(_))));
        story.list = before;
        assert!(store.find_request(&id("first")).unwrap().is_some(), "reading goes on");

        fs::remove_file(filler).unwrap();
        store.commit(&story.turn("done 1; reopen 1; add bread")).unwrap();
        assert_eq!(Story::of(&reopened(&mut store, &disk)).tasks(), story.tasks());
    }
}

/// A closed and opened list of one task with more changes than one step of compaction.
fn often_retitled(data_dir: &Path) -> (SqliteStore, Story) {
    let (mut store, loaded) = open_and_load(data_dir).unwrap();
    let mut story = Story::of(&loaded);
    store.commit(&story.turn("add milk")).unwrap();
    let retitles: Vec<_> = (2..=700).map(|n| format!("retitle 1 now {n}")).collect();
    store.commit(&story.turn(&retitles.join(";"))).unwrap();
    Box::new(store).close().unwrap();
    (open_and_load(data_dir).unwrap().0, story)
}

/// SQLite undoes the failed delete alone, so the store must roll back.
#[test]
fn full_database_is_compacted_once_there_is_room() {
    let fixture = Fixture::new();
    let (mut store, mut story) = often_retitled(fixture.path());
    let echo = "CREATE TABLE echoes (title NOT NULL);
        CREATE TRIGGER echo AFTER DELETE ON changes
        BEGIN INSERT INTO echoes VALUES (hex(zeroblob(4000))); END;";
    store.connection.execute_batch(echo).unwrap();
    store.connection.pragma_update_and_check(None, "max_page_count", 60, |_| Ok(())).unwrap();
    for _ in 0..3 {
        let full = store.compact(&due_up_to(700));
        assert!(matches!(full, Err(CommitError::NoSpace(_))), "{full:?}");
        assert!(store.connection.is_autocommit(), "a transaction is left open");
    }
    store.commit(&story.turn("done 1")).unwrap();
    store.connection.execute_batch("DROP TRIGGER echo").unwrap();
    compacted_in_two_steps(&mut store);
    drop(store);
    let (_, loaded) = fixture.open();
    assert_eq!((loaded.compacted, loaded.tasks), (700, story.tasks()));
}

#[test]
fn list_on_a_full_disk_is_compacted_once_there_is_room() {
    let Some(disk) = Disk::mount("12m") else { return };
    let (mut store, mut story) = often_retitled(&disk.data_dir());
    let filler = disk.fill();
    for _ in 0..3 {
        let full = store.compact(&due_up_to(700));
        assert!(matches!(full, Err(CommitError::NoSpace(_))), "{full:?}");
    }
    fs::remove_file(filler).unwrap();
    store.commit(&story.turn("done 1")).unwrap();
    compacted_in_two_steps(&mut store);
    let loaded = reopened(&mut store, &disk);
    assert_eq!((loaded.compacted, loaded.tasks), (700, story.tasks()));
}

fn compacted_in_two_steps(store: &mut SqliteStore) {
    for expected in [500, 700, 700] {
        assert_eq!(store.compact(&due_up_to(700)).unwrap(), expected);
    }
}

/// Closes the store and opens the list again in its place.
fn reopened(store: &mut SqliteStore, disk: &Disk) -> Loaded {
    let elsewhere = Fixture::new();
    drop(std::mem::replace(store, elsewhere.open().0));
    let (again, loaded) = open_and_load(&disk.data_dir()).unwrap();
    *store = again;
    loaded
}

#[test]
fn list_on_a_full_disk_opens_after_a_kill() {
    let Some(disk) = Disk::mount("4m") else { return };
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    for n in 0..50 {
        store.commit(&story.turn(&format!("add {n} {}", "x".repeat(1_000)))).unwrap();
    }
    fs::create_dir(disk.data_dir()).unwrap();
    let killed = fixture.after_kill();
    for name in [DATABASE, "todo.db-wal"] {
        fs::copy(killed.path().join(name), disk.data_dir().join(name)).unwrap();
    }
    // Room for the files that SQLite needs, so that only the database cannot grow.
    let room = disk.dir.path().join("room");
    fs::write(&room, [0; 64 * 1024]).unwrap();
    let _filler = disk.fill();
    fs::remove_file(room).unwrap();
    let (store, loaded) = open_and_load(&disk.data_dir()).unwrap();
    assert_eq!(loaded.tasks, story.tasks());
    Box::new(store).close().unwrap();
}

#[test]
fn read_only_disk_is_refused() {
    let Some(disk) = Disk::mount("4m") else { return };
    drop(open_and_load(&disk.data_dir()).unwrap());
    assert!(run("mount", &["-o", "remount,ro"], disk.dir.path()));
    for path in [disk.data_dir(), disk.dir.path().join("new")] {
        match SqliteStore::open(&path) {
            Err(StoreError::Directory { error, .. }) => {
                assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The lock and the database are writable, but SQLite cannot create files beside them.
#[test]
fn directory_that_takes_no_files_is_refused() {
    let Some(disk) = Disk::mount("4m") else { return };
    drop(open_and_load(&disk.data_dir()).unwrap());
    for name in ["todod.lock", DATABASE] {
        let file = disk.data_dir().join(name);
        assert!(run("mount", &["--bind", file.to_str().unwrap()], &file));
    }
    assert!(run("mount", &["-o", "remount,bind,ro"], disk.dir.path()));
    match SqliteStore::open(&disk.data_dir()) {
        Err(StoreError::Directory { error, .. }) => {
            assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
        }
        other => panic!("{other:?}"),
    }
}

/// Permissions do not stop root, but a read-only mount of the file does.
#[test]
fn read_only_database_is_refused() {
    let Some(disk) = Disk::mount("4m") else { return };
    drop(open_and_load(&disk.data_dir()).unwrap());
    let database = disk.data_dir().join(DATABASE);
    let path = database.to_str().unwrap();
    assert!(run("mount", &["--bind", path], &database));
    assert!(run("mount", &["-o", "remount,bind,ro"], &database));
    let refused = SqliteStore::open(&disk.data_dir());
    assert!(run("umount", &[], &database));
    match refused {
        Err(StoreError::ReadOnly { error, .. }) => {
            assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
        }
        other => panic!("{other:?}"),
    }
    open_and_load(&disk.data_dir()).unwrap();
}
