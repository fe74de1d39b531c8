//! Compaction deletes the changes at or below the compacted revision, except the newest
//! change of each task there. So the list at that revision can still be read.

use rusqlite::{Connection, params};

use super::error::CommitError;
use super::failure::Fault;
use super::list_row::ListRow;
use super::rows::{ChangeRow, Checked, change_columns};
use super::transaction::{self, Stage};
use crate::limits::COMPACTION_STEP;
use crate::model::{Revision, Timestamp};
use crate::store::CompactionDue;

/// One step. Returns the list's row after it.
///
/// Each change that a step passes supersedes at most one row, the change before it of the
/// same task. A change that purged its task supersedes itself, too: nothing of the task is
/// left. So a step deletes at most two rows for each row that it reads, and never reads
/// those again that stay.
pub(super) fn step(
    connection: &Connection,
    list: &ListRow,
    due: &CompactionDue,
) -> Result<ListRow, CommitError> {
    let passed = passed(connection, list.compacted, due).map_err(|fault| match fault {
        Fault::Sqlite(error) => transaction::give_up(connection, Stage::BeforeCommit, &error),
        Fault::Damage(why) | Fault::Unfit(why) => CommitError::Damaged(why),
    })?;
    let Some(last) = passed.last() else { return Ok(list.clone()) };
    let after = ListRow { compacted: last.revision, ..list.clone() };
    transaction::write(connection, || {
        let mut delete = connection.prepare_cached("DELETE FROM changes WHERE revision = ?1")?;
        for Passed { revision, previous, purge } in &passed {
            if *previous > 0 {
                delete.execute(params![previous])?;
            }
            if *purge {
                delete.execute(params![revision])?;
            }
        }
        after.write(connection)
    })?;
    Ok(after)
}

struct Passed {
    revision: Revision,
    previous: Revision,
    purge: bool,
}

/// The changes that are due next.
fn passed(
    connection: &Connection,
    compacted: Revision,
    due: &CompactionDue,
) -> Result<Vec<Passed>, Fault> {
    let last = due.up_to.max(due.up_to_if_old);
    if last <= compacted {
        return Ok(Vec::new()); // most calls end here
    }
    let mut next = connection.prepare_cached(concat!(
        "SELECT ",
        change_columns!(),
        " FROM changes AS c WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3"
    ))?;
    let mut rows = next.query(params![compacted, last, COMPACTION_STEP as i64])?;
    let mut passed = Vec::new();
    while let Some(row) = rows.next()? {
        let change = ChangeRow::read(row)?;
        if !due.covers(change.revision, Timestamp(change.at)) {
            break;
        }
        let (purge, ChangeRow { revision, previous, .. }) = (change.is_purge(), change);
        passed.push(Passed { revision, previous, purge });
    }
    Ok(passed)
}

/// Checks the order of two changes that were read one after the other: after the compacted
/// revision none may be missing.
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
