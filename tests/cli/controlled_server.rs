//! A server that reports its calls to the test, and sends on its streams what the test says.
//! Its list is `l`, always at revision 4, with the open task 1, `a`.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use futures_executor::block_on;
use futures_util::SinkExt;
use grpcio::{
    EnvBuilder, Environment, RpcStatus, RpcStatusCode, Server, ServerBuilder, ServerCredentials,
    ServerStreamingSink, Service, ServiceBuilder, WriteFlags,
};
use todo::wire::methods;
use todo::wire::proto::*;

use crate::DEADLINE;

pub struct ControlledServer {
    server: Server,
    _env: Arc<Environment>,
    pub address: String,
    asked: Receiver<Asked>,
}

/// A call of the client.
enum Asked {
    /// A call that is answered.
    Call(&'static str),
    Watch(Box<ControlledStream>),
}

/// A watch without an answer yet.
pub struct ControlledStream {
    pub request: WatchTasksRequest,
    sink: ServerStreamingSink<TaskUpdate>,
}

impl ControlledServer {
    pub fn start() -> ControlledServer {
        let env = Arc::new(EnvBuilder::new().cq_count(1).build());
        let (ask, asked) = unbounded();
        let mut server = ServerBuilder::new(env.clone())
            .requests_slot_per_cq(8)
            .register_service(service(&ask))
            .build()
            .unwrap();
        let insecure = ServerCredentials::insecure();
        let port = server.add_listening_port("127.0.0.1:0", insecure).unwrap();
        server.start();
        ControlledServer { server, _env: env, address: format!("127.0.0.1:{port}"), asked }
    }

    /// Waits for the next call, which must be unary.
    pub fn call(&self) -> &'static str {
        match self.asked.recv_timeout(DEADLINE).expect("a call") {
            Asked::Call(name) => name,
            Asked::Watch(stream) => panic!("not a call: {}", stream.request),
        }
    }

    /// Waits for the next call, which must be a watch.
    pub fn watch(&self) -> Box<ControlledStream> {
        match self.asked.recv_timeout(DEADLINE).expect("a watch") {
            Asked::Watch(stream) => stream,
            Asked::Call(name) => panic!("not a watch: {name}"),
        }
    }

    pub fn has_no_call_for(&self, time: Duration) {
        match self.asked.recv_timeout(time) {
            Err(_) => {}
            Ok(Asked::Call(name)) => panic!("it was asked {name}"),
            Ok(Asked::Watch(stream)) => panic!("it was asked {}", stream.request),
        }
    }
}

impl Drop for ControlledServer {
    fn drop(&mut self) {
        let shutdown = self.server.shutdown();
        self.server.cancel_all_calls();
        let _ = block_on(shutdown);
    }
}

impl ControlledStream {
    pub fn send(&mut self, action: &str, revision: i64, task: Option<Task>) {
        let list_id = if action == "SYNCED" { "l" } else { "" }.to_owned();
        let action = action.to_owned();
        let update =
            TaskUpdate { action, revision, list_id, task: task.into(), ..Default::default() };
        // It fails if the client ends before the transport confirms the message.
        let _ = block_on(self.sink.send((update, WriteFlags::default())));
    }

    pub fn fail(self: Box<Self>, code: RpcStatusCode) {
        let status = RpcStatus::with_message(code, "so the test says".to_owned());
        block_on(self.sink.fail(status)).unwrap();
    }
}

pub fn task(id: i32, title: &str) -> Task {
    Task { id, title: title.to_owned(), revision: 1, ..Default::default() }
}

fn service(ask: &Sender<Asked>) -> Service {
    let (list, get, watch) = (ask.clone(), ask.clone(), ask.clone());
    ServiceBuilder::new()
        .add_unary_handler(&methods::GET_TASKS, move |ctx, _, sink| {
            list.send(Asked::Call("GetTasks")).unwrap();
            let page =
                GetTasksResponse { list_id: "l".to_owned(), revision: 4, ..Default::default() };
            let answer = sink.success(page);
            ctx.spawn(async { drop(answer.await) });
        })
        .add_unary_handler(&methods::GET_TASK, move |ctx, _, sink| {
            get.send(Asked::Call("GetTask")).unwrap();
            let task = Some(task(1, "a")).into();
            let answer = sink.success(GetTaskResponse { task, ..Default::default() });
            ctx.spawn(async { drop(answer.await) });
        })
        .add_server_streaming_handler(&methods::WATCH_TASKS, move |_, request, sink| {
            watch.send(Asked::Watch(Box::new(ControlledStream { request, sink }))).unwrap();
        })
        .build()
}
