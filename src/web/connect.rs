//! Calls in the Connect protocol's unary form: a POST of JSON. There is no code for any
//! one method: paths and types come from the table of methods.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout, timeout_at};

use super::edge::Edge;
use super::error::Error;
use super::events;
use crate::client::{CallError, Code};
use crate::limits::{
    CALL_TIMEOUT_DEFAULT, WEB_BODY_BYTES_MAX, WEB_CALL_TIMEOUT_MAX, WEB_MESSAGE_BYTES_MAX,
};
use crate::wire::{Encoded, Rpc, methods};

/// Answers a POST below the service's name.
pub async fn call(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Error> {
    let path = request.uri().path();
    let Some(rpc) = methods::ALL.iter().find(|rpc| rpc.path == path) else {
        let why = format!("There is no method {path}: proto/todo.proto has all of them");
        return Err(CallError::new(Code::Unimplemented, why).into());
    };
    if !rpc.is_unary() {
        let why = format!("{path} streams: use GET {}", events::PATH);
        return Err(CallError::new(Code::Unimplemented, why).into());
    }
    let (head, body) = request.into_parts();
    check_form(&head.headers)?;
    let call_timeout = call_timeout(&head.headers)?;
    let body = read(&head.headers, body, edge.limits.body_timeout).await?;
    let message = transcode(rpc, &body)?;
    let answer = ask(&edge, rpc, message, call_timeout).await?;
    let json = rpc.json_of_response(&answer).map_err(|e| CallError::new(Code::Internal, e))?;
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((content_type, json).into_response())
}

/// JSON, uncompressed. A page of another site cannot send this type unasked.
fn check_form(headers: &HeaderMap) -> Result<(), Error> {
    let unsupported =
        |why: &str| Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, why));
    let content_type = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let is_utf8 = ["", "charset=utf-8"].contains(&&*parameters.trim().to_ascii_lowercase());
    if !media_type.trim().eq_ignore_ascii_case("application/json") || !is_utf8 {
        return unsupported("The request must have Content-Type: application/json");
    }
    if text(headers, header::CONTENT_ENCODING.as_str()).is_some_and(|how| how != "identity") {
        return unsupported("The body must not be compressed");
    }
    if text(headers, "connect-protocol-version").is_some_and(|version| version != "1") {
        let why = "Connect-Protocol-Version must be 1, or absent";
        return Err(CallError::new(Code::InvalidArgument, why).into());
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// What the caller asks for, up to a limit.
fn call_timeout(headers: &HeaderMap) -> Result<Duration, Error> {
    let Some(asked) = text(headers, "connect-timeout-ms") else {
        return Ok(CALL_TIMEOUT_DEFAULT);
    };
    // The protocol allows ten digits.
    let is_number = !asked.is_empty() && asked.len() <= 10;
    match asked.parse::<u64>().ok().filter(|_| is_number && !asked.starts_with('+')) {
        Some(millis) => Ok(Duration::from_millis(millis).min(WEB_CALL_TIMEOUT_MAX)),
        None => {
            let why =
                format!("Connect-Timeout-Ms is {asked:?}: it must be a number of milliseconds");
            Err(CallError::new(Code::InvalidArgument, why).into())
        }
    }
}

async fn read(headers: &HeaderMap, body: Body, within: Duration) -> Result<Vec<u8>, Error> {
    let too_large = || {
        let why = format!("The body must be complete, and {WEB_BODY_BYTES_MAX} bytes at most");
        Error::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, why)
    };
    let length = text(headers, header::CONTENT_LENGTH.as_str()).map(str::parse);
    if length.is_some_and(|length| !length.is_ok_and(|length: usize| length <= WEB_BODY_BYTES_MAX))
    {
        return Err(too_large());
    }
    match timeout(within, to_bytes(body, WEB_BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => {
            let why = format!("The body did not come within {within:?}");
            Err(Error::new(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, why))
        }
    }
}

/// First strict JSON, then the mapping, which knows the message's fields.
fn transcode(rpc: &Rpc, body: &[u8]) -> Result<Encoded, Error> {
    let not_one = |why: String| {
        let why = format!("The body is no request for {} in JSON: {why}", rpc.path);
        Error::from(CallError::new(Code::InvalidArgument, why))
    };
    let value: serde_json::Value =
        serde_json::from_slice(body).map_err(|e| not_one(e.to_string()))?;
    if !value.is_object() {
        return Err(not_one("it must be an object, such as {}".to_owned()));
    }
    rpc.request_of_json(&value.to_string()).map_err(not_one)
}

/// The call to `todod`, and the wait for its turn, within a time.
async fn ask(
    edge: &Edge,
    rpc: &Rpc,
    message: Encoded,
    within: Duration,
) -> Result<Encoded, CallError> {
    let deadline = Instant::now() + within;
    let Ok(Ok(_permit)) = timeout_at(deadline, edge.calls.acquire()).await else {
        return Err(CallError::new(Code::ResourceExhausted, "Too many calls at once: try again"));
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let answer = edge.caller.call_raw(rpc.path, &message, left).await;
    answer.map_err(|failed| match failed.code {
        // The client's words are for who started a program of ours.
        Code::DeadlineExceeded => {
            let why = format!("todod did not answer within {within:?}: see Connect-Timeout-Ms");
            CallError::new(Code::DeadlineExceeded, why)
        }
        // The transport's words, from before there is a message to look at.
        Code::ResourceExhausted if failed.message.contains("larger than max") => {
            let why =
                format!("The answer has more than {WEB_MESSAGE_BYTES_MAX} bytes: give a pageSize");
            CallError::new(Code::ResourceExhausted, why)
        }
        _ => failed,
    })
}
