use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::client::{CallError, Client};
use crate::limits::{
    CALL_TIMEOUT_DEFAULT, WATCH_SILENCE_MAX, WEB_BODY_TIMEOUT, WEB_CALLS_MAX, WEB_COMMENT_INTERVAL,
    WEB_CONNECTIONS_MAX, WEB_EVENT_STREAMS_MAX, WEB_HEADER_TIMEOUT, WEB_MESSAGE_BYTES_MAX,
    WEB_STALL_TIMEOUT,
};

/// Limits that tests change. `crate::limits` gives the reason for each default.
#[derive(Debug, Clone)]
pub struct Limits {
    pub connections_max: usize,
    pub event_streams_max: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub stall_timeout: Duration,
    pub alive_interval: Duration,
    pub silence_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: WEB_CONNECTIONS_MAX,
            event_streams_max: WEB_EVENT_STREAMS_MAX,
            header_timeout: WEB_HEADER_TIMEOUT,
            body_timeout: WEB_BODY_TIMEOUT,
            stall_timeout: WEB_STALL_TIMEOUT,
            alive_interval: WEB_COMMENT_INTERVAL,
            silence_max: WATCH_SILENCE_MAX,
        }
    }
}

/// What all requests share.
pub(crate) struct AppState {
    /// Makes calls, on a connection of its own that event streams cannot fill.
    pub(crate) call_client: Client,
    /// Makes the watches of event streams.
    pub(crate) watch_client: Client,
    /// One permit for each call to `todod` under way.
    pub(crate) calls: Semaphore,
    /// One permit for each open event stream.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) limits: Limits,
    /// Becomes true once, when event streams must end.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl AppState {
    /// Connects nothing yet. `server`: `HOST:PORT` or `unix:PATH`.
    pub(crate) fn new(
        server: &str,
        limits: Limits,
        stopping: watch::Receiver<bool>,
    ) -> Result<AppState, CallError> {
        let client = || Client::bounded(server, CALL_TIMEOUT_DEFAULT, WEB_MESSAGE_BYTES_MAX);
        Ok(AppState {
            call_client: keep_alive(client()?),
            watch_client: keep_alive(client()?),
            calls: Semaphore::new(WEB_CALLS_MAX),
            streams: Arc::new(Semaphore::new(limits.event_streams_max)),
            limits,
            stopping,
        })
    }
}

/// Leaks one reference, so that the C core is never shut down: `cli::run` says why.
fn keep_alive(client: Client) -> Client {
    mem::forget(client.clone());
    client
}
