use std::sync::Arc;

use grpcio::{Deadline, Method, RpcContext, Service, ServiceBuilder, UnarySink};

use super::outbox::Outbox;
use super::reader::{Listing, Read, Reader};
use super::watch;
use crate::model::{Guard, Mutation, Rejection, Task, TaskId, TaskList};
use crate::rpc::proto::{self, *};
use crate::rpc::{self, Encoded, PageQuery, methods, status};
use crate::state::{Answer, Command, Reply, StateHandle, WatchStart};

/// What the handlers share. They run on the poll thread: they convert, ask the state
/// thread, and are done.
#[derive(Clone)]
pub struct Handlers {
    pub state: StateHandle<Encoded>,
    pub reader: Reader,
    pub outbox: Outbox,
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
    let (get, list, watch) = (h.clone(), h.clone(), h.clone());
    calls
        .add_unary_handler(&methods::GET_TASK, move |ctx, request, sink| {
            get.get_task(ctx.deadline(), request.task_id, sink);
        })
        .add_unary_handler(&rpc::GET_TASKS_ENCODED, move |ctx, request, sink| {
            list.get_tasks(ctx.deadline(), &request, sink);
        })
        .add_server_streaming_handler(&rpc::WATCH_TASKS_ENCODED, move |ctx, request, sink| {
            watch.watch_tasks(&ctx, &request, sink);
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
        let answer = move |list: TaskList| {
            let task = Some(rpc::task(list.get(id)?)).into();
            Ok(GetTaskResponse { task, ..Default::default() })
        };
        self.submit(Command::Snapshot { reply: self.reply(deadline, sink, answer) });
    }

    fn get_tasks(&self, deadline: Deadline, request: &GetTasksRequest, sink: UnarySink<Encoded>) {
        match PageQuery::new(request) {
            Ok(query) => {
                let listing = ListingAnswer { query, sink, deadline, handlers: self.clone() };
                self.submit(Command::Snapshot { reply: Reply::new(listing) });
            }
            Err(bad_input) => self.refuse(sink, bad_input),
        }
    }

    fn watch_tasks(
        &self,
        ctx: &RpcContext<'_>,
        request: &WatchTasksRequest,
        sink: grpcio::ServerStreamingSink<Encoded>,
    ) {
        match rpc::filter(request.filter) {
            Ok(filter) => {
                let start = WatchStart { filter, snapshot: request.snapshot };
                let (state, reader, outbox) =
                    (self.state.clone(), self.reader.clone(), self.outbox.clone());
                ctx.spawn(watch::serve(state, reader, outbox, start, ctx.deadline(), sink));
            }
            Err(bad_input) => ctx.spawn(async move {
                let _ = sink.fail(status(&bad_input)).await;
            }),
        }
    }

    fn submit(&self, command: Command<Encoded>) {
        if !self.state.submit(command) {
            // It was answered at once, not in a turn that wakes the pump.
            self.outbox.flush();
        }
    }

    fn refuse<Resp: 'static>(&self, sink: UnarySink<Resp>, why: Rejection) {
        self.outbox.finish(sink, move || Err(status(&why)));
        self.outbox.flush();
    }

    /// A reply that completes the call on the poll thread.
    fn reply<T: Send + 'static, Resp: 'static>(
        &self,
        deadline: Deadline,
        sink: UnarySink<Resp>,
        response: impl FnOnce(T) -> Result<Resp, Rejection> + Send + 'static,
    ) -> Reply<T> {
        Reply::new(UnaryAnswer { deadline, sink, outbox: self.outbox.clone(), response })
    }
}

struct UnaryAnswer<Resp, R> {
    deadline: Deadline,
    sink: UnarySink<Resp>,
    outbox: Outbox,
    response: R,
}

impl<T, Resp, R> Answer<T> for UnaryAnswer<Resp, R>
where
    T: Send + 'static,
    Resp: 'static,
    R: FnOnce(T) -> Result<Resp, Rejection> + Send + 'static,
{
    fn expired(&self) -> bool {
        self.deadline.exceeded()
    }

    fn give(self: Box<Self>, answer: Result<T, Rejection>) {
        let UnaryAnswer { sink, outbox, response, .. } = *self;
        outbox.finish(sink, move || answer.and_then(response).map_err(|why| status(&why)));
    }
}

/// A listing, which goes on to the reader thread.
struct ListingAnswer {
    query: PageQuery,
    sink: UnarySink<Encoded>,
    deadline: Deadline,
    handlers: Handlers,
}

impl Answer<TaskList> for ListingAnswer {
    fn expired(&self) -> bool {
        self.deadline.exceeded()
    }

    fn give(self: Box<Self>, answer: Result<TaskList, Rejection>) {
        let ListingAnswer { query, sink, handlers, deadline } = *self;
        match answer {
            Ok(list) => {
                handlers.reader.submit(Read::Listing(Listing { list, query, sink, deadline }));
            }
            Err(why) => handlers.outbox.finish(sink, move || Err(status(&why))),
        }
    }
}
