//! Many calls at once.

use futures_executor::block_on;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use grpcio::{CallOption, ChannelBuilder, EnvBuilder};
use todo::rpc::methods;
use todo::rpc::proto::*;

use crate::harness::{Calls, TestServer};

/// Dropping the future of a completed call cancels it, behind an HTTP status of 200:
/// only the gRPC status and the revision tell.
#[test]
fn no_call_is_lost_inside_the_server() {
    const IN_FLIGHT: usize = 512;
    const CALLS: usize = 20_000;
    let server = TestServer::start();
    let env = std::sync::Arc::new(EnvBuilder::new().cq_count(1).build());
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let channel = ChannelBuilder::new(env.clone()).use_local_subchannel_pool(true);
            grpcio::Client::new(channel.connect(&server.address))
        })
        .collect();
    let send = |n: usize| {
        let request = AddTaskRequest { title: format!("task {n}"), ..Default::default() };
        let client = &clients[n % clients.len()];
        client.unary_call_async(&methods::ADD_TASK, &request, CallOption::default()).unwrap()
    };
    let mut in_flight: FuturesUnordered<_> = (0..IN_FLIGHT).map(send).collect();
    let mut sent = IN_FLIGHT;
    let mut ids = Vec::new();
    while let Some(answer) = block_on(in_flight.next()) {
        ids.push(answer.expect("every call is answered with OK").task.id);
        if sent < CALLS {
            in_flight.push(send(sent));
            sent += 1;
        }
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=CALLS as i32).collect::<Vec<_>>());
    assert_eq!(server.client().revision(), CALLS as i64);
}
