//! The methods of `TodoService`. The handlers run on the poll thread: they convert the request,
//! ask the state thread, and return.

use std::sync::Arc;
use std::thread;

use grpcio::{Deadline, Method, RpcStatus, Service};
use protobuf::Message;

use super::feed::Sending;
use super::reader::{Reader, Reading};
use super::transport::{Answered, Call, CompletionQueue, Methods, Signal, StreamSink};
use super::{listing, watch};
use crate::limits::HANDOVER_COMMANDS;
use crate::model::{Guard, Mutation, Rejection, Task, TaskId};
use crate::rpc::proto::{self, *};
use crate::rpc::{self, Burst, ChangesQuery, Encoded, Packing, PageQuery, methods, status};
use crate::state::{Answer, Command, Reply, Snapshot, StateHandle, WatchFrom, WatchStart};

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Handlers {
    pub(crate) state: StateHandle<Arc<Burst>>,
    pub(crate) reader: Reader,
    pub(crate) completions: CompletionQueue,
}

/// Registers a handler for each method.
pub(crate) fn service(handlers: &Handlers, methods: Methods) -> Service {
    let h = handlers;
    let mut to = methods;
    to = h.mutation(to, &methods::ADD_TASK, rpc::add_task, |task| AddTaskResponse {
        task,
        ..Default::default()
    });
    to = h.mutation(to, &methods::COMPLETE_TASK, rpc::complete_task, |task| CompleteTaskResponse {
        success: true,
        task,
        ..Default::default()
    });
    to = h.mutation(to, &methods::UPDATE_TASK, rpc::update_task, |task| UpdateTaskResponse {
        task,
        ..Default::default()
    });
    to = h.mutation(to, &methods::REOPEN_TASK, rpc::reopen_task, |task| ReopenTaskResponse {
        task,
        ..Default::default()
    });
    to = h.mutation(to, &methods::DELETE_TASK, rpc::delete_task, |task| DeleteTaskResponse {
        task,
        ..Default::default()
    });
    to = h.mutation(to, &methods::RESTORE_TASK, rpc::restore_task, |task| RestoreTaskResponse {
        task,
        ..Default::default()
    });
    let (get, list, changes, watch) = (h.clone(), h.clone(), h.clone(), h.clone());
    to.unary(&methods::GET_TASK, move |request, call| get.get_task(request.task_id, call))
        .unary(&methods::GET_TASKS, move |request, call| {
            list.read(call, PageQuery::new(&request), listing::tasks);
        })
        .unary(&methods::LIST_CHANGES, move |request, call| {
            changes.read(call, ChangesQuery::new(&request), listing::changes);
        })
        .streaming(&methods::WATCH_TASKS, move |request, deadline, sink| {
            watch.clone().watch_tasks(request, deadline, sink)
        })
        .build()
}

/// The task field of a response.
type TaskField = protobuf::MessageField<proto::Task>;

