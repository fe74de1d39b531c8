//! A watch as the wire has it: every field of the request, every message of the stream.

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

/// A connection of its own, on a poll thread that it shares.
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

/// A stream that is read, on a thread of its own. Dropping it ends the call.
pub struct Stream {
    messages: Receiver<Message>,
    abort: AbortHandle,
    /// Its connection ends with it.
    _client: grpcio::Client,
}

impl Stream {
    pub fn open(client: &grpcio::Client, request: &WatchTasksRequest) -> Stream {
        Stream::with(client, request, unbounded())
    }

    /// Reads only what is asked for, and one message ahead.
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
                // The transport may tell of the end ahead of what came before it.
                while let Some(message) = stream.next().await {
                    match message {
                        Ok(message) => match sender.send(Ok(message)) {
                            Ok(()) => {}
                            // Nobody reads any more.
                            Err(_) => return,
                        },
                        Err(grpcio::Error::RpcFailure(status)) => end = Some(status),
                        // It was dropped, and its connection with it.
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

    /// The next message, or the end if nothing comes for long and the server it was
    /// opened on is gone.
    pub fn message_unless(&self, is_lost: impl Fn() -> bool) -> Message {
        match self.messages.recv_timeout(DEADLINE / 6) {
            Err(RecvTimeoutError::Timeout) if is_lost() => {
                Err(RpcStatus::with_message(RpcStatusCode::UNAVAILABLE, "lost".to_owned()))
            }
            Err(_) => self.message(),
            Ok(message) => message,
        }
    }

    /// The next message, whatever it holds in `more`.
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

    /// The messages up to and with the one that has this action.
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

    /// Why it ended; nothing may come before.
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

/// Reads until an update is the last one wanted, and returns all.
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

/// The updates of messages, one by one.
pub fn unpacked(messages: Vec<TaskUpdate>) -> Vec<TaskUpdate> {
    let mut updates = Vec::new();
    for mut message in messages {
        let more = std::mem::take(&mut message.more);
        updates.push(message);
        updates.extend(more);
    }
    updates
}
