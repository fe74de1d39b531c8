//! Each kind of broken promise, made by hand: the checker must see it.

use std::collections::BTreeMap;

use super::Violation::*;
use super::*;

/// `ADDED 1` and so on, one change each.
fn log(actions: &[(&str, i32)]) -> Log {
    let mut tasks: BTreeMap<i32, Task> = BTreeMap::new();
    let changes = actions.iter().zip(1..).map(|((action, id), revision)| {
        if *action == "PURGED" {
            tasks.insert(*id, Task::default());
        }
        let task = tasks.entry(*id).or_default();
        (task.id, task.revision) = (*id, revision);
        match *action {
            "ADDED" => task.title = format!("task {id}"),
            "UPDATED" => task.title = format!("task {id} at {revision}"),
            "COMPLETED" | "REOPENED" => task.completed = *action == "COMPLETED",
            "DELETED" | "RESTORED" => task.deleted = *action == "DELETED",
            "PURGED" => {}
            other => panic!("{other}"),
        }
        let (task, action) = (Some(task.clone()).into(), (*action).to_owned());
        TaskUpdate { task, action, revision, batch_revision: revision, ..Default::default() }
    });
    Log::new("this", changes.collect())
}

fn eight_changes() -> Log {
    log(&[
        ("ADDED", 1),
        ("ADDED", 2),
        ("COMPLETED", 1),
        ("UPDATED", 1),
        ("DELETED", 2),
        ("REOPENED", 1),
        ("RESTORED", 2),
        ("ADDED", 3),
    ])
}

fn mark(action: &str, revision: i64) -> TaskUpdate {
    let list_id = if action == "SYNCED" { "this" } else { "" };
    let (action, list_id) = (action.to_owned(), list_id.to_owned());
    TaskUpdate { action, revision, list_id, ..Default::default() }
}

/// What a server that keeps its promises sends to this request, for a list that was at
/// `called_at` and went on to the log's end.
fn faithful(log: &Log, request: &WatchTasksRequest, called_at: i64) -> Recording {
    let filter = request.filter.unwrap();
    let mut messages = Vec::new();
    let history = match request.after_revision {
        Some(after) => after..called_at,
        None => called_at..called_at,
    };
    if request.after_revision.is_none() && request.snapshot {
        messages.push(mark("RESET", 0));
        messages.extend(
            log.tasks_at(called_at, filter)
                .into_iter()
                .map(|task| TaskUpdate { task: Some(task).into(), ..mark("SNAPSHOT", 0) }),
        );
    }
    let changes = |revisions: std::ops::Range<i64>| {
        let concerning = (revisions.start + 1..=revisions.end)
            .filter(|revision| log.concerns(filter, *revision));
        concerning.map(|revision| log.change(revision).unwrap().clone()).collect::<Vec<_>>()
    };
    messages.extend(changes(history));
    if request.snapshot || request.after_revision.is_some() {
        messages.push(mark("SYNCED", called_at));
    }
    messages.extend(changes(called_at..log.newest()));
    if request.progress_interval_ms > 0 {
        messages.push(mark("PROGRESS", log.newest()));
    }
    let mut received = request.after_revision.unwrap_or(called_at);
    for update in messages.iter_mut().filter(|update| !is_mark(update)) {
        update.previous_revision = received;
        received = update.revision;
    }
    Recording { request: request.clone(), called_at, messages, end: None }
}

fn requests() -> Vec<WatchTasksRequest> {
    let mut requests = Vec::new();
    for filter in [Filter::LIVE, Filter::OPEN, Filter::COMPLETED, Filter::DELETED, Filter::ANY] {
        let plain = WatchTasksRequest { filter: filter.into(), ..Default::default() };
        let progress = WatchTasksRequest { progress_interval_ms: 100, ..plain.clone() };
        let snapshot = WatchTasksRequest { snapshot: true, ..progress.clone() };
        let resumes = (0..=5).map(|revision| WatchTasksRequest {
            after_revision: Some(revision),
            snapshot: revision % 2 == 0,
            ..progress.clone()
        });
        requests.extend(resumes.chain([progress.clone(), snapshot]));
    }
    requests
}

