//! The data directory: its lock, the lock on the database file, and the proof that the
//! files at their paths still are the open ones.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation};
use rustix::io::Errno;

use super::error::SqliteError;
use super::inspect::beside;

/// Held by the process that uses the directory. Never removed by `todod`: a second process
/// could hold the removed file while a third locks a new one.
const LOCK: &str = "todod.lock";

/// Group or others may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The right to use a data directory. The kernel releases it when the process ends,
/// however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    data_dir: PathBuf,
    file: File,
}

/// Makes the directory if it is missing, and takes its lock without waiting. Returns
/// its absolute path, too: SQLite would take a relative `file:x` for a URI.
pub(super) fn take(data_dir: &Path) -> Result<(PathBuf, Lock), SqliteError> {
    let unusable = |error| SqliteError::Directory { path: data_dir.to_owned(), error };
    let data_dir = &std::path::absolute(data_dir).map_err(unusable)?;
    create(data_dir).map_err(unusable)?;
    // SQLite makes files beside the database, so a writable database is not enough.
    rustix::fs::access(data_dir, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|errno| unusable(errno.into()))?;
    if let Some(warning) = warning_about(data_dir).map_err(unusable)? {
        log::warn!("{warning}");
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false) // it names the holder, if there is one
        .mode(0o600)
        .open(data_dir.join(LOCK))
        .map_err(unusable)?;
    if !lock_without_waiting(&file).map_err(unusable)? {
        return Err(SqliteError::InUse { path: data_dir.to_owned(), holder: holder(&mut file) });
    }
    Ok((data_dir.clone(), Lock { data_dir: data_dir.clone(), file }))
}

impl Lock {
    /// Locks the database file as well: `todod.lock` may have been removed while another
    /// process holds it. Then writes the process id into `todod.lock`.
    pub(super) fn lock_database(&mut self, path: &Path) -> Result<File, SqliteError> {
        let database = lock_database(path)?;
        if let Err(error) = self.sign() {
            // The process id only improves an error message. On a full disk the list still opens.
            let lock = self.data_dir.join(LOCK);
            log::warn!("cannot write the process id to {}: {error}", lock.display());
        }
        Ok(database)
    }

    fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        writeln!(self.file, "{}", std::process::id())
    }
}

/// Locks a database file, without waiting.
///
/// The returned file must outlive every SQLite connection to the database: closing any
/// descriptor of a file releases the POSIX locks that SQLite holds on it. On Linux,
/// `flock` and POSIX locks do not see each other.
pub(super) fn lock_database(path: &Path) -> Result<File, SqliteError> {
    let failed =
        |error: io::Error| SqliteError::Failed { path: path.to_owned(), detail: error.to_string() };
    let database = File::open(path).map_err(failed)?;
    match lock_without_waiting(&database).map_err(failed)? {
        true => Ok(database),
        false => {
            let path = path.parent().unwrap_or(path).to_owned();
            Err(SqliteError::InUse { path, holder: "another process".to_owned() })
        }
    }
}

/// Returns whether the lock was free.
fn lock_without_waiting(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Only the owner may look inside. What is created is on disk when this returns:
/// a list is as durable as the directories that lead to it.
fn create(data_dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        data_dir.ancestors().take_while(|dir| fs::symlink_metadata(dir).is_err()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    if !fs::metadata(data_dir)?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    missing.into_iter().try_for_each(sync_parent)
}

/// A warning if other users may replace the files of the list.
pub(super) fn warning_about(data_dir: &Path) -> io::Result<Option<String>> {
    let mode = fs::metadata(data_dir)?.mode() & 0o7777;
    let dir = data_dir.display();
    Ok((mode & WRITABLE_BY_OTHERS != 0).then(|| {
        format!(
            "other users can replace the list, since the data directory {dir} has mode {mode:04o}: \
             run chmod go-w {dir}"
        )
    }))
}

/// Makes the entry of an absolute `path` in its directory survive the loss of power.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

/// The holder of the lock, such as `todod (process 1234)`.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // Between the holder's lock and its signature the file is empty.
    let pid = match file.take(32).read_to_string(&mut text) {
        Ok(_) => text.trim().parse::<u32>().ok(),
        Err(_) => None,
    };
    let Some(pid) = pid else { return "another process".to_owned() };
    // Not there: another namespace, or no /proc.
    match fs::read_to_string(PathBuf::from(format!("/proc/{pid}/comm"))) {
        Ok(name) => format!("{} (process {pid})", name.trim_end()),
        Err(_) => format!("process {pid}"),
    }
}

/// The files that SQLite has open, by device and inode. A write to a file that is no
/// longer at its path is lost, and SQLite does not notice.
#[derive(Debug)]
pub(super) struct OpenFiles(Vec<(PathBuf, Identity)>);

type Identity = (u64, u64);

impl OpenFiles {
    /// The files at their paths now: the database, its log and the log's index.
    pub(super) fn of(database: &Path) -> OpenFiles {
        let paths = ["", "-wal", "-shm"].map(|suffix| beside(database, suffix));
        let identified = paths.into_iter().filter_map(|path| {
            let identity = identity(&fs::metadata(&path).ok()?);
            Some((path, identity))
        });
        OpenFiles(identified.collect())
    }

    /// The first file that was removed, moved or replaced since, as an error message.
    pub(super) fn check(&self) -> Result<(), String> {
        for (path, opened) in &self.0 {
            let what = match fs::metadata(path) {
                Ok(found) if identity(&found) == *opened => continue,
                Ok(_) => "was replaced".to_owned(),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    "was removed or moved".to_owned()
                }
                Err(error) => format!("cannot be found ({error})"),
            };
            return Err(format!(
                "{} {what} while todod was using it: put the file or a backup back, then start todod again",
                path.display()
            ));
        }
        Ok(())
    }
}

fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}
