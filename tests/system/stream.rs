//! A watch on the wire: every field of the request, every message of the stream.

use std::sync::Arc;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use futures_executor::block_on;
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable};
use grpcio::{
    CallOption, ChannelBuilder, ClientSStreamReceiver, EnvBuilder, Environment, RpcStatus,
    RpcStatusCode,
};
use todo::wire::methods;
use todo::wire::proto::*;

use crate::harness::DEADLINE;

/// A connection of its own.
pub fn raw(
    address: &str,
    channel: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
) -> grpcio::Client {
    raw_in(&environment(), address, channel)
}

/// A connection of its own, on a shared poll thread.
pub fn raw_in(
    env: &Arc<Environment>,
    address: &str,
    channel: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
) -> grpcio::Client {
    let builder = ChannelBuilder::new(env.clone()).use_local_subchannel_pool(true);
    grpcio::Client::new(channel(builder).connect(address))
}

pub fn environment() -> Arc<Environment> {
    Arc::new(EnvBuilder::new().cq_count(1).build())
}

type Message = Result<TaskUpdate, RpcStatus>;
type Messages = (Sender<Message>, Receiver<Message>);

/// A stream that a thread of its own reads. Dropping it ends the call.
pub struct Stream {
    messages: Receiver<Message>,
    abort: AbortHandle,
    /// Kept because the connection ends with it.
    _client: grpcio::Client,
}

impl Stream {
    pub fn open(client: &grpcio::Client, request: &WatchTasksRequest) -> Stream {
        Stream::with(client, request, unbounded())
    }

    /// Reads one message ahead of what the test asks for.
    pub fn open_lazy(client: &grpcio::Client, request: &WatchTasksRequest) -> Stream {
        Stream::with(client, request, bounded(0))
    }

    fn with(
        client: &grpcio::Client,
        request: &WatchTasksRequest,
        (sender, messages): Messages,
    ) -> Stream {
        let option = CallOption::default();
        let mut stream = client.server_streaming(&methods::WATCH_TASKS, request, option).unwrap();
        let (abort, registration) = AbortHandle::new_pair();
        std::thread::spawn(move || {
            let read = async {
                let mut end = None;
                // The transport may report the end ahead of the messages before it.
                while let Some(message) = stream.next().await {
                    match message {
                        Ok(message) => match sender.send(Ok(message)) {
                            Ok(()) => {}
                            // The stream was dropped.
                            Err(_) => return,
                        },
                        Err(grpcio::Error::RpcFailure(status)) => end = Some(status),
                        // The stream was dropped, and its connection with it.
                        Err(grpcio::Error::QueueShutdown) => return,
                        Err(other) => panic!("{other}"),
                    }
                }
                let _ = sender.send(Err(end.unwrap_or_else(RpcStatus::ok)));
            };
            let _ = block_on(Abortable::new(read, registration));
        });
        Stream { messages, abort, _client: client.clone() }
    }

    /// The next message. If none comes for long and `is_lost` says that the server is gone, the
    /// end of the stream.
    pub fn message_unless(&self, is_lost: impl Fn() -> bool) -> Message {
        match self.messages.recv_timeout(DEADLINE / 6) {
            Err(RecvTimeoutError::Timeout) if is_lost() => {
                Err(RpcStatus::with_message(RpcStatusCode::UNAVAILABLE, "lost".to_owned()))
            }
            Err(_) => self.message(),
            Ok(message) => message,
        }
    }

    /// The next message, with what it holds in `more`.
    pub fn message(&self) -> Message {
        match self.messages.recv_timeout(DEADLINE) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("no message in {DEADLINE:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the stream is over"),
        }
    }

    pub fn update(&self) -> TaskUpdate {
        self.message().unwrap_or_else(|end| panic!("the stream ended: {end:?}"))
    }

    /// The messages up to the one that has this action, inclusive.
    pub fn up_to(&self, action: &str) -> Vec<TaskUpdate> {
        let mut messages = Vec::new();
        loop {
            let message = self.update();
            let is_last = message.action == action;
            messages.push(message);
            if is_last {
                return messages;
            }
        }
    }

    /// Why the stream ended. Fails if a message comes first.
    pub fn end(&self) -> (RpcStatusCode, String) {
        match self.message() {
            Err(status) => (status.code(), status.message().to_owned()),
            Ok(message) => panic!("not the end: {message}"),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// Reads updates up to the one for which `is_last` is true, inclusive.
pub fn read(
    mut from: ClientSStreamReceiver<TaskUpdate>,
    is_last: impl Fn(&TaskUpdate) -> bool,
) -> Vec<TaskUpdate> {
    let mut updates = Vec::new();
    while !updates.last().is_some_and(&is_last) {
        let message = block_on(from.next()).expect("the stream is not over").unwrap();
        updates.extend(unpacked(vec![message]));
    }
    updates
}

/// The updates that the messages hold.
pub fn unpacked(messages: Vec<TaskUpdate>) -> Vec<TaskUpdate> {
    let mut updates = Vec::new();
    for mut message in messages {
        let more = std::mem::take(&mut message.more);
        updates.push(message);
        updates.extend(more);
    }
    updates
}
