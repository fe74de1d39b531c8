use std::sync::Arc;
use std::thread;

use grpcio::{Deadline, Method, RpcStatus, Service};
use protobuf::Message;

use super::codec::{
    CallError, ChangesQuery, Packing, PageQuery, RequestError, UpdateBatch, request, status,
};
use super::feed::StreamContext;
use super::reader::{ReadContext, Readers};
use super::transport::{Answered, Call, CompletionQueue, Methods, Signal, StreamSink};
use super::{listing, watch};
use crate::limits::HANDOVER_COMMANDS;
use crate::model::{Answer, Rejection, Request, TaskId};
use crate::state::{
    ChangeLog, Command, Mutate, Published, Reply, ReplyTo, StateError, StateHandle,
};
use crate::wire::proto::{self, *};
use crate::wire::{Encoded, methods, record};

/// What the handlers share. They run on the poll thread: they convert, ask the state thread
/// or a reader thread, and return.
#[derive(Clone)]
pub(crate) struct Handlers {
    pub(crate) state: StateHandle,
    pub(crate) log: Arc<ChangeLog<UpdateBatch>>,
    pub(crate) readers: Readers,
    pub(crate) completions: CompletionQueue,
}

/// Registers a handler for each method.
pub(crate) fn service(handlers: &Handlers, methods: Methods) -> Service {
    let h = handlers;
    let mut to = methods;
    to = h.mutation(to, &methods::ADD_TASK, request::add_task, |task| AddTaskResponse {
        task,
        ..Default::default()
    });
    to = h.mutation(to, &methods::COMPLETE_TASK, request::complete_task, |task| {
        CompleteTaskResponse { success: true, task, ..Default::default() }
    });
    to = h.mutation(to, &methods::UPDATE_TASK, request::update_task, |task| UpdateTaskResponse {
        task,
        ..Default::default()
    });
    to = h.mutation(to, &methods::REOPEN_TASK, request::reopen_task, |task| ReopenTaskResponse {
        task,
        ..Default::default()
    });
    to = h.mutation(to, &methods::DELETE_TASK, request::delete_task, |task| DeleteTaskResponse {
        task,
        ..Default::default()
    });
    to = h.mutation(to, &methods::RESTORE_TASK, request::restore_task, |task| {
        RestoreTaskResponse { task, ..Default::default() }
    });
    to = h.mutation(to, &methods::PURGE_TASK, request::purge_task, |task| PurgeTaskResponse {
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

/// Makes the page that a query asks for.
type Page<Q> = fn(&mut ReadContext, &Arc<Published>, &Q) -> Result<Encoded, CallError>;

impl Handlers {
    /// Adds a method that changes the list and answers with the task.
    fn mutation<Req: Send + 'static, Resp: Message>(
        &self,
        to: Methods,
        method: &Method<Req, Resp>,
        convert: fn(Req) -> Result<Request, Rejection>,
        response: fn(TaskField) -> Resp,
    ) -> Methods {
        let h = self.clone();
        to.unary(method, move |request, call| match convert(request) {
            Ok(request) => {
                let answer = move |answer: Answer| {
                    Ok(Encoded::new(&response(Some(task_of(&answer)).into())))
                };
                h.submit(Command::Mutate(Mutate { request, reply: h.reply(call, answer) }));
            }
            Err(bad_input) => h.refuse(call, &bad_input.into()),
        })
    }

    /// Answered here, from the published list.
    fn get_task(&self, id: TaskId, call: Call) {
        let answer = move |published: &Published| {
            let task = Some(record::to_message(published.list.get(id)?)).into();
            Ok(Encoded::new(&GetTaskResponse { task, ..Default::default() }))
        };
        if self.state.is_sole_writer() {
            let answer = answer(&self.state.published()).map_err(|why: CallError| status(&why));
            self.completions.complete(Box::new((call, answer)));
            return self.completions.complete_now();
        }
        let state = self.state.clone();
        self.submit(Command::Barrier {
            reply: self.reply(call, move |()| answer(&state.published())),
        });
    }

    /// A call that a reader thread answers from the published list.
    fn read<Q: Send + 'static>(&self, call: Call, query: Result<Q, RequestError>, page: Page<Q>) {
        let query = match query {
            Ok(query) => query,
            Err(bad_input) => return self.refuse(call, &bad_input.into()),
        };
        let read = ReadReply { query, call, page, handlers: self.clone() };
        match self.state.is_sole_writer() {
            true => Box::new(read).give(Ok(())),
            false => self.submit(Command::Barrier { reply: Reply::new(read) }),
        }
    }

    async fn watch_tasks(self, request: WatchTasksRequest, deadline: Deadline, sink: StreamSink) {
        let packing = Packing::new(request.max_updates_per_message).map_err(CallError::from);
        match packing.and_then(|packing| Ok((packing, request::watch_start(request)?))) {
            Ok((packing, start)) => {
                let Handlers { state, log, readers, completions } = self;
                let signal = Signal::new(completions.run_queue().clone());
                let context =
                    StreamContext { packing, progress: start.progress, log, readers, signal };
                watch::serve(state, start, context, deadline, sink).await;
            }
            // The result is ignored: the client may be gone.
            Err(bad_input) => drop(sink.fail(status(&bad_input)).await),
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

    fn refuse(&self, call: Call, why: &CallError) {
        self.completions.refuse(call, why);
        self.completions.flush();
    }

    /// A reply that completes the call on the poll thread.
    fn reply<T: Send + 'static>(
        &self,
        call: Call,
        response: impl FnOnce(T) -> Result<Encoded, CallError> + Send + 'static,
    ) -> Reply<T> {
        let completions = self.completions.clone();
        Reply::new(UnaryReply { call, completions, response, reply: None })
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
struct UnaryReply<T, R> {
    call: Call,
    completions: CompletionQueue,
    response: R,
    reply: Option<Result<T, StateError>>,
}

impl<T, R> ReplyTo<T> for UnaryReply<T, R>
where
    T: Send + 'static,
    R: FnOnce(T) -> Result<Encoded, CallError> + Send + 'static,
{
    fn expired(&self) -> bool {
        self.call.has_expired()
    }

    fn give(mut self: Box<Self>, reply: Result<T, StateError>) {
        self.reply = Some(reply);
        let completions = self.completions.clone();
        completions.complete(self);
    }
}

impl<T, R> Answered for UnaryReply<T, R>
where
    T: Send,
    R: FnOnce(T) -> Result<Encoded, CallError> + Send,
{
    fn answer(self: Box<Self>) -> (Call, Result<Encoded, RpcStatus>) {
        let UnaryReply { call, response, reply, .. } = *self;
        let reply = reply.unwrap_or(Err(StateError::OutcomeUnknown)).map_err(CallError::from);
        (call, reply.and_then(response).map_err(|why| status(&why)))
    }
}

/// A call that continues on a reader thread.
struct ReadReply<Q> {
    query: Q,
    call: Call,
    page: Page<Q>,
    handlers: Handlers,
}

impl<Q: Send + 'static> ReplyTo<()> for ReadReply<Q> {
    fn expired(&self) -> bool {
        self.call.has_expired()
    }

    fn give(self: Box<Self>, barrier: Result<(), StateError>) {
        let ReadReply { query, call, page, handlers } = *self;
        let Handlers { state, readers, completions, .. } = handlers;
        if let Err(why) = barrier {
            return completions.refuse(call, &why.into());
        }
        let published = state.published();
        readers.call(move |context| {
            completions.answer_large(call, || page(context?, &published, &query));
        });
    }
}
