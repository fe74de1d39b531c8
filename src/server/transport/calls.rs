//! Calls whose request has not arrived yet.
//!
//! The core has a fixed number of slots for calls. With a handler of grpcio for unary calls, a
//! call occupies its slot until its message has arrived, so a few connections that never send
//! theirs would stop everybody. On the wire a unary call looks like a client-streaming call, and
//! for those the slot is free as soon as the headers have arrived. So all methods are registered
//! as client-streaming (or as bidirectional, if the server streams), and the message is awaited
//! here, within limits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{AbortHandle, AbortRegistration, Abortable};
use futures_util::{FutureExt as _, StreamExt as _};
use grpcio::{
    ClientStreamingSink, ClientStreamingSinkResult, Deadline, DuplexSink, Error, GrpcSlice,
    Marshaller, MessageReader, Method, MethodType, RequestStream, RpcContext, RpcStatus,
    RpcStatusCode, Service, ServiceBuilder,
};
use parking_lot::Mutex;

use crate::limits::{
    CALLS_PER_CONNECTION_MAX, REQUEST_TIMEOUT, REQUESTS_UNCOUNTED, REQUESTS_WAITING_MAX,
};
use crate::wire::{ENCODED, Encoded};

/// The sink of a stream of encoded messages.
pub(crate) type StreamSink = DuplexSink<Encoded>;

/// A unary call whose request has arrived. Dropping it cancels the call.
pub(crate) struct Call {
    sink: ClientStreamingSink<Encoded>,
    deadline: Deadline,
}

impl Call {
    /// Whether the client no longer waits for the answer.
    pub(crate) fn has_expired(&self) -> bool {
        self.deadline.exceeded()
    }

    /// Sends the answer. Keep the result until it resolves: dropping it earlier cancels the
    /// call.
    pub(super) fn complete(self, answer: Result<Encoded, RpcStatus>) -> ClientStreamingSinkResult {
        match answer {
            Ok(message) => self.sink.success(message),
            Err(status) => self.sink.fail(status),
        }
    }
}

/// Registers the methods of a service.
pub(crate) struct Methods {
    builder: ServiceBuilder,
    requests: Requests,
}

impl Methods {
    pub(super) fn new(requests: Requests) -> Methods {
        Methods { builder: ServiceBuilder::new(), requests }
    }

    /// Adds a unary method. The handler runs on the poll thread.
    pub(crate) fn unary<Req: Send + 'static, Resp>(
        mut self,
        method: &Method<Req, Resp>,
        handler: impl Fn(Req, Call) + Send + Sync + 'static,
    ) -> Methods {
        let (requests, parse) = (self.requests.clone(), method.req_de());
        let handler = Arc::new(handler);
        let serve = move |ctx: RpcContext<'_>, mut rest, sink: ClientStreamingSink<Encoded>| {
            let (deadline, place) = (ctx.deadline(), requests.enter(&ctx));
            let handler = handler.clone();
            ctx.spawn(async move {
                match receive(&mut rest, parse, place).await {
                    Ok(request) => handler(request, Call { sink, deadline }),
                    Err(status) => drop(sink.fail(status).await),
                }
                // Dropping a stream that was not read to its end cancels the call. Once the call
                // has its answer, the core ends the stream even if the client does not.
                while let Some(Ok(_)) = rest.next().await {}
            });
        };
        let method = raw(method, MethodType::ClientStreaming);
        self.builder = self.builder.add_client_streaming_handler(&method, serve);
        self
    }

    /// Adds a method whose answer is a stream. The handler's future runs on the poll thread.
    pub(crate) fn streaming<Req, Resp, F>(
        mut self,
        method: &Method<Req, Resp>,
        handler: impl Fn(Req, Deadline, StreamSink) -> F + Send + Sync + 'static,
    ) -> Methods
    where
        Req: Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (requests, parse) = (self.requests.clone(), method.req_de());
        let handler = Arc::new(handler);
        let serve = move |ctx: RpcContext<'_>, mut rest, sink: StreamSink| {
            let (deadline, place) = (ctx.deadline(), requests.enter(&ctx));
            let handler = handler.clone();
            ctx.spawn(async move {
                match receive(&mut rest, parse, place).await {
                    Ok(request) => handler(request, deadline, sink).await,
                    Err(status) => drop(sink.fail(status).await),
                }
                // Reads the end of the request: dropping a stream that was not read to its end
                // cancels the call, and a client that reads late would not get its status.
                let _ = rest.next().now_or_never();
            });
        };
        let method = raw(method, MethodType::Duplex);
        self.builder = self.builder.add_duplex_streaming_handler(&method, serve);
        self
    }

    pub(crate) fn build(self) -> Service {
        self.builder.build()
    }
}

