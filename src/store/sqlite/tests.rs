//! Real files in temporary directories.

mod check;
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

use super::{
    CommitError, Condition, DATABASE, IfMissing, LogSize, Migration, SqliteError, SqliteStore,
    connection, directory, recovery, schema,
};
use crate::store::oracle::{Oracle, due_up_to};
use crate::store::{Batch, Loaded, Store, StoreErrorKind};

impl SqliteStore {
    /// Commits the batch. The conformance tests do so through `propose`.
    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.write(|connection, list| super::commit::commit(connection, list, batch)).map(|_| ())
    }
}

const GOLDEN_FORMAT_1: &[u8] = include_bytes!("tests/golden/format-1.db");
const GOLDEN_FORMAT_2: &[u8] = include_bytes!("tests/golden/format-2.db");

/// A data directory.
struct Fixture {
    dir: TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture { dir: tempfile::tempdir().unwrap() }
    }

    /// A directory with only this as its database.
    fn with_database(bytes: &[u8]) -> Fixture {
        let fixture = Fixture::new();
        fs::write(fixture.database(), bytes).unwrap();
        fixture
    }

    /// What a process that is killed now leaves behind.
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

    fn try_open(&self) -> Result<(SqliteStore, Loaded), SqliteError> {
        open_and_load(self.path())
    }

    /// The files that hold the list: database, log, journal. SQLite makes an empty log
    /// when it opens a database, which holds nothing.
    fn bytes(&self) -> [Option<Vec<u8>>; 3] {
        let read = |name: &str| fs::read(self.path().join(name)).ok();
        let not_empty = |bytes: &Vec<u8>| !bytes.is_empty();
        let log = read("todo.db-wal").filter(not_empty);
        [read(DATABASE), log, read("todo.db-journal").filter(not_empty)]
    }

    /// Opening must fail, and leave the files alone.
    fn refused(&self) -> SqliteError {
        let before = self.bytes();
        let error = self.try_open().expect_err("the store opened");
        assert!(self.bytes() == before, "the files changed: {error}");
        error
    }

    /// A connection of another program, which checks nothing.
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

fn open_and_load(path: &Path) -> Result<(SqliteStore, Loaded), SqliteError> {
    let mut store = SqliteStore::open_with(path, IfMissing::Refuse, schema::MIGRATIONS)?;
    let loaded = store.read()?;
    Ok((store, loaded))
}

/// A closed database of some 60 pages in which most tasks changed more than once, and
/// of which the beginning is compacted.
fn well_used_database() -> (Vec<u8>, Loaded) {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    for n in 1..=600 {
        let script =
            format!("add number {n} {} #add{n}; done {n}; retitle {n} {n}!", "x".repeat(60));
        store.commit(&oracle.batch(&script)).unwrap();
    }
    let compacted = store.compact(&due_up_to(20)).unwrap();
    Box::new(store).close().unwrap();
    let loaded = fixture.open().1;
    assert_eq!((&loaded.tasks, loaded.head), (&oracle.tasks(), oracle.list.head()));
    assert_eq!(loaded.compacted, compacted);
    (fs::read(fixture.database()).unwrap(), loaded)
}
