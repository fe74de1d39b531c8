//! Real files in temporary directories. A `Fixture` is a data directory; a `Story` is the
//! oracle, the list that the store should hold.

mod commit;
mod compaction;
mod damage;
mod golden;
mod history;
mod loss;
mod open;
mod requests;
mod space;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::head::Head;
use super::{
    DATABASE, IfMissing, LogSize, Retention, SqliteStore, connection, directory, recovery, schema,
};
use crate::store::story::{Story, due_up_to, id};
use crate::store::{Loaded, Store, StoreError};

struct Fixture {
    dir: TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture { dir: tempfile::tempdir().unwrap() }
    }

    /// A directory that holds this database and nothing else.
    fn with_database(bytes: &[u8]) -> Fixture {
        let fixture = Fixture::new();
        fs::write(fixture.database(), bytes).unwrap();
        fixture
    }

    /// The files that a process leaves if it is killed now.
    fn after_kill(&self) -> Fixture {
        let copy = Fixture::new();
        for name in [DATABASE, "todo.db-wal"] {
            if let Ok(bytes) = fs::read(self.path().join(name)) {
                fs::write(copy.path().join(name), bytes).unwrap();
            }
        }
        copy
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn database(&self) -> PathBuf {
        self.path().join(DATABASE)
    }

    /// A store that is loaded.
    fn open(&self) -> (SqliteStore, Loaded) {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<(SqliteStore, Loaded), StoreError> {
        open_and_load(self.path())
    }

    /// The files that hold the list: database, log, journal. An empty log counts as none:
    /// SQLite creates it when it opens a database.
    fn bytes(&self) -> [Option<Vec<u8>>; 3] {
        let read = |name: &str| fs::read(self.path().join(name)).ok();
        let not_empty = |bytes: &Vec<u8>| !bytes.is_empty();
        let log = read("todo.db-wal").filter(not_empty);
        [read(DATABASE), log, read("todo.db-journal").filter(not_empty)]
    }

    /// Opening must fail and leave the files as they are.
    fn refused(&self) -> StoreError {
        let before = self.bytes();
        let error = self.try_open().expect_err("the store opened");
        assert!(self.bytes() == before, "the files changed: {error}");
        error
    }

    /// Changes the database on a connection of another program.
    fn tamper(&self, sql: &str) {
        let connection = Connection::open(self.database()).unwrap();
        connection.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
        connection.execute_batch(sql).unwrap();
    }
}

/// Reports a test, or a part of one, that cannot run here. Under CI that is a failure.
fn skipped(needs: &str) {
    assert!(std::env::var_os("CI").is_none(), "under CI, this test must run: it needs {needs}");
    eprintln!("SKIPPED: this test needs {needs}");
}

fn open_and_load(path: &Path) -> Result<(SqliteStore, Loaded), StoreError> {
    let mut store = SqliteStore::open(path)?;
    let loaded = store.load()?;
    Ok((store, loaded))
}

/// A closed database of about 60 pages, in which most tasks changed more than once and
/// the oldest changes are compacted.
fn well_used_database() -> (Vec<u8>, Loaded) {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    for n in 1..=600 {
        let script =
            format!("add number {n} {} #add{n}; done {n}; retitle {n} {n}!", "x".repeat(60));
        store.commit(&story.turn(&script)).unwrap();
    }
    let compacted = store.compact(&due_up_to(20)).unwrap();
    Box::new(store).close().unwrap();
    let loaded = Loaded { tasks: story.tasks(), compacted, ..loaded };
    (fs::read(fixture.database()).unwrap(), loaded)
}
