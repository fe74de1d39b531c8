use super::*;
use crate::model::{Filter, RequestId, Task};

/// Runs a script such as `add milk; done 1; done 1` on an empty list. One line an
/// outcome: `1@2 COMPLETED` (task 1, revision 2), `1@2 unchanged`, or the rejection.
fn run(script: &str) -> String {
    let mut list = TaskList::new("test".into(), [], 3);
    outcomes(&mut list, script)
}

fn outcomes(list: &mut TaskList, script: &str) -> String {
    let lines = script.split(';').enumerate().map(|(at, step)| {
        let (mutation, guard) = parse(step.trim());
        match list.apply(&mutation, &guard, Timestamp(at as i64)) {
            Ok(Outcome::Changed(change)) => {
                format!("{}@{} {}", change.task.id, change.revision(), change.action.name())
            }
            Ok(Outcome::Unchanged(task)) => format!("{}@{} unchanged", task.id, task.revision),
            Err(rejection) => rejection.to_string(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `VERB ARGUMENT [TITLE] [?REVISION]`
fn parse(step: &str) -> (Mutation, Guard) {
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
        "edit" => Edit::Retitle(Title::new(words.next().unwrap()).unwrap()),
        "add" => {
            let title = Title::new(argument).unwrap();
            return (Mutation::Add { title }, Guard::default());
        }
        other => panic!("no such step: {other}"),
    };
    let id = argument.parse().unwrap();
    (Mutation::Edit { id, edit }, Guard { request_id: None, expected_revision: expected })
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
    let mismatch = "task 1 is at revision 2, not 1: look at it again, then retry";
    assert_eq!(run("add a; rm 1; done 1?1"), format!("1@1 ADDED\n1@2 DELETED\n{mismatch}"));
    assert_eq!(run("add a; done 1; done 1?1"), format!("1@1 ADDED\n1@2 COMPLETED\n{mismatch}"));
    assert_eq!(run("add a; done 1?1; done 1?2"), "1@1 ADDED\n1@2 COMPLETED\n1@2 unchanged");
}

#[test]
fn a_full_list_takes_edits_but_no_task_even_after_a_deletion() {
    let full = "the list holds its 3 tasks, deleted ones counted: raise --tasks-max";
    let outcomes = run("add a; add b; add c; add d; rm 1; add d; done 2");
    let added = "1@1 ADDED\n2@2 ADDED\n3@3 ADDED";
    assert_eq!(outcomes, format!("{added}\n{full}\n1@4 DELETED\n{full}\n2@5 COMPLETED"));
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
    let mut list = TaskList::new("test".into(), [Arc::new(last)], 10);
    let exhausted = "all task ids up to 2147483647 are used: start a new list";
    assert_eq!(outcomes(&mut list, "add a; add b"), format!("2147483647@8 ADDED\n{exhausted}"));
}

#[test]
fn times_never_go_backwards() {
    let mut list = TaskList::new("test".into(), [], 10);
    let times = [(5, 5), (3, 5), (9, 9), (i64::MIN, 9)];
    for (now, stamped) in times {
        let add = Mutation::Add { title: Title::new("a").unwrap() };
        let Ok(Outcome::Changed(change)) = list.apply(&add, &Guard::default(), Timestamp(now))
        else {
            panic!("an add changes the list");
        };
        assert_eq!(change.task.created_at, Timestamp(stamped));
        assert_eq!(change.task.updated_at, Timestamp(stamped));
    }
}

#[test]
fn completion_has_its_time_and_reopening_takes_it_away() {
    let mut list = TaskList::new("test".into(), [], 10);
    outcomes(&mut list, "add a; done 1; edit 1 b");
    let task = list.get(1).unwrap();
    assert_eq!((task.completed_at, task.updated_at), (Some(Timestamp(1)), Timestamp(2)));
    outcomes(&mut list, "reopen 1");
    assert_eq!(list.get(1).unwrap().completed_at, None);
}

#[test]
fn a_change_concerns_those_who_saw_the_task_before_or_see_it_after() {
    use Filter::{Any, Completed, Deleted, Live, Open};
    let mut list = TaskList::new("test".into(), [], 10);
    for (step, concerned) in [
        ("add a", &[Live, Open, Any][..]),
        ("done 1", &[Live, Open, Completed, Any]),
        ("edit 1 b", &[Live, Completed, Any]),
        ("rm 1", &[Live, Completed, Deleted, Any]),
        ("restore 1", &[Live, Completed, Deleted, Any]),
        ("reopen 1", &[Live, Open, Completed, Any]),
    ] {
        let (mutation, guard) = parse(step);
        let Ok(Outcome::Changed(change)) = list.apply(&mutation, &guard, Timestamp(0)) else {
            panic!("{step} changes the list");
        };
        for filter in [Live, Open, Completed, Deleted, Any] {
            assert_eq!(filter.concerns(&change), concerned.contains(&filter), "{step} {filter:?}");
        }
    }
}

#[test]
fn a_draft_leaves_the_list_alone_and_a_change_names_its_request() {
    let mut list = TaskList::new("test".into(), [], 10);
    outcomes(&mut list, "add a");
    let mut draft = list.clone();
    let request_id = RequestId::new("r1").unwrap();
    let guard = Guard { request_id: request_id.clone(), expected_revision: None };
    let complete = Mutation::Edit { id: 1, edit: Edit::Complete };
    let Ok(Outcome::Changed(change)) = draft.apply(&complete, &guard, Timestamp(0)) else {
        panic!("completing changes the draft");
    };
    assert_eq!(change.request_id, request_id);
    assert_eq!((list.revision(), list.get(1).unwrap().completed()), (1, false));
    assert_eq!((draft.revision(), draft.get(1).unwrap().completed()), (2, true));
}
