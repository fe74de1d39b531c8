use super::proto::{Filter, TaskUpdate};

/// What an update of a watch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Forget what you know.
    Reset,
    /// A task that was there before.
    Snapshot,
    /// The snapshot, or the history asked for, is complete.
    Synced,
    /// Everything up to its revision was sent.
    Progress,
    /// Something happened.
    Change,
}

impl Mark {
    pub fn of(update: &TaskUpdate) -> Mark {
        match &*update.action {
            "RESET" => Mark::Reset,
            "SNAPSHOT" => Mark::Snapshot,
            "SYNCED" => Mark::Synced,
            "PROGRESS" => Mark::Progress,
            _ => Mark::Change,
        }
    }
}

/// A place in the history of a list: after this revision of that list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Empty: whichever list is there.
    pub list_id: String,
    pub revision: i64,
}

/// Follows a watch through its streams, and proves that no change is missing, comes
/// twice or comes out of order.
#[derive(Clone)]
pub(super) struct Sequence {
    /// All changes are sent, so their revisions are consecutive.
    is_any: bool,
    /// Up to where everything was seen; `None` before the first contact, and from RESET
    /// to SYNCED.
    pub(super) place: Option<Place>,
    /// The last change since RESET: a snapshot may be of an older list, and the changes
    /// since come before SYNCED.
    made_up_to: Option<i64>,
}

impl Sequence {
    pub(super) fn new(filter: Filter, place: Option<Place>) -> Sequence {
        Sequence { is_any: filter == Filter::ANY, place, made_up_to: None }
    }

    /// Takes the next update, or says what is wrong with it and stays where it is.
    pub(super) fn take(&mut self, update: &TaskUpdate) -> Result<(), String> {
        let revision = update.revision;
        let is_any = self.is_any;
        match (Mark::of(update), &mut self.place) {
            (Mark::Reset, place) => (*place, self.made_up_to) = (None, None),
            (Mark::Snapshot, None) if self.made_up_to.is_none() => {}
            (Mark::Snapshot, _) => return Err("a SNAPSHOT outside of a snapshot".to_owned()),
            (Mark::Progress, None) => {}
            (Mark::Synced, place @ None) => {
                let last = self.made_up_to.unwrap_or(revision);
                if revision < last || is_any && revision != last {
                    return Err(format!("revision {revision} after revision {last}"));
                }
                *place = Some(Place { list_id: update.list_id.clone(), revision });
            }
            (Mark::Change, None) => {
                let last = self.made_up_to.unwrap_or(0);
                let is_next = revision > last;
                let is_gap =
                    is_any && self.made_up_to.is_some() && revision.checked_sub(1) != Some(last);
                if !is_next || is_gap {
                    return Err(format!("revision {revision} after revision {last}"));
                }
                self.made_up_to = Some(revision);
            }
            (Mark::Synced, Some(place)) if update.list_id != place.list_id => {
                return Err(format!("list {:?}, not {:?}", update.list_id, place.list_id));
            }
            (Mark::Synced | Mark::Progress, Some(place)) => {
                let is_next = match is_any {
                    true => revision == place.revision,
                    false => revision >= place.revision,
                };
                go_on(place, revision, is_next)?;
            }
            (Mark::Change, Some(place)) => {
                let is_next = match is_any {
                    true => revision.checked_sub(1) == Some(place.revision),
                    false => revision > place.revision,
                };
                go_on(place, revision, is_next)?;
            }
        }
        Ok(())
    }
}

