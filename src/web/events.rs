//! The list and its changes as server-sent events: each browser's stream is a watch of
//! its own on `todod`, which sends as fast as the browser takes it, and resumes.

use std::convert::Infallible;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};

use super::edge::Edge;
use super::error::Error;
use crate::client::{Backoff, CallError, Code, Follower, Mark, Place};
use crate::limits::{WEB_RETRY, WEB_RETRY_FULL};
use crate::wire::compact_json;
use crate::wire::proto::{Filter, TaskUpdate};

pub const PATH: &str = "/events";

/// Chunks that wait for the browser: one. More would only be memory.
const WAITING_MAX: usize = 1;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/event-stream");
/// Proxies that collect an answer before they pass it on must not do so here.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// Answers `GET /events`, always with 200 where a stream makes sense at all: a browser
/// asks again by itself after any end but another status.
pub async fn events(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Error> {
    let filter = filter(request.uri().query().unwrap_or_default())?;
    let headers = [(header::CONTENT_TYPE, CONTENT_TYPE), UNBUFFERED];
    let Ok(permit) = edge.streams.clone().try_acquire_owned() else {
        let why = "Too many pages follow the list at once: trying again";
        let said = retry(WEB_RETRY_FULL) + &offline(why);
        return Ok((headers, said).into_response());
    };
    let (sender, chunks) = mpsc::channel(WAITING_MAX);
    let follower = edge.follower.follow(filter, last_event_id(request.headers()));
    let comments = {
        let every = edge.limits.comment_interval;
        let mut comments = interval_at(Instant::now() + every, every);
        comments.set_missed_tick_behavior(MissedTickBehavior::Delay);
        comments
    };
    tokio::spawn(Feed { follower, edge, sender }.run(permit));
    Ok((headers, body(chunks, comments)).into_response())
}

/// Which changes, by `?filter=`.
fn filter(query: &str) -> Result<Filter, Error> {
    let asked = query.split('&').find_map(|part| part.strip_prefix("filter="));
    Ok(match asked.unwrap_or("live") {
        "live" => Filter::LIVE,
        "open" => Filter::OPEN,
        "completed" => Filter::COMPLETED,
        "deleted" => Filter::DELETED,
        "any" => Filter::ANY,
        other => {
            let why = format!("There is no filter {other:?}: live, open, completed, deleted, any");
            return Err(CallError::new(Code::InvalidArgument, why).into());
        }
    })
}

/// Where the browser's last stream ended; what is no such place counts as none, and the
/// stream starts anew.
fn last_event_id(headers: &HeaderMap) -> Option<Place> {
    let (list_id, revision) = headers.get("last-event-id")?.to_str().ok()?.split_once(':')?;
    let revision = revision.parse().ok().filter(|revision| *revision >= 0)?;
    let list_id = Some(list_id.to_owned()).filter(|list_id| !list_id.is_empty())?;
    Some(Place { list_id, revision })
}

/// The chunks as they come, and a sign of life now and then. It is asked
/// for the next one when the browser has taken the one before.
fn body(chunks: mpsc::Receiver<String>, comments: Interval) -> Body {
    Body::from_stream(unfold((chunks, comments), |(mut chunks, mut comments)| async {
        let chunk = tokio::select! {
            biased;
            chunk = chunks.recv() => chunk?,
            // Scripts see no comments: the event tells them that the connection lives.
            _ = comments.tick() => ":\n\nevent: alive\ndata: {}\n\n".to_owned(),
        };
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), (chunks, comments)))
    }))
}

/// What keeps one browser up to date.
struct Feed {
    follower: Follower,
    edge: Arc<Edge>,
    sender: mpsc::Sender<String>,
}

/// Nobody listens any more, or nobody should.
struct End;

impl Feed {
    /// Until the browser leaves, or the program ends.
    async fn run(mut self, permit: OwnedSemaphorePermit) {
        let (sender, mut stopping) = (self.sender.clone(), self.edge.stopping.clone());
        tokio::select! {
            _ = self.feed() => {}
            () = sender.closed() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        drop(permit);
    }

    async fn feed(&mut self) -> Result<(), End> {
        self.sender.send(retry(WEB_RETRY)).await.map_err(|_| End)?;
        let mut backoff = Backoff::default();
        let mut said_lost = false;
        loop {
            // Only once the browser has taken what came before: so the transport to todod
            // holds back, and todod sees how slow this one is.
            let room = self.sender.reserve().await.map_err(|_| End)?;
            match next(&mut self.follower, self.edge.limits.silence_max).await {
                Ok(chunk) => {
                    room.send(chunk);
                    (backoff, said_lost) = (Backoff::default(), false);
                }
                Err(lost) => {
                    if !mem::replace(&mut said_lost, true) {
                        room.send(offline(&lost.message));
                    }
                    sleep(backoff.next_wait()).await;
                }
            }
        }
    }
}

/// What `todod` tells next, as events. It is never silent for long.
async fn next(follower: &mut Follower, silence_max: Duration) -> Result<String, CallError> {
    match timeout(silence_max, follower.next()).await {
        Ok(updates) => render(&updates?, follower.place()),
        Err(_) => Err(follower.give_up(silence_max)),
    }
}

/// One message of a watch as events. `place`: after it; `None` within a snapshot, which
/// cannot be resumed.
fn render(updates: &[TaskUpdate], place: Option<&Place>) -> Result<String, CallError> {
    let id = place.map(|place| format!("id: {}:{}\n", place.list_id, place.revision));
    let id = id.unwrap_or_default();
    let mut events = String::new();
    let mut changes = Vec::new();
    for update in updates {
        match Mark::of(update) {
            Mark::Change | Mark::Snapshot => changes.push(compact_json(update)),
            // Marks are never packed: no other update is in their message.
            Mark::Reset => events += "id:\nevent: reset\ndata: {}\n\n",
            Mark::Synced => {
                let data = json!({
                    "listId": update.list_id, "revision": update.revision.to_string()
                });
                events += &format!("{id}event: synced\ndata: {data}\n\n");
            }
            // Without data it is no event, but the browser remembers the place.
            Mark::Progress => events += &format!("{id}\n"),
        }
    }
    if !changes.is_empty() {
        let changes: Result<Vec<_>, _> = changes.into_iter().collect();
        let data = changes.map_err(|e| CallError::new(Code::Internal, e))?.join(",");
        events += &format!("{id}event: updates\ndata: [{data}]\n\n");
    }
    Ok(events)
}

fn offline(message: &str) -> String {
    format!("event: offline\ndata: {}\n\n", json!({ "message": message }))
}

/// Without it a browser waits some seconds of its own choice.
fn retry(wait: Duration) -> String {
    format!("retry: {}\n\n", wait.as_millis())
}
