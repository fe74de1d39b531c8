use std::sync::Arc;
use std::thread;

use grpcio::{Deadline, Method, RpcContext, Service, ServiceBuilder, UnarySink, UnarySinkResult};

use super::codec::{self, CallError, ChangesQuery, Packing, PageQuery, UpdateBatch, request, status};
use super::feed::StreamContext;
use super::listing::{self, LargeCall};
use super::reader::{ReadContext, Readers};
use super::transport::{Answered, CompletionQueue, Signal, StreamSink};
use super::watch;
use crate::limits::HANDOVER_COMMANDS;
use crate::model::{Answer, Rejection, Request, TaskId};
use crate::state::{
    ChangeLog, Command, Mutate, Published, Reply, ReplyTo, StateError, StateHandle,
};
use crate::wire::proto::{self, *};
use crate::wire::{
    Encoded, GET_TASKS_ENCODED, LIST_CHANGES_ENCODED, WATCH_TASKS_ENCODED, methods, record,
};

/// What the handlers share. They run on the poll thread: they convert, ask the state thread
/// or a reader thread, and return.
#[derive(Clone)]
pub(crate) struct Handlers {
    pub(crate) state: StateHandle,
    pub(crate) log: Arc<ChangeLog<UpdateBatch>>,
    pub(crate) readers: Readers,
    pub(crate) completions: CompletionQueue,
}

/// The calls of `TodoService` and their handlers.
pub(crate) fn service(handlers: &Handlers) -> Service {
    let h = handlers;
    let mut calls = ServiceBuilder::new();
    calls = h.mutation(calls, &methods::ADD_TASK, request::add_task, |task| AddTaskResponse {
        task,
        ..Default::default()
    });
    calls = h.mutation(calls, &methods::COMPLETE_TASK, request::complete_task, |task| {
        CompleteTaskResponse { success: true, task, ..Default::default() }
    });
    calls = h.mutation(calls, &methods::UPDATE_TASK, request::update_task, |task| {
        UpdateTaskResponse { task, ..Default::default() }
    });
    calls = h.mutation(calls, &methods::REOPEN_TASK, request::reopen_task, |task| {
        ReopenTaskResponse { task, ..Default::default() }
    });
    calls = h.mutation(calls, &methods::DELETE_TASK, request::delete_task, |task| {
        DeleteTaskResponse { task, ..Default::default() }
    });
    calls = h.mutation(calls, &methods::RESTORE_TASK, request::restore_task, |task| {
        RestoreTaskResponse { task, ..Default::default() }
    });
    calls = h.mutation(calls, &methods::PURGE_TASK, request::purge_task, |task| {
        PurgeTaskResponse { task, ..Default::default() }
    });
    let (get, list, changes, watch) = (h.clone(), h.clone(), h.clone(), h.clone());
    calls
        .add_unary_handler(&methods::GET_TASK, move |ctx, request, sink| {
            get.get_task(ctx.deadline(), request.task_id, sink);
        })
        .add_unary_handler(&GET_TASKS_ENCODED, move |ctx, request, sink| {
            let call = LargeCall { sink, deadline: ctx.deadline() };
            list.read(call, PageQuery::new(&request), listing::tasks);
        })
        .add_unary_handler(&LIST_CHANGES_ENCODED, move |ctx, request, sink| {
            let call = LargeCall { sink, deadline: ctx.deadline() };
            changes.read(call, ChangesQuery::new(&request), listing::changes);
        })
        .add_server_streaming_handler(&WATCH_TASKS_ENCODED, move |ctx, request, sink| {
            watch.watch_tasks(&ctx, request, sink);
        })
        .build()
}

/// The task field of a response.
type TaskField = protobuf::MessageField<proto::Task>;

/// Makes the page that a query asks for.
type Page<Q> = fn(&mut ReadContext, &Arc<Published>, &Q) -> Result<Encoded, CallError>;

impl Handlers {
    /// A call that changes the list and answers with the task.
    fn mutation<Req: 'static, Resp: Send + 'static>(
        &self,
        calls: ServiceBuilder,
        method: &Method<Req, Resp>,
        convert: fn(Req) -> Result<Request, Rejection>,
        response: fn(TaskField) -> Resp,
    ) -> ServiceBuilder {
        let h = self.clone();
        calls.add_unary_handler(method, move |ctx, request, sink| match convert(request) {
            Ok(request) => {
                let answer = move |answer: Answer| Ok(response(Some(task_of(&answer)).into()));
                let reply = h.reply(ctx.deadline(), sink, answer);
                h.submit(Command::Mutate(Mutate { request, reply }));
            }
            Err(bad_input) => h.refuse(sink, bad_input.into()),
        })
    }

    /// Answered here, from the published list.
    fn get_task(&self, deadline: Deadline, id: TaskId, sink: UnarySink<GetTaskResponse>) {
        let answer = move |published: &Published| {
            let task = Some(record::to_message(published.list.get(id)?)).into();
            Ok(GetTaskResponse { task, ..Default::default() })
        };
        if self.state.is_sole_writer() {
            let published = self.state.published();
            self.completions.finish(sink, move || {
                answer(&published).map_err(|why: CallError| status(&why))
            });
            return self.completions.complete_now();
        }
        let state = self.state.clone();
        let reply = self.reply(deadline, sink, move |()| answer(&state.published()));
        self.submit(Command::Barrier { reply });
    }

