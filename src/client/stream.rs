use std::time::Duration;

use futures_util::StreamExt;
use grpcio::{CallOption, ClientSStreamReceiver};

use super::{CallError, Client, Code, Place, proto};
use crate::limits::{PROGRESS_INTERVAL_MS_MAX, PROGRESS_INTERVAL_MS_MIN, UPDATES_PER_MESSAGE_MAX};
use crate::wire::methods::WATCH_TASKS;

/// What one call of WatchTasks asks for.
pub(super) struct Ask<'a> {
    pub filter: proto::Filter,
    pub after: Option<&'a Place>,
    pub snapshot: bool,
    pub progress: Duration,
}

impl Ask<'_> {
    fn request(&self) -> proto::WatchTasksRequest {
        let interval = i32::try_from(self.progress.as_millis()).unwrap_or(i32::MAX);
        proto::WatchTasksRequest {
            after_revision: self.after.map(|place| place.revision),
            list_id: self.after.map(|place| place.list_id.clone()).unwrap_or_default(),
            snapshot: self.snapshot,
            progress_interval_ms: interval
                .clamp(PROGRESS_INTERVAL_MS_MIN, PROGRESS_INTERVAL_MS_MAX),
            max_updates_per_message: UPDATES_PER_MESSAGE_MAX as i32,
            filter: self.filter.into(),
            ..Default::default()
        }
    }
}

/// One call of WatchTasks. Dropping it ends the call.
pub(super) struct Stream {
    client: Client,
    messages: ClientSStreamReceiver<proto::TaskUpdate>,
    /// Known already, while there is more to read.
    end: Option<grpcio::Error>,
}

impl Stream {
    pub fn open(client: &Client, ask: &Ask<'_>) -> Result<Stream, CallError> {
        let messages = client
            .grpc
            .server_streaming(&WATCH_TASKS, &ask.request(), CallOption::default())
            .map_err(|e| failed(client, &e))?;
        Ok(Stream { client: client.clone(), messages, end: None })
    }

    /// The next message, or why there is none. Giving up the wait loses nothing.
    pub async fn next(&mut self) -> Result<proto::TaskUpdate, CallError> {
        loop {
            match self.messages.next().await {
                Some(Ok(update)) => return Ok(update),
                // The transport tells of the end as soon as it knows, ahead of the
                // messages that came before it: those are still there to read.
                Some(Err(e)) if self.end.is_none() => self.end = Some(e),
                Some(Err(e)) => return Err(failed(&self.client, &e)),
                // A watch has no end of its own; a server that ends it is going away.
                None => {
                    let went_away = || lost(&self.client, Code::Unavailable, "ended the watch");
                    let end = self.end.as_ref();
                    return Err(end.map_or_else(went_away, |e| failed(&self.client, e)));
                }
            }
        }
    }
}

/// Something is wrong with a stream; `why` goes on after the server's address.
pub(super) fn lost(client: &Client, code: Code, why: &str) -> CallError {
    CallError::new(code, format!("{} {why}", client.server()))
}

/// The server was silent for longer than one that lives can be.
pub(super) fn silent(client: &Client, time: Duration) -> CallError {
    lost(client, Code::Unavailable, &format!("said nothing for {time:?}"))
}

/// The server sent what cannot follow.
pub(super) fn disordered(client: &Client, why: &str) -> CallError {
    lost(client, Code::Internal, &format!("broke the order of the watch: {why}"))
}

fn failed(client: &Client, error: &grpcio::Error) -> CallError {
    CallError::of(error, WATCH_TASKS.name, client.server())
}
