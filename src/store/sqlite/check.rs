//! The full check of a list that no server uses: opens it, has SQLite check the file, then
//! has [`audit`](super::audit) compare all rows with each other.

use std::path::Path;

use rusqlite::Connection;

use super::audit::Audit;
use super::error::SqliteError;
use super::failure::Fault;
use super::head::{HeadFile, StoredHead};
use super::list_row::ListRow;
use super::{DATABASE, connection, directory, inspect, refuse_stray_log, schema};
use crate::limits::CHECK_FINDINGS_MAX;
use crate::store::{CheckProgress, CheckReport};

/// Checks a data directory, or a database file such as a backup. The list keeps every byte.
pub(super) fn check(
    path: &Path,
    progress: &mut dyn FnMut(CheckProgress),
) -> Result<CheckReport, SqliteError> {
    let failed = |error| SqliteError::Directory { path: path.to_owned(), error };
    let path = &std::path::absolute(path).map_err(failed)?;
    let (database, head, _lock) = match path.is_dir() {
        true => {
            // A directory without a list gets no lock file.
            let database = path.join(DATABASE);
            if inspect::inspect(&database)?.is_none() {
                return Err(SqliteError::NoList(database));
            }
            let (data_dir, lock) = directory::take(path)?;
            let head = HeadFile::open(&data_dir).map_err(failed)?;
            (data_dir.join(DATABASE), head.head().cloned(), Some(lock))
        }
        false => (path.clone(), None, None),
    };
    // Locked until the check ends; not opened where there is none.
    let _database_lock = match database.is_file() {
        true => Some(directory::lock_database(&database)?),
        false => None,
    };
    check_file(&database, head.as_ref(), progress)
}

fn check_file(
    path: &Path,
    head: Option<&StoredHead>,
    progress: &mut dyn FnMut(CheckProgress),
) -> Result<CheckReport, SqliteError> {
    let at_path = |fault: Fault| fault.at(path);
    let Some(header) = inspect::inspect(path)? else {
        return Err(SqliteError::NoList(path.to_owned()));
    };
    refuse_stray_log(path, head, header.schema_cookie)?;
    let connection = connection::open_to_check(path)?;
    let format = connection::format(&connection).map_err(at_path)?;
    schema::refuse_newer(path, format, schema::MIGRATIONS)?;
    if format < schema::format_after(schema::MIGRATIONS) {
        let detail = format!("it has the old format {format}: start todod on a copy of it once");
        return Err(at_path(Fault::Unfit(detail)));
    }
    let mut report = CheckReport { path: path.to_owned(), ..CheckReport::default() };
    find_all(&connection, head, &mut report, progress).map_err(at_path)?;
    Ok(report)
}

fn find_all(
    connection: &Connection,
    head: Option<&StoredHead>,
    report: &mut CheckReport,
    progress: &mut dyn FnMut(CheckProgress),
) -> Result<(), Fault> {
    progress(CheckProgress { step: "file", done: 0, total: None });
    let damaged_pages = connection::integrity_errors(connection, CHECK_FINDINGS_MAX);
    match damaged_pages.or_else(|fault| fault.into_damage().map(|why| vec![why])) {
        Ok(found) => found.into_iter().for_each(|why| report.add(why)),
        Err(fault) => return Err(fault),
    }
    let transaction = connection.unchecked_transaction()?; // one state for all reads
    let list = match ListRow::read(&transaction) {
        Ok(list) => list,
        // Without this row there is nothing to compare the others with.
        Err(fault) => return fault.into_damage().map(|why| report.add(why)),
    };
    if let Some(head) = head
        && *head.list_id == *list.list_id
        && head.revision > list.head.revision
    {
        report.add(format!(
            "the list is at revision {}, but changes up to {} were acknowledged",
            list.head.revision, head.revision
        ));
    }
    Audit::new(&transaction, list, report, progress).run()
}
