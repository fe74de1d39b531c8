//! Many concurrent calls.

use futures_executor::block_on;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use grpcio::{CallOption, Method};
use todo::wire::methods;
use todo::wire::proto::*;

use crate::harness::{Calls, TestServer};
use crate::stream::raw;

/// Adds many tasks as fast as the server accepts them. Returns their ids.
pub fn add_many(address: &str, calls: usize, title: &str) -> Vec<i32> {
    let request = |n| AddTaskRequest { title: format!("{title} {n}"), ..Default::default() };
    let answers = call_many(address, &methods::ADD_TASK, calls, request);
    answers.into_iter().map(|answer| answer.task.id).collect()
}

/// Retitles a task many times as fast as the server accepts it.
pub fn retitle_many(address: &str, task_id: i32, calls: usize, title: &str) {
    let request = |n| UpdateTaskRequest {
        task_id,
        title: Some(format!("{title} {n}")),
        ..Default::default()
    };
    call_many(address, &methods::UPDATE_TASK, calls, request);
}

fn call_many<Req, Resp: Unpin>(
    address: &str,
    method: &Method<Req, Resp>,
    calls: usize,
    request: impl Fn(usize) -> Req,
) -> Vec<Resp> {
    const IN_FLIGHT: usize = 512;
    let clients: Vec<_> = (0..8).map(|_| raw(address, |channel| channel)).collect();
    let send = |n: usize| {
        let client = &clients[n % clients.len()];
        client.unary_call_async(method, &request(n), CallOption::default()).unwrap()
    };
    let mut sent = calls.min(IN_FLIGHT);
    let mut in_flight: FuturesUnordered<_> = (0..sent).map(send).collect();
    let mut answers = Vec::new();
    while let Some(answer) = block_on(in_flight.next()) {
        answers.push(answer.expect("every call is answered with OK"));
        if sent < calls {
            in_flight.push(send(sent));
            sent += 1;
        }
    }
    answers
}

/// Dropping the future of a completed call cancels it behind HTTP status 200: only the gRPC
/// status and the revision show it.
#[test]
fn no_call_is_lost_inside_the_server() {
    const CALLS: usize = 20_000;
    let server = TestServer::start();
    let mut ids = add_many(&server.address, CALLS, "task");
    ids.sort_unstable();
    assert_eq!(ids, (1..=CALLS as i32).collect::<Vec<_>>());
    assert_eq!(server.client().revision(), CALLS as i64);
}
