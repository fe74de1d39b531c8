use super::proto::TaskUpdate;

/// What an update of a watch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateKind {
    /// A SNAPSHOT follows: what the client knows of the list is outdated.
    Reset,
    /// A task that exists.
    Snapshot,
    /// The snapshot, or the requested history, is complete.
    Synced,
    /// Everything up to its revision was sent.
    Progress,
    /// A change, of any action, also one that this program does not know.
    Change,
}

impl From<&TaskUpdate> for UpdateKind {
    fn from(update: &TaskUpdate) -> UpdateKind {
        match &*update.action {
            "RESET" => UpdateKind::Reset,
            "SNAPSHOT" => UpdateKind::Snapshot,
            "SYNCED" => UpdateKind::Synced,
            "PROGRESS" => UpdateKind::Progress,
            _ => UpdateKind::Change,
        }
    }
}

/// Whether the change removed a deleted task for good. Its task has an id and nothing else.
pub fn is_purge(update: &TaskUpdate) -> bool {
    update.action == "PURGED"
}

/// A position in the history of a list: after this revision of that list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Empty: of the list that the server has.
    pub list_id: String,
    pub revision: i64,
}

/// Follows a watch through its calls, and proves that no change is missing.
///
/// An update says that no change that concerns the watch lies between `previous_revision`
/// and `revision`. So at position P it is the next one if `previous_revision <= P < revision`;
/// a later `previous_revision` is a gap, an earlier `revision` a repetition. An older
/// `todod` sends 0 as `previous_revision`: then only the order is checked.
#[derive(Clone)]
pub(super) struct Sequence {
    /// Up to where all updates were seen; `None` before the first connection, and from
    /// RESET to SYNCED.
    pub(super) position: Option<Position>,
    /// The last change since RESET. A snapshot may show an older list: then the changes
    /// since come before SYNCED.
    last_in_snapshot: Option<i64>,
}

impl Sequence {
    pub(super) fn new(position: Option<Position>) -> Sequence {
        Sequence { position, last_in_snapshot: None }
    }

    /// Takes the next update. Returns whether it is new: a repeated change is not. If the
    /// update cannot follow, returns why, and the position stays.
    pub(super) fn take(&mut self, update: &TaskUpdate) -> Result<bool, String> {
        let kind = UpdateKind::from(update);
        let reached = self.position.as_ref().map(|position| position.revision);
        let reached = reached.or(self.last_in_snapshot);
        match kind {
            UpdateKind::Reset => {
                *self = Sequence::new(None);
                return Ok(true);
            }
            UpdateKind::Snapshot if reached.is_none() => return Ok(true),
            UpdateKind::Snapshot => return Err("a SNAPSHOT outside of a snapshot".to_owned()),
            UpdateKind::Progress if self.position.is_none() => return Ok(true),
            UpdateKind::Synced | UpdateKind::Progress | UpdateKind::Change => {}
        }
        if let Some(reached) = reached {
            match kind {
                UpdateKind::Change if update.revision <= reached => return Ok(false),
                _ if update.revision < reached => {
                    return Err(format!("revision {} after revision {reached}", update.revision));
                }
                _ => {}
            }
            if update.previous_revision > reached {
                return Err(format!(
                    "revision {} follows revision {}, which did not come: the last was {reached}",
                    update.revision, update.previous_revision
                ));
            }
        }
        self.advance(kind, update)?;
        let now = self.position.as_ref().map(|position| position.revision);
        debug_assert!(reached <= now.or(self.last_in_snapshot), "a position never goes back");
        Ok(true)
    }