/// The same method, with messages as bytes.
fn raw<Req, Resp>(method: &Method<Req, Resp>, ty: MethodType) -> Method<MessageReader, Encoded> {
    let never = |_: &MessageReader, _: &mut GrpcSlice| Err(Error::Codec("not a client".into()));
    let req_mar = Marshaller { ser: never, de: Ok };
    Method { ty, name: method.name, req_mar, resp_mar: ENCODED }
}

/// Waits for the message of a unary request. A second message is ignored, as grpcio's own unary
/// handlers do.
async fn receive<Req>(
    stream: &mut RequestStream<MessageReader>,
    parse: fn(MessageReader) -> grpcio::Result<Req>,
    place: Result<(Place, AbortRegistration), RpcStatus>,
) -> Result<Req, RpcStatus> {
    let (place, registration) = place?;
    let status = match Abortable::new(stream.next(), registration).await {
        Ok(Some(Ok(message))) => match parse(message) {
            Ok(request) => return Ok(request),
            Err(error) => {
                let why = format!("the request is not a valid message: {error}");
                RpcStatus::with_message(RpcStatusCode::INVALID_ARGUMENT, why)
            }
        },
        Ok(None) => {
            let why = "the request has no message".to_owned();
            RpcStatus::with_message(RpcStatusCode::INTERNAL, why)
        }
        // The client is gone.
        Ok(Some(Err(_))) => RpcStatus::new(RpcStatusCode::CANCELLED),
        Err(_) => place.aborted(),
    };
    Err(status)
}

/// The calls whose request has not arrived.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    /// In the order of their arrival.
    calls: BTreeMap<u64, WaitingCall>,
    next: u64,
    per_connection: HashMap<Arc<str>, usize>,
}

struct WaitingCall {
    since: Instant,
    /// `None` if the call is not counted for its connection.
    connection: Option<Arc<str>>,
    abort: AbortHandle,
}

/// The place of one call. Dropping it makes room for another one.
struct Place {
    requests: Requests,
    number: u64,
    since: Instant,
}

impl Requests {
    fn enter(&self, ctx: &RpcContext<'_>) -> Result<(Place, AbortRegistration), RpcStatus> {
        // Finding out the connection costs more than all the rest, so it is not done while
        // the number of waiting calls is normal.
        let is_counted = self.0.lock().calls.len() >= REQUESTS_UNCOUNTED;
        let connection = if is_counted { connection(ctx) } else { None };
        self.add(connection, Instant::now()).ok_or_else(|| {
            let why = format!(
                "{CALLS_PER_CONNECTION_MAX} requests of this connection have not arrived in \
                 full: send them first"
            );
            RpcStatus::with_message(RpcStatusCode::RESOURCE_EXHAUSTED, why)
        })
    }

    /// Adds a call; `None` if its connection has its share. The registration is how the call
    /// learns that it has waited too long.
    fn add(
        &self,
        connection: Option<Arc<str>>,
        since: Instant,
    ) -> Option<(Place, AbortRegistration)> {
        let (abort, registration) = AbortHandle::new_pair();
        let mut waiting = self.0.lock();
        if let Some(connection) = &connection {
            let count = waiting.per_connection.entry(connection.clone()).or_default();
            if *count >= CALLS_PER_CONNECTION_MAX as usize {
                return None;
            }
            *count += 1;
        }
        let oldest = match waiting.calls.len() {
            0..REQUESTS_WAITING_MAX => None,
            _ => waiting.remove_oldest(),
        };
        let number = waiting.next;
        waiting.next += 1;
        waiting.calls.insert(number, WaitingCall { since, connection, abort });
        drop(waiting);
        if let Some(oldest) = oldest {
            oldest.abort();
        }
        Some((Place { requests: self.clone(), number, since }, registration))
    }