impl Handlers {
    /// Adds a method that changes the list and answers with the task.
    fn mutation<Req: Send + 'static, Resp: Message>(
        &self,
        to: Methods,
        method: &Method<Req, Resp>,
        convert: fn(Req) -> Result<(Mutation, Guard), Rejection>,
        response: fn(TaskField) -> Resp,
    ) -> Methods {
        let h = self.clone();
        to.unary(method, move |request, call| match convert(request) {
            Ok((mutation, guard)) => {
                let answer = move |task: Arc<Task>| {
                    Ok(Encoded::new(&response(Some(rpc::task(&task)).into())))
                };
                h.submit(Command::Mutate { mutation, guard, reply: h.reply(call, answer) });
            }
            Err(bad_input) => h.refuse(call, &bad_input),
        })
    }

    fn get_task(&self, id: TaskId, call: Call) {
        let answer = move |snapshot: Snapshot| {
            let task = Some(rpc::task(snapshot.list.get(id)?)).into();
            Ok(Encoded::new(&GetTaskResponse { task, ..Default::default() }))
        };
        self.submit(Command::Snapshot { reply: self.reply(call, answer) });
    }

    /// Answers with a page, which the reader thread makes from the list as it is.
    fn read<Q: Send + 'static>(&self, call: Call, query: Result<Q, Rejection>, page: Page<Q>) {
        match query {
            Ok(query) => {
                let handlers = self.clone();
                let reply = Reply::new(ReadAnswer { query, call, page, handlers });
                self.submit(Command::Snapshot { reply });
            }
            Err(bad_input) => self.refuse(call, &bad_input),
        }
    }

    async fn watch_tasks(self, request: WatchTasksRequest, deadline: Deadline, sink: StreamSink) {
        let packing = Packing::new(request.max_updates_per_message);
        match packing.and_then(|packing| Ok((packing, watch_start(request)?))) {
            Ok((packing, start)) => {
                let Handlers { state, reader, completions } = self;
                let signal = Signal::new(completions.run_queue().clone());
                let how = Sending { packing, progress: start.progress, reader, signal };
                watch::serve(state, start, how, deadline, sink).await;
            }
            // The result is ignored: the client may be gone.
            Err(bad_input) => drop(sink.fail(status(&bad_input)).await),
        }
    }

    fn submit(&self, command: Command<Arc<Burst>>) {
        if !self.state.submit(command) {
            // It was answered here, not in a batch whose end wakes the pump.
            self.completions.flush();
            return;
        }
        if self.state.queued() >= HANDOVER_COMMANDS {
            thread::yield_now();
        }
        self.completions.complete_now();
    }

    fn refuse(&self, call: Call, why: &Rejection) {
        self.completions.refuse(call, why);
        self.completions.flush();
    }

    /// A reply that completes the call on the poll thread.
    fn reply<T: Send + 'static>(
        &self,
        call: Call,
        response: impl FnOnce(T) -> Result<Encoded, Rejection> + Send + 'static,
    ) -> Reply<T> {
        let completions = self.completions.clone();
        Reply::new(UnaryAnswer { call, completions, response, answer: None })
    }
}

/// A call on its way to the state thread and back, in one box.
struct UnaryAnswer<T, R> {
    call: Call,
    completions: CompletionQueue,
    response: R,
    answer: Option<Result<T, Rejection>>,
}

impl<T, R> Answer<T> for UnaryAnswer<T, R>
where
    T: Send + 'static,
    R: FnOnce(T) -> Result<Encoded, Rejection> + Send + 'static,
{
    fn expired(&self) -> bool {
        self.call.has_expired()
    }

    fn give(mut self: Box<Self>, answer: Result<T, Rejection>) {
        self.answer = Some(answer);
        let completions = self.completions.clone();
        completions.complete(self);
    }
}

impl<T, R> Answered for UnaryAnswer<T, R>
where
    T: Send,
    R: FnOnce(T) -> Result<Encoded, Rejection> + Send,
{
    fn answer(self: Box<Self>) -> (Call, Result<Encoded, RpcStatus>) {
        let UnaryAnswer { call, response, answer, .. } = *self;
        let answer = answer.unwrap_or(Err(Rejection::OutcomeUnknown)).and_then(response);
        (call, answer.map_err(|why| status(&why)))
    }
}

/// A call that continues on the reader thread.
struct ReadAnswer<Q> {
    query: Q,
    call: Call,
    page: Page<Q>,
    handlers: Handlers,
}

/// Makes the page that a query asks for.
type Page<Q> = fn(&mut Reading, &Snapshot, &Q) -> Result<Encoded, Rejection>;

impl<Q: Send + 'static> Answer<Snapshot> for ReadAnswer<Q> {
    fn expired(&self) -> bool {
        self.call.has_expired()
    }

    fn give(self: Box<Self>, answer: Result<Snapshot, Rejection>) {
        let ReadAnswer { query, call, page, handlers } = *self;
        let Handlers { reader, completions, .. } = handlers;
        match answer {
            Ok(snapshot) => reader.call(move |reading| {
                completions.answer_large(call, || page(reading?, &snapshot, &query));
            }),
            Err(why) => completions.refuse(call, &why),
        }
    }
}

fn watch_start(request: WatchTasksRequest) -> Result<WatchStart, Rejection> {
    let from = match request.after_revision {
        None if request.snapshot => WatchFrom::Snapshot,
        None => WatchFrom::Now,
        Some(revision) => WatchFrom::After {
            revision: rpc::revision("after_revision", revision)?,
            list_id: request.list_id,
            else_snapshot: request.snapshot,
        },
    };
    let filter = rpc::filter(request.filter)?;
    let progress = rpc::progress_interval(request.progress_interval_ms)?;
    Ok(WatchStart { filter, from, progress })
}
