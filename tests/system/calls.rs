//! Every call, every error code.

use std::time::Duration;

use grpcio::{CallOption, ChannelBuilder, EnvBuilder, RpcStatusCode};
use protobuf::EnumOrUnknown;
use todo::client::{CallError, Client, Code, Edit};
use todo::state::Limits;
use todo::store::MemoryStore;
use todo::wire::methods;
use todo::wire::proto::*;

use crate::change_log::list_changes;
use crate::harness::{self, Calls, TestServer, refusal, until};
use crate::test_store::gated;

#[test]
fn what_the_reference_example_had_works_as_in_it() {
    let server = TestServer::start();
    let client = server.client();
    for (id, title) in (1..).zip(["milk", "bread"]) {
        let request = AddTaskRequest { title: title.to_owned(), ..Default::default() };
        let task = client.call(&methods::ADD_TASK, &request).unwrap().task.unwrap();
        assert_eq!((task.id, &*task.title, task.completed), (id, title, false));
    }
    let complete = CompleteTaskRequest { task_id: 2, ..Default::default() };
    assert!(client.call(&methods::COMPLETE_TASK, &complete).unwrap().success);
    let tasks = client.call(&methods::GET_TASKS, &GetTasksRequest::new()).unwrap().tasks;
    let seen: Vec<_> = tasks.iter().map(|t| (t.id, &*t.title, t.completed)).collect();
    assert_eq!(seen, [(1, "milk", false), (2, "bread", true)]);
    let unknown = CompleteTaskRequest { task_id: 3, ..Default::default() };
    let refused = refusal(client.call(&methods::COMPLETE_TASK, &unknown));
    assert_eq!(refused, (Code::NotFound, "Task not found".to_owned()));
}

#[test]
fn a_task_through_its_life() {
    let server = TestServer::start();
    let client = server.client();
    let added = client.add("  milk ").unwrap();
    assert_eq!((added.id, added.revision, &*added.title), (1, 1, "milk"));
    assert_eq!(added.created_at, added.updated_at);
    assert!(added.completed_at.is_none() && added.created_at.seconds > 1_700_000_000);
    let steps = [
        (Edit::Complete, 2, "milk", true, false),
        (Edit::Complete, 2, "milk", true, false),
        (Edit::Retitle(" oat milk".to_owned()), 3, "oat milk", true, false),
        (Edit::Retitle("oat milk".to_owned()), 3, "oat milk", true, false),
        (Edit::Delete, 4, "oat milk", true, true),
        (Edit::Delete, 4, "oat milk", true, true),
        (Edit::Restore, 5, "oat milk", true, false),
        (Edit::Restore, 5, "oat milk", true, false),
        (Edit::Reopen, 6, "oat milk", false, false),
        (Edit::Reopen, 6, "oat milk", false, false),
    ];
    for (edit, revision, title, completed, deleted) in steps {
        let task = client.edit(1, edit.clone()).unwrap();
        let seen = (task.revision, &*task.title, task.completed, task.deleted);
        assert_eq!(seen, (revision, title, completed, deleted), "{edit:?}");
        assert_eq!(task.completed_at.is_some(), completed, "{edit:?}");
        assert_eq!(client.get(1).unwrap(), task, "{edit:?}");
        let nanos = |t: &protobuf::well_known_types::timestamp::Timestamp| (t.seconds, t.nanos);
        assert!(nanos(&task.updated_at) >= nanos(&task.created_at), "{edit:?}");
    }
}

#[test]
fn bad_input_is_invalid_argument_and_says_what_to_do() {
    let server = TestServer::start();
    let client = server.client();
    client.add("milk").unwrap();
    let invalid = |(code, message): (Code, String), words: &str| {
        assert_eq!(code, Code::InvalidArgument, "{message}");
        assert!(message.contains(words), "{message}");
    };
    invalid(refusal(client.add(" \t ")), "at least one visible character");
    invalid(refusal(client.add(&"x".repeat(1025))), "this one has 1025: shorten it");
    invalid(refusal(client.add("a\u{7}b")), "U+0007 (at character 2)");
    invalid(refusal(client.add("a\u{202e}b")), "U+202E");
    let empty = Edit::Retitle(String::new());
    invalid(refusal(client.edit(1, empty)), "at least one visible character");
    invalid(refusal(client.add_with("x", "no spaces")), "visible ASCII");
    invalid(refusal(client.add_with("x", &"r".repeat(65))), "at most 64 characters");
    let nothing = UpdateTaskRequest { task_id: 1, ..Default::default() };
    invalid(refusal(client.call(&methods::UPDATE_TASK, &nothing)), "set title");
    invalid(refusal(client.page(Filter::LIVE, -1, "")), "page_size -1");
    invalid(refusal(client.page(Filter::LIVE, 1, "forged")), "start again with the first page");
    let filter = EnumOrUnknown::from_i32(9);
    let unknown = GetTasksRequest { filter, ..Default::default() };
    invalid(refusal(client.call(&methods::GET_TASKS, &unknown)), "filter 9");
    assert_eq!(client.revision(), 1, "nothing of this changed the list");
}

