use std::collections::VecDeque;
use std::mem;
use std::time::Instant;

use futures_util::FutureExt;
use grpcio::ClientUnaryReceiver;

use super::{CallError, Client, Code, example, proto};
use crate::limits::PIPELINED_CALLS_MAX;
use crate::wire::methods::ADD_TASK;

/// Adds tasks without waiting for each answer.
///
/// The calls share one connection and start in order, so `todod` executes them in order.
/// When the connection is lost, no call starts on the next one before all answers are known
/// and all lost calls are repeated, in order and with the same request ids. One call is in
/// flight at first; each success doubles the number, a loss resets it.
pub struct Pipeline<'a, T> {
    client: &'a Client,
    /// Oldest first.
    sent: VecDeque<Sent<T>>,
    in_flight_max: usize,
}

struct Sent<T> {
    /// What the caller knows the call by.
    tag: T,
    request: proto::AddTaskRequest,
    answer: Answer,
}

enum Answer {
    Pending(ClientUnaryReceiver<proto::AddTaskResponse>),
    Known(Result<proto::AddTaskResponse, CallError>),
}

impl<'a, T> Pipeline<'a, T> {
    pub fn new(client: &'a Client) -> Pipeline<'a, T> {
        Pipeline { client, sent: VecDeque::new(), in_flight_max: 1 }
    }

    /// Whether no answer is outstanding.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Whether another task may be added now.
    pub fn has_room(&self) -> bool {
        self.sent.len() < self.in_flight_max
    }

    /// Starts a call; `tag` comes back with its answer.
    pub fn add(&mut self, title: &str, tag: T) {
        debug_assert!(self.has_room());
        let client = self.client;
        let request = client.add_request(title);
        let newest = self.sent.back_mut().and_then(|sent| sent.answer.loss(client));
        let answer = match newest {
            // This call is repeated after the ones before it.
            Some(lost) => Answer::Known(Err(lost)),
            None => {
                let option = client.call_option();
                match client.grpc.unary_call_async(&ADD_TASK, &request, option) {
                    Ok(receiver) => Answer::Pending(receiver),
                    Err(e) => Answer::Known(Err(CallError::of(&e, ADD_TASK.name, client.server()))),
                }
            }
        };
        self.sent.push_back(Sent { tag, request, answer });
    }

    /// Waits for the oldest answer; `None` if there is none outstanding. Repeats a lost
    /// call within the client's timeout.
    pub fn next_answer(&mut self) -> Option<(T, Result<proto::Task, CallError>)> {
        let Sent { tag, request, answer } = self.sent.pop_front()?;
        let answer = match answer.wait(self.client) {
            Err(lost) if lost.code == Code::Unavailable => {
                self.settle();
                let deadline = Instant::now() + self.client.timeout();
                self.client.repeat(&ADD_TASK, &request, lost, deadline)
            }
            answer => answer,
        };
        let added = answer.and_then(|answer| self.client.task_of(answer.task));
        match &added {
            Ok(task) if example::is_of_todod(task) => {
                self.in_flight_max = (2 * self.in_flight_max).min(PIPELINED_CALLS_MAX);
            }
            _ => {}
        }
        Some((tag, added))
    }

    /// Returns what is known of the outstanding calls, oldest first, and repeats none.
    pub fn abandon(self) -> impl Iterator<Item = (T, Result<proto::Task, CallError>)> {
        let client = self.client;
        self.sent.into_iter().map(move |sent| {
            let answer = sent.answer.wait(client);
            (sent.tag, answer.and_then(|answer| client.task_of(answer.task)))
        })
    }

    /// Waits for all answers, so that a repeated call overtakes none that is in flight.
    fn settle(&mut self) {
        self.in_flight_max = 1;
        let settled = mem::take(&mut self.sent).into_iter().map(|sent| {
            let answer = Answer::Known(sent.answer.wait(self.client));
            Sent { answer, ..sent }
        });
        self.sent = settled.collect();
    }
}

impl Answer {
    /// Returns the error if it is known by now that the call was lost.
    fn loss(&mut self, client: &Client) -> Option<CallError> {
        if let Answer::Pending(receiver) = self {
            let answer = receiver.now_or_never()?;
            *self = Answer::Known(
                answer.map_err(|e| CallError::of(&e, ADD_TASK.name, client.server())),
            );
        }
        match self {
            Answer::Known(Err(lost)) if lost.code == Code::Unavailable => Some(lost.clone()),
            Answer::Known(_) | Answer::Pending(_) => None,
        }
    }

    fn wait(self, client: &Client) -> Result<proto::AddTaskResponse, CallError> {
        match self {
            Answer::Known(answer) => answer,
            Answer::Pending(receiver) => client.wait(async {
                receiver.await.map_err(|e| CallError::of(&e, ADD_TASK.name, client.server()))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_executor::block_on;
    use grpcio::{EnvBuilder, ServerBuilder, ServerCredentials, ServiceBuilder};
    use parking_lot::Mutex;

    use super::*;

    /// After the first call, the server answers only when two calls are in flight.
    #[test]
    fn a_call_does_not_wait_for_the_one_before() {
        let env = Arc::new(EnvBuilder::new().cq_count(1).build());
        let waiting = Arc::new(Mutex::new((0, Vec::new())));
        let service = ServiceBuilder::new()
            .add_unary_handler(&ADD_TASK, move |ctx, request: proto::AddTaskRequest, sink| {
                let mut waiting = waiting.lock();
                waiting.0 += 1;
                let (id, title) = (waiting.0, request.title);
                let task = proto::Task { id, title, revision: id.into(), ..Default::default() };
                waiting.1.push((task, sink));
                if id == 1 || waiting.1.len() == 2 {
                    for (task, sink) in waiting.1.drain(..) {
                        let task = Some(task).into();
                        let answer =
                            sink.success(proto::AddTaskResponse { task, ..Default::default() });
                        ctx.spawn(async { drop(answer.await) });
                    }
                }
            })
            .build();
        let builder = ServerBuilder::new(env).requests_slot_per_cq(8).register_service(service);
        let mut server = builder.build().unwrap();
        let insecure = ServerCredentials::insecure();
        let port = server.add_listening_port("127.0.0.1:0", insecure).unwrap();
        server.start();
        let client = Client::new(&format!("127.0.0.1:{port}"), Duration::from_secs(60)).unwrap();
        let mut pipeline = Pipeline::new(&client);
        let (mut added, mut tags) = (Vec::new(), 1..=5);
        while added.len() < 5 {
            while pipeline.has_room()
                && let Some(tag) = tags.next()
            {
                pipeline.add(&format!("task {tag}"), tag);
            }
            let (tag, task) = pipeline.next_answer().unwrap();
            added.push((tag, task.unwrap().title));
        }
        assert_eq!(added, (1..=5).map(|tag| (tag, format!("task {tag}"))).collect::<Vec<_>>());
        assert!(pipeline.next_answer().is_none() && pipeline.is_empty());
        let shutdown = server.shutdown();
        server.cancel_all_calls();
        let _ = block_on(shutdown);
    }
}