#[test]
fn the_replay_tells_every_list_that_there_was() {
    let log = eight_changes();
    for (filter, revision, ids) in [
        (Filter::ANY, 0, &[][..]),
        (Filter::ANY, 8, &[1, 2, 3]),
        (Filter::LIVE, 5, &[1]),
        (Filter::LIVE, 7, &[1, 2, 3][..2]),
        (Filter::OPEN, 2, &[1, 2]),
        (Filter::OPEN, 3, &[2]),
        (Filter::COMPLETED, 3, &[1]),
        (Filter::COMPLETED, 6, &[]),
        (Filter::DELETED, 6, &[2]),
    ] {
        let found: Vec<_> = log.tasks_at(revision, filter).iter().map(|task| task.id).collect();
        assert_eq!(found, ids, "{filter:?} at {revision}");
    }
    let concerning = |filter| -> Vec<i64> {
        (1..=8).filter(|revision| log.concerns(filter, *revision)).collect()
    };
    assert_eq!(concerning(Filter::OPEN), [1, 2, 3, 5, 6, 7, 8]);
    assert_eq!(concerning(Filter::COMPLETED), [3, 4, 6]);
    assert_eq!(concerning(Filter::DELETED), [5, 7]);
    assert_eq!(log.tasks_at(4, Filter::COMPLETED)[0].title, "task 1 at 4");
}

#[test]
fn what_is_faithful_passes() {
    let log = eight_changes();
    for request in requests() {
        let recording = faithful(&log, &request, 5);
        assert_eq!(log.check_up_to(&recording, 8), Ok(8), "{recording:?}");
    }
    // A watch from now on may begin a little later.
    let any = WatchTasksRequest { filter: Filter::ANY.into(), ..Default::default() };
    let mut later = faithful(&log, &any, 5);
    later.messages.remove(0);
    assert_eq!(log.check(&later), Ok(8));
}

/// Without any one of its updates, with any of them twice, or with two of them
/// exchanged: nothing of a stream can be touched without being seen.
#[test]
fn every_loss_every_duplicate_and_every_exchange_is_seen() {
    let log = eight_changes();
    for request in requests() {
        let whole = faithful(&log, &request, 5);
        let is_live = !request.snapshot && request.after_revision.is_none();
        let last = whole.messages.len() - 1;
        for at in 0..=last {
            let mut lost = whole.clone();
            let gone = lost.messages.remove(at);
            // A lost mark shows only to whoever waits for it, and so does the first
            // update of a watch from now on.
            let hidden = matches!(&*gone.action, "SYNCED" | "PROGRESS") || (is_live && at == 0);
            assert_eq!(log.check_up_to(&lost, 8).is_ok(), hidden, "without {gone:?}: {request}");

            let mut twice = whole.clone();
            twice.messages.insert(at, twice.messages[at].clone());
            let harmless = twice.messages[at].action == "PROGRESS";
            assert_eq!(log.check(&twice).is_err(), !harmless, "twice {gone:?}: {request}");

            let mut exchanged = whole.clone();
            exchanged.messages.swap(at, at.saturating_sub(1));
            assert_eq!(log.check(&exchanged).is_err(), at > 0, "late {gone:?}: {request}");
        }
    }
}

/// A request for filter ANY after revision 2, called when the list was at 5:
/// `3 4 5 SYNCED@5 6 7 8 PROGRESS@8`.
fn resumed(log: &Log) -> Recording {
    let request = WatchTasksRequest {
        after_revision: Some(2),
        progress_interval_ms: 100,
        max_updates_per_message: 3,
        filter: Filter::ANY.into(),
        ..Default::default()
    };
    faithful(log, &request, 5)
}

