//! Compaction: what is at or below the compacted revision goes, but for the newest
//! change of each task there. So the list at that revision can still be told.

use rusqlite::{Connection, OptionalExtension, params};

use super::failure::Fault;
use super::transaction::{self, Stage};
use crate::limits::COMPACTION_STEP;
use crate::model::{Revision, TaskId};
use crate::store::{CommitError, CompactionDue};

/// One step, and the compacted revision after it.
///
/// Each change that the step passes over supersedes one row at most, the one before it
/// of the same task: so a step deletes no more rows than it looks at, and never looks
/// again at those that stay.
pub(super) fn step(
    connection: &Connection,
    compacted: Revision,
    due: &CompactionDue,
) -> Result<Revision, CommitError> {
    let passed = passed(connection, compacted, due)
        .map_err(|error| transaction::give_up(connection, Stage::BeforeCommit, &error))?;
    let Some((compacted_after, _)) = passed.last() else { return Ok(compacted) };
    transaction::write(connection, || {
        passed.iter().try_for_each(|change| delete_superseded(connection, *change))?;
        set_compacted(connection, *compacted_after)
    })?;
    Ok(*compacted_after)
}

/// The changes that are due next.
fn passed(
    connection: &Connection,
    compacted: Revision,
    due: &CompactionDue,
) -> rusqlite::Result<Vec<(Revision, TaskId)>> {
    let last = due.up_to.max(due.up_to_if_old);
    if last <= compacted {
        return Ok(Vec::new()); // most turns end here
    }
    let mut next = connection.prepare_cached(
        "SELECT revision, task_id, updated_at FROM changes
         WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3",
    )?;
    let mut rows = next.query(params![compacted, last, COMPACTION_STEP as i64])?;
    let mut passed = Vec::new();
    while let Some(row) = rows.next()? {
        let revision = row.get(0)?;
        if !due.covers(revision, row.get(2)?) {
            break;
        }
        passed.push((revision, row.get(1)?));
    }
    Ok(passed)
}

fn delete_superseded(
    connection: &Connection,
    (revision, task): (Revision, TaskId),
) -> rusqlite::Result<()> {
    connection.prepare_cached(DELETE_SUPERSEDED)?.execute(params![task, revision]).map(|_| ())
}

pub(super) const DELETE_SUPERSEDED: &str = "
    DELETE FROM changes WHERE revision =
        (SELECT max(revision) FROM changes WHERE task_id = ?1 AND revision < ?2)";

fn set_compacted(connection: &Connection, compacted: Revision) -> rusqlite::Result<()> {
    let mut set =
        connection.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'compacted_revision'")?;
    set.execute([compacted.to_string()]).map(|_| ())
}

/// The compacted revision.
pub(super) fn compacted(connection: &Connection) -> Result<Revision, Fault> {
    let found: Option<String> = connection
        .prepare_cached("SELECT value FROM meta WHERE key = 'compacted_revision'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(text) = found else {
        return Err(Fault::Damage("the list has no compacted revision".to_owned()));
    };
    match text.parse() {
        Ok(revision) if revision >= 0 => Ok(revision),
        Ok(_) | Err(_) => Err(Fault::Damage(format!("its compacted revision is {text:?}"))),
    }
}

/// Checks the order of two changes, of which no other is read between: after the
/// compacted revision none may be missing.
pub(super) fn check_order(
    previous: Revision,
    revision: Revision,
    compacted: Revision,
) -> Result<(), Fault> {
    if revision <= previous {
        return Err(Fault::Damage(format!("change {revision} follows change {previous}")));
    }
    let complete_up_to = previous.max(compacted);
    if revision - 1 > complete_up_to {
        return Err(Fault::Damage(format!("change {} is missing", complete_up_to + 1)));
    }
    Ok(())
}
