use std::time::Duration;

use futures_util::StreamExt;
use grpcio::{CallOption, ClientSStreamReceiver};

use super::{CallError, Client, Code, Position, proto};
use crate::limits::{PROGRESS_INTERVAL_MS_MAX, PROGRESS_INTERVAL_MS_MIN, UPDATES_PER_MESSAGE_MAX};
use crate::wire::methods::WATCH_TASKS;

/// One call of WatchTasks. Dropping it ends the call.
pub(super) struct WatchCall {
    client: Client,
    messages: ClientSStreamReceiver<proto::TaskUpdate>,
    /// The status of the call, if it came before the last messages.
    end: Option<grpcio::Error>,
}

/// What one call of WatchTasks asks for.
pub(super) struct WatchRequest<'a> {
    pub(super) filter: proto::Filter,
    pub(super) after: Option<&'a Position>,
    pub(super) snapshot: bool,
    pub(super) progress: Duration,
}

impl WatchRequest<'_> {
    fn message(&self) -> proto::WatchTasksRequest {
        let interval = i32::try_from(self.progress.as_millis()).unwrap_or(i32::MAX);
        proto::WatchTasksRequest {
            after_revision: self.after.map(|position| position.revision),
            list_id: self.after.map(|position| position.list_id.clone()).unwrap_or_default(),
            snapshot: self.snapshot,
            progress_interval_ms: interval
                .clamp(PROGRESS_INTERVAL_MS_MIN, PROGRESS_INTERVAL_MS_MAX),
            max_updates_per_message: UPDATES_PER_MESSAGE_MAX as i32,
            filter: self.filter.into(),
            ..Default::default()
        }
    }
}

impl WatchCall {
    pub(super) fn open(
        client: &Client,
        request: &WatchRequest<'_>,
    ) -> Result<WatchCall, CallError> {
        let messages = client
            .grpc
            .server_streaming(&WATCH_TASKS, &request.message(), CallOption::default())
            .map_err(|e| failed(client, &e))?;
        Ok(WatchCall { client: client.clone(), messages, end: None })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the next message, or why there is none. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<proto::TaskUpdate, CallError> {
        loop {
            match self.messages.next().await {
                Some(Ok(update)) => return Ok(update),
                // The transport reports the status as soon as it knows it, ahead of
                // messages that arrived before it and can still be read.
                Some(Err(e)) if self.end.is_none() => self.end = Some(e),
                Some(Err(e)) => return Err(failed(&self.client, &e)),
                None => {
                    // The server never ends a watch with OK, except when it shuts down.
                    let ended = || {
                        let why = format!("{} ended the watch", self.client.server());
                        CallError::new(Code::Unavailable, why)
                    };
                    let end = self.end.as_ref();
                    return Err(end.map_or_else(ended, |e| failed(&self.client, e)));
                }
            }
        }
    }
}

fn failed(client: &Client, error: &grpcio::Error) -> CallError {
    CallError::of(error, WATCH_TASKS.name, client.server())
}
