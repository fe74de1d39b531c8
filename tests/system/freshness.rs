//! Reads are never older than what the client has already received.

use std::collections::BTreeMap;
use std::thread;

use todo::client::{Client, Edit};
use todo::state::Limits;
use todo::store::{SqliteStore, Store};
use todo::wire::methods;
use todo::wire::proto::*;

use crate::change_log::{Log, shows};
use crate::follow::WatcherProfile;
use crate::harness::{self, Calls, TestServer};
use crate::promises::{in_memory, write_at_once};
use crate::stream::{Stream, raw};
use crate::workload::{FILTERS, Workload};

/// Makes every kind of read after each update.
fn ask_at_each_update(workload: &Workload, filter: Filter) {
    let client = harness::client(&workload.address);
    let request = WatchTasksRequest { filter: filter.into(), snapshot: true, ..Default::default() };
    let stream = Stream::open(&raw(&workload.address, |channel| channel), &request);
    stream.up_to("SYNCED");
    while workload.is_written() {
        let update = stream.update();
        let task = client.get(update.task.id).unwrap();
        assert!(task.revision >= update.revision, "GetTask {task} after {update}");
        assert!(task.revision > update.revision || Some(&task) == update.task.as_ref());
        let page = client.page(filter, 1, "").unwrap();
        assert!(page.revision >= update.revision, "GetTasks at {} after {update}", page.revision);
        all_is_fresh(&client.page(filter, 0, "").unwrap(), filter, &update);
        let changes = change(&client, update.revision);
        let listed = TaskUpdate { previous_revision: 0, ..update.clone() };
        assert_eq!(changes.changes, [listed], "ListChanges after it");
        assert!(changes.revision >= update.revision);
        let then = GetTasksRequest {
            at_revision: Some(update.revision),
            filter: Filter::ANY.into(),
            page_size: 1,
            ..Default::default()
        };
        client.make(&methods::GET_TASKS, &then).expect("its revision has come");
    }
}

/// The whole list is made from cached encoded tasks.
fn all_is_fresh(all: &GetTasksResponse, filter: Filter, update: &TaskUpdate) {
    assert!(all.revision >= update.revision, "GetTasks at {} after {update}", all.revision);
    let listed = all.tasks.iter().find(|task| task.id == update.task.id);
    let is_fresh = |task: &Task| task.revision >= update.revision;
    assert!(listed.is_none_or(is_fresh), "{listed:?} was listed after {update}");
    if all.revision == update.revision {
        assert_eq!(listed.is_some(), shows(filter, &update.task), "{filter:?}, {update}");
    }
}

fn change(client: &Client, revision: i64) -> ListChangesResponse {
    let one = ListChangesRequest {
        after_revision: Some(revision - 1),
        up_to_revision: Some(revision),
        ..Default::default()
    };
    client.make(&methods::LIST_CHANGES, &one).unwrap()
}

#[test]
fn no_answer_is_older_than_an_update_already_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk: Box<dyn Store> = Box::new(SqliteStore::open(dir.path()).unwrap());
    for store in [in_memory(), on_disk] {
        let server = TestServer::with(store, Limits::default());
        let workload = &Workload::new(&server.address);
        workload.write(30, 1);
        thread::scope(|scope| {
            for filter in FILTERS {
                scope.spawn(move || ask_at_each_update(workload, filter));
            }
            write_at_once(workload, 1_500);
            workload.finish();
        });
    }
}

/// Read-your-writes: an acknowledged change is in every answer to a later request.
#[test]
fn a_client_reads_what_it_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk: Box<dyn Store> = Box::new(SqliteStore::open(dir.path()).unwrap());
    for store in [in_memory(), on_disk] {
        let server = TestServer::with(store, Limits::default());
        let address = &server.address;
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let client = harness::client(address);
                    for _ in 0..50 {
                        let id = client.add("task").unwrap().id;
                        let task = client.edit(id, Edit::Complete).unwrap();
                        assert_eq!(client.get(id).unwrap(), task);
                        let all = client.page(Filter::ANY, 0, "").unwrap();
                        assert!(all.revision >= task.revision && all.tasks.contains(&task));
                        let changes = change(&client, task.revision).changes;
                        assert_eq!(*changes[0].task, task);
                    }
                });
            }
        });
    }
}

/// A client can maintain the list of its filter from the updates alone.
#[test]
fn a_filtered_watcher_can_maintain_its_list_from_updates_alone() {
    let server =
        TestServer::with(in_memory(), Limits { change_log_changes: 4, ..Limits::default() });
    let workload = &Workload::new(&server.address);
    let goal = thread::scope(|scope| {
        let watching = FILTERS.map(|filter| {
            let mut profile = WatcherProfile::new(filter, 7).with_snapshot();
            profile.stalls_for = 100;
            scope.spawn(move || (filter, workload.follow(&profile)))
        });
        write_at_once(workload, 2_000);
        let goal = workload.finish();
        let log = Log::fetch(&server.client());
        for (filter, recordings) in watching.map(|watcher| watcher.join().unwrap()) {
            let mut known: BTreeMap<i32, Task> = BTreeMap::new();
            for update in recordings.into_iter().flat_map(|recording| recording.messages) {
                let Some(task) = update.task.into_option() else { continue };
                let was_known = known.remove(&task.id).is_some();
                let is_shown = shows(filter, &task);
                assert!(was_known || is_shown, "{filter:?} received {task} for nothing");
                if is_shown {
                    known.insert(task.id, task);
                }
                if update.revision > 0 && update.revision % 100 == 0 {
                    let known: Vec<_> = known.values().cloned().collect();
                    assert_eq!(known, log.tasks_at(update.revision, filter), "{filter:?}");
                }
            }
        }
        goal
    });
    assert!(goal > 1_000);
}
