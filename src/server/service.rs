use std::sync::Arc;
use std::thread;

use grpcio::{Deadline, Method, RpcContext, Service, ServiceBuilder, UnarySink, UnarySinkResult};

use super::feed::Sending;
use super::large_call::LargeCall;
use super::reader::{Reader, Reading};
use super::transport::{Answered, CompletionQueue, Signal, StreamSink};
use super::{listing, watch};
use crate::limits::HANDOVER_COMMANDS;
use crate::model::{Guard, Mutation, Rejection, Task, TaskId};
use crate::rpc::proto::{self, *};
use crate::rpc::{self, Burst, ChangesQuery, Encoded, Packing, PageQuery, methods, status};
use crate::state::{Answer, Command, Reply, Snapshot, StateHandle, WatchFrom, WatchStart};

/// What the handlers share. They run on the poll thread: they convert, ask the state
/// thread, and are done.
#[derive(Clone)]
pub struct Handlers {
    pub state: StateHandle<Arc<Burst>>,
    pub reader: Reader,
    pub completions: CompletionQueue,
}

/// The calls of `TodoService`, and who answers them.
pub fn service(handlers: &Handlers) -> Service {
    let h = handlers;
    let mut calls = ServiceBuilder::new();
    calls = h.mutation(calls, &methods::ADD_TASK, rpc::add_task, |task| AddTaskResponse {
        task,
        ..Default::default()
    });
    calls = h.mutation(calls, &methods::COMPLETE_TASK, rpc::complete_task, |task| {
        CompleteTaskResponse { success: true, task, ..Default::default() }
    });
    calls = h.mutation(calls, &methods::UPDATE_TASK, rpc::update_task, |task| UpdateTaskResponse {
        task,
        ..Default::default()
    });
    calls = h.mutation(calls, &methods::REOPEN_TASK, rpc::reopen_task, |task| ReopenTaskResponse {
        task,
        ..Default::default()
    });
    calls = h.mutation(calls, &methods::DELETE_TASK, rpc::delete_task, |task| DeleteTaskResponse {
        task,
        ..Default::default()
    });
    calls = h.mutation(calls, &methods::RESTORE_TASK, rpc::restore_task, |task| {
        RestoreTaskResponse { task, ..Default::default() }
    });
    let (get, list, changes, watch) = (h.clone(), h.clone(), h.clone(), h.clone());
    calls
        .add_unary_handler(&methods::GET_TASK, move |ctx, request, sink| {
            get.get_task(ctx.deadline(), request.task_id, sink);
        })
        .add_unary_handler(&rpc::GET_TASKS_ENCODED, move |ctx, request, sink| {
            let call = LargeCall { sink, deadline: ctx.deadline() };
            list.read(call, PageQuery::new(&request), listing::tasks);
        })
        .add_unary_handler(&rpc::LIST_CHANGES_ENCODED, move |ctx, request, sink| {
            let call = LargeCall { sink, deadline: ctx.deadline() };
            changes.read(call, ChangesQuery::new(&request), listing::changes);
        })
        .add_server_streaming_handler(&rpc::WATCH_TASKS_ENCODED, move |ctx, request, sink| {
            watch.watch_tasks(&ctx, request, sink);
        })
        .build()
}

/// The task field of a response.
type TaskField = protobuf::MessageField<proto::Task>;

impl Handlers {
    /// A call that changes the list and answers with the task.
    fn mutation<Req: 'static, Resp: Send + 'static>(
        &self,
        calls: ServiceBuilder,
        method: &Method<Req, Resp>,
        convert: fn(Req) -> Result<(Mutation, Guard), Rejection>,
        response: fn(TaskField) -> Resp,
    ) -> ServiceBuilder {
        let h = self.clone();
        calls.add_unary_handler(method, move |ctx, request, sink| match convert(request) {
            Ok((mutation, guard)) => {
                let answer = move |task: Arc<Task>| Ok(response(Some(rpc::task(&task)).into()));
                let reply = h.reply(ctx.deadline(), sink, answer);
                h.submit(Command::Mutate { mutation, guard, reply });
            }
            Err(bad_input) => h.refuse(sink, bad_input),
        })
    }

    fn get_task(&self, deadline: Deadline, id: TaskId, sink: UnarySink<GetTaskResponse>) {
        let answer = move |snapshot: Snapshot| {
            let task = Some(rpc::task(snapshot.list.get(id)?)).into();
            Ok(GetTaskResponse { task, ..Default::default() })
        };
        self.submit(Command::Snapshot { reply: self.reply(deadline, sink, answer) });
    }