/// A request for a snapshot: `RESET 1 2 SYNCED@5 6 7 8`.
fn from_snapshot(log: &Log) -> Recording {
    let request =
        WatchTasksRequest { snapshot: true, filter: Filter::ANY.into(), ..Default::default() };
    faithful(log, &request, 5)
}

/// One message of these.
fn pack(recording: &mut Recording, range: std::ops::Range<usize>) {
    let mut packed = recording.messages.drain(range.clone());
    let mut first = packed.next().unwrap();
    first.more.extend(packed);
    recording.messages.insert(range.start, first);
}

#[test]
fn each_kind_of_violation_has_its_name() {
    type Tamper = fn(&mut Recording);
    let log = eight_changes();
    let resumed_with: [(Violation, Tamper); 29] = [
        (Gap, |r| drop(r.messages.remove(0))),
        (Gap, |r| drop(r.messages.remove(5))),
        (Gap, |r| r.messages.truncate(6)),
        (Gap, |r| r.messages.insert(0, mark("PROGRESS", 3))),
        (Gap, |r| r.messages.swap(2, 3)),
        (Again, |r| r.messages.insert(6, r.messages[5].clone())),
        (Again, |r| r.messages.insert(6, r.messages[0].clone())),
        (Altered, |r| r.messages[1].task.mut_or_insert_default().title += "!"),
        (Altered, |r| r.messages[1].request_id = "x".to_owned()),
        (Altered, |r| r.messages[1].action = "DELETED".to_owned()),
        (Altered, |r| r.messages[4].revision = 9),
        (Altered, |r| r.messages[0].list_id = "this".to_owned()),
        (Altered, |r| r.messages[4].batch_revision = 5),
        (Previous, |r| r.messages[0].previous_revision = 3),
        (Previous, |r| r.messages[1].previous_revision = 4),
        (Previous, |r| r.messages[1].previous_revision = 2),
        (Previous, |r| r.messages[5].previous_revision = 0),
        (MisplacedMark, |r| r.messages.insert(4, mark("SYNCED", 5))),
        (MisplacedMark, |r| r.messages.insert(0, mark("RESET", 0))),
        (MisplacedMark, |r| r.request.progress_interval_ms = 0),
        (MisplacedMark, |r| r.messages[0].action = "SNAPSHOT".to_owned()),
        (MarkFields, |r| r.messages[3].list_id = "that".to_owned()),
        (MarkFields, |r| r.messages[7].list_id = "this".to_owned()),
        (SyncedEarly, |r| r.called_at = 6),
        (ProgressBack, |r| r.messages[7].revision = 7),
        (FromTheFuture, |r| r.messages[7].revision = 9),
        (Packing, |r| pack(r, 4..8)),
        (Packing, |r| pack(r, 2..4)),
        (End, |r| {
            r.end = Some((Code::OUT_OF_RANGE, "the history up to revision 9 was compacted".into()));
        }),
    ];
    for (at, (violation, tamper)) in resumed_with.into_iter().enumerate() {
        let mut recording = resumed(&log);
        tamper(&mut recording);
        let found = log.check_up_to(&recording, 8).map_err(|(violation, _)| violation);
        assert_eq!(found, Err(violation), "resume {at}");
    }
    let snapshots_with: [(Violation, Tamper); 8] = [
        (Snapshot, |r| drop(r.messages.remove(1))),
        (Snapshot, |r| r.messages.swap(1, 2)),
        (Snapshot, |r| r.messages.insert(1, r.messages[1].clone())),
        (Snapshot, |r| r.messages[2].task.mut_or_insert_default().deleted = false),
        (Snapshot, |r| r.messages[3].revision = 6),
        (MarkFields, |r| r.messages[1].revision = 4),
        (MisplacedMark, |r| drop(r.messages.remove(0))),
        (NeedlessReset, |r| r.request.after_revision = Some(3)),
    ];
    for (at, (violation, tamper)) in snapshots_with.into_iter().enumerate() {
        let mut recording = from_snapshot(&log);
        tamper(&mut recording);
        let found = log.check_up_to(&recording, 8).map_err(|(violation, _)| violation);
        assert_eq!(found, Err(violation), "snapshot {at}");
    }
}

