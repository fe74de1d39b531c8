//! The list and its changes as server-sent events. Each stream is a watch of its own on
//! `todod`, which sends as fast as the browser reads, and resumes.

use std::convert::Infallible;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use futures_util::stream::{self, poll_fn};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::app_state::AppState;
use super::error::Error;
use crate::client::{
    CallError, Code, Position, Timer, UpdateKind, WatchEvent, WatchOptions, WatchStart, WatchStream,
};
use crate::limits::{WEB_RETRY, WEB_RETRY_FULL};
use crate::wire::compact_json;
use crate::wire::proto::{Filter, TaskUpdate};

pub(crate) const PATH: &str = "/events";

/// Batches of events that wait for the browser. More would only use memory.
const PENDING_BATCHES_MAX: usize = 1;

/// Tells proxies that buffer answers not to do so here.
const UNBUFFERED: [(HeaderName, HeaderValue); 1] =
    [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];

/// Answers `GET /events`, with 200 even if there are too many streams: a browser reconnects
/// by itself after any end of a stream, but not after another status.
pub(crate) async fn events(
    State(app): State<Arc<AppState>>,
    request: Request,
) -> Result<Response, Error> {
    let filter = filter(request.uri().query().unwrap_or_default())?;
    let Ok(permit) = app.streams.clone().try_acquire_owned() else {
        let full = offline("too many open event streams: trying again").retry(WEB_RETRY_FULL);
        return Ok(
            (UNBUFFERED, Sse::new(stream::iter([Ok::<_, Infallible>(full)]))).into_response()
        );
    };
    let (sender, mut batches) = mpsc::channel(PENDING_BATCHES_MAX);
    let start = match last_event_id(request.headers()) {
        Some(position) => WatchStart::After { position, or_snapshot: true },
        None => WatchStart::Snapshot,
    };
    // `todod` sends PROGRESS at least, so a long silence means that the connection is lost.
    let silence_max = app.limits.silence_max;
    let options =
        WatchOptions { filter, start, reconnect: true, silence_max, ..Default::default() };
    let watch = app.watch_client.watch_stream(options, TokioTimer);
    // Scripts do not see comments, so the sign of life is an event.
    let alive = KeepAlive::new()
        .interval(app.limits.alive_interval)
        .event(Event::default().event("alive").data("{}"));
    tokio::spawn(EventStream { watch, app, sender }.run(permit));
    let events = poll_fn(move |context| batches.poll_recv(context))
        .flat_map(|batch: Vec<Event>| stream::iter(batch.into_iter().map(Ok::<_, Infallible>)));
    Ok((UNBUFFERED, Sse::new(events).keep_alive(alive)).into_response())
}

/// Reads `?filter=`.
fn filter(query: &str) -> Result<Filter, Error> {
    let asked = query.split('&').find_map(|part| part.strip_prefix("filter="));
    Ok(match asked.unwrap_or("live") {
        "live" => Filter::LIVE,
        "open" => Filter::OPEN,
        "completed" => Filter::COMPLETED,
        "deleted" => Filter::DELETED,
        "any" => Filter::ANY,
        other => {
            let why =
                format!("unknown filter {other:?}: use live, open, completed, deleted or any");
            return Err(CallError::new(Code::InvalidArgument, why).into());
        }
    })
}

/// Returns the position at which the browser's last stream ended. An id of another form
/// counts as none, and the stream starts with a snapshot.
fn last_event_id(headers: &HeaderMap) -> Option<Position> {
    let (list_id, revision) = headers.get("last-event-id")?.to_str().ok()?.rsplit_once(':')?;
    let revision = revision.parse().ok().filter(|revision| *revision >= 0)?;
    let list_id = Some(list_id.to_owned()).filter(|list_id| !list_id.is_empty())?;
    Some(Position { list_id, revision })
}

/// The task that keeps one browser up to date.
struct EventStream {
    watch: WatchStream<TokioTimer>,
    app: Arc<AppState>,
    sender: mpsc::Sender<Vec<Event>>,
}

/// The stream has ended, or must end.
struct End;

