//! Request ids: exactly once, across restarts; deadlines.

use std::time::Duration;

use todo::client::{Client, Code, Edit};
use todo::state::Limits;
use todo::store::SqliteStore;
use todo::wire::methods;
use todo::wire::proto::*;

use crate::harness::{self, Calls, TestServer, refusal};

fn complete(client: &Client, request_id: &str, expected: Option<i64>) -> (Code, i64) {
    let request = CompleteTaskRequest {
        task_id: 1,
        request_id: request_id.to_owned(),
        expected_revision: expected,
        ..Default::default()
    };
    match client.call(&methods::COMPLETE_TASK, &request) {
        Ok(done) => (Code::Unknown, done.task.revision),
        Err(refused) => (refused.code, 0),
    }
}

#[test]
fn a_repeat_gets_the_first_answer_and_changes_nothing_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let start =
        || TestServer::with(Box::new(SqliteStore::open(dir.path()).unwrap()), Limits::default());
    let server = start();
    let client = server.client();
    let first = client.add_with("milk", "r1").unwrap();
    assert_eq!(client.add_with(" milk  ", "r1").unwrap(), first, "trimmed, it is the same");
    assert_eq!(complete(&client, "r2", Some(1)).1, 2);
    client.edit(1, Edit::Retitle("oat milk".to_owned())).unwrap();
    server.stop().unwrap();

    let server = start();
    let client = server.client();
    assert_eq!(client.add_with("milk", "r1").unwrap(), first);
    let ok = Code::Unknown;
    assert_eq!(complete(&client, "r2", Some(1)), (ok, 2), "though the task is at 3 by now");
    assert_eq!((client.revision(), client.titles()), (3, vec!["oat milk".to_owned()]));
}

#[test]
fn an_id_with_other_content_is_refused() {
    let server = TestServer::start();
    let client = server.client();
    client.add_with("milk", "r").unwrap();
    assert_eq!(refusal(client.add_with("bread", "r")).0, Code::InvalidArgument);
    assert_eq!(complete(&client, "r", None).0, Code::InvalidArgument);
    assert_eq!(complete(&client, "c", None).1, 2);
    assert_eq!(complete(&client, "c", Some(1)).0, Code::InvalidArgument, "another guard");
    assert_eq!(client.revision(), 2);
}

#[test]
fn a_no_op_is_remembered_and_a_rejection_is_not() {
    let server = TestServer::start();
    let client = server.client();
    assert_eq!(complete(&client, "early", None).0, Code::NotFound);
    client.add("milk").unwrap();
    assert_eq!(complete(&client, "early", None).1, 2, "now it can be done");
    assert_eq!(complete(&client, "no-op", None).1, 2);
    client.edit(1, Edit::Reopen).unwrap();
    assert_eq!(complete(&client, "no-op", None).1, 2, "the first answer");
    assert!(!client.get(1).unwrap().completed, "and no second completion");
}

#[test]
fn repeats_in_flight_together_change_the_list_once() {
    let server = TestServer::start();
    let address = &server.address;
    let tasks: Vec<Task> = std::thread::scope(|scope| {
        let adds: Vec<_> = (0..32)
            .map(|_| scope.spawn(|| harness::client(address).add_with("milk", "same").unwrap()))
            .collect();
        adds.into_iter().map(|add| add.join().unwrap()).collect()
    });
    assert!(tasks.iter().all(|task| *task == tasks[0]));
    assert_eq!(server.client().revision(), 1);
}

#[test]
fn a_call_that_waited_past_its_deadline_is_not_executed() {
    let (store, gate) = crate::test_store::gated(1);
    let server = TestServer::with(store, Limits::default());
    let client = server.client();
    std::thread::scope(|scope| {
        let blocker = scope.spawn(|| client.add("in time"));
        gate.entered();
        // This call's deadline passes while the first one's commit is held.
        let hasty = Client::new(&server.address, Duration::from_millis(50)).unwrap();
        let request = AddTaskRequest { title: "too late".to_owned(), ..Default::default() };
        let (code, _) = refusal(hasty.call(&methods::ADD_TASK, &request));
        assert_eq!(code, Code::DeadlineExceeded);
        // The server's deadline is slightly later than the client's.
        let _ = crossbeam_channel::never::<()>().recv_timeout(Duration::from_millis(200));
        gate.open();
        blocker.join().unwrap().unwrap();
    });
    assert_eq!(client.titles(), ["in time"]);
}