#[test]
fn a_change_that_does_not_concern_the_filter_is_no_update_for_it() {
    let log = eight_changes();
    let request = WatchTasksRequest {
        after_revision: Some(0),
        filter: Filter::COMPLETED.into(),
        ..Default::default()
    };
    let mut recording = faithful(&log, &request, 5);
    recording.messages.insert(0, log.change(2).unwrap().clone());
    recording.messages[0].previous_revision = 0;
    assert_eq!(log.check(&recording).map_err(|(violation, _)| violation), Err(NotConcerned));
}

/// Under every filter, the proof may reach back to what the client received, and no further
/// than to the last change that concerns the filter.
#[test]
fn a_previous_revision_proves_that_nothing_is_missing() {
    let log = eight_changes();
    // COMPLETED 3, UPDATED 4 and REOPENED 6 concern it.
    let request = WatchTasksRequest {
        after_revision: Some(0),
        filter: Filter::COMPLETED.into(),
        ..Default::default()
    };
    let whole = faithful(&log, &request, 5);
    for (at, accepted) in [(0, 0..=0), (1, 3..=3), (3, 4..=5)] {
        for previous_revision in 0..=8 {
            let mut recording = whole.clone();
            recording.messages[at].previous_revision = previous_revision;
            let found = log.check(&recording).map_err(|(violation, _)| violation);
            let expected = match accepted.contains(&previous_revision) {
                true => Ok(6),
                false => Err(Previous),
            };
            assert_eq!(found, expected, "{previous_revision} in {}", recording.messages[at]);
        }
    }
}

/// Once a task is purged, its older changes are read without content: then they concern the
/// watchers of ANY alone, and the purge concerns everybody.
#[test]
fn a_purge_explains_what_is_missing_before_it() {
    let log = log(&[("ADDED", 1), ("ADDED", 2), ("DELETED", 1), ("PURGED", 1), ("ADDED", 3)]);
    for filter in [Filter::LIVE, Filter::OPEN, Filter::COMPLETED, Filter::DELETED, Filter::ANY] {
        let request = WatchTasksRequest {
            after_revision: Some(0),
            filter: filter.into(),
            ..Default::default()
        };
        let whole = faithful(&log, &request, 5);
        assert_eq!(log.check_up_to(&whole, 5), Ok(5), "{filter:?}");
        // The purge must come.
        let mut lost = whole.clone();
        lost.messages.retain(|update| update.action != "PURGED");
        assert_eq!(log.check_up_to(&lost, 5).map_err(|(violation, _)| violation), Err(Gap));
        // What comes before it need not, but for ANY without its content.
        let mut late = whole.clone();
        late.messages.retain(|update| update.task.id != 1 || update.action == "PURGED");
        let mut received = 0;
        for update in late.messages.iter_mut().filter(|update| !is_mark(update)) {
            update.previous_revision = received;
            received = update.revision;
        }
        let found = log.check_up_to(&late, 5).map_err(|(violation, _)| violation);
        assert_eq!(found, if filter == Filter::ANY { Err(Gap) } else { Ok(5) }, "{filter:?}");
    }
    let request = WatchTasksRequest {
        after_revision: Some(0),
        filter: Filter::ANY.into(),
        ..Default::default()
    };
    let mut blank = faithful(&log, &request, 5);
    for update in blank.messages.iter_mut().filter(|update| update.task.id == 1) {
        let task = Task { id: 1, revision: update.revision, ..Default::default() };
        update.task = Some(task).into();
    }
    assert_eq!(log.check_up_to(&blank, 5), Ok(5));
    let other = blank.messages.iter_mut().find(|update| update.task.id == 2).unwrap();
    other.task.mut_or_insert_default().title.clear();
    assert_eq!(log.check(&blank).map_err(|(violation, _)| violation), Err(Altered));
}