    /// Ends the calls that have waited too long.
    pub(super) fn expire(&self, now: Instant) {
        loop {
            let mut waiting = self.0.lock();
            let oldest = waiting.calls.first_key_value().map(|(_, call)| call.since);
            if oldest.is_none_or(|since| since + REQUEST_TIMEOUT > now) {
                return;
            }
            let expired = waiting.remove_oldest();
            // Waking a call takes the lock of the C core.
            drop(waiting);
            if let Some(expired) = expired {
                expired.abort();
            }
        }
    }
}

/// What identifies the connection of a call. All connections of a unix socket look the same, so
/// they are not counted.
fn connection(ctx: &RpcContext<'_>) -> Option<Arc<str>> {
    let peer = ctx.peer();
    (!peer.starts_with("unix")).then(|| peer.into())
}

impl Waiting {
    fn remove_oldest(&mut self) -> Option<AbortHandle> {
        let number = *self.calls.first_key_value()?.0;
        self.remove(number)
    }

    fn remove(&mut self, number: u64) -> Option<AbortHandle> {
        let call = self.calls.remove(&number)?;
        if let Some(connection) = call.connection
            && let Some(count) = self.per_connection.get_mut(&connection)
        {
            *count -= 1;
            if *count == 0 {
                self.per_connection.remove(&connection);
            }
        }
        Some(call.abort)
    }
}

impl Place {
    /// Why the call was ended.
    fn aborted(&self) -> RpcStatus {
        if self.since.elapsed() >= REQUEST_TIMEOUT {
            let why = format!("the request did not arrive within {REQUEST_TIMEOUT:?}");
            RpcStatus::with_message(RpcStatusCode::DEADLINE_EXCEEDED, why)
        } else {
            let why = "too many requests have not arrived in full: try again".to_owned();
            RpcStatus::with_message(RpcStatusCode::RESOURCE_EXHAUSTED, why)
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.requests.0.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    type Added = (Place, AbortRegistration);

    fn is_ended(call: Added) -> bool {
        Abortable::new(pending::<()>(), call.1).now_or_never().is_some()
    }

    #[test]
    fn a_connection_has_a_share_and_a_call_that_is_over_makes_room() {
        let requests = Requests::default();
        let add = |connection: &str| requests.add(Some(connection.into()), Instant::now());
        let mut greedy: Vec<Added> =
            (0..CALLS_PER_CONNECTION_MAX).map(|_| add("greedy").unwrap()).collect();
        assert!(add("greedy").is_none());
        let other = add("other").unwrap();
        greedy.pop();
        greedy.push(add("greedy").unwrap());
        assert!(add("greedy").is_none());
        drop((greedy, other));
        let waiting = requests.0.lock();
        assert!(waiting.calls.is_empty() && waiting.per_connection.is_empty());
    }

    #[test]
    fn one_call_above_the_limit_ends_the_oldest() {
        let requests = Requests::default();
        let add = || requests.add(None, Instant::now()).unwrap();
        let (first, second) = (add(), add());
        let _others: Vec<Added> = (2..=REQUESTS_WAITING_MAX).map(|_| add()).collect();
        assert_eq!(first.0.aborted().code(), RpcStatusCode::RESOURCE_EXHAUSTED);
        assert!(is_ended(first));
        assert!(!is_ended(second));
    }

    #[test]
    fn a_call_that_has_waited_too_long_is_ended() {
        let requests = Requests::default();
        let early = Instant::now();
        let late = early + REQUEST_TIMEOUT / 2;
        let first = requests.add(None, early).unwrap();
        let second = requests.add(Some("connection".into()), late).unwrap();
        requests.expire(early + REQUEST_TIMEOUT);
        assert!(is_ended(first));
        requests.expire(late + REQUEST_TIMEOUT);
        assert!(is_ended(second));
        assert!(requests.0.lock().per_connection.is_empty());
    }
}
