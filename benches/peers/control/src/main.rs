//! The bare transport: an AddTask that its handler answers, with the transport, settings and
//! answer of todod, and nothing else. `bench-control PORT` prints `listening on ..` when it
//! accepts calls.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::SystemTime;

use grpcio::{EnvBuilder, RpcContext, ServerCredentials, ServiceBuilder, UnarySink};
use protobuf::MessageField;
use protobuf::well_known_types::timestamp::Timestamp;
use todo::wire::methods;
use todo::wire::proto::*;

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).ok_or("usage: bench-control PORT")?;
    let env = Arc::new(EnvBuilder::new().cq_count(1).build());
    let added = Arc::new(AtomicI32::new(0));
    let count = added.clone();
    let service = ServiceBuilder::new()
        .add_unary_handler(&methods::ADD_TASK, move |ctx, request, sink| {
            let id = added.fetch_add(1, Ordering::Relaxed) + 1;
            let task = Some(task(id, request.title)).into();
            answer(&ctx, sink, AddTaskResponse { task, ..Default::default() });
        })
        // The benchmark checks the first task and the number of tasks.
        .add_unary_handler(&methods::GET_TASKS, move |ctx, _, sink| {
            let revision = i64::from(count.load(Ordering::Relaxed));
            let first = (revision > 0).then(|| task(1, "Buy oat milk and bread".to_owned()));
            let tasks = first.into_iter().collect();
            answer(&ctx, sink, GetTasksResponse { tasks, revision, ..Default::default() });
        })
        .build();
    let mut server = todo::server::server_builder(&env).register_service(service).build()?;
    let address = format!("127.0.0.1:{port}");
    server.add_listening_port(&address, ServerCredentials::insecure())?;
    server.start();
    println!("listening on {address}");
    futures_executor::block_on(std::future::pending())
}

/// Answers in the usual way: the future that completes the call runs on the poll thread.
fn answer<T: 'static>(ctx: &RpcContext, sink: UnarySink<T>, response: T) {
    let done = sink.success(response);
    ctx.spawn(async move {
        let _ = done.await;
    });
}

/// A task with the same fields as todod's.
fn task(id: i32, title: String) -> Task {
    let now: MessageField<Timestamp> = Some(SystemTime::now().into()).into();
    Task {
        id,
        title,
        revision: id.into(),
        created_at: now.clone(),
        updated_at: now,
        ..Default::default()
    }
}