#[test]
fn what_may_be_packed() {
    let log = eight_changes();
    let mut recording = resumed(&log);
    pack(&mut recording, 4..7);
    pack(&mut recording, 0..2);
    assert_eq!(log.check_up_to(&recording, 8), Ok(8), "6 with 7 and 8, 3 with 4");
    let mut nested = recording.clone();
    let more = nested.messages[0].more[0].clone();
    nested.messages[0].more[0].more.push(more);
    assert_eq!(log.check(&nested).map_err(|(violation, _)| violation), Err(Packing));

    let mut snapshot = from_snapshot(&log);
    snapshot.request.max_updates_per_message = 3;
    let mut mixed = snapshot.clone();
    pack(&mut snapshot, 1..3);
    assert_eq!(log.check_up_to(&snapshot, 8), Ok(8), "a task with a task");
    pack(&mut mixed, 0..2);
    assert_eq!(log.check(&mixed).map_err(|(violation, _)| violation), Err(Packing), "RESET");

    let title = "x".repeat(100 * 1024);
    let large = |revision| TaskUpdate {
        task: Some(Task { title: title.clone(), id: 1, revision, ..Default::default() }).into(),
        revision,
        batch_revision: revision,
        action: "UPDATED".to_owned(),
        ..Default::default()
    };
    let sent = |revision| TaskUpdate { previous_revision: revision - 1, ..large(revision) };
    let log = Log::new("this", (1..=3).map(large).collect());
    let mut recording = Recording { messages: (1..=3).map(sent).collect(), ..recording };
    recording.request.after_revision = Some(0);
    assert_eq!(log.check(&recording), Ok(3));
    pack(&mut recording, 0..3);
    assert_eq!(log.check(&recording).map_err(|(violation, _)| violation), Err(Packing));
}

#[test]
fn an_end_must_have_its_cause() {
    let mut log = eight_changes();
    log.compacted = 4;
    let gone =
        "the history up to revision 4 was compacted, but was requested from revision 2".to_owned();
    let mut recording = resumed(&log);
    recording.messages.clear();
    recording.end = Some((Code::OUT_OF_RANGE, gone));
    assert_eq!(log.check(&recording), Ok(2));
    log.compacted = 2;
    assert_eq!(log.check(&recording).map_err(|(violation, _)| violation), Err(End));
    recording.request.list_id = "that".to_owned();
    assert_eq!(log.check(&recording), Ok(2));
    recording.end = Some((Code::INTERNAL, String::new()));
    assert_eq!(log.check(&recording).map_err(|(violation, _)| violation), Err(End));
}

/// A snapshot may show an older list, if what came since follows before SYNCED.
#[test]
fn an_older_snapshot_is_made_up_for_before_synced() {
    let log = eight_changes();
    for filter in [Filter::LIVE, Filter::OPEN, Filter::COMPLETED, Filter::DELETED, Filter::ANY] {
        let request =
            WatchTasksRequest { snapshot: true, filter: filter.into(), ..Default::default() };
        let mut older = faithful(&log, &request, 4);
        let synced = older.messages.iter().position(|update| update.action == "SYNCED").unwrap();
        older.called_at = 7;
        let found = log.check(&older).map_err(|(violation, _)| violation);
        assert_eq!(found, Err(SyncedEarly), "{filter:?}");
        older.messages.remove(synced);
        let later = older.messages.iter().position(|update| update.revision > 7);
        older.messages.insert(later.unwrap_or(older.messages.len()), mark("SYNCED", 7));
        assert_eq!(log.check_up_to(&older, 8).map(|place| place >= 7), Ok(true), "{filter:?}");
    }
}
