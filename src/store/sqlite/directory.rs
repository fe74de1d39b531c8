use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation};

use super::error::SqliteError;

/// Held by the process that uses the directory. Never removed: a second process
/// could hold the removed file while a third locks a new one.
const LOCK: &str = "todod.lock";

/// The right to use a data directory. The kernel takes it back when the process
/// ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
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
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false) // it names the holder, if there is one
        .mode(0o600)
        .open(data_dir.join(LOCK))
        .map_err(unusable)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(errno) if errno == rustix::io::Errno::WOULDBLOCK => {
            return Err(SqliteError::InUse {
                path: data_dir.to_owned(),
                holder: holder(&mut file),
            });
        }
        Err(errno) => return Err(unusable(errno.into())),
    }
    if let Err(error) = sign(&mut file) {
        // A courtesy to the next one who asks. On a full disk the list still opens.
        log::warn!("cannot write the process id to {}: {error}", data_dir.join(LOCK).display());
    }
    Ok((data_dir.clone(), Lock { _file: file }))
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

/// Makes the entry of an absolute `path` in its directory survive the loss of power.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
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
