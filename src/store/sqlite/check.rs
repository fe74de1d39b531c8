//! The full check of a list that no server uses: SQLite's own, then that all tables agree.

use std::path::Path;

use super::error::SqliteError;
use super::failure::Fault;
use super::head::HeadFile;
use super::{DATABASE, connection, directory, inspect, recovery, refuse_stray_log, schema};
use crate::store::CheckReport;

/// Checks a data directory, or a database file such as a backup. The list keeps every byte.
pub(super) fn check(path: &Path) -> Result<CheckReport, SqliteError> {
    let failed = |error| SqliteError::Directory { path: path.to_owned(), error };
    if !path.is_dir() {
        return check_file(&std::path::absolute(path).map_err(failed)?, None);
    }
    let (data_dir, mut lock) = directory::take(path)?;
    let database = data_dir.join(DATABASE);
    // Held until the check ends, and not opened where there is none.
    let _database = match database.exists() {
        true => Some(lock.lock_database(&database)?),
        false => None,
    };
    let head = HeadFile::open(&data_dir).map_err(failed)?;
    check_file(&database, Some(&head))
}

fn check_file(path: &Path, head: Option<&HeadFile>) -> Result<CheckReport, SqliteError> {
    let at_path = |fault: Fault| fault.at(path);
    let head = head.and_then(HeadFile::head);
    let Some(header) = inspect::inspect(path)? else {
        return Err(at_path(Fault::Unfit("it is missing or empty".to_owned())));
    };
    refuse_stray_log(path, head, header.schema_cookie)?;
    let connection = connection::open_to_check(path)?;
    let format = connection::format(&connection).map_err(at_path)?;
    schema::refuse_newer(path, format, schema::MIGRATIONS)?;
    if format < schema::format_after(schema::MIGRATIONS) {
        let detail = format!("it has the old format {format}: start todod on a copy of it once");
        return Err(at_path(Fault::Unfit(detail)));
    }
    connection::check_file(&connection, 100).map_err(at_path)?;
    let (list, loaded) = recovery::load(&connection).map_err(at_path)?;
    let revision = list.head.revision;
    if let Some(head) = head
        && *head.list_id == *loaded.list_id
        && head.revision > revision
    {
        let detail = format!(
            "it is at revision {revision}, but changes up to {} were acknowledged",
            head.revision
        );
        return Err(at_path(Fault::Damage(detail)));
    }
    let (tasks, compacted) = (loaded.tasks.len(), loaded.compacted);
    Ok(CheckReport { path: path.to_owned(), tasks, revision, compacted })
}