fn go_on(place: &mut Place, revision: i64, is_next: bool) -> Result<(), String> {
    if !is_next {
        return Err(format!("revision {revision} after revision {}", place.revision));
    }
    place.revision = revision;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(text: &str) -> TaskUpdate {
        let (action, revision) = text.split_once(' ').unwrap();
        let list_id = if action == "SYNCED" { "l" } else { "" };
        TaskUpdate {
            action: action.to_owned(),
            revision: revision.parse().unwrap(),
            list_id: list_id.to_owned(),
            ..Default::default()
        }
    }

    /// Takes the updates after a place. Where it is then, or what is wrong with the last.
    fn check(filter: Filter, after: Option<i64>, updates: &[&str]) -> Result<Option<i64>, String> {
        let place = after.map(|revision| Place { list_id: "l".to_owned(), revision });
        let mut sequence = Sequence::new(filter, place);
        let (last, before) = updates.split_last().unwrap();
        before.iter().for_each(|text| sequence.take(&update(text)).unwrap());
        let place = sequence.place.clone();
        match sequence.take(&update(last)) {
            Ok(()) => Ok(sequence.place.map(|place| place.revision)),
            Err(why) => {
                assert_eq!(sequence.place, place, "{last:?} moved it");
                Err(why)
            }
        }
    }

    #[test]
    fn what_may_follow_what() {
        use Filter::{ANY, LIVE};
        for (filter, after, updates, at) in [
            (ANY, Some(4), &["ADDED 5", "DELETED 6", "SYNCED 6", "PROGRESS 6", "ADDED 7"][..], 7),
            (LIVE, Some(4), &["ADDED 6", "SYNCED 9", "PROGRESS 11", "PROGRESS 11", "ADDED 20"], 20),
            (ANY, None, &["RESET 0", "SNAPSHOT 0", "PROGRESS 0", "SYNCED 3", "ADDED 4"], 4),
            (LIVE, None, &["RESET 0", "SYNCED 0", "ADDED 1"], 1),
            // History was gone: it starts again, even below.
            (ANY, Some(9), &["RESET 0", "SNAPSHOT 0", "SYNCED 2"], 2),
            (ANY, Some(9), &["FUTURE_ACTION 10"], 10),
            // The snapshot was of an older list.
            (ANY, None, &["RESET 0", "SNAPSHOT 0", "ADDED 5", "ADDED 6", "SYNCED 6"], 6),
            (LIVE, None, &["RESET 0", "SNAPSHOT 0", "ADDED 5", "ADDED 9", "SYNCED 11"], 11),
        ] {
            assert_eq!(check(filter, after, updates), Ok(Some(at)), "{filter:?} {updates:?}");
        }
        assert_eq!(check(ANY, Some(9), &["RESET 0", "SNAPSHOT 0"]), Ok(None));
    }

    #[test]
    fn what_breaks_it() {
        use Filter::{ANY, LIVE};
        for (filter, updates, why) in [
            (ANY, &["ADDED 5", "ADDED 5"][..], "revision 5 after revision 5"),
            (LIVE, &["ADDED 5", "ADDED 5"], "revision 5 after revision 5"),
            (ANY, &["ADDED 6"], "revision 6 after revision 4"),
            (LIVE, &["ADDED 6", "ADDED 5"], "revision 5 after revision 6"),
            (LIVE, &["ADDED 4"], "revision 4 after revision 4"),
            (
                ANY,
                &["ADDED -9223372036854775808"],
                "revision -9223372036854775808 after revision 4",
            ),
            (ANY, &["SYNCED 5"], "revision 5 after revision 4"),
            (LIVE, &["SYNCED 3"], "revision 3 after revision 4"),
            (ANY, &["PROGRESS 6"], "revision 6 after revision 4"),
            (LIVE, &["ADDED 7", "PROGRESS 6"], "revision 6 after revision 7"),
            (LIVE, &["SNAPSHOT 0"], "a SNAPSHOT outside of a snapshot"),
            (LIVE, &["RESET 0", "ADDED 5", "ADDED 5"], "revision 5 after revision 5"),
            (ANY, &["RESET 0", "ADDED 5", "ADDED 7"], "revision 7 after revision 5"),
            (LIVE, &["RESET 0", "ADDED 5", "SYNCED 4"], "revision 4 after revision 5"),
            (ANY, &["RESET 0", "ADDED 5", "SYNCED 6"], "revision 6 after revision 5"),
            (LIVE, &["RESET 0", "ADDED 5", "SNAPSHOT 0"], "a SNAPSHOT outside of a snapshot"),
        ] {
            assert_eq!(check(filter, Some(4), updates), Err(why.to_owned()), "{updates:?}");
        }
        let mut sequence =
            Sequence::new(ANY, Some(Place { list_id: "other".to_owned(), revision: 4 }));
        let why = sequence.take(&update("SYNCED 4")).unwrap_err();
        assert_eq!(why, r#"list "l", not "other""#);
    }
}
