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

/// How much, and how long. `crate::limits` says why.
#[derive(Debug, Clone)]
pub struct Limits {
    pub connections_max: usize,
    pub event_streams_max: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub stall_timeout: Duration,
    pub comment_interval: Duration,
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
            comment_interval: WEB_COMMENT_INTERVAL,
            silence_max: WATCH_SILENCE_MAX,
        }
    }
}

/// What all requests share.
pub struct Edge {
    /// For calls, on a connection of its own: no stream holds them up.
    pub caller: Client,
    /// For streams of events.
    pub follower: Client,
    pub calls: Semaphore,
    pub streams: Arc<Semaphore>,
    pub limits: Limits,
    /// Changes once: then streams end.
    pub stopping: watch::Receiver<bool>,
}

impl Edge {
    /// Connects nothing yet.
    pub fn new(
        server: &str,
        limits: Limits,
        stopping: watch::Receiver<bool>,
    ) -> Result<Edge, CallError> {
        let client = || Client::bounded(server, CALL_TIMEOUT_DEFAULT, WEB_MESSAGE_BYTES_MAX);
        Ok(Edge {
            caller: lasting(client()?),
            follower: lasting(client()?),
            calls: Semaphore::new(WEB_CALLS_MAX),
            streams: Arc::new(Semaphore::new(limits.event_streams_max)),
            limits,
            stopping,
        })
    }
}

/// One of its references is never dropped: see `cli::run`.
fn lasting(client: Client) -> Client {
    mem::forget(client.clone());
    client
}
