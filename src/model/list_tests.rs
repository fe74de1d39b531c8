use super::*;
use crate::model::{Filter, Precondition, Status, TaskPatch, Title};

/// Runs a script such as `add milk; done 1; done 1` on an empty list. One line an
/// outcome: `1@2 COMPLETED` (task 1, revision 2), `1@2 unchanged`, or the rejection.
fn run(script: &str) -> String {
    let mut list = TaskList::new("test".into(), [], Head::default(), 3);
    outcomes(&mut list, script)
}

fn outcomes(list: &mut TaskList, script: &str) -> String {
    let lines = script.split(';').enumerate().map(|(at, step)| {
        match list.apply(&parse(step.trim()), Timestamp(at as i64)) {
            Ok(applied) => match (&applied.changes[..], &applied.answer) {
                ([], Answer::Task(task)) => format!("{}@{} unchanged", task.id, task.revision),
                ([change], _) => {
                    format!("{}@{} {}", change.task_id, change.revision, change.action.name())
                }
                (changes, answer) => panic!("{changes:?} {answer:?}"),
            },
            Err(rejection) => rejection.to_string(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `VERB ARGUMENT [TITLE] [?REVISION]`
fn parse(step: &str) -> Request {
    let (step, expected) = match step.split_once('?') {
        Some((step, revision)) => (step, Some(revision.parse().unwrap())),
        None => (step, None),
    };
    let mut words = step.split_whitespace();
    let (verb, argument) = (words.next().unwrap(), words.next().unwrap());
    let edit = match verb {
        "done" => Edit::Complete,
        "reopen" => Edit::Reopen,
        "rm" => Edit::Delete,
        "restore" => Edit::Restore,
        "purge" => Edit::Purge,
        "edit" => {
            let title = Some(Title::new(words.next().unwrap()).unwrap());
            Edit::Update(TaskPatch { title })
        }
        "add" => return Mutation::Add(TaskFields { title: Title::new(argument).unwrap() }).into(),
        other => panic!("no such step: {other}"),
    };
    let id = argument.parse().unwrap();
    let precondition = Precondition { expected_revision: expected };
    Request { precondition, ..Mutation::Edit { id, edit }.into() }
}

#[test]
fn every_edit_in_every_state() {
    let open = "add milk";
    let done = "add milk; done 1";
    let deleted = "add milk; rm 1";
    let deleted_done = "add milk; done 1; rm 1";
    let refused = "task 1 is deleted: restore it first";
    for (state, edit, outcome) in [
        (open, "done 1", "1@2 COMPLETED"),
        (open, "reopen 1", "1@1 unchanged"),
        (open, "edit 1 milk", "1@1 unchanged"),
        (open, "edit 1 oat", "1@2 UPDATED"),
        (open, "rm 1", "1@2 DELETED"),
        (open, "restore 1", "1@1 unchanged"),
        (done, "done 1", "1@2 unchanged"),
        (done, "reopen 1", "1@3 REOPENED"),
        (done, "edit 1 oat", "1@3 UPDATED"),
        (done, "rm 1", "1@3 DELETED"),
        (done, "restore 1", "1@2 unchanged"),
        (deleted, "done 1", refused),
        (deleted, "reopen 1", refused),
        (deleted, "edit 1 milk", refused),
        (deleted, "edit 1 oat", refused),
        (deleted, "rm 1", "1@2 unchanged"),
        (deleted, "restore 1", "1@3 RESTORED"),
        (deleted_done, "done 1", refused),
        (deleted_done, "restore 1", "1@4 RESTORED"),
        (open, "purge 1", "task 1 is not deleted: delete it before you purge it"),
        (deleted, "purge 1", "1@3 PURGED"),
        (deleted_done, "purge 1", "1@4 PURGED"),
        ("add milk; rm 1; purge 1", "purge 1", "Task not found"),
        ("add milk; rm 1; purge 1", "restore 1", "Task not found"),
        ("add milk; rm 1; purge 1", "add milk", "2@4 ADDED"),
    ] {
        let outcomes = run(&format!("{state}; {edit}"));
        assert_eq!(outcomes.lines().last(), Some(outcome), "{state}; {edit}");
    }
}

#[test]
fn an_id_that_never_existed_is_not_found() {
    for id in ["2", "0", "-1", "2147483647", "-2147483648"] {
        for verb in ["done", "reopen", "rm", "restore"] {
            assert_eq!(run(&format!("add a; {verb} {id}?9")), "1@1 ADDED\nTask not found");
        }
    }
}

#[test]
fn the_expected_revision_is_checked_after_existence_and_before_the_rest() {
    let mismatch = "task 1 is at revision 2, not 1: read it again, then retry";
    assert_eq!(run("add a; rm 1; done 1?1"), format!("1@1 ADDED\n1@2 DELETED\n{mismatch}"));
    assert_eq!(run("add a; done 1; done 1?1"), format!("1@1 ADDED\n1@2 COMPLETED\n{mismatch}"));
    assert_eq!(run("add a; done 1?1; done 1?2"), "1@1 ADDED\n1@2 COMPLETED\n1@2 unchanged");
}

#[test]
fn a_full_list_accepts_edits_and_a_purge_makes_room() {
    let full = "the list is at its limit of 3 tasks, deleted ones included: \
                purge deleted tasks or raise --tasks-max";
    let outcomes = run("add a; add b; add c; add d; rm 1; add d; done 2; purge 1; add d");
    let added = "1@1 ADDED\n2@2 ADDED\n3@3 ADDED";
    let edited = format!("{full}\n1@4 DELETED\n{full}\n2@5 COMPLETED");
    assert_eq!(outcomes, format!("{added}\n{edited}\n1@6 PURGED\n4@7 ADDED"));
}

/// Neither the head nor an id may be derived from the tasks that exist.
#[test]
fn a_purge_of_the_newest_task_reuses_neither_its_id_nor_its_revision() {
    assert_eq!(run("add a; rm 1; purge 1; add b"), "1@1 ADDED\n1@2 DELETED\n1@3 PURGED\n2@4 ADDED");
}

#[test]
fn replayed_changes_make_the_same_list() {
    let mut list = TaskList::new("test".into(), [], Head::default(), 10);
    let mut replica = list.clone();
    for step in ["add a", "add b", "done 1", "edit 2 c", "rm 1", "restore 1", "rm 2", "purge 2"] {
        for change in list.apply(&parse(step), Timestamp(7)).unwrap().changes {
            assert_eq!(change.batch_revision, change.revision);
            assert_eq!(change.before.as_ref(), replica.get(change.task_id).ok());
            replica.replay(&change);
            assert_eq!(change.after.as_ref(), replica.get(change.task_id).ok());
        }
        assert_eq!(replica.head(), list.head());
        assert!(replica.after(0).eq(list.after(0)), "{step}");
    }
}

#[test]
fn ids_end_at_the_limit_of_int32() {
    let last = Task {
        id: i32::MAX - 1,
        title: Title::new("last but one").unwrap(),
        deleted: true,
        revision: 7,
        created_at: Timestamp(1),
        updated_at: Timestamp(2),
        completed_at: None,
    };
    let head = Head { revision: 7, last_id: i32::MAX - 1, changed_at: Timestamp(2) };
    let mut list = TaskList::new("test".into(), [Arc::new(last)], head, 10);
    let exhausted = "all task ids up to 2147483647 are used: start a new list";
    assert_eq!(outcomes(&mut list, "add a; add b"), format!("2147483647@8 ADDED\n{exhausted}"));
}

#[test]
fn times_never_go_backwards() {
    let mut list = TaskList::new("test".into(), [], Head::default(), 10);
    let times = [(5, 5), (3, 5), (9, 9), (i64::MIN, 9)];
    for (now, stamped) in times {
        let applied = list.apply(&parse("add a"), Timestamp(now)).unwrap();
        let task = applied.changes[0].after.as_ref().unwrap();
        assert_eq!((task.created_at, task.updated_at), (Timestamp(stamped), Timestamp(stamped)));
    }
}

#[test]
fn completion_has_its_time_and_reopening_takes_it_away() {
    let mut list = TaskList::new("test".into(), [], Head::default(), 10);
    outcomes(&mut list, "add a; done 1; edit 1 b");
    let task = list.get(1).unwrap();
    assert_eq!((task.completed_at, task.updated_at), (Some(Timestamp(1)), Timestamp(2)));
    outcomes(&mut list, "reopen 1");
    assert_eq!(list.get(1).unwrap().completed_at, None);
}

#[test]
fn a_change_concerns_filters_that_match_before_or_after() {
    use Status::{Any, Completed, Deleted, Live, Open};
    let mut list = TaskList::new("test".into(), [], Head::default(), 10);
    for (step, concerned) in [
        ("add a", &[Live, Open, Any][..]),
        ("done 1", &[Live, Open, Completed, Any]),
        ("edit 1 b", &[Live, Completed, Any]),
        ("rm 1", &[Live, Completed, Deleted, Any]),
        ("restore 1", &[Live, Completed, Deleted, Any]),
        ("reopen 1", &[Live, Open, Completed, Any]),
        ("rm 1", &[Live, Open, Deleted, Any]),
        ("purge 1", &Status::ALL),
    ] {
        let applied = list.apply(&parse(step), Timestamp(0)).unwrap();
        let concerns = |status: Status| Filter::from(status).concerns(&applied.changes[0]);
        for status in Status::ALL {
            assert_eq!(concerns(status), concerned.contains(&status), "{step} {status:?}");
        }
    }
    // Read from history, where the content is gone, the changes before a purge concern
    // nobody but the watchers of ANY.
    let mut gone = |action| Change { action, before: None, after: None, ..purge_of(&mut list) };
    for (action, concerned) in
        [(Action::Purged, &Status::ALL[..]), (Action::Added, &[Any]), (Action::Deleted, &[Any])]
    {
        for status in Status::ALL {
            let concerns = Filter::from(status).concerns(&gone(action));
            assert_eq!(concerns, concerned.contains(&status), "{action:?} {status:?}");
        }
    }
}

#[test]
fn a_draft_leaves_the_list_alone_and_a_change_names_its_request() {
    let mut list = TaskList::new("test".into(), [], Head::default(), 10);
    outcomes(&mut list, "add a");
    let mut draft = list.clone();
    let request_id = RequestId::new("r1").unwrap();
    let complete = Request { request_id: request_id.clone(), ..parse("done 1") };
    let applied = draft.apply(&complete, Timestamp(0)).unwrap();
    assert_eq!(applied.changes[0].request_id, request_id);
    assert_eq!((list.revision(), list.get(1).unwrap().completed()), (1, false));
    assert_eq!((draft.revision(), draft.get(1).unwrap().completed()), (2, true));
}

fn purge_of(list: &mut TaskList) -> Change {
    let mut draft = list.clone();
    outcomes(&mut draft, "add x; rm 2");
    draft.apply(&parse("purge 2"), Timestamp(0)).unwrap().changes.remove(0)
}