    /// A call that a reader thread answers from the published list.
    fn read<Q: Send + 'static>(
        &self,
        call: LargeCall,
        query: Result<Q, codec::RequestError>,
        page: Page<Q>,
    ) {
        let query = match query {
            Ok(query) => query,
            Err(bad_input) => return self.refuse(call.sink, bad_input.into()),
        };
        let read = ReadReply { query, call, page, handlers: self.clone() };
        match self.state.is_sole_writer() {
            true => Box::new(read).give(Ok(())),
            false => self.submit(Command::Barrier { reply: Reply::new(read) }),
        }
    }

    fn watch_tasks(&self, ctx: &RpcContext<'_>, request: WatchTasksRequest, sink: StreamSink) {
        let packing = Packing::new(request.max_updates_per_message).map_err(CallError::from);
        match packing.and_then(|packing| Ok((packing, request::watch_start(request)?))) {
            Ok((packing, start)) => {
                let context = StreamContext {
                    packing,
                    progress: start.progress,
                    log: self.log.clone(),
                    readers: self.readers.clone(),
                    signal: Signal::new(self.completions.run_queue().clone()),
                };
                ctx.spawn(watch::serve(self.state.clone(), start, context, ctx.deadline(), sink));
            }
            Err(bad_input) => ctx.spawn(async move {
                let _ = sink.fail(status(&bad_input)).await;
            }),
        }
    }

    fn submit(&self, command: Command) {
        if !self.state.submit(command) {
            // It was refused here: no step of the state thread wakes the pump.
            self.completions.flush();
            return;
        }
        if self.state.queued() >= HANDOVER_COMMANDS {
            thread::yield_now();
        }
        self.completions.complete_now();
    }

    fn refuse<Resp: 'static>(&self, sink: UnarySink<Resp>, why: CallError) {
        self.completions.finish(sink, move || Err(status(&why)));
        self.completions.flush();
    }

    /// A reply that completes the call on the poll thread.
    fn reply<T: Send + 'static, Resp: 'static>(
        &self,
        deadline: Deadline,
        sink: UnarySink<Resp>,
        response: impl FnOnce(T) -> Result<Resp, CallError> + Send + 'static,
    ) -> Reply<T> {
        let completions = self.completions.clone();
        Reply::new(UnaryReply { deadline, sink, completions, response, reply: None })
    }
}

/// The task of a response: of a purged task, what is left.
fn task_of(answer: &Answer) -> proto::Task {
    match answer {
        Answer::Task(task) => record::to_message(task),
        Answer::Purged { id, revision } => {
            proto::Task { id: *id, revision: *revision, ..Default::default() }
        }
    }
}

/// A call on its way to the state thread and back, in one box.
struct UnaryReply<T, Resp, R> {
    deadline: Deadline,
    sink: UnarySink<Resp>,
    completions: CompletionQueue,
    response: R,
    reply: Option<Result<T, StateError>>,
}

impl<T, Resp, R> ReplyTo<T> for UnaryReply<T, Resp, R>
where
    T: Send + 'static,
    Resp: 'static,
    R: FnOnce(T) -> Result<Resp, CallError> + Send + 'static,
{
    fn expired(&self) -> bool {
        self.deadline.exceeded()
    }

    fn give(mut self: Box<Self>, reply: Result<T, StateError>) {
        self.reply = Some(reply);
        let completions = self.completions.clone();
        completions.complete(self);
    }
}

impl<T, Resp, R> Answered for UnaryReply<T, Resp, R>
where
    T: Send,
    R: FnOnce(T) -> Result<Resp, CallError> + Send,
{
    fn complete(self: Box<Self>) -> UnarySinkResult {
        let UnaryReply { sink, response, reply, .. } = *self;
        let reply = reply.unwrap_or(Err(StateError::OutcomeUnknown)).map_err(CallError::from);
        match reply.and_then(response) {
            Ok(response) => sink.success(response),
            Err(why) => sink.fail(status(&why)),
        }
    }
}

/// A call that goes on to a reader thread.
struct ReadReply<Q> {
    query: Q,
    call: LargeCall,
    page: Page<Q>,
    handlers: Handlers,
}

impl<Q: Send + 'static> ReplyTo<()> for ReadReply<Q> {
    fn expired(&self) -> bool {
        self.call.deadline.exceeded()
    }

    fn give(self: Box<Self>, barrier: Result<(), StateError>) {
        let ReadReply { query, call, page, handlers } = *self;
        let Handlers { state, readers, completions, .. } = handlers;
        if let Err(why) = barrier {
            return call.refuse(why.into(), &completions);
        }
        let published = state.published();
        readers.call(move |context| {
            call.answer(&completions, || page(context?, &published, &query));
        });
    }
}