    /// A call that the reader thread answers from the list as it is.
    fn read<Q: Send + 'static>(&self, call: LargeCall, query: Result<Q, Rejection>, page: Page<Q>) {
        match query {
            Ok(query) => {
                let handlers = self.clone();
                let reply = Reply::new(ReadAnswer { query, call, page, handlers });
                self.submit(Command::Snapshot { reply });
            }
            Err(bad_input) => self.refuse(call.sink, bad_input),
        }
    }

    fn watch_tasks(&self, ctx: &RpcContext<'_>, request: WatchTasksRequest, sink: StreamSink) {
        let packing = Packing::new(request.max_updates_per_message);
        match packing.and_then(|packing| Ok((packing, watch_start(request)?))) {
            Ok((packing, start)) => {
                let (reader, signal) =
                    (self.reader.clone(), Signal::new(self.completions.run_queue().clone()));
                let how = Sending { packing, progress: start.progress, reader, signal };
                ctx.spawn(watch::serve(self.state.clone(), start, how, ctx.deadline(), sink));
            }
            Err(bad_input) => ctx.spawn(async move {
                let _ = sink.fail(status(&bad_input)).await;
            }),
        }
    }

    fn submit(&self, command: Command<Arc<Burst>>) {
        if !self.state.submit(command) {
            // It was answered at once, not in a turn that wakes the pump.
            self.completions.flush();
            return;
        }
        if self.state.queued() >= HANDOVER_COMMANDS {
            thread::yield_now();
        }
        self.completions.complete_now();
    }

    fn refuse<Resp: 'static>(&self, sink: UnarySink<Resp>, why: Rejection) {
        self.completions.finish(sink, move || Err(status(&why)));
        self.completions.flush();
    }

    /// A reply that completes the call on the poll thread.
    fn reply<T: Send + 'static, Resp: 'static>(
        &self,
        deadline: Deadline,
        sink: UnarySink<Resp>,
        response: impl FnOnce(T) -> Result<Resp, Rejection> + Send + 'static,
    ) -> Reply<T> {
        let completions = self.completions.clone();
        Reply::new(UnaryAnswer { deadline, sink, completions, response, answer: None })
    }
}

/// A call on its way to the state thread and back, in one box.
struct UnaryAnswer<T, Resp, R> {
    deadline: Deadline,
    sink: UnarySink<Resp>,
    completions: CompletionQueue,
    response: R,
    answer: Option<Result<T, Rejection>>,
}

impl<T, Resp, R> Answer<T> for UnaryAnswer<T, Resp, R>
where
    T: Send + 'static,
    Resp: 'static,
    R: FnOnce(T) -> Result<Resp, Rejection> + Send + 'static,
{
    fn expired(&self) -> bool {
        self.deadline.exceeded()
    }

    fn give(mut self: Box<Self>, answer: Result<T, Rejection>) {
        self.answer = Some(answer);
        let completions = self.completions.clone();
        completions.complete(self);
    }
}

impl<T, Resp, R> Answered for UnaryAnswer<T, Resp, R>
where
    T: Send,
    R: FnOnce(T) -> Result<Resp, Rejection> + Send,
{
    fn complete(self: Box<Self>) -> UnarySinkResult {
        let UnaryAnswer { sink, response, answer, .. } = *self;
        match answer.unwrap_or(Err(Rejection::OutcomeUnknown)).and_then(response) {
            Ok(response) => sink.success(response),
            Err(why) => sink.fail(status(&why)),
        }
    }
}

/// A call that goes on to the reader thread.
struct ReadAnswer<Q> {
    query: Q,
    call: LargeCall,
    page: Page<Q>,
    handlers: Handlers,
}

/// Makes the page that a query asks for.
type Page<Q> = fn(&mut Reading, &Snapshot, &Q) -> Result<Encoded, Rejection>;

impl<Q: Send + 'static> Answer<Snapshot> for ReadAnswer<Q> {
    fn expired(&self) -> bool {
        self.call.deadline.exceeded()
    }

    fn give(self: Box<Self>, answer: Result<Snapshot, Rejection>) {
        let ReadAnswer { query, call, page, handlers } = *self;
        let Handlers { reader, completions, .. } = handlers;
        match answer {
            Ok(snapshot) => reader.call(move |reading| {
                call.answer(&completions, || page(reading?, &snapshot, &query));
            }),
            Err(why) => call.refuse(why, &completions),
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
