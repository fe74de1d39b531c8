//! Calls in the Connect protocol's unary form: a POST of JSON. Nothing here is specific to a
//! method: paths and types come from the table of methods.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout, timeout_at};

use super::app_state::AppState;
use super::error::Error;
use super::events;
use crate::client::{CallError, Code};
use crate::limits::{
    CALL_TIMEOUT_DEFAULT, WEB_BODY_BYTES_MAX, WEB_CALL_TIMEOUT_MAX, WEB_MESSAGE_BYTES_MAX,
};
use crate::wire::{Encoded, Rpc, methods};

/// Answers a POST below the service's name.
pub(crate) async fn call(
    State(app): State<Arc<AppState>>,
    request: Request,
) -> Result<Response, Error> {
    let path = request.uri().path();
    let Some(rpc) = methods::ALL.iter().find(|rpc| rpc.path == path) else {
        let why = format!("unknown method {path}: see proto/todo.proto");
        return Err(CallError::new(Code::Unimplemented, why).into());
    };
    if !rpc.is_unary() {
        let why = format!("{path} streams: use GET {}", events::PATH);
        return Err(CallError::new(Code::Unimplemented, why).into());
    }
    let (head, body) = request.into_parts();
    check_form(&head.headers)?;
    let call_timeout = call_timeout(&head.headers)?;
    let body = read(&head.headers, body, app.limits.body_timeout).await?;
    let message = rpc.request_from_json(&body).map_err(|why| {
        let why = format!("invalid JSON for {}: {why}", rpc.request);
        CallError::new(Code::InvalidArgument, why)
    })?;
    let answer = forward(&app, rpc, message, call_timeout).await?;
    let json = rpc.response_to_json(&answer).map_err(|e| CallError::new(Code::Internal, e))?;
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((content_type, json).into_response())
}

/// Accepts JSON, uncompressed. A page of another site cannot send this content type without
/// the browser asking for permission first, which nothing here grants.
fn check_form(headers: &HeaderMap) -> Result<(), Error> {
    let unsupported =
        |why: &str| Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, why));
    let content_type = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let is_utf8 = ["", "charset=utf-8"].contains(&&*parameters.trim().to_ascii_lowercase());
    if !media_type.trim().eq_ignore_ascii_case("application/json") || !is_utf8 {
        return unsupported("the request must have Content-Type: application/json");
    }
    if text(headers, header::CONTENT_ENCODING.as_str()).is_some_and(|how| how != "identity") {
        return unsupported("the body must not be compressed");
    }
    if let Some(version) = text(headers, "connect-protocol-version").filter(|text| *text != "1") {
        let why = format!("invalid Connect-Protocol-Version {version:?}: use 1 or omit it");
        return Err(CallError::new(Code::InvalidArgument, why).into());
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Returns the timeout that the client asks for, up to a limit.
fn call_timeout(headers: &HeaderMap) -> Result<Duration, Error> {
    let Some(asked) = text(headers, "connect-timeout-ms") else {
        return Ok(CALL_TIMEOUT_DEFAULT);
    };
    // The protocol allows up to ten digits.
    let is_number = (1..=10).contains(&asked.len()) && asked.bytes().all(|c| c.is_ascii_digit());
    match asked.parse().ok().filter(|_| is_number) {
        Some(millis) => Ok(Duration::from_millis(millis).min(WEB_CALL_TIMEOUT_MAX)),
        None => {
            let why = format!("invalid Connect-Timeout-Ms {asked:?}: use whole milliseconds");
            Err(CallError::new(Code::InvalidArgument, why).into())
        }
    }
}

async fn read(headers: &HeaderMap, body: Body, body_timeout: Duration) -> Result<Vec<u8>, Error> {
    let too_large = || {
        let why = format!("the body must be complete and at most {WEB_BODY_BYTES_MAX} bytes");
        Error::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, why)
    };
    let length = text(headers, header::CONTENT_LENGTH.as_str()).map(str::parse);
    if length.is_some_and(|length| !length.is_ok_and(|length: usize| length <= WEB_BODY_BYTES_MAX))
    {
        return Err(too_large());
    }
    match timeout(body_timeout, to_bytes(body, WEB_BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => {
            let why = format!("the body did not arrive within {body_timeout:?}");
            Err(Error::new(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, why))
        }
    }
}

/// Makes the call to `todod`. The timeout includes the wait for a free place among the
/// concurrent calls.
async fn forward(
    app: &AppState,
    rpc: &Rpc,
    message: Encoded,
    call_timeout: Duration,
) -> Result<Encoded, CallError> {
    let deadline = Instant::now() + call_timeout;
    let Ok(Ok(_permit)) = timeout_at(deadline, app.calls.acquire()).await else {
        return Err(CallError::new(
            Code::ResourceExhausted,
            "too many concurrent calls: try again",
        ));
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let answer = app.call_client.call_raw(rpc.path, &message, left).await;
    answer.map_err(|failed| match failed.code {
        // The client's message advises on command line options.
        Code::DeadlineExceeded => {
            let why =
                format!("todod did not answer within {call_timeout:?}: see Connect-Timeout-Ms");
            CallError::new(Code::DeadlineExceeded, why)
        }
        // The transport refuses the message before it can be read.
        Code::ResourceExhausted if failed.message.contains("larger than max") => {
            let why =
                format!("the answer is larger than {WEB_MESSAGE_BYTES_MAX} bytes: set pageSize");
            CallError::new(Code::ResourceExhausted, why)
        }
        _ => failed,
    })
}
