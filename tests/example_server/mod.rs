//! A server that behaves as the reference example's: four calls, no filters, no revisions,
//! and titles without checks. The titles `deny` and `silence` make it deny a call and leave
//! it without an answer.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use futures_executor::block_on;
use futures_util::SinkExt;
use grpcio::{
    EnvBuilder, Environment, RpcStatus, RpcStatusCode, Server, ServerBuilder, ServerCredentials,
    Service, ServiceBuilder, UnarySink, WriteFlags,
};
use parking_lot::Mutex;
use todo::wire::methods;
use todo::wire::proto::*;

pub struct ExampleServer {
    server: Server,
    _env: Arc<Environment>,
    pub address: String,
    /// Receives for each call that gets no answer.
    pub silences: Receiver<()>,
}

#[derive(Default)]
struct State {
    tasks: Vec<Task>,
    watchers: Vec<Sender<TaskUpdate>>,
    /// Calls without an answer.
    silent: Vec<UnarySink<AddTaskResponse>>,
}

type Shared = Arc<Mutex<State>>;

impl ExampleServer {
    pub fn start() -> ExampleServer {
        let env = Arc::new(EnvBuilder::new().cq_count(1).build());
        let (silence, silences) = unbounded();
        let mut server = ServerBuilder::new(env.clone())
            .requests_slot_per_cq(8)
            .register_service(service(&Shared::default(), silence))
            .build()
            .unwrap();
        let insecure = ServerCredentials::insecure();
        let port = server.add_listening_port("127.0.0.1:0", insecure).unwrap();
        server.start();
        ExampleServer { server, _env: env, address: format!("127.0.0.1:{port}"), silences }
    }
}

impl Drop for ExampleServer {
    fn drop(&mut self) {
        let shutdown = self.server.shutdown();
        self.server.cancel_all_calls();
        let _ = block_on(shutdown);
    }
}

impl State {
    fn tell(&mut self, task: &Task, action: &str) {
        let task = Some(task.clone()).into();
        let update = TaskUpdate { task, action: action.to_owned(), ..Default::default() };
        self.watchers.retain(|watcher| watcher.send(update.clone()).is_ok());
    }

    fn add(&mut self, title: String) -> Task {
        let id = self.tasks.len() as i32 + 1;
        let task = Task { id, title, ..Default::default() };
        self.tasks.push(task.clone());
        self.tell(&task, "ADDED");
        task
    }

    fn complete(&mut self, id: i32) -> bool {
        let Some(task) = self.tasks.iter_mut().find(|task| task.id == id) else {
            return false;
        };
        task.completed = true;
        let task = task.clone();
        self.tell(&task, "COMPLETED");
        true
    }
}

fn service(state: &Shared, silence: Sender<()>) -> Service {
    let (add, list, complete, watch) = (state.clone(), state.clone(), state.clone(), state.clone());
    ServiceBuilder::new()
        .add_unary_handler(&methods::ADD_TASK, move |ctx, request, sink| {
            let mut state = add.lock();
            let answer = match &*request.title {
                "silence" => {
                    state.silent.push(sink);
                    // A test that does not wait for it has dropped the receiver.
                    let _ = silence.send(());
                    return;
                }
                "deny" => sink.fail(RpcStatus::new(RpcStatusCode::PERMISSION_DENIED)),
                _ => {
                    let task = Some(state.add(request.title)).into();
                    sink.success(AddTaskResponse { task, ..Default::default() })
                }
            };
            ctx.spawn(async { drop(answer.await) });
        })
        .add_unary_handler(&methods::GET_TASKS, move |ctx, _, sink| {
            let tasks = list.lock().tasks.clone();
            let answer = sink.success(GetTasksResponse { tasks, ..Default::default() });
            ctx.spawn(async { drop(answer.await) });
        })
        .add_unary_handler(&methods::COMPLETE_TASK, move |ctx, request, sink| {
            let not_found =
                || RpcStatus::with_message(RpcStatusCode::NOT_FOUND, "Task not found".into());
            let answer = match complete.lock().complete(request.task_id) {
                true => sink.success(CompleteTaskResponse { success: true, ..Default::default() }),
                false => sink.fail(not_found()),
            };
            ctx.spawn(async { drop(answer.await) });
        })
        .add_server_streaming_handler(&methods::WATCH_TASKS, move |_, _, mut sink| {
            let (watcher, updates) = unbounded();
            watch.lock().watchers.push(watcher);
            // One thread per watcher, as in the example.
            thread::spawn(move || {
                for update in updates {
                    if block_on(sink.send((update, WriteFlags::default()))).is_err() {
                        return;
                    }
                }
            });
        })
        .build()
}