#[test]
fn an_id_that_never_existed_is_not_found_in_every_call() {
    let server = TestServer::start();
    let client = server.client();
    client.add("milk").unwrap();
    let edits =
        [Edit::Complete, Edit::Reopen, Edit::Delete, Edit::Restore, Edit::Retitle("x".to_owned())];
    let not_found = (Code::NotFound, "Task not found".to_owned());
    for id in [2, 0, -1, i32::MAX, i32::MIN] {
        assert_eq!(refusal(client.get(id)), not_found);
        for edit in &edits {
            assert_eq!(refusal(client.edit(id, edit.clone())), not_found, "{id} {edit:?}");
        }
    }
}

#[test]
fn the_wrong_revision_aborts_and_the_wrong_state_is_a_failed_precondition() {
    let server = TestServer::start();
    let client = server.client();
    client.add("milk").unwrap();
    let complete = |expected_revision| {
        let request = CompleteTaskRequest { task_id: 1, expected_revision, ..Default::default() };
        client.call(&methods::COMPLETE_TASK, &request)
    };
    let (code, message) = refusal(complete(Some(7)));
    assert_eq!((code, message.contains("at revision 1, not 7")), (Code::Aborted, true));
    assert_eq!(complete(Some(1)).unwrap().task.revision, 2);
    client.edit(1, Edit::Delete).unwrap();
    let (code, message) = refusal(complete(None));
    assert_eq!(
        (code, &*message),
        (Code::FailedPrecondition, "task 1 is deleted: restore it first")
    );
    assert_eq!(refusal(complete(Some(2))).0, Code::Aborted, "the revision is checked first");
}

#[test]
fn a_full_list_is_resource_exhausted() {
    let limits = Limits { tasks_max: 2, ..Limits::default() };
    let server = TestServer::with(Box::new(MemoryStore::new("l")), limits);
    let client = server.client();
    client.add("a").unwrap();
    client.add("b").unwrap();
    client.edit(1, Edit::Delete).unwrap();
    let (code, message) = refusal(client.add("c"));
    assert_eq!(code, Code::ResourceExhausted);
    assert!(message.contains("raise --tasks-max"), "{message}");
    client.edit(2, Edit::Complete).unwrap();
}

#[test]
fn a_full_queue_is_an_answer_and_not_a_wait() {
    let (store, gate) = gated(1);
    let server = TestServer::with(store, Limits { queue_max: 2, ..Limits::default() });
    let address = &server.address;
    let client = server.client();
    std::thread::scope(|scope| {
        let add = || scope.spawn(move || harness::client(address).add("queued"));
        let held = add();
        gate.entered();
        // One call is in the batch. Two of the next ones find a place in the queue.
        let queued: Vec<_> = (0..6).map(|_| add()).collect();
        until("the calls that found no place are answered", || {
            queued.iter().filter(|add| add.is_finished()).count() == 4
        });
        // Reads need no place in it: they see the list before the batch.
        assert_eq!(refusal(client.get(1)).0, Code::NotFound);
        assert_eq!((client.titles(), client.revision()), (Vec::new(), 0));
        let (changes, last) = list_changes(&client, &ListChangesRequest::new()).unwrap();
        assert_eq!((changes.len(), last.revision), (0, 0));
        gate.open();
        held.join().unwrap().unwrap();
        let answers: Vec<_> = queued.into_iter().map(|add| add.join().unwrap()).collect();
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 4, "{refused:?}");
        for CallError { code, message, .. } in refused {
            assert_eq!(code, Code::ResourceExhausted);
            assert!(message.contains("2 calls wait already and nothing was changed"), "{message}");
        }
    });
    assert_eq!(client.revision(), 3);
}

#[test]
fn a_server_that_is_gone_is_unavailable() {
    let server = TestServer::start();
    let address = server.address.clone();
    server.stop().unwrap();
    let client = Client::new(&address, Duration::from_secs(30)).unwrap();
    let (code, message) = refusal(client.add("milk"));
    assert_eq!(code, Code::Unavailable);
    assert!(message.starts_with(&format!("cannot reach {address}")), "{message}");
}

#[test]
fn a_call_that_todod_does_not_offer_is_unimplemented() {
    let server = TestServer::start();
    let env = std::sync::Arc::new(EnvBuilder::new().cq_count(1).build());
    let raw = grpcio::Client::new(ChannelBuilder::new(env).connect(&server.address));
    let method = grpcio::Method {
        name: "/todo.TodoService/NoSuchCall",
        ty: grpcio::MethodType::Unary,
        req_mar: grpcio::Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
        resp_mar: grpcio::Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
    };
    let answer: grpcio::Result<Task> = raw.unary_call(&method, &Task::new(), CallOption::default());
    match answer {
        Err(grpcio::Error::RpcFailure(status)) => {
            assert_eq!(status.code(), RpcStatusCode::UNIMPLEMENTED);
        }
        other => panic!("{other:?}"),
    }
}