impl EventStream {
    /// Runs until the browser leaves or the program ends.
    async fn run(mut self, permit: OwnedSemaphorePermit) {
        let (sender, mut stopping) = (self.sender.clone(), self.app.stopping.clone());
        tokio::select! {
            _ = self.send_all() => {}
            () = sender.closed() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        drop(permit);
    }

    async fn send_all(&mut self) -> Result<(), End> {
        let retry = Event::default().retry(WEB_RETRY);
        self.sender.send(vec![retry]).await.map_err(|_| End)?;
        loop {
            // Reading from todod waits until the browser has read what came before, so
            // that the transport holds back and todod sees how slow this browser is.
            let room = self.sender.reserve().await.map_err(|_| End)?;
            match self.watch.next().await {
                WatchEvent::Connected { .. } => {}
                WatchEvent::Update(first) => {
                    let more = iter::from_fn(|| self.watch.next_pending());
                    let updates: Vec<_> = iter::once(first).chain(more).collect();
                    match render(&updates, self.watch.position()) {
                        Ok(events) => room.send(events),
                        Err(why) => {
                            // Skipping these updates would lose them. The browser
                            // reconnects, and asks for them again.
                            room.send(vec![offline(&why.message)]);
                            return Err(End);
                        }
                    }
                }
                WatchEvent::Lost(why) | WatchEvent::Ended(why) => {
                    room.send(vec![offline(&why.message)]);
                }
            }
        }
    }
}

/// The waits of a watch.
struct TokioTimer;

impl Timer for TokioTimer {
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }
}

/// Turns one message of a watch into events. `position`: the position after it, or `None`
/// within a snapshot, which cannot be resumed. Fails if an update has no JSON form.
fn render(updates: &[TaskUpdate], position: Option<&Position>) -> Result<Vec<Event>, CallError> {
    let id = position.map(event_id).transpose()?;
    let with_id = |event: Event| match &id {
        Some(id) => event.id(id),
        None => event,
    };
    let mut events = Vec::new();
    let mut changes = Vec::new();
    for update in updates {
        match UpdateKind::from(update) {
            UpdateKind::Change | UpdateKind::Snapshot => changes.push(compact_json(update)),
            // The other kinds are never packed: their message holds no other update.
            // An empty id makes a browser that is cut off here start anew.
            UpdateKind::Reset => events.push(Event::default().id("").event("reset").data("{}")),
            UpdateKind::Synced => {
                let data = json!({
                    "listId": update.list_id, "revision": update.revision.to_string()
                });
                events.push(with_id(Event::default()).event("synced").data(data.to_string()));
            }
            // Scripts do not see an event without data, but the browser keeps its id.
            UpdateKind::Progress => events.push(with_id(Event::default())),
        }
    }
    if !changes.is_empty() {
        let changes: Result<Vec<_>, _> = changes.into_iter().collect();
        let data = changes.map_err(|e| CallError::new(Code::Internal, e))?.join(",");
        events.push(with_id(Event::default()).event("updates").data(format!("[{data}]")));
    }
    Ok(events)
}

/// Returns the position as an event's id. The list id comes from the server, and a line end
/// in it would end the field.
fn event_id(position: &Position) -> Result<String, CallError> {
    match position.list_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(format!("{}:{}", position.list_id, position.revision)),
        false => {
            let why = format!("todod sent the invalid list id {:?}", position.list_id);
            Err(CallError::new(Code::Internal, why))
        }
    }
}

fn offline(message: &str) -> Event {
    Event::default().event("offline").data(json!({ "message": message }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list id with a line end would forge an event, and make the framing panic.
    #[test]
    fn a_list_id_that_is_not_one_word_is_an_error() {
        for (list_id, is_valid) in
            [("da37", true), ("a\nevent: reset", false), ("a\r", false), ("a\0", false)]
        {
            let synced = TaskUpdate {
                action: "SYNCED".to_owned(),
                list_id: list_id.to_owned(),
                revision: 1,
                ..Default::default()
            };
            let position = Position { list_id: list_id.to_owned(), revision: 1 };
            assert_eq!(render(&[synced], Some(&position)).is_ok(), is_valid, "{list_id:?}");
        }
    }
}