    fn advance(&mut self, kind: UpdateKind, update: &TaskUpdate) -> Result<(), String> {
        let revision = update.revision;
        match &mut self.position {
            None if kind == UpdateKind::Synced => {
                let list_id = update.list_id.clone();
                self.position = Some(Position { list_id, revision });
            }
            None => self.last_in_snapshot = Some(revision),
            Some(position) => {
                if kind == UpdateKind::Synced {
                    if position.list_id.is_empty() {
                        position.list_id.clone_from(&update.list_id);
                    }
                    if position.list_id != update.list_id {
                        let (here, there) = (&update.list_id, &position.list_id);
                        return Err(format!("list {here:?}, not {there:?}"));
                    }
                }
                position.revision = revision;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ADDED 7` is revision 7; `ADDED 5-7` is revision 7 with the previous revision 5.
    pub(in crate::client) fn update(text: &str) -> TaskUpdate {
        let (action, revisions) = text.split_once(' ').unwrap();
        let (previous, revision) = match revisions.rsplit_once('-') {
            Some((previous, revision)) if !previous.is_empty() => (previous, revision),
            _ => ("0", revisions),
        };
        let list_id = if action == "SYNCED" { "l" } else { "" };
        TaskUpdate {
            action: action.to_owned(),
            revision: revision.parse().unwrap(),
            previous_revision: previous.parse().unwrap(),
            list_id: list_id.to_owned(),
            ..Default::default()
        }
    }

    /// Takes the updates, of which the last is `new`, repeated, or an error.
    fn check(after: Option<i64>, updates: &[&str]) -> (Result<bool, String>, Option<i64>) {
        let position = after.map(|revision| Position { list_id: "l".to_owned(), revision });
        let mut sequence = Sequence::new(position);
        let (last, before) = updates.split_last().unwrap();
        for text in before {
            assert_eq!(sequence.take(&update(text)), Ok(true), "{text} in {updates:?}");
        }
        let position = sequence.position.clone();
        let taken = sequence.take(&update(last));
        if taken != Ok(true) {
            assert_eq!(sequence.position, position, "{last:?} moved the position");
        }
        (taken, sequence.position.map(|position| position.revision))
    }

    #[test]
    fn what_may_follow_what() {
        for (after, updates, at) in [
            (
                Some(4),
                &["ADDED 4-5", "DELETED 5-6", "SYNCED 6-6", "PROGRESS 6", "ADDED 6-7"][..],
                Some(7),
            ),
            // Changes that do not concern the watch are skipped.
            (Some(4), &["ADDED 3-6", "SYNCED 6-9", "PROGRESS 11", "ADDED 6-20"], Some(20)),
            // An older server.
            (Some(4), &["ADDED 6", "SYNCED 9", "PROGRESS 11", "ADDED 20"], Some(20)),
            (None, &["RESET 0", "SNAPSHOT 0", "PROGRESS 0", "SYNCED 3", "ADDED 3-4"], Some(4)),
            (None, &["RESET 0", "SYNCED 0", "ADDED 1"], Some(1)),
            // History was compacted: the list starts again, even at a lower revision.
            (Some(9), &["RESET 0", "SNAPSHOT 0", "SYNCED 2"], Some(2)),
            (Some(9), &["RESET 0", "SNAPSHOT 0"], None),
            (Some(9), &["FUTURE_ACTION 9-10"], Some(10)),
            // The snapshot showed an older list.
            (None, &["RESET 0", "SNAPSHOT 0", "ADDED 2-5", "ADDED 5-6", "SYNCED 6-6"], Some(6)),
            (None, &["RESET 0", "SNAPSHOT 0", "ADDED 5", "ADDED 9", "SYNCED 11"], Some(11)),
        ] {
            assert_eq!(check(after, updates), (Ok(true), at), "{updates:?}");
        }
        let mut sequence = Sequence::new(Some(Position { list_id: String::new(), revision: 4 }));
        assert_eq!(sequence.take(&update("SYNCED 4")), Ok(true));
        assert_eq!(sequence.position, Some(Position { list_id: "l".to_owned(), revision: 4 }));
    }

    #[test]
    fn a_repeated_change_is_dropped() {
        for updates in [
            &["ADDED 4-5", "ADDED 4-5"][..],
            &["ADDED 6", "ADDED 5"],
            &["ADDED 4"],
            &["ADDED -9223372036854775808"],
            &["RESET 0", "ADDED 5", "ADDED 5"],
        ] {
            assert_eq!(check(Some(4), updates).0, Ok(false), "{updates:?}");
        }
    }

    #[test]
    fn what_cannot_follow() {
        for (updates, why) in [
            (
                &["ADDED 5-6"][..],
                "revision 6 follows revision 5, which did not come: the last was 4",
            ),
            (&["SYNCED 5-5"], "revision 5 follows revision 5, which did not come: the last was 4"),
            (
                &["PROGRESS 5-6"],
                "revision 6 follows revision 5, which did not come: the last was 4",
            ),
            (&["SYNCED 3"], "revision 3 after revision 4"),
            (&["ADDED 7", "PROGRESS 6"], "revision 6 after revision 7"),
            (&["SNAPSHOT 0"], "a SNAPSHOT outside of a snapshot"),
            (&["RESET 0", "ADDED 5", "SYNCED 4"], "revision 4 after revision 5"),
            (
                &["RESET 0", "ADDED 5", "ADDED 6-7"],
                "revision 7 follows revision 6, which did not come: the last was 5",
            ),
            (
                &["RESET 0", "ADDED 5", "SYNCED 6-6"],
                "revision 6 follows revision 6, which did not come: the last was 5",
            ),
            (&["RESET 0", "ADDED 5", "SNAPSHOT 0"], "a SNAPSHOT outside of a snapshot"),
        ] {
            assert_eq!(check(Some(4), updates).0, Err(why.to_owned()), "{updates:?}");
        }
        let other = Position { list_id: "other".to_owned(), revision: 4 };
        let why = Sequence::new(Some(other)).take(&update("SYNCED 4")).unwrap_err();
        assert_eq!(why, r#"list "l", not "other""#);
    }
}
